"""The sentence above each section, and the caveats: facts of the records put into words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s2squant.config.experiment import StrategySpec
from s2squant.config.models import phrase, subject
from s2squant.report.fan_charts import Fan
from s2squant.report.formats import THIN, count, day, interval, known, number, percent, price, pvalue, skill
from s2squant.report.study_view import Contents, Row, rows

FEW = 30
"""Effective observations below which an interval is itself uncertain."""
CARRIED = 0.5
"""Share of the pooled gain's variance above which one ticker carries it."""
FEWEST_SHARING = 3
"""Of two tickers one always carries half."""


def run(c: Contents) -> str:
    """Count of tickers by outcome."""
    tickers = c.study.tickers
    left = [
        f"{count(n, 'ticker')} {word}"
        for word in ("failed", "skipped")
        if (n := sum(t.status == word for t in tickers))
    ]
    if not left:
        return f"All {count(len(tickers), 'ticker')} finished." if len(tickers) != 1 else "The ticker finished."
    return f"{len(c.finished)} of {count(len(tickers), 'ticker')} finished; {' and '.join(left)}."


def leaderboard(c: Contents) -> str:
    """The highest skill, and that of the recommended model and of the verdict's baseline."""
    board = {str(r["model"]): r for r in rows(c.study.leaderboard) if known(r["skill"])}
    ranked = [m for m in c.models if m in board and m != c.reference]
    if not ranked:
        return "No model was scored."

    def scores(model: str) -> str:
        r = board[model]
        return f"{skill(r['skill'])} (by date {skill(r['effect'])} {interval(r['effect_low'], r['effect_high'])})"

    if board[ranked[0]]["skill"] <= 0:
        text = (
            f"No model is ahead of {phrase(c.reference)}; {phrase(ranked[0])} comes nearest with {scores(ranked[0])}."
        )
    else:
        text = f"{subject(ranked[0])} has the highest skill against {phrase(c.reference)}, {scores(ranked[0])}."
    if c.recommended in ranked[1:]:
        text += f" {subject(c.recommended)}, the recommended model, has {scores(c.recommended)}."
    baseline = c.best_baseline
    if baseline in ranked[1:]:
        text += f" The best baseline, {phrase(baseline)}, has {scores(baseline)}."
    return " ".join(filter(None, (text, recalibration(c.study.recalibration))))


def recalibration(decided: pd.DataFrame) -> str:
    """Count and dates of the cutoffs at which the recalibrated row was another than the raw one."""
    if decided.empty:
        return ""
    force = decided[decided["used"].astype(bool) & (decided["factor"] != 1)]
    if force.empty:
        return "The recalibration was never in force, as nothing showed that it would pay: its row is the raw one."
    cutoffs, whole = (len(part.drop_duplicates(["market", "cutoff"])) for part in (force, decided))
    first, last = day(force["cutoff"].min()), day(force["cutoff"].max())
    since = f"since {first}" if last == day(decided["cutoff"].max()) else f"from {first} to {last}"
    return f"The recalibration was in force at {cutoffs:,} of {count(whole, 'cutoff')}, {since}."


def steps(table: pd.DataFrame, model: str, reference: str) -> str:
    """Count of steps with positive skill, and the best and worst of them; empty for the reference itself."""
    own = [r for r in rows(table, {"model": model}) if known(r["skill"])]
    if not own or model == reference:
        return ""
    ahead = [r for r in own if r["skill"] > 0]
    most, least = max(own, key=lambda r: float(r["skill"])), min(own, key=lambda r: float(r["skill"]))
    text = f"{subject(model)} is ahead of {phrase(reference)} at {len(ahead)} of {count(len(own), 'step')}"
    clear = [r for r in own if known(r.get("low")) and r["low"] > 0]
    if "low" in own[0]:
        text += f", with the whole interval above zero at {len(clear)}"
    ends = [f"{name} at step {r['step']} ({skill(r['skill'])})" for name, r in (("most", most), ("least", least))]
    return f"{text}: {', '.join(ends)}."


def tickers(c: Contents, verdicts: Sequence[Row]) -> str:
    """Count of tickers better, worse and undecided; empty where the reference itself is recommended."""
    if not verdicts or c.recommended == c.reference:
        return ""
    words = [str(r["word"]) for r in verdicts]
    better, worse = words.count("better"), words.count("worse")
    fdr = percent(c.study.experiment.verdict.fdr, 0)
    rest = len(words) - better - worse
    return (
        f"{better} of {count(len(words), 'ticker')} better and {worse} worse after false-discovery control at {fdr}; "
        f"for the other {rest} the data cannot tell {phrase(c.recommended)} from {phrase(c.reference)}."
    )


