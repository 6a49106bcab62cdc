"""Drift monitor of the issued forecasts: an e-process, valid at every session (anytime Type I error alpha).

H0: every forecast is calibrated given all that was known when it was issued. A gambler who may bet a part of his money
on each outcome, at odds fair under H0, cannot expect to gain, whenever he stops; that his capital ever reaches
1 / alpha has probability alpha at most (Ville 1939). A daily test at 5 % has no such bound: it ends in an alarm.

One bet a market, step and session, on three bounded scores whose mean under H0 is exactly 0, averaged over the
session's tickers (their dependence does not matter: only the mean is bet on):
- coverage: share inside the 80 % interval, less 0.8
- location: rank of the outcome among the 39 quantiles, centred
- spread: its distance from the middle, centred

Bets (Waudby-Smith and Ramdas 2024, section 4): fixed shares FRACTIONS of what could be lost, on both sides, mixed. Half
of the capital bets from the first session on, the rest is handed out over time, so that a drift after a long good time
is not fought with what that time has lost (a mixture over the start, as in Shin, Ramdas and Rinaldo 2024).

More than one step ahead outcomes overlap. The sessions of a market then form `step` interleaved chains; in a chain a
bet is settled before the next is placed, so each chain is a test martingale in the filtration of its own issue times,
and their average has mean 1 at most at every fixed time (Arnold, Henzi and Ziegel 2023). It is no e-process when read
every session, since an open bet may look better than its fair value; merging chains under any dependence would cost a
factor e log(step) (Vovk and Wang 2020). Here an *open bet counts as lost*: that is never more than the chain's
capital once the bet is settled, and the number of bets placed so far is a stopping time of the chain. So the average
is an e-process in the filtration of everything, of any markets and steps, and Ville's bound holds as it stands.

What it assumes: the markets and steps are those named at the start; a missing outcome is not missing because of its
value; quantiles are continuous. Every restart (`since`) may raise one more false alarm with probability alpha.

Shape legend: R records side by side, T issue dates of a market, S sessions, C scores, J bets, K chains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from s2squant.config.nightly import Monitoring
from s2squant.evaluation.losses import group_mean
from s2squant.evaluation.statistics.ideal_forecaster import BINS
from s2squant.nightly.results import Monitor, noun_of, shown_date, text_of
from s2squant.series.arrays import Dates, Floats, Ints, table_dates

NOMINAL = 0.8
EDGE = round(BINS * (1.0 - NOMINAL) / 2.0)
"""Bins of the PIT on each side of the interval."""
SCORES: tuple[str, ...] = ("coverage", "location", "spread")
BOUNDS_C2: Floats = np.array([[-NOMINAL, 1.0 - NOMINAL], [-0.4875, 0.4875], [-0.475, 0.475]])
"""Least and greatest value of each score."""
FRACTIONS: Floats = np.array([0.12, 0.35, 0.75])
"""Shares of the capital that a bet can lose at most."""
AT_ONCE = 0.5
"""Share of the capital that bets from the start."""
PACE = 100.0
"""Sessions after which half of the rest has been handed out."""
STEPS = (1, 5)
"""Steps watched, beside the last one."""
FIRST_STEP = 0.5
"""Weight of step 1; the others share the rest."""

LOST_J: Floats = np.tile(FRACTIONS, 2)
BETS_CJ: Floats = np.concatenate([FRACTIONS / -BOUNDS_C2[:, :1], -FRACTIONS / BOUNDS_C2[:, 1:]], axis=1)
"""What a unit of each score pays: bets on a high score, then on a low one."""


@dataclass(frozen=True)
class Stream:
    """The forecasts of one market and step, oldest first: issued, due (T,), scores (T, C), NaN where nothing came."""

    market: str
    step: int
    issued: Dates
    due: Dates
    scores_TC: Floats


def watch(record: pd.DataFrame, spec: Monitoring, *, model: str, since: date | None = None) -> Monitor:
    """Watch the live record of `model`, from forecasts issued on `since` or later; columns as Ledger.record gives them.

    Sessions are target dates (ds). Needs model, market, cutoff, ds, step and pit; rows without an outcome are open
    bets, or no bets where an outcome of their session has come and theirs has not.
    """
    rows = record[record["model"] == model]
    if since is not None:
        rows = rows[rows["cutoff"] >= pd.Timestamp(since)]
    known = rows[rows["pit"].notna()]
    sessions = np.unique(table_dates(known["ds"]))
    if not len(sessions):
        text = "Nothing to watch yet: no outcome has come" + (f" since {since}." if since else ".")
        empty = pd.DataFrame({"session": sessions, "covered": [], "n": [], "e_value": []})
        return Monitor(model, spec.alpha, False, 1.0, text, text_of(since), by_session=empty)
    streams = list(streams_of(rows))
    markets = {stream.market for stream in streams}
    weights = step_weights(sorted({stream.step for stream in streams}))
    total_S, parts = np.zeros(len(sessions)), {}
    for stream in streams:
        e_SC = evidence(
            stream.scores_TC[None], stream.issued, stream.due, stream.step, sessions, alone=len(markets) < 2
        )
        e_SC = e_SC[0]
        total_S += weights[stream.step] / len(markets) * e_SC.mean(axis=1)
        for name, e_S in zip(SCORES, e_SC.T, strict=True):
            parts[_part(name, stream, markets)] = float(e_S[-1])
    over = np.flatnonzero(total_S >= 1.0 / spec.alpha)
    day = np.searchsorted(sessions, known["ds"].to_numpy())
    inside = _inside(_bins(known["pit"].to_numpy(float)))
    by_session = pd.DataFrame(
        {
            "session": sessions.astype("datetime64[s]"),
            "covered": group_mean(inside, day, len(sessions)),
            "n": np.bincount(day, minlength=len(sessions)),
            "e_value": total_S,
        }
    )
    first = str(sessions[over[0]]) if len(over) else ""
    sentence = _sentence(total_S, sessions, first, spec, streams)
    return Monitor(
        model, spec.alpha, bool(len(over)), float(total_S[-1]), sentence, text_of(since), first, parts, by_session
    )


def step_weights(steps: Sequence[int]) -> dict[int, float]:
    """The weight of each step watched: FIRST_STEP for step 1, the rest shared."""
    others = [s for s in steps if s != 1]
    if 1 not in steps or not others:
        return dict.fromkeys(steps, 1.0 / len(steps))
    return {1: FIRST_STEP} | dict.fromkeys(others, (1.0 - FIRST_STEP) / len(others))


def streams_of(rows: pd.DataFrame) -> Iterator[Stream]:
    """The streams of one model's record: every market at steps 1, 5 and the last."""
    watched = {*STEPS, int(rows["step"].max())}
    rows = rows[rows["step"].isin(watched)].sort_values(["market", "step"], kind="stable")
    for (market, _), part in rows.groupby(["market", "step"], sort=False):
        issued, origin = np.unique(table_dates(part["cutoff"]), return_inverse=True)
        ends = table_dates(part["ds"])
        due = np.zeros(len(issued), "int64")
        np.maximum.at(due, origin, ends.astype("int64"))
        pit = part["pit"].to_numpy(float)
        come = np.isfinite(pit)
        scores = np.stack([group_mean(s, origin[come], len(issued)) for s in session_scores(pit[come]).T], axis=1)
        yield Stream(str(market), int(part["step"].iloc[0]), issued, due.astype(ends.dtype), scores)


