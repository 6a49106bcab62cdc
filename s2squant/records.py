"""The nouns: frozen records, checked where they are made.

Shape legend: R bars of all tickers of a panel laid end to end, M tickers, N origins, H steps ahead, Q quantile levels.
Unit of record: cumulative log return from the cutoff, log P[t+h] - log P[t], on the adjusted close.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config import Experiment
from s2squant.errors import PriceError
from s2squant.evidence import Evidence as Evidence
from s2squant.evidence import Verdict as Verdict
from s2squant.evidence import Word as Word
from s2squant.exhibits import ExperimentPage as ExperimentPage
from s2squant.exhibits import Heatmap as Heatmap
from s2squant.exhibits import Lines as Lines
from s2squant.exhibits import Section as Section
from s2squant.findings import Finding

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Dates = NDArray[np.datetime64]

LEVELS: Floats = np.arange(1, 40) / 40.0
"""The quantile levels of every forecast, 0.025 .. 0.975 by 0.025."""

QUANTILE_COLUMNS: tuple[str, ...] = tuple(f"q{level:.3f}" for level in LEVELS)
"""Their column names in a forecast table, q0.025 .. q0.975."""

OHLCV: tuple[str, ...] = ("open", "high", "low", "close", "volume")


def frozen_array(values: Any, dtype: Any) -> NDArray[Any]:
    """A read-only, contiguous copy of `values`; `values` itself where it is one already."""
    own = isinstance(values, np.ndarray) and values.flags.owndata and values.flags.c_contiguous
    if own and not values.flags.writeable and values.dtype == np.dtype(dtype):
        return np.asarray(values)
    array = np.array(values, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class PriceHistory:
    """One ticker's daily bars, oldest first, in the currency of its exchange.

    `adj_close` (T,) is finite, and above zero wherever a logarithm is taken (`log_price` refuses other prices). `bars`
    holds raw open, high, low, close, volume where known, each (T,), NaN where a bar lacks it. Raises PriceError on
    dates or prices that make no series.
    """

    ticker: str
    calendar: str
    dates: Dates
    adj_close: Floats
    bars: Mapping[str, Floats] = field(default_factory=dict)
    source: str = "memory"
    fetched_at: str = ""
    notes: tuple[str, ...] = ()
    """What else is to be known of them, one line each; shown in the report."""
    findings: tuple[Finding, ...] = ()
    one_price: bool = False
    """Whether the source tells one price a day: the raw close, if any, is the adjusted one, now as ever."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", frozen_array(self.dates, "datetime64[D]"))
        object.__setattr__(self, "adj_close", frozen_array(self.adj_close, np.float64))
        object.__setattr__(self, "bars", {k: frozen_array(v, np.float64) for k, v in self.bars.items()})
        unknown = set(self.bars) - set(OHLCV)
        if unknown:
            raise PriceError(self.ticker, f"unknown bar fields {sorted(unknown)}; known are {', '.join(OHLCV)}")
        if self.dates.ndim != 1 or any(len(v) != len(self.dates) for v in (self.adj_close, *self.bars.values())):
            raise PriceError(self.ticker, "dates and prices differ in length")
        if len(self.dates) < 2:
            raise PriceError(self.ticker, f"{len(self.dates)} usable row(s); at least 2 are needed for a return")
        if np.isnat(self.dates).any():
            raise PriceError(self.ticker, "a date is missing")
        gaps = np.diff(self.dates).astype(int)
        if (gaps <= 0).any():
            at = self.dates[1:][gaps <= 0][0]
            raise PriceError(self.ticker, f"dates must increase without repeats, and {at} does not")
        if not np.isfinite(self.adj_close).all():
            raise self._no_logarithm(~np.isfinite(self.adj_close))

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def log_price(self) -> Floats:
        """Natural logarithm of the adjusted close, (T,); raises PriceError where a price is not above zero."""
        if (self.adj_close <= 0).any():
            raise self._no_logarithm(self.adj_close <= 0)
        return np.log(self.adj_close)

    def _no_logarithm(self, bad: NDArray[np.bool_]) -> PriceError:
        at, value = self.dates[bad][0], self.adj_close[bad][0]
        return PriceError(self.ticker, f"price {value} on {at}; log returns need finite prices above zero")

    @property
    def sha256(self) -> str:
        """Content hash of dates, adjusted close and bars: equal data, equal hash."""
        digest = hashlib.sha256(self.dates.astype("int64").tobytes())
        digest.update(self.adj_close.tobytes())
        for name in OHLCV:
            if name in self.bars:
                digest.update(name.encode())
                digest.update(self.bars[name].tobytes())
        return digest.hexdigest()

    def between(self, start: Any = None, end: Any = None) -> PriceHistory:
        """The bars from `start` to `end`, both included; None leaves a side open."""
        keep = np.ones(len(self.dates), bool)
        if start is not None:
            keep &= self.dates >= np.datetime64(start, "D")
        if end is not None:
            keep &= self.dates <= np.datetime64(end, "D")
        if keep.all():
            return self
        return PriceHistory(
            ticker=self.ticker,
            calendar=self.calendar,
            dates=self.dates[keep],
            adj_close=self.adj_close[keep],
            bars={k: v[keep] for k, v in self.bars.items()},
            source=self.source,
            fetched_at=self.fetched_at,
            notes=self.notes,
            findings=self.findings,
            one_price=self.one_price,
        )


