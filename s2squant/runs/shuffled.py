"""The headline where nothing can be forecast: recommended model and rival once more, on shuffled returns.

What one gains on the other there is the other's estimation noise. Cheap enough for every run: one fit a market, closes
alone, a few tickers, no networks; kept in a file by all that decides it. The placebo of the audit, on random walks,
asks something else: whether a run would say "better" where it must not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.models import MODELS, ModelName
from s2squant.evaluation.comparisons import PARTS, compare
from s2squant.evaluation.losses import score
from s2squant.evaluation.pools import pools
from s2squant.files import sealed, unsealed, write_atomic
from s2squant.forecasters.anchor import stable_seed
from s2squant.forecasters.fitting import fit_models, predict_models
from s2squant.runs.collect import combine
from s2squant.runs.engines.local import map_jobs
from s2squant.runs.jobs import Inputs
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Fold, Panel
from s2squant.series.shuffle import shuffled
from s2squant.series.windows import test_rows, train_rows

SHUFFLES = 3
MOST_TICKERS = 20
"""Tickers that take part, evenly spaced over all of the run."""
FIGURES = (*(column for part, prefix in PARTS.items() for column in (part, f"{prefix}low", f"{prefix}high")), "p")
COLUMNS = ("challenger", "benchmark", *FIGURES, "n", "n_eff", "shuffles", "tickers", "without", "reason")


def shuffled_headline(inputs: Inputs, tickers: Sequence[str], kept: Path | None) -> pd.DataFrame:
    """The table `shuffled` of Study: one row, or none where the run has no such pair or does not ask; never raises.

    `tickers` are those with forecasts. A row found in the folder `kept` is taken from there, a new one is left there.
    """
    settings = _settings(inputs.experiment)
    if settings is None:
        return pd.DataFrame(columns=list(COLUMNS))
    pair = {"challenger": settings.verdict.recommended, "benchmark": settings.verdict.rival}
    without = _networks(inputs.experiment) if settings.verdict.recommended == "blend" else ()
    about = {"shuffles": SHUFFLES, "without": ", ".join(without)}
    try:
        panels = _panels(inputs, tickers)
        own = settings.forecasters.own_models or settings.forecasters.features  # their code may change
        path = kept / f"{_identity(settings, panels)}.json" if kept is not None and not own else None
        row = _read(path) or _compared(settings, panels, inputs)
        if path is not None:
            write_atomic(path, sealed(row))
    except Exception as error:
        row = {"reason": " ".join(str(error).split())[:200] or type(error).__name__}
    return pd.DataFrame([pair | about | {"reason": ""} | row]).reindex(columns=list(COLUMNS))


def _networks(experiment: Experiment) -> tuple[ModelName, ...]:
    """The networks of the blend, which do not take part: to train them would take longer than all the rest."""
    return tuple(m for m in experiment.forecasters.blending.members if m in MODELS and MODELS[m].kind == "network")


def _settings(experiment: Experiment) -> Experiment | None:
    """The experiment with what the pair needs and no more; None where there is no pair, or one that needs a network."""
    forecasters, spec = experiment.forecasters, experiment.verdict
    recommended, rival = spec.recommended, spec.rival
    if not spec.shuffled or rival not in forecasters.models or rival == recommended:
        return None
    members = tuple(m for m in forecasters.blending.members if m not in _networks(experiment))
    needed: set[str] = {recommended, rival}
    if recommended == "blend":
        needed |= {"anchor", *members}
    if "field" in needed:
        needed |= set(forecasters.field_members)
    if needed & set(forecasters.networks) or (recommended == "blend" and not members):
        return None
    few = {"models": tuple(m for m in forecasters.models if m in needed)}
    blend = forecasters.blend.model_copy(update={"members": members})
    plain = experiment.recalibration.model_copy(update={"enabled": False})
    return experiment.model_copy(
        update={"forecasters": forecasters.model_copy(update=few | {"blend": blend}), "recalibration": plain}
    )


def _panels(inputs: Inputs, tickers: Sequence[str]) -> dict[str, Panel]:
    """The markets' panels with at most MOST_TICKERS of the tickers in all."""
    chosen = {tickers[k] for k in np.linspace(0, len(tickers) - 1, min(len(tickers), MOST_TICKERS)).astype(int)}
    few = {m: tuple(h for h in panel.histories if h.ticker in chosen) for m, panel in inputs.panels.items()}
    return {market: Panel(histories) for market, histories in few.items() if histories}


