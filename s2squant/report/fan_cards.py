"""Cards of the first screen: every ticker's newest forecast as a small fan, drawn as SVG so that it needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from s2squant.report.fan_charts import Fan, last_fan
from s2squant.report.formats import THIN, count, known, number, percent, price
from s2squant.report.names import market_name
from s2squant.report.study_view import NEWEST, Contents, Row, rows
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class Size:
    """Pixels of a fan; those kept free at the right for its end labels, above it, and for the dates beneath."""

    width: int
    height: int
    right: int
    top: int
    foot: int


CARD, IN_ROW = Size(300, 112, 52, 8, 16), Size(132, 38, 2, 3, 3)
BEFORE = 60
"""Bars of history before the forecast."""
APART = 11
"""Pixels between two end labels."""


@dataclass(frozen=True)
class Card:
    """One ticker's forecast as a small fan, in words, and the figures that cards are sorted by."""

    ticker: str
    market: str
    word: str
    """Its verdict, or "" where it was not scored."""
    picture: Markup
    range: str
    """`56.14 → 57.86 by 2013-04-01, 80 % range 50.34 to 64.78`."""
    trust: str
    """`the 80 % bands held 81.7 % of 100 past forecasts`; "" where none was scored."""
    move: float
    """Median at the last step over the price at the cutoff, less one."""
    width: float
    """80 % range at the last step over the price at the cutoff."""
    skill: float
    gap: float
    """Distance of the 80 % bands' coverage from 0.8."""


def newest_fans(c: Contents) -> dict[str, Fan]:
    """The newest forecast of the recommended model, by finished ticker that has one, in the study's order."""
    histories = [(t.ticker, c.study.histories[t.ticker]) for t in c.finished if t.ticker in c.study.histories]
    fans = ((ticker, last_fan(c.of(NEWEST, ticker), c.recommended, history)) for ticker, history in histories)
    return {ticker: fan for ticker, fan in fans if fan is not None}


def cards(c: Contents, fans: Mapping[str, Fan]) -> list[Card]:
    """A card for every finished ticker that has a forecast, in the study's order."""
    verdicts = {str(r["unique_id"]): r for r in rows(c.study.by_ticker, {"model": c.recommended})}
    return [
        card(t.ticker, t.market, fans[t.ticker], c.study.histories[t.ticker], verdicts.get(t.ticker))
        for t in c.finished
        if t.ticker in fans
    ]


def card(ticker: str, market: str, fan: Fan, history: PriceHistory, row: Row | None) -> Card:
    """The card of one ticker; `row` is its row of by_ticker."""
    start, median, low, high = ends(fan)
    held = row["coverage_80"] if row else float("nan")
    return Card(
        ticker=ticker,
        market=market_name(market),
        word=str(row["word"]) if row else "",
        picture=small_fan(ticker, fan, history),
        range=range_words(fan),
        trust=trust_words(row),
        move=median / start - 1,
        width=(high - low) / start,
        skill=float(row["skill"]) if row and known(row["skill"]) else float("nan"),
        gap=abs(held - 0.8) if known(held) else float("nan"),
    )


def ends(fan: Fan) -> tuple[float, float, float, float]:
    """Price at the cutoff; median, 10 % and 90 % quantile at the last step."""
    median, low, high = (float(fan.path(q)[-1]) for q in ("q0.500", "q0.100", "q0.900"))
    return float(fan.path("q0.500")[0]), median, low, high


def range_words(fan: Fan) -> str:
    """A forecast in one line: `56.14 → 57.86 by 2013-04-01, 80 % range 50.34 to 64.78`."""
    start, median, low, high = ends(fan)
    line = f"{price(start)} → {price(median)} by {fan.labels[-1]}, 80{THIN}% range {price(low)} to {price(high)}"
    return (
        line if fan.is_open or not known(float(fan.realised[-1])) else f"{line}; it came to {price(fan.realised[-1])}"
    )


def trust_words(row: Row | None) -> str:
    """Share of past outcomes inside the 80 % bands, with the number of forecasts."""
    if row is None or not known(row.get("coverage_80")):
        return ""
    held, many = percent(row["coverage_80"], 1), count(int(row["n"]), "past forecast")
    return f"the 80{THIN}% bands held {held} of {many}"


def small_fan(ticker: str, fan: Fan, history: PriceHistory, size: Size = CARD) -> Markup:
    """History, a line at the cutoff, the 80 % band and the median; of a card also dates and the prices at its end."""
    end = int(np.searchsorted(history.dates, fan.dates[0]))
    past = np.asarray(history.adj_close[max(end - BEFORE, 0) : end + 1], dtype=float)
    low, mid, high = (np.asarray(fan.path(q), dtype=float) for q in ("q0.100", "q0.500", "q0.900"))
    everything = np.concatenate([past, low, high])
    least, most = float(everything.min()), float(everything.max())
    steps, inner = len(mid) - 1, size.width - size.right
    cut = inner * 0.62
    x_past = np.linspace(cut * (1 - (len(past) - 1) / BEFORE), cut, len(past)) if len(past) > 1 else np.array([cut])
    x_ahead = cut + (inner - cut) * np.arange(steps + 1) / max(steps, 1)

    def y(values: Floats) -> Floats:
        share = (values - least) / (most - least) if most > least else np.full(len(values), 0.5)
        return size.top + (1 - share) * (size.height - size.top - size.foot)

    shape = _points(np.concatenate([x_ahead, x_ahead[::-1]]), np.concatenate([y(high), y(low)[::-1]]))
    tags = _apart([float(y(values)[-1]) for values in (high, mid, low)], size.height - size.foot)
    labels = Markup("").join(
        Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>').format(css, inner + 4, place + 3.5, price(float(v[-1])))
        for css, place, v in zip(("edge", "mid", "edge"), tags, (high, mid, low), strict=True)
    )
    ended = Markup("")
    if known(float(fan.realised[-1])):
        ended = Markup('<circle class="came" cx="{:g}" cy="{:g}" r="3"/>').format(
            round(inner), round(float(y(np.array([fan.realised[-1]]))[0].clip(0, size.height)), 1)
        )
    today = "today" if fan.is_open else fan.labels[0]
    place = Markup('<text class="when" x="{:g}" y="{}" text-anchor="middle">{}</text>')
    base = size.height - 3
    written = place.format(round(cut, 1), base, today) + place.format(inner, base, fan.labels[-1][5:]) + labels
    return Markup(
        '<svg class="fan" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<line class="today" x1="{x:g}" x2="{x:g}" y1="2" y2="{foot}"/>'
        '<polygon class="band" points="{shape}"/><polyline class="past" points="{past}"/>'
        '<polyline class="ahead" points="{ahead}"/>{ended}{written}</svg>'
    ).format(
        w=size.width,
        h=size.height,
        label=f"{ticker}: {range_words(fan)}",
        x=round(cut, 1),
        foot=size.height - size.foot,
        shape=shape,
        past=_points(x_past, y(past)),
        ahead=_points(x_ahead, y(mid)),
        ended=ended,
        written=written if size.foot > 10 else "",
    )


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _apart(places: Sequence[float], lowest: int) -> list[float]:
    """Heights of labels, from the top down, moved apart so that none covers another."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + APART) if moved else place)
    over = moved[-1] - lowest
    return [place - max(over, 0.0) for place in moved]


def sort_key(value: float) -> str:
    """A figure for the page's script to sort by; empty where it is not known."""
    return number(value, 6).replace(",", "").replace("\N{MINUS SIGN}", "-") if known(value) else ""
