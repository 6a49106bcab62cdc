"""The page of a prediction: each ticker's fan first, then its prices as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from s2squant.report.fan_charts import Fan, fan_chart, fan_rows
from s2squant.report.formats import THIN, count, percent, price
from s2squant.report.templating import fill
from s2squant.series.arrays import Floats
from s2squant.series.outlook import Outlook, short_history

MODEL = "pretrained"


def prediction_page(outlooks: Sequence[Outlook], source: str) -> bytes:
    """One page that holds everything, to keep or to send."""
    shown = [_shown(outlook, place) for place, outlook in enumerate(outlooks)]
    steps = len(outlooks[0].dates_H)
    names = [outlook.history.ticker for outlook in outlooks]
    title = ", ".join(names) if len(names) <= 3 else count(len(names), "ticker")
    noun = "bar" if outlooks[0].history.is_intraday else "session"
    values = {"shown": shown, "title": title, "steps": count(steps, noun), "source": source}
    return fill("prediction.html.j2", values, single_file=True)


def fan_of(outlook: Outlook) -> Fan:
    """A forecast from the last bar as the fan that charts draw."""
    start: Floats = np.full((1, outlook.prices_HQ.shape[1]), outlook.close)
    unknown = np.full(len(outlook.dates_H), np.nan)
    return Fan(
        model=MODEL,
        dates=np.concatenate([outlook.history.dates[-1:], outlook.dates_H]),
        quantiles_HQ=np.vstack([start, outlook.prices_HQ]),
        realised=np.concatenate([[outlook.close], unknown]),
        market=outlook.history.calendar,
    )


def _shown(outlook: Outlook, place: int) -> dict[str, Any]:
    fan, history = fan_of(outlook), outlook.history
    return {
        "id": f"t{place}",
        "ticker": history.ticker,
        "chart": fan_chart(f"fan-{place}", fan, None, history),
        "say": _said(outlook),
        "short": short_history(outlook),
        "rows": fan_rows(fan),
        "facts": f"{history.asset_class} ({'declared' if history.declared_class else 'guessed'}), "
        f"{history.calendar}, {count(len(history), 'bar')} from {history.dates[0]}",
    }


def _said(outlook: Outlook) -> str:
    """The forecast of the last step in two sentences."""
    last, when = len(outlook.dates_H), fan_of(outlook).labels
    edges = [price(edge, outlook.close) for edge in outlook.range(last, 80)]
    median = price(outlook.price(last, 0.5), outlook.close)
    fall, loss = percent(outlook.fall(last), 0), percent(outlook.value_at_risk(last), 1)
    return (
        f"{price(outlook.close)} on {when[0]}; by {when[-1]} the median is "
        f"{median}, the 80{THIN}% range {edges[0]} to {edges[1]}. A fall has a "
        f"probability of {fall}, a loss of more than {loss} one of 5{THIN}%."
    )
