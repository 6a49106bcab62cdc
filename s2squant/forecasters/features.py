"""Causal inputs: the EWMA bank of the anchor and the scale-free inputs of the networks.

Every series is first divided by one causal constant, the standard deviation of its first `warmup` returns, so that
all floors are relative and a pegged currency is treated like a stock. The filters read bounded returns: one jump
that nothing follows is forgotten within days, not months. A row's values read no bar after it, provided the row is
at least `warmup` bars into its ticker.

Shape legend: R rows of the panel, A of them asked for, K members of the bank, F inputs of the networks, D dates of the
market.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from scipy.signal import lfilter

from s2squant.forecasters.baselines.ranges import PER_RETURN, PRICES, moves, range_volatility
from s2squant.forecasters.intraday_profile import Profiles
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

SQUARE = (0.4, 0.2, 0.1, 0.06, 0.03, 0.015, 0.007, 0.003)
ABSOLUTE = (0.1, 0.06, 0.03, 0.015)
LEVERAGE = (0.2, 0.06, 0.02)
MARKET = (0.2, 0.06, 0.02)
MARKET_LEVERAGE = (0.2, 0.06)
DISPERSION = (0.2, 0.06, 0.02)
RANGE = (0.4, 0.15, 0.06, 0.02)
SLOW = 0.004
SEED_BARS = 60
"""A filter starts from the mean of its first bars; rows before that are never used (`warmup` is larger)."""

VARIANCE_FLOOR = 1e-3
"""Smallest member, in units of the ticker's own early variance."""

BOUND_ALPHA = 0.015
"""Speed of the standard deviation that a return is bounded by."""

VOLUME_ALPHA = 0.02
"""Speed of the usual volume that a bar's is compared with."""


@dataclass(frozen=True)
class Market:
    """Mean and dispersion of a market's bounded returns by date."""

    days_D: Dates
    mean_D: Floats
    """Equal-weight mean of the bounded returns."""
    dispersion_D: Floats
    """Cross-sectional mean of their squares."""


@dataclass(frozen=True)
class Returns:
    """Daily returns in units of each ticker's early standard deviation, and the market's."""

    unit_M: Floats
    """Early standard deviation of each ticker, log return a bar."""
    scaled_R: Floats
    limit_R: Floats
    """How far from zero the filters read each: see `_bounded`."""
    bounded_R: Floats
    """Scaled returns, none further from zero than that."""
    market_D: Floats
    """Of the whole market, as is `dispersion_D`: see `Market`."""
    dispersion_D: Floats
    date_of_R: Ints
    """The market's date of each row."""
    even_R: Floats | float = 1.0
    """Relative standard deviations by the daily profile, which the returns are divided by; 1 for daily bars."""

    def even_of(self, rows: slice | Ints) -> Floats | float:
        """The relative standard deviations of some rows."""
        return self.even_R if isinstance(self.even_R, float) else self.even_R[rows]


MARKETS: WeakKeyDictionary[Panel, dict[tuple[Any, ...], Market]] = WeakKeyDictionary()
"""Markets of whole panels, for as long as those live: every ticker asks for them in every fold."""


def _market_around(
    whole: Panel, whole_until: np.datetime64 | None, warmup: int, bound: float | None, profiles: Profiles | None
) -> Market:
    known = MARKETS.setdefault(whole, {})
    key = (whole_until, warmup, bound, None if profiles is None else profiles.key)
    if key not in known:
        then = whole if whole_until is None else whole.until(whole_until)
        even_R = 1.0 if profiles is None else profiles.sd(then)
        known[key], _ = _market(then, _bounded(then, _scaled(then, warmup, even_R)[1], bound)[1])
    return known[key]


def scaled_returns(panel: Panel, warmup: int, bound: float | None, profiles: Profiles | None = None) -> Returns:
    """Scale the returns of every ticker by one causal constant, bound them, and place them in their market.

    With `profiles` they are divided by their daily profile first.
    """
    even_R = 1.0 if profiles is None else profiles.sd(panel)
    unit, scaled = _scaled(panel, warmup, even_R)
    limit, bounded = _bounded(panel, scaled, bound)
    if panel.whole:
        market = _market_around(panel.whole, panel.whole_until, warmup, bound, profiles)
        date_of = np.searchsorted(market.days_D, panel.dates)
    else:
        market, date_of = _market(panel, bounded)
    return Returns(
        unit_M=unit,
        scaled_R=scaled,
        limit_R=limit,
        bounded_R=bounded,
        market_D=market.mean_D,
        dispersion_D=market.dispersion_D,
        date_of_R=date_of,
        even_R=even_R,
    )


def _market(panel: Panel, bounded_R: Floats) -> tuple[Market, Ints]:
    """The market of a panel that is one, and the date (R,) of each row."""
    days, date_of = np.unique(panel.dates, return_inverse=True)
    has = np.ones(len(bounded_R))
    has[panel.segments] = 0.0
    count = np.maximum(np.bincount(date_of, has, len(days)), 1.0)
    market = Market(
        days_D=days,
        mean_D=np.bincount(date_of, bounded_R * has, len(days)) / count,
        dispersion_D=np.bincount(date_of, bounded_R**2 * has, len(days)) / count,
    )
    return market, date_of


