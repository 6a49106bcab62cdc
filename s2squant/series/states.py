"""A fitted model's state as a safetensors file with JSON inside; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from s2squant.errors import CheckpointError
from s2squant.files import write_atomic
from s2squant.series.forecast import State


def save_state(path: Path, state: State) -> None:
    """Write a state as one safetensors file, its plain values as JSON in the header; equal states, equal bytes."""
    meta = json.dumps(dict(state.meta), sort_keys=True)
    arrays = {name: array.copy(order="C") for name, array in state.arrays.items()}
    header = json.dumps({"meta": meta, "sha256": fingerprint(meta, arrays)})  # one entry: safetensors shuffles several
    write_atomic(path, lambda at: save_file(arrays, at, metadata={"s2squant": header}))


def load_state(path: Path) -> State:
    """Read a state back; raises CheckpointError when the file is missing, damaged or not ours."""
    try:
        with safe_open(path, framework="numpy") as stored:
            header = json.loads((stored.metadata() or {})["s2squant"])
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if header["sha256"] != fingerprint(header["meta"], arrays):
            raise ValueError("its contents were changed")
        return State(arrays, json.loads(header["meta"]))
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name}: not a readable model file ({error or type(error).__name__})") from None


def fingerprint(meta: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Content hash of a state: its plain values as JSON text, and its arrays."""
    digest = hashlib.sha256(meta.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
