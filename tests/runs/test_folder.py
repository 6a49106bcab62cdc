"""The run's folder: whole files or none, models that are what was saved, and one writer at a time."""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from s2squant.cli.app import main
from s2squant.errors import CheckpointError, RunError
from s2squant.files import safe_name, write_atomic
from s2squant.runs.folder import RunFolder
from s2squant.series.forecast import State
from s2squant.series.states import load_state, save_state

HOSTILE = [
    "../../x",
    "/etc/passwd",
    "..",
    ".",
    "",
    "<b>",
    "a/b",
    "a\\b",
    "C:\\x",
    "con",
    "A\nB",
    "日本",
    "x" * 500,
    "-rf",
    "~",
]
IDENTITY = {"experiment": {"seed": 0}, "prices": {"A": "00"}, "version": "1"}


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, lambda at: at.write_text("old") and None)

    def break_off(at):
        at.write_text("half of the ne")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomic(path, break_off)
    assert path.read_text() == "old"
    assert tree(tmp_path) == ["deep", "deep/file.txt"]
    with pytest.raises(RuntimeError, match="disk full"):
        write_atomic(tmp_path / "new.txt", break_off)
    assert not (tmp_path / "new.txt").exists()


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, lambda at: at.write_text("old") and None)
    seen = []

    def look(at):
        at.write_text("new")
        seen.append(path.read_text())
        assert at.parent == path.parent  # a rename between file systems would copy

    write_atomic(path, look)
    assert seen == ["old"]
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("key", HOSTILE)
def test_any_text_makes_a_harmless_name(key, tmp_path):
    name = safe_name(key)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,60}", name)
    assert not name.startswith(".")
    for path in (RunFolder(tmp_path).part(key, "done.json"), RunFolder(tmp_path).model(key, key)):
        assert path.resolve().is_relative_to(tmp_path.resolve())
        assert path.parent.name in ("work", "models")


def test_no_two_texts_share_a_name():
    keys = [*HOSTILE, "a_b", "a b", "A", "a", "a/b ", "日", "x" * 499]
    assert len({safe_name(key).lower() for key in keys}) == len(keys)


# --- models ----------------------------------------------------------------------------------------------------------


def state():
    arrays = {
        "weights": np.random.default_rng(0).normal(size=(3, 4)),
        "small": np.arange(5, dtype=np.float32)[::-1],  # not contiguous
        "transposed": np.arange(6).reshape(2, 3).T,
        "none": np.empty((0, 2)),
    }
    return State(arrays, {"kind": "test", "tickers": ["<b>", "日本"], "nested": {"a": [1, 2.5, None, True]}})


def test_a_state_comes_back_as_it_was(tmp_path):
    path = tmp_path / "models" / "m.safetensors"
    save_state(path, state())
    back = load_state(path)
    assert dict(back.meta) == dict(state().meta)
    assert set(back.arrays) == set(state().arrays)
    for name, array in state().arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array)
    assert tree(tmp_path) == ["models", "models/m.safetensors"]


def test_a_truncated_model_is_refused_at_any_length(tmp_path):
    path = tmp_path / "m.safetensors"
    save_state(path, state())
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, *range(10, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"m\.safetensors: not a readable model file"):
            load_state(path)


def test_a_flipped_bit_anywhere_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_state(path, state())
    whole = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    silent = []
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        try:
            back = load_state(path)
        except CheckpointError:
            continue
        same = dict(back.meta) == dict(state().meta) and set(back.arrays) == set(state().arrays)
        if not (same and all(np.array_equal(back.arrays[k], v) for k, v in state().arrays.items())):
            silent.append(at)
        assert at < header  # white space of the header may change; a weight may not
    assert silent == []


def test_equal_states_are_equal_bytes(tmp_path):
    paths = [tmp_path / f"{n}.safetensors" for n in range(20)]
    for path in paths:
        save_state(path, state())
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize(
    "header",
    [None, {}, {"other": "x"}, *({"s2squant": t} for t in ("{}", "{", "[]", "7", '{"meta": 5, "sha256": ""}'))],
)
def test_a_foreign_file_is_refused(tmp_path, header):
    path = tmp_path / "m.safetensors"
    save_file({"weights": np.zeros(3)}, path, metadata=header)
    with pytest.raises(CheckpointError):
        load_state(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 this is no model", b"\x00" * 100, b"\xff" * 100, b"{}"])
def test_anything_else_is_refused(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_state(path)
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError):
        load_state(tmp_path)


# --- the folder's owner ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def fill(folder, key="ticker:A"):
    folder.save_part(key, pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [2]}), {"seconds": 0.5})


