"""Validation of arguments from Python: plain values, or one ConfigError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError
from s2squant.estimator.covariates import declared
from s2squant.prices.checks.every import check_accepted
from s2squant.series.tails import ALL_LEVELS


def plain(value: Any) -> Any:
    """The value as JSON knows it: numpy's numbers and arrays become Python's."""
    match value:
        case Mapping():
            return {key: plain(one) for key, one in value.items()}
        case tuple():
            return tuple(plain(one) for one in value)
        case list():
            return [plain(one) for one in value]
        case np.generic() | np.ndarray():
            return value.tolist()
    return value


def experiment_of(params: Mapping[str, Any], walk: Mapping[str, Any]) -> Experiment:
    """The experiment that an estimator's parameters ask for; raises ConfigError where one cannot be meant."""
    models, accept = names_of("models", params["models"]), names_of("accept", params["accept"])
    settings, calendars = table_of("settings", params["settings"]), table_of("calendars", params["calendars"])
    if not models or "models" in settings:
        raise ConfigError("PriceForecaster: name the models in `models`, at least one, and not in `settings`")
    check_accepted(accept, where="PriceForecaster")
    data = {
        "seed": seed_of(params["random_state"]),
        "universe": {"calendars": {str(ticker): code for ticker, code in calendars.items()}, "accept": accept},
        "covariates": declared(*(params[name] for name in ("hist_exog", "futr_exog", "stat_exog", "covariates"))),
        "walk": {"horizon": params["horizon"], **walk},
        "forecasters": settings | {"models": models},
        "verdict": {"reference": models[0], "recommended": models[0]},
    }
    try:
        return make_experiment(plain(data), where="PriceForecaster")
    except ConfigError as error:
        raise ConfigError(_in_own_names(str(error))) from None


OWN_NAMES = {
    "universe.calendars": "calendars",
    "universe.accept": "accept",
    "walk.horizon": "horizon",
    "walk.cutoffs": "n_windows",
    "walk.every": "step_size",
    "walk.refit_every": "refit",
    "walk.min_train": "min_train",
    "forecasters.models": "models",
    "forecasters.": "settings: ",
    "seed": "random_state",
}
"""What a parameter is called here, by the setting that it becomes."""


def _in_own_names(text: str) -> str:
    head, separator, rest = text.partition(": ")
    for setting, own in OWN_NAMES.items():
        rest = rest.replace(setting, own)
    return head + separator + rest


def walk_of(horizon: int, n_windows: object, step_size: object, refit: object, min_train: object) -> dict[str, int]:
    """The walk that `cross_validation` is asked for; raises ConfigError for a number that cannot be meant."""
    windows = whole("n_windows", n_windows, least=2, why="two are the fewest that a walk has; predict(df=...) is one")
    every = horizon if step_size is None else whole("step_size", step_size, least=1)
    match refit:
        case bool():
            between = 1 if refit else windows
        case _:
            between = whole("refit", refit, least=1, why="give True, False, or a number of windows from 1 up")
    least = whole("min_train", min_train, least=300)
    return {"cutoffs": windows, "every": every, "refit_every": every * between, "min_train": least}


def whole(parameter: str, value: object, *, least: int, why: str = "") -> int:
    """A whole number from `least` up, no truth value; raises ConfigError in the caller's own name for it."""
    hint = f"; {why}" if why else f"; give a whole number from {least} up"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{parameter} is {_shown(value)}{hint}")
    if value < least:
        raise ConfigError(f"{parameter} is {value}{hint}")
    return int(value)


def seed_of(random_state: object) -> int:
    """A seed; None draws one, as in scikit-learn, and a generator of numpy gives its next."""
    match random_state:
        case None:
            return int(np.random.default_rng().integers(2**31))
        case np.random.RandomState():
            return int(random_state.randint(2**31 - 1))
        case np.random.Generator():
            return int(random_state.integers(2**31))
    return whole("random_state", random_state, least=0)


def steps_of(h: int | None, most: int, *, beyond: bool = False) -> int:
    """How many steps to forecast, all of them where `h` is None; more than were fitted only where `beyond`."""
    if h is None:
        return most
    if count_of("h", h, "predict(df=...)") < 1 or (h > most and not beyond):
        raise ConfigError(f"h is {h}; this one was fitted for 1 to {most} steps")
    return int(h)


def names_of(parameter: str, value: object) -> tuple[Any, ...]:
    """One name, or several in any iterable."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ConfigError(f"PriceForecaster: {parameter} is {_shown(value)}; give a name, or several in a list")
    return tuple(value)


def table_of(parameter: str, value: object) -> dict[Any, Any]:
    """A table of settings; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"PriceForecaster: {parameter} is {_shown(value)}; give a dict")
    return dict(value)


def count_of(parameter: str, value: object, frame: str = "") -> int:
    """A whole number; `frame` is how to pass a frame that was given in its place."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    remedy = f"; a frame goes in as {frame}" if frame and hasattr(value, "columns") else ""
    raise ConfigError(f"{parameter} is {_shown(value)}, not a whole number{remedy}")


def edges_of(level: object, quantiles: object) -> dict[str, float]:
    """Quantile levels by the suffix of their columns: "-lo-80" and "-hi-80" of a band, "_ql0.1" of a quantile.

    Raises ConfigError for what no forecast holds, and where both are given.
    """
    bands = _numbers("level", level, "per cents, as level=[80, 95]")
    asked = _numbers("quantiles", quantiles, "shares, as quantiles=[0.1, 0.9]")
    if bands and asked:
        raise ConfigError("level and quantiles are two ways to say the same; give one")
    edges = {}
    for percent in bands:
        tail = (100.0 - percent) / 200.0
        if not ALL_LEVELS[0] - 1e-9 <= tail < 0.5:
            raise ConfigError(f"level {percent:g} is no band of a forecast; bands hold up to 99 per cent")
        edges[f"-lo-{percent:g}"], edges[f"-hi-{percent:g}"] = tail, 1 - tail
    for share in asked:
        if not ALL_LEVELS[0] - 1e-9 <= share <= ALL_LEVELS[-1] + 1e-9:
            raise ConfigError(f"quantiles holds {share:g}; a forecast holds those from 0.005 to 0.995")
        edges[f"_ql{share:g}"] = share
    return edges


def _numbers(parameter: str, value: object, remedy: str) -> list[float]:
    several = [value] if isinstance(value, Real) else value
    if isinstance(several, str) or not isinstance(several, Iterable) or hasattr(several, "columns"):
        raise ConfigError(f"{parameter} is {_shown(value)}; give {remedy}")
    numbers = []
    for one in several:
        if isinstance(one, bool) or not isinstance(one, Real):
            raise ConfigError(f"{parameter} holds {_shown(one)}; give {remedy}")
        numbers.append(float(one))
    return numbers


def _shown(value: object) -> str:
    return f"a {type(value).__name__}" if hasattr(value, "columns") else ascii(value)[:60]
