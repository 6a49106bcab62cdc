"""Panels of scores: scorecard and confidence set, further tests, fluctuation, shrinkage."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.models import phrase
from s2squant.report.charts import Chart, Trace, absent, axis, band, broken, days, line, numbers, plain
from s2squant.report.figures import MOST_NAMES, reach, skill_by_ticker
from s2squant.report.formats import count, interval, known, number, percent, skill
from s2squant.report.names import join
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents, rows, significant, tested, where
from s2squant.report.styles import style
from s2squant.report.tables import BOUNDS, COUNTS, DETECTABLE, MODEL, N_EFF, REASON, Column, N, P, grid, without_blanks

SCORES = (
    MODEL,
    Column("crps", "CRPS, %", ".4f", "Continuous ranked probability score; lower is better"),
    Column("skill", "Skill", "skill", "Against the reference"),
    Column("log_score", "Log score", ".3f", "Nats, minus the log density of % returns; lower is better"),
    Column("interval_80", "Interval score 80, %", ".3f", "Width plus a fine for each miss; lower is better"),
    Column("mae_ratio", "MAE ratio", ".3f", "Of the median, to the reference's"),
    Column("r2", "R² of the mean", "skill", "Against no change, out of sample"),
    Column("qlike", "QLIKE", ".3f", "Of the variance; lower is better"),
    Column("direction", "Direction", "percent", "Share of calls with the right sign"),
    Column("direction_expected", "Expected", "percent", "Of the same calls if they knew nothing"),
    Column("rmsse", "RMSSE", ".3f", "No change scores about 1"),
    Column("width_ratio", "Width ratio", ".2f", "Of the 80 % band, to the reference's"),
    Column("width_follows_volatility", "Follows risk", ".2f", "Rank correlation of width with realised volatility"),
    N,
)
BEST = {"crps": "min", "skill": "max", "log_score": "min", "interval_80": "min", "mae_ratio": "min", "r2": "max"}
BEST |= {"qlike": "min", "direction": "max", "rmsse": "min", "width_follows_volatility": "max"}
GROUPED = (SCORES[0], Column("group", "Steps", "text"), *SCORES[1:])
SHORT = tuple(c for c in SCORES if c.name not in ("interval_80", "rmsse", "n"))


def scorecard(c: Contents) -> Panel | None:
    """Every score of every model, and the confidence set."""
    table, chosen = c.study.scorecard, c.study.confidence_set
    if table.empty and chosen.empty:
        return None
    every = where(table, {"group": "all"})
    rest = table.drop(every.index)
    marked = ("model", c.recommended)
    tested = chosen["reason"].astype(str) == "" if not chosen.empty else pd.Series(dtype=bool)
    inside = grid(
        "confidence-set",
        "Model confidence set: models that may be the best, by step",
        without_blanks(chosen.assign(inside=chosen["inside"].where(tested, None))) if not chosen.empty else chosen,
        [
            Column("step", "Step", "text"),
            MODEL,
            Column("inside", "In the set", "flag"),
            P,
            Column("same_as", "Equals", "text"),
            N,
            N_EFF,
            REASON,
        ],
    )
    scores = grid(
        "scorecard-table", "All tickers and steps; best of each column in bold", every, SHORT, best=BEST, chosen=marked
    )
    by_group = grid("scorecard-steps", "The same by steps ahead", rest, GROUPED, chosen=marked)
    folded = (("The same by steps ahead", by_group), ("Which models cannot be told from the best", inside))
    say = _set_line(chosen) + _direction(every, c.recommended)
    return Panel("scorecard", "Scores", "Every score of every model", say.strip(), grids=(scores,), folded=folded)


def _set_line(chosen: pd.DataFrame) -> str:
    pooled = where(chosen, {"step": "all"})
    if pooled.empty:
        return ""
    if reason := str(pooled["reason"].iloc[0]):
        return f"Which models may be the best was not tested: {reason}. "
    named = join([phrase(str(m)) for m in pooled.loc[pooled["inside"].astype(bool), "model"]])
    return f"Any of these may be the best: {named}. "


def _direction(every: pd.DataFrame, model: str) -> str:
    row = next(iter(rows(every, {"model": model})), {})
    if not known(row.get("direction")):
        return ""
    return (
        f"Direction right: {percent(row['direction'], 1)}; expected by chance {percent(row['direction_expected'], 1)}."
    )


def tests(c: Contents) -> Panel | None:
    """Tests that ask other questions than Diebold and Mariano's."""
    table = c.study.tests
    if table.empty:
        return None
    clear = significant(table)
    named = join(list(dict.fromkeys(str(t) for t in clear["test"])))
    say = f"{len(clear)} of {count(len(tested(table)), 'test')} found a difference{f': {named}' if named else ''}."
    blank = table["finding"].astype(str) == "not tested"
    table = table.assign(**{name: table[name].mask(blank) for name in ("p", "effect") if name in table.columns})
    columns = [
        Column("test", "Test", "text"),
        Column("pool", "Pool", "market"),
        Column("challenger", "Challenger", "model"),
        Column("benchmark", "Benchmark", "model"),
        Column("finding", "Finding", "text"),
        Column("effect", "Effect", "skill"),
        Column("statistic", "Statistic", ".2f"),
        P,
        *COUNTS,
        Column("smallest_detectable", "Detectable", ".3g"),
        REASON,
    ]
    shown = grid("other-tests", "All further tests of the run", table, columns)
    return Panel("tests", "Other tests", "What do other tests say?", say, grids=(shown,))


