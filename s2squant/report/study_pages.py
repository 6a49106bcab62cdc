"""A study laid out as files: the index, a page for each finished ticker, and the assets they share."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from s2squant import __version__
from s2squant.evaluation.results import Study, TickerReport
from s2squant.report import (
    breakdown_panels,
    calibration_panels,
    covariate_panels,
    fan_cards,
    fan_charts,
    figures,
    file_table,
    joint_panels,
    money_sentences,
    pairwise_panels,
    panels,
    portfolio_panels,
    risk_panels,
    score_panels,
    sentences,
    sparklines,
    strategy_panels,
)
from s2squant.report.bundles import Bundle, Mapper, bundles, joined, without_tickers
from s2squant.report.charts import Chart, absent
from s2squant.report.formats import known
from s2squant.report.moving_panel import moving_forecast
from s2squant.report.names import universe_line
from s2squant.report.opening import opening, rule_of_badges
from s2squant.report.panels import Panel, present
from s2squant.report.study_view import NEWEST, POOL, Contents, Row, arrange, rows
from s2squant.report.tables import Grid, grid
from s2squant.report.templating import assets, fill, leaf

MOST_TESTS = 150
"""Rows of the table of pooled tests; the rest is in verdicts.parquet."""
ENOUGH = 48
"""Pages of tickers from which other processes are worth their start."""


def render(
    study: Study, *, single_file: bool = False, runs: str = "", spread: Mapper | None = None
) -> Generator[tuple[str, bytes], None, None]:
    """The report of a study as (relative path, content), ready to be written; the same study gives the same bytes.

    `single_file` yields report.html alone: the index, behind it every ticker's page, and all styles and scripts.
    `runs` is the way from the index to the list of all runs, where there is one.
    `spread` renders the pages of tickers in other processes where there are enough of them; None: all is done here.
    """
    contents = arrange(study)
    if single_file:
        tickers = ((_path(contents, t), t, i) for i, t in enumerate(contents.finished))
        leaves = [leaf("ticker.html.j2", path, ticker_page(contents, t, i)) for path, t, i in tickers]
        values = index_page(contents, fan_cards.newest_fans(contents)) | {"leaves": leaves}
        yield "report.html", fill("index.html.j2", values, single_file=True)
        return
    yield from assets()
    rest = _ticker_pages(contents, runs, spread)
    yield from next(rest, [])  # others are rendered elsewhere while the index is
    fans = fan_cards.newest_fans(contents)
    index = fill("index.html.j2", index_page(contents, fans), runs=runs)
    yield file_table.FORECAST, file_table.forecast_csv(contents, fans)
    for pages in rest:
        yield from pages
    yield "index.html", index


def _ticker_pages(c: Contents, runs: str, spread: Mapper | None) -> Iterator[list[tuple[str, bytes]]]:
    """The pages of the tickers in order, some at a time."""
    if spread is None or len(c.finished) < ENOUGH:
        return ([_page(c, place, runs)] for place in range(len(c.finished)))
    return spread(functools.partial(_pages, without_tickers(c), runs), bundles(c))


def _pages(shared: Contents, runs: str, bundle: Bundle) -> list[tuple[str, bytes]]:
    """The pages of a bundle of tickers."""
    contents = joined(shared, bundle)
    return [_page(contents, place, runs) for place in bundle.places]


def _page(c: Contents, place: int, runs: str) -> tuple[str, bytes]:
    """The page of the finished ticker at a place, and its path."""
    report = c.finished[place]
    return _path(c, report), fill("ticker.html.j2", ticker_page(c, report, place), root="../", runs=runs)


def _path(c: Contents, report: TickerReport) -> str:
    return f"tickers/{c.slugs[report.ticker]}.html"


def index_page(c: Contents, fans: Mapping[str, fan_charts.Fan]) -> dict[str, Any]:
    """Values of the index template; `fans` as `newest_fans` has them."""
    study = c.study
    board = {str(r["model"]): r for r in rows(study.leaderboard)}
    verdicts = rows(study.by_ticker, {"model": c.recommended})
    over_time = c.of("over_time", POOL)
    tests = [r for r in rows(study.verdicts) if r["pool"] not in c.tickers]
    tests.sort(key=lambda r: str(r["step"]) != "all")
    charts = {
        "steps": figures.skill_by_step("steps", study.by_step, c.models, c.recommended, c.reference),
        "caterpillar": figures.caterpillar("caterpillar", verdicts),
        "over_time": figures.over_time("over-time", over_time, c.featured, c.recommended),
        "equity": strategy_panels.growth(c),
    }
    leaders = [board[m] for m in c.models if m in board]
    small = fan_cards.cards(c, fans)
    slots = {
        "leaderboard": present(
            covariate_panels.covariates(c),
            score_panels.scorecard(c),
            pairwise_panels.pairs(c),
            pairwise_panels.paths(c),
            joint_panels.joint(c),
        ),
        "steps": present(calibration_panels.calibration(c)),
        "tickers": present(score_panels.shrinkage(c), breakdown_panels.groups(c), breakdown_panels.cross_section(c)),
        "time": present(score_panels.fluctuation(c), breakdown_panels.misses(c, POOL)),
        "tests": present(score_panels.tests(c)),
        "equity": present(
            strategy_panels.performance(c, POOL),
            risk_panels.risk(c),
            portfolio_panels.portfolio(c),
            strategy_panels.overfitting(c),
        ),
        "files": present(file_table.files(c)),
        "run": present(panels.audit(c), panels.findings(study.tickers), panels.changes(c)),
    }
    table_rows = _ticker_rows(c, verdicts) if verdicts else []
    evidence = _places(
        (("leaderboard", "Leaderboard") if leaders else None, *slots["leaderboard"]),
        (None if charts["steps"].reason else ("steps", "By step"), *slots["steps"]),
        (("tickers", "By ticker") if table_rows else None, *slots["tickers"]),
        (None if charts["over_time"].reason else ("time", "Over time"), *slots["time"], *slots["tests"]),
    )
    trading = _places((None if charts["equity"].reason else ("equity", "Equity"), *slots["equity"]))
    data = _places(
        slots["run"],
        (("method", "How it was tested") if study.folds or tests else None, ("provenance", "Provenance")),
        slots["files"],
    )
    return _common(c) | {
        "universe_line": universe_line(c),
        "opening": opening(c),
        "rule_of_badges": rule_of_badges(),
        "cards": small,
        "lost": [(t.ticker, t.status, t.reason) for t in study.tickers if t.status != "ok"]
        + [(name, "failed", reason) for name, reason in study.failed_models.items()],
        "board": leaders,
        "best": _best(list(board.values()), c.nominal),
        "reads": {m: names for m, names in covariate_panels.read_in(study).items() if names},
        "split": all("shape" in table.columns for table in (study.leaderboard, study.verdicts)),
        "whisker": _whiskers([(r["effect"], r["effect_low"], r["effect_high"]) for r in board.values()]),
        "head": c.headline,
        "recommended_row": board.get(c.recommended),
        "tickers": table_rows,
        "better": sum(r["word"] == "better" for r in verdicts),
        "charts": charts,
        "say": {
            "run": sentences.run(c),
            "cards": sentences.cards(c, small),
            "board": sentences.leaderboard(c),
            "steps": sentences.steps(study.by_step, c.recommended, c.reference) + sentences.free_running(c),
            "tickers": sentences.tickers(c, verdicts),
            "over_time": sentences.over_time(over_time, c.recommended),
            "equity": money_sentences.money(c, POOL),
            "folds": sentences.folds(c),
            "weights": sentences.weights(study.weights),
        },
        "step_table": _step_table(study.by_step, c.models),
        "tests": tests[:MOST_TESTS],
        "tests_left": max(len(tests) - MOST_TESTS, 0),
        "weights": rows(study.weights),
        "caveats": sentences.caveats(c),
        "slots": slots,
        "parts": {"evidence": evidence, "trading": trading, "data": data},
        "trading": bool(trading),
        "missing": _missing(c, charts, leaders),
        "experiment": study.experiment.to_json(),
        "provenance": _provenance(study),
    }


def _places(*groups: Iterable[Panel | tuple[str, str] | None]) -> list[tuple[str, str]]:
    """Id and name of the sections that are there, for the list at the head of a part."""
    there = [one for group in groups for one in group if one is not None]
    return [(one.id, one.name) if isinstance(one, Panel) else one for one in there]


def _missing(c: Contents, charts: Mapping[str, Chart], leaders: Sequence[Row]) -> list[tuple[str, str]]:
    """What a reader may look for and does not find, with the reason."""
    gone = [(chart.label, chart.reason) for chart in charts.values() if chart.reason]
    if not leaders:
        gone.append(("Leaderboard", "no model was scored."))
    ranks = c.study.cross_section
    if len(ranks) and (ranks["model"].astype(str) == "").all():
        most = int(ranks["tickers"].max())
        gone.append(("Ranks", f"a market needs 20 or more tickers on one date; the largest here has {most}."))
    if c.study.weights.empty:
        gone.append(("Weights of the blend", "no blend was made."))
    return gone


def ticker_page(c: Contents, report: TickerReport, place: int) -> dict[str, Any]:
    """Values of a ticker's template; `place` is its position among the finished tickers."""
    ticker, study = report.ticker, c.study
    table = {str(r["model"]): r for r in c.rows("by_ticker", ticker)}
    mine = table.get(c.recommended)
    history = study.histories.get(ticker)
    forecasts, curves = c.of("forecasts", ticker), c.of("equity", ticker)
    steps, over_time, own = c.of("by_ticker_step", ticker), c.of("over_time", ticker), c.of("training", ticker)
    latest = c.of(NEWEST, ticker)
    newest = fan_charts.last_fan(latest, c.recommended, history) if history else None
    outline = fan_charts.last_fan(latest, c.reference, history) if history and c.reference != c.recommended else None
    past = fan_charts.past_fans(forecasts, c.recommended, history) if history else []
    pooled = c.pooled_training.get(report.market, pd.DataFrame())
    around = [c.finished[i].ticker if 0 <= i < len(c.finished) else None for i in (place - 1, place + 1)]
    charts = {
        "fan": fan_charts.fan_chart("fan", newest, outline, history)
        if history
        else absent("fan", "Forecast", "the study holds no prices of this ticker."),
        "steps": figures.skill_by_step("steps", steps, c.models, c.recommended, c.reference),
        "coverage": figures.coverage("coverage", list(table.values()), c.models, c.nominal),
        "over_time": figures.over_time("over-time", over_time, c.featured, c.recommended),
        "equity": figures.equity("equity", curves, _traded(c, curves), c.recommended),
        "training": figures.training("training", own, pooled),
    }
    slots = {
        "past": present(moving_forecast(c, ticker), panels.attention(c, report)),
        "coverage": present(calibration_panels.of_ticker(c, ticker)),
        "time": present(breakdown_panels.misses(c, ticker)),
        "equity": present(strategy_panels.performance(c, ticker)),
    }
    evidence = _places(
        (("models", "Models") if table else None, None if charts["steps"].reason else ("steps", "By step")),
        (None if charts["coverage"].reason else ("coverage", "Coverage"), *slots["coverage"]),
        (None if charts["over_time"].reason else ("time", "Over time"), *slots["time"]),
    )
    trading = _places((None if charts["equity"].reason else ("equity", "Equity"), *slots["equity"]))
    data = _places((("data", "Data"), None if charts["training"].reason else ("training", "Training")))
    return _common(c) | {
        "report": report,
        "previous": around[0],
        "next": around[1],
        "mine": mine,
        "table": [table[m] for m in c.models if m in table],
        "best": _best(list(table.values()), c.nominal),
        "whisker": _whiskers([(r["skill"], r["low"], r["high"]) for r in table.values()]),
        "charts": charts
        | {"past": [fan_charts.past_chart(f"past-{i}", fan, history) for i, fan in enumerate(past)] if history else []},
        "say": {
            "verdict": sentences.ticker(c, mine),
            "trust": sentences.trust(mine),
            "fan": sentences.fan(newest, ticker),
            "past": sentences.past(past),
            "steps": sentences.steps(steps, c.recommended, c.reference) + sentences.free_running(c),
            "coverage": sentences.coverage(mine, c.nominal),
            "over_time": sentences.over_time(over_time, c.recommended),
            "equity": money_sentences.money(c, ticker),
            "training": sentences.training(own, pooled),
        },
        "slots": slots,
        "parts": {"evidence": evidence, "trading": trading, "data": data},
        "trading": bool(trading),
        "missing": [(chart.label, chart.reason) for chart in charts.values() if chart.reason],
        "findings": _findings(report),
        "past_dates": [fan.labels[0] for fan in past],
        "is_open": newest is not None and newest.is_open,
        "fan_rows": fan_charts.fan_rows(newest) if newest else [],
        "step_table": _step_table(steps, c.models),
        "command": _command_for(str(study.provenance.get("command", "")), ticker),
    }


