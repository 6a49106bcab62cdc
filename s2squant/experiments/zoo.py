"""The zoo: every structure of the family on the same prices, walk-forward, beside the same baselines and anchor.

Resumable: each fit is a part in `out`/parts, and a part that is there is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.config.models import Forecasters
from s2squant.evaluation.comparisons import compare
from s2squant.evaluation.losses import Losses, score
from s2squant.evaluation.pools import pools
from s2squant.experiments.members import BASE, Member, members
from s2squant.experiments.result import Progress, Result
from s2squant.experiments.zoo_likelihood import (
    STUDENT,
    UNTRAINED,
    known_rows,
    likelihood_table,
    nats_by_date,
    student_likelihood,
    true_likelihood,
    words_of,
)
from s2squant.experiments.zoo_result import zoo_result
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.fitting import TRAINING_COLUMNS
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.forecasters.return_tokens import FittedReturnTokens, ReturnTokens
from s2squant.forecasters.scenario_paths import FittedScenarioPaths, Scenarios
from s2squant.runs.engines.local import map_jobs
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, load_fitted, perform
from s2squant.runs.plan import Plan, make_plan
from s2squant.series.forecast import Fitted, Forecaster
from s2squant.series.long_table import to_frame
from s2squant.series.windows import test_rows, train_rows

REFERENCES = ("historical_simulation", "garch_t", "anchor")


@dataclass(frozen=True)
class Fit:
    """One member in one market and fold: the unit of work, and of resuming."""

    member: str
    market: str
    fold: int

    @property
    def key(self) -> str:
        return f"{self.member}:{self.market}:{self.fold}"


def run(progress: Progress, *, out: Path, quick: bool = False, seed: int = 0, workers: int | None = None) -> Result:
    """Fit what is not there yet, score everything on common units, and compare in pairs, date by date."""
    started = time.perf_counter()
    experiment = zoo_experiment(quick=quick, seed=seed)
    plan, family = make_plan(experiment), members()
    folder = RunFolder(out / ("parts-quick" if quick else "parts"))
    folder.claim(
        {
            "experiment": experiment.model_dump(mode="json"),
            "members": [[m.name, m.model, m.changes] for m in family],
            "version": __version__,
        }
    )
    try:
        _carry_out(Inputs(experiment, plan.panels, plan.folds, plan.sessions, folder), progress, workers)
        progress("scoring", 0.97)
        forecasts, costs, nats = _collect(plan, folder)
        losses = score(forecasts)
    finally:
        folder.release()
    table = ranking(losses, costs, experiment, plan)
    table["group"] = table["model"].map({m.name: m.group for m in family}).fillna("reference")
    likelihood = likelihood_table(nats, ceil(experiment.walk.horizon / experiment.walk.every))
    result = zoo_result(table, skill_by_step(losses), likelihood, experiment, quick=quick)
    seconds = round(time.perf_counter() - started, 1)
    return replace(result, numbers={**result.numbers, "seconds": seconds})


def zoo_experiment(*, quick: bool, seed: int) -> Experiment:
    """The one plan of all members: the embedded sample, pooled nets, equal steps, seeds and refits."""
    pooled = {"steps": 20, "batch": 8, "seeds": 1} if quick else {"steps": 150, "batch": 16, "seeds": 2}
    universe = {"tickers": ["AAPL", "IBM", "MSFT", "EURUSD", "EURJPY", "EURGBP"]} if quick else {}
    walk = (
        {"cutoffs": 30, "every": 20, "refit_every": 600} if quick else {"cutoffs": 100, "every": 10, "refit_every": 500}
    )
    return make_experiment(
        {
            "name": "zoo",
            "seed": seed,
            "universe": universe,
            "walk": walk,
            "forecasters": {
                "models": ["historical_simulation", "garch_t", "anchor", "seq2seq_pooled"],
                "anchor": {"steps": 100 if quick else 300},
                "seq2seq": {
                    "decoder": {"kind": "recurrent"},
                    "training": {"positions": 12},
                    "pooled": pooled,
                    "head": {"paths": 128 if quick else 512},
                },
            },
            "verdict": {"recommended": "seq2seq_pooled"},
        }
    )


def _jobs(inputs: Inputs) -> tuple[Sequence[Job | Fit], ...]:
    """What has to come first (anchors), and the rest in the order of its length."""
    markets = sorted(inputs.panels)
    tickers = [Job("ticker", m, ticker=t) for m in markets for t in inputs.panels[m].tickers]
    fits = [Fit(member.name, m, f.number) for member in members() for m in markets for f in inputs.folds[m]]
    return [Job("anchor", m) for m in markets], [*fits, *tickers]


def _carry_out(inputs: Inputs, progress: Progress, workers: int | None) -> None:
    stages = _jobs(inputs)
    done, total = 0, sum(len(stage) for stage in stages)
    for stage in stages:
        waiting = [job for job in stage if not inputs.folder.is_done(job.key)]
        done += len(stage) - len(waiting)

        def on_done(place: int, waiting: Sequence[Job | Fit] = waiting) -> None:
            nonlocal done
            done += 1
            job = waiting[place]
            progress(job.member if isinstance(job, Fit) else job.label, 0.95 * done / total)

        map_jobs(partial(_perform, inputs), waiting, workers=workers, on_done=on_done)


def _perform(inputs: Inputs, job: Job | Fit) -> None:
    if isinstance(job, Job):
        perform(inputs, job)
    else:
        fit_member(inputs, job)


def fit_member(inputs: Inputs, fit: Fit) -> None:
    """Fit one member on one fold and keep its forecasts, what they cost, and the likelihood of the true steps."""
    settings, seed = inputs.experiment.forecasters, inputs.experiment.seed
    panel, fold = inputs.panels[fit.market], inputs.folds[fit.market][fit.fold]
    member = next(m for m in members() if m.name == fit.member)
    past = panel.until(fold.fit_date)
    rows, asked = train_rows(past, fold, warmup=settings.anchor.warmup), test_rows(panel, fold.cutoffs)
    started = time.process_time()
    anchor = load_fitted(inputs, "anchor", fold.market, fold)
    assert isinstance(anchor, FittedAnchor)
    fitted = forecaster_of(member, settings, anchor).fit(past, rows, horizon=fold.horizon, seed=seed)
    trained = time.process_time()
    frame = to_frame(panel, fitted.predict(panel, asked), inputs.sessions)
    frame["model"] = fit.member
    facts: dict[str, Any] = {"seconds": trained - started, "forecast_seconds": time.process_time() - trained}
    facts["parameters"] = sum(p.numel() for p in _net_of(fitted).parameters())
    known, words = known_rows(panel, asked, fold.horizon), words_of(past, rows, fold.horizon)
    if (true_N := true_likelihood(fitted, panel, known, words)) is not None:
        facts["nats"] = {fit.member: nats_by_date(panel, known, true_N, fold.horizon)}
    if fit.member == STUDENT and isinstance(fitted, FittedSeq2Seq):
        alone_N = student_likelihood(fitted, panel, known, words, untrained=True)
        facts["nats"] |= {UNTRAINED: nats_by_date(panel, known, alone_N, fold.horizon)}
    inputs.folder.save_part(fit.key, frame, pd.DataFrame(columns=TRAINING_COLUMNS), facts)


def forecaster_of(member: Member, settings: Forecasters, anchor: FittedAnchor) -> Forecaster:
    """The unfitted forecaster of a member: as many training origins as the networks' seeds have together."""
    pooled, positions = settings.seq2seq.pooled, settings.seq2seq.training.positions
    steps, paths = pooled.steps * pooled.seeds, settings.seq2seq.head.paths
    match member.model:
        case "network":
            return Seq2SeqForecaster(member.spec(settings.seq2seq.model_dump(mode="json")), "pooled", anchor)
        case "words":
            batch = pooled.batch * positions
            return ReturnTokens(**{"steps": steps, "batch": batch, "paths": paths, **member.changes})
        case "scenarios":
            return Scenarios(**{"steps": steps, "batch": pooled.batch * positions, "paths": paths, **member.changes})


