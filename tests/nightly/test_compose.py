"""Composing a night: it issues what a backtest of the same forecasts has at that cutoff."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.nightly.compose import compose
from s2squant.runs.collect import combine
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.forecast_tables import known_scale, table_of, walks

H, EVERY, CUTOFFS = 6, 1, 60
MARKETS = {"T0": "A", "T1": "A", "T2": "B"}
KEYS = ["unique_id", "cutoff", "step"]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return make_experiment(
        {
            "forecasters": {"models": ["historical_simulation", "gjr_t"]},
            "verdict": {"recommended": "gjr_t"},
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """GJR's bands are too narrow."""
    models = {"historical_simulation": (0.0, known_scale(H, 1.8)), "gjr_t": (0.0, known_scale(H, 0.6))}
    return table_of(walks(1, cutoffs=CUTOFFS, horizon=H, every=EVERY), models, every=EVERY)


def night(
    table: pd.DataFrame, cutoff: pd.Timestamp, experiment: Experiment, tickers: tuple[str, ...] = tuple(MARKETS)
) -> pd.DataFrame:
    """What is issued for these tickers, from the record as it was known on the evening of the cutoff."""
    record = table[table["cutoff"] < cutoff].assign(market=lambda t: t["unique_id"].map(MARKETS), crps=np.nan)
    record["y"] = record["y"].where(record["ds"] <= cutoff)
    tonight = table[(table["cutoff"] == cutoff) & table["unique_id"].isin(tickers)].drop(columns="y")
    return compose(tonight, record, experiment, {t: MARKETS[t] for t in tickers})


def recalibrated(rows: pd.DataFrame, cutoff: pd.Timestamp) -> pd.DataFrame:
    own = rows[(rows["model"].astype(str) == "gjr_t+aci") & (rows["cutoff"] == cutoff)].astype({"unique_id": str})
    return own.sort_values(KEYS)[[*KEYS, *QUANTILE_COLUMNS]].reset_index(drop=True)


def test_nights_and_a_backtest_recalibrate_alike_to_the_bit(table: pd.DataFrame, experiment: Experiment) -> None:
    whole, _, decided = combine(table, experiment, MARKETS)
    force = decided[decided["used"] & (decided["factor"] != 1)]
    assert set(force["market"]) == {"A", "B"}
    cutoffs = sorted(table["cutoff"].unique())
    moved = []
    for cutoff in (cutoffs[k] for k in (0, 5, 20, 40, CUTOFFS - 1)):
        issued, backtested = recalibrated(night(table, cutoff, experiment), cutoff), recalibrated(whole, cutoff)
        pd.testing.assert_frame_equal(issued, backtested, check_exact=True)
        raw = table[(table["model"] == "gjr_t") & (table["cutoff"] == cutoff)].sort_values(KEYS)
        moved.append(not np.array_equal(issued["q0.025"], raw["q0.025"]))
    assert moved[0] is False, "nothing is known yet"
    assert moved[-1] is True


def test_a_ticker_without_a_forecast_tonight_still_teaches_its_market(
    table: pd.DataFrame, experiment: Experiment
) -> None:
    cutoff = table["cutoff"].max()
    whole, part = (recalibrated(night(table, cutoff, experiment, t), cutoff) for t in (tuple(MARKETS), ("T0", "T2")))
    same = whole[whole["unique_id"] != "T1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, same, check_exact=True)
