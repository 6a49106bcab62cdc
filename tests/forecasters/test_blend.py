"""The blend: averages and weights by hand, from nothing but what had its date."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.models import BlendSpec
from s2squant.forecasters.blend import WEIGHT_COLUMNS, blend
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from s2squant.series.long_table import KEYS

CUTOFFS = pd.bdate_range("2020-01-01", periods=60)[::5]  # twelve, a week apart
P, Q, NET = "gjr_t", "garch_t", "seq2seq_pooled"
MARKETS = {"A": "X", "B": "X", "C": "Y"}
QS = list(QUANTILE_COLUMNS)
FAR = 1000.0


def table(levels, *, tickers="AB", cutoffs=CUTOFFS, horizon=2, matures=8, y=FAR):
    """One block a model, quantiles = its level + step + the quantile's own level; `matures` days to the last step.

    A level is a number, or a function of (ticker, number of the cutoff); so is `y`, to which step and 1/2 are added.
    Above all quantiles, a quantile raised by one costs one less: with y = FAR, levels are losses the other way round.
    """
    blocks = []
    for model, level in levels.items():
        keys = pd.MultiIndex.from_product([list(tickers), cutoffs, range(1, horizon + 1)], names=KEYS)
        block = keys.to_frame(index=False).assign(model=model)
        block["y"] = at(y, block, cutoffs) + block["step"] + 0.5
        days = np.where(block["step"] == horizon, matures, 1)
        block["ds"] = block["cutoff"] + pd.to_timedelta(days, unit="D")
        centre = at(level, block, cutoffs) + block["step"].to_numpy(float)
        block["mean"] = centre
        quantiles = pd.DataFrame(centre[:, None] + LEVELS, columns=QS)
        blocks.append(pd.concat([block, quantiles], axis=1))
    return pd.concat(blocks, ignore_index=True)


def at(value, block, cutoffs):
    """A number or a function of (ticker, number of the cutoff), row by row."""
    if not callable(value):
        return np.full(len(block), float(value))
    number = {cutoff: k for k, cutoff in enumerate(cutoffs)}
    return np.array([value(t, number[c]) for t, c in zip(block["unique_id"], block["cutoff"], strict=True)], float)


BOTH = (P, Q)


def blended(frame, spec=None):
    return blend(frame, spec or BlendSpec(members=(P,)), MARKETS)


def shares(weights, member=P, market="X"):
    mine = weights[(weights["member"] == member) & (weights["market"] == market)]
    return dict(zip(mine["cutoff"], mine["weight"], strict=True))


def noisy(frame, seed=0):
    """The same table with an outcome of its own for every unit."""
    drawn = np.random.default_rng(seed).normal(4, 6, (frame["model"] == "anchor").sum())
    return frame.assign(y=np.tile(drawn, frame["model"].nunique()))


def test_the_first_average_by_hand():
    frame = table({"anchor": 0.0, P: 4.0, Q: 8.0}, y=4.0)
    rows, weights = blended(frame, BlendSpec(members=BOTH))
    assert set(rows["model"]) == {"blend"}
    assert len(rows) == len(frame) // 3
    assert list(rows.columns) == list(frame.columns)
    assert list(weights.columns) == WEIGHT_COLUMNS
    first = rows["cutoff"] == CUTOFFS[0]
    np.testing.assert_allclose(rows.loc[first, "q0.500"], 3.5 + rows.loc[first, "step"], rtol=1e-6)  # 2 : 1 : 1
    np.testing.assert_allclose(rows.loc[first, "mean"], 3.0 + rows.loc[first, "step"], rtol=1e-6)
    np.testing.assert_allclose(rows["q0.975"] - rows["q0.025"], 0.95, rtol=1e-5)
    assert weights[weights["cutoff"] == CUTOFFS[0]]["weight"].tolist() == pytest.approx([0.5, 0.25, 0.25])
    np.testing.assert_allclose(weights.groupby("cutoff")["weight"].sum(), 1.0)


def test_the_weights_by_hand():
    """y lies above everything, so that the slope is minus the level, whose mean is a half, over a width of .95."""
    frame = table({"anchor": 0.0, P: 3.0})
    rows, weights = blended(frame, BlendSpec(members=(P,), rate=0.02))
    centre = (rows.groupby("cutoff")["mean"].mean() - 1.5).to_numpy()  # of the blend, without its steps
    lost = np.array([np.mean(LEVELS * (FAR + 0.5 - c - LEVELS)) for c in centre]) / 0.95
    for at in range(len(CUTOFFS)):
        known = np.arange(max(0, at - 1))  # eight days after a cutoff, at the second one from there, it has matured
        gain = 0.5 / 0.95 * np.array([[0.0 - c, 3.0 - c] for c in centre[known]]).reshape(-1, 2).sum(axis=0)
        gain = gain / lost[known].mean() / 2 if len(known) else gain  # two cutoffs fall into one horizon
        w = np.array([2.0, 1.0]) * np.exp(0.02 * gain)
        mine = weights[weights["cutoff"] == CUTOFFS[at]]
        assert mine["matured"].tolist() == [len(known)] * 2
        assert mine["gain"].tolist() == pytest.approx(gain, rel=1e-4, abs=1e-9)
        assert mine["weight"].tolist() == pytest.approx(w / w.sum(), rel=1e-4)


def test_the_better_member_takes_over_and_a_useless_one_goes():
    above = blended(table({"anchor": 0.0, P: 3.0}, y=FAR), BlendSpec(members=(P,), rate=100.0))[1]
    below = blended(table({"anchor": 0.0, P: 3.0, Q: 30.0}, y=-5.0), BlendSpec(members=BOTH, rate=1.0))[1]
    assert shares(above, P)[CUTOFFS[-1]] > 0.6
    assert shares(below, "anchor")[CUTOFFS[-1]] > 0.7
    assert shares(below, Q)[CUTOFFS[-1]] < 0.01


def test_a_member_worse_than_the_anchor_stays_while_the_average_gains_by_it():
    """The anchor errs by 2 one way, the member by 4 the other: at the weights of the start they err by nothing."""
    weights = blended(table({"anchor": 0.0, P: 6.0}, y=2.0), BlendSpec(members=(P,), rate=0.1))[1]
    assert shares(weights)[CUTOFFS[-1]] == pytest.approx(1 / 3, abs=0.08)


def test_members_that_say_the_same_keep_the_weights_of_the_start():
    frame = noisy(table({"anchor": 3.0, P: 3.0, Q: 3.0}))
    rows, weights = blended(frame, BlendSpec(members=BOTH))
    assert set(weights["weight"].round(12)) == {0.5, 0.25}
    anchor = frame[frame["model"] == "anchor"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[QS], anchor[QS], check_dtype=False, rtol=1e-6)


def test_a_rate_of_nothing_learns_nothing():
    frame = noisy(table({"anchor": 0.0, P: 3.0}))
    assert set(blended(frame, BlendSpec(members=(P,), rate=0))[1]["weight"].round(12)) == {
        round(2 / 3, 12),
        round(1 / 3, 12),
    }


def test_a_network_waits_until_horizons_have_matured():
    frame = noisy(table({"anchor": 3.0, P: 3.0, NET: 3.0}))
    for patience in (0, 1, 3):
        weights = blended(frame, BlendSpec(members=(P, NET), patience=patience))[1]
        mine = weights[weights["member"] == NET]
        # cutoffs a week apart, eight days to the last step: two in a horizon, and two more until the first matures
        assert (mine["weight"] > 0).tolist() == [m >= 2 * patience for m in mine["matured"]]
        assert mine["weight"].iloc[-1] == pytest.approx((1 / 3) / (2 + 1 + 1 / 3))


def test_more_cutoffs_in_the_same_time_do_not_learn_faster():
    """Cutoffs every bar tell what those every fifth tell: evidence is counted by horizons."""
    found = []
    for every in (1, 5):
        cutoffs = pd.bdate_range("2020-01-01", periods=200)[::every]
        frame = table({"anchor": 0.0, P: 1.0}, cutoffs=cutoffs, matures=28)
        found.append(shares(blended(frame, BlendSpec(members=(P,), rate=300.0))[1])[cutoffs[-1]])
    assert found[0] == pytest.approx(found[1], abs=0.04)
    assert found[0] > 0.5


def test_a_forecast_matures_on_the_day_of_its_last_step():
    for matures, count in ((7, 11), (8, 10), (70, 2), (71, 1), (77, 1), (78, 0)):
        weights = blended(table({"anchor": 0.0, P: 0.0}, matures=matures))[1]
        assert weights["matured"].iloc[-1] == count, matures


@pytest.mark.parametrize("at", [3, 6, 9])
def test_later_outcomes_change_no_earlier_weight(at):
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}))
    last = frame.groupby("cutoff")["ds"].transform("max")
    open_then, y = (last > CUTOFFS[at]).to_numpy(), frame["y"].to_numpy()
    spec = BlendSpec(members=BOTH)
    (rows, weights), (rows2, weights2), (rows3, weights3) = (
        blended(frame.assign(y=outcome), spec)
        for outcome in (y, np.where(open_then, y + 100, y), np.where(open_then, np.nan, y))
    )
    for other_rows, other_weights in ((rows2, weights2), (rows3, weights3)):
        upto, upto_rows = weights["cutoff"] <= CUTOFFS[at], rows["cutoff"] <= CUTOFFS[at]
        pd.testing.assert_frame_equal(weights[upto], other_weights[upto], check_exact=True)
        said = [name for name in rows.columns if name != "y"]
        pd.testing.assert_frame_equal(rows.loc[upto_rows, said], other_rows.loc[upto_rows, said], check_exact=True)
    assert not weights.equals(weights2)
    earlier = blended(frame.assign(y=np.where(open_then, y, y + 100)), spec)[1]
    assert not weights[weights["cutoff"] == CUTOFFS[at]].equals(earlier[earlier["cutoff"] == CUTOFFS[at]])


def test_each_market_learns_for_itself_over_all_its_tickers():
    worth = {"A": -20.0, "B": 30.0, "C": -20.0}
    frame = table({"anchor": 0.0, P: lambda ticker, _: worth[ticker]}, tickers="ABC")
    weights = blended(frame, BlendSpec(members=(P,), rate=50.0))[1]
    assert shares(weights, P, "X")[CUTOFFS[-1]] > 1 / 3
    assert shares(weights, P, "Y")[CUTOFFS[-1]] < 1 / 3
    assert len(weights) == 2 * 2 * len(CUTOFFS)


def test_a_wide_ticker_does_not_outvote_a_narrow_one():
    worth = {"A": -20.0, "B": 2.0}  # a fifth of A's width against two widths of B's
    frame = table({"anchor": 0.0, P: lambda ticker, _: worth[ticker]})
    wide = (frame["unique_id"] == "A").to_numpy()
    spread = frame.loc[wide, QS].to_numpy()
    frame.loc[wide, QS] = spread + 99 * LEVELS
    weights = blended(frame, BlendSpec(members=(P,), rate=50.0))[1]
    assert shares(weights)[CUTOFFS[-1]] > 1 / 3


def test_the_order_of_the_rows_does_not_matter():
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}, tickers="ABC"), seed=1)
    order = np.random.default_rng(2).permutation(len(frame))
    spec = BlendSpec(members=BOTH)
    rows, weights = blended(frame, spec)
    rows2, weights2 = blended(frame.iloc[order].reset_index(drop=True), spec)
    pd.testing.assert_frame_equal(rows.sort_values(KEYS, ignore_index=True), rows2.sort_values(KEYS, ignore_index=True))
    pd.testing.assert_frame_equal(weights, weights2)
    assert weights["weight"].nunique() > 2 * len(CUTOFFS)


def test_blocks_change_no_bit(monkeypatch):
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}, tickers="ABC"))
    whole = blended(frame, BlendSpec(members=BOTH))
    monkeypatch.setattr("s2squant.forecasters.blend.BLOCK", 7)
    for found, expected in zip(blended(frame, BlendSpec(members=BOTH)), whole, strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_the_models_outside_it_are_left_alone():
    frame = table({"random_walk": 7.0, "anchor": 0.0, P: 3.0})
    without = frame[frame["model"] != "random_walk"].reset_index(drop=True)
    pd.testing.assert_frame_equal(blended(frame)[0], blended(without)[0])


def test_the_table_is_not_changed():
    frame = table({"anchor": 0.0, P: 3.0})
    before = frame.copy()
    blended(frame)
    pd.testing.assert_frame_equal(frame, before)


def other_units(frame):
    first = frame["model"] == P
    lost = frame[~(first & (frame["cutoff"] == CUTOFFS[0]))]
    moved = frame.copy()
    moved.loc[first & (frame["cutoff"] == CUTOFFS[0]), "cutoff"] = CUTOFFS[0] - pd.Timedelta(days=1)
    return {"lost": lost, "moved": moved, "absent": frame[~first], "twice": pd.concat([frame, frame[first].iloc[:1]])}


@pytest.mark.parametrize("case", ["lost", "moved", "absent", "twice"])
def test_a_member_with_other_units_is_refused(case):
    frame = other_units(table({"anchor": 0.0, P: 3.0}))[case].reset_index(drop=True)
    with pytest.raises(ValueError, match=f"{P} and the anchor forecast different units"):
        blended(frame)