def _net_of(fitted: Fitted) -> nn.Module:
    """The network, or the first of several seeds."""
    match fitted:
        case FittedSeq2Seq():
            return next(iter(fitted.nets.values()))[0]
        case FittedScenarioPaths():
            return fitted.generator.net
        case FittedReturnTokens():
            return fitted.net
    raise TypeError(f"no member of the zoo is a {type(fitted).__name__}")


def _collect(plan: Plan, folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, dict[str, float]]]:
    """All parts: forecasts in one table, what each member cost, and nats a step by model and date."""
    frames, costs = [], []
    nats: dict[str, dict[str, list[float]]] = {}
    for market, panel in sorted(plan.panels.items()):
        keys = [f"anchor:{market}", *(f"ticker:{t}" for t in panel.tickers)]
        frames += [folder.read_part(key)[0] for key in keys]
        for member in members():
            for fold in plan.folds[market]:
                frame, _, facts = folder.read_part(Fit(member.name, market, fold.number).key)
                frames.append(frame)
                for name, by_date in facts.pop("nats", {}).items():
                    for date, value in by_date.items():
                        nats.setdefault(name, {}).setdefault(date, []).append(value)
                costs.append({"model": member.name, **facts})
    table = pd.DataFrame(costs).groupby("model", sort=False)
    cost = table[["seconds", "forecast_seconds"]].sum().join(table["parameters"].max())
    forecasts = pd.concat([frame[frame["model"] != "seq2seq_per_ticker"] for frame in frames], ignore_index=True)
    names = [*REFERENCES, *(m.name for m in members())]
    forecasts["model"] = pd.Categorical(forecasts["model"], categories=names)
    means = {name: {date: float(np.mean(each)) for date, each in by_date.items()} for name, by_date in nats.items()}
    return forecasts.dropna(subset=["model", "y"]), cost.reset_index(), means


