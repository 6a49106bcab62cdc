"""Trading calendars: which one a ticker follows, and its real sessions to come.

A calendar is a code: an exchange_calendars code such as XNYS, or one of three kept here:
24/7 (every day), 24/5 (every weekday), ECB (weekdays without the closing days of the euro's TARGET system).
"""

from __future__ import annotations

import difflib
import re
import warnings
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.errors import ConfigError
from s2squant.records import Dates, frozen_array

SETTLED = timedelta(minutes=30)
"""After a session's close, until its bar counts as final."""

PUBLISHED, FRANKFURT = time(16), ZoneInfo("Europe/Berlin")
"""When and where the euro's reference rates come out."""

_SUFFIX_TABLE = """
    .L XLON    .IR XDUB   .PA XPAR   .AS XAMS   .BR XBRU   .LS XLIS   .MI XMIL   .MC XMAD   .DE XETR   .F XFRA
    .SG XSTU   .HM XHAM   .DU XDUS   .SW XSWX   .VI XWBO   .ST XSTO   .HE XHEL   .CO XCSE   .OL XOSL   .IC XICE
    .TL XTAL   .RG XRIS   .VS XLIT   .WA XWAR   .PR XPRA   .BD XBUD   .AT ASEX   .IS XIST   .TA XTAE   .SR XSAU
    .JO XJSE   .TO XTSE   .V XTSX    .MX XMEX   .SA BVMF   .BA XBUE   .SN XSGO   .AX XASX   .NZ XNZE   .T XTKS
    .HK XHKG   .SS XSHG   .SZ XSHG   .KS XKRX   .KQ XKRX   .TW XTAI   .TWO XTAI  .SI XSES   .BK XBKK   .JK XIDX
    .KL XKLS   .NS XBOM   .BO XBOM   .PS XPHS   =X 24/5    =F CMES
"""
YAHOO_SUFFIXES: dict[str, str] = dict(zip(_SUFFIX_TABLE.split()[::2], _SUFFIX_TABLE.split()[1::2], strict=True))
"""Yahoo's suffix to the exchange's code (NSE and Shenzhen keep the closing days of BSE and Shanghai)."""

_EXCHANGE_TABLE = """
    NMS XNYS   NGM XNYS   NCM XNYS   NYQ XNYS   NYS XNYS   ASE XNYS   PCX XNYS   BTS XNYS   PNK XNYS   OQB XNYS
    OQX XNYS   OEM XNYS   SNP XNYS   DJI XNYS   NIM XNYS   WCB XNYS   CGI XNYS   LSE XLON   IOB XLON   FGI XLON
    ISE XDUB   PAR XPAR   AMS XAMS   BRU XBRU   LIS XLIS   MIL XMIL   MCE XMAD   GER XETR   FRA XFRA   STU XSTU
    HAM XHAM   DUS XDUS   EBS XSWX   VIE XWBO   STO XSTO   HEL XHEL   CPH XCSE   OSL XOSL   ICE XICE   TAL XTAL
    RIS XRIS   LIT XLIT   WSE XWAR   PRA XPRA   BUD XBUD   ATH ASEX   IST XIST   TLV XTAE   SAU XSAU   JNB XJSE
    TOR XTSE   VAN XTSX   MEX XMEX   SAO BVMF   BUE XBUE   SGO XSGO   ASX XASX   NZE XNZE   JPX XTKS   OSA XTKS
    HKG XHKG   SHH XSHG   SHZ XSHG   KSC XKRX   KOE XKRX   TAI XTAI   TWO XTAI   SES XSES   SET XBKK   JKT XIDX
    KLS XKLS   NSI XBOM   BSE XBOM   PHS XPHS   CCC 24/7   CCY 24/5   CME CMES   CBT CMES   NYM CMES   CMX CMES
    NYB IEPA
"""
YAHOO_EXCHANGES: dict[str, str] = dict(zip(_EXCHANGE_TABLE.split()[::2], _EXCHANGE_TABLE.split()[1::2], strict=True))
"""Yahoo's code of the exchange (`exchangeName` of its answer) to the calendar's."""

