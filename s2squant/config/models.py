"""Names, labels and settings of all models, as frozen values. Windows are in bars."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from s2squant.config.networks import AnchorSpec, Seq2SeqSpec
from s2squant.config.part import Part, listed


class DriftSpec(Part):
    """Random walk with drift: N(h m, h s^2 + h^2 s^2 / n)."""

    window: int = Field(2000, ge=20, description="bars whose mean return is the drift")
    scale_window: int = Field(500, ge=20, description="bars whose root mean square return is s")


class BlockBootstrapSpec(Part):
    """Stationary bootstrap of the trailing window, centred."""

    window: int = Field(500, ge=20)
    block: float = Field(20.0, ge=1, description="mean length of a block")
    paths: int = Field(2048, ge=128)


class HarSpec(Part):
    """HAR of volatility on ranges where OHLC is known, on absolute returns otherwise; simulated over the horizon."""

    window: int = Field(2000, ge=300, description="bars used by each fit")
    paths: int = Field(4096, ge=128)


class LinearSpec(Part):
    """ETS, ARIMA or Theta of the log price with Gaussian errors."""

    window: int = Field(2000, ge=300, description="bars used by each fit")
    scale_window: int = Field(500, ge=20, description="bars whose root mean square one-step error is the errors' scale")


class RidgeSpec(Part):
    """Direct ridge regressions for the location, residual quantiles scaled by an EWMA."""

    window: int = Field(2000, ge=300, description="training bars of each fit")
    decay: float = Field(0.94, gt=0, lt=1, description="of the EWMA that scales labels and quantiles")
    penalties: tuple[float, ...] = Field(
        (0.1, 1.0, 10.0, 100.0), min_length=1, description="multiples of the number of bars; the last quarter chooses"
    )
    clip: float = Field(5.0, gt=0, description="largest label, in standard deviations")

    @model_validator(mode="after")
    def _positive(self) -> RidgeSpec:
        if min(self.penalties) <= 0:
            raise ValueError(f"a penalty of {min(self.penalties):g} is no ridge; penalties are above zero")
        return self


class GbmSpec(Part):
    """Direct gradient-boosted quantiles at a few steps and levels, interpolated monotonically."""

    window: int = Field(2000, ge=300, description="training bars of each fit")
    decay: float = Field(0.94, gt=0, lt=1, description="of the EWMA that scales labels and quantiles")
    nodes: int = Field(4, ge=2, description="steps with a model of their own, from the first to the last")
    levels: tuple[float, ...] = Field((0.05, 0.25, 0.5, 0.75, 0.95), min_length=2, description="levels with a model")
    trees: int = Field(40, ge=1)
    leaves: int = Field(4, ge=2, description="leaves of a tree")
    rate: float = Field(0.05, gt=0, le=1, description="learning rate")
    leaf_bars: int = Field(80, ge=1, description="fewest training bars in a leaf")
    features: float = Field(0.5, gt=0, le=1, description="share of the predictors tried at a split")

    @model_validator(mode="after")
    def _ordered(self) -> GbmSpec:
        if list(self.levels) != sorted(set(self.levels)) or not 0 < self.levels[0] < self.levels[-1] < 1:
            raise ValueError(f"levels must increase between 0 and 1, given {self.levels}")
        return self


ModelName = Literal[
    "historical_simulation",
    "random_walk",
    "ewma_t",
    "garch_t",
    "gjr_t",
    "drift",
    "block_bootstrap",
    "gjr_fhs",
    "har",
    "ets",
    "arima",
    "theta",
    "ridge",
    "gbm",
    "field",
    "anchor",
    "seq2seq_per_ticker",
    "seq2seq_pooled",
    "seq2seq_adapted",
    "blend",
]


Models = Annotated[tuple[ModelName, ...], BeforeValidator(listed)]


BASELINES: tuple[ModelName, ...] = (
    "historical_simulation",
    "random_walk",
    "ewma_t",
    "garch_t",
    "gjr_t",
    "drift",
    "block_bootstrap",
    "gjr_fhs",
    "har",
    "ets",
    "arima",
    "theta",
    "ridge",
    "gbm",
    "field",
)
"""In the order in which they run and are listed: the field averages those before it."""


class RandomWalkSpec(Part):
    """Gaussian random walk without drift: N(0, h s^2), s from the trailing window."""

    window: int = Field(500, ge=20)


class HistoricalSpec(Part):
    """Historical simulation: sums of h returns drawn from the trailing window, centred."""

    window: int = Field(500, ge=20)
    paths: int = Field(2048, ge=128)


class EwmaTSpec(Part):
    """RiskMetrics variance with Student-t shocks; degrees of freedom refitted with the folds."""

    decay: float = Field(0.94, gt=0, lt=1)
    paths: int = Field(2048, ge=128)


class GarchTSpec(Part):
    """GARCH(1,1) or GJR(1,1) with Student-t shocks, simulated over the horizon."""

    window: int = Field(2000, ge=300, description="bars used by each fit")
    mean: Literal["constant", "zero"] = Field("constant", description="a fitted drift, or none")
    paths: int = Field(2048, ge=128)


class BlendSpec(Part):
    """Equal-weight average of the anchor's quantiles and the members'; one that did the average no good is dropped."""

    members: Models = Field(
        (), description="beside the anchor; empty: those of seq2seq_per_ticker, seq2seq_pooled and gjr_t that run"
    )
    min_cutoffs: int = Field(10, ge=1, description="matured cutoffs before the gate may drop a member")


class FieldSpec(Part):
    """Equal-weight average of the baselines' quantiles."""

    members: Models = Field((), description="empty: every other baseline that runs")


