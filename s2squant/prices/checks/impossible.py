"""Values of a bar that cannot be, whatever the instrument."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.history import OHLCV


def impossible(table: dict[str, Floats], *, signed: bool = False) -> dict[str, NDArray[np.bool_]]:
    """Which values of open, high, low, close and volume cannot be, by column; columns without any are left out.

    A price of a bar is finite and, unless `signed`, above zero, a volume finite and not below zero; either may be
    unknown (NaN).
    """
    bars = {name: values for name, values in table.items() if name in OHLCV}
    if all(_evident(name, values, signed) for name, values in bars.items()):
        return {}
    import pandera.errors

    try:
        _schema(signed).validate(pd.DataFrame(bars), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        wrong = {name: np.zeros(len(values), bool) for name, values in bars.items()}
        for name, row in zip(cases["column"], cases["index"], strict=True):
            wrong[name][int(row)] = True
        return {name: mask for name, mask in wrong.items() if mask.any()}
    return {}


def _evident(name: str, values: Floats, signed: bool) -> bool:
    """Whether all values of a column are known and possible."""
    if len(values) == 0:
        return True
    least = values.min()  # NaN where any is NaN
    sound = least >= 0 if name == "volume" else least > (-np.inf if signed else 0)
    return bool(sound and values.max() < np.inf)


@cache
def _schema(signed: bool) -> Any:
    import pandera.pandas as pa  # half a second to import, and sound tables never need it

    above, least = pa.Check.gt(-np.inf if signed else 0), pa.Check.ge(0)
    finite = pa.Check(np.isfinite, name="finite")

    def column(sign: Any) -> Any:
        return pa.Column("float64", [sign, finite], nullable=True, required=False)

    return pa.DataFrameSchema({n: column(least if n == "volume" else above) for n in OHLCV}, strict=True)
