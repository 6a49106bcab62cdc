"""What looks odd in a history. Notes for people; nothing is changed and nothing refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2squant.records import Floats, PriceHistory

STALE_BARS = 5
LARGE_RETURN = 0.40
GAP_DAYS = 10
SPLITS = (2, 3, 4, 5, 7, 8, 10, 15, 20)
SPLIT_TOLERANCE = 0.03
SHOWN = 5


def suspicious(history: PriceHistory) -> tuple[str, ...]:
    """One line for each kind of oddity, none for a clean history."""
    found = (
        _inconsistent(history),
        _stale(history),
        _no_volume(history),
        _large(history),
        _splits(history),
        _gaps(history),
    )
    return tuple(note for note in found if note)


def _inconsistent(history: PriceHistory) -> str:
    bars = history.bars
    if not {"open", "high", "low", "close"} <= set(bars):
        return ""
    slack = 1e-6 * bars["close"]
    over = np.fmax(bars["open"], bars["close"]) > bars["high"] + slack
    under = np.fmin(bars["open"], bars["close"]) < bars["low"] - slack
    bad = over | under
    return (
        f"{bad.sum()} bar(s) with open or close outside low..high, the first on {history.dates[bad][0]}"
        if bad.any()
        else ""
    )


def _stale(history: PriceHistory) -> str:
    """Runs of equal closes; a run of n bars holds n - 1 zero returns."""
    changes = np.flatnonzero(np.diff(history.adj_close) != 0) + 1
    edges = np.concatenate([[0], changes, [len(history)]])
    lengths = np.diff(edges)
    runs = lengths >= STALE_BARS
    if not runs.any():
        return ""
    longest = int(lengths.argmax())
    start = history.dates[edges[longest]]
    return f"{runs.sum()} run(s) of {STALE_BARS} or more equal closes, the longest {lengths[longest]} bars from {start}"


def _no_volume(history: PriceHistory) -> str:
    none = history.bars["volume"] == 0 if "volume" in history.bars else np.zeros(len(history), bool)
    return f"{none.sum()} bar(s) without volume, the first on {history.dates[none][0]}" if none.any() else ""


def _large(history: PriceHistory) -> str:
    returns = history.adj_close[1:] / history.adj_close[:-1] - 1
    large = np.flatnonzero(np.abs(returns) > LARGE_RETURN)
    return _listed(f"return(s) above {LARGE_RETURN:.0%}", [f"{history.dates[i + 1]} {returns[i]:+.1%}" for i in large])


def _splits(history: PriceHistory) -> str:
    """Overnight jumps by a whole factor that the adjusted close still shows, on a day of no extraordinary volume.

    A crash on news comes with many times the usual volume; a split only multiplies the number of shares.
    """
    bars = history.bars
    ratio = history.adj_close[1:] / history.adj_close[:-1]
    overnight = bars["open"][1:] / bars["close"][:-1] if {"open", "close"} <= set(bars) else ratio
    overnight = np.where(np.isfinite(overnight), overnight, ratio)
    lines = []
    for i in np.flatnonzero(np.abs(np.log(ratio)) > np.log(1.4)):
        factor = min(SPLITS, key=lambda n: abs(np.log(n) - abs(np.log(overnight[i]))))
        near = abs(abs(np.log(overnight[i])) - np.log(factor)) < SPLIT_TOLERANCE
        if near and not _busy(bars.get("volume"), int(i) + 1, factor if ratio[i] < 1 else 1):
            lines.append(f"{history.dates[i + 1]} {f'{factor}:1' if ratio[i] < 1 else f'1:{factor}'}")
    return _listed("suspected split(s) not adjusted for", lines)


def _busy(volume: Floats | None, bar: int, factor: int) -> bool:
    """Whether a bar's volume, counted in old shares, is above three times the median of the twenty bars before."""
    if volume is None or not np.isfinite(volume[bar]) or not np.isfinite(volume[max(0, bar - 20) : bar]).any():
        return False
    return bool(volume[bar] > 3 * factor * np.nanmedian(volume[max(0, bar - 20) : bar]))


def _gaps(history: PriceHistory) -> str:
    days = np.diff(history.dates).astype(int)
    wide = np.flatnonzero(days > GAP_DAYS)
    return _listed(f"gap(s) of more than {GAP_DAYS} days", [f"{history.dates[i]} {days[i]} days" for i in wide])


def _listed(what: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"{len(lines)} {what}: {', '.join(lines[:SHOWN])}{more}"
