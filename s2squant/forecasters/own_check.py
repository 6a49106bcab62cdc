"""Own models and features tried before a run begins: what cannot be loaded or made is the caller's mistake."""

from __future__ import annotations

from s2squant.config.models import Forecasters
from s2squant.forecasters.own_model import check_storable
from s2squant.forecasters.plugins import feature, make_own


def check_own(settings: Forecasters, *, stored: bool = False) -> None:
    """Make every own model and load every feature; raises ConfigError in one line.

    Models that are `stored` have to be readable again.
    """
    for name in settings.own_models:
        make_own(name, settings.own.get(name, {}))
        if stored:
            check_storable(name, settings.own.get(name, {}))
    for name in settings.features:
        feature(name, settings.own.get(name, {}))
