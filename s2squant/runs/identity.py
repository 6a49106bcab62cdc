"""The identity of a run: what decides its numbers, by which a killed run is recognised and an earlier one found."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.errors import CallerError
from s2squant.evaluation.previous_run import TRAINED, compare
from s2squant.evaluation.results import Study
from s2squant.evaluation.strategy.trial_ledger import asked
from s2squant.forecasters.plugins import code_of
from s2squant.runs.folder import RunFolder
from s2squant.runs.plan import Plan
from s2squant.runs.study_files import load_study


def as_begun(experiment: Experiment, out: Path | None) -> Experiment:
    """The experiment as of the moment at which it was begun in a folder: bars that came later are not its own."""
    begun = (RunFolder(out).begun_with() or {}).get("experiment") if out is not None else None
    if experiment.universe.as_of is not None or not isinstance(begun, dict):
        return experiment
    noted = {name: begun.get("universe", {}).get(name) for name in ("as_of", "pinned")}
    settings = json.loads(experiment.to_json())
    if noted["as_of"] is None or begun != settings | {"universe": settings["universe"] | noted}:
        return experiment
    return make_experiment(begun, where=str(out))


def claimed_folder(experiment: Experiment, plan: Plan, out: Path | None, flow: str) -> RunFolder:
    """The folder `out`, or a new one below reports/<flow>, claimed for this run; raises RunError where it cannot be."""
    identity = {
        "experiment": json.loads(experiment.to_json()),
        "prices": {ticker: history.sha256 for ticker, history in sorted(plan.histories.items())},
        "version": __version__,
    }
    if own := code_of(experiment.forecasters.own_models, experiment.forecasters.features):
        identity["own"] = own
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    folder = RunFolder(out) if out is not None else RunFolder.fresh(flow, tag)
    folder.claim(identity)
    return folder


def beside_previous(study: Study, folder: RunFolder) -> Study:
    """The study with what changed since the previous run of its experiment, where there is a readable one."""
    for path in folder.earlier(partial(_is_again, study.experiment)):
        try:
            before = load_study(path, without=("forecasts", "scores", "over_time", "training"))
        except CallerError:
            continue
        trained = {name: before.provenance[name] for name in TRAINED if before.provenance.get(name)}
        provenance = {**study.provenance, **({"previous_run": trained} if trained else {})}
        return replace(study, changes=compare(study, before), previous=before.run_id, provenance=provenance)
    return study


def _is_again(experiment: Experiment, text: str) -> bool:
    """Whether an experiment.json asks for the same, on whatever bars there were; raises ValueError where it is none."""
    return asked(Experiment.model_validate_json(text)) == asked(experiment)
