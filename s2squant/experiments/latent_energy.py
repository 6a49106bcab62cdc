"""Scenarios as forecasts: energy scores of a variational autoencoder's paths beside GJR-FHS and historical simulation.

All three are fitted once on the first bars of each market and forecast twenty steps from later origins that share none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s2squant.config.models import Forecasters
from s2squant.evaluation.energy import energy_scores, path_scores
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.forecasters.catalog import make
from s2squant.forecasters.scenario_paths import Scenarios
from s2squant.runs.plan import by_market
from s2squant.series.forecast import Forecaster
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.windows import test_rows

HORIZON = 20
OURS, RIVAL, REFERENCE = "scenarios", "gjr_fhs", "historical_simulation"


def energies(
    histories: Sequence[PriceHistory], *, trained: float, warm: int, steps: int, seed: int, least: int = 512
) -> pd.DataFrame:
    """Energy scores of the three, as `energy_scores` gives them; fits see the share `trained` of a market's dates."""
    settings = Forecasters()
    makers: dict[str, Forecaster] = {OURS: Scenarios(steps=steps, paths=least)}
    makers |= {RIVAL: make(RIVAL, settings), REFERENCE: make(REFERENCE, settings)}
    records = []
    for members in by_market(tuple(histories)).values():
        panel = Panel(members)
        days = panel.calendar_dates()
        end = int(trained * len(days))
        past, every = panel.until(days[end - 1]), np.arange(len(panel.log_price))
        asked = test_rows(panel, days[end - 1 :: HORIZON])
        asked = asked[panel.bars_left(asked) >= HORIZON]
        known = every[: len(past.log_price)]
        rows = known[(past.bar_number(known) >= warm) & (past.bars_left(known) >= HORIZON) & past.settled(known)]
        for forecaster in makers.values():
            fitted = forecaster.fit(past, rows, horizon=HORIZON, seed=seed)
            records += list(path_scores(panel, days[end - 1], fitted.predict(panel, asked)))
    return energy_scores(records)


def energy_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a model: mean energy score, its gain on historical simulation, and on GJR-FHS with the error by date.

    Gains are relative to the ticker's mean score of historical simulation, averaged by date.
    """
    wide = scores.pivot_table(index=["unique_id", "cutoff"], columns="model", values="energy", observed=True).dropna()
    scale = wide[REFERENCE].groupby(level="unique_id", observed=True).transform("mean")
    rows = []
    for model in wide.columns:
        on = {
            rival: ((wide[rival] - wide[model]) / scale).groupby(level="cutoff").mean().to_numpy()
            for rival in (REFERENCE, RIVAL)
        }
        test = dm.examine(on[RIVAL], 1)
        reference = float(on[REFERENCE].mean())
        row = {"model": model, "energy": wide[model].mean(), "gain": reference, "gain_on_rival": test.mean}
        rows.append(row | {"se": test.se, "p": np.nan if model == RIVAL else test.p, "dates": test.n})
    return pd.DataFrame(rows).sort_values("energy", ignore_index=True)
