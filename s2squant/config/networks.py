"""A network's parts as frozen values: encoder x context x attention x decoder x head.

Pairs that cannot work are refused here, with the remedy. Imports neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from s2squant.config.part import Part
from s2squant.config.training import AdaptedSpec, PerTickerSpec, PooledSpec, TrainingSpec

Prior = Literal["none", "shipped", "judged"]


class AnchorSpec(Part):
    """The learned EWMA bank: variance by horizon as a mixture of one-pole filters, and one quantile table."""

    scope: Literal["pooled", "per_ticker"] = "pooled"
    market: bool = Field(True, description="use filters of the market's common variance")
    ranges: bool = Field(False, description="use filters of range volatility too, where the market has ranges")
    steps: int = Field(300, ge=1, le=1_000_000)
    lr: float = Field(0.03, gt=0, le=10)
    dates: int = Field(64, ge=1, le=10_000, description="random dates in a step, all tickers each")
    stride: int = Field(5, ge=1, le=10_000, description="training origins are every stride-th bar")
    penalty: float = Field(1e-4, ge=0, le=1e6, description="L2 on the mixture weights")
    warmup: int = Field(250, ge=60, le=100_000, description="bars before the first training origin")
    bound: float | None = Field(
        5.0,
        gt=0,
        le=1e6,
        description="filters read no return beyond so many of the deviations before it; None: as they are",
    )
    prior: Prior = Field(
        "none",
        description="shrink towards the pretrained weights of the asset class: the shipped ones, or those that end in "
        "2015 (judged), for backtests from 2016 on",
    )


Scope = Literal["per_ticker", "pooled", "adapted"]
Cell = Literal["lstm", "gru", "rnn"]
AttentionKind = Literal["none", "bahdanau", "luong_global", "luong_local_m", "luong_local_p"]
Score = Literal["dot", "general", "concat"]
HeadKind = Literal["quantile", "point", "student_t", "mixture", "categorical"]
PATH_HEADS: tuple[HeadKind, ...] = ("student_t", "mixture", "categorical")
"""Heads of the next step's return: their paths are sampled step by step, and summed."""


FREE_REMEDY = (
    "only a decoder that reads its previous output can, and a quantile or point head speaks of each step by itself; "
    "set decoder.previous = true and head.kind = 'student_t'"
)
"""What to do to forecast beyond the steps trained on."""


class EncoderSpec(Part):
    """Encoder over the past, and the summary that it makes of its states."""

    kind: Literal["recurrent", "transformer"] = "recurrent"
    cell: Cell = "lstm"
    hidden: int = Field(32, ge=1, le=4_096, description="units of a state")
    layers: int = Field(1, ge=1, le=8)
    directions: Literal["forward", "both"] = "forward"
    summary: Literal["last", "transform_last", "transform_all"] = Field(
        "last", description="the last state, a transform of it, or a transform of the mean of all states"
    )
    reads: Literal["chunk", "window"] = Field(
        "chunk", description="chunk: encoded once, read at many positions; window: each origin's window by itself"
    )
    window: int = Field(
        40, ge=2, le=100_000, description="states an origin's memory holds; bars read when reads = 'window'"
    )
    heads: int = Field(4, ge=1, le=64, description="attention heads of a transformer")
    positions: Literal["sinusoidal", "learned"] = Field("sinusoidal", description="of a transformer")

    @model_validator(mode="after")
    def _possible(self) -> EncoderSpec:
        if self.reads == "chunk" and self.directions == "both":
            raise ValueError("a backward pass over a chunk would read what comes after an origin; use reads = 'window'")
        if self.kind == "transformer":
            if self.reads == "chunk":
                raise ValueError("a transformer reads the window before an origin by itself; use reads = 'window'")
            if self.directions == "both":
                raise ValueError(
                    "a transformer sees its window whole and has no directions; use directions = 'forward'"
                )
            divisible(self.hidden, self.heads)
        return self


class AttentionSpec(Part):
    """Attention of a recurrent decoder over the encoder's states.

    bahdanau: additive, before the cell step (Bahdanau et al. 2015). luong_*: after the step (Luong et al. 2015), over
    all states, over a window that moves a state a step (local-m), or one whose centre is predicted (local-p).
    """

    kind: AttentionKind = "none"
    score: Score = Field("general", description="of Luong's attention; Bahdanau's is additive")
    radius: int = Field(5, ge=1, le=250, description="D: states on each side of a local window's centre")
    input_feeding: bool = Field(False, description="the attentional state is read at the next step (Luong)")

    @model_validator(mode="after")
    def _possible(self) -> AttentionSpec:
        if self.input_feeding and not self.kind.startswith("luong"):
            raise ValueError(
                f"input feeding belongs to Luong's attention, not to {self.kind}; use kind = 'luong_global'"
            )
        return self


