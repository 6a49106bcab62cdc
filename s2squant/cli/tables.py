"""Tables and times as every command prints them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from s2squant.errors import shorten

LONGEST = 40
"""Characters of a ticker that a table shows."""


def plain_console(*, soft_wrap: bool = False, least: int = 0) -> Console:
    """Standard output without colours of numbers, and with tickers like [red] as they are.

    It is at least `least` characters wide: the terminal breaks longer lines.
    """
    console = Console(highlight=False, markup=False, soft_wrap=soft_wrap)
    console.width = max(console.width, least)
    return console


def plain_table(*names: str) -> Table:
    """An empty table without frames; a name that begins with > is a column of numbers, set to the right.

    Where the terminal is too narrow, the first column takes several lines, so that dates and numbers stay whole.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1))
    for place, name in enumerate(names):
        side: JustifyMethod = "right" if name.startswith(">") else "left"
        folds = place == 0
        table.add_column(
            name.removeprefix(">"), justify=side, no_wrap=not folds, overflow="fold" if folds else "ellipsis"
        )
    return table


def ticker_cell(ticker: str) -> str:
    """A ticker in a table: a name of 200 characters leaves the other columns their place."""
    return shorten(ticker, LONGEST)


def page_at(page: Path) -> str:
    """A page's address, which terminals make a link of."""
    return page.absolute().as_uri()


def local_time(moment: datetime | None) -> str:
    """A moment on this machine's clock; empty without one."""
    return "" if moment is None else f"{moment.astimezone():%a %Y-%m-%d %H:%M %Z}"
