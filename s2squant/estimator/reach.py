"""Steps beyond the horizon of a fit: which models go on, free running, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping

from s2squant.config.models import ModelName
from s2squant.errors import ConfigError, first_of
from s2squant.estimator.fits import Fits
from s2squant.estimator.keywords import warn
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.own_model import FittedOwn
from s2squant.series.forecast import Fitted

LONGEST = 500
"""Steps that are forecast at most."""


def fits_beyond(fits: Mapping[tuple[ModelName, str], Fitted], horizon: int, steps: int) -> Fits:
    """The fits, those that can forecasting `steps` sessions; a warning names the models that end at the horizon.

    Raises ConfigError, with the remedy, where no model goes on.
    """
    if steps > LONGEST:
        raise ConfigError(f"h is {steps}; at most {LONGEST} steps are forecast")
    longer, ended = Fits(), set[ModelName]()
    for key, fitted in fits.items():
        try:
            longer[key] = fitted.beyond(steps) if isinstance(fitted, FittedSeq2Seq | FittedOwn) else fitted
        except ValueError:
            longer[key] = fitted
        if longer[key] is fitted:
            ended.add(key[0])
    if all(name in ended for name, _ in fits):
        raise ConfigError(
            f"h is {steps}; this one was fitted for 1 to {horizon} steps; fit with horizon={steps}, or a network that "
            "goes on by itself: seq2seq with decoder.previous = true and head.kind = 'student_t'"
        )
    if ended:
        warn(f"no steps beyond {horizon} of {first_of(sorted(ended), 5)}: fit with horizon={steps} for those")
    return longer
