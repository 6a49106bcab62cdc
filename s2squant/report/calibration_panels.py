"""Do the forecasts mean what they say: coverage by step, reliability, PIT histograms, exceedances, sharpness."""

from __future__ import annotations

from typing import Any

import pandas as pd

from s2squant.config.models import subject
from s2squant.report.charts import Chart, Trace, absent, axis, band, days, line, numbers, thin
from s2squant.report.formats import THIN, count, percent, typeset
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, by
from s2squant.report.styles import Style, label, nth
from s2squant.report.tables import Column, grid, without_blanks

TESTED = (
    Column("model", "Model", "model"),
    Column("group", "Steps", "text"),
    Column("test", "Test", "text"),
    Column("finding", "Finding", "text"),
    Column("p", "p", "p"),
    Column("p_adjusted", "p adj.", "p", "Benjamini-Hochberg over tickers"),
    Column("mean_pit", "Mean PIT", ".3f", "0.5 is ideal; above: forecasts too low"),
    Column("spread", "Spread", ".3f", "Of the PIT; 1 is ideal, above: bands too narrow"),
    Column("n", "n", ",d"),
    Column("n_eff", "n eff.", ",.0f"),
    Column("smallest_detectable", "Detectable", ".3f", "Smallest shift of the mean PIT the test would have found"),
)
MISSES = (
    Column("unique_id", "Ticker", "text"),
    Column("kind", "Outcome", "text"),
    Column("finding", "Finding", "text", "After adjustment"),
    Column("expected", "Expected", "percent"),
    Column("missed", "Seen", "percent", "At step 1"),
    Column("kupiec_p", "Kupiec p", "p", "Right share"),
    Column("independence_p", "Independence p", "p", "Misses do not cluster (Christoffersen)"),
    Column("joint_p", "Both p", "p"),
    Column("dq_p", "DQ p", "p", "Engle and Manganelli"),
    Column("p_adjusted", "p adj.", "p", "Of both and DQ, Benjamini-Hochberg over tickers and kinds of outcome"),
    Column("n", "n", ",d"),
    Column("smallest_detectable", "Detectable", "percent"),
    Column("reason", "Why not tested", "wide"),
)
MISSED = "{} by ticker, surest fault first"
MOST_NAMED = 6
INTERVAL_LOOK = {50: ("m-green", "dash"), 80: ("m-blue", "solid"), 95: ("m-vermillion", "longdash")}


