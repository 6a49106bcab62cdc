"""Recalibration: what is wrong is mended, what is right is left alone, and no outcome is used before its day."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import RecalibrationSpec
from s2squant.evaluation.losses import Losses, score
from s2squant.forecasters.recalibration import (
    DECISIONS,
    FRACTIONS,
    RAW,
    SCALES,
    STEP,
    chains,
    e_values,
    log_factor,
    recalibrated,
    risk,
)
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, quantile_crps
from tests.worlds.forecast_tables import known_scale, table_of, walks

SPEC = RecalibrationSpec()
H = 6
MARKETS = {"T0": "A", "T1": "A", "T2": "A"}
COLUMNS = list(QUANTILE_COLUMNS)


def long_table(wide, *, cutoffs=150, every=2, seed=3):
    y = walks(seed, cutoffs=cutoffs, horizon=H, every=every)
    return table_of(y, {"blend": (0.0, known_scale(H, wide)), "ideal": (0.0, known_scale(H))}, every=every)


def raw_rows(table):
    return table[table["model"] == "blend"].sort_values(["unique_id", "cutoff", "step"], ignore_index=True)


def mended(table, spec=SPEC, markets=MARKETS):
    return recalibrated(table, "blend", spec, markets)


def beside(table):
    """The losses of the raw and of the recalibrated row, and the decisions."""
    rows, decided = mended(table)
    return score(pd.concat([table, rows], ignore_index=True)), decided


def gain(losses: Losses) -> float:
    crps = dict(zip(losses.models, losses.crps_UK.mean(axis=0), strict=True))
    return float(1 - crps["blend+aci"] / crps["blend"])


def in_force(decided):
    """The share of cutoffs at which the row is another than the raw one."""
    return (decided["used"] & (decided["factor"] != 1)).groupby(decided["cutoff"]).any().mean()


@pytest.mark.parametrize(("wide", "least"), [(0.6, 0.02), (0.8, 0.003), (1.6, 0.02)])
def test_forecasts_of_the_wrong_width_are_mended(wide, least):
    losses, decided = beside(long_table(wide))
    assert gain(losses) > least
    assert in_force(decided) > 0.85
    raw, own, ideal = (losses.models.index(m) for m in ("blend", "blend+aci", "ideal"))
    covered = losses.covered_UKB[losses.cutoff_U >= 40].mean(axis=0)[:, 1]
    assert abs(covered[own] - covered[ideal]) < 0.02, "the 80 % band after some tens of dates"
    assert abs(covered[raw] - covered[ideal]) > 0.06
    newest = decided[decided["cutoff"] == decided["cutoff"].max()]
    np.testing.assert_allclose(newest["factor"], 1 / wide, rtol=0.12)


def test_forecasts_of_the_right_width_are_left_nearly_alone():
    seen = [beside(long_table(1.0, seed=seed)) for seed in range(8)]
    gains = [gain(losses) for losses, _ in seen]
    assert np.mean(gains) > -0.0005
    assert min(gains) > -0.0025
    assert np.mean([in_force(decided) for _, decided in seen]) < 0.15, "mostly off"


def test_only_the_steps_that_are_wrong_are_changed():
    y = walks(3, cutoffs=150, horizon=H, every=2)
    wide = np.where(np.arange(H) == 0, 0.6, 1.0)
    _, decided = mended(table_of(y, {"blend": (0.0, known_scale(H) * wide)}, every=2))
    newest = decided[decided["cutoff"] == decided["cutoff"].max()].set_index("steps")["factor"]
    assert newest["1"] == pytest.approx(1 / 0.6, rel=0.1)
    np.testing.assert_allclose(newest[["2-5", "6"]], 1.0, atol=0.1)


def test_the_factor_is_the_shrunken_vertex_of_the_mean_loss():
    """Parabolas with vertices .3, .1, .2, .2: mean .2, variance .02 / 3, curvature 1."""
    vertices = np.array([0.3, 0.1, 0.2, 0.2])
    loss_DG = 1.0 + 0.5 * (np.log(SCALES) - vertices[:, None]) ** 2
    alone = log_factor(loss_DG, np.zeros(4, int))
    assert alone[:2].tolist() == [0.0, 0.0], "one date says nothing of its own noise"
    assert alone[4] == pytest.approx(0.2 * (1 - 0.02 / 3 / 4 / 0.2**2))
    overlapping = log_factor(loss_DG, np.array([0, 1, 0, 1]))
    assert overlapping[2] == 0.0
    assert overlapping[4] == pytest.approx(0.2 * (1 - 0.02 / 3 / 2 / 0.2**2)), "two independent dates, not four"
    noisy = log_factor(1.0 + 0.5 * (np.log(SCALES) - np.array([[0.5], [-0.4]])) ** 2, np.zeros(2, int))
    assert noisy[2] == 0.0, "an estimate within its noise"
    assert pytest.approx(0.0) == np.log(SCALES[RAW])
    np.testing.assert_allclose(np.diff(np.log(SCALES)), STEP)


def test_a_date_counts_once_however_many_tickers_it_has():
    table = long_table(0.7, cutoffs=60)
    twins = table.assign(unique_id=table["unique_id"] + "'")
    both = pd.concat([table, twins], ignore_index=True)
    (_, alone), (_, together) = mended(table), mended(both, markets=MARKETS | {f"{t}'": "A" for t in MARKETS})
    assert (alone["independent"] <= alone["matured"]).all()
    pd.testing.assert_frame_equal(alone, together)


def test_markets_do_not_hear_of_each_other():
    table = long_table(0.7, cutoffs=60)
    rows, decided = mended(table, markets=MARKETS | {"T2": "B"})
    assert list(decided.columns) == DECISIONS
    for market, tickers in (("A", ["T0", "T1"]), ("B", ["T2"])):
        own, alone = mended(table[table["unique_id"].isin(tickers)], markets=dict.fromkeys(tickers, market))
        pd.testing.assert_frame_equal(rows[rows["unique_id"].isin(tickers)].reset_index(drop=True), own)
        pd.testing.assert_frame_equal(decided[decided["market"] == market].reset_index(drop=True), alone)


def test_chains_hold_dates_that_share_no_bar():
    issued, due = np.array([0, 10, 20, 30, 40]), np.array([15, 25, 35, 45, 55])
    assert chains(issued, due).tolist() == [0, 1, 0, 1, 0]
    assert chains(issued, issued + 10).tolist() == [0] * 5, "due on the day of the next is soon enough"
    assert chains(issued, issued + 11).tolist() == [0, 1, 0, 1, 0]


def test_the_e_value_is_the_mean_capital_of_the_chains():
    won, lost = 1 + 0.5 * FRACTIONS, 1 - FRACTIONS
    expected = [1.0, won.mean(), (won.mean() + lost.mean()) / 2, ((won * won).mean() + lost.mean()) / 2]
    np.testing.assert_allclose(e_values(np.array([0.5, -1.0, 0.5]), np.array([0, 1, 0])), expected)
    fair = np.random.default_rng(0).choice([-1.0, 1.0], (1500, 20))
    ends = [e_values(row, np.arange(20) % 3)[-1] for row in fair]
    assert np.mean(ends) == pytest.approx(1.0, abs=0.08), "nobody gains on a fair game"


def test_no_more_can_be_lost_than_the_bet_reckons_with():
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.standard_t(3, (400, len(LEVELS))) + rng.normal(0, 1, (400, 1)), axis=1)
    quantiles -= quantiles[:, [len(LEVELS) // 2]]
    factor = np.exp(rng.uniform(-0.7, 1.2, 400))
    most = risk(quantiles, factor)
    for y in (np.zeros(400), np.full(400, 1e3), np.full(400, -1e3), *rng.normal(0, 3, (50, 400))):
        worse = quantile_crps(y, factor[:, None] * quantiles) - quantile_crps(y, quantiles)
        assert (worse <= most + 1e-9).all()


def test_a_gate_that_asks_for_more_evidence_than_there_is_leaves_the_raw_row():
    table = long_table(0.6, cutoffs=60)
    rows, decided = mended(table, RecalibrationSpec(evidence=1e9))
    assert not decided["used"].any()
    assert (decided["factor"] != 1).any(), "it goes on reckoning"
    pd.testing.assert_frame_equal(rows[COLUMNS], raw_rows(table)[COLUMNS], check_exact=True)


def test_the_gate_closes_when_the_recalibration_loses():
    """Bands too narrow, then far too wide: what was learnt from the first does harm in the second, and is dropped."""
    y = walks(5, cutoffs=200, horizon=H, every=2)
    wide = np.where(np.arange(200) < 60, 0.6, 1.7)[None, :, None] * known_scale(H)
    table = table_of(y, {"blend": (0.0, wide)}, every=2)
    _, decided = mended(table)
    gates = decided[decided["steps"] == "2-5"]
    assert gates["used"].iloc[30:60].all()
    first = gates["used"].iloc[60:].to_numpy().argmin()
    assert 0 < first < 60
    assert gates["e_value"].iloc[60 + first] < gates["e_value"].iloc[59]


def test_no_outcome_is_used_before_its_day():
    """Change what becomes known after a day: every forecast and decision up to that day keeps its bits."""
    table = long_table(0.7, cutoffs=60)
    day = table["cutoff"].sort_values().unique()[30]
    later = table["ds"] > day
    changed = table.assign(y=table["y"].where(~later, 10.0 * table["y"] + 0.2))
    gone = table.assign(y=table["y"].where(~later))
    (one, then), *others = (mended(t) for t in (table, changed, gone))
    early = (one["cutoff"] <= day).to_numpy()
    assert early.sum() > 0
    for other, decided in others:
        pd.testing.assert_frame_equal(one.loc[early, COLUMNS], other.loc[early, COLUMNS], check_exact=True)
        pd.testing.assert_frame_equal(then[then["cutoff"] <= day], decided[decided["cutoff"] <= day], check_exact=True)
        assert not one.loc[~early, COLUMNS].equals(other.loc[~early, COLUMNS])


def test_an_outcome_counts_from_the_cutoff_of_its_day():
    """Cutoffs every 2 bars: step 1 is known at the next, 2-5 three cutoffs later, 6 as well."""
    _, decided = mended(long_table(0.7, cutoffs=12))
    counted = decided.pivot(index="cutoff", columns="steps", values="matured")
    assert counted["1"].tolist() == [0, *range(1, 12)]
    assert counted["2-5"].tolist() == counted["6"].tolist() == [0, 0, 0, *range(1, 10)]
    independent = decided.pivot(index="cutoff", columns="steps", values="independent")
    assert independent["1"].tolist() == counted["1"].tolist()
    assert independent["6"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_halted_ticker_holds_nobody_back():
    table = long_table(0.7, cutoffs=40)
    halted = (table["unique_id"] == "T2") & (table["step"] > 3)
    late = table.assign(ds=table["ds"].where(~halted, pd.Timestamp("2030-01-02")))
    gone = table.assign(y=table["y"].where(~halted))
    (one, decided), (other, without) = mended(late), mended(gone)
    pd.testing.assert_frame_equal(decided, without)
    pd.testing.assert_frame_equal(one[COLUMNS], other[COLUMNS])


def test_rows_keep_their_keys_their_order_and_their_median():
    table = long_table(0.7, cutoffs=30)
    last = table["cutoff"].max()
    table.loc[table["cutoff"] == last, "y"] = np.nan
    rows, decided = mended(table)
    assert set(rows["model"]) == {"blend+aci"}
    assert list(rows.columns) == list(table.columns)
    assert len(rows) == len(raw_rows(table))
    assert len(decided) == 30 * 3
    values = rows[COLUMNS].to_numpy()
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert values.dtype == np.float32
    keys = ["unique_id", "cutoff", "step"]
    raw = raw_rows(table)
    np.testing.assert_array_equal(rows["q0.500"], raw["q0.500"])
    np.testing.assert_array_equal(rows[keys], raw[keys])
    tomorrow = (rows["cutoff"] == last) & (rows["step"] == 1)
    wider = rows.loc[tomorrow, "q0.025"].to_numpy() / raw.loc[tomorrow, "q0.025"].to_numpy()
    factor = decided.loc[(decided["cutoff"] == last) & (decided["steps"] == "1"), "factor"].item()
    np.testing.assert_allclose(wider, factor, rtol=1e-6)
    assert factor > 1.1, "tomorrow is mended too"
    assert all(part.empty for part in recalibrated(table, "nobody", SPEC, MARKETS))


@pytest.mark.parametrize("wide", [0.0, 1e-30])
def test_forecasts_without_any_width_stay_finite(wide):
    rows, decided = mended(long_table(wide, cutoffs=20))
    assert np.isfinite(rows[COLUMNS].to_numpy()).all()
    assert np.isfinite(decided[["factor", "e_value"]].to_numpy()).all()


def test_forecasts_far_too_narrow_are_widened_as_far_as_the_scales_go():
    _, decided = mended(long_table(0.02, cutoffs=60))
    newest = decided[decided["cutoff"] == decided["cutoff"].max()]
    assert (newest["factor"] > 3).all()
    assert newest["used"].all()
