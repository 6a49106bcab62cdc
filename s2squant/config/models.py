"""All models in one table: what people call them, what they are, how they look; and which run, with which settings."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from s2squant.config.baselines import (
    BlockBootstrapSpec,
    DriftSpec,
    EwmaTSpec,
    GarchTSpec,
    GbmSpec,
    HarSpec,
    HistoricalSpec,
    LinearSpec,
    RandomWalkSpec,
    RidgeSpec,
)
from s2squant.config.networks import AnchorSpec, Scope, Seq2SeqSpec
from s2squant.config.own import CHALLENGERS, FEATURES, FORECASTERS, checked_name
from s2squant.config.part import Part, listed
from s2squant.config.pretrained import PretrainedSpec

OurName = Literal[
    "historical_simulation",
    "random_walk",
    "ewma_t",
    "garch_t",
    "gjr_t",
    "garch_shrunk",
    "gjr_shrunk",
    "drift",
    "block_bootstrap",
    "gjr_fhs",
    "har",
    "har_x",
    "har_rv",
    "har_cj",
    "garch_x",
    "ets",
    "arima",
    "theta",
    "ridge",
    "gbm",
    "field",
    "anchor",
    "pretrained",
    "seq2seq_per_ticker",
    "seq2seq_pooled",
    "seq2seq_adapted",
    "blend",
]


def _model_name(name: str) -> str:
    return checked_name(name, "model", FORECASTERS, get_args(OurName))


def _model_or_baselines(name: str) -> str:
    return name if name == "baselines" else _model_name(name)


def _feature_name(name: str) -> str:
    return checked_name(name, "feature", FEATURES, ())


ModelName = Annotated[str, AfterValidator(_model_name)]
"""One of ours, or a user's own: `package.module:function` or an installed entry point."""
ModelOrNone = Annotated[str, AfterValidator(lambda name: name and _model_name(name))]
Models = Annotated[tuple[ModelName, ...], BeforeValidator(listed)]
FeatureName = Annotated[str, AfterValidator(_feature_name)]
Kind = Literal["reference", "baseline", "anchor", "pretrained", "network", "blend", "challenger", "own", "recalibrated"]
"""What a model is in the leaderboard; the reference is the model that the verdict names."""
Reads = Literal["past", "future", "static", "variance", "total", "jump"]
"""A kind of covariates; variance: past ones that are one."""
Dash = Literal["solid", "dot", "dash", "longdash", "dashdot", "longdashdot"]


@dataclass(frozen=True)
class Model:
    """A model as people see it: its name within a sentence, its kind, and the colour and dash of its lines."""

    noun: str
    kind: Kind
    colour: str
    """A CSS variable of report.css; hues are Okabe and Ito's (2008), told apart by people with colour-blindness."""
    dash: Dash
    """Says the same again without colour."""
    article: bool = False
    """Whether the noun has one: the blend, but HAR."""
    scope: Scope | None = None
    """Whose weights a network has; its settings are those of seq2seq, and of this scope in them."""
    reads: tuple[Reads, ...] = ()
    """Covariates that it reads, where an experiment has any."""


KNOWN: tuple[Reads, ...] = ("past", "future")
ALL: tuple[Reads, ...] = ("past", "future", "static")

MODELS: dict[str, Model] = {
    "historical_simulation": Model("historical simulation", "baseline", "m-grey", "solid"),
    "random_walk": Model("random walk", "baseline", "m-grey", "dot", article=True),
    "ewma_t": Model("EWMA-t", "baseline", "m-yellow", "dash"),
    "garch_t": Model("GARCH-t", "baseline", "m-orange", "dash"),
    "gjr_t": Model("GJR-t", "baseline", "m-purple", "dashdot"),
    "garch_shrunk": Model("shrunk-drift GARCH-t", "baseline", "m-orange", "longdash"),
    "gjr_shrunk": Model("shrunk-drift GJR-t", "baseline", "m-purple", "longdash"),
    "drift": Model("drifting random walk", "baseline", "m-grey", "dashdot", article=True),
    "block_bootstrap": Model("block bootstrap", "baseline", "m-grey", "longdash", article=True),
    "gjr_fhs": Model("GJR-FHS", "baseline", "m-purple", "solid"),
    "har": Model("HAR", "baseline", "m-orange", "solid"),
    "har_x": Model("HAR-X", "baseline", "m-yellow", "longdashdot", reads=KNOWN),
    "har_rv": Model("HAR-RV", "baseline", "m-orange", "longdashdot", reads=("total",)),
    "har_cj": Model("HAR-CJ", "baseline", "m-yellow", "dashdot", reads=("total", "jump")),
    "garch_x": Model("GARCH-X", "baseline", "m-purple", "longdashdot", reads=KNOWN),
    "ets": Model("ETS", "baseline", "m-yellow", "dot"),
    "arima": Model("ARIMA", "baseline", "m-yellow", "longdash"),
    "theta": Model("Theta", "baseline", "m-yellow", "solid"),
    "ridge": Model("ridge regression", "baseline", "m-purple", "dot", reads=KNOWN),
    "gbm": Model("boosted quantiles", "baseline", "m-orange", "dot", reads=KNOWN),
    "field": Model("baseline average", "baseline", "m-black", "longdash", article=True),
    "anchor": Model("anchor", "anchor", "m-vermillion", "longdash", article=True, reads=("variance",)),
    "pretrained": Model("pretrained anchor", "pretrained", "m-vermillion", "dot", article=True),
    "seq2seq_per_ticker": Model(
        "per-ticker network", "network", "m-green", "solid", article=True, scope="per_ticker", reads=ALL
    ),
    "seq2seq_pooled": Model(
        "pooled network", "network", "m-sky", "longdashdot", article=True, scope="pooled", reads=ALL
    ),
    "seq2seq_adapted": Model("adapted network", "network", "m-green", "dot", article=True, scope="adapted", reads=ALL),
    "blend": Model("blend", "blend", "m-blue", "solid", article=True),
}
"""In the order in which they run and are listed: the field averages baselines before it."""

