"""Covariates of an experiment: what else is read, where it comes from, and when it was known.

Imports neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from s2squant.config.part import Part, listed

CovariateKind = Literal["past", "future", "static"]
Transform = Literal["level", "log", "difference", "return", "variance", "rank"]
BuiltIn = Literal["weekday", "month_end", "quarter_turn", "holiday", "half_day", "expiry"]
Measure = Literal["total", "variance", "bipower", "continuous", "jump", "down", "up", "overnight"]
VARIANCES: tuple[Measure, ...] = ("total", "variance", "bipower", "continuous", "down", "up")
"""Measures that are above zero on any day that moves: members of the anchor's bank."""
EventDates = Literal["earnings", "ex_dividend"]
BarField = Literal["adj_close", "open", "high", "low", "close", "volume"]


class CovariateSpec(Part):
    """One covariate; its origin is `ticker`, `file`, `calendar`, `dates`, `values` or `realised`, or `column` alone."""

    name: str = Field(min_length=1, max_length=60, description="what reports and models call it")
    kind: CovariateKind = Field(
        description="past: known at a bar's close; future: of every session, known a horizon before; static: one "
        "value. Left out: future for a calendar or events, static for values, else past"
    )
    ticker: str = Field("", description="origin: the bars of another ticker, such as ^VIX")
    realised: Measure | None = Field(
        None, description="origin: a realised variance of each session, from the ticker's own bars within the day"
    )
    interval: str = Field("5m", description="of `realised`: the interval of those bars")
    source: str = Field(
        "", description="of `ticker` and `realised`: the source that has the bars; empty: that of the universe"
    )
    field: BarField = Field("adj_close", description="of `ticker`: which of its columns")
    file: str = Field("", description="origin: a long table csv:FILE or parquet:FILE with a date, perhaps a ticker")
    column: str = Field("", description="origin, alone: a column of the tickers' own files; with `file`: its column")
    calendar: BuiltIn | None = Field(None, description="origin: a count or a mark of the exchange's calendar")
    dates: EventDates | None = Field(
        None, description="origin: a ticker's dates at Yahoo, past and announced, which mark sessions as `event` does"
    )
    values: dict[str, float | str] = Field({}, description="origin of a static one: ticker -> number or category")
    event: bool = Field(False, description="of `file`: its dates mark sessions, 1 there and 0 elsewhere")
    transform: Transform = Field("level", description="variance: the square of a volatility; rank: in the market")
    lag: int | None = Field(
        None,
        ge=0,
        le=250,
        description="sessions until a past one was known; None: 1 for a file without `known`, else 0",
    )
    known: str = Field("", description="of `file`: the column with the moment of publication")
    carry: int = Field(
        5, ge=0, le=10_000, description="sessions for which a past value is carried on; then it is missing"
    )
    markets: tuple[str, ...] = Field((), description="calendars it is for, such as XNYS; empty: all")
    tickers: tuple[str, ...] = Field((), description="tickers it is for; empty: all")

    _texts = field_validator("markets", "tickers", mode="before")(listed)

    @model_validator(mode="before")
    @classmethod
    def _usual_kind(cls, data: Any) -> Any:
        """The kind that an origin has of itself."""
        if not isinstance(data, Mapping) or "kind" in data:
            return data
        ahead = any(data.get(key) for key in ("calendar", "dates", "event"))
        kind = "future" if ahead else "static" if data.get("values") else "past"
        return {**data, "kind": kind}

    @property
    def origin(self) -> Literal["ticker", "file", "column", "calendar", "dates", "values", "realised"]:
        """Where its values come from."""
        if self.ticker:
            return "ticker"
        if self.file:
            return "file"
        if self.calendar:
            return "calendar"
        if self.realised:
            return "realised"
        if self.dates:
            return "dates"
        return "values" if self.values else "column"

    @property
    def is_variance(self) -> bool:
        """Whether its values are variances, which the anchor's bank reads."""
        return self.transform == "variance" or self.realised in VARIANCES

    @property
    def waits(self) -> int:
        """Sessions until a past value was known."""
        if self.lag is not None:
            return self.lag
        return 1 if self.file and not self.known else 0

    @model_validator(mode="after")
    def _one_origin(self) -> CovariateSpec:
        given = [name for name in ("ticker", "file", "calendar", "dates", "values", "realised") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{self.name} has two origins, {given[0]} and {given[1]}; keep one")
        if not given and not self.column:
            raise ValueError(
                f"{self.name} has no origin; give ticker, file, column, calendar, dates, values or realised"
            )
        for key, needed, there in (
            ("source", "ticker", self.ticker or self.realised),
            ("known", "file", self.file),
            ("event", "file", self.file),
        ):
            if getattr(self, key) and not there:
                raise ValueError(f"{self.name}: {key} belongs to {needed}, which is not given")
        if self.column and given not in ([], ["file"]):
            raise ValueError(f"{self.name}: column belongs to file, or stands alone; take out {given[0]} or column")
        if self.file and self.file.partition(":")[0] not in ("csv", "parquet"):
            raise ValueError(f"{self.name}: file is {self.file!r}; write csv:FILE or parquet:FILE")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> CovariateSpec:
        if self.calendar and self.kind != "future":
            raise ValueError(f'{self.name}: a calendar is known beforehand; write kind = "future"')
        if self.dates and self.kind != "future":
            raise ValueError(f'{self.name}: dates are announced; write kind = "future"')
        if self.values and self.kind != "static":
            raise ValueError(f'{self.name}: values are one a ticker; write kind = "static"')
        if self.ticker and self.kind != "past":
            raise ValueError(f'{self.name}: the bars of a ticker are not known beforehand; write kind = "past"')
        if self.realised and self.kind != "past":
            raise ValueError(f'{self.name}: the bars of a session are not known beforehand; write kind = "past"')
        if self.realised and self.transform != "level":
            raise ValueError(f"{self.name}: a realised {self.realised} is read as it is; take transform out")
        if self.kind != "past" and (self.lag is not None or self.known):
            key = "known" if self.known else "lag"
            raise ValueError(f"{self.name}: {key} is for a past one; a {self.kind} one is known beforehand")
        if self.event and self.kind != "future":
            raise ValueError(f'{self.name}: an event is known beforehand; write kind = "future"')
        if self.transform != "level" and (self.kind == "static" or self.calendar or self.dates or self.event):
            raise ValueError(f"{self.name}: transform is for values of the past or a future column; take it out")
        return self