def _common(c: Contents) -> dict[str, Any]:
    versions = c.study.provenance.get("versions")
    version = versions.get("s2squant", __version__) if isinstance(versions, Mapping) else __version__
    return {
        "c": c,
        "study": c.study,
        "command": str(c.study.provenance.get("command", "")),
        "version": version,
    }


def _provenance(study: Study) -> dict[str, dict[str, Any]]:
    """Provenance in named groups; single facts share one. The command and the data hashes have places of their own."""
    facts = {k: v for k, v in study.provenance.items() if k not in ("command", "prices")}
    groups = {name.replace("_", " ").capitalize(): dict(v) for name, v in facts.items() if isinstance(v, Mapping)}
    single = {
        name.replace("_", " "): v for name, v in facts.items() if not isinstance(v, Mapping) and v not in ("", None)
    }
    return groups | ({"This run": single} if single else {})


def _command_for(command: str, ticker: str) -> str:
    """The run's command for one ticker, without its own tickers and folder, and without what decides no number."""
    if not command:
        return ""
    others, words = [], iter(shlex.split(command))
    for word in words:
        name, given, _ = word.partition("=")
        if word in ("--quiet", "--json"):
            continue
        if name not in ("--tickers", "--out", "--workers", "--engine"):
            others.append(word)
        elif not given:
            next(words, None)
    asked = [f"--tickers={ticker}"] if ticker.startswith("-") else ["--tickers", ticker]
    return shlex.join([*others, *asked])


