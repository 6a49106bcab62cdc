"""What the checks of prices find, note and miss: sixty kinds of faults put into each of twenty stocks, and what really
happened, which is none.

    python benchmarks/price_checks.py [--stocks 20] [--closes] [--source csv:DIR --end 2015-12-31]

The stocks are invented (volatility that clusters, news with heavy volume, ten years), the same for the same number;
`--source` takes real ones instead. `--closes` takes everything but dates and closes away. A fault counts as found where
a finding that the clean stock has not is an error or a warning, as noted where it is a note.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from s2squant.config.experiment import Universe
from s2squant.errors import SEVERITIES, Finding
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.checks.every import check
from s2squant.prices.universe import load_universe
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

BARS = 2500
FIELDS = ("open", "high", "low", "close")
SPLITS = "2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:1 12:1 15:1 20:1 3:2 4:3 5:2 5:3 5:4 6:5 7:2 " + (
    "1:2 1:3 1:4 1:5 1:6 1:8 1:9 1:10 1:12 1:20 2:3 2:5 3:10"
)
REAL = {
    # the close and the open over the close before, times the usual volume, deviation of the days after over that before
    "AAPL 2000-09-29": (0.481, 0.527, 22, 2.0),
    "AIG 2008-09-15": (0.392, 0.586, 7, 4.0),
    "WaMu 2008-09-26": (0.095, 0.130, 6, 1.0),
    "NFLX 2013-01-24": (1.422, 1.370, 8, 1.3),
    "AMD 2016-04-22": (1.523, 1.150, 7, 1.5),
    "AGFS 2016-11-09": (0.320, 0.350, 30, 2.0),
    "FRC 2023-03-13": (0.382, 0.200, 12, 5.0),
    "a bank's failure": (0.0038, 0.020, 40, 3.0),
    "gone by 97 %": (0.030, 0.0302, 60, 1.0),
    "a trial that failed": (0.250, 0.260, 25, 1.5),
    "a takeover": (1.900, 1.880, 30, 0.3),
}


@dataclass(frozen=True)
class Stock:
    """A stock's bars as columns: dates, the adjusted close, raw bars and events, each (T,)."""

    history: PriceHistory

    def scaled(self, factor: Floats, *, volume: Floats | float = 1.0, raw: bool = True) -> PriceHistory:
        """Prices times a factor (T,), volumes times another; the raw bars only where `raw`."""
        h = self.history
        bars = dict(h.bars)
        if raw:
            bars |= {name: bars[name] * factor for name in FIELDS if name in bars}
        if "volume" in bars:
            bars["volume"] = bars["volume"] * volume
        return replace(h, adj_close=h.adj_close * factor, bars=bars)


def invented(seed: int, bars: int = BARS) -> PriceHistory:
    """A stock whose volatility clusters, with news about once a year: heavy volume then, and unrest after it."""
    rng = np.random.default_rng([16, seed])
    level = rng.uniform(0.009, 0.026)
    news = np.where(rng.random(bars) < 1 / 250, rng.choice([-1, 1], bars) * rng.uniform(4, 10, bars), 0.0)
    log_sd, shock = np.zeros(bars), np.zeros(bars)
    for t in range(1, bars):
        log_sd[t] = 0.97 * log_sd[t - 1] + 0.06 * rng.normal() + (0.25 if news[t - 1] else 0.0)
    sd = level * np.exp(log_sd)
    night = 0.5 * sd * rng.standard_t(5, bars) / np.sqrt(5 / 3) + 0.8 * level * news
    day = 0.8 * sd * rng.standard_t(6, bars) / np.sqrt(6 / 4) + 0.2 * level * news
    shock = night + day
    close = rng.uniform(15, 150) * np.exp(np.cumsum(shock))
    before = np.r_[close[0], close[:-1]]
    opened = before * np.exp(night)
    top = np.maximum(opened, close) * np.exp(0.35 * sd * np.abs(rng.normal(size=bars)))
    low = np.minimum(opened, close) * np.exp(-0.35 * sd * np.abs(rng.normal(size=bars)))
    busy = 0.35 * rng.normal(size=bars) + 0.25 * (np.abs(shock) / sd - 0.8)
    volume = np.round(1e6 * np.exp(np.clip(busy, -1.5, 2.5)))
    cents = {"open": opened, "high": top, "low": low, "close": close}
    return PriceHistory(
        ticker=f"INVENTED{seed}",
        calendar="XNYS",
        dates=next_sessions("XNYS", "2005-12-30", bars),
        adj_close=np.round(close, 3),
        bars={**{name: np.round(values, 3) for name, values in cents.items()}, "volume": volume},
    )


