"""Verdicts of a run, its sentence, and the tables of the leaderboard.

`judge` is the one verb. Every model is compared with the reference; the recommended one also with the best baseline
and with the rival that was named before the run; every network and blend also with the anchor it started from, because
any claim for a network is made against its own anchor; the recalibrated one also with the recommended one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.errors import CallerError
from s2squant.evaluation.comparisons import VERDICT_COLUMNS, compare, variance_shares
from s2squant.evaluation.losses import INTERVALS, Losses, group_mean, relative_skill
from s2squant.evaluation.pools import Pool, pools
from s2squant.evaluation.results import Word
from s2squant.evaluation.wording import overall_word, sentence_of, written_rule
from s2squant.series.arrays import Floats, Ints

COVERAGE: tuple[str, ...] = tuple(f"coverage_{c}" for c in INTERVALS)
PART_COLUMNS = ("location", "location_low", "location_high", "shape", "shape_low", "shape_high")


@dataclass(frozen=True)
class Judgement:
    """The verdicts of a run and the tables beside them; columns as in Study."""

    verdicts: pd.DataFrame
    leaderboard: pd.DataFrame
    by_step: pd.DataFrame
    by_ticker: pd.DataFrame
    by_ticker_step: pd.DataFrame
    over_time: pd.DataFrame
    sentence: str
    word: Word
    rule: str
    best_baseline: str


def judge(
    losses: Losses,
    *,
    every: int,
    horizon: int,
    spec: VerdictSpec,
    kinds: Mapping[str, str],
    markets: Mapping[str, str],
) -> Judgement:
    """Test, word and tabulate the losses of a run.

    `every` (bars between cutoffs) and `horizon` (bars) set how far labels overlap. `kinds` names each model's kind
    (reference, baseline, anchor, network, blend), `markets` each ticker's market. Raises CallerError when the
    reference has no forecasts; ValueError when a model has no kind or a ticker no market.
    """
    _refuse_unknown("kind", losses.models, kinds)
    _refuse_unknown("market", losses.tickers, markets)
    if spec.reference not in losses.models:
        raise CallerError(f"the reference {spec.reference} has no forecasts; name another as verdict.reference")
    best = _best_baseline(losses, spec, kinds)
    anchors = [m for m in losses.models if kinds[m] == "anchor"]
    pairs: list[tuple[str, str]] = [(m, spec.reference) for m in losses.models]
    measures = tuple(m for m in dict.fromkeys((spec.reference, best, spec.rival)) if m in losses.models)
    if spec.recommended in losses.models:
        pairs += [(spec.recommended, m) for m in measures if m != spec.recommended]
    pairs += [(m, a) for m in losses.models if kinds[m] in ("network", "blend") for a in anchors]
    pairs += [(m, spec.recommended) for m in losses.models if kinds[m] == "recalibrated"]
    all_pools = pools(losses, every=every, horizon=horizon, markets=markets)
    rows = compare(losses, all_pools, dict.fromkeys(pairs), spec)
    against = rows[rows["benchmark"] == spec.reference]
    return Judgement(
        verdicts=rows.loc[rows["challenger"] != rows["benchmark"], list(VERDICT_COLUMNS)].reset_index(drop=True),
        leaderboard=_leaderboard(losses, against, spec, kinds),
        by_step=_by_step(losses, against),
        by_ticker=_by_ticker(losses, against, all_pools[0], spec),
        by_ticker_step=_by_ticker_step(losses, spec),
        over_time=_over_time(losses, spec),
        sentence=sentence_of(rows, spec, best, losses.dropped),
        word=overall_word(rows, spec, measures),
        rule=written_rule(spec),
        best_baseline=best,
    )


def _best_baseline(losses: Losses, spec: VerdictSpec, kinds: Mapping[str, str]) -> str:
    """The baseline with the lowest mean over tickers of CRPS relative to the reference, after the fact."""
    names = [m for m in losses.models if kinds[m] in ("reference", "baseline") and m != spec.recommended]
    skills = {m: float(np.nanmean(s)) for m in names if np.isfinite(s := _skill_by_ticker(losses, m, spec)).any()}
    return max(skills, key=skills.__getitem__) if skills else spec.reference


def _skill_by_ticker(losses: Losses, model: str, spec: VerdictSpec) -> Floats:
    size = len(losses.tickers)
    loss, base = (group_mean(losses.of(m), losses.ticker_U, size) for m in (model, spec.reference))
    return relative_skill(loss, base)


def _mean(values: Floats) -> float:
    """Mean of the known values; NaN when there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _leaderboard(losses: Losses, against: pd.DataFrame, spec: VerdictSpec, kinds: Mapping[str, str]) -> pd.DataFrame:
    scored = np.unique(losses.ticker_U)
    table = pd.DataFrame(
        {
            "model": losses.models,
            "kind": [kinds[m] for m in losses.models],
            "crps": losses.crps_UK.mean(axis=0),
            "skill": [float(_mean(_skill_by_ticker(losses, m, spec)[scored])) for m in losses.models],
            "won": [float((_skill_by_ticker(losses, m, spec)[scored] > 0).mean()) for m in losses.models],
            **dict(zip(COVERAGE, losses.coverage_KB.T, strict=True)),
        }
    )
    names = {
        "challenger": "model", "effect": "effect", "low": "effect_low", "high": "effect_high",
        **{column: column for column in PART_COLUMNS},
        "statistic": "dm_t", "p": "dm_p", "n": "n", "n_eff": "n_eff",
    }  # fmt: skip
    pooled = against.loc[against["family"] == "all", list(names)].rename(columns=names)
    untested = pooled["dm_t"].isna() | (pooled["model"] == spec.reference)
    pooled.loc[untested, ["dm_t", "dm_p"]] = np.nan
    order = [
        "model", "kind", "crps", "skill", "effect", "effect_low", "effect_high", *PART_COLUMNS, "won", *COVERAGE,
        "dm_t", "dm_p", "n", "n_eff",
    ]  # fmt: skip
    return table.merge(pooled, on="model", validate="1:1")[order].sort_values("crps", ignore_index=True)


