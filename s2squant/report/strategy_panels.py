"""Panels of the strategy: the rule beside holding at several costs, its track record, and overfitting."""

from __future__ import annotations

import calendar

import pandas as pd

from s2squant.evaluation.strategy.positions import BUY_AND_HOLD
from s2squant.report import figures
from s2squant.report.charts import Chart, absent, axis, broken, days, line, numbers
from s2squant.report.formats import UNKNOWN, count, interval, known, number, probability
from s2squant.report.money_sentences import pools, ratios, sharpe, word
from s2squant.report.names import pool_name
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, Row, rows, where
from s2squant.report.styles import label
from s2squant.report.tables import Column, Grid, grid

RULE = (
    Column("model", "Forecasts of", "model"),
    Column("cost_bp", "Cost, bp", ".3g", "Commission and half the spread, per unit of turnover"),
    Column("annual_return", "A year", "percent1", "Return, compounded"),
    Column(
        "beyond_text", "Beyond holding, %", "text", "Mean return a year beyond buy-and-hold, with its 95 % interval"
    ),
    Column("word", "Rule", "word", "Better only where it beats holding and its forecasts show skill"),
    Column("long", "Long", "percent1", "Share of the time"),
    Column("volatility", "Volatility", "percent", "Of returns, a year"),
    Column("sharpe_text", "Sharpe", "text", "A year, with its 95 % interval (Lo 2002)"),
    Column("psr", "PSR", "probability", "Probability that the true Sharpe ratio is above zero, rounded down"),
    Column("dsr", "DSR", "probability", "The same, deflated by the configurations ever tried on this universe"),
    Column("trials", "Trials", ",d", "Configurations tried on this universe, from the trial ledger"),
    Column("years_needed", "Years needed", ".1f", "Track record that would make the PSR 95 %"),
    Column("max_drawdown", "Drawdown", "percent1", "The deepest"),
    Column("turnover", "Turnover", ".1f", "A year"),
    Column("exposure", "Exposure", "percent"),
    Column("break_even_bp", "Break-even, bp", ".1f", "The cost at which it makes what holding makes"),
)
SHORT = tuple(c for c in RULE if c.name not in ("cost_bp", "volatility", "trials", "exposure"))
COSTS = tuple(c for c in RULE if c.name not in ("model", "word"))
NET = "Growth of 1, net of costs"


def growth(c: Contents) -> Chart:
    """Equity of the first pool; those of other markets are in the panel."""
    names = pools(c)
    if not names:
        return absent("equity", "Equity", "no pooled equity was recorded; a ticker's own is on its page.")
    return _equity(c, "equity", names[0])


def _equity(c: Contents, id: str, name: str) -> Chart:
    curves = c.of("equity", name)
    extra = [str(m) for m in dict.fromkeys(curves["model"]) if m not in c.models]
    chart = figures.equity(id, curves, [*c.featured, *extra], c.recommended)
    if chart.layout is not None:
        chart.layout["yaxis"] = axis(NET if name == POOL else f"{NET}, {name}")
    return chart


def performance(c: Contents, unique_id: str) -> Panel | None:
    """Performance of the rule beside holding, for the pools (POOL) or for one ticker."""
    names = pools(c) if unique_id == POOL else [unique_id]
    names = [name for name in names if len(c.of("performance", name))]
    if not names:
        return None
    say, shown, folded, charts = [], [], [], []
    for k, name in enumerate(names):
        at = "" if name in (POOL, unique_id) else f", {pool_name(name)}"
        own, badge = c.of("performance", name), word(c, name)
        own = own.assign(
            sharpe_text=[sharpe(row) for row in c.rows("performance", name)],
            beyond_text=[_beyond(row) for row in c.rows("performance", name)],
            word=pd.Series([badge if str(m) == c.recommended else None for m in own["model"]], own.index),
        )
        now = own[own["declared"].astype(bool)] if "declared" in own.columns else own
        caption = f"The declared cost, by model{at}"
        shown.append(grid(f"rule-table{k or ''}", caption, now, SHORT, chosen=("model", c.recommended)))
        mine = where(own, {"model": c.recommended})
        costs = grid(f"cost-table{k or ''}", f"{label(c.recommended)} by cost{at}", mine, COSTS)
        folded += [(f"The same rule at other costs{at}", costs)] if len(mine) > 1 else []
        folded += _record(c, name, at, k)
        charts += [(_equity(c, f"equity-{k}", name), f"Growth, {pool_name(name)}.")] if k else []
        said = ratios(c, name)
        say.append(f"{pool_name(name)}: {said}" if said and at else said)
    rolling = tuple(part for k, name in enumerate(names) for part in _rolling(c, name, k))
    title = "What the rule is worth beside holding"
    return Panel(
        "strategy", "Rule", title, " ".join(filter(None, say)),
        charts=tuple(charts), grids=tuple(shown), folded=tuple(folded), folded_charts=rolling,
    )  # fmt: skip


