"""The walk of docs/architecture.md is what happens: a backtest calls the functions it names, in its order."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import pytest

from s2squant.config.files import make_experiment
from s2squant.study import open_run

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"`(s2squant/[\w/]+\.py)` `(\w+)`")
SMALL = {
    "universe": {"tickers": ["AAPL", "IBM"]},
    "walk": {"cutoffs": 6, "every": 20, "refit_every": 200, "horizon": 5},
    "forecasters": {
        "models": ["historical_simulation", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"],
        "anchor": {"steps": 2},
        "seq2seq": {"per_ticker": {"steps": 2}, "pooled": {"steps": 2, "seeds": 1}},
    },
}


@pytest.mark.slow
def test_the_walk_is_what_a_backtest_does(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = [re.findall(STEP, line) for line in page.splitlines() if re.match(r"\d+\. `", line)]
    assert len(steps) == 10
    called: dict[tuple[str, str], int] = {}

    def note(frame, event, _):
        if event == "call":
            called.setdefault((frame.f_code.co_filename, frame.f_code.co_name), len(called))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with open_run(make_experiment(SMALL), tmp_path / "run", workers=0, trial=False) as run:
            list(run.execute_stages())
            run.finish()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert [(file, name) for step in steps for file, name in step if (str(ROOT / file), name) not in called] == []
    begun = [called[str(ROOT / file), name] for (file, name), *_ in steps]
    assert begun == sorted(begun)
