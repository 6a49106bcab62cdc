"""Conversion of prices to a base currency by rates among the tickers themselves: their own bars, their own paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from s2squant.config.intervals import calendar_of
from s2squant.config.portfolio import PortfolioSpec
from s2squant.series.history import PriceHistory

OF_CALENDAR: dict[str, str] = {
    "XNYS": "USD", "XNAS": "USD", "XASE": "USD", "XLON": "GBP", "XTKS": "JPY", "XETR": "EUR", "XFRA": "EUR",
    "XPAR": "EUR", "XAMS": "EUR", "XBRU": "EUR", "XMIL": "EUR", "XMAD": "EUR", "XLIS": "EUR", "XHEL": "EUR",
    "XDUB": "EUR", "XWBO": "EUR", "XSWX": "CHF", "XSTO": "SEK", "XOSL": "NOK", "XCSE": "DKK", "XWAR": "PLN",
    "XTSE": "CAD", "XASX": "AUD", "XNZE": "NZD", "XHKG": "HKD", "XSHG": "CNY", "XSHE": "CNY", "XKRX": "KRW",
    "XTAI": "TWD", "XSES": "SGD", "XBOM": "INR", "XNSE": "INR", "BVMF": "BRL", "XMEX": "MXN", "XJSE": "ZAR",
}  # fmt: skip
"""Currency of an exchange, by its calendar."""
PAIR = re.compile(r"^([A-Z]{3})[-/]?([A-Z]{3})(=X)?$")

Signed = tuple[tuple[str, float], ...]
"""Rates whose log returns are added, each with its sign."""


def currency_of(history: PriceHistory, spec: PortfolioSpec) -> str:
    """Currency of a ticker's price: as declared, the second of a pair, else its exchange's; empty where unknown."""
    if declared := spec.currencies.get(history.ticker):
        return declared
    if pair := pair_of(history):
        return pair[1]
    return OF_CALENDAR.get(calendar_of(history.calendar), "")


def pair_of(history: PriceHistory) -> tuple[str, str] | None:
    """The two currencies of a rate, bought and paid in; None for what is no rate."""
    found = PAIR.match(history.ticker)
    return (found[1], found[2]) if found and history.asset_class in ("currencies", "crypto") else None


def conversions(
    histories: Sequence[PriceHistory], spec: PortfolioSpec, elsewhere: Sequence[PriceHistory] = ()
) -> tuple[dict[str, Signed], dict[str, str]]:
    """What to add to each ticker's log return so that it is one in the base currency, and why others cannot be had.

    Without a base currency nothing is added. A rate is one of the tickers, directly, turned round, or over others.
    Tickers `elsewhere`, of other markets, lend no rate: what they could have lent is named.
    """
    if not spec.currency:
        return {history.ticker: () for history in histories}, {}
    ways = _ways([h for h in histories if pair_of(h)], spec.currency)
    apart = _ways([h for h in (*histories, *elsewhere) if pair_of(h)], spec.currency)
    added, refused = dict[str, Signed](), dict[str, str]()
    for history in histories:
        own = currency_of(history, spec)
        if not own:
            refused[history.ticker] = "its currency is unknown; name it in portfolio.currencies"
        elif own not in ways and own in apart:
            rates = " and ".join(rate for rate, _ in apart[own])
            refused[history.ticker] = (
                f"its price is in {own}, and {rates} trades in another market, whose cutoffs are others; "
                "s2squant predict --portfolio converts across markets"
            )
        elif own not in ways:
            refused[history.ticker] = f"its price is in {own}, and no rate to {spec.currency} is among the tickers"
        else:
            added[history.ticker] = ways[own]
    return added, refused


def _ways(rates: Sequence[PriceHistory], base: str) -> Mapping[str, Signed]:
    """By currency, the rates that lead from it to the base, the fewest."""
    ways: dict[str, Signed] = {base: ()}
    border = [base]
    while border:
        reached = border.pop(0)
        for rate in rates:
            bought, paid = pair_of(rate) or ("", "")
            for start, end, sign in ((bought, paid, 1.0), (paid, bought, -1.0)):
                if end == reached and start not in ways:
                    ways[start] = ((rate.ticker, sign), *ways[reached])
                    border.append(start)
    return ways
