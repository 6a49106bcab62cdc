"""The package from Python: one frame in, one frame out, and the same numbers as every other way in."""

import json
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from s2squant.errors import CheckpointError, ConfigError, RunError, SourceError
from s2squant.estimator.forecaster import PriceForecaster
from s2squant.files import sealed
from s2squant.forecasters import fitting
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.checks.every import NAMES
from tests.worlds.runs import (
    BASELINES,
    QUANTILES,
    TINY,
    environment,
    every_day,
    experiment,
    forecasts_only,
    stock_days,
    write_prices,
)

pytestmark = pytest.mark.filterwarnings("ignore:prices look odd")  # a stock here was halted for a while
SETTINGS = {name: spec for name, spec in TINY["forecasters"].items() if name != "models"}
MODELS = [*BASELINES, "har", "field", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "seq2seq_adapted", "blend"]
WALK = {"n_windows": 4, "step_size": 20, "min_train": 600, "level": [80]}
README = Path(__file__).parents[2] / "README.md"
SAMPLE = README.parent / "data" / "sample"


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
    far = fitted.predict(level=[95, 97, 98, 99])
    for model in ("anchor", "blend"):
        edges = [f"{model}-lo-{p}" for p in (99, 98, 97, 95)] + [f"{model}-hi-{p}" for p in (95, 97, 98, 99)]
        if model in far:
            assert (np.diff(far[edges].to_numpy(), axis=1) > 0).all()
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


READING = ["historical_simulation", "garch_t", "anchor", "seq2seq_pooled"]


@pytest.fixture(scope="module")
def until(prices):
    """Fitted on all but the last thirty bars of the stocks and of the coin."""
    return forecaster(READING).fit(prices[prices.groupby("unique_id").cumcount(ascending=False) >= 30])


def test_a_few_newer_bars_are_as_good_as_all(until, prices):
    whole = until.predict(df=prices, level=[80])
    for bars in (30, 31, 200):  # from the bar after the fit's last, and over some of the fit's
        exactly(until.predict(df=prices.groupby("unique_id").tail(bars), level=[80]), whole)
    shuffled = prices.groupby("unique_id").tail(40).sample(frac=1.0, random_state=1)
    by = ["unique_id", "ds"]
    exactly(until.predict(df=shuffled, level=[80]).sort_values(by), whole.sort_values(by))
    one = prices[prices.groupby("unique_id").cumcount(ascending=False).between(29, 29)]
    assert (one.groupby("unique_id").size() == 1).all()
    past = prices[prices.groupby("unique_id").cumcount(ascending=False) >= 29]
    exactly(until.predict(df=one, level=[80]), until.predict(df=past, level=[80]))


def test_a_dividend_since_the_fit_moves_its_bars_with_it(until, prices):
    newer = prices.groupby("unique_id").tail(60)
    paid = newer.assign(y=newer["y"].where(newer["unique_id"] != "AAA", newer["y"] * 0.97))
    table, plain = until.predict(df=paid, level=[80]), until.predict(df=newer, level=[80])
    mine = (table["unique_id"] == "AAA").to_numpy()
    columns = [name for name in table.columns if name not in ("unique_id", "ds")]
    np.testing.assert_allclose(table.loc[mine, columns], 0.97 * plain.loc[mine, columns], rtol=1e-6)
    closely(table[~mine], plain[~mine])


def warned(what):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        return what(), [str(one.message) for one in told]


def test_bars_that_do_not_continue_the_fit_are_refused_by_name(until, prices):
    newer = stocks(prices).groupby("unique_id").tail(60)
    aaa = newer["unique_id"] == "AAA"
    other = newer.assign(y=newer["y"].where(~aaa | (newer.groupby("unique_id").cumcount() > 9), newer["y"] * 2))
    table, told = warned(lambda: until.predict(df=other))
    assert set(table["unique_id"]) == {"BBB", "CCC"}
    assert re.match("left out: AAA: closes are others than those of the fit .* whole history, or fit again", told[0])
    assert told[1].startswith("df has no newer bars of AAA: ")  # which it takes its part in the market by
    late = newer[~aaa | (newer.groupby("unique_id").cumcount(ascending=False) < 20)]
    table, told = warned(lambda: until.predict(df=late))
    assert set(table["unique_id"]) == {"BBB", "CCC"}
    assert re.search("AAA: too short: 20 bars, 501 are needed where the first, .* does not follow", told[0])
    with pytest.raises(SourceError, match="AAA: too short: 2 bars, 501 are needed"):
        until.predict(df=stocks(prices).groupby("unique_id").head(2))
    with pytest.raises(SourceError, match=r"NEW: too short: 6\d bars, 251 are needed of a ticker that the models were"):
        until.predict(df=newer.assign(unique_id="NEW").drop_duplicates("ds"))


