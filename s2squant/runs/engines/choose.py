"""Who carries out a run's jobs: processes of this machine, Dask, or Ray. The choice decides no number."""

from __future__ import annotations

from importlib.util import find_spec

from s2squant.config.defaults import Engine
from s2squant.errors import ConfigError
from s2squant.runs.engines.local import local_pool
from s2squant.runs.engines.on_dask import DaskPool
from s2squant.runs.engines.on_ray import RayPool
from s2squant.runs.engines.run_inputs import write_inputs
from s2squant.runs.engines.worker import Pool
from s2squant.runs.jobs import Inputs, Job, perform

NEEDS: dict[Engine, str] = {"local": "multiprocessing", "dask": "distributed", "ray": "ray"}
"""The package an engine stands on."""


def check_engine(engine: Engine) -> None:
    """Raise ConfigError when the extra that an engine needs is not installed."""
    if find_spec(NEEDS[engine]) is None:
        raise ConfigError(f"--engine {engine} needs a package that is missing: pip install 's2squant[{engine}]'")


def make_pool(engine: Engine, inputs: Inputs, workers: int) -> Pool[Job]:
    """The pool of an engine with so many workers; none but this process when 0, whatever the engine.

    Raises CallerError when the engine's package is missing or the cluster that the environment names does not answer.
    """
    check_engine(engine)
    match engine:
        case "dask" if workers:
            return DaskPool(write_inputs(inputs), workers)
        case "ray" if workers:
            return RayPool(write_inputs(inputs), workers)
        case _:
            return local_pool(inputs, workers, perform)