def fluctuation(c: Contents) -> Panel | None:
    """Mean gain in a moving window with the band of the fluctuation test."""
    own = where(c.study.fluctuation, {"challenger": c.recommended})
    if own.empty:
        return None
    against = where(own, {"benchmark": c.reference})
    own = own if against.empty else against
    own, across = _within_stretches(own.sort_values("cutoff"))
    if own.empty:
        return None
    x, limit = days(own["cutoff"]), own["band"].to_numpy(dtype=float)
    reach = band(x, numbers(-limit, 3), numbers(limit, 3), "@m-grey/0.2", "chance")
    gain = line(c.recommended, *broken(x, numbers(own["effect"], 3)), strong=True) | {"hovertemplate": "%{y:+.2%}"}
    layout = {"xaxis": axis("End of the window", kind="date"), "yaxis": axis("Mean gain", ".1%") | {"zeroline": True}}
    chart = Chart("fluctuation", "Gain over the reference in a moving window", (reach, gain), layout)
    beyond = int((np.abs(own["effect"].to_numpy(dtype=float)) > limit).sum())
    say = f"Over {count(int(own['window'].iloc[0]), 'cutoff')} at a time, the gain left the band of chance in "
    say += f"{beyond:,} of {count(len(own), 'window')}." if beyond else f"none of {count(len(own), 'window')}."
    say += f" {across:,} windows that span years without forecasts are left out." if across else ""
    caption = (
        "Shaded: the largest gain or loss that chance allows at 5 % anywhere on the line (Giacomini and Rossi 2010)."
    )
    return Panel("fluctuation", "Stability", "Was the skill there all along?", say, charts=((chart, caption),))


