"""The folder of a search that a person reads: its page, whether it paid first, its tables and the experiment."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from s2squant.config.models import label, phrase
from s2squant.config.tuning import Ending
from s2squant.files import plain_cell
from s2squant.report.experiment_page import render_experiment
from s2squant.report.runs_page import runs_page
from s2squant.report.sections import ExperimentPage, Lines, Section
from s2squant.runs.folder import RunFolder
from s2squant.runs.run_list import write_list
from s2squant.tuning.results import Tuned, summary, trials_table

LABELS = {
    "challenger": "model",
    "benchmark": "against",
    "crps": "CRPS, %",
    "effect": "skill",
    "low": "95 % from",
    "high": "to",
    "n": "cutoffs",
    "n_eff": "of them independent",
    "as_it_was": "experiment as it was",
    "skill": "skill in the search",
}
FORMATS = {"effect": "+.2%", "low": "+.2%", "high": "+.2%", "p": ".3f", "crps": ".4f", "n_eff": ".1f", "skill": "+.2%"}


ENDINGS: dict[Ending, str] = {
    "done": "scored on every fold",
    "pruned": "ended early",
    "refused": "refused: their settings do not go together",
    "failed": "could not be fitted",
}


def write(tuned: Tuned, folder: RunFolder) -> None:
    """Fill the folder: best.json, trials.parquet and .csv, tuning.json, the page, and the manifest last."""
    facts = summary(tuned)
    folder.claim({"study": tuned.study, "trials": len(tuned.trials), "created_at": tuned.created_at})
    try:
        table = trials_table(tuned.trials)
        for key in tuned.space:  # words and numbers in one column are words in a file
            if table[key].map(type).nunique() > 1:
                table[key] = table[key].map(json.dumps)
        folder.write_table("trials.parquet", table)
        folder.write_text("trials.csv", table.map(plain_cell).to_csv(index=False))
        folder.write_text("best.json", tuned.best.to_json())
        folder.write_text("experiment.json", tuned.experiment.to_json())
        folder.write_text("tuning.json", json.dumps(facts, indent=1) + "\n")
        folder.write_pages(render_experiment(tuning_page(tuned, trials_table(tuned.trials)), runs=folder.runs_page))
        finished_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"status": "done", "finished_at": finished_at}
        head |= {key: facts[key] for key in ("run_id", "study", "created_at", "word", "sentence")}
        folder.finish(head | dict(tuned.provenance))
        write_list(folder, runs_page)
    finally:
        folder.release()


def tuning_page(tuned: Tuned, trials: pd.DataFrame) -> ExperimentPage:
    """Lay a finished search out; `trials` is one row a trial."""
    experiment = tuned.experiment
    model, reference = phrase(experiment.verdict.recommended), phrase(experiment.verdict.reference)
    sections = [_verdict(tuned), _history(tuned, reference), _trials(tuned, trials)]
    if tuned.importances:
        sections.append(_importances(tuned))
    sections.append(_rules(tuned, reference))
    return ExperimentPage(
        title=f"Tuning of {model}: {experiment.name}",
        lead=tuned.sentence,
        sections=tuple(sections),
        command=str(tuned.provenance.get("command", "")),
        facts={
            "study": tuned.study,
            "seed": experiment.seed,
            "trials": len(tuned.trials),
            "seconds in trials": tuned.provenance.get("timings", {}).get("trials"),
            "s2squant": tuned.provenance.get("versions", {}).get("s2squant"),
            "optuna": tuned.provenance.get("optuna"),
        },
    )


def _verdict(tuned: Tuned) -> Section:
    names = ["challenger", "benchmark", "crps", "effect", "low", "high", "p", "n", "n_eff", "word"]
    rows = pd.DataFrame([vars(row) for row in tuned.held_out])[names]
    known = {"tuned": "best of the search", "default": "experiment as it was"}
    for side in ("challenger", "benchmark"):
        rows[side] = rows[side].map(lambda name: known.get(name) or label(tuned.experiment.verdict.reference))
    changed = [] if tuned.best_number is None else sorted(tuned.trials[tuned.best_number].values.items())
    changes = "; ".join(f"{key} = {value}" for key, value in changed)
    return Section(
        heading="On cutoffs that the search had not seen",
        takeaway=tuned.sentence,
        paragraphs=(f"The best of the search: {changes}.",) if changes else (),
        table=rows,
        labels=LABELS,
        formats=FORMATS,
        caption=f"Held-out cutoffs from {tuned.first_held_out} on; Diebold-Mariano, equal-weighted cosines.",
    )


def _history(tuned: Tuned, reference: str) -> Section:
    scored = [one for one in tuned.trials if one.ending == "done"]
    pruned = [one for one in tuned.trials if one.ending == "pruned"]
    groups = {"scored on every fold": scored} | ({"ended early, on the folds until then": pruned} if pruned else {})
    series = {name: ([t.number for t in some], [100 * t.skill for t in some]) for name, some in groups.items()}
    best = np.maximum.accumulate([100 * t.skill for t in scored])
    gain = max(t.skill for t in scored) - tuned.default_skill
    takeaway = (
        f"On the cutoffs that it was chosen on, the best trial gains {100 * gain:.2f} points of skill on the "
        "experiment as it was."
    )
    if gain <= 0:
        takeaway = "No trial did better in the search than the experiment as it was."
    return Section(
        heading="History of the search",
        takeaway=takeaway,
        paragraphs=("A best of many looks better than it is; only the held-out cutoffs say whether it is.",),
        lines=(
            Lines(f"Skill against {reference} by trial", "trial", "skill, %", series, markers=True),
            Lines("Best so far", "trial", "skill, %", {"best so far": ([t.number for t in scored], best)}),
        ),
    )


def _trials(tuned: Tuned, trials: pd.DataFrame) -> Section:
    count = Counter(one.ending for one in tuned.trials)
    endings = ", ".join(f"{count[ending]} {words}" for ending, words in ENDINGS.items() if count[ending])
    short = {key: key.removeprefix("forecasters.").removeprefix("seq2seq.") for key in tuned.space}
    return Section(
        heading="Every trial",
        takeaway=f"{len(tuned.trials)} trials: {endings}.",
        table=trials.sort_values("skill", ascending=False, kind="stable", ignore_index=True),
        labels=LABELS | short,
        formats={"skill": "+.2%", "seconds": ".1f"},
        caption=f"In the search, until {tuned.last_searched}.",
    )


def _importances(tuned: Tuned) -> Section:
    table = pd.DataFrame({"setting": list(tuned.importances), "share": list(tuned.importances.values())})
    return Section(
        heading="Which settings mattered",
        takeaway=f"{table['setting'].iloc[0]} explains most of the spread of skill ({table['share'].iloc[0]:.0%}).",
        paragraphs=("PED-ANOVA (Watanabe et al. 2023) over the scored trials; with few trials a guess.",),
        table=table,
        formats={"share": ".0%"},
    )


def _rules(tuned: Tuned, reference: str) -> Section:
    paragraphs = [
        f"The search scored {tuned.cutoffs} cutoff dates until {tuned.last_searched}, whose labels were all known by "
        f"{tuned.first_held_out}, and read no later price. A trial is measured after each fold by its relative gain in "
        f"CRPS over {reference}; it ends early below the median of the trials before it.",
        f"The {tuned.held_out_cutoffs} cutoff dates from {tuned.first_held_out} on were scored for the best trial and "
        "for the experiment as it was, side by side, fitted as the walk says.",
        "Each trial that was scored on every fold is in the trial ledger, where the deflated Sharpe ratio counts it"
        + (
            "."
            if tuned.configurations is None
            else f"; it holds {tuned.configurations} configurations of this universe."
        )
        + " Trials that ended early are not in it.",
    ]
    if tuned.looks > 1:
        paragraphs.append(f"This study has looked at the held-out cutoffs {tuned.looks} times.")
    if tuned.left_out:
        paragraphs.append("Left out: " + "; ".join(f"{ticker}: {why}" for ticker, why in tuned.left_out.items()) + ".")
    return Section(heading="How it was done", paragraphs=tuple(paragraphs))
