"""A nightly's settings: what is left out is a nightly's own, what is wrong is said in one line."""

from pathlib import Path

import pytest

from s2squant.config.experiment import Experiment
from s2squant.config.files import build_experiment, field_of, make_experiment, read_nightly, read_settings, validated
from s2squant.config.nightly import ISSUED, Nightly
from s2squant.errors import ConfigError


def test_what_is_left_out_is_a_nightly_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[experiment.universe]\ntickers = ["SPY"]\n[retraining]\nevery = 5\n')
    found = read_nightly(path, ["experiment.walk.horizon=10"])
    assert found.experiment.universe.source == "yfinance"
    assert found.experiment.forecasters.models == ISSUED
    assert (found.experiment.name, found.experiment.walk.horizon, found.retraining.every) == ("mine", 10, 5)
    assert Nightly.model_validate_json(found.model_dump_json()) == found
    assert read_nightly(None) == Nightly()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nmae": "x"}, "unknown key 'nmae'; did you mean 'name'"),
        ({"experiment": {"universe": {"tickets": []}}}, "did you mean 'tickers'"),
        ({"name": "Not Plain"}, "made of a-z, 0-9 and -"),
        ({"name": "../up"}, "made of a-z, 0-9 and -"),
        ({"retraining": {"every": 0}}, "retraining.every: Input should be greater than or equal to 1"),
        ({"experiment": {"universe": {"end": "2020-01-01"}}}, "takes the newest bars"),
        (
            {"experiment": {"forecasters": {"models": [*ISSUED, "seq2seq_adapted"]}}},
            "seq2seq_adapted is no model of a nightly",
        ),
    ],
)
def test_a_mistake_is_one_line(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        validated(Nightly, given, where="mine.toml")
    assert str(error.value).startswith("mine.toml: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "comments.toml").write_text("# nothing yet\n")
    assert build_experiment(tmp_path / "comments.toml") == build_experiment(None) == Experiment()
    assert read_settings(None) == {}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("forecasters.seq2seq.pooled.ir", "unknown key 'forecasters.seq2seq.pooled.ir'; did you mean 'lr'?"),
        (
            "forecasters.seq2seq.training.steps",
            "unknown key 'forecasters.seq2seq.training.steps'; did you mean 'forecasters.seq2seq.adapted.steps'"
            " or 'forecasters.seq2seq.per_ticker.steps' or 'forecasters.seq2seq.pooled.steps'?",
        ),
        ("cutoffs", "unknown key 'cutoffs'; did you mean 'walk.cutoffs'?"),
        ("forecasters.seq2seq.pooled", "forecasters.seq2seq.pooled is a table of settings; name one of them"),
        ("seed.x", "seed is a value, not a table"),
    ],
)
def test_a_key_that_names_no_setting_is_refused(key: str, said: str) -> None:
    assert field_of(Experiment, "forecasters.seq2seq.pooled.lr").annotation is float
    with pytest.raises(ConfigError) as error:
        field_of(Experiment, key)
    assert str(error.value) == said


def test_a_renamed_key_is_told_by_its_new_name() -> None:
    with pytest.raises(ConfigError, match=r"^experiment: unknown key 'conformal'; did you mean 'recalibration'\?"):
        make_experiment({"conformal": {"enabled": False}})
