"""Precision of training: what `auto` takes by the machine's units, the build and the size of a network."""

import numpy as np
import pytest
import torch

from s2squant.config.files import make_experiment, override
from s2squant.config.networks import Seq2SeqSpec
from s2squant.config.nightly import Nightly
from s2squant.config.relatives import AutoencoderSpec
from s2squant.config.training import TrainingSpec
from s2squant.errors import ConfigError
from s2squant.forecasters import network_training
from s2squant.forecasters.network import restore_seq2seq
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.nets.precision import precision_of
from s2squant.nets.processor import BF16_UNITS, UNITS, processor_units
from s2squant.nets.series import SeriesSeq2Seq
from s2squant.nets.tokens import token_steps
from s2squant.series.forecast import State
from tests.worlds.synthetic import garch_panel

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
AUTO = {"training": {"precision": "auto"}}
STEPPING = {"decoder": {"previous": True}, "head": {"kind": "student_t"}}
SMALL = {"encoder": {"hidden": 16}, "training": {"chunk": 30, "warm": 10, "positions": 3, "precision": "auto"}}
QUICK = {"anchor": {"steps": 3}, "pooled": {"steps": 1, "batch": 64, "seeds": 1}}


@pytest.mark.parametrize("unit", BF16_UNITS)
def test_auto_takes_bf16_where_the_processor_has_units_for_it(unit):
    spec = Seq2SeqSpec.model_validate(AUTO)
    assert precision_of(spec, 32, CPU, (unit, "avx2")) == "bf16"
    assert precision_of(spec, 32, CPU, ("avx512f", "avx2")) == precision_of(spec, 32, CPU, ()) == "float32"


@pytest.mark.parametrize(
    ("parts", "batch"),
    [
        ({}, 8),
        ({"encoder": {"hidden": 8}}, 1_000),
        (STEPPING, 1_000),
        ({"encoder": {"cell": "gru"}}, 1_000),
        ({"encoder": {"reads": "window", "directions": "both"}}, 1_000),
        ({"decoder": {"attention": {"kind": "luong_global"}}}, 1_000),
        ({"decoder": {"kind": "transformer"}}, 1_000),
    ],
)
def test_auto_is_float32_in_silence_where_bf16_gains_nothing_or_cannot_be(parts, batch):
    assert precision_of(Seq2SeqSpec.model_validate(AUTO | parts), batch, CPU, UNITS) == "float32"


def test_what_is_set_is_taken_whatever_the_machine_has():
    for precision in ("float32", "bf16"):
        spec = Seq2SeqSpec(training=TrainingSpec(precision=precision))
        assert precision_of(spec, 8, CPU, ()) == precision_of(spec, 512, CPU, UNITS) == precision


def test_on_an_accelerator_torch_is_asked_and_nets_side_by_side_stay_in_float32(monkeypatch):
    stacked, alone = (Seq2SeqSpec.model_validate(AUTO | {"encoder": {"layers": n}}) for n in (1, 2))
    for supported, precision in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda answer=supported: answer)
        assert precision_of(alone, 32, CUDA, ()) == precision
        assert precision_of(stacked, 32, CUDA, UNITS) == "float32"


def test_the_processor_names_known_units_alone():
    assert set(processor_units()) <= set(UNITS)


def test_what_is_fitted_says_in_which_precision_and_so_does_what_is_stored(monkeypatch):
    panel, states = garch_panel("A", 400), {}
    rows = np.arange(100, 380)
    spec = Seq2SeqSpec.model_validate(SMALL | {"pooled": QUICK["pooled"]})
    anchor = make_experiment({"forecasters": {"anchor": QUICK["anchor"]}}).forecasters.anchor
    for units in (("avx2",), ("avx512_bf16",)):
        monkeypatch.setattr(network_training, "processor_units", lambda units=units: units)
        states[units[0]] = Seq2SeqForecaster(spec, "pooled", anchor).fit(panel, rows, horizon=5, seed=0).state()
    there, here = states["avx2"], states["avx512_bf16"]
    assert there.meta["spec"]["training"]["precision"] == "float32"
    assert restore_seq2seq(here).spec.training.precision == "bf16"
    set_so = spec.model_copy(update={"training": spec.training.model_copy(update={"precision": "float32"})})
    same = Seq2SeqForecaster(set_so, "pooled", anchor).fit(panel, rows, horizon=5, seed=0).state()
    assert same.meta == there.meta
    assert all(np.array_equal(array, there.arrays[name]) for name, array in same.arrays.items())
    assert any(not np.array_equal(array, here.arrays[name]) for name, array in same.arrays.items())


@pytest.mark.parametrize(("written", "precision"), [(True, "bf16"), (False, "float32")])
def test_settings_and_models_of_before_are_read(written, precision):
    training = {"training": {"bf16": written}}
    whole = {"forecasters": {"seq2seq": training}}
    assert make_experiment(whole).forecasters.seq2seq.training.precision == precision
    assert Nightly.model_validate({"experiment": whole}).experiment.forecasters.seq2seq.training.precision == precision
    set_so = override({}, [f"forecasters.seq2seq.training.bf16={str(written).lower()}"])
    assert make_experiment(set_so).forecasters.seq2seq.training.precision == precision
    assert "bf16" not in make_experiment(whole).forecasters.seq2seq.training.model_dump()


@pytest.mark.parametrize("training", [{"bf16": "yes"}, {"bf16": True, "precision": "float32"}, {"precision": "half"}])
def test_neither_two_words_for_it_nor_another_one_are_read(training):
    with pytest.raises(ConfigError, match=r"training\.(bf16|precision)"):
        make_experiment({"forecasters": {"seq2seq": {"training": training}}})


def test_a_stored_network_of_before_is_restored():
    panel, rows = garch_panel("A", 400), np.arange(100, 380)
    spec = Seq2SeqSpec.model_validate(SMALL | {"pooled": {"steps": 1, "batch": 2, "seeds": 1}})
    anchor = make_experiment({"forecasters": {"anchor": QUICK["anchor"]}}).forecasters.anchor
    fitted = Seq2SeqForecaster(spec, "pooled", anchor).fit(panel, rows, horizon=5, seed=0)
    state = fitted.state()
    training = {name: value for name, value in state.meta["spec"]["training"].items() if name != "precision"}
    old = State(state.arrays, {**state.meta, "spec": {**state.meta["spec"], "training": training | {"bf16": True}}})
    again = restore_seq2seq(old)
    assert again.spec.training.precision == "bf16"
    assert np.array_equal(again.predict(panel, rows[-3:]).quantiles_NHQ, fitted.predict(panel, rows[-3:]).quantiles_NHQ)


def test_auto_is_no_error_where_bf16_is_refused():
    assert AutoencoderSpec.model_validate(AUTO).training.precision == "auto"
    SeriesSeq2Seq(Seq2SeqSpec.model_validate(AUTO | {"head": {"kind": "point"}}), horizon=3)
    token_steps(None, None, TrainingSpec(precision="auto"), 1)
    assert Seq2SeqSpec.model_validate(AUTO | STEPPING).training.precision == "auto"