def _record(c: Contents, name: str, at: str, k: int) -> list[tuple[str, Grid | None]]:
    """Returns by month and the deepest drawdowns of a pool."""
    every, falls = c.of("months", name), c.of("drawdowns", name)
    months = where(every, {"model": c.recommended})
    made: list[tuple[str, Grid | None]] = []
    if len(months):
        wide = months.pivot(index="year", columns="month", values="net")
        held = where(every, {"model": BUY_AND_HOLD})
        wide["held"] = held[held["month"] == 0].set_index("year")["net"]
        table = wide.rename(columns=str).reset_index().astype({"year": str})
        heads = [Column(str(m), calendar.month_abbr[m], "percent1") for m in range(1, 13)]
        columns = [Column("year", "Year", "text"), *heads]
        columns += [Column("0", "Year’s", "percent1"), Column("held", "Holding’s", "percent1")]
        caption = f"{label(c.recommended)}, net return by month{at}"
        made.append((f"Returns by month{at}", grid(f"month-table{k or ''}", caption, table, columns)))
    if len(falls):
        columns = [
            Column("model", "Of", "model"), Column("start", "From", "text"), Column("trough", "Lowest", "text"),
            Column("end", "Until", "text", "Empty while it lasts"), Column("depth", "Depth", "percent"),
            Column("bars", "Bars", ",d"),
        ]  # fmt: skip
        made.append((f"Drawdowns{at}", grid(f"fall-table{k or ''}", f"Deepest drawdowns{at}", falls, columns)))
    return made


def _beyond(row: Row) -> str:
    if not known(row.get("beyond")):
        return UNKNOWN
    return f"{number(100 * row['beyond'], 1, True)} {interval(row['beyond_low'], row['beyond_high'], 1)}".strip()


def _rolling(c: Contents, name: str, k: int) -> list[tuple[str, Chart, str]]:
    """Rolling Sharpe ratio of the rule and of holding."""
    table = c.of("rolling_sharpe", name)
    traces = []
    for model in (BUY_AND_HOLD, c.recommended) if len(table) else ():
        part = table[table["model"] == model]
        x, y = broken(days(part["date"]), numbers(part["sharpe"], 3))
        traces.append(line(model, x, y, strong=model == c.recommended) | {"hovertemplate": "%{y:.2f}"})
    if not traces:
        return []
    at = "" if name == POOL else f", {name}"
    layout = {"xaxis": axis("", kind="date"), "yaxis": axis(f"Sharpe ratio a year{at}") | {"zeroline": True}}
    chart = Chart(f"rolling-sharpe{k or ''}", f"Rolling Sharpe ratio{at}", tuple(traces), layout, 260)
    return [(f"Rolling Sharpe ratio{at}", chart, f"Sharpe ratio of the last 252 bars{at}.")]


def overfitting(c: Contents) -> Panel | None:
    """The probability that the best configuration in sample is below the median out of sample."""
    table = c.study.overfitting
    if table.empty:
        return None
    row = next((r for r in rows(table) if known(r.get("pbo"))), rows(table)[0])
    if known(row.get("pbo")):
        many = count(int(row["candidates"]), "candidate")
        say = (
            f"Of the {row['basis']}, the best of {many} in one half of the dates is below the median in the other half "
            f"with probability {probability(row['pbo'])}."
        )
    else:
        say = f"Not computed: {row.get('reason') or 'no reason was recorded.'}"
    columns = [
        Column("basis", "Compared", "text"),
        Column("candidates", "Candidates", ",d"),
        Column("periods", "Periods", ",d"),
        Column("blocks", "Blocks", ",d"),
        Column("splits", "Splits", ",d"),
        Column("pbo", "PBO", "probability", "Probability of backtest overfitting (Bailey et al. 2017), rounded down"),
        Column("selected", "Most often selected", "model"),
        Column("selected_share", "In splits", "percent"),
        Column("median_rank", "Median rank out of sample", ".2f", "0 worst, 1 best"),
        Column("reason", "Why there is no figure", "wide"),
    ]
    shown = grid("overfitting-table", "Combinatorially symmetric cross-validation", table, columns)
    return Panel("overfitting", "Overfitting", "Was the best one picked by luck?", say, grids=(shown,))
