"""Skill by group: where it was planted, with nothing read that was not known, and reasons where there are no groups."""

import numpy as np
import pytest

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.groups import COLUMNS, groups, regimes
from s2squant.series.history import PriceHistory
from tests.worlds.forecast_tables import known_scale, scored, table_of, walks

H, EVERY, TICKERS = 6, 2, 8
SPEC = VerdictSpec()


def histories_of(table, volumes=True, seed=0, markets=None):
    """Bars on business days that begin long before the first cutoff; the ticker's number decides its volatility."""
    first = table["cutoff"].min().to_datetime64().astype("datetime64[D]")
    days = np.busday_offset(first, np.arange(-700, 400), roll="forward")
    rng, made = np.random.default_rng(seed), {}
    for m, ticker in enumerate(dict.fromkeys(table["unique_id"])):
        price = 100 * np.exp(0.002 * (m + 1) * rng.standard_normal(len(days)).cumsum() / 3)
        bars = {"close": price, "volume": np.full(len(days), 1e6 * (TICKERS - m))} if volumes else {}
        made[ticker] = PriceHistory(ticker, (markets or {}).get(ticker, "XNYS"), days, price, bars)
    return made


def groups_of(table, *, markets=None, histories=None, spec=SPEC):
    losses = scored(table)
    markets = markets or dict.fromkeys(losses.tickers, "XNYS")
    return groups(losses, spec, every=EVERY, horizon=H, markets=markets, histories=histories or {})


@pytest.fixture(scope="module")
def table():
    wide = np.broadcast_to(known_scale(H), (TICKERS, 150, H)).copy()
    wide[4:] *= 1.9  # the reference is poor on the four most volatile tickers, which are thinly traded
    models = {"historical_simulation": (0.0, wide), "blend": (0.0, known_scale(H))}
    return table_of(walks(5, tickers=TICKERS, cutoffs=150), models, every=EVERY)


def test_skill_is_found_in_the_group_it_was_planted_in(table):
    found = groups_of(table, histories=histories_of(table))
    assert list(found.columns) == COLUMNS
    cells = found.set_index(["basis", "group"])
    for basis, with_skill, without in (("volatility", "high", "low"), ("dollar volume", "low", "high")):
        assert cells.loc[(basis, with_skill), "finding"] == "better"
        assert cells.loc[(basis, with_skill), "low"] > 0.05
        assert cells.loc[(basis, without), "finding"] == "no evidence"
        assert abs(cells.loc[(basis, without), "skill"]) < 0.02
        assert cells.loc[basis, "tickers"].sum() == TICKERS
    assert (found["p_adjusted"] >= found["p"] - 1e-12).all()
    regime = cells.loc["regime at the cutoff"]
    assert list(regime.index) == ["low", "middle", "high"]
    assert (regime["n"] <= 150).all()
    assert (regime["n_eff"] <= regime["n"]).all()


def test_a_basis_without_groups_says_why(table):
    found = groups_of(table).set_index("basis")
    assert found.loc["market", "reason"] == "all tickers are one: XNYS"
    assert found.loc["volatility", "reason"].startswith("0 of 6 tickers")
    assert found.loc["dollar volume", "reason"] == "no market has 6 tickers with a known volume"
    assert "310 bars" in found.loc["regime at the cutoff", "reason"]
    assert set(found["finding"]) == {"not tested"}
    assert (found["p"] == 1).all()


def test_markets_and_kinds_are_told_apart(table):
    markets = {f"T{m}": "24/7" if m < 4 else "XNYS" for m in range(TICKERS)}
    cells = groups_of(table, markets=markets, histories=histories_of(table, markets=markets)).set_index(
        ["basis", "group"]
    )
    assert cells.loc[("asset class", "crypto"), "tickers"] == 4
    assert cells.loc[("market", "XNYS"), "skill"] > 0.1
    assert cells.loc[("market", "24/7"), "skill"] == pytest.approx(0.0, abs=0.02)
    assert cells.loc["dollar volume"]["reason"].tolist() == ["no market has 6 tickers with a known volume"]


def test_a_regime_is_known_at_its_cutoff():
    days = np.busday_offset("2015-01-01", np.arange(900), roll="forward")
    returns = 0.01 * np.random.default_rng(1).standard_normal(900)
    returns[600:700] *= 4
    at = days[[100, 300, 599, 690, 850]]

    def seen(values, last=900):
        price = 100 * np.exp(np.cumsum(values[:last]))
        return regimes(PriceHistory("A", "XNYS", days[:last], price), at.astype("datetime64[s]")).tolist()

    found = seen(returns)
    assert found[:1] == [""], "too early to be ranked"
    assert found[3] == "high"
    later = returns.copy()
    later[691:] *= 20
    assert seen(later)[:4] == found[:4]
    assert seen(later)[4] == "high"
    assert regimes(None, at).tolist() == [""] * 5


def test_the_model_must_be_another_than_the_reference(table):
    spec = VerdictSpec(recommended="historical_simulation")
    assert groups_of(table, spec=spec).empty
