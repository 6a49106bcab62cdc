"""Evidence on one large move: whether the market made it, or a fault of the data did.

Two hypotheses, and the logarithm of how much likelier the second makes what is seen (a naive Bayes classifier):

- a real move is a draw of a Student t of 3 degrees of freedom on the ticker's own scale, however wild the days around
  make it, or a failure of any size; it comes with heavy volume, a wide range and a move within the day, and leaves the
  count of shares as it was;
- a fault is a split n:m (n, m up to 100, the simpler the likelier: weight 1 / nm), a factor of 100, or a break of any
  size; it happens overnight, on an ordinary day, and the volume is either as before or multiplied like the shares.

What is not known (volume, open, days after) says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, gcd, log, pi, sqrt

import numpy as np

from s2squant.prices.calendars.guess import is_currency
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

PRIOR = -4.8
"""Log odds of a fault before anything is seen, set so that the closes alone of 20 US stocks to 2015 raise no alarm."""
AROUND = 20
"""Bars on either side that tell what is usual."""
FEW = 5
UNIT = log(100)
UNIT_TOLERANCE = 0.05
UNIT_SHARE, BREAK_SHARE = 0.05, 0.15
"""Shares of the faults that are a factor of 100, and a break of any size up to e^14 either way."""
NAMED = 0.2
"""Share of the fault's likelihood from which one ratio gives it its name."""
FAILURE = 1e-4
"""Density of a real move of any size, per unit of log price: companies fail, and trials succeed."""
FAR = log(3)
"""Log gain beyond which a real one gets rarer by its square."""
_FARTHEST = 4.0
"""Deviations beyond which a volume or a range says no more."""
_PAIRS = [(n, m) for n in range(1, 101) for m in range(1, 101) if n != m and gcd(n, m) == 1]
_PAIRS.sort(key=lambda pair: pair[1] / pair[0])
_LOGS = np.array([log(m / n) for n, m in _PAIRS])
_WEIGHTS = np.array([1 / (n * m) for n, m in _PAIRS])
_WEIGHTS *= (1 - UNIT_SHARE - BREAK_SHARE) / _WEIGHTS.sum()


@dataclass(frozen=True)
class Jump:
    """One large move and what speaks for a fault."""

    bar: int
    """The bar that it ends on."""
    size: float
    """Log return."""
    deviations: float
    """Its size on the scale of the ticker and of the days around."""
    odds: float
    """Log odds of a fault; above 0 it is likelier than not."""
    ratio: str
    """The split n:m that it is most likely to be, "100x" for a wrong unit; empty where none stands out."""
    reason: str
    """What was seen, in one clause."""


def figure(value: float) -> str:
    """A ratio for people: two digits below ten, whole from there on."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def weigh(history: PriceHistory, size: float, bar: int, deviation: float, *, reverts: bool) -> Jump:
    """The evidence on the return to a bar; `deviation` is `local_scale`'s, `reverts` whether another takes it back."""
    seen = [f"{figure(abs(size) / deviation)} deviations of its own"]
    night, within = _parts(history, size, bar)
    spread = 0.6 * deviation if within is not None else deviation
    fault, ratio = _fault(night, sqrt(spread**2 + _rounding(history, bar) ** 2), splits=has_shares(history))
    odds = PRIOR + fault - log(max(_t3(size, deviation), FAILURE * exp(-2 * max(0.0, size - FAR))))
    if within is not None:
        odds += log(_t3(within, 0.8 * deviation) / _t3(within, 0.8 * deviation + 0.15 * abs(size)))
        seen.append(f"{np.expm1(night):+.1%} overnight")
    odds += _range(history, bar, seen) + _volume(history, bar, -night, seen)
    if reverts and abs(size) > 8 * deviation:
        odds += 3
        seen.append("taken back later")
    return Jump(bar, size, abs(size) / deviation, odds, ratio, ", ".join(seen))


def has_shares(history: PriceHistory) -> bool:
    """Whether it may be split: no currency, coin, future or index, by its declared class or its name."""
    if history.declared_class is not None:
        return history.declared_class == "stocks"
    name = history.ticker.upper()
    money = history.calendar in ("24/5", "24/7", "ECB") and ("-" in name or "=" in name or is_currency(name))
    return not (money or name.startswith("^") or name.endswith(("=F", "=X")))


def local_scale(returns: Floats, i: int, scale: float) -> float:
    """Deviation of the returns that a move is measured by: the ticker's own, or that of the days around if larger."""
    before, after = returns[max(0, i - AROUND) : i], returns[i + 1 : i + 1 + AROUND]
    sizes = [scale, 1e-4]
    sizes += [1.4826 * median(np.abs(part)) for part in map(_known, (before, after)) if len(part) >= FEW]
    for near in (_known(returns[max(0, i - FEW) : i]), _known(returns[i + 1 : i + 1 + FEW])):
        if len(near):
            others = near[np.abs(near + returns[i]) > 0.25 * abs(returns[i])]  # what takes it back is the same fault
            sizes.append(sqrt(float(others @ others) / max(1, len(others))))
    return max(sizes)


