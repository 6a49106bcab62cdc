"""Scenarios as a forecast: paths drawn by a variational autoencoder, in the deviation that a ticker has at the origin.

The generator knows nothing of the origin but that deviation: what it can say of a path is its shape. Returns are less
their mean in training; the forecast drifts as every model's does (`shrunk_drifts`).

Source: Kingma and Welling (2014); a sequence decoder on a code, Bowman et al. (2016).
Shape legend: N origins, H steps ahead, S paths, A quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from s2squant.config.relatives import VariationalSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.baselines.sampling import PATHS_KEPT, sample_quantiles
from s2squant.forecasters.expected_return import Drifts, shrunk_drifts
from s2squant.forecasters.scenarios import FittedScenarios, fit_scenarios, known_units, restore_latent, return_windows
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel

NAME = "scenarios"


class Scenarios(VariationalSpec):
    """A variational autoencoder of windows of returns as long as the horizon, one for all tickers given.

    Its fields are its settings: what stands under `forecasters.own` for it.
    """

    paths: int = Field(512, ge=64, le=20_000, description="paths that stand for a forecast")

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedScenarioPaths:
        """Learn the windows that begin after the origins `rows`."""
        whole_N = rows[known_units(panel)[rows] > 0]
        windows = return_windows(panel, whole_N, horizon)
        centred = replace(windows, returns_NL=windows.returns_NL - windows.returns_NL.mean())
        spec = VariationalSpec.model_validate(self.model_dump(exclude={"paths"}))
        generator = fit_scenarios(centred, spec, seed=seed)
        return FittedScenarioPaths(self, generator, shrunk_drifts(panel), seed)

    def restore(self, state: State) -> FittedScenarioPaths:
        """The fitted forecaster that wrote `state`; raises CheckpointError where its parts do not fit together."""
        generator = restore_latent(State(state.arrays, state.meta.get("latent", {})))
        if not isinstance(generator, FittedScenarios):
            raise CheckpointError("this state draws no scenarios; fit again")
        spec = Scenarios.model_validate(state.meta["spec"])
        return FittedScenarioPaths(spec, generator, Drifts.restored(state), int(state.meta["seed"]))


@dataclass(frozen=True)
class FittedScenarioPaths:
    """A generator and the tickers' drifts; the same paths, in units, stand for every origin."""

    spec: Scenarios
    generator: FittedScenarios
    drifts: Drifts
    seed: int
    name: str = NAME

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles of the paths, their mean taken out, and some of the paths themselves."""
        unit_N = known_units(panel)[rows]
        if not (unit_N > 0).all():
            raise ValueError(f"{self.name}: no deviation is known at a ticker's first bar; forecast from a later one")
        sums_SH: Floats = np.cumsum(self.generator.draw(self.spec.paths, seed=self.seed), axis=1)
        sums_SH -= sums_SH.mean(axis=0)
        drift_N1 = self.drifts.of(panel)[panel.ticker_of[rows]][:, None]
        drift_NH = drift_N1 * np.arange(1, sums_SH.shape[1] + 1)
        levels_HA = sample_quantiles(sums_SH.T.copy())
        levels_NHA = unit_N[:, None, None] * levels_HA + drift_NH[:, :, None]
        paths_NSH = unit_N[:, None, None] * sums_SH[:PATHS_KEPT] + drift_NH[:, None]
        return Forecast.of_levels(self.name, rows, levels_NHA, drift_NH, paths_NSH.astype(np.float32))

    def state(self) -> State:
        latent, drifts = self.generator.state(), self.drifts.state()
        plain = {"spec": self.spec.model_dump(mode="json"), "latent": dict(latent.meta), "seed": self.seed}
        return State({**latent.arrays, **drifts.arrays}, {**plain, **drifts.meta})
