"""The list of runs says what became of each, names lead to one run or to a sentence, and two runs are paired fairly."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from s2squant.cli.app import main
from s2squant.cli.commands.compare import compare
from s2squant.config.differences import differences
from s2squant.config.files import make_experiment
from s2squant.errors import RunError
from s2squant.evaluation.paired_runs import pair_runs
from s2squant.report.runs_page import runs_page
from s2squant.report.study_pages import render
from s2squant.runs.folder import RunFolder
from s2squant.runs.manifest import manifest
from s2squant.runs.run_list import find_run, list_runs, write_list
from s2squant.runs.study_files import write_study
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.report.factory import HOSTILE, make_study

ONE, OTHER = "20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"


def wider(study):
    """The study of a run whose bands are eight times as wide, on the last cutoffs only."""
    last = study.forecasts["cutoff"] > study.forecasts["cutoff"].min()
    forecasts = study.forecasts[last].copy()
    forecasts[list(QUANTILE_COLUMNS)] *= 8
    experiment = study.experiment.model_copy(update={"seed": 7})
    return replace(study, run_id=OTHER, forecasts=forecasts, experiment=experiment)


@pytest.fixture(scope="module")
def studies():
    study = replace(make_study(tickers={"ACME": "XNYS", HOSTILE: "XLON"}, bars=700, cutoffs=24, horizon=5), run_id=ONE)
    return study, wider(study)


@pytest.fixture(scope="module")
def written(studies, tmp_path_factory):
    """A folder in which both runs have finished, the second last; its page is another's."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        pages = list(render(studies[0], runs="../index.html"))
        for study in studies:
            folder = RunFolder(place / "reports" / "backtest" / study.run_id)
            assert folder.runs_page == "../index.html"
            write_study(folder, study)
            folder.write_pages(pages)
            folder.finish(manifest(study))
            write_list(folder, runs_page)
    return place


@pytest.fixture
def reports(written, tmp_path, monkeypatch):
    shutil.copytree(written, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy" / "reports"


def test_the_list_holds_what_finished_and_what_did_not(reports, studies):
    begun = RunFolder(reports / "backtest" / "20260103T000000Z-cccccc")
    begun.claim({"experiment": {"name": "my own"}, "prices": {"ACME": "0"}})
    entries = {entry.run_id: entry for entry in list_runs()}
    assert entries[begun.name].status == "under way"
    begun.release()
    stopped = next(entry for entry in list_runs() if entry.run_id == begun.name)
    assert (stopped.status, stopped.name, stopped.tickers) == ("stopped", "my own", ("ACME",))
    one = entries[ONE]
    board = studies[0].leaderboard.set_index("model").loc[studies[0].experiment.verdict.recommended]
    assert (one.status, one.word) == (studies[0].status, studies[0].word)
    assert set(one.tickers) == {report.ticker for report in studies[0].tickers} > {"ACME", HOSTILE}
    assert (one.skill, one.low, one.high) == pytest.approx(tuple(board[["effect", "effect_low", "effect_high"]]))


def test_pages_lead_to_the_list_and_back(reports):
    assert (reports / "latest").resolve() == reports / "backtest" / OTHER
    for page, way in ((reports / "index.html", ""), (reports / "backtest" / "index.html", "../")):
        text = page.read_text(encoding="utf-8")
        assert f'href="{way}backtest/{ONE}/index.html"' in text
        assert HOSTILE not in text
    for way in ("latest", f"backtest/{ONE}"):
        page = reports / way / "index.html"
        assert 'href="../index.html">All runs' in page.read_text(encoding="utf-8")
        assert (page.parent / "../index.html").resolve().is_file()
    ticker = next((reports / "backtest" / ONE / "tickers").iterdir())
    assert 'href="../../index.html">All runs' in ticker.read_text(encoding="utf-8")


def test_a_run_elsewhere_knows_no_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "elsewhere")
    write_list(folder, runs_page)
    assert folder.runs_page == ""
    assert not (tmp_path / "reports").exists()


