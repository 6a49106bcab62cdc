"""Recalibration: what is wrong is mended, and no outcome is used before its day."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import ConformalSpec
from s2squant.evaluation.losses import INTERVALS, score
from s2squant.forecasters.recalibration import adapted, learn, matured
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.forecast_tables import Z, known_scale, table_of, walks

SPEC = ConformalSpec()
H = 6


def long_table(wide, *, cutoffs=150, every=2, seed=3):
    y = walks(seed, cutoffs=cutoffs, horizon=H, every=every)
    return table_of(y, {"blend": (0.0, known_scale(H, wide)), "other": (0.0, known_scale(H))}, every=every)


def covered(table, model):
    losses = score(table)
    return losses.coverage_KB[losses.models.index(model)]


@pytest.mark.parametrize(("wide", "gain"), [(0.6, 0.005), (1.6, 0.02)])
def test_forecasts_of_the_wrong_width_are_mended(wide, gain):
    table = long_table(wide)
    both = pd.concat([table, adapted(table, "blend", SPEC)], ignore_index=True)
    nominal = np.array(INTERVALS) / 100
    before, after = (np.abs(covered(both, m) - nominal) for m in ("blend", "blend+aci"))
    assert (after[:2] < 0.35 * before[:2]).all()
    losses = score(both)
    crps = dict(zip(losses.models, losses.crps_UK.mean(axis=0), strict=True))
    assert 1 - crps["blend+aci"] / crps["blend"] > gain


def test_forecasts_of_the_right_width_are_left_nearly_alone():
    table = long_table(1.0)
    both = pd.concat([table, adapted(table, "blend", SPEC)], ignore_index=True)
    losses = score(both)
    crps = dict(zip(losses.models, losses.crps_UK.mean(axis=0), strict=True))
    assert abs(1 - crps["blend+aci"] / crps["blend"]) < 0.01


def test_no_outcome_is_used_before_its_day():
    """Change what becomes known after a day: every forecast issued up to that day keeps its bits."""
    table = long_table(0.7, cutoffs=60)
    day = table["cutoff"].sort_values().unique()[30]
    later = table["ds"] > day
    changed = table.assign(y=table["y"].where(~later, 10.0 * table["y"] + 0.2))
    one, other = (adapted(t, "blend", SPEC) for t in (table, changed))
    early = (one["cutoff"] <= day).to_numpy()
    assert early.sum() > 0
    quantiles = list(QUANTILE_COLUMNS)
    pd.testing.assert_frame_equal(one.loc[early, quantiles], other.loc[early, quantiles], check_exact=True)
    assert not one.loc[~early, quantiles].equals(other.loc[~early, quantiles])


def test_an_outcome_is_used_from_its_day_on():
    """The first margin moves at the first cutoff on or after the day of the first outcome, at every step alone."""
    table = long_table(0.3, cutoffs=20)
    rows = adapted(table, "blend", SPEC).sort_values(["unique_id", "step", "cutoff"])
    raw = table[table["model"] == "blend"].sort_values(["unique_id", "step", "cutoff"])
    moved = (rows["q0.100"].to_numpy() != raw["q0.100"].to_numpy()).reshape(3, H, 20)
    first = raw.groupby(["unique_id", "step"])["ds"].first().to_numpy().reshape(3, H)
    cutoffs = np.asarray(raw["cutoff"].unique())
    expected = (cutoffs >= first[..., None]).argmax(axis=2)
    np.testing.assert_array_equal(moved.argmax(axis=2), expected)
    assert expected.tolist()[0] == [1, 1, 2, 2, 3, 3]


def test_matured_counts_only_what_is_due_and_waits_for_what_is_late():
    issued = np.array([[0, 10, 20, 30]])
    assert matured(issued, np.array([[5, 15, 25, 35]])).tolist() == [[0, 1, 2, 3]]
    assert matured(issued, np.array([[10, 20, 30, 40]])).tolist() == [[0, 1, 2, 3]]
    assert matured(issued, np.array([[5, 99, 25, 35]])).tolist() == [[0, 1, 1, 1]]


def test_streams_do_not_hear_of_each_other():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4, 40))
    quantiles = np.broadcast_to(0.5 * Z, (4, 40, len(Z))).copy()
    known = np.broadcast_to(np.maximum(np.arange(40) - 3, 0), (4, 40))
    together = learn(y, quantiles, known, SPEC)
    for s in range(4):
        alone = learn(y[s : s + 1], quantiles[:1], known[:1], SPEC)[0]
        np.testing.assert_allclose(together[s], alone, atol=1e-12)


def test_rows_keep_their_keys_their_order_and_their_median():
    table = long_table(0.7, cutoffs=30)
    last = table["cutoff"].max()
    table.loc[table["cutoff"] == last, "y"] = np.nan
    rows = adapted(table, "blend", SPEC)
    assert set(rows["model"]) == {"blend+aci"}
    assert list(rows.columns) == list(table.columns)
    assert len(rows) == (table["model"] == "blend").sum()
    values = rows[list(QUANTILE_COLUMNS)].to_numpy()
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert values.dtype == np.float32
    keys = ["unique_id", "cutoff", "step"]
    raw = table[table["model"] == "blend"].sort_values(keys)
    np.testing.assert_array_equal(rows.sort_values(keys)["q0.500"], raw["q0.500"])
    open_rows = rows[rows["cutoff"] == last]
    assert not np.array_equal(open_rows["q0.025"], raw.loc[raw["cutoff"] == last, "q0.025"])  # tomorrow is mended too
    assert adapted(table, "nobody", SPEC).empty


def test_forecasts_without_any_width_stay_finite():
    table = long_table(1e-30, cutoffs=20)
    assert np.isfinite(adapted(table, "blend", SPEC)[list(QUANTILE_COLUMNS)].to_numpy()).all()