OWN = ("24/7", "24/5", "ECB")
"""The calendars kept here."""

_COIN = re.compile(r".-(USD[TC]?|EUR|GBP|JPY|BTC|ETH)$")


def check_calendar(code: str) -> str:
    """The code itself where it is a calendar's; raises ConfigError, naming the nearest, where nobody knows it."""
    import exchange_calendars

    known = [*OWN, *exchange_calendars.get_calendar_names()]
    if code in known:
        return code
    near = difflib.get_close_matches(code.upper(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else "codes are those of exchange_calendars, as XNYS, or 24/7, 24/5, ECB"
    raise ConfigError(f"universe.calendars: no calendar is called {code!r}; {hint}")


def guess_calendar(ticker: str, dates: Dates, exchange: str = "") -> str:
    """The calendar a ticker most likely follows: from its Yahoo suffix, Yahoo's exchange code, or else its dates.

    Without a suffix or a code: 24/7 where weekends are frequent; ECB or 24/5 where the dates fit those and not New
    York; or XNYS.
    """
    name = ticker.upper()
    if _COIN.search(name):
        return "24/7"
    for suffix in sorted(YAHOO_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return YAHOO_SUFFIXES[suffix]
    if exchange.upper() in YAHOO_EXCHANGES:
        return YAHOO_EXCHANGES[exchange.upper()]
    days: Dates = np.asarray(dates, "datetime64[D]")
    if len(days) == 0:
        return "XNYS"
    weekday = days.astype(np.int64) + 3  # 1970-01-01 was a Thursday
    if all(np.mean(weekday % 7 == d) > 0.05 for d in (5, 6)):
        return "24/7"
    if _foreign("XNYS", days) <= 0.015:
        return "XNYS"
    if _foreign("ECB", days) < 0.005:
        return "ECB"
    weekdays = np.busday_count(days.min(), days.max() + 1)
    return "24/5" if len(days) >= 0.995 * weekdays else "XNYS"


def next_sessions(calendar: str, after: Any, count: int) -> Dates:
    """The `count` sessions strictly after a day (anything numpy reads as one), datetime64[D], increasing.

    Exchange calendars are known to about a year ahead of today; beyond that, before their first year, and for codes
    nobody knows, every weekday counts.
    """
    if count < 1:
        raise ValueError(f"count is {count}; ask for at least one session")
    day: np.datetime64 = np.datetime64(after, "D")
    if calendar == "24/7":
        return np.arange(day + 1, day + 1 + count)
    if calendar == "ECB":
        return _weekdays(day, count, target_closings(day, day + 2 * count + 30))
    known = exchange_sessions(calendar)
    if len(known) == 0 or day < known[0]:
        return _weekdays(day, count)
    first = int(np.searchsorted(known, day, side="right"))
    real = known[first : first + count]
    short = count - len(real)
    return np.concatenate([real, _weekdays(max(day, known[-1]), short)]) if short else real.copy()


def sessions_between(calendar: str, first: Any, last: Any) -> Dates:
    """The calendar's sessions from `first` to `last`, both included, as far as they are known; empty for unknown codes.

    Exchange calendars are known from 1990 at the earliest to about a year ahead of today.
    """
    start, end = np.datetime64(first, "D"), np.datetime64(last, "D")
    if calendar == "24/7":
        return np.arange(start, end + 1)
    if calendar in ("24/5", "ECB"):
        days = np.arange(start, end + 1)
        closed = target_closings(start, end) if calendar == "ECB" else np.array([], "datetime64[D]")
        return days[np.is_busday(days, holidays=closed)]
    known = exchange_sessions(calendar)
    return known[np.searchsorted(known, start) : np.searchsorted(known, end, side="right")]


def is_among(days: Dates, known: Dates) -> NDArray[np.bool_]:
    """Which days are among `known`, an increasing array."""
    if len(known) == 0:
        return np.zeros(len(days), bool)
    return np.equal(known[np.minimum(np.searchsorted(known, days), len(known) - 1)], days)


def is_settled(calendar: str, session: Any, now: datetime) -> bool:
    """Whether the session's bar is final: its market closed at least `SETTLED` ago. `now` carries a time zone."""
    day: np.datetime64 = np.datetime64(session, "D")
    if np.datetime64(now.astimezone(UTC).date(), "D") - day > np.timedelta64(3, "D"):
        return True  # whatever the exchange
    return now.astimezone(UTC) >= closes_at(calendar, day) + SETTLED


def closes_at(calendar: str, session: Any) -> datetime:
    """When a session ends (UTC): at the exchange's close, half days included; ECB at 16:00 in Frankfurt, when the rates
    are out; elsewhere with its day.
    """
    day: np.datetime64 = np.datetime64(session, "D")
    midnight = datetime.combine(day.astype(object), time(), UTC) + timedelta(days=1)
    if calendar == "ECB":
        return datetime.combine(day.astype(object), PUBLISHED, FRANKFURT).astimezone(UTC)
    exchange = find_exchange(calendar)
    if exchange is None or not np.any(exchange_sessions(calendar) == day):
        return midnight
    close: datetime = exchange.session_close(pd.Timestamp(day)).to_pydatetime()
    return close.astimezone(UTC)


def target_closings(first: np.datetime64, last: np.datetime64) -> Dates:
    """TARGET's closing days of every year touched: 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    years = range(_year(first), _year(last) + 1)
    fixed = [f"{year}-{day}" for year in years for day in ("01-01", "05-01", "12-25", "12-26")]
    easters = np.array([_easter(year) for year in years])
    return np.sort(np.concatenate([np.array(fixed, "datetime64[D]"), easters - 2, easters + 1]))


@lru_cache(maxsize=64)
def exchange_sessions(calendar: str) -> Dates:
    """Every known session of an exchange, from 1990 where its calendar reaches back so far; empty for unknown codes."""
    exchange = find_exchange(calendar)
    days = [] if exchange is None else exchange.sessions.to_numpy().astype("datetime64[D]")
    return frozen_array(days, "datetime64[D]")


@lru_cache(maxsize=64)
def find_exchange(calendar: str) -> Any:
    """The exchange_calendars object, or None where the library has none of that code, or none that can be made."""
    import exchange_calendars  # a second to import, and many runs never need it

    if calendar in OWN or calendar not in exchange_calendars.get_calendar_names():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, about pandas 3.1
        for start in ("1990-01-01", "2000-01-01", None, "2026-01-05"):
            try:
                return exchange_calendars.get_calendar(calendar, start=start)
            except ValueError:  # its holidays are not recorded that far back; XTAE traded on Sundays until 2026
                continue
    return None


def _weekdays(after: np.datetime64, count: int, closed: Dates | None = None) -> Dates:
    holidays = np.array([], "datetime64[D]") if closed is None else closed
    start = np.busday_offset(after, 0, roll="backward", holidays=holidays)
    return np.asarray(np.busday_offset(start, np.arange(1, count + 1), holidays=holidays), "datetime64[D]")


def _foreign(calendar: str, days: Dates) -> float:
    """Share of days that are no session of the calendar."""
    if calendar == "ECB":
        return 1 - float(np.is_busday(days, holidays=target_closings(days.min(), days.max())).mean())
    known = exchange_sessions(calendar)
    days = days[(days >= known[0]) & (days <= known[-1])]
    return 1 - float(is_among(days, known).mean()) if len(days) else 0.0


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(np.int64)) + 1970


def _easter(year: int) -> np.datetime64:
    """Easter Sunday, Gregorian (Meeus, Astronomical Algorithms, chapter 8)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    moved = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * moved) // 433
    month = (h + moved - 7 * m + 90) // 25
    day = (h + moved - 7 * m + 33 * month + 19) % 32
    return np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D")
