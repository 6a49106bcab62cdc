"""Settings of a nightly: its experiment, retraining, monitoring and retention, as frozen values.

Where the ledger is comes from the environment (S2SQUANT_LEDGER), as its address may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from s2squant.config.defaults import DEAD_AFTER, MODEL_DAYS, PRICE_DAYS, RUN_DAYS
from s2squant.config.experiment import Experiment, Universe
from s2squant.config.models import Forecasters, ModelName
from s2squant.config.part import Part

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
TOO_SHORT = ("5m", "1m")
"""Intervals of which a quarter is less than a night takes."""


class Retraining(Part):
    """When models are fitted anew; between fits their weights stay as they are."""

    every: int = Field(20, ge=1, le=10_000, description="sessions after which everything is fitted anew")
    on_drift: bool = Field(True, description="fit anew when the monitor alarms")


class Monitoring(Part):
    """The track record's window, and when the monitor alarms."""

    window: int = Field(60, ge=10, le=100_000, description="sessions of rolling coverage and of the PIT shown")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance that a calibrated model ever alarms (Ville)")


class Retention(Part):
    """What `maintain` keeps, in days; ledger rows are never removed."""

    runs: int = Field(RUN_DAYS, ge=1, le=100_000, description="folders of nightly runs and backtests")
    models: int = Field(
        MODEL_DAYS, ge=1, le=100_000, description="weights: a forecast older than this cannot be replayed"
    )
    prices: int = Field(PRICE_DAYS, ge=1, le=100_000, description="versions of stored prices that no longer stand")
    dead_after: float = Field(
        DEAD_AFTER, gt=0, le=10_000, description="hours after which a run that still counts as running is dead"
    )


ISSUED: tuple[ModelName, ...] = (
    "historical_simulation",
    "gjr_shrunk",
    "anchor",
    "pretrained",
    "seq2seq_per_ticker",
    "seq2seq_pooled",
    "blend",
)


class Nightly(Part):
    """A scheduled forecast: everything that decides its numbers."""

    name: str = Field("nightly", description="whose record it is in the ledger: a-z, 0-9 and -")
    experiment: Experiment = Experiment(
        name="nightly", universe=Universe(source="yfinance"), forecasters=Forecasters(models=ISSUED)
    )
    retraining: Retraining = Retraining()
    monitoring: Monitoring = Monitoring()
    models: str = Field("data/models", description="folder of the weights, by content hash")
    backtest: str = Field("", description="folder of the backtest that the live record is held against; empty: none")

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, given: Any) -> Any:
        """Where the experiment is given in part, its source and its models are still a nightly's, not a backtest's."""
        if not isinstance(given, Mapping) or not isinstance(given.get("experiment"), Mapping):
            return given
        experiment = dict(given["experiment"])
        experiment.setdefault("name", given.get("name", "nightly"))
        for part, key, usual in (("universe", "source", "yfinance"), ("forecasters", "models", ISSUED)):
            if isinstance(experiment.get(part, {}), Mapping):
                experiment[part] = {key: usual} | dict(experiment.get(part, {}))
        return {**given, "experiment": experiment}

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a nightly's name is made of a-z, 0-9 and -, at most 40")
        return name

    @model_validator(mode="after")
    def _can_be_issued(self) -> Nightly:
        if "seq2seq_adapted" in self.experiment.forecasters.models:
            raise ValueError("seq2seq_adapted is no model of a nightly; leave it out")
        interval = self.experiment.universe.interval
        if interval in TOO_SHORT:
            text = f"a bar of {interval} is over before its forecast could be issued"
            raise ValueError(f"{text}; take universe.interval=15m or longer, or predict --interval {interval}")
        if self.experiment.universe.end is not None or self.experiment.universe.as_of is not None:
            raise ValueError("a nightly takes the newest bars; leave universe.end and universe.as_of out")
        return self