def refusal(folder, identity=None):
    before = tree(folder.path) if os.path.isdir(folder.path) else None  # noqa: PTH112 (is_dir raises on a long name)
    with pytest.raises(RunError) as caught:
        folder.claim(IDENTITY if identity is None else identity)
    assert before == (tree(folder.path) if os.path.isdir(folder.path) else None)  # noqa: PTH112
    text = str(caught.value)
    assert text.startswith(f"{folder.path}: ")
    assert "\n" not in text
    return text


def test_a_fresh_or_empty_folder_is_claimed(folder, tmp_path):
    assert folder.claim(IDENTITY) is False
    folder.release()
    (tmp_path / "empty").mkdir()
    other = RunFolder(tmp_path / "empty")
    assert other.claim(IDENTITY) is False
    other.release()


def test_the_parts_of_the_same_run_are_taken_up(folder):
    folder.claim(IDENTITY)
    assert not folder.is_done("ticker:A")
    fill(folder)
    folder.release()
    again = RunFolder(folder.path)
    assert again.claim(json.loads(json.dumps(IDENTITY))) is True
    assert again.is_done("ticker:A")
    assert not again.is_done("ticker:B")
    forecasts, training, facts = again.read_part("ticker:A")
    assert (forecasts["a"][0], training["b"][0], facts) == (1, 2, {"seconds": 0.5})
    again.release()


def test_parts_read_together_are_the_parts_below_each_other(folder):
    folder.claim(IDENTITY)
    curves = pd.DataFrame({"model": ["net", "net"], "loss": [2.0, 1.0]})
    parts = {
        "one": (pd.DataFrame({"unique_id": ["A"], "step": np.array([1], np.int16), "y": [np.nan]}), curves),
        "none": (pd.DataFrame(), pd.DataFrame(columns=["model", "loss"])),
        "more": (
            pd.DataFrame({"unique_id": ["B"], "step": np.array([2], np.int16), "y": [0.5], "free": [True]}),
            curves,
        ),
    }
    for number, (key, (forecasts, training)) in enumerate(parts.items()):
        folder.save_part(key, forecasts, training, {"seconds": number})
    below, trained, facts = folder.read_parts(list(parts))
    expected = pd.concat([forecasts for forecasts, _ in parts.values()], ignore_index=True)
    pd.testing.assert_frame_equal(below[["unique_id", "step", "y"]], expected[["unique_id", "step", "y"]])
    assert below["free"].eq(True).tolist() == [False, True]
    pd.testing.assert_frame_equal(trained, pd.concat([curves, curves], ignore_index=True))
    assert [fact["seconds"] for fact in facts] == [0, 1, 2]
    without_rows = folder.read_parts(["none"])
    assert [len(table) for table in without_rows[:2]] == [0, 0]
    assert list(without_rows[1].columns) == ["model", "loss"]
    assert folder.read_parts([])[0].empty
    folder.release()


@pytest.mark.parametrize(
    "change",
    [{"version": "2"}, {"prices": {"A": "01"}}, {"prices": {"A": "00", "B": "00"}}, {"experiment": {"seed": 1}}],
)
def test_parts_of_another_run_are_refused(folder, change):
    folder.claim(IDENTITY)
    folder.release()
    assert "parts of a different run" in refusal(folder, IDENTITY | change)
    assert folder.claim(IDENTITY) is True  # and the refusal holds no lock
    folder.release()


@pytest.mark.parametrize("inside", ["notes.txt", "models/x", "work/thesis.txt", "work/ticker_A-0.done.json", ".hidden"])
def test_a_foreign_folder_is_refused_and_left_alone(folder, inside):
    path = folder.path / inside
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert "not empty and not a run of ours" in refusal(folder)
    assert path.read_text() == "mine"


def test_killed_before_its_stamp_stood_a_run_can_start_again(folder):
    (folder.path / "work").mkdir(parents=True)
    (folder.path / "work" / "lock").touch()
    (folder.path / "work" / ".identity.json.ab12.tmp").write_text('{"exp')
    assert folder.claim(IDENTITY) is False
    folder.release()


