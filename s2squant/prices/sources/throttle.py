"""Rate limits of a live source: few requests at once, few a second, and a pause of all when it asks for one."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from s2squant.config.fetching import Fetching

TOO_MANY = 429


class ClosedError(Exception):
    """The source asked for a longer silence than we are ready to keep; `seconds` are left of it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:.0f} s")
        self.seconds = seconds


class StoppedError(Exception):
    """Nothing is to be asked any more."""


class Gate:
    """Lets requests through: `together` at once, `per_second` apart, none while paused. One for all threads."""

    def __init__(self, spec: Fetching) -> None:
        self._spec = spec
        self._change = threading.Condition()
        self._under_way = 0
        self._next = self._quiet_until = 0.0  # time.monotonic()
        self._limits_in_a_row = 0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let nobody through from now on, and wake all who wait or pause."""
        self._stopped.set()
        with self._change:
            self._change.notify_all()

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until stopped; whether it was stopped."""
        return self._stopped.wait(seconds)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises ClosedError while the source is to be left alone for too long, StoppedError once it is stopped.
        """
        with self._change:
            while (wait := self._wait()) > 0 or self._under_way >= self._spec.together:
                self._change.wait(wait if wait > 0 else None)
            self._under_way += 1
            self._next = time.monotonic() + 1 / self._spec.per_second
        try:
            yield
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def _wait(self) -> float:
        """Seconds until the next request may start."""
        if self._stopped.is_set():
            raise StoppedError
        now = time.monotonic()
        if self._quiet_until - now > self._spec.longest_pause:
            raise ClosedError(self._quiet_until - now)
        return max(self._quiet_until, self._next) - now

    def limited(self, retry_after: float | None) -> None:
        """The source refused for being asked too often: nobody asks for as long as it says, or ever longer."""
        with self._change:
            now = time.monotonic()
            if retry_after is None:
                if self._quiet_until > now:  # a request sent before the pause began; it is known already
                    return
                retry_after = jittered(self._spec.limited_pause, self._limits_in_a_row, self._spec.longest_pause)
            self._limits_in_a_row += 1
            self._quiet_until = max(self._quiet_until, now + retry_after)
            self._change.notify_all()

    def answered(self) -> None:
        """The source gave a proper answer: the next pause starts short again."""
        with self._change:
            self._limits_in_a_row = 0


def jittered(base: float, again: int, longest: float) -> float:
    """Seconds of the pause number `again` (from 0): doubled each time, of which the last half is drawn at random.

    Source: "equal jitter" of Brooker (2015), Exponential Backoff and Jitter.
    """
    pause = min(base * 2.0**again, longest)
    return pause / 2 + random.random() * pause / 2


def seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """What a Retry-After header says, in seconds from now; None where it says nothing readable (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())


@dataclass
class Seen(threading.local):
    """What the chart requests of this thread's ticker came to."""

    statuses: list[int] = field(default_factory=list)
    tries_left: int = 0
    refused: Any = None
    """The last 429, once the tries are used up; given again without asking."""


class PoliteRequest:
    """Stands in for a session's `request`: every request of the library goes through the gate, 429 is waited out here.

    The library itself hides the Retry-After header and asks again at once, so neither can be left to it. `base` is the
    server to ask in place of every other; empty for the real ones.
    """

    def __init__(self, send: Callable[..., Any], gate: Gate, spec: Fetching, base: str = "") -> None:
        self.seen = Seen()
        self._send, self._gate, self._spec, self._base = send, gate, spec, base

    def begin(self) -> None:
        """Forget the ticker before."""
        self.seen.statuses, self.seen.tries_left, self.seen.refused = [], self._spec.limited_tries, None

    def __call__(
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = True,
    ) -> Any:
        if self.seen.refused is not None:
            return self.seen.refused
        address = _elsewhere(url, self._base) if self._base else url
        most = min(timeout or self._spec.timeout, self._spec.timeout)
        connect = min(self._spec.connect, most)
        while True:
            with self._gate.turn():
                answer = self._send(
                    method,
                    address,
                    params=params,
                    data=data,
                    json=json,
                    headers=headers,
                    timeout=(connect, most - connect),
                    allow_redirects=allow_redirects,
                )
                if answer.status_code == TOO_MANY:
                    self._gate.limited(seconds_of(answer.headers.get("Retry-After"), datetime.now(UTC)))
            if "/v8/finance/chart/" in url:
                self.seen.statuses.append(int(answer.status_code))
            if answer.status_code != TOO_MANY:
                if answer.status_code < 400:
                    self._gate.answered()
                return answer
            if self.seen.tries_left == 0:
                self.seen.refused = answer
                return answer
            self.seen.tries_left -= 1


def _elsewhere(url: str, base: str) -> str:
    parts = urlsplit(url)
    return f"{base.rstrip('/')}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
