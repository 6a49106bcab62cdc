"""Changes since the previous run of the same experiment: verdicts, skill, and prices revised by their vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from s2squant.evaluation.results import Study
from s2squant.series.history import PriceHistory

REVISED = 1e-6
"""Log returns that differ by more count as revised."""
COLUMNS: tuple[str, ...] = ("unique_id", "model", "crps_before", "crps", "skill_before", "skill", "word_before", "word")
COLUMNS += ("bars_added", "bars_revised")

TRAINED = ("trained_on", "trained_in")
"""Facts of a manifest: devices on which networks trained, and precisions in which they did."""


def trained_apart(one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> str:
    """A sentence on two runs' provenance where networks trained on other devices or in another precision; else empty.

    A fact that one of them lacks, as runs of before it was noted and runs without networks do, says nothing.
    """
    if not any(one.get(name) and other.get(name) and one[name] != other[name] for name in TRAINED):
        return ""
    first, second = (_trained(facts) for facts in (one, other))
    text = f"Networks of {names[0]} trained {first}, those of {names[1]} {second}"
    return f"{text}: forecasts differ for that alone, by up to what another seed changes."


def _trained(facts: Mapping[str, Any]) -> str:
    words = zip(("on", "in"), TRAINED, strict=True)
    return " ".join(f"{word} {' and '.join(facts[name])}" for word, name in words if facts.get(name))


def compare(now: Study, before: Study) -> pd.DataFrame:
    """One row a model over all tickers (unique_id "all"), then one a ticker for the recommended model.

    Skill over all tickers is the leaderboard's, a ticker's its own. What one of the runs lacks is missing. Bars count
    for tickers: those after the previous run's last date, and those before it whose return is another now.
    """
    recommended = now.experiment.verdict.recommended
    pooled = _both(now.leaderboard, before.leaderboard, "model").assign(unique_id="all")
    pooled["model"] = pooled.index
    for name, word in {"word_before": before.word, "word": now.word}.items():
        pooled[name] = [word if model == recommended else None for model in pooled.index]
    mine = [t[t["model"].astype(str) == recommended] for t in (now.by_ticker, before.by_ticker)]
    single = _both(mine[0], mine[1], "unique_id").assign(model=recommended)
    single["unique_id"] = single.index
    bars = [_bars(now.histories.get(t), before.histories.get(t)) for t in single.index]
    single[["bars_added", "bars_revised"]] = np.array(bars, dtype=float).reshape(-1, 2)
    return pd.concat([pooled, single], ignore_index=True).reindex(columns=list(COLUMNS))


def _both(now: pd.DataFrame, before: pd.DataFrame, key: str) -> pd.DataFrame:
    """The figures of two tables side by side, a row a key, in the order of the first."""
    columns = [c for c in ("crps", "skill", "word") if c in now.columns and c in before.columns]
    tables = [t.assign(**{key: t[key].astype(str)}).set_index(key)[columns] for t in (now, before)]
    joined = tables[0].join(tables[1].add_suffix("_before"), how="outer", sort=False)
    order = [*tables[0].index, *(k for k in tables[1].index if k not in tables[0].index)]
    return joined.loc[order]


def _bars(now: PriceHistory | None, before: PriceHistory | None) -> tuple[float, float]:
    """Bars added after the previous last one, and earlier bars whose log return changed; NaN without both."""
    if now is None or before is None:
        return np.nan, np.nan
    added = int((now.dates > before.dates[-1]).sum())
    shared, here, there = np.intersect1d(now.dates, before.dates, assume_unique=True, return_indices=True)
    if len(shared) < 2:
        return added, np.nan
    moves = np.diff(now.log_price[here]) - np.diff(before.log_price[there])
    return added, int((np.abs(moves) > REVISED).sum())
