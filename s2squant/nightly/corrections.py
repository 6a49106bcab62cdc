"""Corrections: outcomes valued again after a revised close, a late session, or a late split or dividend.

What was entered first stays; a correction is entered beside it, with an event that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.outcomes import corrections
from s2squant.prices.sources.from_store import stored_at
from s2squant.prices.store.price_store import PriceStore
from s2squant.series.history import PriceHistory

REACH = timedelta(days=60)
"""How long after its target session an outcome is still corrected."""


def rescore(
    ledger: Ledger,
    nightly: str,
    run_id: str,
    store: PriceStore,
    histories: Mapping[str, PriceHistory],
    sessions: Mapping[str, date],
    *,
    at: datetime,
) -> int:
    """Correct the outcomes of tickers whose stored past changed since they were valued; returns how many.

    `histories` are the bars of tonight, read from `store`; `sessions` is the due session by ticker, for the event.
    Whoever changed the store, this night or another program, it is found in the versions' own account of themselves.
    """
    done = 0
    since = at.date() - REACH
    for ticker, history in histories.items():
        changed = rewritten(store, ticker, history.fetched_at, stored_at(history.interval))
        if not changed:
            continue
        scored = ledger.scored(nightly, ticker, since, changed)
        moved = corrections(scored, history) if len(scored) else []
        if moved:  # the event first: a run killed in between corrects what is left when it goes on
            ledger.note(nightly, run_id, sessions[ticker], "rescored", _move_of(scored, moved), ticker=ticker, at=at)
            done += ledger.correct(moved, run_id, at=at)
    return done


def rewritten(store: PriceStore, ticker: str, upto: str, interval: str) -> str:
    """The fetched-at of the newest version, `upto` at most, that changed returns of the past; empty where none did."""
    versions = [version for version in store.versions(ticker, interval) if version.fetched_at <= upto]
    for before, version in reversed(list(pairwise(versions))):
        if any(change.rewrites(before.last) for change in version.changes):
            return version.fetched_at
    return ""


def _move_of(scored: pd.DataFrame, moved: Sequence[Mapping[str, Any]]) -> str:
    """How many outcomes moved, of which sessions, and which by most."""
    y = {one["forecast_id"]: one["y"] for one in moved}
    rows = scored[scored["id"].isin(y)]
    now = np.array([y[forecast] for forecast in rows["id"]])
    k = int(np.abs(now - rows["y"].to_numpy(float)).argmax())
    worst, first, last = rows.iloc[k], rows["ds"].min(), rows["ds"].max()
    days = f"of {first}" if first == last else f"from {first} to {last}"
    return (
        f"{len(rows)} outcome{'s' if len(rows) > 1 else ''} {days} valued again on changed prices; largest move: "
        f"{worst['y']:+.4f} to {now[k]:+.4f}, step {worst['step']} from {worst['cutoff']}"
    )
