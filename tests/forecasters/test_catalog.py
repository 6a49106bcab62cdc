"""The one match of models: every name is made, and takes back what its own kind wrote and nothing else."""

from typing import get_args

import numpy as np
import pytest

from s2squant.config.models import ModelName, OurName
from s2squant.errors import CheckpointError, ConfigError
from s2squant.forecasters.baselines.field import Field
from s2squant.forecasters.catalog import make, restore
from s2squant.series.forecast import State
from tests.forecasters.baselines.helpers import SETTINGS, fit_at_end, panel_of

RETURNS = 0.01 * np.random.default_rng(0).standard_t(5, 700)


@pytest.mark.parametrize("name", [name for name in get_args(OurName) if name != "blend"])
def test_every_model_is_made_and_refuses_a_stranger_s_state(name: ModelName) -> None:
    assert callable(make(name, SETTINGS).fit)
    for meta in ({}, {"name": "lstm", "kind": "lstm"}):
        with pytest.raises(CheckpointError):
            restore(name, SETTINGS, State(arrays={}, meta=meta))


def test_a_blend_is_made_of_forecasts() -> None:
    with pytest.raises(ConfigError, match="not fitted by itself"):
        make("blend", SETTINGS)


def test_garch_does_not_take_gjr_for_its_own() -> None:
    panel = panel_of(A=RETURNS)
    written = fit_at_end(make("gjr_t", SETTINGS), panel).state()
    assert restore("gjr_t", SETTINGS, written).name == "gjr_t"
    with pytest.raises(CheckpointError, match="belongs to 'gjr_t', not to garch_t"):
        restore("garch_t", SETTINGS, written)


@pytest.mark.parametrize("name", ["random_walk", "garch_t", "har", "historical_simulation"])
def test_a_state_of_another_version_is_refused_in_one_line(name: ModelName) -> None:
    written = fit_at_end(make(name, SETTINGS), panel_of(A=RETURNS)).state()
    bare = State({}, {"name": written.meta["name"]})
    with pytest.raises(CheckpointError, match=rf"^{name}: its state has another form, .*; fit it again$"):
        restore(name, SETTINGS, bare)


def test_a_field_takes_back_its_members_only() -> None:
    panel = panel_of(A=RETURNS)
    both = Field({name: make(name, SETTINGS) for name in ("random_walk", "drift")})
    written = fit_at_end(both, panel).state()
    assert [member.name for member in both.restore(written).members] == ["random_walk", "drift"]
    with pytest.raises(CheckpointError, match="averages drift, which is no member"):
        Field({"random_walk": make("random_walk", SETTINGS)}).restore(written)
