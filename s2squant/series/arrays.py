"""Array types, and read-only copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.config.intervals import unit_of_dates

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Dates = NDArray[np.datetime64]
"""datetime64[D] where bars are daily or longer; datetime64[s], UTC, where they are shorter."""


def dates_of(market: str, values: Any) -> Dates:
    """Values as dates of a market's bars: days, or moments where its bars are shorter; NaT where there is none."""
    return np.asarray(values, f"datetime64[{unit_of_dates(market)}]")


def date_of(market: str, value: Any) -> np.datetime64:
    """One value as a date of a market's bars; a day is the moment at which it begins, UTC."""
    moment: np.datetime64 = dates_of(market, [value])[0]
    return moment


def table_dates(values: Any) -> Dates:
    """A table's dates: days where all of them are, else moments."""
    moments = np.asarray(values).astype("datetime64[s]")
    days = moments.astype("datetime64[D]")
    return days if bool((days == moments).all()) else moments


def in_days(spans: Any) -> Floats:
    """Spans of time in days."""
    return np.asarray(spans / np.timedelta64(1, "D"), np.float64)


def frozen_array(values: Any, dtype: Any) -> NDArray[Any]:
    """A read-only, contiguous copy of `values`; `values` itself where it is one already."""
    own = isinstance(values, np.ndarray) and values.flags.owndata and values.flags.c_contiguous
    if own and not values.flags.writeable and values.dtype == np.dtype(dtype):
        return np.asarray(values)
    array = np.array(values, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array
