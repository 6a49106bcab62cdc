"""Delimited text as people export it: encodings, separators, preambles, headings of several rows, none, and footers."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from io import StringIO

import pandas as pd

from s2squant.prices.sources.exports import HEADLESS, is_date, is_price, plain
from s2squant.prices.sources.room import check_text

SEPARATORS = ",;\t|"
LOOKED_AT = 60
"""Lines among which the heading is looked for."""
BLANKS = ["-", "--", ".", "–", "—"]
"""What stands for an empty cell beside pandas' own list."""
_ODD = {b"PK\x03\x04": "a spreadsheet or a zip file", b"\x1f\x8b": "compressed", b"PAR1": "a parquet file"}
_DAY = r"\s*\d{4}[-/.]?\d{1,2}[-/.]?\d{1,2}|\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\s*\d{1,2}[- ][A-Za-z]{3}"


class TableError(ValueError):
    """A file that holds no table: cause and remedy in one line."""


class EmptyError(TableError):
    """A file with nothing in it but blanks."""


@dataclass(frozen=True)
class Heading:
    """Where a table begins, and what its columns are called."""

    names: list[str]
    separator: str
    body: int
    """Lines before the first row."""


def read_delimited(data: bytes, *, most_rows: int | None = None) -> pd.DataFrame:
    """The table in a delimited file, dates as text; raises TableError (cause and remedy in one line) for another.

    Raises TooLargeError for one that asks for too much.
    """
    text = decoded(data)
    lines = _first_lines(text)
    heading = _heading(lines)
    start = sum(len(line) for line in lines[: heading.body])
    names, body = _as_wide(heading, lines[heading.body :]), text[start:]
    check_text(len(data), body.count("\n"), len(names), most_rows)
    as_text = range(len(names)) if heading.separator != "," else [k for k, n in enumerate(names) if is_date(plain(n))]
    try:
        frame = pd.read_csv(
            StringIO(body),
            sep=heading.separator,
            header=None,
            names=list(range(len(names))),
            dtype=dict.fromkeys(as_text or [0], "str"),
            na_values=BLANKS,
            skipinitialspace=True,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame(columns=range(len(names)))
    except pd.errors.ParserError as error:
        raise TableError(_line_of(str(error), heading.body)) from None
    frame.columns = pd.Index(names)
    return _without_footer(frame)


def _as_wide(heading: Heading, lines: list[str]) -> list[str]:
    """The heading's names, as many as the first rows hold cells; raises TableError where they cannot be theirs."""
    rows = [cells for line in lines if any(cells := _cells(line, heading.separator))]
    names, width = [*heading.names], len(rows[0]) if rows else 0
    if width == len(names) + 1 and re.match(_DAY, rows[0][0]) and not any(is_date(plain(name)) for name in names):
        return ["Date", *names]  # row names, which R writes without a heading
    if width > len(names) and not any(rows[0][len(names) :]):  # a comma at the end of every row
        return [*names, *[""] * (width - len(names))]
    if width > len(names):
        raise TableError(
            f"rows hold more cells than the heading: line {heading.body + 1} has {width}, the heading {len(names)}; "
            "quote cells that hold a separator, or write 1234.50 for 1,234.50"
        )
    meant = max((k + 1 for k, name in enumerate(names) if name), default=0)
    if rows and (most := max(len(cells) for cells in rows)) < meant:
        raise TableError(f"rows hold fewer cells than the heading: {most} of {meant}; see to its separators")
    return names


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with its mark, or Windows-1252; raises ValueError where it is none."""
    if kind := next((kind for mark, kind in _ODD.items() if data.startswith(mark)), ""):
        raise TableError(f"it is {kind}; save it as CSV")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252")
    if re.match(r"\s*<(!doctype|html|\?xml)", text[:200], re.IGNORECASE):
        raise TableError("it is a web page, not a table; download it again")
    head = re.sub(r"\s", "", text[:1000])
    if sum(sign.isprintable() for sign in head) < 0.9 * len(head):
        raise ValueError("it is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _first_lines(text: str) -> list[str]:
    """The first lines, ends included."""
    lines: list[str] = []
    start = 0
    while start < len(text) and len(lines) < LOOKED_AT:
        end = text.find("\n", start) + 1 or len(text)
        lines.append(text[start:end])
        start = end
    return lines


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def _heading(lines: list[str]) -> Heading:
    """The heading among the first lines; raises TableError where there is none."""
    filled = [n for n, line in enumerate(lines) if line.strip(" \t\n,;|") and not line.startswith("#")]
    if not filled:
        raise EmptyError
    for name, form, columns in HEADLESS:
        if re.fullmatch(form, lines[filled[0]].strip()):
            return Heading(list(columns), ";" if name == "HistData" else ",", filled[0])
    told = re.match(r'"?sep=(.)', lines[filled[0]])
    tried = told[1] if told else SEPARATORS
    for n in filled:
        for separator in tried:
            cells = _cells(lines[n], separator)
            names = [plain(cell) for cell in cells]
            if len(cells) < 2 or not any(is_date(name) for name in names) or _goes_on(lines, n):
                continue
            if any(cells[1:]):
                return Heading(cells, separator, n + 1)
            if rows := [_cells(lines[k], separator) for k in filled if k < n and len(_cells(lines[k], separator)) > 1]:
                return Heading([cells[0], *_of_rows(rows)], separator, n + 1)  # yfinance: Price, Ticker, Date
    first = filled[1] if told else filled[0]
    separator = max(tried, key=lambda sign: len(_cells(lines[first], sign)))
    for n in (k for k in filled if k >= first):
        cells = _cells(lines[n], separator)
        if len(cells) > 1 and any(is_price(plain(cell)) for cell in cells):
            return Heading(cells, separator, n + 1)
    if re.match(_DAY, lines[first].strip('"')):
        raise TableError(f"line {first + 1} holds a row already, and no line names the columns; begin with Date,Close")
    return Heading(_cells(lines[first], separator), separator, first + 1)


def _goes_on(lines: list[str], n: int) -> bool:
    """Whether the next line is of the same heading, as yfinance's rows Price, Ticker and Date are."""
    first, second = (re.match(r'"?(Price|Ticker|Date)\b', line) for line in (lines[n], "".join(lines[n + 1 : n + 2])))
    return first is not None and second is not None


def _of_rows(rows: list[list[str]]) -> list[str]:
    """Names of columns whose fields and tickers stand in rows of their own: the field, and the ticker where several."""
    width = max(len(row) for row in rows)
    levels = [[*row[1:], *[""] * (width - len(row))] for row in rows]
    fields = next((level for level in levels if any(is_price(plain(cell)) for cell in level)), levels[0])
    tickers = next((level for level in levels if level is not fields), [""])
    return fields if len(set(tickers)) == 1 else [f"{f} {t}" for f, t in zip(fields, tickers, strict=True)]


def _line_of(message: str, before: int) -> str:
    """What pandas says of a line, with the line's number in the file."""
    told = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if told is None:
        return " ".join(message.split())[:160]
    cells, line, saw = told.groups()
    return f"line {int(line) + before} has {saw} cells, the heading {cells}; write 1234.50 for 1,234.50"


def _without_footer(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without rows at its end that hold one cell of words: who made the file, and when."""
    filled = frame.notna().to_numpy()
    last = len(frame)
    while last and not filled[last - 1, 1:].any() and not re.match(_DAY, str(frame.iloc[last - 1, 0])):
        last -= 1
    return frame.iloc[:last] if last < len(frame) and last else frame
