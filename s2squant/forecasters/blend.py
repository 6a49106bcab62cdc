"""The blend: an equal-weight average of quantiles over the anchor and every member whose gate is open.

A member earns it by what it does for the average, not by what it is alone: one that is no better than the anchor may
still err at other times (Bates and Granger 1969). The gate looks only at matured forecasts: at a cutoff it reads the
outcomes of cutoffs whose last step had its date by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.models import BlendSpec, Forecasters
from s2squant.series.arrays import Floats
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from s2squant.series.long_table import KEYS

GATE_COLUMNS = ["market", "cutoff", "member", "matured", "mean_difference", "kept"]

BLOCK = 100_000
"""Rows whose averages are held at once."""

Loss = Callable[[Floats, Floats], Floats]
"""From outcomes (N,) and quantiles (N, Q) to losses (N,), NaN where the outcome is unknown: quantile_crps."""


def blend(
    forecasts: pd.DataFrame, loss: Loss, spec: BlendSpec, markets: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average the members (Vincent averaging of quantiles); returns the blend's rows and the gate's decisions.

    `forecasts` is the long table of the anchor and all members, with its outcomes `y` (NaN where unknown), `markets`
    the market of each ticker. A market's gate pools its tickers, each loss difference in units of the anchor's own 95 %
    width.
    """
    models = forecasts["model"].to_numpy()
    parts: dict[str, NDArray[np.intp]] = {}
    for model in ("anchor", *spec.members):
        chosen = np.flatnonzero(models == model)
        keys = forecasts.iloc[chosen][KEYS]
        parts[model] = chosen[np.lexsort((keys["step"], keys["cutoff"], keys["unique_id"]))]
    base = forecasts.iloc[parts["anchor"]]
    for model in spec.members:
        if not np.array_equal(forecasts.iloc[parts[model]][KEYS].to_numpy(), base[KEYS].to_numpy()):
            raise ValueError(f"{model} and the anchor forecast different units; they cannot be averaged")
    better = _worth(forecasts, parts, loss)
    market = base["unique_id"].map(markets).to_numpy()
    gates = pd.concat([_gate(base, market, m, better[m], spec) for m in spec.members], ignore_index=True)
    total = base[list(QUANTILE_COLUMNS)].to_numpy(np.float64, copy=True)
    mean, count = base["mean"].to_numpy(np.float64, copy=True), np.ones(len(base))
    place = pd.MultiIndex.from_arrays([market, base["cutoff"]])
    for model in spec.members:
        passed = gates[gates["member"] == model].set_index(["market", "cutoff"])["kept"]
        use = passed.reindex(place).to_numpy(bool)
        rows = forecasts.iloc[parts[model][use]]
        total[use] += rows[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
        mean[use] += rows["mean"].to_numpy(np.float64)
        count[use] += 1
    blended = base.assign(model="blend", mean=(mean / count).astype(np.float32))
    blended[list(QUANTILE_COLUMNS)] = (total / count[:, None]).astype(np.float32)
    return blended.reset_index(drop=True), gates


def with_blend(
    forecasts: pd.DataFrame, models: Forecasters, markets: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table with the blend's rows after the others, if it is one of the models, and the gate's decisions."""
    if "blend" not in models.models:
        return forecasts, pd.DataFrame(columns=GATE_COLUMNS)
    rows, gates = blend(forecasts, quantile_crps, models.blending, markets)
    return pd.concat([forecasts, rows], ignore_index=True), gates


def _worth(forecasts: pd.DataFrame, parts: Mapping[str, NDArray[np.intp]], loss: Loss) -> dict[str, Floats]:
    """Worth of each member by row: how much more the average of the others loses without it."""
    columns, rows = list(QUANTILE_COLUMNS), len(parts["anchor"])
    members = [model for model in parts if model != "anchor"]
    worth = {model: np.full(rows, np.nan) for model in members}
    y = forecasts["y"].to_numpy(np.float64)[parts["anchor"]]
    known = np.flatnonzero(np.isfinite(y))
    for block in np.array_split(known, -(-len(known) // BLOCK)) if len(known) else []:
        said = {model: forecasts.iloc[rows_of[block]][columns].to_numpy(np.float64) for model, rows_of in parts.items()}
        width = said["anchor"][:, -1] - said["anchor"][:, 0]
        everybody = loss(y[block], sum(said.values(), np.zeros_like(said["anchor"])) / len(said))
        for model in members:
            others = [quantiles for name, quantiles in said.items() if name != model]
            without = loss(y[block], sum(others[1:], others[0]) / len(others))
            worth[model][block] = (without - everybody) / width
    return worth


def _gate(base: pd.DataFrame, market: NDArray[Any], member: str, better: Floats, spec: BlendSpec) -> pd.DataFrame:
    """Keep the member at a cutoff unless its matured mean difference is not above zero."""
    units = pd.DataFrame(
        {"market": market, "cutoff": base["cutoff"].to_numpy(), "ds": base["ds"].to_numpy(), "better": better}
    )
    records = []
    for name, group in units.groupby("market", sort=True):
        daily = group.groupby("cutoff").agg(better=("better", "mean"), matures=("ds", "max"))
        cutoffs, matures = daily.index.to_numpy(), daily["matures"].to_numpy()
        values = daily["better"].to_numpy()
        for cutoff in cutoffs:
            known = values[(matures <= cutoff) & np.isfinite(values)]
            mean = float(known.mean()) if len(known) else float("nan")
            passed = len(known) < spec.min_cutoffs or mean > 0
            records.append((name, cutoff, member, len(known), mean, passed))
    return pd.DataFrame(records, columns=GATE_COLUMNS)
