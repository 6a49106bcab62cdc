"""The whole experiment as frozen values: every default of the package lives here, and only here.

Imports neither torch nor pandas. Unknown keys are refused with the nearest known key named.
Bars are trading sessions of the ticker's own calendar; returns are log returns.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator

from s2squant.baseline_specs import BlockBootstrapSpec, DriftSpec, GbmSpec, HarSpec, LinearSpec, RidgeSpec
from s2squant.by_hand import listed, whole_tickers, written_out
from s2squant.errors import ConfigError
from s2squant.network_specs import Part, Seq2SeqSpec

Engine = Literal["local", "dask", "ray"]
"""Who carries a run's jobs out; not part of an Experiment, since it decides no number."""

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


class Universe(Part):
    """Which series, from where."""

    source: str = Field("sample", description="sample | yfinance | store:DIR | csv:DIR | parquet:DIR")
    tickers: tuple[str, ...] = Field((), description="empty: the source's default universe")
    start: date | None = Field(None, description="first date used")
    end: date | None = Field(None, description="last date used, inclusive")
    calendars: dict[str, str] = Field({}, description="ticker -> calendar (XNYS, 24/7, ...) where the guess is wrong")
    accept: tuple[str, ...] = Field((), description="findings to be taken as they are, not quarantined; or 'all'")
    store: str = Field("data/prices", description="folder of the price store that yfinance is read through")
    as_of: datetime | None = Field(
        None, description="yfinance and store:DIR: the bars as stored then, nothing fetched; without a zone UTC"
    )
    pinned: datetime | None = Field(None, description="written by a run: the as_of that it noted, which nobody chose")

    _texts = field_validator("tickers", "accept", mode="before")(listed)
    _dates = field_validator("start", "end", "as_of", mode="before")(written_out)
    _whole = field_validator("calendars", mode="before")(whole_tickers)

    @field_validator("as_of", "pinned")
    @classmethod
    def _zoned(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment

    @model_validator(mode="after")
    def _ordered(self) -> Universe:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        repeated = {t for t in self.tickers if self.tickers.count(t) > 1}
        if repeated:
            raise ValueError(f"tickers named twice: {', '.join(sorted(repeated))}")
        return self


class Fetching(Part):
    """How politely a live source is asked; no part of an experiment, as it decides no number."""

    together: int = Field(2, ge=1, description="requests under way at once")
    per_second: float = Field(2.0, gt=0, description="requests a second, all threads together")
    tries: int = Field(4, ge=1, description="tries of one ticker where the source fails for a passing reason")
    pause: float = Field(2.0, ge=0, description="seconds before the second try, doubled before each later one")
    limited_tries: int = Field(6, ge=0, description="times one request is sent again after HTTP 429")
    limited_pause: float = Field(15.0, ge=0, description="seconds all wait after a 429 that names no time, doubled")
    longest_pause: float = Field(300.0, ge=0, description="seconds; asked to wait longer, the rest is given up")
    timeout: float = Field(20.0, gt=0, description="seconds to wait for an answer")
    give_up_after: int = Field(5, ge=1, description="passing failures in a row after which nobody is asked any more")
    overlap: int = Field(20, ge=1, description="stored bars that are asked for again, to see what was revised")


class Walk(Part):
    """The walk-forward plan, in bars of each market's calendar. The purge equals the horizon."""

    horizon: int = Field(20, ge=1, le=250, description="steps ahead, H")
    cutoffs: int = Field(100, ge=2, description="scored cutoffs per market")
    every: int = Field(10, ge=1, description="bars between cutoffs")
    refit_every: int = Field(350, ge=1, description="bars after which models are fitted again")
    window: Literal["expanding", "sliding"] = "expanding"
    train_bars: int = Field(2500, ge=100, description="training bars of a sliding window")
    min_train: int = Field(750, ge=300, description="bars a ticker needs before its first cutoff")


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


class AnchorSpec(Part):
    """The learned EWMA bank: variance by horizon as a mixture of one-pole filters, and one quantile table."""

    scope: Literal["pooled", "per_ticker"] = "pooled"
    market: bool = Field(True, description="use filters of the market's common variance")
    steps: int = Field(300, ge=1)
    lr: float = Field(0.03, gt=0)
    dates: int = Field(64, ge=1, description="random dates in a step, all tickers each")
    stride: int = Field(5, ge=1, description="training origins are every stride-th bar")
    penalty: float = Field(1e-4, ge=0, description="L2 on the mixture weights")
    warmup: int = Field(250, ge=60, description="bars before the first training origin")


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


class VerdictSpec(Part):
    """The written rule behind the sentence."""

    reference: ModelName = "historical_simulation"
    recommended: ModelName = "blend"
    alpha: float = Field(0.05, gt=0, lt=0.5, description="two-sided level of the pooled test")
    fdr: float = Field(0.10, gt=0, lt=0.5, description="Benjamini-Hochberg level across tickers")
    set_level: float = Field(0.10, gt=0, lt=0.5, description="level of the model confidence set")
    window: float = Field(0.3, gt=0.05, lt=0.95, description="share of cutoffs in a window of the fluctuation test")


class ConformalSpec(Part):
    """Adaptive conformal recalibration of the recommended model, shown as a second row beside it."""

    enabled: bool = True
    rate: float = Field(0.05, gt=0, le=1, description="first step of the margins, in widths of the 80 % band")
    settling: float = Field(30.0, gt=0, description="outcomes after which a step has shrunk by the root of two")


class StrategySpec(Part):
    """One pre-declared trading rule, executed on the bar after the cutoff."""

    rule: Literal["sign", "median_over_width", "volatility_target"] = "sign"
    cost_bp: float = Field(5.0, ge=0, description="commission and half the spread, basis points per unit of turnover")
    borrow_bp: float = Field(50.0, ge=0, description="basis points a year on what is sold short")
    target_volatility: float = Field(0.10, gt=0, description="volatility a year that volatility_target aims at")
    drift_bars: int = Field(500, ge=20, description="bars whose mean return random_walk_sign follows")


class Experiment(Part):
    """Everything that decides a run's numbers; written beside every result and itself an input."""

    name: Annotated[str, Field(min_length=1, max_length=80)] = "backtest"
    seed: int = Field(0, ge=0, lt=2**31)
    universe: Universe = Universe()
    walk: Walk = Walk()
    forecasters: Forecasters = Forecasters()
    verdict: VerdictSpec = VerdictSpec()
    conformal: ConformalSpec = ConformalSpec()
    strategy: StrategySpec = StrategySpec()

    @model_validator(mode="after")
    def _judged(self) -> Experiment:
        for role, model in (("reference", self.verdict.reference), ("recommended", self.verdict.recommended)):
            if model not in self.forecasters.models:
                raise ValueError(f"verdict.{role} is {model}, which does not run; add it to forecasters.models")
        return self

    def to_json(self) -> str:
        """The experiment as text that `read_experiment` takes back unchanged."""
        return self.model_dump_json(indent=1) + "\n"


def read_experiment(text: str, *, form: Literal["toml", "json"], where: str) -> dict[str, Any]:
    """Parse an experiment file's text to a plain dictionary; raises ConfigError naming `where`."""
    try:
        data = tomllib.loads(text) if form == "toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{where}: not valid {form.upper()} ({error})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: an experiment is a table of settings, not {type(data).__name__}")
    return data


def override(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply `dotted.key=value` settings to a dictionary; values are TOML, bare words are text."""
    result: dict[str, Any] = json.loads(json.dumps(dict(data), default=str))
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--set {setting}: write it as dotted.key=value, for example walk.horizon=10")
        *parents, last = (part.strip() for part in key.split("."))
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {setting}: {parent} is a value, not a table")
        try:
            table[last] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            table[last] = value.strip()
    return result


def make_experiment(data: Mapping[str, Any], *, where: str = "experiment") -> Experiment:
    """Validate a dictionary into an Experiment; raises ConfigError with one line and the nearest key."""
    try:
        return Experiment.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_one_line(error, Experiment)}") from None


def in_one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing wrong with settings of a model, with the nearest key where one is unknown."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(known)}"
        return f"unknown key '{path}'; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given {first['input']!r})"
    more = error.error_count() - 1
    return f"{path + ': ' if path else ''}{message}{given}" + (f"; and {more} more" if more else "")


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return list(model.model_fields)
