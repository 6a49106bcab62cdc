"""Guess of a ticker's calendar: from its name or its source, else from how its dates agree with calendars.

A market is the tickers of one calendar, and its forecasts read all of it; so a wrong guess lets Tokyo read the New York
close of the same date, fourteen hours ahead. What fits no calendar well is therefore given one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache

import numpy as np

from s2squant.prices.calendars.exchanges import closes_at, exchange_sessions, is_among, sessions_between
from s2squant.series.arrays import Dates

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

_MAIN = "XLON XETR XPAR XSWX XMIL XMAD XTKS XHKG XSHG XASX XTSE XTAI XBOM BVMF CMES"
_OTHERS = "XDUB XSTO XHEL XCSE XOSL XICE XWBO XWAR XPRA XBUD XIST XJSE XMEX XBUE XSGO XSES XNZE XBKK XIDX XKLS XPHS"
STAGES = (("24/5",), ("ECB", *_MAIN.split()), ("XKRX",), tuple(_OTHERS.split()))
"""Tried after New York, one stage after another until a calendar fits clearly: a tenth of a second each, Seoul more,
the first time on a machine. Amsterdam, Brussels and Lisbon keep the days and hours of Paris, and the floors of Germany
the days of Xetra."""

CLEAR = 0.006
"""Disagreements in sessions up to which no further calendar is tried, and no holiday is looked for in the holes."""
MOST_EXTRA, MOST_MISSING = 0.01, 0.03
"""Shares of bars on closed days, and of sessions without a bar, that a calendar which fits may have."""
WIDE = 15
"""Days without any bar above which a gap is no evidence: a suspension, a hole in the file; no holidays are as long."""
YEAR = 250
"""Bars that tell calendars apart; of fewer, none but New York is taken before the others were tried."""
FEWEST = 20
"""Bars below which the dates tell nothing."""
DECISIVE = 2
"""Days by which the better of two calendars must be better."""
SAME_HOURS = timedelta(minutes=30)
"""Two exchanges that close no further apart may be one market."""

ALONE = "unknown:"
"""Begins the calendar of a ticker that fits none: its market is its own, and every weekday to come a session."""

_COIN = re.compile(r".-(USD[TC]?|EUR|GBP|JPY|BTC|ETH)$")
_MONEY_TABLE = """
    USD EUR JPY GBP CHF AUD CAD NZD SEK NOK DKK ISK PLN CZK HUF RON BGN TRY ILS ZAR CNY CNH HKD SGD KRW TWD INR IDR MYR
    PHP THB BRL MXN CLP COP ARS RUB XAU XAG
"""
_MONEY = frozenset(_MONEY_TABLE.split())


@dataclass(frozen=True)
class Fit:
    """How a ticker's dates and a calendar's sessions agree, over the days that both know."""

    calendar: str
    bars: int
    sessions: int
    extra: int
    """Bars on days that are no session."""
    missing: int
    """Sessions without a bar, those inside wide gaps left out."""
    recurring: int
    """Those of them that are without a bar in another year as well, on the same day of the month; 0 where few are."""

    @property
    def share(self) -> float:
        """Disagreements in sessions; infinite where nothing could be compared."""
        return (self.extra + self.missing) / self.sessions if self.sessions and self.bars else float("inf")

    @property
    def is_good(self) -> bool:
        """Whether the dates may be this calendar's, a few holes and mistakes apart."""
        few_extra = self.extra <= 1 + MOST_EXTRA * self.bars
        return bool(self.sessions and self.bars and few_extra and self.missing <= 2 + MOST_MISSING * self.sessions)

    @property
    def has_other_holidays(self) -> bool:
        """Whether the missing sessions come again every year: holes in a file do not, holidays do."""
        return self.missing > CLEAR * self.sessions and self.recurring > max(3, self.missing / 2)

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against this calendar."""
        return self.is_good and not self.has_other_holidays

    def __str__(self) -> str:
        return f"{self.calendar}: {self.extra} of {self.bars} bars on closed days, {self.missing} sessions without one"


def guess_calendar(ticker: str, dates: Dates, exchange: str = "") -> str:
    """The calendar a ticker most likely follows: from its Yahoo suffix, Yahoo's exchange code, or else its dates.

    Without a suffix or a code: 24/7 where weekends are frequent; the calendar that fits the dates best, from both
    sides, where it fits well; XNYS where there are too few to tell, or all are from before 1990. Where none fits, or
    several that close at different hours do, one of its own (ALONE).
    """
    return named_calendar(ticker, exchange) or _by_dates(ticker, dates)[0]


def why_alone(ticker: str, dates: Dates) -> str:
    """Why the dates of a ticker gave it a calendar of its own; empty where they did not."""
    return _by_dates(ticker, dates)[1]


def named_calendar(ticker: str, exchange: str = "") -> str:
    """The calendar that the spelling of a ticker, or Yahoo's code of its exchange, names; empty where neither does."""
    name = ticker.upper()
    if _COIN.search(name):
        return "24/7"
    for suffix in sorted(YAHOO_SUFFIXES, key=len, reverse=True):
        stem = name.removesuffix(suffix)
        if stem not in ("", name) and "." not in stem:  # BAC.PR.L is a preferred share of New York's
            return YAHOO_SUFFIXES[suffix]
    return YAHOO_EXCHANGES.get(exchange.upper(), "")


