"""What a Prefect server says, over plain HTTP: only flows/ import Prefect, and asking costs no second of imports.

The server is the one that PREFECT_API_URL names, or the one that `s2squant up` noted in its folder, or the one at
Prefect's own port of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from s2squant.errors import CallerError

HOME = Path("data/prefect")
"""Prefect's folder under `s2squant up`, unless PREFECT_HOME says another."""
NOTED = "api_url"
"""Where `up` notes the server's address, in that folder."""
PORT = 4200
TAG = "s2squant"
"""On everything of ours."""
TIMEOUT = 20.0


class ServerError(CallerError):
    """No Prefect server answers, or not as one does; the text says where."""


@dataclass(frozen=True)
class DeployedFlow:
    """A deployment as the server knows it, with its next run (UTC), None where none is scheduled."""

    id: str
    name: str
    """FLOW/DEPLOYMENT."""
    schedules: tuple[str, ...]
    """CRON (ZONE) each, those that are active."""
    paused: bool
    next_run: datetime | None


@dataclass(frozen=True)
class FlowRun:
    """A run as the server knows it; instants are UTC."""

    name: str
    deployment: str
    state: str
    message: str
    scheduled: datetime | None
    started: datetime | None
    ended: datetime | None


def home() -> Path:
    """Prefect's folder, as an absolute path."""
    return Path(os.environ.get("PREFECT_HOME") or HOME).expanduser().absolute()


def address() -> tuple[str, bool]:
    """The server's address, and whether anybody said so (else it is a guess)."""
    named = os.environ.get("PREFECT_API_URL", "")
    if named:
        return named.rstrip("/"), True
    noted = home() / NOTED
    if noted.is_file():
        return noted.read_text(encoding="utf-8").strip(), True
    return f"http://127.0.0.1:{PORT}/api", False


class PrefectApi:
    """A Prefect server's answers; raises ServerError, in one line, where there is none."""

    def __init__(self, url: str) -> None:
        self.url = url
        secret = os.environ.get("PREFECT_API_AUTH_STRING", "")
        user, _, password = secret.partition(":")
        # No proxy and no .netrc stands between this machine and its own server.
        self._client = httpx.Client(timeout=TIMEOUT, trust_env=False, auth=(user, password) if secret else None)

    def __enter__(self) -> PrefectApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def healthy(self) -> bool:
        """Whether the server answers."""
        try:
            return self._client.get(f"{self.url}/health").json() is True
        except (httpx.HTTPError, ValueError):
            return False

    def deployments(self) -> tuple[DeployedFlow, ...]:
        """Our deployments by name, with their next runs."""
        flows = self._flow_names()
        scheduled = self._runs({"state": {"type": {"any_": ["SCHEDULED"]}}}, sort="EXPECTED_START_TIME_ASC", limit=200)
        following: dict[str, datetime | None] = {}
        for run in scheduled:
            following.setdefault(str(run["deployment_id"]), _moment(run["expected_start_time"]))
        found = [
            DeployedFlow(
                id=str(row["id"]),
                name=f"{flows.get(row['flow_id'], '?')}/{row['name']}",
                schedules=tuple(_said(s["schedule"]) for s in row["schedules"] if s["active"]),
                paused=bool(row["paused"]),
                next_run=following.get(str(row["id"])),
            )
            for row in self._all_deployments()
        ]
        return tuple(sorted(found, key=lambda deployed: deployed.name))

    def last_runs(self, limit: int = 20) -> tuple[FlowRun, ...]:
        """Our newest runs that were begun, the latest first."""
        flows = self._flow_names()
        deployed = {row["id"]: f"{flows.get(row['flow_id'], '?')}/{row['name']}" for row in self._all_deployments()}
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        return tuple(
            FlowRun(
                name=row["name"],
                deployment=deployed.get(row["deployment_id"], ""),
                state=row["state_name"] or "",
                message=((row["state"] or {}).get("message") or ""),
                scheduled=_moment(row["expected_start_time"]),
                started=_moment(row["start_time"]),
                ended=_moment(row["end_time"]),
            )
            for row in self._runs(begun, sort="EXPECTED_START_TIME_DESC", limit=limit)
        )

    def start(self, deployment: str) -> str:
        """Ask for a run of a deployment (its id) right away; the run's name."""
        asked = {"state": {"type": "SCHEDULED", "message": "asked for by s2squant"}}
        return str(self._post(f"deployments/{deployment}/create_flow_run", asked)["name"])

    def _all_deployments(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._post("deployments/filter", {"deployments": {"tags": {"all_": [TAG]}}})
        return rows

    def _flow_names(self) -> dict[str, str]:
        return {row["id"]: row["name"] for row in self._post("flows/filter", {})}

    def _runs(self, where: Mapping[str, Any], *, sort: str, limit: int) -> list[dict[str, Any]]:
        asked = {"flow_runs": {"tags": {"all_": [TAG]}, **where}, "sort": sort, "limit": limit}
        rows: list[dict[str, Any]] = self._post("flow_runs/filter", asked)
        return rows

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        try:
            answer = self._client.post(f"{self.url}/{path}", json=dict(body))
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            what = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else "no answer"
            raise ServerError(f"no Prefect server at {self.url} ({what}); s2squant up starts one") from None


def _moment(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(text).astimezone(UTC)


def _said(schedule: Mapping[str, Any]) -> str:
    return f"{schedule.get('cron') or schedule.get('rrule') or schedule.get('interval')} ({schedule.get('timezone')})"
