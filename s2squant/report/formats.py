"""Numbers as people read them: typographic minus, signs on percentages, a dash for what is not known.

Fractions come in (0.012) and percentages go out (1.20 %); dates go out as 2024-05-31.
"""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

import pandas as pd

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def known(value: Any) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def number(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A number with thousands separated, `digits` decimals and, when asked, its sign."""
    if not known(value):
        return UNKNOWN
    rounded = round(float(value), digits) + 0.0
    text = f"{rounded:{'+' if sign and rounded else ''},.{digits}f}"
    return text.replace("-", MINUS)


def percent(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A fraction as a percentage."""
    return number(100 * value, digits, sign) + THIN + "%" if known(value) else UNKNOWN


def probability(value: Any) -> str:
    """A probability rounded down to a whole percentage: never 100 %, which no sample shows."""
    if not known(value):
        return UNKNOWN
    whole = min(math.floor(100 * value + 1e-9), 99)
    return f"{whole}{THIN}%" if whole else f"< 1{THIN}%"


def skill(value: Any) -> str:
    """A relative skill with its sign."""
    return percent(value, 2, sign=True)


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """An interval of fractions in percent, without the unit: [−0.60, +1.30]."""
    if not (known(low) and known(high)):
        return ""
    return f"[{number(100 * low, digits, True)}, {number(100 * high, digits, True)}]"


def pvalue(value: Any) -> str:
    """A p value; small ones as a bound."""
    if not known(value):
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def price(value: Any, like: float | None = None) -> str:
    """A price with the decimals its size asks for, or that of a price it stands beside."""
    if not known(value):
        return UNKNOWN
    size = abs(value if like is None else like)
    digits = 2 if size >= 10 else 4 if size >= 0.1 else 6
    return number(value, digits)


def day(value: Any) -> str:
    """A date as 2024-05-31, a moment within it as 2024-05-31 14:30 (UTC)."""
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError):
        return str(value)
    if pd.isna(stamp):
        return UNKNOWN
    return str(stamp.date()) if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M}"


def moment(value: str) -> str:
    """A timestamp to the minute where `value` is one, otherwise the text as it stands."""
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError):
        return value
    return value if pd.isna(stamp) else stamp.strftime("%Y-%m-%d %H:%M") + (" UTC" if stamp.tzinfo else "")


def duration(seconds: Any) -> str:
    """Seconds as people say them."""
    if not known(seconds):
        return str(seconds)
    if seconds < 90:
        return f"{seconds:.1f}{THIN}s"
    return f"{int(seconds // 60)}{THIN}min {int(seconds % 60)}{THIN}s"


def typeset(text: str) -> str:
    """Text from elsewhere: a true minus before numbers, no line break before a percent sign, no Markdown backticks."""
    text = re.sub(r"`([^`]*)`", r"\1", text)
    return re.sub(r"(?<=\d) %", THIN + "%", re.sub(r"(?<![\w.-])-(?=\d)", MINUS, text))


def count(many: int, noun: str) -> str:
    """`3 tickers`, `1 ticker`."""
    return f"{many:,} {noun}{'' if many == 1 else 's'}"


FILTERS = {
    "number": number,
    "percent": percent,
    "skill": skill,
    "pvalue": pvalue,
    "price": price,
    "day": day,
    "moment": moment,
    "duration": duration,
    "typeset": typeset,
}
"""What the templates may call by name."""
