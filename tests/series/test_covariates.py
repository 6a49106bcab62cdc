"""The covariates of a panel: cut with its bars, known ahead of them, kept by a run's folder."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.runs.covariate_files import about_covariates, covariates_table, with_covariates_of
from s2squant.series.covariates import filled
from s2squant.series.panel import Panel
from tests.worlds.covariates import with_every_kind
from tests.worlds.synthetic import garch_panel


@pytest.fixture(scope="module")
def panel():
    return with_every_kind(garch_panel("AB", 400))


def test_a_panel_without_any_has_none():
    assert garch_panel("A", 300).covariates is None


def test_rows_hold_what_their_ticker_had(panel):
    own, laid = panel.histories[1].covariates, panel.covariates
    rows = panel.rows_of("B")
    assert laid.names == ("fear", "mood", "weekday", "event", "sector", "size")
    assert np.array_equal(laid.past_RP[rows], own.past_TP, equal_nan=True)
    assert np.array_equal(laid.now_RF[rows], own.future_SF[: len(rows)])
    assert np.array_equal(laid.static_MC[1], own.static_C)


def test_the_future_is_known_a_horizon_ahead_also_where_the_panel_ends(panel):
    own, last = panel.histories[0].covariates, len(panel.histories[0]) - 1
    rows = np.array([100, last])
    ahead = panel.covariates.at_steps(rows, 5)
    assert np.array_equal(ahead[0], own.future_SF[101:106])
    assert np.array_equal(ahead[1], own.future_SF[last + 1 : last + 6])
    assert np.isnan(panel.covariates.at_steps(rows, 40)[1, 30:]).all()  # 30 sessions were given
    assert np.isfinite(panel.covariates.at_steps(rows, 40)[0]).all()


def test_cutting_a_panel_changes_nothing_of_what_was_known(panel):
    day = panel.histories[0].dates[200]
    past = panel.until(day)
    rows, mine = np.array([150, 200]), past.only("B")
    assert np.array_equal(past.covariates.at_steps(rows, 20), panel.covariates.at_steps(rows, 20))
    assert len(past.covariates.past_RP) == len(past.log_price)
    assert np.array_equal(mine.covariates.past_RP, past.covariates.past_RP[past.rows_of("B")], equal_nan=True)
    assert np.array_equal(mine.covariates.at_steps(rows, 3), past.covariates.at_steps(rows + 201, 3))


def test_a_halted_session_moves_no_step(panel):
    whole = panel.histories[0]
    keep = np.ones(len(whole), bool)
    keep[101:104] = False
    halted = replace(
        whole, dates=whole.dates[keep], adj_close=whole.adj_close[keep], covariates=whole.covariates.of_bars(keep)
    )
    ahead = Panel((halted,)).covariates.at_steps(np.array([100, 101]), 4)
    assert np.array_equal(ahead[0], whole.covariates.future_SF[101:105])
    assert np.array_equal(ahead[1], whole.covariates.future_SF[105:109])


def test_columns_alone(panel):
    some = panel.covariates.only(["mood", "event", "sector"])
    assert some.names == ("mood", "event", "sector")
    assert np.array_equal(some.at_steps(np.array([9]), 2), panel.covariates.at_steps(np.array([9]), 2)[..., 1:])
    assert panel.covariates.only(["nothing"]) is None
    assert panel.histories[0].covariates.only(["size"]).columns == ((), (), panel.covariates.static[1:])


def test_values_and_mask():
    values, mask = filled(np.array([1.0, np.nan]))
    assert values.tolist() == [1.0, 0.0]
    assert mask.tolist() == [1.0, 0.0]


def test_equal_columns_in_a_panel(panel):
    bare = replace(panel.histories[1], covariates=None)
    with pytest.raises(ValueError, match="same columns"):
        Panel((panel.histories[0], bare)).covariates  # noqa: B018 (a property)


def test_the_hash_covers_them(panel):
    history = panel.histories[0]
    changed = history.covariates.past_TP.copy()
    changed[-1, 0] += 1e-9
    other = replace(history, covariates=replace(history.covariates, past_TP=changed))
    assert len({history.sha256, other.sha256, replace(history, covariates=None).sha256}) == 3


def test_as_a_table_and_back(panel):
    histories = {h.ticker: h for h in panel.histories}
    bare = {t: replace(h, covariates=None) for t, h in histories.items()}
    again = with_covariates_of(bare, covariates_table(histories), about_covariates(histories))
    assert {t: h.sha256 for t, h in again.items()} == {t: h.sha256 for t, h in histories.items()}
