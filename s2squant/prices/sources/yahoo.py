"""Source yfinance: Yahoo's bars through the yfinance library, which this file alone imports.

Each ticker is fetched on its own with `Ticker.history`, because `yfinance.download` hides why a ticker failed. Yahoo's
prices, volumes and dividends are adjusted for every split up to the day of the fetch; here they become as traded again.
Its "Capital Gains" are left alone: it counts them among the dividends too.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from s2squant.config.covariates import EventDates
from s2squant.config.fetching import Fetching
from s2squant.errors import (
    BadPricesError,
    DelistedError,
    PriceError,
    RateLimitError,
    SourceError,
    TemporaryPriceError,
    UnknownTickerError,
)
from s2squant.prices.adjust import as_traded, split_factor
from s2squant.prices.calendars.exchanges import is_settled
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.sources.throttle import ClosedError, Gate, PoliteRequest, StoppedError, jittered
from s2squant.prices.store.bars import About, Answer, Bars, columns_of, day_of, length_of
from s2squant.series.arrays import Dates

TICKER = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&]{0,24}")
SERVER = "S2SQUANT_YAHOO_URL"
"""Environment: a server to ask in place of Yahoo's, as `python -m tests.local_yahoo` starts one."""
LOOK_BACK = {"1m": 30, "2m": 60, "5m": 60, "15m": 60, "30m": 60, "90m": 60, "1h": 730, "1d": 0}
"""Days that Yahoo goes back at each interval; 0 is without limit."""
MOST_EARNINGS = 100
"""Yahoo tells no more of them at once."""
CLOSING_HOUR = 16
PIECE = timedelta(days=7)
"""The longest span of 1m bars Yahoo gives at once."""
_opening = threading.Lock()
"""Lock of yfinance's set-up: its caches and its session are one for all threads."""


