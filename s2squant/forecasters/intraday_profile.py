"""The daily profile of returns: their standard deviation at each slot and weekday, relative to that of all bars.

A fit learns it from the bars that it sees: of an asset class from all its tickers, moment by moment, and of a ticker
where it differs from its class by more than chance. Returns are divided by it before a filter reads them, and a
forecast's variances are multiplied by it, slot by slot ahead. A panel of daily bars has none.

Shape legend: R rows, M tickers, K kinds (slots, and the return over a night), N origins, H steps ahead, T returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from scipy.signal import lfilter

from s2squant.config.asset_classes import AssetClass
from s2squant.forecasters.profile_fit import LARGEST, fitted_profile
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.forecast import State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.slots import Places

SEED_BARS = 20
FASTEST = 0.06
"""Speed of the level that sizes of returns are divided by; slower where a session has many bars."""
FEWEST_RETURNS = 100
"""Below so many returns a ticker, or a class, says nothing of its profile."""
TURNS = 3
"""A profile and the levels that it is measured against are found in so many turns."""


@dataclass(frozen=True)
class Profiles:
    """Standard deviations (K, 7) relative to all bars, by kind and weekday, of each ticker of a fit and each class."""

    by_ticker: Mapping[str, Floats]
    by_class: Mapping[str, Floats]

    def of(self, panel: Panel) -> Floats:
        """Of each ticker of the panel, (M, K, 7); one that was not fitted has its class's, or none."""
        flat_K7 = np.ones_like(next(iter(self.by_class.values())))
        return np.stack(
            [self.by_ticker.get(h.ticker, self.by_class.get(h.asset_class, flat_K7)) for h in panel.histories]
        )

    def sd(self, panel: Panel) -> Floats:
        """Relative standard deviation (R,) of each row's return."""
        slots = panel.slots
        if slots is None:
            raise ValueError("the model was fitted on bars within the day, and these prices have none")
        return self._at(panel, slots.count, slots.bars, panel.ticker_of)

    def ahead(self, panel: Panel, rows: Ints, horizon: int) -> Floats:
        """Relative standard deviation (N, H) of each of the next returns."""
        slots = panel.slots
        assert slots is not None, "asked after `sd`"
        return self._at(panel, slots.count, slots.ahead(rows, horizon), panel.ticker_of[rows][:, None])

    def clock(self, panel: Panel, rows: Ints, horizon: int) -> Floats:
        """Variance (N, H) up to each step, in that of a mean bar."""
        return np.asarray(np.cumsum(self.ahead(panel, rows, horizon) ** 2, axis=1))

    def _at(self, panel: Panel, count: int, places: Places, owner: Ints) -> Floats:
        each_MK7 = self.of(panel)
        if each_MK7.shape[1] != count + 1:
            raise ValueError(f"the model was fitted on sessions of {each_MK7.shape[1] - 1} bars, these have {count}")
        at: Floats = each_MK7[owner, kinds_of(places, count), places.weekday]
        return at

    @cached_property
    def key(self) -> bytes:
        """Equal profiles, equal key."""
        names = [*self.by_ticker, *self.by_class]
        return repr(names).encode() + b"".join(x.tobytes() for x in (*self.by_ticker.values(), *self.by_class.values()))

    def state(self) -> State:
        """Values in arrays, their names beside."""
        parts = {"ticker": self.by_ticker, "class": self.by_class}
        arrays = {f"profile/{kind}": np.stack(list(of.values())) for kind, of in parts.items()}
        return State(arrays, {f"profile/{kind}": list(of) for kind, of in parts.items()})

    @classmethod
    def restored(cls, state: State) -> Profiles | None:
        """The profiles within a stored state; None where it has none."""
        if "profile/ticker" not in state.arrays:
            return None
        ticker, group = (
            dict(zip(state.meta[f"profile/{kind}"], state.arrays[f"profile/{kind}"], strict=True))
            for kind in ("ticker", "class")
        )
        return cls(ticker, group)


def kinds_of(places: Places, count: int) -> Ints:
    """The kind of each return: its slot, or `count` where it spans a night."""
    return np.where(places.first, count, places.slot)


_KNOWN: WeakKeyDictionary[Panel, dict[np.datetime64 | None, Profiles | None]] = WeakKeyDictionary()
"""Profiles of whole markets, for as long as their panels live."""