def _within_stretches(own: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Windows without those that span a hole between two periods or markets, and the number of those."""
    if "first" not in own.columns:
        return own, 0
    spans = (own["cutoff"] - own["first"]).dt.days
    inside = spans <= 1.5 * float(spans.quantile(0.25))
    return own[inside], int((~inside).sum())


def shrinkage(c: Contents) -> Panel | None:
    """Skill by ticker after shrinking each towards the common mean by what its own data weigh."""
    own = where(c.study.shrinkage, {"model": c.recommended})
    if own.empty:
        return None
    spread = float(own["prior_spread"].iloc[0])
    clear = int((own["low"] > 0).sum())
    say = (
        f"Once luck is allowed for, {clear or 'none'} of {count(len(own), 'ticker')} "
        f"{'keeps' if clear == 1 else 'keep'} an interval above zero; true skill differs between tickers by about "
        f"{number(100 * spread, 2)} points."
    )
    columns = [
        Column("unique_id", "Ticker", "text"),
        Column("skill", "Raw skill", "skill"),
        Column("se", "Std. error", "percent"),
        Column("shrunken", "Shrunken", "skill"),
        *BOUNDS,
        Column("weight", "Own weight", "percent", "Of the ticker's own data"),
        P,
        Column("q_bh", "q (BH)", "p", "Benjamini-Hochberg"),
        Column("q_by", "q (BY)", "p", "Benjamini-Yekutieli: holds under any dependence"),
        N_EFF,
        DETECTABLE,
    ]
    ordered = own.sort_values("shrunken", ascending=False)
    shown = grid("shrunken-table", "Empirical Bayes over tickers", ordered, columns, most=400)
    folded = (("Raw and shrunken skill, p and q by ticker", shown),)
    caption = (
        "Filled: skill after allowing for luck, with its 95 % interval; hollow: as measured. The farther apart, the "
        "more of it was luck."
    )
    charts = (
        (_caterpillar(c, ordered), caption),
        (_p_values(own), "Without skill on any ticker all bars would be about equally high."),
    )
    return Panel("shrinkage", "Luck", "Are the winners real?", say, charts=charts, folded=folded)


def _caterpillar(c: Contents, ordered: pd.DataFrame) -> Chart:
    shown = ordered.iloc[::-1]
    places, colour = list(range(len(shown))), style(c.recommended).colour
    text = [
        plain(f"{r['unique_id']}: {skill(r['shrunken'])} {interval(r['low'], r['high'])}, raw {skill(r['skill'])}")
        for r in shown.to_dict("records")
    ]
    common: Trace = {"type": "scatter", "mode": "markers", "y": places, "showlegend": True, "text": text}
    common |= {"hovertemplate": "%{text}<extra></extra>"}
    raw = common | {"name": "Raw", "legendgroup": "raw", "x": numbers(shown["skill"], 3)}
    raw["marker"] = {"symbol": "circle-open", "size": 7, "color": "@m-grey"}
    shrunken = common | {"name": "Shrunken", "legendgroup": "shrunken", "x": numbers(shown["shrunken"], 3)}
    shrunken["marker"] = {"symbol": "circle", "size": 8, "color": f"@{colour}"}
    above, below = (numbers(gap, 3) for gap in (shown["high"] - shown["shrunken"], shown["shrunken"] - shown["low"]))
    shrunken["error_x"] = reach(above, below, f"@{colour}")
    layout = skill_by_ticker(shown["unique_id"].astype(str).tolist(), ".1%")
    height = 90 + 20 * min(len(shown), MOST_NAMES)
    return Chart("shrunken", "Raw and shrunken skill by ticker", (raw, shrunken), layout, height=height)


def _p_values(own: pd.DataFrame) -> Chart:
    title = "p values over tickers"
    known_p = own["p"].dropna().to_numpy(dtype=float)
    if len(known_p) < 8:
        return absent("p-values", title, "fewer than eight tickers have a p value.")
    shares, edges = np.histogram(known_p, bins=10, range=(0, 1))
    trace: Trace = {"type": "bar", "name": "Tickers", "x": numbers((edges[1:] + edges[:-1]) / 2), "y": shares.tolist()}
    trace |= {"marker": {"color": "@m-blue/0.75"}, "hovertemplate": "p around %{x:.2f}: %{y}<extra></extra>"}
    layout = {"hovermode": "closest", "bargap": 0.08, "xaxis": axis("p value"), "yaxis": axis("Tickers")}
    return Chart("p-values", title, (trace,), layout, height=240)
