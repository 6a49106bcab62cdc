"""Shuffled returns: each ticker keeps its own, days stay together, and nothing of the days around is left."""

import numpy as np

from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.shuffle import shuffled
from tests.worlds.synthetic import garch_returns

DAYS = np.arange("2010-01-01", "2018-01-01", dtype="datetime64[D]")
BARS = len(DAYS)


def history(ticker, returns, keep=slice(None)):
    price = 100 * np.exp(np.cumsum(returns))
    bars = {"open": price[keep], "close": price[keep]}
    return PriceHistory(ticker, "24/7", DAYS[keep], price[keep], bars=bars, events={"dividends": np.zeros(BARS)[keep]})


def market(seed=0):
    """Two tickers that share a common shock and all dates, one that was listed late, one with a few holes."""
    rng = np.random.default_rng(seed)
    common = rng.standard_t(6, BARS) * np.sqrt(4 / 6)
    returns = [garch_returns(BARS, 10 + seed + m, market=common) for m in range(4)]
    holes = np.sort(rng.permutation(BARS)[5:])
    return Panel(tuple(map(history, "ABCD", returns, (slice(None), slice(None), slice(1500, None), holes))))


def returns_of(panel, ticker):
    return np.diff(panel.log_price[panel.rows_of(ticker)])


def test_each_ticker_keeps_its_bars_its_first_price_and_its_returns():
    panel = market()
    drawn = shuffled(panel, 3)
    for before, after in zip(panel.histories, drawn.histories, strict=True):
        np.testing.assert_array_equal(after.dates, before.dates)
        assert after.adj_close[0] == before.adj_close[0]
        own, new = (np.diff(h.log_price) for h in (before, after))
        np.testing.assert_allclose(np.sort(new), np.sort(own), atol=1e-12)
        assert (np.abs(new - own) > 1e-9).mean() > 0.95
        assert (after.ticker, after.calendar) == (before.ticker, before.calendar)
        assert not after.bars
        assert not after.events


def test_days_stay_together_and_their_order_is_gone():
    panel = market(1)
    drawn = shuffled(panel, 4)

    def together(p, one, other):
        a, b = (dict(zip(p.dates[p.rows_of(t)][1:], returns_of(p, t), strict=True)) for t in (one, other))
        both = sorted(a.keys() & b.keys())
        return np.corrcoef([a[d] for d in both], [b[d] for d in both])[0, 1]

    assert together(panel, "A", "B") > 0.2
    np.testing.assert_allclose(together(drawn, "A", "B"), together(panel, "A", "B"), atol=1e-9)
    assert abs(together(drawn, "A", "D") - together(panel, "A", "D")) < 0.03
    assert together(drawn, "A", "C") > 0.2 * together(panel, "A", "C")
    for ticker in "ABCD":
        clustered, gone = (
            np.corrcoef(np.abs(r[1:]), np.abs(r[:-1]))[0, 1] for r in (returns_of(p, ticker) for p in (panel, drawn))
        )
        assert clustered > 0.06
        assert abs(gone) < 0.06


def test_a_seed_is_a_shuffle():
    panel = market()
    np.testing.assert_array_equal(shuffled(panel, 5).log_price, shuffled(panel, 5).log_price)
    assert (shuffled(panel, 5).log_price != shuffled(panel, 6).log_price).any()
