"""What differs between kept and new bars, and the name it is given."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.errors import BadPricesError
from s2squant.prices.store.bars import Bars, columns_of
from s2squant.prices.store.revisions import revise


def bars(close, first=0, **columns):
    close = np.asarray(close, float)
    at = (np.arange(len(close)) + first).astype("datetime64[D]")
    return Bars(at, columns_of({"close": close, "volume": np.full(len(close), 1e6), **columns}, len(close)))


KEPT = bars(np.linspace(50, 60, 40))


def changed(columns, first=0, count=40):
    values = {name: KEPT.columns[name][first : first + count].copy() for name in KEPT.columns}
    for name, (rows, new) in columns.items():
        values[name][rows] = new
    return Bars(KEPT.times[first : first + count], values)


def reasons(revision):
    return [(change.reason, change.rows) for change in revision.changes]


def test_equal_bars_change_nothing():
    revision = revise("A", KEPT, KEPT.where(np.arange(20, 40)))
    assert revision.bars.sha256 == KEPT.sha256
    assert (revision.changes, revision.added, revision.withheld, revision.reaches_back) == ((), 0, 0, False)


def test_noise_of_32_bit_floats_is_no_revision():
    noisy = Bars(KEPT.times, {n: np.float32(v).astype(float) for n, v in KEPT.columns.items()})
    assert revise("A", KEPT, noisy).bars.sha256 == KEPT.sha256


def test_each_reason():
    new = changed({"dividends": (18, 0.5)}, first=20, count=20)
    assert reasons(revise("A", KEPT, new)) == [("dividend", 38)]
    new = changed({"splits": (19, 2.0)}, first=20, count=20)
    assert reasons(revise("A", KEPT, new)) == [("split", 39)]
    new = changed({"close": (19, 61.0), "volume": (18, 5.0)}, first=20, count=20)
    revision = revise("A", KEPT, new)
    assert reasons(revision) == [("vendor revision", 2)]
    assert revision.changes[0].what == "close, volume of 1970-02-08, 1970-02-09"
    holed = KEPT.where(np.arange(40) != 35)
    assert reasons(revise("A", holed, KEPT)) == [("late session", 1)]
    assert reasons(revise("A", KEPT.where(np.arange(10, 40)), KEPT)) == [("earlier history", 10)]


def test_events_told_late_are_told_apart_from_those_of_a_new_bar():
    longer = bars([*np.linspace(50, 60, 40).tolist(), 60.0], dividends=np.eye(41)[38] * 0.5 + np.eye(41)[40] * 0.2)
    late, fresh = revise("A", KEPT, longer).changes
    assert (late.what, late.rows, fresh.what, fresh.rows) == ("0.5 on 1970-02-08", 38, "0.2 on 1970-02-10", 40)
    last = "1970-02-09"
    assert (late.rewrites(last), fresh.rewrites(last)) == (True, False)


@pytest.mark.parametrize(
    ("new", "rewrites"),
    [
        (changed({"close": (19, 61.0)}), True),
        (changed({"volume": (18, 5.0)}), False),
        (changed({"volume": (18, 5.0), "close": (17, 61.0)}), True),
        (changed({"adj_close": (slice(None), 1.0)}), True),
        (changed({"splits": (19, 2.0)}), True),
    ],
)
def test_what_may_change_an_earlier_return(new, rewrites):
    assert [change.rewrites("1970-02-09") for change in revise("A", KEPT, new).changes] == [rewrites]


def test_a_late_session_may_change_an_earlier_return_and_earlier_history_not():
    (late,) = revise("A", KEPT.where(np.arange(40) != 35), KEPT).changes
    (early,) = revise("A", KEPT.where(np.arange(10, 40)), KEPT).changes
    assert (late.rewrites("1970-02-09"), early.rewrites("1970-02-09")) == (True, False)


def test_a_value_that_was_unknown_is_a_revision_and_one_that_is_no_more_too():
    new = changed({"volume": (5, np.nan)})
    revision = revise("A", KEPT, new)
    assert reasons(revision) == [("vendor revision", 1)]
    assert np.isnan(revision.bars.columns["volume"][5])
    assert reasons(revise("A", revision.bars, KEPT)) == [("vendor revision", 1)]


def test_differences_in_the_older_half_of_the_overlap_reach_back():
    assert revise("A", KEPT, changed({"close": (2, 1.0)}, first=20, count=20)).reaches_back
    assert not revise("A", KEPT, changed({"close": (15, 1.0)}, first=20, count=20)).reaches_back
    assert not revise("A", KEPT, changed({"close": (2, 1.0)})).reaches_back  # the whole history already


@pytest.mark.parametrize("factor", [100.0, 0.01, 4.0, 0.25, 1.05])
def test_a_common_factor_is_refused(factor):
    new = changed({"close": (slice(0, 15), KEPT.close[20:35] * factor)}, first=20, count=20)
    with pytest.raises(BadPricesError, match="times as large, and no split says so"):
        revise("A", KEPT, new)
    accepted = revise("A", KEPT, new, accept=True)
    assert reasons(accepted) == [("vendor revision", 15)]


def test_scattered_corrections_are_taken():
    new = changed({"close": ([3, 8, 12], [50.0, 70.0, 61.0])})
    assert reasons(revise("A", KEPT, new)) == [("vendor revision", 3)]


def test_kept_bars_that_are_not_told_any_more_stay():
    revision = revise("A", KEPT, KEPT.where(np.r_[20:30, 32:40]))
    assert (revision.withheld, len(revision.bars), revision.bars.sha256) == (2, 40, KEPT.sha256)


def test_many_events_are_listed_shortly():
    dividends = np.where(np.arange(40) % 2, 0.1, 0.0)
    (change,) = revise("A", KEPT, bars(np.linspace(50, 60, 40), dividends=dividends)).changes
    assert change.what.endswith(" and 10 earlier")
    assert change.rows == 39
