"""A user's own forecasters and features: installed as entry points, or named as `package.module:function`.

`s2squant.forecasters` holds factories: called without arguments, each gives a Forecaster (series/forecast.py).
`s2squant.features` holds functions from a Panel to arrays by name, each (R,), a row's value reading no bar after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from s2squant.errors import ConfigError
from s2squant.forecasters.leaks import Features
from s2squant.series.forecast import Forecaster

FORECASTERS = "s2squant.forecasters"
FEATURES = "s2squant.features"

Factory = Callable[[], Forecaster]


def own_forecasters(named: Sequence[str] = ()) -> Mapping[str, Factory]:
    """Factories by name: all that are installed, and those named; raises ConfigError for one that cannot be loaded."""
    return _load(FORECASTERS, named)


def own_features(named: Sequence[str] = ()) -> Mapping[str, Features]:
    """Feature functions by name, as `own_forecasters`."""
    return _load(FEATURES, named)


def _load(group: str, named: Sequence[str]) -> dict[str, Any]:
    for name in named:
        if not all(name.partition(":")):
            raise ConfigError(f"{name}: write it as package.module:function")
    points = [*entry_points(group=group), *(EntryPoint(name, name, group) for name in named)]
    return {point.name: _loaded(point) for point in points}


def _loaded(point: EntryPoint) -> Any:
    try:
        loaded = point.load()
    except Exception as error:  # whatever a user's module raises when it is imported
        reason = " ".join(str(error).split()) or "no reason given"
        raise ConfigError(f"{point.value}: cannot be loaded ({type(error).__name__}: {reason})") from None
    if not callable(loaded):
        raise ConfigError(f"{point.value}: is {type(loaded).__name__}, not a function; {point.group} holds functions")
    return loaded
