"""Prices for the terminal: facts, a plot, bars, and an overview of what the checks say."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import plotille
from rich.table import Table

from s2squant.cli.tables import plain_table, ticker_cell
from s2squant.errors import SEVERITIES, Finding, PriceError, worst
from s2squant.prices.calendars.grid import clock_name, clock_text, next_bars
from s2squant.prices.checks.evidence import volume_of
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

Y_LABEL = "adjusted close, in the money of the source"
AROUND = 20
"""Bars on either side of a day that is looked at."""


def facts(history: PriceHistory) -> Table:
    """Where the prices come from, their span, and how they moved."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    market, noun = history.calendar, "bars" if history.is_intraday else "sessions"
    upcoming = ", ".join(clock_text(market, next_bars(market, history.dates[-1], 3)))
    first, last = clock_text(market, history.dates[[0, -1]])
    clock = f", {clock_name(market)}" if history.is_intraday else ""
    for name, value in (
        ("ticker", history.ticker),
        ("source", history.source + (f", {history.fetched_at}" if history.fetched_at else "")),
        ("calendar", f"{market}; next {noun} {upcoming}{clock}"),
        ("bars", f"{len(history)}, {first} to {last}{clock}"),
        ("fields", ", ".join(["adj close", *history.bars])),
        *(("events", events) for events in [_events(history)] if events),
        ("last", f"{history.adj_close[-1]:,.6g}"),
        ("moves", _moves(history)),
        ("sha256", history.sha256[:16]),
    ):
        table.add_row(name, value)
    return table


def _events(history: PriceHistory) -> str:
    """How many dividends and splits the source tells, and the last of each."""
    told = []
    for name, values in history.events.items():
        bars = np.flatnonzero(values)
        told.append(f"{len(bars)} {name}, the last {values[bars[-1]]:.6g} on {history.dates[bars[-1]]}")
    return "; ".join(told)


def _moves(history: PriceHistory) -> str:
    if (history.adj_close <= 0).any():
        return "not computed: a price is not above zero"
    returns = np.expm1(history.log_returns)
    low, high = int(returns.argmin()), int(returns.argmax())
    worst, best = clock_text(history.calendar, history.dates[[low + 1, high + 1]])
    extremes = f"{returns[low]:+.1%} on {worst}, {returns[high]:+.1%} on {best}"
    return f"standard deviation {returns.std():.2%} a bar; extremes {extremes}"


def plot(history: PriceHistory, width: int, height: int = 10) -> str:
    """The adjusted close as a line of braille dots, at most `width` columns wide."""
    figure, short = plotille.Figure(), len(history) <= 2 * AROUND + 1
    figure.width, figure.height, figure.with_colors = max(20, width - 30), height, False
    figure.x_label, figure.y_label, figure.origin = "month-day" if short else "month", Y_LABEL, False
    figure.x_ticks_fkt = lambda low, _high: f"{low:%m-%d}" if short else f"{low:%Y-%m}"
    figure.y_ticks_fkt = lambda low, _high: f"{low:10.5g}"
    prices: Floats = history.adj_close
    pad = 0.02 * float(np.ptp(prices)) or abs(float(prices[0])) or 1.0
    days = history.dates.astype("datetime64[s]").tolist()
    figure.set_x_limits(days[0], days[-1])
    low, high = float(prices.min()), float(prices.max())
    figure.set_y_limits(low - pad if low <= 0 else max(low - pad, 0.5 * low), high + pad)
    figure.plot(days, prices.tolist())
    return "\n".join(line.rstrip() for line in str(figure.show()).splitlines())


def bars_of(history: PriceHistory, rows: range) -> Table:
    """Bars as stored."""
    table = plain_table("date", *(f">{name}" for name in history.bars), ">adj close")
    dates = clock_text(history.calendar, history.dates[rows.start : rows.stop])
    for i in rows:
        bars = [
            f"{values[i]:,.0f}" if name == "volume" else f"{values[i]:,.6g}" for name, values in history.bars.items()
        ]
        table.add_row(dates[i - rows.start], *bars, f"{history.adj_close[i]:,.6g}")
    return table


def around_of(history: PriceHistory, row: int) -> Table:
    """Ten bars on either side of a row, each with its return and its volume over the usual."""
    table = plain_table("date", ">open", ">close", ">volume", ">adj close", ">return", ">usual volume")
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.r_[np.nan, history.adj_close[1:] / history.adj_close[:-1] - 1]
    for i in range(max(0, row - 10), min(len(history), row + 11)):
        bars = {name: f"{values[i]:,.6g}" for name, values in history.bars.items() if np.isfinite(values[i])}
        volume, usual = history.bars.get("volume"), volume_of(history, i)[0]
        bars["volume"] = "" if volume is None or not np.isfinite(volume[i]) else f"{volume[i]:,.0f}"
        cells = [bars.get("open", ""), bars.get("close", ""), bars["volume"], f"{history.adj_close[i]:,.6g}"]
        cells += ["" if np.isnan(moves[i]) else f"{moves[i]:+.1%}", "" if usual is None else f"x{usual:.2g}"]
        table.add_row(("> " if i == row else "") + str(history.dates[i]), *cells)
    return table


def overview(histories: dict[str, PriceHistory], refused: dict[str, PriceError]) -> Table:
    """One row a ticker: calendar, bars, span, and how many findings of each severity."""
    table = plain_table("ticker", "calendar", "first", "last", ">bars", ">notes", ">warnings", ">errors")
    for ticker, h in histories.items():
        counts = Counter(f.severity for f in h.findings)
        span = (h.calendar, str(h.dates[0]), str(h.dates[-1]), str(len(h)))
        table.add_row(ticker_cell(ticker), *span, *(str(counts[severity] or "") for severity in SEVERITIES))
    for ticker in refused:
        table.add_row(ticker_cell(ticker), "-", "-", "-", "-", "", "", "1")
    return table


def as_plain(history: PriceHistory | None, error: PriceError | None, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """A checked ticker as plain values."""
    about: dict[str, Any] = {"calendar": history.calendar if history else None}
    if history is not None:
        about |= {"bars": len(history), "first": str(history.dates[0]), "last": str(history.dates[-1])}
    return about | {
        "worst": worst(findings),
        "refused": error.reason if error else None,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "findings": [asdict(finding) for finding in findings],
    }
