"""Result of a search, as frozen values: trials, held-out comparison, sentence; and the same as table and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.tuning import Ending, Tuning, Value
from s2squant.evaluation.results import Word
from s2squant.files import json_values


@dataclass(frozen=True)
class TrialResult:
    """One trial: its settings, how it ended, and its skill over the folds so far, after each of them."""

    number: int
    ending: Ending
    values: Mapping[str, Value]
    skill: float
    """Relative gain in CRPS over the reference on the searched cutoffs; NaN when there is none."""
    skills: tuple[float, ...]
    reason: str
    seconds: float
    is_default: bool = False


@dataclass(frozen=True)
class HeldOut:
    """A model against another on the held-out cutoffs: relative gain in CRPS by date, 95 % interval, p, word."""

    challenger: str
    benchmark: str
    effect: float
    low: float
    high: float
    p: float
    n: int
    n_eff: float
    crps: float
    crps_benchmark: float
    word: Word
    test: str


Paid = Literal["better", "worse", "no evidence", "nothing better"]
"""Whether tuning paid on the held-out cutoffs; `nothing better`: the experiment as it was is the best one tried."""


@dataclass(frozen=True)
class Tuned:
    """A finished search."""

    experiment: Experiment
    """As it was given."""
    best: Experiment
    tuning: Tuning
    study: str
    run_id: str
    created_at: str
    space: Mapping[str, str]
    trials: tuple[TrialResult, ...]
    best_number: int | None
    """None: nothing did better in the search than the experiment as it was."""
    default_skill: float
    """Of the experiment as it was, on the searched cutoffs."""
    held_out: tuple[HeldOut, ...]
    last_searched: str
    first_held_out: str
    cutoffs: int
    """Dates searched on."""
    held_out_cutoffs: int
    looks: int
    """Best configurations of this study that were ever scored on the held-out cutoffs, this one included."""
    configurations: int | None
    """That the trial ledger counts on this universe; None when this process entered none."""
    word: Paid
    sentence: str
    importances: Mapping[str, float]
    left_out: Mapping[str, str]
    """Tickers without a part in the search, and why."""
    provenance: Mapping[str, Any]


def sentence_of(
    row: HeldOut | None, *, best: int, tried: int, first: str, cutoffs: int, looks: int
) -> tuple[Paid, str]:
    """Whether tuning paid, in one sentence; `row` compares the best configuration with the default one."""
    where = f"on {cutoffs} held-out cutoff dates from {first} on"
    if row is None:
        return "nothing better", (
            f"Tuning found nothing better: of {tried} configurations the experiment as it was did best in the search, "
            "so there is nothing to compare on the held-out cutoffs."
        )
    interval = f"95 % interval {100 * row.low:+.2f} to {100 * row.high:+.2f} %, p = {row.p:.3f}"
    gain = f"skill {100 * row.effect:+.2f} %, {row.test if row.test.startswith('not') else interval}"
    compared = f"trial {best}, the best of {tried}, against the experiment as it was, {where}: {gain}."
    match row.word:
        case "better":
            verdict = f"Tuning paid: {compared}"
        case "worse":
            verdict = f"Tuning made it worse: {compared}"
        case _:
            verdict = f"No evidence that tuning helped: {compared}"
    if looks > 1:
        verdict += f" These cutoffs were looked at {looks} times in this study, which the interval does not allow for."
    return row.word, verdict


def trials_table(trials: tuple[TrialResult, ...]) -> pd.DataFrame:
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
        "held_out": [json_values(asdict(row)) for row in tuned.held_out],
        "first_held_out": tuned.first_held_out,
        "last_searched": tuned.last_searched,
        "cutoffs": tuned.cutoffs,
        "held_out_cutoffs": tuned.held_out_cutoffs,
        "looks": tuned.looks,
        "configurations_in_trial_ledger": tuned.configurations,
        "importances": dict(tuned.importances),
        "left_out": dict(tuned.left_out),
        "trials": [json_values(asdict(one)) for one in tuned.trials],
    }
