"""s2squant audit [EXPERIMENT]: does anything read the future? The leak audit of every run, with more of everything.

A few tickers are fitted as the experiment says, at two fit dates; every model, and whatever forecasters and features
of the user's own are installed or named, forecasts on prices whose later bars are gone or replaced by noise; a planted
leak shows that reading ahead is seen; and the whole line runs on random walks, where nothing can be found.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli import options

if TYPE_CHECKING:  # study brings torch, which a help text can do without
    from s2squant.config.experiment import Experiment
    from s2squant.evaluation.results import Study
    from s2squant.forecasters.leaks import Check
    from s2squant.runs.audit import Place
    from s2squant.runs.jobs import Inputs
    from s2squant.series.history import PriceHistory
    from s2squant.study import Run

TICKERS = 4
FITS = 2
CUTOFFS_OF_A_FIT = 6
"""How much of an experiment is fitted for truncation."""
CUTOFFS = 6
"""How many cutoffs are tried in each market."""
SECOND_OPINIONS = 2
"""More random walks are drawn when the first is said to be better, which happens by chance."""
LEAK = 3


def audit(
    experiment: options.ExperimentFile = None,
    source: options.SourceSpec = None,
    tickers: options.TickerList = None,
    start: options.FirstDate = None,
    end: options.LastDate = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    forecaster: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FACTORY",
            help="A forecaster of your own; entry points s2squant.forecasters are found.",
        ),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Features of your own; entry points s2squant.features are found.",
        ),
    ] = None,
    placebo: Annotated[
        bool, typer.Option("--placebo/--no-placebo", help="Run the whole line on random walks too; it takes longest.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Write the checks for programs to standard output.")] = False,
) -> int:
    """Look for leaks: truncation, a planted leak, and a placebo on random walks.

    Up to four tickers are fitted; --tickers says which. A model, or a column of a feature, that reads past its cutoff
    is named with the cutoff.

    Exit status: 0 sound; 3 a leak was found, or one would go unseen;
    2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    from s2squant.forecasters.plugins import own_features, own_forecasters
    from s2squant.runs.plan import make_plan  # pandas and torch: seconds that --help need not wait for

    sys.path.insert(0, "")  # modules in the working folder
    factories, functions = own_forecasters(forecaster or ()), own_features(feature or ())
    wanted = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, start=start, end=end, seed=seed
    )
    plan = make_plan(wanted)
    chosen = [report.ticker for report in plan.tickers if report.status == "ok"][:TICKERS]
    with tempfile.TemporaryDirectory(prefix="s2squant-audit-") as folder:
        _say(f"audit: fitting {', '.join(chosen)}")
        run, study = _run(_trimmed(wanted, chosen), Path(folder) / "run", workers)
        checks = _of_models(run.inputs, study)
        places = _places(run.inputs, study)
        for name, factory in factories.items():
            checks.append(_own_forecaster(run.inputs, places, name, factory))
        for name, function in functions.items():
            checks += _own_features(run.inputs, places, name, function)
        if placebo:
            _say("audit: the whole line on random walks")
            checks = [c for c in checks if c.check != "placebo"]
            checks.append(_placebo(wanted, [plan.histories[t] for t in chosen], Path(folder), workers))
    return _tell(checks, as_json)


def _trimmed(experiment: Experiment, tickers: Sequence[str]) -> Experiment:
    """The experiment on a few tickers, fitted twice, with no more cutoffs than an audit tries."""
    walk, every = experiment.walk, experiment.walk.every
    cutoffs = min(walk.cutoffs, FITS * CUTOFFS_OF_A_FIT)
    return experiment.model_copy(
        update={
            "universe": experiment.universe.model_copy(update={"tickers": tuple(tickers)}),
            "walk": walk.model_copy(update={"cutoffs": cutoffs, "refit_every": CUTOFFS_OF_A_FIT * every}),
        }
    )


def _run(experiment: Experiment, out: Path, workers: int | None) -> tuple[Run, Study]:
    from s2squant.study import open_run

    with open_run(experiment, out, workers=workers, flow="audit", trial=False) as run:
        for result in run.execute_stages():
            if result.status == "failed":
                _say(f"audit: {result.key} failed: {result.reason}")
        return run, run.finish()


def _of_models(inputs: Inputs, study: Study) -> list[Check]:
    from s2squant.forecasters.leaks import Check
    from s2squant.runs import audit

    table = audit.audit(inputs, study.forecasts, cutoffs=CUTOFFS, tickers=TICKERS)
    return [Check(**{str(k): v for k, v in row.items()}) for row in table.to_dict("records")]


