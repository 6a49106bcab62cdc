"""A study written and read back gives the same pages, byte for byte; a folder that is not ours is refused in a line."""

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from s2squant import __version__
from s2squant.cli.app import main
from s2squant.errors import CallerError
from s2squant.evaluation.results import Study
from s2squant.report.study_pages import render
from s2squant.runs.folder import RunFolder
from s2squant.runs.study_files import load_study, write_study
from tests.report.factory import HOSTILE, make_study
from tests.report.factory_more import FINDINGS, filled

SMALL = {"ACME": "XNYS", HOSTILE: "XLON"}


def written(path, study: Study) -> RunFolder:
    folder = RunFolder(path)
    write_study(folder, study)
    folder.write_pages(render(study))
    of_the_run = {"run_id": study.run_id, "created_at": study.created_at}
    folder.write_text("manifest.json", json.dumps(of_the_run | dict(study.provenance)) + "\n")
    return folder


@pytest.fixture(scope="module")
def whole() -> Study:
    study = filled(make_study(tickers=SMALL, bars=700, cutoffs=4, horizon=5))
    bars = {"open": study.histories["ACME"].adj_close, "volume": np.full(700, 1e6)}
    histories = {t: replace(h, bars=bars if t == "ACME" else {}, findings=FINDINGS) for t, h in study.histories.items()}
    histories["ACME"] = replace(histories["ACME"], events={"splits": np.where(np.arange(700) == 350, 2.0, 0.0)})
    return replace(study, histories=histories, rows={"scores": 7_654_321})


@pytest.fixture(scope="module")
def folder(whole, tmp_path_factory):
    return written(tmp_path_factory.mktemp("runs") / "one", whole).path


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "run")


def pages(path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.suffix in (".html", ".css", ".js")
    }


def test_what_was_written_is_read_back(whole, folder):
    back = load_study(folder)
    for field in fields(Study):
        before, after = getattr(whole, field.name), getattr(back, field.name)
        if isinstance(before, pd.DataFrame):
            pd.testing.assert_frame_equal(before, after, check_dtype=False)
        elif field.name == "portfolio":
            assert before.refused == after.refused
            for name in ("walked", "weights", "equity", "risk", "outlook", "parts"):
                pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name), check_dtype=False)
                assert (folder / f"tables/{'portfolio' if name == 'walked' else f'portfolio_{name}'}.parquet").is_file()
        elif field.name == "histories":
            assert {t: (h.sha256, h.findings, h.notes) for t, h in before.items()} == {
                t: (h.sha256, h.findings, h.notes) for t, h in after.items()
            }
        elif field.name == "folds":
            assert [(f.market, f.fit_date, f.horizon, [*f.cutoffs]) for f in before] == [
                (f.market, f.fit_date, f.horizon, [*f.cutoffs]) for f in after
            ]
        elif field.name == "attention":
            assert before.keys() == after.keys()
            assert all(np.array_equal(before[t], after[t]) for t in before)
        elif field.name == "tickers":
            assert list(before) == list(after)
        else:
            assert before == after, field.name


def test_the_report_of_the_files_is_the_report_of_the_run(folder, tmp_path):
    assert main(["report", str(folder), "--out", str(tmp_path / "again")]) == 0
    assert pages(tmp_path / "again") == pages(folder)
    assert "7,654,321" in (folder / "index.html").read_text(), "rows of a table that a report does not read"


def test_the_report_is_written_over_itself(copied):
    before = pages(copied)
    (copied / "index.html").write_text("lost")
    assert main(["report", str(copied)]) == 0
    assert pages(copied) == before


def test_a_bare_study_is_read_back_too(whole, tmp_path):
    empty = {f.name: pd.DataFrame() for f in fields(whole) if isinstance(getattr(whole, f.name), pd.DataFrame)}
    bare = replace(whole, tickers=(), folds=(), histories={}, provenance={}, attention={}, **empty)
    path = written(tmp_path / "bare", bare).path
    assert dict(render(load_study(path))) == dict(render(bare))