def test_a_forecast_does_not_depend_on_who_stands_beside_it(until, prices):
    now = until.predict(level=[80])
    assert set(now["unique_id"]) == set(prices["unique_id"])
    seen = prices[prices.groupby("unique_id").cumcount(ascending=False) >= 30]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = until.predict(df=seen[seen["unique_id"] == "BBB"], level=[80])
        coin = until.predict(df=prices[prices["unique_id"] == "BTC-USD"], level=[80])
    exactly(alone, now[now["unique_id"] == "BBB"])
    exactly(coin, until.predict(df=prices, level=[80]).query("unique_id == 'BTC-USD'"))  # a market of its own
    with pytest.warns(UserWarning, match="df has no newer bars of AAA, CCC: what their market did since") as told:
        until.predict(df=prices[prices["unique_id"] == "BBB"])
    assert told[0].filename == __file__
    bare = forecaster("garch_t").fit(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bare.predict(df=prices[prices["unique_id"] == "BBB"])  # reads no market


def test_newer_bars_keep_the_calendar_of_the_fit(prices):
    """Weekdays without a holiday are not New York's; five of them could be anybody's."""
    days = pd.bdate_range("2015-01-01", periods=700)
    mine = stocks(prices).query("unique_id == 'CCC'").head(700).assign(ds=days.to_numpy())
    made = forecaster("random_walk").fit(mine)
    assert made.panels_[0].market == "24/5"
    table = made.predict(df=mine[mine["ds"].dt.day_of_week == 0].tail(5))
    assert list(table["ds"]) == list(pd.bdate_range(mine[mine["ds"].dt.day_of_week == 0]["ds"].max(), periods=6)[1:])
    exactly(made.predict(df=mine.tail(5)), made.predict())


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


@pytest.mark.slow
def test_the_windows_are_those_of_the_backtest(folder, prices, tmp_path):
    models = [*BASELINES, "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"]
    table = forecaster(models).cross_validation(prices, refit=2, **WALK)
    run = forecasts_only(experiment(folder), tmp_path / "run")
    run = run.astype({"unique_id": str, "model": str}).dropna(subset=["y"])
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
    for change, says in (
        ({"format": 99}, "written by s2squant 99.1 in another form; fit it again"),
        ({"experiment": record["experiment"] | {"novel": 1}}, r"unknown key 'novel'.*; s2squant 99.1 wrote it"),
    ):
        (kept / "forecaster.json").write_text(sealed(record | {"version": "99.1"} | change, sort=False))
        with pytest.raises(RunError, match=says):
            PriceForecaster.load(kept)
    record["prices"]["AAA"] = "0"
    (kept / "forecaster.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"damaged .*its contents were changed.*; fit it again"):
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
    with pytest.raises(ConfigError, match="no model here draws paths \\(anchor\\); ask for joint=True"):
        bare.simulate()
    with pytest.raises(ConfigError, match="n_paths is 0"):
        bare.simulate(0)
    with pytest.raises(ConfigError, match="garch_t keeps 128 paths, 129 were asked for"):
        forecaster("garch_t").fit(stocks(prices)).simulate(129)


def test_joint_paths_are_of_every_model_and_keep_its_quantiles(fitted):
    with pytest.warns(UserWarning, match="left out: BTC-USD: its prices end on 2018-06-18, others on"):
        paths = fitted.simulate(2000, joint=True)
    assert set(MODELS) <= set(paths.columns)
    assert paths.groupby(["unique_id", "ds"]).size().eq(2000).all()
    bands = fitted.predict(level=[80, 99]).set_index(["unique_id", "ds"])
    for model in ("garch_t", "blend"):
        wide = paths.pivot_table(index=["unique_id", "ds"], columns="sample_id", values=model)
        for edge, below in (("lo-99", 10), ("lo-80", 200), ("hi-80", 1800), ("hi-99", 1990)):
            limit = bands[f"{model}-{edge}"].reindex(wide.index).to_numpy()[:, None]
            assert np.abs((wide.to_numpy() < limit).sum(axis=1) - below).max() <= 1, (model, edge)


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


def test_threads_give_the_forecasts_of_one_after_the_other(prices):
    """Dropout draws from torch's global generator, which is one for all threads."""
    one = stocks(prices).query("unique_id == 'AAA'")
    dropping = SETTINGS | {"seq2seq": SETTINGS["seq2seq"] | {"decoder": {"width": 4, "dropout": 0.5}}}
    dropping["seq2seq"] |= {"per_ticker": {"steps": 40, "batch": 2}}

    def forecast(seed):
        made = forecaster(["anchor", "seq2seq_per_ticker"], settings=dropping, random_state=seed)
        return made.fit(one).predict(level=[80])

    alone = [forecast(seed) for seed in range(3)]
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(forecast, range(3)))
    for mine, other in zip(together, alone, strict=True):
        exactly(mine, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": "garch"}, "did you mean 'garch_"),
        ({"models": []}, "name the models"),
        ({"models": "seq2seq_pooled"}, "add 'anchor'"),
        ({"models": "anchor", "settings": {"models": ["har"]}}, "name the models"),
        ({"settings": {"seq2seq": {"encodr": {}}}}, "did you mean 'encoder'"),
        ({"horizon": 0}, "PriceForecaster: horizon: "),
        ({"random_state": 0.5}, "random_state is 0.5"),
        ({"models": 3}, "models is 3; give a name, or several in a list"),
        ({"models": ["anchor", 3]}, "PriceForecaster: models.1: "),
        ({"settings": "abc"}, "settings is 'abc'; give a dict"),
        ({"settings": [1]}, r"settings is \[1\]; give a dict"),
        ({"calendars": "XNYS"}, "calendars is 'XNYS'; give a dict"),
        ({"accept": 3}, "accept is 3; give a name"),
        ({"accept": "unadjusted splits"}, "no finding is called 'unadjusted splits'; did you mean 'unadjusted split'"),
        ({"accept": ["all", "qqq"]}, "no finding is called 'qqq'; known are 100x unit jump, .*, all$"),
    ],
)
def test_a_wrong_parameter_is_said_when_it_is_used(prices, changes, says):
    with pytest.raises(ConfigError, match=says):
        forecaster(**changes).fit(prices)