def session_scores(pit: Floats) -> Floats:
    """The scores (..., C) of PIT values (...), read off the quantile grid: mean 0 where the quantiles are right."""
    rank = _bins(pit)
    centred = (rank + 0.5) / BINS - 0.5
    return np.stack([_inside(rank) - NOMINAL, centred, 2.0 * np.abs(centred) - 0.5], axis=-1)


def evidence(
    scores_RTC: Floats, issued_T: Dates, due_T: Dates, lag: int, sessions_S: Dates, *, alone: bool = True
) -> Floats:
    """The e-process (R, S, C) of forecasts of one market `lag` sessions ahead, as it stands after each session.

    NaN scores are no bets. A bet that overlaps its chain's previous one (`issued` before that one is due) is none
    either. With several markets (`alone` False) a bet counts as open on its day of issue already: other markets may
    still trade on that day.
    """
    records, issues, kinds = scores_RTC.shape
    rounds = -(-issues // lag)
    scores = np.full((records, rounds * lag, kinds), np.nan)
    scores[:, :issues] = scores_RTC
    late = np.flatnonzero(issued_T[lag:] < due_T[:-lag]) + lag
    scores[:, late] = np.nan
    coming = due_T > sessions_S[-1]
    coming[late] = False
    risked = np.zeros(rounds * lag, bool)
    risked[:issues] = coming
    scores, risked = scores.reshape(records, rounds, lag, kinds), risked.reshape(rounds, lag)

    reserve = (1.0 - AT_ONCE) * PACE / (PACE + lag * np.arange(rounds))  # not yet handed out, after each round
    given = -np.diff(reserve, prepend=1.0)
    stake = np.zeros((records, lag, kinds, len(LOST_J)))
    settled = np.empty((records, rounds, lag, kinds))
    opened = np.empty_like(settled)
    for n in range(rounds):
        stake += given[n]
        score = scores[:, n]
        none = np.isnan(score)
        risk = ~none | risked[n][:, None]
        whole = stake.mean(axis=-1)
        opened[:, n] = reserve[n] + np.where(risk, (stake * (1.0 - LOST_J)).mean(axis=-1), whole)
        stake *= 1.0 + BETS_CJ * np.where(none, 0.0, score)[..., None]
        settled[:, n] = reserve[n] + stake.mean(axis=-1)

    total = np.zeros((records, len(sessions_S), kinds))
    for k in range(min(lag, issues)):
        issued, due = issued_T[k::lag], np.maximum.accumulate(due_T[k::lag])
        placed = np.searchsorted(issued, sessions_S, side="left" if alone else "right")
        ended = np.minimum(np.searchsorted(due, sessions_S, side="right"), placed)
        place = np.minimum(ended, len(issued) - 1)
        now = np.where((ended > 0)[:, None], settled[:, np.maximum(ended - 1, 0), k], 1.0)
        total += np.where((placed > ended)[:, None], opened[:, place, k], now)
    return np.asarray((total + max(lag - issues, 0)) / lag)


def _bins(pit: Floats) -> Ints:
    """How many of the 39 quantiles lie below each outcome: 0 .. 39, equally likely under H0."""
    return np.asarray(np.clip(np.floor(np.asarray(pit, float) * BINS), 0, BINS - 1).astype(np.intp))


def _inside(rank: Ints) -> Floats:
    return ((rank >= EDGE) & (rank < BINS - EDGE)).astype(float)


def _part(name: str, stream: Stream, markets: set[str]) -> str:
    where = f", {stream.market}" if len(markets) > 1 else ""
    return f"{name}, step {stream.step}{where}"


def _sentence(total_S: Floats, sessions: Dates, first: str, spec: Monitoring, streams: Sequence[Stream]) -> str:
    needed = 1.0 / spec.alpha
    many = f"{len(sessions)} {noun_of(sessions)}{'s' if len(sessions) > 1 else ''} since {shown_date(sessions[0])}"
    if not first:
        return (
            f"No drift: the evidence against calibration stands at {_short(total_S[-1])} after {many}; "
            f"the alarm comes at {_short(needed)}."
        )
    return (
        f"DRIFT: the evidence against calibration reached {_short(needed)} on {shown_date(np.datetime64(first))} and "
        f"stands at {_short(total_S[-1])} after {many}; one step ahead {_complaint(streams)}."
    )


def _complaint(streams: Sequence[Stream]) -> str:
    """What the outcomes one step ahead have been like, in words."""
    nearest = min(stream.step for stream in streams)
    scores = np.concatenate([s.scores_TC[np.isfinite(s.scores_TC[:, 0])] for s in streams if s.step == nearest])
    if not len(scores):
        return "nothing has come yet"
    covered, place, _ = scores.mean(axis=0)
    side = "the middle" if abs(place) < 0.02 else "above the median" if place > 0 else "below the median"
    lying = f"lay on average at the {_ordinal(100 * (place + 0.5))} percentile, {side}"
    return f"the 80 % intervals held {100 * (covered + NOMINAL):.0f} % and outcomes {lying}"


def _ordinal(value: float) -> str:
    whole = round(value)
    ending = "th" if whole // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending}"


def _short(value: float) -> str:
    if value > 1e6:
        return "over a million"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
