"""Realised variances of tickers, each session's known at its close, from their bars within the day."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from s2squant.config.covariates import CovariateSpec, Measure
from s2squant.config.experiment import Universe
from s2squant.errors import ConfigError, PriceError
from s2squant.prices.calendars.grid import sessions_of_bars
from s2squant.prices.calendars.scheduled import closing_times
from s2squant.prices.covariates.as_of import Observations
from s2squant.prices.covariates.realised import Realised, realised
from s2squant.prices.port import Source
from s2squant.prices.universe import inspect_ticker, open_source
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class WithinDay:
    """A source of bars within the day; each ticker is read once, as `inspect_ticker` reads it."""

    source: Source
    universe: Universe
    measured: dict[str, Realised | None] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: CovariateSpec, universe: Universe) -> WithinDay:
        """The covariate's source at its interval; raises SourceError where there is none."""
        own = universe.model_copy(update={"interval": spec.interval, "start": None})
        return cls(open_source(spec.source or universe.source, own), own)

    def observations(self, history: PriceHistory, measure: Measure) -> Observations:
        """A measure of the ticker's sessions; none where it has no bars within the day, or none that can be read."""
        if history.is_intraday:
            text = f"{history.ticker} has bars of {history.interval}"
            raise ConfigError(f"a realised {measure} is of sessions, and {text}; take it out, or forecast days")
        if history.ticker not in self.measured:
            self.measured[history.ticker] = self._measured(history.ticker)
        found = self.measured[history.ticker]
        if found is None:
            none = np.array([], "datetime64[D]")
            return Observations(none, none.astype("datetime64[s]"), np.array([]))
        return Observations(found.days_D, closing_times(history.calendar, found.days_D), _column(found, measure))

    def _measured(self, ticker: str) -> Realised | None:
        try:
            self.source.check([ticker])
            bars = inspect_ticker(self.source, ticker, self.universe)
        except PriceError:
            return None
        return realised_of(bars) if bars.is_intraday else None


def realised_of(bars: PriceHistory) -> Realised:
    """The measures of each session of bars within the day, prices as adjusted."""
    close, opened = bars.adj_close, np.full(len(bars), np.nan)
    if {"open", "close"} <= set(bars.bars):
        opened = bars.bars["open"] * close / bars.bars["close"]
    return realised(opened, close, sessions_of(bars))


def sessions_of(bars: PriceHistory) -> Dates:
    """The session of each bar within the day."""
    return sessions_of_bars(bars.calendar, bars.dates)


def _column(found: Realised, measure: Measure) -> Floats:
    match measure:
        case "total":
            return found.total
        case "variance":
            return found.variance
        case "bipower":
            return found.bipower
        case "continuous":
            return found.continuous
        case "jump":
            return found.jump
        case "down":
            return found.down
        case "up":
            return found.up
        case "overnight":
            return found.overnight
