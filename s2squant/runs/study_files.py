"""A study as files and back: what a run's folder must hold so that its report can be written again, byte for byte.

experiment.json                                         the configuration
forecasts.parquet  scores.parquet  verdicts.parquet  equity.parquet  risk.parquet     read by other programs too
tables/<field>.parquet                                  every other table of Study and of its portfolio
prices.parquet                                          all bars of all tickers, laid end to end
attention.parquet                                       weights of the newest forecast, where a network has them
study.json                                              everything else, and the columns each table must have
Which run it was, when, and how it was carried out stands in manifest.json alone: the same run again has the same files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment, parse_settings
from s2squant.errors import ConfigError, RunError, S2squantError
from s2squant.evaluation.results import Portfolio, Study
from s2squant.prices.calendars.grid import with_slots
from s2squant.runs.folder import RunFolder
from s2squant.runs.manifest import by_another
from s2squant.series.arrays import Floats, dates_of
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold

FORMAT = 1
STUDY = "study.json"
"""What only a backtest's folder holds."""
TOP = ("forecasts", "scores", "verdicts", "equity", "risk")
"""Tables that other programs read, beside the manifest; the others are in tables/."""
ON_DISK: Mapping[str, str] = {
    one.name: "portfolio" if one.name == "walked" else f"portfolio_{one.name}" for one in dataclasses.fields(Portfolio)
}
"""By field of Portfolio, its name here."""
OF_THE_RUN, HOW = ("run_id", "created_at"), ("command", "engine", "workers", "timings")
"""Fields of Study, and keys of its provenance, that only the manifest holds."""
APART = ("experiment", "histories", "folds", "attention")
"""Fields with a form of their own on disk."""


def write_study(folder: RunFolder, study: Study) -> None:
    """Write everything a study holds into its run's folder, except the pages and the manifest."""
    plain, tables = _split(study)
    for name, table in tables.items():
        folder.write_table(_place(name), table)
    folder.write_table("prices.parquet", bars_table(study.histories))
    if study.attention:
        folder.write_table("attention.parquet", _attention(study.attention))
    folder.write_text("experiment.json", study.experiment.to_json())
    stored = {
        "format": FORMAT,
        "tables": {name: list(table.columns) for name, table in tables.items()},
        "histories": {ticker: about_history(history) for ticker, history in study.histories.items()},
        "folds": [_fold_out(fold) for fold in study.folds],
        "attention": {ticker: weights.shape for ticker, weights in study.attention.items()},
        **plain,
    }
    stored = {name: value for name, value in stored.items() if name not in OF_THE_RUN}
    stored["provenance"] = {name: value for name, value in study.provenance.items() if name not in HOW}
    folder.write_text(STUDY, json.dumps(stored, indent=1, ensure_ascii=True) + "\n")