def test_the_temporary_files_of_a_killed_run_are_swept(folder):
    folder.claim(IDENTITY)
    fill(folder)
    folder.release()
    for stray in ("work/.ticker_A.xy.tmp", "models/.anchor.xy.tmp", ".forecasts.parquet.xy.tmp"):
        (folder.path / stray).parent.mkdir(exist_ok=True)
        (folder.path / stray).write_text("half")
    assert folder.claim(IDENTITY) is True
    assert not [name for name in tree(folder.path) if name.endswith(".tmp")]
    assert folder.is_done("ticker:A")
    folder.release()


def test_a_finished_run_is_refused(folder):
    folder.claim(IDENTITY)
    fill(folder)
    folder.finish({"status": "done"})
    assert tree(folder.path) == ["manifest.json"]
    assert "holds a finished run" in refusal(folder)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "not a folder" in refusal(RunFolder(tmp_path / "file"))
    for below in ("file/run", "file/a/b"):
        assert "cannot be written" in refusal(RunFolder(tmp_path / below))
    assert (tmp_path / "file").read_text() == "mine"
    assert "cannot be written" in refusal(RunFolder(tmp_path / ("x" * 300)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_place_one_may_not_write_is_refused(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "cannot be written" in refusal(RunFolder(tmp_path / "closed" / "run"))


HOLD = """
import sys
from pathlib import Path
from s2squant.runs.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print(folder.claim({"experiment": {"seed": 0}, "prices": {"A": "00"}, "version": "1"}), flush=True)
sys.stdin.read()
"""


def test_two_processes_cannot_hold_one_folder(folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "False\n"
        assert "another process is writing this run" in refusal(folder)
        assert "another process is writing this run" in refusal(folder, IDENTITY | {"version": "2"})
        other.kill()
    assert folder.claim(IDENTITY) is True  # a killed process holds nothing
    folder.release()


def test_two_claims_in_one_process_exclude_each_other_too(folder):
    folder.claim(IDENTITY)
    other = RunFolder(folder.path)
    assert "another process" in refusal(other)
    folder.release()
    assert other.claim(IDENTITY) is True
    other.release()


def test_a_run_that_finishes_while_another_waits_is_not_run_twice(folder, monkeypatch):
    """The second looked before the first one's manifest stood, and gets the lock after it."""
    folder.claim(IDENTITY)
    late = RunFolder(folder.path)
    look, looked = RunFolder._refuse_foreign, []

    def look_then_finish(self):
        look(self)
        if not looked:
            looked.append(True)
            folder.write_text("manifest.json", "{}")
            folder.release()

    monkeypatch.setattr(RunFolder, "_refuse_foreign", look_then_finish)
    with pytest.raises(RunError, match="holds a finished run"):
        late.claim(IDENTITY)


def test_a_worker_gets_the_folder_without_its_lock(folder):
    folder.claim(IDENTITY)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(os.fspath, (pool.apply(_path_of, (folder,)),)) == str(folder.path)
    assert "another process" in refusal(RunFolder(folder.path))
    folder.release()


def _path_of(folder):
    return folder.path


def test_fresh_folders_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = RunFolder.fresh("backtest", "abc")
    assert tree(tmp_path) == []  # nothing is created yet
    first.path.mkdir(parents=True)
    second = RunFolder.fresh("backtest", "abc")
    assert second.path != first.path
    assert first.path.parent == Path("reports/backtest")


# --- the report's pages ----------------------------------------------------------------------------------------------


def test_pages_are_written_below_the_folder(folder):
    folder.claim(IDENTITY)
    folder.write_pages([("index.html", b"a"), ("tickers/x.html", b"b"), ("a/../c.txt", b"c")])
    assert [n for n in tree(folder.path) if not n.startswith("work")] == [
        "c.txt",
        "index.html",
        "tickers",
        "tickers/x.html",
    ]
    folder.release()


@pytest.mark.parametrize(
    "name", ["../x.html", "/tmp/s2squant-escape.html", "tickers/../../x.html", "", ".", "link/x.html"]
)
def test_a_page_that_leaves_the_folder_is_refused(folder, tmp_path, name):
    folder.claim(IDENTITY)
    (tmp_path / "outside").mkdir()
    (folder.path / "link").symlink_to(tmp_path / "outside")
    outside = [n for n in tree(tmp_path) if not n.startswith("run")]
    with pytest.raises(ValueError, match="outside the run's folder"):
        folder.write_pages([(name, b"x")])
    assert [n for n in tree(tmp_path) if not n.startswith("run")] == outside
    assert not Path("/tmp/s2squant-escape.html").exists()
    folder.release()


def test_the_manifest_comes_before_the_parts_go(folder, monkeypatch):
    folder.claim(IDENTITY)
    fill(folder)

    def die(*args, **kwargs):
        assert (folder.path / "manifest.json").exists()
        raise SystemExit

    monkeypatch.setattr(shutil, "rmtree", die)
    with pytest.raises(SystemExit):
        folder.finish({"b": 1, "a": 2})
    written = json.loads((folder.path / "manifest.json").read_text())
    assert (written["a"], written["b"]) == (2, 1)
    assert folder.is_done("ticker:A")
    folder.release()


def test_quantiles_are_stored_split_by_byte_and_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.03, 4000).astype(np.float32)
    table = pd.DataFrame({"model": pd.Categorical(["a"] * 4000), "y": rng.normal(size=4000), "q0.500": values})
    folder = RunFolder(tmp_path)
    folder.write_table("forecasts.parquet", table)
    assert folder.read_table("forecasts.parquet").equals(table)
    table.to_parquet(tmp_path / "plain.parquet", index=False, compression="zstd")
    plain, split = ((tmp_path / f"{name}.parquet").stat().st_size for name in ("plain", "forecasts"))
    assert split < plain


# --- checksums -------------------------------------------------------------------------------------------------------


def flipped(path, place):
    """The file with one bit changed, a share `place` into it."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 4
    path.write_bytes(content)


def finished(path):
    folder = RunFolder(path)
    folder.claim(IDENTITY)
    folder.write_table("tables/t.parquet", pd.DataFrame({"x": [1.0, 2.0]}))
    folder.write_text("experiment.json", "{}")
    folder.write_pages([("index.html", b"page")])
    folder.finish({"status": "done"})
    return RunFolder(path)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["tables/t.parquet", "experiment.json", "manifest.json"])
def test_a_finished_run_is_read_as_it_was_written_or_not_at_all(tmp_path, name, place):
    folder = finished(tmp_path / "run")
    assert sorted(json.loads(folder.read_text("manifest.json"))["files"]) == [
        *("experiment.json", "index.html", "tables/t.parquet")
    ]
    flipped(folder.path / name, place)
    fresh = RunFolder(folder.path)
    with pytest.raises(RunError, match="damaged"):
        fresh.read_table(name) if name.endswith(".parquet") else fresh.read_json(name, after="manifest.json")


def test_pages_written_again_are_the_run_s_and_bless_no_damage(tmp_path):
    folder = finished(tmp_path / "run")
    flipped(folder.path / "tables" / "t.parquet", 0.5)
    RunFolder(folder.path).write_pages([("index.html", b"another")])
    again = RunFolder(folder.path)
    assert again.read_text("index.html") == "another"
    with pytest.raises(RunError, match="not the file that the run wrote"):
        again.read_table("tables/t.parquet")


def test_a_run_of_a_version_without_checksums_is_read(tmp_path):
    folder = finished(tmp_path / "run")
    (folder.path / "manifest.json").write_text('{"status": "done"}\n')
    flipped(folder.path / "experiment.json", 0.0)
    assert RunFolder(folder.path).read_text("experiment.json")


@pytest.mark.parametrize("kind", ["done.json", "forecasts.parquet", "training.parquet"])
def test_a_damaged_part_is_made_again(folder, kind):
    folder.claim(IDENTITY)
    fill(folder)
    key = "ticker:A"
    assert folder.is_done(key)
    flipped(folder.part(key, kind), 0.5)
    assert not folder.is_done(key)
    fill(folder)
    assert folder.is_done(key)


def test_a_folder_that_is_not_utf8_is_refused_before_the_work(tmp_path, capsys):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(RunError, match=r"xff.*not UTF-8|udcff.*not UTF-8"):
        RunFolder(Path(odd)).claim(IDENTITY)
    assert main(["backtest", "--source", "sample", "--out", odd]) == 2
    assert "is not UTF-8; rename the folder or file" in capsys.readouterr().err
    assert not Path(odd).exists()
