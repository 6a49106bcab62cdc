"""Deployments as data: the one table that serve, prefect.yaml and the tests read.

`python -m flows.deployments > flows/prefect.yaml` writes the same for a process pool; a test holds the two together.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.environment import prefect_settings

os.environ.update(prefect_settings())

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from ruamel.yaml import YAML

from s2squant import __version__
from s2squant.config.intervals import SECONDS, market_of
from s2squant.config.nightly import ISSUED, Nightly
from s2squant.nightly.agenda import calendars_of
from s2squant.nightly.operation.server import TAG
from s2squant.prices.calendars.closing import Schedule, schedules_after

POOL = "local-process"
POOL_ENV = {"DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
US = ("SPY", "QQQ", "IWM", "AAPL", "MSFT", "JPM", "XOM", "JNJ", "PG", "KO")
GERMANY = ("SAP.DE", "SIE.DE", "ALV.DE", "DTE.DE", "BAS.DE", "BMW.DE")
HEADER = """\
# The deployments for a process pool. Written by `python -m flows.deployments > flows/prefect.yaml`; change
# flows/deployments.py, not this file. There is no pull section: deploy notes the folder that it is called in.
#   prefect --no-prompt work-pool create local-process --type process
#   prefect --no-prompt deploy --prefect-file flows/prefect.yaml --all
#   prefect worker start --pool local-process --type process --limit 2
"""


@dataclass(frozen=True)
class Deployed:
    """One deployment: which flow (module.function), with which parameters, when."""

    entrypoint: str
    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()

    @property
    def full_name(self) -> str:
        """FLOW/DEPLOYMENT."""
        return f"{self.entrypoint.rpartition('.')[2]}/{self.name}"


def standing() -> tuple[Deployed, ...]:
    """What is deployed when nothing else is asked for."""
    return (
        of_nightly(_example("nightly-us", US), "Ten US stocks and funds, 90 minutes after New York closes."),
        of_nightly(_example("nightly-de", GERMANY), "Example of another exchange: six German stocks, Xetra's clock."),
        *about_them(_example("nightly-us", US), _example("nightly-de", GERMANY)),
    )


def of_nightly(nightly: Nightly, description: str = "") -> Deployed:
    """A nightly's own deployment, with one schedule for each market of its tickers."""
    parameters = {"nightly": _given(nightly)}
    said = description or f"Forecasts of the nightly {nightly.name}."
    return Deployed("flows.forecast.forecast", nightly.name, said, parameters, schedules_of(nightly))


def about_them(*nightlies: Nightly) -> tuple[Deployed, ...]:
    """What goes with nightlies: prices once a week as far as missing or revised, upkeep, and work by hand."""
    universes = [u for spec in nightlies if (u := spec.experiment.universe).interval not in SECONDS]
    tickers = dict.fromkeys(ticker for u in universes if u.source == "yfinance" for ticker in u.tickers)
    prices = (
        Deployed(
            "flows.ingest.ingest",
            "prices",
            "Bars that are missing and those the source revised; on Saturdays, when no market is open.",
            {"tickers": list(tickers)},
            (Schedule("0 8 * * 6", "America/New_York"),),
        ),
    )
    return (
        *(prices if tickers else ()),
        Deployed(
            "flows.maintain.maintain",
            "weekly",
            "Old runs, weights and price versions go; runs that died are marked. Ledger rows are never removed.",
            {"nightlies": [_given(nightly) for nightly in nightlies]},
            (Schedule("0 8 * * 0", "America/New_York"),),
        ),
        Deployed("flows.backtest.backtest", "adhoc", "A backtest by hand; the embedded sample unless told otherwise."),
        Deployed(
            "flows.tune.tune",
            "adhoc",
            "A search for better settings by hand, judged on cutoffs it never saw; one with the same settings goes on.",
        ),
    )


def schedules_of(nightly: Nightly) -> tuple[Schedule, ...]:
    """After every bar of each market of a nightly's tickers, as the price store knows them, else by their names.

    Without tickers New York's.
    """
    universe = nightly.experiment.universe
    usual = market_of(universe.interval, "XNYS") if universe.interval in SECONDS else "XNYS"
    markets = set(calendars_of(nightly).values()) if universe.tickers else {usual}
    return tuple(dict.fromkeys(schedule for market in sorted(markets) for schedule in schedules_after(market)))


def flow_of(deployed: Deployed) -> Flow[..., Any]:
    """The flow of a deployment; importing it takes seconds."""
    module, _, name = deployed.entrypoint.rpartition(".")
    known = getattr(importlib.import_module(module), name)
    assert isinstance(known, Flow)
    return known


def served(deployed: Deployed) -> RunnerDeployment:
    """The deployment as `serve` takes it."""
    deployment = flow_of(deployed).to_deployment(
        name=deployed.name,
        description=deployed.description,
        tags=[TAG],
        version=__version__,
        parameters=dict(deployed.parameters),
        schedules=[Cron(schedule.cron, timezone=schedule.timezone) for schedule in deployed.schedules],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment), "nothing here is asynchronous"
    return deployment


def document(deployments: Iterable[Deployed]) -> dict[str, Any]:
    """The deployments as prefect.yaml has them."""
    return {
        "deployments": [
            {
                "name": deployed.name,
                "entrypoint": deployed.entrypoint,
                "description": deployed.description,
                "version": __version__,
                "tags": [TAG],
                "parameters": dict(deployed.parameters),
                "schedules": [{"cron": s.cron, "timezone": s.timezone, "active": True} for s in deployed.schedules],
                "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
                "enforce_parameter_schema": True,
                "work_pool": {"name": POOL, "job_variables": {"env": dict(POOL_ENV)}},
            }
            for deployed in deployments
        ]
    }


def as_yaml(deployments: Iterable[Deployed]) -> str:
    """The text of prefect.yaml."""
    writer = YAML()
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 120
    text = io.StringIO()
    writer.dump(document(deployments), text)
    return HEADER + text.getvalue()


def _given(nightly: Nightly) -> dict[str, Any]:
    """A nightly as a parameter: what was set, not every default."""
    return nightly.model_dump(mode="json", exclude_unset=True) | {"name": nightly.name}


def _example(name: str, tickers: tuple[str, ...]) -> Nightly:
    universe = {"source": "yfinance", "tickers": tickers}
    experiment = {"name": name, "universe": universe, "forecasters": {"models": ISSUED}}
    return Nightly.model_validate({"name": name, "experiment": experiment})


if __name__ == "__main__":
    sys.stdout.write(as_yaml(standing()))
