"""The sections of a nightly page: alerts, fans, track record, live against backtest, revisions, runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from s2squant.night_records import Night, TrackRecord
from s2squant.report.calibration_panels import INTERVAL_LOOK
from s2squant.report.charts import Chart, Trace, absent, axis, band, days, line, numbers
from s2squant.report.contents import by
from s2squant.report.fans import BANDS, fan_at, fan_chart
from s2squant.report.figures import over_time, shorten
from s2squant.report.formats import THIN, count, duration, moment, number, percent
from s2squant.report.night_rows import Tonight, TonightRow
from s2squant.report.panels import Panel
from s2squant.report.styles import Style, inline, label, pattern
from s2squant.report.tables import Column, Grid, grid

MOST_FANS = 12
MOST_OTHERS = 60
MOST_RUNS = 40
MOST_ALERTS = 5
"""Of each kind."""
SHADE = "Shaded: where an ideal forecaster of the same overlap lies 95 times in 100."


def alerts(night: Night, shown: Tonight) -> Panel:
    """What a person should look at, and nothing else."""
    found = [
        {"what": "drift", "unique_id": "all", "text": night.monitor.sentence} for _ in range(night.monitor.alarmed)
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


def flagged_fans(night: Night, shown: Tonight) -> tuple[tuple[Chart, str], ...]:
    """The fan of every flagged ticker, at most MOST_FANS."""
    return tuple(_fan(night, shown, row, f"flag-{i}") for i, row in enumerate(shown.flagged[:MOST_FANS]))


def other_fans(night: Night, shown: Tonight) -> tuple[tuple[Chart, str], ...]:
    """The fans of the others, drawn when they are opened."""
    drawn = {row.ticker for row in shown.flagged[:MOST_FANS]}
    rest = [row for row in shown.rows if row.ticker not in drawn][:MOST_OTHERS]
    return tuple(_fan(night, shown, row, f"fan-{i}") for i, row in enumerate(rest))


def _fan(night: Night, shown: Tonight, row: TonightRow, id: str) -> tuple[Chart, str]:
    """Tonight's fan with last night's ghosted, and why it is shown."""
    history, table = night.histories.get(row.ticker), shown.forecasts[row.ticker]
    why = "; ".join(text for _, text in row.flags)
    if history is None:
        return absent(id, row.ticker, f"the prices of {row.ticker} are not at hand."), why
    fan = fan_at(table, shown.model, table["cutoff"].max(), history)
    chart = fan_chart(id, fan, None, history)
    if chart.reason or fan is None:
        return replace(chart, label=row.ticker), why
    traces = [t for t in chart.traces if t.get("legendgroup") != "band50"]
    before = shown.before.get(row.ticker)
    ghost = fan_at(table, shown.model, before, history) if before is not None else None
    if ghost is not None:
        traces[-1:-1] = [_ghost(days(ghost.dates), numbers(ghost.at(q))) for q in (*BANDS["80"], "q0.500")]
    for trace in traces:
        trace["showlegend"] = False
    layout = {
        "hovermode": "closest",
        "margin": {"l": 48, "r": 8, "t": 6, "b": 26},
        "xaxis": axis("", kind="date") | {"nticks": 5, "tickformat": "%d %b"},
        "yaxis": axis("") | {"nticks": 5, "separatethousands": True},
    }
    return Chart(id, row.ticker, tuple(traces), layout, height=230), why


def _ghost(x: list[str], y: list[float | None]) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Last night",
        "x": x,
        "y": y,
        "line": {"color": "@m-vermillion", "width": 1.3, "dash": pattern("dot")},
        "hoverinfo": "skip",
    }


def track_panel(track: TrackRecord) -> Panel:
    """Has it worked since it went live."""
    place = {"at": "coverage-table", "caption": f"Live coverage of {inline(track.model)} by steps ahead. {SHADE[8:]}"}
    columns = [
        Column("group", "Steps", "text"),
        Column("interval", "Interval, %", "d"),
        Column("coverage", "Held", ".1%"),
        Column("band_low", "Ideal, from", ".1%"),
        Column("band_high", "Ideal, to", ".1%"),
        Column("n", "Cutoffs", ",d"),
        Column("n_eff", "n eff.", ",.0f"),
    ]
    coverage = grid(place["at"], "", track.coverage, columns)
    charts = [
        (rolling_chart(track), f"Share of outcomes inside each interval, last {track.window} sessions. {SHADE}"),
        (
            over_time("live-gain", track.cumulative, list(dict.fromkeys(_models(track))), track.model),
            f"CRPS gained over {inline(track.reference)}, mean over steps and tickers, summed over complete cutoffs. "
            "The line breaks where no forecast was issued.",
        ),
        (pit_chart(track), f"PIT of the last {track.window} sessions: flat is calibrated, a U too narrow. {SHADE}"),
    ]
    kept = tuple((chart, caption) for chart, caption in charts if not chart.reason)
    notes = () if kept else ("Charts appear once ten sessions have been scored.",)
    return Panel(
        "track",
        "Track record",
        "Has it worked since it went live",
        _dated(track.sentence),
        charts=kept,
        grids=(_skill_grid(track),),
        folded=(
            ("Coverage by steps ahead", coverage),
            ("The newest outcomes", _hits(track)),
            ("By ticker", _by_ticker(track)),
        ),
        notes=notes,
    )


def _models(track: TrackRecord) -> list[str]:
    return [str(m) for m in track.cumulative["model"].unique()] if len(track.cumulative) else []


def _dated(text: str) -> str:
    """A sentence of the record with the page's own signs."""
    return text.replace(" %", f"{THIN}%")


