"""Exceedances of tickers that move together: a right forecast is not refused for it, a wrong one is."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.pooled_exceedances import shared_past
from s2squant.evaluation.value_at_risk import risk_tables
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS
from tests.worlds.synthetic import history

NAMES = "ABCDEF"
MARKETS = dict.fromkeys(NAMES, "XNYS")


def moves(seed, bars, rho=0.7):
    draws = np.random.default_rng(seed)
    return np.sqrt(rho) * draws.standard_normal(bars) + np.sqrt(1 - rho) * draws.standard_normal((len(NAMES), bars))


@pytest.fixture(scope="module")
def past():
    return {n: history(0.01 * r, n) for n, r in zip(NAMES, moves(0, 1500), strict=True)}


def risk_of(past, width, seed=7, cutoffs=200):
    y, days = 0.01 * moves(seed, cutoffs), pd.bdate_range("2004-01-01", periods=cutoffs)
    quantiles = pd.DataFrame(np.tile(0.01 * width * ndtri(ALL_LEVELS), (cutoffs, 1)), columns=list(ALL_COLUMNS))
    parts = [
        pd.DataFrame({"model": "blend", "unique_id": n, "cutoff": days, "step": 1, "y": own}).join(quantiles)
        for n, own in zip(NAMES, y, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    risk, _ = risk_tables(table, VerdictSpec(), every=1, horizon=1, markets=MARKETS, histories=past)
    return risk[risk["unique_id"] == "all"].set_index(["side", "level"])


def test_too_near_a_var_is_found_of_all_tickers_together(past):
    right, wrong = risk_of(past, 1.0), risk_of(past, 0.6)
    assert right["reason"].eq("").all()
    assert wrong.loc[("loss", 0.05), "kupiec_p"] < 0.01
    assert right.loc[("loss", 0.05), "kupiec_p"] > 0.05
    assert right["zone"].eq("").all()


@pytest.mark.slow
def test_its_size_is_five_of_a_hundred_where_tickers_move_together(past):
    shared = shared_past(MARKETS, past, [1])["XNYS", 1]
    refused = np.zeros(2)
    naive = 0
    for seed in range(400):
        counts = (moves(1000 + seed, 250) < ndtri(0.05)).sum(axis=0)
        refused += np.array(shared.test(counts, 0.05, "loss")) < 0.05
        error = np.sqrt(counts.size * len(NAMES) * 0.05 * 0.95)
        naive += abs(counts.sum() - counts.size * len(NAMES) * 0.05) > 1.96 * error
    print(f"many {refused[0] / 4:.1f} %, following {refused[1] / 4:.1f} %, as independent tosses {naive / 4:.1f} %")
    assert (np.abs(refused / 400 - 0.05) < 0.03).all()
    assert naive / 400 > 0.15
