"""First screen of a report: the badge, the verdict in plain words, and what reconciles it with the other tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from s2squant.config.models import phrase, subject
from s2squant.evaluation.results import Word
from s2squant.report.formats import count, known, skill
from s2squant.report.names import join
from s2squant.report.study_view import POOL, Contents, Row, rows, tested

Badge = Literal["better", "borderline", "no evidence", "worse"]


@dataclass(frozen=True)
class Opening:
    """Badge, the verdict in plain words, one sentence that sets it beside the other tests, and how to read it."""

    badge: Badge
    verdict: str
    beside: str
    advice: str


@dataclass(frozen=True)
class _Measure:
    name: str
    role: str
    word: Word
    effect: float

    def words(self, first: bool) -> str:
        """Name, role and skill; `first` says what kind of skill it is."""
        size = f"CRPS skill {skill(self.effect)} by date" if first else skill(self.effect)
        return f"{phrase(self.name)}{f', {self.role}' if self.role else ''} ({size})"


def opening(c: Contents) -> Opening:
    """The opening of a study. A failed leak audit, or nothing to compare, leaves the study's own first sentence."""
    audit = c.study.audit
    if not audit.empty and (audit["outcome"] == "failed").any():
        return Opening("no evidence", c.study.sentence.splitlines()[0], "", "Do not act on this report.")
    measures = _measures(c)
    if not measures:
        return Opening(c.study.word, c.study.sentence.splitlines()[0], "", "")
    apart, alone = _pairs_apart(c), _tickers_better(c)
    badge = _badge(c, measures, apart, alone)
    return Opening(badge, _verdict(c, measures), _beside(c), _ADVICE[badge])


_ADVICE: dict[Badge, str] = {
    "better": "",
    "borderline": "Treat the lead as small and unproven.",
    "no evidence": "Use the ranges if they held; do not count on an edge.",
    "worse": "Use the baseline instead.",
}


def rule_of_badges() -> str:
    """When a report says borderline instead of the word of the written rule."""
    return (
        "Borderline stands for a lead that not all tests share: better than one of these models and not than another; "
        "or better than all, while no pair with the recommended model stands after allowing for all pairs and no "
        "ticker stands alone."
    )


def _badge(c: Contents, measures: list[_Measure], apart: int | None, alone: int) -> Badge:
    """The word of the rule, or borderline where the tests do not agree; see `rule_of_badges`."""
    words = {m.word for m in measures}
    if c.study.word == "no evidence" and "better" in words and "worse" not in words:
        return "borderline"
    if c.study.word == "better" and apart == 0 and not alone:
        return "borderline"
    return c.study.word


def _measures(c: Contents) -> list[_Measure]:
    """The reference, the rival named before the run and the best baseline, with the pooled verdict against each."""
    spec = c.study.experiment.verdict
    asked = {"pool": POOL, "step": "all", "challenger": c.recommended}
    pooled = {str(r["benchmark"]): r for r in rows(c.study.verdicts, asked) if _is_crps(r)}
    roles = {c.reference: "", spec.rival: "the rival named before the run"}
    roles |= (
        {c.best_baseline: roles.get(c.best_baseline) or "the best baseline, picked afterwards"}
        if (c.best_baseline)
        else {}
    )
    return [
        _Measure(name, role, pooled[name]["word"], float(pooled[name]["effect"]))
        for name, role in roles.items()
        if name in pooled and name != c.recommended and known(pooled[name]["effect"])
    ]


def _is_crps(row: Row) -> bool:
    return str(row.get("metric", "crps")).startswith("crps")


def _verdict(c: Contents, measures: list[_Measure]) -> str:
    """The words of the measures as sentences: better than these, no evidence against those."""
    order = sorted(measures, key=lambda m: ("better", "worse", "no evidence").index(m.word))
    told = [(m.word, m.words(first=place == 0)) for place, m in enumerate(order)]
    by_word = {word: [text for said, text in told if said == word] for word in ("better", "no evidence", "worse")}
    name, text = subject(c.recommended), []
    if by_word["better"]:
        text.append(f"{name} forecasts better than {join(by_word['better'])}.")
    if by_word["worse"]:
        text.append(f"{name if not text else 'It'} forecasts worse than {join(by_word['worse'])}.")
    if by_word["no evidence"]:
        against = f"against {join(by_word['no evidence'])}"
        text.append(
            f"{against[:1].upper() + against[1:]} there is no evidence of skill."
            if text
            else f"No evidence that {phrase(c.recommended)} forecasts better than {join(by_word['no evidence'])}."
        )
    return " ".join(text)


def _beside(c: Contents) -> str:
    """How many of all pairs, and how many tickers alone, stand once the number of looks is allowed for."""
    text = []
    pairs = _pooled_pairs(c)
    if len(pairs):
        stand = int((pairs["finding"].astype(str) == "differ").sum())
        own = _pairs_apart(c)
        many = count(len(pairs), "pair")
        if not stand:
            text.append(f"none of {many} of models stands once all are allowed for")
        else:
            ahead = f"{own:,} of them" if own else "none of them"
            text.append(
                f"{stand:,} of {many} of models {'stand' if stand > 1 else 'stands'} once all are allowed for, "
                f"{ahead} with {phrase(c.recommended)} ahead"
            )
    verdicts = rows(c.study.by_ticker, {"model": c.recommended})
    if len(verdicts) > 1:
        alone = _tickers_better(c)
        text.append(f"{'no ticker is' if not alone else f'{alone} of {len(verdicts)} tickers are'} better on its own")
    said = ", and ".join(text)
    said = said.replace("tickers are better on its own", "tickers are better on their own")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _pooled_pairs(c: Contents) -> pd.DataFrame:
    table = c.study.pairs
    if table.empty:
        return table
    return tested(table if "step" not in table.columns else table[table["step"].astype(str) == "all"])


def _pairs_apart(c: Contents) -> int | None:
    """Pairs with the recommended model ahead that stand after adjustment; None where none was tested."""
    pairs = _pooled_pairs(c)
    if pairs.empty:
        return None
    ahead = (pairs["model"].astype(str) == c.recommended) & (pairs["finding"].astype(str) == "differ")
    return int(ahead.sum())


def _tickers_better(c: Contents) -> int:
    return sum(str(r["word"]) == "better" for r in rows(c.study.by_ticker, {"model": c.recommended}))
