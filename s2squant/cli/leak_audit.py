"""The leak audit with more of everything: all models, a user's own code, and the whole line on random walks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment, Universe
from s2squant.config.intervals import calendar_of
from s2squant.evaluation.results import Study
from s2squant.forecasters.conformance import conformance
from s2squant.forecasters.leaks import Check, Features, Outcome
from s2squant.forecasters.own_model import OwnModel
from s2squant.forecasters.plugins import Factory
from s2squant.runs.audit import Place, audit, features_truncation, forecaster_truncation, places_of
from s2squant.runs.jobs import Inputs
from s2squant.runs.plan import planned
from s2squant.series.history import PriceHistory
from s2squant.study import Run, open_run

TICKERS = 4
FITS = 2
CUTOFFS_OF_A_FIT = 6
"""How much of an experiment is fitted for truncation."""
CUTOFFS = 6
"""Cutoffs tried in each market."""
SECOND_OPINIONS = 2
"""More random walks are drawn when the first is said to be better, which happens by chance."""


def leak_audit(
    experiment: Experiment,
    *,
    forecasters: Mapping[str, Factory],
    features: Mapping[str, Features],
    placebo: bool,
    workers: int | None,
) -> list[Check]:
    """Fit a few tickers of an experiment and try every model, forecaster and feature; progress to standard error."""
    experiment, plan = planned(experiment)
    chosen = [report.ticker for report in plan.tickers if report.status == "ok"][:TICKERS]
    with tempfile.TemporaryDirectory(prefix="s2squant-audit-") as name:
        folder = Path(name)
        say(f"audit: fitting {', '.join(chosen)}")
        run, study = carry_out(trimmed(experiment, chosen), folder / "run", workers)
        places = places_of(run.inputs, study.forecasts, cutoffs=CUTOFFS, tickers=TICKERS)
        table = audit(run.inputs, places, study.forecasts)
        checks = [Check(**{str(k): v for k, v in row.items()}) for row in table.to_dict("records")]
        checks += _of_own_code(run.inputs, places, forecasters, features)
        if placebo:
            say("audit: the whole line on random walks")
            checks = [check for check in checks if check.check != "placebo"]
            checks.append(_placebo(experiment, [plan.histories[t] for t in chosen], folder, workers))
    return checks


def trimmed(experiment: Experiment, tickers: Sequence[str]) -> Experiment:
    """The experiment on a few tickers, fitted twice, with no more cutoffs than an audit tries."""
    walk, every = experiment.walk, experiment.walk.every
    cutoffs = min(walk.cutoffs, FITS * CUTOFFS_OF_A_FIT)
    return experiment.model_copy(
        update={
            "universe": experiment.universe.model_copy(update={"tickers": tuple(tickers)}),
            "walk": walk.model_copy(update={"cutoffs": cutoffs, "refit_every": CUTOFFS_OF_A_FIT * every}),
        }
    )


def carry_out(experiment: Experiment, out: Path, workers: int | None) -> tuple[Run, Study]:
    """Run an audited experiment, which counts as no trial; the run, closed, and its study."""
    with open_run(experiment, out, workers=workers, flow="audit", trial=False) as run:
        for result in run.execute_stages():
            if result.status == "failed":
                say(f"audit: {result.key} failed: {result.reason}")
        return run, run.finish()


def _of_own_code(
    inputs: Inputs, places: Sequence[Place], forecasters: Mapping[str, Factory], features: Mapping[str, Features]
) -> Iterator[Check]:
    """The contract and truncation of a user's forecasters, fitted as ours are, and truncation of features.

    Whatever they raise fails the check.
    """
    experiment = inputs.experiment
    for name, factory in forecasters.items():
        try:
            model = OwnModel(name, factory())
            yield from conformance(model, horizon=experiment.walk.horizon, seed=experiment.seed)
            yield forecaster_truncation(inputs, places, name, model)
        except Exception as error:
            yield _raised("truncation", name, error)
    for name, function in features.items():
        try:
            yield from features_truncation(inputs, places, name, function)
        except Exception as error:
            yield _raised("feature", name, error)


def _raised(check: str, name: str, error: Exception) -> Check:
    reason = " ".join(str(error).split())[:200]
    return Check(check, name, "failed", float("nan"), f"{name} raised {type(error).__name__}: {reason}")


def _placebo(experiment: Experiment, like: Sequence[PriceHistory], folder: Path, workers: int | None) -> Check:
    """Run the line, fitted once, on random walks; "better" must be confirmed by most of three."""
    walk = experiment.walk
    once = walk.model_copy(update={"refit_every": walk.cutoffs * walk.every})
    words, skills = [], []
    for number in range(1 + SECOND_OPINIONS):
        prices = folder / f"prices{number}"
        random_walks(like, prices, experiment.seed + number)
        calendars = {f"WALK{n}": calendar_of(h.calendar) for n, h in enumerate(like) if h.is_intraday}
        update = {
            "universe": Universe(source=f"csv:{prices}", calendars=calendars),
            "walk": once,
            "seed": experiment.seed + number,
        }
        _, study = carry_out(experiment.model_copy(update=update), folder / f"placebo{number}", workers)
        board = study.leaderboard
        words.append(study.word)
        skills.append(float(board.loc[board["model"] == experiment.verdict.recommended, "effect"].iloc[0]))
        if "better" not in words:
            break
    better = words.count("better")
    sentence = f"on random walks the verdict is '{words[0]}', skill {100 * skills[0]:+.2f} %"
    if better:
        sentence += f"; of {len(words)} such universes {better} are said to be better"
    outcome: Outcome = "failed" if better > 1 else "passed"
    return Check("placebo", experiment.verdict.recommended, outcome, skills[0], sentence)


def random_walks(like: Sequence[PriceHistory], folder: Path, seed: int) -> None:
    """Prices without anything to find, on the dates and with the daily deviation of these histories."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    days = np.unique(np.concatenate([history.dates for history in like]))
    common = rng.normal(size=len(days))
    for number, history in enumerate(like):
        on = np.searchsorted(days, history.dates)
        deviation = max(float(np.diff(history.log_price).std()), 1e-4)
        shocks = (0.5 * common[on] + rng.normal(size=len(on))) / np.sqrt(1.25)
        close = 100 * np.exp(np.cumsum(deviation * shocks))
        dates = pd.DatetimeIndex(history.dates)
        stamps = dates.tz_localize("UTC") if history.is_intraday else dates
        pd.DataFrame({"Date": stamps, "Close": close}).to_csv(folder / f"WALK{number}.csv", index=False)


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)
