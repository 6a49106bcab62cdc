"""The sentence above each section, and the caveats: facts of the records put into words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s2squant.config.experiment import StrategySpec
from s2squant.config.models import phrase, subject
from s2squant.report.fan_cards import Card, trust_words
from s2squant.report.fan_charts import Fan
from s2squant.report.formats import THIN, count, day, interval, known, number, percent, price, pvalue, skill
from s2squant.report.names import join, market_name
from s2squant.report.study_view import Contents, Row, rows

WORDS = "return_tokens:ReturnTokens"
"""How the path of the model of returns as words ends."""
FEW = 30
"""Effective observations below which an interval is itself uncertain."""
CARRIED = 0.5
"""Share of the pooled gain's variance above which one ticker carries it."""
MOST_OF_IT = 0.9
"""Share of the whole gain that the named years hold."""
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
    left += [f"{count(n, 'model')} of your own failed"] if (n := len(c.study.failed_models)) else []
    if not left:
        return f"All {count(len(tickers), 'ticker')} finished." if len(tickers) != 1 else "The ticker finished."
    return f"{len(c.finished)} of {count(len(tickers), 'ticker')} finished; {' and '.join(left)}."


def cards(c: Contents, shown: Sequence[Card]) -> str:
    """What the fans show, and whether past bands held, over all tickers."""
    if not shown:
        return ""
    text = f"Newest forecast of {phrase(c.recommended)}: median and 80{THIN}% range."
    held = [r["coverage_80"] for r in rows(c.study.by_ticker, {"model": c.recommended}) if known(r["coverage_80"])]
    if not held:
        return text
    board = next(iter(rows(c.study.leaderboard, {"model": c.recommended})), {})
    whole = board.get("coverage_80")  # the leaderboard's own figure, where there is one
    mean, ends = (
        percent(whole if known(whole) else float(np.mean(held)), 1),
        f"{number(100 * min(held), 1)} to {percent(max(held), 1)} by ticker",
    )
    return f"{text} Past 80{THIN}% bands held {mean} of outcomes{f' ({ends})' if len(held) > 1 else ''}."


def trust(row: Row | None) -> str:
    """Whether past 80 % bands of one ticker held, in one sentence."""
    said = trust_words(row)
    if row is None or not said:
        return ""
    off = 100 * row["coverage_80"] - 80
    size = "as promised" if abs(off) < 2 else f"so they were {'wide' if off > 0 else 'narrow'}"
    return f"{said[:1].upper()}{said[1:]}, {size}."


def leaderboard(c: Contents) -> str:
    """The highest skill, and that of the recommended model and of the verdict's baseline."""
    board = {str(r["model"]): r for r in rows(c.study.leaderboard) if known(r["skill"])}
    ranked = [m for m in c.models if m in board and m != c.reference]
    if not ranked:
        return "No model was scored."

    def scores(model: str) -> str:
        return skill(board[model]["skill"])

    reference = phrase(c.reference)
    if board[ranked[0]]["skill"] <= 0:
        text = f"No model forecasts better than {reference}; {phrase(ranked[0])} comes nearest ({scores(ranked[0])})."
    else:
        text = (
            f"Against {reference}, {phrase(ranked[0])} has the highest skill, {scores(ranked[0])} (mean over tickers)."
        )
    if c.recommended in ranked[1:]:
        text += f" {subject(c.recommended)}, which this run recommends, has {scores(c.recommended)}."
    baseline = c.best_baseline
    if baseline in ranked[1:]:
        text += f" The best baseline, {phrase(baseline)}, has {scores(baseline)}."
    return " ".join(filter(None, (text, recalibration(c.study.recalibration))))


def recalibration(decided: pd.DataFrame) -> str:
    """Count and dates of the cutoffs at which recalibration changed the bands."""
    if decided.empty:
        return ""
    force = decided[decided["used"].astype(bool) & (decided["factor"] != 1)]
    if force.empty:
        return "Recalibration never changed the bands: nothing showed that it would help."
    cutoffs, whole = (len(part.drop_duplicates(["market", "cutoff"])) for part in (force, decided))
    first, last = day(force["cutoff"].min()), day(force["cutoff"].max())
    since = f"since {first}" if last == day(decided["cutoff"].max()) else f"from {first} to {last}"
    return f"Recalibration changed the bands at {cutoffs:,} of {count(whole, 'cutoff')}, {since}."


