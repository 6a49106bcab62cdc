"""Asset classes, and what is believed of their drift before any price is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AssetClass = Literal["stocks", "currencies", "crypto", "commodities", "rates"]


@dataclass(frozen=True)
class DriftPrior:
    """Normal prior of the expected log return, all a year: of a class, and of its tickers around it."""

    mean: float
    class_sd: float
    """Standard deviation of the class's own drift around `mean`."""
    ticker_sd: float
    """Standard deviation of a ticker's drift around its class's."""


DRIFT_PRIORS: dict[AssetClass, DriftPrior] = {
    "stocks": DriftPrior(0.06, 0.03, 0.03),
    "currencies": DriftPrior(0.0, 0.01, 0.03),
    "crypto": DriftPrior(0.0, 0.20, 0.20),
    "commodities": DriftPrior(0.0, 0.03, 0.05),
    "rates": DriftPrior(0.0, 0.02, 0.02),
}
"""Stocks and funds: over a century indices grew by about 9 % a year in logarithms (Dimson, Marsh and Staunton 2002); a
single stock loses half of its additional variance, about 3 %. The others have no premium that a century shows; `rates`
are yields."""
PRIOR_TICKERS = 10
"""The prior's `ticker_sd` counts as much as what so many tickers tell of it."""


def asset_class(ticker: str, calendar: str) -> AssetClass:
    """The class of a ticker by its spelling and its calendar: what a user need not say.

    Yields of government bonds are told by Yahoo's names; whatever nothing speaks for is a stock or a fund.
    """
    calendar = calendar.removeprefix("weekly:").removeprefix("monthly:")
    if ticker in YIELDS:
        return "rates"
    if ticker.endswith("=X") or calendar in ("24/5", "ECB"):
        return "currencies"
    if ticker.endswith("=F") or calendar in ("CMES", "IEPA"):
        return "commodities"
    return "crypto" if calendar == "24/7" else "stocks"


YIELDS = frozenset({"^IRX", "^FVX", "^TNX", "^TYX"})
