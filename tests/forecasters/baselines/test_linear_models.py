"""Drift, ETS, Theta, ARIMA, ridge: location and width against other people's code, or a plain loop."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel

from benchmarks import simulated_processes as processes
from s2squant.config.baselines import DriftSpec, LinearSpec, RidgeSpec
from s2squant.forecasters.baselines import arima, predictors, ridge, smoothing
from s2squant.forecasters.baselines.drift import Drift, trailing_mean
from s2squant.series.forecast import LEVELS
from tests.forecasters.baselines.helpers import fit_at_end, panel_of

H = 20


def test_drift_is_closed_form():
    returns = 0.01 + 0.01 * np.random.default_rng(0).standard_normal(400)
    panel = panel_of(X=returns)
    found = fit_at_end(Drift(DriftSpec(window=100, scale_window=50)), panel).predict(panel, np.array([333]))
    mean, square = returns[233:333].mean(), np.mean(returns[283:333] ** 2)
    for h in (1, 7, 20):
        expected = stats.norm.ppf(LEVELS, h * mean, np.sqrt(h * square + h**2 * square / 100))
        assert found.quantiles_NHQ[0, h - 1] == pytest.approx(expected, rel=1e-9)
        assert found.mean_NH[0, h - 1] == pytest.approx(h * mean, rel=1e-9)


def test_trailing_mean_of_what_is_known():
    values = np.random.default_rng(0).standard_normal(30)
    found = trailing_mean(values, 7)
    assert found[0] == 0
    assert found[3] == pytest.approx(values[:3].mean())
    assert found[30] == pytest.approx(values[-7:].mean())


@pytest.mark.parametrize(("trend", "damped"), [(None, False), ("add", False), ("add", True)])
def test_smoothing_is_that_of_statsmodels(trend, damped):
    """One-step errors after a burn-in, the forecasts, and their variance."""
    returns = processes.smoothing_returns(np.random.default_rng(1), (1, 600), alpha=0.7, beta=0.1, phi=0.9, start=0.0)[
        0
    ]
    theirs = ETSModel(pd.Series(np.r_[0, np.cumsum(returns)]), trend=trend, damped_trend=damped).fit(disp=False)
    names = dict(zip(theirs.param_names, theirs.params, strict=True))
    model = smoothing.Smoothing(
        names["smoothing_level"], names.get("smoothing_trend", 0.0), names.get("damping_trend", 1.0), 0.0
    )
    error_T, trend_T = smoothing.filtered_states(returns, model)
    assert error_T[200:] == pytest.approx(theirs.resid.to_numpy()[201:], abs=1e-3)
    damped_H = np.cumsum(model.phi ** np.arange(1, H + 1))
    location = (model.alpha - 1) * error_T[-1] + trend_T[-1] * damped_H
    ahead = theirs.get_prediction(start=601, end=600 + H)
    assert location == pytest.approx(ahead.predicted_mean.to_numpy() - returns.sum(), abs=1e-2)
    gain_H = np.concatenate([[1.0], model.alpha + model.beta * damped_H[:-1]])
    assert np.cumsum(gain_H**2) * theirs.mse == pytest.approx(np.asarray(ahead.forecast_variance), rel=1e-6)


def test_ets_finds_a_damped_trend_and_none_in_a_random_walk():
    rng = np.random.default_rng(2)
    damped = processes.smoothing_returns(rng, (1, 2000), alpha=0.7, beta=0.15, phi=0.85, start=0.0)[0]
    found = smoothing.ets_of(damped)
    assert found.beta == pytest.approx(0.15, abs=0.08)
    assert found.phi == pytest.approx(0.85, abs=0.12)
    assert smoothing.ets_of(rng.standard_normal(2000)).alpha > 0.9


def test_theta_is_that_of_statsmodels():
    """Equal but for the level, which there lags the drift a little (Hyndman and Billah 2003)."""
    returns = processes.smoothing_returns(np.random.default_rng(3), (1, 1500), alpha=0.8, beta=0.0, phi=1.0, start=0.1)[
        0
    ]
    theirs = ThetaModel(np.r_[0, np.cumsum(returns)], period=1, deseasonalize=False, use_test=False).fit()
    model = smoothing.theta_of(returns)
    error_T, trend_T = smoothing.filtered_states(returns, model)
    location = (model.alpha - 1) * error_T[-1] + trend_T[-1] * np.arange(1, H + 1)
    assert location == pytest.approx(theirs.forecast(H).to_numpy() - returns.sum(), abs=0.02)


def test_arima_is_that_of_statsmodels():
    returns = processes.arma_returns(np.random.default_rng(4), (1, 3000), ar=0.6, ma=-0.3, mean=0.1)[0]
    model = arima.estimate(returns)
    assert model.drift == pytest.approx(0.1, abs=0.05)
    assert arima.gains(model, H)[-1] == pytest.approx(0.7 / 0.4, rel=0.1)  # (1 + ma) / (1 - ar), whatever the order
    p, q = int(np.count_nonzero(model.ar_K)), int(np.count_nonzero(model.ma_K))
    fixed = [model.drift, *model.ar_K[:p], *model.ma_K[:q], 1.0]
    theirs = ARIMA(returns, order=(p, 0, q), trend="c").filter(fixed).get_forecast(H)
    centred = returns - model.drift
    found = arima.location(centred, arima.errors(centred, model), np.array([3000]), model, H)[0]
    assert found == pytest.approx(np.cumsum(theirs.predicted_mean), abs=1e-6)
    assert arima.gains(model, 2)[1] == pytest.approx(1 + model.ar_K[0] + model.ma_K[0])


def test_arima_leaves_roots_on_the_circle_alone():
    assert arima.smallest_root(np.array([-0.9999, 0.0])) == pytest.approx(1 / 0.9999)
    assert arima.smallest_root(np.zeros(2)) == np.inf
    walk = arima.estimate(np.random.default_rng(0).standard_normal(2000))
    assert min(arima.smallest_root(-walk.ar_K), arima.smallest_root(walk.ma_K)) > arima.ROOT


@pytest.mark.parametrize("model", [smoothing.Ets, smoothing.Theta, arima.Arima])
def test_the_errors_scale_is_that_of_the_last_bars(model):
    returns = np.random.default_rng(5).standard_normal(1200)
    returns[900:] *= 3
    panel = panel_of(X=0.01 * returns)
    quantiles = fit_at_end(model(LinearSpec(scale_window=250)), panel).predict(panel, np.array([850, 1200]))
    width = quantiles.quantiles_NHQ[:, 0, -1] - quantiles.quantiles_NHQ[:, 0, 0]
    assert width[1] / width[0] == pytest.approx(3, rel=0.2)


def test_predictors_read_only_the_past():
    returns = np.random.default_rng(6).standard_normal(400)
    expected = predictors.predictors(returns)
    assert expected.shape == (401, len(predictors.NAMES))
    for bar in (61, 250, 399):
        changed = np.concatenate([returns[:bar], 9 * np.ones(400 - bar)])
        assert (predictors.predictors(changed)[: bar + 1] == expected[: bar + 1]).all()
        assert (predictors.predictors(returns[:bar]) == expected[: bar + 1]).all()


def test_labels_end_with_the_panel():
    returns = np.random.default_rng(7).standard_normal(500)
    bars, labels = predictors.labelled(returns, np.ones(501), H, 100)
    assert (bars.start, bars.stop) == (381, 481)
    assert labels[-1, -1] == pytest.approx(returns[480:].sum() / np.sqrt(H))
    assert labels[0, 2] == pytest.approx(returns[381:384].sum() / np.sqrt(3))


def test_ridge_learns_a_planted_mean_and_leaves_noise_alone():
    rng = np.random.default_rng(8)
    planted = processes.arma_returns(rng, (1, 2500), ar=0.3, ma=0.0, mean=0.0)[0]
    panel = panel_of(P=0.01 * planted, N=0.01 * rng.standard_normal(2500))
    mean = fit_at_end(ridge.Ridge(RidgeSpec()), panel).predict(panel, np.arange(2000, 2500)).mean_NH[:, 0]
    assert np.corrcoef(mean, planted[1999:2499])[0, 1] > 0.8
    noise = fit_at_end(ridge.Ridge(RidgeSpec()), panel).predict(panel, 2501 + np.arange(2000, 2500))
    assert noise.mean_NH[:, 0].std() < 0.4 * mean.std()


def test_ridge_residuals_are_out_of_block():
    """On noise with many inputs, residuals of fitted bars are too narrow; those of other blocks are not."""
    rng = np.random.default_rng(9)
    inputs, labels = rng.standard_normal((200, 40)), rng.standard_normal((200, 1))
    fitted = ridge.linear(inputs, ridge.solved(inputs, labels, np.array([1e-6])))
    assert (labels - fitted).std() < 0.93
    assert (labels - ridge.out_of_block(inputs, labels, np.array([1e-6]))).std() > 1.0
