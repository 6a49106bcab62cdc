"""Write the 20 US stocks of skfolio's `load_sp500_dataset` (closes 1990-2022) as CSVs: python benchmarks/sp500.py DIR

Needs `pip install skfolio`, which is not a dependency; the data stay outside the repository, as their values are
Yahoo's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skfolio.datasets import load_sp500_dataset


def main(folder: str) -> None:
    """One CSV a ticker, columns Date and Close."""
    prices = load_sp500_dataset()
    Path(folder).mkdir(parents=True, exist_ok=True)
    for ticker in prices.columns:
        prices[ticker].rename("Close").rename_axis("Date").to_csv(Path(folder) / f"{ticker}.csv")
    print(f"{len(prices.columns)} files, {prices.index[0]:%Y-%m-%d} .. {prices.index[-1]:%Y-%m-%d}, in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/sp500.py DIR")
    main(sys.argv[1])
