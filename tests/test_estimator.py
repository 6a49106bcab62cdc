"""The package from Python: one frame in, one frame out, and the same numbers as every other way in."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from s2squant import fits
from s2squant.config import make_experiment
from s2squant.errors import CheckpointError, ConfigError, RunError, SourceError
from s2squant.estimator import PriceForecaster
from s2squant.prices.calendars import next_sessions
from s2squant.study import backtest

from .runs import BASELINES, QUANTILES, TINY, environment, every_day, stock_days, write_prices

SETTINGS = {name: spec for name, spec in TINY["forecasters"].items() if name != "models"}
MODELS = [*BASELINES, "har", "field", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "seq2seq_adapted", "blend"]
WALK = {"n_windows": 4, "step_size": 20, "min_train": 600, "level": [80]}
README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three stocks, one of them halted for a while, and a coin that trades every day."""
    made = tmp_path_factory.mktemp("prices")
    write_prices(made, "AAA", stock_days(), 1)
    write_prices(made, "BBB", stock_days(), 2, np.r_[0:700, 712:900])
    write_prices(made, "CCC", stock_days(), 3)
    write_prices(made, "BTC-USD", every_day(), 5)
    return made


@pytest.fixture(scope="module")
def prices(folder):
    parts = [
        pd.read_csv(path, parse_dates=["Date"]).assign(unique_id=path.stem) for path in sorted(folder.glob("*.csv"))
    ]
    return pd.concat(parts, ignore_index=True).rename(columns={"Date": "ds", "Close": "y"})[["unique_id", "ds", "y"]]


def forecaster(models=MODELS, **changes):
    return PriceForecaster(models, **{"horizon": 5, "settings": SETTINGS} | changes)


def stocks(prices):
    return prices[prices["unique_id"] != "BTC-USD"]


@pytest.fixture(scope="module")
def fitted(prices):
    return forecaster().fit(prices)


@pytest.fixture(scope="module")
def validated(prices):
    """Every model, fitted once, at the first of four cutoffs of the stocks."""
    return forecaster().cross_validation(stocks(prices), **WALK)


def closely(one, other):
    """Equal but for the order of sums, which the number of origins side by side decides."""
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), rtol=1e-6)


def exactly(one, other):
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True)


def test_a_forecast_is_a_price_with_its_bands_on_real_sessions(fitted, prices):
    table = fitted.predict(level=[80, 95])
    edges = ["", "-lo-80", "-hi-80", "-lo-95", "-hi-95"]
    assert list(table.columns) == ["unique_id", "ds", *(model + edge for model in MODELS for edge in edges)]
    assert set(table["unique_id"]) == set(prices["unique_id"])
    for ticker, rows in table.groupby("unique_id"):
        mine = prices[prices["unique_id"] == ticker]
        calendar = "24/7" if ticker == "BTC-USD" else "XNYS"
        np.testing.assert_array_equal(
            rows["ds"].to_numpy().astype("datetime64[D]"), next_sessions(calendar, mine["ds"].max(), 5)
        )
        np.testing.assert_allclose(rows[MODELS], mine["y"].iloc[-1], rtol=0.05)
    for model in MODELS:
        ordered = table[[f"{model}-lo-95", f"{model}-lo-80", model, f"{model}-hi-80", f"{model}-hi-95"]].to_numpy()
        assert (np.diff(ordered, axis=1) > 0).all()


def test_fewer_steps_are_the_first_of_them(fitted):
    whole = fitted.predict(level=[50])
    exactly(fitted.predict(2, level=[50]), whole[whole.groupby("unique_id").cumcount() < 2])


def test_walking_forward_equals_fitting_on_the_past_alone(prices, validated):
    """The bars after a cutoff are not there at all in the second way."""
    first = validated["cutoff"].min()
    past = stocks(prices)[stocks(prices)["ds"] <= first]
    alone = forecaster().fit(past).predict(level=[80])
    window = validated[validated["cutoff"] == first].drop(columns=["cutoff", "y"])
    assert len(window) == 15
    closely(alone, window)


def test_newer_bars_are_forecast_with_the_old_fit(prices, validated):
    """All models but the blend, which has learned by then which member to drop."""
    cutoffs = np.sort(validated["cutoff"].unique())
    past, later = (stocks(prices)[stocks(prices)["ds"] <= cutoff] for cutoff in cutoffs[:2])
    table = forecaster().fit(past).predict(df=later, level=[80])
    window = validated[validated["cutoff"] == cutoffs[1]].drop(columns=["cutoff", "y"])
    closely(table.filter(regex="^(?!blend)"), window.filter(regex="^(?!blend)"))


