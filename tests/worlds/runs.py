"""Tiny whole runs: prices as files, an experiment of seconds, and a check of its files apart from the package."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.forecasters.blend import with_blend
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.runs.collect import collect
from s2squant.series.tails import ALL_COLUMNS
from s2squant.study import open_run

BARS = 900
LEVELS = [k / 40 for k in range(1, 40)]
QUANTILES = [f"q{level:.3f}" for level in LEVELS]
BASELINES = ["historical_simulation", "random_walk", "ewma_t", "garch_t", "gjr_t"]
TINY: dict[str, Any] = {
    "walk": {"horizon": 5, "cutoffs": 4, "every": 20, "refit_every": 40, "min_train": 600},
    "forecasters": {
        "models": [*BASELINES, "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"],
        "historical_simulation": {"paths": 128},
        "ewma_t": {"paths": 128},
        "garch_t": {"paths": 128},
        "gjr_t": {"paths": 128},
        "anchor": {"steps": 5},
        "seq2seq": {
            "encoder": {"hidden": 4},
            "decoder": {"width": 4},
            "training": {"chunk": 60, "warm": 20, "positions": 4},
            "per_ticker": {"steps": 2, "batch": 2},
            "pooled": {"steps": 2, "batch": 2, "seeds": 1},
            "adapted": {"steps": 2, "batch": 2},
        },
    },
}
FEW: dict[str, Any] = TINY | {
    "forecasters": {"models": ["historical_simulation", "random_walk"], "historical_simulation": {"paths": 128}},
    "verdict": {"recommended": "random_walk"},
}
"""The same with two models that cost nothing, for what does not depend on the models: a third of the time."""
COMMAND = [sys.executable, "-c", "import sys; from s2squant.cli.app import main; sys.exit(main())"]
"""The command line as a process of its own; give it `environment()`."""


def environment() -> dict[str, str]:
    """The environment of a process that finds this checkout from any folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def hears_interrupts() -> None:
    """For `preexec_fn`: a shell in the background hands on "ignore"."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def experiment(folder: Path | str, *tickers: str, base: Mapping[str, Any] = TINY, **changes: Any) -> Experiment:
    """The tiny experiment over a folder's prices, all of them where no ticker is named."""
    return make_experiment({"universe": {"source": f"csv:{folder}", "tickers": tickers}} | base | changes)


def few(folder: Path | str, *tickers: str, **changes: Any) -> Experiment:
    """That of the two cheap models."""
    return experiment(folder, *tickers, base=FEW, **changes)


def forecasts_only(wanted: Experiment, out: Path) -> pd.DataFrame:
    """What a run forecasts, blend and all, before it is judged, audited and laid out, which is most of the work."""
    with open_run(wanted, out, workers=0) as run:
        for result in run.execute_stages():
            assert result.status == "done", result
        markets = {ticker: market for market, panel in run.inputs.panels.items() for ticker in panel.tickers}
        return with_blend(collect(run.inputs, run).forecasts, wanted.forecasters, markets)[0]


def stock_days(count: int = BARS) -> np.ndarray:
    """Sessions of New York from January 2015."""
    known = exchange_sessions("XNYS")
    return known[known >= np.datetime64("2015-01-01")][:count]


def every_day(count: int = BARS) -> np.ndarray:
    """All days from January 2016, weekends too."""
    return np.datetime64("2016-01-01", "D") + np.arange(count)


def write_prices(folder: Path, ticker: str, days: np.ndarray, seed: int, keep: Any = None) -> None:
    """A ticker's file: clustered returns of about 1 % a day, only the bars `keep`."""
    rng = np.random.default_rng(seed)
    calm = np.exp(0.5 * np.sin(np.arange(len(days)) / 40))
    close = 100 * np.exp(np.cumsum(0.008 * calm * rng.standard_t(5, len(days))))
    frame = pd.DataFrame({"Date": days, "Close": np.round(close, 6)})
    folder.mkdir(exist_ok=True)
    (frame if keep is None else frame.iloc[keep]).to_csv(folder / f"{ticker}.csv", index=False)


def options(experiment: dict[str, Any]) -> list[str]:
    """The experiment as --set options of the command line."""
    found: list[str] = []

    def walk(part: dict[str, Any], path: str) -> None:
        for key, value in part.items():
            if isinstance(value, dict):
                walk(value, f"{path}{key}.")
            else:
                found.extend(["--set", f"{path}{key}={json.dumps(value)}"])

    walk(experiment, "")
    return found


def check_sound(run: Path, prices: Path) -> pd.DataFrame:
    """Hold forecasts.parquet against the prices' own files; returns the table."""
    table = pd.read_parquet(run / "forecasts.parquet")
    assert list(table.columns) == ["model", "unique_id", "cutoff", "ds", "step", "y", "mean", *ALL_COLUMNS]
    table["unique_id"] = table["unique_id"].astype(str)
    assert (table["cutoff"] < table["ds"]).all()
    assert not table.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    quantiles = table[list(ALL_COLUMNS)].to_numpy(float)
    assert np.isfinite(quantiles).all()
    assert np.isfinite(table["mean"]).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    for ticker, mine in table.groupby("unique_id"):
        frame = pd.read_csv(prices / f"{ticker}.csv", parse_dates=["Date"]).set_index("Date")["Close"]
        price = np.log(frame)
        known = mine[mine["y"].notna()]
        assert len(known) > 0
        at, then = (price.index.get_indexer(known[name]) for name in ("cutoff", "ds"))
        assert (at >= 0).all()
        assert (then >= 0).all()
        np.testing.assert_array_equal(then - at, known["step"])
        np.testing.assert_allclose(known["y"], price.to_numpy()[then] - price.to_numpy()[at], atol=1e-9)
        late = mine[mine["y"].isna()]
        ahead = price.index.get_indexer(late["cutoff"]) + late["step"].to_numpy()
        assert (ahead >= len(price)).all()  # only what the prices do not hold is open
        assert (late["ds"] > price.index[-1]).all()
    units = table.groupby("model", observed=True)[["unique_id", "cutoff", "step"]].apply(
        lambda g: frozenset(g.itertuples(index=False, name=None))
    )
    assert len(set(units)) == 1  # every model forecast the same
    return table


def check_report(run: Path) -> None:
    """Every page is there, and every local link of every page leads somewhere inside the run."""
    pages = [run / "index.html", *sorted((run / "tickers").glob("*.html"))]
    assert len(pages) > 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r'(?:href|src)="([^"#]+)', text):
            if not re.match(r"[a-z]+:", link):
                assert (page.parent / link).resolve().is_relative_to(run.resolve()), link
                assert (page.parent / link).exists(), link


def manifest(run: Path) -> dict[str, Any]:
    """The manifest, which no file of the run may be younger than."""
    path = run / "manifest.json"
    newest = max(p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file())
    assert path.stat().st_mtime_ns == newest
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def files(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
