"""The deployments as data: every entrypoint resolves, parameters are checked, prefect.yaml and serve are the same."""

from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError
from ruamel.yaml import YAML

from flows import deployments
from flows.deployments import Deployed, as_yaml, document, flow_of, of_nightly, schedules_of, served, standing
from s2squant.config.nightly import ISSUED, Nightly
from s2squant.prices.calendars.closing import Schedule

FILE = Path(deployments.__file__).with_name("prefect.yaml")


def from_file() -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load(FILE)["deployments"])


def test_prefect_yaml_is_what_serve_serves() -> None:
    assert FILE.read_text() == as_yaml(standing()), "python -m flows.deployments > flows/prefect.yaml"
    for entry, deployed in zip(from_file(), standing(), strict=True):
        made = served(deployed)
        assert made.entrypoint == entry["entrypoint"]
        assert (made.name, made.description, made.tags) == (entry["name"], entry["description"], entry["tags"])
        assert (made.version, made.parameters) == (entry["version"], entry["parameters"])
        assert made.enforce_parameter_schema
        assert made.concurrency_limit == 1
        assert made.concurrency_options is not None
        assert made.concurrency_options.collision_strategy.value == entry["concurrency_limit"]["collision_strategy"]
        slots = [(s.schedule.cron, s.schedule.timezone) for s in made.schedules or ()]
        assert slots == [(s["cron"], s["timezone"]) for s in entry["schedules"]]


@pytest.mark.parametrize("entry", from_file(), ids=lambda entry: f"{entry['entrypoint']}-{entry['name']}")
def test_an_entrypoint_resolves_and_takes_its_parameters(entry: dict[str, Any]) -> None:
    deployed = Deployed(entry["entrypoint"], entry["name"], "", entry["parameters"])
    flow = flow_of(deployed)
    flow.validate_parameters(entry["parameters"])
    assert "pull" not in entry
    assert flow.retries == 0, "a flow-level retry and a concurrency limit end each other"


def test_no_path_of_a_machine_is_in_it() -> None:
    text = FILE.read_text()
    assert str(Path.home()) not in text
    assert str(FILE.parents[1]) not in text


def test_a_nightly_is_scheduled_by_the_clock_of_each_of_its_exchanges() -> None:
    def at(*tickers: str) -> tuple[Schedule, ...]:
        given: Any = {"experiment": {"universe": {"source": "yfinance", "tickers": tickers}}}
        return schedules_of(Nightly.model_validate(given))

    assert at("SPY", "AAPL") == (Schedule("30 17 * * 1-5", "America/New_York"),)
    assert at("SAP.DE") == (Schedule("0 19 * * 1-5", "Europe/Berlin"),)
    assert at("7203.T") == (Schedule("0 17 * * 1-5", "Asia/Tokyo"),)
    assert at("EURUSD=X") == (Schedule("30 1 * * 2-6", "UTC"),)
    assert at("BTC-USD") == (Schedule("30 1 * * *", "UTC"),)
    assert len(at("SPY", "SAP.DE")) == 2


def test_the_nightly_that_is_deployed_is_the_nightly_that_was_asked_for() -> None:
    asked = Nightly.model_validate({"name": "mine", "retraining": {"every": 5}})
    deployed = of_nightly(asked)
    assert deployed.full_name == "forecast/mine"
    given = flow_of(deployed).validate_parameters(dict(deployed.parameters))["nightly"]
    assert given == asked
    for example in standing()[:2]:
        given = flow_of(example).validate_parameters(dict(example.parameters))["nightly"]
        assert given.experiment.universe.source == "yfinance"
        assert given.experiment.forecasters.models == ISSUED


@pytest.mark.parametrize(
    "wrong",
    [
        {"nightly": {"nmae": "x"}},
        {"nightly": {"retraining": {"every": 0}}},
        {"nightly": {"experiment": {"walk": {"horizon": 0}}}},
        {"nightly": {"name": "Not Plain"}},
        {"workers": -1},
        {"asof": "yesterday"},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        flow_of(standing()[0]).validate_parameters(wrong)


def test_the_yaml_is_read_back_as_it_was_meant() -> None:
    assert YAML(typ="safe").load(as_yaml(standing())) == document(standing())
