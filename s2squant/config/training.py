"""How networks are trained, as frozen values: the one loop, and steps, batch, rate and seeds of each scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from s2squant.config.part import Part

Optimiser = Literal["adamw", "adam"]
Precision = Literal["float32", "bf16", "auto"]
Device = Literal["cpu", "cuda", "auto"]


class TrainingSpec(Part):
    """The one training loop: AdamW or Adam, one cycle, weight EMA, many positions decoded from each chunk."""

    chunk: int = Field(200, ge=20, le=10_000, description="bars encoded in one pass")
    warm: int = Field(50, ge=0, le=10_000, description="first bars of a chunk, never decoded from")
    positions: int = Field(
        60,
        ge=1,
        le=10_000,
        description="positions decoded from in each chunk; where it is not set, all after the first ones if fewer",
    )
    horizon: int | None = Field(
        None,
        ge=1,
        le=250,
        description="steps that a decoder is trained on, where they are fewer than the forecast's: beyond, one that "
        "reads its previous output runs free",
    )
    regime: Literal["free", "teacher", "scheduled"] = Field(
        "free",
        description="what a decoder that reads its previous output is fed in training: its own, the truth, a mix",
    )
    schedule: Literal["linear", "exponential", "inverse_sigmoid"] = Field(
        "inverse_sigmoid", description="how the share of truth falls in scheduled sampling (Bengio et al. 2015)"
    )
    optimiser: Optimiser = Field("adamw", description="adam: L2 in the gradient; adamw: decoupled")
    rate: Literal["one_cycle", "constant"] = Field("one_cycle", description="the learning rate over the steps")
    weight_decay: float = Field(1e-2, ge=0, le=10, description="on matrices only")
    ema: float = Field(0.98, ge=0, lt=1)
    clip: float = Field(1.0, gt=0, le=1e6, description="gradient norm")
    precision: Precision = Field(
        "float32",
        description="of the forward pass in training; bf16: bfloat16 autocast; auto: bf16 where the machine has units "
        "for it and the network gains, else float32 (manifest.json says which)",
    )
    device: Device = Field("cpu", description="where networks train; auto: on a CUDA device where torch finds one")

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, given: Any) -> Any:
        """Settings and models written with `bf16`, true or false, which `precision` replaced."""
        match given:
            case {"bf16": bool(bf16), **others} if "precision" not in others:
                return {**others, "precision": "bf16" if bf16 else "float32"}
        return given

    @model_validator(mode="before")
    @classmethod
    def _fitting(cls, given: Any) -> Any:
        """The default number of positions, or as many as a shorter chunk has."""
        if not isinstance(given, Mapping) or "positions" in given:
            return given
        most, chunk, warm = (given.get(name, cls.model_fields[name].default) for name in ("positions", "chunk", "warm"))
        if not (isinstance(chunk, int) and isinstance(warm, int)) or chunk - warm >= most:
            return given
        return {**given, "positions": max(1, chunk - warm)}

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

    steps: int = Field(100, ge=1, le=1_000_000)
    batch: int = Field(4, ge=1, le=10_000, description="chunks in a step")
    lr: float = Field(1e-3, gt=0, le=10)
    seeds: int = Field(1, ge=1, le=100, description="nets averaged")
    free_table: bool = Field(False, description="let the head's table leave the anchor's")


class PooledSpec(Part):
    """One net for all tickers of a market."""

    steps: int = Field(300, ge=1, le=1_000_000)
    batch: int = Field(8, ge=1, le=10_000)
    lr: float = Field(2e-3, gt=0, le=10)
    seeds: int = Field(2, ge=1, le=100)
    free_table: bool = True


class AdaptedSpec(Part):
    """The pooled net, then tuned on one ticker."""

    steps: int = Field(60, ge=1, le=1_000_000)
    batch: int = Field(2, ge=1, le=10_000)
    lr: float = Field(5e-4, gt=0, le=10)
    seeds: int = Field(1, ge=1, le=100)
    free_table: bool = False