RECURRENT = frozenset({"layers", "context", "previous", "start", "attention"})
"""Settings of a decoder that goes from step to step."""


class DecoderSpec(Part):
    """Decoder over the horizon: where its context enters, whether it reads its previous output, what it attends to."""

    kind: Literal["recurrent", "mlp", "transformer"] = Field(
        "recurrent",
        description="mlp: every step by itself, from the summary and the number of the step; a network is recurrent "
        "where layers, context, previous, start or attention are set and no kind is",
    )
    layers: int = Field(1, ge=1, le=8)
    context: Literal["initial", "every_step"] = Field(
        "every_step", description="the summary sets the first state only, or is read at every step too"
    )
    previous: bool = Field(False, description="read the previous output at every step")
    start: Literal["summary", "states", "zero", "learned"] = Field(
        "summary",
        description="the first state: the summary, the encoder's last states layer by layer, zero, or learned values; "
        "the last two know nothing of the past, which is read at every step alone",
    )
    attention: AttentionSpec = AttentionSpec()
    width: int = Field(32, ge=0, le=4_096, description="units of the head's hidden layer; 0: it has none")
    dropout: float = Field(0.1, ge=0, lt=1)
    heads: int = Field(4, ge=1, le=64, description="attention heads of a transformer")

    @model_validator(mode="after")
    def _possible(self) -> DecoderSpec:
        attends = self.attention.kind != "none"
        if self.kind != "recurrent" and attends:
            raise ValueError(
                f"decoder.attention is for recurrent decoders, not {self.kind}; use attention.kind = 'none'"
            )
        if self.kind != "recurrent" and self.context == "initial":
            raise ValueError(
                f"decoder kind {self.kind} has no state to set; use context = 'every_step' or kind = 'recurrent'"
            )
        if self.kind != "recurrent" and self.start in ("zero", "learned"):
            raise ValueError(
                f"decoder kind {self.kind} has no first state; use start = 'summary' or kind = 'recurrent'"
            )
        if self.start in ("zero", "learned") and self.context == "initial" and not attends:
            raise ValueError(
                f"decoder.start = '{self.start}' with the context in the first state only would leave the decoder "
                "without any past; use context = 'every_step' or start = 'summary'"
            )
        if self.kind == "mlp" and self.previous:
            raise ValueError("an mlp decoder forecasts each step by itself; use previous = false or kind = 'recurrent'")
        if self.kind == "mlp" and self.layers > 1:
            raise ValueError("an mlp decoder has one layer; use layers = 1 or kind = 'recurrent'")
        if self.attention.kind == "bahdanau" and self.context == "initial":
            raise ValueError("bahdanau attention is a context read at every step; use context = 'every_step'")
        return self


class HeadSpec(Part):
    """What the decoder's output says of the return; every correction of the anchor is bounded and zero at the start.

    quantile and point speak of the cumulative return at each step; student_t, mixture and categorical of the next
    step's return given the steps before, and are sampled as paths.
    """

    kind: HeadKind = "quantile"
    log_scale_bound: float = Field(0.5, gt=0, le=10, description="largest change of log scale")
    location_bound: float = Field(
        0.3, ge=0, le=100, description="largest location shift in anchor scales, divided by h"
    )
    shape_bound: float = Field(0.1, ge=0, le=10, description="largest weight of the tail and skew terms")
    spread_bound: float = Field(0.3, ge=0, le=10, description="largest weight of the centre-to-tail term")
    loss: Literal["mse", "mae", "huber"] = Field("mse", description="of a point head")
    components: int = Field(3, ge=2, le=20, description="Gaussians of a mixture")
    bins: int = Field(32, ge=4, le=500, description="return bins of a categorical head, equally likely in training")
    paths: int = Field(512, ge=64, le=20_000, description="sample paths of a forecast, where the head has them")


