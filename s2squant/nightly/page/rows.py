"""Rows of tonight's table: forecasts in prices, changes since last night, and flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from s2squant.evaluation.statistics.expected_shortfall import expected_loss
from s2squant.nightly.results import Night
from s2squant.prices.calendars.grid import clock_text
from s2squant.report.fan_cards import IN_ROW, small_fan
from s2squant.report.fan_charts import fan_at
from s2squant.report.formats import THIN, known, number, percent
from s2squant.report.study_view import by, rows
from s2squant.series.arrays import Floats, dates_of
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from s2squant.series.history import PriceHistory
from s2squant.series.tails import all_quantiles, at_level, tail_columns

YEAR = 252
WIDE, NARROW = 1.5, 0.6
"""Width against its norm that is worth a look."""
MOVED = 1.0
"""Half-widths of last night's 80 % band that the median of the same date may move unremarked."""
LONGEST_BREAK = pd.Timedelta(days=14)
"""Longest time between two sessions."""
EXTREME = 0.025
"""PIT this close to 0 or 1 is a surprise."""


@dataclass(frozen=True)
class Ahead:
    """The forecast of one session, in prices."""

    step: int
    day: str
    median: float
    low: float
    high: float
    raw_low: float
    raw_high: float
    """The 80 % range before recalibration; NaN where that changes nothing at any step."""


@dataclass(frozen=True)
class Loss:
    """Value at risk and expected shortfall of the next session."""

    percent: int
    """95: a loss beyond comes once in twenty times."""
    price: float
    """What is left of the close at the value at risk."""
    share: float
    """Of the close, lost."""
    shortfall_price: float
    shortfall: float
    """Mean loss where it is beyond."""


@dataclass(frozen=True)
class TonightRow:
    """One ticker of tonight's table."""

    ticker: str
    close: float
    ahead: tuple[Ahead, ...]
    """Steps 1, 5 and the last."""
    losses: tuple[Loss, ...]
    """One session ahead, at 95 and 99 %."""
    p_up: float
    """Probability that the last step ends above the close."""
    width: float
    """80 % width one step ahead over the spread of the last year's one-bar returns."""
    change: float
    """Of the median for the furthest date that last night's forecast shares, a fraction."""
    skill: float
    picture: Markup
    """Its fan, small."""
    flags: tuple[tuple[str, str], ...]
    """What asks for a look, gravest first: (word, why)."""
    weight: float
    """How much so, for the order."""


@dataclass(frozen=True)
class Tonight:
    """All rows, the model they show, the cutoff of last night's forecast by ticker, and the tables by ticker."""

    model: str
    raw: str
    rows: tuple[TonightRow, ...]
    before: Mapping[str, pd.Timestamp]
    forecasts: Mapping[str, pd.DataFrame]
    """Tonight's and last night's rows of the model shown, by ticker."""

    @property
    def flagged(self) -> tuple[TonightRow, ...]:
        """Those with a flag, gravest first."""
        return tuple(sorted((r for r in self.rows if r.flags), key=lambda r: -r.weight))


def tonight(night: Night) -> Tonight:
    """Lay tonight's forecasts out; without any, no rows."""
    table = night.today
    raw = night.track.recommended
    have = set(table["model"].unique()) if len(table) else set()
    model = night.track.model if night.track.model in have else raw
    table = table[[*_COLUMNS, *tail_columns(table)]] if len(table) else table
    shown = by(table[table["model"] == model], "unique_id") if len(table) else {}
    under = by(table[table["model"] == raw], "unique_id") if model != raw and len(table) else {}
    past = by(_recent(night.record, model, table["cutoff"].min()), "unique_id") if len(table) else {}
    skills = {str(r["unique_id"]): float(r["skill"]) for r in rows(night.track.by_ticker)}
    horizon = int(table["step"].max()) if len(table) else 0
    steps = tuple(s for s in dict.fromkeys((1, 5, horizon)) if 0 < s <= horizon)
    before: dict[str, pd.Timestamp] = {}
    drawn: dict[str, pd.DataFrame] = {}
    shown_rows = []
    for status in night.tickers:
        part = shown.get(status.ticker)
        if part is None:
            continue
        old = _last_night(past.get(status.ticker), part["cutoff"].iloc[0])
        if old is not None:
            before[status.ticker] = old["cutoff"].iloc[0]
        drawn[status.ticker] = part if old is None else pd.concat([old, part], ignore_index=True)
        history = night.histories.get(status.ticker)
        skill = skills.get(status.ticker, np.nan)
        shown_rows.append(_row(status.ticker, part, under.get(status.ticker), old, history, skill, steps))
    return Tonight(model, raw, tuple(shown_rows), before, drawn)


