"""The zoo: every structure of the family on the same prices, walk-forward, beside the same baselines and anchor.

Resumable: each fit is a part in `out`/parts, and a part that is there is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.evaluation.comparisons import compare
from s2squant.evaluation.losses import Losses, score
from s2squant.evaluation.pools import pools
from s2squant.experiments.members import BASE, members
from s2squant.experiments.result import Progress, Result
from s2squant.experiments.zoo_result import zoo_result
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.fitting import TRAINING_COLUMNS
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.runs.engines.local import map_jobs
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, load_fitted, perform
from s2squant.runs.plan import Plan, make_plan
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
            "members": [m.changes for m in family],
            "version": __version__,
        }
    )
    try:
        _carry_out(Inputs(experiment, plan.panels, plan.folds, plan.sessions, folder), progress, workers)
        progress("scoring", 0.97)
        forecasts, costs = _collect(plan, folder)
        losses = score(forecasts)
    finally:
        folder.release()
    table = ranking(losses, costs, experiment, plan)
    table["group"] = table["model"].map({m.name: m.group for m in family}).fillna("reference")
    result = zoo_result(table, skill_by_step(losses), experiment, quick=quick)
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
                "seq2seq": {"pooled": pooled, "head": {"paths": 128 if quick else 512}},
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
    """Fit one member's nets on one fold and keep its forecasts, with the seconds and the parameters they took."""
    settings, seed = inputs.experiment.forecasters, inputs.experiment.seed
    panel, fold = inputs.panels[fit.market], inputs.folds[fit.market][fit.fold]
    member = next(m for m in members() if m.name == fit.member)
    spec = member.spec(settings.seq2seq.model_dump(mode="json"))
    past = panel.until(fold.fit_date)
    rows = train_rows(past, fold, warmup=settings.anchor.warmup)
    started = time.process_time()
    anchor = load_fitted(inputs, "anchor", fold.market, fold)
    assert isinstance(anchor, FittedAnchor)
    forecaster = Seq2SeqForecaster(spec, "pooled", anchor)
    fitted = forecaster.fit(past, rows, horizon=fold.horizon, seed=seed)
    trained = time.process_time()
    frame = to_frame(panel, fitted.predict(panel, test_rows(panel, fold.cutoffs)), inputs.sessions)
    frame["model"] = fit.member
    net = next(iter(fitted.nets.values()))[0]
    facts = {
        "seconds": trained - started,
        "forecast_seconds": time.process_time() - trained,
        "parameters": sum(p.numel() for p in net.parameters()),
        "loss": float(np.mean([curve[-1] for curves in fitted.losses.values() for curve in curves])),
    }
    inputs.folder.save_part(fit.key, frame, pd.DataFrame(columns=TRAINING_COLUMNS), facts)


def _collect(plan: Plan, folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All parts: forecasts in one table, and what each member cost."""
    frames, costs = [], []
    for market, panel in sorted(plan.panels.items()):
        keys = [f"anchor:{market}", *(f"ticker:{t}" for t in panel.tickers)]
        frames += [folder.read_part(key)[0] for key in keys]
        for member in members():
            for fold in plan.folds[market]:
                frame, _, facts = folder.read_part(Fit(member.name, market, fold.number).key)
                frames.append(frame)
                costs.append({"model": member.name, **facts})
    table = pd.DataFrame(costs).groupby("model", sort=False)
    cost = table[["seconds", "forecast_seconds"]].sum().join(table["parameters"].max())
    forecasts = pd.concat([frame[frame["model"] != "seq2seq_per_ticker"] for frame in frames], ignore_index=True)
    names = [*REFERENCES, *(m.name for m in members())]
    forecasts["model"] = pd.Categorical(forecasts["model"], categories=names)
    return forecasts.dropna(subset=["model", "y"]), cost.reset_index()


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