class Yahoo:
    """Yahoo as a source of spans of bars; one for all threads of a process, so that its rate limit covers them all."""

    name = "yfinance"
    live = True

    def __init__(
        self, spec: Fetching | None = None, *, server: str = "", clock: Callable[[], datetime] | None = None
    ) -> None:
        self.spec = spec or Fetching()
        self._clock = clock or _now
        self._server = server or os.environ.get(SERVER, "")
        if self._server and urlsplit(self._server).scheme not in ("http", "https"):
            raise SourceError(f"{SERVER} is {self._server!r}; write it as http://127.0.0.1:8765")
        self._gate = Gate(self.spec)
        self._session: Any = None
        self._polite: PoliteRequest | None = None

    def default_universe(self) -> tuple[str, ...]:
        """Raise SourceError: Yahoo's tickers cannot be listed."""
        raise SourceError("yfinance has no default universe; name tickers, for example AAPL,MSFT")

    def check(self, tickers: Sequence[str]) -> None:
        """Raise SourceError for the first that cannot be a ticker."""
        for ticker in tickers:
            if not TICKER.fullmatch(ticker):
                raise SourceError(f"{ticker!r} is no Yahoo ticker; write it as Yahoo does: BRK-B, SAP.DE, EURUSD=X")

    def check_span(self, interval: str, start: date | None) -> None:
        """Raise SourceError for an interval Yahoo has not, or a start it does not reach back to."""
        if interval not in LOOK_BACK:
            longer = "; weeks and months are better made from 1d" if interval in ("5d", "1wk", "1mo", "3mo") else ""
            raise SourceError(f"interval {interval!r} is none of {', '.join(LOOK_BACK)}{longer}")
        days = LOOK_BACK[interval]
        earliest = self._earliest(interval).date()
        if days and start is not None and start < earliest:
            raise SourceError(
                f"Yahoo gives {interval} bars of the last {days} days only; --start {earliest} or later, or none"
            )

    def fetch(self, ticker: str, interval: str, start: datetime | None, known: About | None) -> Answer:
        """The settled bars from `start`, or as far back as Yahoo goes; `known` is what is stored of the ticker.

        Raises UnknownTickerError, DelistedError, BadPricesError, RateLimitError, TemporaryPriceError (after all tries),
        and PriceError where Yahoo has no bars.
        """
        for again in range(self.spec.tries - 1):
            try:
                return self._once(ticker, interval, start, known)
            except RateLimitError:
                raise
            except TemporaryPriceError:
                if self._gate.pause(jittered(self.spec.pause, again, self.spec.longest_pause)):
                    raise
        return self._once(ticker, interval, start, known)

    def stop(self) -> None:
        """Ask nothing more: whoever waits for a turn, or before another try, gives up."""
        self._gate.stop()

    def _earliest(self, interval: str) -> datetime:
        return self._clock() - timedelta(days=LOOK_BACK[interval]) + timedelta(hours=1)

    def _once(self, ticker: str, interval: str, start: datetime | None, known: About | None) -> Answer:
        frame, meta = self._ask(ticker, interval, start, known)
        now = self._clock()
        times, columns = _as_traded(ticker, frame, interval)
        calendar = (
            known.calendar
            if known
            else guess_calendar(ticker, times.astype("datetime64[D]"), str(meta.get("exchangeName") or ""))
        )
        settled = _settled(times, interval, calendar, now)
        notes = [] if settled.all() else [f"the unfinished bar of {day_of(times[~settled][0])} dropped"]
        priced = settled & np.isfinite(columns["close"])
        holes = settled & ~priced
        if holes.any():
            notes.append(f"{holes.sum()} row(s) without a price dropped, the first on {day_of(times[holes][0])}")
            _move_events(columns, holes, priced)
        if not priced.any():
            raise PriceError(ticker, f"Yahoo has no finished {interval} bars for it")
        about = About(
            ticker=ticker,
            interval=interval,
            source=self.name,
            calendar=calendar,
            currency=str(meta.get("currency") or ""),
            exchange=str(meta.get("exchangeName") or ""),
            timezone=str(meta.get("exchangeTimezoneName") or ""),
            kind=str(meta.get("instrumentType") or ""),
        )
        bars = Bars(times[priced], {name: values[priced] for name, values in columns.items()})
        return Answer(about, bars, tuple(notes))

    def _ask(
        self, ticker: str, interval: str, start: datetime | None, known: About | None
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Yahoo's rows, at least one, and its description of the ticker; any failure a PriceError."""
        with self._asking(ticker, known) as handle:
            if known is not None and known.timezone:
                handle._tz = known.timezone  # saves one of two requests
            frames = [
                handle.history(
                    period="max" if span is None else None,
                    start=span and span[0],
                    end=span and span[1],
                    interval=interval,
                    auto_adjust=False,
                    actions=True,
                    keepna=True,
                    timeout=self.spec.timeout,
                )
                for span in self._spans(interval, start)
            ]
            meta = handle.get_history_metadata()
        frames = [frame for frame in frames if not frame.empty] or frames[:1]
        frame = pd.concat(frames) if len(frames) > 1 else frames[0]
        if frame.empty:
            raise PriceError(ticker, f"Yahoo has no {interval} bars for it")
        return frame, {key: meta[key] for key in meta if key != "tradingPeriods"}

    def event_dates(self, ticker: str, kind: EventDates) -> Dates:
        """The days of a ticker's earnings, past and announced, or the next day on which it trades without a dividend.

        Earnings told after New York's close count on the day after. Empty where Yahoo tells of none, as for a fund.
        Raises PriceError where it gives no proper answer.
        """
        days: list[date] = []
        with suppress(UnknownTickerError), self._asking(ticker, None) as handle:
            if kind == "earnings":
                table = handle.get_earnings_dates(limit=MOST_EARNINGS)
                moments = [] if table is None else [stamp.tz_convert("America/New_York") for stamp in table.index]
                days = [stamp.date() + timedelta(days=stamp.hour >= CLOSING_HOUR) for stamp in moments]
            else:
                days = [_as_utc(day) for name, day in handle.calendar.items() if name == "Ex-Dividend Date"]
        return np.unique(np.array(days, "datetime64[D]"))

    @contextmanager
    def _asking(self, ticker: str, known: About | None) -> Iterator[Any]:
        """A ticker's handle at yfinance; any failure within is raised as a PriceError."""
        import yfinance  # half a second to import, and only this source needs it
        from yfinance.data import YfData
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

        yfinance.config.debug.hide_exceptions = False
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # what it has to say comes back as an exception
        # Its own, about pandas 3.1. For good: threads that each restore the filters would undo one another.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
        polite = self._open()
        polite.begin()
        try:
            handle = yfinance.Ticker(ticker, session=self._session)
            YfData().cache_get.cache_clear()  # it remembers bad answers too
            yield handle
        except (YFRateLimitError, ClosedError) as error:
            wait = f"it asks to wait {error.seconds / 60:.0f} min" if isinstance(error, ClosedError) else "wait a while"
            raise RateLimitError(
                ticker, f"Yahoo limits the rate of requests (HTTP 429); {wait}, or use csv:DIR or parquet:DIR"
            ) from None
        except StoppedError:
            raise TemporaryPriceError(ticker, "not asked for to the end: it was stopped") from None
        except (YFTzMissingError, YFPricesMissingError) as error:
            raise _no_prices(ticker, error, polite.seen.statuses, known) from None
        except (OSError, ValueError) as error:  # network, timeouts, an answer that is no JSON
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                raise _unknown(ticker, known) from None
            raise TemporaryPriceError(ticker, _no_answer(error, polite.seen.statuses)) from None
        except Exception as error:  # it reads an undocumented format: whatever it trips over, the other tickers go on
            if any(status >= 400 for status in polite.seen.statuses[-1:]):
                raise TemporaryPriceError(ticker, _no_answer(error, polite.seen.statuses)) from None
            raise BadPricesError(
                ticker,
                f"yfinance could not read Yahoo's answer ({type(error).__name__}: {_brief(error)}); upgrade yfinance",
            ) from error

    def _spans(self, interval: str, start: datetime | None) -> list[tuple[datetime, datetime | None] | None]:
        """The spans to request, one request each; None is everything."""
        if LOOK_BACK[interval] == 0:
            return [None if start is None else (start.replace(tzinfo=None), None)]
        first = max(start or self._earliest(interval), self._earliest(interval))
        if interval != "1m":
            return [(first, None)]
        spans: list[tuple[datetime, datetime | None] | None] = []
        while first + PIECE < self._clock():
            end = (first + PIECE).replace(hour=0, minute=0, second=0, microsecond=0)  # within no session of New York
            spans.append((first, end))
            first = end
        return [*spans, (first, None)]

    def _open(self) -> PoliteRequest:
        """The session, opened when first needed: a browser's likeness by curl_cffi, as yfinance does it.

        yfinance keeps one session for all threads, so a second would hide from a thread what its requests came to.
        """
        with _opening:
            _use_private_caches(os.getpid())
            if self._polite is None:
                from curl_cffi import requests

                session: Any = requests.Session(impersonate="chrome", trust_env=not self._server)
                self._polite = PoliteRequest(session.request, self._gate, self.spec, self._server)
                session.request = self._polite
                self._session = session
            return self._polite


def _as_utc(day: date) -> date:
    """The day of a midnight UTC that yfinance tells by this machine's clock."""
    offset = datetime(day.year, day.month, day.day).astimezone().utcoffset()
    return day + timedelta(days=offset is not None and offset < timedelta(0))


def _now() -> datetime:
    return datetime.now(UTC)


def _as_traded(ticker: str, frame: pd.DataFrame, interval: str) -> tuple[Any, dict[str, Any]]:
    """Yahoo's split-adjusted rows as instants and as-traded columns."""
    index = pd.DatetimeIndex(frame.index)
    times = (index.tz_localize(None) if interval == "1d" else index.tz_convert("UTC").tz_localize(None)).to_numpy()
    times = times.astype("datetime64[D]" if interval == "1d" else "datetime64[s]").astype("datetime64[s]")
    raw = {name: frame[name].to_numpy(np.float64) for name in ("Open", "High", "Low", "Close", "Volume", "Dividends")}
    splits = frame["Stock Splits"].to_numpy(np.float64)
    times, first = np.unique(times, return_index=True)
    raw, splits = {name: values[first] for name, values in raw.items()}, splits[first]
    try:
        columns = {name.lower(): as_traded(values, splits) for name, values in raw.items() if name != "Volume"}
        columns["volume"] = raw["Volume"] * split_factor(splits)
    except ValueError as error:
        raise BadPricesError(ticker, f"Yahoo's splits cannot be right ({error}); try tomorrow") from None
    return times, columns_of({**columns, "splits": splits}, len(times))


def _settled(times: Any, interval: str, calendar: str, now: datetime) -> Any:
    """Which bars are final, (T,) bool."""
    if interval != "1d":
        return times + np.timedelta64(length_of(interval)) <= np.datetime64(
            now.astimezone(UTC).replace(tzinfo=None), "s"
        )
    settled = np.ones(len(times), bool)
    for bar in range(len(times) - 1, -1, -1):
        settled[bar] = is_settled(calendar, times[bar], now)
        if settled[bar]:
            break
    return settled


def _move_events(columns: dict[str, Any], holes: Any, priced: Any) -> None:
    """Hand the events of rows without a price to the next bar that has one: they act on the bars before either."""
    dividends, splits = columns["dividends"], columns["splits"]
    bars = np.flatnonzero(priced)
    for hole in np.flatnonzero(holes & ((dividends > 0) | (splits > 0))):
        later = bars[bars > hole]
        if len(later):
            dividends[later[0]] += dividends[hole]
            splits[later[0]] = (splits[later[0]] or 1.0) * splits[hole] if splits[hole] > 0 else splits[later[0]]


def _no_prices(ticker: str, error: Any, statuses: Sequence[int], known: About | None) -> PriceError:
    """Why Yahoo gave no bars; only its own word, a 404, makes a ticker unknown or delisted."""
    if 404 in statuses:
        return _unknown(ticker, known)
    if any(status >= 500 or status in (401, 403) for status in statuses):
        return TemporaryPriceError(ticker, _no_answer(error, statuses))
    if known is not None:
        return TemporaryPriceError(ticker, f"Yahoo gave none of the bars it gave before ({_brief(error.rationale)})")
    return PriceError(ticker, f"Yahoo has no such bars for it ({_brief(error.rationale)})")


def _unknown(ticker: str, known: About | None) -> PriceError:
    if known is not None:
        return DelistedError(ticker, "Yahoo no longer knows it (delisted or renamed); the stored bars are kept")
    return UnknownTickerError(ticker, "Yahoo knows no such ticker, or it is delisted; look it up on finance.yahoo.com")


def _no_answer(error: Exception, statuses: Sequence[int]) -> str:
    if type(error).__name__ == "DNSError":  # curl_cffi's
        return "Yahoo cannot be reached: its address is not found (no network?); try again later"
    if "Failed to connect" in str(error) or "Connection timed out" in str(error):
        return "Yahoo cannot be reached: no connection (no network?); try again later"
    status = f"HTTP {statuses[-1]}, " if statuses and statuses[-1] >= 400 else ""
    return f"no proper answer from Yahoo ({status}{type(error).__name__}: {_brief(error)}); try again later"


def _brief(what: object) -> str:
    return " ".join(str(what).split())[:120]


@cache
def _use_private_caches(pid: int) -> None:
    """Give this process its own folder for yfinance's sqlite files: shared ones lock each other out."""
    import yfinance

    folder = tempfile.mkdtemp(prefix=f"s2squant-yfinance-{pid}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yfinance.set_tz_cache_location(folder)
