"""Trial ledger: every configuration ever run on a universe, the count that deflates a Sharpe ratio.

One SQLite file, data/trials.sqlite below the working folder, or the one that S2SQUANT_TRIALS names (empty: none is
kept). A configuration is every setting but the experiment's name, the universe's source and tickers, the place of the
price store and an as_of that nobody gave; run again, it counts once and its figures are those of the last run. A
universe is a source (a folder by its full path), its tickers and the interval of its bars, not their prices: bars that
were added, or cut off by other dates, do not start the count anew. Hours stand apart from days, as a Sharpe ratio of a
bar means another thing there. The ledger never fails a run: what cannot be read or written becomes a note.
Several processes may write at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from s2squant.config.experiment import Experiment, Universe
from s2squant.files import sealed, unsealed

LEDGER = Path("data/trials.sqlite")
PLACE = "S2SQUANT_TRIALS"
"""Environment variable that moves the ledger."""
WAIT_SECONDS = 15
"""Wait for another writer of the file."""
DIGITS = 8
"""Decimal places of a stored return."""

SEALED = (
    "universe",
    "configuration",
    "last_run",
    "last_at",
    "name",
    "source",
    "tickers",
    "experiment",
    "word",
    "ratios",
)
"""Columns that one entry writes together; how often it was run, and the first time, are of several."""

TABLE = Table(
    "trials",
    MetaData(),
    Column("universe", String, primary_key=True),
    Column("configuration", String, primary_key=True),
    Column("runs", Integer, nullable=False),
    *(
        Column(name, String, nullable=False)
        for name in ("first_run", "first_at", "last_run", "last_at", "name", "source", "tickers", "experiment", "word")
    ),
    *(Column(name, String, nullable=False) for name in ("ratios", "returns")),
)


@dataclass(frozen=True)
class Trial:
    """One configuration's run and its headline figures."""

    experiment: Experiment
    tickers: Sequence[str]
    """All that were asked for."""
    run_id: str
    created_at: str
    word: str
    ratios: Mapping[str, float]
    """Sharpe ratio of a bar of the recommended model at the declared cost, by ticker and for the pool "all"."""
    returns: pd.Series
    """The pool's net return by date."""

    @property
    def universe(self) -> str:
        """Hash of where the prices come from, whose they are, and the interval asked for, where it is not the day."""
        universe = self.experiment.universe
        kind, separator, place = universe.source.partition(":")
        source = f"{kind}:{Path(place).resolve()}" if separator else kind
        bars = [] if universe.interval in ("", "1d") else [{"interval": universe.interval}]
        return _hash([source, *bars, *sorted(self.tickers)])

    @property
    def configuration(self) -> str:
        """Hash of every setting that a person could have turned to like the result better."""
        settings = asked(self.experiment).model_dump(
            mode="json", exclude={"name": True, "universe": {"source", "tickers", "pinned"}}
        )
        return _hash(settings)


@dataclass(frozen=True)
class Trials:
    """All trials of a universe, the present one included."""

    count: int
    """Distinct configurations ever run."""
    ratios: Mapping[str, tuple[float, ...]]
    """The Sharpe ratios of a bar of those that have one, by ticker and for the pool."""
    returns: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The pool's net returns: one row a date, one column a configuration."""
    note: str = ""
    """Error of the ledger; empty when there was none."""


def asked(experiment: Experiment) -> Experiment:
    """The experiment without an as_of that a run noted of its own, and without the place of the price store."""
    universe = experiment.universe
    noted = universe.pinned is not None and universe.as_of == universe.pinned
    aside = {"as_of": None if noted else universe.as_of, "pinned": None, "store": Universe().store}
    return experiment.model_copy(update={"universe": universe.model_copy(update=aside)})


def ledger_path() -> Path | None:
    """Path of the ledger; None where S2SQUANT_TRIALS is set to nothing."""
    place = os.environ.get(PLACE)
    return LEDGER if place is None else Path(place) if place else None


