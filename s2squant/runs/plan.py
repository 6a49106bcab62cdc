"""What a run will do: which histories take part, in which markets, with which folds; and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from s2squant.config.experiment import WITHIN_A_DAY, Experiment, Walk
from s2squant.config.models import Forecasters
from s2squant.errors import CallerError, ConfigError
from s2squant.evaluation.results import TickerReport
from s2squant.forecasters.fitting import origins_needed
from s2squant.forecasters.own_check import check_own
from s2squant.forecasters.own_features import with_features
from s2squant.forecasters.pretrained import CLASSES, excluded, load, pretrained_parts
from s2squant.prices.calendars.grid import next_bars
from s2squant.prices.covariates.load import with_covariates
from s2squant.prices.universe import Loaded, load_universe
from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold, Panel
from s2squant.series.windows import all_cutoffs, bars_needed, check_room, make_folds, session_dates, too_short


@dataclass(frozen=True)
class Plan:
    """The markets of a run, and what became of every ticker asked for, in the order asked."""

    panels: Mapping[str, Panel]
    folds: Mapping[str, tuple[Fold, ...]]
    sessions: Mapping[str, Dates]
    """Each ticker's next sessions after its last bar."""
    histories: Mapping[str, PriceHistory]
    """All that could be read, those too short to take part included."""
    tickers: tuple[TickerReport, ...]
    beside: tuple[PriceHistory, ...] = ()
    """Tickers that were read as covariates."""


def of_one_interval(experiment: Experiment, loaded: Loaded) -> Experiment:
    """The experiment on the interval of the bars that were read; raises CallerError where there are several."""
    intervals = {h.interval: h.ticker for h in loaded.histories}
    if len(intervals) > 1:
        several = ", ".join(f"{interval} ({ticker})" for interval, ticker in intervals.items())
        raise CallerError(
            f"bars of several intervals: {several}; set universe.interval to the coarsest, or name tickers"
        )
    return experiment.at_interval(next(iter(intervals)))


def check_walk(experiment: Experiment) -> None:
    """Raise ConfigError where no model can be fitted in the walk, at whatever interval the bars may have."""
    asked = experiment.universe.interval
    refused: list[ConfigError] = []
    intervals = (asked,) if asked else ("1d", *WITHIN_A_DAY)
    for interval in intervals:
        models, walk = experiment.forecasters, experiment.at_interval(interval).walk
        try:
            check_room(walk, warmup=models.anchor.warmup, origins=origins_needed(models))
        except ConfigError as error:
            refused.append(error)
    if len(refused) == len(intervals):
        raise refused[0]


def planned(experiment: Experiment) -> tuple[Experiment, Plan]:
    """The experiment on the interval of the bars that it reads, with that interval's walk, and its plan.

    Raises CallerError as `make_plan`, and where there are several intervals.
    """
    check_walk(experiment)
    loaded = load_universe(experiment.universe)
    experiment = of_one_interval(experiment, loaded)
    return experiment, make_plan(experiment, loaded)


def make_plan(experiment: Experiment, loaded: Loaded | None = None) -> Plan:
    """Make the folds, on prices already `loaded` or read here; raises CallerError when no ticker can be backtested."""
    models, walk = experiment.forecasters, experiment.walk
    check_own(models)
    check_room(walk, warmup=models.anchor.warmup, origins=origins_needed(models))
    loaded = with_covariates(loaded or load_universe(experiment.universe), experiment)
    findings = loaded.findings
    reports = {t: TickerReport(t, "failed", why, findings=findings.get(t, ())) for t, why in loaded.refused.items()}
    panels: dict[str, Panel] = {}
    for market, members in by_market(loaded.histories).items():
        long_enough, refused = plan_market(members, experiment)
        for history in members:
            status: Literal["ok", "skipped"] = "skipped" if history.ticker in refused else "ok"
            reports[history.ticker] = describe(history, status, refused.get(history.ticker, ""))
        if long_enough:
            panels[market] = with_features(Panel(long_enough), models)
    if not panels:
        first = next(iter(r for r in reports.values() if r.status != "ok"))
        raise CallerError(f"no ticker can be backtested; {first.ticker}: {first.reason}")
    histories, folds = {h.ticker: h for h in loaded.histories}, folds_of(panels, walk)
    refuse_seen(panels, folds, models)
    return Plan(
        panels=panels,
        folds=folds,
        sessions=sessions_of(panels, walk),
        histories=histories,
        tickers=tuple(reports[ticker] for ticker in (*histories, *loaded.refused)),
        beside=loaded.beside,
    )


