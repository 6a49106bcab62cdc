"""Segments: where trading stopped for more than fifteen sessions, no return, no label and no window reaches across."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.prices.checks.segments import in_segments, without_halts
from s2squant.series.history import PriceHistory
from s2squant.series.panel import SETTLED, Fold, Panel
from s2squant.series.shuffle import shuffled
from s2squant.series.windows import test_rows as cutoff_rows
from s2squant.series.windows import train_rows, unsettled
from tests.forecasters.test_holes import LEFT, RIGHT, halted


def test_a_segment_ends_labels_and_begins_windows():
    panel = Panel((halted("A", 1.0), halted("B", 1.0)))
    last, first = LEFT - 1, LEFT
    assert panel.bars_left(np.array([0, last, first])).tolist() == [LEFT - 1, 0, RIGHT - 1]
    assert panel.first_of(np.array([last, first, first + 5])).tolist() == [0, first, first]
    assert np.isnan(panel.targets(np.array([last]), 3)).all()
    assert np.isfinite(panel.targets(np.array([last - 2]), 3)).tolist() == [[True, True, False]]
    other = LEFT + RIGHT
    assert panel.first_of(np.array([other, other + LEFT])).tolist() == [other, other + LEFT]
    assert panel.bar_number(np.array([other + LEFT])).tolist() == [LEFT]


def test_no_cutoff_and_no_training_origin_within_a_month_after_a_hole():
    panel = Panel((halted("A", 1.0),))
    history = panel.histories[0]
    soon, settled = history.dates[LEFT + SETTLED - 1], history.dates[LEFT + SETTLED]
    assert cutoff_rows(panel, np.array([history.dates[LEFT - 1], soon, settled])).tolist() == [LEFT - 1, LEFT + SETTLED]
    fold = Fold("XNYS", 0, history.dates[0], history.dates[-1], history.dates[-1:], 5)
    rows = train_rows(panel, fold, warmup=60)
    gone = [*range(LEFT - 5, LEFT + SETTLED), *range(LEFT + RIGHT - 5, LEFT + RIGHT)]
    assert rows.tolist() == [row for row in range(60, LEFT + RIGHT) if row not in gone]


def test_who_resumed_lately_is_told():
    history = halted("A", 1.0)
    assert unsettled(history) == ""
    cut = history.between(None, history.dates[LEFT + 7])
    assert (
        unsettled(cut) == f"resumed on {history.dates[LEFT]} after a hole, 7 bars before its last; {SETTLED} are needed"
    )
    assert unsettled(history.between(None, history.dates[LEFT - 1])) == ""
    assert unsettled(cut.between(history.dates[LEFT - 3], None)) != ""


def test_the_return_over_a_hole_is_none_and_the_hash_knows():
    one, other = halted("A", 1.0), halted("A", 8.0)
    assert one.log_returns[LEFT - 1] == other.log_returns[LEFT - 1] == 0.0
    assert np.allclose(one.log_returns, other.log_returns, atol=1e-12)
    assert replace(one, resumed=()).sha256 != one.sha256
    assert np.allclose(
        np.sort(shuffled(Panel((one,)), 3).histories[0].log_returns), np.sort(one.log_returns), atol=1e-9
    )


@pytest.mark.parametrize(("missing", "apart"), [(15, False), (16, True)])
def test_a_hole_of_more_than_fifteen_sessions_begins_a_segment(missing, apart):
    days = np.busday_offset("2021-03-01", np.arange(200))  # no holiday among the days left out
    kept = np.r_[:5, 5 + missing : 200]
    history = in_segments(PriceHistory("A", "24/5", days[kept], np.linspace(10, 20, len(kept))))
    assert history.resumed == ((str(days[5 + missing]),) if apart else ())


def test_a_halt_that_was_filled_in_is_a_hole():
    """Closes repeated without volume are no bars; those of a price that merely stands still are."""
    days = np.busday_offset("2021-03-01", np.arange(200))
    close, volume = np.linspace(10, 20, 200), np.full(200, 1e6)
    close[100:120] = close[100]
    volume[101:120] = 0
    history = PriceHistory("A", "24/5", days, close, {"volume": volume})
    found = in_segments(without_halts(history))
    assert found.resumed == (str(days[120]),)
    assert found.dates.tolist() == np.delete(days, slice(101, 120)).tolist()
    (finding,) = found.findings
    assert (finding.name, finding.done, finding.rows) == ("filled day", "dropped", (str(days[101]),))
    volume[110] = 5.0
    assert in_segments(without_halts(replace(history, bars={"volume": volume}))).resumed == ()


def test_a_wild_move_after_a_price_that_stood_still_is_none():
    """Real: +85.9 % after 111 equal closes. A peg that goes on as calmly as before stays one series."""
    days = np.busday_offset("2021-03-01", np.arange(300))
    close = 10 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 300)))
    close[100:211] = close[100]
    for factor, resumed in ((1.859, (str(days[211]),)), (1.0, ())):
        moved = close.copy()
        moved[211:] *= factor * close[210] / close[211]
        assert in_segments(PriceHistory("A", "24/5", days, moved)).resumed == resumed
