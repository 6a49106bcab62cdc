"""Save and load of a fitted estimator, as a folder.

forecaster.json       parameters, markets, what a history holds besides its bars; written last
prices.parquet        the bars it was fitted on
covariates.parquet    their covariates, where they have any
keys.parquet          how the caller's frame named tickers and dates
models/               one safetensors file a model and ticker (or market)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.config.models import ModelName
from s2squant.errors import ConfigError, PriceError, RunError
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.fits import Fits
from s2squant.files import sealed, sha256_of, unsealed
from s2squant.forecasters.catalog import restore
from s2squant.forecasters.own_features import with_features, without_features
from s2squant.forecasters.own_model import FittedOwn, check_storable
from s2squant.runs.covariate_files import about_covariates, covariates_table, with_covariates_of
from s2squant.runs.folder import RunFolder
from s2squant.runs.manifest import by_another
from s2squant.runs.study_files import about_history, bars_table, histories_of
from s2squant.series.panel import Panel
from s2squant.series.states import load_state, save_state

FORMAT = 3
LAST, PRICES, KEYS, COVARIATES = "forecaster.json", "prices.parquet", "keys.parquet", "covariates.parquet"


def write_fitted(
    folder: RunFolder,
    params: Mapping[str, Any],
    experiment: Experiment,
    panels: Sequence[Panel],
    fits: Fits,
    refused: Mapping[str, str],
    keys: Keys,
) -> None:
    """Write everything into the folder; raises RunError when something else is there, or it cannot be written."""
    folder.check_name()
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise RunError(f"{folder.path}: something is there already; choose a new folder")
    for name in {name for (name, _), fitted in fits.items() if isinstance(fitted, FittedOwn)}:
        check_storable(name, experiment.forecasters.own.get(name, {}))
    plain = (without_features(h, experiment.forecasters) for panel in panels for h in panel.histories)
    histories = {h.ticker: h for h in plain}
    content = {
        "format": FORMAT,
        "version": __version__,
        "params": dict(params),
        "experiment": json.loads(experiment.to_json()),
        "markets": [list(panel.tickers) for panel in panels],
        "histories": {ticker: about_history(history) for ticker, history in histories.items()},
        "prices": {ticker: history.sha256 for ticker, history in histories.items()},
        "covariates": about_covariates(histories),
        "fits": [list(key) for key in fits],
        "refused": dict(refused),
    }
    try:
        json.dumps(content)
    except TypeError as error:
        raise RunError(f"the settings cannot be written as JSON ({error}); give plain values") from None
    named = keys.table()
    try:
        for (name, owner), fitted in fits.items():
            save_state(folder.model(name, owner), fitted.state())
        folder.write_table(PRICES, bars_table(histories))
        if content["covariates"]:
            folder.write_table(COVARIATES, covariates_table(histories))
        folder.write_table(KEYS, named)
        written = (PRICES, KEYS, COVARIATES) if content["covariates"] else (PRICES, KEYS)
        sums = {name: sha256_of(folder.path / name) for name in written}
        folder.write_text(LAST, sealed({**content, "files": sums}, sort=False))
    except OSError as error:
        raise RunError(f"{folder.path}: cannot be written ({error.strerror})") from None


def read_fitted(
    folder: RunFolder,
) -> tuple[dict[str, Any], Experiment, tuple[Panel, ...], Fits, dict[str, str], Keys]:
    """Parameters, experiment, markets, models, refused tickers and names of a written estimator.

    Raises RunError when the folder holds none or a damaged one, CheckpointError for a damaged model.
    """
    if not (folder.path / LAST).is_file():
        raise RunError(f"{folder.path}: holds no {LAST}; give a folder that PriceForecaster.save wrote")
    try:
        content = unsealed(folder.read_text(LAST), since="files")
        if content["format"] != FORMAT:
            raise RunError(f"{folder.path}: written by s2squant {content['version']} in another form; fit it again")
        for name, sha256 in content["files"].items():
            if sha256_of(folder.path / name) != sha256:
                raise ValueError(f"{name} is not what was written")
        try:
            experiment = make_experiment(content["experiment"], where=str(folder.path / LAST))
        except ConfigError as error:
            raise RunError(f"{error}{by_another(content['version'])}") from None
        histories = histories_of(folder.read_table(PRICES), content["histories"])
        if content.get("covariates"):
            histories = with_covariates_of(histories, folder.read_table(COVARIATES), content["covariates"])
        if {ticker: history.sha256 for ticker, history in histories.items()} != content["prices"]:
            raise ValueError("its prices were changed")
        bare = [Panel(tuple(histories[ticker] for ticker in tickers)) for tickers in content["markets"]]
        keys = TypeAdapter(list[tuple[ModelName, str]]).validate_python(content["fits"])
        params, refused = dict(content["params"]), dict(content["refused"])
        named = Keys.from_table(folder.read_table(KEYS))
    except (OSError, KeyError, TypeError, ValueError, PriceError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise RunError(f"{folder.path}: damaged ({reason}); fit it again") from None
    settings = experiment.forecasters
    panels = tuple(with_features(panel, settings) for panel in bare)
    fits = {(name, owner): restore(name, settings, load_state(folder.model(name, owner))) for name, owner in keys}
    return params, experiment, panels, fits, refused, named