def volume_of(history: PriceHistory, bar: int) -> tuple[float | None, float | None]:
    """The volume of a bar and the median of the 20 after it, in medians of the 20 before; None where not known."""
    volume = history.bars.get("volume")
    if volume is None or not np.isfinite(volume[bar]):
        return None, None
    before, after = (_known(part) for part in (volume[max(0, bar - AROUND) : bar], volume[bar + 1 : bar + 1 + AROUND]))
    usual = median(before[before > 0]) if (before > 0).any() else 0.0
    if usual == 0:
        return None, None
    later = median(after) / usual if len(after) >= FEW else None
    return float(volume[bar]) / usual, later


def _parts(history: PriceHistory, size: float, bar: int) -> tuple[float, float | None]:
    """The overnight part of a move and that within the day; the whole and None where the open is not known."""
    if not {"open", "close"} <= set(history.bars):
        return size, None
    opened, close = history.bars["open"][bar], history.bars["close"][bar]
    if not (opened > 0 and close > 0):
        return size, None
    within = log(close / opened)
    return size - within, within


def _rounding(history: PriceHistory, bar: int) -> float:
    """Log size of half a cent where prices are whole cents, at least a thousandth."""
    two = history.adj_close[bar - 1 : bar + 1]
    cents = bool((np.abs(two - np.round(two, 2)) < 1e-9).all() and two.min() > 0.009)
    return max(1e-3, 0.005 / float(two.min())) if cents else 1e-3


def _fault(size: float, spread: float, *, splits: bool) -> tuple[float, str]:
    """Log density of a move among faults, and the name of the one that stands out."""
    first, last = np.searchsorted(_LOGS, [size - 5 * spread, size + 5 * spread])
    near = slice(first, max(last, first + 1))
    each = _WEIGHTS[near] * np.exp(-0.5 * ((size - _LOGS[near]) / spread) ** 2) / (spread * sqrt(2 * pi))
    unit = UNIT_SHARE / 2 * exp(-0.5 * ((abs(size) - UNIT) / max(spread, UNIT_TOLERANCE)) ** 2)
    unit /= max(spread, UNIT_TOLERANCE) * sqrt(2 * pi)
    total = splits * float(each.sum()) + unit + BREAK_SHARE / 28
    if unit > NAMED * total:
        return log(total), "100x"
    if not splits or len(each) == 0 or each.max() <= NAMED * total:
        return log(total), ""
    n, m = _PAIRS[first + int(each.argmax())]
    return log(total), f"{n}:{m}"


def _range(history: PriceHistory, bar: int, seen: list[str]) -> float:
    """Log likelihood ratio of the day's range: faults leave it as it was, news widen it."""
    if not {"high", "low"} <= set(history.bars):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.log(history.bars["high"] / history.bars["low"])[max(0, bar - AROUND) : bar + 1]
    before = _known(ranges[:-1])
    if len(before) < FEW or not (usual := median(before)) > 0 or not ranges[-1] > 0:
        return 0.0
    wider = log(ranges[-1] / usual)
    seen.append(f"a range of {exp(wider):.1f} times the usual")
    return _normal(wider, 0.1, 0.5) - _normal(min(wider, 0.9), 0.9, 0.7)


def _volume(history: PriceHistory, bar: int, shares: float, seen: list[str]) -> float:
    """Log likelihood ratio of the volume of the day and after, `shares` the log of new shares an old one."""
    day, after = volume_of(history, bar)
    if day is None:
        return 0.0
    busy = log(max(day, 0.01))
    seen.append(f"{figure(day)} times the usual volume")
    real, faults = _normal(min(busy, 1.6), 1.6, 0.6), [_normal(busy, change, 0.5) for change in (0.0, shares)]
    if after is not None:
        later = log(max(after, 0.01))
        seen.append(f"{figure(after)} times ever after")
        real += _normal(later, 0.2, 0.45 if later < 0.2 else 0.9)
        faults = [f + _normal(later, change, 0.45) for f, change in zip(faults, (0.0, shares), strict=True)]
    return max(faults) - real


def _normal(value: float, mean: float, deviation: float) -> float:
    """Log density of a normal whose tails end where they say no more."""
    return -0.5 * min(abs(value - mean) / deviation, _FARTHEST) ** 2 - log(deviation)


def _t3(size: float, scale: float) -> float:
    """Density of Student's t of 3 degrees of freedom."""
    return 6 * sqrt(3) / (pi * scale * (3 + (size / scale) ** 2) ** 2)


def median(values: Floats) -> float:
    """Median of a short array, a tenth of the time that numpy's takes."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half] if len(values) % 2 else 0.5 * (ordered[half - 1] + ordered[half]))


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]
