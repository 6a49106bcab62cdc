"""Challengers from outside: their arithmetic, their refusals, and the contract of those that are installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy.special import ndtri

from s2squant.config.files import make_experiment
from s2squant.config.models import kind_of
from s2squant.errors import CheckpointError, ConfigError
from s2squant.forecasters.catalog import make, restore
from s2squant.forecasters.challengers import extras
from s2squant.forecasters.challengers.lessons import lessons_of, restored
from s2squant.forecasters.challengers.levels import on_our_levels, summed
from s2squant.forecasters.conformance import conformance
from s2squant.forecasters.own_check import check_own
from s2squant.series.forecast import LEVELS
from tests.worlds.synthetic import garch_panel


def installed(module: str) -> pytest.MarkDecorator:
    """Skip where an extra is not installed."""
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"the extra that brings {module} is not installed")


def settings(name, **own):
    return make_experiment({"forecasters": {"extra": [name], "own": {name: own}}}).forecasters


def contract(name, **own):
    return {c.sentence: c.outcome for c in conformance(make(name, settings(name, **own)), horizon=5, seed=0)}


def test_levels_of_a_normal_distribution_are_exact():
    levels = np.arange(1, 10) / 10
    mean, sd = np.array([0.0, 1.0]), np.array([1.0, 3.0])
    given = mean[None, :, None] + sd[None, :, None] * ndtri(levels)
    expected = mean[None, :, None] + sd[None, :, None] * ndtri(LEVELS)
    np.testing.assert_allclose(on_our_levels(given, levels), expected, atol=1e-12)
    crossed = on_our_levels(given[:, :, ::-1], levels)
    np.testing.assert_allclose(crossed, expected, atol=1e-12)


def test_sums_of_independent_normal_steps_are_normal():
    steps = np.broadcast_to(0.1 + 2.0 * ndtri(LEVELS), (2, 16, 39))
    found = summed(steps, seed=0)
    h = np.arange(1, 17)
    expected = 0.1 * h[:, None] + 2.0 * np.sqrt(h)[:, None] * ndtri(LEVELS)
    off = np.abs((found[0] - expected) / np.sqrt(h)[:, None])  # 2048 paths: tails are off by a tenth
    assert off.max() < 0.5
    assert off.mean() < 0.05
    assert np.abs(found[0, 0] - steps[0, 0]).max() < 0.02, "a step by itself is hardly drawn anew"
    assert (found[0] == found[1]).all(), "no origin's draws depend on the others"


def test_lessons_are_the_last_returns_and_another_models_are_refused():
    panel = garch_panel("AB", 300, seed=0)
    given = lessons_of(panel, np.array([250, 550]), 100, horizon=3, seed=7)
    np.testing.assert_allclose(given.returns[1], panel.histories[1].log_returns[-100:])
    again = restored(given.state("AutoETS"), "AutoETS")
    assert (again.tickers, again.horizon, again.seed) == (("A", "B"), 3, 7)
    np.testing.assert_array_equal(again.returns, given.returns)
    with pytest.raises(CheckpointError, match="a stored 'AutoETS' is not AutoARIMA"):
        restored(given.state("AutoETS"), "AutoARIMA")


def test_a_challenger_is_marked_in_the_leaderboard():
    assert kind_of("fracast", "garch_t") == "challenger"
    assert settings("fracast").own_models == ("fracast",)


def test_an_extra_that_is_not_installed_is_one_line(monkeypatch):
    def nothing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(extras.importlib, "import_module", nothing)
    with pytest.raises(
        ConfigError, match=r"fracast is an extra that is not installed: pip install 's2squant\[fracast\]'"
    ):
        extras.extra("fracast", "fracast")


def test_weights_are_local_whole_and_no_adapter(tmp_path):
    with pytest.raises(ConfigError, match=r"chronos2: no folder of weights; set \[forecasters.own.chronos2\] weights"):
        extras.weights_folder("chronos2", "", "config.json")
    with pytest.raises(ConfigError, match="no folder of weights some/model"):
        extras.weights_folder("chronos2", "some/model", "config.json")
    with pytest.raises(ConfigError, match=r"has no config.json"):
        extras.weights_folder("chronos2", str(tmp_path), "config.json")
    for file in ("config.json", "adapter_config.json"):
        (tmp_path / file).write_text("{}")
    with pytest.raises(ConfigError, match="holds an adapter"):
        extras.weights_folder("chronos2", str(tmp_path), "config.json")


def test_the_licence_of_library_and_weights_is_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(extras, "_said", set())
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    for _ in range(2):
        extras.say_licence("numpy", tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("licence: numpy ")
    assert lines[0].endswith("apache-2.0")


@installed("fracast")
@pytest.mark.slow
def test_fracast_forecasts_from_the_weights_of_its_wheel():
    panel, chosen = garch_panel("AB", 300), settings("fracast", window=128)
    check_own(chosen, stored=True)
    fitted = make("fracast", chosen).fit(panel, np.arange(250, 290), horizon=5, seed=0)
    rows = np.array([299, 599, 80])
    forecast = fitted.predict(panel, rows)
    daily = np.diff(panel.log_price[:300]).std()
    width = forecast.quantiles_NHQ[0, 0, 31] - forecast.quantiles_NHQ[0, 0, 7]
    assert 0.5 < width / (2 * 0.84 * daily) < 3
    again = restore("fracast", chosen, fitted.state()).predict(panel, rows)
    assert (again.quantiles_NHQ == forecast.quantiles_NHQ).all()
    with pytest.raises(ValueError, match="fracast needs 64 bars of B"):
        fitted.predict(panel, np.array([310]))


@installed("chronos")
@pytest.mark.slow
def test_chronos2_forecasts_from_a_folder_of_weights(tmp_path):
    """A tiny one with random weights, in the format in which Chronos-2 is published."""
    from chronos.chronos2 import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    config = Chronos2CoreConfig(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2, reg_token_id=1)
    config.chronos_config = {
        "context_length": 256,
        "output_patch_size": 8,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [0.01, 0.05, *(k / 10 for k in range(1, 10)), 0.95, 0.99],
        "use_reg_token": True,
        "use_arcsinh": True,
        "max_output_patches": 8,
        "time_encoding_scale": 256,
    }
    Chronos2Model(config).save_pretrained(tmp_path)
    panel, chosen = garch_panel("AB", 300), settings("chronos2", weights=str(tmp_path), window=128)
    check_own(chosen, stored=True)
    fitted = make("chronos2", chosen).fit(panel, np.arange(250, 290), horizon=20, seed=0)
    forecast = fitted.predict(panel, np.array([299, 599, 80]))
    again = restore("chronos2", chosen, fitted.state()).predict(panel, np.array([299, 599, 80]))
    assert (again.quantiles_NHQ == forecast.quantiles_NHQ).all()
    assert forecast.quantiles_NHQ.shape == (3, 20, 39)


@installed("statsforecast")
@pytest.mark.slow
@pytest.mark.parametrize("model", ["AutoETS", "HistoricAverage"])
def test_a_model_of_statsforecast_holds_the_contract(model):
    found = contract("statsforecast", model=model)
    assert set(found.values()) == {"passed"}, found


@installed("statsforecast")
@pytest.mark.slow
def test_the_contract_names_a_model_whose_bands_are_wrong():
    """GARCH of statsforecast 2.0 takes the variance for the standard deviation."""
    found = contract("statsforecast", model="GARCH")
    assert any("it holds" in sentence for sentence, outcome in found.items() if outcome == "failed")


@installed("statsforecast")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"model": "AutoEST"}, "statsforecast: has no model AutoEST; it has ADIDA"),
        ({"model": "AutoETS", "settings": {"seasons": 5}}, "AutoETS does not take these settings"),
        ({}, "missing 1 required positional argument: 'model'"),
    ],
)
def test_a_model_of_statsforecast_that_cannot_be_meant_is_one_line(own, complaint):
    with pytest.raises(ConfigError) as caught:
        make("statsforecast", settings("statsforecast", **own))
    assert complaint in str(caught.value)


def of_weights(name, folder, horizon=20):
    """Forecasts of three rows by a model with local weights, which are the same when it is stored and read again."""
    panel, chosen = garch_panel("AB", 300), settings(name, weights=str(folder), window=128)
    check_own(chosen, stored=True)
    fitted, rows = make(name, chosen).fit(panel, np.arange(250, 290), horizon=horizon, seed=0), np.array([299, 599, 80])
    forecast = fitted.predict(panel, rows)
    again = restore(name, chosen, fitted.state()).predict(panel, rows)
    assert (again.quantiles_NHQ == forecast.quantiles_NHQ).all()
    alone = fitted.predict(panel, rows[1:2])
    np.testing.assert_allclose(alone.quantiles_NHQ, forecast.quantiles_NHQ[1:2], atol=1e-6)
    assert forecast.quantiles_NHQ.shape == (3, horizon, 39)
    return forecast


@installed("tirex")
@pytest.mark.slow
def test_tirex_forecasts_from_a_folder_of_weights(tmp_path, capsys):
    """A tiny one with random weights, in the format in which TiRex is published."""
    import torch
    from tirex.models.tirex import TiRexZero

    config = {
        "input_patch_size": 8,
        "output_patch_size": 8,
        "quantiles": [k / 10 for k in range(1, 10)],
        "block_kwargs": {"num_blocks": 1, "embedding_dim": 16, "num_heads": 2},
        "input_ff_dim": 16,
    }
    facts = {"model_config": config, "train_ctx_len": 128}
    torch.manual_seed(0)
    net = TiRexZero(backend="torch", **facts)
    for weights in net.parameters():
        torch.nn.init.normal_(weights, 0, 0.1)
    torch.save({"hyper_parameters": facts, "state_dict": net.state_dict()}, tmp_path / "model.ckpt")
    of_weights("tirex", tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "tirex-ts" in said.err


@installed("timesfm")
@pytest.mark.slow
def test_timesfm_forecasts_from_a_folder_of_weights(tmp_path, monkeypatch):
    """A tiny one with random weights, in the format in which TimesFM 2.5 is published."""
    from dataclasses import replace

    import timesfm
    import torch
    from timesfm.timesfm_2p5.timesfm_2p5_torch import TimesFM_2p5_200M_torch_module as Module

    whole, size = Module.config, {"input_dims": 32, "hidden_dims": 32}
    block = replace(whole.stacked_transformers.transformer, model_dims=32, hidden_dims=32, num_heads=2)
    small = replace(
        whole,
        tokenizer=replace(whole.tokenizer, hidden_dims=32, output_dims=32),
        stacked_transformers=replace(whole.stacked_transformers, num_layers=1, transformer=block),
        output_projection_point=replace(whole.output_projection_point, **size),
        output_projection_quantiles=replace(whole.output_projection_quantiles, **size),
    )
    monkeypatch.setattr(Module, "config", small)
    torch.manual_seed(0)
    timesfm.TimesFM_2p5_200M_torch(torch_compile=False)._save_pretrained(tmp_path)
    of_weights("timesfm", tmp_path)


@installed("neuralforecast")
@pytest.mark.slow
def test_a_model_of_neuralforecast_holds_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"max_steps": 300, "hidden_size": 16, "num_layers": 1}
    found = contract("neuralforecast", model="MLP", settings=small, input_size=20)
    assert set(found.values()) == {"passed"}, found
    assert not list(tmp_path.iterdir()), "no folder of logs"


@installed("darts")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("LinearRegressionModel", {"lags": 5, "likelihood": "quantile", "quantiles": [0.05, 0.1, 0.5, 0.9, 0.95]}),
        ("ExponentialSmoothing", {"trend": None, "seasonal": None}),
    ],
)
def test_a_model_of_darts_holds_the_contract(model, given):
    found = contract("darts", model=model, settings=given, window=100, paths=200)
    assert set(found.values()) == {"passed"}, found


@installed("darts")
@pytest.mark.slow
def test_a_network_of_darts_takes_its_likelihood_by_name():
    net = {"input_chunk_length": 10, "output_chunk_length": 5, "n_epochs": 1, "hidden_dim": 4}
    panel, chosen = garch_panel("AB", 300), {"model": "BlockRNNModel", "paths": 100}
    chosen = settings("darts", **chosen, settings={**net, "likelihood": "GaussianLikelihood"})
    fitted, rows = make("darts", chosen).fit(panel, np.arange(250, 290), horizon=5, seed=0), np.array([295, 299])
    forecast = fitted.predict(panel, rows)
    again = restore("darts", chosen, fitted.state()).predict(panel, rows)
    assert (again.quantiles_NHQ == forecast.quantiles_NHQ).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "own", "complaint"),
    [
        ("darts", {"model": "Chronos2Model"}, "Chronos2Model downloads weights; use chronos2, tirex or timesfm"),
        ("darts", {"model": "LinearRegressionModel", "settings": {"lags": 5}}, "gives no distribution so; set a"),
        ("darts", {"model": "BlockRNNModel", "settings": {"likelihood": "Gaus"}}, "has no likelihood Gaus; it has"),
        ("neuralforecast", {"model": "MPL"}, "has no model MPL; it has Autoformer"),
        ("neuralforecast", {"model": "MLP", "settings": {"h": 3}}, "h is not to be set; horizon, quantiles and seed"),
        ("neuralforecast", {"model": "MLP", "settings": {"hidden": 3}}, "MLP takes no hidden; it takes"),
    ],
)
def test_a_model_of_a_library_that_cannot_be_meant_is_one_line(name, own, complaint):
    pytest.importorskip(name, reason=f"the extra that brings {name} is not installed")
    with pytest.raises(ConfigError) as caught:
        make(name, settings(name, **own))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