def _scaled(panel: Panel, warmup: int, even_R: Floats | float) -> tuple[Floats, Floats]:
    """Early standard deviations (M,) and returns in units of them (R,)."""
    raw = np.diff(panel.log_price, prepend=panel.log_price[:1]) / even_R
    raw[panel.segments] = 0.0
    unit = np.empty(len(panel.tickers))
    for m, (a, b) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        early = raw[a + 1 : min(b, a + warmup)]
        unit[m] = np.sqrt(np.mean(early**2)) if len(early) else 0.0
        if unit[m] < 1e-8:  # never moved while young: take the least a price can show
            unit[m] = 1e-6
    return unit, raw / unit[panel.ticker_of]


def _bounded(panel: Panel, scaled_R: Floats, bound: float | None) -> tuple[Floats, Floats]:
    """Limits (R,) of `bound` standard deviations, known by the mean absolute return before a bar, and returns in them.

    Source: bounded innovations in a variance filter, Muler and Yohai, J. Stat. Planning and Inference 138 (2008).
    """
    limit = np.full(len(scaled_R), np.inf)
    if bound is not None:
        for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True):
            size = PER_RETURN * ewma(np.abs(scaled_R[a:b]), BOUND_ALPHA)
            limit[a], limit[a + 1 : b] = size[0], size[:-1]
        limit = bound * np.maximum(limit, np.sqrt(VARIANCE_FLOOR))
    return limit, np.clip(scaled_R, -limit, limit)


def ewma(values: Floats, alpha: float) -> Floats:
    """One-pole filter, seeded with the mean of the first bars: e_t = (1 - alpha) e_{t-1} + alpha x_t."""
    seed = values[:SEED_BARS].mean()
    filtered, _ = lfilter([alpha], [1.0, alpha - 1.0], values, zi=[(1.0 - alpha) * seed])
    return np.asarray(filtered)


def _expanding_mean(values: Floats) -> Floats:
    return np.cumsum(values) / np.arange(1, len(values) + 1)


class Asked(NamedTuple):
    """Rows of one ticker: its number, its bars among the panel's, and which of these are asked for."""

    m: int
    bars: slice
    at: slice | Ints


def _asked_of_each(panel: Panel, asked: Ints | None) -> Iterator[Asked]:
    """The tickers that have a row asked for; filters run over all of their bars. `asked` increases; None is all."""
    for m, (a, b) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        if asked is None:
            yield Asked(m, slice(a, b), slice(None))
            continue
        mine: Ints = asked[np.searchsorted(asked, a) : np.searchsorted(asked, b)] - a
        if len(mine):
            yield Asked(m, slice(a, b), mine)


def bank_members(panel: Panel, returns: Returns, *, market: bool, ranges: bool, asked: Ints | None = None) -> Floats:
    """The filter bank (R, K): daily variance estimates in scaled units; K is 16, +8 with the market's, +4 with ranges.

    Of the rows `asked` alone where they are given, increasing; a row's values are the same bits either way.

    Source: learned mixtures of exponential filters in the spirit of RiskMetrics (1996) and of HAR (Corsi 2009), with
    leverage (GJR 1993) and absolute-return members, all of bounded returns, and range volatility.
    """
    slow_market, slow_dispersion, common, dispersed = _market_members(returns)
    columns = []
    for m, bars, at in _asked_of_each(panel, asked):
        r = returns.bounded_R[bars]
        square, absolute, fall = r**2, np.abs(r), np.where(r < 0, r**2, 0.0)
        own = [ewma(square, alpha)[at] for alpha in SQUARE]
        own += [1.7 * ewma(absolute, alpha)[at] ** 2 for alpha in ABSOLUTE]
        own += [2.0 * ewma(fall, alpha)[at] for alpha in LEVERAGE]
        own.append(_expanding_mean(square)[at])
        if market:
            on = returns.date_of_R[bars][at]
            slow = ewma(square, SLOW)[at]
            beta = np.clip(slow / np.maximum(slow_market[on], VARIANCE_FLOOR), 0.2, 50.0)
            relative = slow / np.maximum(slow_dispersion[on], VARIANCE_FLOOR)
            own += [beta * series[on] for series in common]
            own += [relative * series[on] for series in dispersed]
        if ranges:
            unit_T = returns.unit_M[m] * returns.even_of(bars)
            measured = _measured(panel.histories[m], r, unit_T, returns.limit_R[bars])
            own += [ewma(measured, alpha)[at] ** 2 for alpha in RANGE]
        columns.append(np.stack(own, axis=1))
    members_RK: Floats = np.maximum(np.concatenate(columns), VARIANCE_FLOOR)
    return members_RK


