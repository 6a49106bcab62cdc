"""Page of a nightly forecast: its state, tonight's table and fans, the live record, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from s2squant.config.models import phrase
from s2squant.errors import first_of
from s2squant.nightly.page.fan_charts import flagged_fans, other_fans
from s2squant.nightly.page.operation_panels import alerts, revisions_panel, runs_panel
from s2squant.nightly.page.rows import Tonight, tonight
from s2squant.nightly.page.track_panels import against_panel, monitor_panel, track_panel
from s2squant.nightly.results import Night, bar_noun, before_of, when
from s2squant.prices.calendars.grid import clock_name
from s2squant.report.formats import THIN, count, known, number, percent
from s2squant.report.names import market_name
from s2squant.report.styles import label
from s2squant.report.templating import assets, fill

MOST_ROWS = 600
"""Rows of tonight's table; the ledger has the rest."""


def render_night(night: Night, *, single_file: bool = False, runs: str = "") -> Iterator[tuple[str, bytes]]:
    """A night's page as (relative path, content): index.html and assets/; equal nights give equal bytes.

    `single_file` puts styles and scripts inside index.html and yields nothing else. `runs` leads to the list of all
    runs, where there is one.
    """
    if not single_file:
        yield from assets()
    yield "index.html", fill("night.html.j2", night_page(night), single_file=single_file, runs=runs)


def night_page(night: Night) -> dict[str, Any]:
    """What the template reads."""
    shown = tonight(night)
    flagged, others = flagged_fans(night, shown), other_fans(night, shown)
    panels = [
        track_panel(night.track),
        monitor_panel(night),
        against_panel(night.track),
        revisions_panel(night),
        runs_panel(night),
    ]
    badges, box = _state(night)
    return {
        "night": night,
        "when": when,
        "noun": bar_noun(night),
        "before": before_of(night).lower(),
        "name": night.spec.name,
        "shown": shown,
        "badges": badges,
        "box": box,
        "sentence": _sentence(night),
        "facts": _facts(night),
        "rows": shown.rows[:MOST_ROWS],
        "left_out": max(len(shown.rows) - MOST_ROWS, 0),
        "reached": [(a.step, a.day) for a in shown.rows[0].ahead] if shown.rows else [],
        "say": {"today": _today(night, shown), "fans": _fans(night, shown, len(flagged))},
        "alerts": alerts(night, shown),
        "charted": {chart.label: chart.id for chart, _ in (*flagged, *others) if not chart.reason},
        "flagged": flagged,
        "others": others,
        "panels": panels,
        "places": [("today", "Today"), ("alerts", "Alerts"), ("fans", "Fans")]
        + [(panel.id, panel.name) for panel in panels]
        + [("provenance", "Provenance")],
        "command": str(night.provenance.get("command", "")),
        "provenance": _provenance(night),
        "settings": night.spec.model_dump_json(indent=1),
        "model": label(shown.model),
        "raw": phrase(shown.raw) if any(known(row.ahead[0].raw_low) for row in shown.rows) else "",
        "reference": phrase(night.track.reference),
    }


def _state(night: Night) -> tuple[list[tuple[str, str, str]], str]:
    """Badges as (CSS class, glyph, text), and the class of the box around them."""
    stale = [t for t in night.lost if t.status == "stale"]
    match night.status:
        case "failed":
            badges = [("worse", "■", "Failed: nothing issued")]
        case "late":
            badges = [("worse", "■", "Too late: nothing issued")]
        case "skipped":
            badges = [("none", "●", f"Skipped: no new {bar_noun(night)}")]
        case _ if night.today.empty:
            badges = [("worse", "■", "Nothing issued")]
        case _ if 2 * len(stale) >= max(len(night.tickers), 1):
            badges = [("worse", "▼", "Old prices")]
        case _:
            badges = [("better", "▲", "On time")]
    issued = len(night.tickers) - len(night.lost)
    if not night.today.empty and night.lost and issued:
        badges.append(("none", "●", f"{len(night.lost)} of {len(night.tickers)} missing"))
    if night.monitor.alarmed:
        badges.append(("worse", "▼", "Drift"))
    classes = [css for css, _, _ in badges]
    return badges, "worse" if "worse" in classes else "better" if classes == ["better"] else "none"


def _sentence(night: Night) -> str:
    track = night.track
    text = night.message.rstrip(".")
    if known(track.coverage_now):
        recent = min(track.window, track.sessions)
        text += (
            f". Last {count(recent, bar_noun(night))}: the 80{THIN}% intervals held {percent(track.coverage_now, 0)}"
            f"{': they drift' if night.monitor.alarmed else ''}"
        )
    elif not track.issued:
        text += ". The record is still empty"
    else:
        text += f". {count(track.sessions, bar_noun(night))} scored so far: too few to say anything"
    return f"{text}."


