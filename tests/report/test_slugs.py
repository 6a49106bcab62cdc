import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2squant.report.slugs import RESERVED, slug, slugs

SAFE = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
NASTY = [
    "^GSPC",
    "BRK-B",
    "EURUSD=X",
    "../x",
    "<img src=x onerror=alert(1)>",
    "A/B",
    "A\\B",
    "x" * 60,
    "ÅÄÖ",
    "日経",
    "CON",
]
NASTY += [
    "con.txt",
    "nul",
    "",
    ".",
    "..",
    " ",
    "-",
    "a b",
    "a-b",
    "A B",
    "AAPL",
    "aapl",
    "%2e%2e",
    "A\x00B",
    "\ud800",
    "index",
]


def is_safe(name: str) -> bool:
    return (
        bool(SAFE.fullmatch(name)) and ".." not in name and name.partition(".")[0] not in RESERVED and len(name) < 130
    )


def test_plain_tickers_keep_their_text():
    assert slugs(["AAPL", "BRK-B", "7203.T"]) == {"AAPL": "aapl", "BRK-B": "brk-b", "7203.T": "7203.t"}


@pytest.mark.parametrize("ticker", NASTY)
def test_any_text_is_a_safe_file_name(ticker):
    assert is_safe(slug(ticker, ()))


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(NASTY)), unique=True, max_size=40))
def test_names_are_safe_and_all_different(tickers):
    names = slugs(tickers)
    assert len(set(names.values())) == len(tickers)
    assert all(is_safe(name) for name in names.values())


@given(st.text(max_size=80))
def test_a_changed_name_does_not_depend_on_the_others(ticker):
    alone = slug(ticker, ())
    if "-" in alone and alone != ticker.lower():
        assert slug(ticker, {"a", "b", "aapl"}) == alone


def test_a_ticker_cannot_take_a_name_that_is_taken():
    first = slug("^GSPC", ())
    second = slug("^GSPC", {first})
    assert second != first
    assert is_safe(second)
