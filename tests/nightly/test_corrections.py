"""Outcomes on prices that the source corrected or told late: what is entered beside them, and what stays as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from s2squant.evaluation.diagnostics import read_off
from s2squant.forecasters.recalibration import recalibrated
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast, open_night
from s2squant.nightly.outcomes import TOLERANCE
from s2squant.nightly.replay import replay
from s2squant.nightly.results import Night
from s2squant.prices.calendars.exchanges import sessions_between
from s2squant.prices.fetch import FetchRequest, open_refresher
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from tests.worlds import nightly_sim
from tests.worlds.nightly_sim import HASTY, Clock, at_close, at_yahoo, cheap, tiny


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


class Desk(nightly_sim.Desk):
    """A nightly of cheap models, and what its ledger says of outcomes."""

    def rows(self, ticker: str, cutoff: str, known_by: datetime | None = None) -> pd.DataFrame:
        """The anchor's, by step."""
        record = self.ledger.record(self.spec.name, models=["anchor"], known_by=known_by)
        return record[(record["unique_id"] == ticker) & (record["cutoff"] == cutoff)].set_index("step")

    def events(self, kind: str) -> list[tuple[str, str, str]]:
        events = self.ledger.events(self.spec.name)
        return [(str(e.session), e.ticker, e.text) for e in events.itertuples() if e.kind == kind]

    def corrected(self) -> int:
        with self.ledger.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM corrections")).scalar_one())

    def truth(self, ticker: str, cutoff: str, target: str, factor: float = 1.0) -> float:
        """By the prices that Yahoo has now; `factor` adjusts the cutoff's."""
        stock = self.yahoo.stock(ticker)
        then, now = (float(np.float32(stock.close[stock.days == day(d)][0])) for d in (cutoff, target))
        return math.log(now / (then * factor))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    spec = cheap(tiny(tmp_path, "AAA", "BBB", "CCC"))
    universe = spec.experiment.universe.model_copy(update={"accept": ("unadjusted split",)})  # the checks see it first
    experiment = spec.experiment.model_copy(update={"universe": universe})
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        yield Desk(tmp_path, yahoo, spec.model_copy(update={"experiment": experiment}))


def split_untold(desk: Desk, ticker: str, on: str, ratio: float) -> None:
    """Let a stock trade at a new price from a day on, and nobody say why yet."""
    stock = desk.yahoo.stock(ticker)
    stock.close = np.where(stock.days >= day(on), stock.close / ratio, stock.close)


def two_nights_with_events_untold(desk: Desk) -> list[Night]:
    """On the second day AAA pays 3 % and BBB is split 3:2; neither is told."""
    for ticker in ("AAA", "BBB", "CCC"):
        desk.yahoo.stock(ticker)
    first = desk.night("2025-11-18")
    split_untold(desk, "BBB", "2025-11-19", 1.5)
    return [first, desk.night("2025-11-19")]


def told_late(desk: Desk) -> None:
    stock = desk.yahoo.stock("AAA")
    stock.dividends[day("2025-11-19")] = 0.03 * float(np.float32(stock.close[stock.days == day("2025-11-18")][0]))
    desk.yahoo.stock("BBB").splits[day("2025-11-19")] = 1.5


