"""The family behind the contract: members of each kind repeat, never see the future, and come back from a file."""

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save

from s2squant.cli.app import main
from s2squant.config.files import make_experiment
from s2squant.experiments.members import members, merged
from s2squant.forecasters.catalog import make, restore
from s2squant.runs.engines.local import InlinePool
from s2squant.series.forecast import LEVELS, State
from s2squant.study import backtest
from tests.test_contract import TINY, settings, training_rows
from tests.worlds.runs import TINY as TINY_RUN
from tests.worlds.runs import check_report, options, stock_days, write_prices
from tests.worlds.synthetic import garch_panel, scrambled_after

H = 5
WINDOW = {"hidden": 6, "reads": "window", "window": 20, "heads": 2}
MEMBERS = {
    "two directions": {"encoder": WINDOW | {"directions": "both", "summary": "transform_all"}},
    "transformer": {
        "encoder": WINDOW | {"kind": "transformer"},
        "decoder": {"kind": "transformer", "width": 8, "heads": 2},
    },
    "bahdanau": {"encoder": {"hidden": 6, "window": 20}, "decoder": {"width": 8, "attention": {"kind": "bahdanau"}}},
    "luong local, fed": {
        "encoder": {"hidden": 6, "window": 20, "cell": "gru"},
        "decoder": {"width": 8, "attention": {"kind": "luong_local_p", "input_feeding": True}},
    },
    "previous output": {"decoder": {"width": 8, "previous": True, "context": "initial"}},
    "bins": {
        "decoder": {"width": 8, "previous": True},
        "head": {"kind": "categorical", "bins": 8, "paths": 64},
        "training": TINY["seq2seq"]["training"] | {"regime": "teacher"},
    },
    "mixture": {
        "decoder": {"width": 8, "previous": True},
        "head": {"kind": "mixture", "paths": 64},
        "training": TINY["seq2seq"]["training"] | {"regime": "scheduled"},
    },
    "point": {"head": {"kind": "point", "loss": "huber"}},
}
AT = 700
ATTENDING = {"attention": {"kind": "luong_global"}}


def of(member: str):
    return settings(**{f"seq2seq__{part}": value for part, value in MEMBERS[member].items()})


@pytest.mark.parametrize("scope", ["seq2seq_pooled", "seq2seq_per_ticker"])
@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_keeps_the_contract_and_never_sees_the_future(member, scope):
    chosen, panel = of(member), garch_panel("AB", 900)
    date = panel.histories[0].dates[AT]
    rows = np.flatnonzero(np.isin(panel.dates, panel.histories[0].dates[[AT - 40, AT]]))
    states, forecasts = [], []
    for seen in (panel, scrambled_after(panel, date)):
        past = seen.until(date)
        model = make(scope, chosen).fit(past, training_rows(past, H), horizon=H, seed=1)
        states.append(model.state())
        forecasts.append(model.predict(seen, rows))
    ours, theirs = forecasts
    assert ours.quantiles_NHQ.shape == (4, H, len(LEVELS))
    assert np.array_equal(ours.quantiles_NHQ, theirs.quantiles_NHQ), "the future was seen, or a fit cannot be repeated"
    assert all(np.array_equal(value, states[1].arrays[key]) for key, value in states[0].arrays.items())
    stored = save({key: np.ascontiguousarray(value) for key, value in states[0].arrays.items()})
    again = restore(scope, chosen, State(load(stored), states[0].meta))
    assert np.array_equal(again.predict(panel, rows).quantiles_NHQ, ours.quantiles_NHQ)
    alone = model.predict(panel, rows[1:2])
    assert alone.quantiles_NHQ[0] == pytest.approx(ours.quantiles_NHQ[1], rel=1e-4, abs=1e-6)


