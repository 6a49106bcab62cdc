"""A user's own forecasters and features: installed as entry points, or named as `package.module:function`.

A forecaster's function is called with its settings and gives a Forecaster (series/forecast.py); a class will do. A
feature's is called with a Panel, then its settings, and gives arrays by name, each (R,), a row's value reading no bar
after it.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from s2squant.config.own import CHALLENGERS, FEATURES, FORECASTERS, entry_point, installed, is_dotted
from s2squant.errors import ConfigError, one_line
from s2squant.forecasters.leaks import Features
from s2squant.series.forecast import Forecaster

Factory = Callable[[], Forecaster]
Settings = Mapping[str, Any]
Tables = Mapping[str, Settings]
"""Settings by the name of an own model or feature."""


def own_forecasters(named: Sequence[str] = (), tables: Tables | None = None) -> Mapping[str, Factory]:
    """Factories by name: all that are installed, and those named; raises ConfigError for one that cannot be loaded."""
    names = dict.fromkeys((*installed(FORECASTERS), *named))
    for name in names:
        load(FORECASTERS, name)
    return {name: partial(make_own, name, (tables or {}).get(name, {})) for name in names}


def own_features(named: Sequence[str] = (), tables: Tables | None = None) -> Mapping[str, Features]:
    """Feature functions by name, as `own_forecasters`."""
    names = dict.fromkeys((*installed(FEATURES), *named))
    return {name: feature(name, (tables or {}).get(name, {})) for name in names}


def make_own(name: str, settings: Settings) -> Forecaster:
    """The forecaster that a user's function makes; raises ConfigError where it makes none."""
    made = _called(name, load(FORECASTERS, name), settings)
    if not callable(getattr(made, "fit", None)):
        raise ConfigError(f"{name}: gives {type(made).__name__}, which has no fit(panel, rows, *, horizon, seed)")
    forecaster: Forecaster = made
    return forecaster


def feature(name: str, settings: Settings) -> Features:
    """A user's feature function with its settings; raises ConfigError where it cannot be loaded."""
    return partial(load(FEATURES, name), **settings)


def load(group: str, name: str) -> Callable[..., Any]:
    """The function of this name; raises ConfigError in one line where it cannot be imported or is none.

    Modules of the working folder are found after all that is installed; a command adds the folder of the experiment's
    file, and worker processes look where the process that starts them does.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    path = CHALLENGERS.get(name, name) if group == FORECASTERS else name
    point = entry_point(group, name) if path == name else None
    if point is None and not is_dotted(path):
        raise ConfigError(f"{name}: write it as package.module:function")
    point = point or EntryPoint(name, path, group)
    try:
        loaded = point.load()
    except Exception as error:  # whatever a user's module raises when it is imported
        where = f"; it is looked for in {Path.cwd()}, the experiment's folder and what is installed"
        missing = isinstance(error, ModuleNotFoundError)
        raise ConfigError(f"{point.value}: cannot be loaded ({_reason(error)}){where if missing else ''}") from None
    if not callable(loaded):
        raise ConfigError(f"{point.value}: is {type(loaded).__name__}, not a function; {point.group} holds functions")
    function: Callable[..., Any] = loaded
    return function


def code_of(models: Iterable[str], features: Iterable[str]) -> dict[str, str]:
    """The sha256 of each own model's and feature's module, by name: another hash, other forecasts."""
    named = [(FORECASTERS, name) for name in models] + [(FEATURES, name) for name in features]
    return {name: _sha256(load(group, name)) for group, name in named}


def _sha256(function: Callable[..., Any]) -> str:
    try:
        source = inspect.getsource(sys.modules[function.__module__])
    except (OSError, TypeError, KeyError, AttributeError):  # compiled, or made on the fly
        return ""
    return hashlib.sha256(source.encode()).hexdigest()


def _called(name: str, function: Callable[..., Any], settings: Settings) -> Any:
    try:
        return function(**settings)
    except ConfigError:
        raise
    except Exception as error:  # whatever a user's function raises
        given = ", ".join(settings) or "none"
        raise ConfigError(f"{name}: cannot be made ({_reason(error)}); its settings: {given}") from None


def _reason(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {str(error) or 'no reason given'}")[:300]