def _measured(history: PriceHistory, bounded_T: Floats, unit: Floats | float, limit_T: Floats) -> Floats:
    """Range volatility (T,) at the level of the absolute returns so far, or the absolute return of a bar without range.

    Prices move in steps and unseen between trades, so that a range is too small or too large by a factor of its ticker.
    """
    absolute = PER_RETURN * np.abs(bounded_T)
    ranged = np.concatenate([[np.nan], range_volatility(history)]) / unit
    known = np.isfinite(ranged)
    ranged = np.minimum(np.where(known, ranged, 0.0), limit_T)
    level, own = ewma(np.where(known, absolute, 0.0), SLOW), ewma(ranged, SLOW)
    known &= own > 0
    scaled = np.minimum(ranged * level / np.where(known, own, 1.0), limit_T)
    return np.where(known, scaled, absolute)


def _market_members(returns: Returns) -> tuple[Floats, Floats, list[Floats], list[Floats]]:
    square = returns.market_D**2
    fall = np.where(returns.market_D < 0, square, 0.0)
    common = [ewma(square, alpha) for alpha in MARKET] + [2.0 * ewma(fall, alpha) for alpha in MARKET_LEVERAGE]
    dispersed = [ewma(returns.dispersion_D, alpha) for alpha in DISPERSION]
    return ewma(square, SLOW), ewma(returns.dispersion_D, SLOW), common, dispersed


def _signed_log(values: Floats) -> Floats:
    return np.sign(values) * np.log1p(np.abs(values))


def has_ranges(panel: Panel) -> bool:
    """Whether any ticker of the panel's market has open, high, low and close."""
    market, day = panel.whole or panel, panel.whole_until
    return any(set(PRICES) <= set(h.bars) for h in market.histories if day is None or h.dates[1] <= day)


def network_inputs(
    panel: Panel,
    returns: Returns,
    step_sd_A: Floats,
    path_sd_A: Floats,
    *,
    horizon: int,
    market: bool,
    ranges: bool,
    asked: Ints | None = None,
) -> Floats:
    """The inputs (A, F) of a network, none of them a level: F is 5, +1 with the market, +3 with ranges.

    `step_sd_A` and `path_sd_A` are the anchor's standard deviations for 1 and for `horizon` bars, scaled units, the
    daily profile left out. Of the rows `asked` alone where they are given, increasing; the same bits either way.
    """
    inputs: list[Floats] = []
    each, rows = list(_asked_of_each(panel, asked)), slice(None) if asked is None else asked
    squares = [(returns.scaled_R[bars] ** 2, at) for _, bars, at in each]
    own_fast, own_slow = (np.concatenate([ewma(x, alpha)[at] for x, at in squares]) for alpha in (0.15, 0.006))
    shock = returns.scaled_R[rows] / step_sd_A
    floor = np.sqrt(VARIANCE_FLOOR)
    inputs.append(np.clip(_signed_log(shock), -8, 8))
    inputs.append(np.clip(np.log1p(np.abs(shock)), 0, 8))
    inputs.append(np.log(np.maximum(np.sqrt(own_fast), floor) / step_sd_A))
    inputs.append(np.log(np.maximum(np.sqrt(own_slow), floor) / step_sd_A))
    inputs.append(np.log(path_sd_A / step_sd_A) - 0.5 * np.log(horizon))
    if market:
        on = returns.date_of_R[rows]
        slow = np.sqrt(np.maximum(ewma(returns.market_D**2, 0.006)[on], VARIANCE_FLOOR))
        inputs.append(_signed_log(returns.market_D[on] / slow))
    if ranges:
        sd_A = step_sd_A * returns.unit_M[panel.ticker_of[rows]] * returns.even_of(rows)
        inputs += _range_inputs(panel, each, sd_A)
    return np.stack(inputs, axis=1)


def _range_inputs(panel: Panel, each: Sequence[Asked], sd_A: Floats) -> list[Floats]:
    """Parkinson (1980) range, overnight gap and volume surprise; whatever a bar lacks reads zero, and that alone.

    `sd_A` are the deviations of the next log return.
    """
    histories = [(panel.histories[m], at) for m, _, at in each]
    bar_moves = [(moves(h), at) for h, at in histories]
    parkinson = np.concatenate([move.span_T[at] for move, at in bar_moves]) / np.sqrt(4 * np.log(2))
    spread = np.log(np.maximum(parkinson, 1e-3 * sd_A) / sd_A)
    gap = _signed_log(np.concatenate([move.gap_T[at] for move, at in bar_moves]) / sd_A)
    surprise = np.concatenate([_volume_surprise(h)[at] for h, at in histories])
    return [np.clip(np.nan_to_num(x, nan=0.0), -4, 4) for x in (spread, gap, surprise)]


def _volume_surprise(history: PriceHistory) -> Floats:
    """Log volume (T,) less its mean over past bars that have one, NaN where a bar has none."""
    volume = history.bars.get("volume", np.full(len(history), np.nan))
    known = np.isfinite(volume) & (volume > 0)
    traded = np.log(np.where(known, volume, 1.0))
    seen = ewma(known.astype(float), VOLUME_ALPHA)
    usual = ewma(traded, VOLUME_ALPHA) / np.where(seen > 0, seen, 1.0)
    return np.where(known, traded - usual, np.nan)
