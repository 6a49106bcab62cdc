"""The whole experiment as frozen values: every default of the package lives here, and only here.

Imports neither torch nor pandas. Unknown keys are refused with the nearest known key named.
Bars are trading sessions of the ticker's own calendar; returns are log returns.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from s2squant.errors import ConfigError

Scope = Literal["per_ticker", "pooled", "adapted"]
ModelName = Literal[
    "historical_simulation",
    "random_walk",
    "ewma_t",
    "garch_t",
    "gjr_t",
    "anchor",
    "seq2seq_per_ticker",
    "seq2seq_pooled",
    "seq2seq_adapted",
    "blend",
]
BASELINES: tuple[ModelName, ...] = ("historical_simulation", "random_walk", "ewma_t", "garch_t", "gjr_t")


class Part(BaseModel):
    """A frozen part of an experiment; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Universe(Part):
    """Which series, from where."""

    source: str = Field("sample", description="sample | yfinance | csv:DIR | parquet:DIR")
    tickers: tuple[str, ...] = Field((), description="empty: the source's default universe")
    start: date | None = Field(None, description="first date used")
    end: date | None = Field(None, description="last date used, inclusive")

    @model_validator(mode="after")
    def _ordered(self) -> Universe:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        repeated = {t for t in self.tickers if self.tickers.count(t) > 1}
        if repeated:
            raise ValueError(f"tickers named twice: {', '.join(sorted(repeated))}")
        return self


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


