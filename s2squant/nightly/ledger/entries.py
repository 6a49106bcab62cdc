"""Records that are entered into the ledger (runs, forecasts), and their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np

from s2squant.series.arrays import Floats
from s2squant.series.tails import ALL_LEVELS, LEVELS

GapKind = Literal["late", "missed", "stale", "failed", "closed"]
Issued = Literal["issued", "kept", "reissued"]


@dataclass(frozen=True)
class Issue:
    """One model's forecast of one ticker from one cutoff: H steps, quantiles and mean (H,) of log returns.

    Quantiles are at ALL_LEVELS, or at the even grid alone.
    """

    ticker: str
    market: str
    cutoff: date
    model: str
    version: str
    """What made it: the content hash of its weights."""
    sessions: Sequence[date]
    quantiles_HQ: Floats
    mean_H: Floats
    close: float
    """Raw close at the cutoff, as known at issue; with `factor` the price basis."""
    factor: float
    """Adjusted close over raw close at the cutoff, as known at issue."""
    prices_sha256: str
    prices_at: str
    """The stored price version that was read: its fetched-at."""


@dataclass(frozen=True)
class RunEntry:
    """One run of a flow, as the ledger knows it."""

    run_id: str
    nightly: str
    flow: str
    scheduled_at: datetime
    started_at: datetime
    status: str
    """running, then done, partial, failed, skipped, late or dead."""
    message: str = ""
    ended_at: datetime | None = None
    folder: str = ""
    settings: str = ""
    """The Nightly as JSON."""
    facts: str = "{}"
    """Price versions by ticker, model versions, seconds by stage, software versions: JSON."""


def forecast_rows(nightly: str, run_id: str, issue: Issue, at: datetime) -> list[dict[str, Any]]:
    """One row a step; raises ValueError where the quantiles, or another figure, are not what can be issued."""
    quantiles = np.ascontiguousarray(issue.quantiles_HQ, "<f4")
    if (
        quantiles.shape not in [(len(issue.sessions), n) for n in (len(ALL_LEVELS), len(LEVELS))]
        or not np.isfinite(quantiles).all()
    ):
        raise ValueError(f"{issue.model} of {issue.ticker}: quantiles {quantiles.shape} cannot be issued")
    if not np.isfinite([*issue.mean_H, issue.close, issue.factor]).all():
        raise ValueError(f"{issue.model} of {issue.ticker}: its mean, close or factor is not finite")
    if not issue.sessions or at.tzinfo is None:
        raise ValueError(f"{issue.model} of {issue.ticker}: no session, or {at} without a time zone")
    return [
        {
            "nightly": nightly,
            "ticker": issue.ticker,
            "market": issue.market,
            "cutoff": issue.cutoff,
            "step": step,
            "ds": day,
            "model": issue.model,
            "reissue": 0,
            "version": issue.version,
            "issued_at": at.astimezone(UTC),
            "quantiles": quantiles[step - 1].tobytes(),
            "mean": float(np.float32(issue.mean_H[step - 1])),
            "close": float(issue.close),
            "factor": float(issue.factor),
            "prices_sha256": issue.prices_sha256,
            "prices_at": issue.prices_at,
            "run_id": run_id,
        }
        for step, day in enumerate(issue.sessions, start=1)
    ]


def key_of(nightly: str, ticker: str, cutoff: date) -> str:
    """What one writer at a time may enter something about."""
    return "\x1f".join((nightly, ticker, str(cutoff)))


def content_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a forecast the same one again: not when, nor by which run."""
    names = ("step", "ds", "version", "quantiles", "mean", "close", "factor", "prices_sha256")
    return tuple(bytes(row[n]) if n == "quantiles" else row[n] for n in names)
