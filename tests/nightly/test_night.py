"""The nightly line on a local Yahoo and a clock that is set: what is issued, kept, missed, scored, and replayed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.config.nightly import Monitoring, Nightly
from s2squant.errors import CallerError, Finding, RunError
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast, open_night
from s2squant.nightly.replay import replay
from s2squant.nightly.results import Monitor
from s2squant.nightly.track_record.drift import watch
from s2squant.nightly.weights import ModelStore
from s2squant.prices import universe
from s2squant.prices.checks.marks import mark
from s2squant.prices.sources.from_store import as_history
from s2squant.prices.store.price_store import PriceStore
from s2squant.runs.engines.local import InlinePool
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from s2squant.series.history import PriceHistory
from tests.worlds.nightly_sim import HASTY, Clock, Desk, at_close, at_yahoo, cheap, tiny

TICKERS = ("AAA", "BBB", "SPLITC")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        yield Desk(tmp_path, yahoo, tiny(tmp_path, *TICKERS))


def test_a_night_trains_the_next_goes_on_and_a_holiday_is_skipped(desk: Desk) -> None:
    first, second = desk.night("2025-11-25"), desk.night("2025-11-26")
    assert [n.status for n in (first, second)] == ["done", "done"]
    assert {t.how for t in first.tickers} == {"trained"}
    assert {(t.how, t.trained) for t in second.tickers} == {("kept", "2025-11-25")}
    holiday = desk.night("2025-11-27")
    assert holiday.status == "skipped"
    assert "closed on 2025-11-27" in holiday.message
    rows = desk.live()
    models = {*desk.spec.experiment.forecasters.models, "blend+aci"}
    assert len(rows) == 2 * len(TICKERS) * 5 * len(models)
    assert set(rows["model"]) == models
    assert not rows.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    assert second.scored == len(TICKERS) * len(models)
    half_day = desk.night("2025-11-28", hours=-1.5)  # closed at 13:00; scheduled for 17:30, but run at 14:30
    assert half_day.status == "done"
    runs = [run.status for run in desk.ledger.runs(desk.spec.name)]
    assert runs == ["done", "skipped", "done", "done"]
    for night in (first, second, half_day):
        folder = desk.root / "reports" / "tiny" / night.run_id
        assert json.loads((folder / "manifest.json").read_text())["status"] == "done"
        assert "<html" in (folder / "index.html").read_text()
        assert not (folder / "work").exists()
    again = desk.night("2025-11-28", hours=3)
    assert again.status == "skipped"
    assert len(desk.live()) == len(rows) + len(rows) // 2


@pytest.mark.slow
def test_outcomes_are_scored_on_the_price_basis_at_issue(desk: Desk) -> None:
    days = ["2025-11-19", "2025-11-20", "2025-11-21"]
    for day in days[:2]:
        desk.night(day)
    issued = desk.live()
    stock = desk.yahoo.stock("AAA")
    close_then = float(np.float32(stock.close[stock.days == np.datetime64("2025-11-19")][0]))
    stock.close = np.where(stock.days == np.datetime64("2025-11-19"), stock.close * 1.02, stock.close)  # a correction
    stock.splits[np.datetime64("2025-11-21")] = 2.0
    stock.close = np.where(stock.days >= np.datetime64("2025-11-21"), stock.close / 2, stock.close)
    stock.dividends[np.datetime64("2025-11-21")] = 0.5
    assert desk.night(days[2]).status == "done"
    rows = desk.live()
    known = rows[(rows["unique_id"] == "AAA") & rows["y"].notna() & (rows["model"] == "blend")]
    told = {(str(r.cutoff)[:10], r.step): r.y for r in known.itertuples()}
    at = {str(day): float(np.float32(c)) for day, c in zip(stock.days, stock.close, strict=True) if str(day) in days}
    one = math.log(at["2025-11-20"] / close_then)
    assert told["2025-11-19", 1] == pytest.approx(one, abs=1e-6), "the issued close is the basis, corrected or not"
    last, before = at["2025-11-21"], at["2025-11-20"]
    factor = (1 - 0.5 * 2 / before) / 2  # of every bar before the split of two for one and the dividend of its day
    assert told["2025-11-20", 1] == pytest.approx(math.log(last / (before * factor)), abs=1e-6)
    assert told["2025-11-19", 2] == pytest.approx(math.log(last / (close_then * factor)), abs=1e-6), "as issued"
    quantiles = known[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
    assert known["crps"].to_numpy() == pytest.approx(quantile_crps(known["y"].to_numpy(), quantiles))
    was = issued.set_index(["model", "unique_id", "cutoff", "step"])[list(QUANTILE_COLUMNS)]
    now = rows.set_index(["model", "unique_id", "cutoff", "step"]).loc[was.index, list(QUANTILE_COLUMNS)]
    assert (was.to_numpy() == now.to_numpy()).all(), "nothing issued is rewritten"
    events = desk.ledger.events(desk.spec.name)
    assert "revised" in set(events.loc[events["ticker"] == "AAA", "kind"])


def test_a_late_run_issues_nothing_and_says_so(desk: Desk) -> None:
    desk.spec = cheap(desk.spec)
    desk.night("2025-11-18")
    desk.yahoo.fixed_today = "2025-11-20"
    late = forecast(
        desk.spec,
        scheduled=at_close("2025-11-19"),
        clock=Clock(at_close("2025-11-20", -6)),  # ten in the morning of the next session
        workers=0,
        fetching=HASTY,
    )
    assert (late.status, late.issued) == ("late", 0)
    assert set(desk.live()["cutoff"].astype(str).str[:10]) == {"2025-11-18"}
    gaps = desk.ledger.gaps(desk.spec.name)
    assert {(g.ticker, str(g.cutoff), g.kind) for g in gaps.itertuples()} == {
        (t, "2025-11-19", "late") for t in TICKERS
    }
    folder = desk.root / "reports" / "tiny" / late.run_id
    assert "2025-11-19" in (folder / "index.html").read_text()
    after = desk.night("2025-11-24")
    assert after.status == "done"
    kinds = {(str(g.cutoff), g.kind) for g in desk.ledger.gaps(desk.spec.name).itertuples()}
    assert kinds == {("2025-11-19", "late"), ("2025-11-20", "missed"), ("2025-11-21", "missed")}
    assert after.scored > 0, "what was issued before is scored in full all the same"


def test_a_bad_ticker_is_named_and_the_others_go_on(desk: Desk) -> None:
    desk.spec = cheap(tiny(desk.root, "AAA", "MISSINGX", "BROKENY"))
    night = desk.night("2025-11-19")
    assert night.status == "partial"
    assert {t.ticker: t.status for t in night.tickers} == {"AAA": "ok", "MISSINGX": "failed", "BROKENY": "failed"}
    assert "MISSINGX" in night.message
    assert set(desk.ledger.gaps(desk.spec.name)["ticker"]) == {"MISSINGX", "BROKENY"}
    page = (desk.root / "reports" / "tiny" / night.run_id / "index.html").read_text()
    assert "MISSINGX" in page
    desk.spec = cheap(tiny(desk.root, "MISSINGX", "BROKENY", name="worse"))
    nothing = desk.night("2025-11-19")
    assert (nothing.status, nothing.issued) == ("failed", 0)


def test_a_ticker_that_only_its_market_convicts_is_not_issued(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shifted file is a leak that no check of one ticker sees: a night compares the tickers of a market, too."""
    shifted = mark("shifted dates", "error", np.array(["2025-11-19"], "datetime64[D]"), "its dates are a session early")

    def compared(histories: list[PriceHistory]) -> dict[str, tuple[Finding, ...]]:
        return {h.ticker: (*h.findings, *shifted) for h in histories if h.ticker == "BBB"}

    monkeypatch.setattr(universe, "across", compared)
    desk.spec = cheap(desk.spec)
    night = desk.night("2025-11-19")
    assert {t.ticker: t.status for t in night.tickers} == {"AAA": "ok", "BBB": "failed", "SPLITC": "ok"}
    assert "its dates are a session early" in night.message
    assert set(desk.ledger.gaps(desk.spec.name)["ticker"]) == {"BBB"}


