"""The anchor: a jump that nothing follows is forgotten, a cluster is followed, ranges are read where known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from s2squant.config.networks import AnchorSpec
from s2squant.forecasters.anchor import Anchor, FittedAnchor, restore_anchor
from s2squant.series.forecast import State
from s2squant.series.panel import Panel
from tests.forecasters.baselines.helpers import with_ranges
from tests.worlds.synthetic import garch_panel, history

BARS, AT = 1000, 900
MEMBERS = 28


@cache
def fitted(bound: float | None = AnchorSpec().bound, *, ohlcv: bool = True) -> FittedAnchor:
    panel = garch_panel("ABC", BARS, ohlcv=ohlcv)
    return fit(panel, AnchorSpec(steps=60, dates=16, bound=bound, ranges=True))


def fit(panel: Panel, spec: AnchorSpec) -> FittedAnchor:
    rows = np.arange(len(panel.dates))
    rows = rows[(panel.bar_number(rows) >= 250) & (panel.bars_left(rows) >= 20)]
    return Anchor(spec).fit(panel, rows, horizon=20, seed=1)


def calm(tickers: int) -> np.ndarray:
    """Normal returns (M, T) of 1 % a day."""
    return 0.01 * np.random.default_rng(3).standard_normal((tickers, BARS))


def sd_of(anchor: FittedAnchor, returns_MT: np.ndarray, bar: int) -> np.ndarray:
    """The anchor's standard deviation (M,) of the 20-day return from `bar`."""
    panel = Panel(tuple(history(r, f"T{m}", ohlcv=True) for m, r in enumerate(returns_MT)))
    rows = panel.starts[:-1] + bar
    view = anchor.view(panel)
    return anchor.sd(panel, view, rows)[:, 19] * view.returns.unit_M


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


def members_of(panel: Panel) -> np.ndarray:
    return fitted().view(panel).members_RK


def test_filters_of_ranges_stand_at_the_level_of_the_others():
    for narrow in (1.0, 0.5):  # what trades at steps of a cent, or seldom, shows less of its range
        h = garch_panel("A", BARS, ohlcv=True).histories[0]
        middle = np.sqrt(h.bars["high"] * h.bars["low"])
        bars = {k: middle * (v / middle) ** narrow for k, v in h.bars.items() if k != "volume"}
        level = members_of(Panel((replace(h, bars=bars),)))[300:].mean(axis=0)
        assert level[-4:] == pytest.approx(level[8:12].mean(), rel=0.2)


def test_a_bar_without_range_says_what_its_return_says():
    h = garch_panel("A", BARS, ohlcv=True).histories[0]
    bars = {k: np.array(v) for k, v in h.bars.items()}
    for name in ("open", "high", "low"):
        bars[name][AT:] = bars["close"][AT:]
    bare = members_of(Panel((replace(h, bars={}),)))
    some, whole = (members_of(Panel((replace(h, bars=x),))) for x in (bars, h.bars))
    assert (some[:AT] == whole[:AT]).all()
    assert (some[:, :-4] == bare[:, :-4]).all()
    assert some[-1, -4:] == pytest.approx(bare[-1, -4:], rel=0.25)
    assert bare[AT:, -3] == pytest.approx(bare[AT:, 8] * (np.pi / 2 / 1.7), rel=0.6)


def test_ranges_of_a_market_leave_a_ticker_without_them_its_filters():
    panel = garch_panel("ABC", BARS, ohlcv=True)
    mixed = Panel((panel.histories[0], replace(panel.histories[1], bars={}), panel.histories[2]))
    one, other = members_of(panel), members_of(mixed)
    second = panel.ticker_of == 1
    assert (one[~second] == other[~second]).all()
    assert (one[second, :-4] == other[second, :-4]).all()
    assert fit(mixed, AnchorSpec(steps=2, ranges=True)).spec.ranges
    assert fit(mixed.only("B"), AnchorSpec(steps=2, ranges=True)).weights_GHK.shape[2] == MEMBERS


def test_ranges_tell_tomorrow_s_deviation():
    measured, plain = (Panel((h,)) for h in with_ranges(np.random.default_rng(4), 1800, stays=0.9))
    rows = np.arange(1001, 1790)
    size = np.abs(measured.targets(rows, 1)[:, 0])
    told = []
    for panel in (measured, plain):
        anchor = fit(panel.until(panel.dates[1000]), AnchorSpec(ranges=True))
        told.append(np.corrcoef(anchor.sd(panel, anchor.view(panel), rows)[:, 0], size)[0, 1])
    assert told[0] > told[1] + 0.02


def test_a_stored_anchor_keeps_its_filters():
    for bound, ohlcv in ((None, True), (3.0, False)):
        anchor = fitted(bound, ohlcv=ohlcv)
        state = anchor.state()
        assert restore_anchor(state).spec == anchor.spec
        assert (anchor.spec.bound, anchor.spec.ranges) == (bound, ohlcv)
        older = dict(state.meta["spec"])
        del older["bound"]
        assert restore_anchor(State(state.arrays, {**state.meta, "spec": older})).spec.bound is None


def test_a_stored_anchor_forecasts_where_bars_are_missing_or_new():
    panel = garch_panel("ABC", BARS, ohlcv=True)
    bare = garch_panel("ABC", BARS)
    rows = panel.starts[1:] - 1
    with_them, without = restore_anchor(fitted().state()), restore_anchor(fitted(ohlcv=False).state())
    assert np.isfinite(with_them.predict(bare, rows).quantiles_NHQ).all()
    assert (without.predict(bare, rows).quantiles_NHQ == without.predict(panel, rows).quantiles_NHQ).all()
