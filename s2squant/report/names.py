"""Names of markets for people: US instead of XNYS; and what a study was tested on, in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from s2squant.config.asset_classes import AssetClass
from s2squant.report.formats import count
from s2squant.report.study_view import Contents

MARKETS = {
    "XNYS": "US",
    "XNAS": "US",
    "XLON": "UK",
    "XPAR": "French",
    "XETR": "German",
    "XFRA": "German",
    "XAMS": "Dutch",
    "XBRU": "Belgian",
    "XLIS": "Portuguese",
    "XMAD": "Spanish",
    "XMIL": "Italian",
    "XSWX": "Swiss",
    "XWBO": "Austrian",
    "XDUB": "Irish",
    "XSTO": "Swedish",
    "XCSE": "Danish",
    "XHEL": "Finnish",
    "XOSL": "Norwegian",
    "XWAR": "Polish",
    "XIST": "Turkish",
    "XTSE": "Canadian",
    "BVMF": "Brazilian",
    "XMEX": "Mexican",
    "XTKS": "Japanese",
    "XHKG": "Hong Kong",
    "XSHG": "Chinese",
    "XKRX": "Korean",
    "XTAI": "Taiwanese",
    "XBOM": "Indian",
    "XSES": "Singapore",
    "XASX": "Australian",
    "XNZE": "New Zealand",
    "XJSE": "South African",
    "CMES": "CME",
    "IEPA": "ICE",
    "ECB": "euro",
    "24/5": "weekday",
    "24/7": "round-the-clock",
}
"""Calendar codes (ISO 10383 where there is one) as an adjective before what is traded."""

NOUNS: dict[AssetClass, tuple[str, str]] = {
    "stocks": ("stock", "stocks"),
    "currencies": ("rate", "rates"),
    "crypto": ("coin", "coins"),
    "commodities": ("future", "futures"),
    "rates": ("yield", "yields"),
}
MOST_GROUPS = 3
"""Kinds of tickers that a title names."""


def market_name(code: str) -> str:
    """A market as people call it: US, Euro rates, UK, weekly; a code without a name as it stands."""
    unit, _, base = code.rpartition(":")
    name = {"ECB": "Euro rates"}.get(base) or MARKETS.get(base, base)
    name = name[:1].upper() + name[1:]
    return f"{name}, {unit}" if unit else name


def pool_name(name: str) -> str:
    """A pool of tickers as people call it: its market's name, and what stands behind the code."""
    code, space, rest = name.partition(" ")
    return f"{market_name(code)}{space}{rest}"


def universe_line(c: Contents) -> str:
    """What was tested: `14 tickers: 4 US stocks 2009-13 and 10 euro rates 2022-26, 20 sessions ahead, 200 cutoffs`."""
    histories = c.study.histories
    kinds = Counter((t.market, histories[t.ticker].asset_class) for t in c.finished if t.ticker in histories)
    cutoffs = sum(len(fold.cutoffs) for fold in c.study.folds)
    walked = f"{_ahead(c)}, {count(cutoffs, 'cutoff')}" if cutoffs else _ahead(c)
    if not kinds:
        return f"{count(len(c.study.tickers), 'ticker')}, {walked}"
    named = dict(kinds.most_common(MOST_GROUPS))
    groups = [_group(c, market, kind, many) for (market, kind), many in kinds.items() if (market, kind) in named]
    if (rest := kinds.total() - sum(named.values())) > 0:
        groups.append(f"{rest:,} more")
    if len(c.finished) == 1:
        return f"{c.finished[0].ticker}, {groups[0].removeprefix('1 ')}, {walked}"
    if len(groups) == 1:
        return f"{groups[0]}, {walked}"
    return f"{count(len(c.finished), 'ticker')}: {join(groups)}, {walked}"


def join(parts: Sequence[str]) -> str:
    """Parts as a list in a sentence: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def _group(c: Contents, market: str, kind: AssetClass, many: int) -> str:
    unit, _, base = market.rpartition(":")
    noun = NOUNS[kind][many != 1]
    words = [f"{many:,}", {"weekly": "weekly", "monthly": "monthly"}.get(unit, ""), MARKETS.get(base, base), noun]
    return " ".join(filter(None, [*words, _years(c, market)]))


def _years(c: Contents, market: str) -> str:
    """Years of a market's cutoffs: 2009-13, 1998-2003, 2012."""
    days = [day for fold in c.study.folds if fold.market == market for day in fold.cutoffs]
    if not days:
        return ""
    first, last = str(min(days))[:4], str(max(days))[:4]
    if first == last:
        return first
    return f"{first}-{last[2:] if first[:2] == last[:2] else last}"


def _ahead(c: Contents) -> str:
    return f"{count(c.study.experiment.walk.horizon, step_noun(c))} ahead"


def step_noun(c: Contents) -> str:
    """What a step is called: session, week, month, hourly bar; bar where markets differ or are finer."""
    periods = {t.market.rpartition(":")[0] for t in c.finished}
    period = periods.pop() if len(periods) == 1 else "?"
    within = period.removesuffix("@clock")
    return {"": "session", "weekly": "week", "monthly": "month", "1h": "hourly bar"}.get(within, "bar")