def _skill_grid(track: TrackRecord) -> Grid | None:
    columns = [
        Column("model", "Model", "model"),
        Column("group", "Steps", "text"),
        Column("crps", "CRPS, %", ".3f"),
        Column("crps_reference", "Reference, %", ".3f"),
        Column("effect", "Skill, by date", "skill", "Averaged over cutoffs: the figure that is tested"),
        Column("low", "from", "skill", "95 % interval, Diebold-Mariano with overlap"),
        Column("high", "to", "skill"),
        Column("p", "p", "p"),
        Column("n", "Cutoffs", ",d"),
        Column("n_eff", "n eff.", ",.0f"),
        Column("reason", "Why no interval", "wide"),
    ]
    table = track.skill
    if len(table):
        table = table.assign(reason=table["reason"].where(table["reason"] != "", None))
    return grid("live-skill", f"Live CRPS skill against {inline(track.reference)}", table, columns)


def _hits(track: TrackRecord) -> Grid | None:
    columns = [
        Column("unique_id", "Ticker", "text"),
        Column("ds", "Session", "day"),
        Column("step", "Step", "d"),
        Column("cutoff", "Issued on", "day"),
        Column("price", "Came", ",.2f"),
        Column("median", "Median", ",.2f"),
        Column("low", "10 %", ",.2f"),
        Column("high", "90 %", ",.2f"),
        Column("inside", "Inside", "flag"),
        Column("pit", "PIT", ".3f"),
    ]
    return grid("hit-table", "Forecast and outcome, prices on the basis at issue", track.hits, columns)


def _by_ticker(track: TrackRecord) -> Grid | None:
    columns = [
        Column("unique_id", "Ticker", "text"),
        Column("skill", "Skill", "skill", f"Last {track.window} sessions, against the reference"),
        Column("coverage_80", "In 80 %", ".1%"),
        Column("sessions", "Sessions scored", ",d"),
        Column("issued", "Issued", ",d"),
        Column("due", "Due", ",d"),
        Column("share", "Issued of due", ".0%"),
    ]
    return grid("track-tickers", f"The last {track.window} sessions by ticker; issued and due since it went live",
                track.by_ticker, columns, most=500)


def rolling_chart(track: TrackRecord) -> Chart:
    """Rolling coverage of each interval with the ideal forecaster's band."""
    title = "Rolling coverage of the live forecasts"
    traces: list[Trace] = []
    for interval, part in sorted(by(track.rolling, "interval").items(), key=lambda item: -int(item[0])):
        colour, dash = INTERVAL_LOOK.get(int(interval), ("m-grey", "dot"))
        look = Style(f"{interval}{THIN}% interval", colour, dash)  # type: ignore[arg-type]
        x = days(part["session"])
        edges = (numbers(part["band_low"], 4), numbers(part["band_high"], 4))
        traces.append(band(list(x), *edges, f"@{colour}/0.13", look.label))
        traces.append(line(look.label, list(x), numbers(part["coverage"], 4), look=look) | {"hovertemplate": "%{y:.1%}"})
    if not traces:
        return absent("rolling", title, "fewer than ten sessions are scored.")
    layout = {"xaxis": axis("Session", kind="date"), "yaxis": axis("Outcomes inside", ".0%")}
    return Chart("rolling", title, tuple(traces), layout)


def pit_chart(track: TrackRecord) -> Chart:
    """PIT histogram of the last sessions."""
    title, part = "PIT of the last sessions", track.pit
    if part.empty:
        return absent("live-pit", title, "fewer than ten sessions are scored.")
    x: list[Any] = numbers((part["low"] + part["high"]) / 2, 4)
    bars: Trace = {"type": "bar", "name": "Share of outcomes", "x": x, "y": numbers(part["share"], 3)}
    bars |= {"marker": {"color": "@m-blue/0.75"}, "hovertemplate": "%{x:.2f}: %{y:.1%}<extra></extra>"}
    edges = (numbers(part["band_low"], 3), numbers(part["band_high"], 3))
    layout = {
        "hovermode": "closest",
        "bargap": 0.08,
        "xaxis": axis("PIT") | {"range": [0, 1]},
        "yaxis": axis("Share of outcomes", ".0%") | {"rangemode": "tozero"},
    }
    return Chart("live-pit", title, (bars, band(x, *edges, "@m-vermillion/0.18", "ideal")), layout, height=260)


