"""Upkeep removes what was kept long enough and nothing else, and a kill in its middle leaves everything readable."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from s2squant.cli import app as cli
from s2squant.config.experiment import Experiment, Universe
from s2squant.config.nightly import Nightly, Retention
from s2squant.errors import ConfigError, PriceError
from s2squant.files import locked
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.operation import upkeep as retention
from s2squant.nightly.operation.upkeep import maintain
from s2squant.prices.store.bars import About, Bars, columns_of
from s2squant.prices.store.price_store import PriceStore
from tests.worlds.ledgers import a_run, an_issue, many_runs

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEEP = Retention(runs=90, models=400, prices=400, dead_after=6)


def days_ago(days, hours=0):
    return NOW - timedelta(days=days, hours=hours)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A working folder with an empty ledger of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(tmp_path / "data" / "ledger.sqlite")))
    return tmp_path


@pytest.fixture
def ledger(site):
    opened = Ledger()
    opened.start_run(a_run(at=NOW))
    return opened


def settings(**given):
    return Nightly(experiment=Experiment(name="nightly", universe=Universe(source="yfinance")), **given)


def keep_up(spec=None, **given):
    return maintain(spec or settings(), KEEP, now=NOW, **given)


def names(items):
    return [Path(item.name).name for item in items]


# -- folders of runs ---------------------------------------------------------------------------------------------------


def a_folder(name, finished, *, flow="nightly", **manifest):
    path = Path("reports") / flow / name
    (path / "assets").mkdir(parents=True)
    (path / "index.html").write_text("x" * 1000)
    (path / "assets" / "plot.js").write_text("y" * 500)
    told = {"run_id": name, "status": "done", "finished_at": finished.isoformat(), **manifest}
    (path / "manifest.json").write_text(json.dumps(told))
    return path


def an_unfinished(name, touched, *, flow="nightly"):
    path = Path("reports") / flow / name
    (path / "work").mkdir(parents=True)
    (path / "work" / "identity.json").write_text("{}")
    (path / "work" / "lock").touch()
    age(path, touched)
    return path


def age(path, moment):
    for one in (path, *path.rglob("*")):
        os.utime(one, (moment.timestamp(), moment.timestamp()))


def test_old_folders_of_nights_and_backtests_go(ledger):
    old = [a_folder("old", days_ago(91)), a_folder("old-backtest", days_ago(200), flow="backtest")]
    young = [a_folder("young", days_ago(89)), a_folder("young-backtest", days_ago(1), flow="backtest")]
    others = [a_folder("x", days_ago(500), flow="other"), a_folder("copy", days_ago(500), flow="reproduce")]
    done = keep_up()
    assert names(done.removed) == ["old", "old-backtest"]
    assert [item.why for item in done.removed] == ["finished 2026-08-21", "finished 2026-05-04"]
    assert [path.exists() for path in old] == [False, False]
    assert all(path.exists() for path in (*young, *others))
    assert done.failures == ()
    assert done.freed == sum(item.size for item in done.removed) > 3000
    assert not (Path("reports") / ".trash").exists()
    assert keep_up().listed == ()


def test_a_dry_run_only_lists(ledger):
    path = a_folder("old", days_ago(91))
    done = keep_up(dry_run=True)
    assert names(done.listed) == ["old"]
    assert done.listed[0].size > 1500
    assert done.removed == ()
    assert path.exists()


def test_everything_is_listed_before_anything_is_removed(ledger):
    paths = [a_folder(f"old-{n}", days_ago(91)) for n in range(3)]
    seen = []
    keep_up(on_listed=lambda items: seen.append((names(items), [path.exists() for path in paths])))
    assert seen == [(["old-0", "old-1", "old-2"], [True, True, True])]


def test_what_is_not_ours_stays(ledger):
    foreign = Path("reports/nightly/notes")
    foreign.mkdir(parents=True)
    (foreign / "manifest.json").write_text('{"name": "my own"}')
    damaged = a_folder("damaged", days_ago(500))
    (damaged / "manifest.json").write_text("{")
    listed = a_folder("list", days_ago(500))
    (listed / "manifest.json").write_text("[1, 2]")
    plain = Path("reports/nightly/plain")
    plain.mkdir()
    (plain / "keep.txt").write_text("mine")
    for path in (foreign, damaged, listed, plain):
        age(path, days_ago(500))
    assert keep_up().listed == ()


def test_a_paused_nightlys_backtest_stays_however_many_runs_others_had_since(ledger):
    wanted, newest = a_folder("wanted", days_ago(500), flow="backtest"), days_ago(300)
    paused = settings(name="paused", backtest="reports/backtest/wanted")
    ledger.start_run(replace(a_run("p", nightly="paused", at=newest), settings=paused.model_dump_json()))
    many_runs(ledger, 2_100, after=days_ago(200))
    assert keep_up().removed == ()
    assert wanted.exists()


def test_the_backtest_that_the_record_is_held_against_stays(ledger):
    held = a_folder("held", days_ago(500), flow="backtest")
    other = a_folder("other", days_ago(500), flow="backtest")
    keep_up(settings(backtest="reports/backtest/../backtest/held"))
    assert held.exists()
    assert not other.exists()


def test_links_are_not_followed(ledger, tmp_path):
    outside = tmp_path / "elsewhere" / "run"
    shutil.copytree(a_folder("old", days_ago(500)), outside)
    (Path("reports/nightly") / "linked").symlink_to(outside)
    (Path("reports/nightly/old") / "assets" / "link").symlink_to(outside)
    (Path("reports") / "backtest").symlink_to(outside.parent)
    assert names(keep_up().removed) == ["old"]
    assert (outside / "index.html").exists()
    assert (outside / "manifest.json").exists()


def a_search(name, touched):
    folder = Path("data/tuning") / name
    (folder / "work").mkdir(parents=True)
    for path in (folder / "work" / "identity.json", folder / "work" / "lock", folder.with_name(f"{name}.sqlite")):
        path.write_text("z" * 700)
    age(folder, touched)
    return folder, folder.with_name(f"{name}.sqlite")


def test_searches_and_their_results_go_too(ledger):
    young, old, busy = a_search("young", days_ago(80)), a_search("old", days_ago(91)), a_search("held", days_ago(91))
    a_folder("finished", days_ago(91), flow="tune")
    Path("data/tuning/mine.txt").write_text("not a search")
    with locked(busy[0] / "work" / "lock", wait=False):
        done = keep_up()
    assert [(item.part, Path(item.name).name) for item in done.removed] == [("runs", "finished"), ("studies", "old")]
    assert done.removed[1].why == "last written 2026-08-21"
    assert done.removed[1].size == 2100
    assert [path.exists() for path in (*young, *old, *busy)] == [True, True, False, False, True, True]
    assert sorted(path.name for path in Path("data/tuning").iterdir()) == [
        "held",
        "held.sqlite",
        "mine.txt",
        "young",
        "young.sqlite",
    ]


def test_a_search_taken_up_again_keeps_its_trials(ledger):
    folder, trials = a_search("old", days_ago(91))
    done = keep_up(on_listed=lambda _: (folder / "work" / "part.json").write_text("{}"))
    assert names(done.listed) == ["old"]
    assert done.removed == ()
    assert trials.exists()


def test_a_run_under_way_stays_and_one_given_up_goes(ledger):
    for name, days in (("today", 0.1), ("this-month", 30), ("given-up", 95), ("locked", 95)):
        an_unfinished(name, days_ago(days))
    finishing = a_folder("finishing", days_ago(95))
    shutil.copytree(Path("reports/nightly/locked/work"), finishing / "work")
    with (
        locked(Path("reports/nightly/locked/work/lock"), wait=False),
        locked(finishing / "work" / "lock", wait=False),
    ):
        assert names(keep_up().removed) == ["given-up"]
    assert names(keep_up().removed) == ["finishing", "locked"]


def test_a_folder_taken_up_again_since_it_was_listed_stays(ledger):
    path = an_unfinished("given-up", days_ago(95))
    done = keep_up(on_listed=lambda _: (path / "work" / "part.json").write_text("{}"))
    assert names(done.listed) == ["given-up"]
    assert done.removed == ()
    assert path.exists()


def test_a_failure_stops_nothing_else(ledger, monkeypatch):
    for name in ("a", "b", "c"):
        a_folder(name, days_ago(91))
    real = Path.rename

    def rename(self, target):
        if self.name == "b":
            raise OSError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    done = keep_up()
    assert names(done.removed) == ["a", "c"]
    assert done.failures == ("runs: reports/nightly/b: [Errno 13] Permission denied",)
    assert Path("reports/nightly/b/index.html").exists()


def test_without_a_ledger_the_folders_still_go(site, monkeypatch):
    (site / "no-database").write_bytes(b"not a database, and long enough to look at" * 100)
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(site / "no-database")))
    a_folder("old", days_ago(91))
    done = keep_up()
    assert names(done.removed) == ["old"]
    assert len(done.failures) == 1
    assert "dead runs, weights and prices are left alone: the ledger" in done.failures[0]
    monkeypatch.setenv("S2SQUANT_LEDGER", "nonsense")
    with pytest.raises(ConfigError):
        keep_up()


# -- weights -----------------------------------------------------------------------------------------------------------


def weights(letter, written=None):
    path = Path("data/models") / f"{letter * 64}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(letter.encode() * 100)
    os.utime(path, ((written or days_ago(450)).timestamp(),) * 2)
    return path


def enter(ledger, letter, days, *, key="XNYS", parent="", kind="market", nightly="nightly"):
    row = {"nightly": nightly, "kind": kind, "key": key, "session": days_ago(days).date(), "version": letter * 64}
    ledger.add_model({**row, "parent": parent * 64, "how": "adapted", "run_id": "run-1", "at": NOW})


def test_weights_that_nothing_needs_go(ledger):
    paths = {letter: weights(letter) for letter in "abcdef0123"}
    enter(ledger, "a", 500)  # old, followed by b
    enter(ledger, "b", 401, parent="a")  # parent of c
    enter(ledger, "c", 399, parent="b")
    enter(ledger, "d", 600, key="ZZZ")  # old, but the newest of its key
    enter(ledger, "e", 600, key="YYY")  # old, but a young forecast was made with it
    enter(ledger, "f", 590, key="YYY")
    enter(ledger, "0", 700, key="YYY", nightly="other")  # the newest of another nightly
    enter(ledger, "1", 800, key="GONE")  # its run's facts name it
    enter(ledger, "1", 799, key="WWW")
    enter(ledger, "2", 700, key="GONE")
    issue = an_issue(cutoff=days_ago(100).date())
    ledger.issue("nightly", "run-1", [issue.__class__(**{**issue.__dict__, "version": "e" * 64})], at=NOW)
    ledger.end_run("run-1", "done", "", at=NOW, facts=json.dumps({"models": {"x": {"version": "1" * 64}}}))
    done = keep_up()
    assert names(done.removed) == [f"{'3' * 64}.safetensors", f"{'a' * 64}.safetensors"]
    assert {letter for letter, path in paths.items() if path.exists()} == set("bcdef012")
    assert done.freed == 200


def test_weights_that_are_just_being_entered_stay(ledger):
    enter(ledger, "a", 500)
    enter(ledger, "b", 1)
    fresh, stray = weights("a", days_ago(0, hours=1)), weights("c", days_ago(399))
    temporary = Path("data/models") / f".{'d' * 40}.xyz.tmp"
    temporary.write_bytes(b"half")
    os.utime(temporary, (days_ago(1).timestamp(),) * 2)
    other = Path("data/models") / "notes.txt"
    other.write_text("mine")
    os.utime(other, (days_ago(900).timestamp(),) * 2)
    (Path("data/models") / f"{'e' * 64}.safetensors").symlink_to(fresh.resolve())
    assert names(keep_up().removed) == [temporary.name]
    assert fresh.exists()
    assert stray.exists()


def test_a_ledger_that_knows_no_weights_removes_none(ledger):
    path = weights("a", days_ago(900))
    assert keep_up().listed == ()
    assert path.exists()


# -- dead runs ---------------------------------------------------------------------------------------------------------


def test_runs_without_a_sign_of_life_are_dead(ledger):
    an_unfinished("at-work", days_ago(0.5))
    for run_id, hours in (("died", 7), ("young", 5), ("at-work", 12), ("gone", 30)):
        ledger.start_run(a_run(run_id, at=days_ago(0, hours), folder=f"reports/nightly/{run_id}"))
    ledger.start_run(a_run("other", nightly="other", at=days_ago(3)))
    ledger.start_run(a_run("ended", at=days_ago(3)))
    ledger.end_run("ended", "done", "", at=NOW)
    with locked(Path("reports/nightly/at-work/work/lock"), wait=False):
        done = keep_up()
    assert sorted(item.name for item in done.removed) == ["died", "gone"]
    status = {run.run_id: run.status for run in ledger.runs()}
    assert {run_id for run_id, told in status.items() if told == "dead"} == {"died", "gone"}
    assert status["ended"] == "done"
    assert ledger.run("died").message == "no sign of life; it began 2026-11-20 05:00 UTC"
    assert ledger.run("died").ended_at == NOW


def test_a_run_that_ends_while_it_is_listed_keeps_its_end(ledger):
    ledger.start_run(a_run("slow", at=days_ago(1)))
    done = keep_up(on_listed=lambda _: ledger.end_run("slow", "done", "", at=NOW))
    assert done.removed == ()
    assert ledger.run("slow").status == "done"


# -- prices ------------------------------------------------------------------------------------------------------------


def bars(count, seed):
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    at = np.arange(count).astype("datetime64[D]") + np.datetime64("2023-01-02", "D").astype(int)
    given = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": np.full(count, 1e6)}
    return Bars(at, columns_of(given, count))


def a_history(ages, ticker="AAA", interval="1d"):
    """A ticker whose bars were revised throughout each time; returns what stood then, by age in days."""
    store, states = PriceStore(Path("data/prices")), {}
    about = About(ticker, interval, "yfinance", "XNYS")
    for number, days in enumerate(ages):
        with store.locked(ticker, interval):
            after = store.find(ticker, interval)
            new = bars(200 + number, seed=number)
            store.write(about, new, after=after, fetched_at=days_ago(days), start="", added=1)
        states[days] = new
    return store, states


def test_versions_of_prices_replaced_long_ago_go_and_the_others_read_the_same(ledger):
    store, states = a_history([900, 700, 500, 450, 410, 300, 10])
    before = sum(path.stat().st_size for path in Path("data/prices").rglob("*.parquet"))
    done = keep_up()
    assert [(item.name, item.why) for item in done.removed] == [
        ("AAA 1d", "4 versions, fetched 2024-06-03 to 2025-08-27")
    ]
    after = sum(path.stat().st_size for path in Path("data/prices").rglob("*.parquet"))
    assert 0 < after < before
    assert done.freed > 0.9 * (before - after)
    for days in (410, 300, 10):
        assert store.read("AAA", as_of=days_ago(days)).bars.sha256 == states[days].sha256
        assert store.read("AAA", as_of=days_ago(days - 1)).bars.sha256 == states[days].sha256
    assert store.read("AAA").bars.sha256 == states[10].sha256
    for days in (900, 600, 411):
        with pytest.raises(PriceError, match="were dropped by `s2squant maintain`"):
            store.read("AAA", as_of=days_ago(days))
    with pytest.raises(PriceError, match="not stored yet"):
        store.read("AAA", as_of=days_ago(901))
    assert len(store.versions("AAA")) == 3
    assert keep_up().listed == ()


def test_versions_that_a_forecast_was_made_of_stay(ledger):
    ages = [900, 700, 500, 450, 410, 300, 10]
    store, states = a_history(ages)
    moments = {days: store.read("AAA", as_of=days_ago(days)).version.fetched_at for days in ages}
    issue = an_issue(cutoff=days_ago(399).date())
    ledger.issue("other", "run-1", [issue.__class__(**{**issue.__dict__, "prices_at": moments[700]})], at=NOW)
    facts = {"price_versions": {"AAA": moments[450]}}
    ledger.end_run("run-1", "done", "", at=NOW, facts=json.dumps(facts))
    keep_up()
    assert [v.fetched_at for v in store.versions("AAA")] == [moments[days] for days in (700, 450, 410, 300, 10)]
    for days in (700, 450, 410, 300, 10):
        assert store.read("AAA", as_of=days_ago(days)).bars.sha256 == states[days].sha256
    for days in (900, 500):
        with pytest.raises(PriceError, match="were dropped"):
            store.read("AAA", as_of=days_ago(days))


def test_a_compacted_ticker_goes_on_as_before(ledger):
    store, states = a_history([900, 700, 500, 10])
    keep_up()
    numbers = [version.version for version in store.versions("AAA")]
    new = bars(230, seed=99)
    with store.locked("AAA"):
        after = store.find("AAA")
        written = store.write(after.about, new, after=after, fetched_at=NOW, start="", added=1)
        store.checked(after.about, checked_at=NOW)
    assert numbers == [3, 4]
    assert written.version.version == 5
    assert store.read("AAA").bars.sha256 == new.sha256
    assert store.read("AAA", as_of=days_ago(10)).bars.sha256 == states[10].sha256
    with pytest.raises(PriceError, match="were dropped"):
        store.read("AAA", as_of=days_ago(800))
    ledger.end_run("run-1", "done", "", at=NOW)
    later = maintain(settings(), KEEP, now=NOW + timedelta(days=500))
    assert [item.part for item in later.removed] == ["prices"]
    assert store.read("AAA").bars.sha256 == new.sha256
    with pytest.raises(PriceError, match="were dropped"):
        store.read("AAA", as_of=days_ago(5))


def test_a_damaged_ticker_stops_no_other(ledger):
    store, states = a_history([900, 500, 10])
    a_history([900, 500, 10], "BBB")
    path = next(Path("data/prices/1d").glob("AAA-*/bars.*.parquet"))
    path.write_bytes(b"not parquet")
    done = keep_up()
    assert [item.name for item in done.removed] == ["BBB 1d"]
    assert len(done.failures) == 1
    assert "prices: AAA 1d: AAA: its files in the price store are damaged" in done.failures[0]
    assert store.read("BBB", as_of=days_ago(10)).bars.sha256 == states[10].sha256


def test_bars_within_the_day_are_compacted_too(ledger):
    store, _ = a_history([900, 500, 10], interval="1h")
    keep_up()
    assert len(store.versions("AAA", "1h")) == 2


# -- killed in the middle ----------------------------------------------------------------------------------------------


def killed_at(number):
    """Run upkeep in this process, and end it at its n-th step on the disk, as a kill would."""
    steps = 0
    for name in ("unlink", "rename", "replace", "rmdir"):
        real = getattr(os, name)

        def counted(*given, real=real, **named):
            nonlocal steps
            steps += 1
            if steps > number:
                os._exit(9)
            return real(*given, **named)

        setattr(os, name, counted)
    keep_up()
    os._exit(0)


def everything(store, states, kept, gone):
    """Whether all that stays can be read, and whatever else is there is whole."""
    assert store.read("AAA").bars.sha256 == states[10].sha256
    for days in (410, 300, 10):
        assert store.read("AAA", as_of=days_ago(days)).bars.sha256 == states[days].sha256
    if len(store.versions("AAA")) == 3:
        with pytest.raises(PriceError, match="were dropped"):
            store.read("AAA", as_of=days_ago(500))
    else:
        for days in (900, 700, 500, 450):
            assert store.read("AAA", as_of=days_ago(days)).bars.sha256 == states[days].sha256
    for path in (*kept, *(path for path in gone if path.exists())):
        assert {p.name for p in path.iterdir()} == {"assets", "index.html", "manifest.json"}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # it has threads, and the child needs none of them
@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_leaves_everything_readable(site, stride):
    context = multiprocessing.get_context("fork")
    number, ended, kills = 0, False, 0
    while not ended:
        for place in ("reports", "data"):
            shutil.rmtree(place, ignore_errors=True)
        ledger = Ledger()
        ledger.start_run(a_run(at=NOW))
        ledger.start_run(a_run("died", at=days_ago(2)))
        store, states = a_history([900, 700, 500, 450, 410, 300, 10])
        gone, kept = [a_folder(f"old-{n}", days_ago(91)) for n in range(2)], [a_folder("young", days_ago(1))]
        old = weights("a")
        enter(ledger, "a", 500)
        enter(ledger, "b", 1)
        process = context.Process(target=killed_at, args=(number,))
        process.start()
        process.join()
        assert process.exitcode in (0, 9)
        ended = process.exitcode == 0
        everything(store, states, kept, gone)
        done = keep_up()
        assert done.failures == ()
        everything(store, states, kept, gone)
        assert not any(path.exists() for path in (*gone, old, Path("reports/.trash")))
        assert len(store.versions("AAA")) == 3
        assert len(list(Path("data/prices").rglob("bars.*"))) <= 2, "the next version sweeps the other"
        assert ledger.run("died").status == "dead"
        number += stride
        kills += not ended
    assert kills > 10 / stride, "hardly a step was interrupted: the test tests nothing"


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_lists_removes_and_tells(ledger, capsys):
    now = datetime.now(UTC)
    ledger.end_run("run-1", "done", "", at=now)
    a_folder("old", now - timedelta(days=91))
    assert cli.main(["maintain", "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("runs    reports/nightly/old: finished ")
    assert out[1] == "1 x folder of a run; 0.0 MB would be freed"
    assert cli.main(["maintain", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in told["removed"]] == ["reports/nightly/old"]
    assert told["freed_bytes"] > 1500
    assert cli.main(["maintain"]) == 0
    assert capsys.readouterr().out == "nothing; 0.0 MB freed\n"


def test_the_command_reads_a_nightly_and_its_own_limits(ledger, capsys):
    Path("mine.toml").write_text('name = "mine"\n')
    now = datetime.now(UTC)
    a_folder("week-old", now - timedelta(days=7), flow="mine")
    a_folder("week-old", now - timedelta(days=7))
    assert cli.main(["maintain", "mine.toml", "--runs", "5"]) == 0
    assert "reports/mine/week-old" in capsys.readouterr().out
    assert not Path("reports/mine/week-old").exists()
    assert Path("reports/nightly/week-old").exists()
    assert cli.main(["maintain", "missing.toml"]) == 2


def test_the_command_says_what_it_could_not_do(site, monkeypatch, capsys):
    (site / "no-database").write_bytes(b"not a database, and long enough to look at" * 100)
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(site / "no-database")))
    assert cli.main(["maintain"]) == 3
    said = capsys.readouterr()
    assert said.err.startswith("not done: dead runs, weights and prices are left alone: the ledger sqlite:///")
    assert len(said.err.splitlines()) == 1


def test_the_parts_are_the_parts():
    assert set(retention.PARTS) == {"dead", "runs", "studies", "models", "prices"}
