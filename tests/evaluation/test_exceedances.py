import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from s2squant.evaluation.diagnostics import read
from s2squant.evaluation.exceedances import (
    COLUMNS,
    dynamic_quantile,
    exceedances,
    likelihood_ratio,
    markov_ratios,
    miss_tests,
)
from s2squant.evaluation.losses import score
from tests.worlds.forecast_tables import known_scale, table_of, walks


def test_kupiecs_ratio_by_hand():
    n, x, p = 250, 20, 0.05
    share = x / n
    by_hand = -2 * np.log(((1 - p) ** (n - x) * p**x) / ((1 - share) ** (n - x) * share**x))
    assert likelihood_ratio(np.array([x]), n, p)[0] == pytest.approx(by_hand)
    assert likelihood_ratio(np.array([0]), n, p)[0] == pytest.approx(-2 * n * np.log(1 - p))


@pytest.mark.parametrize(
    ("rate", "regions"),
    [
        (0.01, {255: (-1, 7), 510: (1, 11), 1000: (4, 17)}),
        (0.025, {255: (2, 12), 510: (6, 21), 1000: (15, 36)}),
        (0.05, {255: (6, 21), 510: (16, 36), 1000: (37, 65)}),
        (0.075, {255: (11, 28), 510: (27, 51), 1000: (59, 92)}),
        (0.1, {255: (16, 36), 510: (38, 65), 1000: (81, 120)}),
    ],
)
def test_kupiecs_table_of_how_many_are_not_refused(rate, regions):
    """Kupiec 1995, at 5 % by chi-square; as reprinted in Jorion, Value at Risk, chapter 6."""
    for days, (below, above) in regions.items():
        counts = np.arange(max(below, 0), above + 1)
        kept = likelihood_ratio(counts, days, rate) < stats.chi2.ppf(0.95, 1)
        # 255 days at 1 %: the table says fewer than seven, with none among them, whose ratio is 5.1
        inside = (counts > below) & (counts < above) & ((counts > 0) | (rate * days > 5))
        np.testing.assert_array_equal(kept, inside)


def test_christoffersens_independence_is_the_ratio_test_of_a_contingency_table():
    missed = np.random.default_rng(6).random((5, 300)) < 0.1
    found = markov_ratios(missed, 0.1)[0]
    for s, own in enumerate(missed):
        table = [[np.sum((own[:-1] == a) & (own[1:] == b)) for b in (False, True)] for a in (False, True)]
        oracle = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert found[s] == pytest.approx(oracle.statistic)


def test_kupiecs_p_is_summed_over_the_binomial_law():
    n, rate, x = 60, 0.2, 19
    missed = np.zeros((1, n), bool)
    missed[0, :x] = True
    ratios = likelihood_ratio(np.arange(n + 1), n, rate)
    weights = stats.binom.pmf(np.arange(n + 1), n, rate)
    expected = weights[ratios > ratios[x] + 1e-9].sum() + 0.5 * weights[np.abs(ratios - ratios[x]) <= 1e-9].sum()
    found = miss_tests(missed, rate, np.ones((1, n))).kupiec[0]
    assert found == pytest.approx(expected)
    assert found == pytest.approx(stats.chi2.sf(ratios[x], 1), abs=0.02)


def test_christoffersens_ratios_by_hand():
    missed = np.array([[0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0]], bool)
    pairs = list(zip(missed[0][:-1], missed[0][1:], strict=True))
    n = {(a, b): pairs.count((a, b)) for a in (False, True) for b in (False, True)}
    p01, p11 = n[False, True] / (n[False, False] + n[False, True]), n[True, True] / (n[True, False] + n[True, True])
    p = (n[False, True] + n[True, True]) / len(pairs)
    chain = np.log(
        (1 - p01) ** n[False, False] * p01 ** n[False, True] * (1 - p11) ** n[True, False] * p11 ** n[True, True]
    )
    none, some = n[False, False] + n[True, False], n[False, True] + n[True, True]
    independence, joint = markov_ratios(missed, 0.2)
    assert independence[0] == pytest.approx(2 * (chain - np.log((1 - p) ** none * p**some)))
    assert joint[0] == pytest.approx(2 * (chain - np.log(0.8**none * 0.2**some)))