@dataclass(frozen=True, eq=False)
class Panel:
    """The histories of one market (tickers that share a calendar), each on its own bars, laid end to end.

    A *row* is an index into the R bars: ticker m owns rows `starts[m]` to `starts[m + 1] - 1`, oldest first. So tickers
    with different listing dates or halted days need no padding, and a window is a range of rows.
    """

    histories: tuple[PriceHistory, ...]
    whole: Panel | None = field(default=None, repr=False)
    """The panel of the whole market, where this one holds only some of its tickers: it tells what the market did."""
    told_until: np.datetime64 | None = None
    """The last day of `whole` that counts; None for all of it."""
    starts: Ints = field(init=False)
    dates: Dates = field(init=False)
    log_price: Floats = field(init=False)
    ticker_of: Ints = field(init=False)
    """(R,) which ticker a row belongs to."""

    def __post_init__(self) -> None:
        if not self.histories:
            raise ValueError("a panel needs at least one history")
        calendars = {h.calendar for h in self.histories}
        if len(calendars) > 1:
            raise ValueError(f"one panel, one calendar; given {sorted(calendars)}")
        if len(set(self.tickers)) < len(self.histories):
            raise ValueError("a ticker stands twice in the panel")
        lengths = [len(h) for h in self.histories]
        object.__setattr__(self, "starts", frozen_array(np.concatenate([[0], np.cumsum(lengths)]), np.intp))
        object.__setattr__(
            self, "dates", frozen_array(np.concatenate([h.dates for h in self.histories]), "datetime64[D]")
        )
        object.__setattr__(
            self, "log_price", frozen_array(np.concatenate([h.log_price for h in self.histories]), np.float64)
        )
        object.__setattr__(self, "ticker_of", frozen_array(np.repeat(np.arange(len(lengths)), lengths), np.intp))

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(h.ticker for h in self.histories)

    @property
    def market(self) -> str:
        return self.histories[0].calendar

    def rows_of(self, ticker: str) -> Ints:
        """All rows of one ticker, oldest first."""
        m = self.tickers.index(ticker)
        return np.arange(self.starts[m], self.starts[m + 1])

    def calendar_dates(self) -> Dates:
        """Every date on which any ticker has a bar, increasing."""
        return np.unique(self.dates)

    def bar_number(self, rows: Ints) -> Ints:
        """How many bars of the same ticker lie before each row."""
        return rows - self.starts[self.ticker_of[rows]]

    def bars_left(self, rows: Ints) -> Ints:
        """How many bars of the same ticker lie after each row."""
        return self.starts[self.ticker_of[rows] + 1] - 1 - rows

    def targets(self, rows: Ints, horizon: int) -> Floats:
        """Realised cumulative log returns (N, H) after each row; NaN where the ticker's bars end first."""
        steps = np.arange(1, horizon + 1)
        index = np.minimum(rows[:, None] + steps, len(self.log_price) - 1)
        known = steps[None, :] <= self.bars_left(rows)[:, None]
        return np.where(known, self.log_price[index] - self.log_price[rows][:, None], np.nan)

    def until(self, date: Any) -> Panel:
        """The panel as it stood after `date`: later bars gone, tickers without two bars by then gone."""
        day = np.datetime64(date, "D")
        kept = tuple(h.between(None, day) for h in self.histories if (h.dates <= day).sum() >= 2)
        if not kept:
            raise ValueError(f"no ticker of {self.market} has two bars by {day}")
        if self.whole is None:
            return Panel(kept)
        return Panel(kept, self.whole, day if self.told_until is None else min(day, self.told_until))

    def only(self, *tickers: str) -> Panel:
        """The panel of some of the tickers, which are still seen among all of them; nothing of the others is copied."""
        kept = tuple(self.histories[self.tickers.index(ticker)] for ticker in tickers)
        return Panel(kept, self.whole or self, self.told_until)


