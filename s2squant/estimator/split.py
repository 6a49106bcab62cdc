"""Splits of a long frame by date: every ticker's past to fit on, the dates after it to score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from s2squant.errors import ConfigError, PriceError, SourceError
from s2squant.estimator.arguments import whole
from s2squant.estimator.dataframes import as_pandas
from s2squant.estimator.keywords import named
from s2squant.prices.sources.stamps import parse
from s2squant.series.arrays import Dates, Ints


class DateSplit:
    """Cross-validation by date for scikit-learn: fits end where the dates that are scored begin.

    scikit-learn's own splits count rows, and would cut a frame of several tickers in the middle of one.

    Parameters
    ----------
    n_splits : int
        Windows, side by side, that end with the last date.
    test_size : int
        Dates of a window; more than the horizon.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.DataFrame({"unique_id": "A", "ds": pd.date_range("2020-01-01", periods=10), "y": 1.0})
    >>> [(len(past), later.tolist()) for past, later in DateSplit(2, test_size=3).split(days)]
    [(4, [4, 5, 6]), (7, [7, 8, 9])]
    """

    @named
    def __init__(self, n_splits: int = 5, *, test_size: int = 250) -> None:
        self.n_splits = whole("n_splits", n_splits, least=1)
        self.test_size = whole("test_size", test_size, least=1)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: ARG002
        """How many windows there are."""
        return self.n_splits

    def split(self, X: Any, y: object = None, groups: object = None) -> Iterator[tuple[Ints, Ints]]:  # noqa: ARG002
        """Row numbers of the past and of the window, oldest window first; raises SourceError for too few dates."""
        frame, _ = as_pandas(X, "df")
        if "ds" not in frame.columns:
            raise SourceError("the frame has no column 'ds'; give unique_id, ds and y (adjusted closes)")
        days, day_of = np.unique(_days(frame["ds"]), return_inverse=True)
        first = len(days) - self.n_splits * self.test_size
        if first < 1:
            raise ConfigError(
                f"DateSplit: {self.n_splits} windows of {self.test_size} dates leave none of {len(days)} to fit on"
            )
        for start in range(first, len(days), self.test_size):
            yield np.flatnonzero(day_of < start), np.flatnonzero((day_of >= start) & (day_of < start + self.test_size))


def _days(column: pd.Series) -> Dates:
    try:
        return parse(column, "ds").wall.astype("datetime64[D]")
    except PriceError as error:
        raise SourceError(f"DateSplit: {error}") from None
