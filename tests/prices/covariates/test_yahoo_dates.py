"""Earnings and ex-dividend dates of Yahoo as marks of sessions."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.config.files import make_experiment
from s2squant.prices.covariates.load import with_covariates
from s2squant.prices.sources.yahoo import SERVER
from s2squant.prices.universe import load_universe
from tests.local_yahoo import LocalYahoo


@pytest.mark.slow
def test_yahoo_s_dates_mark_the_sessions_on_which_they_are_felt(tmp_path, monkeypatch):
    told = {
        "universe": {"source": "yfinance", "tickers": ["REPORT", "DIVIDEND", "PLAIN"], "store": str(tmp_path)},
        "covariates": [{"name": "earnings", "dates": "earnings"}, {"name": "ex", "dates": "ex_dividend"}],
        "walk": {"horizon": 20},
    }
    with LocalYahoo(today="2025-11-19", years=2) as yahoo:
        monkeypatch.setenv(SERVER, yahoo.url)
        experiment = make_experiment(told)
        loaded = with_covariates(load_universe(experiment.universe), experiment)
        report, payer = yahoo.stock("REPORT"), yahoo.stock("DIVIDEND")
    assert not loaded.refused
    by_ticker = {h.ticker: h.covariates for h in loaded.histories}
    own = by_ticker["REPORT"]
    marked = own.days_S[own.future_SF[:, 0] == 1]
    days = np.array([at.date() for at in report.earnings], "datetime64[D]")
    late = np.array([at.hour >= 16 for at in report.earnings])
    felt = np.where(late, np.busday_offset(days, 1, roll="forward"), days)
    inside = felt[(felt >= own.days_S[0]) & (felt <= own.days_S[-1])]
    assert late.any()
    assert not late.all()
    assert marked.tolist() == own.days_S[np.searchsorted(own.days_S, inside)].tolist()
    assert (marked > np.datetime64("2025-11-19")).any(), "what is announced is known"
    assert own.days_S[own.future_SF[:, 1] == 1].tolist() == [report.announced.astype(object)]
    paid = by_ticker["DIVIDEND"]
    past = sorted(day for day in payer.dividends if day >= paid.days_S[0])
    assert paid.days_S[paid.future_SF[:, 1] == 1].tolist() == [day.astype(object) for day in past]
    assert np.isnan(by_ticker["PLAIN"].future_SF).all(), "nothing is told of it: unknown, and masked"
