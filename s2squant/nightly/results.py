"""Result of a night: markets, tickers, forecasts, live record and drift monitor, as frozen records.

Like evaluation.results.Study for a backtest: the page lays these out and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from s2squant.config.intervals import intraday
from s2squant.config.nightly import Nightly
from s2squant.prices.calendars.grid import clock_text
from s2squant.series.arrays import Dates, dates_of
from s2squant.series.history import PriceHistory

TickerStatus = Literal["ok", "stale", "failed", "late", "closed"]
NightStatus = Literal["done", "partial", "failed", "skipped", "late"]


@dataclass(frozen=True)
class TickerNight:
    """Outcome of one ticker tonight."""

    ticker: str
    market: str
    status: TickerStatus
    reason: str = ""
    session: str = ""
    """Its last bar: a day, or the moment (UTC) at which it began."""
    close: float = float("nan")
    """Raw close of that bar."""
    prices_at: str = ""
    """The stored price version that was read: its fetched-at."""
    how: Literal["trained", "kept", ""] = ""
    """How tonight's weights came about."""
    trained: str = ""
    """The session of the last full fit, YYYY-MM-DD."""


def when(market: str, session: str) -> str:
    """A session's key for people: a day, or a bar's beginning on the exchange's clock."""
    return clock_text(market, dates_of(market, [session]))[0] if session else ""


@dataclass(frozen=True)
class MarketNight:
    """Outcome of one market tonight."""

    market: str
    session: str
    """The as-of bar: the last one final at the scheduled time, a day or the moment (UTC) at which it began."""
    next_session: str = ""
    deadline: datetime | None = None
    """After this moment nothing is issued for the session."""
    skipped: str = ""
    """Why nothing was due; "" when something was."""
    missed: tuple[str, ...] = ()
    """Earlier sessions without a forecast, noted as gaps tonight."""
    trained: str = ""
    """The session of the last full fit, YYYY-MM-DD."""
    age: int = 0
    """Sessions since then."""


@dataclass(frozen=True)
class Monitor:
    """What the drift monitor says of one model's live record; e-values and guarantees: see track_record/drift.py."""

    model: str
    alpha: float
    alarmed: bool
    e_value: float
    """The e-process as it stands: the highest since the start, were it read every session, exceeds 1 / alpha with
    probability alpha at most where the forecasts are calibrated."""
    sentence: str
    since: str = ""
    """The first session it counts, YYYY-MM-DD; "" for the whole record."""
    first_alarm: str = ""
    """The session at which it first stood at 1 / alpha or more; "" when it never did."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The e-value of each component by its name, as it stands."""
    by_session: pd.DataFrame = field(default_factory=pd.DataFrame)
    """session (ds), covered (share of outcomes inside the 80 % interval), n (outcomes), e_value; sessions in order."""


@dataclass(frozen=True)
class Band:
    """Where a backtest's mean gain over as many cutoffs as are live would lie 95 times in 100 (block bootstrap)."""

    n: int
    """Live cutoffs it is drawn for."""
    low: float
    high: float
    mean: float
    """Gain of the backtest: reference CRPS minus the model's, % log return, mean over steps, tickers and cutoffs."""
    cutoffs: int
    """Of the backtest."""
    run_id: str = ""
    """The backtest."""
    reason: str = ""
    """Why there is no band; the figures are NaN then."""


