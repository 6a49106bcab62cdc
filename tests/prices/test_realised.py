"""Realised measures: by hand, and on a simulated diffusion with jumps whose variance is known."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.prices.covariates.realised import QUARTIC, SIGNIFICANT, Realised, realised
from s2squant.series.arrays import Dates, Floats

PER_DAY = 78


def measured(returns_DN: Floats, nights_D: Floats) -> Realised:
    """Measures of sessions given by their returns and the nights before them."""
    days, per_day = returns_DN.shape
    steps = np.concatenate([nights_D[:, None], returns_DN], axis=1)
    level = np.cumsum(steps.ravel()).reshape(days, per_day + 1)
    opens = np.concatenate([level[:, :1], level[:, 1:-1]], axis=1)
    dates = np.repeat(np.datetime64("2024-01-01") + np.arange(days), per_day)
    return realised(100 * np.exp(opens.ravel()), 100 * np.exp(level[:, 1:].ravel()), dates)


def test_by_hand() -> None:
    r = np.array([0.01, -0.02, 0.005, 0.01, -0.01, 0.03])
    found = measured(np.stack([r, 2 * r]), np.array([0.0, 0.04]))
    assert found.variance == pytest.approx([0.001625, 4 * 0.001625])
    assert found.down == pytest.approx([0.0005, 0.002])
    assert found.up == pytest.approx([0.001125, 0.0045])
    pairs = 0.01 * 0.02 + 0.02 * 0.005 + 0.005 * 0.01 + 0.01 * 0.01 + 0.01 * 0.03
    assert found.bipower[0] == pytest.approx(np.pi / 2 * 6 / 5 * pairs)
    assert np.isnan(found.overnight[0])
    assert found.overnight[1] == pytest.approx(0.0016)
    assert found.total[1] == pytest.approx(0.0081)
    assert pytest.approx(0.8309**-3, rel=1e-3) == QUARTIC, "E|u|^(4/3) of a standard normal is .8309"
    assert pytest.approx(3.0902, abs=1e-4) == SIGNIFICANT


def test_a_diffusion_with_jumps_is_taken_apart() -> None:
    rng, days = np.random.default_rng(0), 2000
    sd_D = 0.01 * np.exp(0.3 * rng.standard_normal(days))
    returns = sd_D[:, None] / np.sqrt(PER_DAY) * rng.standard_normal((days, PER_DAY))
    jumps = np.where(np.arange(days) % 4 == 0, -2.5 * sd_D, 0.0)
    returns[np.arange(days), rng.integers(0, PER_DAY, days)] += jumps
    found = measured(returns, np.zeros(days))
    jumped = jumps != 0
    assert np.mean(found.variance / (sd_D**2 + jumps**2)) == pytest.approx(1, abs=0.02)
    assert np.mean((found.bipower / sd_D**2)[~jumped]) == pytest.approx(1, abs=0.02)
    assert np.mean((found.jump > 0)[~jumped]) < 0.01, "one in a thousand, up to small samples"
    assert np.mean((found.jump > 0)[jumped]) > 0.95
    seen = found.jump > 0
    touched = np.pi / 2 * 2 * np.sqrt(2 / np.pi / PER_DAY) / 2.5
    share = np.mean(found.jump[jumped & seen] / jumps[jumped & seen] ** 2)
    assert share == pytest.approx(1 - touched, abs=0.02), "two products of BV have the jump in them"
    assert found.up + found.down == pytest.approx(found.variance)
    assert np.mean((found.down - found.up)[jumped] / jumps[jumped] ** 2) == pytest.approx(1, abs=0.05)


def test_a_session_of_few_bars_and_a_missing_open_are_not_made_up() -> None:
    closes = np.full(26, 100.0) + np.arange(26)
    opens = closes - 0.5
    days: Dates = np.repeat(np.array(["2024-01-02", "2024-01-03", "2024-01-04"], "datetime64[D]"), (12, 4, 10))
    opens[16] = np.nan
    found = realised(opens, closes, days)
    assert np.isfinite(found.variance).tolist() == [True, False, True]
    assert np.isfinite(found.overnight).tolist() == [False, True, False]
    assert found.variance[2] == pytest.approx(np.square(np.diff(np.log(closes[16:]))).sum())
    still = realised(np.full(10, 5.0), np.full(10, 5.0), days[:10])
    assert still.variance[0] == still.jump[0] == 0