def load_study(path: Path, *, models: Collection[str] | None = None, without: Collection[str] = ()) -> Study:
    """The study of a finished run's folder; raises RunError, one line, when the folder is foreign or damaged.

    `models` limits the forecasts to theirs, and the tables named in `without` come back without rows: a report needs
    neither all forecasts nor the scores.
    """
    folder = RunFolder(path)
    stored = folder.read_json(STUDY, after="manifest.json")
    manifest = folder.read_json("manifest.json", after="manifest.json")
    stored = {name: manifest[name] for name in OF_THE_RUN if name in manifest} | stored
    kept = dict(stored.get("provenance", {}))
    if not kept.keys() & set(HOW):  # each in its place, which is that on the page
        stored["provenance"] = {name: kept.get(name, manifest[name]) for name in manifest if name in {*kept, *HOW}}
    if stored.get("format") != FORMAT:
        raise RunError(f"{path}: written by another version of s2squant (its study.json has another form)")
    experiment = load_experiment(path)
    try:
        values: dict[str, Any] = {"experiment": experiment}
        for name, columns in stored["tables"].items():
            values[name] = _table(folder, name, columns, models if name == "forecasts" else None, name in without)
        for name, _, hint in _fields():
            if name in stored and name not in APART:
                values[name] = TypeAdapter(hint).validate_python(stored[name])
        values["histories"] = histories_of(folder.read_table("prices.parquet"), stored["histories"])
        values["folds"] = tuple(_fold_in(fold) for fold in stored["folds"])
        if stored["attention"]:
            values["attention"] = _weights(folder.read_table("attention.parquet"), stored["attention"])
        held = {field: values.pop(name) for field, name in ON_DISK.items() if name in values}
        values["portfolio"] = Portfolio(**held)
        known = {field.name for field in dataclasses.fields(Study)}
        return Study(**{name: value for name, value in values.items() if name in known})
    except S2squantError as error:
        raise RunError(str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{path}: its files do not fit together ({why}); run the backtest again") from None


def load_experiment(path: Path) -> Experiment:
    """The experiment of a finished run's folder; raises CallerError when there is none that can be read."""
    folder, where = RunFolder(path), str(path / "experiment.json")
    manifest = folder.read_json("manifest.json", after="manifest.json")
    data = parse_settings(folder.read_text("experiment.json"), form="json", where=where)
    try:
        return make_experiment(data, where=where)
    except ConfigError as error:
        writer = str(manifest.get("versions", {}).get("s2squant", __version__))
        raise RunError(f"{error}{by_another(writer)}") from None


def _fields() -> Iterator[tuple[str, str, Any]]:
    """Name on disk, attribute and type of each field of a study; those of its portfolio stand beside the others."""
    for name, hint in get_type_hints(Study).items():
        if hint is Portfolio:
            yield from ((ON_DISK[one], f"{name}.{one}", its) for one, its in get_type_hints(Portfolio).items())
        else:
            yield name, name, hint


def _split(study: Study) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The plain values of a study, ready for JSON, and its tables."""
    plain: dict[str, Any] = {}
    tables: dict[str, pd.DataFrame] = {}
    for name, attribute, hint in _fields():
        value = attrgetter(attribute)(study)
        if isinstance(value, pd.DataFrame):
            tables[name] = value
        elif name not in APART:
            plain[name] = TypeAdapter(hint).dump_python(value, mode="json")
    return plain, tables


def _place(name: str) -> str:
    return f"{name}.parquet" if name in TOP else f"tables/{name}.parquet"


def _table(
    folder: RunFolder, name: str, columns: list[str], models: Collection[str] | None, empty: bool
) -> pd.DataFrame:
    if empty:
        return pd.DataFrame(columns=columns)
    table = folder.read_table(_place(name), models=models)
    if list(table.columns) != columns:
        raise RunError(f"{folder.path / _place(name)}: not the table this run wrote; run the backtest again")
    return table


def bars_table(histories: Mapping[str, PriceHistory]) -> pd.DataFrame:
    """All bars, one row each: unique_id, ds, adj_close, then the raw fields and events that any ticker has."""
    if not histories:
        return pd.DataFrame(columns=["unique_id", "ds", "adj_close"])
    parts = []
    for ticker, h in histories.items():
        first = {"unique_id": ticker, "ds": h.dates.astype("datetime64[s]"), "adj_close": h.adj_close}
        parts.append(pd.DataFrame({**first, **h.bars, **h.events}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(unique_id=pd.Categorical(table["unique_id"], categories=list(histories)))


def about_history(history: PriceHistory) -> dict[str, Any]:
    """What a price history holds besides its bars and its covariates, ready for JSON."""
    hints = get_type_hints(PriceHistory)
    arrays = ("ticker", "dates", "adj_close", "bars", "events", "covariates", "slots")
    left = [f.name for f in dataclasses.fields(history) if f.name not in arrays]
    result = {name: TypeAdapter(hints[name]).dump_python(getattr(history, name), mode="json") for name in left}
    return result | {"bars": list(history.bars), "events": list(history.events)}


def histories_of(table: pd.DataFrame, about: Mapping[str, Mapping[str, Any]]) -> dict[str, PriceHistory]:
    """The histories back from `bars_table` and each ticker's `about_history`; raises KeyError where they do not fit."""
    hints = get_type_hints(PriceHistory)
    parts = dict(list(table.groupby("unique_id", observed=True, sort=False)))
    result = {}
    for ticker, facts in about.items():
        part = parts[ticker]
        plain = {k: v for k, v in facts.items() if k in hints and k not in ("bars", "events")}
        rest = {k: TypeAdapter(hints[k]).validate_python(v) for k, v in plain.items()}
        result[ticker] = with_slots(
            PriceHistory(
                ticker=ticker,
                dates=part["ds"].to_numpy(),
                adj_close=part["adj_close"].to_numpy(),
                bars={name: part[name].to_numpy() for name in facts["bars"]},
                events={name: part[name].to_numpy() for name in facts.get("events", ())},
                **rest,
            )
        )
    return result


def _fold_out(fold: Fold) -> dict[str, Any]:
    result = {"market": fold.market, "number": fold.number, "horizon": fold.horizon}
    dates = {"train_start": str(fold.train_start), "fit_date": str(fold.fit_date)}
    return result | dates | {"cutoffs": [str(day) for day in fold.cutoffs]}


def _fold_in(stored: Mapping[str, Any]) -> Fold:
    days = {name: np.datetime64(stored[name]) for name in ("train_start", "fit_date")}
    cutoffs = dates_of(stored["market"], stored["cutoffs"])
    return Fold(market=stored["market"], number=stored["number"], horizon=stored["horizon"], cutoffs=cutoffs, **days)


def _attention(weights: Mapping[str, Floats]) -> pd.DataFrame:
    """Weights (H, W) of every ticker, row by row."""
    return pd.concat(
        [pd.DataFrame({"unique_id": t, "weight": np.asarray(w_HW, np.float64).ravel()}) for t, w_HW in weights.items()],
        ignore_index=True,
    ).astype({"unique_id": "category"})


def _weights(table: pd.DataFrame, shapes: Mapping[str, list[int]]) -> dict[str, Floats]:
    parts = dict(list(table.groupby("unique_id", observed=True, sort=False)))
    return {ticker: parts[ticker]["weight"].to_numpy().reshape(shape) for ticker, shape in shapes.items()}