def ranking(losses: Losses, costs: pd.DataFrame, experiment: Experiment, plan: Plan) -> pd.DataFrame:
    """One row a model, best first: skill against each reference and against the base, with standard errors by date."""
    markets = {t: m for m, panel in plan.panels.items() for t in panel.tickers}
    every_pool = pools(losses, every=experiment.walk.every, horizon=experiment.walk.horizon, markets=markets)
    everything = [pool for pool in every_pool if pool.family == "all"]
    rows = pd.DataFrame({"model": losses.models, "crps": losses.crps_UK.mean(axis=0)})
    rows["coverage_80"] = losses.coverage_KB[:, 1]
    for short, reference in (
        ("historical", REFERENCES[0]),
        ("garch", REFERENCES[1]),
        ("anchor", "anchor"),
        ("base", BASE),
    ):
        pairs = [(m, reference) for m in losses.models if m != reference]
        compared = compare(losses, everything, pairs, experiment.verdict).set_index("challenger")
        rows[f"skill_{short}"] = rows["model"].map(compared["effect"]).fillna(0.0)
        error = (compared["effect"] / compared["statistic"]).where(compared["statistic"] != 0)
        rows[f"se_{short}"] = rows["model"].map(error).abs()
        rows[f"p_{short}"] = rows["model"].map(compared["p"])
    rows = rows.merge(costs, on="model", how="left")
    return rows.sort_values("skill_garch", ascending=False, ignore_index=True)


def skill_by_step(losses: Losses) -> pd.DataFrame:
    """Skill against historical simulation by model (rows) and step (columns), over all common units."""
    crps = pd.DataFrame(losses.crps_UK, columns=list(losses.models)).groupby(losses.step_U).mean()
    return (1.0 - crps.div(crps[REFERENCES[0]], axis=0)).T
