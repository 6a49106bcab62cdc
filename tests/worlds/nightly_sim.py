"""Simulated sessions of a nightly: a local Yahoo that knows one more day each time, and a clock that is set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from s2squant.config.fetching import Fetching
from s2squant.config.files import make_experiment
from s2squant.config.nightly import Monitoring, Nightly, Retraining
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast
from s2squant.nightly.results import Night
from s2squant.prices.calendars.exchanges import sessions_between
from tests.local_yahoo import LocalYahoo

NEW_YORK = ZoneInfo("America/New_York")
HASTY = Fetching(per_second=500.0, pause=0.01, limited_pause=0.01, longest_pause=0.1, timeout=5.0)
"""Politeness for a server of our own."""
TINY: dict[str, Any] = {
    "encoder": {"hidden": 8},
    "per_ticker": {"steps": 6, "seeds": 1},
    "pooled": {"steps": 6, "seeds": 1},
}


class Clock:
    """A clock that stands where it was set, moving on a little with every look."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


def tiny(folder: Path, *tickers: str, source: str = "yfinance", horizon: int = 5, **changes: Any) -> Nightly:
    """A nightly of few steps, all of whose files are below a folder."""
    experiment = make_experiment(
        {
            "name": "nightly",
            "universe": {"source": source, "tickers": tickers, "store": str(folder / "prices"), "start": None},
            "walk": {"horizon": horizon, "min_train": 600},
            "forecasters": {
                "models": ["historical_simulation", "gjr_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"],
                "anchor": {"steps": 20},
                "historical_simulation": {"paths": 256},
                "seq2seq": TINY,
            },
        }
    )
    given: dict[str, Any] = {
        "name": "tiny",
        "experiment": experiment,
        "retraining": Retraining(every=10),
        "monitoring": Monitoring(window=20),
        "models": str(folder / "models"),
    }
    return Nightly(**(given | changes))


def at_close(day: np.datetime64 | str, hours: float = 1.5) -> datetime:
    """So many hours after 16:00 in New York."""
    moment = datetime.combine(np.datetime64(day, "D").astype(object), datetime.min.time(), NEW_YORK)
    return (moment + timedelta(hours=16 + hours)).astimezone(UTC)


def weekdays(first: str, count: int) -> list[np.datetime64]:
    """The weekdays on which a schedule fires, holidays too."""
    return list(np.busday_offset(np.datetime64(first, "D"), np.arange(count), roll="forward"))


def sessions(first: str, count: int) -> list[np.datetime64]:
    """New York's sessions from a day on."""
    start = np.datetime64(first, "D")
    return list(sessions_between("XNYS", start, start + 2 * count + 10)[:count])


def cheap(spec: Nightly, models: Sequence[str] = ("historical_simulation", "anchor")) -> Nightly:
    """The nightly with these models only, of which the last is recommended; left out, two that cost nothing."""
    told = spec.experiment.model_dump(mode="json")
    told["forecasters"] |= {"models": list(models)}
    told["verdict"] |= {"recommended": models[-1]}
    return spec.model_copy(update={"experiment": make_experiment(told)})


@dataclass
class Desk:
    """A nightly with its folders, its Yahoo and its ledger."""

    root: Path
    yahoo: LocalYahoo
    spec: Nightly

    @property
    def ledger(self) -> Ledger:
        return Ledger()

    def night(self, day: str, *, hours: float = 1.5, scheduled: datetime | None = None) -> Night:
        """The night of a day, run so many hours after the close."""
        self.yahoo.fixed_today = day
        when = scheduled or at_close(day)
        return forecast(self.spec, scheduled=when, clock=Clock(at_close(day, hours)), workers=0, fetching=HASTY)

    def live(self) -> pd.DataFrame:
        return self.ledger.record(self.spec.name)


@contextmanager
def at_yahoo(folder: Path, monkeypatch: pytest.MonkeyPatch, today: str = "2025-11-19") -> Iterator[LocalYahoo]:
    """Within it a local Yahoo is asked, and reports and the ledger are below the folder."""
    with LocalYahoo(today=today, years=4) as yahoo:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("S2SQUANT_YAHOO_URL", yahoo.url)
        monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{folder / 'ledger.sqlite'}")
        yield yahoo