def folds_of(panels: Mapping[str, Panel], walk: Walk) -> dict[str, tuple[Fold, ...]]:
    """The folds of every market, oldest first."""
    return {market: make_folds(panel, walk) for market, panel in panels.items()}


def refuse_seen(panels: Mapping[str, Panel], folds: Mapping[str, tuple[Fold, ...]], models: Forecasters) -> None:
    """Raise ConfigError where a cutoff lies within the training span of the pretrained weights that serve it."""
    for market, panel in panels.items():
        first, classes = folds[market][0].cutoffs[0], {h.asset_class for h in panel.histories}
        for setting, judged in pretrained_parts(models).items():
            for name in sorted(classes & set(CLASSES)):
                last = load(name, judged=judged).about.last
                if first > np.datetime64(last):
                    continue
                until = load(name, judged=True).about.last
                remedy = "begin after it, or do without them"
                if not judged and first > np.datetime64(until):
                    remedy = f"set {setting}, whose training ends on {until}"
                raise ConfigError(
                    f"the pretrained weights of {name} have seen prices to {last}, and the first cutoff of {market} is "
                    f"{first}; {remedy}"
                )


def sessions_of(panels: Mapping[str, Panel], walk: Walk) -> dict[str, Dates]:
    """The horizon's sessions after each ticker's last bar."""
    return {
        h.ticker: next_bars(market, h.dates[-1], walk.horizon)
        for market, panel in panels.items()
        for h in panel.histories
    }


def plan_market(
    members: tuple[PriceHistory, ...], experiment: Experiment
) -> tuple[tuple[PriceHistory, ...], dict[str, str]]:
    """Which histories of a market are long enough, and why the others are not."""
    walk, long_enough, refused = experiment.walk, members, dict[str, str]()
    while long_enough:
        panel = Panel(long_enough)
        cutoffs = all_cutoffs(panel, walk)
        if len(cutoffs) == 0:
            have, need = len(session_dates(panel)), bars_needed(walk)
            reason = (
                f"too short: {have} bars, {need} are needed for {walk.cutoffs} cutoffs every {walk.every} bars with "
                f"horizon {walk.horizon} after {walk.min_train} training bars; "
                "lower walk.cutoffs, walk.every or walk.min_train"
            )
            return (), refused | {h.ticker: reason for h in long_enough}
        new = {h.ticker: why for h in long_enough if (why := too_short(h, cutoffs, walk))}
        new |= {h.ticker: why for h in long_enough if (why := excluded(h, experiment.forecasters, walk.horizon))}
        if not new:
            return long_enough, refused
        refused |= new
        long_enough = tuple(h for h in long_enough if h.ticker not in new)
    return (), refused


def describe(history: PriceHistory, status: Literal["ok", "skipped"], reason: str) -> TickerReport:
    """A ticker's entry in the report and the manifest."""
    return TickerReport(
        ticker=history.ticker,
        status=status,
        reason=reason,
        market=history.calendar,
        bars=len(history),
        first=str(history.dates[0]),
        last=str(history.dates[-1]),
        source=history.source,
        fetched_at=history.fetched_at,
        sha256=history.sha256,
        notes=(*(finding.text for finding in history.findings), *history.notes),
        findings=history.findings,
    )


def by_market(histories: tuple[PriceHistory, ...]) -> dict[str, tuple[PriceHistory, ...]]:
    """The histories of each calendar, in the order given."""
    markets: dict[str, list[PriceHistory]] = {}
    for history in histories:
        markets.setdefault(history.calendar, []).append(history)
    return {market: tuple(members) for market, members in markets.items()}
