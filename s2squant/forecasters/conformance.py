"""The contract of a forecaster as checks of a user's own one, on random walks that are made here.

What `tests/test_contract.py` asks of every model of this package: shapes and order, equal seeds give equal forecasts, a
row's forecast does not depend on the other rows, a stored state forecasts the same, prices have no unit; and a band
holds about as many outcomes as it says. Look-ahead is the audit's (leaks.py).

Shape legend: N origins, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from safetensors.numpy import load, save

from s2squant.errors import one_line
from s2squant.forecasters.leaks import Check
from s2squant.forecasters.own_model import OwnModel
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Fitted, Forecast, State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

TICKERS, BARS, FIT_BARS = ("AAA", "B/x", "Ü ^"), 900, 600
WARMUP = 250
OFF = 0.08
"""How far the share of outcomes in an 80 % band may be from it at the first step: three standard errors and a half."""
ROUNDING = 1e-9
UNIT_FREE = 5e-3
"""Relative change that other units of price may make: optimisers stop at a tolerance."""
LOW, HIGH = 3, 35
"""Places of the 10 % and 90 % quantiles."""


@dataclass(frozen=True)
class Trial:
    """A forecaster, the prices it is tried on, and what it says."""

    model: OwnModel
    panel: Panel
    horizon: int
    seed: int

    def fit(self, panel: Panel) -> Fitted:
        """Fit on the first FIT_BARS bars of a panel like `panel`, as a walk would."""
        past = panel.until(panel.histories[0].dates[FIT_BARS - 1])
        rows = np.arange(len(past.log_price))
        known = (past.bar_number(rows) >= WARMUP) & (past.bars_left(rows) >= self.horizon)
        return self.model.fit(past, rows[known], horizon=self.horizon, seed=self.seed)

    @property
    def rows(self) -> Ints:
        """A few origins, unordered, of every ticker, before and after the fit."""
        return np.array([BARS - 1, 2 * BARS + 700, FIT_BARS + 10, BARS + 650, 300])


def conformance(model: OwnModel, *, horizon: int, seed: int) -> list[Check]:
    """Every clause of the contract as a line; what a user's code raises fails the clause."""
    trial = Trial(model, random_walks(seed), horizon, seed)
    try:
        fitted = trial.fit(trial.panel)
        forecast = fitted.predict(trial.panel, trial.rows)
    except Exception as error:  # whatever a user's code raises
        return [_failed(model.name, f"cannot be fitted and asked for a forecast ({_reason(error)})")]
    clauses: tuple[tuple[str, Callable[[], str]], ...] = (
        ("gives quantiles that have a width, which grows with the step", partial(_widths, forecast)),
        ("leaves the rows that it is given alone", partial(_untouched, trial, fitted)),
        ("forecasts the same when it is fitted again", partial(_repeated, trial, forecast)),
        ("forecasts a row the same alone, in another order, and none at all", partial(_alone, trial, fitted, forecast)),
        ("forecasts the same from its stored state", partial(_stored, trial, fitted, forecast)),
        ("forecasts the same returns in other units of price", partial(_rescaled, trial, forecast)),
        ("holds about 80 % of a random walk's outcomes in its 80 % band", partial(_covers, trial, fitted)),
    )
    return list(_tried(model.name, clauses))


def _tried(name: str, clauses: tuple[tuple[str, Callable[[], str]], ...]) -> Iterator[Check]:
    for clause, carry_out in clauses:
        try:
            fault = carry_out()
        except Exception as error:  # whatever a user's code raises
            fault = _reason(error)
        if fault:
            yield _failed(name, f"does not hold that it {clause}: {fault}")
        else:
            yield Check("contract", name, "passed", 0.0, f"{name} {clause}")


def _failed(name: str, what: str) -> Check:
    return Check("contract", name, "failed", np.nan, f"{name} {what}")


def _reason(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:200]


def _widths(forecast: Forecast) -> str:
    width_NH = forecast.quantiles_NHQ[..., -1] - forecast.quantiles_NHQ[..., 0]
    if (width_NH <= 0).any():
        return "a 95 % band has no width"
    if width_NH.shape[1] > 1 and (width_NH[:, -1] <= width_NH[:, 0]).any():
        return "the last step's band is no wider than the first's"
    return ""