def test_what_comes_after_a_cutoff_changes_nothing_before_it(prices, validated):
    cutoffs = np.sort(validated["cutoff"].unique())
    changed, rng = stocks(prices).copy(), np.random.default_rng(9)
    late = (changed["ds"] > cutoffs[-2]).to_numpy()
    changed.loc[late, "y"] = 80 * np.exp(np.cumsum(rng.normal(0, 0.01, late.sum())) / 10)
    again = forecaster().cross_validation(changed, **WALK)
    names = [name for name in again.columns if name != "y"]
    before, now = (table[table["cutoff"] <= cutoffs[-2]][names] for table in (validated, again))
    exactly(now, before)
    assert not np.array_equal(again["garch_t"], validated["garch_t"])  # the last window did see the change


def test_the_windows_are_those_of_the_backtest(folder, prices, tmp_path):
    models = [*BASELINES, "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"]
    table = forecaster(models).cross_validation(prices, refit=2, **WALK)
    experiment = make_experiment({"universe": {"source": f"csv:{folder}"}} | TINY)
    _, study = backtest(experiment, tmp_path / "run", workers=0)
    run = study.forecasts.astype({"unique_id": str, "model": str}).dropna(subset=["y"])
    for model in models:
        mine = run[run["model"] == model].merge(table, on=["unique_id", "ds", "cutoff"], suffixes=("_log", ""))
        assert len(mine) == len(table) == len(run[run["model"] == model])
        start = mine.merge(prices.rename(columns={"ds": "cutoff", "y": "price"}), on=["unique_id", "cutoff"])["price"]
        for column, quantile in ((model, 19), (f"{model}-lo-80", 3), (f"{model}-hi-80", 35)):
            np.testing.assert_allclose(
                mine[column], start * np.exp(mine[QUANTILES[quantile]].astype(float)), rtol=1e-12
            )
        np.testing.assert_allclose(mine["y"], start * np.exp(mine["y_log"]), rtol=1e-12)


@pytest.mark.slow
def test_workers_change_no_bit(prices, validated):
    exactly(forecaster().cross_validation(stocks(prices), workers=2, **WALK), validated)


def test_saved_and_loaded_it_says_the_same_bits(fitted, prices, tmp_path):
    fitted.save(tmp_path / "kept")
    loaded = PriceForecaster.load(tmp_path / "kept")
    exactly(loaded.predict(level=[80]), fitted.predict(level=[80]))
    exactly(loaded.simulate(7), fitted.simulate(7))
    exactly(loaded.predict(df=stocks(prices)), fitted.predict(df=stocks(prices)))
    assert json.dumps(loaded.get_params()) == json.dumps(fitted.get_params())
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.suffix in (".pkl", ".pt", ".joblib")]


