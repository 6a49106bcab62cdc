"""The drift: shrunk as a hand would, read from the past alone, and the only location of every model that has one."""

import numpy as np
import pytest

from s2squant.config.asset_classes import DRIFT_PRIORS, PRIOR_TICKERS
from s2squant.config.models import Forecasters
from s2squant.errors import CheckpointError
from s2squant.forecasters.catalog import make
from s2squant.forecasters.expected_return import Drifts, between_variance, shrunk_drifts, training_drifts
from s2squant.series.forecast import State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from tests.forecasters.baselines.helpers import panel_of

DAYS = np.busday_offset("2000-01-03", np.arange(2001), roll="forward")


def market(returns_KT, calendar="XNYS"):
    """A panel of tickers A, B, ... on business days, with these returns."""
    closes = 50 * np.exp(np.concatenate([np.zeros((len(returns_KT), 1)), np.cumsum(returns_KT, axis=1)], axis=1))
    return Panel(tuple(PriceHistory(chr(65 + k), calendar, DAYS[: len(c)], c) for k, c in enumerate(closes)))


def test_a_ticker_alone_by_hand():
    r = 0.0004 + 0.01 * np.random.default_rng(0).standard_normal(2000)
    found = shrunk_drifts(market(r[None])).by_ticker["A"]
    prior, years = DRIFT_PRIORS["stocks"], (DAYS[2000] - DAYS[1]).astype(int) / 365.25
    a_year = 2000 / years
    own, certain = r.mean(), 2000 / r.var()
    held = 1 / ((prior.class_sd**2 + prior.ticker_sd**2) / a_year**2)
    assert found == pytest.approx((own * certain + prior.mean / a_year * held) / (certain + held), rel=1e-6)
    assert abs(found - prior.mean / a_year) < abs(found - own), "eight years of one stock tell little"


def test_a_class_of_three_by_hand():
    r = 0.01 * np.random.default_rng(1).standard_normal((3, 2000)) + np.array([[0.001], [0.0], [-0.0004]])
    found = shrunk_drifts(market(r))
    prior, a_year = DRIFT_PRIORS["stocks"], 2000 / ((DAYS[2000] - DAYS[1]).astype(int) / 365.25)
    common = r.mean(axis=0)
    x, certain, held = common.mean(), 2000 / common.var(), (a_year / prior.class_sd) ** 2
    m = (x * certain + prior.mean / a_year * held) / (certain + held)
    y, v = (r - common).mean(axis=1), (r - common).var(axis=1) / 2000
    w = 1 / v
    centre = (w * y).sum() / w.sum()
    q = (w * (y - centre) ** 2).sum()
    between = max(0, (q - 2) / (w.sum() - (w**2).sum() / w.sum()))
    spread = (PRIOR_TICKERS * (prior.ticker_sd / a_year) ** 2 + 2 * between) / (PRIOR_TICKERS + 2)
    expected = m + spread / (spread + v) * y
    assert [found.by_ticker[t] for t in "ABC"] == pytest.approx(expected, rel=1e-6)
    assert found.by_class == {"stocks": pytest.approx(m, rel=1e-6)}


def test_the_spread_between_tickers_is_found():
    rng = np.random.default_rng(2)
    v = rng.uniform(0.5, 2.0, 4000)
    y = 1.5 * rng.standard_normal(4000) + np.sqrt(v) * rng.standard_normal(4000)
    assert between_variance(y, v) == pytest.approx(1.5**2, rel=0.1)
    assert between_variance(np.sqrt(v[:50]) * 0.1, v[:50]) == 0.0


def test_classes_do_not_lend_each_other():
    r = 0.01 * np.random.default_rng(3).standard_normal((2, 2000)) + 0.0008
    stocks, currencies = (shrunk_drifts(market(r, calendar)).by_ticker["A"] for calendar in ("XNYS", "ECB"))
    assert stocks > 1.5 * currencies > 0, "the same returns; a currency is not believed to grow"


def test_only_the_past_of_the_market_is_read():
    r = 0.01 * np.random.default_rng(4).standard_normal((3, 2000))
    wild = r.copy()
    wild[:, 1000:] = 0.05
    day = DAYS[1000]
    known, other = (shrunk_drifts(market(x).only("B").until(day)).by_ticker for x in (r, wild))
    assert known == other
    assert known == shrunk_drifts(market(r[:, :1000])).by_ticker
    assert shrunk_drifts(market(wild).only("B")).by_ticker != known


def test_a_price_that_never_moved_does_not_drift():
    r = 0.01 * np.random.default_rng(5).standard_normal((2, 2000))
    r[1] = 0.0
    assert all(np.isfinite(value) for value in shrunk_drifts(market(r)).by_ticker.values())
    assert abs(shrunk_drifts(market(r[1:])).by_ticker["A"]) < 1e-9


def test_an_unknown_ticker_has_its_class_s_drift_and_states_go_round():
    r = 0.01 * np.random.default_rng(6).standard_normal((2, 800))
    drifts = shrunk_drifts(market(r))
    new = Panel((PriceHistory("NEW", "XNYS", DAYS[:5], [1.0, 2, 3, 4, 5]),))
    assert drifts.of(new).tolist() == [drifts.by_class["stocks"]]
    assert Drifts.restored(drifts.state()) == drifts
    with pytest.raises(CheckpointError, match="fit again"):
        Drifts.restored(State({}, {}))


def test_training_drifts_are_means_of_the_next_bar():
    panel = panel_of(A=np.array([0.01, 0.03, -0.02, 0.05]), B=np.full(4, 0.02))
    assert training_drifts(panel, np.array([1, 3])) == pytest.approx([0.04, 0.0])


@pytest.mark.parametrize("name", ["garch_shrunk", "gjr_shrunk", "anchor"])
def test_a_model_s_mean_is_the_drift_and_its_shape_is_not(name):
    r = 0.01 * np.random.default_rng(7).standard_normal((3, 1500)) + np.array([[0.004], [0.0], [-0.002]])
    panel = market(r)
    rows = np.arange(len(panel.dates))
    rows = rows[(panel.bar_number(rows) >= 250) & (panel.bars_left(rows) >= 10)]
    fitted = make(name, Forecasters()).fit(panel, rows, horizon=10, seed=0)
    found = fitted.predict(panel, panel.rows_of("A")[-1:])
    expected = shrunk_drifts(panel).by_ticker["A"] * np.arange(1, 11)
    assert found.mean_NH[0] == pytest.approx(expected, rel=1e-6)
    width = found.quantiles_NHQ[0, :, -1] - found.quantiles_NHQ[0, :, 0]
    around = (found.quantiles_NHQ[0].mean(axis=1) - expected) / width
    assert around == pytest.approx(0, abs=0.02)