def _recent(record: pd.DataFrame, model: str, cutoff: pd.Timestamp) -> pd.DataFrame:
    """The rows of `model` that may hold last night's forecast."""
    recent = (record["cutoff"] >= cutoff - LONGEST_BREAK) & (record["cutoff"] < cutoff)
    return record.loc[recent & (record["model"] == model), _COLUMNS]


def _last_night(past: pd.DataFrame | None, cutoff: pd.Timestamp) -> pd.DataFrame | None:
    """The forecast whose first session was tonight's cutoff; None where that night had none."""
    if past is None:
        return None
    first = past[(past["step"] == 1) & (past["ds"] == cutoff)]
    return None if first.empty else past[past["cutoff"] == first["cutoff"].iloc[0]].sort_values("step")


def _row(
    ticker: str,
    part: pd.DataFrame,
    under: pd.DataFrame | None,
    old: pd.DataFrame | None,
    history: PriceHistory | None,
    skill: float,
    steps: tuple[int, ...],
) -> TonightRow:
    part = part.sort_values("step").set_index("step")
    raw = under.set_index("step").reindex(part.index) if under is not None else None
    if raw is not None and part[_ENDS].equals(raw[_ENDS]):
        raw = None  # the recalibration is not in force
    close = float(part["close"].iloc[0])
    columns = ["q0.500", *_ENDS]
    prices_HQ = close * np.exp(part[columns].to_numpy(float))
    below_HQ = np.full((len(part), 2), np.nan) if raw is None else close * np.exp(raw[_ENDS].to_numpy(float))
    market = history.calendar if history is not None else ""
    days = dict(zip(part.index, clock_text(market, dates_of(market, part["ds"])), strict=True))
    places = {int(step): k for k, step in enumerate(part.index)}
    ahead = tuple(
        Ahead(step, days[step], *map(float, prices_HQ[places[step]]), *map(float, below_HQ[places[step]]))
        for step in steps
        if step in places
    )
    last = part.iloc[-1][list(QUANTILE_COLUMNS)].to_numpy(float)
    change, moved, pit = _since(part, old)
    width = _width(part, history)
    weight = max(
        width / WIDE if known(width) else 0.0,
        abs(moved) / MOVED if known(moved) else 0.0,
        1.0 + 20.0 * (EXTREME - min(pit, 1 - pit)) if known(pit) and min(pit, 1 - pit) < EXTREME else 0.0,
    )
    return TonightRow(
        ticker=ticker,
        close=close,
        ahead=ahead,
        losses=losses_of(part, close),
        p_up=_rises(last),
        width=width,
        change=change,
        skill=skill,
        picture=_picture(ticker, part, history),
        flags=tuple(_flags(width, change, moved, pit, within=history is not None and history.is_intraday)),
        weight=weight,
    )


def losses_of(part: pd.DataFrame, close: float) -> tuple[Loss, ...]:
    """VaR and expected shortfall of the first session of a forecast; its tails exponential where it has none."""
    levels_1A = all_quantiles(part.iloc[:1])
    made = []
    for level in (0.05, 0.01):
        share = float(-np.expm1(at_level(levels_1A, level)[0]))
        mean = float(expected_loss(levels_1A, level)[0])
        made.append(Loss(round(100 * (1 - level)), close * (1 - share), share, close * (1 - mean), mean))
    return tuple(made)