def _by_step(losses: Losses, against: pd.DataFrame) -> pd.DataFrame:
    steps, step_of = np.unique(losses.step_U, return_inverse=True)
    means = _means(losses, step_of, len(steps)).assign(step=lambda t: steps[t["group"]])
    rows = against[against["family"] == "step"].assign(step=lambda t: t["step"].astype(int))
    rows = rows.rename(columns={"challenger": "model", "effect": "skill"})[["model", "step", "skill", "low", "high"]]
    return means.merge(rows, on=["model", "step"], validate="1:1")[
        ["model", "step", "crps", "skill", "low", "high", *COVERAGE]
    ]


def _by_ticker(losses: Losses, against: pd.DataFrame, whole: Pool, spec: VerdictSpec) -> pd.DataFrame:
    tickers = np.array(losses.tickers, object)
    means = _means(losses, losses.ticker_U, len(tickers)).assign(unique_id=lambda t: tickers[t["group"]])
    names = {"challenger": "model", "pool": "unique_id", "effect": "skill", "p_adjusted": "q"}
    columns = ["model", "unique_id", "skill", "low", "high", "p", "q", "n", "n_eff", "smallest_detectable", "word"]
    rows = against[against["family"] == "ticker"].rename(columns=names)[columns]
    table = rows.merge(means, on=["model", "unique_id"], validate="1:1")
    base = losses.of(spec.reference)
    shares = {m: variance_shares(losses.of(m), base, losses.ticker_U, whole, len(tickers)) for m in losses.models}
    table["variance_share"] = [shares[m][g] for m, g in zip(table["model"], table["group"], strict=True)]
    return table[["model", "unique_id", "crps", *columns[2:], *COVERAGE, "variance_share"]]


def _by_ticker_step(losses: Losses, spec: VerdictSpec) -> pd.DataFrame:
    steps, step_of = np.unique(losses.step_U, return_inverse=True)
    tickers = np.array(losses.tickers, object)
    table = _means(losses, losses.ticker_U * len(steps) + step_of, len(tickers) * len(steps))
    base = table.loc[table["model"] == spec.reference].set_index("group")["crps"]
    table["skill"] = relative_skill(table["crps"].to_numpy(), table["group"].map(base).to_numpy())
    table["unique_id"], table["step"] = tickers[table["group"] // len(steps)], steps[table["group"] % len(steps)]
    return table[["model", "unique_id", "step", "crps", "skill", "coverage_80"]]


def _over_time(losses: Losses, spec: VerdictSpec) -> pd.DataFrame:
    """CRPS of the reference minus the model's by cutoff (% log return, mean over steps), and its running sum."""
    size = len(losses.cutoffs)
    parts = []
    for model in (m for m in losses.models if m != spec.reference):
        difference = losses.of(spec.reference) - losses.of(model)
        pooled = group_mean(difference, losses.cutoff_U, size)
        single = group_mean(difference, losses.ticker_U * size + losses.cutoff_U, len(losses.tickers) * size)
        value = np.concatenate([pooled, single])
        group = np.flatnonzero(np.isfinite(value))
        names = np.array(["all", *losses.tickers], object)[group // size]
        columns = {
            "model": model,
            "unique_id": names,
            "cutoff": losses.cutoffs[group % size],
            "difference": value[group],
        }
        parts.append(pd.DataFrame(columns))
    empty = pd.DataFrame({"model": [], "unique_id": [], "cutoff": losses.cutoffs[:0], "difference": np.empty(0)})
    table = pd.concat(parts, ignore_index=True) if parts else empty
    return table.assign(cumulative=table.groupby(["model", "unique_id"], sort=False)["difference"].cumsum())


def _means(losses: Losses, group_U: Ints, size: int) -> pd.DataFrame:
    """Mean CRPS and coverage of every model on every non-empty group of common units."""
    filled = np.flatnonzero(np.bincount(group_U, minlength=size))
    parts = []
    for k, model in enumerate(losses.models):
        columns = {"crps": losses.crps_UK[:, k], **dict(zip(COVERAGE, losses.covered_UKB[:, k].T, strict=True))}
        means = {name: group_mean(values, group_U, size)[filled] for name, values in columns.items()}
        parts.append(pd.DataFrame({"model": model, "group": filled, **means}))
    return pd.concat(parts, ignore_index=True)


def _refuse_unknown(what: str, names: tuple[str, ...], given: Mapping[str, str]) -> None:
    unknown = [n for n in names if n not in given]
    if unknown:
        raise ValueError(f"no {what} given for {', '.join(unknown)}")