def test_a_folder_called_latest_is_left_alone(reports):
    (reports / "latest").unlink()
    (reports / "latest").mkdir()
    write_list(RunFolder(reports / "backtest" / ONE), runs_page)
    assert not (reports / "latest").is_symlink()


def test_a_run_is_found_by_name_beginning_folder_and_latest(reports):
    assert find_run("20260101").name == ONE
    assert find_run(f"backtest/{OTHER}").name == OTHER
    assert find_run("latest").name == OTHER
    tuned = reports / "tune" / "20250401T000000Z-00ff00"
    tuned.mkdir(parents=True)
    for name in ("manifest.json", "index.html"):
        (tuned / name).write_text("{}")
        os.utime(tuned / name, (4e9, 4e9))
    assert find_run("latest").resolve() == tuned
    assert find_run("latest", holding="study.json").name == OTHER
    with pytest.raises(RunError, match="is no backtest"):
        compare(OTHER, str(tuned))
    assert find_run(str(reports / "backtest" / ONE)).name == ONE
    for wanted, why in (("2026", "2 runs begin so"), ("1999", "no such run")):
        with pytest.raises(RunError, match=why):
            find_run(wanted)


def test_wider_bands_lose_on_the_common_cutoffs_alone(studies):
    one, other = studies
    paired = pair_runs(one, other)
    assert paired.cutoffs == one.forecasts.loc[one.forecasts["y"].notna(), "cutoff"].nunique() - 1
    assert paired.pooled["effect"].iloc[0] < -0.2
    assert paired.pooled["high"].iloc[0] < 0
    assert paired.by_ticker["pool"].tolist() == ["ACME", HOSTILE]
    assert paired.over_time["cumulative"].iloc[-1] / len(paired.over_time) == pytest.approx(
        100 * paired.pooled["effect"].iloc[0]
    )
    same = pair_runs(one, one)
    assert same.pooled["effect"].iloc[0] == 0.0


def test_revised_outcomes_are_left_out_and_strangers_refused(studies):
    one, other = studies
    day = other.forecasts["cutoff"].unique()[0]
    moved = other.forecasts["y"].where(other.forecasts["cutoff"] != day, other.forecasts["y"] + 0.01)
    paired = pair_runs(one, replace(other, forecasts=other.forecasts.assign(y=moved)))
    assert paired.revised == pair_runs(one, other).units - paired.units > 0
    strangers = replace(other, forecasts=other.forecasts.assign(y=other.forecasts["y"] + 1))
    with pytest.raises(RunError, match="their prices differ"):
        pair_runs(one, strangers)


def test_settings_that_differ_are_named_as_they_are_set():
    one = make_experiment({})
    other = make_experiment({"walk": {"horizon": 5}, "universe": {"calendars": {"A.B": "XNYS"}}})
    assert differences(one, other) == [
        ("universe.calendars", {}, None),
        ("walk.horizon", 20, 5),
        ("universe.calendars.A.B", None, "XNYS"),
    ]
    assert differences(one, one) == []


def test_the_commands_say_it(reports, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda page: opened.append(page) or True)
    assert main(["runs", "--json"]) == 0
    assert [run["run_id"] for run in json.loads(capsys.readouterr().out)] == [OTHER, ONE]
    assert main(["runs"]) == 0
    assert f"backtest/{ONE}" in capsys.readouterr().out
    assert main(["compare", "20260101", "latest"]) == 0
    said = capsys.readouterr().out
    assert "B is worse" in said
    assert "seed" in said
    page = reports / "compare" / f"{ONE}..{OTHER}" / "index.html"
    assert said.endswith(f"page: {page.as_uri()}\n")
    assert HOSTILE not in page.read_text(encoding="utf-8")
    assert main(["compare", ONE, OTHER, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert np.isfinite(plain["gain_of_B"]["effect"])
    assert plain["settings"] == {"seed": {"A": 0, "B": 7}}
    assert main(["open", "20260101"]) == 0
    assert opened == [(reports / "backtest" / ONE / "index.html").as_uri()]
    assert main(["open", "2026"]) == 2