def kinds() -> dict[str, Callable[[Stock, int], PriceHistory]]:
    """The sixty kinds: a stock and the bar of the fault to the history that has it."""
    faults: dict[str, Callable[[Stock, int], PriceHistory]] = {}
    for ratio in SPLITS.split():
        faults[f"split {ratio}"] = split(ratio, share_count=True)
    for ratio in ("2:1", "6:1", "1:8", "1:20"):
        faults[f"split {ratio}, volume as before"] = split(ratio, share_count=False)
    for name, bars in (("1 bar", 1), ("5 bars", 5), ("60 bars", 60), ("good", BARS)):
        faults[f"100 times for {name}"] = partial(times, factor=100.0, bars=bars)
    faults["a hundredth for good"] = partial(times, factor=0.01)
    faults["level x1.3 for good"] = partial(times, factor=1.3)
    faults["demerger, -65 % on ordinary volume"] = partial(times, factor=0.35)
    faults["another company after a gap"] = another
    for name, factor in (("+20 %", 1.2), ("-20 %", 0.8), ("+86 %", 1.86), ("x4", 4.0)):
        faults[f"spike {name} of the close"] = partial(spike, factor=factor)
    faults["jump on zero volume"] = idle
    faults["60 bars copied"] = copied
    faults["15 equal closes"] = lambda s, t: flat(s, slice(t, t + 15), quiet=False)
    faults["placeholder before listing"] = lambda s, _: flat(s, slice(0, 30), quiet=True)
    faults["placeholder after the end"] = lambda s, _: flat(s, slice(-30, None), quiet=True)
    faults["holidays filled"] = filled
    faults["a month without bars"] = lambda s, t: without(s, np.arange(t, t + 22))
    faults["a factor of 2 without a cause"] = lambda s, t: s.scaled(span(s, t, BARS, 2.0), raw=False)
    faults["a factor that falls by 6 %"] = lambda s, t: s.scaled(span(s, t, BARS, 0.94), raw=False)
    faults["a dividend never adjusted for"] = lambda s, t: dividend(s, t, 0.04, times=0)
    faults["a dividend counted twice"] = lambda s, t: dividend(s, t, 0.04, times=2)
    faults["a dividend above the close"] = lambda s, t: dividend(s, t, 1.5, times=0)
    return faults


def split(ratio: str, *, share_count: bool) -> Callable[[Stock, int], PriceHistory]:
    """Raw prices before a split; the volume as the count of shares has it, or left as it was."""
    new, old = map(int, ratio.split(":"))
    factor = new / old

    def fault(stock: Stock, bar: int) -> PriceHistory:
        before = np.arange(len(stock.history)) < bar
        return stock.scaled(np.where(before, factor, 1.0), volume=np.where(before & share_count, 1 / factor, 1.0))

    return fault


def times(stock: Stock, bar: int, factor: float, bars: int = BARS) -> PriceHistory:
    """Prices times a factor from a bar on, for so many bars."""
    return stock.scaled(span(stock, bar, bars, factor))


def span(stock: Stock, bar: int, bars: int, factor: float) -> Floats:
    """The factor from a bar on, for so many bars; 1 elsewhere."""
    t = np.arange(len(stock.history))
    return np.where((t >= bar) & (t < bar + bars), factor, 1.0)


def spike(stock: Stock, bar: int, factor: float) -> PriceHistory:
    h = stock.history
    bars = {name: np.array(values) for name, values in h.bars.items()}
    for name in {"high", "close"} & set(bars) if factor > 1 else {"low", "close"} & set(bars):
        bars[name][bar] = h.bars["close"][bar] * factor
    return replace(h, adj_close=h.adj_close * span(stock, bar, 1, factor), bars=bars)


def another(stock: Stock, bar: int) -> PriceHistory:
    h = stock.scaled(span(stock, bar, BARS, 5.0))
    return replace(h, dates=np.where(np.arange(len(h)) < bar, h.dates - np.timedelta64(300, "D"), h.dates))


