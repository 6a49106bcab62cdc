"""The long table: every row's dates, step and outcome from the prices, whatever the ticker is called."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, Forecast
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import KEYS, rounded, to_frame
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS
from tests.worlds.synthetic import business_days

DAYS = business_days(60)
H = 4


def history(ticker, days, seed=0):
    steps = np.random.default_rng(seed).normal(0, 0.01, len(days))
    return PriceHistory(ticker, "XNYS", days, 50 * np.exp(np.cumsum(steps)))


def forecast(rows, name="m", horizon=H):
    """Every number tells its origin, step and level."""
    quantiles = np.arange(len(rows))[:, None, None] + np.arange(horizon)[:, None] / 10 + LEVELS / 1000
    return Forecast(name, np.asarray(rows), quantiles, quantiles.mean(axis=2))


def sessions(panel):
    return {h.ticker: np.busday_offset(h.dates[-1], np.arange(1, H + 3)) for h in panel.histories}


def table(panel, rows):
    return to_frame(panel, forecast(rows), sessions(panel))


@pytest.fixture
def panel():
    """A trades on, D was delisted half-way, H was halted for ten days."""
    return Panel((history("A", DAYS, 1), history("D", DAYS[:30], 2), history("H", np.delete(DAYS, np.s_[20:30]), 3)))


def test_columns_types_and_order(panel):
    frame = table(panel, [10, 70])
    assert list(frame.columns) == ["model", "unique_id", "cutoff", "ds", "step", "y", "mean", *ALL_COLUMNS]
    assert len(QUANTILE_COLUMNS) == 39
    assert list(ALL_COLUMNS) == ["q0.005", "q0.010", *QUANTILE_COLUMNS, "q0.990", "q0.995"]
    assert (QUANTILE_COLUMNS[0], QUANTILE_COLUMNS[-1]) == ("q0.025", "q0.975")
    assert len(frame) == 2 * H
    assert list(frame["step"]) == [1, 2, 3, 4] * 2
    assert frame["y"].dtype == np.float64
    assert {str(frame[q].dtype) for q in QUANTILE_COLUMNS} == {"float32"}
    assert set(frame["model"]) == {"m"}
    assert not frame.duplicated(KEYS).any()


def test_every_row_says_what_the_prices_say(panel):
    frame = table(panel, [10, 56, 60, 75, 85, 100, 139])
    for row in frame.itertuples(index=False):
        h = panel.histories[panel.tickers.index(row.unique_id)]
        at = int(np.searchsorted(h.dates, np.datetime64(row.cutoff, "D")))
        assert h.dates[at] == np.datetime64(row.cutoff, "D")
        if at + row.step < len(h):
            assert np.datetime64(row.ds, "D") == h.dates[at + row.step]
            assert row.y == pytest.approx(np.log(h.adj_close[at + row.step] / h.adj_close[at]), abs=1e-12)
        else:
            assert np.isnan(row.y)
            assert np.datetime64(row.ds, "D") == np.busday_offset(h.dates[-1], at + row.step - len(h) + 1)
    assert frame["y"].isna().sum() == 1 + H  # the last step from A's bar 56, and all from the last bar of H


def test_the_last_bar_looks_into_the_sessions_to_come(panel):
    frame = table(panel, [59, 89, 139])
    assert list(frame["unique_id"]) == ["A"] * H + ["D"] * H + ["H"] * H
    assert frame["y"].isna().all()
    np.testing.assert_array_equal(
        frame["ds"].to_numpy("datetime64[D]")[:H], np.busday_offset(DAYS[59], np.arange(1, H + 1))
    )
    # the delisted ticker's own next sessions, not the bars that other tickers went on to have
    np.testing.assert_array_equal(
        frame["ds"].to_numpy("datetime64[D]")[H : 2 * H], np.busday_offset(DAYS[29], np.arange(1, H + 1))
    )


def test_known_and_open_steps_of_one_origin(panel):
    frame = table(panel, [57])  # bars 58 and 59 are known
    assert list(frame["y"].isna()) == [False, False, True, True]
    np.testing.assert_array_equal(
        frame["ds"].to_numpy("datetime64[D]"), np.r_[DAYS[58:60], np.busday_offset(DAYS[59], [1, 2])]
    )


def test_across_a_halt_the_steps_are_the_tickers_own_bars(panel):
    first = int(panel.starts[2])
    frame = table(panel, [first + 18])
    np.testing.assert_array_equal(frame["ds"].to_numpy("datetime64[D]"), DAYS[[19, 30, 31, 32]])


def test_quantiles_stay_with_their_origin_step_and_level(panel):
    frame = table(panel, [75, 10])  # rows in any order
    assert list(frame["unique_id"]) == ["D"] * H + ["A"] * H
    values = frame[list(QUANTILE_COLUMNS)].to_numpy()
    expected = np.repeat([0, 1], H)[:, None] + np.tile(np.arange(H) / 10, 2)[:, None] + LEVELS / 1000
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_allclose(frame["mean"], expected.mean(axis=1), rtol=1e-6)
    assert (np.diff(values, axis=1) > 0).all()


@pytest.mark.parametrize("ticker", ["<b>", "../../x", "NaN", "null", "12", "a,b", "Ä 日本", "=cmd()", "%s{0}"])
def test_names_survive_the_table_and_the_file(ticker, tmp_path):
    panel = Panel((history(ticker, DAYS), history("A", DAYS)))
    frame = table(panel, [10, 70])
    frame["unique_id"] = frame["unique_id"].astype("category")
    frame.to_parquet(tmp_path / "f.parquet", index=False)
    back = pd.read_parquet(tmp_path / "f.parquet")
    assert list(back["unique_id"]) == [ticker] * H + ["A"] * H
    assert back["cutoff"].dt.strftime("%Y-%m-%d").iloc[0] == str(DAYS[10])


def test_no_rows_make_an_empty_table_with_the_same_columns(panel):
    empty = to_frame(panel, forecast(np.empty(0, int)), sessions(panel))
    assert list(empty.columns) == list(table(panel, [10]).columns)
    assert len(empty) == 0


def test_rounded_quantiles_stay_in_order_near_and_on_their_grid(panel):
    rng = np.random.default_rng(3)
    rows = table(panel, np.arange(5, 25))
    location, scale = rng.normal(0, 0.01, (len(rows), 1)), np.exp(rng.normal(-4, 1, (len(rows), 1)))
    levels = location + scale * student.ppf(ALL_LEVELS, 4)
    levels[0] = 0.25  # no width: as it is
    levels[1, 3:30] = levels[1, 3]  # equal quantiles
    exact = rows.assign(mean=levels.mean(axis=1).astype(np.float32), **dict(zip(ALL_COLUMNS, levels.T, strict=True)))
    stored = rounded(exact)
    found = stored[list(ALL_COLUMNS)].to_numpy()
    assert found.dtype == np.float32
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[0] == 0.25).all()
    width = (exact["q0.975"] - exact["q0.025"]).to_numpy()[1:]
    unit = 2.0 ** (np.floor(np.log2(width)) - 11)
    assert (found[1:] / unit[:, None] % 1 == 0).all()
    moved = (found[1:] - levels[1:]) / unit[:, None]
    assert np.abs(moved[1:]).max() <= 1.0
    assert np.abs(moved[1:].cumsum(axis=1)).max() < 0.5001  # what one is too high the next is too low
    assert np.abs(stored["mean"] - exact["mean"])[1:].max() <= (unit / 64).max()
    pd.testing.assert_frame_equal(
        stored.drop(columns=["mean", *ALL_COLUMNS]), rows.drop(columns=["mean", *ALL_COLUMNS])
    )
    pd.testing.assert_frame_equal(rounded(exact.iloc[:0]), stored.iloc[:0])