def over_time(table: pd.DataFrame, model: str) -> str:
    """End and peak of the cumulative gain."""
    own = table[table["model"] == model].sort_values("cutoff") if not table.empty else table
    if own.empty:
        return ""
    end, peak = own.iloc[-1], own.iloc[int(own["cumulative"].argmax())]
    text = f"{subject(model)} ends at {number(end['cumulative'], 2, True)} on {day(end['cutoff'])}"
    if peak["cutoff"] == end["cutoff"]:
        return f"{text}, its highest point: the gain has kept coming."
    return f"{text}; it was highest on {day(peak['cutoff'])} at {number(peak['cumulative'], 2, True)}."


def coverage(row: Row | None, model: str, nominal: Sequence[str]) -> str:
    """Coverage of the intervals beside their nominal levels."""
    if row is None or not known(row.get("coverage_80")):
        return ""
    shares = [f"{percent(row[f'coverage_{level}'], 1)} in the {level}{THIN}% interval" for level in nominal]
    off = 100 * row["coverage_80"] - 80
    size = f"{number(abs(off), 1)} points too {'wide' if off > 0 else 'narrow'}"
    return f"{subject(model)} held {', '.join(shares)}: at 80{THIN}% it is {'on target' if abs(off) < 0.05 else size}."


def ticker(c: Contents, row: Row | None) -> str:
    """The verdict of one ticker as a sentence."""
    if row is None:
        return "No forecast of this ticker could be scored."
    if c.recommended == c.reference:
        return f"{subject(c.recommended)} is the reference: there is nothing to compare it with."
    if not known(row["low"]):
        why = c.untested(str(row["unique_id"])) or "not tested"
        return f"{subject(c.recommended)} scores {skill(row['skill'])} against {phrase(c.reference)}: {why}."
    word = {"better": "better than the reference", "worse": "worse than the reference"}.get(str(row["word"]))
    return (
        f"{subject(c.recommended)} scores {skill(row['skill'])} {interval(row['low'], row['high'])} against "
        f"{phrase(c.reference)}: {word or 'no evidence of skill'} (q{THIN}{pvalue(row['q'])}, "
        f"n{THIN}{number(row['n'], 0)}, effective{THIN}{number(row['n_eff'], 0)}). "
        f"The smallest skill this test could find is {percent(row['smallest_detectable'])}."
    )


def fan(shown: Fan | None, ticker_name: str) -> str:
    """The newest forecast in one sentence."""
    if shown is None:
        return ""
    low, mid, high = (float(shown.path(q)[-1]) for q in ("q0.100", "q0.500", "q0.900"))
    start, steps_ahead = float(shown.quantiles_HQ[0, 0]), len(shown.dates) - 1
    return (
        f"From {price(start)} on {shown.dates[0]}, {ticker_name} is forecast {count(steps_ahead, 'session')} ahead "
        f"at a median of {price(mid)} ({percent(mid / start - 1, 1, True)}), "
        f"and between {price(low)} and {price(high)} with probability 80{THIN}%."
    )


def past(fans: Sequence[Fan]) -> str:
    """Count of past fans whose 80 % band covers the path's end."""
    inside = sum(bool(f.path("q0.100")[-1] <= f.realised[-1] <= f.path("q0.900")[-1]) for f in fans)
    return f"Evenly spaced in time, not chosen by eye; {inside} of {len(fans)} paths ended inside the 80{THIN}% band."


def training(own: pd.DataFrame, pooled: pd.DataFrame) -> str:
    """Count of fits and folds."""
    parts = [t for t in (own, pooled) if not t.empty]
    fits = sum(len(t.groupby(["model", "fold", "seed"], observed=True)) for t in parts)
    folds = len({int(f) for t in parts for f in t["fold"]})
    return f"{count(fits, 'fit')} over {count(folds, 'fold')}; later folds are drawn fainter." if fits else ""


def folds(c: Contents) -> str:
    """Scheme of the walk: folds, cutoffs, window and purge."""
    plan, walk = c.study.folds, c.study.experiment.walk
    if not plan:
        return ""
    cutoffs, markets = sum(len(f.cutoffs) for f in plan), len({f.market for f in plan})
    return (
        f"{count(len(plan), 'fit')} serve {count(cutoffs, 'cutoff')} on {count(markets, 'market')}, "
        f"{walk.window} window, purge {count(walk.horizon, 'bar')}: no label a fit has seen ends after its fit date."
    )


