"""Folds and rows against plans worked out by hand."""

import numpy as np
import pytest

from s2squant.config.experiment import Walk
from s2squant.errors import ConfigError
from s2squant.runs.jobs import forecast_rows
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.windows import (
    all_cutoffs,
    bars_needed,
    check_room,
    fold_table,
    last_rows,
    make_folds,
    of_tickers,
    session_dates,
    too_short,
    train_rows,
)
from s2squant.series.windows import test_rows as rows_at
from tests.worlds.synthetic import business_days

DAYS = business_days(420)


def listed(ticker="A", bars=None, *, calendar="XNYS"):
    """A history on the given bars of DAYS."""
    days = DAYS if bars is None else DAYS[bars]
    return PriceHistory(ticker, calendar, days, 100 + np.arange(len(days)) % 7)


def walk(**changes):
    return Walk(**{"horizon": 5, "cutoffs": 6, "every": 10, "refit_every": 20, "min_train": 300, **changes})


def plan(history, *, among, of=None):
    return too_short(history, all_cutoffs(Panel(among), of or walk()), of or walk())


def test_cutoffs_end_a_horizon_before_the_last_session():
    panel = Panel((listed(),))
    np.testing.assert_array_equal(all_cutoffs(panel, walk()), DAYS[[364, 374, 384, 394, 404, 414]])
    np.testing.assert_array_equal(all_cutoffs(panel, walk(horizon=1, cutoffs=2, every=1)), DAYS[[417, 418]])


@pytest.mark.parametrize(
    ("every", "refit_every", "sizes"), [(10, 20, [2, 2, 2]), (10, 25, [3, 3]), (10, 5, [1] * 6), (10, 999, [6])]
)
def test_a_fit_serves_the_cutoffs_until_the_next(every, refit_every, sizes):
    folds = make_folds(Panel((listed(),)), walk(every=every, refit_every=refit_every))
    assert [len(f.cutoffs) for f in folds] == sizes
    assert [f.number for f in folds] == list(range(len(sizes)))
    starts = np.cumsum([0, *sizes[:-1]])
    assert [f.fit_date for f in folds] == list(DAYS[364 + 10 * starts])
    np.testing.assert_array_equal(np.concatenate([f.cutoffs for f in folds]), DAYS[[364, 374, 384, 394, 404, 414]])


def test_the_window_expands_or_slides():
    panel = Panel((listed(),))
    assert [f.train_start for f in make_folds(panel, walk())] == [DAYS[0]] * 3
    sliding = make_folds(panel, walk(window="sliding", train_bars=100))
    assert [f.train_start for f in sliding] == list(DAYS[[265, 285, 305]])  # 100 bars with the fit date as the last
    for fold in sliding:
        past = panel.until(fold.fit_date)
        rows = train_rows(past, fold, warmup=20)
        assert len(rows) == 95
        assert past.dates[rows[0]] == fold.train_start


def test_labels_end_by_the_fit_date_row_by_row():
    among = (listed("A"), listed("L", slice(60, None)), listed("H", np.r_[0:350, 370:420]), listed("D", slice(0, 380)))
    panel = Panel(among)
    folds = make_folds(panel, walk())
    assert len(folds) == 3
    for fold in folds:
        past = panel.until(fold.fit_date)
        rows = train_rows(past, fold, warmup=30)
        assert set(past.ticker_of[rows]) == {0, 1, 2, 3}
        for row in rows:
            m = past.ticker_of[row]
            assert past.ticker_of[row + fold.horizon] == m
            assert past.dates[row + fold.horizon] <= fold.fit_date <= fold.cutoffs[0]
            assert row - past.starts[m] >= 30
        for m in range(4):  # and none is left out
            end = past.starts[m + 1]
            assert rows[past.ticker_of[rows] == m].max() == end - 1 - fold.horizon
            assert (past.ticker_of[rows] == m).sum() == end - past.starts[m] - 30 - fold.horizon
        tested = rows_at(panel, fold.cutoffs)
        assert (panel.dates[tested] >= fold.fit_date).all()


def test_just_enough_bars():
    need = bars_needed(walk())
    assert need == 300 + 50 + 5 + 1
    assert len(all_cutoffs(Panel((listed(bars=slice(0, need - 1)),)), walk())) == 0
    cutoffs = all_cutoffs(Panel((listed(bars=slice(0, need)),)), walk())
    assert list(cutoffs) == list(DAYS[300:351:10])  # 301 bars known at the first
    assert make_folds(Panel((listed(bars=slice(0, need - 1)),)), walk()) == ()


def test_a_late_listing_is_refused_with_its_numbers():
    among = (listed("A"), listed("L", slice(65, None)), listed("M", slice(64, None)), listed("N", slice(66, None)))
    assert [plan(h, among=among) for h in (among[0], among[1], among[2])] == ["", "", ""]  # bar 364 is the 300th of L
    assert plan(among[3], among=among) == (
        f"too short: 299 of 354 bars by the first cutoff {DAYS[364]}, 300 are needed"
    )


def test_a_delisted_ticker_takes_part_while_a_cutoff_can_be_scored():
    among = (listed("A"), listed("B"), listed("D", slice(0, 370)), listed("E", slice(0, 369)))
    assert plan(among[2], among=among) == ""  # bar 364 has 5 more bars
    reason = plan(among[3], among=among)
    assert reason.startswith("no bars to score: none of its bars with 5 more after it is a cutoff")
    assert reason.endswith(f"its last bar is {DAYS[368]}")