def calibration(c: Contents) -> Panel | None:
    """Coverage by step, reliability and PIT of the recommended model over all tickers."""
    study, mine = c.study, c.recommended
    parts = [_of(t, model=mine) for t in (study.coverage, study.reliability, study.pit)]
    tests = _of(study.calibration_tests, unique_id=POOL)
    missed = _surest(_of(study.exceedances, model=mine))
    if all(t.empty for t in [*parts, tests, missed]):
        return None
    shade = "Shaded: where a perfectly calibrated forecaster of the same overlap lies 95 times in 100."
    charts = [
        (_by_step(parts[0]), f"Share of outcomes inside each central interval, by step. {shade}"),
        (_reliability(parts[1]), f"Outcomes below each quantile, less the quantile's level. {shade}"),
    ]
    small = tuple((_histogram(group, part), "") for group, part in by(parts[2], "group").items())
    own = _of(tests, model=mine)
    return Panel(
        "calibration",
        "Calibration",
        "Do the bands hold what they promise",
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
    tests = _of(c.of("calibration_tests", ticker), model=c.recommended)
    missed = _surest(_of(c.of("exceedances", ticker), model=c.recommended))
    width = sharpness_chart(c, c.of("sharpness", ticker))
    if tests.empty and missed.empty and width.reason:
        return None
    found = [str(text) for text in tests.get("finding", pd.Series(dtype=object)).tolist()]
    say = f"{subject(c.recommended)} on this ticker: {'; '.join(dict.fromkeys(found))}." if found else ""
    caption = (
        "Width of the 80 % band, mean over steps, and the volatility that followed. Bands that ignore risk stay flat."
    )
    return Panel(
        "calibration",
        "Calibration",
        "Does the width follow the risk",
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
        part = parts[model].sort_values("cutoff")
        kept = part.iloc[thin([float(v) for v in part["width"]], 200)]
        made = line(model, days(kept["cutoff"]), numbers(kept["width"], 3), strong=model == c.recommended)
        traces.append(made | {"hovertemplate": "%{y:.2f}"})
        if model == c.recommended:
            look = Style("Realised volatility a bar, times 10", "m-vermillion", "dot")
            risen = [None if v is None else round(10 * v, 3) for v in numbers(kept["realised"], 3)]
            traces.append(line("realised", days(kept["cutoff"]), risen, look=look, name=look.label))
    if not traces:
        return absent("sharpness", title, "no widths were recorded.")
    layout = {"xaxis": axis("Cutoff", kind="date"), "yaxis": axis("% log return")}
    return Chart("sharpness", title, tuple(traces), layout)


def _of(table: pd.DataFrame, model: str = "", unique_id: str = "") -> pd.DataFrame:
    """The rows of one model, or of one ticker."""
    for column, value in (("model", model), ("unique_id", unique_id)):
        if value and column in table.columns:
            table = table[table[column].astype(str) == value]
    return table


def _say(c: Contents, steps: pd.DataFrame, tests: pd.DataFrame) -> str:
    text = []
    held = steps[steps["interval"].astype(int) == 80] if not steps.empty else steps
    if not held.empty:
        inside = int(held["coverage"].between(held["band_low"], held["band_high"]).sum())
        mean = percent(held["coverage"].mean(), 1)
        text.append(
            f"{subject(c.recommended)} held {mean} in its 80{THIN}% band, within what chance allows at {inside} of "
            f"{count(len(held), 'step')}."
        )
    if not tests.empty:
        faults = tests[~tests["finding"].astype(str).str.startswith("no evidence")]
        told = ", ".join(f"{row['finding']} at steps {row['group']}" for row in faults.to_dict("records"))
        text.append(f"PIT: {told}." if told else "The PIT gives no evidence against calibration.")
    return " ".join(text)


def _surest(table: pd.DataFrame) -> pd.DataFrame:
    """Exceedances by adjusted p, where they have one, empty reasons left out."""
    if table.empty:
        return table
    by_p = [name for name in ("p_adjusted", "kupiec_p") if name in table.columns]
    return without_blanks(table.sort_values(by_p, kind="stable", na_position="last"))


def _say_missed(table: pd.DataFrame) -> str:
    """How many tickers miss wrongly one step ahead, after allowing for all of them; nothing in runs that do not say."""
    if table.empty or "finding" not in table.columns:
        return ""
    tested = table[table["finding"].astype(str) != "not tested"]
    if tested.empty:
        return f"Misses one step ahead were not tested: {table['reason'].iloc[0]}."
    found = tested[tested["finding"].astype(str) != "no evidence"]
    wrong, many = found["unique_id"].nunique(), tested["unique_id"].nunique()
    say = (
        f"One step ahead {wrong} of {count(many, 'ticker')} left the bands too often, too seldom or not at random, "
        "after allowing for all of them"
    )
    named = [f"{r['unique_id']} ({r['kind']}: {r['finding']})" for r in found.head(MOST_NAMED).to_dict("records")]
    say += f": {', '.join(named)}{' and others' if len(found) > MOST_NAMED else ''}" if named else ""
    return typeset(f"{say}.")


def _by_step(table: pd.DataFrame) -> Chart:
    title = "Coverage by forecast step"
    traces = coverage_traces(table.sort_values("step"), "step") if len(table) else ()
    if not traces:
        return absent("coverage-steps", title, "no coverage by step was recorded.")
    layout = {"xaxis": axis("Sessions ahead"), "yaxis": axis("Outcomes inside", ".0%")}
    return Chart("coverage-steps", title, traces, layout)


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
    if not traces:
        return absent("reliability", title, "no reliability was recorded.")
    layout = {
        "xaxis": axis("Level of the quantile", ".0%"),
        "yaxis": axis("Outcomes below, less the level", "+.0%") | {"zeroline": True},
    }
    return Chart("reliability", title, tuple(traces), layout)


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
