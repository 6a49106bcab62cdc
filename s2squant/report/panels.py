"""A panel of a page (title, takeaway, charts, tables), and those of changes, attention, findings and audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from s2squant.errors import Finding
from s2squant.evaluation.previous_run import trained_apart
from s2squant.evaluation.results import TickerReport
from s2squant.report.charts import Chart
from s2squant.report.formats import count, known
from s2squant.report.heatmaps import attention_heatmap
from s2squant.report.study_view import POOL, Contents
from s2squant.report.styles import label
from s2squant.report.tables import MODEL, TICKER, Column, Grid, grid


@dataclass(frozen=True)
class Panel:
    """One section of a page, filled by the template `panel`."""

    id: str
    name: str
    """Its name in the list of sections."""
    title: str
    say: str
    """The takeaway."""
    charts: tuple[tuple[Chart, str], ...] = ()
    """Each with its caption."""
    small: tuple[tuple[Chart, str], ...] = ()
    """Small charts side by side, each under its own label."""
    small_note: str = ""
    grids: tuple[Grid | None, ...] = ()
    folded: tuple[tuple[str, Grid | None], ...] = ()
    """Tables behind a summary line."""
    folded_charts: tuple[tuple[str, Chart, str], ...] = ()
    """Charts behind a summary line, each with its caption."""
    notes: tuple[str, ...] = ()


def present(*panels: Panel | None) -> tuple[Panel, ...]:
    """The panels there are."""
    return tuple(panel for panel in panels if panel is not None)


def changes(c: Contents) -> Panel | None:
    """Changes since the previous run of the same experiment."""
    table = c.study.changes
    if table.empty:
        return None
    table = table.assign(
        delta=pd.to_numeric(table["skill"]) - pd.to_numeric(table["skill_before"]),
        flipped=_flipped(table),
    )
    pooled, single = table[table["unique_id"] == POOL], table[table["unique_id"] != POOL]
    moved = single.reindex(single["delta"].abs().sort_values(ascending=False, na_position="last").index)
    skills = [Column("skill_before", "Skill before", "skill"), Column("skill", "Skill now", "skill")]
    skills.append(Column("delta", "Change", "skill", "In points of skill"))
    words = [Column("word_before", "Verdict before", "word"), Column("word", "Verdict now", "word")]
    bars = [
        Column("bars_added", "New bars", ",d"),
        Column("bars_revised", "Revised bars", ",d", "Earlier bars whose return the vendor changed"),
    ]
    models = grid("changed-models", "All tickers, by model", pooled, [MODEL, *skills])
    names = [TICKER, *words, *skills, *bars]
    tickers = grid("changed-tickers", f"{label(c.recommended)} by ticker, largest change first", moved, names)
    flips, revised = int(single["flipped"].sum()), pd.to_numeric(single["bars_revised"]).fillna(0)
    own = pooled[pooled["model"] == c.recommended]
    turned = bool(own["flipped"].any())
    say = (
        f"Against run {c.study.previous}: the verdict {'changed' if turned else 'is the same'}, "
        f"{count(flips, 'ticker')} changed theirs, and the vendor revised {int(revised.sum()):,} earlier "
        f"{'return' if int(revised.sum()) == 1 else 'returns'} of {count(int((revised > 0).sum()), 'ticker')}."
    )
    facts = c.study.provenance
    apart = trained_apart(facts, facts.get("previous_run", {}), ("this run", "the previous one"))
    heading, notes = "What changed since the previous run", (apart,) if apart else ()
    return Panel("changes", "Changes", heading, say, grids=(models, tickers), notes=notes)


def _flipped(table: pd.DataFrame) -> pd.Series[bool]:
    known_words = table["word_before"].notna() & table["word"].notna()
    return known_words & (table["word_before"] != table["word"])


def attention(c: Contents, report: TickerReport) -> Panel | None:
    """Attention weights of the newest forecast of this ticker."""
    weights_HW = c.study.attention.get(report.ticker)
    if weights_HW is None or not weights_HW.size:
        return None
    mean_W = weights_HW.mean(axis=0)
    bars = len(mean_W)
    recent = float(mean_W[-20:].sum() / mean_W.sum()) if mean_W.sum() else float("nan")
    peak = int(mean_W.argmax()) - bars + 1
    where = "the cutoff itself" if peak == 0 else f"{-peak} bars before the cutoff"
    say = f"Averaged over steps, the weight is highest at {where}"
    if bars > 20 and known(recent):
        say += f"; the last 20 of {bars} bars carry {100 * recent:.0f}\N{NARROW NO-BREAK SPACE}% of it"
    chart = attention_heatmap(weights_HW, newest=report.last)
    caption = "Weights of the newest forecast, a row a step ahead. A row of one shade: the network averages its window."
    return Panel("attention", "Attention", "Where does the network look?", f"{say}.", charts=((chart, caption),))


def findings(reports: Iterable[TickerReport]) -> Panel | None:
    """Findings of the price checks, all tickers."""
    table = finding_table((r.ticker, f) for r in reports for f in r.findings)
    if table.empty:
        return None
    grave = int((table["severity"] != "note").sum())
    say = f"{count(len(table), 'finding')} on {count(table['unique_id'].nunique(), 'ticker')}; "
    say += f"{grave} of them worth a look." if grave else "none of them doubtful."
    columns = [TICKER, *FINDINGS]
    every = grid("finding-table", "What the checks of the prices found and did, most serious first", table, columns)
    title = "Can the prices be trusted?"
    if grave:
        return Panel("data-quality", "Data quality", title, say, grids=(every,))
    return Panel("data-quality", "Data quality", title, say, folded=(("Every finding", every),))


FINDINGS = (
    Column("severity", "Severity", "text"),
    Column("name", "Check", "text"),
    Column("count", "Count", ",d"),
    Column("text", "What was found", "wide"),
    Column("done", "What was done", "text"),
)


def finding_table(findings: Iterable[tuple[str, Finding]]) -> pd.DataFrame:
    """Findings as a frame, gravest first."""
    order = {"error": 0, "warning": 1, "note": 2}
    rows: list[dict[str, Any]] = [
        {"unique_id": t, "severity": f.severity, "name": f.name, "count": f.count, "text": _text(f), "done": f.done}
        for t, f in findings
    ]
    rows.sort(key=lambda row: order.get(row["severity"], 3))
    return pd.DataFrame(rows)


def _text(finding: Finding) -> str:
    """What was found, with what was seen on the first of its days."""
    return f"{finding.text} ({finding.why[0]})" if finding.why else finding.text


def audit(c: Contents) -> Panel | None:
    """Outcomes of the leak audit."""
    table = c.study.audit
    if table.empty:
        return None
    failed, idle = (int((table["outcome"] == word).sum()) for word in ("failed", "not run"))
    ran = len(table) - idle
    say = f"{failed} of {count(ran, 'check')} failed: do not act on this report." if failed else ""
    say = say or (f"{ran} of {count(len(table), 'check')} for look-ahead passed" if ran else "No check was run.")
    if ran and not failed:
        say += f"; {idle} did not run." if idle else "."
    columns = [
        Column("check", "Check", "text"),
        MODEL,
        Column("outcome", "Outcome", "outcome"),
        Column("figure", "Figure", ".4g"),
        Column("sentence", "What it says", "wide"),
    ]
    shown = grid("audit-table", "The leak audit; a planted leak shows that it would see one", table, columns)
    place = {"grids": (shown,)} if failed else {"folded": (("Every check", shown),)}
    return replace(Panel("audit", "Audit", "May the verdict be believed?", say), **place)
