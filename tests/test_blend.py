"""The blend: averages by hand, and a gate that reads nothing but what had its date."""

import numpy as np
import pandas as pd
import pytest

from s2squant.blend import GATE_COLUMNS, blend
from s2squant.config import BlendSpec
from s2squant.frames import KEYS
from s2squant.records import LEVELS, QUANTILE_COLUMNS

CUTOFFS = pd.bdate_range("2020-01-01", periods=60)[::5]  # twelve, a week apart
P, Q = "seq2seq_per_ticker", "seq2seq_pooled"
MARKETS = {"A": "X", "B": "X", "C": "Y"}
QS = list(QUANTILE_COLUMNS)


def table(levels, *, tickers="AB", cutoffs=CUTOFFS, horizon=2, matures=8):
    """One block a model, quantiles = its level + step + the quantile's own level; `matures` days to the last step."""
    blocks = []
    for model, level in levels.items():
        keys = pd.MultiIndex.from_product([list(tickers), cutoffs, range(1, horizon + 1)], names=KEYS)
        block = keys.to_frame(index=False).assign(model=model, y=0.0)
        days = np.where(block["step"] == horizon, matures, 1)
        block["ds"] = block["cutoff"] + pd.to_timedelta(days, unit="D")
        centre = level + block["step"].to_numpy(float)
        block["mean"] = centre
        quantiles = pd.DataFrame(centre[:, None] + LEVELS, columns=QS)
        blocks.append(pd.concat([block, quantiles], axis=1))
    return pd.concat(blocks, ignore_index=True)


def losses_of(frame, rule):
    """`rule(model, row)` is the loss of a row."""
    return np.array([rule(row) for row in frame.itertuples(index=False)])


def decisions(gates, member=P, market="X"):
    mine = gates[(gates["member"] == member) & (gates["market"] == market)]
    return dict(zip(mine["cutoff"], mine["kept"], strict=True))


def even(frame):
    return np.ones(len(frame))


def test_the_average_by_hand():
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0})
    better = losses_of(frame, lambda r: 2.0 if r.model == "anchor" else 1.0)
    rows, gates = blend(frame, better, BlendSpec(), MARKETS)
    assert set(rows["model"]) == {"blend"}
    assert len(rows) == len(frame) // 3
    assert list(rows.columns) == list(frame.columns)
    np.testing.assert_allclose(rows["q0.500"], 4.0 + rows["step"] + 0.5, rtol=1e-6)  # (0 + 3 + 9) / 3
    np.testing.assert_allclose(rows["mean"], 4.0 + rows["step"], rtol=1e-6)
    np.testing.assert_allclose(rows["q0.975"] - rows["q0.025"], 0.95, rtol=1e-5)
    assert gates["kept"].all()
    assert list(gates.columns) == GATE_COLUMNS


