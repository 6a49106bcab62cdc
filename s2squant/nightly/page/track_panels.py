"""Track-record panels of the night's page: coverage and skill, live against backtest, drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.models import phrase
from s2squant.nightly.results import Night, TrackRecord
from s2squant.report.calibration_panels import coverage_traces, pit_traces
from s2squant.report.charts import Chart, Trace, absent, axis, days, line, numbers
from s2squant.report.figures import over_time
from s2squant.report.formats import count, number, percent, typeset
from s2squant.report.panels import Panel
from s2squant.report.styles import Style
from s2squant.report.tables import Column, grid, without_blanks

PLACE = "Gain a cutoff"
SHADE = "Shaded: where an ideal forecaster of the same overlap lies 95 times in 100."


COVERAGE = (
    Column("group", "Steps", "text"),
    Column("interval", "Interval, %", "d"),
    Column("coverage", "Held", ".1%"),
    Column("band_low", "Ideal, from", ".1%"),
    Column("band_high", "Ideal, to", ".1%"),
    Column("n", "Cutoffs", ",d"),
    Column("n_eff", "n eff.", ",.0f"),
)
SKILL = (
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
)
HITS = (
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
)
TICKERS = (
    Column("unique_id", "Ticker", "text"),
    Column("skill", "Skill", "skill", "Against the reference"),
    Column("coverage_80", "In 80 %", ".1%"),
    Column("sessions", "Sessions scored", ",d"),
    Column("issued", "Issued", ",d"),
    Column("due", "Due", ",d"),
    Column("share", "Issued of due", ".0%"),
)


def track_panel(track: TrackRecord) -> Panel:
    """Has it worked since it went live."""
    charts = [
        (rolling_chart(track), f"Share of outcomes inside each interval, last {track.window} {track.noun}s. {SHADE}"),
        (
            over_time("live-gain", track.cumulative, _models(track), track.model),
            f"CRPS gained over {phrase(track.reference)}, mean over steps and tickers, summed over complete cutoffs. "
            "The line breaks where no forecast was issued.",
        ),
        (
            pit_chart(track),
            f"PIT of the last {track.window} {track.noun}s: flat is calibrated, a U too narrow. {SHADE}",
        ),
    ]
    drawn = tuple((chart, caption) for chart, caption in charts if not chart.reason)
    skill = without_blanks(track.skill) if len(track.skill) else track.skill
    tickers = f"The last {track.window} {track.noun}s by ticker; issued and due since it went live"
    hits = "Forecast and outcome, prices on the basis at issue"
    return Panel(
        "track",
        "Track record",
        "Has it worked since it went live",
        typeset(track.sentence),
        charts=drawn,
        grids=(grid("live-skill", f"Live CRPS skill against {phrase(track.reference)}", skill, SKILL),),
        folded=(
            ("Coverage by steps ahead", grid("coverage-table", "", track.coverage, COVERAGE)),
            ("The newest outcomes", grid("hit-table", hits, track.hits, HITS)),
            ("By ticker", grid("track-tickers", tickers, track.by_ticker, TICKERS, most=500)),
        ),
        notes=() if drawn else (f"Charts appear once ten {track.noun}s have been scored.",),
    )


def _models(track: TrackRecord) -> list[str]:
    return [str(m) for m in track.cumulative["model"].unique()] if len(track.cumulative) else []


def rolling_chart(track: TrackRecord) -> Chart:
    """Rolling coverage of each interval with the ideal forecaster's band."""
    title, traces = "Rolling coverage of the live forecasts", coverage_traces(track.rolling, "session")
    if not traces:
        return absent("rolling", title, f"fewer than ten {track.noun}s are scored.")
    layout = {"xaxis": axis(time_label(track), kind="date"), "yaxis": axis("Outcomes inside", ".0%")}
    return Chart("rolling", title, traces, layout)


def time_label(track: TrackRecord) -> str:
    """What stands below an axis of time."""
    return "Session" if track.noun == "session" else "Bar, UTC"


def pit_chart(track: TrackRecord) -> Chart:
    """PIT histogram of the last sessions."""
    title = f"PIT of the last {track.noun}s"
    if track.pit.empty:
        return absent("live-pit", title, f"fewer than ten {track.noun}s are scored.")
    layout = {
        "hovermode": "closest",
        "bargap": 0.08,
        "xaxis": axis("PIT") | {"range": [0, 1]},
        "yaxis": axis("Share of outcomes", ".0%") | {"rangemode": "tozero"},
    }
    return Chart("live-pit", title, pit_traces(track.pit), layout, height=260)


def against_panel(track: TrackRecord) -> Panel:
    """Was the backtest honest."""
    title = "Live against the backtest"
    known_band = track.band if track.band is not None and not track.band.reason else None
    if known_band is None or not np.isfinite(track.live_mean):
        return Panel("against", "Live or backtest", title, typeset(track.against))
    name = "Backtest, 95 % of means over as many cutoffs"
    ends = numbers([known_band.low, known_band.high], 4)
    spread = line("band", ends, [PLACE] * 2, look=Style(name, "m-grey", "solid"))  # type: ignore[list-item]
    spread |= {"line": {"color": "@m-grey", "width": 9}, "hovertemplate": "%{x:+.4f}<extra></extra>"}
    marks = [
        _mark("Backtest, mean", known_band.mean, "line-ns-open", "@ink"),
        _mark("Live, mean", track.live_mean, "diamond", "@m-blue" if track.inside else "@m-vermillion"),
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
        "y": [PLACE],
        "marker": {"symbol": symbol, "size": 15, "color": colour, "line": {"color": colour, "width": 3}},
        "hovertemplate": f"{name}: %{{x:+.4f}}<extra></extra>",
    }


def monitor_panel(night: Night) -> Panel:
    """Is it drifting: the evidence, session by session."""
    monitor, table = night.monitor, night.monitor.by_session
    say, title = typeset(monitor.sentence), "Is it drifting?"
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
    layout = {
        "xaxis": axis(time_label(night.track), kind="date"),
        "yaxis": axis("e-value", ".1~g", kind="log") | {"nticks": 6},
    }
    caption = (
        f"An e-process: were {phrase(monitor.model)} calibrated, it would reach the alarm line at any time with "
        f"probability {percent(monitor.alpha, 0)} at most, however often one looks."
    )
    parts = pd.DataFrame({"part": list(monitor.parts), "e_value": list(monitor.parts.values())})
    columns = [Column("part", "Part", "text"), Column("e_value", "e-value", ".3g")]
    shown = grid(
        "drift-parts", "The evidence of each part as it stands; their weighted mean is the line above", parts, columns
    )
    chart = Chart("drift-chart", title, traces, layout, height=300)
    return Panel("drift", "Drift", title, say, charts=((chart, caption),), folded=(("Where it comes from", shown),))
