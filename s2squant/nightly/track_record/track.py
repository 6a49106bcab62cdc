"""Live record: coverage, CRPS skill, revisions and gaps of the issued forecasts, and live against the backtest.

The figures are those of a backtest's report, made from the ledger: averages over cutoff dates of the average over
tickers and steps, bands of an ideal forecaster (calibrated_null) around calibration, Diebold-Mariano with EWC around
skill. A live forecast is issued every session, so neighbouring cutoffs overlap by all steps but one; complete cutoffs
(every step scored) alone enter the skill, as the last ones know their first steps only.

Shape legend: U units (ticker, cutoff, step), P pairs (ticker, cutoff), S sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.models import RECALIBRATED, phrase
from s2squant.config.nightly import Monitoring
from s2squant.evaluation.calibration import BAND
from s2squant.evaluation.comparisons import relative_series
from s2squant.evaluation.losses import group_mean, relative_skill
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.results import Study, Word
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.nightly.results import Band, TrackRecord, noun_of
from s2squant.nightly.track_record.calibration import FEW, coverage, recent_pit, rolling_coverage
from s2squant.nightly.track_record.losses import (
    Outcomes,
    common_correlation,
    complete_cutoffs,
    groups,
    outcomes_of,
    whole,
)
from s2squant.nightly.track_record.revisions import revisions
from s2squant.series.arrays import table_dates

HIT_STEPS = (1, 5)
"""Steps of the hit table, beside the last."""
HIT_SESSIONS = 3
ALPHA = 0.05
DRAWS = 2000
_SEED = 20_261_120


def track(
    record: pd.DataFrame,
    gaps: pd.DataFrame,
    spec: Monitoring,
    *,
    recommended: str,
    reference: str,
    band: Band | None = None,
) -> TrackRecord:
    """The live record of the recommended model (its recalibrated row where there is one) against the reference.

    `record` as Ledger.record gives it (live rows only are read), `gaps` as Ledger.gaps. CRPS there is in log return.
    """
    live = record[record["reissue"] == 0] if "reissue" in record else record
    have = set(live["model"].unique()) if len(live) else set()
    model = recommended + RECALIBRATED if recommended + RECALIBRATED in have else recommended
    own = live[live["model"] == model]
    gaps = gaps[pd.to_datetime(gaps["cutoff"]) >= own["cutoff"].min()] if len(own) and len(gaps) else gaps
    schedule = _schedule(own, gaps)
    horizon = int(own["step"].max()) if len(own) else 0
    scored = outcomes_of(live, model, reference)
    alike = common_correlation(live, reference if reference in have else model)
    complete = complete_cutoffs(scored, horizon)
    skill = pd.DataFrame([r for m in (model, recommended) if m in have for r in _skill(live, m, reference)])
    if model == recommended and len(skill):
        skill = skill.drop_duplicates(["model", "group"], ignore_index=True)
    rolling = rolling_coverage(scored, spec.window, alike)
    cumulative = _cumulative(live, [m for m in (model, recommended, "anchor") if m in have], reference, schedule)
    head = _headline(skill, model)
    now = rolling[rolling["interval"] == 80]["coverage"].iloc[-1] if len(rolling) else np.nan
    mean = float(cumulative.loc[cumulative["model"] == model, "difference"].mean()) if len(cumulative) else np.nan
    revised, moved = revisions(own)
    inside = None if band is None or band.reason or not np.isfinite(mean) else bool(band.low <= mean <= band.high)
    return TrackRecord(
        model=model,
        recommended=recommended,
        reference=reference,
        window=spec.window,
        horizon=horizon,
        sessions=len(scored.sessions),
        noun=noun_of(table_dates(own["cutoff"])) if len(own) else "session",
        cutoffs=own["cutoff"].nunique(),
        complete=complete,
        issued=int(schedule["issued"].sum()) if len(schedule) else 0,
        due=int(schedule["due"].sum()) if len(schedule) else 0,
        sentence=_sentence(scored, schedule, head, rolling, model, reference, _untested(skill, model, horizon)),
        word=_word(head),
        coverage_now=float(now),
        band=band,
        live_mean=mean,
        inside=inside,
        against=_against(band, mean, inside, complete),
        revision_sentence=moved,
        coverage=coverage(scored, model, alike),
        rolling=rolling,
        skill=skill,
        pit=recent_pit(scored, spec.window, alike),
        hits=_hits(own),
        cumulative=cumulative,
        by_ticker=_by_ticker(scored, own, gaps, spec.window),
        revisions=revised,
        schedule=schedule,
    )


def band_of(study: Study, n: int, model: str, reference: str) -> Band:
    """Where the mean gain over `n` live cutoffs would lie if the backtest's held: a circular block bootstrap.

    Live cutoffs follow session by session, the backtest's `walk.every` bars apart: as many of these are drawn as span
    n sessions, in blocks of two horizons. The forecast of every bar in between is taken to earn what they earn.
    """
    over = study.over_time
    own = over[(over["model"] == model) & (over["unique_id"] == "all")] if len(over) else over
    gains = own["difference"].to_numpy(float) if len(own) else np.empty(0)
    gains = gains[np.isfinite(gains)]
    walk = study.experiment.walk
    reason = ""
    if study.experiment.verdict.reference != reference:
        reason = f"the backtest's reference is {study.experiment.verdict.reference}, the live one {reference}"
    elif len(gains) < dm.MIN_CUTOFFS:
        reason = f"the backtest holds {len(gains)} scored cutoffs of {model}, at least {dm.MIN_CUTOFFS} are needed"
    elif n < 1:
        reason = "no live cutoff is complete yet"
    mean = float(gains.mean()) if len(gains) else np.nan
    if reason:
        return Band(n, np.nan, np.nan, mean, len(gains), study.run_id, reason)
    drawn = max(1, round(n / walk.every))
    block = min(max(1, -(-2 * walk.horizon // walk.every)), len(gains))
    blocks = -(-drawn // block)
    starts = np.random.default_rng(_SEED).integers(0, len(gains), (DRAWS, blocks))
    place = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :drawn] % len(gains)
    low, high = np.quantile(gains[place].mean(axis=1), BAND)
    return Band(n, float(low), float(high), mean, len(gains), study.run_id)


def _schedule(own: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """Forecasts issued and due by cutoff date; gaps count as due."""
    issued = own.drop_duplicates(["unique_id", "cutoff"]).groupby("cutoff").size()
    by_date = gaps["kind"].groupby(pd.to_datetime(gaps["cutoff"]).astype("datetime64[s]"))
    kinds = {
        cutoff: ", ".join(f"{many} {kind}" for kind, many in part.value_counts().items()) for cutoff, part in by_date
    }
    dates = pd.DatetimeIndex(issued.index.union(pd.DatetimeIndex(kinds)))
    table = pd.DataFrame({"cutoff": dates.to_numpy().astype("datetime64[s]")})
    table["issued"] = issued.reindex(dates, fill_value=0).to_numpy(int)
    table["due"] = table["issued"] + by_date.size().reindex(dates, fill_value=0).to_numpy(int)
    return table.assign(share=table["issued"] / table["due"], kinds=[kinds.get(date, "") for date in dates])


def _skill(live: pd.DataFrame, model: str, reference: str) -> list[dict[str, Any]]:
    s = outcomes_of(live, model, reference)
    horizon = int(live.loc[live["model"] == model, "step"].max())
    rows = []
    for name, units in groups(s, horizon).items():
        units = whole(s, units[np.isfinite(s.base_U[units])])
        if not len(units):
            continue
        dates, date_of = np.unique(s.cutoff_U[units], return_inverse=True)
        overlap = int(s.step_U[units].max())
        pool = Pool("all", "all", name, units, date_of, len(dates), overlap, len(dates) / overlap)
        loss, base = s.crps_U[units], s.base_U[units]
        mean_skill, series = relative_series(loss, base, s.ticker_U[units], pool)
        tested = dm.examine(series, overlap)
        row = {"model": model, "group": name, "crps": float(loss.mean()), "crps_reference": float(base.mean())}
        row |= {"skill": mean_skill, "effect": tested.mean, "low": tested.low, "high": tested.high}
        row |= {"p": np.nan if tested.reason else tested.p, "n": len(dates), "n_eff": max(pool.n_eff, 1.0)}
        rows.append(row | {"reason": tested.reason})
    return rows


def _cumulative(live: pd.DataFrame, models: Sequence[str], reference: str, schedule: pd.DataFrame) -> pd.DataFrame:
    """The gain of every complete cutoff, and of those without a forecast none: NaN, so that a line breaks there."""
    parts = []
    for model in dict.fromkeys(models):
        s = outcomes_of(live, model, reference)
        horizon = int(live.loc[live["model"] == model, "step"].max())
        units = whole(s, np.flatnonzero(np.isfinite(s.base_U))) if len(s) and s.step_U.max() == horizon else None
        if units is None or not len(units):
            continue
        dates, date_of = np.unique(s.cutoff_U[units], return_inverse=True)
        gain = pd.Series(
            group_mean(s.base_U[units] - s.crps_U[units], date_of, len(dates)), s.cutoffs[dates].astype("datetime64[s]")
        )
        within = schedule["cutoff"][(schedule["cutoff"] >= gain.index[0]) & (schedule["cutoff"] <= gain.index[-1])]
        gain = gain.reindex(gain.index.union(pd.DatetimeIndex(within)))
        columns = {"model": model, "cutoff": gain.index, "difference": gain.to_numpy(), "cumulative": gain.cumsum()}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _hits(own: pd.DataFrame) -> pd.DataFrame:
    """The newest outcomes at steps 1, 5 and the last, in prices on the basis at issue."""
    known = own[own["y"].notna()]
    if known.empty:
        return pd.DataFrame()
    recent = np.sort(known["ds"].unique())[-HIT_SESSIONS:]
    rows = known[known["ds"].isin(recent) & known["step"].isin({*HIT_STEPS, int(own["step"].max())})]
    rows = rows.sort_values(["ds", "step", "unique_id"], ascending=[False, True, True], ignore_index=True)
    table = rows[["unique_id", "cutoff", "ds", "step"]].copy()
    for name, column in {"price": "y", "median": "q0.500", "low": "q0.100", "high": "q0.900"}.items():
        table[name] = rows["close"].to_numpy(float) * np.exp(rows[column].to_numpy(float))
    inside = (rows["y"] >= rows["q0.100"]) & (rows["y"] <= rows["q0.900"])
    return table.assign(inside=inside, pit=rows["pit"])


def _by_ticker(s: Outcomes, own: pd.DataFrame, gaps: pd.DataFrame, window: int) -> pd.DataFrame:
    issued, missing = own.groupby("unique_id")["cutoff"].nunique(), gaps.groupby("ticker").size()
    recent = s.session_U >= len(s.sessions) - window
    size = len(s.tickers)
    both = recent & np.isfinite(s.base_U)
    loss, base = (group_mean(x[both], s.ticker_U[both], size) for x in (s.crps_U, s.base_U))
    covered = group_mean(s.inside(80)[recent], s.ticker_U[recent], size)
    days = pd.Series(s.session_U[recent]).groupby(s.ticker_U[recent]).nunique().reindex(range(size), fill_value=0)
    figures = {"skill": relative_skill(loss, base), "coverage_80": covered, "sessions": days.to_numpy(int)}
    table = pd.DataFrame(figures, index=list(s.tickers))
    table.loc[table["sessions"] < FEW, ["skill", "coverage_80"]] = np.nan
    names = sorted({*issued.index, *missing.index})
    table = table.reindex(names)
    table["sessions"] = table["sessions"].fillna(0).astype(int)
    table["issued"] = issued.reindex(names, fill_value=0).to_numpy(int)
    table["due"] = table["issued"] + missing.reindex(names, fill_value=0).to_numpy(int)
    table["share"] = table["issued"] / table["due"]
    return table.rename_axis("unique_id").reset_index()


def _headline(skill: pd.DataFrame, model: str) -> dict[str, Any] | None:
    """The row of all steps, or of the first group that could be tested."""
    own = [r for r in skill.to_dict("records") if r["model"] == model] if len(skill) else []
    own.sort(key=lambda r: bool(r["reason"]))
    return {str(k): v for k, v in own[0].items()} if own else None


def _untested(skill: pd.DataFrame, model: str, horizon: int) -> str:
    """Why the skill over all steps could not be tested; empty when it was."""
    rows = skill[(skill["model"] == model) & (skill["group"] == "all")].to_dict("records") if len(skill) else []
    if not rows:
        return f"no cutoff is complete to {horizon}"
    n, needed = int(rows[0]["n"]), dm.fewest(horizon)
    if n < needed:
        return f"{n} cutoff{' is' if n == 1 else 's are'} complete to {horizon}, {needed} are needed"
    return str(rows[0]["reason"])


def _word(head: dict[str, Any] | None) -> Word:
    if head is None or head["reason"] or not head["p"] < ALPHA:
        return "no evidence"
    return "better" if head["effect"] > 0 else "worse"


def _sentence(
    s: Outcomes,
    schedule: pd.DataFrame,
    head: dict[str, Any] | None,
    rolling: pd.DataFrame,
    model: str,
    reference: str,
    untested: str,
) -> str:
    if not len(schedule):
        return "No forecast is in the record yet."
    issued, due = int(schedule["issued"].sum()), int(schedule["due"].sum())
    first = str(schedule["cutoff"].iloc[0])[:10]
    begin = f"Since {first} {issued:,} of {due:,} due forecasts were issued ({100 * issued / due:.0f} %)"
    many = len(s.sessions)
    if many < FEW:
        noun = noun_of(s.sessions)
        scored = f"{many} {noun}{'' if many == 1 else 's'} scored" if many else f"no {noun} is scored yet"
        return f"{begin}; {scored}: too few to say anything."
    last = rolling[rolling["interval"] == 80].iloc[-1]
    text = (
        f"{begin}. Over the last {int(last['sessions'])} {noun_of(s.sessions)}s the 80 % intervals held "
        f"{100 * last['coverage']:.0f} %, where an ideal forecaster's hold {100 * last['band_low']:.0f} to "
        f"{100 * last['band_high']:.0f} %. "
    )
    if head is None or head["reason"]:
        return text + f"CRPS skill cannot be tested yet: {untested if head else 'the reference lacks outcomes'}."
    word = {"better": "better", "worse": "worse", "no evidence": "no evidence of a difference"}[_word(head)]
    which = "over all steps"
    if head["group"] != "all":
        which = f"at step{'s' if '-' in head['group'] else ''} {head['group']}"
        word += f" {which}. Over all steps it cannot be tested yet: {untested}"
    return text + (
        f"CRPS skill of {phrase(model.removesuffix(RECALIBRATED))} against {phrase(reference)} {which}: "
        f"{100 * head['effect']:+.2f} % [{100 * head['low']:+.2f}, {100 * head['high']:+.2f}] "
        f"({head['n']} cutoffs, effectively {head['n_eff']:.0f}): {word}."
    )


def _against(band: Band | None, mean: float, inside: bool | None, complete: int) -> str:
    if band is None:
        return "No backtest is named to hold the live record against (`backtest` in the nightly's settings)."
    if band.reason:
        return f"The live record cannot be held against the backtest: {band.reason}."
    if inside is None:
        return f"{complete} live cutoffs are complete: too few to hold against the backtest."
    place = "inside" if inside else "above" if mean > band.high else "below"
    return (
        f"Live gain {mean:+.4f} % log return a cutoff over {complete} cutoffs, {place} the "
        f"[{band.low:+.4f}, {band.high:+.4f}] in which a mean like the "
        f"backtest's ({band.mean:+.4f}) lies 95 times in 100."
    )
