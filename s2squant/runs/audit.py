"""The leak audit of a run: a few of its own forecasts made again on prices whose later bars are gone.

Cheap enough for every run: at two random cutoffs of each market, every model that the run stored is loaded, the
baselines are fitted again, and each forecasts two tickers three times: on the prices as they are, with every later bar
replaced by noise, and with every later bar deleted. What a baseline fitted again forecasts must also be what the run
stored; fits of the anchor and the networks are not made again, so a leak into their training is not seen. The blend is
averaged again from losses whose later part is noise. A planted leak shows that reading ahead would have been seen. What
takes minutes, the placebo on random walks and cutoffs by the dozen, is the command `s2squant audit`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from s2squant.config.models import Forecasters, ModelName, is_refitted, subject
from s2squant.evaluation.statistics.diebold_mariano import MIN_CUTOFFS
from s2squant.forecasters.anchor import stable_seed
from s2squant.forecasters.blend import blend
from s2squant.forecasters.catalog import make
from s2squant.forecasters.covariate_leaks import covariate_leaks
from s2squant.forecasters.fitting import MARKET_MODELS
from s2squant.forecasters.leaks import (
    NOTHING,
    Change,
    Check,
    Features,
    FittedProbe,
    Probe,
    feature_leaks,
    label,
    look_ahead,
    rows_at,
    truncation,
)
from s2squant.forecasters.plugins import feature
from s2squant.forecasters.pretrained import CLASSES, load, pretrained_parts
from s2squant.runs.engines.worker import as_a_worker
from s2squant.runs.jobs import Inputs, load_fitted
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import QUANTILE_COLUMNS, Fitted, Forecaster, quantile_crps
from s2squant.series.long_table import rounded, to_frame
from s2squant.series.panel import Fold, Panel
from s2squant.series.tails import ALL_COLUMNS
from s2squant.series.windows import of_tickers, test_rows, train_rows

COLUMNS: tuple[str, ...] = ("check", "model", "outcome", "figure", "sentence")
MEMBERS = 6
"""Tickers of a market whose prices take part; a forecast reads ahead among few as well as among many."""
SAME = 1e-3
"""Relative difference up to which a forecast of a baseline fitted again is the run's: optimisers stop at a tolerance,
elsewhere with another processor or number of threads; a fit that read the future differs by percents."""
SEEN = 0.2
"""CRPS skill above which a planted leak counts as seen; nobody has it honestly."""


@dataclass(frozen=True)
class Place:
    """Where one market is audited."""

    panel: Panel
    tickers: tuple[str, ...]
    """Those that are forecast."""
    days: tuple[tuple[Fold, np.datetime64], ...]
    """Cutoffs, each with the fold that served it."""


@as_a_worker()
def audit(inputs: Inputs, places: Sequence[Place], forecasts: pd.DataFrame) -> pd.DataFrame:
    """The table `audit` of Study: truncation of every model, a planted leak, and what was not run.

    `forecasts` are the run's own of all models, at least for the tickers of the places. A check that cannot be carried
    out says why; none of them raises. Fits are made as workers make them: a likelihood that is nearly flat ends
    elsewhere where sums are split over threads.
    """
    models = inputs.experiment.forecasters.models
    checks = [_guarded("truncation", name, partial(_model, inputs, places, forecasts, name)) for name in models]
    read = set(pretrained_parts(inputs.experiment.forecasters).values())
    checks += [_guarded("training span", "", partial(training_span, inputs, places, judged)) for judged in read]
    settings = inputs.experiment.forecasters
    for name in settings.features:
        checks += _own_feature(inputs, places, name)
    checks += covariate_checks(inputs, places)
    checks.append(_guarded("planted leak", "probe", partial(planted_leak, inputs, places, forecasts)))
    why = "random-walk prices are for the command `s2squant audit`, which takes minutes"
    checks.append(Check("placebo", "", "not run", np.nan, why))
    return table_of(checks)


def covariate_checks(inputs: Inputs, places: Sequence[Place]) -> list[Check]:
    """One line a covariate: the worst of the markets; none where the run has no covariates."""
    worst: dict[str, Check] = {}
    for place in places:
        for check in covariate_leaks(place.panel, inputs.experiment.walk.horizon):
            if check.model not in worst or _grave(check) > _grave(worst[check.model]):
                worst[check.model] = check
    return list(worst.values())


def _grave(check: Check) -> tuple[bool, bool, float]:
    return check.outcome == "failed", check.outcome == "passed", check.figure


def training_span(inputs: Inputs, places: Sequence[Place], judged: bool) -> Check:
    """Whether the training of the pretrained weights that a run read ends before the first cutoff of every market."""
    name, least = "training span", np.inf
    for place in places:
        first = inputs.folds[place.panel.market][0].cutoffs[0]
        for asset_class in {h.asset_class for h in inputs.panels[place.panel.market].histories} & set(CLASSES):
            last = np.datetime64(load(asset_class, judged=judged).about.last)
            if first <= last:
                seen = f"The pretrained weights of {asset_class} have seen prices to {last}"
                days = float((last - first).astype(int))
                return Check(name, "", "failed", days, f"{seen}, and {place.panel.market} is forecast from {first} on")
            least = min(least, (first - last).astype(int))
    if not np.isfinite(least):
        return Check(name, "", "passed", 0.0, "No ticker was forecast with pretrained weights")
    sentence = f"The training of the pretrained weights ends {least:.0f} days or more before the first cutoff"
    return Check(name, "", "passed", 0.0, sentence)


def places_of(inputs: Inputs, forecasts: pd.DataFrame, *, cutoffs: int = 2, tickers: int = 2) -> list[Place]:
    """Where each market of a run is audited; a market without forecasts is left out.

    `cutoffs` and `tickers` are how many of each are tried in a market.
    """
    places = [_place(inputs, market, forecasts, cutoffs, tickers) for market in sorted(inputs.panels)]
    return [place for place in places if place is not None]


def rows_for(inputs: Inputs, places: Sequence[Place], forecasts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts that an audit reads: all of the blend's members and the reference, of others those of its days."""
    models = inputs.experiment.forecasters
    whole = {inputs.experiment.verdict.reference, *(_averaged(models) if "blend" in models.models else ())}
    days = np.array([day for place in places for _, day in place.days], "datetime64[s]")
    read = forecasts["model"].isin(whole) | np.isin(forecasts["cutoff"].to_numpy(), days)
    return forecasts[read & forecasts["unique_id"].isin({ticker for place in places for ticker in place.panel.tickers})]