def test_paths_agree_with_the_quantiles_and_a_quantile_head_has_none():
    panel = garch_panel("AB", 900)
    past, rows = panel, np.array([AT, 900 + AT])
    model = make("seq2seq_pooled", of("bins")).fit(past, training_rows(past, H), horizon=H, seed=1)
    paths = model.simulate(panel, rows)
    assert paths.shape == (2, 2 * 64, H), "64 paths of each of two seeds"
    forecast = model.predict(panel, rows)
    halves = [np.quantile(part, LEVELS, axis=1).transpose(1, 2, 0) for part in np.split(paths, 2, axis=1)]
    assert np.mean(halves, axis=0) == pytest.approx(forecast.quantiles_NHQ, rel=1e-4, abs=1e-6)
    quantile = make("seq2seq_pooled", settings()).fit(past, training_rows(past, H), horizon=H, seed=1)
    with pytest.raises(ValueError, match="a quantile head has no paths"):
        quantile.simulate(panel, rows)


def test_attention_comes_back_with_the_forecast_and_reaches_the_study(tmp_path):
    panel = garch_panel("AB", 900)
    model = make("seq2seq_pooled", of("bahdanau")).fit(panel, training_rows(panel, H), horizon=H, seed=1)
    weights = model.predict(panel, np.array([AT, 900 + AT])).attention_NHL
    assert weights.shape == (2, H, 20)
    assert weights.sum(axis=2) == pytest.approx(np.ones((2, H)))
    for number, ticker in enumerate("AB"):
        write_prices(tmp_path / "prices", ticker, stock_days(), seed=number)
    networks = merged(TINY_RUN["forecasters"]["seq2seq"], {"encoder": {"window": 20}, "decoder": ATTENDING})
    experiment = make_experiment(
        TINY_RUN
        | {
            "universe": {"source": f"csv:{tmp_path / 'prices'}"},
            "forecasters": TINY_RUN["forecasters"]
            | {"models": ["historical_simulation", "anchor", "seq2seq_per_ticker"], "seq2seq": networks},
            "verdict": {"recommended": "seq2seq_per_ticker"},
        }
    )
    _, study = backtest(experiment, tmp_path / "run", workers=0)
    assert set(study.attention) == {t.ticker for t in study.tickers if t.status == "ok"}
    for weights in study.attention.values():
        assert weights.shape == (experiment.walk.horizon, 20)
        assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)), abs=1e-3)


QUICK = {
    "walk": {"cutoffs": 3, "every": 20, "refit_every": 40},
    "recalibration": {"enabled": False},
    "verdict": {"recommended": "seq2seq_pooled"},
    "forecasters": {
        "models": ["historical_simulation", "anchor", "seq2seq_per_ticker", "seq2seq_pooled"],
        "historical_simulation": {"paths": 128},
        "anchor": {"steps": 10},
    },
}
SMALL = {
    "encoder": {"hidden": 8},
    "decoder": {"width": 8},
    "head": {"paths": 64},
    "training": {"positions": 4},
    "per_ticker": {"steps": 2, "batch": 2},
    "pooled": {"steps": 2, "batch": 2, "seeds": 1},
}
RELATIVES = {
    "words": "s2squant.forecasters.return_tokens:ReturnTokens",
    "scenarios": "s2squant.forecasters.scenario_paths:Scenarios",
}


@pytest.mark.slow
@pytest.mark.parametrize("member", members(), ids=lambda member: member.name)
def test_every_member_of_the_zoo_runs_through_the_command_on_real_prices(member, tmp_path, monkeypatch):
    monkeypatch.setenv("S2SQUANT_TRIALS", "")
    monkeypatch.setattr(
        "s2squant.runs.engines.local.WorkerPool", lambda inputs, _, perform, _limit: InlinePool(inputs, perform)
    )
    if path := RELATIVES.get(member.model):
        own = {f'"{path}"': {"steps": 2, "batch": 2, "paths": 64, **member.changes}}
        models = [*QUICK["forecasters"]["models"][:2], path]
        wanted = merged(QUICK, {"forecasters": {"models": models, "own": own}, "verdict": {"recommended": "anchor"}})
    else:
        wanted = merged(QUICK, {"forecasters": {"seq2seq": merged(SMALL, member.changes)}})
    out = tmp_path / "run"
    command = ["backtest", "--tickers", "AAPL,EURUSD", "--out", str(out), "--workers", "1", "--quiet"]
    assert main([*command, *options(wanted)]) == 0
    check_report(out)
    table = pd.read_parquet(out / "forecasts.parquet")
    assert set(table["unique_id"]) == {"AAPL", "EURUSD"}
    assert set(table["model"]) == set(wanted["forecasters"]["models"])
