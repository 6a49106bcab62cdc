"""Hourly files of New York's sessions that grow as the clock moves, for the nightly by bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant.config.files import make_experiment
from s2squant.config.nightly import Nightly
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast
from s2squant.nightly.results import Night
from s2squant.prices.calendars.grid import bar_grid
from tests.worlds.nightly_sim import Clock

GRID = bar_grid("1h:XNYS", np.datetime64("2025-08-04"), np.datetime64("2025-12-05"))


def instant(text: str) -> datetime:
    """A moment of UTC, 2025-10-31 20:03."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class HourlyDesk:
    """A nightly of hourly files, and its ledger."""

    root: Path
    spec: Nightly

    @property
    def ledger(self) -> Ledger:
        return Ledger()

    @property
    def live(self) -> pd.DataFrame:
        return self.ledger.record(self.spec.name)

    def night(self, at: str, *, scheduled: str = "") -> Night:
        """The night at a moment of UTC, whose files hold the bars that have ended by then."""
        write_hours(self.root / "hours", self.spec.experiment.universe.tickers, at)
        clock = Clock(instant(at))
        return forecast(self.spec, scheduled=instant(scheduled or at), clock=clock, workers=0)


def price_of(ticker: str) -> pd.Series:
    """A ticker's closes by the moments at which its bars begin: a random walk whose first bars are wide."""
    wide = np.where(GRID.slots == 0, 2.0, 1.0)
    rng = np.random.default_rng(sum(ticker.encode()))
    close = 100 * np.exp(np.cumsum(0.004 * wide * rng.standard_normal(len(wide))))
    return pd.Series(np.round(close, 4), index=pd.DatetimeIndex(GRID.starts))


def write_hours(folder: Path, tickers: tuple[str, ...], until: str) -> None:
    """A file a ticker, with the bars that have ended."""
    folder.mkdir(exist_ok=True)
    ended = GRID.ends <= np.datetime64(until, "s")
    for ticker in tickers:
        table = price_of(ticker)[ended].rename("Close").rename_axis("Datetime")
        table.index = pd.DatetimeIndex(table.index).tz_localize("UTC")
        table.to_csv(folder / f"{ticker}.csv")


def hourly(folder: Path, *tickers: str) -> Nightly:
    """A nightly of hourly bars and two models that cost nothing."""
    universe = {"source": f"csv:{folder / 'hours'}", "interval": "1h", "tickers": tickers}
    experiment = make_experiment(
        {
            "name": "hours",
            "universe": universe | {"store": str(folder / "prices")},
            "walk": {"min_train": 300},
            "forecasters": {
                "models": ["historical_simulation", "anchor"],
                "anchor": {"steps": 20, "warmup": 100},
                "historical_simulation": {"paths": 256},
            },
            "verdict": {"recommended": "anchor"},
        }
    )
    return Nightly(name="hours", experiment=experiment, models=str(folder / "models"))
