"""What goes wrong around a night: two markets, runs that died half way, wrong times, folders with one name."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

import s2squant.nightly.summary
from s2squant.config.files import recorded_nightly, validated
from s2squant.config.nightly import Nightly, Retraining
from s2squant.errors import CallerError, ConfigError, LedgerError
from s2squant.nightly.jobs import NightInputs, NightJob, perform
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import RUNS
from s2squant.nightly.night import forecast, open_night
from s2squant.nightly.replay import replay
from s2squant.nightly.results import Monitor, Night
from s2squant.nightly.weights import ModelStore
from s2squant.runs.engines.local import WorkerPool
from tests.local_yahoo import LocalYahoo
from tests.worlds import night_process
from tests.worlds.nightly_sim import HASTY, Clock, at_close, at_yahoo, cheap, tiny
from tests.worlds.processes import forkserver


@dataclass
class Desk:
    """A nightly of two quick models on a local Yahoo."""

    root: Path
    yahoo: LocalYahoo

    def spec(
        self, *tickers: str, models: Sequence[str] = ("historical_simulation", "anchor"), **changes: Any
    ) -> Nightly:
        """The last of the models is the recommended one."""
        return cheap(tiny(self.root, *tickers, **changes), models)

    def night(self, spec: Nightly, when: datetime, out: Path | None = None) -> Night:
        self.yahoo.fixed_today = str(when.date())
        clock = Clock(when)
        with open_night(spec, scheduled=when, clock=clock, workers=0, fetching=HASTY, out=out) as run:
            for _ in run.execute_stages():
                pass
            return run.finish()

    def pairs(self, nightly: str = "tiny") -> set[tuple[str, str]]:
        """(ticker, cutoff) of every live forecast."""
        return {(ticker, str(day)) for ticker, day in Ledger().live_cutoffs(nightly)}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_yahoo(tmp_path, monkeypatch, "2025-11-17") as yahoo:
        yield Desk(tmp_path, yahoo)


def hangs_for(given: tuple[NightInputs, str], job: NightJob) -> None:
    """Carry out a night's job; that of one ticker hangs."""
    inputs, ticker = given
    if job.ticker == ticker:
        time.sleep(600)
    perform(inputs, job)


