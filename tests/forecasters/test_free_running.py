"""Forecasts beyond the steps that a model was trained on: the first steps as before, the rest free running, so said."""

import numpy as np
import pandas as pd
import pytest
import torch

from s2squant.config.files import make_experiment
from s2squant.config.networks import AnchorSpec, Seq2SeqSpec
from s2squant.errors import ConfigError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters.blend import blend
from s2squant.forecasters.network import restore_seq2seq
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.forecasters.return_tokens import ReturnTokens
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.series.long_table import to_frame, together
from tests.worlds.synthetic import garch_panel

SMALL = {
    "encoder": {"hidden": 4},
    "decoder": {"width": 4, "previous": True},
    "head": {"kind": "student_t", "paths": 64},
    "training": {"chunk": 40, "warm": 20, "regime": "teacher"},
    "pooled": {"steps": 2, "batch": 2, "seeds": 2},
    "per_ticker": {"steps": 2, "batch": 2},
}
WORDS = {"bins": 6, "history": 12, "shortest": 4, "hidden": 8, "steps": 3, "batch": 8, "paths": 64}
SHORT, LONG = 3, 7
ROWS = np.arange(100, 380)


@pytest.fixture(scope="module")
def panel():
    return garch_panel("A", 400)


def fitted(panel, **training):
    spec = Seq2SeqSpec(**SMALL | {"training": SMALL["training"] | training})
    anchor = AnchorSpec(steps=3, warmup=60)
    horizon = LONG if training else SHORT
    return Seq2SeqForecaster(spec, "pooled", anchor).fit(panel, ROWS, horizon=horizon, seed=0)


def test_a_network_goes_on_and_its_first_steps_stay(panel):
    short = fitted(panel)
    asked = np.array([385, 399])
    long, before = short.beyond(LONG).predict(panel, asked), short.predict(panel, asked)
    assert long.quantiles_NHQ.shape[1] == LONG
    assert long.trained_steps == SHORT
    assert before.trained_steps is None
    assert np.allclose(long.quantiles_NHQ[:, :SHORT], before.quantiles_NHQ, rtol=1e-5, atol=1e-9)
    width_NH = long.quantiles_NHQ[:, :, 35] - long.quantiles_NHQ[:, :, 3]
    assert (np.diff(width_NH, axis=1) > 0).all()
    assert short.beyond(LONG).simulate(panel, asked).shape == (2, 128, LONG)
    days = {"A": np.arange("2030-01-01", "2030-01-31", dtype="M8[D]")}
    frame = together([to_frame(panel, forecast, days) for forecast in (long, before)])
    assert frame["free_running"].tolist() == [*[False] * SHORT, *[True] * (LONG - SHORT)] * 2 + [False] * 2 * SHORT


def test_a_decoder_trained_on_fewer_steps_forecasts_all(panel):
    """`training.horizon`: the net learns three steps, and what is stored forecasts the same seven."""
    short = fitted(panel, horizon=SHORT)
    asked = np.array([385])
    forecast = short.predict(panel, asked)
    assert forecast.quantiles_NHQ.shape[1] == LONG
    assert forecast.trained_steps == SHORT
    again = restore_seq2seq(short.state()).predict(panel, asked)
    assert np.array_equal(again.quantiles_NHQ, forecast.quantiles_NHQ)
    assert next(short.fed_the_truth(panel, asked))[1][0].shape[0] == SHORT


