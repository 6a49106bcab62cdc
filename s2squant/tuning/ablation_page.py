"""What an ablation found, in a sentence, as a table and as a page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from s2squant.config.models import label, phrase, subject
from s2squant.files import json_values
from s2squant.report.covariate_panels import listed
from s2squant.report.experiment_page import render_experiment
from s2squant.report.runs_page import runs_page
from s2squant.report.sections import ExperimentPage, Lines, Section
from s2squant.runs.folder import RunFolder
from s2squant.runs.run_list import write_list
from s2squant.tuning.ablation import ALL, Ablated

LABELS = {
    "left_out": "covariate",
    "effect": "gain with it",
    "rise": "rise of the loss",
    "low": "95 % from",
    "high": "to",
    "p_adjusted": "p adj.",
    "n": "cutoffs",
    "n_eff": "of them independent",
    "smallest_detectable": "detectable",
    "finding": "finding",
    "reason": "why not tested",
}
FORMATS = {"effect": "+.2%", "rise": "+.2%", "low": "+.2%", "high": "+.2%", "smallest_detectable": ".2%"}
FORMATS |= {"p": ".3f", "p_adjusted": ".3f", "n_eff": ".1f"}
MOST = 4
"""Findings that a sentence names."""


def write(ablated: Ablated, folder: RunFolder) -> None:
    """Fill the folder: gains and importance as tables, ablation.json, the experiment, the page; the manifest last."""
    folder.write_table("gains.parquet", ablated.gains)
    folder.write_text("gains.csv", ablated.gains.to_csv(index=False))
    folder.write_table("importance.parquet", ablated.importance)
    folder.write_text("experiment.json", ablated.experiment.to_json())
    folder.write_text("ablation.json", json.dumps(summary(ablated), indent=1) + "\n")
    folder.write_pages(render_experiment(ablation_page(ablated), runs=folder.runs_page))
    head = {"status": "done", "finished_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    head |= {"run_id": ablated.run_id, "created_at": ablated.created_at, "sentence": sentence(ablated)}
    folder.finish(head | dict(ablated.provenance))
    write_list(folder, runs_page)


def summary(ablated: Ablated) -> dict[str, Any]:
    """The ablation in plain JSON values; absent numbers are null."""
    whole = ablated.gains[ablated.gains["step"].astype(str) == "all"]
    return {
        "run_id": ablated.run_id,
        "created_at": ablated.created_at,
        "sentence": sentence(ablated),
        "gains": [json_values({str(k): v for k, v in row.items()}) for row in whole.to_dict("records")],
        "left_out": dict(ablated.left_out),
    }


def sentence(ablated: Ablated) -> str:
    """What the covariates added: what is clear, and plainly what is not."""
    whole = ablated.gains[ablated.gains["step"].astype(str) == "all"]
    tested = whole[whole["finding"] != "not tested"]
    if not len(tested):
        return f"Not tested: {whole['reason'].iloc[0]}."
    clear = tested[tested["finding"] != "no evidence"]
    parts = [_found(row) for row in clear.head(MOST).to_dict("records")]
    if len(clear) > MOST:
        parts.append(f"And {len(clear) - MOST} more.")
    silent = [name for name in dict.fromkeys(tested["left_out"]) if not (clear["left_out"] == name).any()]
    named = [str(name) for name in silent if name != ALL]
    if ALL in silent:
        parts.append("No evidence that the covariates together help any model.")
    if named:
        parts.append(f"No evidence that {listed(named)} {'helps' if len(named) == 1 else 'help'} any model.")
    return " ".join(parts)


def _found(row: dict[Any, Any]) -> str:
    gains = row["finding"] == "helps"
    what = "all covariates together" if row["left_out"] == ALL else row["left_out"]
    return (
        f"{subject(row['model'])} {'gains from' if gains else 'loses by'} {what}: {100 * row['effect']:+.2f} % "
        f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}], p adjusted {row['p_adjusted']:.3f}."
    )


def ablation_page(ablated: Ablated) -> ExperimentPage:
    """Lay a finished ablation out."""
    experiment = ablated.experiment
    sections = [_together(ablated)]
    if len(experiment.covariates) > 1:
        sections.append(_each(ablated))
    if len(ablated.importance):
        sections.append(_leant_on(ablated))
    sections.append(_rules(ablated))
    return ExperimentPage(
        title=f"What did the covariates add: {experiment.name}",
        lead=sentence(ablated),
        sections=tuple(sections),
        command=str(ablated.provenance.get("command", "")),
        facts={
            "run": ablated.run_id,
            "covariates": ", ".join(c.name for c in experiment.covariates),
            "seed": experiment.seed,
            "s2squant": ablated.provenance.get("versions", {}).get("s2squant"),
        },
    )


def _together(ablated: Ablated) -> Section:
    gains = ablated.gains[ablated.gains["left_out"] == ALL]
    whole, steps = _parted(gains)
    best = whole.sort_values("effect", ascending=False, kind="stable").iloc[0]
    most = f"{subject(best['model'])} gains most: {100 * best['effect']:+.2f} % with them."
    return Section(
        heading="With and without all covariates",
        takeaway=most if best["effect"] > 0 else "No model loses less with them.",
        paragraphs=("Relative gain in CRPS of a model with all covariates over the same model with none.",),
        table=_shown(whole.drop(columns="left_out")),
        labels=LABELS,
        formats=FORMATS,
        caption="Diebold-Mariano by date, equal-weighted cosines; p adjusted over all rows of this page.",
        lines=(
            Lines("Gain with all covariates by sessions ahead", "sessions ahead", "gain, %", _lines(steps, "model")),
        ),
    )


def _each(ablated: Ablated) -> Section:
    gains = ablated.gains[ablated.gains["left_out"] != ALL]
    whole, steps = _parted(gains)
    clear = int((~whole["finding"].isin(["no evidence", "not tested"])).sum())
    charts = tuple(
        Lines(f"{label(str(model))}: gain from each", "sessions ahead", "gain, %", _lines(part, "left_out"))
        for model, part in steps.groupby("model", sort=False)
    )
    return Section(
        heading="Each left out",
        takeaway=f"{clear} of {len(whole)} stand out after allowing for all of them.",
        paragraphs=("Relative gain in CRPS of a model with all covariates over the same model without this one.",),
        table=_shown(whole),
        labels=LABELS,
        formats=FORMATS,
        lines=charts,
    )


def _leant_on(ablated: Ablated) -> Section:
    whole, steps = _parted(ablated.importance)
    clear = whole[whole["finding"] == "leans on it"]
    named = [f"{phrase(str(r['model']))} on {r['covariate']}" for r in clear.head(MOST).to_dict("records")]
    charts = tuple(
        Lines(f"{label(str(model))}: rise of the loss", "sessions ahead", "rise, %", _lines(part, "covariate", "rise"))
        for model, part in steps.groupby("model", sort=False)
    )
    return Section(
        heading="What the fitted models lean on",
        takeaway=f"Models that lean on one: {listed(named, 'and')}." if named else "No model clearly leans on any.",
        paragraphs=(
            "Permutation importance: the loss of the same fitted model with one covariate rolled to another time, a "
            "static one taken from another ticker, less its loss as it was.",
        ),
        table=_shown(whole),
        labels=LABELS,
        formats=FORMATS,
        lines=charts,
    )


def _rules(ablated: Ablated) -> Section:
    walk = ablated.experiment.walk
    paragraphs = [
        f"Every variant was fitted anew on the same folds and seeds, and scored on the same {walk.cutoffs} cutoffs a "
        f"market, {walk.horizon} sessions ahead.",
        "A model that reads none of the covariates is the same in all variants, and is not listed. What it costs to "
        "have chosen the covariates after looking at these cutoffs is in none of the figures.",
    ]
    if ablated.left_out:
        paragraphs.append("Left out: " + "; ".join(f"{t}: {why}" for t, why in ablated.left_out.items()) + ".")
    return Section(heading="How it was done", paragraphs=tuple(paragraphs))


def _parted(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of all steps, and those of single steps."""
    whole = table["step"].astype(str) == "all"
    return table[whole], table[~whole]


def _shown(whole: pd.DataFrame) -> pd.DataFrame:
    """A table for people: names of models, no column that says nothing."""
    table = whole.drop(columns="step").assign(model=[label(str(m)) for m in whole["model"]])
    return table.drop(columns="reason") if not table["reason"].any() else table


def _lines(steps: pd.DataFrame, by: str, value: str = "effect") -> dict[str, tuple[list[int], list[float]]]:
    """One line of percents by step for each value of a column."""
    series = {}
    for name, part in steps.groupby(by, sort=False):
        ordered = part.assign(step=part["step"].astype(int)).sort_values("step")
        series[str(name)] = (ordered["step"].tolist(), (100 * ordered[value]).tolist())
    return series
