"""Variance covariates in the anchor's bank: a planted one is learnt, a useless one costs nothing."""

import numpy as np
import pytest

from s2squant.config.networks import AnchorSpec
from s2squant.forecasters.anchor import Anchor
from s2squant.forecasters.covariate_members import covariate_members
from s2squant.forecasters.features import scaled_returns
from tests.worlds.covariates import with_every_kind, with_variance
from tests.worlds.synthetic import crps, garch_panel

HORIZON, FIT_AT = 10, 1400


@pytest.fixture(scope="module")
def panel():
    return garch_panel("ABCD", 2000)


def fitted(panel):
    past = panel.until(panel.histories[0].dates[FIT_AT])
    rows = np.arange(len(past.log_price))
    rows = rows[(past.bar_number(rows) >= 250) & (past.bars_left(rows) >= HORIZON)]
    return Anchor(AnchorSpec()).fit(past, rows, horizon=HORIZON, seed=0)


def test_rows(panel):
    rows = np.arange(len(panel.log_price))
    return rows[(panel.bar_number(rows) > FIT_AT) & (panel.bars_left(rows) >= HORIZON)][::2]


test_rows.__test__ = False


def losses(panel):
    rows = test_rows(panel)
    return crps(panel.targets(rows, HORIZON), fitted(panel).predict(panel, rows).quantiles_NHQ).mean(axis=0)


@pytest.fixture(scope="module")
def bare(panel):
    return losses(panel)


def planted(returns, rng):
    return (np.abs(returns) + rng.normal(0, 0.003, len(returns))) ** 2


def test_the_size_of_tomorrow_s_return_known_beforehand_is_learnt(panel, bare):
    gains = 100 * (1 - losses(with_variance(panel, "future", planted)) / bare)
    assert gains[0] > 8  # it halves what is not known of the next bar
    assert gains[-1] > 0.5  # the horizon's mean of it


@pytest.mark.parametrize("kind", ["past", "future"])
def test_a_useless_one_costs_next_to_nothing(panel, bare, kind):
    with_it = losses(with_variance(panel, kind, lambda returns, rng: rng.chisquare(1, len(returns))))
    assert 100 * (with_it.mean() / bare.mean() - 1) < 0.1


def test_other_covariates_leave_the_same_bits(panel):
    rows = test_rows(panel)[:50]
    every = with_every_kind(panel)
    one, other = fitted(panel), fitted(with_variance(panel, "past", planted))
    plain = garch_panel("ABCD", 2000)
    assert np.array_equal(one.predict(panel, rows).quantiles_NHQ, fitted(plain).predict(plain, rows).quantiles_NHQ)
    assert one.covariates == ()
    assert other.covariates == ("x",)
    assert fitted(every).covariates == ("fear",)


def test_where_it_is_not_known_the_other_members_share_its_weight(panel):
    rows = test_rows(panel)[:5]
    holed = with_variance(panel, "past", lambda returns, _: np.where(np.arange(len(returns)) % 3 == 0, np.nan, 1.0))
    anchor = fitted(holed)
    view = anchor.view(holed)
    hole = np.isnan(view.covariates.of(rows, HORIZON)[:, 0, 0])
    assert hole.any()
    assert not hole.all()
    variance = anchor.sd(holed, view, rows) ** 2 / np.arange(1, HORIZON + 1)
    weights = anchor.weights_GHK[0]
    own = view.members_RK[rows] @ weights[:, :-1].T
    alone = own * weights.sum(1) / weights[:, :-1].sum(1)
    assert np.allclose(variance[hole], alone[hole], rtol=1e-12)
    assert np.allclose(variance[~hole], (own + view.covariates.past_RP[rows] * weights[:, -1])[~hole], rtol=1e-12)


def test_a_row_does_not_depend_on_the_others_and_a_stored_state_comes_back(panel):
    seen = with_variance(panel, "future", planted)
    anchor, rows = fitted(seen), test_rows(seen)[:60]
    again = Anchor(AnchorSpec()).restore(anchor.state())
    whole = again.predict(seen, rows).quantiles_NHQ
    assert np.array_equal(whole, anchor.predict(seen, rows).quantiles_NHQ)
    assert np.array_equal(whole[7:9], anchor.predict(seen, rows[7:9]).quantiles_NHQ)
    with pytest.raises(ValueError, match="fitted with the covariate x; these prices have none"):
        anchor.predict(panel, rows)


def test_members_are_at_the_level_of_the_ticker_whatever_their_unit(panel):
    one, thousand = (
        with_variance(panel, "past", lambda returns, rng, scale=scale: scale * planted(returns, rng))
        for scale in (1.0, 1000.0)
    )
    members = [covariate_members(p, ("x",), scaled_returns(p, 250, 5.0).bounded_R).past_RP for p in (one, thousand)]
    assert np.allclose(*members, equal_nan=True)
    assert 0.5 < np.nanmean(members[0][-500:]) / np.mean(scaled_returns(one, 250, 5.0).bounded_R[-500:] ** 2) < 2
