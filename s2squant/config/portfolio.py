"""The portfolio of a run: how weights come from joint paths, and in which currency it is held."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from s2squant.config.part import Part, Ticker

Weights = Literal[
    "none", "file", "equal", "inverse_volatility", "min_cvar", "mean_cvar", "risk_parity", "kelly_fraction"
]
RULES: tuple[str, ...] = tuple(name for name in get_args(Weights) if name != "none")


class PortfolioSpec(Part):
    """Weights from joint paths of the recommended model, long only; judged walk-forward against simpler ones."""

    weights: Weights = Field("none", description="rule of the weights; each in docs/risk.md")
    file: str = Field("", description="for weights = file: a CSV with the columns ticker and weight")
    level: float = Field(0.05, gt=0, lt=0.5, description="share of the worst paths that CVaR averages")
    risk_aversion: float = Field(1.0, gt=0, le=1e6, description="of mean_cvar: mean return less this times CVaR")
    fraction: float = Field(0.5, gt=0, le=1, description="of the weights that maximise growth, kelly_fraction")
    most: float = Field(1.0, gt=0, le=1, description="largest weight of a ticker under min_cvar and mean_cvar")
    draws: int = Field(1000, ge=100, le=100_000, description="joint paths at each cutoff")
    currency: str = Field("", description="base currency, as USD; empty: each ticker counts in its own")
    currencies: dict[Ticker, str] = Field({}, description="ticker -> currency of its price, where the guess is wrong")
    paths: bool = Field(False, description="write the newest joint paths to paths.parquet")

    @field_validator("currency")
    @classmethod
    def _code(cls, code: str) -> str:
        if code and not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
            raise ValueError(f"{code} is no currency; write three capitals, as USD")
        return code

    @model_validator(mode="after")
    def _fits(self) -> PortfolioSpec:
        if (self.weights == "file") != bool(self.file):
            raise ValueError("weights = file and the file belong together; give both or neither")
        return self
