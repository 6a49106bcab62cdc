"""Model store: content-addressed weights, one safetensors file a model, named by the sha256 of its contents.

Equal weights are one file. A file is written whole or not at all, never changed, and checked against its name when it
is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from s2squant.errors import CheckpointError
from s2squant.series.forecast import State
from s2squant.series.states import fingerprint, load_state, save_state

SEPARATOR = "|"
"""Stands between a member's name and the names of its arrays."""


class ModelStore:
    """A folder of models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def put(self, state: State) -> str:
        """Keep a model; returns its version, the sha256 of its contents."""
        version = version_of(state)
        path = self.path(version)
        if path.exists():
            path.touch()  # upkeep spares what was written lately
        else:
            save_state(path, state)
        return version

    def get(self, version: str) -> State:
        """A model; raises CheckpointError where it is missing, damaged or another than its name says."""
        state = load_state(self.path(version))
        if version_of(state) != version:
            raise CheckpointError(f"{version[:12]}: the file holds another model than its name says")
        return state

    def path(self, version: str) -> Path:
        """Where a version is kept."""
        if len(version) != 64 or not set(version) <= set("0123456789abcdef"):
            raise CheckpointError(f"{version[:20]!r} is no version of a model")
        return self.folder / f"{version}.safetensors"


def version_of(state: State) -> str:
    """The sha256 of a state's arrays and plain values: equal contents, equal version."""
    return fingerprint(json.dumps(dict(state.meta), sort_keys=True), state.arrays)


def bundle(members: Mapping[str, State], facts: Mapping[str, Any]) -> State:
    """Several fitted models as one state, with facts about them all."""
    arrays: dict[str, NDArray[Any]] = {
        f"{name}{SEPARATOR}{key}": array for name, state in members.items() for key, array in state.arrays.items()
    }
    return State(arrays, {"members": {name: dict(state.meta) for name, state in members.items()}, "facts": dict(facts)})


def unbundle(state: State) -> tuple[dict[str, State], dict[str, Any]]:
    """The members of a bundle, and its facts; raises CheckpointError for anything else."""
    try:
        metas, facts = dict(state.meta["members"]), dict(state.meta["facts"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError("a stored model is not of a nightly run") from None
    members = {}
    for name, meta in metas.items():
        start = f"{name}{SEPARATOR}"
        arrays = {key.removeprefix(start): array for key, array in state.arrays.items() if key.startswith(start)}
        members[name] = State(arrays, meta)
    return members, facts


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Hash of the settings that a model was fitted under: weights of other settings are not gone on with."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]
