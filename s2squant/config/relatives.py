"""Relatives of the forecaster, as frozen values: seq2seq over tokens, autoencoders of sequences.

Pairs that cannot work are refused here, with the remedy.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from s2squant.config.networks import DecoderSpec, EncoderSpec, divisible, same_stack
from s2squant.config.part import Part
from s2squant.config.training import TrainingSpec


class TokenSpec(Part):
    """Seq2Seq over tokens: a vocabulary, one embedding for both sides, and the encoder and decoder of the family.

    The output layer reads the decoder's hidden vector itself, so that `decoder.width` has no part in it; an encoder
    reads whole sequences, of at most `encoder.window` tokens if it is a transformer.
    """

    size: int = Field(ge=3, le=1_000_000, description="tokens of the vocabulary, the marks below among them")
    pad: int = Field(0, ge=0, le=1_000_000, description="fills a batch's shorter sequences; never read, never emitted")
    bos: int = Field(
        1, ge=0, le=1_000_000, description="what a decoder reads first; never emitted unless it is eos too"
    )
    eos: int = Field(2, ge=0, le=1_000_000, description="ends a sequence")
    embedding: int = Field(32, ge=1, le=4_096, description="numbers that stand for a token")
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
            divisible(self.encoder.hidden, self.decoder.heads)
        if self.decoder.start == "states":
            same_stack(self.encoder, self.decoder)
        return self


class LatentSpec(Part):
    """A sequence autoencoder: encoder -> a code of a few numbers -> decoder of the same length; how it is trained.

    The code is all that a decoder knows of its sequence, so that nothing may lead around it.
    """

    encoder: EncoderSpec = EncoderSpec(reads="window")
    decoder: DecoderSpec = DecoderSpec(dropout=0.0)
    code: int = Field(6, ge=1, le=4_096, description="numbers that a sequence is pressed into")
    training: TrainingSpec = TrainingSpec()
    steps: int = Field(800, ge=1, le=1_000_000)
    batch: int = Field(64, ge=1, le=10_000)
    lr: float = Field(5e-3, gt=0, le=10)

    @model_validator(mode="after")
    def _pressed(self) -> LatentSpec:
        decoder, training = self.decoder, self.training
        if training.precision == "bf16":
            raise ValueError(
                "training.precision = 'bf16' is for decoders of returns; autoencoders train in single precision, "
                "use 'float32' or 'auto'"
            )
        if training.device != "cpu":
            raise ValueError("training.device is for decoders of returns; autoencoders train on the CPU, use 'cpu'")
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
            divisible(self.encoder.hidden, decoder.heads)
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
    code: int = Field(4, ge=1, le=4_096, description="numbers that a sequence is pressed into")
    free_nats: float = Field(
        0.12, ge=0, le=1_000, description="KL of each number that costs nothing (Kingma et al. 2016)"
    )
    warm: float = Field(0.3, ge=0, le=1, description="share of the fit over which the KL's weight rises to one")

    @model_validator(mode="after")
    def _used(self) -> VariationalSpec:
        if self.decoder.previous and self.free_nats == 0:
            raise ValueError(
                "a decoder that reads the value before leaves the code unused (Bowman et al. 2016); "
                "raise free_nats or use decoder.previous = false"
            )
        return self
