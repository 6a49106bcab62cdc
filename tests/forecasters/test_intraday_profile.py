"""The daily profile: found where there is one, nothing where there is none, and the same in every model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from s2squant.config.models import Forecasters, ModelName
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.catalog import make, restore
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.profile_fit import walk
from s2squant.forecasters.session_inputs import NUMBERS, session_known
from s2squant.series.panel import Panel
from tests.worlds.sessions import COUNT, PROFILE, intraday_history

HORIZON = 9
SETTINGS = Forecasters.model_validate(
    {"anchor": {"steps": 40, "warmup": 60, "market": False}}
    | {m: {"paths": 128} for m in ("historical_simulation", "garch_t", "gjr_fhs", "ewma_t", "har")}
)
READERS: tuple[ModelName, ...] = (
    "random_walk",
    "drift",
    "historical_simulation",
    "ewma_t",
    "garch_t",
    "gjr_fhs",
    "har",
    "block_bootstrap",
    "arima",
    "theta",
    "ridge",
    "anchor",
)
SCALE = np.array(PROFILE) / np.sqrt(np.mean(np.square(PROFILE)))


def own_profile(panel: Panel, ticker: str = "A") -> np.ndarray:
    profiles = profiles_of(panel)
    assert profiles is not None
    return profiles.by_ticker[ticker]


def test_a_planted_profile_is_found_on_every_weekday() -> None:
    told = own_profile(Panel((intraday_history(profile=PROFILE, sessions=400),)))
    assert told[1:COUNT, :5] == pytest.approx(np.repeat(SCALE[1:, None], 5, axis=1), rel=0.12)
    assert told[COUNT, :5] == pytest.approx(np.full(5, SCALE[0]), rel=0.12), "the night is a kind of its own"


def test_nothing_is_claimed_without_a_profile_and_nothing_is_lost() -> None:
    panel = Panel((intraday_history(seed=3),))
    assert (own_profile(panel) == 1).all()
    daily = Panel((replace(panel.histories[0], slots=None),))
    rows = np.arange(70, 1300)
    for name in READERS:
        with_slots, without = (
            make(name, SETTINGS).fit(p, rows, horizon=HORIZON, seed=0).predict(p, rows[-3:]).quantiles_NHQ
            for p in (panel, daily)
        )
        assert with_slots == pytest.approx(without, rel=1e-5), name


@pytest.mark.slow
def test_false_claims_are_rare_and_small() -> None:
    claims = [np.ptp(np.log(own_profile(Panel((intraday_history(seed=s, sessions=60),))))) for s in range(60)]
    assert np.mean(np.array(claims) > 0) <= 0.15
    assert np.median(claims) == 0


def test_a_short_history_has_the_profile_of_its_class() -> None:
    others = [intraday_history(f"T{m}", seed=m, sessions=120, profile=PROFILE) for m in range(4)]
    young = intraday_history("A", seed=9, profile=PROFILE).between("2000-01-01", "2000-02-09")
    start = others[0].dates[-1] - young.dates[-1]
    panel = Panel((*others, replace(young, dates=young.dates + start)))
    profiles = profiles_of(panel)
    assert profiles is not None
    assert profiles.by_ticker["A"][2, 0] / profiles.by_ticker["A"][4, 0] == pytest.approx(0.9 / 0.6, rel=0.15)
    alone = own_profile(Panel((young,)))
    assert alone[2, 0] == alone[4, 0], "40 bars by themselves say nothing"


def test_a_class_of_its_own_has_a_profile_of_its_own() -> None:
    stock = intraday_history("A", seed=1, profile=PROFILE)
    coin = intraday_history("B", seed=2, asset="crypto")
    profiles = profiles_of(Panel((stock, coin)))
    assert profiles is not None
    assert np.ptp(profiles.by_class["crypto"]) == 0
    assert np.ptp(profiles.by_class["stocks"]) > 0.5


@pytest.mark.parametrize("name", READERS)
def test_every_model_puts_the_profile_back_over_the_steps(name: ModelName) -> None:
    panel = Panel((intraday_history(profile=PROFILE, sessions=200),))
    rows = np.arange(70, 1300)
    fitted = make(name, SETTINGS).fit(panel, rows, horizon=HORIZON, seed=0)
    before_night, before_noon = 195 * COUNT - 1, 195 * COUNT + 3
    asked = np.array([before_night, before_noon])
    forecast = fitted.predict(panel, asked)
    width = np.ptp(forecast.quantiles_NHQ, axis=2)
    assert width[0, 0] > 2 * width[1, 0], "the night is wide, noon is narrow"
    assert np.diff(width[0])[0] < 0.5 * width[0, 0]
    again = restore(name, SETTINGS, fitted.state()).predict(panel, asked)
    assert np.array_equal(again.quantiles_NHQ, forecast.quantiles_NHQ)


def test_the_anchor_s_variance_is_that_of_the_slots_ahead() -> None:
    panel = Panel((intraday_history(profile=PROFILE),))
    rows = np.arange(70, 1300)
    fitted = make("anchor", SETTINGS).fit(panel, rows, horizon=HORIZON, seed=0)
    assert isinstance(fitted, FittedAnchor)
    asked, view, told = np.array([699, 703]), fitted.view(panel), own_profile(panel)
    ratio = fitted.sd(panel, view, asked) ** 2 / fitted.even_sd(panel, view, asked) ** 2
    slots = [[0, 1, 2, 3, 4, 5, 6, 0, 1], [4, 5, 6, 0, 1, 2, 3, 4, 5]]
    kinds = [[COUNT if s == 0 else s for s in row] for row in slots]
    by_hand = [np.cumsum(told[row, 0] ** 2) / np.arange(1, HORIZON + 1) for row in kinds]
    assert ratio == pytest.approx(np.array(by_hand))


def test_a_profile_reads_no_bar_after_the_fit() -> None:
    whole = intraday_history(profile=PROFILE)
    later = np.where(np.arange(len(whole)) > 900, whole.adj_close * np.linspace(1, 3, len(whole)), whole.adj_close)
    day = whole.dates[900]
    first, second = (own_profile(Panel((h,)).until(day)) for h in (whole, replace(whole, adj_close=later)))
    assert np.array_equal(first, second)


def test_a_model_of_bars_within_the_day_refuses_others() -> None:
    panel = Panel((intraday_history(profile=PROFILE),))
    fitted = make("garch_t", SETTINGS).fit(panel, np.arange(1000), horizon=2, seed=0)
    with pytest.raises(ValueError, match="fitted on bars within the day"):
        fitted.predict(Panel((replace(panel.histories[0], slots=None),)), np.array([1000]))


def test_a_walk_is_smooth_between_slots_and_flat_where_they_agree() -> None:
    level = np.sin(np.linspace(0, np.pi, 40))
    noisy = level + 0.2 * np.random.default_rng(0).standard_normal(40)
    smooth = walk(noisy, np.full(40, 0.04))
    assert np.square(smooth - level + level.mean()).mean() < 0.5 * np.square(noisy - level).mean()
    flat = walk(0.2 * np.random.default_rng(1).standard_normal(40), np.full(40, 0.04))
    assert (flat == 0).all()


def test_a_network_reads_the_time_of_day_of_every_step_ahead() -> None:
    small = {
        "encoder": {"hidden": 4},
        "decoder": {"width": 0},
        "training": {"chunk": 40, "warm": 20, "positions": 8},
        "per_ticker": {"seeds": 1, "steps": 15, "batch": 8},
    }
    settings = Forecasters.model_validate({"anchor": {"steps": 20, "warmup": 60, "market": False}, "seq2seq": small})
    panel = Panel((intraday_history(profile=PROFILE),))
    fitted = make("seq2seq_per_ticker", settings).fit(panel, np.arange(70, 1300), horizon=HORIZON, seed=0)
    assert isinstance(fitted, FittedSeq2Seq)
    net, profiles = fitted.nets["A"][0], fitted.anchor.profiles
    assert profiles is not None
    assert net.ahead is not None
    known = session_known(panel, profiles).of(torch.tensor([699]), HORIZON).values_NHE[0].numpy()
    assert known[:, 0] == pytest.approx(np.array([0, 1, 2, 3, 4, 5, 6, 0, 1]) / 3 - 1)
    assert known[:, 1] == pytest.approx(np.array([1, 2, 3, 4, 5, 6, 7, 1, 2]) * 2 / 7 - 1)
    assert known[:, 2].tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0]
    weights = dict(net.decoder.named_parameters())["from_step.weight"]
    assert (weights[:, 2 : 2 + NUMBERS] != 0).any(), "what began at zero was learnt"
    forecast = fitted.predict(panel, np.array([1350]))
    again = restore("seq2seq_per_ticker", settings, fitted.state()).predict(panel, np.array([1350]))
    assert np.array_equal(again.quantiles_NHQ, forecast.quantiles_NHQ)


@pytest.mark.parametrize("name", ["anchor", "garch_t", "historical_simulation"])
def test_a_forecast_within_the_day_reads_no_later_bar(name: ModelName) -> None:
    panel = Panel((intraday_history(profile=PROFILE),))
    fitted = make(name, SETTINGS).fit(panel.until(panel.dates[1300]), np.arange(70, 1290), horizon=HORIZON, seed=0)
    rows = np.array([1350])
    cut = panel.until(panel.dates[1350])
    assert np.array_equal(fitted.predict(cut, rows).quantiles_NHQ, fitted.predict(panel, rows).quantiles_NHQ)
