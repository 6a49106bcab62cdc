"""The end of a search: the held-out cutoffs, once, and the folder that a person reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.report.experiment_page import render_experiment
from s2squant.runs.folder import RunFolder
from s2squant.tuning.bench import Bench, complete, measure, reference_rows
from s2squant.tuning.page import tuning_page
from s2squant.tuning.results import HeldOut, Tried, Tuned
from s2squant.tuning.split import Split


def compare_held_out(
    search: Bench, rest: Bench, parts: Split, candidates: Mapping[str, Experiment], experiment: Experiment
) -> tuple[HeldOut, ...]:
    """The candidates against each other and against the reference, on the held-out cutoffs alone.

    The searched cutoffs' forecasts come along, so that a blend's gate knows what it would know in a backtest. Raises
    TrialError when a candidate cannot be fitted.
    """
    tuned, reference = experiment.verdict.recommended, experiment.verdict.reference
    markets = search.markets | rest.markets
    benches = [(search, number) for number in parts.search.steps] + [(rest, number) for number in parts.rest.steps]
    tables = [reference_rows(bench, experiment, number) for bench, number in benches]
    for name, wanted in candidates.items():
        behind = pd.concat([bench.forecasts(wanted, tuned, number) for bench, number in benches], ignore_index=True)
        tables.append(complete(behind, wanted, tuned, name, markets))
    table = pd.concat(tables, ignore_index=True)
    table = table[table["cutoff"] >= parts.first.astype("datetime64[s]")]
    names = list(candidates)
    pairs = [(names[0], other) for other in names[1:]] + [(name, reference) for name in names]
    kept = {f.name for f in fields(HeldOut)}
    rows = measure(table, pairs, experiment, markets).to_dict("records")
    return tuple(HeldOut(**{str(key): value for key, value in row.items() if key in kept}) for row in rows)


def trials_table(trials: tuple[Tried, ...]) -> pd.DataFrame:
    """One row a trial, a column a setting."""
    rows = [
        {
            "trial": one.number,
            "ending": one.ending,
            "skill": one.skill,
            "folds": len(one.skills),
            "seconds": round(one.seconds, 2),
            "as_it_was": one.is_default,
            **one.values,
            "reason": one.reason,
        }
        for one in trials
    ]
    return pd.DataFrame(rows)


def summary(tuned: Tuned) -> dict[str, Any]:
    """The search in plain JSON values; absent numbers are null."""
    return {
        "run_id": tuned.run_id,
        "study": tuned.study,
        "created_at": tuned.created_at,
        "word": tuned.word,
        "sentence": tuned.sentence,
        "space": dict(tuned.space),
        "best_trial": tuned.best_number,
        "best": dict(tuned.trials[tuned.best_number].values) if tuned.best_number is not None else {},
        "default_skill": tuned.default_skill,
        "held_out": [_plain(asdict(row)) for row in tuned.held_out],
        "first_held_out": tuned.first_held_out,
        "last_searched": tuned.last_searched,
        "cutoffs": tuned.cutoffs,
        "held_out_cutoffs": tuned.held_out_cutoffs,
        "looks": tuned.looks,
        "configurations_in_trial_ledger": tuned.configurations,
        "importances": dict(tuned.importances),
        "left_out": dict(tuned.left_out),
        "trials": [_plain(asdict(one)) for one in tuned.trials],
    }


def write(tuned: Tuned, folder: RunFolder) -> None:
    """Fill the folder: best.json, trials.parquet and .csv, tuning.json, the page, and the manifest last."""
    told = summary(tuned)
    folder.claim({"study": tuned.study, "trials": len(tuned.trials), "created_at": tuned.created_at})
    try:
        table = trials_table(tuned.trials)
        for key in tuned.space:  # words and numbers in one column are words in a file
            if table[key].map(type).nunique() > 1:
                table[key] = table[key].map(json.dumps)
        folder.write_table("trials.parquet", table)
        folder.write_text("trials.csv", table.to_csv(index=False))
        folder.write_text("best.json", tuned.best.to_json())
        folder.write_text("experiment.json", tuned.experiment.to_json())
        folder.write_text("tuning.json", json.dumps(told, indent=1) + "\n")
        folder.write_pages(render_experiment(tuning_page(tuned, trials_table(tuned.trials))))
        finished_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"status": "done", "finished_at": finished_at}
        head |= {key: told[key] for key in ("run_id", "study", "created_at", "word", "sentence")}
        folder.finish(head | dict(tuned.provenance))
    finally:
        folder.release()


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in values.items()}
