"""Models that read covariates: they keep the contract, see no value before it was known, and learn what is planted."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from s2squant.config.files import make_experiment
from s2squant.config.models import READERS
from s2squant.errors import ConfigError
from s2squant.forecasters import network_training
from s2squant.forecasters.baselines import gbm, ridge
from s2squant.forecasters.catalog import restore
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import State, quantile_crps
from s2squant.series.panel import Panel
from tests.test_contract import H, fit, settings
from tests.worlds.covariates import with_every_kind
from tests.worlds.synthetic import garch_panel

BARS, CUT = 460, 420


@pytest.fixture(scope="module", autouse=True)
def noise_is_read():
    """Noise is read by those too that leave it alone; tests/tuning/test_ablation.py has it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        for gated in (ridge, gbm, network_training):
            patch.setattr(gated, "LEAST_GAIN", -9.0)
        yield


@pytest.fixture(scope="module")
def panel(noise_is_read):
    return with_every_kind(garch_panel("AB", BARS))


@pytest.fixture(scope="module", params=READERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name, panel):
    return fit(name, panel.until(panel.histories[0].dates[CUT]))


ROWS = np.array([CUT, BARS - 1, BARS + CUT])


def test_covariates_are_read_and_stored(name, panel, fitted):
    without = Panel(tuple(replace(h, covariates=None) for h in panel.histories))
    plain = fit(name, without.until(panel.histories[0].dates[CUT])).predict(without, ROWS)
    ours = fitted.predict(panel, ROWS)
    assert (plain.quantiles_NHQ != ours.quantiles_NHQ).any(), "they change the forecast"
    state = fitted.state()
    arrays = load(save({key: np.ascontiguousarray(value) for key, value in state.arrays.items()}))
    again = restore(name, settings(), State(arrays, state.meta))
    assert (again.predict(panel, ROWS).quantiles_NHQ == ours.quantiles_NHQ).all()
    with pytest.raises(
        ValueError, match=r"fitted with .*fear.*; these? prices have none|fitted with .*fear.*; the prices have none"
    ):
        fitted.predict(without, ROWS)


def later_changed(panel, bar):
    """Past covariates of all later bars, and future-known ones beyond the horizon of `bar`, replaced."""

    def changed(history):
        own = history.covariates
        past, future = own.past_TP.copy(), own.future_SF.copy()
        past[bar + 1 :] *= -3.0
        future[bar + 1 + H :] += 5.0
        return replace(history, covariates=replace(own, past_TP=past, future_SF=future))

    return Panel(tuple(changed(h) for h in panel.histories))


def test_no_covariate_is_read_before_it_is_known(name, panel, fitted):
    rows = np.array([CUT - 5, CUT, BARS + CUT])
    expected, day = fitted.predict(panel, rows).quantiles_NHQ, panel.histories[0].dates[CUT]
    assert (fitted.predict(later_changed(panel, CUT), rows).quantiles_NHQ == expected).all()
    short = np.array([CUT - 5, CUT, CUT + 1 + CUT])
    assert (fitted.predict(panel.until(day), short).quantiles_NHQ == expected).all()
    refitted = fit(name, later_changed(panel, CUT).until(day))
    assert (refitted.predict(panel, rows).quantiles_NHQ == expected).all()


def test_a_value_that_is_never_known_is_no_obstacle(name, panel):
    holes = []
    for history in panel.histories:
        own = history.covariates
        past, future = own.past_TP.copy(), own.future_SF.copy()
        past[:, 0], past[300:, 1], future[-20:] = np.nan, np.nan, np.nan
        nothing = np.full(len(own.static), np.nan)
        own = replace(own, past_TP=past, future_SF=future, static_C=nothing)
        holes.append(replace(history, covariates=own))
    other = Panel(tuple(holes))
    forecast = fit(name, other).predict(other, ROWS)
    assert np.isfinite(forecast.quantiles_NHQ).all()


def announced(panel, seed=0):
    """Every session's absolute return, known beforehand with noise: what no forecaster should miss."""
    rng = np.random.default_rng(seed)

    def one(history):
        moves = np.abs(np.diff(history.log_price, prepend=history.log_price[0]))
        days = np.concatenate([history.dates, history.dates[-1] + np.arange(1, H + 5)])
        size = np.concatenate([moves, np.full(H + 4, np.median(moves))])
        known = (size + 0.002) * np.exp(0.3 * rng.standard_normal(len(days)))
        nothing = np.empty((len(history), 0)), np.empty(0)
        own = TickerCovariates((), (Covariate("announced"),), (), nothing[0], days, known[:, None], nothing[1])
        return replace(history, covariates=own)

    return Panel(tuple(one(h) for h in panel.histories))


LEARNING = settings(
    har_x={"paths": 512},
    seq2seq__pooled={"steps": 80, "batch": 16, "seeds": 1, "lr": 3e-2},
    gbm={"trees": 40, "nodes": 2, "levels": [0.05, 0.25, 0.5, 0.75, 0.95]},
)


@pytest.mark.parametrize("learner", ["ridge", "har_x", pytest.param("gbm", marks=pytest.mark.slow), "seq2seq_pooled"])
def test_a_move_that_is_announced_is_learnt(learner):
    plain = garch_panel("AB", 1200, seed=5)
    rows = np.concatenate([np.arange(900, 1190), 1200 + np.arange(900, 1190)])
    losses = []
    for panel in (plain, announced(plain)):
        forecast = fit(learner, panel.until(panel.histories[0].dates[900]), using=LEARNING).predict(panel, rows)
        losses.append(quantile_crps(panel.targets(rows, H), forecast.quantiles_NHQ).mean(axis=0))
    gain = 1 - losses[1] / losses[0]
    assert gain[0] > 0.05, "the next move is announced: a twentieth of the loss at least"


def test_garch_x_learns_a_planted_mean_and_needs_no_covariate():
    rng = np.random.default_rng(1)
    panel = announced(garch_panel("A", 900, seed=2))
    (history,) = panel.histories
    moves = np.diff(history.log_price, prepend=history.log_price[0])
    hint = np.concatenate([moves, np.zeros(H + 4)]) + 0.01 * rng.standard_normal(len(moves) + H + 4)
    hinted = Panel((replace(history, covariates=replace(history.covariates, future_SF=hint[:, None])),))
    rows = np.arange(720, 880)
    forecast = fit("garch_x", hinted.until(history.dates[700])).predict(hinted, rows)
    assert np.corrcoef(forecast.mean_NH[:, 0], moves[rows + 1])[0, 1] > 0.5
    plain = Panel((replace(history, covariates=None),))
    ours, theirs = (fit(n, plain.until(history.dates[700])).predict(plain, rows) for n in ("garch_x", "garch_shrunk"))
    assert ours.mean_NH == pytest.approx(theirs.mean_NH)


def test_baselines_on_covariates_are_refused_without_any():
    with pytest.raises(ConfigError, match="har_x is about covariates, and there are none"):
        make_experiment({"forecasters": {"extra": ["har_x"]}})
    assert not {"har_x", "garch_x"} & set(make_experiment({"forecasters": {"extra": ["baselines"]}}).forecasters.models)
