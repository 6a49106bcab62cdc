"""The page that lists all runs, the newest first, each with its verdict and a link to its report."""

from __future__ import annotations

from collections.abc import Sequence

from s2squant.errors import first_of
from s2squant.evaluation.run_entry import RunEntry
from s2squant.report.formats import count
from s2squant.report.templating import fill

NAMED = 2
"""Tickers of a run that are named."""


def runs_page(entries: Sequence[RunEntry], way: str = "") -> bytes:
    """One page without any other file; `way` leads from its folder to that of all reports."""
    shown = [{"entry": entry, "universe": universe(entry), "name": name(entry)} for entry in entries]
    values = {"shown": shown, "many": count(len(entries), "run"), "way": way}
    return fill("runs.html.j2", values, single_file=True, drawn=False)


def name(entry: RunEntry) -> str:
    """A run's name and, where it is another, its kind."""
    return entry.name if entry.name in (entry.flow, "") else f"{entry.name} ({entry.flow})"


def universe(entry: RunEntry) -> str:
    """How many tickers a run has, and the first of them."""
    if not entry.tickers:
        return ""
    return f"{len(entry.tickers)}: {first_of(entry.tickers, NAMED)}"