def is_currency(ticker: str) -> bool:
    """Whether a ticker is spelt as currencies are: EURUSD, EUR-USD, EUR_USD, usd, DEXUSEU not."""
    letters = re.sub(r"[^A-Z]", "", ticker.upper())
    return len(letters) in (3, 6) and {letters[:3], letters[-3:]} <= _MONEY


def fit(calendar: str, dates: Dates) -> Fit:
    """Compare increasing dates with a calendar, over the days from the first to the last that both know."""
    known = _sessions(calendar)
    if len(known) == 0:
        return Fit(calendar, 0, 0, 0, 0, 0)
    days = dates[np.searchsorted(dates, known[0]) : np.searchsorted(dates, known[-1], side="right")]
    if len(days) < min(YEAR, len(dates) / 2):
        return Fit(calendar, 0, 0, 0, 0, 0)
    known = known[np.searchsorted(known, days[0]) : np.searchsorted(known, days[-1], side="right")]
    absent = known[~is_among(known, days)]
    extra = len(days) - (len(known) - len(absent))
    after = np.searchsorted(days, absent)
    holes = absent[(days[after] - days[after - 1]).astype(np.int64) <= WIDE]
    sessions = len(known) - len(absent) + len(holes)
    recurring = _recurring(holes) if CLEAR * sessions < len(holes) else 0
    return Fit(calendar, len(days), sessions, extra, len(holes), recurring)


def _recurring(days: Dates) -> int:
    """Days that stand there for another year too."""
    months = days.astype("datetime64[M]")
    _, times = np.unique((days - months).astype(np.int64) + 31 * (months.astype(np.int64) % 12), return_counts=True)
    return int(times[times > 1].sum())


@cache
def _sessions(calendar: str) -> Dates:
    """What is known of a calendar, as far as any exchange's is."""
    york = exchange_sessions("XNYS")
    return sessions_between(calendar, york[0], york[-1])


def _by_dates(ticker: str, dates: Dates) -> tuple[str, str]:
    """The calendar of the dates, and why it is the ticker's own where it is."""
    days: Dates = np.unique(np.asarray(dates, "datetime64[D]"))
    if len(days) == 0:
        return "XNYS", ""
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    if all(np.mean(weekday == d) > 0.05 for d in (5, 6)):
        return "24/7", ""
    if is_currency(ticker) and (week := days[weekday < 5]).size:  # a bar on Sunday evening is the Monday's
        best = min((fit(code, week) for code in ("ECB", "24/5", "XNYS")), key=lambda candidate: candidate.share)
        if best.is_good and best.calendar != "XNYS":
            return best.calendar, ""
    if len(days) < FEWEST:
        return "XNYS", ""
    gaps = np.diff(days).astype(np.int64) > WIDE
    if gaps.mean() > 0.05:
        return ALONE + ticker, "its bars are too far apart to tell by their dates which exchange they are of"
    calendar, why = _best(days.tobytes())
    return calendar or ALONE + ticker, why


@lru_cache(maxsize=256)
def _best(dates: bytes) -> tuple[str, str]:
    """The calendar that fits these datetime64[D] best; empty, and why, where none does. Tickers often share dates."""
    days: Dates = np.frombuffer(dates, "datetime64[D]")
    york = fit("XNYS", days)
    if york.is_sound and york.extra <= CLEAR / 2 * york.bars:
        return "XNYS", ""
    fits = [york]
    for stage in STAGES:
        fits = sorted([*fits, *(fit(code, days) for code in stage)], key=lambda candidate: candidate.share)
        if fits[0].share <= CLEAR and len(days) >= YEAR:
            break
    best = fits[0]
    if not best.bars:
        return "XNYS", ""
    if not best.is_sound:
        return "", f"its dates fit no calendar (nearest {best})"
    codes = [f.calendar for f in fits if f.is_sound and (f.share - best.share) * best.sessions < DECISIVE]
    if len(codes) > 1:  # Paris keeps the days of the ECB, and this is not spelt as a currency
        codes = [code for code in codes if code != "ECB"]
    if "XNYS" in codes:  # a name without a suffix is of the United States
        return "XNYS", ""
    if not _same_hours(codes, days):
        return "", f"its dates fit {', '.join(codes)} alike, which close at different hours"
    return codes[0], ""


def _same_hours(calendars: Iterable[str], days: Dates) -> bool:
    """Whether the calendars end the last session that all of them have at about the same time."""
    codes = list(calendars)
    common = days
    for code in codes:
        common = common[is_among(common, sessions_between(code, days[0], days[-1]))]
    if len(codes) < 2:
        return True
    ends = [closes_at(code, common[-1]) for code in codes] if len(common) else []
    return bool(ends) and max(ends) - min(ends) <= SAME_HOURS
