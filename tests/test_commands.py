"""Every command in README and docs, run as it stands in a new folder, small where it would train for minutes.

docs/covariates.md and docs/extending.md have their own: tests/study/test_covariates_page.py and test_tutorial.py.
"""

from __future__ import annotations

import shlex
import shutil
import webbrowser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from s2squant.cli import main
from s2squant.config.files import make_experiment
from s2squant.prices.calendars.sessions import deadline, due_session
from tests.local_yahoo import LocalYahoo
from tests.test_documents import MARKDOWN, ROOT, commands

pytestmark = pytest.mark.slow

ELSEWHERE = {
    "docs/covariates.md": "tests/study/test_covariates_page.py",
    "docs/extending.md": "tests/study/test_tutorial.py",
    "s2squant pretrain": "tests/forecasters/test_pretraining.py",
    "s2squant reproduce": "tests/cli/test_reproduce_command.py",
    "s2squant up": "tests/flows/test_up.py",
}
"""Pages and commands that another test runs."""
MODELS = '["random_walk","historical_simulation","anchor","seq2seq_pooled","blend"]'
STEPS = ("forecasters.anchor.steps=5", "forecasters.seq2seq.pooled.steps=2")
WALK = ("walk.cutoffs=24", "walk.refit_every=1000")
SMALL = [word for setting in (*WALK, *STEPS, f"forecasters.models={MODELS}") for word in ("--set", setting)]
SAMPLE = ["--tickers", "AAPL,IBM", "--start", "2008-01-01"]
COVARIATE = ["--set", 'covariates=[{name="weekday",calendar="weekday"}]']
LESS = {
    "backtest": SMALL,
    "ablate": [*SMALL, *COVARIATE],
    "audit": [*SMALL, *SAMPLE, "--no-placebo"],
    "tune": [*SMALL, *SAMPLE, "--trials", "2", "--space", "forecasters.seq2seq.pooled.lr=log:1e-3:1e-2"],
}
"""What is put behind a command that would take minutes, or that needs what its page says in words."""
NIGHTLY = """name = "mine"
[experiment.universe]
tickers = ["SPY", "MSFT"]
[experiment.forecasters]
models = ["random_walk", "historical_simulation"]
[experiment.verdict]
recommended = "historical_simulation"
reference = "random_walk"
"""
ENDS = {"status": (0, 3), "yfinance": (0, 3)}
"""Exit statuses where 0 is not the only good one: nothing runs in the folder; a made-up price looks like a split."""


def documented() -> list[tuple[str, str]]:
    """Page and command, each command once."""
    seen: dict[str, str] = {}
    for page in MARKDOWN:
        for line in commands(ROOT / page):
            words = shlex.split(line, comments=True)
            seen.setdefault(shlex.join(["s2squant", *words[1:]]), str(page))
    return [
        (page, line)
        for line, page in seen.items()
        if page not in ELSEWHERE and " ".join(line.split()[:2]) not in ELSEWHERE
    ]


def before_an_opening() -> datetime:
    """Now, or the latest of some hours ago at which New York's next session had not begun: a night may issue."""
    hours = (datetime.now(UTC) - timedelta(hours=ago) for ago in range(0, 240, 4))
    return next(at for at in hours if at < deadline("XNYS", due_session("XNYS", at)))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder a reader has by then: prices of two stocks, an experiment, a nightly with its first night, a run."""
    place = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch, LocalYahoo() as yahoo:
        patch.chdir(place)
        patch.setenv("S2SQUANT_YAHOO_URL", yahoo.url)
        patch.setattr(webbrowser, "open", lambda address: True)
        (place / "my_prices").mkdir()
        for ticker in ("AAPL", "IBM"):
            bars = pd.read_parquet(ROOT / "data" / "sample" / f"{ticker}.parquet").reset_index()
            bars.tail(1500).to_csv(place / "my_prices" / f"{ticker}.csv", index=False)
        (place / "experiment.json").write_text(make_experiment({}).to_json())
        (place / "mine.toml").write_text(NIGHTLY)
        patch.setattr("s2squant.nightly.night._now", before_an_opening)
        assert main(["backtest", *SAMPLE, *SMALL, "--out", "reports/backtest/run"]) == 0
        assert main(["forecast", "mine.toml"]) == 0
        yield place


@pytest.fixture
def names(reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What stands for the words of a page, in a copy of the reader's folder: no command hangs on another's results."""
    place = shutil.copytree(reader, tmp_path / "reader", symlinks=True)
    monkeypatch.chdir(place)
    night = next(path.name for path in (place / "reports" / "mine").iterdir() if path.is_dir())
    return {"RUN_DIR": "reports/backtest/run", "RUN_A": "run", "RUN_ID": night}


def test_what_is_left_to_others_is_there() -> None:
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())
    assert len(documented()) >= 20


@pytest.mark.parametrize(("page", "line"), documented(), ids=lambda value: value)
def test_a_documented_command_runs(
    names: dict[str, str], page: str, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [names.get(word, word) for word in shlex.split(line)[1:]]
    if ">" in words:
        words, place = words[: words.index(">")], Path(words[-1])
        assert main(words) == 0
        assert capfd.readouterr().out == place.read_text(encoding="utf-8"), "as it lies there"
        return
    status = main([*words, *LESS.get(words[0], [])])
    said = capfd.readouterr()
    ends = next((ENDS[word] for word in words if word in ENDS), (0,))
    assert status in ends, f"{page}: {line}\n{said.out}\n{said.err}"
