"""The blend: averages by hand, and a gate that reads nothing but what had its date."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.models import BlendSpec
from s2squant.forecasters.blend import GATE_COLUMNS, blend
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, quantile_crps
from s2squant.series.long_table import KEYS

CUTOFFS = pd.bdate_range("2020-01-01", periods=60)[::5]  # twelve, a week apart
P, Q = "seq2seq_per_ticker", "seq2seq_pooled"
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


def blended(frame, spec=None):
    return blend(frame, quantile_crps, spec or BlendSpec(members=(P,)), MARKETS)


def decisions(gates, member=P, market="X"):
    mine = gates[(gates["member"] == member) & (gates["market"] == market)]
    return dict(zip(mine["cutoff"], mine["kept"], strict=True))


BOTH = (P, Q)


def noisy(frame, seed=0):
    """The same table with an outcome of its own for every unit."""
    drawn = np.random.default_rng(seed).normal(4, 6, (frame["model"] == "anchor").sum())
    return frame.assign(y=np.tile(drawn, frame["model"].nunique()))


def test_the_average_by_hand():
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0}, y=4.0)
    rows, gates = blended(frame, BlendSpec(members=BOTH))
    assert set(rows["model"]) == {"blend"}
    assert len(rows) == len(frame) // 3
    assert list(rows.columns) == list(frame.columns)
    np.testing.assert_allclose(rows["q0.500"], 4.0 + rows["step"] + 0.5, rtol=1e-6)  # (0 + 3 + 9) / 3
    np.testing.assert_allclose(rows["mean"], 4.0 + rows["step"], rtol=1e-6)
    np.testing.assert_allclose(rows["q0.975"] - rows["q0.025"], 0.95, rtol=1e-5)
    assert gates["kept"].all()
    assert list(gates.columns) == GATE_COLUMNS


def test_a_dropped_member_leaves_the_average():
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0}, y=1.5)  # without Q the average is 1.5, without P it is 4.5
    rows, gates = blended(frame, BlendSpec(members=BOTH, min_cutoffs=3))
    kept, lost = decisions(gates, P), decisions(gates, Q)
    assert all(kept.values())
    # each cutoff's last step has its date 8 days later, so at the k-th cutoff (a week apart) k - 1 have matured
    assert list(lost.values()) == [True] * 4 + [False] * 8
    early = rows["cutoff"].isin(CUTOFFS[:4])
    np.testing.assert_allclose(rows.loc[early, "q0.500"], 4.0 + rows.loc[early, "step"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(rows.loc[~early, "q0.500"], 1.5 + rows.loc[~early, "step"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(rows.loc[~early, "mean"], 1.5 + rows.loc[~early, "step"], rtol=1e-6)


def test_a_member_worse_than_the_anchor_stays_while_the_average_gains_by_it():
    """The anchor errs by 2 one way, the member by 3 the other: together they err by a half."""
    frame = table({"anchor": 0.0, P: 5.0}, y=2.0)
    lost = [quantile_crps(mine["y"].to_numpy(), mine[QS].to_numpy()).mean() for _, mine in frame.groupby("model")]
    assert lost[0] < lost[1]
    assert blended(frame, BlendSpec(members=(P,), min_cutoffs=1))[1]["kept"].all()


def test_two_members_that_say_the_same_are_not_both_thrown_out():
    """Each is missed a little when it goes, though the other stays."""
    frame = table({"anchor": 0.0, P: 3.0, Q: 3.0}, y=3.0)
    assert blended(frame, BlendSpec(members=BOTH, min_cutoffs=1))[1]["kept"].all()


def test_all_members_lost_leaves_the_anchor():
    frame = table({"anchor": 0.0, P: 3.0}, y=0.0)
    rows, _ = blended(frame, BlendSpec(members=(P,), min_cutoffs=1))
    late = rows[rows["cutoff"] > CUTOFFS[1]]
    anchor = frame[(frame["model"] == "anchor") & (frame["cutoff"] > CUTOFFS[1])]
    pd.testing.assert_frame_equal(
        late[[*KEYS, *QS]].reset_index(drop=True),
        anchor[[*KEYS, *QS]].reset_index(drop=True),
        check_dtype=False,
        rtol=1e-6,
    )


def test_a_draw_is_not_a_win():
    frame = table({"anchor": 1.0, P: 1.0})
    gates = blended(frame, BlendSpec(members=(P,), min_cutoffs=2))[1]
    assert not decisions(gates)[CUTOFFS[-1]]


def test_the_gate_counts_and_means_what_has_matured():
    frame = table({"anchor": 0.0, P: lambda _, k: 2 * 0.95 * k})
    gates = blended(frame)[1]
    assert list(gates["matured"]) == [0, 0, *range(1, 11)]
    # half of the member counts, the width of the anchor's 95 % interval is 0.95: the k-th cutoff is worth k
    expected = [(n - 1) / 2 for n in range(1, 11)]
    assert gates["mean_difference"].iloc[:2].isna().all()
    np.testing.assert_allclose(gates["mean_difference"].iloc[2:], expected, rtol=1e-6, atol=1e-9)


def test_a_forecast_matures_on_the_day_of_its_last_step():
    for matures, count in ((7, 11), (8, 10), (70, 2), (71, 1), (77, 1), (78, 0)):
        gates = blended(table({"anchor": 0.0, P: 0.0}, matures=matures))[1]
        assert gates["matured"].iloc[-1] == count, matures


@pytest.mark.parametrize("at", [3, 6, 9])
def test_later_outcomes_change_no_earlier_decision(at):
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}))
    last = frame.groupby("cutoff")["ds"].transform("max")
    open_then, y = (last > CUTOFFS[at]).to_numpy(), frame["y"].to_numpy()
    spec = BlendSpec(members=BOTH, min_cutoffs=1)
    (rows, gates), (rows2, gates2), (rows3, gates3) = (
        blended(frame.assign(y=outcome), spec)
        for outcome in (y, np.where(open_then, y + 100, y), np.where(open_then, np.nan, y))
    )
    for other_rows, other_gates in ((rows2, gates2), (rows3, gates3)):
        upto, upto_rows = gates["cutoff"] <= CUTOFFS[at], rows["cutoff"] <= CUTOFFS[at]
        pd.testing.assert_frame_equal(gates[upto], other_gates[upto], check_exact=True)
        said = [name for name in rows.columns if name != "y"]
        pd.testing.assert_frame_equal(rows.loc[upto_rows, said], other_rows.loc[upto_rows, said], check_exact=True)
    assert not gates.equals(gates2)
    earlier = blended(frame.assign(y=np.where(open_then, y, y + 100)), spec)[1]
    assert not gates[gates["cutoff"] == CUTOFFS[at]].equals(earlier[earlier["cutoff"] == CUTOFFS[at]])


def test_before_min_cutoffs_nothing_is_dropped():
    frame = table({"anchor": 0.0, P: 3.0}, y=0.0)
    for least in (1, 4, 10, 11):
        gates = blended(frame, BlendSpec(members=(P,), min_cutoffs=least))[1]
        assert list(gates["kept"]) == list(gates["matured"] < least)
    assert gates["kept"].all()  # ten mature, eleven are asked for


def test_each_market_decides_for_itself_over_all_its_tickers():
    # on X the member loses a little on A and wins more on B; on Y it loses
    worth = {"A": -2.0, "B": 3.0, "C": -0.2}
    frame = table({"anchor": 0.0, P: lambda ticker, _: worth[ticker]}, tickers="ABC")
    rows, gates = blended(frame, BlendSpec(members=(P,), min_cutoffs=1))
    assert decisions(gates, P, "X")[CUTOFFS[-1]]
    assert not decisions(gates, P, "Y")[CUTOFFS[-1]]
    last = rows[rows["cutoff"] == CUTOFFS[-1]].set_index(["unique_id", "step"])["q0.500"]
    assert last["A", 1] == pytest.approx(1.5 - 1.0)
    assert last["B", 1] == pytest.approx(1.5 + 1.5)
    assert last["C", 1] == pytest.approx(1.5)
    assert len(gates) == 2 * len(CUTOFFS)


def test_a_wide_ticker_does_not_outvote_a_narrow_one():
    worth = {"A": -20.0, "B": 2.0}  # a tenth of A's width against a width of B's
    frame = table({"anchor": 0.0, P: lambda ticker, _: worth[ticker]})
    wide = (frame["unique_id"] == "A").to_numpy()
    spread = frame.loc[wide, QS].to_numpy()
    frame.loc[wide, QS] = spread + 99 * LEVELS
    gates = blended(frame, BlendSpec(members=(P,), min_cutoffs=1))[1]
    assert decisions(gates)[CUTOFFS[-1]]


def test_the_order_of_the_rows_does_not_matter():
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}, tickers="ABC"), seed=1)
    order = np.random.default_rng(2).permutation(len(frame))
    spec = BlendSpec(members=BOTH, min_cutoffs=1)
    rows, gates = blended(frame, spec)
    rows2, gates2 = blended(frame.iloc[order].reset_index(drop=True), spec)
    sort = ["unique_id", "cutoff", "step"]
    pd.testing.assert_frame_equal(rows.sort_values(sort, ignore_index=True), rows2.sort_values(sort, ignore_index=True))
    pd.testing.assert_frame_equal(gates, gates2)
    assert 0 < gates["kept"].sum() < len(gates)


def test_blocks_change_no_bit(monkeypatch):
    frame = noisy(table({"anchor": 0.0, P: 3.0, Q: 9.0}, tickers="ABC"))
    whole = blended(frame, BlendSpec(members=BOTH))[1]
    monkeypatch.setattr("s2squant.forecasters.blend.BLOCK", 7)
    pd.testing.assert_frame_equal(blended(frame, BlendSpec(members=BOTH))[1], whole, check_exact=True)


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