def against_panel(track: TrackRecord) -> Panel:
    """Was the backtest honest."""
    title = "Live against the backtest"
    known_band = track.band if track.band is not None and not track.band.reason else None
    if known_band is None or not np.isfinite(track.live_mean):
        return Panel("against", "Live or backtest", title, track.against)
    inside = "m-blue" if track.inside else "m-vermillion"
    name = "Backtest, 95 % of means over as many cutoffs"
    spread: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "showlegend": True,
        "legendgroup": "band",
        "x": numbers([known_band.low, known_band.high], 4),
        "y": ["Gain a cutoff"] * 2,
        "line": {"color": "@m-grey", "width": 9},
        "hovertemplate": "%{x:+.4f}<extra></extra>",
    }
    marks = [
        _mark("Backtest, mean", known_band.mean, "line-ns-open", "@ink"),
        _mark("Live, mean", track.live_mean, "diamond", f"@{inside}"),
    ]
    layout = {
        "hovermode": "closest",
        "xaxis": axis("CRPS gained over the reference a cutoff, % log return") | {"zeroline": True},
        "yaxis": {"showgrid": False, "type": "category"},
    }
    chart = Chart("against-chart", "Live mean gain and the backtest's band", (spread, *marks), layout, height=170)
    caption = (
        f"Blocks of the backtest's {count(known_band.cutoffs, 'cutoff')} (run {known_band.run_id}), drawn again and "
        f"again to the length of the live record ({count(known_band.n, 'cutoff')})."
    )
    return Panel("against", "Live or backtest", title, track.against, charts=((chart, caption),))


def _mark(name: str, value: float, symbol: str, colour: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": True,
        "legendgroup": name,
        "x": numbers([value], 4),
        "y": ["Gain a cutoff"],
        "marker": {"symbol": symbol, "size": 15, "color": colour, "line": {"color": colour, "width": 3}},
        "hovertemplate": f"{name}: %{{x:+.4f}}<extra></extra>",
    }


def monitor_panel(night: Night) -> Panel:
    """Is it drifting: the evidence, session by session."""
    monitor, table = night.monitor, night.monitor.by_session
    say, title = monitor.sentence, "Is it drifting"
    if table.empty:
        return Panel("drift", "Drift", title, say)
    x = list(days(table["session"]))
    look = Style("Evidence against calibration", "m-blue", "solid")
    needed = Style(f"Alarm at {number(1 / monitor.alpha, 0)}", "m-vermillion", "dash")
    floor = np.maximum(table["e_value"].to_numpy(float), 1e-4)
    traces = (
        line(look.label, x, numbers(floor, 4), look=look, strong=True) | {"hovertemplate": "%{y:.3g}"},
        line(needed.label, [x[0], x[-1]], [1 / monitor.alpha] * 2, look=needed) | {"hoverinfo": "skip"},
    )
    layout = {"xaxis": axis("Session", kind="date"), "yaxis": axis("e-value", ".1~g", kind="log") | {"nticks": 6}}
    caption = (
        f"An e-process: were {inline(monitor.model)} calibrated, it would reach the alarm line at any time with "
        f"probability {percent(monitor.alpha, 0)} at most, however often one looks."
    )
    parts = pd.DataFrame({"part": list(monitor.parts), "e_value": list(monitor.parts.values())})
    columns = [Column("part", "Part", "text"), Column("e_value", "e-value", ".3g")]
    shown = grid("drift-parts", "The evidence of each part as it stands; their weighted mean is the line above",
                 parts, columns)
    chart = Chart("drift-chart", title, traces, layout, height=300)
    return Panel("drift", "Drift", title, say, charts=((chart, caption),), folded=(("Where it comes from", shown),))


def revisions_panel(night: Night) -> Panel:
    """How forecasts of the same date changed, and which inputs the vendor changed after issue."""
    track = night.track
    columns = [
        Column("unique_id", "Ticker", "text"),
        Column("revisions", "Revisions", ",d"),
        Column("size", "Size, %", ".2f", "Root mean square of the change of the median, % log return"),
        Column("autocorrelation", "Autocorrelation", "+.2f", "Of successive revisions of the same date; 0 is efficient"),
        Column("low", "from", "+.2f"),
        Column("high", "to", "+.2f"),
    ]
    events = night.events
    revised = events[events["kind"] == "revised"] if len(events) else events
    vendor = [
        Column("session", "Session", "text"),
        Column("ticker", "Ticker", "text"),
        Column("text", "What changed", "wide"),
    ]
    shown = revised.assign(session=[str(s)[:10] for s in revised["session"]]) if len(revised) else revised
    say = f"{track.revision_sentence} " + (
        f"The vendor revised inputs of issued forecasts {count(len(revised), 'time')}."
        if len(revised)
        else "No input of an issued forecast was revised by the vendor."
    )
    return Panel(
        "revisions",
        "Revisions",
        "What was revised",
        say,
        grids=(grid("vendor-revisions", "Inputs that the vendor changed after issue", shown.iloc[::-1], vendor),),
        folded=(
            ("Forecast revisions by ticker", grid("forecast-revisions", "Change of the median for the same date between "
             "consecutive sessions", track.revisions, columns)),
        ),
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