def idle(stock: Stock, bar: int) -> PriceHistory:
    h = stock.scaled(span(stock, bar, BARS, 1.1))
    volume = np.array(h.bars["volume"]) if "volume" in h.bars else None
    if volume is None:
        return h
    volume[bar] = 0
    return replace(h, bars={**h.bars, "volume": volume})


def copied(stock: Stock, bar: int) -> PriceHistory:
    h = stock.history
    source = np.arange(len(h))
    source[bar : bar + 60] -= 60
    return replace(h, adj_close=h.adj_close[source], bars={name: values[source] for name, values in h.bars.items()})


def flat(stock: Stock, where: slice, *, quiet: bool) -> PriceHistory:
    h = stock.history
    close, bars = np.array(h.adj_close), {name: np.array(values) for name, values in h.bars.items()}
    close[where] = close[where][0]
    for name in bars:
        bars[name][where] = close[where][0] if name != "volume" else 0 if quiet else bars[name][where]
    return replace(h, adj_close=close, bars=bars)


def filled(stock: Stock, _bar: int) -> PriceHistory:
    """Every weekday on which the exchange was closed, with the last close and no volume."""
    h = stock.history
    weekdays = np.arange(h.dates[0], h.dates[-1] + 1)
    weekdays = weekdays[np.is_busday(weekdays)]
    last = np.searchsorted(h.dates, weekdays, side="right") - 1
    closed = ~np.isin(weekdays, h.dates)
    bars = {name: values[last] for name, values in h.bars.items()}
    bars |= {name: np.where(closed, h.bars["close"][last], values) for name, values in bars.items() if name in FIELDS}
    bars |= {name: np.where(closed, 0.0, values) for name, values in bars.items() if name == "volume"}
    return replace(h, dates=weekdays, adj_close=h.adj_close[last], bars=bars)


def without(stock: Stock, rows: np.ndarray) -> PriceHistory:
    h = stock.history
    keep = np.delete(np.arange(len(h)), rows)
    bars = {name: values[keep] for name, values in h.bars.items()}
    return replace(h, dates=h.dates[keep], adj_close=h.adj_close[keep], bars=bars)


def dividend(stock: Stock, bar: int, share: float, *, times: int) -> PriceHistory:
    """A stock with a dividend of 0.8 % each quarter, and one of a share of the close that is adjusted for so often."""
    h = stock.history
    paid = np.zeros(len(h))
    paid[30::63] = 0.008
    paid[bar] = share
    shown = np.where(paid < 1, paid, 0.0)
    calm = h.adj_close / h.bars.get("close", h.adj_close)  # splits taken out
    close = h.adj_close * np.cumprod(1 - shown)
    often = np.where(np.arange(len(h)) == bar, times, 1)
    later = np.cumprod(((1 - shown) ** often)[::-1])[::-1]
    shrunk = calm * np.cumprod(1 - shown)
    bars = {name: values * shrunk if name in FIELDS else values for name, values in h.bars.items()}
    cash = paid * np.r_[close[0], close[:-1]]
    return replace(
        h, adj_close=close * np.r_[later[1:], 1.0], bars={"close": close, **bars}, events={"dividends": cash}
    )


def real(stock: PriceHistory, bar: int, event: str) -> PriceHistory:
    """A stock with a day as it really was, on its volume, and as lively after it."""
    factor, opened, volume, unrest = REAL[event]
    close, before = stock.bars["close"], stock.bars["close"][bar - 1]
    steps = np.diff(np.log(close), prepend=np.log(close[0]))
    steps[bar] = np.log(factor)
    steps[bar + 1 :] *= 1 + (unrest - 1) * 0.95 ** np.arange(len(close) - bar - 1)
    moved = close[0] * np.exp(np.cumsum(steps))
    bars = {name: values * moved / close for name, values in stock.bars.items() if name in FIELDS}
    bars["open"][bar] = before * opened
    bars["high"][bar] = max(opened, factor) * before * 1.03
    bars["low"][bar] = min(opened, factor) * before * 0.97
    busy = np.where(np.arange(len(close)) < bar, 1.0, 1 + 0.3 * volume * 0.7 ** (np.arange(len(close)) - bar))
    busy[bar] = volume
    return replace(stock, adj_close=moved, bars={**bars, "volume": np.round(stock.bars["volume"] * busy)})


