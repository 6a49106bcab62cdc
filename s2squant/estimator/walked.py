"""Forecasts of many cutoffs: walk-forward with fits of their own, or by the fit that is there, and its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, SourceError
from s2squant.estimator.arguments import edges_of, experiment_of, walk_of, whole
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.covariates import require_future, with_future
from s2squant.estimator.cross_validation import cross_validate
from s2squant.estimator.fits import bars_looked_at
from s2squant.estimator.forecasts import columns_of, forecast_table, with_pretrained
from s2squant.estimator.frames import newer_panels
from s2squant.estimator.keywords import named
from s2squant.estimator.stored import StoredForecaster
from s2squant.estimator.wide_table import to_wide
from s2squant.evaluation.losses import score
from s2squant.runs.plan import refuse_seen
from s2squant.series.arrays import Dates, Ints
from s2squant.series.panel import Fold, Panel
from s2squant.series.windows import session_dates, test_rows


class WalkedForecaster(StoredForecaster):
    """What a fitted estimator said of earlier bars and says of later ones, and walk-forward fits.

    Examples
    --------
    >>> import pandas as pd
    >>> from s2squant.estimator import PriceForecaster
    >>> from s2squant.prices.sources.sample import SampleSource
    >>> euro = SampleSource().history("EURUSD")
    >>> prices = pd.DataFrame({"unique_id": "EURUSD", "ds": euro.dates, "y": euro.adj_close})
    >>> model = PriceForecaster(["random_walk", "ewma_t"], horizon=5).fit(prices)
    """

    horizon: int

    @named
    def cross_validation(
        self,
        df: Any,
        *,
        n_windows: int = 20,
        step_size: int | None = None,
        refit: bool | int = False,
        min_train: int = 750,
        level: float | Sequence[float] = (),
        quantiles: float | Sequence[float] = (),
        static_df: Any = None,
        workers: int = 0,
    ) -> Any:
        """Walk-forward forecasts from the last cutoffs of a frame; the estimator stays as it was.

        The blend's gate looks at matured cutoffs, as in a backtest.

        Parameters
        ----------
        df : DataFrame
            Prices: unique_id, ds, y; the columns of hist_exog and futr_exog beside them.
        n_windows : int
            Cutoffs.
        step_size : int, optional
            Bars from one cutoff to the next; the horizon by default.
        refit : bool or int
            False fits at the first cutoff only, True at every one, n at every n-th; always on bars up to it alone.
        min_train : int
            Bars that a ticker needs at the first cutoff.
        level, quantiles : float or sequence of float
            As in `predict`.
        static_df : DataFrame, optional
            As in `fit`.
        workers : int
            Processes to spread the fits over; 0 is this one. A script that asks for any has to stand below
            `if __name__ == "__main__":`, as every worker would run it again otherwise.

        Returns
        -------
        DataFrame
            unique_id, ds, cutoff, y, then as in `predict`; rows whose price never came are left out.

        Raises
        ------
        ConfigError
            A parameter cannot be meant, or a script without that guard asks for workers.
        SourceError
            No ticker of `df` can be used.

        Examples
        --------
        >>> table = model.cross_validation(prices, n_windows=3, step_size=10)
        >>> table["cutoff"].nunique(), table["y"].notna().all().item()
        (3, True)
        """
        edges = edges_of(level, quantiles)
        walk = walk_of(whole("horizon", self.horizon, least=1), n_windows, step_size, refit, min_train)
        experiment, processes = self._experiment(walk), whole("workers", workers, least=0)
        return cross_validate(df, static_df, experiment, edges, processes)

    @named
    def predict_insample(
        self,
        *,
        step_size: int | None = None,
        level: float | Sequence[float] = (),
        quantiles: float | Sequence[float] = (),
    ) -> Any:
        """What the models say of the bars they were fitted on: too good to judge them by.

        Parameters
        ----------
        step_size : int, optional
            Bars from one cutoff to the next; the horizon by default.
        level, quantiles : float or sequence of float
            As in `predict`.

        Returns
        -------
        DataFrame
            As of `cross_validation`, from the first bar that every model can forecast from.

        Examples
        --------
        >>> table = model.predict_insample(level=80)
        >>> bool(table["cutoff"].max() < table["ds"].max() == prices["ds"].max())
        True
        """
        self._fitted()
        edges, step = edges_of(level, quantiles), self._step(step_size)
        if self.keys_ is None:
            raise ConfigError("PriceForecaster.pretrained was fitted on no prices; score and predict take some")
        need, parts = bars_looked_at(self.experiment_.forecasters), []
        for panel in self.panels_:
            table = self._table(panel, _cutoffs(panel, session_dates(panel), self.experiment_.walk.horizon, step), need)
            if len(table):
                parts.append(to_wide(table, [panel], columns_of(self.experiment_.forecasters, table), edges))
        if not parts:
            steps = self.experiment_.walk.horizon
            raise SourceError(f"no bar of the fit has the {need} bars that models look back on, and {steps} after it")
        return self.keys_.back(pd.concat(parts, ignore_index=True))

    @named
    def score(self, df: Any, y: object = None, *, model: str | None = None, step_size: int | None = None) -> float:  # noqa: ARG002
        """Minus the mean CRPS (% log return) of forecasts from the fit's last bar and later bars; higher is better.

        Nothing is fitted again. With GridSearchCV or cross_val_score give `cv=DateSplit()`: what a fit has seen proves
        nothing, and is refused.

        Parameters
        ----------
        df : DataFrame
            Newer bars, as in `predict`.
        y : object
            Not read; scikit-learn's signature.
        model : str, optional
            Which of the models; the blend, or the last one, where none is named.
        step_size : int, optional
            Bars from one cutoff to the next; the horizon by default.

        Returns
        -------
        float
            The mean over tickers, cutoffs and steps.

        Raises
        ------
        ConfigError
            No such model.
        SourceError
            No bar of `df` comes a horizon or more after the fit.

        Examples
        --------
        >>> from s2squant.estimator import DateSplit
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(model, prices, cv=DateSplit(2, test_size=100)).round(2).tolist()
        [-0.33, -0.27]
        """
        self._fitted()
        step, models = self._step(step_size), self.experiment_.forecasters
        chosen = model or ("blend" if "blend" in models.models else models.models[-1])
        if chosen not in models.models:
            raise ConfigError(f"score: there is no model {chosen!r}; there are {', '.join(models.models)}")
        _, panels = newer_panels(df, self.panels_, self.experiment_)
        parts = []
        for panel in panels:
            days = session_dates(panel)
            for fitted in (h for p in self.panels_ if p.market == panel.market for h in p.histories):
                days = days[days >= fitted.dates[-1]]
            cutoffs = _cutoffs(panel, days, self.experiment_.walk.horizon, step)
            table = self._table(panel, cutoffs, bars_looked_at(models))
            parts += [table[table["model"] == chosen]] if len(table) else []
        if not any(len(part) for part in parts):
            steps = self.experiment_.walk.horizon
            raise SourceError(
                f"score: df has no {steps} bars after those of the fit, and what a fit has seen proves nothing; give "
                f"later bars, or cv=DateSplit(test_size=...) of more than {steps}"
            )
        return -float(score(pd.concat(parts, ignore_index=True)).of(chosen).mean())

    def _step(self, step_size: object) -> int:
        return self.experiment_.walk.horizon if step_size is None else whole("step_size", step_size, least=1)

    def _table(self, panel: Panel, cutoffs: Dates, need: int) -> pd.DataFrame:
        """Forecasts of the fit from the cutoffs, of tickers with `need` bars by then and every outcome known."""
        horizon, models = self.experiment_.walk.horizon, self.experiment_.forecasters

        def origins(some: Panel) -> Ints:
            rows = test_rows(some, cutoffs)
            return rows[(some.bar_number(rows) + 1 >= need) & (some.bars_left(rows) >= horizon)]

        if len(rows := origins(panel)) == 0:
            return forecast_table(panel, {}, self.experiment_)
        first = panel.dates[rows].min()
        fold = Fold(panel.market, 0, panel.dates.min(), first, cutoffs[cutoffs >= first], horizon)
        refuse_seen({panel.market: panel}, {panel.market: (fold,)}, models)
        fits = with_pretrained(self.fits_, [panel.until(first)], self.experiment_)
        return forecast_table(panel, fits, self.experiment_, origins)

    def _experiment(self, walk: Mapping[str, Any] | None = None) -> Experiment:
        return experiment_of(self.get_params(deep=False), walk or {})

    def _panels(self, df: object, futr_df: object, steps: int) -> tuple[Keys, Sequence[Panel]]:
        """The panels to forecast from, of the fit or of newer bars, and the caller's keys of their tickers."""
        experiment = self.experiment_
        if df is not None:
            keys, panels = newer_panels(df, self.panels_, experiment)
        elif self.keys_ is None:
            raise ConfigError("PriceForecaster.pretrained holds no prices; give some as df=...")
        else:
            keys, panels = self.keys_, list(self.panels_)
        panels = with_future(panels, futr_df, experiment)
        if steps and experiment.covariates:
            require_future(panels, experiment, steps)
        return keys, panels


def _cutoffs(panel: Panel, days: Dates, horizon: int, step: int) -> Dates:
    """Every `step`-th of the days from the last whose horizon ends by the market's last, oldest first."""
    sessions = session_dates(panel)
    ended = days[days <= sessions[-1 - horizon]] if len(sessions) > horizon else days[:0]
    return ended[::-1][::step][::-1]
