"""Prefect artifacts and events of a night: one markdown summary, one table, one link, and the alerts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from s2squant.errors import first_of
from s2squant.nightly.results import Night, TickerNight, when

DRIFT = "s2squant.drift"
STALE = "s2squant.stale"
SHOWN = 20


def publish_night(folder: Path, night: Night) -> None:
    """One markdown, one table and one link artifact, named after the nightly."""
    name, report = night.spec.name, folder / "index.html"
    create_markdown_artifact(key=name, markdown=markdown(folder, night), description=night.run_id)
    create_table_artifact(key=f"{name}-tickers", table=rows_of(night), description=night.run_id)
    if night.status == "skipped":  # nothing was written
        return
    create_link_artifact(
        key=f"{name}-report",
        link=report.absolute().as_uri(),
        link_text=f"report of {night.run_id}",
        description=night.message,
    )


def alert(folder: Path, night: Night) -> None:
    """Tell the server of stale prices and of drift, as events of our own with a message to act on."""
    if night.status == "skipped":
        return
    stale = [
        f"{t.ticker} (last bar {when(t.market, t.session) or 'none'})" for t in night.tickers if t.status == "stale"
    ]
    if stale:
        _emit(
            STALE,
            folder,
            night,
            f"{len(stale)} of {len(night.tickers)} tickers have stale prices: {first_of(stale, SHOWN)}",
        )
    if night.monitor.alarmed:
        _emit(DRIFT, folder, night, night.monitor.sentence)


def markdown(folder: Path, night: Night) -> str:
    """What happened, the markets, who has no forecast and why, the record so far, and where the report is."""
    markets = [
        f"| {m.market} | {when(m.market, m.session)} | {m.skipped or 'due'} | {len(m.missed)} | "
        f"{when(m.market, m.trained) or '-'} |"
        for m in night.markets
    ]
    table = ["| market | session | tonight | missed before | trained |", "|---|---|---|---|---|", *markets]
    lost = [f"- {t.status} {t.ticker}: {t.reason}" for t in night.lost[:SHOWN]]
    if len(night.lost) > SHOWN:
        lost.append(f"- and {len(night.lost) - SHOWN} more; the table has them all")
    figures = f"{night.issued} rows issued, {night.scored} outcomes scored, {night.reissued} reissued"
    said = [night.track.sentence, night.monitor.sentence]
    where = "" if night.status == "skipped" else where_is(folder)
    return "\n".join([f"**{night.message}**", "", figures, "", *table, "", *lost, "", *filter(None, said), "", where])


def rows_of(night: Night) -> list[dict[str, Any]]:
    """One row a ticker: its outcome, and the recommended model's band (80 %, in prices) of its next session."""
    return [
        {
            "ticker": t.ticker,
            "market": t.market,
            "status": t.status,
            "session": t.session,
            "close": round(t.close, 6) if np.isfinite(t.close) else None,
            **dict(_next_band(night, t)),
            "how": t.how,
            "reason": t.reason,
        }
        for t in night.tickers
    ]


def _next_band(night: Night, ticker: TickerNight) -> Iterator[tuple[str, float | None]]:
    names = {"low": "q0.100", "median": "q0.500", "high": "q0.900"}
    today = night.today
    if len(today):
        recommended = night.spec.experiment.verdict.recommended
        today = today[(today["unique_id"] == ticker.ticker) & (today["model"] == recommended)]
        today = today[today["step"] == 1]
    for name, column in names.items():
        known = len(today) > 0 and np.isfinite(ticker.close)
        yield name, round(ticker.close * float(np.exp(today[column].iloc[0])), 6) if known else None


def _emit(kind: str, folder: Path, night: Night, message: str) -> None:
    name = night.spec.name
    emit_event(
        kind,
        resource={"prefect.resource.id": f"s2squant.nightly.{name}", "prefect.resource.name": name},
        payload={"nightly": name, "run_id": night.run_id, "message": f"{message}. {where_is(folder)}"},
    )


def where_is(folder: Path) -> str:
    """Where people find the report."""
    return f"Report: {folder / 'index.html'}"
