"""Rank correlations by date: against scipy, on planted ranks, with their size, and refused for few tickers."""

import numpy as np
import pytest
from scipy import stats

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.cross_section import COLUMNS, cross_section, rank_correlation, spread_of, turnover_of
from s2squant.evaluation.diagnostics import read
from tests.worlds.forecast_tables import known_scale, scored, table_of, walks

H, EVERY, TICKERS = 6, 2, 24


def found_of(y, models, markets=None):
    table = table_of(y, models, every=EVERY)
    losses = scored(table)
    markets = markets or dict.fromkeys(losses.tickers, "XNYS")
    return cross_section(losses, read(table, losses), VerdictSpec(), every=EVERY, markets=markets)


@pytest.fixture(scope="module")
def found():
    y = walks(9, tickers=TICKERS, cutoffs=90)
    rng = np.random.default_rng(1)
    models = {
        "historical_simulation": (0.0, known_scale(H)),
        "ridge": (0.001 * rng.standard_normal(y.shape), known_scale(H)),
        "blend": (0.3 * y + 0.004 * rng.standard_normal(y.shape), known_scale(H)),
    }
    return found_of(y, models).set_index(["model", "step"])


def test_a_planted_ranking_is_found_and_noise_is_not(found):
    assert {step for _, step in found.index} == {1, 5, 6}
    for step in (1, 5, 6):
        good, noise = found.loc[("blend", step)], found.loc[("ridge", step)]
        assert good["finding"] == "ranks them"
        assert good["ic"] > 0.3
        assert good["low"] > 0
        assert good["spread"] > 0.5
        assert good["icir"] > 1
        assert noise["finding"] == "no evidence"
        assert abs(noise["ic"]) < 0.08
        assert good["n"] == 90
        assert good["n_eff"] == 90 * min(1, EVERY / step)
        assert good["tickers"] == TICKERS
        assert noise["turnover"] == pytest.approx(0.8, abs=0.05), "ranks drawn anew: 1 - 1 / 5"
        assert good["turnover"] < 0.85
        assert good["parts"] == 5
    flat = found.loc["historical_simulation"]
    assert set(flat["reason"]) == {"its medians do not differ between tickers"}
    assert set(flat["finding"]) == {"not tested"}


def test_few_tickers_are_not_ranked():
    y = walks(2, tickers=5, cutoffs=20)
    found = found_of(y, {"historical_simulation": (0.0, known_scale(H)), "blend": (0.1 * y, known_scale(H))})
    assert list(found.columns) == COLUMNS
    assert found["reason"].tolist() == ["5 tickers on a date; 20 are needed to rank them"]
    two = {f"T{m}": "A" if m < 12 else "B" for m in range(TICKERS)}
    split = found_of(walks(3, tickers=TICKERS, cutoffs=12), {"historical_simulation": (0.0, known_scale(H))}, two)
    assert split["market"].tolist() == ["A", "B"]
    assert (split["reason"] != "").all(), "tickers of two markets are not ranked together"


def test_the_correlation_is_spearmans():
    rng = np.random.default_rng(3)
    forecast, y = np.round(rng.standard_normal((5, 30)), 1), rng.standard_normal((5, 30))
    forecast[2, 4:9] = y[2, 4:9] = np.nan
    ours = rank_correlation(forecast, y)
    for t in range(5):
        known = np.isfinite(y[t])
        assert ours[t] == pytest.approx(stats.spearmanr(forecast[t, known], y[t, known]).statistic)
    assert np.isnan(rank_correlation(np.ones((1, 30)), y[:1])).all()


def test_turnover_is_the_share_of_the_outer_parts_that_is_new():
    still = np.tile(np.arange(40.0), (6, 1))
    assert turnover_of(still, 5) == 0
    assert np.isnan(turnover_of(still[:1], 5)), "one date has none"
    swapped = np.where(np.arange(6)[:, None] % 2, still, -still)
    assert turnover_of(swapped, 5) == 1
    half = still.copy()
    half[1::2, 32:36] = 20.5  # four of the eight highest fall back at every other date
    assert turnover_of(half, 5) == pytest.approx(4 / 16)
    assert turnover_of(np.random.default_rng(0).standard_normal((400, 40)), 5) == pytest.approx(0.8, abs=0.02)
    halted = still.copy()
    halted[3, 39] = np.nan
    assert 0 < turnover_of(halted, 5) < 0.2


def test_the_spread_is_of_the_outer_parts():
    y = np.arange(40.0)[None]
    assert spread_of(y, y, 5)[0] == pytest.approx(np.arange(32, 40).mean() - np.arange(8).mean())
    assert spread_of(-y, y, 10)[0] == pytest.approx(-(np.arange(36, 40).mean() - np.arange(4).mean()))


def test_five_per_cent_of_empty_rankings_are_called_one():
    """One common factor, forecasts that persist: the overlap of steps 5 and 6 must be allowed for."""
    hits = []
    for seed in range(24):
        y = walks(seed, tickers=20, cutoffs=80)
        lasting = np.random.default_rng(seed).standard_normal((20, 1, 1)) * np.ones(y.shape)
        made = found_of(y, {"historical_simulation": (0.0, known_scale(H)), "blend": (0.001 * lasting, known_scale(H))})
        hits += (made[made["model"] == "blend"]["p"] < 0.05).tolist()
    assert np.mean(hits) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 24), "three steps of one run hang together"