def steps(table: pd.DataFrame, model: str, reference: str) -> str:
    """Count of steps with positive skill, and the best and worst of them; empty for the reference itself."""
    own = [r for r in rows(table, {"model": model}) if known(r["skill"])]
    if not own or model == reference:
        return ""
    ahead = [r for r in own if r["skill"] > 0]
    most, least = max(own, key=lambda r: float(r["skill"])), min(own, key=lambda r: float(r["skill"]))
    text = f"{subject(model)} is better than {phrase(reference)} at {len(ahead)} of {count(len(own), 'step')}"
    clear = [r for r in own if known(r.get("low")) and r["low"] > 0]
    if "low" in own[0]:
        text += f", at {len(clear) or 'none'} with the whole interval above zero"
    ends = (
        f"most at step {most['step']} ({skill(most['skill'])}), least at step {least['step']} ({skill(least['skill'])})"
    )
    return f"{text}; {ends}."


def tickers(c: Contents, verdicts: Sequence[Row]) -> str:
    """Count of tickers better, worse and undecided; empty where the reference itself is recommended."""
    if not verdicts or c.recommended == c.reference:
        return ""
    words = [str(r["word"]) for r in verdicts]
    better, worse = words.count("better"), words.count("worse")
    rest = len(words) - better - worse
    text = f"Taken alone, {f'{better} of {len(words)} tickers' if better else f'no ticker of {len(words)}'} "
    text += "are better" if better > 1 else "is better"
    text += f", {worse} {'is' if worse == 1 else 'are'} worse" if worse else ""
    if not rest:
        return f"{text}."
    return f"{text}; {'all' if rest == len(words) else f'the other {rest}'} have too little data to tell."


def over_time(table: pd.DataFrame, model: str) -> str:
    """In which years the cumulative gain came, and how much of it in the last third of the cutoffs."""
    own = table[table["model"] == model].sort_values("cutoff") if not table.empty else table
    if own.empty:
        return ""
    whole = float(own["cumulative"].iloc[-1])
    by_year = own.groupby(own["cutoff"].dt.year)["difference"].sum()
    gains = dict(zip(by_year.index.astype(int).tolist(), by_year.astype(float).tolist(), strict=True))
    if len(gains) < 2:
        return f"{subject(model)} {'gained' if whole > 0 else 'lost'} over the whole test, all of it in {min(gains)}."
    if whole <= 0:
        best = max(gains, key=gains.__getitem__)
        return f"Over the whole test {phrase(model)} lost against the reference; its best year was {best}."
    kept, years = 0.0, list[int]()
    for year, gain in sorted(gains.items(), key=lambda item: -item[1]):
        if kept >= MOST_OF_IT * whole:
            break
        kept, years = kept + gain, [*years, year]
    lost = [year for year, gain in gains.items() if gain <= 0]
    text = f"{_share(kept / whole)} of the gain came in {spans(years)}"
    if lost:
        return f"{text}; none in {spans(lost)}."
    rest = [year for year in gains if year not in years]
    return f"{text}; a little in {spans(rest)}." if rest else f"The gain came in every year, {spans(years)}."