def _identity(settings: Experiment, panels: Mapping[str, Panel]) -> str:
    """Hash of all that decides the row."""
    forecasters = settings.forecasters
    facts = {
        "version": __version__,
        "prices": {h.ticker: [h.sha256, h.asset_class] for panel in panels.values() for h in panel.histories},
        "walk": settings.walk.model_dump(mode="json"),
        "verdict": settings.verdict.model_dump(mode="json"),
        "forecasters": forecasters.model_dump(mode="json", include={"models", *forecasters.models}),
        "seed": settings.seed,
        "size": [SHUFFLES, MOST_TICKERS],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _compared(settings: Experiment, panels: Mapping[str, Panel], inputs: Inputs) -> dict[str, Any]:
    """Fit, forecast and compare the pair on every shuffle, each of whose tickers counts as a ticker of its own."""
    jobs = [(market, k) for k in range(SHUFFLES) for market in panels]
    work = partial(_forecasts, settings, panels, inputs)
    forecasts = pd.concat(map_jobs(work, jobs, workers=1, on_done=lambda _: None), ignore_index=True)  # in one thread
    markets = {f"{ticker} {k}": f"{market} {k}" for market, k in jobs for ticker in panels[market].tickers}
    losses = score(combine(forecasts, settings, markets)[0])
    walk, spec = settings.walk, settings.verdict
    whole = pools(losses, every=walk.every, horizon=walk.horizon, markets=markets)[:1]
    row = compare(losses, whole, [(spec.recommended, spec.rival)], spec).iloc[0]
    figures = {name: float(row[name]) for name in (*FIGURES, "n_eff")}
    return figures | {"n": int(row["n"]), "tickers": len(losses.tickers) // SHUFFLES}


def _one_fit(folds: Sequence[Fold]) -> Fold:
    """All cutoffs of a market, served by the first fit."""
    first = folds[0]
    cutoffs = np.concatenate([fold.cutoffs for fold in folds])
    return Fold(first.market, 0, first.train_start, first.fit_date, cutoffs, first.horizon)


def _forecasts(settings: Experiment, panels: Mapping[str, Panel], inputs: Inputs, job: tuple[str, int]) -> pd.DataFrame:
    """The long table of every model but the blend, on one shuffle of a market."""
    market, k = job
    panel = shuffled(panels[market], stable_seed(settings.seed, "shuffled", market, str(k)))
    fold = _one_fit(inputs.folds[market])
    models, past = settings.forecasters, panel.until(fold.fit_date)
    names = tuple(m for m in models.models if m != "blend")
    rows = train_rows(past, fold, warmup=models.anchor.warmup)
    fits = fit_models(names, models, past, rows, horizon=fold.horizon, seed=settings.seed, market={})
    made = predict_models((fitted for _, fitted in fits), panel, test_rows(panel, fold.cutoffs))
    table = pd.concat([to_frame(panel, forecast, inputs.sessions) for _, forecast in made], ignore_index=True)
    return table.assign(unique_id=table["unique_id"] + f" {k}")


def _read(path: Path | None) -> dict[str, Any] | None:
    """A row that an earlier run left; None where there is none, or a damaged one."""
    try:
        row = unsealed(path.read_bytes(), since="") if path is not None else None
    except (OSError, ValueError):
        return None
    wanted = {*FIGURES, "n", "n_eff", "tickers"}
    sound = isinstance(row, dict) and set(row) == wanted and all(isinstance(v, int | float) for v in row.values())
    return row if sound else None