def in_london(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T18:00+00:00")


@pytest.mark.slow
def test_two_markets_each_in_its_evening(desk: Desk) -> None:
    spec = desk.spec("AAA", "VOD.L")
    days = ("2025-11-18", "2025-11-19", "2025-11-20")
    for day in days:
        london = desk.night(spec, in_london(day))
        assert london.status == ("partial" if day == days[0] else "done"), london.message
        shown = {(row.unique_id, str(row.cutoff)[:10]) for row in london.today.itertuples()}
        assert ("VOD.L", day) in shown
        assert len(shown) == len({ticker for ticker, _ in shown}), "one cutoff a ticker: that of its market"
        york = desk.night(spec, at_close(day))
        assert (york.status, york.message) == ("done", "1 of 1 tickers forecast; 1 stands from an earlier run")
        assert {(row.unique_id, str(row.cutoff)[:10]) for row in york.today.itertuples()} == {
            ("AAA", day),
            ("VOD.L", day),
        }
    assert desk.pairs() == {(ticker, day) for ticker in ("AAA", "VOD.L") for day in days}
    runs = Ledger().runs("tiny")
    assert all((Path(run.folder) / "index.html").is_file() for run in runs)


@pytest.mark.slow
def test_an_alarm_in_one_markets_evening_fits_the_others_anew_in_theirs_and_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, real, alarm = desk.spec("AAA", "VOD.L"), s2squant.nightly.track_record.drift.watch, [False]

    def drifting(record: Any, settings: Any, *, model: str, since: Any) -> Monitor:
        told = real(record, settings, model=model, since=since)
        return replace(told, alarmed=alarm[0] and since is None, sentence="it drifts")

    monkeypatch.setattr(s2squant.nightly.summary, "watch", drifting)
    for day in ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21"):
        alarm[0] = day >= "2025-11-20"
        desk.night(spec, in_london(day))
        desk.night(spec, at_close(day))
    models = Ledger().models("tiny")
    fits = models[(models["kind"] == "market") & (models["how"] == "trained")]
    assert {(row.key, str(row.session)) for row in fits.itertuples()} == {
        ("XLON", "2025-11-18"),
        ("XNYS", "2025-11-18"),
        ("XLON", "2025-11-20"),
        ("XNYS", "2025-11-20"),
    }
    events = Ledger().events("tiny")
    assert (events["kind"] == "drift").sum() == 1


@pytest.mark.slow
def test_tickers_that_a_dying_run_left_out_are_gaps(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = desk.spec("AAA", "BBB", "CCC")
    desk.night(spec, at_close("2025-11-18"))
    real, calls = Ledger.issue, [0]

    def full(self: Ledger, *given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise LedgerError("the ledger could not be written")
        return real(self, *given, **named)

    monkeypatch.setattr(Ledger, "issue", full)
    with pytest.raises(LedgerError):
        desk.night(spec, at_close("2025-11-19"))
    monkeypatch.setattr(Ledger, "issue", real)
    wider = desk.spec("AAA", "BBB", "CCC", "NEW")
    night = desk.night(wider, at_close("2025-11-20"))
    assert night.status == "done"
    gaps = Ledger().gaps("tiny")
    assert {(g.ticker, str(g.cutoff), g.kind) for g in gaps.itertuples()} == {
        ("BBB", "2025-11-19", "missed"),
        ("CCC", "2025-11-19", "missed"),
    }, "and none of a ticker that nobody had asked for then"
    assert (night.track.issued, night.track.due) == (8, 10)
    desk.night(wider, at_close("2025-11-21"))
    assert len(Ledger().gaps("tiny")) == 2


@pytest.mark.slow
def test_two_runs_of_a_night_at_once(desk: Desk) -> None:
    """One makes it, the other is told in one line or comes when all is done; nothing stands twice."""
    context, log = forkserver("s2squant.nightly.night", "tests.worlds.night_process"), desk.root / "nights.log"
    surroundings = {name: os.environ[name] for name in ("S2SQUANT_YAHOO_URL", "S2SQUANT_LEDGER")}
    models, days, refused = ("historical_simulation", "random_walk"), ("2025-11-18", "2025-11-19", "2025-11-20"), 0
    for day in days:
        desk.yahoo.fixed_today, gate = day, context.Barrier(2)
        given = (str(desk.root), day, surroundings, 0, models, gate)
        pair = [context.Process(target=night_process.night, args=given) for _ in range(2)]
        for process in pair:
            process.start()
        for process in pair:
            process.join(300)
        said = [line for line in log.read_text().splitlines() if line.startswith("s2squant.errors.")]
        refused += sum(process.exitcode != 0 for process in pair)
        assert min(process.exitcode or 0 for process in pair) == 0, said
        assert len(said) == refused
        assert all("another process is writing this run; wait for it" in line for line in said), said
    assert refused, "they never met"
    record = Ledger().record("tiny", live=False)
    assert (record["reissue"] == 0).all()
    assert not record.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    assert desk.pairs() == {(ticker, day) for ticker in night_process.TICKERS for day in days}
    assert Ledger().gaps("tiny").empty
    assert {run.status for run in Ledger().runs("tiny")} <= {"done", "skipped"}
    assert Ledger().verify()[0] == ()


@pytest.mark.slow
def test_a_night_s_job_that_hangs_costs_its_ticker(desk: Desk) -> None:
    spec = desk.spec("AAA", "BBB", models=("historical_simulation", "random_walk"))
    when = at_close("2025-11-18")
    desk.yahoo.fixed_today = "2025-11-18"
    with open_night(spec, scheduled=when, clock=Clock(when), workers=0, fetching=HASTY) as run:
        inputs = run._pool._inputs  # type: ignore[attr-defined]
        run._pool = WorkerPool((inputs, "BBB"), 1, hangs_for, limit=iter([600.0, 1.0]).__next__)
        list(run.execute_stages())
        night = run.finish()
    assert night.status == "partial"
    assert {t.ticker: t.status for t in night.tickers} == {"AAA": "ok", "BBB": "failed"}
    (gap,) = Ledger().gaps("tiny").itertuples()
    assert (gap.ticker, gap.kind) == ("BBB", "failed")
    assert "it hung: no end after 1 s" in gap.reason


@pytest.mark.slow
def test_a_ticker_that_was_taken_out_is_scored_all_the_same(desk: Desk) -> None:
    days = ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21", "2025-11-24")
    desk.night(desk.spec("AAA", "BBB"), at_close(days[0]))
    for day in days[1:]:
        night = desk.night(desk.spec("AAA"), at_close(day))
        assert [ticker.ticker for ticker in night.tickers] == ["AAA"]
    record = Ledger().record("tiny")
    known = record[(record["unique_id"] == "BBB") & record["y"].notna()]
    assert set(known["step"]) == {1, 2, 3, 4}
    stock = desk.yahoo.stock("BBB")
    close = {str(day): float(np.float32(value)) for day, value in zip(stock.days, stock.close, strict=True)}
    first = known[(known["step"] == 1) & (known["model"] == "anchor")]["y"].iloc[0]
    assert first == pytest.approx(np.log(close[days[1]] / close[days[0]]), abs=1e-6)
    assert {ticker for ticker, day in desk.pairs() if day > days[0]} == {"AAA"}
    assert Ledger().gaps("tiny").empty


def test_a_time_to_come_is_refused_before_anything_is_written(desk: Desk) -> None:
    spec = desk.spec("AAA")
    desk.night(spec, at_close("2025-11-18"))
    before = len(Ledger().runs())
    with pytest.raises(CallerError, match=r"2026-11-19 22:30 UTC lies ahead, it is 2025-11-19"):
        forecast(spec, scheduled=at_close("2026-11-19"), clock=Clock(at_close("2025-11-19")), workers=0, fetching=HASTY)
    assert Ledger().gaps("tiny").empty
    assert len(Ledger().runs()) == before


def test_folders_of_one_name_are_different_runs(desk: Desk) -> None:
    spec = desk.spec("AAA")
    other = spec.model_copy(update={"name": "other"})
    nights = [
        desk.night(spec, at_close("2025-11-18"), desk.root / "18" / "night"),
        desk.night(spec, at_close("2025-11-19"), desk.root / "19" / "night"),
        desk.night(other, at_close("2025-11-19"), desk.root / "other" / "night"),
    ]
    assert len({night.run_id for night in nights}) == 3
    ledger = Ledger()
    assert [run.folder for run in ledger.runs("other")] == [str(desk.root / "other" / "night")]
    assert all(replay(night.run_id, ledger).identical for night in nights)


def test_a_backtest_that_is_gone_costs_the_comparison_not_the_night(desk: Desk) -> None:
    spec = desk.spec("AAA", backtest="reports/backtest/gone")
    night = desk.night(spec, at_close("2025-11-18"))
    assert night.status == "done"
    assert night.track.band is not None
    assert "reports/backtest/gone" in night.track.band.reason
    assert np.isnan(night.track.band.low)


@pytest.mark.slow
def test_a_second_run_of_a_session_leaves_its_weights_alone(desk: Desk) -> None:
    spec = desk.spec("AAA", "BBB", models=["historical_simulation", "anchor", "seq2seq_pooled"])
    desk.night(spec, at_close("2025-11-18"))
    desk.yahoo.stock("BBB").hidden.add(np.datetime64("2025-11-19"))
    assert desk.night(spec, at_close("2025-11-19")).status == "partial"
    desk.yahoo.stock("BBB").hidden.clear()
    again = desk.night(spec, at_close("2025-11-19", 4))
    assert again.status == "done", again.message
    models = Ledger().models("tiny")
    market = models[models["kind"] == "market"]
    assert list(market["how"]) == ["trained", "kept"], "one row a session"
    assert market["parent"].iloc[1] == market["version"].iloc[0]


@pytest.mark.slow
def test_weights_stay_as_they_are_between_fits(desk: Desk) -> None:
    models = ["historical_simulation", "anchor", "seq2seq_pooled", "seq2seq_per_ticker"]
    spec = desk.spec("AAA", models=models, retraining=Retraining(every=10))
    first, second = (desk.night(spec, at_close(day)) for day in ("2025-11-18", "2025-11-19"))
    assert (first.tickers[0].how, second.tickers[0].how) == ("trained", "kept")
    assert second.tickers[0].trained == "2025-11-18"
    weights, rows = ModelStore(Path(spec.models)), Ledger().models("tiny")
    for key in ("XNYS", "AAA"):
        was, now = (weights.get(version).arrays for version in rows.loc[rows["key"] == key, "version"])
        nets = [name for name in was if "seq2seq" in name]
        assert nets
        assert all((was[name] == now[name]).all() for name in nets)
    assert replay(second.run_id, Ledger()).identical


def test_a_setting_of_the_past_is_refused_in_a_file_and_passed_over_in_the_ledger(desk: Desk) -> None:
    """Nightlies once adapted their weights; what they issued then is replayed from those that they stored."""
    retired = {"steps": 0, "lr": 2e-4, "recent": 1000}
    for key, value in retired.items():
        with pytest.raises(ConfigError, match=rf"^nightly\.toml: unknown key 'retraining\.{key}'"):
            validated(Nightly, {"retraining": {key: value}}, where="nightly.toml")
    night = desk.night(desk.spec("AAA"), at_close("2025-11-18"))
    ledger = Ledger()
    entry = ledger.run(night.run_id)
    assert entry is not None
    settings = json.loads(entry.settings)

    def rewritten() -> None:
        with ledger.engine.begin() as connection:
            changed = update(RUNS).where(RUNS.c.run_id == night.run_id).values(settings=json.dumps(settings))
            assert connection.execute(changed).rowcount == 1

    settings["retraining"] |= retired
    rewritten()
    assert replay(night.run_id, ledger).identical
    del settings["experiment"]["recalibration"]
    settings["experiment"]["conformal"] = {"enabled": True, "rate": 0.05, "settling": 30.0}
    rewritten()
    found = replay(night.run_id, ledger)
    assert (found.different, found.problems) == ((), ("AAA: 5 rows could not be recomputed",))
    del settings["experiment"]["conformal"]
    settings["retraining"]["evry"] = 5
    with pytest.raises(ConfigError, match=r"^run: unknown key 'retraining\.evry'; did you mean 'every'\?"):
        recorded_nightly(json.dumps(settings), where="run")
    with pytest.raises(ConfigError, match=r"^run: damaged"):
        recorded_nightly("[]", where="run")


def test_a_full_disk_is_a_tickers_reason(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from s2squant.prices.store.price_store import PriceStore

    real = PriceStore.write

    def full(self: PriceStore, about: Any, *given: Any, **named: Any) -> Any:
        if about.ticker == "BBB":
            raise OSError(28, "No space left on device")
        return real(self, about, *given, **named)

    monkeypatch.setattr(PriceStore, "write", full)
    night = desk.night(desk.spec("AAA", "BBB"), at_close("2025-11-18"))
    assert {t.ticker: t.status for t in night.tickers} == {"AAA": "ok", "BBB": "failed"}
    assert "No space left on device" in next(t.reason for t in night.tickers if t.ticker == "BBB")
