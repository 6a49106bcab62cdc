"""Numbers as text: thousands, decimal commas, currency signs and units of thousands, one decimal sign a table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from s2squant.errors import PriceError
from s2squant.series.arrays import Dates, Floats

MISSING = ("", "-", "--", ".", "–", "—", "null", "none", "nan", "na", "n/a", "#n/a", "#n/a n/a", "<na>")
"""Cells that hold nothing, in lower case."""
SCALES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_CURRENCY = r"^\s*[$€£¥₹]\s*|\s*[$€£¥₹]\s*$|^\s+|\s+$"
_SPACED = r"(?<=\d)[ '’\u00a0\u202f](?=\d{3}(?:\D|$))"
_POINT = r"\.(?:\d{1,2}|\d{4,})$|,\d{3}\.|,\d{2,3},\d{3}$"
_COMMA = r",(?:\d{1,2}|\d{4,})$|\.\d{3},|\.\d{3}\.\d{3}$"
_GROUPS = r"[-+]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?"
_SWAP = str.maketrans(".,", ",.")


def decimal_sign(columns: Iterable[pd.Series], ticker: str) -> str:
    """The decimal sign of a table's columns: a comma where their text shows it and no point, else a point.

    Raises PriceError where every comma may be either sign: 1,234 is 1.234 or 1234.
    """
    point, comma, doubt = False, False, ""
    for column in columns:
        if _is_number(column):
            point |= bool(column.dtype.kind == "f" and (column.dropna() % 1 != 0).any())
            continue
        text = _bare(column)
        point |= bool(text.str.contains(_POINT, regex=True, na=False).any())
        comma |= bool(text.str.contains(_COMMA, regex=True, na=False).any())
        doubtful = text[text.str.fullmatch(r"-?\d{1,3},\d{3}", na=False)]
        doubt = doubt or (str(doubtful.iloc[0]) if len(doubtful) else "")
    if doubt and not point and not comma:
        apart = f"{doubt.replace(',', '.')} or {doubt.replace(',', '')}"
        raise PriceError(ticker, f"{doubt[:20]!r} may be {apart[:40]}; write numbers such as 1234.50")
    return "," if comma and not point else "."


def numbers(column: pd.Series, dates: Dates, name: str, ticker: str, decimal: str = ".") -> Floats:
    """Floats, NaN where a cell is empty; raises PriceError on text that is no number."""
    if _is_number(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = _bare(column)
    scale = np.ones(len(text))
    if name == "volume":
        ends = text.str.upper().str[-1:]
        scaled = ends.isin(list(SCALES)) & text.str[:-1].str.contains(r"\d$", regex=True, na=False)
        scale = np.where(scaled, ends.map(SCALES).fillna(1.0), 1.0).astype(np.float64)
        text = text.mask(scaled, text.str[:-1])
    if name == "splits":  # 4:1, 4/1 or 4 for 1
        ratio = text.str.extract(r"^(?P<new>[\d.]+)\s*(?::|/|for|-for-)\s*(?P<old>[\d.]+)$").astype(np.float64)
        text = text.mask(ratio["new"].notna(), (ratio["new"] / ratio["old"]).astype("str"))
    if decimal == ",":
        text = text.str.translate(_SWAP)
    grouped = text.str.fullmatch(_GROUPS, na=False)
    text = text.mask(grouped, text.str.replace(",", "", regex=False))
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(values) & column.notna().to_numpy() & ~text.str.lower().isin(MISSING).to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"{name} is {str(column.iloc[row]).strip()[:40]!r} on {dates[row]}"
        raise PriceError(ticker, f"{where}; write plain numbers such as 1234.50")
    return values * scale


def _is_number(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf"


def _bare(column: pd.Series) -> pd.Series:
    """Cells as text without currency signs, and without spaces between thousands."""
    text = column.astype("str").str.replace(_CURRENCY, "", regex=True)
    return text.str.replace(_SPACED, "", regex=True)