def _untouched(trial: Trial, fitted: Fitted) -> str:
    rows = trial.rows
    fitted.predict(trial.panel, rows)
    return "" if (rows == trial.rows).all() else "predict changes the array of rows"


def _repeated(trial: Trial, forecast: Forecast) -> str:
    again = trial.fit(trial.panel).predict(trial.panel, trial.rows)
    return _differs(forecast.quantiles_NHQ, again.quantiles_NHQ, "draw from the seed that fit is given")


def _alone(trial: Trial, fitted: Fitted, forecast: Forecast) -> str:
    rows = trial.rows
    if fitted.predict(trial.panel, rows[:0]).quantiles_NHQ.shape[0]:
        return "no rows give a forecast"
    singly = np.concatenate([fitted.predict(trial.panel, rows[k : k + 1]).quantiles_NHQ for k in range(len(rows))])
    turned = fitted.predict(trial.panel, rows[::-1].copy()).quantiles_NHQ[::-1]
    remedy = "seed what is drawn by the row's ticker and date"
    faults = (_differs(forecast.quantiles_NHQ, other, remedy, ROUNDING) for other in (singly, turned))
    return next((fault for fault in faults if fault), "")


def _stored(trial: Trial, fitted: Fitted, forecast: Forecast) -> str:
    state = fitted.state()
    arrays = load(save({key: np.ascontiguousarray(value) for key, value in state.arrays.items()}))
    again = trial.model.restore(State(arrays, state.meta)).predict(trial.panel, trial.rows)
    return _differs(forecast.quantiles_NHQ, again.quantiles_NHQ, "keep all that was learnt in state")


def _rescaled(trial: Trial, forecast: Forecast) -> str:
    dear = []
    for h in trial.panel.histories:
        bars = {name: values if name == "volume" else 1000 * values for name, values in h.bars.items()}
        dear.append(dataclasses.replace(h, adj_close=1000 * h.adj_close, bars=bars))
    other = Panel(tuple(dear))
    again = trial.fit(other).predict(other, trial.rows)
    return _differs(forecast.quantiles_NHQ, again.quantiles_NHQ, "forecast returns, not prices", UNIT_FREE)


def _covers(trial: Trial, fitted: Fitted) -> str:
    panel, every = trial.panel, np.arange(len(trial.panel.log_price))
    rows = every[(panel.bar_number(every) >= FIT_BARS) & (panel.bars_left(every) >= trial.horizon)][::3]
    quantiles, truth = fitted.predict(panel, rows).quantiles_NHQ, panel.targets(rows, trial.horizon)
    inside = (truth >= quantiles[:, :, LOW]) & (truth <= quantiles[:, :, HIGH])
    share = float(inside[:, 0].mean())
    return "" if abs(share - 0.8) <= OFF else f"it holds {100 * share:.0f} % at the first step"


def _differs(one: Floats, other: Floats, remedy: str, allowed: float = 0.0) -> str:
    """How far two forecasts are apart, and the remedy; empty where they are not."""
    change = float(np.abs(one - other).max() / np.abs(one).max())
    return "" if change <= allowed else f"it changes by {change:.2g} of the largest quantile; {remedy}"


def random_walks(seed: int) -> Panel:
    """A few independent stocks with Student-t returns of one percent a day, and their bars."""
    rng = np.random.default_rng(seed)
    days = np.busday_offset(np.datetime64("2000-01-03", "D"), np.arange(BARS), roll="forward")
    histories = []
    for ticker in TICKERS:
        close = 100 * np.exp(np.cumsum(0.01 * rng.standard_t(6, BARS) * np.sqrt(4 / 6)))
        opened = close * np.exp(0.003 * rng.normal(size=BARS))
        high, low = (np.exp(sign * 0.004 * np.abs(rng.normal(size=BARS))) for sign in (1, -1))
        bars = {
            "open": opened,
            "high": high * np.maximum(opened, close),
            "low": low * np.minimum(opened, close),
            "close": close,
            "volume": rng.lognormal(10, 0.5, BARS),
        }
        histories.append(PriceHistory(ticker, "XNYS", days, close, bars))
    return Panel(tuple(histories))
