"""Verdict in words: the written rule, the badge and the sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.config.models import phrase, subject
from s2squant.evaluation.results import Word
from s2squant.evaluation.statistics.diebold_mariano import MIN_CUTOFFS

RULE = (
    "Written before the run. The recommended model, {recommended}, is compared with the reference, {reference}, and "
    "with the best baseline, the one with the lowest mean relative CRPS on this very test set: it is picked after "
    "the fact, which favours the baseline. The loss is the CRPS over all steps relative to the ticker's mean loss "
    "of the benchmark, averaged over tickers into one number a cutoff date, on units that every model forecast. "
    "'Better' means positive skill with p < {alpha:g} in a two-sided Diebold-Mariano test that allows for "
    "overlapping horizons (equal-weighted cosines, Student t); 'worse' means negative skill with p < {alpha:g}; "
    "anything else is 'no evidence', and so is a test on fewer than {minimum} cutoffs. The run is 'better' only if "
    "better than both, and 'worse' if worse than either. A single ticker, market or step also has to pass "
    "Benjamini-Hochberg at a false discovery rate of {fdr} %. Intervals are 95 %; the smallest detectable skill is "
    "what the test would find four times in five."
)


def written_rule(spec: VerdictSpec) -> str:
    """The rule the words follow, with the numbers of `spec`."""
    return RULE.format(
        recommended=phrase(spec.recommended),
        reference=phrase(spec.reference),
        alpha=spec.alpha,
        fdr=f"{100 * spec.fdr:g}",
        minimum=MIN_CUTOFFS,
    )


def overall_word(rows: pd.DataFrame, spec: VerdictSpec, best: str) -> Word:
    """The badge of the run from the pooled rows against the reference and against the best baseline."""
    words = [
        str(row["word"]) for b in dict.fromkeys((spec.reference, best)) if (row := _pooled(rows, spec, b)) is not None
    ]
    if "worse" in words:
        return "worse"
    return "better" if words and all(w == "better" for w in words) else "no evidence"


def after_audit(sentence: str, word: Word, audit: pd.DataFrame) -> tuple[str, Word]:
    """The verdict once the leak audit has spoken: a failed check takes it back, whatever the figures say.

    `audit` has the columns of Study's table.
    """
    failed = audit[audit["outcome"] == "failed"]
    if failed.empty:
        return sentence, word
    first = str(failed["sentence"].iloc[0]).rstrip(".")
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return (
        f"Not to be believed: the leak audit failed ({first}{more}). Without it one would read: {sentence}",
        "no evidence",
    )


def sentence_of(rows: pd.DataFrame, spec: VerdictSpec, best: str, dropped: int) -> str:
    """The verdict on the recommended model in plain words; `rows` as comparisons.compare makes them, skill in %."""
    name = phrase(spec.recommended)
    first = _pooled(rows, spec, spec.reference)
    if spec.recommended == spec.reference:
        return f"The recommended model is the reference, {name}: there is nothing to compare."
    if first is None:
        return f"The recommended model, {name}, has no scored forecasts: no verdict."
    also = ", which is also the best baseline here" if best == spec.reference else ""
    parts = [f"{subject(spec.recommended)} against {phrase(spec.reference)}{also}: {_finding(first, long=True)}."]
    second = _pooled(rows, spec, best)
    if best != spec.reference and second is not None:
        parts.append(f"Against {phrase(best)}, the best baseline here: {_finding(second, long=False)}.")
    mine = (rows["challenger"] == spec.recommended) & (rows["benchmark"] == spec.reference)
    words = rows.loc[mine & (rows["family"] == "ticker"), "word"]
    worse = int((words == "worse").sum())
    tickers = f"{int((words == 'better').sum())} of {len(words)} ticker{'s' if len(words) != 1 else ''} better"
    parts.append(f"{tickers}{f' and {worse} worse' if worse else ''} at FDR {100 * spec.fdr:g} %.")
    if dropped:
        parts.append(f"{dropped} units (ticker, cutoff, step) that some model lacks are left out.")
    return " ".join(parts)


def _pooled(rows: pd.DataFrame, spec: VerdictSpec, benchmark: str) -> pd.Series | None:
    mine = rows[(rows["challenger"] == spec.recommended) & (rows["benchmark"] == benchmark) & (rows["family"] == "all")]
    return mine.iloc[0] if len(mine) else None


def _finding(row: pd.Series, *, long: bool) -> str:
    word = "no evidence of skill" if row["word"] == "no evidence" else str(row["word"])
    effect = f"{'CRPS skill ' if long else ''}{_percent(row['effect'])} %"
    if not np.isfinite(row["low"]):
        return f"{word}, {effect} ({row['test']})"
    result = f"{word}, {effect} [{_percent(row['low'])}, {_percent(row['high'])}]"
    p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
    if not long:
        return f"{result} ({p})"
    size = f"{row['n']} cutoffs, n_eff {row['n_eff']:.0f}"
    return f"{result} ({p}; {size}, smallest detectable {100 * row['smallest_detectable']:.1f} %)"


def _percent(share: float) -> str:
    return f"{100 * share:+.1f}"
