"""Random settings and random files through the command line: a mistake is one line and exit status 2, none a fault."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from s2squant.cli.app import main
from s2squant.cli.exits import exit_status_of
from s2squant.config.experiment import (
    Experiment,
    RecalibrationSpec,
    StrategySpec,
    VerdictSpec,
    Walk,
)
from s2squant.config.files import build_experiment
from s2squant.config.models import Forecasters
from s2squant.study import backtest
from tests.faults.harness import tell, times
from tests.worlds.runs import stock_days, write_prices
from tests.worlds.settings import TEXTS, of_part

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CHEAP = ("historical_simulation", "random_walk", "ewma_t", "har", "garch_t", "theta")


def one_line(told: str) -> bool:
    """Whether standard error is one error, on one line."""
    lines = [line for line in told.splitlines() if not line.startswith(("warning: ", "note: "))]
    return len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in told


def test_a_file_of_settings_is_taken_or_refused_in_one_line(tmp_path, capsys):
    """What `config` prints is read back as it is."""
    rng, said = random.Random(0), Counter[str]()
    for number in range(times(1_000, 60)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(of_part(Experiment, rng, odd=rng.choice([0, 0.01, 0.2]), share=0.05)))
        status = main(["config", str(path)])
        told = capsys.readouterr()
        if status == 0:
            path.write_text(told.out)
            assert main(["config", str(path)]) == 0
            assert capsys.readouterr().out == told.out
            said["taken, and read back"] += 1
        else:
            said["refused" if status == 2 and one_line(told.err) else f"exit status {status}: {told.err}"] += 1
    with capsys.disabled():
        tell("settings", said, "taken, and read back", "refused")
    assert said["taken, and read back"] > number / 20


def small(rng: random.Random, prices: Path) -> dict[str, object]:
    """Random settings of a run of a second: every part drawn, but how much is computed."""
    odd = rng.choice([0, 0, 0.02])
    asked = {
        "verdict": of_part(VerdictSpec, rng, odd=odd),
        "recalibration": of_part(RecalibrationSpec, rng, odd=odd),
        "strategy": of_part(StrategySpec, rng, odd=odd),
        "forecasters": of_part(Forecasters, rng, odd=odd, share=0.05),
        "walk": of_part(Walk, rng, odd=odd),
        "seed": rng.choice([0, 1, 2**31 - 1, rng.randrange(10**9)]),
        "name": rng.choice(TEXTS),
        "universe": {"source": f"csv:{prices}"} | rng.choice([{}, {"start": "2015-03-01"}, {"accept": ["all"]}]),
    }
    models = rng.sample(CHEAP, rng.randint(1, 3))
    asked["forecasters"] |= {"models": models, "extra": []}  # type: ignore[operator]
    asked["verdict"] |= {name: rng.choice(models) for name in ("reference", "recommended")}  # type: ignore[operator]
    asked["verdict"]["rival"] = rng.choice(["", *models])  # type: ignore[index]
    asked["walk"] |= {"horizon": rng.randint(1, 4), "cutoffs": rng.randint(2, 4), "min_train": 300}  # type: ignore[operator]
    if rng.random() < 0.3:
        asked["covariates"] = [{"name": "weekday", "calendar": "weekday"}]
    return asked


def run(path: Path) -> int:
    """The backtest of a file of settings, in this process; its own experiment is read back."""
    folder, _ = backtest(build_experiment(path, ()), path.with_suffix(""), workers=0)
    text = (folder / "experiment.json").read_text()
    assert build_experiment(folder / "experiment.json", ()).to_json() == text
    shutil.rmtree(folder)  # a thousand of them would fill a small disk
    return 0


def test_what_config_takes_backtest_takes(tmp_path, capsys, monkeypatch):
    """Where prices do not suffice for what is asked, one line says so; settings are no surprise any more."""
    monkeypatch.setenv("S2SQUANT_TRIALS", "")
    write_prices(tmp_path / "prices", "AAA", stock_days(420), 0)
    said = Counter[str]()
    for number in range(times(1_000, 15)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(small(random.Random(f"experiment {number}"), tmp_path / "prices")))
        if (status := main(["config", str(path)])) != 0:
            told = capsys.readouterr().err
            said["refused by config" if status == 2 and one_line(told) else f"config {status}: {told}"] += 1
            continue
        capsys.readouterr()

        status, told = exit_status_of(partial(run, path), "backtest"), capsys.readouterr().err
        if status == 2 and one_line(told) and re.search(r"bars|cutoffs|sessions|refit", told):
            said["too few prices"] += 1
        else:
            said["run" if status == 0 else f"backtest {status}: {path.read_text()} {told[-1500:]}"] += 1
    with capsys.disabled():
        tell("experiments", said, "run", "refused by config", "too few prices")
    assert said["run"] > number / 4


WORDS = ("Date", "Close", "Adj Close", "Open", "Volume", "Ticker", "", " ", "\ufeff", "Ä", '"', "'", "=1+1", "\0", "#")
CELLS = ("", "nan", "inf", "-inf", "1e999", "-1", "0", "1,234.5", "1.234,5", "2024-02-30", "1600-01-01", "9999-12-31")
CELLS += ("20240102", "44900", "1704153600", "x" * 300, "NULL", "$12", "1%", '"', "\r", "\x85", "12:00", "2024-01-02T")


def price_file(rng: random.Random) -> bytes:
    """A price file of which a part was made into something else; sometimes bytes of nothing."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(2_000))
    days = stock_days(rng.choice([0, 1, 2, 30, 400]))
    close = 100 * np.exp(np.cumsum(np.random.default_rng(rng.randrange(10**6)).normal(0, 0.01, len(days))))
    separator = rng.choice(",,,;\t|")
    rows = [["Date", "Close"], *([str(day), f"{price:.4f}"] for day, price in zip(days, close, strict=True))]
    for _ in range(rng.choice([0, 1, 3, 40])):
        row = rows[rng.choice([0, rng.randrange(len(rows))])]
        match rng.randrange(6):
            case 0:
                row.insert(rng.randrange(len(row) + 1), rng.choice(WORDS + CELLS))
            case 1 if row:
                row.pop(rng.randrange(len(row)))
            case 2 if row:
                row[rng.randrange(len(row))] = rng.choice(WORDS + CELLS)
            case 3:
                rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
            case 4:
                rng.shuffle(rows) if rng.random() < 0.2 else row.reverse()
            case _:
                rows.insert(rng.randrange(len(rows)), [rng.choice(WORDS + CELLS) for _ in range(rng.randrange(5))])
    text = rng.choice(["\n", "\n", "\r\n", "\r"]).join(separator.join(row) for row in rows)
    data = text.encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]), "replace")
    if rng.random() < 0.2 and data:
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        data = bytes(damaged)
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data


def test_a_price_file_is_read_or_named(tmp_path, capsys):
    """`prices check` on a folder of three: 0 where all can be used, 3 where one cannot, 2 where nothing can be read."""
    rng, said = random.Random(2), Counter[str]()
    write_prices(tmp_path / "prices", "GOOD", stock_days(400), 0)
    for _ in range(times(1_000, 60)):
        (tmp_path / "prices" / "ODD.csv").write_bytes(price_file(rng))
        status = main(["prices", "check", f"csv:{tmp_path}/prices"])
        told = capsys.readouterr()
        named = f"{1 if status else 2} of 2 tickers can be used"
        right = status in (0, 3) and named in told.out and "Traceback" not in told.err
        said[{0: "read", 3: "refused, and named"}[status] if right else f"exit status {status}: {told.err}"] += 1
    with capsys.disabled():
        tell("price files", said, "read", "refused, and named")
    assert min(said.values()) > 5
