"""Price history of one ticker, checked on construction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.config.asset_classes import AssetClass, asset_class
from s2squant.config.intervals import calendar_of, interval_of, intraday, unit_of_dates
from s2squant.errors import Finding, PriceError
from s2squant.series.arrays import Dates, Floats, date_of, dates_of, frozen_array
from s2squant.series.covariates import TickerCovariates
from s2squant.series.slots import Slots

OHLCV: tuple[str, ...] = ("open", "high", "low", "close", "volume")
EVENTS: tuple[str, ...] = ("dividends", "splits")


@dataclass(frozen=True)
class PriceHistory:
    """One ticker's bars of one interval, oldest first, in the currency of its exchange.

    `calendar` is the market: an exchange's calendar, with the interval before it where bars are not daily (1h:XNYS).
    `dates` (T,) are sessions; for bars within the day the UTC moments at which they begin, known at their ends.
    `adj_close` (T,) is finite, and above zero wherever a logarithm is taken (`log_price` refuses other prices). `bars`
    holds raw open, high, low, close, volume where known, each (T,), NaN where a bar lacks it. `events` holds what the
    source itself says of dividends (cash a share, in units of the raw close) and splits (new shares an old one: 2 for
    2:1, 0.1 for 1:10), each (T,) on the ex-date's bar, 0 where there is none; a kind that never occurs is left out. The
    raw close may be as traded or, as Yahoo's, adjusted for splits. Raises PriceError on dates or prices that make no
    series.
    """

    ticker: str
    calendar: str
    dates: Dates
    adj_close: Floats
    bars: Mapping[str, Floats] = field(default_factory=dict)
    source: str = "memory"
    fetched_at: str = ""
    notes: tuple[str, ...] = ()
    """Notes for the report, one line each."""
    findings: tuple[Finding, ...] = ()
    one_price: bool = False
    """Whether the source has one price a day: the raw close, if any, is the adjusted one, now as ever."""
    events: Mapping[str, Floats] = field(default_factory=dict)
    resumed: tuple[str, ...] = ()
    """First days (YYYY-MM-DD) after holes: no return and no window reaches across them."""
    declared_class: AssetClass | None = None
    """Its asset class where the user names it."""
    covariates: TickerCovariates | None = None
    """What else is known of it, or for it."""
    slots: Slots | None = None
    """Places of its bars within their sessions; None for bars of a day or longer."""
    clock: str = ""
    """The zone of the stamps that its bars within the day came with; empty where they named theirs."""
    unread: tuple[str, ...] = ()
    """Headings of its table that are neither a bar's nor a covariate's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", frozen_array(self.dates, f"datetime64[{unit_of_dates(self.calendar)}]"))
        object.__setattr__(self, "adj_close", frozen_array(self.adj_close, np.float64))
        for name, columns, known in (("bars", self.bars, OHLCV), ("events", self.events, EVENTS)):
            object.__setattr__(self, name, {k: frozen_array(v, np.float64) for k, v in columns.items()})
            if unknown := set(columns) - set(known):
                raise PriceError(self.ticker, f"unknown {name} {sorted(unknown)}; known are {', '.join(known)}")
        if self.dates.ndim != 1 or any(len(v) != len(self.dates) for v in (self.adj_close, *self._columns.values())):
            raise PriceError(self.ticker, "dates and prices differ in length")
        if self.covariates is not None and len(self.covariates.past_TP) != len(self.dates):
            raise ValueError(f"{self.ticker}: covariates of {len(self.covariates.past_TP)} bars for {len(self.dates)}")
        if self.slots is not None and len(self.slots) != len(self.dates):
            raise ValueError(f"{self.ticker}: slots of {len(self.slots)} bars for {len(self.dates)}")
        if len(self.dates) < 2:
            raise PriceError(self.ticker, f"{len(self.dates)} usable row(s); at least 2 are needed for a return")
        if np.isnat(self.dates).any():
            raise PriceError(self.ticker, "a date is missing")
        gaps = np.diff(self.dates).astype(int)
        if (gaps <= 0).any():
            day = self.dates[1:][gaps <= 0][0]
            raise PriceError(self.ticker, f"dates must increase without repeats, and {day} does not")
        if not np.isfinite(self.adj_close).all():
            raise self._no_logarithm(~np.isfinite(self.adj_close))

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def asset_class(self) -> AssetClass:
        """What kind of asset it is: as declared, else by its spelling and calendar."""
        return self.declared_class or asset_class(self.ticker, calendar_of(self.calendar))

    @property
    def interval(self) -> str:
        """The interval of its bars: 1d, 1h."""
        return interval_of(self.calendar)

    @property
    def is_intraday(self) -> bool:
        """Whether its bars are shorter than a day."""
        return intraday(self.calendar) is not None

    @property
    def log_price(self) -> Floats:
        """Natural logarithm of the adjusted close, (T,); raises PriceError where a price is not above zero."""
        if (self.adj_close <= 0).any():
            raise self._no_logarithm(self.adj_close <= 0)
        return np.log(self.adj_close)

    @property
    def resumed_T(self) -> NDArray[np.bool_]:
        """Mask (T,) of the bars that come first after a hole."""
        return np.isin(self.dates, dates_of(self.calendar, self.resumed))

    @property
    def log_returns(self) -> Floats:
        """Log return of each bar but the first, (T - 1,); zero over a hole, where nobody knows when it came about."""
        return np.where(self.resumed_T[1:], 0.0, np.diff(self.log_price))

    def _no_logarithm(self, bad: NDArray[np.bool_]) -> PriceError:
        day, value = self.dates[bad][0], self.adj_close[bad][0]
        return PriceError(self.ticker, f"price {value} on {day}; log returns need finite prices above zero")

    @property
    def _columns(self) -> dict[str, Floats]:
        return {**self.bars, **self.events}

    @property
    def sha256(self) -> str:
        """Content hash of dates, prices, bars, events, holes, covariates and slots: equal data, equal hash."""
        digest = hashlib.sha256(self.dates.astype("int64").tobytes())
        digest.update(self.adj_close.tobytes())
        columns = self._columns
        for name in (n for n in (*OHLCV, *EVENTS) if n in columns):
            digest.update(name.encode())
            digest.update(columns[name].tobytes())
        digest.update("".join(self.resumed).encode())
        if self.covariates is not None:
            digest.update(self.covariates.digest())
        if self.slots is not None:
            digest.update(self.slots.digest())
        return digest.hexdigest()

    def inside(self, start: Any = None, end: Any = None) -> NDArray[np.bool_]:
        """Mask (T,) of the bars from `start` to `end`, both included, a day as a whole; None leaves a side open."""
        inside = np.ones(len(self.dates), bool)
        if start is not None:
            inside &= self.dates >= date_of(self.calendar, start)
        if end is not None:
            last = date_of(self.calendar, end)
            whole = self.is_intraday and str(end) == str(np.datetime64(end, "D"))
            inside &= self.dates < last + np.timedelta64(1, "D") if whole else self.dates <= last
        return inside

    def between(self, start: Any = None, end: Any = None) -> PriceHistory:
        """The history of the bars `inside`."""
        keep = self.inside(start, end)
        if keep.all():
            return self
        bars = {name: values[keep] for name, values in self.bars.items()}
        events = {name: values[keep] for name, values in self.events.items()}
        return replace(
            self,
            dates=self.dates[keep],
            adj_close=self.adj_close[keep],
            bars=bars,
            events=events,
            covariates=None if self.covariates is None else self.covariates.of_bars(keep),
            slots=None if self.slots is None else self.slots.of_bars(keep),
        )