def record(trial: Trial, path: Path | None) -> Trials:
    """Enter a trial and return all of its universe; never raises for the ledger's sake.

    Without a path nothing is kept, and the trial stands alone.
    """
    own = _entry(trial)
    if path is None:
        return _trials([own], "no trial ledger is kept; other configurations are not counted")
    note, engine = (
        "",
        create_engine(
            URL.create("sqlite", database=str(path)), poolclass=NullPool, connect_args={"timeout": WAIT_SECONDS}
        ),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(engine, own)
    except (OSError, SQLAlchemyError) as error:
        note = f"the trial ledger {path} could not be written ({_reason(error)}); this run is not in it"
    try:
        known = _read(engine, trial.universe)
        mine = (own["universe"], own["configuration"])
        others = [row for row in known if (row["universe"], row["configuration"]) != mine]
        return _trials([*others, own], note)
    except (OSError, SQLAlchemyError, ValueError, TypeError) as error:
        unread = f"the trial ledger {path} could not be read ({_reason(error)}); other configurations are not counted"
        return _trials([own], unread)


def _write(engine: Engine, entry: dict[str, Any]) -> None:
    """Insert, or count one more run of a known configuration and keep its newest figures; one statement, so atomic."""
    keys = ("universe", "configuration", "runs", "first_run", "first_at")
    newest = {name: value for name, value in entry.items() if name not in keys}
    statement = insert(TABLE).values(**entry)
    statement = statement.on_conflict_do_update(
        index_elements=["universe", "configuration"], set_=newest | {"runs": TABLE.c.runs + 1}
    )
    with engine.begin() as connection:
        connection.execute(CreateTable(TABLE, if_not_exists=True))
        connection.execute(statement)


def _read(engine: Engine, universe: str) -> list[dict[str, Any]]:
    """The rows of a universe; raises ValueError where anything in the file is not as it was written."""
    with engine.connect() as connection:
        said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().first()
        if said != "ok":
            raise ValueError(f"it is damaged: {said}")
        rows = [dict(row) for row in connection.execute(select(TABLE).order_by(TABLE.c.first_at)).mappings()]
    for row in rows:  # of another universe too: a row whose universe was changed would be missing without a word
        if unsealed(row["returns"], since="row").get("row", _seal(row)) != _seal(row):
            raise ValueError(f"it is damaged: the entry of {row['last_run']} was changed")
    return [row for row in rows if row["universe"] == universe]


def _entry(trial: Trial) -> dict[str, Any]:
    by_bar = trial.returns.index.to_numpy().astype("datetime64[D]").astype(int)
    days, first = np.unique(by_bar, return_index=True)
    net = trial.returns.to_numpy(np.float64)
    net = np.add.reduceat(net, first) if len(days) < len(net) else net
    returns = {"days": days.tolist(), "net": np.round(net, DIGITS).tolist()}
    ratios = {name: float(ratio) for name, ratio in sorted(trial.ratios.items()) if np.isfinite(ratio)}
    entry = {
        "universe": trial.universe,
        "configuration": trial.configuration,
        "runs": 1,
        "first_run": trial.run_id,
        "first_at": trial.created_at,
        "last_run": trial.run_id,
        "last_at": trial.created_at,
        "name": trial.experiment.name,
        "source": trial.experiment.universe.source,
        "tickers": json.dumps(sorted(trial.tickers)),
        "experiment": trial.experiment.model_dump_json(),
        "word": trial.word,
        "ratios": json.dumps(ratios),
    }
    return {**entry, "returns": sealed({**returns, "row": _seal(entry)})}


def _seal(row: Mapping[str, Any]) -> str:
    """Hash of what a count, a ratio and a look at the ledger rest on; `returns` has a checksum of its own."""
    return _hash([row[name] for name in SEALED])


def _trials(entries: Sequence[Mapping[str, Any]], note: str) -> Trials:
    ratios: dict[str, list[float]] = {}
    columns: dict[str, pd.Series] = {}
    for entry in entries:
        for name, ratio in json.loads(entry["ratios"]).items():
            ratios.setdefault(name, []).append(float(ratio))
        series = json.loads(entry["returns"])
        days = pd.DatetimeIndex(np.array(series["days"], np.int64).astype("datetime64[D]").astype("datetime64[s]"))
        columns[str(entry["configuration"])[:12]] = pd.Series(series["net"], index=days, dtype=float)
    return Trials(len(entries), {name: tuple(values) for name, values in ratios.items()}, pd.DataFrame(columns), note)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
