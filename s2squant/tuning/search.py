"""The search: optuna asks for settings, the walk's earlier folds score them, the last cutoffs judge the best of them.

with open_search(experiment, tuning) as search:
    while (tried := search.step()) is not None:
        ...
    tuned = search.finish()

A study is one SQLite file and one folder below data/tuning; what was finished stays finished when the process is
killed, and the sampler is seeded anew by how many trials are: the same settings come whether it was or not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.tuning import Ending, Range, Tuning, Value
from s2squant.errors import ConfigError, RunError, TrialError
from s2squant.evaluation.strategy.trial_ledger import Trial, Trials, ledger_path, record
from s2squant.prices.sources.from_store import pinned
from s2squant.runs.folder import STUDIES, RunFolder
from s2squant.runs.manifest import provenance
from s2squant.runs.plan import Plan, planned
from s2squant.tuning.bench import Bench, compare_held_out, complete, earnings, measure, reference_rows
from s2squant.tuning.page import write
from s2squant.tuning.results import HeldOut, TrialResult, Tuned, sentence_of
from s2squant.tuning.space import candidate, default_space, present, space_of
from s2squant.tuning.split import Split, split
from s2squant.tuning.study import (
    check_study,
    distribution,
    importances,
    looks_of,
    note_facts,
    note_looks,
    open_study,
    sampler,
)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def open_search(
    experiment: Experiment,
    tuning: Tuning,
    out: Path | None = None,
    *,
    workers: int | None = None,
    command: str = "",
    studies: Path = STUDIES,
) -> Search:
    """Read the prices, hold the last cutoffs out, and claim the study's folder; a study that was begun goes on.

    `workers` processes fit a trial's models side by side, as many as there are processors when None, none but this one
    when 0; trials come one after the other, so that their number decides nothing. The result goes to `out`, or to
    reports/tune/RUN_ID. Raises CallerError when something cannot be searched as asked.
    """
    ranges = space_of(experiment, tuning)
    experiment, plan = planned(experiment)
    universe = pinned(experiment.universe, plan.histories.values())
    experiment = experiment.model_copy(update={"universe": universe})
    parts = split(plan, tuning.holdout, experiment.walk)
    identity = {
        "experiment": json.loads(experiment.to_json()),
        "space": {key: vars(values) | {"kind": type(values).__name__} for key, values in ranges.items()},
        "search": tuning.model_dump(mode="json", include={"holdout", "prune", "startup"}),
        "prices": {ticker: history.sha256 for ticker, history in sorted(plan.histories.items())},
        "version": __version__,
    }
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", experiment.name).strip("-.")[:40] or "study"
    name = tuning.study or f"{readable}-{tag}"
    folder = RunFolder(studies / name)
    try:
        folder.claim(identity)
    except RunError as error:
        raise RunError(str(error).replace("--out", "--study")) from None
    try:
        return Search(
            experiment, tuning, ranges, plan, parts, folder, tag=tag, out=out, workers=workers, command=command
        )
    except BaseException:
        folder.release()
        raise


class Search:
    """A search under way: trial after trial, then its end."""

    def __init__(
        self,
        experiment: Experiment,
        tuning: Tuning,
        ranges: Mapping[str, Range],
        plan: Plan,
        parts: Split,
        folder: RunFolder,
        *,
        tag: str,
        out: Path | None,
        workers: int | None,
        command: str,
    ) -> None:
        self.experiment, self.tuning, self.parts = experiment, tuning, parts
        self.name, self.folder = folder.name, folder
        self.skipped = {r.ticker: r.reason for r in plan.tickers if r.status != "ok"}
        self.workers = 1 if workers == 0 else workers or os.cpu_count() or 1
        self._processes = 0 if workers == 0 else self.workers
        self._ranges, self._plan, self._command, self._out, self._tag = ranges, plan, command, out, tag
        self._space = tuning.space or default_space(experiment)
        self._distributions = {key: distribution(values) for key, values in ranges.items()}
        self._tuned, self._reference = experiment.verdict.recommended, experiment.verdict.reference
        self._started, self._begun = datetime.now(UTC), time.monotonic()
        self._ledger: Trials | None = None
        self._study = open_study(folder.path.with_name(f"{folder.name}.sqlite"), folder.name, prune=tuning.prune)
        check_study(self._study)
        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(left.number, state=TrialState.FAIL)  # its process was killed
        self.bench = Bench(parts.search, folder.path, self._processes)

    def __enter__(self) -> Search:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bench.close(cancel=kind is not None)
        self.folder.release()

    @property
    def finished(self) -> tuple[TrialResult, ...]:
        """The trials that are over, in their order; those that were interrupted are no part of it."""
        trials = self._study.get_trials(deepcopy=False, states=FINISHED)
        return tuple(self._result(trial, number) for number, trial in enumerate(trials))

    @property
    def defaults(self) -> dict[str, Value] | None:
        """The settings of the experiment as it is; None where it lies outside of the space."""
        values = {key: present(self.experiment, key) for key in self._ranges}
        return values if all(self._ranges[key].holds(value) for key, value in values.items()) else None

    def step(self) -> TrialResult | None:
        """Carry out the next trial; None when there were enough, or their time is over.

        The first is the experiment as it is, where it lies in the space. A configuration that was tried before keeps
        its result.
        """
        done = self._study.get_trials(deepcopy=False, states=FINISHED)
        late = self.tuning.timeout is not None and time.monotonic() - self._begun >= self.tuning.timeout
        if len(done) >= self.tuning.trials or late:
            return None
        self._study.sampler = sampler(self.experiment.seed, len(done), self.tuning.startup)
        if not done and self.defaults and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(self.defaults)
        trial = self._study.ask(self._distributions)
        begun = time.perf_counter()
        try:
            ending, skills, reason = self._try(trial, done)
        except BaseException:  # it stands for nothing, and is asked for again
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        facts = {"ending": ending, "skills": skills, "reason": reason, "seconds": time.perf_counter() - begun}
        note_facts(trial, facts)
        if ending == "done":
            self._study.tell(trial, skills[-1])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)
        self._tidy()
        return self.finished[-1]

    def _try(self, trial: optuna.Trial, done: list[FrozenTrial]) -> tuple[Ending, list[float], str]:
        for before in done:
            if before.params == trial.params:
                facts = before.user_attrs["facts"]
                for step, skill in enumerate(facts["skills"]):
                    trial.report(skill, step)
                return facts["ending"], facts["skills"], facts["reason"] or "as tried before"
        try:
            wanted = candidate(self.experiment, trial.params)
        except ConfigError as error:
            return "refused", [], str(error).removeprefix("trial: ")

        def is_hopeless(step: int, skill: float) -> bool:
            trial.report(skill, step)
            return step + 1 < len(self.parts.search.steps) and trial.should_prune()

        return self._score(wanted, f"tune-{self.name}-{len(done)}", is_hopeless)

    def _score(
        self, wanted: Experiment, run_id: str, is_hopeless: Callable[[int, float], bool]
    ) -> tuple[Ending, list[float], str]:
        """Skill over the folds so far after each of them; what came through all of them enters the trial ledger."""
        skills: list[float] = []
        own: list[pd.DataFrame] = []
        base: list[pd.DataFrame] = []
        markets = self.bench.markets
        for step, number in enumerate(self.parts.search.steps):
            try:
                base.append(reference_rows(self.bench, self.experiment, number))
                own.append(self.bench.forecasts(wanted, self._tuned, number))
                mine = complete(pd.concat(own, ignore_index=True), wanted, self._tuned, self._tuned, markets)
                table = pd.concat([mine, *base], ignore_index=True)
                row = measure(table, [(self._tuned, self._reference)], self.experiment, markets).iloc[0]
            except TrialError as error:
                return "failed", skills, str(error)
            skills.append(float(row["effect"]))
            if is_hopeless(step, skills[-1]):
                return "pruned", skills, f"below the median of the trials before it after fold {step + 1}"
        histories = {h.ticker: h for panel in self.parts.search.panels.values() for h in panel.histories}
        ratios, returns = earnings(mine, self._tuned, self.experiment, histories)
        asked = tuple(report.ticker for report in self._plan.tickers)
        entry = Trial(wanted, asked, run_id, _stamp(datetime.now(UTC)), str(row["word"]), ratios, returns)
        self._ledger = record(entry, ledger_path())
        return "done", skills, ""

    def _tidy(self) -> None:
        """Drop what trials left behind that are neither the best so far nor the experiment as it is."""
        trials = self.finished
        best = self._best().values if any(one.ending == "done" for one in trials) else None
        for one in trials:
            if one.ending != "refused" and not one.is_default and best is not None and one.values != best:
                self.bench.forget(candidate(self.experiment, one.values), self._tuned)

    def _best(self) -> TrialResult:
        """The trial of the highest skill; raises ConfigError when none was scored."""
        trials = self.finished
        scored = [one for one in trials if one.ending == "done"]
        if not scored:
            why = f"; the last: {trials[-1].reason}" if trials else "; raise --timeout"
            raise ConfigError(f"no trial of {len(trials)} could be scored{why}")
        return max(scored, key=lambda one: (one.skill, one.is_default, -one.number))

    def _result(self, trial: FrozenTrial, number: int) -> TrialResult:
        facts = trial.user_attrs["facts"]
        skills = tuple(float(value) for value in facts["skills"])
        return TrialResult(
            number=number,
            ending=facts["ending"],
            values=dict(trial.params),
            skill=skills[-1] if skills else float("nan"),
            skills=skills,
            reason=facts["reason"],
            seconds=float(facts["seconds"]),
            is_default=trial.params == self.defaults,
        )

    def finish(self) -> tuple[Path, Tuned]:
        """Score the best configuration and the experiment as it is on the held-out cutoffs; write everything.

        Raises ConfigError when no trial was scored.
        """
        best, trials, default = self._best(), self.finished, self._default_skill()
        better = best if best.skill > default else None
        wanted = candidate(self.experiment, better.values) if better else self.experiment
        looks = self._looks(better)
        rows = self._compare({"tuned": wanted, "default": self.experiment} if better else {"default": self.experiment})
        first, dates = str(self.parts.first), self.parts.held_out
        word, sentence = sentence_of(
            next((row for row in rows if (row.challenger, row.benchmark) == ("tuned", "default")), None),
            best=best.number,
            tried=len(trials),
            first=first,
            cutoffs=dates,
            looks=looks,
        )
        folder = RunFolder(self._out) if self._out is not None else RunFolder.fresh("tune", self._tag[:6])
        tuned = Tuned(
            experiment=self.experiment,
            best=wanted,
            tuning=self.tuning,
            study=self.name,
            run_id=folder.name,
            created_at=_stamp(self._started),
            space=self._space,
            trials=trials,
            best_number=better.number if better else None,
            default_skill=default,
            held_out=rows,
            first_held_out=first,
            last_searched=str(self.parts.search.cutoffs[-1]),
            cutoffs=len(self.parts.search.cutoffs),
            held_out_cutoffs=dates,
            looks=looks,
            configurations=self._ledger.count if self._ledger else None,
            word=word,
            sentence=sentence,
            importances=importances(self._study),
            left_out=self.skipped,
            provenance=self._provenance(trials),
        )
        write(tuned, folder)
        return folder.path, tuned

    def _default_skill(self) -> float:
        """Skill of the experiment as it is on the searched cutoffs, scored now where no trial was it."""
        for one in self.finished:
            if one.is_default and one.ending == "done":
                return one.skill
        ending, skills, reason = self._score(self.experiment, f"tune-{self.name}-default", lambda *_: False)
        if ending != "done":
            raise ConfigError(f"the experiment as it is cannot be scored: {reason}")
        return skills[-1]

    def _looks(self, best: TrialResult | None) -> int:
        """Note that these settings are scored on the held-out cutoffs; returns how many ever were."""
        looked = looks_of(self._study)
        if best is not None and (mark := json.dumps(best.values, sort_keys=True)) not in looked:
            looked.append(mark)
            note_looks(self._study, looked)
        return len(looked)

    def _compare(self, candidates: Mapping[str, Experiment]) -> tuple[HeldOut, ...]:
        rest = Bench(self.parts.rest, self.folder.path / "held-out", self._processes)
        try:
            return compare_held_out(self.bench, rest, self.parts, candidates, self.experiment)
        except TrialError as error:
            raise ConfigError(f"the held-out cutoffs cannot be scored: {error}") from None
        finally:
            rest.close()

    def _provenance(self, trials: Sequence[TrialResult]) -> dict[str, Any]:
        timings = {"trials": round(sum(t.seconds for t in trials), 1)}
        facts = provenance(
            self.experiment,
            self._plan.histories,
            command=self._command,
            engine="local",
            workers=self.workers,
            timings=timings,
        )
        note = self._ledger.note if self._ledger else ""
        return {**facts, "trial_ledger": note, "optuna": optuna.__version__}


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
