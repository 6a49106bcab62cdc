"""The package from Python: prices in and out as Nixtla's long frame, parameters as scikit-learn's.

    model = PriceForecaster(["garch_t", "anchor", "seq2seq_pooled"], horizon=20).fit(prices)   # unique_id, ds, y
    model.predict(level=[80])                                     # unique_id, ds, garch_t, garch_t-lo-80, ...
    model.cross_validation(prices, n_windows=50, step_size=10)    # the same, with cutoff and y

It forecasts and gives no verdict: that is the backtest's, which also counts what was tried.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from s2squant.config import Experiment, make_experiment
from s2squant.errors import ConfigError, SourceError
from s2squant.estimator_files import read_fitted, write_fitted
from s2squant.fits import Fits, fit_market, newest, newest_table
from s2squant.long_frame import band_columns, paths_to_wide, to_wide
from s2squant.plan import by_market, make_plan
from s2squant.prices import FrameSource, Loaded, load_from, next_sessions
from s2squant.records import Dates, Panel
from s2squant.store import RunFolder
from s2squant.study import Run
from s2squant.work import Inputs

DEFAULT = ("gjr_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend")
FIELDS = ("unique_id", "ds", "y")


class PriceForecaster(BaseEstimator):  # type: ignore[misc]
    """Multi-step forecasts of many price series, from any models of this package.

    Prices go in as a long frame: `unique_id` (the ticker), `ds` (dates), `y` (adjusted closes); Open, High, Low, Close
    and Volume are used where they stand beside it. `models` names one or more of them, `settings` changes theirs as the
    table `forecasters` of an experiment does ({"seq2seq": {"encoder": {"cell": "gru"}}}), `calendars` says a ticker's
    calendar where the guess is wrong, `accept` which findings of the price checks may stand. Equal data, settings and
    `random_state` give equal forecasts. What is wrong with a parameter is said by `fit`, as a ConfigError.
    """

    def __init__(
        self,
        models: str | Sequence[str] = DEFAULT,
        *,
        horizon: int = 20,
        settings: Mapping[str, Any] | None = None,
        calendars: Mapping[str, str] | None = None,
        accept: Sequence[str] = (),
        random_state: int = 0,
    ) -> None:
        self.models = models
        self.horizon = horizon
        self.settings = settings
        self.calendars = calendars
        self.accept = accept
        self.random_state = random_state

    def fit(self, df: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Fit every model on all bars of `df`; `y` is not read.

        A ticker that cannot be used is left out with a warning, its reason in `refused_`. Raises SourceError or
        ConfigError when none is left.
        """
        experiment = self._experiment()
        loaded = _load(df, experiment)
        panels: list[Panel] = []
        fits, refused = Fits(), dict(loaded.refused)
        for members in by_market(loaded.histories).values():
            panel, made, out = fit_market(members, experiment)
            refused |= out
            if panel is not None:
                panels.append(panel)
                fits |= made
        _tell(refused, everything=not panels)
        self.experiment_, self.panels_, self.fits_, self.refused_ = experiment, tuple(panels), fits, refused
        return self

    def predict(
        self, h: int | None = None, *, df: pd.DataFrame | None = None, level: Sequence[float] = ()
    ) -> pd.DataFrame:
        """Median prices of the first `h` sessions after each ticker's last bar, and bands that hold `level` per cent.

        `h` is the horizon where not given. From the bars the models were fitted on, or from those of `df`, which may be
        newer; nothing is fitted again. Columns: unique_id, ds, then `<model>`, `<model>-lo-80`, `<model>-hi-80`. The
        blend averages all its members, as nothing has matured yet by which its gate could drop one.
        """
        self._fitted()
        steps = self._steps(h)
        band_columns(level)
        parts = []
        for panel in self._panels(df):
            table = newest_table(panel, self.fits_, self.experiment_, self._sessions(panel))
            table = table[table["step"] <= steps]
            parts.append(to_wide(table, [panel], self.experiment_.forecasters.models, level))
        return pd.concat(parts, ignore_index=True).drop(columns=["cutoff", "y"])

    def simulate(self, n_paths: int = 100, *, df: pd.DataFrame | None = None) -> pd.DataFrame:
        """Sample paths of prices after each ticker's last bar: unique_id, ds, sample_id (from 0), a column a model.

        Only of models that draw whole paths: most baselines, and networks whose head speaks of single steps
        (student_t, mixture, categorical); quantiles of each step by itself say nothing of how steps hang together.
        Raises ConfigError when no model draws any, or one draws fewer.
        """
        self._fitted()
        if n_paths < 1:
            raise ConfigError(f"n_paths is {n_paths}; ask for at least one")
        parts = []
        for panel in self._panels(df):
            sessions = self._sessions(panel)
            for ticker in panel.tickers:
                forecasts = [f for _, f in newest(panel.only(ticker), self.fits_)]
                parts.append(paths_to_wide(ticker, panel, forecasts, sessions[ticker], n_paths))
        return pd.concat(parts, ignore_index=True)

    def cross_validation(
        self,
        df: pd.DataFrame,
        *,
        n_windows: int = 20,
        step_size: int | None = None,
        refit: bool | int = False,
        min_train: int = 750,
        level: Sequence[float] = (),
        workers: int = 0,
    ) -> pd.DataFrame:
        """Walk-forward forecasts of `df` from `n_windows` cutoffs, `step_size` bars apart (the horizon, by default).

        Models are fitted at the first cutoff, on every one with `refit=True`, on every n-th with `refit=n`, each time
        on bars up to that cutoff alone; a ticker needs `min_train` of them at the first. Columns: unique_id, ds,
        cutoff, y, then as in `predict`; rows whose price never came are left out. The blend's gate looks at matured
        cutoffs, as in a backtest. Jobs are spread over `workers` processes (0: this one); the estimator stays as it
        was.
        """
        band_columns(level)
        every = self.horizon if step_size is None else step_size
        between = n_windows if refit is False else int(refit)
        if between < 1:
            raise ConfigError(f"refit is {refit}; give True, False, or a number of windows from 1 up")
        walk = {"cutoffs": n_windows, "every": every, "refit_every": every * between, "min_train": min_train}
        experiment = self._experiment(walk)
        plan = make_plan(experiment, _load(df, experiment))
        with tempfile.TemporaryDirectory(prefix="s2squant-") as folder:
            inputs = Inputs(experiment, plan.panels, plan.folds, plan.sessions, RunFolder(Path(folder)))
            with Run(inputs, plan.tickers, plan.histories, workers=workers) as run:
                for stage in run.stages:
                    for _ in run.execute_all(stage):
                        pass
                forecasts, refused = run.forecasts(), run.refused
        _tell(refused)
        asked = {market: {day for fold in folds for day in fold.cutoffs} for market, folds in plan.folds.items()}
        calendar = {t: market for market, panel in plan.panels.items() for t in panel.tickers}
        days = forecasts["cutoff"].to_numpy().astype("datetime64[D]")
        kept = [day in asked[calendar[t]] for t, day in zip(forecasts["unique_id"], days, strict=True)]
        scored = forecasts[np.array(kept) & forecasts["y"].notna().to_numpy()]
        return to_wide(scored, plan.panels.values(), experiment.forecasters.models, level)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into a new folder: safetensors, JSON, and the bars as parquet; nothing is pickled.

        Raises RunError when something is there already.
        """
        self._fitted()
        write_fitted(
            RunFolder(Path(path)),
            self.get_params(deep=False),
            self.experiment_,
            self.panels_,
            self.fits_,
            self.refused_,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator that `save` wrote: the same forecasts, bit for bit. Raises RunError or CheckpointError."""
        params, experiment, panels, fits, refused = read_fitted(RunFolder(Path(path)))
        made = cls(**params)
        made.experiment_, made.panels_, made.fits_, made.refused_ = experiment, panels, fits, refused
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fits_")

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this PriceForecaster is not fitted yet; call fit, or load one")

    def _experiment(self, walk: Mapping[str, Any] | None = None) -> Experiment:
        models = (self.models,) if isinstance(self.models, str) else tuple(self.models)
        settings = dict(self.settings or {})
        if not models or "models" in settings:
            raise ConfigError("PriceForecaster: name the models in `models`, at least one, and not in `settings`")
        data = {
            "seed": self.random_state,
            "universe": {"calendars": dict(self.calendars or {}), "accept": tuple(self.accept)},
            "walk": {"horizon": self.horizon, **(walk or {})},
            "forecasters": settings | {"models": models},
            "verdict": {"reference": models[0], "recommended": models[0]},
        }
        return make_experiment(data, where="PriceForecaster")

    def _steps(self, h: int | None) -> int:
        if h is not None and not 1 <= h <= self.experiment_.walk.horizon:
            raise ConfigError(f"h is {h}; this one was fitted for 1 to {self.experiment_.walk.horizon} steps")
        return h or self.experiment_.walk.horizon

    def _panels(self, df: pd.DataFrame | None) -> Sequence[Panel]:
        """The markets of newer bars, or those of the fit."""
        if df is None:
            return self.panels_
        loaded = _load(df, self.experiment_)
        known = {ticker: panel.market for panel in self.panels_ for ticker in panel.tickers}
        histories = {h.ticker: h for h in loaded.histories if known.get(h.ticker) == h.calendar}
        refused = {h.ticker: "the models were not fitted on it" for h in loaded.histories if h.ticker not in histories}
        _tell(dict(loaded.refused) | refused, everything=not histories, above=2)  # predict's or simulate's caller
        return [Panel(members) for members in by_market(tuple(histories.values())).values()]

    def _sessions(self, panel: Panel) -> dict[str, Dates]:
        horizon = self.experiment_.walk.horizon
        return {h.ticker: next_sessions(h.calendar, h.dates[-1], horizon) for h in panel.histories}


def _load(df: pd.DataFrame, experiment: Experiment) -> Loaded:
    """The histories in a long frame, after the price checks; raises SourceError, one line, when none can be used."""
    missing = [name for name in FIELDS if name not in getattr(df, "columns", ())]
    if missing:
        raise SourceError(f"the frame has no column {missing[0]!r}; give unique_id, ds and y (adjusted closes)")
    return load_from(FrameSource.from_long(df, name="frame"), experiment.universe)


def _tell(refused: Mapping[str, str], *, everything: bool = False, above: int = 1) -> None:
    """Warn of tickers that were left out, naming the line `above` calls up; raise when nothing is left."""
    if not refused:
        return
    named = "; ".join(f"{ticker}: {reason}" for ticker, reason in list(refused.items())[:3])
    more = f"; and {len(refused) - 3} more, in refused_" if len(refused) > 3 else ""
    if everything:
        raise SourceError(f"no ticker can be used; {named}{more}")
    warnings.warn(f"left out: {named}{more}", UserWarning, stacklevel=2 + above)
