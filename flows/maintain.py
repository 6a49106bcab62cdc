"""Upkeep as one Prefect flow: what is kept too long goes, and runs that died are said to be dead."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

# Prefect reads its settings when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

from prefect import State, flow, get_run_logger
from prefect.states import Completed

from flows.reaping import reap
from s2squant.nightly_specs import Retention

DEFAULTS = Retention()


@flow(persist_result=False)
def maintain(retention: Retention = DEFAULTS) -> State[dict[str, Any]]:
    """Remove old runs, weights and price versions; mark runs that died. Ledger rows are never removed.

    Args:
        retention: What is kept, in days, and after how many hours a run that still counts as running is dead.
    """
    log = get_run_logger()
    dead = reap(timedelta(hours=retention.dead_after))
    for name in dead:
        log.warning("%s: taken for dead", name)
    return Completed(message=f"{len(dead)} dead runs marked", data={"reaped": list(dead)})
