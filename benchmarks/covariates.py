"""What a volatility index adds to forecasts of its market: python benchmarks/covariates.py [DIR TICKER INDEX] [--start]

Without a folder the S&P 500 and VIX of 2014 to 2018, which the package arch ships. With one, the CSV files TICKER.csv
and INDEX.csv in it, each with columns Date and Close; the index a volatility, in any unit. Prints the relative gain in
CRPS of each model with the index over the same model without it, by step, with its 95 % interval (EWC on dates).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.tuning.ablation import open_ablation

HORIZON = 20


def arch_files(folder: Path) -> tuple[str, str]:
    """Write what arch ships, from where VIX begins; returns both names."""
    from arch.data import sp500, vix

    fear = vix.load()["vix"].dropna()
    prices = sp500.load()["Adj Close"].loc[fear.index[0] :]
    for name, values in (("SP500", prices), ("VIX", fear)):
        values.rename("Close").rename_axis("Date").to_csv(folder / f"{name}.csv")
    return "SP500", "VIX"


def experiment(folder: Path, ticker: str, index: str, start: str | None, cutoffs: int) -> Experiment:
    """The anchor, ridge regression and boosted quantiles, with the index as a variance and without it."""
    return make_experiment(
        {
            "universe": {"source": f"csv:{folder}", "tickers": [ticker], "start": start, "accept": ["all"]},
            "covariates": [{"name": index, "ticker": index, "transform": "variance"}],
            "walk": {"horizon": HORIZON, "cutoffs": cutoffs, "every": 5, "refit_every": 250, "min_train": 500},
            "forecasters": {"models": ["historical_simulation", "ridge", "gbm", "anchor"]},
            "verdict": {"recommended": "anchor", "rival": ""},
        }
    )


def main() -> None:
    """Run it and print a line a model and step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("ticker", nargs="?", default="SP500")
    parser.add_argument("index", nargs="?", default="VIX")
    parser.add_argument("--start", help="first date used")
    parser.add_argument("--cutoffs", type=int, default=140)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, ticker, index = args.folder or Path(scratch), args.ticker, args.index
        if args.folder is None:
            ticker, index = arch_files(folder)
        wanted = experiment(folder, ticker, index, args.start, args.cutoffs)
        with open_ablation(wanted, Path(scratch) / "run", workers=0) as ablation:
            for _ in ablation.execute():
                pass
            gains = ablation.finish().gains
    steps = gains[gains["step"].isin(["all", "1", "5", str(HORIZON)])].astype({"step": str})
    print(f"{index} on {ticker}, relative gain in CRPS of a model with it over the same without it\n")
    print("model    step   gain %   95 % interval      p  n_eff")
    for row in steps.to_dict("records"):
        gain, low, high = (100 * row[name] for name in ("effect", "low", "high"))
        interval = f"[{low:5.2f}, {high:5.2f}] {row['p']:6.3f} {row['n_eff']:6.0f}"
        print(f"{row['model']:8} {row['step']:>4} {gain:8.2f}   {interval}")


if __name__ == "__main__":
    main()
