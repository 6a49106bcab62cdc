"""The page of two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.models import phrase
from s2squant.evaluation.paired_runs import PairedRuns
from s2squant.evaluation.previous_run import trained_apart
from s2squant.evaluation.results import Study
from s2squant.report.formats import count, interval, known, pvalue, skill
from s2squant.report.sections import ExperimentPage, Lines, Section

LABELS = {"pool": "Ticker", "effect": "Gain of B", "low": "Low", "high": "High", "p_adjusted": "p (adjusted)"}
LABELS |= {"p": "p", "n": "Cutoffs", "n_eff": "Worth", "word": "B is"}
FORMATS = {"effect": "+.2%", "low": "+.2%", "high": "+.2%", "p": ".3f", "p_adjusted": ".3f", "n": ".0f", "n_eff": ".1f"}
GAP = 10
"""Usual distances between cutoffs that make a hole."""
COLUMNS = ["pool", "effect", "low", "high", "p", "p_adjusted", "n", "n_eff", "word"]


def sentence(paired: PairedRuns, one: str, other: str) -> str:
    """What the second run gains over the first, with its interval, in one sentence."""
    row = paired.pooled.iloc[0]
    name = phrase(paired.models[1])
    on = f"on {count(paired.tickers, 'ticker')} and {count(paired.cutoffs, 'cutoff')} in common"
    whose = f"{name} of B ({other}) against {phrase(paired.models[0])} of A ({one})"
    if not known(row["effect"]):
        return f"{whose}: no gain can be computed {on} ({row['test']})."
    tested = f"p {pvalue(row['p'])}" if not str(row["test"]).startswith("not tested") else str(row["test"])
    word = {"better": "B is better", "worse": "B is worse"}.get(str(row["word"]), "no evidence that they differ")
    gain = f"{skill(row['effect'])} {interval(row['low'], row['high'])}"
    text = f"{whose[0].upper()}{whose[1:]}, {on}: {word}, gain in CRPS {gain} ({tested})."
    if paired.revised:
        text += f" {count(paired.revised, 'forecast')} left out, whose outcome is another in each: prices were revised."
    return text


def compare_page(
    one: Study, other: Study, paired: PairedRuns, settings: Sequence[tuple[str, Any, Any]]
) -> ExperimentPage:
    """Lay the comparison out: verdict, over time, by ticker, settings, and each run's own sentence."""
    apart = trained_apart(one.provenance, other.provenance, ("A", "B"))
    better, worse = ((paired.by_ticker["word"] == word).sum() for word in ("better", "worse"))
    course = _broken(paired.over_time)
    sections = (
        Section(
            heading="Over time",
            takeaway="Rising: B more accurate than A. Gains of all common cutoffs, added up.",
            lines=(
                Lines(
                    "Cumulative gain of B over A",
                    "cutoff",
                    "gain, % of A's loss",
                    {"gain of B": (course["cutoff"].to_numpy(), course["cumulative"].to_numpy())},
                ),
            ),
        ),
        Section(
            heading="By ticker",
            takeaway=f"B is better on {better} of {count(paired.tickers, 'ticker')} and worse on {worse}, "
            "false discoveries held down; on the others the data cannot tell.",
            table=paired.by_ticker[COLUMNS],
            labels=LABELS,
            formats=FORMATS,
            caption="Relative gain in CRPS of B over A, averaged over dates, with its 95 % interval",
        ),
        Section(
            heading="Settings that differ",
            takeaway=f"{count(len(settings), 'setting')} differ{'s' if len(settings) == 1 else ''}."
            if settings
            else "None: the runs differ by their prices, or not at all."
            if not apart
            else "None.",
            paragraphs=(apart,) if apart else (),
            table=pd.DataFrame([(name, _text(a), _text(b)) for name, a, b in settings], columns=["setting", "A", "B"])
            if settings
            else None,
        ),
        Section(
            heading="What each said of itself",
            paragraphs=tuple(f"{letter}: {study.sentence}" for letter, study in (("A", one), ("B", other))),
        ),
    )
    return ExperimentPage(
        title="Two runs side by side",
        lead=sentence(paired, one.run_id, other.run_id),
        sections=sections,
        command=f"s2squant compare {one.run_id} {other.run_id}",
        facts={"A": one.run_id, "B": other.run_id, "forecasts in common": paired.units, "left out": paired.revised},
    )


def _broken(course: pd.DataFrame) -> pd.DataFrame:
    """The course with a gap where no cutoff lies for long, as between two markets: no line is drawn across it."""
    apart = course["cutoff"].diff()
    wide = course[apart > GAP * apart.median()]
    if wide.empty:
        return course
    gaps = pd.DataFrame({"cutoff": wide["cutoff"] - pd.Timedelta(days=1), "cumulative": np.nan})
    return pd.concat([course, gaps]).sort_values("cutoff", ignore_index=True)


def _text(value: Any) -> str:
    return "–" if value is None else json.dumps(value)