def spans(years: Sequence[int]) -> str:
    """Years as people list them: 2009 to 2012 and 2022."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return join([str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs])


def _share(share: float) -> str:
    return "Nearly all" if 0.9 <= share <= 1.1 else "More than all" if share > 1.1 else f"{100 * share:.0f}{THIN}%"


def coverage(row: Row | None, nominal: Sequence[str]) -> str:
    """Coverage of the intervals beside their nominal levels."""
    if row is None or not known(row.get("coverage_80")):
        return ""
    shares = [f"{percent(row[f'coverage_{level}'], 1)} in the {level}{THIN}% band" for level in nominal]
    off = 100 * row["coverage_80"] - 80
    size = f"{number(abs(off), 1)} points too {'wide' if off > 0 else 'narrow'}"
    return f"Outcomes inside: {join(shares)}. The 80{THIN}% band is {'on target' if abs(off) < 0.05 else size}."


def ticker(c: Contents, row: Row | None) -> str:
    """The verdict of one ticker as a sentence."""
    if row is None:
        return "No forecast of this ticker could be scored."
    if c.recommended == c.reference:
        return f"{subject(c.recommended)} is the reference: there is nothing to compare it with."
    if not known(row["low"]):
        why = c.untested(str(row["unique_id"])) or "not tested"
        return f"Skill against {phrase(c.reference)} {skill(row['skill'])}: {why}."
    word = {"better": "better", "worse": "worse"}.get(str(row["word"]))
    text = (
        f"Skill against {phrase(c.reference)} {skill(row['skill'])} {interval(row['low'], row['high'])}: "
        f"{f'{word} than it' if word else 'no evidence of skill on this ticker alone'} (q{THIN}{pvalue(row['q'])})."
    )
    if word is None and known(row["smallest_detectable"]):
        text += f" Less than {percent(row['smallest_detectable'], 1)} could not have been seen."
    return text


def fan(shown: Fan | None, ticker_name: str) -> str:
    """The newest forecast in one sentence."""
    if shown is None:
        return ""
    low, mid, high = (float(shown.path(q)[-1]) for q in ("q0.100", "q0.500", "q0.900"))
    start, steps_ahead = float(shown.quantiles_HQ[0, 0]), len(shown.dates) - 1
    unit = "bar" if shown.is_intraday else "session"
    return (
        f"{ticker_name} {price(start)} on {shown.labels[0]} → {price(mid)} by {shown.labels[-1]} "
        f"({percent(mid / start - 1, 1, True)}, {count(steps_ahead, unit)} ahead), "
        f"80{THIN}% range {price(low)} to {price(high)}."
        + (f" {_beyond(shown.trained_steps)}" if shown.trained_steps else "")
    )


def _beyond(trained: int) -> str:
    first = count(trained, "step")
    return f"From step {trained + 1} on it runs free: the model reads its own draws there and was trained on {first}."


def free_running(c: Contents) -> str:
    """Which models forecast beyond the steps they were trained on; empty where none does."""
    settings, horizon = c.study.experiment.forecasters, c.study.experiment.walk.horizon
    network = settings.seq2seq.training.horizon
    trained: dict[str, object] = {name: network for name in c.models if name in settings.networks}
    trained |= {name: settings.own.get(name, {}).get("horizon") for name in c.models if name.endswith(WORDS)}
    named = [
        f"{phrase(name)} was trained on {count(steps, 'step')}"
        for name, steps in trained.items()
        if isinstance(steps, int) and steps < horizon
    ]
    return f" Free running beyond the steps trained on: {'; '.join(named)}." if named else ""


def past(fans: Sequence[Fan]) -> str:
    """Count of past fans whose 80 % band covers the path's end."""
    inside = sum(bool(f.path("q0.100")[-1] <= f.realised[-1] <= f.path("q0.900")[-1]) for f in fans)
    return f"Evenly spaced in time: {inside} of {len(fans)} paths ended inside the 80{THIN}% band."


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
    cutoffs = sum(len(f.cutoffs) for f in plan)
    return (
        f"{count(len(plan), 'fit')}, {count(cutoffs, 'forecast date')}; no training outcome lies after its fit date. "
        f"Training windows are {walk.window}, with {count(walk.horizon, 'bar')} kept free between training and test."
    )


def weights(table: pd.DataFrame) -> str:
    """The blend's weights at the newest cutoff of each market, largest first."""
    if table.empty:
        return ""
    parts = []
    for market, mine in table.groupby("market", sort=True):
        newest = mine[mine["cutoff"] == mine["cutoff"].max()].sort_values("weight", ascending=False, kind="stable")
        named = [f"{phrase(str(m))} {100 * w:.0f} %" for m, w in zip(newest["member"], newest["weight"], strict=True)]
        parts.append(f"{market_name(str(market))}: {', '.join(named)}")
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
        f"{count(len(scored), 'ticker')}: a few of its dates may decide the verdict. Read the tickers one by one, or "
        "run without it."
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
