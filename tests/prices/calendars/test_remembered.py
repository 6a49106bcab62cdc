"""Sessions kept on disk: the same as worked out, and worked out again where anything differs."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.prices.calendars import exchanges, remembered
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.prices.calendars.remembered import keep_sessions, read_sessions

UNTIL = np.datetime64("2026-11-01", "D")
DAYS = np.array(["1990-01-02", "2001-09-10", "2026-10-30"], "datetime64[D]")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SQUANT_CACHE", str(tmp_path))
    yield tmp_path / "calendars"
    exchange_sessions.cache_clear()


def test_they_come_back_for_the_same_calendar_day_and_versions(monkeypatch):
    keep_sessions("XNYS", UNTIL, DAYS)
    assert (read_sessions("XNYS", UNTIL) == DAYS).all()
    assert read_sessions("XLON", UNTIL) is None
    assert read_sessions("XNYS", UNTIL + 30) is None
    monkeypatch.setattr(remembered, "_versions", lambda: {"exchange_calendars": "0"})
    assert read_sessions("XNYS", UNTIL) is None


def test_a_flipped_bit_anywhere_is_noticed(place):
    keep_sessions("XNYS", UNTIL, DAYS)
    (path,) = place.iterdir()
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        again = read_sessions("XNYS", UNTIL)
        assert again is None or (again == DAYS).all()


def test_an_exchange_is_worked_out_once(monkeypatch, place):
    exchange_sessions.cache_clear()
    first = exchange_sessions("XNYS")
    exchange_sessions.cache_clear()
    monkeypatch.setattr(exchanges, "find_exchange", lambda _: pytest.fail("it is on the disk"))
    assert (exchange_sessions("XNYS") == first).all()
    (path,) = place.iterdir()
    path.write_text("{}")
    exchange_sessions.cache_clear()
    monkeypatch.undo()
    assert (exchange_sessions("XNYS") == first).all()


@pytest.mark.parametrize("folder", ["", "/dev/null/none"])
def test_without_a_folder_nothing_is_kept_and_nothing_fails(monkeypatch, folder):
    monkeypatch.setenv("S2SQUANT_CACHE", folder)
    keep_sessions("XNYS", UNTIL, DAYS)
    assert read_sessions("XNYS", UNTIL) is None