def _best(board: Sequence[Row], nominal: Sequence[str]) -> dict[str, str]:
    """The model to print in bold in each column, "" where none is known."""
    best = dict.fromkeys(["crps", "skill", "won", *(f"coverage_{level}" for level in nominal)], "")
    for column, sign in {"crps": 1, "skill": -1, "won": -1}.items():
        values = [(sign * r[column], str(r["model"])) for r in board if column in r and known(r[column])]
        best |= {column: min(values)[1]} if values else {}
    for level in nominal:
        name = f"coverage_{level}"
        off = [(abs(r[name] - int(level) / 100), str(r["model"])) for r in board if known(r.get(name))]
        best |= {name: min(off)[1]} if off else {}
    return best


def _whiskers(estimates: Sequence[tuple[Any, Any, Any]]) -> Any:
    """Draw an estimate with its interval on one scale for the whole table."""
    values = [v for estimate in estimates for v in estimate if known(v)] + [0.0]
    return functools.partial(sparklines.whisker, least=min(values), most=max(values))


def _ticker_rows(c: Contents, verdicts: Sequence[Row]) -> list[Row]:
    by_ticker = {str(r["unique_id"]): r for r in verdicts}
    steps = {t.ticker: rows(c.of("by_ticker_step", t.ticker), {"model": c.recommended}) for t in c.finished}
    values = [float(r["skill"]) for part in steps.values() for r in part if known(r["skill"])] + [0.0]
    table = []
    for report in c.finished:
        ordered = [float(r["skill"]) for r in sorted(steps[report.ticker], key=lambda r: int(r["step"]))]
        text = f"skill by step, from {100 * ordered[0]:+.1f} % to {100 * ordered[-1]:+.1f} %" if ordered else ""
        spark = sparklines.sparkline(ordered, min(values), max(values), text)
        table.append({"report": report, "row": by_ticker.get(report.ticker), "spark": spark})
    return table


def _step_table(table: pd.DataFrame, models: Sequence[str]) -> dict[str, dict[int, float]]:
    """Skill by model and step, for the table beneath the chart."""
    skills: dict[str, dict[int, float]] = {}
    columns = ("model", "step", "skill") if len(table) else ()
    for model, step, skill in zip(*(table[name].tolist() for name in columns), strict=True):
        skills.setdefault(str(model), {})[int(step)] = skill
    return {m: skills[m] for m in models if m in skills}


def _findings(report: TickerReport) -> Grid | None:
    table = panels.finding_table((report.ticker, finding) for finding in report.findings)
    return grid("finding-table", "What the checks of its prices found and did", table, panels.FINDINGS)


def _traded(c: Contents, curves: pd.DataFrame) -> list[str]:
    """The models whose equity is drawn: the featured ones, then what only the equity table knows."""
    if curves.empty:
        return []
    extra = [str(m) for m in dict.fromkeys(curves["model"]) if m not in c.models]
    return [*c.featured, *extra]
