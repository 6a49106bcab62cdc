"""Panels of calibration: coverage by step, reliability, PIT histograms, exceedances, sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from s2squant.config.models import phrase
from s2squant.report.charts import Chart, Trace, axis, band, days, drawn, line, numbers, thinned
from s2squant.report.formats import THIN, count, percent, typeset
from s2squant.report.names import join
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, by, rows, significant, tested, where
from s2squant.report.styles import Style, label, nth
from s2squant.report.tables import COUNTS, DETECTABLE, MODEL, REASON, TICKER, Column, N, P, grid, without_blanks

TESTED = (
    MODEL,
    Column("group", "Steps", "text"),
    Column("test", "Test", "text"),
    Column("finding", "Finding", "text"),
    P,
    Column("p_adjusted", "p adj.", "p", "Benjamini-Hochberg over tickers"),
    Column("mean_pit", "Mean PIT", ".3f", "0.5 is ideal; above: forecasts too low"),
    Column("spread", "Spread", ".3f", "Of the PIT; 1 is ideal, above: bands too narrow"),
    *COUNTS,
    Column("smallest_detectable", "Detectable", ".3f", "Smallest shift of the mean PIT the test would have found"),
)
MISSES = (
    TICKER,
    Column("kind", "Outcome", "text"),
    Column("finding", "Finding", "text", "After adjustment"),
    Column("expected", "Expected", "percent"),
    Column("missed", "Seen", "percent", "At step 1"),
    Column("kupiec_p", "Kupiec p", "p", "Right share"),
    Column("independence_p", "Independence p", "p", "Misses do not cluster (Christoffersen)"),
    Column("joint_p", "Both p", "p"),
    Column("dq_p", "DQ p", "p", "Engle and Manganelli"),
    Column("p_adjusted", "p adj.", "p", "Of both and DQ, Benjamini-Hochberg over tickers and kinds of outcome"),
    N,
    DETECTABLE,
    REASON,
)
MISSED = "{} by ticker, surest fault first"
MOST_NAMED = 6
INTERVAL_LOOK = {50: ("m-green", "dash"), 80: ("m-blue", "solid"), 95: ("m-vermillion", "longdash")}


def calibration(c: Contents) -> Panel | None:
    """Coverage by step, reliability and PIT of the recommended model over all tickers."""
    study, mine = c.study, c.recommended
    parts = [where(t, {"model": mine}) for t in (study.coverage, study.reliability, study.pit)]
    tests = where(study.calibration_tests, {"unique_id": POOL})
    missed = _surest(where(study.exceedances, {"model": mine}))
    if all(t.empty for t in [*parts, tests, missed]):
        return None
    shade = "Shaded: where a perfectly calibrated forecaster of the same overlap lies 95 times in 100."
    charts = [
        (_by_step(parts[0]), f"Share of outcomes inside each central interval, by step. {shade}"),
        (_reliability(parts[1]), f"Outcomes below each quantile, less the quantile's level. {shade}"),
    ]
    small = tuple((_histogram(group, part), "") for group, part in by(parts[2], "group").items())
    own = where(tests, {"model": mine})
    return Panel(
        "calibration",
        "Calibration",
        "Do the bands hold what they promise?",
        " ".join(filter(None, (_say(c, parts[0], own), _say_missed(missed)))),
        charts=tuple(pair for pair in charts if not pair[0].reason),
        small=small,
        small_note=f"PIT by steps ahead: flat is calibrated, a hump is too wide, a U too narrow. {shade}"
        if small
        else "",
        grids=(grid("pit-tests", f"Calibration of {label(mine)}, all tickers", own, TESTED),),
        folded=(
            ("Every model's calibration", grid("pit-tests-all", "Calibration, all tickers", tests, TESTED)),
            ("Outcomes outside the bands at step 1", grid("misses", MISSED.format(label(mine)), missed, MISSES)),
        ),
    )


def of_ticker(c: Contents, ticker: str) -> Panel | None:
    """The same for one ticker: tests, exceedances, and whether width follows risk."""
    tests, missed = c.of("calibration_tests", ticker), c.of("exceedances", ticker)
    missed = _surest(missed)
    width = sharpness_chart(c, c.of("sharpness", ticker))
    if tests.empty and missed.empty and width.reason:
        return None
    faults = [(str(r["group"]), str(r["finding"])) for r in rows(tests)]
    say = shape_words([f for f in faults if not f[1].startswith("no evidence")]) if faults else ""
    caption = (
        "Width of the 80 % band, mean over steps, and the volatility that followed. Bands that ignore risk stay flat."
    )
    return Panel(
        "calibration",
        "Calibration",
        "Does the width follow the risk?",
        say,
        charts=() if width.reason else ((width, caption),),
        grids=(
            grid("pit-tests", "Calibration on this ticker", tests, TESTED[1:]),
            grid("misses", "Outcomes outside the bands at step 1", missed, MISSES[1:]),
        ),
    )


def sharpness_chart(c: Contents, table: pd.DataFrame) -> Chart:
    """Width of the recommended model's band over time, the reference's, and realised volatility."""
    title = "Width of the 80 % band over time"
    traces: list[Trace] = []
    parts = by(table, "model")
    for model in dict.fromkeys((c.reference, c.recommended)):
        if model not in parts:
            continue
        part = thinned(parts[model], "cutoff", "width", 200)
        width = line(model, days(part["cutoff"]), numbers(part["width"], 3), strong=model == c.recommended)
        traces.append(width | {"hovertemplate": "%{y:.2f}"})
        if model == c.recommended:
            look = Style("Realised volatility a bar, times 10", "m-vermillion", "dot")
            tenfold = [None if v is None else round(10 * v, 3) for v in numbers(part["realised"], 3)]
            traces.append(line("realised", days(part["cutoff"]), tenfold, look=look, name=look.label))
    layout = {"xaxis": axis("Cutoff", kind="date"), "yaxis": axis("% log return")}
    return drawn("sharpness", title, traces, layout, missing="no widths were recorded.")


def _say(c: Contents, steps: pd.DataFrame, tests: pd.DataFrame) -> str:
    text = []
    band_80 = where(steps, {"interval": "80"})
    if not band_80.empty:
        inside = int(band_80["coverage"].between(band_80["band_low"], band_80["band_high"]).sum())
        mean = percent(band_80["coverage"].mean(), 1)
        text.append(
            f"The 80{THIN}% bands of {phrase(c.recommended)} held {mean} of outcomes (mean over steps), within what "
            f"chance allows at {inside} of {count(len(band_80), 'step')}."
        )
    if not tests.empty:
        faults = tests[~tests["finding"].astype(str).str.startswith("no evidence")]
        text.append(shape_words([(str(r["group"]), str(r["finding"])) for r in rows(faults)]))
    return " ".join(text)


def shape_words(faults: Sequence[tuple[str, str]]) -> str:
    """Findings of the PIT by group of steps as sentences: `Bands are too wide overall and at steps 6 to 20.`"""
    if not faults:
        return "No test finds fault with the calibration."
    places: dict[str, list[str]] = {}
    for group, finding in faults:
        first, _, last = group.partition("-")
        where = "overall" if group == "all" else f"at steps {first} to {last}" if last else f"at step {first}"
        places.setdefault(finding, []).append(where)
    said = [
        f"the shape of the bands is off {join(where)}" if finding == "shape" else f"bands are {finding} {join(where)}"
        for finding, where in places.items()
    ]
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _surest(table: pd.DataFrame) -> pd.DataFrame:
    """Exceedances by adjusted p, where they have one, empty reasons left out."""
    if table.empty:
        return table
    by_p = [name for name in ("p_adjusted", "kupiec_p") if name in table.columns]
    return without_blanks(table.sort_values(by_p, kind="stable", na_position="last"))


def _say_missed(table: pd.DataFrame) -> str:
    """Count of tickers whose exceedances one step ahead are rejected after adjustment; empty in runs without them."""
    if table.empty or "finding" not in table.columns:
        return ""
    faults, many = significant(table), tested(table)["unique_id"].nunique()
    if not many:
        return f"Misses one step ahead were not tested: {table['reason'].iloc[0]}."
    wrong = faults["unique_id"].nunique()
    say = (
        f"One-day misses are too many, too few or clustered on {wrong} of {count(many, 'ticker')}"
        if wrong
        else "No ticker's one-day misses are too many, too few, or clustered"
    )
    named = [f"{r['unique_id']} ({r['kind']}: {r['finding']})" for r in rows(faults.head(MOST_NAMED))]
    say += f": {'; '.join(named)}{' and others' if len(faults) > MOST_NAMED else ''}" if named else ""
    return typeset(f"{say}.")


def _by_step(table: pd.DataFrame) -> Chart:
    title = "Coverage by forecast step"
    traces = coverage_traces(table.sort_values("step"), "step") if len(table) else ()
    layout = {"xaxis": axis("Sessions ahead"), "yaxis": axis("Outcomes inside", ".0%")}
    return drawn("coverage-steps", title, traces, layout, missing="no coverage by step was recorded.")


def coverage_traces(table: pd.DataFrame, along: str) -> tuple[Trace, ...]:
    """Coverage of each interval along a column (steps, or sessions) with the ideal forecaster's band, widest first."""
    traces: list[Trace] = []
    for interval, part in sorted(by(table, "interval").items(), key=lambda item: -int(item[0])):
        colour, dash = INTERVAL_LOOK.get(int(interval), ("m-grey", "dot"))
        look = Style(f"{interval}{THIN}% interval", colour, dash)  # type: ignore[arg-type]
        x: list[Any] = [int(s) for s in part[along]] if along == "step" else days(part[along])
        edges = (numbers(part["band_low"], 4), numbers(part["band_high"], 4))
        traces.append(band(x, *edges, f"@{colour}/0.14", look.label))
        traces.append(line(look.label, x, numbers(part["coverage"], 4), look=look) | {"hovertemplate": "%{y:.1%}"})
    return tuple(traces)


