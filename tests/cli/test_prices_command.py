"""The commands a person looks at prices with: what they say, their exit status, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from s2squant.cli import app as cli

DAYS = np.busday_offset("2023-01-02", np.arange(300), roll="forward")
PRICES = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 300)))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, and a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write(ticker, prices=PRICES, folder="prices"):
    Path(folder).mkdir(exist_ok=True)
    rows = "".join(f"{day},{price}\n" for day, price in zip(DAYS, prices, strict=True))
    Path(folder, f"{ticker}.csv").write_text("Date,Close\n" + rows)


def run(capfd, *argv):
    status = cli.main(["prices", *argv])
    said, complaint = capfd.readouterr()
    assert "Traceback" not in complaint
    return status, said, complaint


def test_show_of_the_sample(capfd):
    status, said, complaint = run(capfd, "show", "AAPL")
    assert (status, complaint) == (0, "")
    assert "bars      3270, 2000-03-01 to 2013-03-01" in said
    assert "XNYS; next sessions 2013-03-04, 2013-03-05, 2013-03-06" in said
    assert "note    AAPL: large move: 1 return(s) above 40%: 2000-09-29 -51.9% [kept as real]" in said
    assert sum(0x2800 < ord(c) < 0x2900 for c in said) > 50  # the plot
    last = ["2013-03-01", "438", "438.18", "429.98", "430.47", "19,730,300", "56.1374"]
    assert last in [line.split() for line in said.splitlines()]
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith(("note", "why")))


def test_show_of_a_span_and_of_nothing_odd(capfd):
    status, said, _ = run(capfd, "show", "IBM", "--source", "sample", "--start", "2010-01-04", "--rows", "0")
    assert status == 0
    assert "2010-01-04 to 2013-03-01" in said
    assert "nothing was repaired, and nothing looks odd" in said


def test_show_of_one_day(capfd):
    day = ["--start", "2000-09-29", "--end", "2000-09-29"]
    status, said, complaint = run(capfd, "show", "AAPL", "--source", "sample", *day)
    assert (status, complaint) == (0, "")
    (bar,) = [line.split() for line in said.splitlines() if line.strip().startswith("2000-09-29")]
    assert bar[4] == "25.75"
    assert "large move" in said
    first = ["--start", "2000-03-01", "--end", "2000-03-01"]
    assert "on 2000-03-01 nothing was repaired" in run(capfd, "show", "AAPL", "--source", "sample", *first)[1]
    sunday = ["--start", "2000-10-01", "--end", "2000-10-01"]
    status, said, complaint = run(capfd, "show", "AAPL", "--source", "sample", *sunday)
    assert (status, said) == (3, "")
    assert complaint == "error: AAPL: no bar on 2000-10-01; the nearest are of 2000-09-29 and 2000-10-02\n"


def test_show_of_prices_that_cannot_be_used(capfd):
    write("BAD", [*PRICES[:-1], 0])
    status, said, _ = run(capfd, "show", "BAD", "--source", "csv:prices")
    assert status == 3
    assert "not computed: a price is not above zero" in said
    assert "error   BAD: non-positive price: price 0.0 on 2024-02-23" in said
    Path("prices/BAD.csv").write_text("")
    status, said, complaint = run(capfd, "show", "BAD", "--source", "csv:prices")
    assert (status, said) == (3, "")
    assert complaint == "error: BAD: BAD.csv is empty; give it a heading and one row a day\n"


def test_show_around_a_day(capfd):
    status, said, complaint = run(capfd, "show", "AAPL", "--source", "sample", "--around", "2000-09-29")
    assert (status, complaint) == (0, "")
    (bar,) = [line.split() for line in said.splitlines() if line.strip().startswith(">")]
    assert bar == [">", "2000-09-29", "28.19", "25.75", "132,529,300", "1.65462", "-51.9%", "x22"]
    assert sum(line.strip().startswith(("2000-09", "> 2000-09", "2000-10")) for line in said.splitlines()) == 21
    assert "why     AAPL: 2000-09-29: 12 deviations of its own, -47.3% overnight" in said
    status, said, _ = run(capfd, "show", "IBM", "--source", "sample", "--around", "2010-07-04")
    assert "> 2010-07-06" in said  # a Sunday: the next bar
    assert "around 2010-07-04 nothing was repaired" in said


def test_check_says_what_to_do_and_takes_a_source_as_other_commands_do(capfd):
    write("SPLIT", np.where(np.arange(300) < 100, PRICES * 6, PRICES))
    for argv in (["prices"], ["csv:prices"], ["--source", "csv:prices"]):
        status, said, _ = run(capfd, "check", *argv)
        assert status == 0
        assert "warning SPLIT: unadjusted split: 1 suspected split(s) not adjusted for: 2023-05-22 6:1 [kept]" in said
        assert "remedy  unadjusted split: give closes that are adjusted for it (Adj Close)" in said
        assert "s2squant prices show TICKER --around DATE" in said
    said = run(capfd, "check", "prices", "--json")[1]
    (finding, *_) = json.loads(said)["SPLIT"]["findings"]
    assert "deviations of its own" in finding["why"][0]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["show", "APPL"], "sample has no ticker 'APPL'; did you mean AAPL"),
        (["show", "AAPL", "--source", "smaple"], "did you mean sample"),
        (["show", "<b>", "--source", "sample"], "has no ticker '<b>'"),
        (["show", "AAPL", "--start", "yesterday"], "--start"),
        (
            ["show", "AAPL", "--start", "2012-01-01", "--end", "2010-01-01"],
            "--start 2012-01-01 is after --end 2010-01-",
        ),
        (["check", "nowhere"], "no such folder"),
        (["check"], "no price store or an empty one; fill it with s2squant fetch"),
        (["check", "prices", "--source", "sample"], "name DIR or --source, not both"),
        (["check", "--source", "yfinance"], "name tickers"),
    ],
)
def test_mistakes(argv, says, capfd):
    status, said, complaint = run(capfd, *argv)
    assert (status, said) == (2, "")
    assert says in complaint
    assert complaint.count("\n") == 1


def test_check_of_a_folder(capfd):
    write("GOOD")
    status, said, _ = run(capfd, "check", "prices")
    assert status == 0
    assert said.rstrip().endswith("1 of 1 tickers can be used")
    write("[red]PENCE", np.where(np.arange(300) < 100, PRICES * 100, PRICES))
    write("TWICE")
    with Path("prices/TWICE.csv").open("a") as file:
        file.write(f"{DAYS[3]},999\n")
    Path("prices/EMPTY.csv").write_text("")
    status, said, _ = run(capfd, "check", "prices")
    assert status == 3
    assert "error   [red]PENCE: 100x unit jump: 1 jump(s) by a factor of 100" in said
    assert f"error   TWICE: conflicting rows: {DAYS[3]} stands twice" in said
    assert "error   EMPTY: EMPTY.csv is empty" in said
    assert "1 of 4 tickers can be used" in said


def test_check_for_programs(capfd):
    write("GOOD")
    write("BAD", [5.0] * 300)
    status, said, _ = run(capfd, "check", "prices", "--json")
    found = json.loads(said)
    assert status == 3
    assert (found["GOOD"]["bars"], found["GOOD"]["calendar"]) == (300, "24/5")
    assert [f["name"] for f in found["BAD"]["findings"] if f["severity"] == "error"] == ["constant series"]


def test_check_of_parquet_and_of_a_store(capfd):
    root = Path(cli.__file__).parents[2] / "data" / "sample"
    status, said, _ = run(capfd, "check", str(root))
    assert status == 0
    assert "15 of 15 tickers can be used" in said
    kept = [line for line in said.splitlines() if line.startswith("note")]
    assert [line.split(":")[:2] for line in kept] == [["note    AAPL", " large move"]]
    assert "large move" in run(capfd, "check", str(root), "--notes")[1]


def test_check_names_a_stored_ticker_whose_manifest_is_damaged(capfd):
    for ticker in ("AAPL", "IBM"):
        assert cli.main(["fetch", ticker, "--source", "sample", "--store", "store", "--quiet"]) == 0
    place = next(Path("store", "1d").glob("IBM-*"))
    (place / "manifest.json").write_text("{")
    capfd.readouterr()
    status, said, _ = run(capfd, "check", "store")
    assert status == 3
    assert "error   IBM: its files in the price store are damaged" in said
    assert f"puts {place.name} aside, then fetch again" in said
    assert "1 of 2 tickers can be used" in said


def test_check_of_a_folder_of_both_forms_says_which_it_reads(capfd):
    write("GOOD")
    Path("prices", "OTHER.parquet").write_bytes(b"")
    status, said, complaint = run(capfd, "check", "prices")
    assert (status, "1 of 1 tickers" in said) == (0, True)
    assert complaint == "prices holds parquet files too, not checked here: --source parquet:prices\n"


def test_repair_puts_what_is_damaged_aside_and_nothing_else(capfd):
    for ticker in ("AAPL", "IBM", "EURUSD"):
        assert cli.main(["fetch", ticker, "--source", "sample", "--store", "store", "--quiet"]) == 0
    place = next(Path("store", "1d").glob("IBM-*"))
    (place / "manifest.json").write_text("{")
    capfd.readouterr()
    status, said, _ = run(capfd, "repair", "store", "--dry-run")
    assert (status, place.is_dir()) == (3, True)
    assert "IBM 1d: its files in the price store are damaged" in said
    status, said, _ = run(capfd, "repair", "store")
    assert (status, place.exists()) == (0, False)
    assert "2 of 3 are whole" in said
    assert "s2squant fetch IBM --store store" in said
    assert len(list(Path("store", "damaged").iterdir())) == 1
    assert run(capfd, "repair", "store")[:2] == (0, "2 of 2 are whole\n")
    assert run(capfd, "repair", "nowhere")[0] == 2
