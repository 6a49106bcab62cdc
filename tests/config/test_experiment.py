import importlib
import pkgutil
import random
import subprocess
import sys
from datetime import date
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from s2squant import config
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment, override, parse_settings
from s2squant.config.models import USUAL
from s2squant.config.part import Part
from s2squant.errors import ConfigError
from tests.worlds.settings import of_part


def refused(data: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        make_experiment(data)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_an_experiment_comes_back_from_its_own_json() -> None:
    changed = make_experiment(
        {"universe": {"tickers": ["A", "B"], "start": "2001-02-03"}, "walk": {"horizon": 7}, "seed": 5}
    )
    for experiment in (Experiment(), changed):
        again = make_experiment(parse_settings(experiment.to_json(), form="json", where="experiment.json"))
        assert again == experiment
        assert again.to_json() == experiment.to_json()


@given(st.integers(1, 250), st.sampled_from(["expanding", "sliding"]), st.floats(0, 100))
def test_any_possible_setting_survives_json(horizon: int, window: str, cost: float) -> None:
    experiment = make_experiment({"walk": {"horizon": horizon, "window": window}, "strategy": {"cost_bp": cost}})
    assert make_experiment(parse_settings(experiment.to_json(), form="json", where="x")) == experiment


def test_an_experiment_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Experiment().seed = 1


def test_toml_and_json_say_the_same() -> None:
    toml = parse_settings("[walk]\nhorizon = 9\n[universe]\nend = 2020-01-31", form="toml", where="a.toml")
    json = parse_settings('{"walk": {"horizon": 9}, "universe": {"end": "2020-01-31"}}', form="json", where="a.json")
    assert make_experiment(toml) == make_experiment(json)


@pytest.mark.parametrize(("form", "text"), [("toml", "walk = ["), ("json", "{"), ("json", "[1]"), ("json", "3")])
def test_a_text_that_is_no_experiment_names_its_file(form: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here\.x: "):
        parse_settings(text, form=form, where="here.x")


def test_override_reads_toml_values_and_bare_words() -> None:
    given = {"walk": {"horizon": 3}, "name": "old"}
    settings = ["walk.horizon=10", "name=new run", "universe.tickers=['A', 'B']", "universe.start=2020-01-31"]
    settings += ["forecasters.seq2seq.training.precision=bf16", "forecasters.seq2seq.training.clip=0.5"]
    experiment = make_experiment(override(given, settings))
    assert (experiment.walk.horizon, experiment.name) == (10, "new run")
    assert experiment.universe.tickers == ("A", "B")
    assert experiment.universe.start == date(2020, 1, 31)
    assert experiment.forecasters.seq2seq.training.precision == "bf16"
    assert experiment.forecasters.seq2seq.training.clip == 0.5
    assert given == {"walk": {"horizon": 3}, "name": "old"}
    both = ['universe.calendars={"ACME" = "XTKS"}', 'universe.calendars={"ACME":"XTKS"}']
    for setting in both:  # as TOML writes a table, and as JSON does
        assert override({}, [setting])["universe"]["calendars"] == {"ACME": "XTKS"}
    assert override({}, ["name={odd"])["name"] == "{odd"


@pytest.mark.parametrize("setting", ["walk.horizon", "=3", "walk..horizon=3", ".=3", "name.x=3"])
def test_a_malformed_setting_is_quoted(setting: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        override({"name": "backtest"}, [setting])


@pytest.mark.parametrize(
    ("data", "path", "near"),
    [
        ({"walks": {}}, "walks", "walk"),
        ({"walk": {"horizn": 3}}, "walk.horizn", "horizon"),
        ({"forecasters": {"seq2seq": {"encoder": {"hiden": 3}}}}, "forecasters.seq2seq.encoder.hiden", "hidden"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(data: dict, path: str, near: str) -> None:
    assert f"unknown key '{path}'; did you mean '{near}'?" in refused(data)


def test_an_unknown_key_near_to_nothing_gets_the_list() -> None:
    assert "known keys here: window" in refused({"forecasters": {"random_walk": {"zzzzzzzz": 1}}})


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        ({"walk": {"horizon": 0}}, "walk.horizon: Input should be greater than or equal to 1 (given 0)"),
        ({"walk": {"horizon": "many"}}, "walk.horizon"),
        ({"universe": {"start": "2020-01-02", "end": "2020-01-01"}}, "is not before end"),
        ({"universe": {"tickers": ["A", "A"]}}, "named twice: A"),
        ({"forecasters": {"models": ["historical_simulation", "blend"]}}, "add 'anchor'"),
        ({"forecasters": {"models": ["historical_simulation", "anchor", "seq2seq_adapted"]}}, "add 'seq2seq_pooled'"),
        ({"forecasters": {"models": ["historical_simulation", "anchor", "blend"]}}, "none runs; add 'seq2seq_pooled'"),
        ({"forecasters": {"blend": {"members": ["gbm"]}}}, "take it out of"),
        ({"forecasters": {"models": ["anchor", "anchor"]}}, "named twice"),
        ({"forecasters": {"models": ["historical_simulation"]}}, "verdict.recommended is blend"),
        ({"forecasters": {"models": ["historical_simulation", "field"]}}, "fewer than two run"),
        ({"forecasters": {"extra": ["field"], "field": {"members": ["anchor", "ewma_t"]}}}, "anchor is none"),
        ({"forecasters": {"field": {"members": ["gbm", "ewma_t"]}}}, "put it before field"),
        ({"forecasters": {"extra": ["lstm"]}}, "forecasters.extra"),
        ({"forecasters": {"ridge": {"penalties": [0.0, 1.0]}}}, "above zero"),
        ({"forecasters": {"gbm": {"levels": [0.5, 0.1]}}}, "increase between 0 and 1"),
        (
            {"forecasters": {"seq2seq": {"decoder": {"kind": "mlp", "context": "initial"}}}},
            "use context = 'every_step'",
        ),
        ({"forecasters": {"seq2seq": {"training": {"chunk": 50}}}}, "raise chunk"),
        ({"walk": {"horizon": 0, "every": 0}}, "and 1 more"),
    ],
)
def test_what_cannot_run_is_refused_with_a_remedy(data: dict, remedy: str) -> None:
    assert remedy in refused(data)


@pytest.mark.parametrize(
    ("settings", "kind", "width"),
    [
        ((), "mlp", 0),
        (("dropout=0.2",), "mlp", 0),
        (("width=8",), "mlp", 8),
        (("attention.kind=bahdanau",), "recurrent", 32),
        (("previous=true", "width=8"), "recurrent", 8),
        (("start=zero",), "recurrent", 32),
        (("kind=transformer",), "transformer", 32),
        (("kind=mlp",), "mlp", 32),
    ],
)
def test_a_decoder_is_recurrent_where_its_settings_are_about_its_steps(
    settings: tuple[str, ...], kind: str, width: int
) -> None:
    experiment = make_experiment(override({}, [f"forecasters.seq2seq.decoder.{one}" for one in settings]))
    decoder = experiment.forecasters.seq2seq.decoder
    assert (decoder.kind, decoder.width) == (kind, width)
    assert make_experiment(experiment.model_dump(mode="json")) == experiment, "a record is read as it was written"


@pytest.mark.parametrize(
    ("training", "positions"),
    [({}, 60), ({"chunk": 60, "warm": 20}, 40), ({"warm": 180}, 20), ({"chunk": 400}, 60), ({"positions": 7}, 7)],
)
def test_a_short_chunk_has_fewer_positions(training: dict[str, int], positions: int) -> None:
    spec = make_experiment({"forecasters": {"seq2seq": {"training": training}}}).forecasters.seq2seq
    assert spec.training.positions == positions


def test_extra_models_are_taken_up_in_their_place() -> None:
    default = Experiment().forecasters.models
    found = make_experiment({"forecasters": {"extra": ["har", "ewma_t", "seq2seq_adapted"]}}).forecasters
    assert found.extra == ()
    assert set(found.models) == {*default, "har", "seq2seq_adapted"}
    assert found.models.index("gjr_t") < found.models.index("har") < found.models.index("anchor")
    assert make_experiment({"forecasters": {"models": found.models}}).forecasters == found
    everything = make_experiment({"forecasters": {"extra": ["baselines"]}}).forecasters
    assert everything.models[: len(USUAL)] == USUAL
    assert everything.field_members == USUAL[:-1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("universe.tickers=AAPL,MSFT", ("AAPL", "MSFT")),
        ("universe.tickers=AAPL", ("AAPL",)),
        ("universe.tickers=BRK-B, SAP.DE,", ("BRK-B", "SAP.DE")),
        ('universe.accept="all"', ("all",)),
        ("universe.accept=unadjusted split", ("unadjusted split",)),
        ('universe.calendars={"SAP.DE" = "XETR"}', {"SAP.DE": "XETR"}),
        ("forecasters.blend.members=gjr_t,seq2seq_pooled", ("gjr_t", "seq2seq_pooled")),
    ],
)
def test_lists_and_tickers_with_dots_can_be_set_by_hand(setting, value):
    made = make_experiment(override({}, [setting]))
    for part in setting.partition("=")[0].split("."):
        made = getattr(made, part)
    assert made == value


def test_the_packages_face_is_read_when_it_is_asked_for():
    code = (
        "import sys, s2squant.config as face; assert 's2squant.config.experiment' not in sys.modules; "
        "from s2squant.config import Experiment, make_experiment; assert make_experiment({}, where='x') == Experiment()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def kinds() -> list[type[Part]]:
    """Every class of settings there is."""
    for module in pkgutil.iter_modules(config.__path__):
        importlib.import_module(f"s2squant.config.{module.name}")
    found, open_ = [], [Part]
    while open_:
        known = open_.pop().__subclasses__()
        found += known
        open_ += known
    return found


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_number_has_two_ends_and_takes_neither_infinity_nor_a_truth_value(kind: type[Part]) -> None:
    for name, field in kind.model_fields.items():
        numbers = {int, float} & {field.annotation, *get_args(field.annotation)}
        if not numbers or get_origin(field.annotation) in (tuple, dict, Literal):
            continue
        ends = {type(mark) for mark in field.metadata}
        assert ends & {Ge, Gt}, f"{kind.__name__}.{name} has no lower end"
        assert ends & {Le, Lt}, f"{kind.__name__}.{name} has no upper end"
        for nonsense in (float("inf"), float("nan"), True, "3", [3], 10**30):
            with pytest.raises(ValidationError) as caught:
                kind.model_validate({name: nonsense})
            assert any(error["loc"][:1] == (name,) for error in caught.value.errors()), (name, nonsense)


@pytest.mark.parametrize("seed", range(4))
def test_every_experiment_that_is_accepted_is_read_back_from_its_json(seed: int) -> None:
    rng, accepted, refusals = random.Random(seed), 0, []
    for _ in range(150):
        try:
            experiment = make_experiment(of_part(Experiment, rng, odd=0.02, share=0.05))
        except ConfigError as error:
            refusals.append(str(error))
            continue
        accepted += 1
        again = make_experiment(parse_settings(experiment.to_json(), form="json", where="experiment.json"))
        assert again == experiment
        assert again.to_json() == experiment.to_json()
    assert accepted > 10
    assert all(text.isprintable() and len(text) < 1_000 for text in refusals)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"walk": {"horizon": True}}, "walk.horizon: Input should be a valid integer (given True)"),
        ({"walk": {"cutoffs": 99999999999999999999}}, "walk.cutoffs"),
        ({"strategy": {"cost_bp": float("inf")}}, "finite"),
        ({"forecasters": {"garch_t": {"paths": 100_000_000_000}}}, "paths"),
        ({"universe": {"tickers": [""]}}, "a ticker has a name"),
        ({"universe": {"tickers": ["A\0B"]}}, "cannot be printed"),
        ({"universe": {"tickers": ["A" * 200]}}, "at most 80"),
        ({"universe": {"start": "1600-01-01"}}, "dates are from"),
        ({"forecasters": {"models": ["seq2seq_pooledd"]}}, "did you mean 'seq2seq_pooled'?"),
    ],
)
def test_nonsense_is_refused_by_name(data: dict, says: str) -> None:
    assert says in refused(data)
