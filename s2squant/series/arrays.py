"""Array types, and read-only copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Dates = NDArray[np.datetime64]


def frozen_array(values: Any, dtype: Any) -> NDArray[Any]:
    """A read-only, contiguous copy of `values`; `values` itself where it is one already."""
    own = isinstance(values, np.ndarray) and values.flags.owndata and values.flags.c_contiguous
    if own and not values.flags.writeable and values.dtype == np.dtype(dtype):
        return np.asarray(values)
    array = np.array(values, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array
