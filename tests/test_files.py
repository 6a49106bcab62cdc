"""Values for JSON, and the file lock: one holder at a time, free again when its holder ends in any way."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from s2squant.files import json_values, locked, plain_cell, sealed, unsealed, write_atomic

HOLDER = """
import sys, time
from pathlib import Path
from s2squant.files import locked
with locked(Path(sys.argv[1]), wait=False) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def is_free(path):
    with locked(path, wait=False) as mine:
        return mine


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "lock"
    with locked(path, wait=False) as mine:
        assert mine
        assert not is_free(path)
    assert is_free(path)
    assert path.exists()


def test_an_error_of_the_block_frees_the_lock(tmp_path):
    with pytest.raises(BlockingIOError, match="the block's own"), locked(tmp_path / "lock", wait=False):
        raise BlockingIOError("the block's own")
    assert is_free(tmp_path / "lock")


def test_who_waits_gets_it_when_it_is_free(tmp_path):
    path, order = tmp_path / "lock", []

    def wait_for_it():
        with locked(path, wait=True) as mine:
            order.append(f"second {mine}")

    other = threading.Thread(target=wait_for_it)
    with locked(path, wait=True):
        other.start()
        time.sleep(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second True"]


def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        assert not is_free(path)
        process.kill()
        process.wait(10)
    assert is_free(path)


def test_a_lock_in_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "gone" / "lock", wait=False):
        pass


def test_values_become_what_json_has() -> None:
    value = {"a": np.float64("nan"), 2: (np.int64(3), np.array([1.5, np.inf])), "c": [True, None, "x"]}
    assert json_values(value) == {"a": None, "2": [3, [1.5, None]], "c": [True, None, "x"]}
    with pytest.raises(TypeError, match="no value for a object"):
        json_values({"a": object()})


def test_the_umask_decides_who_reads_a_file(tmp_path):
    before = os.umask(0o027)
    try:
        for number, umask in enumerate((0o077, 0o022, 0o002)):
            os.umask(umask)
            write_atomic(tmp_path / f"{number}", "text")
            assert (tmp_path / f"{number}").stat().st_mode & 0o777 == 0o666 & ~umask
    finally:
        os.umask(before)
    assert not list(tmp_path.glob(".*"))


def test_the_folder_is_on_the_disk_after_its_file_has_its_name(tmp_path, monkeypatch):
    seen = []

    def note(handle, fsync=os.fsync):
        seen.append((str(Path(f"/proc/self/fd/{handle}").readlink()), (tmp_path / "file").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    write_atomic(tmp_path / "file", "text")
    assert [there for _, there in seen] == [False, True]
    assert seen[1][0] == str(tmp_path)


def test_every_flipped_bit_of_a_sealed_object_is_noticed():
    text = sealed({"b": [1, 2.5, None, "é"], "a": {"nested": True}}).encode()
    whole = unsealed(text, since="b")
    assert whole == {"a": {"nested": True}, "b": [1, 2.5, None, "é"]}
    assert unsealed('{"a": 1}', since="b") == {"a": 1}  # of a version without checksums
    refused = 0
    for place, bit in itertools.product(range(len(text)), range(8)):
        damaged = bytearray(text)
        damaged[place] ^= 1 << bit
        try:
            assert unsealed(bytes(damaged), since="b") == whole
        except ValueError:
            refused += 1
    assert refused > 7 * len(text)


def test_a_cell_that_a_spreadsheet_would_run_has_an_apostrophe_before_it():
    assert [plain_cell(cell) for cell in ("=1+1", "+1", "-x", "@SUM(A1)", "\tx", "AAPL", "a=b", "", -1.5, None)] == [
        *("'=1+1", "'+1", "'-x", "'@SUM(A1)", "'\tx", "AAPL", "a=b", "", -1.5, None)
    ]