def test_what_is_free_running_is_what_stepping_by_hand_gives(panel):
    """The clock goes on in units of the steps trained on, and each draw is fed to the next step."""
    net: Seq2Seq = fitted(panel).nets["*"][0]
    past, deviation = torch.randn(1, 40, net.inputs), torch.arange(1, LONG + 1).sqrt()[None].float()
    paths = net.forecast(past, deviation, seed=5).paths_NSH
    clock = net._clock(LONG)
    assert torch.allclose(clock[:, 0], torch.arange(1, LONG + 1) / SHORT)
    assert torch.allclose(clock[:, 1], torch.arange(1, LONG + 1).log())
    bound = net.head(torch.zeros(1, 1, 4), None, LONG - 1)
    assert torch.isfinite(bound).all()
    assert paths.shape == (1, 64, LONG)
    assert torch.allclose(paths[:, :, :SHORT], net.forecast(past, deviation[:, :SHORT], seed=5).paths_NSH, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_words_go_on_too(panel, cell):
    asked = np.array([385, 399])
    words = ReturnTokens(**WORDS, cell=cell).fit(panel, ROWS, horizon=SHORT, seed=1)
    before, long = words.predict(panel, asked), words.beyond(LONG).predict(panel, asked)
    assert long.trained_steps == SHORT
    assert np.array_equal(long.quantiles_NHQ[:, :SHORT], before.quantiles_NHQ)
    assert (long.quantiles_NHQ[:, -1, 35] - long.quantiles_NHQ[:, -1, 3] > before.quantiles_NHQ[:, 0, 35]).all()
    fewer = ReturnTokens(**WORDS, cell=cell, horizon=SHORT).fit(panel, ROWS, horizon=LONG, seed=1)
    assert fewer.predict(panel, asked).mean_NH.shape == (2, LONG)
    assert fewer.predict(panel, asked).trained_steps == SHORT
    with pytest.raises(ValueError, match="beyond the forecast's 3 steps"):
        ReturnTokens(**WORDS, horizon=LONG).fit(panel, ROWS, horizon=SHORT, seed=1)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"training": {"horizon": 5}}, "set decoder.previous = true and head.kind = 'student_t'"),
        ({"training": {"horizon": 5}, "decoder": {"previous": True}}, "head.kind = 'student_t'"),
        ({**SMALL, "training": {"horizon": 30, "regime": "teacher"}}, "beyond walk.horizon = 20; lower it"),
    ],
)
def test_what_cannot_run_free_is_refused_with_the_remedy(settings, remedy):
    with pytest.raises(ConfigError) as refusal:
        make_experiment({"forecasters": {"seq2seq": settings}})
    assert remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_blend_is_free_running_where_a_member_is():
    days = pd.date_range("2020-01-01", periods=4, freq="D")
    base = pd.DataFrame({"unique_id": "A", "cutoff": days[0], "ds": days[1:3], "step": [1, 2], "y": 0.0, "mean": 0.0})
    levels = {f"q{k / 40:.3f}": k / 40 for k in range(1, 40)}
    parts = [base.assign(model=m, **levels) for m in ("anchor", "seq2seq_pooled")]
    table = together([parts[0], parts[1].assign(free_running=[False, True])])
    spec = make_experiment({}).forecasters.blending.model_copy(update={"members": ("seq2seq_pooled",)})
    assert blend(table, spec, {"A": "XNYS"})[0]["free_running"].tolist() == [False, True]


def test_the_estimator_goes_on_by_the_models_that_can(panel):
    history = panel.histories[0]
    prices = pd.DataFrame({"unique_id": "A", "ds": history.dates, "y": history.adj_close})
    settings = {"seq2seq": SMALL, "anchor": {"steps": 3, "warmup": 60}}
    model = PriceForecaster(["anchor", "seq2seq_pooled"], horizon=SHORT, settings=settings).fit(prices)
    with pytest.warns(UserWarning, match="no steps beyond 3 of anchor: fit with horizon=7"):
        table = model.predict(LONG, level=[80])
    assert table["seq2seq_pooled-free-running"].tolist() == [False] * SHORT + [True] * (LONG - SHORT)
    assert table["anchor"].notna().sum() == SHORT
    assert table["seq2seq_pooled"].notna().all()
    assert table["ds"].is_monotonic_increasing
    plain = model.predict(level=[80])
    assert "seq2seq_pooled-free-running" not in plain
    assert np.allclose(plain["seq2seq_pooled-lo-80"], table["seq2seq_pooled-lo-80"][:SHORT], rtol=1e-6)
    direct = PriceForecaster("anchor", horizon=SHORT, settings={"anchor": settings["anchor"]}).fit(prices)
    with pytest.raises(ConfigError, match=r"fitted for 1 to 3 steps; fit with horizon=7, or .*decoder.previous = true"):
        direct.predict(LONG)
