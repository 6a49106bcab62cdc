"""The whole experiment as frozen values: every default of the package lives here, and only here.

Imports neither torch nor pandas. Unknown keys are refused with the nearest known key named.
Bars are trading sessions of the ticker's own calendar; returns are log returns.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from s2squant.config.asset_classes import AssetClass
from s2squant.config.covariates import CovariateSpec
from s2squant.config.defaults import STORE
from s2squant.config.intervals import Asked
from s2squant.config.models import (
    MEASURED,
    MODELS,
    ON_COVARIATES,
    Forecasters,
    ModelName,
    ModelOrNone,
)
from s2squant.config.part import Part, Ticker, dated, listed, whole_tickers, written_out
from s2squant.config.portfolio import PortfolioSpec


class Universe(Part):
    """Which series, from where."""

    source: str = Field("sample", description="sample | yfinance | store:DIR | csv:DIR or FILE | parquet:DIR or FILE")
    tickers: tuple[Ticker, ...] = Field((), description="empty: the source's default universe")
    interval: Asked = Field(
        "", description="of the bars; coarser than the source's are made of them; empty: files' own, else 1d"
    )
    zone: str = Field("", description="of stamps within the day that name none, as America/New_York; empty: found")
    start: date | None = Field(None, strict=False, description="first date used")
    end: date | None = Field(None, strict=False, description="last date used, inclusive")
    calendars: dict[Ticker, str] = Field(
        {}, description="ticker -> calendar (XNYS, 24/7, ...) where the guess is wrong"
    )
    asset_classes: dict[Ticker, AssetClass] = Field(
        {}, description="ticker -> stocks, currencies, crypto, commodities or rates, where the guess is wrong"
    )
    accept: tuple[str, ...] = Field((), description="findings to be taken as they are, not quarantined; or 'all'")
    store: str = Field(STORE, description="folder of the price store that yfinance is read through")
    as_of: datetime | None = Field(
        None,
        strict=False,
        description="yfinance and store:DIR: the bars as stored then, nothing fetched; without a zone UTC",
    )
    pinned: datetime | None = Field(
        None, strict=False, description="written by a run: the as_of that it noted, which nobody chose"
    )

    _texts = field_validator("tickers", "accept", mode="before")(listed)
    _dates = field_validator("start", "end", "as_of", mode="before")(written_out)
    _known_days = field_validator("start", "end", "as_of", "pinned")(dated)
    _whole = field_validator("calendars", "asset_classes", mode="before")(whole_tickers)

    @field_validator("zone")
    @classmethod
    def _of_the_world(cls, zone: str) -> str:
        try:
            return zone and ZoneInfo(zone).key
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"no zone is called {zone!r}; write it as America/New_York or UTC") from error

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


class Walk(Part):
    """The walk-forward plan, in bars of each market's calendar. The purge equals the horizon."""

    horizon: int = Field(20, ge=1, le=250, description="steps ahead, H")
    cutoffs: int = Field(100, ge=2, le=100_000, description="scored cutoffs per market")
    every: int = Field(10, ge=1, le=10_000, description="bars between cutoffs")
    refit_every: int = Field(350, ge=1, le=1_000_000_000, description="bars after which models are fitted again")
    window: Literal["expanding", "sliding"] = "expanding"
    train_bars: int = Field(2500, ge=100, le=1_000_000, description="training bars of a sliding window")
    min_train: int = Field(750, ge=300, le=1_000_000, description="bars a ticker needs before its first cutoff")


WITHIN_A_DAY: dict[str, dict[str, int]] = {
    "1h": {"horizon": 8, "cutoffs": 150, "every": 11, "refit_every": 1100, "min_train": 1000},
    "30m": {"horizon": 8, "cutoffs": 100, "every": 11, "refit_every": 1100, "min_train": 750},
    "15m": {"horizon": 8, "cutoffs": 100, "every": 11, "refit_every": 1100, "min_train": 750},
    "5m": {"horizon": 12, "cutoffs": 150, "every": 13, "refit_every": 2000, "min_train": 1000},
    "1m": {"horizon": 15, "cutoffs": 200, "every": 17, "refit_every": 2000, "min_train": 1000},
}
"""What a walk begins with where bars are shorter than a day: `every` shares no factor with the bars of usual sessions,
so that cutoffs come to stand at every time of the day."""


