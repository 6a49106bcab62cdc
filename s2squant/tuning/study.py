"""The optuna study of a search: its file, its sampler, its distributions, and what the settings were worth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sqlalchemy.exc import SQLAlchemyError

from s2squant.config.tuning import Range, Span
from s2squant.errors import RunError

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
    except (SQLAlchemyError, RuntimeError, optuna.exceptions.OptunaError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise RunError(f"{path}: cannot be used ({reason[:160]}); choose another --study") from None


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
