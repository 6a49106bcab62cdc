"""Ablation of covariates: an experiment with all of them, with each left out, and with none, on the same cutoffs.

with open_ablation(experiment) as ablation:
    for variant, result in ablation.execute():
        ...
    ablated = ablation.finish()

Every variant is fitted anew, its folds and seeds those of a backtest; a killed ablation goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.models import ModelName
from s2squant.errors import ConfigError
from s2squant.evaluation.comparisons import compare
from s2squant.evaluation.importance import importance_table
from s2squant.evaluation.losses import score
from s2squant.evaluation.pools import pools
from s2squant.evaluation.statistics.false_discovery import with_findings
from s2squant.prices.sources.from_store import pinned
from s2squant.report.covariate_panels import covariates_read
from s2squant.runs.collect import Collected, collect, combine
from s2squant.runs.engines.choose import make_pool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, stages_of
from s2squant.runs.manifest import provenance
from s2squant.runs.plan import Plan, planned
from s2squant.runs.runner import JobResult, JobRunner
from s2squant.series.panel import Panel

ALL, NONE = "all of them", "no covariate"
"""What a variant has, and the name of leaving all of them out."""


@dataclass(frozen=True)
class Variant:
    """An experiment without some of its covariates."""

    left_out: str
    """The covariate that it lacks; ALL where it has none, empty where it has every one."""
    names: tuple[str, ...]
    """Those that it has."""


@dataclass(frozen=True)
class Ablated:
    """A finished ablation.

    - `gains`: model, left_out (a covariate, or ALL), step ("all" or a number), effect (relative gain in CRPS by date
      of the model with it over the same without it), low, high, p, p_adjusted (Benjamini-Hochberg over models and what
      is left out; not for a single step), n, n_eff, smallest_detectable, finding (helps, hurts, no evidence, not
      tested), reason
    - `importance`: as in Evidence
    """

    experiment: Experiment
    run_id: str
    created_at: str
    gains: pd.DataFrame
    importance: pd.DataFrame
    left_out: Mapping[str, str]
    """Tickers without a part, and why."""
    provenance: Mapping[str, Any]


def variants_of(experiment: Experiment) -> tuple[Variant, ...]:
    """All covariates, each left out where there are two or more, and none."""
    names = tuple(covariate.name for covariate in experiment.covariates)
    without = [Variant(name, tuple(n for n in names if n != name)) for name in names] if len(names) > 1 else []
    return Variant("", names), *without, Variant(ALL, ())


def needed(experiment: Experiment) -> Experiment:
    """The experiment with the models that read a covariate and those they stand on; raises ConfigError for none."""
    settings = experiment.forecasters
    if not experiment.covariates:
        raise ConfigError("ablate leaves out covariates, and the experiment has none; add a table [[covariates]]")
    read = covariates_read(experiment)
    wanted: set[ModelName] = {m for m in settings.models if read[m]}
    if not wanted:
        raise ConfigError("no model that runs reads a covariate; add seq2seq_pooled or ridge to forecasters.models")
    if "blend" in wanted:
        wanted |= {"anchor", *settings.blending.members}
    if "field" in wanted:
        wanted |= set(settings.field_members)
    if wanted & set(settings.networks):
        wanted.add("anchor")
    small = settings.model_copy(update={"models": tuple(m for m in settings.models if m in wanted)})
    plain = experiment.recalibration.model_copy(update={"enabled": False})
    return experiment.model_copy(update={"forecasters": small, "recalibration": plain})


def open_ablation(
    experiment: Experiment, out: Path | None = None, *, workers: int | None = None, command: str = ""
) -> Ablation:
    """Read prices and covariates once, and claim the folder; raises CallerError when it cannot be done as asked."""
    small = needed(experiment)
    small, plan = planned(small)
    small = small.model_copy(update={"universe": pinned(small.universe, plan.histories.values())})
    identity = {
        "ablation": json.loads(small.to_json()),
        "prices": {ticker: history.sha256 for ticker, history in sorted(plan.histories.items())},
        "version": __version__,
    }
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    folder = RunFolder(out) if out is not None else RunFolder.fresh("ablate", tag)
    folder.claim(identity)
    return Ablation(small, plan, folder, identity, workers=workers, command=command)


class Ablation:
    """An ablation under way: variant after variant, then its end."""

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        folder: RunFolder,
        identity: Mapping[str, Any],
        *,
        workers: int | None,
        command: str,
    ) -> None:
        self.experiment, self.folder = experiment, folder
        self.variants = variants_of(experiment)
        self.skipped = {r.ticker: r.reason for r in plan.tickers if r.status != "ok"}
        self.jobs = len(self.variants) * sum(len(stage) for stage in stages_of(self._inputs_of(self.variants[0], plan)))
        self._plan, self._identity, self._workers, self._command = plan, identity, workers, command
        self._created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._tables: list[pd.DataFrame] = []
        self._full: Collected | None = None

    def __enter__(self) -> Ablation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.release()

    def execute(self) -> Iterator[tuple[Variant, JobResult]]:
        """Fit and forecast every variant; results come as jobs end. Raises S2squantError when nothing was forecast."""
        for variant in self.variants:
            inputs = self._inputs_of(variant, self._plan)
            inputs.folder.claim({**self._identity, "left out": variant.left_out})
            start_pool = partial(make_pool, "local", inputs)
            with JobRunner[Job](inputs.folder, stages_of(inputs), self._workers, start_pool) as runner:
                for result in runner.execute_stages():
                    yield variant, result
                runner.close()
                collected = collect(inputs, runner)
                self.skipped |= {t: why for t, m in inputs.markets.items() if (why := runner.failure(t, m))}
            table, _, _ = combine(collected.forecasts, self.experiment, inputs.markets)
            models = table["model"].astype(str)
            keep = models.isin(self._readers).to_numpy()
            self._tables.append(table[keep].assign(model=models[keep] + _without(variant.left_out)))
            self._full = self._full or collected

    def finish(self) -> Ablated:
        """The gains of every covariate, tested; nothing is written."""
        walk, spec = self.experiment.walk, self.experiment.verdict
        losses = score(pd.concat(self._tables, ignore_index=True))
        markets = {t: m for m, panel in self._plan.panels.items() for t in panel.tickers}
        every = pools(losses, every=walk.every, horizon=walk.horizon, markets=markets)
        asked = [pool for pool in every if pool.family in ("all", "step")]
        pairs = {
            (model, model + _without(variant.left_out)): (model, variant.left_out)
            for model, names in self._readers.items()
            for variant in self.variants
            if variant.left_out in (ALL, *names)
        }
        rows = compare(losses, asked, pairs, spec)
        told = [pairs[pair] for pair in zip(rows["challenger"], rows["benchmark"], strict=True)]
        rows = rows.assign(model=[m for m, _ in told], left_out=[name for _, name in told])
        rows["reason"] = [test.partition(": ")[2] if test.startswith("not tested") else "" for test in rows["test"]]
        assert self._full is not None
        inputs = self._inputs_of(self.variants[0], self._plan)
        return Ablated(
            experiment=self.experiment,
            run_id=self.folder.name,
            created_at=self._created_at,
            gains=_tested(rows, self.experiment),
            importance=importance_table(self._full.importances, losses, every[0], spec),
            left_out=self.skipped,
            provenance=provenance(
                self.experiment,
                {h.ticker: h for panel in inputs.panels.values() for h in panel.histories},
                command=self._command,
                engine="local",
                workers=self._workers or 0,
                timings=dict(self._full.seconds),
            ),
        )

    @property
    def _readers(self) -> dict[str, tuple[str, ...]]:
        """The models that read any covariate, and which."""
        read = covariates_read(self.experiment)
        return {m: read[m] for m in self.experiment.forecasters.models if read[m]}

    def _inputs_of(self, variant: Variant, plan: Plan) -> Inputs:
        number = self.variants.index(variant)
        panels = {market: _only(panel, variant.names) for market, panel in plan.panels.items()}
        folder = RunFolder(self.folder.path / "work" / f"variant-{number}")
        return Inputs(self.experiment, panels, plan.folds, plan.sessions, folder, importance=number == 0)


def _without(left_out: str) -> str:
    return f" without {left_out}" if left_out else ""


def _only(panel: Panel, names: Sequence[str]) -> Panel:
    """The panel with some of its covariates."""
    own = [None if h.covariates is None else h.covariates.only(names) for h in panel.histories]
    return Panel(tuple(replace(h, covariates=c) for h, c in zip(panel.histories, own, strict=True)))


def _tested(rows: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """The rows of all steps tested together, those of single steps for the eye."""
    whole = rows["step"].astype(str) == "all"
    tested = with_findings(rows[whole].copy(), experiment.verdict, effect="effect", words=("helps", "hurts"))
    columns = ["model", "left_out", "step", "effect", "low", "high", "p", "p_adjusted", "n", "n_eff"]
    columns += ["smallest_detectable", "finding", "reason"]
    shown = rows[~whole].assign(p_adjusted=float("nan"), finding="")
    return pd.concat([tested, shown], ignore_index=True)[columns]