@pytest.mark.slow
def test_tickers_of_any_name_stay_inside_the_folder(tmp_path):
    names = ["../x", "A/B", "A\\B", "x" * 60, "日経", "ÅÄÖ", "con", "..", "<img onerror=alert(1)>", "-rf", "^GSPC"]
    study = make_study(tickers=dict.fromkeys(names, "XNYS"), bars=700, cutoffs=3, horizon=5)
    path = written(tmp_path / "deep" / "run", filled(study)).path
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"run"}
    assert len(list((path / "tickers").iterdir())) == len(names)
    assert main(["report", str(path), "--out", str(tmp_path / "again")]) == 0
    assert pages(tmp_path / "again") == pages(path)


def test_a_single_file(folder, tmp_path):
    assert main(["report", str(folder), "--single-file", "--out", str(tmp_path)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text()
    assert text.count("<template data-page=") == len(SMALL)
    assert 'href="#/tickers/acme.html"' in text
    assert "assets/" not in text.replace("window.assets/", "")


def refused(arguments, capsys) -> str:
    assert main(["report", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def test_no_folder(tmp_path, capsys):
    assert "no such folder" in refused([tmp_path / "none"], capsys)


def test_a_foreign_folder(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("Dear")
    assert "manifest.json" in refused([tmp_path], capsys)


def test_pages_do_not_go_among_foreign_files(folder, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("Dear")
    assert "no report" in refused([folder, "--out", tmp_path], capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_run_from_before_some_tables_opens_without_them(copied):
    kept = json.loads((copied / "study.json").read_text())
    for name in ("importance", "pairs", "energy", "misses", "groups", "cross_section"):
        del kept["tables"][name]
        (copied / "tables" / f"{name}.parquet").unlink()
    (copied / "study.json").write_text(json.dumps(kept))
    study = load_study(copied)
    assert study.pairs.empty
    assert not study.scorecard.empty
    text = dict(render(study))["index.html"].decode()
    assert 'id="scorecard"' in text
    assert 'id="pairs"' not in text


def test_an_older_run(copied, capsys):
    (copied / "study.json").unlink()
    assert "older" in refused([copied], capsys)


def test_a_run_of_another_version_whose_settings_are_unknown_is_one_line(copied, capsys):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"versions": {"s2squant": "99.1"}}))
    settings = json.loads((copied / "experiment.json").read_text())
    (copied / "experiment.json").write_text(json.dumps(settings | {"novel": 1}))
    said = refused([copied], capsys)
    assert said.endswith(f"; s2squant 99.1 wrote it, and this is {__version__}")
    assert "unknown key 'novel'" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.json", b"{"),
        ("study.json", b"[]"),
        ("study.json", b'{"format": 99}'),
        ("study.json", b'{"format": 1}'),
        ("study.json", b'{"format": 1, "tables": {}, "histories": {}, "folds": [], "attention": {}}'),
        ("experiment.json", b'{"nme": 1}'),
        ("experiment.json", b"\xff\xfe"),
        ("forecasts.parquet", b"PAR1 not really"),
        ("tables/leaderboard.parquet", b""),
        ("prices.parquet", None),
        ("attention.parquet", None),
        ("equity.parquet", "by_step"),
    ],
)
def test_damage_is_told_in_one_line(copied, name, content, capsys):
    match content:
        case None:
            (copied / name).unlink()
        case str():
            (copied / name).write_bytes((copied / "tables" / f"{content}.parquet").read_bytes())
        case _:
            (copied / name).write_bytes(content)
    said = refused([copied], capsys)
    assert str(copied) in said


def test_load_study_raises_what_callers_catch(tmp_path):
    with pytest.raises(CallerError):
        load_study(tmp_path)


def test_only_the_forecasts_a_report_needs_are_read(whole, folder):
    part = load_study(folder, models={"blend"}, without=("scores", "equity"))
    assert set(part.forecasts["model"]) == {"blend"}
    assert part.equity.empty
    assert list(part.equity.columns) == list(whole.equity.columns)
