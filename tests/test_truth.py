"""The truth, not the code: what is there is found, what is not there is not claimed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment
from s2squant.config.models import Forecasters, kind_of
from s2squant.evaluation.losses import score
from s2squant.evaluation.verdict import judge
from s2squant.forecasters.catalog import make
from s2squant.series.panel import Panel
from tests.test_contract import training_rows
from tests.worlds.runs import forecasts_only
from tests.worlds.synthetic import business_days, crps, history

H = 10


def skill_against_anchor(panel: Panel, settings: Forecasters, split: int) -> np.ndarray:
    """CRPS skill (H,) of the per-ticker net over its own anchor after `split`."""
    past = panel.until(panel.histories[0].dates[split])
    rows = training_rows(past, H)
    anchor = make("anchor", settings).fit(past, rows, horizon=H, seed=0)
    net = make("seq2seq_per_ticker", settings, anchor=anchor).fit(past, rows, horizon=H, seed=0)
    numbers = np.arange(len(panel.dates))
    test = numbers[(panel.bar_number(numbers) > split) & (panel.bars_left(numbers) >= H)]
    y = panel.targets(test, H)
    losses = [crps(y, model.predict(panel, test).quantiles_NHQ).mean(axis=0) for model in (anchor, net)]
    return 1 - losses[1] / losses[0]


def networks(**training) -> dict:
    return {
        "encoder": {"hidden": 16},
        "training": {"chunk": 120, "warm": 40},
        "per_ticker": {"steps": 250, "batch": 4, "lr": 5e-3} | training,
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_volatility_that_the_anchor_cannot_see_is_learnt(seed):
    bars = 3000
    cycle = np.exp(1.0 * np.sin(2 * np.pi * np.arange(bars) / 40))
    returns = 0.01 * cycle * np.random.default_rng(seed).normal(size=bars)
    settings = make_experiment({"forecasters": {"anchor": {"steps": 150}, "seq2seq": networks()}}).forecasters
    skill = skill_against_anchor(Panel((history(returns),)), settings, 2300)
    assert skill.mean() > 0.02, skill


def test_a_planted_sine_in_the_mean_is_learnt():
    bars = 2500
    returns = 0.01 * (np.sin(2 * np.pi * np.arange(bars) / 20) + 0.5 * np.random.default_rng(0).normal(size=bars))
    free = networks() | {"head": {"location_bound": 20.0}}
    settings = make_experiment({"forecasters": {"anchor": {"steps": 150}, "seq2seq": free}}).forecasters
    skill = skill_against_anchor(Panel((history(returns),)), settings, 1900)
    assert skill[0] > 0.25, skill
    assert skill.mean() > 0.4, skill


def test_an_untrained_net_is_its_anchor():
    from s2squant.forecasters.network_training import Seq2SeqForecaster
    from tests.test_contract import settings

    panel = Panel((history(0.01 * np.random.default_rng(5).standard_t(5, 900)),))
    using = settings(
        seq2seq__per_ticker={"steps": 1, "batch": 1, "lr": 1e-12},
        seq2seq__training={"chunk": 60, "warm": 20, "positions": 6},
    )
    rows = training_rows(panel, H)
    anchor = make("anchor", using).fit(panel, rows, horizon=H, seed=0)
    net = Seq2SeqForecaster(using.seq2seq, "per_ticker", anchor).fit(panel, rows, horizon=H, seed=0)
    at = np.array([500, 899])
    expected = anchor.predict(panel, at).quantiles_NHQ
    assert net.predict(panel, at).quantiles_NHQ == pytest.approx(expected, rel=2e-6, abs=1e-9)


def placebo(folder: Path, seed: int) -> str:
    """The word against the reference on a universe of random walks."""
    rng = np.random.default_rng(1000 + seed)
    common = rng.normal(size=1300)
    prices = folder / f"prices{seed}"
    prices.mkdir()
    for n in range(4):
        returns = 0.01 * (0.5 * common + rng.normal(size=1300))
        frame = pd.DataFrame({"Date": business_days(1300), "Close": 50 * np.exp(np.cumsum(returns))})
        frame.to_csv(prices / f"W{n}.csv", index=False)
    experiment = make_experiment(
        {
            "seed": seed,
            "universe": {"source": f"csv:{prices}"},
            "walk": {"cutoffs": 50, "every": 10, "refit_every": 250},
            "forecasters": {
                "models": [
                    "historical_simulation",
                    "random_walk",
                    "anchor",
                    "seq2seq_per_ticker",
                    "seq2seq_pooled",
                    "blend",
                ],
                "anchor": {"steps": 150},
                "seq2seq": {
                    "encoder": {"hidden": 16},
                    "per_ticker": {"steps": 60, "batch": 4},
                    "pooled": {"steps": 100, "batch": 8, "seeds": 1},
                },
            },
        }
    )
    losses = score(forecasts_only(experiment, folder / f"run{seed}"))
    walk, spec = experiment.walk, experiment.verdict
    kinds = {model: kind_of(model, spec.reference) for model in losses.models}
    markets = dict.fromkeys(losses.tickers, "24/5")
    table = judge(losses, every=walk.every, horizon=walk.horizon, spec=spec, kinds=kinds, markets=markets).verdicts
    row = table[
        (table["pool"] == "all")
        & (table["step"] == "all")
        & (table["challenger"] == "blend")
        & (table["benchmark"] == "historical_simulation")
    ]
    assert len(row) == 1
    return str(row["word"].iloc[0])


def test_placebo_a_random_walk_is_not_beaten(tmp_path):
    assert placebo(tmp_path, 0) != "better"


@pytest.mark.slow
def test_placebo_random_walks_are_not_beaten(tmp_path):
    words = [placebo(tmp_path, seed) for seed in range(20)]
    print({word: words.count(word) for word in set(words)})
    assert words.count("better") <= 2
