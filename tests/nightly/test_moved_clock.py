"""Nights at the edges of the calendar, by a clock that is set: summer time begins and ends, a leap day, a new year."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast
from s2squant.nightly.results import Night
from tests.worlds.nightly_sim import HASTY, Clock, at_close, at_yahoo, cheap, tiny

pytestmark = pytest.mark.slow
Nights = Callable[..., Night]


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    """The night of a day, at a moment of its own where one is given; two models that cost little."""
    spec = cheap(tiny(tmp_path, "AAA", horizon=2), ("historical_simulation", "random_walk"))
    with at_yahoo(tmp_path, monkeypatch) as yahoo:

        def run(day: str, moment: str = "", name: str = "tiny") -> Night:
            yahoo.fixed_today = day
            when = at_close(day)
            clock = Clock(datetime.fromisoformat(moment) if moment else when)
            mine = spec.model_copy(update={"name": name})
            return forecast(mine, scheduled=when, clock=clock, workers=0, fetching=HASTY)

        yield run


def targets(cutoff: str) -> list[str]:
    """The sessions that the live forecasts of a cutoff speak of."""
    record = Ledger().record("tiny")
    return sorted({str(day)[:10] for day in record.loc[record["cutoff"] == pd.Timestamp(cutoff), "ds"]})


@pytest.mark.parametrize(
    ("friday", "monday", "opens"),
    [("2025-03-07", "2025-03-10", "13:30"), ("2025-10-31", "2025-11-03", "14:30")],
)
def test_the_deadline_moves_with_the_exchange_s_clock(night: Nights, friday: str, monday: str, opens: str) -> None:
    """Summer time begins or ends on the Sunday between: one minute before the opening is in time, one after is not."""
    hour, minute = (int(part) for part in opens.split(":"))
    before, after = (f"{monday}T{hour:02}:{minute + by:02}:00+00:00" for by in (-1, 1))
    assert night(friday, after, "late").status == "late"
    assert Ledger().record("late").empty
    assert list(Ledger().gaps("late")["kind"]) == ["late"]
    assert night(friday, before).status == "done"
    assert targets(friday)[0] == monday
    again = night(monday)
    assert (again.status, again.scored) == ("done", 3), "the first step of Friday, of two models and recalibrated"
    assert Ledger().gaps("tiny").empty


def test_a_leap_day_is_a_session_like_others(night: Nights) -> None:
    for day in ("2024-02-28", "2024-02-29", "2024-03-01"):
        assert night(day).status == "done"
    assert targets("2024-02-28") == ["2024-02-29", "2024-03-01"]
    assert targets("2024-02-29") == ["2024-03-01", "2024-03-04"]
    record = Ledger().record("tiny")
    assert set(record.loc[record["y"].notna(), "ds"].astype(str)) == {"2024-02-29", "2024-03-01"}
    assert Ledger().gaps("tiny").empty


def test_a_year_ends_without_a_gap(night: Nights) -> None:
    assert night("2025-12-31").status == "done"
    new_year = night("2026-01-01")
    assert new_year.status == "skipped"
    assert night("2026-01-02").status == "done"
    assert targets("2025-12-31") == ["2026-01-02", "2026-01-05"]
    record = Ledger().record("tiny")
    assert set(record["cutoff"].astype(str)) == {"2025-12-31", "2026-01-02"}
    assert set(record.loc[record["y"].notna(), "ds"].astype(str)) == {"2026-01-02"}
    assert Ledger().gaps("tiny").empty