def outcome(history: PriceHistory, clean: Sequence[Finding]) -> str:
    """The gravest new finding of a history: error, warning, note, or missed."""
    known = Counter((f.name, f.severity, f.rows) for f in clean)
    new = [f for f in check(history) if not known[(f.name, f.severity, f.rows)]]
    grave = max((SEVERITIES.index(f.severity) for f in new), default=-1)
    return "missed" if grave < 0 else SEVERITIES[grave]


def only_closes(history: PriceHistory) -> PriceHistory:
    return replace(history, bars={"close": history.bars["close"]} if history.events else {})


def ratios() -> Iterator[str]:
    """Every n:m with n and m up to 20 from 1.2 on, and its reverse."""
    both = {Fraction(n, m) for n in range(1, 21) for m in range(1, 21)}
    for ratio in sorted(both):
        if max(ratio, 1 / ratio) >= Fraction(6, 5):
            yield f"{ratio.numerator}:{ratio.denominator}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of kinds, all splits, false alarms, and the time of a check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--stocks", type=int, default=20)
    parser.add_argument("--closes", action="store_true", help="dates and closes alone")
    parser.add_argument("--source", default="", help="real prices in place of the invented")
    parser.add_argument("--end", default=None)
    options = parser.parse_args(argv)
    stocks = stocks_of(options.source, options.end, options.stocks)
    strip = only_closes if options.closes else (lambda history: history)
    clean = {stock.ticker: check(strip(stock)) for stock in stocks}
    payers = {stock.ticker: check(strip(dividend(Stock(stock), 0, 0.0, times=1))) for stock in stocks}
    rng = np.random.default_rng(16)
    bars = {stock.ticker: int(rng.integers(len(stock) // 4, 3 * len(stock) // 4)) for stock in stocks}
    print(f"{'kind':38} error warning note missed")
    total: Counter[str] = Counter()
    for name, fault in kinds().items():
        seen = Counter(outcome(strip(fault(Stock(s), bars[s.ticker])), clean[s.ticker]) for s in stocks)
        total += seen
        print(f"{name:38} {seen['error']:5} {seen['warning']:7} {seen['note']:4} {seen['missed']:6}")
    count = total.total()
    print(f"{len(kinds())} kinds: error {total['error'] / count:.1%}, warning {total['warning'] / count:.1%}, "
          f"note {total['note'] / count:.1%}, missed {total['missed'] / count:.1%}")  # fmt: skip
    told = Counter(
        outcome(strip(split(ratio, share_count=True)(Stock(s), bars[s.ticker])), clean[s.ticker])
        for ratio in ratios() for s in stocks[::4]
    )  # fmt: skip
    print(f"every n:m to 20 from 1.2 on: error or warning {(told['error'] + told['warning']) / told.total():.1%}")
    quiet = (*clean.values(), *payers.values())
    alarms = Counter(f"{f.severity} {f.name}" for found in quiet for f in found if f.severity != "note")
    print(f"false alarms on the clean stocks, with dividends and without: {dict(alarms) or 'none'}")
    complete = [stock for stock in stocks if set(stock.bars) >= {*FIELDS, "volume"}]
    complete = complete or [invented(seed) for seed in range(len(stocks))]
    grave: Counter[str] = Counter()
    for event in REAL:
        for stock in complete:
            findings = check(strip(real(stock, len(stock) // 2, event)))
            own = {(f.name, f.rows) for f in clean.get(stock.ticker, ())}
            day = str(stock.dates[len(stock) // 2])
            if worse := [f for f in findings if day in f.rows and f.severity != "note" and (f.name, f.rows) not in own]:
                grave[f"{event}: {max(worse, key=lambda f: SEVERITIES.index(f.severity)).severity}"] += 1
    print(
        f"what really happened, {len(REAL)} days in {len(complete)} stocks, told beyond a note: {dict(grave) or 'none'}"
    )
    took = []
    for _ in range(5):
        clock = time.process_time()
        for stock in stocks:
            check(strip(stock))
        took.append((time.process_time() - clock) / sum(map(len, stocks)))
    print(f"a check of 5,000 bars takes {5e6 * min(took):.1f} ms")


def stocks_of(source: str, end: str | None, count: int) -> list[PriceHistory]:
    """The invented stocks, or those of a source."""
    if not source:
        return [invented(seed) for seed in range(count)]
    histories = load_universe(Universe(source=source, end=end, accept=("all",))).histories
    return [replace(history, findings=()) for history in histories if len(history) > 600][:count]


if __name__ == "__main__":
    main()
