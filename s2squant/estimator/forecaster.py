"""Multi-step forecasts from Python: prices in and out as Nixtla's long frame, parameters as scikit-learn's.

The estimator forecasts and gives no verdict: that is the backtest's, which also counts what was tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd

from s2squant.errors import ConfigError
from s2squant.estimator.arguments import count_of, edges_of, steps_of
from s2squant.estimator.covariates import future_frame
from s2squant.estimator.fits import Fits, fit_markets
from s2squant.estimator.forecasts import columns_of, forecast_table, with_pretrained
from s2squant.estimator.frames import load_frame, warn_left_out
from s2squant.estimator.keywords import named
from s2squant.estimator.paths import drawn_paths, joined_paths, only_of
from s2squant.estimator.plots import plot_fan
from s2squant.estimator.reach import fits_beyond
from s2squant.estimator.walked import WalkedForecaster
from s2squant.estimator.wide_table import to_wide
from s2squant.prices.covariates.load import with_covariates

DEFAULT = ("gjr_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend")


class PriceForecaster(WalkedForecaster):
    """Multi-step forecasts of many price series, from any models of this package.

    Prices are a long frame of pandas, polars or pyarrow, and come back as one: `unique_id` (the ticker), `ds` (dates),
    `y` (adjusted closes). Open, High, Low, Close and Volume are read as raw bars where they stand beside it, other
    columns where they are declared. Tickers come back with the values and type they went in with, `ds` as midnights, in
    the frame's time zone where it has one. Parameters are checked by `fit`.

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

    @named
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

    @named
    def fit(self, df: Any, y: object = None, *, static_df: Any = None) -> Self:  # noqa: ARG002
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
        keys, loaded = load_frame(df, experiment, static_df=static_df)
        panels, fits, refused, experiment = fit_markets(with_covariates(loaded, experiment), experiment)
        warn_left_out(refused, everything=not panels)
        self._holding(experiment, panels, fits, refused, keys)
        self.findings_ |= loaded.findings
        return self

    @classmethod
    @named
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

    @named
    def predict(
        self,
        h: int | None = None,
        *,
        df: Any = None,
        futr_df: Any = None,
        X_df: Any = None,
        level: float | Sequence[float] = (),
        quantiles: float | Sequence[float] = (),
    ) -> Any:
        """Median prices of the sessions after each ticker's last bar, and prediction bands.

        Parameters
        ----------
        h : int, optional
            Sessions ahead; the horizon by default. Beyond it only models go on that read their own output: networks
            with decoder.previous and a head of paths, returns as words. They run free there, beyond what they were
            trained on, as a column `<model>-free-running` says; the others' columns are empty.
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
        quantiles : float or sequence of float
            In the place of `level`, quantiles from 0.005 to 0.995.

        Returns
        -------
        DataFrame
            unique_id, ds, then `<model>`, `<model>-lo-80`, `<model>-hi-80`, or `<model>_ql0.1`.

        Raises
        ------
        ConfigError
            `h`, `level` or `quantiles` is out of range, or no model goes on to `h`.
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
        horizon, edges = self.experiment_.walk.horizon, edges_of(level, quantiles)
        steps = steps_of(h, horizon, beyond=True)
        if futr_df is not None and X_df is not None:
            raise ConfigError("futr_df and X_df are two names of the same; give one")
        parts = []
        keys, panels = self._panels(df, futr_df if X_df is None else X_df, steps)
        fits = with_pretrained(self.fits_, panels, self.experiment_)
        fits = fits if steps <= horizon else fits_beyond(fits, horizon, steps)
        for panel in panels:
            table = forecast_table(panel, fits, self.experiment_, steps=steps)
            table = table[table["step"] <= steps]
            parts.append(to_wide(table, [panel], columns_of(self.experiment_.forecasters, table), edges))
        return keys.back(pd.concat(parts, ignore_index=True).drop(columns=["cutoff", "y"]))

    @named
    def make_future(self, h: int | None = None, *, df: Any = None) -> Any:
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

    @named
    def plot(self, ticker: object, *, model: str | None = None, df: Any = None) -> Any:
        """Fan of a ticker's newest forecast as a plotly figure, by the blend or the model named; `df` as in `predict`.

        Examples
        --------
        >>> model.plot("EURUSD", model="ewma_t").data[-1].name
        'Median of EWMA-t'
        """
        self._fitted()
        _, panels = self._panels(df, None, self.experiment_.walk.horizon)
        return plot_fan(ticker, model, panels, with_pretrained(self.fits_, panels, self.experiment_), self.experiment_)

    @named
    def simulate(
        self,
        n_paths: int = 100,
        *,
        df: Any = None,
        futr_df: Any = None,
        joint: bool = False,
        model: str | None = None,
    ) -> Any:
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
        model : str, optional
            Only this one, by its name or, of a model by its path, the name that it gives itself: "scenarios".

        Returns
        -------
        DataFrame
            unique_id, ds, sample_id (from 0), a column a model.

        Raises
        ------
        ConfigError
            No model draws paths, or one draws fewer than `n_paths`; `model` is none of the models.
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
        return keys.back(only_of(model, make(panels, self.fits_, self.experiment_, n_paths), self.fits_))
