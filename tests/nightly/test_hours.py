"""The nightly by bars of an hour, on a clock that is set: summer time, half day, gaps, scores, replay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError
from s2squant.nightly.night import open_night
from s2squant.nightly.operation.status import standing
from s2squant.nightly.replay import replay
from tests.worlds.hours import HourlyDesk, hourly, instant, price_of, write_hours
from tests.worlds.nightly_sim import Desk, at_yahoo, cheap, tiny

TICKERS = ("AAA", "BBB")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HourlyDesk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    return HourlyDesk(tmp_path, hourly(tmp_path, *TICKERS))


@pytest.mark.slow
def test_hours_are_issued_scored_and_replayed_across_a_change_of_the_clock(desk: HourlyDesk) -> None:
    friday = desk.night("2025-10-31 20:03")  # New York closed at 20:00 UTC
    assert friday.status == "done"
    assert friday.markets[0].session == "2025-10-31T19:30:00"
    assert friday.markets[0].deadline == datetime(2025, 11, 3, 14, 30, tzinfo=UTC), "the opening after the weekend"
    rows = desk.live
    assert set(rows["cutoff"]) == {pd.Timestamp("2025-10-31 19:30")}
    steps = rows[(rows["unique_id"] == "AAA") & (rows["model"] == "anchor")]
    assert list(steps["ds"].astype(str))[:2] == ["2025-11-03 14:30:00", "2025-11-03 15:30:00"], "winter time"
    assert len(steps) == 8
    assert desk.night("2025-10-31 21:00").status == "skipped"
    weekend = desk.night("2025-11-01 15:00")
    assert weekend.status == "skipped"
    assert "closed on 2025-11-01" in weekend.message

    monday = desk.night("2025-11-03 15:33")
    assert (monday.status, monday.scored) == ("done", 2 * 3)  # two tickers; two models and the recalibrated one
    assert (monday.markets[0].trained, monday.markets[0].age) == ("2025-10-31T19:30:00", 1), "bars since the fit"
    known = desk.live[lambda t: t["y"].notna() & (t["unique_id"] == "AAA") & (t["model"] == "anchor")]
    close = price_of("AAA")
    came = math.log(close["2025-11-03 14:30"] / close["2025-10-31 19:30"])
    assert known["y"].to_numpy() == pytest.approx([came])
    again = desk.night("2025-11-03 15:40")
    assert (again.status, len(desk.live)) == ("skipped", 2 * len(rows))

    late = desk.night("2025-11-03 17:50", scheduled="2025-11-03 16:33")
    assert (late.status, late.issued) == ("late", 0), "a quarter of an hour after 16:30 is 16:45"
    gaps = desk.ledger.gaps("hours")
    assert {(g.ticker, str(g.cutoff), g.kind) for g in gaps.itertuples()} == {
        (ticker, "2025-11-03 15:30:00", "late") for ticker in TICKERS
    }
    next_one = desk.night("2025-11-03 19:33")
    assert next_one.status == "done"
    missed = desk.ledger.gaps("hours")
    assert set(missed.loc[missed["kind"] == "missed", "cutoff"].astype(str)) == {
        "2025-11-03 16:30:00",
        "2025-11-03 17:30:00",
    }
    page = (desk.root / "reports" / "hours" / next_one.run_id / "index.html").read_text()
    assert "2025-11-03 13:30" in page, "the exchange's clock"
    assert "New York time" in page
    assert replay(next_one.run_id, desk.ledger).identical
    assert desk.ledger.verify()[0] == ()
    market = standing(instant("2025-11-03 20:15")).nightlies[0]
    assert (market.last_issued, market.due) == (
        {"1h:XNYS": "2025-11-03T18:30:00"},
        {"1h:XNYS": "2025-11-03T18:30:00"},
    )


@pytest.mark.slow
def test_a_half_day_s_last_bar_is_forecast_from_until_the_next_opening(desk: HourlyDesk) -> None:
    night = desk.night("2025-11-28 18:33")  # the market closed at 13:00 in New York; the schedule's next hour
    assert night.status == "done"
    assert night.markets[0].session == "2025-11-28T17:30:00"
    assert str(desk.live["ds"].min()) == "2025-12-01 14:30:00"


@pytest.mark.slow
def test_a_record_of_days_is_not_gone_on_with_in_hours(desk: HourlyDesk) -> None:
    desk.night("2025-11-03 15:33")
    universe = desk.spec.experiment.universe.model_copy(update={"interval": "1d"})
    days = desk.spec.model_copy(update={"experiment": desk.spec.experiment.model_copy(update={"universe": universe})})
    with pytest.raises(
        ConfigError, match="the ledger holds forecasts of 1h bars under hours; give those of 1d another"
    ):
        open_night(days, scheduled=instant("2025-11-03 22:00"), clock=lambda: instant("2025-11-03 22:00"), workers=0)


@pytest.mark.slow
def test_a_week_is_forecast_from_its_last_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        yahoo.years = 9
        told = cheap(tiny(tmp_path, "AAA", horizon=2)).experiment.model_dump(mode="json")
        told["universe"]["interval"], told["walk"]["min_train"] = "1wk", 300
        told["forecasters"]["anchor"]["warmup"] = 100
        spec = Nightly(name="weeks", experiment=make_experiment(told), models=str(tmp_path / "models"))
        desk = Desk(tmp_path, yahoo, spec)
        friday = desk.night("2025-11-21")
        assert (friday.status, friday.markets[0].market) == ("done", "weekly:XNYS")
        assert friday.markets[0].deadline == datetime(2025, 11, 24, 14, 30, tzinfo=UTC), "Monday's opening"
        assert sorted(desk.live()["ds"].unique().astype(str)) == ["2025-11-28", "2025-12-05"]
        assert desk.night("2025-11-25").status == "skipped"
        half_day = desk.night("2025-11-28")
        assert (half_day.status, half_day.scored) == ("done", 3)
        stock = yahoo.stock("AAA")
        close = dict(zip(stock.days.astype(str), np.float32(stock.close).astype(float), strict=True))
        known = desk.live()[lambda t: t["y"].notna()]["y"].to_numpy()
        assert known == pytest.approx(math.log(close["2025-11-28"] / close["2025-11-21"]), abs=1e-6)
        assert replay(half_day.run_id, desk.ledger).identical


def test_files_of_an_hourly_desk_hold_what_has_ended(tmp_path: Path) -> None:
    write_hours(tmp_path / "hours", ("AAA",), "2025-11-03 15:33")
    last = pd.read_csv(tmp_path / "hours" / "AAA.csv")["Datetime"].iloc[-1]
    assert np.datetime64(last[:19]) == np.datetime64("2025-11-03T14:30:00")