@dataclass(frozen=True)
class Fold:
    """One fit and the cutoffs it serves. Training labels end on or before `fit_date` <= the first cutoff: the purge."""

    market: str
    number: int
    train_start: np.datetime64
    fit_date: np.datetime64
    """Last bar any part of the fit may see."""
    cutoffs: Dates
    horizon: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", frozen_array(self.cutoffs, "datetime64[D]"))
        if len(self.cutoffs) == 0:
            raise ValueError("a fold needs a cutoff")
        if self.fit_date > self.cutoffs[0]:
            raise ValueError(
                f"fit date {self.fit_date} lies after the first cutoff {self.cutoffs[0]}: labels would leak"
            )


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the cumulative log return at every step, for N origins of one forecaster.

    `rows` (N,) are rows of the panel the forecast was made on, `quantiles_NHQ` is ordered and finite.
    """

    forecaster: str
    rows: Ints
    quantiles_NHQ: Floats
    mean_NH: Floats
    paths_NSH: Floats | None = None
    attention_NHL: Floats | None = None

    def __post_init__(self) -> None:
        q = self.quantiles_NHQ
        if q.ndim != 3 or q.shape[0] != len(self.rows) or q.shape[2] != len(LEVELS):
            raise ValueError(
                f"{self.forecaster}: quantiles {q.shape} for {len(self.rows)} origins, {len(LEVELS)} levels"
            )
        if self.mean_NH.shape != q.shape[:2]:
            raise ValueError(f"{self.forecaster}: mean {self.mean_NH.shape} beside quantiles {q.shape}")
        if not (np.isfinite(q).all() and np.isfinite(self.mean_NH).all()):
            raise ValueError(f"{self.forecaster}: a forecast is not finite")
        if (np.diff(q, axis=2) < 0).any():
            raise ValueError(f"{self.forecaster}: quantiles cross")


@dataclass(frozen=True)
class State:
    """What a fitted forecaster has learned: arrays for safetensors, plain values for JSON."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]


class Fitted(Protocol):
    """A forecaster that has learned; it forecasts any row and remembers nothing between calls."""

    @property
    def name(self) -> str: ...

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Forecast from `rows`, reading no bar after each; a row's forecast does not depend on the other rows."""
        ...

    def state(self) -> State: ...


class Forecaster(Protocol):
    """The contract of every model, baseline or network."""

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> Fitted:
        """Learn from a panel that ends at the fit date; `rows` are the training origins, labels inside the panel."""
        ...