def test_one_may_stand_without_its_list(fitted, prices, ohlcv):
    exactly(fitted.predict(level=80), fitted.predict(level=[80]))
    exactly(fitted.predict(np.int64(2), level=np.array([80])), fitted.predict(2, level=[80]))
    raw = ohlcv.assign(y=ohlcv["Close"])  # with its splits
    with pytest.raises(SourceError, match="unadjusted split"):
        forecaster("random_walk").fit(raw[raw["unique_id"] == "AAPL"])
    assert forecaster("random_walk", accept="all").fit(raw).refused_ == {}
    assert forecaster("random_walk", accept="unadjusted split").fit(raw).refused_ == {}


def test_every_finding_may_be_named_in_accept():
    source = "".join(path.read_text() for path in (README.parent / "s2squant" / "prices").rglob("*.py"))
    marked = set(re.findall(r'(?:mark|_count)\(\s*"([^"]+)"', source))
    assert len(marked) > 15
    assert marked <= set(NAMES)


def test_parameters_of_numpy_are_saved_as_plain_numbers(prices, tmp_path):
    walk = {"random_walk": {"window": np.int64(400)}}
    made = PriceForecaster(np.array(["random_walk"]), horizon=np.int64(5), settings=walk, random_state=np.int32(3))
    made.fit(stocks(prices)).save(tmp_path / "kept")
    loaded = PriceForecaster.load(tmp_path / "kept")
    exactly(loaded.predict(), made.predict())
    kept = loaded.get_params()
    assert (kept["models"], kept["horizon"], kept["random_state"]) == (["random_walk"], 5, 3)
    assert made.get_params()["settings"] is walk  # as scikit-learn wants it


def test_a_frame_or_a_word_in_the_wrong_place_is_said_in_one_line(fitted, prices):
    with pytest.raises(
        ConfigError, match=r"h is a DataFrame, not a whole number; a frame goes in as predict\(df=...\)"
    ):
        fitted.predict(prices)
    with pytest.raises(ConfigError, match=r"n_paths is a DataFrame, .* simulate\(df=...\)"):
        fitted.simulate(prices)
    with pytest.raises(ConfigError, match=r"h is 2\.5, not a whole number$"):
        fitted.predict(2.5)
    for level in ("80", None, ["80"]):
        with pytest.raises(ConfigError, match=r"give per cents, as level=\[80, 95\]"):
            fitted.predict(level=level)
    with pytest.raises(ConfigError, match="refit is 'often'; give True, False, or"):
        forecaster("anchor").cross_validation(prices, refit="often")