def test_the_dq_statistic_is_that_of_a_regression():
    rng = np.random.default_rng(0)
    missed, spread = rng.random((3, 200)) < 0.1, rng.gamma(4, size=(3, 200))
    found = dynamic_quantile(missed, 0.1, spread)
    for s in range(3):
        hit = missed[s] - 0.1
        width = spread[s, 4:]
        design = np.column_stack(
            [np.ones(196), *(hit[4 - k : 200 - k] for k in range(1, 5)), (width - width.mean()) / width.std()]
        )
        fit = sm.OLS(hit[4:], design).fit()
        assert found[s] == pytest.approx(fit.params @ design.T @ design @ fit.params / 0.09)
    assert np.isfinite(dynamic_quantile(missed, 0.1, np.ones((3, 200)))).all()


def test_too_many_and_clustered_misses_are_found_and_tosses_are_not():
    rng = np.random.default_rng(1)
    n = 300
    fair = rng.random((200, n)) < 0.05
    spread = np.exp(0.05 * np.cumsum(rng.standard_normal((200, n)), axis=1))
    for p in miss_tests(fair, 0.05, spread):
        assert (p < 0.05).mean() < 0.1
        assert (p > 0).all()
        assert (p <= 1).all()
    many = rng.random((50, n)) < 0.12
    assert (miss_tests(many, 0.05, spread[:50]).kupiec < 0.05).mean() > 0.9
    clusters = np.repeat(rng.random((50, n // 5)) < 0.05, 5, axis=1)
    found = miss_tests(clusters, 0.05, spread[:50])
    assert (found.independence < 0.05).mean() > 0.9
    assert (found.dynamic < 0.05).mean() > 0.9


def test_the_table_of_a_run():
    models = {"ideal": (0.0, known_scale(6)), "narrow": (0.0, known_scale(6, 0.6))}
    table = table_of(walks(2, cutoffs=120), models, every=2)
    losses = score(table)
    found = exceedances(losses, read(table, losses))
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 2 * 3 * 3
    narrow = found[(found["model"] == "narrow") & (found["kind"] == "outside 95 %")]
    assert (narrow["kupiec_p"] < 0.05).all()
    assert (found["n"] == 120).all()
    assert set(narrow["finding"]) == {"too many"}
    assert set(found.loc[found["model"] == "ideal", "finding"]) == {"no evidence"}
    for _, mine in found.groupby("model"):
        both = np.minimum(1, 2 * mine[["joint_p", "dq_p"]].min(axis=1))
        np.testing.assert_allclose(mine["p_adjusted"], stats.false_discovery_control(both))
    short = table_of(walks(2, cutoffs=30), models, every=2)
    refused = exceedances(score(short), read(short, score(short)))
    assert refused[["kupiec_p", "dq_p"]].isna().all(axis=None)
    assert set(refused["reason"]) == {"30 cutoffs, at least 50 needed"}
    assert refused["p_adjusted"].isna().all()
    assert set(refused["finding"]) == {"not tested"}


def test_many_tickers_of_an_ideal_forecaster_are_seldom_found():
    """Of 25 universes of 6 tickers and 3 kinds of miss, few have any finding: 18 tests are allowed for."""
    wrong = alone = 0
    for seed in range(25):
        table = table_of(walks(seed, tickers=6, cutoffs=120), {"ideal": (0.0, known_scale(6))}, every=2)
        losses = score(table)
        found = exceedances(losses, read(table, losses))
        wrong += (found["finding"] != "no evidence").any()
        alone += (found[["joint_p", "dq_p"]] < 0.05).any(axis=None)
    assert wrong <= 5
    assert alone >= 10, "without the adjustment most universes would have one"