def profiles_of(panel: Panel) -> Profiles | None:
    """The profiles as of a panel's last bar, from all tickers of its market; None for bars of a day or longer."""
    whole = panel.whole or panel
    known, until = _KNOWN.setdefault(whole, {}), panel.whole_until if panel.whole else None
    if until not in known:
        then = whole if until is None else whole.until(until)
        known[until] = None if then.slots is None else _fitted(then, then.slots.count)
    return known[until]


def _fitted(panel: Panel, count: int) -> Profiles:
    classes: dict[AssetClass, list[PriceHistory]] = {}
    for history in panel.histories:
        classes.setdefault(history.asset_class, []).append(history)
    by_ticker: dict[str, Floats] = {}
    by_class: dict[str, Floats] = {}
    for name, members in classes.items():
        flat_K7 = np.zeros((count + 1, 7))
        seen = [_Seen.of(h, count) for h in members]
        common_K7 = _turned(seen, flat_K7)
        by_class[name] = _relative(common_K7, seen)
        for history, own in zip(members, seen, strict=True):
            log_K7 = common_K7 if len(members) == 1 else _turned([own], common_K7)
            by_ticker[history.ticker] = _relative(log_K7, [own])
    return Profiles(by_ticker, by_class)


class _Seen(NamedTuple):
    """Absolute returns of a ticker, and their moments, kinds and weekdays; bars after a hole are left out."""

    moment_T: Dates
    absolute_T: Floats
    kind_T: Ints
    weekday_T: Ints
    slots: int
    """Of a full session."""

    @classmethod
    def of(cls, history: PriceHistory, count: int) -> _Seen:
        assert history.slots is not None, "its panel has them"
        known, bars = ~history.resumed_T[1:], history.slots.bars
        return cls(
            history.dates[1:][known],
            np.abs(history.log_returns[known]),
            kinds_of(bars, count)[1:][known],
            bars.weekday[1:][known],
            count,
        )

    def sizes(self, log_K7: Floats) -> Floats:
        """Absolute returns over the level of those before, the profile taken out of the level alone; NaN early on."""
        even_T = self.absolute_T / np.exp(log_K7[self.kind_T, self.weekday_T])
        if not even_T[:SEED_BARS].any():
            return np.full(len(even_T), np.nan)
        speed, seed = min(FASTEST, 0.5 / self.slots), even_T[:SEED_BARS].mean()
        level_T = lfilter([speed], [1.0, speed - 1.0], np.minimum(even_T, LARGEST * seed), zi=[(1 - speed) * seed])[0]
        size_T = np.full(len(even_T), np.nan)
        size_T[SEED_BARS:] = self.absolute_T[SEED_BARS:] / np.maximum(level_T[SEED_BARS - 1 : -1], 1e-12)
        return size_T


def _turned(seen: Sequence[_Seen], prior_K7: Floats) -> Floats:
    """Log profile of all tickers seen together, shrunk to `prior_K7`; a moment counts once."""
    log_K7 = prior_K7
    for _ in range(TURNS):
        size_N, kind_N, weekday_N, moment_N = (
            np.concatenate(x)
            for x in zip(*((s.sizes(log_K7), s.kind_T, s.weekday_T, s.moment_T) for s in seen), strict=True)
        )
        known = np.isfinite(size_N)
        if known.sum() < FEWEST_RETURNS:
            return prior_K7
        moments_2N = np.stack([moment_N[known].astype(np.int64), kind_N[known]])
        _, first, owner = np.unique(moments_2N, axis=1, return_index=True, return_inverse=True)
        mean = np.bincount(owner.ravel(), size_N[known]) / np.bincount(owner.ravel())
        log_K7 = fitted_profile(mean, kind_N[known][first], weekday_N[known][first], prior_K7)
        log_K7 = log_K7 - np.log(np.mean(np.exp(2 * log_K7[kind_N, weekday_N]))) / 2
    return log_K7


def _relative(log_K7: Floats, seen: Sequence[_Seen]) -> Floats:
    """Standard deviations whose mean square over the bars seen is 1."""
    at = np.concatenate([log_K7[s.kind_T, s.weekday_T] for s in seen])
    return np.exp(log_K7 - np.log(np.mean(np.exp(2 * at))) / 2 if len(at) else log_K7)
