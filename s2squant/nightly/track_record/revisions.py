"""Forecast revisions: how the median for a date moves from night to night, and the autocorrelation of the moves.

An efficient forecaster's revisions are unpredictable: yesterday's says nothing of today's (Nordhaus 1987). A positive
autocorrelation means that news is taken in too slowly, a negative one that forecasts overreact.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.evaluation.losses import group_mean
from s2squant.evaluation.statistics import diebold_mariano as dm

OVERLAP = 2
"""Neighbouring products of revisions share one."""


def revisions(own: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The revisions table of TrackRecord, one model's rows given, and what it says in one sentence.

    A revision is what the median forecast of a date gained in log price between consecutive sessions: the return that
    came, plus the new median, less the old one. No price basis enters, so no split or dividend does.
    """
    moves = _revised(own) if len(own) else pd.DataFrame()
    if not len(moves):
        return pd.DataFrame(), "No date has been forecast on two consecutive sessions yet."
    keys = ["unique_id", "ds"]
    before = moves[[*keys, "cutoff", "revision"]].rename(columns={"cutoff": "previous", "revision": "before"})
    pairs = moves.merge(before, on=[*keys, "previous"])
    rows = [_row("all", moves, pairs)]
    parts = dict(list(pairs.groupby("unique_id", sort=True)))
    rows += [_row(str(t), part, parts.get(t, pairs.iloc[:0])) for t, part in moves.groupby("unique_id", sort=True)]
    table = pd.DataFrame(rows)
    pooled = table.iloc[0]
    if not np.isfinite(pooled["low"]):
        return table, f"{pooled['revisions']:,.0f} revisions so far: too few to test."
    verdict = "no evidence that they can be foretold"
    if pooled["low"] > 0:
        verdict = "they carry on: news is taken in too slowly"
    elif pooled["high"] < 0:
        verdict = "they turn back: forecasts overreact"
    return table, (
        f"Autocorrelation of successive revisions {pooled['autocorrelation']:+.2f} "
        f"[{pooled['low']:+.2f}, {pooled['high']:+.2f}]: {verdict}."
    )


def _revised(own: pd.DataFrame) -> pd.DataFrame:
    """unique_id, ds, cutoff, previous (the cutoff before), revision (% log return)."""
    rows = own[["unique_id", "cutoff", "ds", "step", "y", "q0.500"]]
    first = rows.loc[(rows["step"] == 1) & rows["y"].notna(), ["unique_id", "cutoff", "ds", "y"]]
    first = first.rename(columns={"ds": "next", "y": "came"})
    old = rows[rows["step"] > 1].merge(first, on=["unique_id", "cutoff"])
    new = rows[["unique_id", "cutoff", "ds", "q0.500"]].rename(columns={"cutoff": "next", "q0.500": "median"})
    both = old.merge(new, on=["unique_id", "next", "ds"])
    moved = both["came"].to_numpy(float) + both["median"].to_numpy(float) - both["q0.500"].to_numpy(float)
    return pd.DataFrame(
        {
            "unique_id": both["unique_id"].to_numpy(),
            "ds": both["ds"].to_numpy(),
            "cutoff": both["next"].to_numpy(),
            "previous": both["cutoff"].to_numpy(),
            "revision": 100.0 * moved,
        }
    )


def _row(name: str, moves: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, object]:
    size = float(np.sqrt(np.square(moves["revision"]).mean()))
    row: dict[str, object] = {"unique_id": name, "revisions": len(moves), "size": size}
    now, before = (pairs[c].to_numpy(float) for c in ("revision", "before"))
    scale = float(np.sqrt(np.square(now).mean() * np.square(before).mean())) if len(pairs) else 0.0
    row["autocorrelation"] = float((now * before).mean()) / scale if scale > 0 else np.nan
    row |= {"low": np.nan, "high": np.nan}
    if name != "all" or scale <= 0:
        return row
    dates, date_of = np.unique(pairs["cutoff"].to_numpy(), return_inverse=True)
    series = group_mean(now * before / scale, date_of, len(dates))
    tested = dm.examine(series, OVERLAP)
    if not tested.reason:
        row |= {"autocorrelation": tested.mean, "low": tested.low, "high": tested.high}
    return row
