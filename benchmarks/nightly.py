"""A night's cost: the first one trains, the next goes on; wall and CPU seconds a ticker, what Prefect adds.

    python benchmarks/nightly.py [--tickers 50] [--bars 3300] [--workers 2] [--no-prefect]

Random walks in a parquet folder, the default nightly (its networks as in a backtest), a clock that is set. CPU seconds
are of this process and its workers. Prefect's share is the flow on a temporary server against the same night in a
plain loop, by ticker; the server's own CPU is counted apart.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from s2squant.config.files import make_experiment
from s2squant.config.nightly import ISSUED, Nightly
from s2squant.nightly.night import forecast
from s2squant.nightly.results import Night
from s2squant.prices.calendars.exchanges import sessions_between

DAYS = ("2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21")


def main() -> None:
    """Run the nights and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=50)
    parser.add_argument("--bars", type=int, default=3300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-prefect", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.chdir(root)
        os.environ["S2SQUANT_LEDGER"] = f"sqlite:///{root / 'ledger.sqlite'}"
        os.environ.setdefault("PREFECT_HOME", str(root / "prefect"))
        names = [f"T{number:04d}" for number in range(given.tickers)]
        spec = nightly(root, names)
        print(f"{given.tickers} tickers of {given.bars:,} bars, {given.workers} workers, {os.cpu_count()} processors")
        print(f"{'night':28} {'wall s':>8} {'CPU s':>8} {'wall a ticker':>14} {'CPU a ticker':>13}")
        plain = dict[str, float]()
        for day, name in zip(DAYS[:3], ("trains everything", "goes on", "goes on again"), strict=True):
            invent(root / "bars", names, given.bars, day)
            plain[name] = measured(name, given.tickers, lambda day=day: in_loop(spec, day, given.workers))  # type: ignore[misc]
        again = plain["goes on again"]
        print(f"{'goes on / trains':28} {'':8} {again / plain['trains everything']:8.2f}")
        if given.no_prefect:
            return
        invent(root / "bars", names, given.bars, DAYS[3])
        under = measured("goes on, under Prefect", given.tickers, lambda: in_flow(spec, DAYS[3], given.workers))
        added = 1000 * (under - again) / given.tickers
        print(f"Prefect adds {added:.0f} ms of CPU a ticker (the process alone, without its server)")


def measured(name: str, tickers: int, night: Callable[[], None]) -> float:
    """Print and return what a night cost in CPU seconds."""
    wall, cpu = time.perf_counter(), spent()
    night()
    wall, cpu = time.perf_counter() - wall, spent() - cpu
    print(
        f"{name:28} {wall:8.1f} {cpu:8.1f} {1000 * wall / tickers:11.0f} ms {1000 * cpu / tickers:10.0f} ms", flush=True
    )
    return cpu


def spent() -> float:
    """CPU seconds of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def in_loop(spec: Nightly, day: str, workers: int) -> None:
    """A night without Prefect."""
    check(forecast(spec, scheduled=evening(day), clock=lambda: evening(day), workers=workers))


def in_flow(spec: Nightly, day: str, workers: int) -> None:
    """The same as a flow, on a server that is up already."""
    from flows.forecast import forecast as flow
    from flows.forecast import simulated

    with simulated(lambda: evening(day)):
        state = flow(spec, evening(day), workers, return_state=True)
    if not state.is_completed():
        raise SystemExit(f"the flow ended {state.name}: {state.message}")


def check(night: Night) -> None:
    """A night that did not do its work has no time worth printing."""
    if night.status != "done":
        raise SystemExit(f"the night ended {night.status}: {night.message}")


def evening(day: str) -> datetime:
    """Half past five in New York."""
    local = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York")) + timedelta(hours=17.5)
    return local.astimezone(UTC)


def nightly(root: Path, names: list[str]) -> Nightly:
    """The default nightly on these bars."""
    experiment = make_experiment(
        {
            "name": "nightly",
            "universe": {"source": f"parquet:{root / 'bars'}", "tickers": names, "store": str(root / "prices")},
            "forecasters": {"models": ISSUED},
        }
    )
    return Nightly(name="bench", experiment=experiment, models=str(root / "models"))


def invent(folder: Path, names: list[str], bars: int, until: str) -> None:
    """Random walks with calm and stormy times up to a day, as parquet with Yahoo's headings."""
    folder.mkdir(exist_ok=True)
    days = sessions_between("XNYS", "2000-01-01", DAYS[-1])[-bars:]
    until_then = days <= np.datetime64(until, "D")
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        storm = np.exp(0.5 * np.cumsum(0.05 * rng.standard_normal(bars)))
        close = 50 * np.exp(np.cumsum(0.01 * storm / storm.mean() * rng.standard_t(5, bars)))
        high, low = close * (1 + 0.004 * rng.random(bars)), close * (1 - 0.004 * rng.random(bars))
        rows = {"Date": days, "Open": close, "High": high, "Low": low, "Close": close, "Adj Close": close}
        table = pd.DataFrame(rows | {"Volume": 1e6})
        table[until_then].to_parquet(folder / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
