"""Source yfinance: Yahoo's daily bars through the yfinance library; the only file that imports it.

Yahoo's open, high, low and close are adjusted for splits, its adjusted close for dividends too. Each ticker is fetched
on its own with `Ticker.history`, because `yfinance.download` hides why a ticker failed.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pandas as pd

from s2squant.errors import PriceError, SourceError, TemporaryPriceError
from s2squant.prices.calendars import guess_calendar, is_settled
from s2squant.prices.frames import from_frame
from s2squant.records import PriceHistory

TICKER = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&]{0,24}")
PAUSES = (2.0, 8.0)
"""Seconds before the second and the third try of one ticker."""
TIMEOUT = 20.0
"""Seconds to wait for an answer."""


class YahooSource:
    """Live prices; its tickers cannot be listed.

    `session` is a requests or curl_cffi session (a proxy, a test's loopback); `clock` tells the time with its zone.
    """

    name = "yfinance"

    def __init__(
        self,
        session: Any = None,
        *,
        pauses: Sequence[float] = PAUSES,
        timeout: float = TIMEOUT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._pauses = tuple(pauses)
        self._timeout = timeout
        self._clock = clock

    def tickers(self) -> tuple[str, ...]:
        return ()

    def default_universe(self) -> tuple[str, ...]:
        raise SourceError("yfinance has no default universe; name tickers, for example --tickers AAPL,MSFT")

    def check(self, tickers: Sequence[str]) -> None:
        for ticker in tickers:
            if not TICKER.fullmatch(ticker):
                raise SourceError(f"{ticker!r} is no Yahoo ticker; write it as Yahoo does: BRK-B, SAP.DE, EURUSD=X")

    def history(self, ticker: str) -> PriceHistory:
        self.check([ticker])
        for pause in self._pauses:
            try:
                return self._history_once(ticker)
            except TemporaryPriceError:
                time.sleep(pause)
        return self._history_once(ticker)

    def _history_once(self, ticker: str) -> PriceHistory:
        frame = _fetch(ticker, self._session, self._timeout)
        now = self._clock()
        days = pd.DatetimeIndex(frame.index).tz_localize(None).to_numpy().astype("datetime64[D]")
        calendar = guess_calendar(ticker, days)
        settled = is_settled(calendar, days[-1], now)
        history = from_frame(
            frame if settled else frame.iloc[:-1],
            ticker,
            source=self.name,
            calendar=calendar,
            fetched_at=now.astimezone(UTC).isoformat(timespec="seconds"),
        )
        note = () if settled else (f"the unfinished bar of {days[-1]} dropped",)
        return replace(history, notes=(*note, *history.notes))


def _fetch(ticker: str, session: Any, timeout: float) -> pd.DataFrame:
    """Yahoo's whole daily history, at least one row, indexed by the exchange's midnights; any failure a PriceError."""
    import yfinance  # half a second to import, and only this source needs it
    from yfinance.data import YfData
    from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

    yfinance.config.debug.hide_exceptions = False
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # what it has to say comes back as an exception
    _use_private_caches(os.getpid())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, about pandas 3.1
            handle = yfinance.Ticker(ticker, session=session)
            YfData().cache_get.cache_clear()  # it remembers bad answers too
            frame: pd.DataFrame = handle.history(
                period="max", auto_adjust=False, actions=False, keepna=True, timeout=timeout
            )
    except YFRateLimitError:
        raise TemporaryPriceError(
            ticker, "Yahoo limits the rate of requests (HTTP 429); wait some minutes, or use csv:DIR or parquet:DIR"
        ) from None
    except YFTzMissingError:
        raise _unknown(ticker) from None
    except YFPricesMissingError as error:
        raise PriceError(ticker, f"Yahoo has no daily prices for it ({_brief(error.rationale)})") from None
    except (OSError, ValueError) as error:  # network, timeouts, an answer that is no JSON
        if getattr(getattr(error, "response", None), "status_code", None) == 404:
            raise _unknown(ticker) from None
        raise TemporaryPriceError(
            ticker, f"no proper answer from Yahoo ({type(error).__name__}: {_brief(error)}); try again later"
        ) from None
    except Exception as error:  # yfinance reads an undocumented format: whatever it trips over, the other tickers go on
        raise PriceError(
            ticker,
            f"yfinance could not read Yahoo's answer ({type(error).__name__}: {_brief(error)}); upgrade yfinance",
        ) from error
    if frame.empty:
        raise PriceError(ticker, "Yahoo has no daily prices for it")
    return frame


def _unknown(ticker: str) -> PriceError:
    return PriceError(ticker, "Yahoo knows no such ticker, or it is delisted; look it up on finance.yahoo.com")


def _brief(what: object) -> str:
    return " ".join(str(what).split())[:120]


@cache
def _use_private_caches(pid: int) -> None:
    """Give this process its own folder for yfinance's sqlite files: shared ones lock each other out."""
    import yfinance

    folder = tempfile.mkdtemp(prefix=f"s2squant-yfinance-{pid}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yfinance.set_tz_cache_location(folder)
