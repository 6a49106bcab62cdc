"""Values of a bar that no market can show: a mask for each column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.history import EVENTS, OHLCV


def impossible(table: dict[str, Floats], *, signed: bool = False) -> dict[str, NDArray[np.bool_]]:
    """Which values of bars and events cannot be, by column; columns without any are left out.

    A price of a bar is finite and, unless `signed`, above zero, a volume, dividend or split finite and not below zero;
    any may be unknown (NaN).
    """
    known = (*OHLCV, *EVENTS)
    masks = {name: _impossible(name, values, signed) for name, values in table.items() if name in known}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _impossible(name: str, values: Floats, signed: bool) -> NDArray[np.bool_]:
    if name in ("volume", *EVENTS):
        return np.isinf(values) | (values < 0)
    return np.isinf(values) | (not signed) & (values <= 0)
