"""What every baseline promises, whatever it computes."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from s2squant.errors import CheckpointError
from s2squant.forecasters.catalog import restore
from s2squant.series.forecast import LEVELS, State
from tests.forecasters.baselines.helpers import (
    BASELINES,
    CLOSED_FORM,
    GJR,
    SETTINGS,
    fit_at_end,
    garch_returns,
    panel_of,
)

CENTRED = {"historical_simulation", "random_walk", "ewma_t", "block_bootstrap"}
BY_THEMSELVES = [name for name in BASELINES if name not in ("garch_shrunk", "gjr_shrunk", "garch_x")]
"""Those whose drift is neither believed in before a price is seen nor learnt from the others of the class."""
BARS = 700
AROUND = np.array([1, 2, 6, 30, 60, 62, 150, 199, 201, 260, 349, 350, 351, 352, 400, 500, 599, 600, 601, 650, 699])
"""Bars on both sides of what happens in the difficult series."""
EARLY_AND_LATE = np.array([1, 2, 7, 59, 60, 61, 62, 300, 500, 501, 699])


@pytest.fixture(scope="module")
def returns():
    return dict(zip(("A", "B/x", "Ü ^"), garch_returns(np.random.default_rng(1), 3, BARS, GJR, 6.0), strict=True))


@pytest.fixture(scope="module")
def panel(returns):
    return panel_of(**returns)


@pytest.fixture(scope="module", params=list(BASELINES))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name, panel):
    return fit_at_end(BASELINES[name], panel)


def test_shapes_name_and_order(name, fitted, panel):
    rows = np.array([1500, 300, 900, 300])
    forecast = fitted.predict(panel, rows)
    assert forecast.forecaster == fitted.name == name
    assert forecast.quantiles_NHQ.shape == (4, 20, len(LEVELS))
    assert (forecast.mean_NH == 0).all() == (name in CENTRED)
    assert (forecast.rows == rows).all()
    assert (forecast.quantiles_NHQ[1] == forecast.quantiles_NHQ[3]).all()
    assert (forecast.quantiles_NHQ[..., 0] < 0).all()
    assert (forecast.quantiles_NHQ[..., -1] > 0).all()


def test_a_row_does_not_depend_on_the_other_rows(fitted, panel):
    rows = np.random.default_rng(0).permutation(np.concatenate([panel.rows_of(t)[1::27] for t in panel.tickers]))
    together = fitted.predict(panel, rows).quantiles_NHQ
    for at in range(0, len(rows), 7):
        assert (fitted.predict(panel, rows[at : at + 1]).quantiles_NHQ[0] == together[at]).all()
    assert fitted.predict(panel, rows[:0]).quantiles_NHQ.shape == (0, 20, len(LEVELS))


def test_no_bar_after_a_row_is_read(fitted, returns, panel):
    expected = fitted.predict(panel, EARLY_AND_LATE).quantiles_NHQ
    for at, bar in enumerate(EARLY_AND_LATE):
        changed = returns["A"].copy()
        changed[bar:] = -5 * changed[bar:] + 0.3
        others = {ticker: r for ticker, r in returns.items() if ticker != "A"}
        wild = panel_of(A=changed, **others)
        short = panel_of(A=returns["A"][:bar], **others)
        for other in (wild, short):
            assert (fitted.predict(other, EARLY_AND_LATE[at : at + 1]).quantiles_NHQ[0] == expected[at]).all()


@pytest.mark.parametrize("name", BY_THEMSELVES, scope="module")
def test_a_ticker_alone_is_as_among_others(name, fitted, returns, panel):
    alone = panel_of(**{"B/x": returns["B/x"]})
    expected = fitted.predict(panel, panel.rows_of("B/x")[[100, 650]])
    found = fit_at_end(BASELINES[name], alone).predict(alone, np.array([100, 650]))
    assert (found.quantiles_NHQ == expected.quantiles_NHQ).all()


def test_the_seed_decides_the_draws(name, fitted, panel):
    rows = np.array([600, 1300])
    again = fit_at_end(BASELINES[name], panel).predict(panel, rows).quantiles_NHQ
    other = fit_at_end(BASELINES[name], panel, seed=1).predict(panel, rows).quantiles_NHQ
    expected = fitted.predict(panel, rows).quantiles_NHQ
    assert (again == expected).all()
    if name not in CLOSED_FORM:
        assert (other != expected).any()
    spread = expected[..., -1] - expected[..., 0]
    assert np.abs(other - expected).max(axis=-1) / spread == pytest.approx(0, abs=0.05)


def test_state_restores_bit_for_bit(name, fitted, panel):
    written = fitted.state()
    read = State(arrays=load(save(dict(written.arrays))), meta=json.loads(json.dumps(written.meta)))
    again = restore(name, SETTINGS, read)
    rows = np.array([699, 1200, 61])
    assert (again.predict(panel, rows).quantiles_NHQ == fitted.predict(panel, rows).quantiles_NHQ).all()
    assert again.state().meta == written.meta


def test_the_state_of_another_model_is_refused(name):
    with pytest.raises(CheckpointError, match="belongs to 'lstm', not to"):
        restore(name, SETTINGS, State(arrays={}, meta={"name": "lstm"}))


def test_only_tickers_with_training_rows_are_fitted(name, panel):
    fitted = BASELINES[name].fit(panel, panel.rows_of("A")[-30:], horizon=5, seed=0)
    with pytest.raises(ValueError, match=r"was not fitted for Ü \^ \(fitted: A\)"):
        fitted.predict(panel, panel.rows_of("Ü ^")[-1:])


def test_the_first_bar_has_no_forecast(fitted, panel):
    with pytest.raises(ValueError, match="first bar of B/x"):
        fitted.predict(panel, panel.rows_of("B/x")[:1])


def pegged(rng):
    """Still on nine days of ten, then four orders of magnitude more."""
    moves = 1e-6 * rng.standard_normal(BARS) * (rng.random(BARS) < 0.1)
    moves[600] = 0.3
    return moves


DIFFICULT = {
    "constant": lambda rng: np.zeros(BARS),
    "pegged": pegged,
    "halted at first": lambda rng: np.where(np.arange(BARS) < 200, 0.0, 0.02 * rng.standard_normal(BARS)),
    "alternating": lambda rng: 0.01 * (-1.0) ** np.arange(BARS),
    "one crash": lambda rng: np.where(np.arange(BARS) == 350, -2.0, 0.001 * rng.standard_normal(BARS)),
    "cauchy": lambda rng: 0.001 * np.clip(rng.standard_cauchy(BARS), -1000, 1000),
    "60 bars": lambda rng: 0.01 * rng.standard_normal(59),
    "2 bars": lambda rng: np.array([0.01]),
}


@pytest.mark.parametrize("case", DIFFICULT)
def test_difficult_series_give_a_forecast(name, case):
    panel = panel_of(X=DIFFICULT[case](np.random.default_rng(3)))
    fitted = BASELINES[name].fit(panel, np.arange(1, len(panel.dates)), horizon=60, seed=0)
    quantiles = fitted.predict(panel, AROUND[len(panel.dates) > AROUND]).quantiles_NHQ
    assert np.isfinite(quantiles).all()
    assert np.abs(quantiles).max() < 100


@pytest.mark.parametrize("name", BY_THEMSELVES, scope="module")
def test_units_do_not_matter(name):
    """A peg is forecast like any other price: scaled returns give scaled quantiles."""
    returns = garch_returns(np.random.default_rng(5), 1, BARS, GJR, 6.0)[0]
    large, small = panel_of(X=returns), panel_of(X=1e-3 * returns)
    rows = np.array([300, 650])
    ratio = [fit_at_end(BASELINES[name], p).predict(p, rows).quantiles_NHQ[..., [1, -2]] for p in (large, small)]
    assert ratio[1] * 1e3 == pytest.approx(ratio[0], rel=5e-3)


@pytest.mark.parametrize("name", BY_THEMSELVES, scope="module")
def test_histories_of_unequal_length(name):
    rng = np.random.default_rng(4)
    long, short = 0.01 * rng.standard_normal(900), 0.02 * rng.standard_normal(310)
    panel, alone = panel_of(LONG=long, SHORT=short), panel_of(SHORT=short)
    among = fit_at_end(BASELINES[name], panel).predict(panel, np.array([900, 901 + 310])).quantiles_NHQ
    assert (fit_at_end(BASELINES[name], alone).predict(alone, np.array([310])).quantiles_NHQ[0] == among[1]).all()
