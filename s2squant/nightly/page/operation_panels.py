"""Operation panels of the night's page: alerts, revisions, runs and gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from s2squant.errors import first_of
from s2squant.nightly.page.rows import Tonight
from s2squant.nightly.results import Night, TrackRecord, text_of, when
from s2squant.report.charts import Chart, Trace, axis, days
from s2squant.report.formats import THIN, count, duration, moment, typeset
from s2squant.report.panels import Panel
from s2squant.report.tables import Column, grid

MOST_RUNS = 40
MOST_GAPS = 30
MOST_ALERTS = 5
"""Of each kind."""
ALERTS = (
    Column("what", "Alert", "text"),
    Column("unique_id", "Ticker or market", "text"),
    Column("text", "What it is", "wide"),
)
REVISIONS = (
    Column("unique_id", "Ticker", "text"),
    Column("revisions", "Revisions", ",d"),
    Column("size", "Size, %", ".2f", "Root mean square of the change of the median, % log return"),
    Column("autocorrelation", "Autocorrelation", "+.2f", "Of successive revisions; 0 is efficient"),
    Column("low", "from", "+.2f"),
    Column("high", "to", "+.2f"),
)
SESSION = (Column("session", "Session", "text"), Column("ticker", "Ticker", "text"))
CHANGED = (*SESSION, Column("text", "What changed", "wide"))
MISSING = (*SESSION, Column("kind", "Kind", "text"), Column("reason", "Reason", "wide"))
RUNS = (
    Column("scheduled", "Scheduled", "text"),
    Column("status", "Status", "outcome"),
    Column("lag", "Started after", "text"),
    Column("took", "Took", "text"),
    Column("message", "What it says", "wide"),
    Column("run_id", "Run", "text"),
)
GAPS = (
    Column("cutoff", "Session", "day"),
    Column("issued", "Issued", ",d"),
    Column("due", "Due", ",d"),
    Column("kinds", "Missing", "text"),
)


def alerts(night: Night, shown: Tonight) -> Panel:
    """What needs attention, most serious first."""
    rows = [("drift", "all", typeset(night.monitor.sentence))] * night.monitor.alarmed
    rows += [(t.status, t.ticker, t.reason) for t in night.lost]
    for market in night.markets:
        if market.missed:
            missed = first_of([when(market.market, session) for session in market.missed], 5)
            rows.append(("missed", market.market, f"no forecast was issued for {missed}"))
    told = _events(night, "covariate")
    rows += [("covariate", "all", text) for text in (told["text"][told["run_id"] == night.run_id] if len(told) else ())]
    left = 0
    for word in ("surprise", "moved", "wide", "narrow"):
        of_kind = [(word, r.ticker, why) for r in shown.flagged for kind, why in r.flags if kind == word]
        rows += of_kind[:MOST_ALERTS]
        left += max(len(of_kind) - MOST_ALERTS, 0)
    table = pd.DataFrame(rows, columns=["what", "unique_id", "text"])
    say = f"{count(len(rows) + left, 'thing')} to look at." if rows else "Nothing needs attention."
    notes = (f"{count(left, 'milder alert')} are flagged in the table above.",) if left else ()
    shown_grid = grid("alert-table", "Most serious first; flags are explained in the table above", table, ALERTS)
    return Panel("alerts", "Alerts", "Needs attention", say, grids=(shown_grid,), notes=notes)


def revisions_panel(night: Night) -> Panel:
    """How forecasts of the same date changed, and which inputs the vendor changed after issue."""
    revised, rescored = (_events(night, kind) for kind in ("revised", "rescored"))
    say = f"{typeset(night.track.revision_sentence)} " + (
        f"{count(len(revised), 'revision')} of input prices by the vendor after issue."
        if len(revised)
        else "No input of an issued forecast was revised by the vendor."
    )
    if len(rescored):
        often = "once" if len(rescored) == 1 else f"{len(rescored):,} times"
        say += f" Outcomes were corrected {often} since; the record counts the new ones."
    same = f"Change of the median for the same date between consecutive {night.track.noun}s"
    return Panel(
        "revisions",
        "Revisions",
        "What was revised",
        say,
        grids=(
            grid("vendor-revisions", "Inputs that the vendor changed after issue", revised, CHANGED),
            grid("corrections", "Outcomes corrected since", rescored, CHANGED),
        ),
        folded=(("Forecast revisions by ticker", grid("forecast-revisions", same, night.track.revisions, REVISIONS)),),
    )


def _events(night: Night, kind: str) -> pd.DataFrame:
    """The events of a kind, newest first."""
    events = night.events[night.events["kind"] == kind].iloc[::-1] if len(night.events) else night.events
    return events.assign(session=_sessions(night, events, "session"), text=[*map(typeset, map(str, events["text"]))])


def _sessions(night: Night, table: pd.DataFrame, column: str) -> list[str]:
    """The sessions of a table's rows for people, on the clocks of their tickers' exchanges."""
    markets = {t.ticker: t.market for t in night.tickers}
    any_market = next(iter(markets.values()), "")
    pairs = zip(table["ticker"], table[column], strict=True)
    return [when(markets.get(ticker, any_market), text_of(key)) for ticker, key in pairs]


def runs_panel(night: Night) -> Panel:
    """What ran, what did not, and the gaps that left."""
    track, runs = night.track, night.runs
    missing = track.due - track.issued
    if len(runs):  # its page is written before the run's end is entered
        runs = runs.assign(status=runs["status"].mask(runs["run_id"] == night.run_id, night.status))
    words = [f"{many} {word}" for word, many in runs["status"].value_counts().items()] if len(runs) else []
    say = f"The last {count(len(runs), 'run')}: {', '.join(words)}." if words else "This is the first run."
    say += f" {count(missing, 'forecast')} of {track.due:,} due are missing." if track.due else ""
    holes = track.schedule[track.schedule["due"] > track.schedule["issued"]] if len(track.schedule) else track.schedule
    gaps = night.gaps.assign(session=_sessions(night, night.gaps, "cutoff")) if len(night.gaps) else night.gaps
    chart = (schedule_chart(track), f"Forecasts by {track.noun}: issued, and due but missing.")
    title = f"{track.noun.capitalize()}s with a forecast missing, newest first"
    return Panel(
        "runs",
        "Runs",
        "Runs and gaps",
        say,
        charts=(chart,) if len(track.schedule) > 1 else (),
        grids=(grid("gap-table", title, holes.iloc[::-1], GAPS, most=MOST_GAPS),),
        folded=(
            ("Every run", grid("run-table", "Newest first, times in UTC", _run_rows(runs), RUNS, most=MOST_RUNS)),
            ("Every missing forecast", grid("gap-detail", "Newest first", gaps.iloc[::-1], MISSING)),
        ),
    )


def _run_rows(runs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "scheduled": moment(str(row["scheduled_at"])),
            "status": str(row["status"]),
            "lag": _span(_seconds(row["scheduled_at"], row["started_at"])),
            "took": _span(_seconds(row["started_at"], row.get("ended_at"))),
            "message": str(row["message"] or ""),
            "run_id": str(row["run_id"]),
        }
        for row in runs.to_dict("records")
    )


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
    bars = (
        _bars("Issued", table, table["issued"], "@m-blue/0.75"),
        _bars("Missing", table, table["due"] - table["issued"], "@m-vermillion"),
    )
    layout = {
        "barmode": "stack",
        "hovermode": "closest",
        "bargap": 0.15,
        "xaxis": axis("Session" if track.noun == "session" else "Bar, UTC", kind="date"),
        "yaxis": axis("Tickers") | {"rangemode": "tozero"},
    }
    return Chart("schedule", f"Forecasts issued and missing by {track.noun}", bars, layout, height=220)


def _bars(name: str, table: pd.DataFrame, values: pd.Series[int], colour: str) -> Trace:
    hover = f"%{{x|%Y-%m-%d}}: %{{y}} {name.lower()}<extra></extra>"
    bars: Trace = {"type": "bar", "name": name, "legendgroup": name, "showlegend": True, "hovertemplate": hover}
    return bars | {"x": days(table["cutoff"]), "y": [int(v) for v in values], "marker": {"color": colour}}
