"""Loading of a universe: open the source, resolve the tickers, load, cut, check, refuse."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from s2squant.config.experiment import Universe
from s2squant.errors import Finding, PriceError, SourceError, TemporaryPriceError, first_of
from s2squant.prices.calendars.exchanges import check_calendar
from s2squant.prices.checks.every import check, check_accepted, quarantine
from s2squant.prices.checks.filler import without_filler
from s2squant.prices.checks.market import across
from s2squant.prices.checks.segments import in_segments, last_segment, without_halts
from s2squant.prices.checks.spacing import on_periods
from s2squant.prices.checks.spans import without_unfinished
from s2squant.prices.checks.sundays import without_sundays
from s2squant.prices.checks.within import check_within, in_segments_within, without_unfinished_within
from s2squant.prices.coarser import at_interval, daily
from s2squant.prices.port import Source
from s2squant.prices.sources.folder import FolderSource, open_file
from s2squant.prices.sources.from_store import LiveSource, StoreSource, stored_at
from s2squant.prices.sources.moments import Clock
from s2squant.prices.sources.plugins import open_plugin, plugin_names
from s2squant.prices.sources.sample import SampleSource
from s2squant.series.history import PriceHistory

KINDS = ("sample", "yfinance", "csv", "parquet", "store")
FORMS = "sample, sample:hourly, yfinance, csv:DIR, parquet:DIR or store:DIR"
GIVE_UP_AFTER = 3
"""Temporary failures in a row after which the remaining tickers are not asked for."""

Progress = Callable[[str, int, int], None]
"""Called before each ticker: its name, its number from 1, how many there are."""


@dataclass(frozen=True)
class Loaded:
    """Result of loading: usable histories in the order asked for, and the reason of each refusal."""

    histories: tuple[PriceHistory, ...]
    refused: Mapping[str, str]
    """Ticker -> one line, without the ticker in front."""
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Findings of the refused tickers; those of the usable are in their histories."""
    source: Source | None = None
    """Where they came from; it may have more columns."""
    beside: tuple[PriceHistory, ...] = ()
    """Tickers that were read as covariates."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused", MappingProxyType(dict(self.refused)))
        object.__setattr__(self, "findings", MappingProxyType(dict(self.findings)))


def open_source(spec: str, universe: Universe | None = None) -> Source:
    """The price source a spec names; raises SourceError for an unknown spec or an unusable folder.

    `universe` says where yfinance's store is, and as of when it is read; left out, its defaults do.
    """
    settings = universe or Universe()
    kind, _, place = spec.partition(":")
    match kind, place:
        case "sample", "":
            return SampleSource()
        case "sample", "hourly":
            return SampleSource("hourly")
        case "yfinance", "":
            return LiveSource(Path(settings.store), as_of=settings.as_of, interval=stored_at(settings.interval))
        case "csv" | "parquet" | "store", "":
            raise SourceError(f"source {spec!r} names no folder; write {kind}:DIR")
        case "csv" | "parquet", _:
            path = Path(place).expanduser()
            clock = Clock(settings.zone, settings.calendars)
            return (
                open_file(kind, path, clock=clock) if path.is_file() else FolderSource(kind, Path(place), clock=clock)
            )
        case "store", _:
            return StoreSource(Path(place), as_of=settings.as_of, interval=stored_at(settings.interval))
    offered = open_plugin(kind, place) if kind else None
    if offered is not None:
        return offered
    near = difflib.get_close_matches(kind.lower(), [*KINDS, *plugin_names()], n=1)
    hint = f"did you mean {near[0]}?" if near else f"use {FORMS}"
    raise SourceError(f"unknown source {spec!r}; {hint}")


def load_ticker(source: Source, ticker: str, universe: Universe, now: datetime | None = None) -> PriceHistory:
    """One ticker's finished bars between the universe's dates, checked, with every finding.

    `now` (with its zone) decides which bars are finished; left out, it is now. Raises PriceError, with the findings,
    where one of them is an error that the universe does not accept (quarantine).
    """
    return quarantine(inspect_ticker(source, ticker, universe, now), universe.accept)


def inspect_ticker(source: Source, ticker: str, universe: Universe, now: datetime | None = None) -> PriceHistory:
    """As `load_ticker`, without quarantine: whatever can be read at all comes back, its findings with it."""
    now = now or datetime.now(UTC)
    whole = source.history(ticker)
    if ticker in universe.calendars:
        named = check_calendar(universe.calendars[ticker])
        whole = replace(whole, calendar=whole.calendar if whole.is_intraday else named)
    if ticker in universe.asset_classes:
        whole = replace(whole, declared_class=universe.asset_classes[ticker])
    inside = int(whole.inside(universe.start, universe.end).sum())
    if inside < 2:
        asked = f"{universe.start or 'its start'} and {universe.end or 'its end'}"
        raise PriceError(ticker, f"{inside} bar(s) between {asked}; it has {whole.dates[0]} to {whole.dates[-1]}")
    if whole.is_intraday:
        return _inspect_within(whole, universe, now)
    whole = at_interval(on_periods(whole, certain=ticker in universe.calendars), universe.interval)
    history = whole.between(universe.start, universe.end)
    history = without_sundays(without_filler(history, certain=ticker in universe.calendars))
    history = in_segments(last_segment(without_halts(without_unfinished(history, now))))
    return replace(history, findings=(*history.findings, *check(history, now)))


def _inspect_within(whole: PriceHistory, universe: Universe, now: datetime) -> PriceHistory:
    """As `inspect_ticker` for bars within the day; coarser ones are made of those that are finished."""
    history = in_segments_within(without_unfinished_within(whole.between(universe.start, universe.end), now))
    history = replace(history, findings=(*history.findings, *check_within(history, daily(history), now)))
    return at_interval(history, universe.interval)


def open_universe(universe: Universe) -> Source:
    """The universe's source, all its names checked: source, tickers, calendars, findings.

    Raises CallerError for the first that nobody knows, naming the nearest. No price is read, nothing is fetched.
    """
    check_accepted(universe.accept, where="universe.accept")
    for code in universe.calendars.values():
        check_calendar(code)
    source = open_source(universe.source, universe)
    source.check(universe.tickers or source.default_universe())
    return source


def load_universe(universe: Universe, progress: Progress | None = None) -> Loaded:
    """Load every ticker of the universe, or the source's default where none is named.

    Raises SourceError for an unknown source, for a ticker the source cannot know, and when no ticker is usable.
    """
    return load_from(open_universe(universe), universe, progress)


def beside_others(
    histories: Sequence[PriceHistory], accept: Sequence[str]
) -> tuple[list[PriceHistory], list[PriceError]]:
    """The histories with the findings that only the others of their market show, and why some are kept out."""
    changed, kept, out = across(histories), list[PriceHistory](), list[PriceError]()
    for history in histories:
        try:
            findings = changed.get(history.ticker, history.findings)
            kept.append(quarantine(replace(history, findings=findings), accept))
        except PriceError as error:
            out.append(error)
    return kept, out


def load_from(source: Source, universe: Universe, progress: Progress | None = None) -> Loaded:
    """As `load_universe`, from a source already open.

    After three temporary failures in a row the remaining tickers are refused unasked, so that a rate limit is not made
    worse.
    """
    tickers = universe.tickers or source.default_universe()
    source.check(tickers)
    histories: list[PriceHistory] = []
    refused: dict[str, str] = {}
    findings: dict[str, tuple[Finding, ...]] = {}
    failures = 0
    for number, ticker in enumerate(tickers, start=1):
        if failures >= GIVE_UP_AFTER:
            refused[ticker] = (
                f"not asked for, as the {failures} tickers before it failed for a passing reason; try later"
            )
            continue
        if progress is not None:
            progress(ticker, number, len(tickers))
        try:
            histories.append(load_ticker(source, ticker, universe))
            failures = 0
        except PriceError as error:
            refused[ticker], findings[ticker] = error.reason, error.findings
            failures = failures + 1 if isinstance(error, TemporaryPriceError) else 0
    histories, out = beside_others(histories, universe.accept)
    for bad in out:
        refused[bad.ticker], findings[bad.ticker] = bad.reason, bad.findings
    if not histories:
        reasons = [f"{ticker}: {reason}" for ticker, reason in refused.items()]
        raise SourceError(f"no usable prices in {source.name}: {first_of(reasons, 3, between='; ')}")
    return Loaded(tuple(histories), refused, findings, source)