class Seq2SeqSpec(Part):
    """Seq2Seq = encoder x context x attention x decoder x head, and how each scope trains it."""

    encoder: EncoderSpec = EncoderSpec()
    decoder: DecoderSpec = DecoderSpec(kind="mlp", width=0)
    head: HeadSpec = HeadSpec()
    training: TrainingSpec = TrainingSpec()
    per_ticker: PerTickerSpec = PerTickerSpec()
    pooled: PooledSpec = PooledSpec()
    adapted: AdaptedSpec = AdaptedSpec()
    ranges: bool = Field(True, description="read range, overnight gap and volume, where a bar has them")
    market: bool = Field(True, description="read the market's return")

    @field_validator("decoder", mode="before")
    @classmethod
    def _completed(cls, given: Any) -> Any:
        """Some settings of a decoder stand on the default one, or on a recurrent one where they are about its steps."""
        if not isinstance(given, Mapping) or "kind" in given:
            return given
        return {"kind": "recurrent", **given} if RECURRENT & set(given) else {"kind": "mlp", "width": 0, **given}

    @model_validator(mode="after")
    def _composed(self) -> Seq2SeqSpec:
        encoder, decoder, head, training = self.encoder, self.decoder, self.head, self.training
        if not decoder.previous and training.regime != "free":
            raise ValueError(
                f"training.regime = '{training.regime}' is about what a decoder is fed, and this one reads no previous "
                "output; set decoder.previous = true or training.regime = 'free'"
            )
        if head.kind == "quantile" and training.regime == "teacher":
            raise ValueError(
                "a quantile head speaks of the return given the past alone; fed the true steps it would learn another "
                "distribution; use training.regime = 'free' or 'scheduled', or head.kind = 'student_t'"
            )
        if training.horizon is not None and not self.runs_free:
            raise ValueError(
                f"training.horizon = {training.horizon} asks for steps beyond those trained on; {FREE_REMEDY}"
            )
        if decoder.kind == "transformer":
            divisible(encoder.hidden, decoder.heads)
        if decoder.start == "states":
            same_stack(encoder, decoder)
        if self.remembers and encoder.window > training.warm + 1:
            raise ValueError(
                f"encoder.window = {encoder.window} states do not fit before the first origin of a chunk; "
                f"raise training.warm to {encoder.window - 1}"
                + (f" or lower encoder.window to {training.warm + 1}" if training.warm else "")
            )
        if training.precision == "bf16" and self.steps_itself:
            raise ValueError(
                "training.precision = 'bf16' is for decoders that run in one call, not step by step; "
                "use 'float32' or 'auto'"
            )
        return self

    @property
    def runs_free(self) -> bool:
        """Whether the decoder can go on beyond the steps it was trained on: it reads the step that it has drawn."""
        return self.decoder.previous and self.head.kind in PATH_HEADS

    @property
    def remembers(self) -> bool:
        """Whether an origin's memory holds states beside the summary."""
        return (
            self.decoder.attention.kind != "none"
            or self.decoder.kind == "transformer"
            or self.encoder.summary == "transform_all"
            or self.encoder.reads == "window"
        )

    @property
    def steps_itself(self) -> bool:
        """Whether training has to go step by step, because a step's input depends on the step before."""
        attention = self.decoder.attention
        fed_back = self.decoder.previous and self.training.regime != "teacher"
        return fed_back or attention.kind == "bahdanau" or attention.input_feeding


def same_stack(encoder: EncoderSpec, decoder: DecoderSpec) -> None:
    """Refuse to hand states over from one stack to another of a different build."""
    if encoder.kind != "recurrent" or decoder.kind != "recurrent" or encoder.directions == "both":
        raise ValueError(
            "decoder.start = 'states' hands a forward recurrent encoder's states to a recurrent decoder; use 'summary'"
        )
    if encoder.reads == "chunk":
        raise ValueError("inside a chunk only the top layer's states are kept; use encoder.reads = 'window'")
    if encoder.layers != decoder.layers:
        raise ValueError(
            f"decoder.start = 'states' needs equal stacks; set decoder.layers = {encoder.layers} like encoder.layers"
        )


def divisible(hidden: int, heads: int) -> None:
    """Refuse a transformer whose states do not part into its attention heads and into pairs of sine and cosine."""
    if hidden % heads:
        raise ValueError(
            f"{heads} attention heads do not divide hidden = {hidden}; use a multiple, such as {heads * 8}"
        )
    if hidden % 2:
        raise ValueError(f"hidden = {hidden} is odd; a transformer's positions come in pairs, use {hidden + 1}")
