"""Does adapting last night's weights pay? The same nights with and without it, on the embedded stocks.

    python benchmarks/adapting.py [--nights 120] [--end 2013-02-28] [--steps 8]

Two nightlies of the default settings issue from the same sessions; one takes so many gradient steps a night, the
other none; both retrain when it is due. Prints the CRPS of each network, and the difference by date with its interval
(Diebold-Mariano, EWC).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from s2squant.config.files import make_experiment
from s2squant.config.nightly import ISSUED, Nightly
from s2squant.evaluation.statistics.diebold_mariano import examine, interval_factor, p_value, t_statistic
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import forecast
from s2squant.prices.universe import open_source

STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")


def main() -> None:
    """Run both nightlies and compare what they issued."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=120)
    parser.add_argument("--end", default="2013-02-28")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    source = open_source("sample")
    histories = [source.history(ticker) for ticker in STOCKS]
    days = histories[0].dates[histories[0].dates <= np.datetime64(given.end)][-given.nights :]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.chdir(root)
        os.environ["S2SQUANT_LEDGER"] = f"sqlite:///{root / 'ledger.sqlite'}"
        (root / "bars").mkdir()
        specs = [nightly(root, name, steps) for name, steps in (("adapting", given.steps), ("still", 0))]
        for number, day in enumerate(days, 1):
            for history in histories:
                told = history.between(None, day)
                rows = {"Date": told.dates, "Adj Close": told.adj_close, **{k.title(): v for k, v in told.bars.items()}}
                pd.DataFrame(rows).to_parquet(root / "bars" / f"{history.ticker}.parquet", index=False)
            evening = datetime.fromisoformat(str(day)).replace(tzinfo=ZoneInfo("America/New_York"))
            evening += timedelta(hours=17.5)
            for spec in specs:
                night = forecast(spec, scheduled=evening, clock=lambda at=evening: at, workers=0)  # type: ignore[misc]
                if night.status != "done":
                    raise SystemExit(f"{spec.name} {day}: {night.status}: {night.message}")
            print(f"{number}/{len(days)} {day}", end="\r", flush=True)
        compare(Ledger())


def nightly(root: Path, name: str, steps: int) -> Nightly:
    """The default nightly on these stocks, with so many steps a night."""
    universe = {"source": f"parquet:{root / 'bars'}", "tickers": STOCKS, "store": str(root / "prices")}
    experiment = make_experiment({"name": name, "universe": universe, "forecasters": {"models": ISSUED}})
    made = Nightly(name=name, experiment=experiment, models=str(root / "models"))
    return made.model_copy(update={"retraining": made.retraining.model_copy(update={"steps": steps})})


def compare(ledger: Ledger) -> None:
    """Print CRPS (% log return) of each network, adapted and not, and what the difference is worth."""
    keys = ["model", "unique_id", "cutoff", "step"]
    both = ledger.record("adapting").merge(ledger.record("still"), on=keys, suffixes=("", "_still"))
    both = both[both["crps"].notna() & both["crps_still"].notna()]
    print(f"{'model':22} {'adapted':>9} {'still':>9} {'gain %':>8}  95 % interval      p   cutoffs")
    for model in ("seq2seq_per_ticker", "seq2seq_pooled", "blend"):
        rows = both[both["model"] == model]
        by_date = rows.groupby("cutoff")[["crps", "crps_still"]].mean()
        scale = by_date["crps_still"].mean()
        test = examine((by_date["crps_still"] - by_date["crps"]).to_numpy() / scale, overlap=20)
        mean, se, nu = (np.array(value) for value in (test.mean, test.se, test.nu))
        half = float(interval_factor(nu) * se)
        p = float(p_value(t_statistic(mean, se), nu))
        print(
            f"{model:22} {100 * by_date['crps'].mean():9.4f} {100 * scale:9.4f} {100 * test.mean:+8.2f}  "
            f"[{100 * (test.mean - half):+.2f}, {100 * (test.mean + half):+.2f}]  {p:6.3f}  {len(by_date):6}"
        )


if __name__ == "__main__":
    main()
