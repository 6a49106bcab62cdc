"""The same run again, by other numbers of workers, on another clock and in another language: the same files.

Which run it was, when, and how it was carried out stand in manifest.json and on the index page alone.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.faults.harness import times
from tests.worlds.runs import COMMAND, FEW, TINY, environment, options, stock_days, write_prices

pytestmark = pytest.mark.slow
ABOUT_THE_RUN = {"manifest.json", "index.html"}


def test_workers_zone_and_language_change_no_file(tmp_path):
    for seed, ticker in enumerate(("AAA", "BBB")):
        write_prices(tmp_path / "prices", ticker, stock_days(), seed)
    asked = [f"csv:{tmp_path}/prices", *options(TINY if times(1, 0) else FEW), "--quiet", "--out"]

    def run(name: str, *more: str, **surroundings: str) -> dict[str, bytes]:
        subprocess.run(
            [*COMMAND, "backtest", "--source", *asked, name, *more],
            check=True,
            cwd=tmp_path,
            env=environment() | {"S2SQUANT_TRIALS": ""} | surroundings,
            stdout=subprocess.DEVNULL,
        )
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    one = run("one", "--workers", "1")
    others = [run("two", "--workers", "2", TZ="Asia/Tokyo", LC_ALL="de_DE.UTF-8", PYTHONHASHSEED="7")]
    if times(1, 0):
        others.append(run("dask", "--workers", "2", "--engine", "dask", TZ="America/New_York"))
    for other in others:
        assert set(other) == set(one)
        assert {name for name in one if other[name] != one[name]} <= ABOUT_THE_RUN
