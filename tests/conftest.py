"""What every test shares: Prefect away from its real home and silent, one torch thread.

The settings stand before the imports because Prefect reads them when it is imported; worker processes inherit them.
"""

import os
import shutil
import tempfile

os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="s2squant-prefect-")
os.environ["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] = f"{os.environ['PREFECT_HOME']}/results"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["S2SQUANT_TRIALS"] = f"{os.environ['PREFECT_HOME']}/trials.sqlite"
os.environ.pop("PREFECT_API_URL", None)

import torch

torch.set_num_threads(1)


def pytest_unconfigure() -> None:
    """Leave no temporary home behind."""
    shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)
