"""Multi-step forecasts from Python: prices in and out as Nixtla's long frame, parameters as scikit-learn's.

The estimator forecasts and gives no verdict: that is the backtest's, which also counts what was tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError
from s2squant.estimator.arguments import count_of, experiment_of, levels_of, steps_of, walk_of, whole
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.covariates import future_frame, require_future, with_future, with_static
from s2squant.estimator.cross_validation import cross_validate
from s2squant.estimator.fits import (
    Fits,
    fit_markets,
    newest_table,
    told,
    with_pretrained,
)
from s2squant.estimator.frames import load_frame, newer_panels, warn_left_out
from s2squant.estimator.paths import drawn_paths, joined_paths
from s2squant.estimator.plots import plot_fan
from s2squant.estimator.stored import StoredForecaster
from s2squant.estimator.wide_table import to_wide
from s2squant.prices.covariates.load import with_covariates
from s2squant.series.panel import Panel

DEFAULT = ("gjr_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend")


class PriceForecaster(StoredForecaster):
    """Multi-step forecasts of many price series, from any models of this package.

    Prices are a long frame: `unique_id` (the ticker), `ds` (dates), `y` (adjusted closes). Open, High, Low, Close
    and Volume are read as raw bars where they stand beside it, other columns where they are declared. Tickers come back
    with the values and type they went in with, `ds` as midnights, in the frame's time zone where it has one. Parameters
    are checked by `fit`.

    Parameters
    ----------
    models : str or sequence of str
        The models, by the names that `forecasters.models` of an experiment takes: ours, or package.module:function.
    horizon : int
        Sessions ahead that are forecast.
    settings : mapping, optional
        Settings of the models, as the table `forecasters` of an experiment: {"seq2seq": {"encoder": {"cell": "gru"}}}.
    calendars : mapping, optional
        The calendar of a ticker whose guess is wrong: {"7203": "XTKS"}.
    accept : str or sequence of str
        Findings of the price checks that do not exclude a ticker.
    hist_exog, futr_exog : str, sequence of str or mapping, optional
        Columns that are known at each bar's close, and columns known a horizon before; a mapping names their
        transforms: {"vix": "variance"}.
    stat_exog : str or sequence of str, optional
        Columns of one value a ticker, numbers or categories.
    covariates : sequence of mapping, optional
        More covariates, each a table of an experiment's [[covariates]]: [{"name": "weekday", "calendar": "weekday"}].
    random_state : int, optional
        The seed; equal data, settings and seed give equal forecasts. None draws one.

    Attributes
    ----------
    refused_ : dict
        The tickers, and models of the caller's own, that were left out by `fit`, and why.
    findings_ : dict
        What the checks found in each ticker's prices, notes too; `fit` warns of the worst.

    Examples
    --------
    >>> import pandas as pd
    >>> from s2squant.prices.sources.sample import SampleSource
    >>> euro = SampleSource().history("EURUSD")
    >>> prices = pd.DataFrame({"unique_id": "EURUSD", "ds": euro.dates, "y": euro.adj_close})
    >>> model = PriceForecaster(["random_walk", "ewma_t"], horizon=5).fit(prices)
    >>> model.predict(h=2, level=80).columns.to_list()[:5]
    ['unique_id', 'ds', 'random_walk', 'random_walk-lo-80', 'random_walk-hi-80']
    """

    def __init__(
        self,
        models: str | Sequence[str] = DEFAULT,
        *,
        horizon: int = 20,
        settings: Mapping[str, Any] | None = None,
        calendars: Mapping[str, str] | None = None,
        accept: str | Sequence[str] = (),
        hist_exog: str | Sequence[str] | Mapping[str, str] = (),
        futr_exog: str | Sequence[str] | Mapping[str, str] = (),
        stat_exog: str | Sequence[str] = (),
        covariates: Sequence[Mapping[str, Any]] | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.models = models
        self.horizon = horizon
        self.settings = settings
        self.calendars = calendars
        self.accept = accept
        self.hist_exog = hist_exog
        self.futr_exog = futr_exog
        self.stat_exog = stat_exog
        self.covariates = covariates
        self.random_state = random_state

    def fit(self, df: pd.DataFrame, y: object = None, *, static_df: pd.DataFrame | None = None) -> Self:  # noqa: ARG002
        """Fit every model on all bars of a frame.

        Parameters
        ----------
        df : DataFrame
            Prices: unique_id, ds, y.
        y : object
            Not read; scikit-learn's signature.
        static_df : DataFrame, optional
            A row a ticker: unique_id, and the columns of `stat_exog` that `df` has not.

        Returns
        -------
        PriceForecaster
            The estimator itself. A ticker that cannot be used is left out with a warning, its reason in `refused_`.

        Raises
        ------
        ConfigError
            A parameter cannot be meant.
        SourceError
            The frame is no table of prices, or no ticker of it can be used.

        Examples
        --------
        >>> PriceForecaster("random_walk").fit(prices).refused_
        {}
        """
        experiment = self._experiment()
        keys, loaded = load_frame(with_static(df, static_df), experiment)
        panels, fits, refused, experiment = fit_markets(with_covariates(loaded, experiment), experiment)
        warn_left_out(refused, everything=not panels)
        self._holding(experiment, panels, fits, refused, keys)
        self.findings_ |= loaded.findings
        return self

    @classmethod
    def pretrained(cls, *, horizon: int = 20, judged: bool = False, calendars: Mapping[str, str] | None = None) -> Self:
        """Make an estimator of the shipped weights: `predict(df=...)` forecasts stocks and currencies without a fit.

        Parameters
        ----------
        horizon : int
            Sessions ahead, at most 60.
        judged : bool
            Take the weights whose training ends in 2015.
        calendars : mapping, optional
            As of the class.

        Returns
        -------
        PriceForecaster
            It has no tickers of its own; each that it is given needs 60 bars.

        Examples
        --------
        >>> PriceForecaster.pretrained(horizon=5).predict(df=prices).columns.to_list()
        ['unique_id', 'ds', 'pretrained']
        """
        settings = {"pretrained": {"judged": judged}}
        estimator = cls("pretrained", horizon=horizon, settings=settings, calendars=calendars)
        return estimator._holding(estimator._experiment(), (), Fits(), {}, None)

    def predict(
        self,
        h: int | None = None,
        *,
        df: pd.DataFrame | None = None,
        futr_df: pd.DataFrame | None = None,
        X_df: pd.DataFrame | None = None,
        level: float | Sequence[float] = (),
    ) -> pd.DataFrame:
        """Median prices of the sessions after each ticker's last bar, and prediction bands.

        Parameters
        ----------
        h : int, optional
            Sessions ahead, at most the horizon, which is the default.
        df : DataFrame, optional
            Newer bars to forecast from, of its tickers alone; nothing is fitted again. They continue the bars of the
            fit, so that one new bar will do. They may overlap them, as the same closes or a common factor times them (a
            dividend since); after a gap, a ticker needs as many bars as the models look back on. A ticker that was not
            fitted is forecast by the models that serve any (anchor and pooled net from 251 bars on, pretrained from
            60), and the blend of those; the others' columns are empty there.
        futr_df, X_df : DataFrame, optional
            The columns of `futr_exog` on the sessions to come, as `make_future` lays them out; one name or the other.
        level : float or sequence of float
            Coverage of the bands in per cent, up to 99; between the levels of a forecast it is interpolated.

        Returns
        -------
        DataFrame
            unique_id, ds, then `<model>`, `<model>-lo-80`, `<model>-hi-80`.

        Raises
        ------
        ConfigError
            `h` or `level` is out of range.
        SourceError
            No ticker of `df` can be used, or a future value is missing: which, when, for whom.

        Notes
        -----
        Fitted tickers that `df` lacks are still read as part of their market, as far as their bars of the fit reach; a
        warning names them where that is not far enough. The blend has the weights that it begins with, networks
        none, as nothing has matured yet by which they could change.

        Examples
        --------
        >>> table = model.predict(level=[80])
        >>> bool((table["ewma_t-lo-80"] < table["ewma_t-hi-80"]).all())
        True
        >>> print(table["random_walk"].iloc[0] == euro.adj_close[-1])
        True
        """
        self._fitted()
        steps, level = steps_of(h, self.experiment_.walk.horizon), levels_of(level)
        parts = []
        keys, panels = self._panels(df, futr_df if X_df is None else X_df, steps)
        fits = with_pretrained(self.fits_, panels, self.experiment_)
        for panel in panels:
            table = newest_table(panel, fits, self.experiment_)
            table = table[table["step"] <= steps]
            parts.append(to_wide(table, [panel], told(self.experiment_.forecasters, table), level))
        return keys.back(pd.concat(parts, ignore_index=True).drop(columns=["cutoff", "y"]))

    def make_future(self, h: int | None = None, *, df: pd.DataFrame | None = None) -> pd.DataFrame:
        """The frame to fill with future values: the sessions after each ticker's last bar.

        Parameters
        ----------
        h : int, optional
            Sessions ahead, at most the horizon, which is the default.
        df : DataFrame, optional
            Newer bars, as in `predict`.

        Returns
        -------
        DataFrame
            unique_id, ds, a column each of `futr_exog`: what is known already, else missing.

        Examples
        --------
        >>> days = prices.assign(monday=(prices["ds"].dt.day_of_week == 0) * 1.0)
        >>> known = PriceForecaster("ewma_t", horizon=3, futr_exog="monday").fit(days)
        >>> future = known.make_future()
        >>> future["monday"] = (future["ds"].dt.day_of_week == 0) * 1.0
        >>> len(known.predict(futr_df=future))
        3
        """
        self._fitted()
        keys, panels = self._panels(df, None, 0)
        return future_frame(panels, keys, self.experiment_, steps_of(h, self.experiment_.walk.horizon))

    def plot(self, ticker: object, *, model: str | None = None, df: pd.DataFrame | None = None) -> Any:
        """Fan of a ticker's newest forecast as a plotly figure, by the blend or the model named; `df` as in `predict`.

        Examples
        --------
        >>> model.plot("EURUSD", model="ewma_t").data[-1].name
        'Median of EWMA-t'
        """
        self._fitted()
        _, panels = self._panels(df, None, self.experiment_.walk.horizon)
        return plot_fan(ticker, model, panels, with_pretrained(self.fits_, panels, self.experiment_), self.experiment_)

    def simulate(
        self,
        n_paths: int = 100,
        *,
        df: pd.DataFrame | None = None,
        futr_df: pd.DataFrame | None = None,
        joint: bool = False,
    ) -> pd.DataFrame:
        """Sample paths of prices after each ticker's last bar.

        Parameters
        ----------
        n_paths : int
            Paths a ticker.
        df, futr_df : DataFrame, optional
            Newer bars and future values, as in `predict`.
        joint : bool
            False: of the models that draw whole paths, ticker by ticker (most baselines, networks with a head of single
            steps). True: of every model, any number; its quantiles in the rank order of past outcomes, so that a
            `sample_id` is one history of all tickers and steps (docs/risk.md).

        Returns
        -------
        DataFrame
            unique_id, ds, sample_id (from 0), a column a model.

        Raises
        ------
        ConfigError
            No model draws paths, or one draws fewer than `n_paths`.
        SourceError
            No ticker has past dates enough for joint paths.

        Examples
        --------
        >>> model.simulate(10, joint=True).groupby("sample_id").size().tolist()
        [5, 5, 5, 5, 5, 5, 5, 5, 5, 5]
        """
        self._fitted()
        if count_of("n_paths", n_paths, "simulate(df=...)") < 1:
            raise ConfigError(f"n_paths is {n_paths}; ask for at least one")
        keys, panels = self._panels(df, futr_df, self.experiment_.walk.horizon)
        make = joined_paths if joint else drawn_paths
        return keys.back(make(panels, self.fits_, self.experiment_, n_paths))

    def cross_validation(
        self,
        df: pd.DataFrame,
        *,
        n_windows: int = 20,
        step_size: int | None = None,
        refit: bool | int = False,
        min_train: int = 750,
        level: float | Sequence[float] = (),
        static_df: pd.DataFrame | None = None,
        workers: int = 0,
    ) -> pd.DataFrame:
        """Walk-forward forecasts from the last cutoffs of a frame; the estimator stays as it was.

        The blend's gate looks at matured cutoffs, as in a backtest.

        Parameters
        ----------
        df : DataFrame
            Prices: unique_id, ds, y.
        n_windows : int
            Cutoffs.
        step_size : int, optional
            Bars from one cutoff to the next; the horizon by default.
        refit : bool or int
            False fits at the first cutoff only, True at every one, n at every n-th; always on bars up to it alone.
        min_train : int
            Bars that a ticker needs at the first cutoff.
        level : float or sequence of float
            Coverage of the bands in per cent, as in `predict`.
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
        level = levels_of(level)
        walk = walk_of(whole("horizon", self.horizon, least=1), n_windows, step_size, refit, min_train)
        experiment, processes = self._experiment(walk), whole("workers", workers, least=0)
        return cross_validate(with_static(df, static_df), experiment, level, processes)

    def _experiment(self, walk: Mapping[str, Any] | None = None) -> Experiment:
        return experiment_of(self.get_params(deep=False), walk or {})

    def _panels(
        self, df: pd.DataFrame | None, futr_df: pd.DataFrame | None, steps: int
    ) -> tuple[Keys, Sequence[Panel]]:
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