def _reliability(table: pd.DataFrame) -> Chart:
    title = "Reliability of the quantiles"
    traces: list[Trace] = []
    for place, (group, part) in enumerate(by(table, "group").items()):
        part = part.sort_values("level")
        x = numbers(part["level"], 4)
        look = nth("All steps" if group == "all" else f"Steps {group}", place)
        if place == 0:
            low, high = (numbers(part[side] - part["level"], 4) for side in ("band_low", "band_high"))
            traces.append(band(x, low, high, f"@{look.colour}/0.14", look.label))
        off = numbers(part["share"] - part["level"], 3)
        traces.append(line(look.label, x, off, look=look, strong=place == 0) | {"hovertemplate": "%{y:+.1%}"})
    layout = {
        "xaxis": axis("Level of the quantile", ".0%"),
        "yaxis": axis("Outcomes below, less the level", "+.0%") | {"zeroline": True},
    }
    return drawn("reliability", title, traces, layout, missing="no reliability was recorded.")


def _histogram(group: str, part: pd.DataFrame) -> Chart:
    name = "all steps" if group == "all" else f"steps {group}"
    layout = {
        "hovermode": "closest",
        "bargap": 0.08,
        "margin": {"l": 44, "r": 8, "t": 6, "b": 26},
        "xaxis": axis("") | {"range": [0, 1], "nticks": 5},
        "yaxis": axis("", ".0%") | {"nticks": 4, "rangemode": "tozero"},
    }
    traces = pit_traces(part.sort_values("low"))
    return Chart(f"pit-{group}".replace(" ", ""), f"PIT histogram, {name}", traces, layout, height=190)


def pit_traces(part: pd.DataFrame) -> tuple[Trace, Trace]:
    """Share of outcomes in each bin of the PIT, and the ideal forecaster's band."""
    x: list[Any] = numbers((part["low"] + part["high"]) / 2, 4)
    shares: Trace = {"type": "bar", "name": "Share of outcomes", "x": x, "y": numbers(part["share"], 3)}
    shares |= {"marker": {"color": "@m-blue/0.75"}, "hovertemplate": "%{x:.2f}: %{y:.1%}<extra></extra>"}
    edges = (numbers(part["band_low"], 3), numbers(part["band_high"], 3))
    return shares, band(x, *edges, "@m-vermillion/0.18", "ideal")