def _averaged(models: Forecasters) -> tuple[ModelName, ...]:
    """What the blend is averaged from."""
    return "anchor", *models.blending.members


def table_of(checks: Sequence[Check]) -> pd.DataFrame:
    """Checks as rows."""
    return pd.DataFrame([asdict(check) for check in checks], columns=list(COLUMNS))


def _place(inputs: Inputs, market: str, forecasts: pd.DataFrame, cutoffs: int, tickers: int) -> Place | None:
    """A few tickers that were forecast, and random cutoffs, from as many folds as there are, that their bars span."""
    rng = np.random.default_rng(stable_seed(inputs.experiment.seed, "audit", market))
    done = set(forecasts["unique_id"].astype(str).unique())
    present = [h for h in inputs.panels[market].histories if h.ticker in done]
    if not present:
        return None
    members = [present[k] for k in np.sort(rng.permutation(len(present))[:MEMBERS])]
    panel = Panel(tuple(members))
    chosen = tuple(members[k].ticker for k in np.sort(rng.permutation(len(members))[:tickers]))
    spans = [h for h in members if h.ticker in chosen]
    offered: list[list[tuple[Fold, np.datetime64]]] = []
    for fold in inputs.folds[market]:
        within = [d for d in fold.cutoffs if all(d in h.dates and d < h.dates[-1] for h in spans)]
        offered.append([(fold, within[k]) for k in rng.permutation(len(within))])
    picked: list[tuple[Fold, np.datetime64]] = []
    for turn in range(max((len(days) for days in offered), default=0)):
        picked += [days[turn] for days in offered if turn < len(days)]
    return Place(panel, chosen, tuple(picked[:cutoffs]))


def _model(inputs: Inputs, places: Sequence[Place], forecasts: pd.DataFrame, name: ModelName) -> Check:
    if name == "blend":
        return blend_truncation(inputs, places, forecasts)
    changes: list[Change] = []
    strays: list[Change] = []
    own = forecasts[forecasts["model"] == name]
    for place in places:
        for fold, day in place.days:
            for fitted, served in _fitted(inputs, place, fold, name):
                seed = stable_seed(inputs.experiment.seed, "audit", name, str(day))
                changes.append(look_ahead(fitted, place.panel, day, served, seed))
                if is_refitted(name):
                    strays.append(_stray(inputs, place.panel, fitted, day, served, own))
    check = truncation(name, changes)
    return check if check.outcome != "passed" else _with_fit(check, strays)


def _with_fit(check: Check, strays: Sequence[Change]) -> Check:
    """A truncation that passed, with what is known of the fit: anchor and networks were not fitted again."""
    if not is_refitted(check.model):
        return replace(
            check, sentence=f"{check.sentence}; its fit was not made again, so what it learned from is not seen"
        )
    worst = max(strays, key=lambda change: change.size, default=NOTHING)
    if worst.size <= SAME:
        return replace(check, sentence=f"{check.sentence}; fitted again up to the fit date it forecasts as in the run")
    why = f"{subject(check.model)} forecast otherwise in the run than when it is fitted on no bar after the fit date"
    return Check(
        check.check,
        check.model,
        "failed",
        worst.size,
        f"{why}: by {worst.size:.1e} of the largest value, {worst.where}",
    )


