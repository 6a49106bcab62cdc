"""Tickers that were never fitted: the models that serve any forecast them, and nobody else's forecast moves."""

import numpy as np
import pandas as pd
import pytest

from s2squant.errors import ConfigError, RunError, SourceError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters.pretrained import newest as shipped
from s2squant.prices.sources.sample import SampleSource
from tests.worlds.runs import TINY, every_day, stock_days, write_prices

SETTINGS = {name: spec for name, spec in TINY["forecasters"].items() if name != "models"}
MODELS = ["gjr_t", "anchor", "pretrained", "seq2seq_per_ticker", "seq2seq_pooled", "blend"]


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomers")
    for seed, ticker in enumerate(["AAA", "BBB", "NEW", "YOUNG"]):
        keep = {"YOUNG": np.arange(820, 900)}.get(ticker)
        write_prices(folder, ticker, stock_days(), seed, keep)
    write_prices(folder, "BTC-USD", every_day(), 9)
    parts = [pd.read_csv(path, parse_dates=["Date"]).assign(unique_id=path.stem) for path in sorted(folder.iterdir())]
    return pd.concat(parts, ignore_index=True).rename(columns={"Date": "ds", "Close": "y"})


def of(prices, *tickers):
    return prices[prices["unique_id"].isin(tickers)]


@pytest.fixture(scope="module")
def fitted(prices):
    return PriceForecaster(MODELS, horizon=5, settings=SETTINGS).fit(of(prices, "AAA", "BBB"))


@pytest.fixture(scope="module")
def table(fitted, prices):
    return fitted.predict(df=of(prices, "AAA", "BBB", "NEW", "YOUNG"), level=80).set_index("unique_id")


def test_the_models_that_serve_any_ticker_forecast_a_new_one(table, prices):
    new = table.loc["NEW"]
    assert new[["anchor", "pretrained", "seq2seq_pooled", "blend"]].notna().all(axis=None)
    assert new[["gjr_t", "seq2seq_per_ticker"]].isna().all(axis=None)
    last = of(prices, "NEW")["y"].iloc[-1]
    assert new["anchor"].to_numpy() == pytest.approx(np.full(5, last), rel=0.02)
    assert (new["anchor-lo-80"] < new["anchor-hi-80"]).all()
    assert (new["blend"] == new["anchor"]).all()  # networks have no weight yet


def test_a_young_one_is_forecast_by_the_pretrained_model_alone(table):
    young = table.loc["YOUNG"]
    assert young["pretrained"].notna().all()
    assert young[["gjr_t", "anchor", "seq2seq_pooled", "blend"]].isna().all(axis=None)


def test_who_was_fitted_is_forecast_as_without_newcomers(table, fitted, prices):
    without = fitted.predict(df=of(prices, "AAA", "BBB"), level=80).set_index("unique_id")
    pd.testing.assert_frame_equal(table.loc[["AAA", "BBB"]], without, check_exact=True)


def test_a_newcomer_does_not_depend_on_who_stands_beside_it(table, fitted, prices):
    alone = fitted.predict(df=of(prices, "NEW"), level=80).set_index("unique_id")
    pd.testing.assert_frame_equal(table.loc[["NEW"]], alone, check_exact=True)


def test_paths_of_a_new_ticker(prices):
    settings = SETTINGS | {"seq2seq": SETTINGS["seq2seq"] | {"head": {"kind": "student_t"}}}
    model = PriceForecaster(["anchor", "seq2seq_pooled"], horizon=5, settings=settings).fit(of(prices, "AAA", "BBB"))
    paths = model.simulate(10, df=of(prices, "NEW"))
    assert len(paths) == 50
    assert paths["seq2seq_pooled"].notna().all()


@pytest.mark.parametrize(
    ("models", "ticker", "why"),
    [
        (["gjr_t"], "NEW", "NEW: the models were not fitted on it"),
        (
            ["anchor"],
            "YOUNG",
            "YOUNG: too short: 80 bars, 251 are needed of a ticker that the models were not fitted on",
        ),
        (["anchor"], "BTC-USD", "BTC-USD: no model was fitted on its market, 24/7"),
        (["anchor", "pretrained"], "BTC-USD", "BTC-USD: no pretrained weights for crypto"),
    ],
)
def test_who_cannot_be_served_is_told_by_name(prices, models, ticker, why):
    settings = SETTINGS if models != ["anchor"] else {"anchor": {"steps": 2}}
    model = PriceForecaster(models, horizon=5, settings=settings).fit(of(prices, "AAA"))
    with pytest.raises(SourceError, match=why):
        model.predict(df=of(prices, ticker))
    with pytest.warns(UserWarning, match=f"left out: {why}"):
        assert set(model.predict(df=of(prices, "AAA", ticker))["unique_id"]) == {"AAA"}


def test_an_anchor_of_each_ticker_serves_no_other(prices):
    settings = SETTINGS | {"anchor": {"steps": 2, "scope": "per_ticker"}}
    model = PriceForecaster("anchor", horizon=5, settings=settings).fit(of(prices, "AAA"))
    with pytest.raises(SourceError, match="NEW: the models were not fitted on it"):
        model.predict(df=of(prices, "NEW"))


def test_the_shipped_weights_forecast_without_a_fit():
    euro = SampleSource().history("EURUSD")
    frame = pd.DataFrame({"unique_id": "EURUSD", "ds": euro.dates, "y": euro.adj_close})
    model = PriceForecaster.pretrained(horizon=5)
    table = model.predict(df=frame, level=95)
    ((_, forecast),) = shipped([euro], 5)
    assert table.columns.to_list() == ["unique_id", "ds", "pretrained", "pretrained-lo-95", "pretrained-hi-95"]
    edge = euro.adj_close[-1] * np.exp(forecast.quantiles_NHQ[0, :, 0])
    assert table["pretrained-lo-95"].to_numpy() == pytest.approx(edge, rel=1e-6)


def test_what_it_does_not_hold_is_told(prices, tmp_path):
    model = PriceForecaster.pretrained(horizon=5, judged=True)
    with pytest.raises(ConfigError, match="holds no prices; give some as df="):
        model.predict()
    with pytest.raises(RunError, match="holds nothing of its own to save"):
        model.save(tmp_path / "model")
    with pytest.raises(SourceError, match="AAA: pretrained weights forecast at most 60 steps, not 61"):
        PriceForecaster.pretrained(horizon=61).predict(df=of(prices, "AAA"))


def test_a_fit_of_the_pretrained_model_alone_needs_sixty_bars(prices, tmp_path):
    model = PriceForecaster("pretrained", horizon=5).fit(of(prices, "YOUNG", "AAA"))
    table = model.predict()
    assert set(table["unique_id"]) == {"YOUNG", "AAA"}
    model.save(tmp_path / "model")
    pd.testing.assert_frame_equal(PriceForecaster.load(tmp_path / "model").predict(), table, check_exact=True)
