"""Revisions: what a source's new answer changes in stored bars, and why.

Bars are stored as traded, so that neither a new split nor a new dividend rewrites them: both change only the adjusted
close of the bars before. Whatever else differs is a revision by the vendor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import BadPricesError, first_of
from s2squant.prices.calendars.exchanges import is_among
from s2squant.prices.store.bars import COLUMNS, GIVEN, Bars, day_of

Reason = Literal["dividend", "split", "vendor revision", "late session", "earlier history"]

SAME = 1e-6
"""Relative difference below which two prices are the same: vendors keep them as 32-bit floats."""
MOVED = 0.02
"""A common factor further from 1 than this is a change of unit or of basis, not a correction."""
LISTED = 10


@dataclass(frozen=True)
class Change:
    """One reason why a stored history is no longer what it was."""

    reason: Reason
    first: str
    """First and last day that changed: of the adjusted close for events, of the bars themselves otherwise."""
    last: str
    rows: int
    what: str
    """For people: the event, or the columns and days."""

    def rewrites(self, last: str) -> bool:
        """Whether a return between stored bars until the day `last` may change: events of newer bars change none."""
        match self.reason:
            case "split" | "dividend":
                return self.last < last
            case "vendor revision":
                return not {"close", GIVEN}.isdisjoint(self.what.partition(" of ")[0].split(", "))
            case "late session":
                return True
        return False


@dataclass(frozen=True)
class Revision:
    """The stored bars and the new ones merged."""

    bars: Bars
    added: int
    """Bars after the last stored one."""
    changes: tuple[Change, ...]
    reaches_back: bool
    """Whether the answer differs from the stored bars so early that more may differ before its first bar."""
    withheld: int
    """Stored bars that the answer no longer holds; they stay."""

    @property
    def changed(self) -> int:
        """How many stored bars changed, in themselves or in their adjusted close."""
        return max((change.rows for change in self.changes), default=0)


def revise(ticker: str, stored: Bars, new: Bars, *, accept: bool = False) -> Revision:
    """Compare where both have bars, take the new values, keep what only one of them has.

    Raises BadPricesError where many bars moved by one common factor: a lost split adjustment, pence for pounds.
    """
    since = int(np.searchsorted(stored.times, new.times[0]))  # what is older than the answer stays as it is
    older, stored_tail = stored.where(slice(since)), stored.where(slice(since, None))
    times = np.union1d(stored_tail.times, new.times)
    in_stored, in_new = is_among(times, stored_tail.times), is_among(times, new.times)
    merged: dict[str, NDArray[np.float64]] = {}
    differs: dict[str, NDArray[np.bool_]] = {}
    for name in COLUMNS:
        old, fresh = np.full(len(times), np.nan), np.full(len(times), np.nan)
        old[in_stored], fresh[in_new] = stored_tail.columns[name], new.columns[name]
        differs[name] = in_stored & in_new & _differ(old, fresh)
        merged[name] = np.where(in_new & (differs[name] | ~in_stored), fresh, old)
    last = stored.times[-1]
    raw = np.logical_or.reduce([differs[name] for name in COLUMNS if name not in ("dividends", "splits")])
    old_close = np.full(len(times), np.nan)
    old_close[in_stored] = stored_tail.close
    if not accept:
        _refuse_common_factor(ticker, times[raw], merged["close"][raw] / old_close[raw])
    fresh_rows = in_new & ~in_stored
    late, early = fresh_rows & (times < last) & (times > stored.times[0]), fresh_rows & (times < stored.times[0])
    splits = differs["splits"] | (fresh_rows & _some(merged["splits"]))
    dividends = differs["dividends"] | (fresh_rows & _some(merged["dividends"]))
    revised = [name for name in COLUMNS if differs[name].any() and name not in ("dividends", "splits")]
    changes = [
        *_events("split", times, merged["splits"], splits & (times <= last), stored),
        *_events("split", times, merged["splits"], splits & (times > last), stored),
        *_events("dividend", times, merged["dividends"], dividends & (times <= last), stored),
        *_events("dividend", times, merged["dividends"], dividends & (times > last), stored),
        *_rows("vendor revision", times, raw, revised),
        *_rows("late session", times, late, []),
        *_rows("earlier history", times, early, []),
    ]
    shared = np.flatnonzero(in_stored & in_new)
    odd = raw | differs["dividends"] | differs["splits"] | late
    early_half = times[shared[len(shared) // 2]] if len(shared) else last
    columns = {name: np.concatenate([older.columns[name], merged[name]]) for name in COLUMNS}
    return Revision(
        bars=Bars(np.concatenate([older.times, times]), columns),
        added=int((fresh_rows & (times > last)).sum()),
        changes=tuple(changes),
        reaches_back=bool((odd & (times <= early_half)).any() and new.times[0] > stored.times[0]),
        withheld=int((in_stored & ~in_new & (times >= new.times[0])).sum()),
    )


def _differ(old: NDArray[Any], fresh: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        close = np.abs(old - fresh) <= SAME * np.maximum(np.abs(old), np.abs(fresh))
    return np.asarray(~(close | (np.isnan(old) & np.isnan(fresh))))


def _some(events: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(events) & (events != 0))


def _refuse_common_factor(ticker: str, days: NDArray[Any], ratio: NDArray[Any]) -> None:
    if len(ratio) < 3 or not np.isfinite(ratio).all() or (ratio <= 0).any():
        return
    middle = float(np.median(ratio))
    if abs(middle - 1) < MOVED or np.abs(ratio / middle - 1).max() > 1e-3:
        return
    factor = f"{middle:.4g}" if middle > 1 else f"1/{1 / middle:.4g}"
    raise BadPricesError(
        ticker,
        f"{len(ratio)} stored closes from {day_of(days[0])} to {day_of(days[-1])} now come {factor} times as large, "
        "and no split says so (another unit, or a split not applied); nothing was stored; try tomorrow, or accept with "
        "--anew",
    )


def _events(
    reason: Literal["dividend", "split"], times: NDArray[Any], events: NDArray[Any], new: NDArray[Any], stored: Bars
) -> list[Change]:
    """One change for all events of a kind; they alter the adjusted close of every stored bar before the latest.

    Late ones, of bars stored already, are a change of their own.
    """
    days = np.flatnonzero(new)
    before = stored.times[stored.times < times[days[-1]]] if len(days) else stored.times[:0]
    if len(before) == 0:
        return []
    listed = ", ".join(f"{events[i]:.6g} on {day_of(times[i])}" for i in days[-LISTED:])
    more = f" and {len(days) - LISTED} earlier" if len(days) > LISTED else ""
    return [Change(reason, day_of(before[0]), day_of(before[-1]), len(before), listed + more)]


def _rows(reason: Reason, times: NDArray[Any], chosen: NDArray[Any], names: list[str]) -> list[Change]:
    days = times[chosen]
    if len(days) == 0:
        return []
    listed = first_of([day_of(day) for day in days], LISTED)
    what = f"{', '.join(names)} of {listed}" if names else listed
    return [Change(reason, day_of(days[0]), day_of(days[-1]), len(days), what)]