def _picture(ticker: str, part: pd.DataFrame, history: PriceHistory | None) -> Markup:
    """The small fan of a row; nothing without prices that hold the cutoff."""
    table = part.reset_index()
    fan = fan_at(table, str(table["model"].iloc[0]), table["cutoff"].max(), history) if history is not None else None
    return small_fan(ticker, fan, history, IN_ROW) if fan is not None and history is not None else Markup("")


_ENDS = ["q0.100", "q0.900"]
_COLUMNS = ["model", "unique_id", "cutoff", "ds", "step", "close", "y", "pit", *QUANTILE_COLUMNS]


def _rises(quantiles: Floats) -> float:
    """Probability above zero; half of what lies on zero itself."""
    below, above = np.interp(0.0, quantiles, LEVELS), np.interp(0.0, -quantiles[::-1], LEVELS)
    return float(0.5 * (1.0 - below + above))


def _since(part: pd.DataFrame, old: pd.DataFrame | None) -> tuple[float, float, float]:
    """Change of the median for the furthest common date, in half-widths too, and last night's PIT one step ahead."""
    if old is None:
        return np.nan, np.nan, np.nan
    came, pit = float(old["y"].iloc[0]), float(old["pit"].iloc[0])
    common = old[old["ds"].isin(part["ds"])]
    if not known(came) or common.empty:
        return np.nan, np.nan, pit
    then = common.iloc[-1]
    now = float(part.loc[part["ds"] == then["ds"], "q0.500"].iloc[0])
    change = came + now - float(then["q0.500"])
    half = 0.5 * float(then["q0.900"] - then["q0.100"])
    return float(np.expm1(change)), change / half if half > 0 else np.nan, pit


def _width(part: pd.DataFrame, history: PriceHistory | None) -> float:
    returns = _usual_returns(history) if history is not None else np.zeros(0)
    if len(returns) < YEAR // 2:
        return float("nan")
    low, high = np.quantile(returns, (0.1, 0.9))
    first = part.iloc[0]
    return float((first["q0.900"] - first["q0.100"]) / (high - low)) if high > low else float("nan")


def _usual_returns(history: PriceHistory) -> Floats:
    """The last year's one-bar returns; of bars within the day, those of the next bar's time. None at prices of 0."""
    slots, bars = history.slots, np.arange(1, len(history))
    if slots is not None:
        slot_R, following = slots.slot_V[slots.place_R], slots.slot_V[slots.place_R[-1] + 1]
        bars = bars[slot_R[1:] == following]
    bars = bars[-YEAR:]
    if not len(bars) or (history.adj_close[bars[0] - 1 :] <= 0).any():
        return np.zeros(0)
    log_price = np.log(history.adj_close[bars[0] - 1 :])
    returns: Floats = np.diff(log_price)[bars - bars[0]]
    return returns


def _flags(width: float, change: float, moved: float, pit: float, *, within: bool) -> Iterator[tuple[str, str]]:
    bar, before = ("bar", "the last") if within else ("session", "last night's")
    usual = f"the last year's usual spread{' at this time' if within else ''}"
    if known(pit) and min(pit, 1.0 - pit) < EXTREME:
        side = "below" if pit < 0.5 else "above"
        yield "surprise", f"the last {bar} ended {side} 97.5{THIN}% of {before} forecast"
    if known(moved) and abs(moved) > MOVED:
        text = f"the median for the same date moved {percent(change, 1, True)}, {number(abs(moved), 1)} half-widths"
        yield "moved", f"{text} of {before} 80{THIN}% band"
    if known(width) and width > WIDE:
        yield "wide", f"the 80{THIN}% band is {number(width, 1)} times {usual}"
    if known(width) and width < NARROW:
        yield "narrow", f"the 80{THIN}% band is {number(width, 2)} times {usual}"
