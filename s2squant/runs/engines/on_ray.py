"""Workers under Ray: a cluster of this machine, on loopback, or the one that S2SQUANT_RAY names."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from s2squant.errors import CallerError
from s2squant.runs.engines.cluster import ClusterPool
from s2squant.runs.engines.worker import ATTEMPTS, ENDED, KILLED, I, J, JobSpec, carry_out, short

ADDRESS = "S2SQUANT_RAY"
"""Names a running cluster, as in ray://10.0.0.5:10001."""
CALM = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # as elsewhere, the system alone decides who runs out of memory
    "RAY_enable_metrics_collection": "false",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # or Ray tells standard output of every killed worker; the report names its job
}
"""Ray reads these from the environment when it is imported, and hands them on to its processes."""
ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Unless it is 0, Ray takes the machine's address on its network in place of 127.0.0.1, and listens everywhere."""
GRACE = 10
"""Seconds for cancelled jobs to end."""
STORE = 80 * 2**20
"""Bytes of shared memory for objects, about the least that Ray takes: only names travel."""


class RayPool(ClusterPool[I, J]):
    """Ray's workers: one that is killed takes one job with it, which is tried once more.

    Raises CallerError when the cluster that the environment names does not answer.
    """

    def __init__(self, spec: JobSpec[I, J], workers: int) -> None:
        super().__init__(spec, "Ray", GRACE)
        self._folder: TemporaryDirectory[str] | None = None
        address = os.environ.get(ADDRESS, "")
        with _undisturbed():
            if address:
                _join(address)
            else:
                # A socket's path has room for 107 bytes, and Ray's own part of it takes most.
                self._folder = TemporaryDirectory(prefix="s2q-ray-", dir="/tmp", ignore_cleanup_errors=True)
                _start(workers, self._folder.name)
            import ray
        self._carry_out: Any = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(carry_out)

    def _submit(self, job: J) -> Any:
        return self._carry_out.remote(self._spec, job)

    def _result(self, future: Any) -> str:
        import ray

        try:
            reason: str = ray.get(future)
        except ray.exceptions.WorkerCrashedError:
            return ENDED if self._closed else KILLED
        return reason

    def _cancel(self, futures: Sequence[Any]) -> None:
        import ray

        for future in futures:
            ray.cancel(future, force=True)

    def _end(self) -> None:
        import ray

        with _undisturbed():
            ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()


def _start(workers: int, folder: str) -> None:
    os.environ[ALONE] = "0"
    if "RAY_AUTH_MODE" not in os.environ:  # or Ray keeps a token in the home folder
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
    import ray

    if not ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback:
        raise CallerError(f"--engine ray: Ray was imported before with {ALONE}=1 and would listen on the network")
    ray.init(
        address="local",
        num_cpus=workers,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=STORE,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, ValueError, RuntimeError) as error:
        raise CallerError(f"{ADDRESS}={address}: no Ray cluster answers ({short(error)})") from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ray takes SIGTERM and warns; the run's own handler is put back, and its output stays its own."""
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
