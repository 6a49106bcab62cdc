"""Calibration: an ideal forecaster is left in peace, a wrong one is named, and the shares are those of the table."""

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.calibration import calibrate, equal_correlation
from s2squant.evaluation.diagnostics import read
from s2squant.evaluation.losses import score
from s2squant.evaluation.pools import pools
from s2squant.evaluation.sharpness import realised_variance, sharpness, width_follows_volatility
from s2squant.evaluation.statistics.ideal_forecaster import (
    BINS,
    calibrated_null,
    exceeding,
    standard_moments,
    two_sided,
)
from tests.worlds.forecast_tables import known_scale, table_of, walks

H, EVERY = 6, 2
MODELS = {
    "ideal": (0.0, known_scale(H)),
    "narrow": (0.0, known_scale(H, 0.75)),
    "wide": (0.0, known_scale(H, 1.4)),
    "low": (-0.5 * known_scale(H), known_scale(H)),
}


@pytest.fixture(scope="module")
def case():
    table = table_of(walks(11, cutoffs=120), MODELS, every=EVERY)
    losses = score(table)
    readings = read(table, losses)
    made = pools(losses, every=EVERY, horizon=H, markets=dict.fromkeys(losses.tickers, "X"))
    return table, losses, readings, calibrate(losses, readings, made, every=EVERY, reference="ideal")


def test_what_is_wrong_is_named(case):
    tests = case[3].calibration_tests
    pooled = tests[tests["unique_id"] == "all"].set_index(["model", "group"])["finding"]
    assert (pooled["narrow"] == "too narrow").all()
    assert (pooled["wide"] == "too wide").all()
    assert (pooled["low"] == "too low").all()
    assert pooled["ideal", "all"] == "no evidence against calibration"
    single = tests[(tests["unique_id"] != "all")].set_index(["model", "unique_id"])
    assert (single.loc["narrow", "finding"] == "too narrow").sum() >= 2
    assert (single["p_adjusted"] >= single["p"]).all()
    assert set(tests["group"]) == {"all", "1", "2-5", "6"}


def test_shares_are_those_of_the_table(case):
    table, _, _, found = case
    inside = (table["y"] >= table["q0.100"]) & (table["y"] <= table["q0.900"])
    means = inside.groupby([table["model"], table["step"]]).mean()
    mine = found.coverage[found.coverage["interval"] == 80].set_index(["model", "step"])["coverage"]
    np.testing.assert_allclose(mine.sort_index(), means.sort_index(), atol=1e-12)
    below = (table["y"] < table["q0.250"]).groupby(table["model"]).mean()
    level = found.reliability[(found.reliability["group"] == "all") & (found.reliability["level"] == 0.25)]
    np.testing.assert_allclose(level.set_index("model")["share"].sort_index(), below.sort_index(), atol=2e-3)
    sums = found.pit.groupby(["model", "group"])["share"].sum()
    np.testing.assert_allclose(sums, 1.0)
    assert len(found.pit) == 4 * 4 * 20


def test_bands_widen_with_overlap_and_hold_the_ideal(case):
    found = case[3]
    ideal = found.coverage[(found.coverage["model"] == "ideal") & (found.coverage["interval"] == 80)]
    assert ((ideal["coverage"] >= ideal["band_low"]) & (ideal["coverage"] <= ideal["band_high"])).mean() >= 0.8
    width = (ideal["band_high"] - ideal["band_low"]).to_numpy()
    assert width[5] > 1.2 * width[0]
    assert ideal["n_eff"].tolist() == pytest.approx([120, 120, 80, 60, 48, 40])
    assert (ideal["smallest_detectable"] > 0).all()
    narrow = found.coverage[(found.coverage["model"] == "narrow") & (found.coverage["interval"] == 80)]
    assert (narrow["p"] < 0.05).all()


def test_how_alike_tickers_are_is_found():
    rng = np.random.default_rng(0)
    from scipy.special import ndtr

    for rho in (0.0, 0.3, 0.8):
        z = np.sqrt(rho) * rng.standard_normal((400, 1)) + np.sqrt(1 - rho) * rng.standard_normal((400, 10))
        group = np.repeat(np.arange(400), 10)
        assert equal_correlation(ndtr(z).ravel(), group) == pytest.approx(rho, abs=0.06)
    assert equal_correlation(np.array([0.2, 0.7]), np.array([0, 1])) == 0.0


