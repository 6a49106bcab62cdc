"""Settings of the baselines, as frozen values. Windows are in bars."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from s2squant.config.part import Part

Mean = Literal["constant", "zero", "shrunk"]


class RandomWalkSpec(Part):
    """Gaussian random walk without drift: N(0, h s^2), s from the trailing window."""

    window: int = Field(500, ge=20, le=100_000)


class HistoricalSpec(Part):
    """Historical simulation: sums of h returns drawn from the trailing window, centred."""

    window: int = Field(500, ge=20, le=100_000)
    paths: int = Field(2048, ge=128, le=20_000)


class EwmaTSpec(Part):
    """RiskMetrics variance with Student-t shocks; degrees of freedom refitted with the folds."""

    decay: float = Field(0.94, gt=0, lt=1)
    paths: int = Field(2048, ge=128, le=20_000)


class GarchTSpec(Part):
    """GARCH(1,1) or GJR(1,1) with Student-t shocks, simulated over the horizon."""

    window: int = Field(2000, ge=300, le=100_000, description="bars used by each fit")
    mean: Mean = Field(
        "constant", description="the fitted constant, none, or the ticker's drift shrunk to its asset class's"
    )
    paths: int = Field(2048, ge=128, le=20_000)


class DriftSpec(Part):
    """Random walk with drift: N(h m, h s^2 + h^2 s^2 / n)."""

    window: int = Field(2000, ge=20, le=100_000, description="bars whose mean return is the drift")
    scale_window: int = Field(500, ge=20, le=100_000, description="bars whose root mean square return is s")


class BlockBootstrapSpec(Part):
    """Stationary bootstrap of the trailing window, centred."""

    window: int = Field(500, ge=20, le=100_000)
    block: float = Field(20.0, ge=1, le=100_000, description="mean length of a block")
    paths: int = Field(2048, ge=128, le=20_000)


class HarSpec(Part):
    """HAR of volatility on ranges where OHLC is known, on absolute returns otherwise; simulated over the horizon."""

    window: int = Field(2000, ge=300, le=100_000, description="bars used by each fit")
    paths: int = Field(4096, ge=128, le=20_000)


class LinearSpec(Part):
    """ETS, ARIMA or Theta of the log price with Gaussian errors."""

    window: int = Field(2000, ge=300, le=100_000, description="bars used by each fit")
    scale_window: int = Field(
        500, ge=20, le=100_000, description="bars whose root mean square one-step error is the errors' scale"
    )


class RidgeSpec(Part):
    """Direct ridge regressions for the location, residual quantiles scaled by an EWMA."""

    window: int = Field(2000, ge=300, le=100_000, description="training bars of each fit")
    decay: float = Field(0.94, gt=0, lt=1, description="of the EWMA that scales labels and quantiles")
    penalties: tuple[float, ...] = Field(
        (0.1, 1.0, 10.0, 100.0), min_length=1, description="multiples of the number of bars; the last quarter chooses"
    )
    clip: float = Field(5.0, gt=0, le=1e6, description="largest label, in standard deviations")

    @model_validator(mode="after")
    def _positive(self) -> RidgeSpec:
        if min(self.penalties) <= 0:
            raise ValueError(f"a penalty of {min(self.penalties):g} is no ridge; penalties are above zero")
        return self


class GbmSpec(Part):
    """Direct gradient-boosted quantiles at a few steps and levels, interpolated monotonically."""

    window: int = Field(2000, ge=300, le=100_000, description="training bars of each fit")
    decay: float = Field(0.94, gt=0, lt=1, description="of the EWMA that scales labels and quantiles")
    nodes: int = Field(4, ge=2, le=250, description="steps with a model of their own, from the first to the last")
    levels: tuple[float, ...] = Field((0.05, 0.25, 0.5, 0.75, 0.95), min_length=2, description="levels with a model")
    trees: int = Field(40, ge=1, le=10_000)
    leaves: int = Field(4, ge=2, le=1_024, description="leaves of a tree")
    rate: float = Field(0.05, gt=0, le=1, description="learning rate")
    leaf_bars: int = Field(80, ge=1, le=100_000, description="fewest training bars in a leaf")
    features: float = Field(0.5, gt=0, le=1, description="share of the predictors tried at a split")

    @model_validator(mode="after")
    def _ordered(self) -> GbmSpec:
        if list(self.levels) != sorted(set(self.levels)) or not 0 < self.levels[0] < self.levels[-1] < 1:
            raise ValueError(f"levels must increase between 0 and 1, given {self.levels}")
        return self