def test_a_stale_ticker_is_a_gap_until_its_bar_arrives(desk: Desk) -> None:
    desk.spec = cheap(desk.spec)
    desk.night("2025-11-18")
    stock = desk.yahoo.stock("BBB")
    stock.hidden.add(np.datetime64("2025-11-19"))
    first = desk.night("2025-11-19")
    assert first.status == "partial"
    assert {t.ticker for t in first.lost} == {"BBB"}
    assert "2025-11-18" in first.lost[0].reason
    stock.hidden.clear()
    second = desk.night("2025-11-19", hours=4, scheduled=at_close("2025-11-19", 4))  # UTC has another date by then
    assert second.status == "done"
    assert second.run_id == first.run_id + "-2"
    live = desk.live()
    assert set(live.loc[live["cutoff"] == pd.Timestamp("2025-11-19"), "unique_id"]) == set(TICKERS)
    assert not live.duplicated(["model", "unique_id", "cutoff", "step"]).any()


class _Killed(BaseException):
    """Stands for a process that ends there."""


@pytest.mark.slow
def test_a_killed_night_goes_on_where_it_stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.night("2025-11-18")
    desk.yahoo.fixed_today = "2025-11-19"
    when, given = at_close("2025-11-19"), {"workers": 0, "fetching": HASTY}
    with pytest.raises(_Killed), open_night(desk.spec, scheduled=when, clock=Clock(when), **given) as run:  # noqa: PT012
        done = [run.execute(job).key for job in (*run.stages[0], run.stages[1][0])]
        raise _Killed
    with pytest.raises(_Killed), open_night(desk.spec, scheduled=when, clock=Clock(when), **given) as run:  # noqa: PT012
        results = {result.key: result.status for result in run.execute_stages()}
        assert {key: results[key] for key in done} == dict.fromkeys(done, "kept")
        issue, count = Ledger.issue, []

        def dies(*arguments: object, **named: object) -> str:
            count.append(1)
            if len(count) == 2:
                raise _Killed
            return issue(*arguments, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Ledger, "issue", dies)
        run.finish()
    monkeypatch.undo()
    monkeypatch.chdir(desk.root)
    monkeypatch.setenv("S2SQUANT_YAHOO_URL", desk.yahoo.url)
    monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{desk.root / 'ledger.sqlite'}")
    asked = dict(desk.yahoo.asked)
    night = forecast(desk.spec, scheduled=when, clock=Clock(when + timedelta(hours=1)), **given)
    assert night.status == "done"
    assert dict(desk.yahoo.asked) == asked, "prices are those of the first attempt"
    everything = desk.ledger.record(desk.spec.name, live=False)
    assert (everything["reissue"] == 0).all()
    assert not everything.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    assert len(desk.ledger.gaps(desk.spec.name)) == 0
    assert replay(night.run_id, desk.ledger).identical


