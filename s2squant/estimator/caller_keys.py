"""Keys of a caller's frame: ids and time zone, so that forecasts can be merged with the frame they came from.

Inside, tickers are text and dates are calendar days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any

import numpy as np
import pandas as pd

from s2squant.errors import RunError, SourceError
from s2squant.estimator.dataframes import Library
from s2squant.prices.sources.moments import written
from s2squant.series.history import PriceHistory

DATES = ("ds", "cutoff")
DAY = pd.Timestamp("2000-01-03")
"""Any: it carries the time zone in a file."""


@dataclass(frozen=True, eq=False)
class Keys:
    """Ids of a frame by their text, in its own type, the zone of its dates, if any, and whose frame it is."""

    ids: pd.Series
    zone: tzinfo | None
    library: Library = field(default_factory=Library)
    clocks: Mapping[str, str] = field(default_factory=dict)
    """Ticker -> the zone of its stamps, where its bars are shorter than a day."""

    def on(self, histories: Iterable[PriceHistory]) -> Keys:
        """The keys, with the clocks of what was read of the frame."""
        clocks = {h.ticker: h.clock or "UTC" for h in histories if h.is_intraday}
        return replace(self, clocks={**self.clocks, **clocks}) if clocks else self

    @classmethod
    def of(cls, df: pd.DataFrame, library: Library) -> Keys:
        """The keys of a frame; raises SourceError for ids that are missing, the same as text, or no text at all."""
        given, days = df["unique_id"], df["ds"]
        for name, column in (("unique_id", given), ("ds", days)):
            if column.ndim > 1:
                raise SourceError(f"two columns are called {name}; keep one")
        missing = np.flatnonzero(given.isna().to_numpy())
        if len(missing):
            where = f"{len(missing)} row(s), the first is row {missing[0] + 1}"
            raise SourceError(f"unique_id is missing in {where}; name the ticker of each")
        try:
            each = given.drop_duplicates()
            names = [str(one) for one in each if hash(one) is not None]
        except TypeError:
            raise SourceError("unique_id holds values that are no names (lists?); give text or numbers") from None
        ids = pd.Series(each.array, index=pd.Index(names, dtype=object), dtype=given.dtype)
        if not ids.index.is_unique:
            text = ids.index[ids.index.duplicated()][0]
            same = " and ".join(repr(one) for one, name in zip(each.tolist(), ids.index, strict=True) if name == text)
            raise SourceError(f"unique_id {same} are the same as text; rename one")
        return cls(ids, days.dtype.tz if isinstance(days.dtype, pd.DatetimeTZDtype) else None, library)

    def back(self, table: pd.DataFrame) -> Any:
        """The table with the frame's own ids, its dates at midnight of the frame's zone, in the frame's library.

        Moments of bars within the day are on the frame's clock.
        """
        place = self.ids.index.get_indexer(pd.Index(table["unique_id"].tolist(), dtype=object))
        own = {"unique_id": pd.Series(self.ids.array.take(place), index=table.index, dtype=self.ids.dtype)}
        if self.clocks:
            own |= {name: self._moments(table, name) for name in DATES if name in table}
        elif self.zone is not None:
            summer = np.ones(len(table), bool)  # where midnight comes twice
            own |= {
                name: table[name].dt.tz_localize(self.zone, ambiguous=summer, nonexistent="shift_forward")
                for name in DATES
                if name in table
            }
        return self.library.frame(table.assign(**own))

    def _moments(self, table: pd.DataFrame, name: str) -> pd.Series:
        if self.zone is not None:
            stamps = pd.DatetimeIndex(table[name]).tz_localize("UTC").tz_convert(self.zone)
            return pd.Series(stamps, index=table.index)
        local = table[name].to_numpy().astype("datetime64[s]")
        clock = table["unique_id"].astype(str).map(self.clocks).to_numpy()
        for zone in dict.fromkeys(self.clocks.values()):
            local[clock == zone] = written(local[clock == zone], zone)
        return pd.Series(local, index=table.index)

    def table(self) -> pd.DataFrame:
        """As a table that parquet keeps; raises RunError for ids of mixed or other types."""
        if self.ids.dtype == object and not all(isinstance(one, str) for one in self.ids):
            raise RunError("ids of mixed or unusual types cannot be kept; give text, numbers or a categorical")
        day = DAY if self.zone is None else DAY.tz_localize(self.zone)
        return pd.DataFrame(
            {
                "ticker": self.ids.index.astype(str),
                "unique_id": self.ids.array,
                "ds": day,
                "object": self.ids.dtype == object,
                "library": self.library.name,
                "dates": self.library.dates,
                "clock": [self.clocks.get(name, "") for name in self.ids.index.astype(str)],
            }
        )

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Keys:
        """The keys that `table` wrote."""
        ids = table["unique_id"].astype(object) if table["object"].any() else table["unique_id"]
        dtype = table["ds"].dtype
        index = pd.Index(table["ticker"].tolist(), dtype=object)
        return cls(
            pd.Series(ids.array, index=index, dtype=ids.dtype),
            dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None,
            Library(table["library"].iloc[0], table["dates"].iloc[0]) if "library" in table else Library(),
            {t: c for t, c in zip(table["ticker"], table["clock"], strict=True) if c} if "clock" in table else {},
        )