class Forecasters(Part):
    """Which models run, and the settings of each."""

    models: Models = (
        "historical_simulation",
        "random_walk",
        "ewma_t",
        "garch_t",
        "gjr_t",
        "drift",
        "block_bootstrap",
        "gjr_fhs",
        "har",
        "ridge",
        "field",
        "anchor",
        "seq2seq_per_ticker",
        "seq2seq_pooled",
        "blend",
    )
    extra: Annotated[tuple[ModelName | Literal["baselines"], ...], BeforeValidator(listed)] = Field(
        (), description="models to run beside `models`, into which they are taken up; 'baselines' is all of those"
    )
    historical_simulation: HistoricalSpec = HistoricalSpec()
    random_walk: RandomWalkSpec = RandomWalkSpec()
    ewma_t: EwmaTSpec = EwmaTSpec()
    garch_t: GarchTSpec = GarchTSpec()
    gjr_t: GarchTSpec = GarchTSpec()
    drift: DriftSpec = DriftSpec()
    block_bootstrap: BlockBootstrapSpec = BlockBootstrapSpec()
    gjr_fhs: GarchTSpec = GarchTSpec()
    har: HarSpec = HarSpec()
    ets: LinearSpec = LinearSpec()
    arima: LinearSpec = LinearSpec()
    theta: LinearSpec = LinearSpec()
    ridge: RidgeSpec = RidgeSpec()
    gbm: GbmSpec = GbmSpec()
    field: FieldSpec = FieldSpec()
    anchor: AnchorSpec = AnchorSpec()
    seq2seq: Seq2SeqSpec = Seq2SeqSpec()
    blend: BlendSpec = BlendSpec()

    @property
    def field_members(self) -> tuple[ModelName, ...]:
        """The baselines that the field averages."""
        running = tuple(m for m in self.models if m in BASELINES and m != "field")
        return self.field.members or running

    @property
    def blending(self) -> BlendSpec:
        """The blend's settings, its members by name."""
        usual: tuple[ModelName, ...] = ("seq2seq_per_ticker", "seq2seq_pooled", "gjr_t")
        return self.blend.model_copy(
            update={"members": self.blend.members or tuple(m for m in usual if m in self.models)}
        )

    @model_validator(mode="after")
    def _taken_up(self) -> Forecasters:
        """Move `extra` into `models`, baselines first and in their own order: one experiment, one way to write it."""
        wanted = dict.fromkeys(m for name in self.extra for m in (BASELINES if name == "baselines" else (name,)))
        if wanted:
            baselines = [m for m in BASELINES if m in wanted or m in self.models]
            others = [m for m in (*self.models, *wanted) if m not in BASELINES]
            object.__setattr__(self, "models", (*baselines, *dict.fromkeys(others)))
            object.__setattr__(self, "extra", ())
        return self

    @model_validator(mode="after")
    def _field_has_members(self) -> Forecasters:
        if "field" not in self.models:
            return self
        if len(self.field_members) < 2:
            raise ValueError("field averages baselines, and fewer than two run; name more in forecasters.models")
        for member in self.field_members:
            if member not in BASELINES or member == "field":
                raise ValueError(f"field averages baselines, and {member} is none; take it out of field.members")
            if member not in self.models[: self.models.index("field")]:
                raise ValueError(f"field averages {member}; put it before field in forecasters.models")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Forecasters:
        if len(set(self.models)) < len(self.models):
            raise ValueError("a model is named twice")
        needs_anchor = [m for m in self.models if m.startswith("seq2seq") or m == "blend"]
        if needs_anchor and "anchor" not in self.models:
            raise ValueError(f"{needs_anchor[0]} starts from the anchor; add 'anchor' to forecasters.models")
        if "seq2seq_adapted" in self.models and "seq2seq_pooled" not in self.models:
            raise ValueError("seq2seq_adapted tunes the pooled net; add 'seq2seq_pooled' to forecasters.models")
        if "blend" in self.models and not self.blending.members:
            raise ValueError("blend averages the anchor with other models, and none runs; add 'seq2seq_pooled'")
        missing = [m for m in self.blend.members if m not in self.models] if "blend" in self.models else []
        if missing:
            raise ValueError(
                f"blend averages {missing[0]}, which does not run; "
                "add it to forecasters.models or take it out of forecasters.blend.members"
            )
        return self


LABELS = {
    "historical_simulation": "historical simulation",
    "random_walk": "the random walk",
    "ewma_t": "EWMA-t",
    "garch_t": "GARCH-t",
    "gjr_t": "GJR-t",
    "drift": "the random walk with drift",
    "block_bootstrap": "the block bootstrap",
    "gjr_fhs": "GJR with filtered historical simulation",
    "har": "HAR",
    "ets": "ETS",
    "arima": "ARIMA",
    "theta": "Theta",
    "ridge": "ridge regression",
    "gbm": "boosted quantiles",
    "field": "the average of the baselines",
    "anchor": "the anchor",
    "seq2seq_per_ticker": "the per-ticker network",
    "seq2seq_pooled": "the pooled network",
    "seq2seq_adapted": "the adapted network",
    "blend": "the blend",
}
