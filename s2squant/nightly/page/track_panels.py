"""The live record on a nightly page: track record, live against backtest, drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from s2squant.nightly.results import Night, TrackRecord
from s2squant.report.calibration_panels import INTERVAL_LOOK
from s2squant.report.charts import Chart, Trace, absent, axis, band, days, line, numbers
from s2squant.report.figures import over_time
from s2squant.report.formats import THIN, count, number, percent, typeset
from s2squant.report.panels import Panel
from s2squant.report.study_view import by
from s2squant.report.styles import Style, inline
from s2squant.report.tables import Column, Grid, grid

SHADE = "Shaded: where an ideal forecaster of the same overlap lies 95 times in 100."


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
        typeset(track.sentence),
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
    return grid(
        "track-tickers",
        f"The last {track.window} sessions by ticker; issued and due since it went live",
        track.by_ticker,
        columns,
        most=500,
    )


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
        traces.append(
            line(look.label, list(x), numbers(part["coverage"], 4), look=look) | {"hovertemplate": "%{y:.1%}"}
        )
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
        return Panel("against", "Live or backtest", title, typeset(track.against))
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
    values = (known_band.low, known_band.high, known_band.mean, track.live_mean, 0.0)
    room = 0.08 * (max(values) - min(values))
    shown = numbers([min(values) - room, max(values) + room], 4)
    layout = {
        "hovermode": "closest",
        "xaxis": axis("CRPS gained over the reference a cutoff, % log return") | {"zeroline": True, "range": shown},
        "yaxis": {"showgrid": False, "type": "category"},
    }
    chart = Chart("against-chart", "Live mean gain and the backtest's band", (spread, *marks), layout, height=170)
    caption = (
        f"Blocks of the backtest's {count(known_band.cutoffs, 'cutoff')} (run {known_band.run_id}), drawn again and "
        f"again to the length of the live record ({count(known_band.n, 'cutoff')})."
    )
    return Panel("against", "Live or backtest", title, typeset(track.against), charts=((chart, caption),))


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
    say, title = typeset(monitor.sentence), "Is it drifting"
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
    shown = grid(
        "drift-parts", "The evidence of each part as it stands; their weighted mean is the line above", parts, columns
    )
    chart = Chart("drift-chart", title, traces, layout, height=300)
    return Panel("drift", "Drift", title, say, charts=((chart, caption),), folded=(("Where it comes from", shown),))
