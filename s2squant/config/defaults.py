"""Choices and defaults that help texts show, apart from the pydantic models: --help does not wait for those."""

from __future__ import annotations

from typing import Literal

Engine = Literal["local", "dask", "ray"]
"""Who carries a run's jobs out; not part of an Experiment, since it decides no number."""

STORE = "data/prices"
"""Folder of the price store."""
TOGETHER, PER_SECOND = 2, 2.0
"""Requests to a live source: at once, and a second."""
TRIALS = 20
"""Configurations that a search tries."""
RUN_DAYS, MODEL_DAYS, PRICE_DAYS = 90, 400, 400
"""Days that `maintain` leaves folders of runs, weights, and versions of prices that no longer stand."""
JOB_HOURS = 24.0
"""Hours that a job may take in a worker process; S2SQUANT_JOB_HOURS in the environment names others."""
DEAD_AFTER = 6.0
"""Hours after which a run that still counts as running is dead."""
SERVER_PORT = 4200
"""Prefect's own port."""
