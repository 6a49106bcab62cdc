"""The search for better settings as one Prefect flow: `python flows/tune.py [EXPERIMENT] [--trials N]` by hand.

One flow a search, one task a trial; `s2squant tune` does the same without Prefect. A flow run that was killed goes on
when the same one is started again: trials that were over stay over.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from flows.environment import prefect_settings

os.environ.update(prefect_settings(by_hand=__name__ == "__main__"))

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.runners import silence_prefect
from s2squant.cli.commands.tune import build_tuning, opening_line, trial_line
from s2squant.cli.exits import complain
from s2squant.cli.options import look_in
from s2squant.config.experiment import Experiment
from s2squant.config.files import build_experiment
from s2squant.config.tuning import Tuning
from s2squant.errors import CallerError
from s2squant.tuning.results import TrialResult, Tuned, summary
from s2squant.tuning.search import open_search

DEFAULTS = Experiment()
SEARCH = Tuning()


@task(cache_policy=NO_CACHE, persist_result=False)
def trial(work: Callable[[], TrialResult | None]) -> TrialResult | None:
    """Try one configuration over the searched folds."""
    return work()


@task(cache_policy=NO_CACHE, persist_result=False)
def conclude(work: Callable[[], tuple[Path, Tuned]]) -> tuple[Path, Tuned]:
    """Score the held-out cutoffs and write the report."""
    return work()


@flow(persist_result=False)
def tune(
    experiment: Experiment = DEFAULTS,
    tuning: Tuning = SEARCH,
    out: str | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
) -> State[dict[str, Any]]:
    """Search for better settings of the recommended model; the last cutoffs, which it never sees, say if that paid.

    Args:
        experiment: Where the search starts; what is left out has its default.
        tuning: How many trials, over which ranges, what is held out, and the study's name.
        out: The result's folder, reports/tune/RUN_ID if left out.
        workers: Processes that train, one a core if left out.
    """
    log = get_run_logger()
    try:
        with open_search(
            experiment, tuning, Path(out) if out else None, workers=workers, command="s2squant tune experiment.json"
        ) as search:
            log.info(opening_line(search))
            while (tried := trial(search.step)) is not None:
                log.info(trial_line(tried))
            folder, tuned = conclude(search.finish)
    except CallerError as error:
        return Failed(message=str(error), data=error)
    report = f"**{tuned.sentence}**\n\nBest: `{folder / 'best.json'}`\n\nReport: `{folder / 'index.html'}`"
    create_markdown_artifact(key="tuning", markdown=report, description=tuned.study)
    return Completed(message=tuned.sentence, data=summary(tuned) | {"folder": str(folder)})


def main(argv: Sequence[str] | None = None) -> int:
    """Run it once, by hand."""
    parser = argparse.ArgumentParser(prog="python flows/tune.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("experiment", type=Path, nargs="?", metavar="EXPERIMENT", help="a .toml or .json file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--space", action="append", default=[], metavar="KEY=RANGE", help="a setting to search")
    parser.add_argument("--tuning", type=Path, metavar="FILE", help="a search's .toml or .json")
    parser.add_argument("--trials", type=int, metavar="N", help="configurations to try")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that train")
    options = parser.parse_args(argv)
    silence_prefect()
    try:
        given = {} if options.trials is None else {"trials": options.trials}
        search = build_tuning(options.tuning, options.space, given)
        look_in(options.experiment)
        experiment = build_experiment(options.experiment, options.set)
        state: State[Any] = tune(experiment, search, workers=options.workers, return_state=True)
        state.result()
    except CallerError as error:
        complain(str(error))
        return error.exit_status
    print(state.message)
    return 0


if __name__ == "__main__":
    del __file__  # a spawned worker imports the main module again where it has a file, and needs nothing of this one
    sys.exit(main())