@pytest.mark.slow
def test_any_night_is_recomputed_bit_by_bit_later(desk: Desk) -> None:
    nights = [desk.night(day) for day in ("2025-11-18", "2025-11-19", "2025-11-20")]
    stock = desk.yahoo.stock("AAA")
    stock.close = np.where(stock.days == np.datetime64("2025-11-17"), stock.close * 1.01, stock.close)
    desk.night("2025-11-21")  # outcomes of the nights before, revised bars, further weights
    for night in nights:
        found = replay(night.run_id, desk.ledger)
        assert found.identical, (found.different, found.problems)
        assert found.rows == night.issued
    with pytest.raises(RunError, match="no run 'other'"):
        replay("other", desk.ledger)
    weights = ModelStore(Path(desk.spec.models))
    facts = json.loads(desk.ledger.run(nights[2].run_id).facts)  # type: ignore[union-attr]
    weights.path(facts["models"]["ticker:AAA"]["version"]).unlink()
    found = replay(nights[2].run_id, desk.ledger)
    assert not found.identical
    assert any("AAA" in problem for problem in found.problems)


def test_what_comes_later_changes_no_forecast(desk: Desk, tmp_path: Path) -> None:
    """The same night seen from its evening and with the future already in the store."""
    on_time = desk.night("2025-11-19")
    desk.spec = tiny(tmp_path / "later", *TICKERS)
    desk.yahoo.fixed_today = "2025-11-26"
    other = replace_name(desk.spec, "other")
    later = forecast(
        other,
        scheduled=at_close("2025-11-19"),
        clock=Clock(at_close("2025-11-19", 2)),
        workers=0,
        fetching=HASTY,
    )
    assert (on_time.status, later.status) == ("done", "done")
    columns = ["model", "unique_id", "step", *QUANTILE_COLUMNS]
    pd.testing.assert_frame_equal(
        on_time.today[columns].reset_index(drop=True), later.today[columns].reset_index(drop=True)
    )


def replace_name(spec: Nightly, name: str) -> Nightly:
    return spec.model_copy(update={"name": name})


