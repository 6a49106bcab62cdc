"""The shipped weights: they forecast what has no fit, know what they know, and are refused where they are damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.networks import AnchorSpec
from s2squant.config.pretrained import PretrainedSpec
from s2squant.errors import CheckpointError, ConfigError
from s2squant.files import embedded
from s2squant.forecasters import pretrained
from s2squant.forecasters.anchor import Anchor
from s2squant.forecasters.pretrained import (
    CLASSES,
    PRIOR_ORIGINS,
    Pretrained,
    Weights,
    file_name,
    load,
    newest,
    peers,
    refusal,
)
from s2squant.prices.sources.sample import SampleSource
from s2squant.series.forecast import LEVELS
from s2squant.series.panel import Panel
from s2squant.series.states import load_state, save_state
from tests.worlds.synthetic import garch_panel


@pytest.fixture(scope="module")
def apple():
    return SampleSource().history("AAPL")


def last_bars(history, bars):
    return history.between(history.dates[-bars])


@pytest.mark.parametrize("asset_class", CLASSES)
def test_weights_ship_for_the_past_and_for_the_present(asset_class):
    judged, shipped = load(asset_class, judged=True), load(asset_class)
    assert judged.about.last <= "2015-12-31" < shipped.about.last
    assert judged.horizon == shipped.horizon == 60
    assert (judged.about.asset_class, judged.about.judged, shipped.about.judged) == (asset_class, True, False)
    assert len(shipped.about.tickers) >= 10


def test_they_are_small():
    assert sum(path.stat().st_size for path in Path(str(embedded("weights"))).iterdir()) < 2e6


@pytest.mark.parametrize("asset_class", CLASSES)
def test_a_short_history_widens_the_bands(asset_class):
    weights = load(asset_class)
    for step in (1, 5, 20):
        assert 1.0 < weights.widening(60, step) < 1.6
        assert weights.widening(5000, step) == 1.0


def test_sixty_bars_are_enough_and_the_forecast_is_no_wild_one(apple):
    short = last_bars(apple, 60)
    ((panel, forecast),) = newest([short], 20)
    band = forecast.quantiles_NHQ[0, :, -1] - forecast.quantiles_NHQ[0, :, 0]
    day = np.diff(short.log_price).std()
    assert panel.tickers == ("AAPL",)
    assert forecast.quantiles_NHQ.shape == (1, 20, len(LEVELS))
    assert 2.5 * day < band[0] < 7 * day
    assert (np.diff(band) > 0).all()


def test_markets_are_forecast_apart_and_each_by_its_own_class(apple):
    euro = SampleSource().history("EURUSD")
    forecasts = {panel.market: forecast for panel, forecast in newest([apple, euro], 5)}
    assert set(forecasts) == {"XNYS", "ECB"}
    for history in (apple, euro):
        ((_, alone),) = newest([history], 5)
        assert (alone.quantiles_NHQ == forecasts[history.calendar].quantiles_NHQ).all()


def test_a_declared_class_chooses_the_weights(apple):
    ((_, one),), ((_, other),) = newest([apple], 5), newest([replace(apple, declared_class="currencies")], 5)
    assert (one.quantiles_NHQ != other.quantiles_NHQ).any()


@pytest.mark.parametrize(
    ("change", "horizon", "why"),
    [
        ({"declared_class": "crypto"}, 20, "no pretrained weights for crypto, only for stocks and currencies"),
        ({"calendar": "weekly:XNYS"}, 20, "of daily bars, and these are 1wk"),
        ({}, 61, "at most 60 steps, not 61"),
        ({}, 60, ""),
    ],
)
def test_what_they_cannot_forecast_is_refused_in_a_line(apple, change, horizon, why):
    told = refusal(replace(apple, **change), horizon)
    assert (why in told) if why else told == ""
    assert "\n" not in told


def test_fewer_bars_than_sixty_are_refused(apple):
    assert refusal(last_bars(apple, 59), 20) == "too short: 59 bars, 60 are needed"
    assert refusal(last_bars(apple, 60), 20) == ""


def test_the_fit_refuses_a_class_without_weights_and_a_long_horizon(apple):
    forecaster = Pretrained(PretrainedSpec())
    crypto = Panel((replace(apple, declared_class="crypto"),))
    with pytest.raises(ConfigError, match="no pretrained weights for crypto"):
        forecaster.fit(crypto, np.arange(0), horizon=5, seed=0)
    with pytest.raises(ConfigError, match=r"set walk\.horizon to 60 or less"):
        forecaster.fit(Panel((apple,)), np.arange(0), horizon=61, seed=0)


def test_a_ticker_that_was_never_fitted_has_the_forecast_of_one_that_was():
    panel = garch_panel("ABCDEF", 400)
    some = Panel(panel.histories[:5])
    rows = np.array([399, 5 * 400 + 399])
    known, new = (Pretrained(PretrainedSpec()).fit(p, np.arange(0), horizon=5, seed=0) for p in (panel, some))
    one, other = (fitted.predict(panel, rows) for fitted in (known, new))
    centred = [f.quantiles_NHQ - f.mean_NH[:, :, None] for f in (one, other)]
    assert centred[1] == pytest.approx(centred[0], rel=1e-12)  # apart from the drift, the class's
    assert (other.mean_NH[1] == new.drifts.by_class["stocks"] * np.arange(1, 6)).all()


def test_the_market_is_read_from_five_tickers_and_250_bars_on():
    panel = garch_panel("ABCDE", 400)
    rows = np.array([200, 300])
    assert (peers(panel, rows, "stocks") == 5).all()
    assert (peers(panel, np.array([58, 59]), "stocks") == [0, 5]).all()
    among, alone = (
        Pretrained(PretrainedSpec()).fit(panel, rows, horizon=5, seed=0).predict(p, rows).quantiles_NHQ
        for p in (panel, Panel(panel.histories[:4]))
    )
    assert (among[0] == alone[0]).all()
    assert (among[1] != alone[1]).any()


def damaged(content: bytes, how: str) -> bytes:
    match how:
        case "changed":
            return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
        case "cut":
            return content[: len(content) // 2]
        case _:
            return b""


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "missing"])
def test_a_damaged_file_is_told_in_one_line(how, tmp_path, monkeypatch):
    name = file_name("stocks", judged=False)
    content = (Path(str(embedded("weights"))) / name).read_bytes()
    if how != "missing":
        (tmp_path / name).write_bytes(damaged(content, how))
    monkeypatch.setattr(pretrained, "embedded", lambda _name: tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load.__wrapped__("stocks")
    assert str(caught.value).startswith(f"{name}: not a readable model file")
    assert "install s2squant again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("meta", "arrays", "why"),
    [
        ({"format": 99}, {}, "format 99, this version reads 1"),
        ({"ages": [60, 120]}, {}, "this version reads 1"),
        ({"kind": "anchor"}, {}, "a stored 'anchor' is no pretrained weights"),
        ({}, {"alone/table": np.zeros((5, 60, 3))}, "alone bank"),
        ({"about": {"tickers": [], "sources": []}}, {}, "not as this version writes them"),
        ({}, {"market/table": np.full((5, 60, 39), np.nan)}, "not finite"),
    ],
)
def test_weights_of_another_version_are_told_in_one_line(meta, arrays, why, tmp_path):
    state = load("stocks").state()
    other = replace(state, meta={**state.meta, **meta}, arrays={**state.arrays, **arrays})
    save_state(tmp_path / "other", other)
    with pytest.raises(CheckpointError, match=why) as caught:
        Weights.restored(load_state(tmp_path / "other"))
    assert "\n" not in str(caught.value)


def test_what_is_stored_is_what_is_read():
    weights = load("currencies")
    again = Weights.restored(weights.state())
    assert again.about == weights.about
    for kind in ("alone", "market"):
        for part in ("weights_AHK", "table_AHQ"):
            assert (getattr(getattr(again, kind), part) == getattr(getattr(weights, kind), part)).all()


def long_rows(panel):
    rows = np.arange(len(panel.dates))
    return rows[(panel.bar_number(rows) >= 250) & (panel.bars_left(rows) >= 5)]


def anchors(panel, prior, **settings):
    rows = long_rows(panel)
    spec = AnchorSpec(steps=5, prior=prior, **settings)
    return len(rows), Anchor(spec).fit(panel, rows, horizon=5, seed=0)


@pytest.mark.parametrize(("tickers", "bars", "kind"), [("A", 400, "alone"), ("ABCDE", 400, "market")])
def test_an_anchor_with_a_prior_is_an_average_by_the_number_of_its_origins(tickers, bars, kind):
    panel = garch_panel(tickers, bars)
    (count, own), (_, with_prior) = anchors(panel, "none"), anchors(panel, "judged")
    bank = getattr(load("stocks", judged=True), kind)
    share = PRIOR_ORIGINS / (count + PRIOR_ORIGINS)
    prior_HK = np.zeros((5, 24))
    prior_HK[:, : bank.weights_AHK.shape[2]] = bank.weights_AHK[-1, :5]
    assert with_prior.weights_GHK[0] == pytest.approx((1 - share) * own.weights_GHK[0] + share * prior_HK)
    assert with_prior.table_GHQ[0] == pytest.approx((1 - share) * own.table_GHQ[0] + share * bank.table_AHQ[-1, :5])
    assert with_prior.drifts == own.drifts


def test_each_ticker_of_its_own_group_has_the_prior_of_its_class():
    panel = garch_panel("AB", 400)
    mixed = Panel((panel.histories[0], replace(panel.histories[1], declared_class="currencies")))
    settings = {"scope": "per_ticker", "market": False}
    fits = [anchors(p, prior, **settings)[1].table_GHQ for p in (panel, mixed) for prior in ("none", "judged")]
    stocks, currencies = (load(name, judged=True).alone.table_AHQ[-1, :5] for name in ("stocks", "currencies"))
    share = PRIOR_ORIGINS / (145 + PRIOR_ORIGINS)
    assert fits[1] - fits[0] * (1 - share) == pytest.approx(share * np.stack([stocks, stocks]), rel=1e-9)
    assert fits[3] - fits[2] * (1 - share) == pytest.approx(share * np.stack([stocks, currencies]), rel=1e-9)


def test_a_class_without_weights_has_no_prior():
    panel = garch_panel("AB", 400)
    crypto = Panel(tuple(replace(h, declared_class="crypto") for h in panel.histories))
    one, other = anchors(crypto, "none")[1], anchors(crypto, "shipped")[1]
    assert (one.weights_GHK == other.weights_GHK).all()
    assert (one.table_GHQ == other.table_GHQ).all()


def test_a_horizon_beyond_the_prior_is_refused():
    panel = garch_panel("A", 700)
    rows = np.arange(250, 600)
    with pytest.raises(ConfigError, match=r"the prior has 60 steps; set walk\.horizon to 60 or less"):
        Anchor(AnchorSpec(steps=2, prior="shipped")).fit(panel, rows, horizon=61, seed=0)


def test_a_calendar_of_its_own_is_daily_and_weeks_are_not():
    history = SampleSource().history("AAPL")
    assert refusal(replace(history, calendar="unknown:AAPL"), 20) == ""
    assert "these are 1wk" in refusal(replace(history, calendar="weekly:XNYS"), 20)