def test_what_cannot_be_saved_or_loaded_is_said_in_one_line(fitted, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="something is there already; choose a new folder"):
        fitted.save(tmp_path)
    with pytest.raises(RunError, match=r"holds no forecaster\.json"):
        PriceForecaster.load(tmp_path)
    kept = tmp_path / "kept"
    fitted.save(kept)
    model = next((kept / "models").glob("anchor*"))
    model.write_bytes(model.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="not a readable model file"):
        PriceForecaster.load(kept)
    record = json.loads((kept / "forecaster.json").read_text())
    record["sha256"]["AAA"] = "0"
    (kept / "forecaster.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"damaged .*its prices were changed.*; fit it again"):
        PriceForecaster.load(kept)
    (kept / "forecaster.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        PriceForecaster.load(kept)


def test_paths_spread_as_the_quantiles_say(fitted):
    paths = fitted.simulate(128)
    drawing = [name for name in paths.columns if name in MODELS]
    assert {"garch_t", "historical_simulation"} <= set(drawing)
    assert not {"anchor", "blend", "field"} & set(drawing)
    assert paths.groupby(["unique_id", "ds"]).size().eq(128).all()
    bands = fitted.predict(level=[80]).set_index(["unique_id", "ds"])
    for model in drawing:
        spread = paths.groupby(["unique_id", "ds"])[model].quantile(np.array([0.1, 0.9])).unstack()
        width = bands[f"{model}-hi-80"] - bands[f"{model}-lo-80"]
        np.testing.assert_allclose((spread[0.9] - spread[0.1]) / width.reindex(spread.index), 1.0, atol=0.2)


def test_a_model_without_paths_has_none_to_give(prices):
    bare = forecaster(["anchor"]).fit(stocks(prices))
    with pytest.raises(ConfigError, match="no model here draws paths \\(anchor\\); add garch_t"):
        bare.simulate()
    with pytest.raises(ConfigError, match="n_paths is 0"):
        bare.simulate(0)
    with pytest.raises(ConfigError, match="garch_t keeps 128 paths, 129 were asked for"):
        forecaster("garch_t").fit(stocks(prices)).simulate(129)


def test_parameters_are_scikit_learns(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert twin.set_params(horizon=3, random_state=4).horizon == 3
    with pytest.raises(NotFittedError, match="call fit"):
        twin.predict()
    with pytest.raises(NotFittedError, match="call fit"):
        twin.simulate()


def test_the_seed_decides(prices):
    one, same, other = (
        forecaster("block_bootstrap", random_state=seed).fit(stocks(prices)).predict(level=[80]) for seed in (1, 1, 2)
    )
    exactly(one, same)
    assert not one.equals(other)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": "garch"}, "garch_t"),
        ({"models": []}, "name the models"),
        ({"models": "seq2seq_pooled"}, "add 'anchor'"),
        ({"models": "anchor", "settings": {"models": ["har"]}}, "name the models"),
        ({"settings": {"seq2seq": {"encodr": {}}}}, "did you mean 'encoder'"),
        ({"horizon": 0}, "walk.horizon"),
        ({"random_state": None}, "seed"),
    ],
)
def test_a_wrong_parameter_is_said_when_it_is_used(prices, changes, says):
    with pytest.raises(ConfigError, match=says):
        forecaster(**changes).fit(prices)


def test_a_wrong_frame_is_said_in_one_line(prices):
    with pytest.raises(SourceError, match="no column 'y'; give unique_id, ds and y"):
        forecaster("anchor").fit(prices.drop(columns="y"))
    with pytest.raises(SourceError, match="no column 'unique_id'"):
        forecaster("anchor").fit("prices.csv")
    with pytest.raises(ConfigError, match="level 81 is not on the grid"):
        forecaster("anchor").cross_validation(prices, level=[81])
    with pytest.raises(ConfigError, match="refit is -1"):
        forecaster("anchor").cross_validation(prices, refit=-1)


def test_steps_that_were_not_fitted_are_refused(fitted):
    for h in (0, 6):
        with pytest.raises(ConfigError, match="fitted for 1 to 5 steps"):
            fitted.predict(h)


def test_one_bad_ticker_is_named_and_the_others_go_on(prices, monkeypatch):
    mine = stocks(prices)
    short = mine[mine["unique_id"] == "AAA"].tail(100).assign(unique_id="NEW")
    broken = mine[mine["unique_id"] == "AAA"].assign(unique_id="NEGATIVE", y=lambda t: -t["y"])
    real = fits.make

    def failing(name, settings, **given):
        made = real(name, settings, **given)
        if name != "garch_t":
            return made

        class Failing:
            def fit(self, panel, rows, *, horizon, seed):
                if panel.tickers == ("BBB",):
                    raise FloatingPointError("no fit")
                return made.fit(panel, rows, horizon=horizon, seed=seed)

        return Failing()

    monkeypatch.setattr(fits, "make", failing)
    wanted = forecaster(["garch_t", "anchor"])
    with pytest.warns(UserWarning, match="left out: ") as told:
        wanted.fit(pd.concat([mine, short, broken]))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert set(wanted.refused_) == {"NEW", "NEGATIVE", "BBB"}
    assert "too short: 100 bars" in wanted.refused_["NEW"]
    assert wanted.refused_["BBB"] == "FloatingPointError: no fit"
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = forecaster(["garch_t", "anchor"]).fit(mine[mine["unique_id"] != "BBB"])
    exactly(wanted.predict(level=[80]), without.predict(level=[80]))
    with pytest.warns(UserWarning, match="NEW: ") as told:
        exactly(wanted.predict(df=pd.concat([mine[mine["unique_id"] != "BBB"], short])), without.predict())
    assert told[0].filename == __file__
    with pytest.raises(SourceError, match="no ticker can be used; NEW: too short"):
        forecaster("anchor").fit(short)


@pytest.mark.slow
def test_the_readme_example_runs_as_printed(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "data").symlink_to(README.parent / "data")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my_model" / "forecaster.json").is_file()
