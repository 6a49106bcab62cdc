"""Long frames into checked price histories, and the warning of tickers left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s2squant.config.experiment import Experiment
from s2squant.config.models import Forecasters
from s2squant.errors import SourceError, first_of
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.covariates import newer_covariates, with_static
from s2squant.estimator.dataframes import as_pandas
from s2squant.estimator.fits import bars_looked_at, bars_of_newcomer, bars_served, reads_market
from s2squant.estimator.keywords import warn
from s2squant.forecasters.fitting import market_models
from s2squant.forecasters.own_features import with_features
from s2squant.forecasters.pretrained import excluded
from s2squant.prices.covariates.load import unread
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.table import Named
from s2squant.prices.universe import Loaded, load_from
from s2squant.runs.plan import by_market
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

FIELDS = ("unique_id", "ds", "y")
DATED = ("time of day", "weekly or monthly", "filled day", "Sunday bar")
"""Findings of bars whose dates were moved, or that were dropped for theirs."""
KNOWN = ("short history",)
"""What a caller who gives few bars knows himself."""
HEADINGS = Named(dates=("ds",), prices=("y",))
"""Whatever a frame calls Date, Close or Adj Close beside them is neither a date nor a price of its own."""


def load_frame(
    df: object, experiment: Experiment, fitted: Mapping[str, PriceHistory] | None = None, static_df: object = None
) -> tuple[Keys, Loaded]:
    """Read a long frame, and one of a row a ticker, into checked histories; raises SourceError when none can be used.

    Bars of the frame continue those of `fitted`, by ticker, where that is given.
    """
    frame, library = as_pandas(df, "df")
    missing = [name for name in FIELDS if name not in frame.columns]
    if missing:
        raise SourceError(f"the frame has no column {missing[0]!r}; give unique_id, ds and y (adjusted closes)")
    keys = Keys.of(frame, library)
    frames = FrameSource.from_long(with_static(frame, static_df), name="frame", named=HEADINGS)
    if fitted is None:
        loaded = load_from(frames, experiment.universe)
        _warn_found(loaded)
        _warn_unread(loaded, experiment)
        return keys.on(loaded.histories), loaded
    need, new = bars_looked_at(experiment.forecasters), bars_of_newcomer(experiment.forecasters)
    loaded = load_from(ContinuedSource(frames, fitted, need=need, new=new), experiment.universe)
    return keys.on(loaded.histories), newer_covariates(loaded, fitted, experiment)


def _warn_found(loaded: Loaded) -> None:
    """Warn once, at fit's caller, of changed dates (forecasts have the sessions' own) and of what else is doubtful."""
    found = [(h.ticker, f) for h in loaded.histories for f in h.findings]
    dated = [f"{ticker}: {f.text}" for ticker, f in found if f.name in DATED]
    doubtful = [(ticker, f) for ticker, f in found if f.severity != "note" and f.name not in (*DATED, *KNOWN)]
    odd = [f"{ticker}: {f.name}: {f.text}" for ticker, f in doubtful]
    told = [f"dates were changed; {first_of(dated, 3, between='; ')}"] if dated else []
    told += [f"prices look odd; {first_of(odd, 1, between='; ')}; see findings_"] if odd else []
    if told:
        warn("; ".join(told))


def _warn_unread(loaded: Loaded, experiment: Experiment) -> None:
    """Warn once, at fit's caller, of columns that nobody declared."""
    if names := unread(loaded.histories, experiment.covariates):
        warn(f"columns that are not read: {first_of(names, 5)}; declare them in hist_exog, futr_exog or stat_exog")


def newer_panels(df: object, fitted: Sequence[Panel], experiment: Experiment) -> tuple[Keys, list[Panel]]:
    """The markets of a fit with the newer bars of a frame, only its tickers, and how the frame names them.

    Each newcomer stands beside the tickers of its market's fit, those of a market without a fit beside each other.
    """
    known = {h.ticker: h for panel in fitted for h in panel.histories}
    keys, loaded = load_frame(df, experiment, known)
    new, refused = [h for h in loaded.histories if h.ticker not in known], dict(loaded.refused)
    refused |= {h.ticker: why for h in new if (why := _unserved(h, fitted, experiment))}
    new = [h for h in new if h.ticker not in refused]
    newer = {h.ticker: h for h in loaded.histories if h.ticker in known}
    warn_left_out(refused, everything=not (new or newer))
    panels: list[Panel] = []
    stale: list[str] = []
    for panel in fitted:
        asked = [ticker for ticker in newer if ticker in panel.tickers]
        if not asked:
            continue
        last = max(newer[ticker].dates[-1] for ticker in asked)
        stale += [h.ticker for h in panel.histories if h.ticker not in newer and h.dates[-1] < last]
        now = Panel(tuple(newer.get(h.ticker, h) for h in panel.histories))
        panels.append(with_features(now, experiment.forecasters).only(*asked))
    if stale and reads_market(experiment.forecasters):
        warn(f"df has no newer bars of {first_of(stale, 3)}: what their market did since is read from the others alone")
    return keys, panels + _new_panels(new, fitted, newer, experiment.forecasters)


def _unserved(history: PriceHistory, fitted: Sequence[Panel], experiment: Experiment) -> str:
    """Why no model forecasts a ticker that was not fitted, or an empty text."""
    models = experiment.forecasters
    why = excluded(history, models, experiment.walk.horizon)
    if history.calendar not in {panel.market for panel in fitted}:
        if "pretrained" not in models.models:
            return f"no model was fitted on its market, {history.calendar}"
        return excluded(history, models, experiment.walk.horizon)
    serving = [
        m for m in market_models(models) if m != "pretrained" or not excluded(history, models, experiment.walk.horizon)
    ]
    enough = any(len(history) >= bars_served(m, models) for m in serving)
    return "" if enough else why or "the models were not fitted on it"


def _new_panels(
    new: Sequence[PriceHistory], fitted: Sequence[Panel], newer: Mapping[str, PriceHistory], models: Forecasters
) -> list[Panel]:
    markets = {panel.market: tuple(newer.get(h.ticker, h) for h in panel.histories) for panel in fitted}
    panels = [
        with_features(Panel((*markets[h.calendar], h)), models).only(h.ticker) for h in new if h.calendar in markets
    ]
    others = by_market(tuple(h for h in new if h.calendar not in markets))
    return panels + [with_features(Panel(members), models) for members in others.values()]


def warn_left_out(refused: Mapping[str, str], *, everything: bool = False) -> None:
    """Warn of tickers that were left out; raise SourceError when nothing is left."""
    if not refused:
        return
    named = "; ".join(f"{ticker}: {reason}" for ticker, reason in list(refused.items())[:3])
    more = f"; and {len(refused) - 3} more, in refused_" if len(refused) > 3 else ""
    if everything:
        raise SourceError(f"no ticker can be used; {named}{more}")
    warn(f"left out: {named}{more}")
