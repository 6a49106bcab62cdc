"""The optuna study of a search: its file, its sampler, its distributions, and what the settings were worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from s2squant.config.tuning import Range, Span
from s2squant.errors import RunError

LOOKED = "looked"
SEAL = "sha256"
"""The attribute of a trial that holds its checksum."""
UNPRUNED = 4
"""Complete trials before the median of them is a measure."""


def open_study(path: Path, name: str, *, prune: bool) -> optuna.Study:
    """Open the SQLite file of a study, or begin it; raises RunError for a file that holds something else."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED) if prune else optuna.pruners.NopPruner()
    try:
        storage = optuna.storages.RDBStorage(  # its values are JSON; nothing is unpickled
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 15}}
        )
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (SQLAlchemyError, LookupError, ValueError, RuntimeError, optuna.exceptions.OptunaError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise RunError(f"{path}: cannot be used ({reason[:160]}); choose another --study") from None


def note_facts(trial: optuna.Trial, facts: Mapping[str, Any]) -> None:
    """Keep what a trial came to, before it is told to be over, with a checksum over that and its settings."""
    trial.set_user_attr("facts", dict(facts))
    trial.set_user_attr(SEAL, _seal_of(trial.params, facts))


def note_looks(study: optuna.Study, looked: Sequence[str]) -> None:
    """Keep which settings were scored on the held-out cutoffs, with a checksum."""
    study.set_user_attr(LOOKED, {"marks": list(looked), SEAL: _seal_of({}, {"marks": list(looked)})})


def looks_of(study: optuna.Study) -> list[str]:
    """What `note_looks` kept; raises ValueError where it was changed."""
    kept = dict(study.user_attrs.get(LOOKED, {"marks": []}))
    if LOOKED in study.user_attrs and kept.pop(SEAL, "") != _seal_of({}, kept):
        raise ValueError("the looks at the held-out cutoffs were changed")
    return list(kept["marks"])


def check_study(study: optuna.Study) -> None:
    """Raise RunError where a finished trial is not what was kept of it, or the file is damaged otherwise."""
    try:
        storage = study._storage
        if isinstance(storage, optuna.storages._CachedStorage):
            with storage._backend.engine.connect() as connection:
                said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().first()
            if said != "ok":
                raise ValueError(said)
        looks_of(study)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            facts = trial.user_attrs["facts"]
            worth = facts["skills"][-1] if trial.state is TrialState.COMPLETE else trial.value
            if trial.user_attrs.get(SEAL) != _seal_of(trial.params, facts) or trial.value != worth:
                raise ValueError(f"trial {trial.number} was changed")
    except (SQLAlchemyError, LookupError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise RunError(f"the study {study.study_name} is damaged ({reason[:160]}); choose another --study") from None


def _seal_of(params: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    text = json.dumps({"params": dict(params), "facts": dict(facts)}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sampler(seed: int, done: int, startup: int) -> optuna.samplers.TPESampler:
    """TPE, seeded by how many trials are finished: an interrupted search draws the same settings."""
    digest = hashlib.sha256(f"{seed} {done}".encode()).hexdigest()
    return optuna.samplers.TPESampler(seed=int(digest[:8], 16), n_startup_trials=startup)


def distribution(values: Range) -> BaseDistribution:
    """A range in optuna's terms."""
    if not isinstance(values, Span):
        return CategoricalDistribution(values.values)
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def importances(study: optuna.Study) -> dict[str, float]:
    """Each setting's share in the spread of skills (PED-ANOVA, Watanabe et al. 2023); empty where none spread."""
    try:
        shares = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        return {}
    return {key: float(share) for key, share in shares.items()}
