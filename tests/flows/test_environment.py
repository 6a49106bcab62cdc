"""Prefect's settings stand in the environment before Prefect is imported, and what a person set stays."""

import os
from pathlib import Path

import pytest

from flows import deployments
from flows.environment import prefect_settings

STARTED = ("backtest", "forecast", "tune", "ingest", "maintain", "serve", "alerts", "deployments")
"""The modules that are run by themselves or that Prefect loads by name."""


@pytest.mark.parametrize("name", STARTED)
def test_the_settings_come_before_the_import(name: str) -> None:
    text = Path(deployments.__file__).with_name(f"{name}.py").read_text()
    assert 0 < text.index("\nos.environ.update(prefect_settings(") < text.index("\nfrom prefect")


def test_only_what_is_not_set_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("DO_NOT_TRACK", "PREFECT_"))]:
        monkeypatch.delenv(name, raising=False)
    assert "PREFECT_LOGGING_LEVEL" not in prefect_settings()
    by_hand = prefect_settings(by_hand=True)
    assert (by_hand["PREFECT_LOGGING_LEVEL"], by_hand["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("WARNING", "false")
    assert prefect_settings(ephemeral=False)["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] == "false"
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    assert "PREFECT_LOGGING_LEVEL" not in prefect_settings(by_hand=True)