READERS: tuple[ModelName, ...] = tuple(name for name, model in MODELS.items() if "past" in model.reads)
"""The models that read covariates of any kind."""
BASELINES: tuple[ModelName, ...] = tuple(name for name, model in MODELS.items() if model.kind == "baseline")
LONGEST_LABEL = 21
"""Letters of a name in the leaderboard, whose other columns need 59 of a terminal's 80."""
ON_COVARIATES: tuple[ModelName, ...] = ("har_x", "har_rv", "har_cj", "garch_x")
"""Baselines that differ from another one by covariates alone."""
MEASURED: tuple[ModelName, ...] = ("har_rv", "har_cj")
"""Those that read realised variances."""
USUAL: tuple[ModelName, ...] = tuple(name for name in BASELINES if name not in ON_COVARIATES)
"""What 'baselines' stands for."""
RECALIBRATED = "+aci"
"""Ends the name of a model's second row, recalibrated; ledgers hold it since it was adaptive conformal inference."""


def row_of(model: str) -> Model | None:
    """The row of a model, or of the one that is recalibrated; None for a model that is not of this package."""
    wanted = model.removesuffix(RECALIBRATED)
    return next((row for name, row in MODELS.items() if name == wanted), None)


def is_own(model: str) -> bool:
    """Whether a model that runs is the user's own."""
    return model not in MODELS


def is_refitted(model: str) -> bool:
    """Whether a model is fitted again where it is needed, not stored by a backtest: baselines, and the user's own."""
    return model in BASELINES or is_own(model)


def label(model: str) -> str:
    """What a model is called in tables and legends: Blend, GJR-t; others by their name, without its packages."""
    row = row_of(model)
    if row is None:
        path, colon, function = model.partition(":")
        short = path.rpartition(".")[2] + colon + function if colon else model
        return short if len(short) <= LONGEST_LABEL else short[: LONGEST_LABEL - 1] + "…"
    name = _noun(model, row)
    return name[:1].upper() + name[1:]


def phrase(model: str) -> str:
    """What a model is called within a sentence: the blend, GJR-t; others by their name."""
    row = row_of(model)
    return model if row is None else ("the " if row.article else "") + _noun(model, row)


def subject(model: str) -> str:
    """What a model is called where a sentence begins: The blend, GJR-t."""
    name = phrase(model)
    return name if row_of(model) is None else name[:1].upper() + name[1:]


def _noun(model: str, row: Model) -> str:
    return f"recalibrated {row.noun}" if model.endswith(RECALIBRATED) else row.noun


def kind_of(model: str, reference: str) -> Kind:
    """What a model is in the leaderboard of a run with this reference."""
    row = row_of(model)
    if model.endswith(RECALIBRATED):
        return "recalibrated"
    if model == reference:
        return "reference"
    if row is None:
        return "challenger" if model in CHALLENGERS else "own"
    return row.kind


PRIOR_WEIGHT: dict[Kind, float] = {"anchor": 2.0, "baseline": 1.0, "network": 1 / 3, "challenger": 1 / 3, "own": 1 / 3}
"""Weights that the blend's members begin with, by kind; chosen on 20 stocks and ten currencies before 2016."""


