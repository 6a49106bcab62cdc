"""A ticker whose dates are a session off against its market's is found, and a market that moves together is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import SourceError
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.checks.every import check
from s2squant.prices.checks.market import across
from s2squant.prices.universe import load_from, load_universe
from tests.prices.checks.test_checks import made

DAYS = next_sessions("XETR", "2021-12-16", 401)


def market(tickers=3, common=0.5, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.01, 400)
    own = rng.normal(0, 0.01, (tickers, 400))
    moves = np.sqrt(common) * shared + np.sqrt(1 - common) * own
    closes = 100 * np.exp(np.cumsum(np.c_[np.zeros(tickers), moves], axis=1))
    return [made(close, DAYS, f"T{m}.DE", "XETR") for m, close in enumerate(closes)]


def early(history):
    return replace(history, dates=np.r_[DAYS[0] - 1, DAYS[:-1]])


@pytest.mark.parametrize("tickers", [3, 6])
def test_one_ticker_a_session_early_or_late_is_found(tickers):
    for seed in range(5):
        histories = market(tickers, seed=seed)
        assert across(histories) == {}
        histories[1] = early(histories[1])
        ((ticker, (finding,)),) = across(histories).items()
        assert (ticker, finding.name, finding.severity) == ("T1.DE", "shifted dates", "error")
        assert "its dates are a session early" in finding.text
        histories = market(tickers, seed=seed)
        histories[2] = replace(histories[2], dates=np.r_[DAYS[1:], DAYS[-1] + 1])
        assert "its dates are a session late" in across(histories)["T2.DE"][0].text


def test_independent_tickers_and_the_sample_are_not():
    assert across(market(5, common=0.0)) == {}
    odd = [made(values, DAYS, f"O{n}.DE", "XETR") for n, values in enumerate((np.ones(401), -np.ones(401)))]
    assert across([*market(3), *odd]) == {}
    assert across(load_universe(Universe()).histories) == {}


def test_a_move_on_a_day_on_which_all_moved_is_the_markets():
    """Closes alone, and nothing wild around: as on 1987-10-19, at a quarter off for all, a third for one."""
    histories = market(5)
    crash = np.where(np.arange(401) >= 200, 0.75, 1.0)
    fallen = [replace(history, adj_close=history.adj_close * crash) for history in histories]
    fallen[0] = replace(fallen[0], adj_close=histories[0].adj_close * np.where(crash < 1, 0.66, 1.0))
    told = [replace(history, findings=check(history)) for history in fallen]
    assert "unadjusted split" in {f.name for f in told[0].findings} | {"unexplained jump"}
    assert {f.severity for f in told[0].findings} == {"warning"}
    assert across(told)["T0.DE"] == ()
    alone = [told[0], *(replace(history, findings=check(history)) for history in histories[1:])]
    assert across(alone) == {}


def test_faults_of_the_same_day_acquit_nobody():
    """Several tickers whose split of one day was not adjusted for are no market that fell."""
    raw = [
        replace(h, adj_close=h.adj_close * np.where(np.arange(401) >= 200, 1 / k, 1.0))
        for h, k in zip(market(5), (12, 6, 20, 6, 8), strict=True)
    ]
    first, *others = (replace(history, findings=check(history)) for history in raw)
    assert {f.severity for f in first.findings} == {"warning"}
    faults = [replace(h, findings=tuple(replace(f, severity="error") for f in h.findings)) for h in others]
    assert {f.severity for f in across([first, *others])["T0.DE"]} == {"note"}, "all fell, as far as anybody can tell"
    assert "T0.DE" not in across([first, *faults])


def test_a_shifted_ticker_is_kept_out_of_a_run():
    histories = market()
    histories[0] = early(histories[0])

    class Given:
        name = "given"

        def check(self, tickers):
            pass

        def history(self, ticker):
            return next(history for history in histories if history.ticker == ticker)

    universe = Universe(tickers=tuple(history.ticker for history in histories))
    loaded = load_from(Given(), universe)
    assert [history.ticker for history in loaded.histories] == ["T1.DE", "T2.DE"]
    assert "its dates are a session early" in loaded.refused["T0.DE"]
    accepted = load_from(Given(), universe.model_copy(update={"accept": ("shifted dates",)}))
    assert len(accepted.histories) == 3
    with pytest.raises(SourceError):
        load_from(Given(), universe.model_copy(update={"start": DAYS[-1].astype(object)}))