@dataclass(frozen=True)
class TickerReport:
    """What became of one ticker."""

    ticker: str
    status: Literal["ok", "skipped", "failed"]
    reason: str = ""
    market: str = ""
    bars: int = 0
    first: str = ""
    last: str = ""
    source: str = ""
    fetched_at: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()
    """One line for each finding, and what else is to be known."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Study(Evidence):
    """A whole run, ready to be written and laid out; a report computes nothing beyond it.

    Tables (pandas), one row each per:
    - `forecasts`: model, unique_id, cutoff, ds, step, y, mean, q0.025 .. q0.975
    - `scores`: model, unique_id, cutoff, step, metric, value
    - `verdicts`: the fields of Verdict
    - `leaderboard`: model, kind (reference|baseline|anchor|network|blend), crps (% log return), skill (against the
      reference, mean over tickers), effect, effect_low, effect_high (the same averaged over dates, as tested), won
      (share of tickers), coverage_50, coverage_80, coverage_95, dm_t, dm_p, n, n_eff
    - `by_step`: model, step, crps, skill, low, high, coverage_50, coverage_80, coverage_95
    - `by_ticker`: model, unique_id, crps, skill, low, high, p, q (BH), n, n_eff, smallest_detectable, word,
      coverage_50, coverage_80, coverage_95 (skill against the reference), variance_share (of the variance over dates
      of the pooled gain; sums to 1 over tickers)
    - `by_ticker_step`: model, unique_id, step, crps, skill, coverage_80
    - `over_time`: model, unique_id ("all" pooled), cutoff, difference (reference CRPS - model CRPS, mean over
      steps, %), cumulative
    - `training`: model, unique_id, market, fold, seed, step, loss
    - `gates`: market, cutoff, member, matured, mean_difference, kept
    - `equity`: model, unique_id, date, position, gross, cost, net, equity_net
    - `performance`: model, unique_id ("all" pooled), cost_bp, declared (whether it is the experiment's cost), bars,
      years, annual_return, volatility, sharpe, sharpe_low, sharpe_high (a year), psr, dsr (recommended model only),
      trials, years_needed (of track record, for a PSR of 95 %), max_drawdown (negative), drawdown_bars, turnover (a
      year), exposure, break_even_bp, final_equity
    - `equity_by_cost`: model, date, cost_bp, equity_net, of the pool
    - `overfitting`: basis (what was compared), candidates, periods, blocks, splits, pbo, selected, selected_share,
      median_rank (0 worst .. 1 best), reason (why there is no figure)
    - the tables of Evidence
    - `audit`: check, model, outcome (passed|failed|not run), figure, sentence
    """

    experiment: Experiment
    run_id: str
    created_at: str
    status: Literal["done", "partial"]
    sentence: str
    """The verdict in one sentence; `word` is its badge."""
    word: Word
    rule: str
    """The written rule the sentence follows."""
    tickers: Sequence[TickerReport]
    folds: Sequence[Fold]
    histories: Mapping[str, PriceHistory]
    forecasts: pd.DataFrame
    scores: pd.DataFrame
    verdicts: pd.DataFrame
    leaderboard: pd.DataFrame
    by_step: pd.DataFrame
    by_ticker: pd.DataFrame
    by_ticker_step: pd.DataFrame
    over_time: pd.DataFrame
    training: pd.DataFrame
    gates: pd.DataFrame
    equity: pd.DataFrame
    provenance: Mapping[str, Any]
    """versions, seeds, timings (seconds), command (exact re-run), platform."""
    attention: Mapping[str, Floats] = field(default_factory=dict)
    """By ticker, a network's attention (H, W) at its newest forecast: steps ahead by input bars, newest bar last."""
    changes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Against the run `previous` of the same experiment; columns: see changes.py."""
    previous: str = ""
    performance: pd.DataFrame = field(default_factory=pd.DataFrame)
    equity_by_cost: pd.DataFrame = field(default_factory=pd.DataFrame)
    overfitting: pd.DataFrame = field(default_factory=pd.DataFrame)
    audit: pd.DataFrame = field(default_factory=pd.DataFrame)
