"""Validation of arguments from Python: plain values, or one ConfigError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError
from s2squant.estimator.covariates import declared
from s2squant.estimator.wide_table import band_columns
from s2squant.prices.checks.every import check_accepted


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
        "seed": params["random_state"],
        "universe": {"calendars": {str(ticker): code for ticker, code in calendars.items()}, "accept": accept},
        "covariates": declared(*(params[name] for name in ("hist_exog", "futr_exog", "stat_exog", "covariates"))),
        "walk": {"horizon": params["horizon"], **walk},
        "forecasters": settings | {"models": models},
        "verdict": {"reference": models[0], "recommended": models[0]},
    }
    return make_experiment(plain(data), where="PriceForecaster")


def steps_of(h: int | None, most: int) -> int:
    """How many steps to forecast, all of them where `h` is None."""
    if h is None:
        return most
    if count_of("h", h, "predict(df=...)") < 1 or h > most:
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
    if isinstance(value, Integral):
        return int(value)
    remedy = f"; a frame goes in as {frame}" if frame and hasattr(value, "columns") else ""
    raise ConfigError(f"{parameter} is {_shown(value)}, not a whole number{remedy}")


def levels_of(level: object) -> Sequence[float]:
    """Levels of bands, one or several, each on the grid."""
    several = [level] if isinstance(level, Real) else level
    if isinstance(several, str) or not isinstance(several, Iterable):
        raise ConfigError(f"level is {_shown(level)}; give per cents, as level=[80, 95]")
    levels = [float(one) if isinstance(one, Real) else _no_level(one) for one in several]
    band_columns(levels)
    return levels


def _no_level(value: object) -> float:
    raise ConfigError(f"level holds {_shown(value)}; give per cents, as level=[80, 95]")


def _shown(value: object) -> str:
    return f"a {type(value).__name__}" if hasattr(value, "columns") else ascii(value)[:60]