@pytest.mark.slow
def test_a_split_and_a_dividend_told_a_day_late_correct_the_outcome(desk: Desk) -> None:
    _, second = two_nights_with_events_untold(desk)
    first = {ticker: desk.rows(ticker, "2025-11-18").loc[1, "y"] for ticker in ("AAA", "BBB", "CCC")}
    assert first["BBB"] == pytest.approx(desk.truth("BBB", "2025-11-18", "2025-11-19", 1.0), abs=1e-6)
    assert first["BBB"] < -0.4, "the price fell by a third"
    told_late(desk)
    desk.night("2025-11-20")
    for ticker, factor in (("AAA", 0.97), ("BBB", 1 / 1.5)):
        rows = desk.rows(ticker, "2025-11-18")
        for step, target in ((1, "2025-11-19"), (2, "2025-11-20")):
            assert rows.loc[step, "y"] == pytest.approx(desk.truth(ticker, "2025-11-18", target, factor), abs=1e-6)
        assert list(rows["correction"]) == [1, 0, 0, 0, 0]
        known = rows[rows["y"].notna()]
        quantiles = known[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
        assert known["crps"].to_numpy() == pytest.approx(quantile_crps(known["y"].to_numpy(), quantiles))
        assert known["pit"].to_numpy() == pytest.approx(read_off(known["y"].to_numpy(), list(quantiles.T)).pit)
        then = desk.rows(ticker, "2025-11-18", known_by=second.finished_at)
        assert then.loc[1, "y"] == first[ticker], "what was known that night can be read again"
    assert desk.rows("CCC", "2025-11-18").loc[1, "y"] == first["CCC"]
    assert desk.corrected() == 2 * 3, "two tickers, two models and the recalibrated row"
    assert [(s, t, told.partition(";")[0]) for s, t, told in desk.events("rescored")] == [
        ("2025-11-20", ticker, "3 outcomes of 2025-11-19 valued again on changed prices") for ticker in ("AAA", "BBB")
    ]
    assert {(t, told.partition(" on ")[2]) for _, t, told in desk.events("revised")} == {
        ("AAA", "2025-11-19"),
        ("BBB", "2025-11-19"),
    }
    assert {told.partition(":")[0] for _, _, told in desk.events("revised")} == {"late dividend", "late split"}
    desk.night("2025-11-21")
    assert desk.corrected() == 6, "once is enough"


def test_a_split_and_a_dividend_in_time_are_no_events(desk: Desk) -> None:
    for ticker in ("AAA", "BBB", "CCC"):
        desk.yahoo.stock(ticker)
    desk.night("2025-11-18")
    split_untold(desk, "BBB", "2025-11-19", 1.5)
    told_late(desk)  # in time, this once
    desk.night("2025-11-19")
    desk.night("2025-11-20")
    assert desk.rows("BBB", "2025-11-18").loc[1, "y"] == pytest.approx(
        desk.truth("BBB", "2025-11-18", "2025-11-19", 1 / 1.5), abs=1e-6
    )
    assert (desk.corrected(), desk.events("rescored"), desk.events("revised")) == (0, [], [])


@pytest.mark.slow
def test_a_corrected_close_moves_what_it_is_the_target_of_and_not_what_was_issued_from_it(desk: Desk) -> None:
    desk.spec = cheap(tiny(desk.root, "AAA"))
    for today in ("2025-11-18", "2025-11-19", "2025-11-20"):
        desk.night(today)
    before = desk.rows("AAA", "2025-11-19")
    stock = desk.yahoo.stock("AAA")
    stock.close = np.where(stock.days == day("2025-11-19"), stock.close * 1.02, stock.close)
    desk.night("2025-11-21")
    rows = desk.rows("AAA", "2025-11-18")
    assert rows.loc[1, "y"] == pytest.approx(desk.truth("AAA", "2025-11-18", "2025-11-19"), abs=1e-6)
    assert list(rows["correction"]) == [1, 0, 0, 0, 0]
    after = desk.rows("AAA", "2025-11-19")
    assert after.loc[1, "y"] == before.loc[1, "y"], "the issued close is the basis"
    assert (after["correction"] == 0).all()


@pytest.mark.slow
def test_a_change_that_another_program_stored_is_found_too(desk: Desk) -> None:
    two_nights_with_events_untold(desk)
    told_late(desk)
    universe = desk.spec.experiment.universe
    request = FetchRequest(tickers=universe.tickers, store=Path(universe.store), spec=HASTY, anew=True)
    refresher, tickers = open_refresher(request, clock=Clock(at_close("2025-11-19", 5)))
    assert {u.status for u in refresher.update_all(tickers, anew=True)} == {"updated", "unchanged"}
    desk.night("2025-11-20")
    assert desk.corrected() == 6
    assert desk.rows("BBB", "2025-11-18").loc[1, "y"] == pytest.approx(
        desk.truth("BBB", "2025-11-18", "2025-11-19", 1 / 1.5), abs=1e-6
    )


@pytest.mark.slow
def test_a_session_told_two_days_late_is_waited_for(desk: Desk) -> None:
    desk.spec = cheap(tiny(desk.root, "AAA"))
    desk.night("2025-11-18")
    desk.yahoo.stock("AAA").hidden.add(day("2025-11-19"))
    for today in ("2025-11-19", "2025-11-20"):
        desk.night(today)
        assert math.isnan(desk.rows("AAA", "2025-11-18").loc[1, "y"])
    assert desk.rows("AAA", "2025-11-18").loc[2, "y"] == pytest.approx(
        desk.truth("AAA", "2025-11-18", "2025-11-20"), abs=1e-6
    )
    desk.yahoo.stock("AAA").hidden.clear()
    desk.night("2025-11-21")
    rows = desk.rows("AAA", "2025-11-18")
    assert rows.loc[1, "y"] == pytest.approx(desk.truth("AAA", "2025-11-18", "2025-11-19"), abs=1e-6)
    assert desk.corrected() == 0


@pytest.mark.slow
def test_a_session_told_after_it_was_given_up_corrects_the_outcome(desk: Desk) -> None:
    desk.spec = cheap(tiny(desk.root, "AAA"))
    desk.night("2025-11-18")
    desk.yahoo.stock("AAA").hidden.add(day("2025-11-19"))
    for today in ("2025-11-19", "2025-11-20", "2025-11-21"):
        desk.night(today)
        assert math.isnan(desk.rows("AAA", "2025-11-18").loc[1, "y"])
    desk.night("2025-11-24")  # three sessions have passed over it
    assert desk.rows("AAA", "2025-11-18").loc[1, "y"] == 0.0
    desk.yahoo.stock("AAA").hidden.clear()
    desk.night("2025-11-25")
    rows = desk.rows("AAA", "2025-11-18")
    assert rows.loc[1, "y"] == pytest.approx(desk.truth("AAA", "2025-11-18", "2025-11-19"), abs=1e-6)
    assert list(rows["correction"]) == [1, 0, 0, 0, 0]


@pytest.mark.slow
def test_nights_before_a_correction_are_recomputed_bit_by_bit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(forecasts: pd.DataFrame, *given: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """A recalibration that learns from the first outcome on."""
        rows, decided = recalibrated(forecasts, *given)
        columns = list(QUANTILE_COLUMNS)
        return rows.assign(**(rows[columns] + np.float32(rows["y"].sum()))), decided

    monkeypatch.setattr("s2squant.nightly.compose.recalibrated", hasty)
    nights = two_nights_with_events_untold(desk)
    told_late(desk)
    nights.append(desk.night("2025-11-20"))
    assert desk.corrected()
    nights.append(desk.night("2025-11-21"))
    for night in nights:
        found = replay(night.run_id, desk.ledger)
        assert found.identical, (found.different, found.problems)
    real = Ledger.record

    def newest(self: Ledger, nightly: str, **given: Any) -> pd.DataFrame:
        return real(self, nightly, **{k: v for k, v in given.items() if k != "known_by"})

    monkeypatch.setattr(Ledger, "record", newest)
    assert replay(nights[1].run_id, desk.ledger).different, "its recalibration had learnt from the wrong outcome"


class _Killed(BaseException):
    """Stands for a process that ends there."""


@pytest.mark.slow
def test_a_killed_night_goes_on_with_the_outcomes_it_had(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    two_nights_with_events_untold(desk)
    told_late(desk)
    desk.yahoo.fixed_today = "2025-11-20"
    when, given = at_close("2025-11-20"), {"workers": 0, "fetching": HASTY}
    issue, count = Ledger.issue, []

    def dies(*arguments: Any, **named: Any) -> Any:
        count.append(1)
        if len(count) == 2:
            raise _Killed
        return issue(*arguments, **named)

    with monkeypatch.context() as killing:
        killing.setattr(Ledger, "issue", dies)
        with pytest.raises(_Killed), open_night(desk.spec, scheduled=when, clock=Clock(when), **given) as run:  # noqa: PT012
            list(run.execute_stages())
            run.finish()
    assert desk.corrected() == 6
    changed = desk.ledger.scored(desk.spec.name, "CCC", when.date() - timedelta(days=60), "9999")
    facts = {"crps": 0.1, "pit": 0.999, "close": 1.0, "prices_sha256": "", "prices_at": "9998"}
    later = [{"forecast_id": int(k), "y": 0.5, "number": 1, **facts} for k in changed["id"]]
    assert desk.ledger.correct(later, run.folder.name, at=when + timedelta(minutes=30)) == len(later) > 0
    night = forecast(desk.spec, scheduled=when, clock=Clock(when + timedelta(hours=1)), **given)
    assert night.status == "done"
    everything = desk.ledger.record(desk.spec.name, live=False)
    assert (everything["reissue"] == 0).all()
    assert replay(night.run_id, desk.ledger).identical
    assert len(desk.events("rescored")) == 2


class Folder:
    """A csv folder of one ticker whose adjusted closes are rewritten with every dividend."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.path = folder
        folder.mkdir()
        self.days = sessions_between("XNYS", "2021-01-04", "2025-12-31")
        walk = np.cumsum(0.01 * np.random.default_rng(seed).standard_normal(len(self.days)))
        self.raw = 130 * np.exp(0.25 * np.tanh(walk / 0.25))  # never below 100
        self.paid: dict[str, float] = {}

    def at(self, today: str) -> int:
        return int(np.searchsorted(self.days, day(today)))

    def write(self, today: str, *, close: bool = False, form: str = "%.10g") -> None:
        """What is known on a day: adjusted for the dividends, shares of the price, paid by then."""
        factor = np.ones(len(self.days))
        for on, share in self.paid.items():
            if on <= today:
                factor[: self.at(on)] *= 1 - share
        columns = {"Date": self.days.astype(str), "Adj Close": self.raw * factor} | (
            {"Close": self.raw} if close else {}
        )
        table = pd.DataFrame(columns)[: self.at(today) + 1]
        table.to_csv(self.path / "AAA.csv", index=False, float_format=form)

    def truth(self, cutoff: str, target: str) -> float:
        paid = sum(math.log(1 - share) for on, share in self.paid.items() if cutoff < on <= target)
        return math.log(self.raw[self.at(target)] / self.raw[self.at(cutoff)]) - paid


@pytest.mark.slow
@pytest.mark.parametrize("close", [False, True])
def test_dividends_count_where_a_source_has_adjusted_closes_alone(desk: Desk, tmp_path: Path, close: bool) -> None:
    folder = Folder(tmp_path / "csv")
    folder.paid = {"2025-11-19": 0.015, "2025-11-21": 0.01}
    desk.spec = cheap(tiny(tmp_path, "AAA", source=f"csv:{folder.path}"))
    days = ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21", "2025-11-24")
    for today in days:
        folder.write(today, close=close)
        assert desk.night(today).status == "done"
    for i, cutoff in enumerate(days[:-1]):
        rows = desk.rows("AAA", cutoff)
        for step, target in enumerate(days[i + 1 :], start=1):
            assert rows.loc[step, "y"] == pytest.approx(folder.truth(cutoff, target), abs=1e-8)
            issued = folder.raw[folder.at(cutoff)]
            assert rows.loc[step, "close"] == pytest.approx(issued)
    assert desk.corrected() == 0


@pytest.mark.slow
def test_closes_rounded_to_the_cent_are_no_reason_to_correct(desk: Desk, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "csv")
    folder.paid = {"2025-11-19": 0.004, "2025-11-21": 0.003, "2025-11-25": 0.002}
    desk.spec = cheap(tiny(tmp_path, "AAA", source=f"csv:{folder.path}"))
    for today in ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21", "2025-11-24", "2025-11-25"):
        folder.write(today, form="%.2f")
        assert desk.night(today).status == "done"
    assert desk.rows("AAA", "2025-11-18").loc[1, "y"] == pytest.approx(
        folder.truth("2025-11-18", "2025-11-19"), abs=TOLERANCE
    )
    assert desk.corrected() == 0
