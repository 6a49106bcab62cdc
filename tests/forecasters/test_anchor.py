"""The anchor's filters: a jump that nothing follows is forgotten, a cluster is followed."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from s2squant.config.networks import AnchorSpec
from s2squant.forecasters.anchor import Anchor, FittedAnchor, restore_anchor
from s2squant.series.forecast import State
from s2squant.series.panel import Panel
from tests.worlds.synthetic import garch_panel, history

BARS, AT = 1000, 900
MEMBERS = 24


@cache
def fitted(bound: float | None = AnchorSpec().bound) -> FittedAnchor:
    panel = garch_panel("ABC", BARS)
    rows = np.arange(len(panel.dates))
    rows = rows[(panel.bar_number(rows) >= 250) & (panel.bars_left(rows) >= 20)]
    return Anchor(AnchorSpec(steps=60, dates=16, bound=bound)).fit(panel, rows, horizon=20, seed=1)


def calm(tickers: int) -> np.ndarray:
    """Normal returns (M, T) of 1 % a day."""
    return 0.01 * np.random.default_rng(3).standard_normal((tickers, BARS))


def sd_of(anchor: FittedAnchor, returns_MT: np.ndarray, bar: int) -> np.ndarray:
    """The anchor's standard deviation (M,) of the 20-day return from `bar`."""
    panel = Panel(tuple(history(r, f"T{m}") for m, r in enumerate(returns_MT)))
    rows = panel.starts[:-1] + bar
    view = anchor.view(panel)
    return anchor.sd(panel, view, rows, (20,))[:, 0] * view.returns.unit_M


@pytest.mark.parametrize("tickers", [1, 5])
def test_a_jump_that_nothing_follows_is_forgotten(tickers):
    anchor, quiet = fitted(), calm(tickers)
    jump = quiet.copy()
    jump[0, AT] = -0.3
    assert (sd_of(anchor, jump, AT + 20) < 1.5 * sd_of(anchor, quiet, AT - 1)).all()
    assert (sd_of(anchor, jump, AT)[1:] < 1.3 * sd_of(anchor, quiet, AT)[1:]).all()


@pytest.mark.parametrize("tickers", [1, 5])
@pytest.mark.parametrize("member", range(MEMBERS))
def test_whatever_the_weights(tickers, member):
    anchor, quiet = fitted(), calm(tickers)
    jump = quiet.copy()
    jump[0, AT] = -0.3
    alone = np.zeros((1, 20, MEMBERS))
    alone[:, :, member] = 1.0
    one = replace(anchor, weights_GHK=alone)
    assert (sd_of(one, jump, AT + 20) < 2 * sd_of(one, quiet, AT + 20)).all()


def test_returns_without_a_bound_are_what_it_is_for():
    quiet = calm(1)
    jump = quiet.copy()
    jump[0, AT] = -0.3
    anchor = fitted(bound=None)
    assert sd_of(anchor, jump, AT + 20)[0] > 2 * sd_of(anchor, quiet, AT - 1)[0]


@pytest.mark.parametrize(("times", "rise"), [(3, 1.7), (10, 3.5)])
def test_a_cluster_of_ten_bars_is_followed(times, rise):
    anchor, quiet = fitted(), calm(1)
    wild = quiet.copy()
    wild[0, AT : AT + 10] *= times
    assert sd_of(anchor, wild, AT + 9)[0] > rise * sd_of(anchor, quiet, AT - 1)[0]


def test_a_stored_anchor_keeps_its_filters():
    for bound in (None, 3.0):
        anchor = fitted(bound)
        state = anchor.state()
        assert restore_anchor(state).spec.bound == bound
        older = dict(state.meta["spec"])
        del older["bound"]
        assert restore_anchor(State(state.arrays, {**state.meta, "spec": older})).spec.bound is None