def test_a_wrong_frame_is_said_in_one_line(prices):
    with pytest.raises(SourceError, match="no column 'y'; give unique_id, ds and y"):
        forecaster("anchor").fit(prices.drop(columns="y"))
    with pytest.raises(SourceError, match="df is a table with named columns, not a str; make it a frame of pandas or"):
        forecaster("anchor").fit("prices.csv")
    with pytest.raises(ConfigError, match=r"level 99\.5 is no band of a forecast; bands hold up to 99 per cent"):
        forecaster("anchor").cross_validation(prices, level=[99.5])
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
    real = fitting.make

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

    monkeypatch.setattr(fitting, "make", failing)
    wanted = forecaster(["garch_t", "anchor"])
    with pytest.warns(UserWarning, match="left out: ") as told:
        wanted.fit(pd.concat([mine, short, broken]))
    told = [one for one in told if "left out" in str(one.message)]
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
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_example_of_a_page_runs_as_printed(tmp_path, page):
    (block,) = re.findall(r"```python\n(.*?)```", (README.parent / page).read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "data").symlink_to(README.parent / "data")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my_model" / "forecaster.json").is_file() == ("my_model" in block)


@pytest.mark.parametrize(
    "named",
    [
        lambda t: t.map({"AAA": 7, "BBB": 11, "CCC": -1}),
        lambda t: t.astype("category"),
        lambda t: t.astype(object),
        lambda t: t.map({"AAA": 1.5, "BBB": 2.0, "CCC": 3.0}),
    ],
)
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_keys_come_back_as_they_went_in(prices, tmp_path, named, zone):
    mine = stocks(prices)
    mine = mine.assign(unique_id=named(mine["unique_id"]), ds=mine["ds"].dt.tz_localize(zone))
    made = forecaster("historical_simulation").fit(mine)
    made.save(tmp_path / "kept")
    table = made.predict()
    exactly(PriceForecaster.load(tmp_path / "kept").predict(), table)
    exactly(made.predict(df=mine.groupby("unique_id", observed=True).tail(3)), table)
    came = made.cross_validation(mine, n_windows=2, min_train=600)
    for got in (table, came, made.simulate(3)):
        assert got["unique_id"].dtype == mine["unique_id"].dtype
        assert set(got["unique_id"]) == set(mine["unique_id"])
        assert getattr(got["ds"].dt, "tz", None) == mine["ds"].dt.tz
    both = came.merge(mine, on=["unique_id", "ds"], suffixes=("", "_given"))
    assert len(both) == len(came) == 30
    np.testing.assert_allclose(both["y"], both["y_given"], rtol=1e-12)
    at = came.merge(mine, left_on=["unique_id", "cutoff"], right_on=["unique_id", "ds"])
    assert len(at) == len(came)


def test_ids_that_cannot_be_told_apart_are_refused(prices):
    mine, say = stocks(prices), forecaster("random_walk")
    with pytest.raises(SourceError, match=r"unique_id is missing in 900 row\(s\), the first is row 1; name"):
        say.fit(mine.assign(unique_id=mine["unique_id"].where(mine["unique_id"] != "AAA")))
    with pytest.raises(SourceError, match="unique_id 1 and '1' are the same as text; rename one"):
        say.fit(mine.assign(unique_id=mine["unique_id"].astype(object).map({"AAA": 1, "BBB": "1", "CCC": "c"})))
    with pytest.raises(SourceError, match=r"unique_id holds half a character \('.*x\\ud800'\), which no file can"):
        say.fit(mine.assign(unique_id=pd.Series("x\ud800", mine.index, dtype=object)))
    with pytest.raises(SourceError, match="two columns are called unique_id; keep one"):
        say.fit(pd.concat([mine, mine[["unique_id"]]], axis=1))
    mixed = mine.assign(unique_id=mine["unique_id"].astype(object).map({"AAA": 1, "BBB": "2", "CCC": 2.5}))
    with pytest.raises(RunError, match="ids of mixed or unusual types cannot be kept"):
        say.fit(mixed).save("nowhere")
    assert not Path("nowhere").exists()


@pytest.fixture(scope="module")
def ohlcv():
    """Real stocks with adjusted closes as `y`, and their raw bars beside them."""
    bars = [pd.read_parquet(SAMPLE / f"{t}.parquet").assign(unique_id=t) for t in ("AAPL", "IBM", "MSFT")]
    return pd.concat(bars, ignore_index=True).rename(columns={"Date": "ds", "Adj Close": "y"})


