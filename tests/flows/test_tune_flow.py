"""The search as a flow: parameters are checked before a run exists, the flow drives the search and tells its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows import tune as module
from flows.deployments import flow_of, standing
from s2squant.errors import ConfigError
from s2squant.tuning.results import TrialResult


@pytest.mark.parametrize(
    "wrong",
    [
        {"tuning": {"trials": 0}},
        {"tuning": {"trails": 3}},
        {"tuning": {"holdout": 1.5}},
        {"tuning": {"study": "../away"}},
        {"tuning": {"space": {"forecasters.seq2seq.pooled.lr": "log:1:0"}}},
        {"experiment": {"walk": {"horizon": 0}}},
        {"workers": 0},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        module.tune.validate_parameters(wrong)


def test_it_is_deployed_without_a_schedule() -> None:
    found = next(deployed for deployed in standing() if deployed.full_name == "tune/adhoc")
    assert flow_of(found) is module.tune
    assert found.schedules == ()
    given = module.tune.validate_parameters({"tuning": {"space": {"forecasters.anchor.stride": "int:2:9"}}})
    assert given["tuning"].trials == 20


class StandIn:
    """A search of two trials."""

    def __init__(self) -> None:
        self.left = 2

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None: ...

    def step(self) -> TrialResult | None:
        self.left -= 1
        return TrialResult(1 - self.left, "done", {"a": 0.5}, 0.01, (0.01,), "", 0.1) if self.left >= 0 else None

    def finish(self) -> tuple[Path, Any]:
        return Path("reports/tune/x"), SimpleNamespace(sentence="Tuning paid: by 1 %.", study="x")


@pytest.mark.slow
@pytest.mark.prefect
def test_the_flow_ends_with_the_verdict_or_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_search", lambda *_, **__: StandIn())
    monkeypatch.setattr(module, "opening_line", lambda _: "study x")
    monkeypatch.setattr(module, "summary", lambda tuned: {"study": tuned.study})
    state: Any = module.tune(return_state=True)
    assert (state.name, state.message) == ("Completed", "Tuning paid: by 1 %.")
    assert state.result() == {"study": "x", "folder": "reports/tune/x"}

    def refuse(*_: Any, **__: Any) -> None:
        raise ConfigError("nothing to search")

    monkeypatch.setattr(module, "open_search", refuse)
    failed: Any = module.tune(return_state=True)
    assert failed.is_failed()
    assert failed.message == "nothing to search"
