"""One run as the list of runs shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunEntry:
    """What a run was, what it found, and where its page is."""

    flow: str
    """backtest, tune, reproduce, or the name of a nightly."""
    run_id: str
    place: str
    """The run's folder as seen from the folder of all reports, with slashes."""
    moment: str
    """When it finished, else when its folder was last written to; ISO, UTC."""
    status: str
    """done, partial, ...; "under way"; "stopped" for one that was begun, is not finished, and nobody works at."""
    name: str = ""
    tickers: tuple[str, ...] = ()
    word: str = ""
    """The verdict's badge; empty where the run judges nothing."""
    skill: float | None = None
    """Of the recommended model over the reference, averaged over dates; `low` and `high` are its 95 % interval."""
    low: float | None = None
    high: float | None = None
    sentence: str = ""
    has_page: bool = False
