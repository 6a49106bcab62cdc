"""Universe files: what people write down is read, and what is no list of tickers is refused with its line."""

from __future__ import annotations

from importlib.resources import as_file

import pytest

from s2squant.errors import SourceError
from s2squant.prices.sources.sample import sample_folder
from s2squant.prices.universe import open_source
from s2squant.prices.universe_file import read_universe


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("u.txt", "AAPL\nBRK-B\n^GSPC\nEURUSD=X\n"),
        ("u.txt", "# mine\nAAPL, BRK-B ^GSPC # indices\r\n\r\nEURUSD=X;AAPL"),
        ("u", "\ufeffAAPL BRK-B\t^GSPC\nEURUSD=X"),
        ("u.csv", "AAPL\nBRK-B\n^GSPC\nEURUSD=X\n"),
        ("u.csv", 'Name,Symbol\nApple,AAPL\n"Berkshire, B",BRK-B\nS&P,^GSPC\nEuro,EURUSD=X\n'),
        ("u.CSV", "\ufeffticker,weight\r\nAAPL,0.5\r\nBRK-B,0.2\r\n^GSPC,0.2\r\nEURUSD=X,0.1\r\nAAPL,1\r\n"),
        ("u.csv", "# comment\nunique_id\n AAPL \nBRK-B\n\n^GSPC\nEURUSD=X\n"),
    ],
)
def test_lists(name, text, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    assert read_universe(tmp_path / name) == ("AAPL", "BRK-B", "^GSPC", "EURUSD=X")


def test_the_list_of_the_sample_is_shipped():
    with as_file(sample_folder()) as folder:
        assert read_universe(folder / "universe.txt") == open_source("sample").default_universe()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("u.txt", b"", "names no ticker"),
        ("u.txt", b"# nothing\n", "names no ticker"),
        ("u.csv", b"ticker\n", "names no ticker"),
        ("u.txt", b"\xff\xfe\x00A", "cannot be read as text"),
        ("u.txt", b"AAPL\n<html><body>" + b"x" * 60, "line 2: '<html><body>xxx"),
        ("u.txt", b"AAPL\x1b[31m", "line 1"),
        ("u.csv", b'ticker\n"AA\x00PL"\n', "line 2"),
    ],
)
def test_no_lists(name, data, says, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_universe(tmp_path / name)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="does not exist; write one ticker a line"):
        read_universe(tmp_path / "none.txt")
    with pytest.raises(SourceError, match="is a folder"):
        read_universe(tmp_path)
