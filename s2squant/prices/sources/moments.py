"""Stamps of bars within the day into moments of the session grid: which interval, which zone, which end of the bar.

A bar is named by the moment at which it begins, UTC. What the stamps do not say themselves (a zone, whether they are of
a bar's beginning or its end, whether hours are the clock's or count from the opening) is read so that bars fall into
trading hours, and hours hold bars, as far as may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.intervals import SECONDS, intraday, market_of
from s2squant.errors import Finding, PriceError
from s2squant.prices.calendars.exchanges import is_among, zone_of
from s2squant.prices.calendars.grid import FX_ZONE, Grid, Moments, bar_grid
from s2squant.prices.calendars.guess import ALONE, guess_calendar, is_currency, named_calendar
from s2squant.prices.checks.marks import mark
from s2squant.prices.sources.stamps import Stamps
from s2squant.series.arrays import Dates

BROKER = "broker"
"""The clock of many currency brokers: midnight at 17:00 in New York."""
PREFERRED = 0.002
"""By how much a later reading has to be better."""
INSIDE, HIT = 0.25, 0.4
"""Least share of bars within trading hours (premarket lies outside), and of scheduled bars that are there."""
MOSTLY = 0.5


@dataclass(frozen=True)
class Clock:
    """What the user says of stamps within the day; empty where he does not."""

    zone: str = ""
    calendars: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """Bars on the session grid."""

    market: str
    rows: NDArray[np.bool_]
    """(T,) rows of the table that are scheduled bars."""
    moments: Moments
    """When each of those begins."""
    findings: tuple[Finding, ...]
    zone: str
    """The zone that stamps were taken to be of; empty where they name theirs."""


def interval_in(stamps: Stamps, ticker: str) -> str:
    """The interval of stamps, several a day; raises PriceError where there is none, or none that is known."""
    times = np.unique(stamps.wall)
    steps = np.diff(times).astype(np.int64)
    if len(steps) == 0:
        raise PriceError(ticker, f"{len(stamps.wall)} bars at one moment ({times[0]}); give one for each")
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[counts.argmax()])
    name = next((name for name, seconds in SECONDS.items() if seconds == usual), "")
    if name and counts.max() >= MOSTLY * len(steps):
        return name
    known = ", ".join(SECONDS)
    if not name and counts.max() >= MOSTLY * len(steps):
        raise PriceError(ticker, f"its bars are {usual / 60:g} minutes apart; intervals within the day are {known}")
    raise PriceError(ticker, f"several bars a day at no one interval ({times[0]}, {times[1]}); give bars of {known}")


def placed(stamps: Stamps, ticker: str, calendar: str, clock: Clock) -> Placed:
    """The bars of stamps within the day on the grid of their market.

    `calendar` is the exchange's or the market's where it is known, else guessed. Raises PriceError where the stamps fit
    no trading hours, with the remedy.
    """
    known = intraday(calendar)
    interval = known[0] if known else interval_in(stamps, ticker)
    calendar = known[1] if known else calendar or clock.calendars.get(ticker, "") or _guessed(stamps, ticker)
    best: tuple[float, Grid, str, Moments, str, float, float] | None = None
    for zone, instants in _instants(stamps, calendar, clock.zone):
        for on_clock in (known[2],) if known else (False, True):
            market = market_of(interval, calendar, clock=on_clock)
            one = np.timedelta64(1, "D")
            grid = bar_grid(market, instants.min() - one, instants.max() + one)
            if len(grid.starts) == 0:
                continue
            for end, named in (("beginning", grid.starts), ("end", grid.ends)):
                inside = float(is_among(instants, named).mean())
                span = (named >= instants.min()) & (named <= instants.max())
                hit = float(np.isin(named[span], instants).mean()) if span.any() else 0.0
                if best is None or inside + hit > best[0] + PREFERRED:
                    best = (inside + hit, grid, market, instants, f"{zone}|{end}", inside, hit)
    if best is None or best[5] < INSIDE or (best[6] < HIT and known is None):
        seen = f"{best[5]:.0%} lie inside, {best[6]:.0%} of the scheduled bars are there" if best else "it has none"
        text = f"its {interval} bars do not fit the trading hours of {calendar} ({seen})"
        raise PriceError(ticker, f"{text}; name the calendar in universe.calendars, or their clock in universe.zone")
    _, grid, market, instants, how, _, _ = best
    zone, _, end = how.partition("|")
    named = grid.starts if end == "beginning" else grid.ends
    at = np.minimum(np.searchsorted(named, instants), len(named) - 1)
    rows = np.asarray(named[at] == instants)
    return Placed(market, rows, grid.starts[at[rows]], _told(rows, instants, market, zone, end), zone)


def _told(rows: NDArray[np.bool_], instants: Moments, market: str, zone: str, end: str) -> tuple[Finding, ...]:
    interval, _, calendar = market.partition(":")
    said = f"bars of {interval.removesuffix('@clock')} on the hours of {calendar}"
    if interval.endswith("@clock"):
        said += ", on the clock's whole ones"
    if zone:
        said += f"; stamps are read as of {'brokers’ time, midnight at 17:00 in New York' if zone == BROKER else zone}"
    if end == "end":
        said += "; they are of the bars' ends, and bars are named by their beginnings"
    first = np.array([np.datetime64(instants[rows].min(), "m")])
    out = np.sort(instants[~rows])
    share = len(out) / len(rows)
    text = f"{len(out)} bar(s) outside the trading hours of {calendar}, or between its bars"
    return (
        *mark("interval", "note", first, said, done=f"on {market}"),
        *mark(
            "outside hours",
            "warning" if share > 0.01 else "note",
            out,
            f"{text}, the first at {_minute(out[0])}" if len(out) else text,
            done="dropped",
        ),
    )


def _guessed(stamps: Stamps, ticker: str) -> str:
    """The calendar by the ticker's name, else by the days that have bars."""
    named = named_calendar(ticker)
    if named:
        return named
    days: Dates = np.unique(stamps.wall.astype("datetime64[D]"))
    weekday = (days.astype(np.int64) + 3) % 7
    if is_currency(ticker) and np.mean(weekday == 5) <= 0.05:
        return "24/5"
    guess = guess_calendar(ticker, days)
    if guess.startswith(ALONE) or guess == "ECB":
        text = "the days of its bars do not tell which exchange it is of"
        raise PriceError(ticker, f"{text}; name its calendar in universe.calendars (XNYS, 24/7, 24/5)")
    return guess