def _stray(
    inputs: Inputs, panel: Panel, fitted: Fitted, day: np.datetime64, served: tuple[str, ...], own: pd.DataFrame
) -> Change:
    """How far the run's own forecasts of a day are from those of a model that was fitted again."""
    again = rounded(to_frame(panel, fitted.predict(panel, rows_at(panel, day, served)), inputs.sessions))
    part = own[own["unique_id"].isin(served) & (own["cutoff"] == again["cutoff"].iloc[0])]
    keys, values = ["unique_id", "step"], ["mean", *ALL_COLUMNS]
    one, other = (
        table.astype({"unique_id": str}).sort_values(keys)[values].to_numpy(np.float64) for table in (part, again)
    )
    if one.shape != other.shape:
        return Change(np.inf, f"{', '.join(served)} at {day}, which the run did not forecast so")
    return Change(float(np.abs(one - other).max() / np.abs(other).max()), f"{', '.join(served)} at {day}")


def _fitted(inputs: Inputs, place: Place, fold: Fold, name: ModelName) -> Iterator[tuple[Fitted, tuple[str, ...]]]:
    """The models that served this fold, from the run's folder; baselines, which it does not keep, are fitted again."""
    if is_refitted(name):
        for ticker in place.tickers:
            alone, maker = inputs.panels[fold.market].only(ticker), make(name, inputs.experiment.forecasters)
            rows, past = training_rows(inputs, alone, fold, (ticker,)), alone.until(fold.fit_date)
            yield maker.fit(past, rows, horizon=fold.horizon, seed=inputs.experiment.seed), (ticker,)
    elif name in MARKET_MODELS:
        yield load_fitted(inputs, name, fold.market, fold), place.tickers
    else:
        for ticker in place.tickers:
            yield load_fitted(inputs, name, ticker, fold), (ticker,)


def training_rows(inputs: Inputs, panel: Panel, fold: Fold, tickers: Collection[str]) -> Ints:
    """The fold's training origins of these tickers, rows of the panel that ends at the fit date."""
    past = panel.until(fold.fit_date)
    rows = train_rows(past, fold, warmup=inputs.experiment.forecasters.anchor.warmup)
    return of_tickers(past, rows, [ticker for ticker in tickers if ticker in past.tickers])


def forecaster_truncation(inputs: Inputs, places: Sequence[Place], name: str, forecaster: Forecaster) -> Check:
    """Fit any forecaster where the run's were fitted, and see whether it reads past its cutoffs."""
    changes = []
    for place in places:
        for fold in _folds(place):
            past = place.panel.until(fold.fit_date)
            rows = training_rows(inputs, place.panel, fold, place.panel.tickers)
            fitted = forecaster.fit(past, rows, horizon=fold.horizon, seed=inputs.experiment.seed)
            for day in (day for served, day in place.days if served is fold):
                seed = stable_seed(inputs.experiment.seed, "audit", name, str(day))
                changes.append(look_ahead(fitted, place.panel, day, place.tickers, seed))
    return truncation(name, changes)


def _own_feature(inputs: Inputs, places: Sequence[Place], name: str) -> list[Check]:
    try:
        return features_truncation(inputs, places, name, feature(name, inputs.experiment.forecasters.own.get(name, {})))
    except Exception as error:  # whatever a user's code raises: an audit never fails the run it audits
        reason = " ".join(str(error).split())[:200]
        return [Check("feature", name, "not run", np.nan, f"{name}: could not be carried out ({reason})")]


def features_truncation(inputs: Inputs, places: Sequence[Place], name: str, features: Features) -> list[Check]:
    """See which columns of a feature function read ahead, in any market."""
    checks: dict[str, Check] = {}
    for place in places:
        days, warmup = [day for _, day in place.days], inputs.experiment.forecasters.anchor.warmup
        for check in feature_leaks(name, features, place.panel, days, warmup=warmup, seed=inputs.experiment.seed):
            if check.outcome == "failed" or check.model not in checks:
                checks[check.model] = check
    return list(checks.values())


