"""s2squant audit [EXPERIMENT]: does anything read the future? The leak audit of every run, with more of everything.

A few tickers are fitted as the experiment says, at two fit dates; every model, and whatever forecasters and features
of the user's own are installed or named, forecasts on prices whose later bars are gone or replaced by noise; a planted
leak shows that reading ahead is seen; and the whole line runs on random walks, where nothing can be found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli import options

if TYPE_CHECKING:
    from s2squant.forecasters.leaks import Check

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

    Example: s2squant audit --tickers AAPL,MSFT --no-placebo

    Exit status: 0 sound; 3 a leak was found, or one would go unseen;
    2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    from s2squant.cli.leak_audit import leak_audit  # pandas and torch: seconds that --help need not wait for
    from s2squant.forecasters.plugins import own_features, own_forecasters

    wanted = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, start=start, end=end, seed=seed
    )
    tables = wanted.forecasters.own
    forecasters, features = own_forecasters(forecaster or (), tables), own_features(feature or (), tables)
    checks = leak_audit(wanted, forecasters=forecasters, features=features, placebo=placebo, workers=workers)
    return _report(checks, as_json)


def _report(checks: Sequence[Check], as_json: bool) -> int:
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
