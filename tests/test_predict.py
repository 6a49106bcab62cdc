"""A prediction in prices: the same quantiles as the forecaster's, told in every form, and every refusal by name."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.cli.fan_plot import fan_lines
from s2squant.cli.prediction_files import as_csv
from s2squant.errors import SourceError, TemporaryPriceError
from s2squant.evaluation.statistics.expected_shortfall import expected_loss
from s2squant.forecasters.pretrained import newest
from s2squant.predict import Prediction, joined, predict
from s2squant.prices.sources.sample import SampleSource
from s2squant.prices.sources.yahoo import SERVER, Yahoo
from s2squant.prices.store.price_store import PriceStore
from s2squant.report.prediction_page import prediction_page
from s2squant.series.forecast import LEVELS
from s2squant.series.outlook import RANGES, Outlook, short_history
from tests.local_yahoo import LocalYahoo
from tests.worlds.runs import stock_days, write_prices

HOSTILE = "=<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made():
    return predict(["FB", "AAPL"], "sample", 7)


def test_prices_are_those_of_the_forecaster(made):
    history = SampleSource().history("AAPL")
    [(_, alone)] = newest([made.outlooks[0].history, made.outlooks[1].history], 7)
    fb, aapl = made.outlooks
    assert [o.history.ticker for o in made.outlooks] == ["FB", "AAPL"], "in the order asked for"
    assert np.array_equal(fb.quantiles_HQ, alone.quantiles_NHQ[0])
    assert aapl.close == history.adj_close[-1]
    assert aapl.price(7, 0.1) == pytest.approx(aapl.close * np.exp(aapl.quantiles_HQ[6, 3]))
    assert aapl.range(7, 80) == (aapl.price(7, 0.1), aapl.price(7, 0.9))
    assert 1 - np.exp(aapl.quantiles_HQ[6, 1]) == pytest.approx(aapl.value_at_risk(7))
    with pytest.raises(ValueError, match=r"no quantile of level 0\.33"):
        aapl.price(1, 0.33)


def test_the_probability_of_a_fall_is_read_between_the_levels(made):
    history, levels = made.outlooks[0].history, LEVELS[None, :]
    days = made.outlooks[0].dates_H[:1]
    assert Outlook(history, days, levels - 0.3, 1.0).fall(1) == pytest.approx(0.3)
    assert Outlook(history, days, levels - 0.31, 1.0).fall(1) == pytest.approx(0.31)
    assert Outlook(history, days, levels + 1, 1.0).fall(1) == LEVELS[0]
    assert Outlook(history, days, levels - 2, 1.0).fall(1) == LEVELS[-1]


def test_a_short_history_is_told_and_a_long_one_not(made):
    fb, aapl = made.outlooks
    assert "196 bars" in short_history(fb)
    assert short_history(aapl) == ""
    assert fb.widening > aapl.widening


def test_sixty_bars_are_enough_and_fifty_nine_are_refused_by_name(tmp_path):
    write_prices(tmp_path, "SIXTY", stock_days(60), 1)
    write_prices(tmp_path, "YOUNG", stock_days(59), 2)
    made = predict([], f"csv:{tmp_path}", 5)
    assert [o.history.ticker for o in made.outlooks] == ["SIXTY"]
    assert made.refused == {"YOUNG": "too short: 59 bars, 60 are needed"}
    (tmp_path / "SIXTY.csv").unlink()
    with pytest.raises(SourceError, match="no ticker can be forecast: YOUNG: too short"):
        predict([], f"csv:{tmp_path}", 5)


def test_a_class_is_guessed_or_declared(tmp_path):
    write_prices(tmp_path, "ABC", stock_days(300), 3)
    guessed = predict(["ABC"], f"csv:{tmp_path}", 5)
    declared = predict(["ABC"], f"csv:{tmp_path}", 5, {"ABC": "currencies"})
    assert [m.outlooks[0].history.asset_class for m in (guessed, declared)] == ["stocks", "currencies"]
    assert not np.allclose(guessed.outlooks[0].quantiles_HQ, declared.outlooks[0].quantiles_HQ, rtol=1e-3)
    refused = f"--source=csv:{tmp_path}", "--class=ABC=crypto"
    assert main(["predict", "ABC", *refused]) == 2
    assert main(["predict", "ABC", "--source", f"csv:{tmp_path}", "--class", "ABCcrypto"]) == 2


def test_the_fan_in_the_terminal_holds_every_band_and_fits(made):
    aapl = made.outlooks[1]
    for horizon in (1, 7):
        lines = fan_lines(
            aapl.history.adj_close, aapl.history.dates, aapl.prices_HQ[:horizon], aapl.dates_H[:horizon], width=60
        )
        assert max(map(len, lines)) <= 60 + 12
        assert {"░", "▓", "━", "•"} | ({"▒"} if horizon > 1 else set()) <= set("".join(lines))
        assert str(aapl.dates_H[horizon - 1]) in lines[-1]
    low, high = aapl.prices_HQ[6, 0], aapl.prices_HQ[6, -1]
    assert float(lines[0].split()[0]) >= high - 0.01
    assert float(lines[-2].split()[0]) <= low + 0.01


def test_no_name_runs_in_the_page_or_in_a_spreadsheet(made):
    odd = Outlook(
        history=made.outlooks[0].history.__class__(
            HOSTILE, "XNYS", made.outlooks[0].history.dates, made.outlooks[0].history.adj_close
        ),
        dates_H=made.outlooks[0].dates_H,
        quantiles_HQ=made.outlooks[0].quantiles_HQ,
        widening=1.2,
    )
    page = prediction_page([odd], "sample").decode()
    assert HOSTILE not in page
    assert page.index('id="chart-fan-0"') < page.index("The forecast as a table")
    rows = list(csv.DictReader(as_csv(Prediction((odd,), {}, "sample")).splitlines()))
    assert rows[0]["ticker"] == f"'{HOSTILE}"
    assert len(rows) == 7
    assert float(rows[6]["q0.500"]) == pytest.approx(odd.price(7, 0.5), rel=1e-6)


def test_the_command_tells_it_in_every_form(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["predict", "AAPL,FB", "EURUSD", "--source", "sample", "--horizon", "5"]
    assert main([*given, "--html", "page.html", "--csv", "table.csv"]) == 0
    said = capsys.readouterr()
    for word in ("AAPL", "FB has 196 bars", "stocks (guessed): AAPL, FB", "80 % range", "end on 2013-03-01", "━"):
        assert word in said.out
    assert said.err.count("page: file://") == 1
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 3 * 5
    assert b"<title>AAPL, FB, EURUSD" in (tmp_path / "page.html").read_bytes()
    assert main([*given, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    step = plain["tickers"]["EURUSD"]["steps"][4]
    assert list(plain["tickers"]) == ["AAPL", "FB", "EURUSD"]
    assert set(step["ranges"]) == {str(percent) for percent in RANGES}
    assert step["ranges"]["95"][0] < step["median"] < step["ranges"]["95"][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "table.csv"], "nothing else is written"


def test_joint_paths_are_written_and_who_is_not_among_them_is_told(tmp_path, monkeypatch, capsys, made):
    monkeypatch.chdir(tmp_path)
    given = ["predict", "AAPL,MSFT,FB", "EURUSD", "--source", "sample", "--horizon", "3", "--csv", "-"]
    assert main([*given, "--paths", "p.parquet", "--draws", "400"]) == 0
    told = capsys.readouterr()
    assert "no joint paths of AAPL: its prices end on 2013-03-01, others on 2026-10-30" in told.err
    [row] = [r for r in csv.DictReader(told.out.splitlines()) if (r["ticker"], r["step"]) == ("EURUSD", "3")]
    table = pd.read_parquet("p.parquet")
    assert table.columns.tolist() == ["unique_id", "sample_id", "cutoff", "close", "step_1", "step_2", "step_3"]
    prices = table["close"] * np.exp(table["step_3"])
    for level, below in (("q0.005", 2), ("q0.500", 200), ("q0.990", 396)):
        assert (prices < float(row[level])).sum() == below
    drawn = joined(predict(["AAPL", "MSFT", "IBM", "FB"], "sample", 3), 3000)
    assert set(drawn.refused) == {"FB"}
    assert np.corrcoef(drawn.paths_MHS[:, 2])[0, 1:].min() > 0.2
    aapl = made.outlooks[1]
    assert aapl.value_at_risk(7) < expected_loss(aapl.levels_HA, 0.05)[6] < aapl.value_at_risk(7, 0.01)


def test_a_portfolio_is_told_with_who_adds_its_risk(tmp_path, capsys):
    weights = tmp_path / "w.csv"
    weights.write_text("ticker,weight\nAAPL,1\nMSFT,3\n")
    given = ["predict", "AAPL,MSFT,FB", "--source", "sample", "--draws", "1000", "--portfolio", str(weights)]
    assert main(given) == 0
    told = capsys.readouterr()
    assert "not in the portfolio: FB: " in told.err
    assert "diversified" in told.out
    assert main([*given, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["portfolio"]
    assert [row["weight"] for row in plain["tickers"]] == [0.25, 0.75]
    last = plain["steps"][-1]
    assert sum(row["contribution"] for row in plain["tickers"]) == pytest.approx(last["es_95"], rel=1e-6)
    assert last["var_95"] < last["es_95"] < last["es_99"]


def test_mistakes_are_one_line(capsys):
    for given, why in (
        (["AAPL", "MSFT", "--source", "sample", "--portfolio", "eqal"], "neither a file nor one of equal, inverse"),
        (["AAPL", "--source", "sample", "--portfolio", "equal"], "no market has two tickers"),
        (["AAPL", "EURUSD", "--source", "sample", "--portfolio", "equal"], "AAPL: its prices end on 2013-03-01"),
        (["AAPL", "MSFT", "--source", "sample", "--portfolio", "equal", "--currency", "x"], "x is no currency"),
        (["NOPE", "--source", "sample"], "no ticker 'NOPE'"),
        (["AAPL", "--source", "sample", "--horizon", "61"], "at most 60 steps"),
        (["AAPL", "--source", "sample", "--class", "MSFT=stocks"], "not among the tickers"),
        (["AAPL", "--source", "sample", "--csv", "/proc/none/x.csv"], "cannot be written"),
    ):
        assert main(["predict", *given]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert why in error


@pytest.mark.slow
def test_prices_come_from_yahoo_through_the_store_and_stay_there_without_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with LocalYahoo(years=2) as yahoo:
        monkeypatch.setenv(SERVER, yahoo.url)
        fetched = predict(["ALPHA"], None, 5)
        asked = len(yahoo.arrivals)
        again = predict(["ALPHA"], None, 5)
        assert len(yahoo.arrivals) == asked, "nothing can be missing"
    assert fetched.source == again.source == "yfinance"
    assert np.array_equal(fetched.outlooks[0].quantiles_HQ, again.outlooks[0].quantiles_HQ)
    assert PriceStore(tmp_path / "data" / "prices").tickers() == ("ALPHA",)
    monkeypatch.setattr("s2squant.prices.store.refresh.Refresher.is_fresh", lambda self, stored: False)
    monkeypatch.setattr("s2squant.prices.sources.yahoo.Yahoo.fetch", refuse)
    assert main(["predict", "ALPHA"]) == 0
    assert "note: ALPHA: not updated, read as stored: no answer" in capsys.readouterr().err
    assert main(["predict", "AAPL"]) == 0
    assert "Yahoo gave no prices" in capsys.readouterr().err
    assert main(["predict", "NOSUCH"]) == 2


def test_without_a_network_yahoo_is_asked_once_and_in_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SERVER, "http://127.0.0.1:9")  # the port that discards; nobody listens
    asked = []
    once = Yahoo._once
    monkeypatch.setattr(Yahoo, "_once", lambda self, ticker, *more: asked.append(ticker) or once(self, ticker, *more))
    made = predict(["AAPL", "MSFT", "IBM"], None, 5)
    assert asked == ["AAPL"]
    assert made.source == "sample"
    assert made.remarks[0].startswith(
        "Yahoo gave no prices (no usable prices in yfinance: AAPL: Yahoo cannot be reached"
    )


def refuse(self, ticker, *_):
    raise TemporaryPriceError(ticker, "no answer")
