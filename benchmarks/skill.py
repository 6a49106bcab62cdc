"""CRPS skill on 20 US stocks, 2016-2022: python benchmarks/skill.py DIR   (DIR as written by benchmarks/sp500.py)

The bank and the networks are fitted once, on bars to 2015-12-31, and never again; GARCH(1,1)-t and GJR(1,1)-t get a
refit every 250 bars. Cutoffs every 10 bars, horizon 20. Skill is 1 - CRPS / CRPS of GARCH-t, averaged over stocks, with
a standard error from the date-averaged differences (EWC); settings are the package's defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from s2squant.config.experiment import Experiment, Universe
from s2squant.config.models import ModelName
from s2squant.evaluation.losses import score
from s2squant.evaluation.verdict import judge
from s2squant.forecasters.blend import blend
from s2squant.forecasters.catalog import make
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.universe import load_universe
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Fitted, Forecast, quantile_crps
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel

HORIZON, EVERY, REFIT = 20, 10, 250
ACCEPT = ("placeholder before listing",)
"""RRC's first 69 bars are one price; the measure is of all 20 stocks, from the dataset's first day."""


def main() -> None:
    """Fit, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--fit-to", default="2015-12-31", help="last bar the bank and the networks see")
    parser.add_argument("--test-to", default="2022-12-31")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    experiment = Experiment(seed=options.seed)
    loaded = load_universe(Universe(source=f"csv:{options.folder}", end=options.test_to, accept=ACCEPT))
    panel = Panel(loaded.histories)
    days = panel.calendar_dates()
    first = int(np.searchsorted(days, np.datetime64(options.fit_to), side="right"))
    cutoffs = days[first : len(days) - HORIZON : EVERY]
    past = panel.until(options.fit_to)
    rows = np.arange(len(past.dates))
    rows = rows[(past.bar_number(rows) >= experiment.forecasters.anchor.warmup) & (past.bars_left(rows) >= HORIZON)]
    test = np.flatnonzero(np.isin(panel.dates, cutoffs))
    forecasts: list[Forecast] = []

    def run(name: ModelName, predict: Callable[[], Forecast]) -> None:
        start = time.process_time()
        forecasts.append(predict())
        print(f"{name:22} {time.process_time() - start:6.1f} CPU s", flush=True)

    settings, fitted = experiment.forecasters, dict[str, Fitted]()
    anchor = make("anchor", settings).fit(past, rows, horizon=HORIZON, seed=options.seed)

    def once(name: ModelName) -> Forecast:
        model = make(name, settings, anchor=anchor)  # type: ignore[arg-type]
        fitted[name] = model.fit(past, rows, horizon=HORIZON, seed=options.seed)
        return fitted[name].predict(panel, test)

    baselines: tuple[ModelName, ...] = ("historical_simulation", "garch_t", "gjr_t")
    for name in baselines:
        run(name, lambda name=name: refitted(name, experiment, panel, test, cutoffs))  # type: ignore[misc]
    ours: tuple[ModelName, ...] = ("anchor", "seq2seq_per_ticker", "seq2seq_pooled")
    for name in ours:
        run(name, lambda name=name: once(name))  # type: ignore[misc]
    sessions = {h.ticker: next_sessions(h.calendar, h.dates[-1], HORIZON) for h in panel.histories}
    frame = pd.concat([to_frame(panel, f, sessions) for f in forecasts], ignore_index=True)
    markets = dict.fromkeys(panel.tickers, panel.market)
    blended, gates = blend(frame, quantile_crps, settings.blending, markets)
    frame = pd.concat([frame, blended], ignore_index=True)
    report(frame, experiment, markets)
    dropped = gates[~gates["kept"]].groupby("member").size().to_dict()
    print(f"gate: {len(cutoffs)} cutoffs, member left out of the blend: {dropped or 'never'}")


def refitted(name: ModelName, experiment: Experiment, panel: Panel, test: Ints, cutoffs: np.ndarray) -> Forecast:
    """A baseline's forecast with a refit every REFIT bars."""
    parts = []
    for block in np.array_split(cutoffs, range(REFIT // EVERY, len(cutoffs), REFIT // EVERY)):
        past = panel.until(block[0])
        everything = np.arange(len(past.dates))
        model = make(name, experiment.forecasters).fit(past, everything, horizon=HORIZON, seed=experiment.seed)
        parts.append(model.predict(panel, test[np.isin(panel.dates[test], block)]))
    rows = np.concatenate([p.rows for p in parts])
    order = np.argsort(rows)
    quantiles = np.concatenate([p.quantiles_NHQ for p in parts])[order]
    return Forecast(name, rows[order], quantiles, np.concatenate([p.mean_NH for p in parts])[order])


def report(frame: pd.DataFrame, experiment: Experiment, markets: dict[str, str]) -> None:
    """Skill against GARCH-t and GJR-t, share of stocks won, coverage."""
    losses = score(frame)
    kinds = {m: "baseline" if m in ("historical_simulation", "garch_t", "gjr_t") else "network" for m in losses.models}
    print(
        f"\n{'model':22} {'CRPS %':>7}  {'vs GARCH-t':>16} {'won':>4}  {'vs GJR-t':>16} {'won':>4}  coverage 50/80/95"
    )
    tables = {}
    for reference in ("garch_t", "gjr_t"):
        spec = experiment.verdict.model_copy(update={"reference": reference})
        tables[reference] = judge(
            losses, every=EVERY, horizon=HORIZON, spec=spec, kinds=kinds | {reference: "reference"}, markets=markets
        ).leaderboard.set_index("model")
    for model in tables["garch_t"].index:
        row, other = (dict(table.loc[model]) for table in tables.values())
        against = [
            f"{100 * r['skill']:+6.2f} % ({100 * (r['effect_high'] - r['effect']) / 2:.2f}) {r['won']:4.2f}"
            for r in (row, other)
        ]
        cover = "/".join(f"{100 * row[f'coverage_{c}']:.1f}" for c in (50, 80, 95))
        print(f"{model:22} {row['crps']:7.4f}  {against[0]:>21}  {against[1]:>21}  {cover}")


if __name__ == "__main__":
    main()