def _instants(stamps: Stamps, calendar: str, zone: str) -> Iterator[tuple[str, Moments]]:
    """The readings of stamps as moments of UTC, the likeliest first, each with the zone it took them to be of."""
    if stamps.east is not None:
        yield "", stamps.wall - stamps.east.astype("timedelta64[s]")
        return
    if zone:
        yield zone, _utc(stamps.wall, zone)
        return
    own = str(zone_of(calendar))
    for name in dict.fromkeys((own, "UTC", *((BROKER, "Europe/London", FX_ZONE) if calendar == "24/5" else ()))):
        if name == BROKER:
            yield name, _utc(stamps.wall - np.timedelta64(7, "h"), FX_ZONE)
        else:
            yield name, stamps.wall if name == "UTC" else _utc(stamps.wall, name)


def written(moments: Moments, zone: str) -> Moments:
    """Moments of UTC as a clock of the zone shows them."""
    shift = np.timedelta64(7 if zone == BROKER else 0, "h")
    stamps = pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(FX_ZONE if zone == BROKER else zone)
    local: Moments = np.add(stamps.tz_localize(None).to_numpy().astype("datetime64[s]"), shift)
    return local


def _utc(wall: Moments, zone: str) -> Moments:
    """Moments at which a zone's clock shows this; the first of two hours that read the same."""
    stamps = pd.DatetimeIndex(wall).tz_localize(zone, ambiguous=np.ones(len(wall), bool), nonexistent="shift_forward")
    return stamps.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")


def _minute(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[m]")).replace("T", " ")