class EncoderSpec(Part):
    """Recurrent encoder over the past."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden: int = Field(32, ge=1)
    layers: int = Field(1, ge=1, le=8)


class DecoderSpec(Part):
    """Decoder over the horizon; the context sets its first state or is read at every step too."""

    kind: Literal["recurrent", "mlp"] = "recurrent"
    context: Literal["initial", "every_step"] = "every_step"
    width: int = Field(32, ge=1, description="units of the last hidden layer")
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> DecoderSpec:
        if self.kind == "mlp" and self.context == "initial":
            raise ValueError("an mlp decoder has no state to set; use context = 'every_step' or kind = 'recurrent'")
        return self


class HeadSpec(Part):
    """Quantile head: bounded corrections of the anchor, zero at the start."""

    log_scale_bound: float = Field(0.5, gt=0, description="largest change of log scale")
    location_bound: float = Field(0.3, ge=0, description="largest location shift in anchor scales, divided by h")
    shape_bound: float = Field(0.1, ge=0, description="largest weight of the tail and skew terms")
    spread_bound: float = Field(0.3, ge=0, description="largest weight of the centre-to-tail term")


class TrainingSpec(Part):
    """The one training loop: AdamW, one cycle, weight EMA, many positions decoded from each chunk."""

    chunk: int = Field(200, ge=20, description="bars encoded in one pass")
    warm: int = Field(50, ge=0, description="first bars of a chunk, never decoded from")
    positions: int = Field(12, ge=1, description="positions decoded from in each chunk")
    weight_decay: float = Field(1e-2, ge=0, description="on matrices only")
    ema: float = Field(0.98, ge=0, lt=1)
    clip: float = Field(1.0, gt=0, description="gradient norm")
    bf16: bool = Field(False, description="bfloat16 autocast of the forward pass")

    @model_validator(mode="after")
    def _room(self) -> TrainingSpec:
        if self.warm + self.positions > self.chunk:
            raise ValueError(
                f"{self.positions} positions do not fit between warm {self.warm} and chunk {self.chunk}; "
                f"lower positions or raise chunk"
            )
        return self


class PerTickerSpec(Part):
    """Own weights for each ticker, trained from scratch: short and slow, or it learns the past by heart."""

    steps: int = Field(100, ge=1)
    batch: int = Field(8, ge=1, description="chunks in a step")
    lr: float = Field(1e-3, gt=0)
    seeds: int = Field(1, ge=1, description="nets averaged")
    free_table: bool = Field(False, description="let the head's table leave the anchor's")


class PooledSpec(Part):
    """One net for all tickers of a market."""

    steps: int = Field(300, ge=1)
    batch: int = Field(32, ge=1)
    lr: float = Field(2e-3, gt=0)
    seeds: int = Field(2, ge=1)
    free_table: bool = True


class AdaptedSpec(Part):
    """The pooled net, then tuned on one ticker."""

    steps: int = Field(60, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(5e-4, gt=0)
    seeds: int = Field(1, ge=1)
    free_table: bool = False


class Seq2SeqSpec(Part):
    """Seq2Seq = encoder x context x decoder x head, and how each scope trains it."""

    encoder: EncoderSpec = EncoderSpec()
    decoder: DecoderSpec = DecoderSpec()
    head: HeadSpec = HeadSpec()
    training: TrainingSpec = TrainingSpec()
    per_ticker: PerTickerSpec = PerTickerSpec()
    pooled: PooledSpec = PooledSpec()
    adapted: AdaptedSpec = AdaptedSpec()
    ranges: bool = Field(True, description="read range, overnight gap and volume where every ticker has them")
    market: bool = Field(True, description="read the market's return")


class BlendSpec(Part):
    """Equal-weight average of quantiles; a member that did not beat the anchor so far is dropped."""

    members: tuple[ModelName, ...] = ("seq2seq_per_ticker", "seq2seq_pooled")
    min_cutoffs: int = Field(10, ge=1, description="matured cutoffs before the gate may drop a member")


class Forecasters(Part):
    """Which models run, and the settings of each."""

    models: tuple[ModelName, ...] = (
        "historical_simulation",
        "random_walk",
        "ewma_t",
        "garch_t",
        "gjr_t",
        "anchor",
        "seq2seq_per_ticker",
        "seq2seq_pooled",
        "blend",
    )
    historical_simulation: HistoricalSpec = HistoricalSpec()
    random_walk: RandomWalkSpec = RandomWalkSpec()
    ewma_t: EwmaTSpec = EwmaTSpec()
    garch_t: GarchTSpec = GarchTSpec()
    gjr_t: GarchTSpec = GarchTSpec()
    anchor: AnchorSpec = AnchorSpec()
    seq2seq: Seq2SeqSpec = Seq2SeqSpec()
    blend: BlendSpec = BlendSpec()

    @model_validator(mode="after")
    def _complete(self) -> Forecasters:
        if len(set(self.models)) < len(self.models):
            raise ValueError("a model is named twice")
        needs_anchor = [m for m in self.models if m.startswith("seq2seq") or m == "blend"]
        if needs_anchor and "anchor" not in self.models:
            raise ValueError(f"{needs_anchor[0]} starts from the anchor; add 'anchor' to forecasters.models")
        if "seq2seq_adapted" in self.models and "seq2seq_pooled" not in self.models:
            raise ValueError("seq2seq_adapted tunes the pooled net; add 'seq2seq_pooled' to forecasters.models")
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


class StrategySpec(Part):
    """One pre-declared trading rule, executed on the bar after the cutoff."""

    rule: Literal["sign"] = "sign"
    cost_bp: float = Field(5.0, ge=0, description="basis points paid per unit of turnover")


class Experiment(Part):
    """Everything that decides a run's numbers; written beside every result and itself an input."""

    name: Annotated[str, Field(min_length=1, max_length=80)] = "backtest"
    seed: int = Field(0, ge=0, lt=2**31)
    universe: Universe = Universe()
    walk: Walk = Walk()
    forecasters: Forecasters = Forecasters()
    verdict: VerdictSpec = VerdictSpec()
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
        raise ConfigError(f"{where}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(known)}"
        return f"unknown key '{path}'; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given {first['input']!r})"
    more = error.error_count() - 1
    return f"{path + ': ' if path else ''}{message}{given}" + (f"; and {more} more" if more else "")


def _fields_at(location: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Experiment
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return list(model.model_fields)
