"""docs/covariates.md, word by word: its files in an empty folder, its commands one by one, its lines from Python."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment, parse_settings, validated
from s2squant.config.nightly import Nightly
from tests.worlds.runs import COMMAND, environment
from tests.worlds.synthetic import garch_panel

PAGE = (Path(__file__).parents[2] / "docs" / "covariates.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = re.findall(r"^    (s2squant .*|python .*)$", PAGE, flags=re.MULTILINE)


def test_every_table_of_settings_is_read():
    *tables, nightly = [parse_settings(text, form="toml", where="page") for form, text in BLOCKS if form == "toml"]
    assert [len(make_experiment(table).covariates) for table in tables] == [8, 3]
    assert validated(Nightly, nightly, where="page").experiment.covariates[0].ticker == "^VIX"


@pytest.mark.slow
def test_the_lines_from_python_run():
    code = next(text for form, text in BLOCKS if form == "python" and "PriceForecaster(" in text)
    parts = [
        pd.DataFrame({"unique_id": h.ticker, "ds": h.dates.astype("datetime64[s]"), "y": h.adj_close})
        for h in garch_panel("AB", 900).histories
    ]
    prices = pd.concat(parts, ignore_index=True)
    prices["fear"], prices["earnings"] = 20.0 + np.arange(len(prices)) % 7, np.arange(len(prices)) % 60 == 0
    sectors = pd.DataFrame({"unique_id": ["A", "B"], "sector": ["tech", "banks"]})
    small = code.replace('["anchor", "seq2seq_pooled"]', '["anchor"]').replace(
        "n_windows=12", "n_windows=2, min_train=600"
    )
    assert small.count("anchor") == 1
    exec(small, {"prices": prices.astype({"earnings": float}), "sectors": sectors})


@pytest.mark.slow
def test_its_commands_do_what_it_says(tmp_path):
    for form, text in BLOCKS:
        named = re.match(r"# (make\.py|experiment\.toml)\n", text)
        if named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
            assert form in ("python", "toml")
    assert len(COMMANDS) == 3
    said = []
    for line in COMMANDS:
        words = shlex.split(line)
        command = [*COMMAND, *words[1:]] if words[0] == "s2squant" else [COMMAND[0], *words[1:]]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
    assert "columns that are not read: Mood;" in said[1]
    assert "fear" in said[2]
    audit = pd.read_parquet(tmp_path / "run" / "tables" / "audit.parquet")
    judged = audit[audit["check"] == "covariate"]
    assert judged["model"].tolist() == ["fear", "rate", "earnings"]
    assert judged["outcome"].tolist() == ["passed"] * 3
    tickers = json.loads((tmp_path / "run" / "study.json").read_text())["tickers"]
    assert all(any("rate is carried on over" in note for note in t["notes"]) for t in tickers)
