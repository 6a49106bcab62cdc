"""The panel of risk: VaR and expected shortfall, how often exceeded, tested, and compared."""

from __future__ import annotations

from s2squant.config.models import phrase
from s2squant.report.formats import THIN, count, number, percent, pvalue
from s2squant.report.names import pool_name
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, rows, where
from s2squant.report.tables import TICKER, Column, grid, without_blanks

HEAD = (
    Column("step", "Step", ",d"),
    Column("side", "Side", "text"),
    Column("level", "Level", "percent1"),
    Column("n", "Forecasts", ",d", "Of cutoffs whose labels share no bar"),
    Column("due", "Due", ".1f", "Exceedances of a right VaR"),
    Column("exceeded", "Exceeded", ",d"),
)
NAME = Column("pool", "Pool", "text")
TESTED = (
    Column("zone", "Zone", "text", "Basel traffic light, from the binomial law of as many forecasts"),
    Column("kupiec_p", "Kupiec", "p"),
    Column("independence_p", "Christoffersen", "p", "Of exceedances that follow each other"),
    Column("dq_p", "DQ", "p", "Dynamic quantile test"),
    Column("mcneil_frey_p", "McNeil-Frey", "p", "Of expected shortfall, given an exceedance"),
    Column("acerbi_szekely_p", "Acerbi-Szekely", "p", "Of expected shortfall, all dates"),
    Column("finding", "Finding", "text", "After allowing for all tickers, sides and levels of the step"),
    Column("reason", "Why not tested", "wide"),
)
TOGETHER = (
    Column("kupiec_p", "Number, p", "p", "Of tickers that move together, by counts on past dates"),
    Column("independence_p", "Clusters, p", "p", "Of counts that follow each other, likewise"),
)
LOSSES = (Column("fz0", "FZ0", ".3f", "Joint loss of VaR and ES; lower is better"), Column("tick", "Tick, %", ".4f"))


def risk(c: Contents) -> Panel | None:
    """Exceedances of all tickers together, each ticker's tests, and the losses against other models."""
    table = c.study.risk
    if table.empty:
        return None
    table = without_blanks(table)
    own = where(table, {"model": c.recommended})
    single = own["unique_id"].isin({report.ticker for report in c.study.tickers})
    first, loss = own["step"] == 1, own["side"] == "loss"
    pooled = own[~single & (first | (own["unique_id"] == POOL))].rename(columns={"unique_id": "pool"})
    caption = "Exceedances of the recommended model, tickers together"
    shown = grid("risk-table", caption, pooled, (NAME, *HEAD, *TOGETHER, *LOSSES))
    each = grid(
        "risk-ticker-table", "Losses one step ahead, by ticker", own[single & first & loss], (TICKER, *HEAD, *TESTED)
    )
    against = without_blanks(where(c.study.risk_scores, {"pool": POOL, "loss": "FZ0"}))
    scores = grid("risk-score-table", "FZ0 loss against other models; positive is better", against, COMPARED)
    folded = (("Tests by ticker", each), ("Losses against other models", scores))
    title = "Can value at risk be trusted"
    note = "All sides, steps and pools, and the other models: risk.parquet and tables/risk_scores.parquet."
    return Panel("risk", "Risk", title, say(c), grids=(shown,), folded=folded, notes=(note,))


COMPARED = (
    Column("step", "Step", ",d"), Column("side", "Side", "text"),
    Column("level", "Level", "percent1"), Column("benchmark", "Against", "model"),
    Column("effect", "Gain", ".4f", "Of the mean loss"), Column("low", "Low", ".4f"),
    Column("high", "High", ".4f"), Column("p", "p", "p"), Column("n", "Dates", ",d"),
    Column("finding", "Finding", "text"), Column("reason", "Why not tested", "wide"),
)  # fmt: skip


def say(c: Contents) -> str:
    """Exceedances of the 1 % VaR one step ahead where they were due, and how many tickers are refused."""
    asked = {"model": c.recommended, "step": "1", "side": "loss", "level": "0.01"}
    one = where(c.study.risk, asked)
    pool = next(iter(rows(one, {"unique_id": POOL})), None)
    if pool is None:
        return ""
    share, many = percent(pool["exceeded"] / pool["n"], 2), f"{int(pool['n']):,} forecasts"
    text = (
        f"1{THIN}% VaR of {phrase(c.recommended)} one step ahead: {count(int(pool['exceeded']), 'exceedance')} where "
        f"{number(pool['due'], 0)} were due ({share} of {many})"
    )
    names = {report.ticker for report in c.study.tickers}
    tested = one[(one["reason"] == "") & one["unique_id"].isin(names)]
    if tested.empty:
        return text + "; no ticker has forecasts enough for a test."
    wrong = int((tested["finding"] != "no evidence").sum())
    told = f"{wrong or 'none'} {'are' if wrong > 1 else 'is'} refused"
    text = f"{text}; of {count(len(tested), 'ticker')} {told} for number, clusters or depth."
    together = one[(one["reason"] == "") & ~one["unique_id"].isin(names)]
    if len(together) == 1:
        return text + f" All tickers together: p {pvalue(together['joint_p'].iloc[0])}."
    named = [f"{pool_name(str(r['unique_id']))} {pvalue(r['joint_p'])}" for r in rows(together)]
    return text + (f" All tickers of a market together: p {', '.join(named)}." if named else "")