def test_y_is_the_price_whatever_stands_beside_it(ohlcv):
    assert {"Open", "High", "Low", "Close", "Volume"} <= set(ohlcv.columns)
    assert not np.allclose(ohlcv["Close"], ohlcv["y"], rtol=0.1)
    beside = ohlcv.assign(Date="nonsense", **{"Adj Close": 1.0, "adj_close": 2.0})
    bare = forecaster("garch_t").fit(ohlcv[["unique_id", "ds", "y"]])
    full = forecaster("garch_t").fit(beside)
    exactly(full.predict(level=[80]), bare.predict(level=[80]))
    last = ohlcv.groupby("unique_id")["y"].last().to_numpy()
    np.testing.assert_allclose(full.predict(1)["garch_t"], last, rtol=0.01)
    for history in full.panels_[0].histories:
        mine = ohlcv[ohlcv["unique_id"] == history.ticker]
        np.testing.assert_array_equal(history.adj_close, mine["y"])
        np.testing.assert_array_equal(history.bars["close"], mine["Close"])
    came = forecaster("random_walk").cross_validation(beside, n_windows=2)
    both = came.merge(ohlcv, on=["unique_id", "ds"], suffixes=("", "_given"))
    assert len(both) == len(came) == 30
    np.testing.assert_allclose(both["y"], both["y_given"], rtol=1e-12)


# --- the caller's process --------------------------------------------------------------------------------------------


def test_the_caller_s_torch_decides_no_bit_and_is_left_as_it_was(prices):
    """Double precision, no gradients, another device, two threads, autocast."""
    small = {"models": ["anchor", "seq2seq_pooled"], "settings": SETTINGS, "horizon": 5}
    wanted = PriceForecaster(**small).fit(prices).predict(level=80)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_default_device("meta")
    try:
        with torch.no_grad(), torch.autocast("cpu"):
            made = PriceForecaster(**small).fit(prices).predict(level=80)
            assert not torch.is_grad_enabled()
        left = torch.get_default_dtype(), torch.get_num_threads(), torch.get_default_device().type
        assert left == (torch.float64, 2, "meta")
    finally:
        torch.set_default_device(None)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
    pd.testing.assert_frame_equal(made, wanted, check_exact=True)


def test_what_is_odd_in_prices_is_said_once_and_kept(prices):
    odd = prices[prices["unique_id"].isin(["AAA", "BBB"])].copy()
    odd.loc[odd.index[400:440], "y"] = odd["y"].iloc[399]
    with pytest.warns(UserWarning, match="prices look odd; AAA: ") as told:
        model = PriceForecaster("random_walk", horizon=5, accept="all").fit(odd)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert any(f.name == "stale run" for f in model.findings_["AAA"])
    assert model.findings_.keys() == {"AAA", "BBB"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n_windows": 1}, "n_windows is 1; two are the fewest"),
        ({"n_windows": 0}, "n_windows is 0"),
        ({"n_windows": True}, "n_windows is True"),
        ({"step_size": 2.5}, "step_size is 2.5; give a whole number from 1 up"),
        ({"min_train": 10}, "min_train is 10; give a whole number from 300 up"),
        ({"refit": "yes"}, "refit is 'yes'; give True, False"),
        ({"workers": "5"}, "workers is '5'; give a whole number from 0 up"),
        ({"workers": -1}, "workers is -1"),
        ({"n_windows": 10**9}, "n_windows: Input should be less than"),
    ],
)
def test_a_parameter_is_blamed_by_the_caller_s_own_name(prices, given, says):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        PriceForecaster("random_walk", horizon=5).cross_validation(prices, **given)
    assert "walk." not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"horizon": 0}, "PriceForecaster: horizon: "),
        ({"horizon": True}, "PriceForecaster: horizon: "),
        ({"models": ["random_walkk"]}, "did you mean 'random_walk'?"),
        ({"settings": {"garch_t": {"paths": 1}}}, "PriceForecaster: settings: garch_t.paths: "),
        ({"random_state": "x"}, "random_state is 'x'"),
        ({"random_state": -1}, "random_state is -1"),
    ],
)
def test_settings_are_blamed_by_the_caller_s_own_name(prices, given, says):
    with pytest.raises(ConfigError) as caught:
        PriceForecaster(**{"models": "random_walk"} | given).fit(prices)
    assert says in str(caught.value)


def test_a_seed_may_be_left_to_chance_or_to_a_generator(prices):
    seeds = {
        PriceForecaster("random_walk", horizon=2, random_state=state).fit(prices).experiment_.seed
        for state in (None, None, np.random.RandomState(3), np.random.default_rng(3))
    }
    assert len(seeds) == 4
