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
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError, SourceError
from s2squant.estimator.arguments import check_accepted, count_of, levels_of, names_of, plain, table_of
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.files import read_fitted, write_fitted
from s2squant.estimator.fits import Fits, bars_looked_at, fit_market, newest, newest_table, reads_market
from s2squant.estimator.wide_table import paths_to_wide, to_wide
from s2squant.forecasters.blend import with_blend
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.table import Named
from s2squant.prices.universe import Loaded, load_from
from s2squant.runs.collect import collect, reports_after
from s2squant.runs.engines.choose import make_pool
from s2squant.runs.engines.worker import one_at_a_time
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, stages_of
from s2squant.runs.plan import by_market, make_plan
from s2squant.runs.runner import JobRunner
from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

DEFAULT = ("gjr_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend")
FIELDS = ("unique_id", "ds", "y")
HEADINGS = Named(dates=("ds",), prices=("y",))
"""Whatever a frame calls Date, Close or Adj Close beside them is neither a date nor a price of its own."""


class PriceForecaster(BaseEstimator):  # type: ignore[misc]
    """Multi-step forecasts of many price series, from any models of this package.

    Prices go in as a long frame: `unique_id` (the ticker), `ds` (dates), `y` (adjusted closes); Open, High, Low, Close
    and Volume are read as raw bars where they stand beside it, other columns not at all. Tickers come back with the
    values and type they went in with, `ds` as midnights, in the frame's time zone where it has one. `models` names one
    or more of them, `settings` changes theirs as the table `forecasters` of an experiment does ({"seq2seq": {"encoder":
    {"cell": "gru"}}}), `calendars` says a ticker's calendar where the guess is wrong, `accept` which findings of the
    price checks may stand. Equal data, settings and `random_state` give equal forecasts. What is wrong with a parameter
    is said by `fit`, as a ConfigError.
    """

    def __init__(
        self,
        models: str | Sequence[str] = DEFAULT,
        *,
        horizon: int = 20,
        settings: Mapping[str, Any] | None = None,
        calendars: Mapping[str, str] | None = None,
        accept: str | Sequence[str] = (),
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

        A ticker that cannot be used is left out with a warning, its reason in `refused_`. Fits in several threads take
        turns, as torch's global generator, which they seed and put back, is one for the process. Raises SourceError or
        ConfigError when none is left.
        """
        experiment = self._experiment()
        keys, loaded = _load(df, experiment)
        panels: list[Panel] = []
        fits, refused = Fits(), dict(loaded.refused)
        for members in by_market(loaded.histories).values():
            with one_at_a_time:
                panel, made, out = fit_market(members, experiment)
            refused |= out
            if panel is not None:
                panels.append(panel)
                fits |= made
        _tell(refused, everything=not panels)
        self.experiment_, self.panels_, self.fits_, self.refused_ = experiment, tuple(panels), fits, refused
        self.keys_ = keys
        return self

    def predict(
        self, h: int | None = None, *, df: pd.DataFrame | None = None, level: float | Sequence[float] = ()
    ) -> pd.DataFrame:
        """Median prices of the first `h` sessions after each ticker's last bar, and bands that hold `level` per cent.

        `h` is the horizon where not given. From the bars the models were fitted on, or from newer ones in `df`, for its
        tickers alone; nothing is fitted again. The bars of `df` continue those of the fit, so that one new bar will do;
        they may overlap, as the same closes or a common factor times them (a dividend since), and a ticker after a gap
        needs as many as the models look back on. Fitted tickers that `df` lacks are still read as part of their market,
        as far as their bars of the fit reach: a warning names them where that is not far enough. Columns: unique_id,
        ds, then `<model>`, `<model>-lo-80`, `<model>-hi-80`. The blend averages all its members, as nothing has matured
        yet by which its gate could drop one.
        """
        self._fitted()
        steps, level = self._steps(h), levels_of(level)
        parts = []
        keys, panels = self._panels(df)
        for panel in panels:
            table = newest_table(panel, self.fits_, self.experiment_, self._sessions(panel))
            table = table[table["step"] <= steps]
            parts.append(to_wide(table, [panel], self.experiment_.forecasters.models, level))
        return keys.back(pd.concat(parts, ignore_index=True).drop(columns=["cutoff", "y"]))

    def simulate(self, n_paths: int = 100, *, df: pd.DataFrame | None = None) -> pd.DataFrame:
        """Sample paths of prices after each ticker's last bar: unique_id, ds, sample_id (from 0), a column a model.

        Only of models that draw whole paths: most baselines, and networks whose head speaks of single steps
        (student_t, mixture, categorical); quantiles of each step by itself say nothing of how steps hang together.
        Raises ConfigError when no model draws any, or one draws fewer.
        """
        self._fitted()
        if count_of("n_paths", n_paths, "simulate(df=...)") < 1:
            raise ConfigError(f"n_paths is {n_paths}; ask for at least one")
        parts = []
        keys, panels = self._panels(df)
        for panel in panels:
            sessions = self._sessions(panel)
            for ticker in panel.tickers:
                forecasts = [f for _, f in newest(panel.only(ticker), self.fits_)]
                parts.append(paths_to_wide(ticker, panel, forecasts, sessions[ticker], n_paths))
        return keys.back(pd.concat(parts, ignore_index=True))

    def cross_validation(
        self,
        df: pd.DataFrame,
        *,
        n_windows: int = 20,
        step_size: int | None = None,
        refit: bool | int = False,
        min_train: int = 750,
        level: float | Sequence[float] = (),
        workers: int = 0,
    ) -> pd.DataFrame:
        """Walk-forward forecasts of `df` from `n_windows` cutoffs, `step_size` bars apart (the horizon, by default).

        Models are fitted at the first cutoff, on every one with `refit=True`, on every n-th with `refit=n`, each time
        on bars up to that cutoff alone; a ticker needs `min_train` of them at the first. Columns: unique_id, ds,
        cutoff, y, then as in `predict`; rows whose price never came are left out. The blend's gate looks at matured
        cutoffs, as in a backtest. Jobs are spread over `workers` processes (0: this one); a script that asks for any
        has to stand below `if __name__ == "__main__":`, as every worker would run it again otherwise, and is refused
        with a ConfigError. The estimator stays as it was.
        """
        level = levels_of(level)
        every = self.horizon if step_size is None else step_size
        between = n_windows if refit is False else count_of("refit", refit)
        if between < 1:
            raise ConfigError(f"refit is {refit}; give True, False, or a number of windows from 1 up")
        walk = {"cutoffs": n_windows, "every": every, "refit_every": every * between, "min_train": min_train}
        experiment = self._experiment(walk)
        keys, loaded = _load(df, experiment)
        plan = make_plan(experiment, loaded)
        with tempfile.TemporaryDirectory(prefix="s2squant-") as folder:
            inputs = Inputs(experiment, plan.panels, plan.folds, plan.sessions, RunFolder(Path(folder)))
            start_pool = partial(make_pool, "local", inputs)
            with JobRunner(inputs.folder, stages_of(inputs), workers, start_pool) as runner:
                for _ in runner.execute_stages():
                    pass
                forecasts = collect(inputs, runner).forecasts
                reports = reports_after(plan.tickers, runner)
        _tell({report.ticker: report.reason for report in reports if report.status != "ok"})
        calendar = {t: market for market, panel in plan.panels.items() for t in panel.tickers}
        forecasts, _ = with_blend(forecasts, experiment.forecasters, calendar)
        asked = {market: {day for fold in folds for day in fold.cutoffs} for market, folds in plan.folds.items()}
        days = forecasts["cutoff"].to_numpy().astype("datetime64[D]")
        kept = [day in asked[calendar[t]] for t, day in zip(forecasts["unique_id"], days, strict=True)]
        scored = forecasts[np.array(kept) & forecasts["y"].notna().to_numpy()]
        return keys.back(to_wide(scored, plan.panels.values(), experiment.forecasters.models, level))

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into a new folder: safetensors, JSON, and the bars as parquet; nothing is pickled.

        Raises RunError when something is there already.
        """
        self._fitted()
        write_fitted(
            RunFolder(Path(path)),
            plain(self.get_params(deep=False)),
            self.experiment_,
            self.panels_,
            self.fits_,
            self.refused_,
            self.keys_,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator that `save` wrote: the same forecasts, bit for bit. Raises RunError or CheckpointError."""
        with one_at_a_time:
            params, experiment, panels, fits, refused, keys = read_fitted(RunFolder(Path(path)))
        made = cls(**params)
        made.experiment_, made.panels_, made.fits_, made.refused_ = experiment, panels, fits, refused
        made.keys_ = keys
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fits_")

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this PriceForecaster is not fitted yet; call fit, or load one")

    def _experiment(self, walk: Mapping[str, Any] | None = None) -> Experiment:
        models, accept = names_of("models", self.models), names_of("accept", self.accept)
        settings, calendars = table_of("settings", self.settings), table_of("calendars", self.calendars)
        if not models or "models" in settings:
            raise ConfigError("PriceForecaster: name the models in `models`, at least one, and not in `settings`")
        check_accepted(accept)
        data = {
            "seed": self.random_state,
            "universe": {"calendars": {str(ticker): code for ticker, code in calendars.items()}, "accept": accept},
            "walk": {"horizon": self.horizon, **(walk or {})},
            "forecasters": settings | {"models": models},
            "verdict": {"reference": models[0], "recommended": models[0]},
        }
        return make_experiment(plain(data), where="PriceForecaster")

    def _steps(self, h: int | None) -> int:
        most = self.experiment_.walk.horizon
        if h is None:
            return most
        if count_of("h", h, "predict(df=...)") < 1 or h > most:
            raise ConfigError(f"h is {h}; this one was fitted for 1 to {most} steps")
        return int(h)

    def _panels(self, df: pd.DataFrame | None) -> tuple[Keys, Sequence[Panel]]:
        """The markets of newer bars, or those of the fit, only the tickers to be forecast; and how they are named."""
        if df is None:
            return self.keys_, self.panels_
        kept = {h.ticker: h for panel in self.panels_ for h in panel.histories}
        keys, loaded = _load(df, self.experiment_, kept)
        _tell(loaded.refused, above=2)  # predict's or simulate's caller
        newer = {h.ticker: h for h in loaded.histories}
        panels: list[Panel] = []
        stale: list[str] = []
        for panel in self.panels_:
            asked = [ticker for ticker in newer if ticker in panel.tickers]
            if not asked:
                continue
            last = max(newer[ticker].dates[-1] for ticker in asked)
            stale += [h.ticker for h in panel.histories if h.ticker not in newer and h.dates[-1] < last]
            whole = Panel(tuple(newer.get(h.ticker, h) for h in panel.histories))
            panels.append(whole.only(*asked))
        if stale and reads_market(self.experiment_.forecasters):
            named = ", ".join(stale[:3]) + (f" and {len(stale) - 3} more" if len(stale) > 3 else "")
            text = f"df has no newer bars of {named}: what their market did since is read from the others alone"
            warnings.warn(text, UserWarning, stacklevel=3)
        return keys, panels

    def _sessions(self, panel: Panel) -> dict[str, Dates]:
        horizon = self.experiment_.walk.horizon
        return {h.ticker: next_sessions(h.calendar, h.dates[-1], horizon) for h in panel.histories}


def _load(
    df: pd.DataFrame, experiment: Experiment, kept: Mapping[str, PriceHistory] | None = None
) -> tuple[Keys, Loaded]:
    """The histories in a long frame, after the price checks; raises SourceError, one line, when none can be used.

    Where the bars of a fit are `kept`, those of the frame continue them.
    """
    missing = [name for name in FIELDS if name not in getattr(df, "columns", ())]
    if missing:
        raise SourceError(f"the frame has no column {missing[0]!r}; give unique_id, ds and y (adjusted closes)")
    if not isinstance(df, pd.DataFrame):
        remedy = "use .to_pandas()" if hasattr(df, "to_pandas") else "make it one"
        given = f"{type(df).__module__.partition('.')[0]} {type(df).__name__}"
        raise SourceError(f"prices come as a DataFrame of pandas, not a {given}; {remedy}")
    keys = Keys.of(df)
    frames = FrameSource.from_long(df, name="frame", named=HEADINGS)
    if kept is None:
        return keys, load_from(frames, experiment.universe)
    need = bars_looked_at(experiment.forecasters)
    return keys, load_from(ContinuedSource(frames, kept, need=need), experiment.universe)


def _tell(refused: Mapping[str, str], *, everything: bool = False, above: int = 1) -> None:
    """Warn of tickers that were left out, naming the line `above` calls up; raise when nothing is left."""
    if not refused:
        return
    named = "; ".join(f"{ticker}: {reason}" for ticker, reason in list(refused.items())[:3])
    more = f"; and {len(refused) - 3} more, in refused_" if len(refused) > 3 else ""
    if everything:
        raise SourceError(f"no ticker can be used; {named}{more}")
    warnings.warn(f"left out: {named}{more}", UserWarning, stacklevel=2 + above)
