"""Verdict in words: the written rule, the badge and the sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.config.models import phrase, subject
from s2squant.evaluation.results import Word
from s2squant.evaluation.statistics.diebold_mariano import MIN_CUTOFFS

RULE = (
    "Written before the run. The recommended model, {recommended}, is compared with the reference, {reference}, {rival}"
    "and with the best baseline, the one with the lowest mean relative CRPS on this very test set: it is picked after "
    "the fact, which favours the baseline. The loss is the CRPS over all steps relative to the ticker's mean loss "
    "of the benchmark, averaged over tickers into one number a cutoff date, on units that every model forecast. "
    "'Better' means positive skill with p < {alpha:g} in a two-sided Diebold-Mariano test that allows for "
    "overlapping horizons (equal-weighted cosines, Student t); 'worse' means negative skill with p < {alpha:g}; "
    "anything else is 'no evidence', and so is a test on fewer than {minimum} cutoffs. The run is 'better' only if "
    "better than each of them, and 'worse' if worse than any. Scale and shape are worth what is left of the skill "
    "with the medians of both models at zero, location the rest. A single ticker, market or step also has to pass "
    "Benjamini-Hochberg at a false discovery rate of {fdr} %. Intervals are 95 %; the smallest detectable skill is "
    "what the test would find four times in five."
)


def written_rule(spec: VerdictSpec) -> str:
    """The rule the words follow, with the numbers of `spec`."""
    return RULE.format(
        recommended=phrase(spec.recommended),
        reference=phrase(spec.reference),
        rival=f"where it runs with {phrase(spec.rival)}, named as the rival, " if _has_rival(spec) else "",
        alpha=spec.alpha,
        fdr=f"{100 * spec.fdr:g}",
        minimum=MIN_CUTOFFS,
    )


def _has_rival(spec: VerdictSpec) -> bool:
    return spec.rival not in ("", spec.recommended, spec.reference)


def overall_word(rows: pd.DataFrame, spec: VerdictSpec, measures: Sequence[str]) -> Word:
    """The badge of the run from the pooled rows against each of its measures: reference, best baseline, rival."""
    words = [str(row["word"]) for m in measures if (row := _pooled(rows, spec, m)) is not None]
    if "worse" in words:
        return "worse"
    return "better" if words and all(w == "better" for w in words) else "no evidence"


def after_shuffling(sentence: str, shuffled: pd.DataFrame) -> str:
    """The verdict with a line on what the headline would have been on shuffled returns; `shuffled` as in Study."""
    if shuffled.empty:
        return sentence
    row = shuffled.iloc[0]
    challenger, rival = phrase(str(row["challenger"])), phrase(str(row["benchmark"]))
    if row["reason"]:
        why = f"could not be run on shuffled returns: {row['reason']}."
        return f"{sentence}\n{subject(str(row['benchmark']))} and {challenger} {why}"
    without = " without its networks" if row["without"] else ""
    size = f"{row['shuffles']} shuffles of {row['tickers']} ticker{'s' if row['tickers'] != 1 else ''}"
    most = row["high"] if np.isfinite(row["high"]) else row["effect"]
    noise = f"a gain of up to {_percent(most)} % may be estimation noise of {rival}, not skill"
    return (
        f"{sentence}\nWith returns shuffled over dates, where nothing can be forecast, {challenger}{without} would "
        f"have shown {_percent(row['effect'])} % {_interval(row, '')} against {rival} ({size}): "
        f"{noise if most > 0 else 'no gain that could be taken for skill'}."
    )


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
    """The verdict on the recommended model in words, a line a finding; `rows` as `compare` makes them, skill in %."""
    name = phrase(spec.recommended)
    first = _pooled(rows, spec, spec.reference)
    if spec.recommended == spec.reference:
        return f"The recommended model is the reference, {name}: there is nothing to compare."
    if first is None:
        return f"The recommended model, {name}, has no scored forecasts: no verdict."
    also = ", which is also the best baseline here" if best == spec.reference else ""
    parts = [f"{subject(spec.recommended)} against {phrase(spec.reference)}{also}: {_finding(first, long=True)}."]
    roles = {best: "the best baseline here", spec.rival: "the rival named before the run"}
    if best == spec.rival:
        roles[best] = "the best baseline here and the rival named before the run"
    for model, role in roles.items():
        row = _pooled(rows, spec, model)
        if model != spec.reference and row is not None:
            parts.append(f"Against {phrase(model)}, {role}: {_finding(row, long=False)}.")
    mine = (rows["challenger"] == spec.recommended) & (rows["benchmark"] == spec.reference)
    words = rows.loc[mine & (rows["family"] == "ticker"), "word"]
    worse = int((words == "worse").sum())
    tickers = f"{int((words == 'better').sum())} of {len(words)} ticker{'s' if len(words) != 1 else ''} better"
    parts.append(f"{tickers}{f' and {worse} worse' if worse else ''} at FDR {100 * spec.fdr:g} %.")
    if dropped:
        parts.append(f"{dropped} units (ticker, cutoff, step) that some model lacks are left out.")
    return "\n".join(parts)


def _pooled(rows: pd.DataFrame, spec: VerdictSpec, benchmark: str) -> pd.Series | None:
    mine = rows[(rows["challenger"] == spec.recommended) & (rows["benchmark"] == benchmark) & (rows["family"] == "all")]
    return mine.iloc[0] if len(mine) else None


def _finding(row: pd.Series, *, long: bool) -> str:
    word = "no evidence of skill" if row["word"] == "no evidence" else str(row["word"])
    effect = f"{'CRPS skill ' if long else ''}{_percent(row['effect'])} %"
    if not np.isfinite(row["low"]):
        return f"{word}, {effect} ({row['test']})"
    result = f"{word}, {effect} {_interval(row, '')}"
    parts = f"of which location {_part(row, 'location')}, scale and shape {_part(row, 'shape')}"
    p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
    if not long:
        return f"{result} ({parts}; {p})"
    size = f"{row['n']} cutoffs, n_eff {row['n_eff']:.0f}"
    return f"{result} ({parts}; {p}; {size}, smallest detectable {100 * row['smallest_detectable']:.2f} %)"


def _part(row: pd.Series, part: str) -> str:
    return f"{_percent(row[part])} {_interval(row, f'{part}_')}"


def _interval(row: pd.Series, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return f"[{_percent(low)}, {_percent(high)}]" if np.isfinite([low, high]).all() else "[no interval]"


def _percent(share: float) -> str:
    """A share in percent with its sign and two digits, so that the parts of a small gain can be seen to add up."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"