@pytest.mark.slow
def test_models_are_fitted_anew_when_it_is_time(desk: Desk) -> None:
    spec = desk.spec
    desk.spec = spec.model_copy(update={"retraining": spec.retraining.model_copy(update={"every": 2})})
    hows = [desk.night(day).tickers[0].how for day in ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21")]
    assert hows == ["trained", "kept", "trained", "kept"]
    events = desk.ledger.events(desk.spec.name)
    assert [(str(e.session), e.kind) for e in events.itertuples()] == [("2025-11-20", "retrained")]


def test_a_time_without_a_zone_is_refused(desk: Desk) -> None:
    with pytest.raises(CallerError, match="no time zone"):
        open_night(desk.spec, scheduled=datetime(2025, 11, 19, 17, 30))


def test_stored_versions_are_what_a_night_read(desk: Desk) -> None:
    desk.spec = cheap(desk.spec)
    night = desk.night("2025-11-19")
    store = PriceStore(Path(desk.spec.experiment.universe.store))
    for ticker in night.tickers:
        kept = as_history(store.read(ticker.ticker, as_of=datetime.fromisoformat(ticker.prices_at)))
        issued = night.today[night.today["unique_id"] == ticker.ticker]
        assert set(issued["prices_sha256"]) == {kept.between(None, date(2025, 11, 19)).sha256}
        assert set(issued["close"]) == {kept.bars["close"][-1]}
    assert replace(night.tickers[0]).status == "ok"


@pytest.mark.slow
def test_the_command_names_a_bad_ticker_and_says_so_by_its_exit_status(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    day = "2025-11-19"
    desk.yahoo.fixed_today = day
    monkeypatch.setattr("s2squant.nightly.night._now", Clock(at_close(day)))
    monkeypatch.setattr("s2squant.nightly.night.Fetching", lambda: HASTY)
    monkeypatch.setattr(
        "s2squant.runs.engines.local.WorkerPool", lambda inputs, _, perform, _limit: InlinePool(inputs, perform)
    )
    when = at_close(day).isoformat()

    def run(name: str, *tickers: str) -> tuple[int, str]:
        spec = cheap(tiny(desk.root, *tickers, name=name))
        (desk.root / f"{name}.json").write_text(spec.model_dump_json())
        status = main(["forecast", f"{name}.json", "--at", when, "--workers", "1"])
        return status, capsys.readouterr().out

    status, said = run("five", "AAA", "BBB", "CCC", "DDD", "MISSINGX")
    assert status == 3
    assert "4 of 5 tickers forecast; MISSINGX failed" in said
    report = Path(said.rsplit("report: file://", 1)[1].strip())
    assert "MISSINGX" in report.read_text()
    status, said = run("none", "MISSINGX", "MISSINGY")
    assert status == 1
    assert "0 of 2 tickers forecast" in said
    page = Path(said.rsplit("report: file://", 1)[1].strip()).read_text()
    assert "On time" not in page
    assert main(["forecast", "five.json", "--at", when]) == 3, "MISSINGX is asked for again until the deadline"
    assert main(["forecast", "five.json", "--at", "2025-11-19T17:30"]) == 2
    assert "no time zone" in capsys.readouterr().err


@pytest.mark.slow
def test_drift_has_everything_fitted_anew_and_the_monitor_start_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[date | None] = []

    def drifting(record: pd.DataFrame, spec: Monitoring, *, model: str, since: date | None) -> Monitor:
        asked.append(since)
        told = watch(record, spec, model=model, since=since)
        return replace(told, alarmed=since is None and len(record) > 0, sentence="it drifts")

    monkeypatch.setattr("s2squant.nightly.summary.watch", drifting)
    hows = [desk.night(day).tickers[0].how for day in ("2025-11-18", "2025-11-19", "2025-11-20")]
    assert hows == ["trained", "trained", "kept"]
    events = desk.ledger.events(desk.spec.name)
    assert [(str(e.session), e.kind) for e in events.itertuples()] == [("2025-11-19", "drift")]
    assert asked[-1] == date(2025, 11, 19)
    calm = desk.spec.retraining.model_copy(update={"on_drift": False})
    desk.spec = desk.spec.model_copy(update={"retraining": calm, "name": "calm"})
    assert [desk.night(day).tickers[0].how for day in ("2025-11-21", "2025-11-24")] == ["trained", "kept"]
