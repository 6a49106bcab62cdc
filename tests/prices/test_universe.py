"""A universe as configured: sources named, tickers resolved, spans cut, refusals told apart from mistakes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import date

import pytest

from s2squant.config.experiment import Experiment, Universe
from s2squant.errors import CallerError, PriceError, SourceError, TemporaryPriceError
from s2squant.prices.universe import load_from, load_ticker, load_universe, open_source
from s2squant.runs.plan import make_plan

GOOD = "Date,Close\n2024-01-02,1\n2024-01-03,2\n2024-01-04,3\n"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smaple", "did you mean sample"),
        ("yahoo", "unknown source 'yahoo'"),
        ("csv", "names no folder; write csv:DIR"),
        ("parquet:", "names no folder; write parquet:DIR"),
        ("sample:x", "unknown source"),
        ("", "use sample, sample:hourly, yfinance, csv:DIR, parquet:DIR or store:DIR"),
    ],
)
def test_unknown_sources(spec, message):
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert message in str(caught.value)


def test_start_and_end_are_included():
    span = Universe(tickers=("IBM", "EURUSD"), start=date(2010, 1, 4), end=date(2012, 12, 31))
    for history in load_universe(span).histories:
        assert [str(d) for d in history.dates[[0, -1]]] == ["2010-01-04", "2012-12-31"]


def test_notes_speak_of_the_span_asked_for():
    source = open_source("sample")
    (finding,) = load_ticker(source, "AAPL", Universe()).findings
    assert finding.text == "1 return(s) above 40%: 2000-09-29 -51.9%"
    assert load_ticker(source, "AAPL", Universe(start=date(2001, 1, 1))).findings == ()


def test_an_unknown_ticker_of_a_file_source_is_a_mistake():
    with pytest.raises(SourceError, match="sample has no ticker 'APPL'; did you mean AAPL") as caught:
        load_universe(Universe(tickers=("MSFT", "APPL")))
    assert caught.value.exit_status == 2
    with pytest.raises(SourceError, match=r"'ZZZZZZ'; it has AAPL, .* and 5 more"):
        load_universe(Universe(tickers=("ZZZZZZ",)))


def test_a_ticker_without_usable_prices_is_refused_and_the_others_go_on(tmp_path):
    (tmp_path / "A.csv").write_text(GOOD)
    (tmp_path / "B.csv").write_text("Date,Close\n2024-01-02,1\n2024-01-03,0\n")
    seen = []
    loaded = load_universe(Universe(source=f"csv:{tmp_path}"), lambda *step: seen.append(step))
    assert [h.ticker for h in loaded.histories] == ["A"]
    assert dict(loaded.refused) == {"B": "price 0.0 on 2024-01-03; log returns need finite prices above zero"}
    assert seen == [("A", 1, 2), ("B", 2, 2)]
    with pytest.raises(FrozenInstanceError):
        loaded.histories = ()
    with pytest.raises(TypeError):
        loaded.refused["A"] = "x"


def test_bars_outside_the_span_are_no_bars():
    with pytest.raises(PriceError, match="between 1990-01-01 and 1995-01-01; it has 2000-03-01 to 2013-03-01"):
        load_ticker(open_source("sample"), "IBM", Universe(start=date(1990, 1, 1), end=date(1995, 1, 1)))


def test_nothing_usable_is_a_mistake_told_in_one_line(tmp_path):
    for ticker in "ABCD":
        (tmp_path / f"{ticker}.csv").write_text("Date,Close\n")
    with pytest.raises(
        SourceError, match=r"no usable prices in csv:.*A: the table holds no rows.*; and 1 more$"
    ) as caught:
        load_universe(Universe(source=f"csv:{tmp_path}"))
    assert "\n" not in str(caught.value)


class Failing:
    """A source that answers for the named tickers only."""

    name = "failing"

    def __init__(self, *good):
        self.good, self.asked = good, []

    def check(self, tickers):
        pass

    def history(self, ticker):
        self.asked.append(ticker)
        if ticker in self.good:
            return open_source("sample").history("IBM")
        raise TemporaryPriceError(ticker, "busy")


def test_three_passing_failures_in_a_row_end_the_asking():
    source = Failing("A", "D")
    loaded = load_from(source, Universe(tickers=tuple("ABCDEFGHI")))
    assert source.asked == list("ABCDEFG")
    assert list(loaded.refused) == list("BCEFGHI")
    assert loaded.refused["G"] == "busy"
    assert loaded.refused["H"].startswith("not asked for")


def test_yfinance_wants_tickers_that_could_be_some():
    with pytest.raises(SourceError, match="name tickers"):
        load_universe(Universe(source="yfinance"))
    for ticker in ("../x", "<b>", "A B", "A" * 26, "-A", "A/B"):
        with pytest.raises(SourceError, match="no Yahoo ticker"):
            load_universe(Universe(source="yfinance", tickers=("AAPL", ticker)))
    open_source("yfinance").check(["BRK-B", "SAP.DE", "EURUSD=X", "^GSPC", "7203.T", "M&M.NS", "BTC-USD", "ES=F"])


def raw_apple(folder):
    history = open_source("sample").history("AAPL")
    rows = "".join(
        f"{day},{close},{volume}\n"
        for day, close, volume in zip(history.dates, history.bars["close"], history.bars["volume"], strict=True)
    )
    (folder / "AAPL.csv").write_text("Date,Close,Volume\n" + rows)
    (folder / "A.csv").write_text(GOOD)
    return f"csv:{folder}"


def test_quarantine_keeps_a_ticker_out_with_its_findings_and_can_be_lifted(tmp_path):
    source = raw_apple(tmp_path)
    loaded = load_universe(Universe(source=source))
    assert [h.ticker for h in loaded.histories] == ["A"]
    assert loaded.refused["AAPL"].startswith("2 suspected split(s) not adjusted for: 2000-06-21 2:1, 2005-02-28 2:1")
    assert [(f.name, f.severity) for f in loaded.findings["AAPL"]] == [
        ("unadjusted split", "error"),
        ("large move", "note"),
    ]
    lifted = load_universe(Universe(source=source, accept=("unadjusted split",)))
    assert [h.ticker for h in lifted.histories] == ["A", "AAPL"]
    assert [f.done for f in lifted.histories[1].findings] == ["accepted", "kept as real"]
    assert [h.ticker for h in load_universe(Universe(source=source, accept=("all",))).histories] == ["A", "AAPL"]
    later = load_universe(Universe(source=source, tickers=("AAPL",), start=date(2005, 2, 28)))
    assert later.histories[0].findings == ()


def test_the_report_of_a_ticker_carries_the_findings_of_the_usable_and_of_the_refused(tmp_path):
    models = {"random_walk": {}, "historical_simulation": {}}
    walk = {"horizon": 5, "cutoffs": 3, "every": 5, "min_train": 600}
    experiment = Experiment(
        universe={"source": raw_apple(tmp_path), "tickers": ("AAPL", "A")},
        walk=walk,
        forecasters={"models": tuple(models)},
        verdict={"recommended": "random_walk"},
    )
    with pytest.raises(CallerError, match="no ticker can be backtested"):
        make_plan(experiment)
    accepted = experiment.model_copy(
        update={"universe": experiment.universe.model_copy(update={"accept": ("unadjusted split",)})}
    )
    reports = {report.ticker: report for report in make_plan(accepted).tickers}
    assert [f.name for f in reports["AAPL"].findings] == ["unadjusted split", "large move"]
    assert reports["AAPL"].notes[0].startswith("2 suspected split(s)")
    assert reports["A"].status == "skipped"
    assert {f.name for f in reports["A"].findings} == {"short history", "large move"}
