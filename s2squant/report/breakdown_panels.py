"""Panels of the recommended model by group, its ranks across tickers, and its largest misses."""

from __future__ import annotations

import pandas as pd

from s2squant.config.models import phrase, subject
from s2squant.report.formats import count, day, interval, known, number, percent, skill
from s2squant.report.names import market_name
from s2squant.report.panels import Panel
from s2squant.report.study_view import POOL, Contents, Row, rows, significant, tested
from s2squant.report.styles import label
from s2squant.report.tables import BOUNDS, DETECTABLE, MODEL, N_EFF, REASON, TICKER, Column, P, grid, without_blanks

GROUPS = (
    Column("basis", "By", "text"),
    Column("group", "Group", "text"),
    Column("tickers", "Tickers", ",d"),
    Column("skill", "Skill", "skill"),
    *BOUNDS,
    Column("finding", "Finding", "text"),
    P,
    Column("p_adjusted", "p adj.", "p", "Benjamini-Hochberg over all groups"),
    Column("n", "n", ",d", "Cutoffs"),
    N_EFF,
    DETECTABLE,
    REASON,
)
RANKS = (
    MODEL,
    Column("market", "Market", "market"),
    Column("step", "Step", "d"),
    Column("tickers", "Tickers", ",d", "On a date, median"),
    Column("ic", "Rank IC", ".4f", "Mean over dates of the rank correlation of median and outcome"),
    Column("low", "Low", ".4f"),
    Column("high", "High", ".4f"),
    Column("icir", "ICIR", ".3f", "Mean over standard deviation by date"),
    Column("finding", "Finding", "text"),
    P,
    Column("p_adjusted", "p adj.", "p", "Benjamini-Hochberg over all rows"),
    Column("spread", "Spread, %", ".3f", "Outcome of the highest fifth (tenth, from 50 tickers) less the lowest"),
    Column("spread_p", "p of spread", "p"),
    Column("turnover", "Turnover", ".0%", "Share of those parts that was not in them at the cutoff before"),
    Column("n", "n", ",d", "Dates"),
    N_EFF,
    Column("smallest_detectable", "Detectable", ".4f"),
    REASON,
)
MISSES = (
    TICKER,
    Column("cutoff", "Cutoff", "day"),
    Column("step", "Step", "d"),
    Column("ds", "Until", "day"),
    Column("price", "Price then", "price"),
    Column("realised", "Became", "price"),
    Column("low", "95 % from", "price"),
    Column("high", "to", "price"),
    Column("moved", "Move", "skill"),
    Column("miss", "Miss, sd", "+.1f", "Standard deviations of the forecast"),
    Column("pit", "PIT", ".4f", "Probability that the forecast gave to less than what came"),
    Column("others", "Others", "skill", "Mean move of the market's other tickers on the same days"),
)


def groups(c: Contents) -> Panel | None:
    """Skill of the recommended model by group of tickers and by regime."""
    table = c.study.groups
    if table.empty:
        return None
    table = table.assign(
        group=[
            market_name(str(g)) if b == "market" else str(g)
            for b, g in zip(table["basis"], table["group"], strict=True)
        ]
    )
    grouped = merged(table[table["group"].astype(str) != ""])
    clear = significant(grouped)
    verb = "stands" if len(clear) < 2 else "stand"
    say = f"{len(clear) or 'None'} of {count(len(tested(grouped)), 'group')} {verb} out once all are allowed for"
    scored = [r for r in rows(tested(grouped)) if known(r["skill"])]
    if len(clear):
        named = [_named(r) for r in rows(clear)[:4]]
        say += f": {'; '.join(named)}{'; and others' if len(clear) > 4 else ''}"
    elif scored:
        scored.sort(key=lambda r: float(r["skill"]))
        say += f"; most skill in {_named(scored[-1])}, least in {_named(scored[0])}"
    notes = [f"Not grouped by {r['basis']}: {r['reason']}." for r in rows(table, {"group": ""})]
    notes.append(
        "Volatility and dollar volume: terciles of the last 250 bars before a ticker’s first cutoff, volume within its "
        "own market. Regime: tercile of the ticker’s 60-bar volatility at the cutoff among its own so far. A group has "
        "few dates of its own: read its interval, and choose no group after seeing the table."
    )
    title = f"{label(c.recommended)} against {phrase(c.reference)}, by group"
    shown = grid("group-table", title, without_blanks(grouped), GROUPS)
    return Panel("groups", "Groups", "Where does it work?", f"{say}.", grids=(shown,), notes=tuple(notes))


def merged(table: pd.DataFrame) -> pd.DataFrame:
    """Groups that hold the same tickers, seen by equal figures, as one row: `market, asset class`, `US, stocks`."""
    figures = [name for name in ("tickers", "skill", "low", "high", "n") if name in table.columns]
    if table.empty:
        return table
    kept: dict[tuple[object, ...], Row] = {}
    for place, row in enumerate(rows(table)):
        key = tuple(row[name] for name in figures)
        key = key if known(row.get("skill")) else (place,)
        if (first := kept.get(key)) is None:
            kept[key] = dict(row)
        elif first["basis"] != row["basis"]:
            first |= {"basis": f"{first['basis']}, {row['basis']}", "group": f"{first['group']}, {row['group']}"}
    return pd.DataFrame(list(kept.values()), columns=table.columns)


def _named(row: Row) -> str:
    return f"{row['basis']}: {row['group']} ({skill(row['skill'])} {interval(row['low'], row['high'])})"


def cross_section(c: Contents) -> Panel | None:
    """Rank correlations across tickers; None where no market has tickers enough on one date."""
    table = c.study.cross_section
    if table.empty:
        return None
    ranked = table[table["model"].astype(str) != ""]
    if ranked.empty:
        return None
    many = count(len(tested(ranked)), "rank correlation")
    say = f"{len(significant(ranked))} of {many} stand out after allowing for all of them."
    own = (r for r in rows(ranked, {"model": c.recommended}) if known(r["ic"]))
    if first := next(own, None):
        say += (
            f" {subject(c.recommended)} at step {int(first['step'])}: mean rank IC {number(first['ic'], 3, True)}, "
            f"spread {number(first['spread'], 2, True)} points."
        )
    caption = "Rank correlation by date of median and outcome, mean over dates"
    shown = grid("rank-table", caption, without_blanks(ranked), RANKS)
    return Panel("cross-section", "Ranks", "Does it rank tickers?", say, grids=(shown,))


def misses(c: Contents, ticker: str) -> Panel | None:
    """The largest misses of a ticker, or of the run when `ticker` is "all"."""
    table = c.of("misses", ticker)
    if table.empty:
        return None
    worst = table.iloc[0]
    whose = f" is of {worst['unique_id']}" if ticker == POOL else ""
    others = f"; the market’s other tickers {percent(worst['others'], 1, True)}" if known(worst["others"]) else ""
    say = (
        f"The largest miss{whose}: {number(worst['miss'], 1, True)} standard deviations {int(worst['step'])} steps "
        f"after {day(worst['cutoff'])} ({percent(worst['moved'], 1, True)} by {day(worst['ds'])}{others})."
    ).replace(" 1 steps", " 1 step")
    caption = f"Largest misses of {phrase(c.recommended)}, one for each stretch of days; prices are adjusted closes"
    title, columns = ("The largest misses", MISSES) if ticker == POOL else ("Its largest misses", MISSES[1:])
    return Panel("largest-misses", "Misses", title, say, grids=(grid("miss-table", caption, table, columns),))
