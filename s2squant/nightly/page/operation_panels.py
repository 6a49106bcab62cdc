"""What a nightly page says of its operation: alerts, revisions, runs and gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from s2squant.nightly.page.rows import Tonight
from s2squant.nightly.results import Night, TrackRecord
from s2squant.report.charts import Chart, Trace, axis, days
from s2squant.report.formats import THIN, count, duration, moment, typeset
from s2squant.report.panels import Panel
from s2squant.report.tables import Column, grid

MOST_RUNS = 40
MOST_ALERTS = 5
"""Of each kind."""


def alerts(night: Night, shown: Tonight) -> Panel:
    """What a person should look at, and nothing else."""
    found = [
        {"what": "drift", "unique_id": "all", "text": typeset(night.monitor.sentence)}
        for _ in range(night.monitor.alarmed)
    ]
    found += [{"what": t.status, "unique_id": t.ticker, "text": t.reason} for t in night.lost]
    for market in night.markets:
        if market.missed:
            text = f"no forecast was issued for {', '.join(market.missed)}"
            found.append({"what": "missed", "unique_id": market.market, "text": text})
    left = 0
    for word in ("surprise", "moved", "wide", "narrow"):
        of_kind = [(r.ticker, why) for r in shown.flagged for kind, why in r.flags if kind == word]
        found += [{"what": word, "unique_id": ticker, "text": why} for ticker, why in of_kind[:MOST_ALERTS]]
        left += max(len(of_kind) - MOST_ALERTS, 0)
    table = pd.DataFrame(found)
    columns = [
        Column("what", "Alert", "text"),
        Column("unique_id", "Ticker or market", "text"),
        Column("text", "What it is", "wide"),
    ]
    say = f"{count(len(found) + left, 'thing')} to look at." if found else "Nothing asks for a person tonight."
    notes = (f"{count(left, 'milder alert')} are flagged in the table above.",) if left else ()
    shown_grid = grid("alert-table", "Gravest first; flags are explained in the table above", table, columns)
    return Panel("alerts", "Alerts", "What needs a human", say, grids=(shown_grid,), notes=notes)


def revisions_panel(night: Night) -> Panel:
    """How forecasts of the same date changed, and which inputs the vendor changed after issue."""
    track = night.track
    columns = [
        Column("unique_id", "Ticker", "text"),
        Column("revisions", "Revisions", ",d"),
        Column("size", "Size, %", ".2f", "Root mean square of the change of the median, % log return"),
        Column("autocorrelation", "Autocorrelation", "+.2f", "Of successive revisions; 0 is efficient"),
        Column("low", "from", "+.2f"),
        Column("high", "to", "+.2f"),
    ]
    events = night.events
    revised, rescored = (events[events["kind"] == kind] if len(events) else events for kind in ("revised", "rescored"))
    vendor = [
        Column("session", "Session", "text"),
        Column("ticker", "Ticker", "text"),
        Column("text", "What changed", "wide"),
    ]
    shown, corrected = (_as_shown(e) if len(e) else e for e in (revised, rescored))
    say = f"{typeset(track.revision_sentence)} " + (
        f"{count(len(revised), 'revision')} of input prices by the vendor after issue."
        if len(revised)
        else "No input of an issued forecast was revised by the vendor."
    )
    if len(rescored):
        often = "once" if len(rescored) == 1 else f"{len(rescored):,} times"
        say += f" Outcomes were corrected {often} since; the record counts the new ones."
    same = "Change of the median for the same date between consecutive sessions"
    return Panel(
        "revisions",
        "Revisions",
        "What was revised",
        say,
        grids=(
            grid("vendor-revisions", "Inputs that the vendor changed after issue", shown.iloc[::-1], vendor),
            grid("corrections", "Outcomes corrected since", corrected.iloc[::-1], vendor),
        ),
        folded=(
            (
                "Forecast revisions by ticker",
                grid(
                    "forecast-revisions",
                    same,
                    track.revisions,
                    columns,
                ),
            ),
        ),
    )


def _as_shown(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(
        session=[str(s)[:10] for s in events["session"]], text=[typeset(str(told)) for told in events["text"]]
    )


def runs_panel(night: Night) -> Panel:
    """What ran, what did not, and the gaps that left."""
    track, runs = night.track, night.runs
    missing = track.due - track.issued
    words = [f"{many} {word}" for word, many in runs["status"].value_counts().items()] if len(runs) else []
    say = f"The last {count(len(runs), 'run')}: {', '.join(words)}." if words else "This is the first run."
    say += f" {count(missing, 'forecast')} of {track.due:,} due are missing." if track.due else ""
    columns = [
        Column("scheduled", "Scheduled", "text"),
        Column("status", "Status", "outcome"),
        Column("lag", "Started after", "text"),
        Column("took", "Took", "text"),
        Column("message", "What it says", "wide"),
        Column("run_id", "Run", "text"),
    ]
    gap_columns = [
        Column("cutoff", "Session", "day"),
        Column("issued", "Issued", ",d"),
        Column("due", "Due", ",d"),
        Column("kinds", "Missing", "text"),
    ]
    detail = [
        Column("session", "Session", "text"),
        Column("ticker", "Ticker", "text"),
        Column("kind", "Kind", "text"),
        Column("reason", "Reason", "wide"),
    ]
    holes = track.schedule[track.schedule["due"] > track.schedule["issued"]] if len(track.schedule) else track.schedule
    gaps = night.gaps.assign(session=[str(s)[:10] for s in night.gaps["cutoff"]]) if len(night.gaps) else night.gaps
    return Panel(
        "runs",
        "Runs",
        "Runs and gaps",
        say,
        charts=((schedule_chart(track), "Forecasts by session: issued, and due but missing."),)
        if len(track.schedule) > 1
        else (),
        grids=(
            grid("gap-table", "Sessions with a forecast missing, newest first", holes.iloc[::-1], gap_columns, most=30),
        ),
        folded=(
            ("Every run", grid("run-table", "Newest first, times in UTC", _run_rows(runs), columns, most=MOST_RUNS)),
            ("Every missing forecast", grid("gap-detail", "Newest first", gaps.iloc[::-1], detail)),
        ),
    )


def _run_rows(runs: pd.DataFrame) -> pd.DataFrame:
    if runs.empty:
        return runs
    made = []
    for row in runs.to_dict("records"):
        lag, took = _seconds(row["scheduled_at"], row["started_at"]), _seconds(row["started_at"], row.get("ended_at"))
        made.append(
            {
                "scheduled": moment(str(row["scheduled_at"])),
                "status": str(row["status"]),
                "lag": _span(lag),
                "took": _span(took),
                "message": str(row["message"] or ""),
                "run_id": str(row["run_id"]),
            }
        )
    return pd.DataFrame(made)


def _seconds(start: Any, end: Any) -> float:
    if start is None or end is None or pd.isna(start) or pd.isna(end):
        return float("nan")
    return float((pd.Timestamp(end) - pd.Timestamp(start)).total_seconds())


def _span(seconds: float) -> str:
    if not np.isfinite(seconds):
        return ""
    return f"{seconds / 3600:.1f}{THIN}h" if seconds >= 5400 else duration(seconds)


def schedule_chart(track: TrackRecord) -> Chart:
    """Forecasts issued and missing, a bar a session."""
    table = track.schedule
    x = days(table["cutoff"])
    bars: list[Trace] = []
    for name, values, colour in (
        ("Issued", table["issued"], "@m-blue/0.75"),
        ("Missing", table["due"] - table["issued"], "@m-vermillion"),
    ):
        bars.append(
            {
                "type": "bar",
                "name": name,
                "legendgroup": name,
                "showlegend": True,
                "x": x,
                "y": [int(v) for v in values],
                "marker": {"color": colour},
                "hovertemplate": f"%{{x|%Y-%m-%d}}: %{{y}} {name.lower()}<extra></extra>",
            }
        )
    layout = {
        "barmode": "stack",
        "hovermode": "closest",
        "bargap": 0.15,
        "xaxis": axis("Session", kind="date"),
        "yaxis": axis("Tickers") | {"rangemode": "tozero"},
    }
    return Chart("schedule", "Forecasts issued and missing by session", tuple(bars), layout, height=220)
