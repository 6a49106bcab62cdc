"""Joint paths: marginals that stay the forecast's, past dates in common, and dependence as it is where it is known."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import t as student

from s2squant.errors import SourceError
from s2squant.evaluation.joint_scores import pairs_of, scored
from s2squant.series.history import PriceHistory
from s2squant.series.joint_paths import joint_paths, spaced_quantiles
from s2squant.series.past_paths import FEWEST, past_paths, sharing
from s2squant.series.tails import ALL_LEVELS, at_level

H = 4


def history(returns, name="A", first=0):
    days = (first + np.arange(len(returns) + 1)).astype("datetime64[D]")
    return PriceHistory(name, "24/7", days, 100 * np.exp(np.r_[0.0, np.cumsum(returns)]))


@pytest.fixture(scope="module")
def pair():
    draws = np.random.default_rng(0)
    common = draws.standard_t(5, 700)
    return [history(0.01 * (common + 0.5 * draws.standard_t(5, 700)), name) for name in "AB"]


def skewed(tickers=2):
    """Quantiles of exponential-like laws of another width at each step and ticker."""
    width = 0.01 * np.arange(1, tickers * H + 1).reshape(tickers, H, 1)
    return width * (np.exp(0.4 * ndtri(ALL_LEVELS)) - 1)


@pytest.mark.parametrize("paths", [200, 1000, 40_000])
def test_as_many_paths_lie_below_each_quantile_as_its_level_says(pair, paths):
    levels = skewed()
    made = joint_paths(levels, past_paths(pair, H).order(0), paths, seed=3)
    below = (made[:, :, None, :] < levels[..., None].astype(np.float32)).sum(axis=-1)
    expected = ALL_LEVELS * paths
    np.testing.assert_allclose(below, np.broadcast_to(expected, below.shape), atol=1e-6)
    np.testing.assert_allclose(np.sort(made[1, 2])[paths // 2 - 1 : paths // 2 + 1].mean(), levels[1, 2, 21], atol=1e-4)


def test_every_column_holds_the_same_values_whatever_the_order(pair):
    order = past_paths(pair, H).order(0)
    made = joint_paths(skewed(), order, 1500, seed=3)  # some dates twice, some thrice
    for m in range(2):
        np.testing.assert_array_equal(np.sort(made[m]), spaced_quantiles(skewed()[m], 1500).astype(np.float32))
    np.testing.assert_array_equal(made, joint_paths(skewed(), order, 1500, seed=3))
    assert (made != joint_paths(skewed(), order, 1500, seed=4)).any()


def test_the_levels_between_are_those_that_predict_interpolates():
    got = spaced_quantiles(skewed(), 5)
    np.testing.assert_allclose(got[..., 1], at_level(skewed(), 0.3), rtol=1e-12)
    beyond = spaced_quantiles(skewed(), 1000)[..., 0]  # level .0005, exponential through .005 and .01
    q = skewed()
    np.testing.assert_allclose(beyond, q[..., 0] - (q[..., 1] - q[..., 0]) * np.log(10) / np.log(2))


def test_paths_have_the_order_of_past_dates(pair):
    past = past_paths(pair, H)
    order = past.order(0)
    made = joint_paths(skewed(), order, order.shape[2], seed=0)
    place = np.argsort(made[0, 0])  # one path a date: the lowest path is the date with the lowest outcome
    ranks = np.empty(order.shape[2], int)
    ranks[order[1, 3]] = np.arange(order.shape[2])
    np.testing.assert_array_equal(np.argsort(np.argsort(made[1, 3]))[place], ranks[order[0, 0]])


def test_outcomes_read_no_bar_after_the_day_and_none_over_a_hole(pair):
    day = pair[0].dates[400]
    cut = [h.between(None, day) for h in pair]
    np.testing.assert_array_equal(past_paths(pair, H).known(day).outcomes_MHW, past_paths(cut, H).outcomes_MHW)
    resumed = str(pair[0].dates[300])
    holed = PriceHistory("A", "24/7", pair[0].dates, pair[0].adj_close, resumed=(resumed,))
    starts = past_paths([holed, pair[1]], H).starts_W
    assert not np.isin(np.arange(297, 322).astype("datetime64[D]"), starts).any()
    assert np.isin(np.array([295, 322]).astype("datetime64[D]"), starts).all()


def test_equal_outcomes_of_two_pegs_are_not_joined():
    pegs = [history(np.zeros(2000), name) for name in "AB"]
    made = joint_paths(skewed(), past_paths(pegs, H).order(0), 2000, seed=0)
    assert abs(np.corrcoef(made[0, 0], made[1, 0])[0, 1]) < 0.1


def test_tickers_without_common_dates_are_named(pair):
    short, apart = history(np.full(60, 0.01), "SHORT", 640), history(pair[0].log_returns, "OLD", -9000)
    kept, refused = sharing([*pair, short, apart], H)
    assert [h.ticker for h in kept] == ["A", "B"]
    assert set(refused) == {"SHORT", "OLD"}
    assert f"{FEWEST} are needed" in refused["OLD"]
    assert sharing([short], H) == ([], {"SHORT": f"35 past paths of {H} bars, {FEWEST} are needed"})
    with pytest.raises(SourceError, match="SHORT: 35 dates in common"):
        past_paths([*pair, short], H)


def garch(shocks):
    """Returns of GARCH(1,1) with these unit shocks along the first axis, and the next variance before each."""
    variance, returns = np.ones(shocks.shape[1:]), np.empty_like(shocks)
    before = np.empty_like(shocks)
    for k, shock in enumerate(shocks):
        before[k] = variance
        returns[k] = np.sqrt(variance) * shock
        variance = 0.04 + 0.08 * returns[k] ** 2 + 0.88 * variance
    return returns, before


def t_copula(draws, size, rho=0.7, nu=4):
    """Shocks of unit variance, Student t with 6 degrees, in a t copula (..., 2)."""
    normal = draws.standard_normal((*size, 2))
    normal[..., 1] = rho * normal[..., 0] + np.sqrt(1 - rho**2) * normal[..., 1]
    heavy = normal / np.sqrt(draws.chisquare(nu, size) / nu)[..., None]
    return student.ppf(student.cdf(heavy, nu), 6) / np.sqrt(1.5)


@pytest.mark.slow
def test_joint_events_come_as_often_as_paths_say_where_the_law_is_known():
    """True marginals, learnt dependence: both fall, a portfolio below VaR. Independence says neither, scores worse."""
    draws, cutoffs, S = np.random.default_rng(1), 600, 1000
    returns, before = garch(t_copula(draws, (2500 + H * cutoffs,)))
    histories = [history(0.01 * returns[:, m], name) for m, name in enumerate("AB")]
    past = past_paths(histories, H)
    said, alone, came, variograms = [], [], [], []
    for first in range(2500, 2500 + H * cutoffs, H):
        ahead = draws.standard_t(6, (H, 4000, 2)) / np.sqrt(1.5)
        variance, total = np.broadcast_to(before[first], (4000, 2)).copy(), np.zeros((4000, 2))
        levels = np.empty((2, H, len(ALL_LEVELS)))
        for h in range(H):
            move = np.sqrt(variance) * ahead[h]
            total, variance = total + move, 0.04 + 0.08 * move**2 + 0.88 * variance
            levels[:, h] = np.quantile(total, ALL_LEVELS, axis=0).T
        order = past.known(histories[0].dates[first]).order(0)
        whole = joint_paths(levels, order, S, seed=first)
        apart = np.stack([one[:, draws.permutation(S)] for one in whole])  # each ticker's steps stay together
        outcome = np.cumsum(returns[first : first + H], axis=0).T.reshape(-1)
        both = [scored(some.reshape(2 * H, S), outcome, pairs_of(2 * H, 0))["variogram"] for some in (whole, apart)]
        variograms.append(both)
        np.testing.assert_array_equal(np.sort(whole[1, 2]), spaced_quantiles(levels[1, 2], S).astype(np.float32))
        made = whole[:, -1]
        free = np.stack([draws.permutation(one) for one in made])
        y = returns[first : first + H].sum(axis=0)
        low = levels[:, -1, 5]  # the 10 % quantiles
        said.append(
            [(made < low[:, None]).all(axis=0).mean(), np.mean(made.sum(axis=0) < np.quantile(made.sum(0), 0.05))]
        )
        alone.append([(free < low[:, None]).all(axis=0).mean(), 0.05])
        came.append([(y < low).all(), y.sum() < np.quantile(made.sum(axis=0), 0.05)])
        came[-1].append(y.sum() < np.quantile(free.sum(axis=0), 0.05))
    said, alone, came = np.array(said), np.array(alone), np.array(came, float)
    error = np.sqrt((said * (1 - said)).sum(axis=0)) / cutoffs
    z = (came[:, :2].mean(axis=0) - said.mean(axis=0)) / error
    print(
        f"both below 10 %: said {said[:, 0].mean():.3f}, alone {alone[:, 0].mean():.3f}, came {came[:, 0].mean():.3f}"
    )
    print(f"portfolio below its 5 %: {came[:, 1].mean():.3f}, with independent paths {came[:, 2].mean():.3f}")
    gain = np.diff(variograms, axis=1)[:, 0]
    t = gain.mean() / gain.std() * np.sqrt(cutoffs)
    print(
        f"variogram score {100 * gain.mean() / np.mean(variograms):.1f} % below that of independent tickers, t {t:.1f}"
    )
    assert t > 4
    assert (np.abs(z) < 2.6).all()
    assert (came[:, 0].mean() - alone[:, 0].mean()) / error[0] > 5
    assert came[:, 2].mean() > 0.075
