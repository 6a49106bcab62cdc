"""What every test shares: Prefect away from its real home and silent, one torch thread, the same draws every time.

The settings stand before the imports because Prefect reads them when it is imported; worker processes inherit them.
Hypothesis draws the same examples every time; `make test ARGS=--hypothesis-profile=explore` looks for new ones.
"""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="s2squant-prefect-")
os.environ["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] = f"{os.environ['PREFECT_HOME']}/results"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["S2SQUANT_CACHE"] = f"{os.environ['PREFECT_HOME']}/cache"
os.environ["S2SQUANT_TRIALS"] = f"{os.environ['PREFECT_HOME']}/trials.sqlite"
os.environ.pop("PREFECT_API_URL", None)

import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from s2squant.runs.engines import local
from tests.worlds.processes import HEAVY

torch.set_num_threads(1)
local.PRELOADED[:] = HEAVY  # runs and tests fork from one server, whoever comes first
settings.register_profile("explore", derandomize=False)
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Weights and noise that a test draws without a seed of its own are the same in whatever order tests run."""
    torch.manual_seed(0)


def pytest_unconfigure() -> None:
    """Leave no temporary home behind."""
    shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)


class ByServer(LoadFileScheduling):
    """A file at a time, but in one process what uses a server that takes seconds to start."""

    def _split_scope(self, nodeid: str) -> str:
        folder = next((f for f in ("tests/flows/", "tests/nightly/ledger/") if nodeid.startswith(f)), None)
        return folder or super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """For `--dist loadfile`, which is what `make test` asks for."""
    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL of the session's own; skips, with the reason, where none can be started."""
    from tests.worlds import postgres  # a second that other sessions need not spend

    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_place(request: pytest.FixtureRequest, tmp_path: Path):
    """The URL of a new, empty ledger, in either database."""
    from s2squant.nightly.ledger.database import make_sqlite_url

    if request.param == "sqlite":
        return make_sqlite_url(tmp_path / "ledger.sqlite")
    return request.getfixturevalue("postgres_server").url()