def test_a_dropped_member_leaves_the_average():
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0})
    loss = losses_of(frame, lambda r: {"anchor": 2.0, P: 1.0, Q: 5.0}[r.model])
    rows, gates = blend(frame, loss, BlendSpec(min_cutoffs=3), MARKETS)
    kept, lost = decisions(gates, P), decisions(gates, Q)
    assert all(kept.values())
    # each cutoff's last step has its date 8 days later, so at the k-th cutoff (a week apart) k - 1 have matured
    assert list(lost.values()) == [True] * 4 + [False] * 8
    early = rows["cutoff"].isin(CUTOFFS[:4])
    np.testing.assert_allclose(rows.loc[early, "q0.500"], 4.0 + rows.loc[early, "step"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(rows.loc[~early, "q0.500"], 1.5 + rows.loc[~early, "step"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(rows.loc[~early, "mean"], 1.5 + rows.loc[~early, "step"], rtol=1e-6)


def test_all_members_lost_leaves_the_anchor():
    frame = table({"anchor": 0.0, P: 3.0})
    loss = losses_of(frame, lambda r: 1.0 if r.model == "anchor" else 1.001)
    rows, _ = blend(frame, loss, BlendSpec(members=(P,), min_cutoffs=1), MARKETS)
    late = rows[rows["cutoff"] > CUTOFFS[1]]
    anchor = frame[(frame["model"] == "anchor") & (frame["cutoff"] > CUTOFFS[1])]
    pd.testing.assert_frame_equal(
        late[[*KEYS, *QS]].reset_index(drop=True),
        anchor[[*KEYS, *QS]].reset_index(drop=True),
        check_dtype=False,
        rtol=1e-6,
    )


def test_a_draw_is_not_a_win():
    frame = table({"anchor": 0.0, P: 3.0})
    gates = blend(frame, even(frame), BlendSpec(members=(P,), min_cutoffs=2), MARKETS)[1]
    assert not decisions(gates)[CUTOFFS[-1]]


def test_the_gate_counts_and_means_what_has_matured():
    frame = table({"anchor": 0.0, P: 0.0})
    number = {cutoff: k for k, cutoff in enumerate(CUTOFFS)}
    loss = losses_of(frame, lambda r: 10.0 if r.model == "anchor" else 10.0 - 0.95 * number[r.cutoff])
    gates = blend(frame, loss, BlendSpec(members=(P,)), MARKETS)[1]
    assert list(gates["matured"]) == [0, 0, *range(1, 11)]
    # the width of the anchor's 95 % interval is 0.95, so the k-th cutoff is worth k; the mean of 0..n-1 is (n - 1) / 2
    expected = [(n - 1) / 2 for n in range(1, 11)]
    assert gates["mean_difference"].iloc[:2].isna().all()
    np.testing.assert_allclose(gates["mean_difference"].iloc[2:], expected, rtol=1e-6)


def test_a_forecast_matures_on_the_day_of_its_last_step():
    for matures, count in ((7, 11), (8, 10), (70, 2), (71, 1), (77, 1), (78, 0)):
        frame = table({"anchor": 0.0, P: 0.0}, matures=matures)
        gates = blend(frame, even(frame), BlendSpec(members=(P,)), MARKETS)[1]
        assert gates["matured"].iloc[-1] == count, matures


@pytest.mark.parametrize("at", [3, 6, 9])
def test_later_losses_change_no_earlier_decision(at):
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0})
    loss = np.random.default_rng(0).normal(1, 0.3, len(frame))
    last = frame.groupby("cutoff")["ds"].transform("max")
    open_then = (last > CUTOFFS[at]).to_numpy()
    changed = np.where(open_then & (frame["model"] == "anchor"), loss + 100, loss)
    missing = np.where(open_then, np.nan, loss)
    spec = BlendSpec(min_cutoffs=1)
    (rows, gates), (rows2, gates2), (rows3, gates3) = (blend(frame, x, spec, MARKETS) for x in (loss, changed, missing))
    for other_rows, other_gates in ((rows2, gates2), (rows3, gates3)):
        upto, upto_rows = gates["cutoff"] <= CUTOFFS[at], rows["cutoff"] <= CUTOFFS[at]
        pd.testing.assert_frame_equal(gates[upto], other_gates[upto], check_exact=True)
        pd.testing.assert_frame_equal(rows[upto_rows], other_rows[upto_rows], check_exact=True)
    assert not gates.equals(gates2)
    earlier = np.where(open_then, loss, loss + 100 * (frame["model"] == "anchor"))
    assert not gates[gates["cutoff"] == CUTOFFS[at]].equals(
        (g := blend(frame, earlier, spec, MARKETS)[1])[g["cutoff"] == CUTOFFS[at]]
    )


def test_before_min_cutoffs_nothing_is_dropped():
    frame = table({"anchor": 0.0, P: 3.0})
    loss = losses_of(frame, lambda r: 1.0 if r.model == "anchor" else 9.0)
    for least in (1, 4, 10, 11):
        gates = blend(frame, loss, BlendSpec(members=(P,), min_cutoffs=least), MARKETS)[1]
        assert list(gates["kept"]) == list(gates["matured"] < least)
    assert gates["kept"].all()  # ten mature, eleven are asked for


def test_each_market_decides_for_itself_over_all_its_tickers():
    frame = table({"anchor": 0.0, P: 3.0}, tickers="ABC")
    # on X the member loses a little on A and wins more on B; on Y it loses
    worth = {"A": -1.0, "B": 1.5, "C": -0.1}
    loss = losses_of(frame, lambda r: 5.0 if r.model == "anchor" else 5.0 - worth[r.unique_id])
    rows, gates = blend(frame, loss, BlendSpec(members=(P,), min_cutoffs=1), MARKETS)
    assert decisions(gates, P, "X")[CUTOFFS[-1]]
    assert not decisions(gates, P, "Y")[CUTOFFS[-1]]
    last = rows[rows["cutoff"] == CUTOFFS[-1]].set_index(["unique_id", "step"])["q0.500"]
    assert last["A", 1] == last["B", 1] == pytest.approx(1.5 + 1.5)
    assert last["C", 1] == pytest.approx(1.5)
    assert len(gates) == 2 * len(CUTOFFS)


def test_a_wide_ticker_does_not_outvote_a_narrow_one():
    frame = table({"anchor": 0.0, P: 0.0})
    wide = frame["unique_id"] == "A"
    frame.loc[wide, QS] = frame.loc[wide, QS].to_numpy() * 100
    better = {"A": -10.0, "B": 1.0}  # a tenth of A's width against a width of B's
    loss = losses_of(frame, lambda r: 50.0 if r.model == "anchor" else 50.0 - better[r.unique_id])
    gates = blend(frame, loss, BlendSpec(members=(P,), min_cutoffs=1), MARKETS)[1]
    assert decisions(gates)[CUTOFFS[-1]]


def test_the_order_of_the_rows_does_not_matter():
    frame = table({"anchor": 0.0, P: 3.0, Q: 9.0}, tickers="ABC")
    loss = np.random.default_rng(1).normal(1, 0.3, len(frame))
    order = np.random.default_rng(2).permutation(len(frame))
    rows, gates = blend(frame, loss, BlendSpec(min_cutoffs=1), MARKETS)
    rows2, gates2 = blend(frame.iloc[order].reset_index(drop=True), loss[order], BlendSpec(min_cutoffs=1), MARKETS)
    sort = ["unique_id", "cutoff", "step"]
    pd.testing.assert_frame_equal(rows.sort_values(sort, ignore_index=True), rows2.sort_values(sort, ignore_index=True))
    pd.testing.assert_frame_equal(gates, gates2)
    assert 0 < gates["kept"].sum() < len(gates)


def test_the_baselines_in_the_table_are_left_alone():
    frame = table({"random_walk": 7.0, "anchor": 0.0, P: 3.0})
    with_it = blend(frame, even(frame), BlendSpec(members=(P,)), MARKETS)[0]
    without = frame[frame["model"] != "random_walk"].reset_index(drop=True)
    pd.testing.assert_frame_equal(with_it, blend(without, even(without), BlendSpec(members=(P,)), MARKETS)[0])


def test_the_tables_are_not_changed():
    frame = table({"anchor": 0.0, P: 3.0})
    before, loss = frame.copy(), even(frame)
    blend(frame, loss, BlendSpec(members=(P,)), MARKETS)
    pd.testing.assert_frame_equal(frame, before)
    assert (loss == 1).all()


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
        blend(frame, even(frame), BlendSpec(members=(P,)), MARKETS)
