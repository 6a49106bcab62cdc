"""Random frames of prices: sound ones, with faults of every kind that a caller's table may have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pandas as pd

Change = Callable[[pd.DataFrame, Random], pd.DataFrame]

IDS: tuple[Any, ...] = (
    None, float("nan"), pd.NA, "", " ", 7, 7.0, True, b"A", "A\x00", "x\ud800", "../../etc/passwd", "<b>A</b>",
    "=1+1", "é" * 300, ("A", 1), ["A"], {"a": 1}, pd.Timestamp("2020-01-01"), float("inf"), 10**30, "con", "日経",
    "A\nB", np.str_("A"),
)  # fmt: skip
DAYS: tuple[Any, ...] = (
    None, pd.NaT, "", "nonsense", "2020-13-45", "1600-01-04", "9999-12-31", "31/12/2019", "12/31/2019", 20200102,
    1.5e9, 1577923200, dt.date(2020, 1, 4), dt.datetime(2020, 1, 2, 15, 59), pd.Timestamp("2020-01-02",
    tz="Asia/Tokyo"), pd.Timestamp("2262-04-11"), np.datetime64("2020-01-02"), pd.Period("2020-01-02"),
    dt.timedelta(1), float("nan"), float("inf"), True, [1], "2020-01-02T00:00:00Z", "2020-W01-4", 10**25,
    b"2020-01-02", 1j,
)  # fmt: skip
PRICES: tuple[Any, ...] = (
    None, float("nan"), pd.NA, float("inf"), -float("inf"), 0, 0.0, -5.0, 1e308, 1e-320, "12.5", "1,234.5", "€12",
    "", "nonsense", True, Decimal("12.5"), Decimal("NaN"), 1j, [1.0], {"a": 1}, 10**400, dt.date(2020, 1, 2),
    np.float32(3), b"12", "1e5", "１２", "-",
)  # fmt: skip
HEADINGS: tuple[Any, ...] = (
    "Open",
    "High",
    "Low",
    "Close",
    "Volume",
    "Adj Close",
    "Date",
    "vix",
    "",
    3,
    None,
    "y",
    "ds",
    ("a", "b"),
    "é",
)


def sound(rng: Random) -> pd.DataFrame:
    """One to three tickers on the weekdays of two years."""
    tickers = rng.sample(["A", "BB", "AAPL", "EURUSD", "BTC-USD", "7203.T"], rng.randint(1, 3))
    parts = []
    for ticker in tickers:
        days = pd.bdate_range("2018-01-02", periods=rng.choice([1, 20, 300, 340, 340, 340, 340]))
        shocks = np.random.default_rng(rng.randrange(2**32)).standard_t(4, len(days))
        parts.append(pd.DataFrame({"unique_id": ticker, "ds": days, "y": 50 * np.exp(np.cumsum(0.01 * shocks))}))
    return pd.concat(parts, ignore_index=True)


def random_frame(rng: Random) -> Any:
    """A frame with up to three faults; seldom something that is none."""
    if rng.random() < 0.01:
        return rng.choice(
            [None, 3, "prices.csv", [1, 2], {"y": [1]}, np.zeros((3, 3)), pd.Series([1.0]), object(), pd.DataFrame]
        )
    frame = sound(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
        frame = rng.choice(CHANGES)(frame, rng)
    return frame


def _cells(column: str, values: tuple[Any, ...]) -> Change:
    def change(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
        if len(frame) == 0 or list(frame.columns).count(column) != 1:
            return frame
        cells = list(frame[column])
        whole = rng.random() < 0.15
        value = rng.choice(values)
        for place in (
            range(len(cells)) if whole else rng.sample(range(len(cells)), min(len(cells), rng.choice([1, 1, 5, 50])))
        ):
            cells[place] = value
        made = np.empty(len(cells), object)
        made[:] = cells
        plain = pd.Series(made, index=frame.index, dtype=object)
        try:
            return frame.assign(**{column: plain.infer_objects()})
        except UnicodeError:  # half a character
            return frame.assign(**{column: plain})

    return change


def _typed(column: str, *kinds: Any) -> Change:
    def change(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
        try:
            return frame.assign(**{column: frame[column].astype(rng.choice(kinds))})
        except Exception:  # a type that the cells do not have
            return frame

    return change


def _dropped(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    return frame.drop(columns=[rng.choice(list(frame.columns))]) if len(frame.columns) else frame


def _renamed(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    made = frame.copy()
    made.columns = pd.Index([rng.choice(HEADINGS) if rng.random() < 0.3 else c for c in made.columns], dtype=object)
    return made


def _doubled(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    return pd.concat([frame, frame[[rng.choice(list(frame.columns))]]], axis=1) if len(frame.columns) else frame


def _indexed(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    match rng.randrange(5):
        case 0 | 1:
            try:
                return frame.set_index(list(frame.columns[: rng.randint(1, 2)]))
            except Exception:  # cells that are lists, or a doubled column
                return frame
        case 2:
            return frame.set_axis(np.zeros(len(frame), int))
        case 3:
            return frame.set_axis(pd.MultiIndex.from_product([["x"], frame.columns]), axis=1)
    return frame.iloc[::-1]


def _rows(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    match rng.randrange(6):
        case 0:
            return frame.iloc[:0]
        case 1:
            return frame.head(rng.randint(1, 5))
        case 2:
            return pd.concat([frame, frame.sample(frac=0.1, random_state=rng.randrange(99))])
        case 3:
            return frame.sample(frac=1.0, random_state=rng.randrange(99))
        case 4:
            return frame.iloc[:: rng.choice([5, 21])]
    start = rng.randrange(max(1, len(frame)))
    return frame.drop(index=frame.index[start : start + rng.randint(1, 100)])


def _beside(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    if frame.columns.nlevels > 1:
        return frame
    name, value = rng.choice(HEADINGS), rng.choice([*PRICES, *IDS])
    made = frame.copy()
    cells = np.empty(len(frame), object)
    cells[:] = [value if rng.random() < 0.2 else rng.random() for _ in range(len(frame))]
    made[name] = pd.Series(cells, index=frame.index, dtype=object)
    return made


def _scaled(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    try:
        moved = frame["y"] * rng.choice([1e-300, 1e300, -1.0, 0.0, 100.0])
        return frame.assign(y=frame["y"].where(np.arange(len(frame)) < rng.randrange(len(frame) + 1), moved))
    except Exception:  # no numbers by now
        return frame


def _zoned(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    try:
        moved = frame["ds"] + pd.Timedelta(hours=rng.choice([0, 5, 23]))
        return frame.assign(ds=moved.dt.tz_localize(rng.choice(["UTC", "America/New_York", "Asia/Tokyo"])))
    except Exception:  # no stamps by now
        return frame


CHANGES: tuple[Change, ...] = (
    _cells("unique_id", IDS),
    _cells("ds", DAYS),
    _cells("ds", DAYS),
    _cells("y", PRICES),
    _cells("y", PRICES),
    _typed("unique_id", "category", object, "string", bytes),
    _typed(
        "ds",
        object,
        "str",
        "category",
        "int64",
        "float64",
        "datetime64[s]",
        "datetime64[ms]",
        "period[D]",
        "Sparse[int64]",
    ),
    _typed(
        "y",
        object,
        "float32",
        "float16",
        "Float64",
        "Int64",
        "str",
        "category",
        "complex128",
        "bool",
        "int8",
        "Sparse[float64]",
    ),
    _dropped,
    _renamed,
    _doubled,
    _indexed,
    _rows,
    _rows,
    _beside,
    _beside,
    _scaled,
    _zoned,
)
