"""Bars of Sunday evening join Monday's; flat Saturdays of a currency are filler."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Universe
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.universe import load_ticker

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = ("2021-01-04", "2023-06-30")


def bars(days):
    rng = np.random.default_rng(3)
    close = np.exp(np.cumsum(0.005 * rng.standard_normal(len(days))))
    table = {"Open": close * 1.001, "High": close * 1.004, "Low": close * 0.996, "Close": close}
    return pd.DataFrame(table | {"Volume": rng.integers(1e5, 2e5, len(days))}, index=days).rename_axis("Date")


def read(frame, ticker):
    return load_ticker(FrameSource({ticker: frame}), ticker, Universe(), NOW)


def told(history):
    return [(f.name, f.count, f.done) for f in history.findings]


def test_sunday_evening_joins_monday_and_flat_saturdays_go():
    frame = bars(pd.date_range(*SPAN, freq="D"))
    saturday = frame.index.day_of_week == 5
    frame.loc[saturday, ["Open", "High", "Low", "Close"]] = np.nan
    flat = frame["Close"].ffill()
    for name in ("Open", "High", "Low", "Close"):
        frame[name] = frame[name].fillna(flat)
    frame.loc[saturday, "Volume"] = 0
    frame = frame.drop(pd.Timestamp("2022-06-06"))  # a Monday
    history = read(frame, "EURUSD")
    assert history.calendar == "24/5"
    assert np.is_busday(history.dates).all()
    assert told(history) == [("filled day", int(saturday.sum()), "dropped"), ("Sunday bar", 129, "joined")]
    monday = int(np.flatnonzero(history.dates == np.datetime64("2022-06-13"))[0])
    two = frame.loc["2022-06-12":"2022-06-13"]
    assert history.bars["open"][monday] == two["Open"].iloc[0]
    assert history.bars["high"][monday] == two["High"].max()
    assert history.bars["low"][monday] == two["Low"].min()
    assert history.bars["volume"][monday] == two["Volume"].sum()
    assert history.adj_close[monday] == two["Close"].iloc[1]
    alone = int(np.flatnonzero(history.dates == np.datetime64("2022-06-06"))[0])
    assert history.adj_close[alone] == frame.loc["2022-06-05", "Close"]


@pytest.mark.parametrize("ticker", ["ES=F", "AUDUSD=X"])
def test_sundays_of_a_named_market_join_too(ticker):
    days = pd.date_range(*SPAN, freq="D")
    frame = bars(days[days.day_of_week != 5])
    history = read(frame, ticker)
    assert np.is_busday(history.dates).all()
    assert "Sunday bar" in {name for name, _, _ in told(history)}


def test_sundays_where_no_market_opens_then_are_left(tmp_path):
    days = pd.date_range(*SPAN, freq="D")
    history = read(bars(days), "BTC-USD")
    assert (len(history), told(history)) == (len(days), [])
