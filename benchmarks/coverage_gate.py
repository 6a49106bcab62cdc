"""Coverage gate of a baseline: its 90 % interval has to cover 87 to 93 % of data from its own model.

Shape legend: N origins, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.simulated_processes import own_returns
from s2squant.config.models import Forecasters, ModelName
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.catalog import make
from s2squant.series.forecast import Forecast
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

LOW, HIGH = 0.87, 0.93
HORIZON = 20
FITTED_BARS = 1000
ORIGINS = 1600
"""In all, with labels that do not overlap: the standard error of 90 % is 0.75 points, so 3 points are four of them."""
SEED = 7


@dataclass(frozen=True)
class GateResult:
    """What a baseline's central 90 % interval covered at the first and the last step, and how often it was too high."""

    name: ModelName
    horizon: int
    origins: int
    covered_first: float
    covered_last: float
    below_first: float
    below_last: float
    """Share of outcomes below the interval; 0.05 when it is not shifted."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether both shares lie within 87 and 93 %."""
        return all(LOW <= share <= HIGH for share in (self.covered_first, self.covered_last))

    @property
    def sentence(self) -> str:
        """The result in one line."""
        shares = f"{100 * self.covered_first:.1f} % at step 1, {100 * self.covered_last:.1f} % at step {self.horizon}"
        return f"{'passed' if self.passed else 'FAILED'}: {shares}"


def coverage_gate(name: ModelName, settings: Forecasters, *, seed: int = SEED) -> GateResult:
    """Fit on 1000 bars of each simulated ticker, forecast 1600 later origins, count what the interval covers.

    Raises ConfigError for a name that is no baseline.
    """
    started = time.process_time()
    series = tickers_for(name)
    each = ORIGINS // series
    bars = FITTED_BARS + each * HORIZON
    returns = own_returns(name, series, bars, ticker_seed(seed, "gate", name))
    panel = Panel(tuple(_history(f"S{i}", one) for i, one in enumerate(returns)))
    past = panel.until(panel.histories[0].dates[FITTED_BARS])
    fitted = make(name, settings).fit(past, past.starts[1:] - 1 - HORIZON, horizon=HORIZON, seed=seed)
    rows = (panel.starts[:-1, None] + np.arange(FITTED_BARS, bars, HORIZON)).ravel()
    covered, below = coverage(panel, fitted.predict(panel, rows))
    return GateResult(
        name=name,
        horizon=HORIZON,
        origins=len(rows),
        covered_first=float(covered[0]),
        covered_last=float(covered[-1]),
        below_first=float(below[0]),
        below_last=float(below[-1]),
        seconds=time.process_time() - started,
    )


def tickers_for(name: ModelName) -> int:
    """How many tickers are simulated: fewer, each with more origins, where a fit takes long."""
    match name:
        case "gbm" | "field":
            return 20
        case "garch_t" | "gjr_t" | "garch_shrunk" | "gjr_shrunk" | "gjr_fhs" | "ets" | "theta" | "arima" | "ridge":
            return 40
        case _:
            return 80


def coverage(panel: Panel, forecast: Forecast) -> tuple[np.ndarray, np.ndarray]:
    """Shares (H,) of outcomes inside the central 90 % interval, and below it."""
    targets_NH = panel.targets(forecast.rows, forecast.quantiles_NHQ.shape[1])
    low_NH, high_NH = forecast.quantiles_NHQ[..., 1], forecast.quantiles_NHQ[..., -2]
    inside_NH = (targets_NH > low_NH) & (targets_NH < high_NH)
    return inside_NH.mean(axis=0), (targets_NH < low_NH).mean(axis=0)


def _history(ticker: str, returns: np.ndarray) -> PriceHistory:
    """A history whose log returns are `returns`."""
    dates = np.datetime64("2000-01-03") + np.arange(len(returns) + 1)
    return PriceHistory(ticker, "XNYS", dates, 50 * np.exp(np.concatenate([[0], np.cumsum(returns)])))
