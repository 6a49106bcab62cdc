"""Forty universes without skill and forty with a little, through the judging functions alone: forecasts are simulated.

The networks' own placebo is in test_truth.py.
"""

import numpy as np
import pytest

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.losses import score
from s2squant.evaluation.verdict import judge
from tests.worlds.forecast_tables import paths_after, table_of
from tests.worlds.synthetic import garch_returns

TICKERS, CUTOFFS, EVERY, H, PAST = 6, 100, 10, 20, 250
BARS = PAST + CUTOFFS * EVERY + H
AT = PAST + EVERY * np.arange(CUTOFFS)
STEPS = np.arange(1, H + 1)


def persistent(rng, deviation):
    """A wandering number a ticker and cutoff that knows nothing."""
    shocks = rng.standard_normal((TICKERS, CUTOFFS))
    for c in range(1, CUTOFFS):
        shocks[:, c] = 0.9 * shocks[:, c - 1] + np.sqrt(1 - 0.81) * shocks[:, c]
    return deviation * shocks[..., None]


def trailing(returns):
    """What the reference knows: the scale of the last 250 bars, times the root of the step."""
    scale = np.stack([returns[:, a - PAST + 1 : a + 1].std(axis=1) for a in AT], axis=1)
    return scale[..., None] * np.sqrt(STEPS)


def word_of(returns, location, scale, reference):
    table = table_of(
        paths_after(returns, AT, H),
        {"historical_simulation": (0.0, reference), "blend": (location, scale)},
        every=EVERY,
    )
    judged = judge(
        score(table),
        every=EVERY,
        horizon=H,
        spec=VerdictSpec(),
        kinds={"historical_simulation": "reference", "blend": "blend"},
        markets={f"T{m}": "X" for m in range(TICKERS)},
    )
    row = judged.leaderboard.set_index("model").loc["blend"]
    return judged.word, float(row["effect"])


def placebo(seed):
    """Random walks and GARCH without drift in turn; the model is the reference with noise on scale and location."""
    rng = np.random.default_rng(500 + seed)
    if seed % 2:
        common = rng.standard_t(6, BARS) * np.sqrt(4 / 6)
        returns = np.stack([garch_returns(BARS, 1000 * seed + m, market=common) for m in range(TICKERS)])
    else:
        returns = 0.01 * (0.6 * rng.standard_normal(BARS) + 0.8 * rng.standard_normal((TICKERS, BARS)))
    base = trailing(returns)
    return word_of(returns, persistent(rng, 0.05) * base, np.exp(persistent(rng, 0.05)) * base, base)


def planted(seed):
    """Volatility that moves in a cycle of 300 bars, each ticker with its own phase; the model knows it."""
    rng = np.random.default_rng(900 + seed)
    phase = rng.uniform(0, 2 * np.pi, (TICKERS, 1))
    volatility = 0.01 * np.exp(0.62 * np.sin(2 * np.pi * np.arange(BARS) / 300 + phase))
    returns = volatility * (0.5 * rng.standard_normal(BARS) + np.sqrt(0.75) * rng.standard_normal((TICKERS, BARS)))
    known = np.sqrt(paths_after(np.square(volatility), AT, H))
    return word_of(returns, 0.0, known, trailing(returns))


def test_placebo_a_few_universes():
    assert sum(placebo(seed)[0] == "better" for seed in range(6)) <= 1
    assert sum(planted(seed)[0] == "better" for seed in range(3)) >= 2


@pytest.mark.slow
def test_placebo_forty_universes():
    words = [placebo(seed)[0] for seed in range(40)]
    print({word: words.count(word) for word in set(words)})
    assert words.count("better") <= 4


@pytest.mark.slow
def test_five_per_cent_that_is_there_is_found():
    found = [planted(seed) for seed in range(40)]
    gains = [effect for _, effect in found]
    print(np.mean(gains), sum(word == "better" for word, _ in found))
    assert 0.03 < np.mean(gains) < 0.07
    assert sum(word == "better" for word, _ in found) >= 30
