"""What a network is made of, as frozen values: encoder x context x attention x decoder x head, and how it is trained.

Pairs that cannot work are refused here, with the remedy. Imports neither torch nor pandas.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from s2squant.config.part import Part


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


Scope = Literal["per_ticker", "pooled", "adapted"]


Cell = Literal["lstm", "gru", "rnn"]


AttentionKind = Literal["none", "bahdanau", "luong_global", "luong_local_m", "luong_local_p"]


Score = Literal["dot", "general", "concat"]


HeadKind = Literal["quantile", "point", "student_t", "mixture", "categorical"]


PATH_HEADS: tuple[HeadKind, ...] = ("student_t", "mixture", "categorical")
"""Heads of the next step's return: their paths are sampled step by step, and summed."""


class EncoderSpec(Part):
    """Encoder over the past, and the summary that it makes of its states."""

    kind: Literal["recurrent", "transformer"] = "recurrent"
    cell: Cell = "lstm"
    hidden: int = Field(32, ge=1, description="units of a state")
    layers: int = Field(1, ge=1, le=8)
    directions: Literal["forward", "both"] = "forward"
    summary: Literal["last", "transform_last", "transform_all"] = Field(
        "last", description="the last state, a transform of it, or a transform of the mean of all states"
    )
    reads: Literal["chunk", "window"] = Field(
        "chunk", description="chunk: encoded once, read at many positions; window: each origin's window by itself"
    )
    window: int = Field(40, ge=2, description="states an origin's memory holds; bars read when reads = 'window'")
    heads: int = Field(4, ge=1, description="attention heads of a transformer")
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
            _divisible(self.hidden, self.heads)
        return self


class AttentionSpec(Part):
    """Attention of a recurrent decoder over the encoder's states.

    bahdanau: additive, before the cell step (Bahdanau et al. 2015). luong_*: after the step (Luong et al. 2015), over
    all states, over a window that moves a state a step (local-m), or one whose centre is predicted (local-p).
    """

    kind: AttentionKind = "none"
    score: Score = Field("general", description="of Luong's attention; Bahdanau's is additive")
    radius: int = Field(5, ge=1, description="D: states on each side of a local window's centre")
    input_feeding: bool = Field(False, description="the attentional state is read at the next step (Luong)")

    @model_validator(mode="after")
    def _possible(self) -> AttentionSpec:
        if self.input_feeding and not self.kind.startswith("luong"):
            raise ValueError(
                f"input feeding belongs to Luong's attention, not to {self.kind}; use kind = 'luong_global'"
            )
        return self


class DecoderSpec(Part):
    """Decoder over the horizon: where its context enters, whether it reads its previous output, what it attends to."""

    kind: Literal["recurrent", "mlp", "transformer"] = "recurrent"
    layers: int = Field(1, ge=1, le=8)
    context: Literal["initial", "every_step"] = Field(
        "every_step", description="the summary sets the first state only, or is read at every step too"
    )
    previous: bool = Field(False, description="read the previous output at every step")
    start: Literal["summary", "states"] = Field(
        "summary", description="the first state: the summary, or the encoder's last states layer by layer"
    )
    attention: AttentionSpec = AttentionSpec()
    width: int = Field(32, ge=0, description="units of the head's hidden layer; 0: it has none")
    dropout: float = Field(0.1, ge=0, lt=1)
    heads: int = Field(4, ge=1, description="attention heads of a transformer")

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
    log_scale_bound: float = Field(0.5, gt=0, description="largest change of log scale")
    location_bound: float = Field(0.3, ge=0, description="largest location shift in anchor scales, divided by h")
    shape_bound: float = Field(0.1, ge=0, description="largest weight of the tail and skew terms")
    spread_bound: float = Field(0.3, ge=0, description="largest weight of the centre-to-tail term")
    loss: Literal["mse", "mae", "huber"] = Field("mse", description="of a point head")
    components: int = Field(3, ge=2, le=20, description="Gaussians of a mixture")
    bins: int = Field(32, ge=4, le=500, description="return bins of a categorical head, equally likely in training")
    paths: int = Field(512, ge=64, description="sample paths of a forecast, where the head has them")


class TrainingSpec(Part):
    """The one training loop: AdamW or Adam, one cycle, weight EMA, many positions decoded from each chunk."""

    chunk: int = Field(200, ge=20, description="bars encoded in one pass")
    warm: int = Field(50, ge=0, description="first bars of a chunk, never decoded from")
    positions: int = Field(12, ge=1, description="positions decoded from in each chunk")
    regime: Literal["free", "teacher", "scheduled"] = Field(
        "free",
        description="what a decoder that reads its previous output is fed in training: its own, the truth, a mix",
    )
    schedule: Literal["linear", "exponential", "inverse_sigmoid"] = Field(
        "inverse_sigmoid", description="how the share of truth falls in scheduled sampling (Bengio et al. 2015)"
    )
    optimiser: Literal["adamw", "adam"] = Field("adamw", description="adam: L2 in the gradient; adamw: decoupled")
    rate: Literal["one_cycle", "constant"] = Field("one_cycle", description="the learning rate over the steps")
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
    """Seq2Seq = encoder x context x attention x decoder x head, and how each scope trains it."""

    encoder: EncoderSpec = EncoderSpec()
    decoder: DecoderSpec = DecoderSpec()
    head: HeadSpec = HeadSpec()
    training: TrainingSpec = TrainingSpec()
    per_ticker: PerTickerSpec = PerTickerSpec()
    pooled: PooledSpec = PooledSpec()
    adapted: AdaptedSpec = AdaptedSpec()
    ranges: bool = Field(True, description="read range, overnight gap and volume where every ticker has them")
    market: bool = Field(True, description="read the market's return")

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
        if decoder.kind == "transformer":
            _divisible(encoder.hidden, decoder.heads)
        if decoder.start == "states":
            _same_stack(encoder, decoder)
        if self.remembers and encoder.window > training.warm + 1:
            raise ValueError(
                f"encoder.window = {encoder.window} states do not fit before the first origin of a chunk; "
                f"raise training.warm to {encoder.window - 1}"
                + (f" or lower encoder.window to {training.warm + 1}" if training.warm else "")
            )
        if training.bf16 and self.steps_itself:
            raise ValueError("training.bf16 is for decoders that run in one call, not step by step; use bf16 = false")
        return self

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