class BlendSpec(Part):
    """Average of the anchor's quantiles and the members', with weights learnt from matured CRPS."""

    members: Models = Field(
        (), description="beside the anchor; empty: those of seq2seq_per_ticker, seq2seq_pooled and gjr_shrunk that run"
    )
    rate: float = Field(
        10.0, ge=0, le=1e6, description="how fast weights follow the evidence; 0: they stay as they begin"
    )
    patience: int = Field(
        5, ge=0, le=10_000, description="horizons that have to mature before a network or an own model has a weight"
    )

    def prior(self, member: str) -> float:
        """Weight that a member begins with, before all are made to sum to one."""
        return PRIOR_WEIGHT.get(kind_of(member, ""), 1.0)

    def waits(self, member: str) -> bool:
        """Whether a member has to wait until it may have a weight: a network, or a model of the user's own."""
        return kind_of(member, "") in ("network", "challenger", "own")


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
        "garch_shrunk",
        "gjr_shrunk",
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
    extra: Annotated[tuple[Annotated[str, AfterValidator(_model_or_baselines)], ...], BeforeValidator(listed)] = Field(
        (), description="models to run beside `models`, which takes them up; 'baselines' is all that need no covariate"
    )
    features: Annotated[tuple[FeatureName, ...], BeforeValidator(listed)] = Field(
        (), description="features of your own, package.module:function, which ridge, gbm and the networks read too"
    )
    own: dict[str, dict[str, JsonValue]] = Field(
        {}, description="by the name of an own model or feature, its settings: what its function is called with"
    )
    historical_simulation: HistoricalSpec = HistoricalSpec()
    random_walk: RandomWalkSpec = RandomWalkSpec()
    ewma_t: EwmaTSpec = EwmaTSpec()
    garch_t: GarchTSpec = GarchTSpec()
    gjr_t: GarchTSpec = GarchTSpec()
    garch_shrunk: GarchTSpec = GarchTSpec(mean="shrunk")
    gjr_shrunk: GarchTSpec = GarchTSpec(mean="shrunk")
    drift: DriftSpec = DriftSpec()
    block_bootstrap: BlockBootstrapSpec = BlockBootstrapSpec()
    gjr_fhs: GarchTSpec = GarchTSpec()
    har: HarSpec = HarSpec()
    har_x: HarSpec = HarSpec()
    har_rv: HarSpec = HarSpec()
    har_cj: HarSpec = HarSpec()
    garch_x: GarchTSpec = GarchTSpec(mean="shrunk")
    ets: LinearSpec = LinearSpec()
    arima: LinearSpec = LinearSpec()
    theta: LinearSpec = LinearSpec()
    ridge: RidgeSpec = RidgeSpec()
    gbm: GbmSpec = GbmSpec()
    field: FieldSpec = FieldSpec()
    anchor: AnchorSpec = AnchorSpec()
    pretrained: PretrainedSpec = PretrainedSpec()
    seq2seq: Seq2SeqSpec = Seq2SeqSpec()
    blend: BlendSpec = BlendSpec()

    @property
    def networks(self) -> tuple[ModelName, ...]:
        """The networks that run."""
        return tuple(m for m in self.models if m in MODELS and MODELS[m].kind == "network")

    @property
    def own_models(self) -> tuple[ModelName, ...]:
        """The user's own models that run."""
        return tuple(m for m in self.models if is_own(m))

    def without(self, models: Container[str]) -> Forecasters:
        """The same without some models and their settings; they are no members of the blend either."""
        left = tuple(m for m in self.models if m not in models)
        blend = self.blend.model_copy(update={"members": tuple(m for m in self.blending.members if m not in models)})
        own = {name: table for name, table in self.own.items() if name not in models}
        return self.model_copy(update={"models": left, "blend": blend, "own": own})

    @property
    def field_members(self) -> tuple[ModelName, ...]:
        """The baselines that the field averages."""
        running = tuple(m for m in self.models if m in BASELINES and m != "field")
        return self.field.members or running

    @property
    def blending(self) -> BlendSpec:
        """The blend's settings, its members by name."""
        usual: tuple[ModelName, ...] = ("seq2seq_per_ticker", "seq2seq_pooled", "gjr_shrunk")
        return self.blend.model_copy(
            update={"members": self.blend.members or tuple(m for m in usual if m in self.models)}
        )

    @model_validator(mode="after")
    def _taken_up(self) -> Forecasters:
        """Move `extra` into `models`, baselines first and in their own order: one experiment, one way to write it."""
        wanted = dict.fromkeys(m for name in self.extra for m in (USUAL if name == "baselines" else (name,)))
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
    def _own_settings(self) -> Forecasters:
        for name in self.own:
            if name in self.models and name in MODELS:
                raise ValueError(f"own: {name} is a model of this package; its settings are forecasters.{name}")
            if name not in (*self.models, *self.features):
                raise ValueError(f"own: {name} does not run; add it to forecasters.models or forecasters.features")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Forecasters:
        if len(set(self.models)) < len(self.models):
            raise ValueError("a model is named twice")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is named twice")
        needs_anchor = [m for m in self.models if m in self.networks or m == "blend"]
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
