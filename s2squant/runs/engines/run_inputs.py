"""A run's inputs as files of its folder, for workers of other machines, and back.

work/experiment.json  work/prices.parquet     the configuration, and the bars of all tickers that take part
work/covariates.parquet                       their covariates, where they have any
work/inputs.json                              markets and tickers in order, what else a history holds, versions
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from s2squant import __version__
from s2squant.config.files import make_experiment, parse_settings
from s2squant.errors import PriceError, RunError
from s2squant.runs.covariate_files import about_covariates, covariates_table, with_covariates_of
from s2squant.runs.engines.worker import JobSpec
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, perform
from s2squant.runs.plan import folds_of, sessions_of
from s2squant.runs.study_files import about_history, bars_table, histories_of
from s2squant.series.panel import Panel

EXPERIMENT, PRICES, INPUTS = "work/experiment.json", "work/prices.parquet", "work/inputs.json"
COVARIATES = "work/covariates.parquet"


def write_inputs(inputs: Inputs) -> JobSpec[Inputs, Job]:
    """Write what the workers need into the run's folder, and say where it lies."""
    folder, place = inputs.folder, inputs.folder.path.resolve()
    RunFolder(place).check_name()
    histories = {h.ticker: h for panel in inputs.panels.values() for h in panel.histories}
    experiment = inputs.experiment.to_json()
    stored = {
        "versions": versions(),
        "experiment": hashlib.sha256(experiment.encode()).hexdigest(),
        "markets": {market: list(panel.tickers) for market, panel in inputs.panels.items()},
        "histories": {ticker: about_history(history) for ticker, history in histories.items()},
        "covariates": about_covariates(histories),
        "importance": inputs.importance,
        "sha256": {ticker: history.sha256 for ticker, history in histories.items()},
    }
    text = json.dumps(stored, indent=1) + "\n"
    folder.write_text(EXPERIMENT, experiment)
    folder.write_table(PRICES, bars_table(histories))
    if stored["covariates"]:
        folder.write_table(COVARIATES, covariates_table(histories))
    folder.write_text(INPUTS, text)
    return JobSpec(place, _digest(text), read_inputs, perform)


def read_inputs(path: Path, version: str) -> Inputs:
    """The inputs in a run's folder: panels, folds and sessions made anew, as the plan made them.

    Raises RunError when the folder cannot be seen from here, holds another run's inputs, or was written by other
    versions, whose numbers would differ.
    """
    folder = RunFolder(path)
    if not (path / INPUTS).exists():
        raise RunError(f"{path}: a worker finds no {INPUTS}; all workers need the run's folder on storage they share")
    text = folder.read_text(INPUTS)
    if _digest(text) != version:
        raise RunError(f"{path / INPUTS}: not the inputs of this run; give the run a folder of its own")
    stored = json.loads(text)
    _same_versions(stored["versions"])
    written = folder.read_text(EXPERIMENT)
    try:
        histories = histories_of(folder.read_table(PRICES), stored["histories"])
        if stored["covariates"]:
            histories = with_covariates_of(histories, folder.read_table(COVARIATES), stored["covariates"])
    except (LookupError, TypeError, ValueError, PriceError):  # what damaged values no longer make
        histories = {}
    sound = {ticker: history.sha256 for ticker, history in histories.items()} == stored["sha256"]
    if not sound or hashlib.sha256(written.encode()).hexdigest() != stored["experiment"]:
        raise RunError(f"{path}: the inputs that were handed over are damaged; run the backtest again")
    where = str(path / EXPERIMENT)
    experiment = make_experiment(parse_settings(written, form="json", where=where), where=where)
    panels = {market: Panel(tuple(histories[t] for t in tickers)) for market, tickers in stored["markets"].items()}
    walk = experiment.walk
    return Inputs(experiment, panels, folds_of(panels, walk), sessions_of(panels, walk), folder, stored["importance"])


def versions() -> dict[str, str]:
    """The packages on which the last digit of a forecast depends."""
    return {"s2squant": __version__} | {name: metadata.version(name) for name in ("numpy", "scipy", "torch", "arch")}


def _same_versions(wanted: Mapping[str, str]) -> None:
    for name, here in versions().items():
        if wanted.get(name) != here:
            raise RunError(f"a worker has {name} {here} and the run {wanted.get(name)}; install the same on all")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