class TokenSpec(Part):
    """Seq2Seq over tokens: a vocabulary, one embedding for both sides, and the encoder and decoder of the family.

    The output layer reads the decoder's hidden vector itself, so that `decoder.width` has no part in it; an encoder
    reads whole sequences, of at most `encoder.window` tokens if it is a transformer.
    """

    size: int = Field(ge=3, description="tokens of the vocabulary, the marks below among them")
    pad: int = Field(0, ge=0, description="fills a batch's shorter sequences; never read, never said")
    bos: int = Field(1, ge=0, description="what a decoder reads first; never said unless it is eos too")
    eos: int = Field(2, ge=0, description="ends a sequence")
    embedding: int = Field(32, ge=1, description="numbers that stand for a token")
    encoder: EncoderSpec
    decoder: DecoderSpec

    @model_validator(mode="after")
    def _possible(self) -> TokenSpec:
        highest = max(self.pad, self.bos, self.eos)
        if highest >= self.size:
            raise ValueError(f"the mark {highest} is no token of a vocabulary of {self.size}; raise size")
        if self.pad in (self.bos, self.eos):
            raise ValueError(
                f"pad = {self.pad} is bos or eos too and would be taken for it; give it a token of its own"
            )
        if self.encoder.reads != "window":
            raise ValueError("tokens are read as whole sequences; use encoder.reads = 'window'")
        if self.decoder.kind == "mlp" or not self.decoder.previous:
            raise ValueError(
                "a token depends on the one before; use decoder.previous = true, and a recurrent or transformer decoder"
            )
        if self.decoder.kind == "transformer":
            _divisible(self.encoder.hidden, self.decoder.heads)
        if self.decoder.start == "states":
            _same_stack(self.encoder, self.decoder)
        return self


def _same_stack(encoder: EncoderSpec, decoder: DecoderSpec) -> None:
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


def _divisible(hidden: int, heads: int) -> None:
    if hidden % heads:
        raise ValueError(
            f"{heads} attention heads do not divide hidden = {hidden}; use a multiple, such as {heads * 8}"
        )
    if hidden % 2:
        raise ValueError(f"hidden = {hidden} is odd; a transformer's positions come in pairs, use {hidden + 1}")


class LatentSpec(Part):
    """A sequence autoencoder: encoder -> a code of a few numbers -> decoder of the same length; how it is trained.

    The code is all that a decoder knows of its sequence, so that nothing may lead around it.
    """

    encoder: EncoderSpec = EncoderSpec(reads="window")
    decoder: DecoderSpec = DecoderSpec(dropout=0.0)
    code: int = Field(6, ge=1, description="numbers that a sequence is pressed into")
    training: TrainingSpec = TrainingSpec()
    steps: int = Field(800, ge=1)
    batch: int = Field(64, ge=1)
    lr: float = Field(5e-3, gt=0)

    @model_validator(mode="after")
    def _pressed(self) -> LatentSpec:
        decoder, training = self.decoder, self.training
        if training.bf16:
            raise ValueError(
                "training.bf16 is for decoders of returns; autoencoders train in single precision, use false"
            )
        if training.regime != "free":
            raise ValueError(
                f"training.regime = '{training.regime}' is about forecasts; an autoencoder's decoder is fed the "
                "sequence itself or nothing, use 'free'"
            )
        if decoder.attention.kind != "none":
            raise ValueError(
                f"{decoder.attention.kind} attention would read the states around the code; use attention.kind = 'none'"
            )
        if decoder.start == "states":
            raise ValueError("the encoder's last states would go around the code; use decoder.start = 'summary'")
        if decoder.kind == "transformer":
            _divisible(self.encoder.hidden, decoder.heads)
        return self


class AutoencoderSpec(LatentSpec):
    """An autoencoder that reconstructs; its decoder reads the code and the clock alone."""

    @model_validator(mode="after")
    def _blind(self) -> AutoencoderSpec:
        if self.decoder.previous:
            raise ValueError(
                "a decoder that reads the value before would copy the sequence around the code; "
                "use decoder.previous = false"
            )
        return self


class VariationalSpec(LatentSpec):
    """An autoencoder whose code is drawn, and can be drawn without a sequence: a generator."""

    decoder: DecoderSpec = DecoderSpec(dropout=0.0, previous=True)
    code: int = Field(4, ge=1, description="numbers that a sequence is pressed into")
    free_nats: float = Field(0.12, ge=0, description="KL of each number that costs nothing (Kingma et al. 2016)")
    warm: float = Field(0.3, ge=0, le=1, description="share of the fit over which the KL's weight rises to one")

    @model_validator(mode="after")
    def _used(self) -> VariationalSpec:
        if self.decoder.previous and self.free_nats == 0:
            raise ValueError(
                "a decoder that reads the value before leaves the code unused (Bowman et al. 2016); "
                "raise free_nats or use decoder.previous = false"
            )
        return self
