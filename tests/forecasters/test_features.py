"""The networks' inputs from bars: each ticker, bar and input by itself, and what is missing reads zero."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.forecasters.catalog import restore
from s2squant.forecasters.features import bank_members, has_ranges, network_inputs, scaled_returns
from s2squant.forecasters.network import prepare
from s2squant.prices.sources.sample import SampleSource
from s2squant.series.panel import Panel
from tests.test_contract import fit, settings
from tests.worlds.synthetic import garch_panel

PANEL = garch_panel("ABC", 700, ohlcv=True)
RANGE, GAP, VOLUME = 6, 7, 8


def without(panel: Panel, ticker: str, *names: str) -> Panel:
    """The panel in which one ticker has no such bars."""
    return Panel(
        tuple(
            replace(h, bars={k: v for k, v in h.bars.items() if h.ticker != ticker or k not in names})
            for h in panel.histories
        )
    )


def with_bars(panel: Panel, ticker: str, bars: slice, value: float, *names: str) -> Panel:
    """The panel in which some bars of one ticker have another value."""
    histories = []
    for h in panel.histories:
        changed = {k: np.array(v) for k, v in h.bars.items()}
        if h.ticker == ticker:
            for name in names:
                changed[name][bars] = value
        histories.append(replace(h, bars=changed))
    return Panel(tuple(histories))


def inputs(panel: Panel) -> np.ndarray:
    """Inputs (M, T, F) with a deviation of one."""
    returns = scaled_returns(panel, 250, 5.0)
    one = np.ones(len(panel.log_price))
    read = network_inputs(panel, returns, one, one, horizon=20, market=True, ranges=has_ranges(panel))
    return read.reshape(len(panel.tickers), -1, read.shape[1])


def test_members_and_inputs_of_some_rows_are_those_of_all():
    panel = Panel(tuple(SampleSource().history(ticker) for ticker in ("AAPL", "FB", "IBM")))
    returns = scaled_returns(panel, 60, 5.0)
    whole = bank_members(panel, returns, market=True, ranges=True)
    rows = np.r_[panel.rows_of("AAPL")[[70, 3000]], panel.rows_of("IBM")[-3:]]
    assert np.array_equal(bank_members(panel, returns, market=True, ranges=True, asked=rows), whole[rows])
    sd_R = np.sqrt(whole[:, 4])
    read = [
        network_inputs(panel, returns, sd, 4 * sd, horizon=20, market=True, ranges=has_ranges(panel), asked=asked)
        for sd, asked in ((sd_R, None), (sd_R[rows], rows))
    ]
    assert np.array_equal(read[1], read[0][rows])


def test_a_ticker_without_volume_leaves_the_others_theirs():
    whole, part = inputs(PANEL), inputs(without(PANEL, "B", "volume"))
    assert whole.shape == part.shape
    assert whole.shape[2] == 9
    assert (part[[0, 2]] == whole[[0, 2]]).all()
    assert (part[1, :, :VOLUME] == whole[1, :, :VOLUME]).all()
    assert (part[1, :, VOLUME] == 0).all()
    assert (whole[1, 1:, VOLUME] != 0).all()


def test_a_ticker_with_closes_only_keeps_its_market_s_number_of_inputs():
    market = without(PANEL, "B", "open", "high", "low", "volume")
    assert (inputs(market)[1, :, RANGE:] == 0).all()
    assert (inputs(market)[0] == inputs(PANEL)[0]).all()
    assert has_ranges(market.only("B"))
    assert has_ranges(market.only("B").until(PANEL.dates[500]))
    bare = market
    for ticker in "AC":
        bare = without(bare, ticker, "high")
    assert not has_ranges(bare)
    assert inputs(bare).shape[2] == 6


@pytest.mark.parametrize("names", [("open", "high", "low", "close"), ("low",), ("open", "volume")])
@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_missing_bar_reads_zero_and_the_others_stay(names, value):
    whole, holes = inputs(PANEL), inputs(with_bars(PANEL, "A", slice(400, 410), value, *names))
    assert (holes[0, 400:410, [RANGE, GAP]] == 0).all()
    assert (holes[0, 400:410, VOLUME] == 0).all() == ("volume" in names)
    assert (holes[0, :, :RANGE] == whole[0, :, :RANGE]).all()
    outside = np.r_[0:400, 410:700]
    assert (holes[0, outside][:, [RANGE, GAP]] == whole[0, outside][:, [RANGE, GAP]]).all()
    assert np.abs(holes[0, outside, VOLUME] - whole[0, outside, VOLUME]).max() < 0.2


def test_a_placeholder_bar_has_no_range():
    h = PANEL.histories[0]
    bars = {k: np.array(v) for k, v in h.bars.items()}
    for name in ("open", "high", "low"):
        bars[name][400:410] = bars["close"][400:410]
    bars["high"][420] = 0.9 * bars["low"][420]
    read = inputs(Panel((replace(h, bars=bars), *PANEL.histories[1:])))
    assert (read[0, 400:410, [RANGE, GAP]] == 0).all()
    assert (read[0, 420, [RANGE, GAP]] == 0).all()


def test_volume_that_begins_late_is_compared_with_itself():
    late = inputs(with_bars(PANEL, "A", slice(0, 300), np.nan, "volume"))
    assert (late[0, :300, VOLUME] == 0).all()
    assert late[0, 310:, VOLUME].std() > 0.3
    assert abs(late[0, 350:, VOLUME].mean()) < 0.1


def test_a_net_keeps_its_inputs_where_a_panel_lacks_bars():
    net = fit("seq2seq_pooled", without(PANEL, "B", "volume"))
    rows = PANEL.starts[1:] - 1
    bare = Panel(tuple(replace(h, bars={}) for h in PANEL.histories))
    net = restore("seq2seq_pooled", settings(), net.state())
    said = [net.predict(panel, rows).quantiles_NHQ for panel in (PANEL, bare)]
    assert np.isfinite(said[1]).all()
    assert (said[0] != said[1]).any()


def test_a_net_reads_the_same_from_a_panel_prepared_for_all_rows():
    net, every = fit("seq2seq_pooled", PANEL), np.arange(len(PANEL.log_price))
    rows = np.array([1399, 650, 700])
    whole = prepare(net.anchor, net.spec, PANEL, every, ranges=net.ranges)
    assert (net.predict(PANEL, rows).quantiles_NHQ == net.predict(PANEL, rows, whole).quantiles_NHQ).all()