@dataclass(frozen=True)
class TrackRecord:
    """The live record in figures. Tables, one row each per (CRPS in % log return; empty where nothing can be said):

    - `coverage`: model, group (of steps: "all", "1", "2-5", ..), interval (50, 80, 95), coverage, band_low, band_high
      (where an ideal forecaster's lies 95 times in 100), n (cutoffs), n_eff
    - `rolling`: session (ds), interval, coverage (last `window` sessions), sessions, band_low, band_high
    - `skill`: model, group, crps, crps_reference, skill (mean over tickers), effect, low, high (the same averaged
      over cutoffs, with its 95 % interval, Diebold-Mariano with EWC), p, n (cutoffs), n_eff, reason (why no interval)
    - `pit`: low, high, share, band_low, band_high (last `window` sessions)
    - `hits`: unique_id, cutoff, ds, step, price, median, low, high (80 % interval, in prices on the basis at issue),
      inside, pit; the newest outcomes first
    - `cumulative`: model, cutoff, difference (reference CRPS - model CRPS, mean over steps and tickers), cumulative
    - `by_ticker`: unique_id, skill, coverage_80 (NaN before 10 sessions), sessions (of the last `window`), issued, due,
      share
    - `revisions`: unique_id ("all" pooled), revisions, size (root mean square, % log return), autocorrelation, low,
      high (of the pool)
    - `schedule`: cutoff, issued, due, share, kinds (of gaps, in words); one row a cutoff date
    """

    model: str
    """The model it is about: the recommended one as issued, recalibrated where that stands in the record."""
    recommended: str
    reference: str
    window: int
    horizon: int
    sessions: int
    """Sessions on which an outcome was scored."""
    cutoffs: int
    """Cutoff dates with a live forecast."""
    complete: int
    """Cutoff dates whose every step has been scored."""
    issued: int
    """Live forecasts: tickers x cutoffs."""
    due: int
    """Those and the gaps."""
    sentence: str
    """The record in one sentence; says so when there is too little of it."""
    word: Literal["better", "no evidence", "worse"]
    """Of all steps, or of those that the sentence names while all cannot be tested."""
    coverage_now: float
    """Share inside the 80 % interval, last `window` sessions; NaN before 10 are scored."""
    band: Band | None = None
    live_mean: float = float("nan")
    """Live mean gain per complete cutoff, comparable with the band."""
    inside: bool | None = None
    """Whether the live mean lies inside the band; None where that cannot be said."""
    noun: Literal["session", "bar"] = "session"
    """What a bar is called: a session, or a bar where it is shorter than a day."""
    against: str = ""
    """Live against the backtest, in one sentence."""
    revision_sentence: str = ""
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    rolling: pd.DataFrame = field(default_factory=pd.DataFrame)
    skill: pd.DataFrame = field(default_factory=pd.DataFrame)
    pit: pd.DataFrame = field(default_factory=pd.DataFrame)
    hits: pd.DataFrame = field(default_factory=pd.DataFrame)
    cumulative: pd.DataFrame = field(default_factory=pd.DataFrame)
    by_ticker: pd.DataFrame = field(default_factory=pd.DataFrame)
    revisions: pd.DataFrame = field(default_factory=pd.DataFrame)
    schedule: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def share(self) -> float:
        """Forecasts issued of those due; NaN before any was."""
        return self.issued / self.due if self.due else float("nan")


@dataclass(frozen=True)
class Night:
    """One run of a nightly forecast, ready to be laid out.

    - `today`: tonight's forecasts as Ledger.record() gives them, all models; empty when none was issued
    - `record`: Ledger.record() rows, live, with outcomes, of the recommended model (raw and recalibrated), the
      reference and the anchor
    - `gaps`, `events`, `runs`: as the ledger gives them, of this nightly (runs: the fields of RunEntry)
    """

    spec: Nightly
    run_id: str
    scheduled_at: datetime
    started_at: datetime
    finished_at: datetime
    status: NightStatus
    message: str
    """One line for people."""
    issued: int
    """Rows issued."""
    scored: int
    """Outcomes entered."""
    reissued: int
    markets: tuple[MarketNight, ...]
    tickers: tuple[TickerNight, ...]
    today: pd.DataFrame
    record: pd.DataFrame
    histories: Mapping[str, PriceHistory]
    gaps: pd.DataFrame
    events: pd.DataFrame
    runs: pd.DataFrame
    track: TrackRecord
    monitor: Monitor
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """versions, seeds, timings (seconds), command, ledger (address without password), models (versions)."""

    @property
    def lost(self) -> tuple[TickerNight, ...]:
        """Tickers without a forecast tonight."""
        return tuple(t for t in self.tickers if t.status != "ok")


def text_of(value: date | None) -> str:
    """A session's key as ISO text, 2024-05-31 or 2024-05-31T13:30:00; "" for none."""
    return "" if value is None else value.isoformat()


def bar_noun(night: Night) -> Literal["session", "bar"]:
    """What the night calls a bar: session, or bar where it is shorter than a day."""
    return "bar" if any(intraday(m.market) for m in night.markets) else "session"


def noun_of(dates: Dates) -> Literal["session", "bar"]:
    """What bars of these dates are called."""
    return "session" if dates.dtype == np.dtype("datetime64[D]") else "bar"


def shown_date(date: np.datetime64) -> str:
    """A session's date, or a bar's moment in UTC, for people."""
    return str(date) if len(str(date)) == len("2024-05-31") else f"{str(date)[:16].replace('T', ' ')} UTC"


def before_of(night: Night) -> str:
    """What the forecast before tonight's is called."""
    return "Last forecast" if bar_noun(night) == "bar" else "Last night"
