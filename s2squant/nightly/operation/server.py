"""Client of a Prefect server over plain HTTP: only flows/ import Prefect, whose own takes a second to import.

The server is the one that PREFECT_API_URL names, or the one that `s2squant up` noted in its folder, or the one at
Prefect's own port of this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from s2squant.config.defaults import SERVER_PORT
from s2squant.errors import ServerError

HOME = Path("data/prefect")
"""Prefect's folder under `s2squant up`, unless PREFECT_HOME says another."""
NOTED = "api_url"
"""Where `up` notes the server's address, in that folder."""
EXPECTED = "up.json"
"""Where `up` notes what is scheduled here, in that folder; it stays when `up` ends, for status to miss it."""
TAG = "s2squant"
"""On everything of ours."""
TIMEOUT = 20.0
PAGE = 200
"""Rows that a server gives at once, at most."""


OURS = {"tags": {"all_": [TAG]}}
SCHEDULED = {"state": {"type": {"any_": ["SCHEDULED"]}}}
BEGUN = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}


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
    return f"http://127.0.0.1:{SERVER_PORT}/api", False


def expected() -> tuple[str, ...]:
    """The scheduled deployments that `up` last kept here, FLOW/DEPLOYMENT each; none where it never did."""
    try:
        names = json.loads((home() / EXPECTED).read_text(encoding="utf-8"))["scheduled"]
        return tuple(str(name) for name in names)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        return (f"what {EXPECTED} says, which is damaged",)


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
        flows = {row["id"]: row["name"] for row in self._all("flows", {}, sort="NAME_ASC")}
        waiting = self._all("flow_runs", {"flow_runs": OURS | SCHEDULED}, sort="ID_DESC")
        next_runs: dict[str, datetime] = {}
        for run in waiting:
            key, due = str(run["deployment_id"]), _moment(run["expected_start_time"])
            if due is not None:
                next_runs[key] = min(due, next_runs.get(key, due))
        known = [
            DeployedFlow(
                id=str(row["id"]),
                name=f"{flows.get(row['flow_id'], '?')}/{row['name']}",
                schedules=tuple(_said(s["schedule"]) for s in row["schedules"] if s["active"]),
                paused=bool(row["paused"]),
                next_run=next_runs.get(str(row["id"])),
            )
            for row in self._all("deployments", {"deployments": OURS}, sort="CREATED_DESC")
        ]
        return tuple(sorted(known, key=lambda deployed: deployed.name))

    def last_runs(self, deployed: Sequence[DeployedFlow], newest: int = 20) -> tuple[FlowRun, ...]:
        """The newest of our runs that were begun, as many as people look at, the latest first."""
        names = {deployment.id: deployment.name for deployment in deployed}
        rows = self._page("flow_runs", {"flow_runs": OURS | BEGUN}, sort="EXPECTED_START_TIME_DESC", limit=newest)
        return tuple(_run(row, names.get(str(row["deployment_id"]), "")) for row in rows)

    def last_run(self, deployed: DeployedFlow) -> FlowRun | None:
        """A deployment's newest run that was begun, None where none was."""
        where = {"flow_runs": BEGUN, "deployments": {"id": {"any_": [deployed.id]}}}
        rows = self._page("flow_runs", where, sort="EXPECTED_START_TIME_DESC", limit=1)
        return _run(rows[0], deployed.name) if rows else None

    def start(self, deployment: str) -> str:
        """Ask for a run of a deployment (its id) right away; the run's name."""
        asked = {"state": {"type": "SCHEDULED", "message": "asked for by s2squant"}}
        return str(self._post(f"deployments/{deployment}/create_flow_run", asked)["name"])

    def _all(self, kind: str, where: Mapping[str, Any], *, sort: str) -> list[dict[str, Any]]:
        """Every row of a listing; `sort` is by something that no two rows share, as each page is its own question."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self._page(kind, where, sort=sort, limit=PAGE, offset=len(rows))
            rows += page
            if len(page) < PAGE:
                return rows

    def _page(self, kind: str, where: Mapping[str, Any], *, sort: str, limit: int, offset: int = 0) -> list[Any]:
        rows: list[Any] = self._post(f"{kind}/filter", {**where, "sort": sort, "limit": limit, "offset": offset})
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


def _run(row: Mapping[str, Any], deployment: str) -> FlowRun:
    return FlowRun(
        name=row["name"],
        deployment=deployment,
        state=row["state_name"] or "",
        message=((row["state"] or {}).get("message") or ""),
        scheduled=_moment(row["expected_start_time"]),
        started=_moment(row["start_time"]),
        ended=_moment(row["end_time"]),
    )


def _said(schedule: Mapping[str, Any]) -> str:
    return f"{schedule.get('cron') or schedule.get('rrule') or schedule.get('interval')} ({schedule.get('timezone')})"
