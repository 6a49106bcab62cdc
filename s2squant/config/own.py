"""Names of a user's own models and features: `package.module:function`, or an installed entry point.

A name goes into file names, tables and pages: letters, digits, `_`, `.`, `-`, and the one colon of a dotted path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

FORECASTERS = "s2squant.forecasters"
FEATURES = "s2squant.features"
"""Groups of entry points."""

CHALLENGERS: dict[str, str] = {
    "fracast": "s2squant.forecasters.challengers.zero_shot:fracast",
    "chronos2": "s2squant.forecasters.challengers.zero_shot:chronos2",
    "tirex": "s2squant.forecasters.challengers.zero_shot:tirex",
    "timesfm": "s2squant.forecasters.challengers.zero_shot:timesfm",
    "statsforecast": "s2squant.forecasters.challengers.statsforecast:statsforecast",
    "neuralforecast": "s2squant.forecasters.challengers.neuralforecast:neuralforecast",
    "darts": "s2squant.forecasters.challengers.darts:darts",
}
"""Models from outside, each an extra of the package, and the functions that make them: own models with short names."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
INSTALLED = re.compile(r"\w[\w.-]*")


def is_dotted(name: str) -> bool:
    """Whether a name is a path to a function: `package.module:function`."""
    return DOTTED.fullmatch(name) is not None


def installed(group: str) -> tuple[str, ...]:
    """The entry points of a group by name, as far as a name is plain."""
    return tuple(sorted(point.name for point in entry_points(group=group) if INSTALLED.fullmatch(point.name)))


def entry_point(group: str, name: str) -> EntryPoint | None:
    """The entry point of this name, the first where there are several; None where there is none."""
    return next((point for point in entry_points(group=group) if point.name == name), None)


def checked_name(name: str, what: str, group: str, ours: Sequence[str]) -> str:
    """The name, where it is one of `ours`, a dotted path or installed; else ValueError with the nearest."""
    challengers = tuple(CHALLENGERS) if group == FORECASTERS else ()
    if name in ours or is_dotted(name) or name in (others := (*challengers, *installed(group))):
        return name
    known = (*ours, *others)
    if ":" in name:
        raise ValueError("an own one is written package.module:function")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = f"known are {', '.join(known)}" if known else "none is installed"
    hint = f"did you mean '{near[0]}'?" if near else f"{listed}; an own one is written package.module:function"
    raise ValueError(f"no {what} is called '{name}'; {hint}")