def _facts(night: Night) -> list[tuple[str, str, str]]:
    """(what, figure, what it means) for the banner."""
    bars = sorted({when(m.market, m.session) for m in night.markets if m.session})
    upcoming = sorted({when(m.market, m.next_session) for m in night.markets if m.next_session})
    ages = [m.age for m in night.markets if m.trained]
    trained = sorted({when(m.market, m.trained) for m in night.markets if m.trained})
    track, monitor = night.track, night.monitor
    issued = len(night.tickers) - len(night.lost)
    ended = night.finished_at.strftime("%Y-%m-%d %H:%M UTC")
    deadlines = [m.deadline for m in night.markets if m.deadline is not None]
    until = f"use before {min(deadlines).strftime('%H:%M UTC')}" if deadlines else ""
    rolling = track.rolling[track.rolling["interval"] == 80] if len(track.rolling) else track.rolling
    ideal = f"too few {bar_noun(night)}s to judge"
    if len(rolling):
        last = rolling.iloc[-1]
        low, high = (number(100 * last[side], 0) for side in ("band_low", "band_high"))
        ideal = f"last {int(last['sessions'])} {bar_noun(night)}s; ideal: {low} to {high}{THIN}%"
    return [
        ("As-of bar", " / ".join(bars[-2:]) or "–", _markets(night)),
        (f"Next {bar_noun(night)}", " / ".join(upcoming[-2:]) or "–", until),
        ("Tickers issued", f"{issued} of {len(night.tickers)}", f"{'issued' if issued else 'ended'} {ended}"),
        (
            "Model age",
            count(max(ages), bar_noun(night)) if ages else "–",
            f"fitted {trained[0]}" if trained else "no fit yet",
        ),
        (f"Inside 80{THIN}%", percent(track.coverage_now, 0), ideal),
        ("Drift evidence", _evidence(monitor.e_value), f"alarm at {number(1 / monitor.alpha, 0)}"),
    ]


def _markets(night: Night) -> str:
    clocks = {clock_name(m.market) for m in night.markets} - {""}
    clock = f"; {' and '.join(sorted(clocks))}" if clocks else ""
    return first_of([market_name(m.market) for m in night.markets], 3) + clock


def _evidence(value: float) -> str:
    if value > 1e6:
        return "> 1 million"
    return number(value, 0 if value >= 10 else 2)


def _today(night: Night, shown: Tonight) -> str:
    if not shown.rows:
        return f"Nothing was issued: {night.message}"
    text = f"{label(shown.model)}, {count(len(shown.rows), 'ticker')}"
    flags = len(shown.flagged)
    text += f"; {count(flags, 'row')} flagged" if flags else "; nothing is flagged"
    if shown.raw != shown.model:
        moved = sum(known(row.ahead[0].raw_low) for row in shown.rows)
        text += (
            "; the recalibration is not in force, as nothing shows that it would pay"
            if not moved
            else "; in grey beneath each range, the one before recalibration"
            if moved == len(shown.rows)
            else f"; in grey, the range before recalibration, which is in force for {count(moved, 'ticker')}"
        )
    return f"{text}."


def _fans(night: Night, shown: Tonight, drawn: int) -> str:
    if not shown.rows:
        return ""
    if not drawn:
        return "No ticker is flagged; the fans of all open below."
    dotted = f"{before_of(night).lower()}, 80{THIN}% band and median"
    return f"{count(drawn, 'flagged ticker')}, most serious first; dotted: {dotted}."


def _provenance(night: Night) -> dict[str, dict[str, Any]]:
    """Provenance in named groups; single facts share one."""
    facts = {k: v for k, v in night.provenance.items() if k != "command"}
    groups = {name.replace("_", " ").capitalize(): dict(v) for name, v in facts.items() if isinstance(v, Mapping)}
    single = {
        "run": night.run_id,
        "scheduled": night.scheduled_at.strftime("%Y-%m-%d %H:%M UTC"),
        "started": night.started_at.strftime("%Y-%m-%d %H:%M UTC"),
        "finished": night.finished_at.strftime("%Y-%m-%d %H:%M UTC"),
        "rows issued": night.issued,
        "rows issued again": night.reissued,
        "outcomes scored": night.scored,
    }
    single |= {name.replace("_", " "): v for name, v in facts.items() if not isinstance(v, Mapping)}
    return {"This run": single} | groups