def blend_truncation(inputs: Inputs, places: Sequence[Place], forecasts: pd.DataFrame) -> Check:
    """Average the members again, the outcomes after a cutoff replaced by noise: the blend up to it must stay."""
    spec, changes = inputs.experiment.forecasters.blending, []
    members = forecasts[forecasts["model"].isin(_averaged(inputs.experiment.forecasters))]
    for place in places:
        names = place.panel.tickers
        part = members[members["unique_id"].isin(names)].reset_index(drop=True)
        markets = dict.fromkeys(names, place.panel.market)
        for fold, day in place.days:
            y = part["y"].to_numpy(np.float64)
            late = (part["ds"].to_numpy() > day) & np.isfinite(y)
            rng = np.random.default_rng(stable_seed(inputs.experiment.seed, "audit", "blend", str(day)))
            noise = part.assign(y=np.where(late, rng.normal(0.0, 3 * np.nanstd(y), len(y)), y))
            before, after = (_early(blend(table, spec, markets)[0], day) for table in (part, noise))
            size = float(np.abs(before - after).max() / np.abs(before).max()) if before.size else 0.0
            where = f"{fold.market} up to {day}, later outcomes replaced by noise"
            changes.append(Change(size, where if size else ""))
    return truncation("blend", changes)


def _early(rows: pd.DataFrame, day: np.datetime64) -> Floats:
    early = rows["cutoff"].to_numpy() <= day
    return rows.loc[early, ["mean", *ALL_COLUMNS]].to_numpy(np.float64)


def planted_leak(inputs: Inputs, places: Sequence[Place], forecasts: pd.DataFrame) -> Check:
    """Give a linear forecaster the label as a feature: its skill must explode, and truncation must find it.

    The same feature a horizon earlier is no leak, and its skill stands beside.
    """
    reference = forecasts[(forecasts["model"] == inputs.experiment.verdict.reference) & forecasts["y"].notna()]
    lost, changes = np.zeros(3), [NOTHING]
    cutoffs: set[np.datetime64] = set()
    for place in places:
        for fold in _folds(place):
            units = reference[reference["unique_id"].isin(place.panel.tickers)].astype({"unique_id": str})
            units = units[np.isin(units["cutoff"].to_numpy().astype(fold.cutoffs.dtype), fold.cutoffs)]
            cutoffs |= set(units["cutoff"].to_numpy())
            leaky, honest = (_probe(inputs, place, fold, shift) for shift in (0, fold.horizon))
            lost += [_loss(units), *(_loss(_same_units(inputs, place, fold, p, units)) for p in (leaky, honest))]
            days = [day for served, day in place.days if served is fold]
            changes += [look_ahead(leaky, place.panel, day, place.tickers, 0) for day in days]
    if not lost[0]:
        return Check("planted leak", "probe", "not run", np.nan, "no forecast of the reference to compare with")
    skill, earlier = 1 - lost[1:] / lost[0]
    figures = (
        f"the label as a feature lifts CRPS skill to {100 * skill:+.0f} % (a horizon earlier: {100 * earlier:+.1f} %)"
    )
    if skill <= SEEN and len(cutoffs) < MIN_CUTOFFS:
        few = f"{figures}, on {len(cutoffs)} cutoffs, too few to tell; at least {MIN_CUTOFFS} are needed"
        return Check("planted leak", "probe", "not run", skill, few)
    if skill <= SEEN:
        return Check("planted leak", "probe", "failed", skill, f"{figures}, too little: a leak would go unseen here")
    if max(change.size for change in changes) == 0:
        return Check("planted leak", "probe", "failed", skill, f"{figures}, but truncation does not find it")
    return Check("planted leak", "probe", "passed", skill, f"{figures}, and truncation finds it: that would be seen")


def _folds(place: Place) -> list[Fold]:
    """The folds that serve a place's cutoffs, each once."""
    return list({fold.number: fold for fold, _ in place.days}.values())


def _probe(inputs: Inputs, place: Place, fold: Fold, shift: int) -> FittedProbe:
    probe = Probe(partial(label, horizon=fold.horizon, shift=shift))
    origins = training_rows(inputs, place.panel, fold, place.panel.tickers)
    return probe.fit(place.panel.until(fold.fit_date), origins, horizon=fold.horizon, seed=0)


def _same_units(inputs: Inputs, place: Place, fold: Fold, fitted: Fitted, units: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of a probe for the units of another table."""
    forecast = fitted.predict(place.panel, test_rows(place.panel, fold.cutoffs))
    table, keys = to_frame(place.panel, forecast, inputs.sessions), ["unique_id", "cutoff", "step"]
    return units[keys].astype({"cutoff": table["cutoff"].dtype}).merge(table, on=keys, validate="1:1")


def _loss(rows: pd.DataFrame) -> float:
    """Sum of the CRPS of forecasts whose outcome is known."""
    return float(quantile_crps(rows["y"].to_numpy(np.float64), rows[list(QUANTILE_COLUMNS)].to_numpy(np.float64)).sum())


def _guarded(check: str, model: str, carry_out: partial[Check]) -> Check:
    """The check, or why it could not be carried out: an audit never fails the run it audits."""
    try:
        return carry_out()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Check(check, model, "not run", np.nan, f"{subject(model)}: could not be carried out ({reason[:200]})")
