"""The panel of the portfolio: what is to be expected of it, who adds the risk, and what it made walk-forward."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2squant.report.charts import Chart, axis, broken, days, line, numbers
from s2squant.report.formats import THIN, count, percent
from s2squant.report.names import pool_name, step_noun
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents, rows, where
from s2squant.report.tables import TICKER, Column, P, grid, without_blanks

NAMES = {
    "": "This portfolio", "own": "This portfolio", "equal": "Equal weights", "inverse_volatility": "Inverse volatility",
    "buy_and_hold": "Equal weights, never traded again", "risk_parity": "Risk parity", "min_cvar": "Least CVaR",
    "mean_cvar": "Mean and CVaR", "kelly_fraction": "A fraction of Kelly", "file": "Weights of a file",
}  # fmt: skip
DASHES = {"own": "solid", "equal": "dash", "inverse_volatility": "dot", "buy_and_hold": "longdash"}
POINTS = 120
"""Of a curve."""
POOL = Column("pool", "Market", "market")
EXPECTED = (
    POOL, Column("step", "Step", ",d"), Column("mean", "Mean", "percent1"),
    Column("fall", "Fall", "percent1", "Probability of a loss"),
    Column("low_80", "80 % from", "percent1"), Column("high_80", "to", "percent1"),
    Column("var_95", "VaR 95 %", "percent1"), Column("es_95", "ES 95 %", "percent1"),
    Column("var_99", "VaR 99 %", "percent1"), Column("es_99", "ES 99 %", "percent1"),
    Column("drawdown_median", "Drawdown", "percent1", "Median of the deepest until then"),
    Column("drawdown_95", "1 in 20", "percent1", "Drawdown that one path in twenty exceeds"),
    Column("diversification", "Diversified", "percent1", "Part of the tickers’ own shortfalls that it does not have"),
)  # fmt: skip
PARTS = (
    TICKER, POOL, Column("weight", "Weight", "percent1"),
    Column("es_alone", "ES alone", "percent1", "95 %, last step, of all wealth in it"),
    Column("contribution", "Adds", "percent1", "To the portfolio’s shortfall"), Column("share", "Share", "percent"),
)  # fmt: skip
MADE = (
    Column("name", "Portfolio", "text"), POOL, Column("annual_return", "A year", "percent1", "Compounded, after costs"),
    Column("volatility", "Volatility", "percent1"), Column("sharpe", "Sharpe", ".2f"),
    Column("es_95", "ES of a day", "percent1"), Column("max_drawdown", "Drawdown", "percent1", "The deepest"),
    Column("turnover", "Turnover", ".2f", "A year"),
    Column("beyond", "This beyond it", "percent1", "Mean return a year of this portfolio beyond it"),
    Column("low", "Low", "percent1"), Column("high", "High", "percent1"), P,
    Column("p_adjusted", "p adjusted", "p", "Times comparisons and configurations tried"),
    Column("n_eff", "n eff.", ",.0f"), Column("finding", "Finding", "text"), Column("reason", "Why not tested", "wide"),
)  # fmt: skip
RISK = (
    POOL, Column("step", "Step", ",d"), Column("side", "Side", "text"), Column("level", "Level", "percent1"),
    Column("n", "Forecasts", ",d"), Column("due", "Due", ".1f"), Column("exceeded", "Exceeded", ",d"),
    Column("zone", "Zone", "text"), Column("kupiec_p", "Kupiec", "p"), Column("dq_p", "DQ", "p"),
    Column("acerbi_szekely_p", "Acerbi-Szekely", "p"), Column("finding", "Finding", "text"),
)  # fmt: skip


def portfolio(c: Contents) -> Panel | None:
    """The portfolio of the experiment; None where it asks for none."""
    held = c.study.portfolio
    if held.outlook.empty:
        return None
    made = held.walked.assign(name=[NAMES.get(str(one), str(one)) for one in held.walked.get("against", ())])
    grids = (
        grid("portfolio-outlook-table", "What is to be expected, shares of wealth", held.outlook, EXPECTED),
        grid("portfolio-table", "Walk-forward, after costs, beside simpler portfolios", without_blanks(made), MADE),
    )
    risk = where(held.risk, {"side": "loss", "model": c.recommended})
    risk = risk.assign(pool=[str(name).removeprefix("portfolio of ") for name in risk.get("unique_id", ())])
    folded = (
        ("Contributions by ticker", grid("portfolio-parts-table", "Who adds the risk", held.parts, PARTS)),
        ("Value at risk of the portfolio, tested", grid("portfolio-risk-table", "Exceedances", risk, RISK)),
    )
    charts = [
        (f"Growth of 1, net of costs, {pool_name(pool)}", _growth(c, pool, k), f"Net of costs, {pool_name(pool)}.")
        for k, pool in enumerate(dict.fromkeys(map(str, held.equity.get("pool", ()))))
    ]
    notes = tuple(f"{name}: {why}." for name, why in held.refused.items())
    return Panel(
        "portfolio", "Portfolio", "What does a portfolio make of it?", say(c), grids=grids, folded=folded,
        folded_charts=tuple(charts), notes=notes,
    )  # fmt: skip


def say(c: Contents) -> str:
    """What is to be expected by the last step, and whether the rule beat the simpler portfolios."""
    outlook, made = c.study.portfolio.outlook, c.study.portfolio.walked
    told = []
    for pool in dict.fromkeys(map(str, outlook["pool"])):
        row = rows(where(outlook, {"pool": pool}))[-1]
        ahead, loss, mean = count(int(row["step"]), step_noun(c)), percent(row["var_95"], 1), percent(row["es_95"], 1)
        told.append(
            f"{pool_name(pool)}: over {ahead} after {row['cutoff']} a loss of more than {loss} has a probability of "
            f"5{THIN}%, and is then {mean} on average"
        )
    rule = NAMES.get(c.study.experiment.portfolio.weights, "")
    against = [row for row in rows(made) if row["against"]]
    better = [row for row in against if row["finding"] == "better"]
    text = f"{rule}. {'; '.join(told)}. "
    if not against:
        return text + "No record was long enough to compare."
    if not better:
        worse = sum(row["finding"] == "worse" for row in against)
        text += f"Walked forward it beat none of {count(len(against), 'simpler portfolio')}"
        return text + (f", and was worse than {worse}." if worse else ".")
    return text + f"Walked forward it beat {len(better)} of {count(len(against), 'simpler portfolio')}."


def _growth(c: Contents, pool: str, k: int) -> Chart:
    table = where(c.study.portfolio.equity, {"pool": pool})
    traces: list[dict[str, Any]] = []
    for rule in dict.fromkeys(map(str, table["rule"])):
        part = table[table["rule"] == rule]
        part = part.iloc[np.unique(np.linspace(0, len(part) - 1, POINTS).astype(int))]
        x, y = broken(days(part["date"]), numbers(part["equity"], 4))
        own = rule == "own"
        trace = line(c.recommended if own else c.reference, x, y, strong=own)
        trace |= {"name": NAMES[rule], "hovertemplate": "%{y:.3f}"}
        trace["line"] = {**trace.get("line", {}), "dash": DASHES[rule]}
        traces.append(trace)
    layout = {"xaxis": axis("", kind="date"), "yaxis": axis("Growth of 1, net of costs")}
    return Chart(
        f"portfolio-growth{k or ''}", f"Growth of the portfolios, {pool_name(pool)}", tuple(traces), layout, 300
    )
