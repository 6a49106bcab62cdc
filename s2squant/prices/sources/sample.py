"""Source sample: real prices that ship with the package. Where they come from: data/sample/README.md."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from s2squant.errors import SourceError
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.table import from_frame, read_parquet
from s2squant.series.history import PriceHistory

CURRENCIES = ("USD", "JPY", "GBP", "CHF", "AUD", "CAD", "SEK", "NOK", "NZD", "ZAR")


class SampleSource(ListedSource):
    """Five US stocks 2000-2013 (XNYS) and ten ECB euro reference rates 1999-2026 (ECB); or hours of EURUSD, 2017."""

    def __init__(self, part: Literal["", "hourly"] = "") -> None:
        self._part = part
        self._folder = sample_folder() / part if part else sample_folder()
        names = (Path(item.name) for item in self._folder.iterdir())
        super().__init__(
            f"sample:{part}" if part else "sample", sorted(name.stem for name in names if name.suffix == ".parquet")
        )

    def default_universe(self) -> tuple[str, ...]:
        """The tickers of universe.txt: those with enough bars for a backtest; all that there are of hours."""
        if self._part:
            return self.tickers()
        lines = (self._folder / "universe.txt").read_text(encoding="utf-8").splitlines()
        return tuple(name for line in lines if (name := line.partition("#")[0].strip()))

    def history(self, ticker: str) -> PriceHistory:
        """The embedded bars of a ticker."""
        self.check([ticker])
        frame = read_parquet((self._folder / f"{ticker}.parquet").read_bytes())
        if self._part:
            return from_frame(frame, ticker, source=self.name, calendar="1h:24/5")
        calendar = "ECB" if ticker.startswith("EUR") and ticker[3:] in CURRENCIES else "XNYS"
        return from_frame(frame, ticker, source=self.name, calendar=calendar)


def sample_folder() -> Traversable:
    """Where the embedded files are: package data of an installed wheel, or data/sample of a checkout."""
    package = files("s2squant")
    checkout = Path(str(package)).parent / "data" / "sample"
    for folder in (package / "sample", checkout):
        if (folder / "universe.txt").is_file():
            return folder
    raise SourceError("the sample prices are missing from this installation; install s2squant again")
