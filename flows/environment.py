"""Prefect's settings of our own: they have to stand in the environment before the first import of Prefect."""

from __future__ import annotations

import os


def prefect_settings(*, by_hand: bool = False, ephemeral: bool = True) -> dict[str, str]:
    """The settings that the environment does not hold yet.

    Nothing is reported to anybody. A run `by_hand` leaves the terminal to our own lines. Where `ephemeral` is off no
    temporary server is started; where it is on it may take its time.
    """
    settings = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    if ephemeral:
        settings["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "90"
    else:
        settings["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
    if by_hand:
        settings["PREFECT_LOGGING_LEVEL"] = "WARNING"
    return {name: value for name, value in settings.items() if name not in os.environ}