def test_sessions_are_the_days_on_which_half_of_the_listed_trade():
    halted = listed("H", np.r_[0:200, 260:420])
    pair = Panel((listed("A"), halted))
    np.testing.assert_array_equal(session_dates(pair), DAYS)
    odd = np.array(["2000-01-08", "2000-01-09"], "datetime64[D]")  # a weekend on which one of three has bars
    weekend = PriceHistory("W", "XNYS", np.sort(np.r_[DAYS, odd]), np.full(422, 9.0) + np.arange(422) % 5)
    np.testing.assert_array_equal(session_dates(Panel((listed("A"), halted, weekend))), DAYS)
    late = Panel((listed("A"), listed("B", slice(400, None)), listed("C", slice(400, None))))
    np.testing.assert_array_equal(session_dates(late), DAYS)  # before bar 400 A is all there is


def test_a_halted_ticker_has_no_row_on_that_cutoff_and_counts_its_own_bars():
    panel = Panel((listed("A"), listed("H", np.r_[0:370, 380:420]), listed("B")))
    fold = make_folds(panel, walk())[0]
    np.testing.assert_array_equal(fold.cutoffs, DAYS[[364, 374]])
    rows = rows_at(panel, fold.cutoffs)
    assert [(panel.tickers[panel.ticker_of[r]], str(panel.dates[r])) for r in rows] == [
        ("A", str(DAYS[364])),
        ("A", str(DAYS[374])),
        ("H", str(DAYS[364])),
        ("B", str(DAYS[364])),
        ("B", str(DAYS[374])),
    ]
    h = rows[2]
    assert panel.dates[h + 5] == DAYS[369]
    assert panel.dates[h + 6] == DAYS[380]  # the next bar is the first after the halt
    np.testing.assert_array_equal(of_tickers(panel, rows, ["H"]), [h])
    np.testing.assert_array_equal(of_tickers(panel, rows, ["B", "A"]), rows[[0, 1, 3, 4]])


def test_rows_follow_each_tickers_own_bar_axis():
    shifted = PriceHistory("S", "XNYS", DAYS + np.timedelta64(7, "D"), np.full(420, 5.0) + np.arange(420) % 3)
    panel = Panel((listed("A"), shifted, listed("Z", slice(100, None))))
    rows = rows_at(panel, DAYS[[300, 310]])
    assert list(panel.ticker_of[rows]) == [0, 0, 1, 1, 2, 2]
    assert list(panel.bar_number(rows)) == [300, 310, 295, 305, 200, 210]
    np.testing.assert_array_equal(panel.dates[rows], np.tile(DAYS[[300, 310]], 3))
    np.testing.assert_array_equal(last_rows(panel), [419, 839, 1159])


def test_tomorrow_is_forecast_for_tickers_still_traded_by_the_last_fit():
    ends = {"A": 420, "B": 420, "atfit": 405, "before": 404, "oncutoff": 395}
    panel = Panel(tuple(listed(t, slice(0, end)) for t, end in ends.items()))
    folds = make_folds(panel, walk())
    assert folds[-1].fit_date == DAYS[404]
    by_fold = [forecast_rows(panel, folds, fold) for fold in folds]
    assert [len(np.intersect1d(rows, last_rows(panel))) for rows in by_fold] == [0, 1, 3]
    every = np.concatenate(by_fold)
    assert len(set(every)) == len(every)  # "oncutoff" ends on a cutoff of the second fold: it must not stand twice
    owners = {panel.tickers[m] for m in panel.ticker_of[by_fold[-1]]}
    assert owners == {"A", "B", "atfit"}
    for fold, rows in zip(folds, by_fold, strict=True):
        assert (panel.dates[rows] >= fold.fit_date).all()


@pytest.mark.parametrize(
    ("changes", "origins", "says"),
    [
        ({}, 30, "walk.min_train 300 leaves 25 training origins before the first cutoff, 30 are needed"),
        ({}, 26, "set walk.min_train to 301 or more"),
        ({"horizon": 60}, 1, "leaves 0 training origins"),
        (
            {"min_train": 900, "window": "sliding", "train_bars": 100},
            96,
            "walk.train_bars 100 leaves 95 training origins",
        ),
    ],
)
def test_too_little_room_to_train_is_refused_with_the_remedy(changes, origins, says):
    with pytest.raises(ConfigError, match=says):
        check_room(walk(**changes), warmup=270, origins=origins)


def test_the_remedy_for_too_little_room_is_exact():
    tight = walk(min_train=301)
    check_room(tight, warmup=270, origins=26)
    first = all_cutoffs(Panel((listed(bars=slice(0, bars_needed(tight))),)), tight)[0]
    panel = Panel((listed(bars=DAYS.searchsorted(first) - 300 + np.arange(301)),))
    fold = make_folds(Panel((listed(),)), tight)[0]
    assert panel.dates[-1] == first
    assert len(train_rows(panel, fold, warmup=270)) == 26


def test_a_panel_cut_out_of_another_keeps_to_the_days_it_was_cut_to():
    panel = Panel((listed("A"), listed("B", slice(100, None)), listed("C", slice(398, None))))
    cut = panel.only("B")
    assert cut.tickers == ("B",)
    assert cut.whole is panel
    assert cut.only("B").whole is panel
    early, late = DAYS[300], DAYS[350]
    for short in (cut.until(late).until(early), cut.until(early).until(late), panel.only("B").until(early)):
        assert (short.dates[-1], short.whole_until) == (early, early)
    assert len(cut.dates) == 320
    with pytest.raises(ValueError, match="no ticker"):
        panel.only("C").until(early)


def test_the_fold_table_has_a_line_a_fold():
    folds = make_folds(Panel((listed(),)), walk())
    lines = fold_table(folds).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == [
        "XNYS",
        "0",
        str(DAYS[0]),
        str(DAYS[364]),
        "2",
        str(DAYS[364]),
        "..",
        str(DAYS[374]),
        "5",
        "bars",
    ]
