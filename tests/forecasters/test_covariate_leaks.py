"""Covariates that know the future are named; honest ones pass; nobody reads one past its cutoff."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.forecasters.covariate_leaks import covariate_leaks
from s2squant.forecasters.leaks import look_ahead, scrambled
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.panel import Panel
from tests.test_contract import fit
from tests.worlds.covariates import with_every_kind
from tests.worlds.synthetic import garch_panel

HORIZON = 5


@pytest.fixture(scope="module")
def panel():
    return garch_panel("ABC", 1500)


def with_past(panel, draw, kind="past"):
    """The panel with one covariate x of each ticker, drawn from its log prices."""
    histories = []
    for m, h in enumerate(panel.histories):
        x = draw(h.log_price, np.random.default_rng(m))[:, None]
        past, future = (((Covariate("x"),) if kind == k else ()) for k in ("past", "future"))
        own = TickerCovariates(past, future, (), x[:, : len(past)], h.dates, x[:, : len(future)], np.empty(0))
        histories.append(replace(h, covariates=own))
    return Panel(tuple(histories))


def later(x, bars):
    return np.concatenate([x[bars:], np.full(bars, np.nan)])


def returns(log_price):
    return np.diff(log_price, prepend=log_price[0])


def fear(log_price, rng):
    """An index of volatility: it rises when prices fall, and stays."""
    x = np.empty(len(log_price))
    level = 0.0
    for t, r in enumerate(returns(log_price)):
        level = 0.97 * level - 8 * r + 0.03 * rng.normal()
        x[t] = np.exp(level)
    return x


HONEST = {
    "noise": lambda p, rng: rng.normal(size=len(p)),
    "walk": lambda p, rng: np.cumsum(rng.normal(size=len(p))),
    "today's return": lambda p, _: returns(p),
    "today's size": lambda p, _: np.abs(returns(p)),
    "fear": fear,
    "price": lambda p, _: p,
}
EARLY = {
    "label": lambda p, _: later(p, HORIZON) - p,
    "tomorrow's return": lambda p, rng: later(returns(p), 1) + rng.normal(0, 0.01, len(p)),
    "tomorrow's size": lambda p, _: later(np.abs(returns(p)), 1),
    "fear a session early": lambda p, rng: later(fear(p, rng), 1),
}


@pytest.mark.parametrize("draw", HONEST.values(), ids=HONEST)
def test_an_honest_covariate_passes(panel, draw):
    (check,) = covariate_leaks(with_past(panel, draw), HORIZON)
    assert (check.model, check.outcome) == ("x", "passed"), check.sentence


@pytest.mark.parametrize("draw", EARLY.values(), ids=EARLY)
def test_one_that_knows_the_next_bar_is_named(panel, draw):
    (check,) = covariate_leaks(with_past(panel, draw), HORIZON)
    assert check.outcome == "failed"
    assert check.sentence.startswith("the covariate x ")
    assert ("is the label" in check.sentence) == (draw is EARLY["label"])


def test_a_future_one_may_know_the_size_of_its_session_but_not_its_return(panel):
    size, sign = (
        covariate_leaks(with_past(panel, draw, "future"), HORIZON)[0]
        for draw in (HONEST["today's size"], HONEST["today's return"])
    )
    assert size.outcome == "passed"
    assert sign.outcome == "failed"
    assert "is the return of its own session" in sign.sentence


def test_too_few_values_say_so(panel):
    few = with_past(panel, lambda p, rng: np.where(np.arange(len(p)) < 100, rng.normal(size=len(p)), np.nan))
    (check,) = covariate_leaks(few, HORIZON)
    assert check.outcome == "not run"
    assert covariate_leaks(panel, HORIZON) == []


def test_scrambling_leaves_what_was_known_and_nothing_else():
    every = with_every_kind(garch_panel("AB", 400))
    day = every.histories[0].dates[300]
    other = scrambled(every, day, 0, HORIZON)
    one, two = every.histories[0].covariates, other.histories[0].covariates
    assert np.array_equal(one.past_TP[:301], two.past_TP[:301], equal_nan=True)
    assert (one.past_TP[301:] != two.past_TP[301:]).all()
    assert np.array_equal(one.future_SF[: 301 + HORIZON], two.future_SF[: 301 + HORIZON])
    assert (one.future_SF[301 + HORIZON :] != two.future_SF[301 + HORIZON :]).all()


@pytest.mark.parametrize("name", ["anchor", "har_x", "garch_x", "ridge", "gbm", "seq2seq_pooled"])
def test_nobody_reads_a_covariate_past_its_cutoff(name):
    every = with_every_kind(garch_panel("AB", 640, ohlcv=True))
    day = every.histories[0].dates[600]
    fitted = fit(name, every.until(every.histories[0].dates[560]))
    assert look_ahead(fitted, every, day, ("A", "B"), seed=1).size == 0.0