def weights(table: pd.DataFrame) -> str:
    """The blend's weights at the newest cutoff of each market, largest first."""
    if table.empty:
        return ""
    parts = []
    for market, mine in table.groupby("market", sort=True):
        newest = mine[mine["cutoff"] == mine["cutoff"].max()].sort_values("weight", ascending=False, kind="stable")
        named = [f"{phrase(str(m))} {100 * w:.0f} %" for m, w in zip(newest["member"], newest["weight"], strict=True)]
        parts.append(f"{market}: {', '.join(named)}")
    return "; ".join(parts) + "."


def _costs(spec: StrategySpec) -> str:
    """Costs that the equity includes, and those it leaves out."""
    trade = f"Costs are {number(spec.cost_bp, 1)} bp per unit of turnover"
    if spec.borrow_bp:
        short = f"{number(spec.borrow_bp, 1)} bp a year on what is sold short"
        return f"{trade} and {short}; market impact, financing and taxes are not in them."
    return f"{trade}; market impact, borrowing, financing and taxes are not in them."


def _carried(verdicts: Sequence[Row]) -> list[str]:
    """Caveat of a single ticker that carries most of the variance of the pooled gain."""
    scored = [r for r in verdicts if known(r.get("variance_share"))]
    most = max(scored, key=lambda r: float(r["variance_share"]), default=None)
    if most is None or len(scored) < FEWEST_SHARING or most["variance_share"] <= CARRIED:
        return []
    share = percent(min(most["variance_share"], 1.0), 0)
    return [
        f"{most['unique_id']} alone carries {share} of the variance of the pooled gain over "
        f"{count(len(scored), 'ticker')}: the pooled interval says how uncertain that ticker’s losses are, and a few "
        "of its dates may decide the verdict. Read the tickers one by one, or run without it."
    ]


def caveats(c: Contents) -> list[str]:
    """The limits of use that this run's own facts call for."""
    study, walk = c.study, c.study.experiment.walk
    limits: list[str] = []
    row = next(iter(rows(study.leaderboard, {"model": c.recommended})), None)
    if row and known(row["n_eff"]) and row["n_eff"] < FEW:
        limits.append(
            f"The pooled test rests on {number(row['n_eff'], 0)} effective observations (fewer than {FEW}): "
            "read its interval as a rough guide."
        )
    verdicts = rows(study.by_ticker, {"model": c.recommended})
    short = sum(known(r["n_eff"]) and r["n_eff"] < FEW for r in verdicts)
    if short:
        limits.append(
            f"{short} of {count(len(verdicts), 'ticker')} have fewer than {FEW} effective observations of their own."
        )
    limits += _carried(verdicts)
    head = c.headline
    if head and study.word == "no evidence" and known(head["smallest_detectable"]):
        limits.append(
            f"No evidence is not evidence of absence: an advantage below {percent(head['smallest_detectable'])} "
            "would have gone unseen here."
        )
    if row and known(row["coverage_80"]) and abs(row["coverage_80"] - 0.8) > 0.03:
        limits.append(
            f"The recommended model’s 80{THIN}% intervals held {percent(row['coverage_80'], 1)}: adjust before use."
        )
    if len([m for m in c.models if c.kinds.get(m) == "baseline"]) > 1:
        limits.append(
            "The best baseline was picked after the scores were known; its lead over the other baselines is flattered."
        )
    lasts = [h.dates[-1] for h in study.histories.values()]
    if lasts and min(lasts) > max(lasts) - np.timedelta64(31, "D"):
        limits.append(
            "Every ticker still trades at the end of the data: names that were delisted are missing (survivorship)."
        )
    if len(study.tickers) > len(c.finished):
        limits.append(
            f"{len(study.tickers) - len(c.finished)} of {count(len(study.tickers), 'ticker')} are not in these numbers."
        )
    if not study.equity.empty:
        limits.append(_costs(study.experiment.strategy))
    limits.append(
        f"Cutoffs stand {count(walk.every, 'bar')} apart and forecasts reach {count(walk.horizon, 'bar')}: "
        + (
            "neighbouring forecasts overlap, which the effective sample size allows for."
            if walk.every < walk.horizon
            else "they do not overlap."
        )
    )
    limits.append("Prices are adjusted closes; a vendor may revise them backwards, and a later run may differ for it.")
    limits.append("A backtest describes the past. Nothing here is investment advice.")
    return limits
