"""Settings in which two experiments differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from s2squant.config.experiment import Experiment

NOWHERE = object()


def differences(one: Experiment, other: Experiment) -> list[tuple[str, Any, Any]]:
    """(setting, value in one, value in the other), as `--set` writes it; None where one has no such setting."""
    mine, theirs = (dict(_leaves(json.loads(experiment.to_json()))) for experiment in (one, other))
    names = [*mine, *(name for name in theirs if name not in mine)]
    return [
        (name, mine.get(name), theirs.get(name))
        for name in names
        if mine.get(name, NOWHERE) != theirs.get(name, NOWHERE)
    ]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value
