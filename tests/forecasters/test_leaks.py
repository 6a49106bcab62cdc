"""Leaks are found and named; what does not leak is left alone."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from s2squant.config.baselines import RandomWalkSpec
from s2squant.forecasters.baselines.random_walk import RandomWalk
from s2squant.forecasters.leaks import (
    Probe,
    feature_leaks,
    label,
    look_ahead,
    rows_at,
    scrambled,
    short_rows,
    truncation,
)
from s2squant.series.forecast import Forecast
from s2squant.series.panel import Panel
from tests.worlds.synthetic import crps, garch_panel

H = 5


@pytest.fixture(scope="module")
def panel():
    whole = garch_panel("ABC", 700, ohlcv=True)
    young = whole.histories[1].between(whole.histories[1].dates[100], None)  # rows that are not dates
    return Panel((whole.histories[0], young, whole.histories[2]))


@pytest.fixture(scope="module")
def days(panel):
    return [panel.histories[0].dates[k] for k in (500, 560, 620)]


@dataclass(frozen=True)
class Peeking:
    """A random walk whose forecast of one ticker leans on a later bar."""

    inner: object
    bars: int = 1
    weight: float = 1e-6
    ticker: str = "C"
    name: str = "peeking"

    def fit(self, panel, rows, *, horizon, seed):
        return replace(self, inner=self.inner.fit(panel, rows, horizon=horizon, seed=seed))

    def predict(self, panel, rows):
        honest = self.inner.predict(panel, rows)
        ahead = np.minimum(rows + self.bars, len(panel.log_price) - 1)
        mine = panel.ticker_of[rows] == panel.tickers.index(self.ticker)
        shift = np.where(mine, self.weight * (panel.log_price[ahead] - panel.log_price[rows]), 0.0)
        return Forecast(self.name, rows, honest.quantiles_NHQ + shift[:, None, None], honest.mean_NH + shift[:, None])

    def state(self):
        return self.inner.state()


def fitted(panel, forecaster):
    past = panel.until(panel.histories[0].dates[450])
    rows = np.arange(len(past.dates))
    rows = rows[(past.bar_number(rows) >= 250) & (past.bars_left(rows) >= H)]
    return forecaster.fit(past, rows, horizon=H, seed=0)


def test_scrambling_replaces_every_later_value_and_no_other(panel, days):
    other, late = scrambled(panel, days[0], 1), panel.dates > days[0]
    assert (other.log_price[~late] == panel.log_price[~late]).all()
    assert (other.log_price[late] != panel.log_price[late]).all()
    for one, two in zip(panel.histories, other.histories, strict=True):
        after = one.dates > days[0]
        for name, values in one.bars.items():
            assert (values[~after] == two.bars[name][~after]).all()
            assert (values[after] != two.bars[name][after]).all()
        assert (two.bars["high"] >= two.bars["low"]).all()
        relative = np.log(one.bars["high"] / one.bars["low"]), np.log(two.bars["high"] / two.bars["low"])
        assert np.mean(relative[0][after] != relative[1][after]) > 0.95  # ranges are others' too


def test_rows_of_a_shortened_panel(panel, days):
    short = panel.until(days[0])
    rows = np.flatnonzero(panel.dates <= days[0])
    at = short_rows(panel, short, rows)
    assert (short.log_price[at] == panel.log_price[rows]).all()
    assert [short.tickers[m] for m in short.ticker_of[at]] == [panel.tickers[m] for m in panel.ticker_of[rows]]
    assert len(rows_at(panel, days[0], ["A", "C"])) == 2


def test_an_honest_forecaster_passes(panel, days):
    model = fitted(panel, RandomWalk(RandomWalkSpec()))
    check = truncation("random_walk", [look_ahead(model, panel, day, panel.tickers, 0) for day in days])
    assert (check.outcome, check.figure) == ("passed", 0.0)
    assert truncation("x", []).outcome == "not run"


@pytest.mark.parametrize(("bars", "weight"), [(1, 1.0), (1, 1e-6), (H, 1e-3), (50, 1e-3)])
def test_a_leaky_forecaster_is_named_with_ticker_and_cutoff(panel, days, bars, weight):
    model = fitted(panel, Peeking(RandomWalk(RandomWalkSpec()), bars, weight))
    check = truncation("mine", [look_ahead(model, panel, day, panel.tickers, 0) for day in days])
    assert check.outcome == "failed"
    assert check.figure > 0
    assert check.sentence.startswith("mine reads past its cutoff: its forecast of C at 200")
    assert look_ahead(model, panel, days[0], ["A", "B"], 0).size == 0  # the ticker that leaks, not the others


@dataclass(frozen=True)
class Counting(Peeking):
    """Reads no later price, but how many later bars there are."""

    def predict(self, panel, rows):
        honest = self.inner.predict(panel, rows)
        shift = 1e-3 * panel.bars_left(rows)
        return Forecast(self.name, rows, honest.quantiles_NHQ + shift[:, None, None], honest.mean_NH)


def test_deletion_finds_what_noise_cannot(panel, days):
    change = look_ahead(fitted(panel, Counting(RandomWalk(RandomWalkSpec()))), panel, days[0], panel.tickers, 0)
    assert change.size > 0
    assert "deleted" in change.where


def returns(panel):
    r = np.diff(panel.log_price, prepend=panel.log_price[:1])
    r[panel.starts[:-1]] = 0
    return r


def features(panel):
    r, age = returns(panel), panel.bar_number(np.arange(len(panel.dates)))
    later = np.r_[r[1:], 0.0]
    spread = np.concatenate([np.log(h.bars["high"] / h.bars["low"]) for h in panel.histories])
    return {
        "last": r,
        "range": spread,
        "age": age.astype(float),
        "weekday": (panel.dates.astype(int) % 7).astype(float),
        "centred": np.convolve(r, np.ones(3) / 3, "same"),
        "whole_sample": r / r.std(),
        "next_range": np.r_[spread[1:], 0.0],
        "next_missing": np.where(later > 0, np.nan, 1.0),
        "bars_left": panel.bars_left(np.arange(len(r))).astype(float),
    }


def test_the_columns_that_leak_are_named(panel, days):
    checks = {c.model: c for c in feature_leaks("mine", features, panel, days, warmup=100, seed=0)}
    outcome = {name.removeprefix("mine."): check.outcome for name, check in checks.items()}
    honest = {"last", "range", "age", "weekday"}
    assert {name for name, found in outcome.items() if found == "passed"} == honest
    assert "column centred of mine reads ahead: its value of " in checks["mine.centred"].sentence
    assert str(days[0]) in checks["mine.bars_left"].sentence
    assert "deleted" in checks["mine.bars_left"].sentence


def test_a_feature_that_cannot_be_judged_fails_with_the_reason(panel, days):
    rng = np.random.default_rng(0)

    def odd(panel):
        rows = len(panel.log_price)
        return {"random": rng.normal(size=rows), "scalar": np.zeros(3), "fine": np.zeros(rows)}

    checks = {c.model: c for c in feature_leaks("odd", odd, panel, days, warmup=100, seed=0)}
    assert "two calls" in checks["odd.random"].sentence
    assert "shape (3,)" in checks["odd.scalar"].sentence
    assert [c.outcome for c in checks.values()] == ["failed", "failed", "passed"]


def test_the_label_as_a_feature_explodes_and_is_found(panel, days):
    test = np.flatnonzero((panel.dates > days[0]) & (panel.bars_left(np.arange(len(panel.dates))) >= H))
    y = panel.targets(test, H)
    base = crps(y, fitted(panel, RandomWalk(RandomWalkSpec())).predict(panel, test).quantiles_NHQ).mean()
    skills = {}
    for shift in (0, H):
        probe = fitted(panel, Probe(lambda p, shift=shift: label(p, H, shift=shift)))
        skills[shift] = 1 - crps(y, probe.predict(panel, test).quantiles_NHQ).mean() / base
        assert (look_ahead(probe, panel, days[0], panel.tickers, 0).size > 0) == (shift == 0)
    assert skills[0] > 0.3
    assert abs(skills[H]) < 0.1


def test_the_label_is_the_return_ahead_and_a_horizon_earlier_the_return_so_far(panel):
    rows = np.arange(len(panel.dates))
    ahead, past = (label(panel, H, shift=shift)["label"] for shift in (0, H))
    known = panel.bars_left(rows) >= H
    np.testing.assert_allclose(ahead[known], panel.targets(rows[known], H)[:, -1])
    assert np.isnan(ahead[~known]).all()
    np.testing.assert_allclose(past[rows[known] + H], ahead[known])
    assert np.isnan(past[panel.bar_number(rows) < H]).all()