def _places(inputs: Inputs, study: Study) -> list[Place]:
    from s2squant.runs.audit import places_of

    return places_of(inputs, study.forecasts, cutoffs=CUTOFFS, tickers=TICKERS)


def _own_forecaster(inputs: Inputs, places: Sequence[Place], name: str, factory: object) -> Check:
    """Fit a user's forecaster as ours are fitted, and try it at the same cutoffs."""
    from s2squant.forecasters.leaks import Check
    from s2squant.runs.audit import forecaster_truncation

    try:
        assert callable(factory)
        return forecaster_truncation(inputs, places, name, factory())
    except Exception as error:  # whatever a user's code raises
        return Check(
            "truncation", name, "failed", float("nan"), f"{name} raised {type(error).__name__}: {_line(error)}"
        )


def _own_features(inputs: Inputs, places: Sequence[Place], name: str, function: object) -> list[Check]:
    from s2squant.forecasters.leaks import Check
    from s2squant.runs.audit import features_truncation

    try:
        assert callable(function)
        return features_truncation(inputs, places, name, function)
    except Exception as error:  # whatever a user's code raises
        return [Check("feature", name, "failed", float("nan"), f"{name} raised {type(error).__name__}: {_line(error)}")]


def _placebo(experiment: Experiment, like: Sequence[PriceHistory], folder: Path, workers: int | None) -> Check:
    """Run the line, fitted once, on random walks; "better" must be confirmed by most of three."""
    from s2squant.config.experiment import Universe
    from s2squant.forecasters.leaks import Check, Outcome

    walk = experiment.walk
    once = walk.model_copy(update={"refit_every": walk.cutoffs * walk.every})
    words, skills = [], []
    for number in range(1 + SECOND_OPINIONS):
        prices = folder / f"prices{number}"
        _random_walks(like, prices, experiment.seed + number)
        update = {"universe": Universe(source=f"csv:{prices}"), "walk": once, "seed": experiment.seed + number}
        _, study = _run(experiment.model_copy(update=update), folder / f"placebo{number}", workers)
        board = study.leaderboard
        words.append(study.word)
        skills.append(float(board.loc[board["model"] == experiment.verdict.recommended, "effect"].iloc[0]))
        if "better" not in words:
            break
    better = words.count("better")
    told = f"on random walks the verdict is '{words[0]}', skill {100 * skills[0]:+.2f} %"
    if better:
        told += f"; of {len(words)} such universes {better} are said to be better"
    outcome: Outcome = "failed" if better > 1 else "passed"
    return Check("placebo", experiment.verdict.recommended, outcome, skills[0], told)


def _random_walks(like: Sequence[PriceHistory], folder: Path, seed: int) -> None:
    """Prices without anything to find, on the dates and with the daily deviation of these histories."""
    import numpy as np
    import pandas as pd

    folder.mkdir()
    rng = np.random.default_rng(seed)
    days = np.unique(np.concatenate([history.dates for history in like]))
    common = rng.normal(size=len(days))
    for number, history in enumerate(like):
        on = np.searchsorted(days, history.dates)
        deviation = max(float(np.diff(history.log_price).std()), 1e-4)
        shocks = (0.5 * common[on] + rng.normal(size=len(on))) / np.sqrt(1.25)
        close = 100 * np.exp(np.cumsum(deviation * shocks))
        pd.DataFrame({"Date": history.dates, "Close": close}).to_csv(folder / f"WALK{number}.csv", index=False)


def _tell(checks: Sequence[Check], as_json: bool) -> int:
    """Write the checks and the sentence they come to; returns the exit status."""
    failed = [c for c in checks if c.outcome == "failed"]
    left = sum(c.outcome == "not run" for c in checks)
    if as_json:
        rows = [c.__dict__ | {"figure": None if c.figure != c.figure else c.figure} for c in checks]
        print(json.dumps({"sound": not failed, "checks": rows}, indent=1))
        return LEAK if failed else 0
    for c in checks:
        print(f"{c.outcome:8} {c.check:13} {c.sentence}")
    more = f", {left} not run" if left else ""
    if failed:
        print(f"audit: not sound: {failed[0].sentence}" + (f"; and {len(failed) - 1} more" if len(failed) > 1 else ""))
        return LEAK
    print(f"audit: sound: {len(checks) - left} checks passed{more}")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