def test_the_null_is_what_it_says():
    alone = calibrated_null(150, 1, (1,), 1, 0.0)
    np.testing.assert_allclose(alone.shares.sum(axis=1), 1.0)
    assert alone.shares.mean() == pytest.approx(1 / BINS)
    covered = alone.coverage(4, 36)
    assert covered.std() == pytest.approx(np.sqrt(0.8 * 0.2 / 150), rel=0.08)
    together = calibrated_null(150, 1, (1,), 10, 1.0)
    assert together.coverage(4, 36).std() == pytest.approx(covered.std(), rel=0.1)
    apart = calibrated_null(150, 1, (1,), 10, 0.0)
    assert apart.coverage(4, 36).std() == pytest.approx(covered.std() / np.sqrt(10), rel=0.1)
    assert calibrated_null(150, 1, (1,), 1, 0.0) is alone
    longer = calibrated_null(1234, 1, (5,), 1, 0.0)
    assert longer.coverage(4, 36).std() < calibrated_null(1200, 1, (5,), 1, 0.0).coverage(4, 36).std()
    moments = standard_moments(np.random.default_rng(0).random(1_000_000)).mean(axis=0)
    np.testing.assert_allclose(moments, 0.0, atol=0.01)


def test_ranks_among_draws():
    draws = np.arange(99) / 99.0
    assert exceeding(np.array(2.0), draws) == pytest.approx(0.005)
    assert exceeding(np.array(-1.0), draws) == pytest.approx(0.995)
    assert two_sided(np.array(0.5), draws) == pytest.approx(1.0, abs=0.02)
    assert two_sided(np.array(2.0), draws) == pytest.approx(0.01)
    same = np.zeros(99)
    assert two_sided(np.array(0.0), same) == pytest.approx(1.0, abs=0.02)


def test_one_ticker_and_few_cutoffs_do_not_break_it():
    table = table_of(walks(5, tickers=1, cutoffs=4), {"ideal": MODELS["ideal"]}, every=EVERY)
    losses = score(table)
    made = pools(losses, every=EVERY, horizon=H, markets={"T0": "X"})
    found = calibrate(losses, read(table, losses), made, every=EVERY, reference="ideal")
    assert np.isfinite(found.coverage["p"]).all()
    assert (found.calibration_tests["p"] > 0).all()


def test_realised_variance_and_widths(case):
    table, losses, readings, _ = case
    one = table[(table["model"] == "ideal") & (table["unique_id"] == "T1")].sort_values(["cutoff", "step"])
    steps = 100 * one["y"].to_numpy().reshape(-1, H)
    bars = np.diff(steps, axis=1, prepend=0.0)
    mine = realised_variance(losses, readings)[losses.ticker_U == losses.tickers.index("T1")].reshape(-1, H)
    np.testing.assert_allclose(mine, np.cumsum(bars**2, axis=1), rtol=1e-9)
    holes = score(table[~((table["step"] == 2) & (table["unique_id"] == "T1"))])
    part = realised_variance(holes, read(table[~((table["step"] == 2) & (table["unique_id"] == "T1"))], holes))
    broken = part[holes.ticker_U == holes.tickers.index("T1")].reshape(-1, H - 1)
    assert np.isfinite(broken[:, 0]).all()
    assert np.isnan(broken[:, 1:]).all()
    widths = sharpness(losses, readings, "ideal")
    pooled = widths[widths["unique_id"] == "all"].groupby("model")["width_ratio"].mean()
    assert pooled["narrow"] == pytest.approx(0.75, rel=1e-5)
    assert list(widths.columns) == ["model", "unique_id", "cutoff", "width", "width_ratio", "realised"]


def test_a_width_that_follows_volatility_is_seen():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"model": "m", "unique_id": "A", "width": rng.random(50), "realised": 0.0, "width_ratio": 1.0, "cutoff": 0}
    )
    assert np.isnan(width_follows_volatility(rows)["m"])
    assert width_follows_volatility(rows.assign(realised=rows["width"] ** 3))["m"] == pytest.approx(1.0)
