"""Stamps of bars into dates of sessions: written dates of every common form, epochs, and instants of any zone.

A session's date is the exchange's own. A stamp without a time of day, or at midnight of a zone other than UTC, is that
date; any other instant is looked at together: as it is written, on the exchange's clock, and a day on or back; of these
the one is taken whose days are sessions, and none where several are that differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import is_among, sessions_between, zone_of
from s2squant.prices.calendars.periods import unit_of
from s2squant.series.arrays import Dates

YEAR_FIRST = r"^(?P<y>\d{4})(?P<s>[-/.]?)(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
YEAR_LAST = r"^(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"
CLOCK = r"(?:[T ,]+(?P<h>\d{1,2}):?(?P<min>\d{2})(?::?(?P<sec>\d{2})(?:[.,]\d*)?)?\s*(?P<half>[AaPp][Mm])?)?"
ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}(?::\d{2})?|[+-]\d{2})?\s*(?:\[?[A-Za-z]+/[A-Za-z_/]+\]?|[A-Z]{3,4})?$"
HOUR_HALF = r"(?<=\d) (\d{1,2})-([AaPp][Mm])$"
"""Hours as 2018-06-01 09-AM."""
NAMED_MONTHS = ("%d-%b-%Y", "%d-%B-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
WEEKDAY = r"(?i)(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? "
EPOCHS = ((11, 1), (14, 10**3), (17, 10**6), (20, 10**9))
"""Most digits of a number that counts from 1970, and how many of its units are a second."""
CLEAR, MOST, A_DAY = 0.005, 0.03, 0.1
"""Shares of days that are no session: by how much a reading must be better, up to which it may be taken, and half of
what being a day off costs."""


@dataclass(frozen=True)
class Stamps:
    """Parsed stamps: wall-clock time as written, and how far that is from UTC."""

    wall: NDArray[np.datetime64]
    """(T,) datetime64[s]."""
    east: NDArray[np.int64] | None
    """(T,) seconds east of Greenwich; None where no zone is given."""


def parse(column: pd.Series, ticker: str, *, month_first: bool = False) -> Stamps:
    """Read a column of dates, stamps, epochs or text; raises PriceError naming the first row that is none."""
    zone = getattr(column.dtype, "tz", None) or getattr(getattr(column.dtype, "pyarrow_dtype", None), "tz", None)
    if column.dtype.kind == "M":
        wall = _seconds(column.dt.tz_localize(None) if zone else column)
        _refuse(np.isnat(wall), column, ticker)
        _refuse_far(wall, ticker)
        return Stamps(
            wall, (wall - _seconds(column.dt.tz_convert("UTC").dt.tz_localize(None))).astype(np.int64) if zone else None
        )
    if column.dtype.kind == "f" and np.isfinite(column).all() and (column % 1 == 0).all():
        column = column.astype("int64")  # a blank row among them made whole numbers into others
    text = column.astype("str")
    plain = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce") if ISO.fullmatch(str(text.iloc[0])) else None
    if plain is not None and plain.notna().all():
        return Stamps(_seconds(plain), None)
    text = text.str.strip()
    if str(text.iloc[0])[-2:].lower() in ("am", "pm"):
        text = text.str.replace(HOUR_HALF, r" \1:00 \2", regex=True)
    if text.str.fullmatch(r"\d{9,18}|[1-8]\d{18}").all():
        wall = _epochs(text.astype("int64").to_numpy(np.int64))
        _refuse_far(wall, ticker)
        return Stamps(wall, np.zeros(len(text), np.int64))
    return _texts(text, ticker, month_first)


def within_day(stamps: Stamps) -> bool:
    """Whether stamps are of several bars a day."""
    days = stamps.wall.astype("datetime64[D]")
    return len(days) > 3 and len(np.unique(days)) <= len(days) / 2 + 1 and bool((stamps.wall != days).any())


def sessions_of(stamps: Stamps, ticker: str, calendar: str) -> tuple[Dates, str]:
    """The date of each stamp's session, and what was done beyond reading it as written; empty where nothing was.

    `calendar` is the exchange's where its name is known, empty elsewhere. Raises PriceError where the stamps do not
    say.
    """
    written: Dates = stamps.wall.astype("datetime64[D]")
    clock = (stamps.wall - written).astype(np.int64)
    if (clock == 0).all():
        return written, ""
    instants = stamps.wall if stamps.east is None else stamps.wall - stamps.east.astype("timedelta64[s]")
    readings = [written, *(instants + np.timedelta64(hours, "h") for hours in (12, -12))]
    calendar = unit_of(calendar)[1]
    midnights = False
    if calendar:
        clocks = _seconds(pd.DatetimeIndex(instants, tz="UTC").tz_convert(zone_of(calendar)).tz_localize(None))
        readings.insert(1, clocks)
        midnights = bool((clocks == clocks.astype("datetime64[D]")).all())
    days = [reading.astype("datetime64[D]") for reading in readings]
    off = [_off(each, calendar) for each in days]
    as_good = [each for each, share in zip(days, off, strict=True) if share <= min(off) + CLEAR]
    if midnights and off[1] < off[0] + A_DAY and (stamps.east is not None or len(np.unique(clock)) > 1):
        chosen = days[1]
    elif off[0] > min(off) + CLEAR and min(off) <= MOST:
        chosen = as_good[0]
    else:  # as written, unless the exchange's clock is known to be another
        chosen = written
        if calendar and off[1] <= min(off) + CLEAR and (days[1] != written).any() and (clock != 0).mean() > CLEAR:
            if stamps.east is None:
                text = f"{_minute(stamps.wall[0])} may be of {written[0]} or {days[1][0]}"
                raise PriceError(ticker, f"{text}; write the sessions' dates")
            chosen = days[1]
    if (chosen == written).all():
        return written, ""
    hours = ", ".join(dict.fromkeys(str(stamp)[11:16] for stamp in stamps.wall))
    told = "the exchange's date" if calendar else "the date on which sessions were held"
    row = int(np.argmax(chosen != written))
    return (
        chosen,
        f"stamps of {hours[:40]} are moments; each bar has {told}, {chosen[row]} for {_minute(stamps.wall[row])}",
    )


def _off(days: Dates, calendar: str) -> float:
    """Share of days that are no session, or stand twice."""
    known = sessions_between(calendar, days.min(), days.max()) if calendar else days[:0]
    closed = ~np.is_busday(days)
    if len(known):
        closed = np.where((days >= known[0]) & (days <= known[-1]), ~is_among(days, known), closed)
    return float(np.mean(closed)) + 1 - len(np.unique(days)) / len(days)


def _minute(stamp: np.datetime64) -> str:
    return str(stamp)[:16].replace("T", " ")


def _seconds(column: pd.Series | pd.DatetimeIndex) -> NDArray[np.datetime64]:
    return column.to_numpy(dtype="datetime64[s]")


def _epochs(numbers: NDArray[Any]) -> NDArray[np.datetime64]:
    """Seconds, milli-, micro- or nanoseconds since 1970, by their digits, as instants."""
    digits = len(str(abs(int(numbers[-1]))))
    scale = next(scale for most, scale in EPOCHS if digits <= most)
    return (numbers // scale).astype("datetime64[s]")


def _texts(text: pd.Series, ticker: str, month_first: bool) -> Stamps:
    """Written dates, with a clock and a zone or without."""
    parts = text.str.extract(YEAR_FIRST + CLOCK + ZONE)
    if parts["y"].isna().any():
        last = text.str.extract(YEAR_LAST + CLOCK + ZONE)
        if last["y"].notna().sum() > parts["y"].notna().sum():
            first, second = ("m", "d") if _is_month_first(last, text, ticker, month_first) else ("d", "m")
            parts = last.rename(columns={"a": first, "b": second})
            parts["y"] = parts["y"].mask(parts["y"].str.len() == 2, "20" + parts["y"])
    written = parts["y"] + "-" + parts["m"].str.zfill(2) + "-" + parts["d"].str.zfill(2)
    days = pd.to_datetime(written, format="%Y-%m-%d", errors="coerce")
    if parts["y"].isna().all():
        days = next((d for form in NAMED_MONTHS if (d := _named(text, form)).notna().any()), days)
    _refuse(days.isna().to_numpy(), text, ticker)
    wall = _seconds(days) + _clock(parts).astype("timedelta64[s]")
    return Stamps(wall, _east(parts["zone"]) if parts["zone"].notna().any() else None)


def _named(text: pd.Series, form: str) -> pd.Series:
    """Dates whose month is written out in English."""
    bare = text.str.replace(r"^[A-Za-z]{3,9},? (?=\d|[A-Z])", "", regex=True) if text.str.match(WEEKDAY).all() else text
    return pd.to_datetime(bare.str.replace(r"\s+", " ", regex=True), format=form, errors="coerce")


def _is_month_first(parts: pd.DataFrame, text: pd.Series, ticker: str, known: bool) -> bool:
    """Whether month goes before day; raises PriceError where the dates leave both readings."""
    a, b = (pd.to_numeric(parts[name], errors="coerce") for name in "ab")
    if (a > 12).any() and (b > 12).any():
        day, month = text[a > 12].iloc[0], text[b > 12].iloc[0]
        raise PriceError(ticker, f"dates are of two forms, {day[:20]!r} and {month[:20]!r}; write them as YYYY-MM-DD")
    if known or (b > 12).any():
        return True
    if (a > 12).any() or (parts["s"].dropna() == ".").all():  # 1.2.2024 puts the day first wherever it is written
        return False
    day, month, year = str(parts["a"].iloc[0]), str(parts["b"].iloc[0]), str(parts["y"].iloc[0])
    both = f"day {int(day)} of month {int(month)} or day {int(month)} of month {int(day)} of {year}"
    raise PriceError(ticker, f"{text.iloc[0][:20]!r} may be {both}; write dates as YYYY-MM-DD")


def _clock(parts: pd.DataFrame) -> NDArray[np.int64]:
    """Seconds since midnight, (T,)."""
    hours, minutes, seconds = (pd.to_numeric(parts[n], errors="coerce").fillna(0) for n in ("h", "min", "sec"))
    half = parts["half"].str.lower()
    hours = hours.mask(half.notna(), hours % 12 + 12 * (half == "pm"))
    total: NDArray[np.int64] = (3600 * hours + 60 * minutes + seconds).to_numpy().astype(np.int64)
    return total


def _east(zone: pd.Series) -> NDArray[np.int64]:
    """Seconds east of Greenwich of written offsets, (T,); 0 where none is written, as for Z."""
    digits = zone.str.extract(r"(?P<sign>[+-])(?P<h>\d{2}):?(?P<m>\d{2})?")
    hours, minutes = (pd.to_numeric(digits[n], errors="coerce").fillna(0) for n in ("h", "m"))
    return ((3600 * hours + 60 * minutes) * np.where(digits["sign"] == "-", -1, 1)).to_numpy().astype(np.int64)


def _refuse_far(wall: NDArray[np.datetime64], ticker: str) -> None:
    """Raise PriceError for years that no table writes: days counted up to them would fill the memory."""
    years = wall.astype("datetime64[Y]").astype(np.int64) + 1970
    far = np.flatnonzero((years < 1000) | (years > 9999))
    if len(far):
        text = f"row {far[0] + 1} is of the year {years[far[0]]}"
        raise PriceError(ticker, f"{text}; numbers were read in another unit of time? write dates as YYYY-MM-DD")


def _refuse(bad: NDArray[np.bool_], column: pd.Series, ticker: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = str(column.iloc[row])
        serial = "a spreadsheet's number of a day; " if value.isdigit() and 20000 < int(value) < 80000 else ""
        raise PriceError(ticker, f"row {row + 1}: {value[:40]!r} is no date; {serial}write dates as YYYY-MM-DD")