class VerdictSpec(Part):
    """The written rule behind the sentence."""

    reference: ModelName = "historical_simulation"
    recommended: ModelName = "blend"
    rival: ModelOrNone = Field(
        "gjr_shrunk", description="baseline that has to be beaten too, where it runs, named before the run; empty: none"
    )
    shuffled: bool = Field(True, description="say what recommended and rival would have shown on shuffled returns")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="two-sided level of the pooled test")
    fdr: float = Field(0.10, gt=0, lt=0.5, description="Benjamini-Hochberg level across tickers")
    set_level: float = Field(0.10, gt=0, lt=0.5, description="level of the model confidence set")
    window: float = Field(0.3, gt=0.05, lt=0.95, description="share of cutoffs in a window of the fluctuation test")


class RecalibrationSpec(Part):
    """Recalibration of the recommended model, a second row beside it; the raw one again while it does not pay."""

    enabled: bool = True
    evidence: float = Field(
        1.05, ge=1, le=1e9, description="e-value of its gain above which it is in force (20: a 5 % test)"
    )


class StrategySpec(Part):
    """One pre-declared trading rule, executed on the bar after the cutoff."""

    rule: Literal["sign", "median_over_width", "median_over_es", "volatility_target", "cvar_limit"] = Field(
        "sign", description="what the quantiles at the last step ask for; each in docs/risk.md"
    )
    cost_bp: float = Field(
        5.0, ge=0, le=10_000, description="commission and half the spread, basis points per unit of turnover"
    )
    borrow_bp: float = Field(50.0, ge=0, le=100_000, description="basis points a year on what is sold short")
    target_volatility: float = Field(0.10, gt=0, le=10, description="volatility a year that volatility_target aims at")
    cvar_limit: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of equity that the worst 5 % may lose over the horizon, under cvar_limit",
    )
    volatility_bars: int = Field(
        60, ge=5, le=100_000, description="bars whose volatility equal_volatility, beside the rule, reads"
    )
    drift_bars: int = Field(500, ge=20, le=100_000, description="bars whose mean return random_walk_sign follows")


class Experiment(Part):
    """Everything that decides a run's numbers; written beside every result and itself an input."""

    name: Annotated[str, Field(min_length=1, max_length=80)] = "backtest"
    seed: int = Field(0, ge=0, lt=2**31)
    universe: Universe = Universe()
    covariates: tuple[CovariateSpec, ...] = Field((), description="what else is read beside prices")
    walk: Walk = Walk()
    forecasters: Forecasters = Forecasters()
    verdict: VerdictSpec = VerdictSpec()
    recalibration: RecalibrationSpec = RecalibrationSpec()
    strategy: StrategySpec = StrategySpec()
    portfolio: PortfolioSpec = PortfolioSpec()

    @field_validator("covariates")
    @classmethod
    def _named_once(cls, covariates: tuple[CovariateSpec, ...]) -> tuple[CovariateSpec, ...]:
        names = [covariate.name for covariate in covariates]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two covariates are called {repeated[0]}; rename one")
        return covariates

    @model_validator(mode="after")
    def _judged(self) -> Experiment:
        for role, model in (("reference", self.verdict.reference), ("recommended", self.verdict.recommended)):
            if model not in self.forecasters.models:
                raise ValueError(f"verdict.{role} is {model}, which does not run; add it to forecasters.models")
        trained = self.forecasters.seq2seq.training.horizon
        if trained is not None and trained > self.walk.horizon:
            raise ValueError(
                f"forecasters.seq2seq.training.horizon = {trained} is beyond walk.horizon = {self.walk.horizon}; "
                "lower it"
            )
        idle = [] if self.covariates else [m for m in ON_COVARIATES if m in self.forecasters.models]
        if idle:
            raise ValueError(f"{idle[0]} is about covariates, and there are none; add [[covariates]] or leave it out")
        measures = {c.realised for c in self.covariates}
        for model in (m for m in MEASURED if m in self.forecasters.models):
            if lacking := [measure for measure in MODELS[model].reads if measure not in measures]:
                raise ValueError(
                    f'{model} reads a realised variance; add [[covariates]] with realised = "{lacking[0]}", or leave '
                    "the model out"
                )
        return self

    def at_interval(self, interval: str) -> Experiment:
        """The experiment on bars of this interval: what nobody set of its walk is what such bars begin with."""
        begins = WITHIN_A_DAY.get(interval)
        if begins is None:
            return self
        walk = self.walk.model_copy(update={k: v for k, v in begins.items() if k not in self.walk.model_fields_set})
        return self.model_copy(
            update={"walk": walk, "universe": self.universe.model_copy(update={"interval": interval})}
        )

    def to_json(self) -> str:
        """The experiment as JSON text, which `build_experiment` reads back unchanged."""
        return self.model_dump_json(indent=1) + "\n"
