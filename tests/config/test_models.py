"""One table of models: every name has a row, settings and one way in which people read it."""

import re
from pathlib import Path
from typing import get_args

import pytest

from s2squant.config.experiment import Experiment
from s2squant.config.models import BASELINES, MODELS, Kind, OurName, kind_of, label, phrase, subject
from s2squant.config.part import Part
from s2squant.evaluation.results import Study

CSS = Path(__file__).parents[2] / "s2squant/report/assets/report.css"


def test_every_name_has_a_row_and_settings() -> None:
    settings = Experiment().forecasters
    assert tuple(MODELS) == get_args(OurName)
    fields = {name: "seq2seq" if row.scope else name for name, row in MODELS.items()}
    assert {*fields.values(), "models", "extra", "features", "own"} == set(type(settings).model_fields)
    assert all(isinstance(getattr(settings, field), Part) for field in fields.values())
    assert {row.scope for row in MODELS.values()} == {None, "per_ticker", "pooled", "adapted"}
    assert all(isinstance(getattr(settings.seq2seq, row.scope), Part) for row in MODELS.values() if row.scope)


def test_rows_are_told_apart() -> None:
    rows = MODELS.values()
    assert len({row.noun for row in rows}) == len({(row.colour, row.dash) for row in rows}) == len(rows)
    assert max(len(label(name)) for name in MODELS) <= 21, "the leaderboard's other columns need 59 of a terminal's 80"
    assert {row.colour for row in rows} <= set(re.findall(r"--(m-[a-z]+):", CSS.read_text(encoding="utf-8")))


def test_baselines_come_first_and_the_field_last_of_them() -> None:
    assert tuple(MODELS)[: len(BASELINES)] == BASELINES
    assert BASELINES[-1] == "field"


@pytest.mark.parametrize(
    ("model", "in_a_table", "within", "first"),
    [
        ("historical_simulation", "Historical simulation", "historical simulation", "Historical simulation"),
        ("gjr_t", "GJR-t", "GJR-t", "GJR-t"),
        ("theta", "Theta", "Theta", "Theta"),
        ("field", "Baseline average", "the baseline average", "The baseline average"),
        ("blend+aci", "Recalibrated blend", "the recalibrated blend", "The recalibrated blend"),
        ("my_model", "my_model", "my_model", "my_model"),
    ],
)
def test_a_model_has_one_name(model: str, in_a_table: str, within: str, first: str) -> None:
    assert (label(model), phrase(model), subject(model)) == (in_a_table, within, first)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("historical_simulation", "reference"),
        ("field", "baseline"),
        ("anchor", "anchor"),
        ("pretrained", "pretrained"),
        ("seq2seq_pooled", "network"),
        ("blend", "blend"),
        ("blend+aci", "recalibrated"),
        ("historical_simulation+aci", "recalibrated"),
    ],
)
def test_kinds_of_models(model: str, kind: str) -> None:
    assert kind_of(model, "historical_simulation") == kind
    assert kind in get_args(Kind)


def test_the_leaderboard_says_every_kind() -> None:
    assert f"kind ({'|'.join(get_args(Kind))})" in (Study.__doc__ or "")
