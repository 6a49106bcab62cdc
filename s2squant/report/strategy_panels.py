"""Panels of the strategy: returns at several costs, Sharpe ratio with its interval, and overfitting."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.models import subject
from s2squant.report.charts import Chart, Trace, absent, axis, broken, days, line, numbers, thin
from s2squant.report.formats import THIN, count, known, number, percent
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, Row, rows, where
from s2squant.report.styles import Style, label
from s2squant.report.tables import Column, grid

RULE = (
    Column("model", "Forecasts of", "model"),
    Column("cost_bp", "Cost, bp", ".3g", "Commission and half the spread, per unit of turnover"),
    Column("annual_return", "Return a year", "percent"),
    Column("volatility", "Volatility", "percent", "Of returns, a year"),
    Column("sharpe_text", "Sharpe [95 % interval]", "text", "A year; the interval is Lo's (2002)"),
    Column("psr", "PSR", "percent", "Probability that the true Sharpe ratio is above zero"),
    Column("dsr", "DSR", "percent", "The same, deflated by the number of configurations ever tried on this universe"),
    Column("trials", "Trials", ",d", "Configurations tried on this universe, from the trial ledger"),
    Column("years_needed", "Years needed", ".1f", "Track record that would make the PSR 95 %"),
    Column("max_drawdown", "Drawdown", "percent", "The deepest"),
    Column("turnover", "Turnover", ".1f", "A year"),
    Column("exposure", "Exposure", "percent"),
    Column("break_even_bp", "Break-even, bp", ".1f", "The cost at which the rule earns nothing"),
)
SHORT = tuple(c for c in RULE if c.name not in ("volatility", "trials", "exposure"))
COST_LOOK = (
    ("m-green", "dot"), ("m-sky", "dash"), ("m-blue", "solid"), ("m-orange", "longdash"), ("m-vermillion", "dashdot"),
)  # fmt: skip


def performance(c: Contents, unique_id: str) -> Panel | None:
    """Performance of the rule, for the pool or for one ticker."""
    own = c.of("performance", unique_id)
    if own.empty:
        return None
    own = own.assign(sharpe_text=[_sharpe(row) for row in rows(own)])
    declared = own[own["declared"].astype(bool)] if "declared" in own.columns else own
    shown = grid("rule-table", "The declared cost, by model", declared, SHORT, chosen=("model", c.recommended))
    mine = where(own, {"model": c.recommended})
    costs = grid("cost-table", f"{label(c.recommended)} by cost", mine, RULE) if len(mine) > 1 else None
    pairs = [(_by_cost(c), "Net growth of 1 at each cost a unit of turnover.")] if unique_id == POOL else []
    charts = tuple(pair for pair in pairs if not pair[0].reason)
    folded = (("The same rule at other costs", costs),)
    title = "What the rule is worth"
    return Panel("strategy", "Rule", title, _say(c, declared), charts=charts, grids=(shown,), folded=folded)


def _sharpe(row: Row) -> str:
    value, low, high = (row.get(name) for name in ("sharpe", "sharpe_low", "sharpe_high"))
    if not known(value):
        return ""
    ends = f" [{number(low, 2, True)}, {number(high, 2, True)}]" if known(low) and known(high) else ""
    return number(value, 2, True) + ends


def _say(c: Contents, declared: pd.DataFrame) -> str:
    row = next(iter(rows(declared, {"model": c.recommended})), None)
    if row is None:
        return ""
    text = f"{subject(c.recommended)} earned {percent(row['annual_return'], 1, True)} a year, Sharpe {_sharpe(row)}"
    if known(row.get("dsr")):
        text += f"; after {count(int(row['trials']), 'trial')} the deflated Sharpe ratio is {percent(row['dsr'], 0)}"
    if known(row.get("break_even_bp")):
        text += f"; it breaks even at {number(row['break_even_bp'], 1)}{THIN}bp"
    low = row.get("sharpe_low", np.nan)
    verdict = " The interval leaves zero out." if known(low) and low > 0 else " The interval does not rule out zero."
    return text + "." + (verdict if known(low) else "")


def _by_cost(c: Contents) -> Chart:
    title = "Equity at several costs"
    own = where(c.study.equity_by_cost, {"model": c.recommended})
    if own.empty:
        return absent("by-cost", title, "no equity by cost was recorded.")
    traces: list[Trace] = []
    for place, (cost, part) in enumerate(own.sort_values("date").groupby("cost_bp", sort=True)):
        colour, dash = COST_LOOK[place % len(COST_LOOK)]
        part = part.iloc[thin([float(v) for v in part["equity_net"]])]
        x, y = broken(days(part["date"]), numbers(part["equity_net"], 4))
        name = f"{number(cost, 0)} bp"
        traces.append(line(name, x, y, look=Style(name, colour, dash)) | {"hovertemplate": "%{y:.3f}"})  # type: ignore[arg-type]
    layout = {"xaxis": axis("", kind="date"), "yaxis": axis("Growth of 1, net of costs")}
    return Chart("by-cost", title, tuple(traces), layout)


def overfitting(c: Contents) -> Panel | None:
    """The probability that the best configuration in sample is below the median out of sample."""
    table = c.study.overfitting
    if table.empty:
        return None
    row = next((r for r in rows(table) if known(r.get("pbo"))), rows(table)[0])
    if known(row.get("pbo")):
        many = count(int(row["candidates"]), "candidate")
        say = f"Of the {row['basis']}: with probability {percent(row['pbo'], 0)} the best of {many} in one half of the "
        say += "dates is below the median in the other."
    else:
        say = f"Not computed: {row.get('reason') or 'no reason was recorded.'}"
    columns = [
        Column("basis", "Compared", "text"),
        Column("candidates", "Candidates", ",d"),
        Column("periods", "Periods", ",d"),
        Column("blocks", "Blocks", ",d"),
        Column("splits", "Splits", ",d"),
        Column("pbo", "PBO", "percent", "Probability of backtest overfitting (Bailey et al. 2017)"),
        Column("selected", "Most often selected", "model"),
        Column("selected_share", "In splits", "percent"),
        Column("median_rank", "Median rank out of sample", ".2f", "0 worst, 1 best"),
        Column("reason", "Why there is no figure", "wide"),
    ]
    shown = grid("overfitting-table", "Combinatorially symmetric cross-validation", table, columns)
    return Panel("overfitting", "Overfitting", "Was the best one picked by luck", say, grids=(shown,))
