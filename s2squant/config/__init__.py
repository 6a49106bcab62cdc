"""Every setting, as frozen values; every default of the package lives here, and only here.

`Experiment` and `make_experiment` are read when they are asked for: a help text needs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2squant.config.experiment import Experiment
    from s2squant.config.files import make_experiment

__all__ = ["Experiment", "make_experiment"]


def __getattr__(name: str) -> object:
    match name:
        case "Experiment":
            from s2squant.config.experiment import Experiment

            return Experiment
        case "make_experiment":
            from s2squant.config.files import make_experiment

            return make_experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
