"""Days that only filler has are dropped and told, and the calendar is that of the others."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.checks.every import check
from s2squant.prices.checks.filler import without_filler
from s2squant.prices.universe import load_ticker, open_source
from tests.prices.checks.test_checks import made, walk

SESSIONS = next_sessions("XNYS", "2022-09-13", 700)


def filled(every, volume):
    """Sessions of New York, and the last close on every other day; its volume is the last one's, 0 or unknown."""
    columns = {name: np.round(values, 2) for name, values in walk(700, sd=0.01).items()}
    last = np.searchsorted(SESSIONS, every, side="right") - 1
    columns = {name: values[last] for name, values in columns.items()}
    closed = ~np.isin(every, SESSIONS)
    if volume == "none":
        del columns["volume"]
    elif volume == "zero":
        columns["volume"][closed] = 0.0
    calendar = guess_calendar("FILLED", every)
    return made(columns["close"], every, "FILLED", calendar, **columns)


@pytest.mark.parametrize("volume", ["same", "zero", "none"])
@pytest.mark.parametrize("days", ["weekdays", "all days"])
def test_a_stock_filled_to_every_day_is_of_its_exchange(days, volume):
    every = np.arange(SESSIONS[0], SESSIONS[-1] + 1)
    if days == "weekdays":
        every = every[np.is_busday(every)]
    history = without_filler(filled(every, volume))
    assert history.calendar == "XNYS"
    assert history.dates.tolist() == SESSIONS.tolist()
    (finding,) = history.findings
    assert (finding.name, finding.severity, finding.done) == ("filled day", "warning", "dropped")
    assert finding.count == len(every) - len(SESSIONS)
    assert check(history) == ()


def test_what_trades_every_day_is_left_alone():
    every = np.arange(SESSIONS[0], SESSIONS[0] + 700)
    coin = made(np.round(walk(700)["close"], 1), every, "COIN-USD", "24/7")
    assert without_filler(coin) is coin
    prices = walk(700, sd=0.005)["close"]
    prices[100:130] = prices[100]
    halted = made(prices, SESSIONS, "HALTED", "XNYS")
    assert without_filler(halted) is halted


def test_a_folder_is_read_without_filler(tmp_path):
    every = np.arange(SESSIONS[0], SESSIONS[-1] + 1)
    history = filled(every, "none")
    rows = "".join(f"{day},{price}\n" for day, price in zip(history.dates, history.adj_close, strict=True))
    (tmp_path / "FILLED.csv").write_text("Date,Close\n" + rows)
    source = open_source(f"csv:{tmp_path}")
    assert load_ticker(source, "FILLED", Universe()).calendar == "XNYS"
    kept = load_ticker(source, "FILLED", Universe(calendars={"FILLED": "24/7"}))
    assert (kept.calendar, len(kept)) == ("24/7", len(every))
