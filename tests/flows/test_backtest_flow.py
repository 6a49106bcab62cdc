"""The flow on a tiny sample: the plain loop's numbers, honest final states, parameters as a deployment has them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ParameterTypeError

from flows.backtest import backtest, under_prefect
from flows.tasks import markdown
from s2squant import study
from s2squant.cli import app as cli
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment


def tiny(*tickers: str) -> Experiment:
    return make_experiment(
        {
            "name": "tiny",
            "universe": {"tickers": tickers, "start": "2018-01-01"},
            "walk": {"horizon": 3, "cutoffs": 12, "every": 5, "min_train": 300},
            "forecasters": {
                "models": ["historical_simulation", "random_walk"],
                "historical_simulation": {"paths": 128},
            },
            "verdict": {"recommended": "random_walk"},
        }
    )


def artifacts_of(run: str) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/filter", json={"artifacts": {"flow_run_id": {"any_": [run]}}})
    return {artifact["key"]: artifact["data"] for artifact in found.json()}


@pytest.mark.prefect
def test_the_flow_gives_the_numbers_of_the_plain_loop(server: None, tmp_path: Path) -> None:
    experiment = tiny("EURUSD", "EURGBP")
    state: State = backtest(experiment, str(tmp_path / "flow"), 1, return_state=True)
    assert state.name == "Completed"
    result = state.result()
    assert (result["status"], result["exit_status"]) == ("done", 0)
    assert state.message == result["sentence"]
    assert (tmp_path / "flow" / "manifest.json").is_file()

    folder, plain = study.backtest(experiment, tmp_path / "plain", workers=0)
    for table in ("forecasts", "scores", "verdicts", "equity"):
        name = f"{table}.parquet"
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "flow" / name), pd.read_parquet(folder / name))

    artifacts = artifacts_of(str(state.state_details.flow_run_id))
    assert plain.sentence in artifacts["backtest"]
    assert [row["model"] for row in json.loads(artifacts["leaderboard"])] == list(plain.leaderboard["model"])
    assert markdown(folder, plain).count("\n| ") == 1 + len(plain.leaderboard)


@pytest.mark.prefect
def test_a_ticker_that_drops_out_is_named_and_exits_3(
    server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "tiny.json", tmp_path / "run"
    file.write_text(tiny("EURUSD", "FB").to_json())
    argv = [str(file), "--out", str(out), "--workers", "1", "--json"]
    assert cli.backtest_main(argv, runner=under_prefect, program="python flows/backtest.py") == 3
    said = json.loads(capsys.readouterr().out)
    dropped = said["tickers"]["skipped"] | said["tickers"]["failed"]
    assert list(dropped) == ["FB"]
    with get_client(sync_client=True) as client:
        ended = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])))
        newest = client.read_flow_runs(flow_run_filter=ended, limit=1, sort=FlowRunSort.START_TIME_DESC)[0]
    assert newest.state is not None
    assert newest.state.name == "PartiallyFailed"
    assert newest.state.is_completed()
    assert f"FB: {dropped['FB']}" in artifacts_of(str(newest.id))["backtest"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert f"python flows/backtest.py {file} --out {out}" in json.dumps(manifest)


@pytest.mark.prefect
def test_a_caller_error_fails_in_one_line(server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = make_experiment({"universe": {"source": "csv:absent"}})
    state: State = backtest(experiment, str(tmp_path / "run"), return_state=True)
    assert state.is_failed()
    assert state.message
    assert "absent" in state.message
    assert "\n" not in state.message
    assert not (tmp_path / "run").exists()
    capsys.readouterr()

    argv = ["--source", "csv:absent", "--out", str(tmp_path / "run")]
    assert cli.backtest_main(argv, runner=under_prefect, program="python flows/backtest.py") == 2
    assert capsys.readouterr() == ("", f"error: {state.message}\n")


def test_parameters_are_checked_like_an_experiment_file() -> None:
    given = {"experiment": {"walk": {"horizon": 3}, "universe": {"start": "2018-01-01"}}, "workers": 2}
    checked = backtest.validate_parameters(given)
    assert checked["experiment"] == make_experiment(given["experiment"])
    for wrong in ({"experiment": {"walk": {"horizn": 3}}}, {"experiment": {"walk": {"horizon": 0}}}, {"workers": 0}):
        with pytest.raises(ParameterTypeError):
            backtest.validate_parameters(wrong)


def test_a_deployment_shows_the_whole_experiment_and_its_defaults() -> None:
    schema = json.loads(json.dumps(backtest.parameters.model_dump(mode="json")))
    assert schema["required"] == []
    assert schema["properties"]["experiment"]["default"] == json.loads(Experiment().to_json())
    assert schema["definitions"]["Walk"]["additionalProperties"] is False
    assert schema["definitions"]["Walk"]["properties"]["horizon"]["minimum"] == 1
    assert "run's folder" in schema["properties"]["out"]["description"]
