"""Gradient-boosted quantiles, direct: one boosted model a node (a few steps x a few levels), the rest interpolated.

Shape legend: M tickers, N origins, B training bars, F predictors, D node steps, G node levels, H steps ahead, Q levels.
Source: Friedman, Annals of Statistics 29 (2001); histograms as in LightGBM, by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from s2squant.config.baselines import GbmSpec
from s2squant.forecasters.baselines.exogenous import covariates_of, exogenous, names_read, owners, scaled_inputs
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.predictors import causal_scale, labelled, predictors
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.covariate_scale import Scale
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "gbm"
SCALES = ("centre", "scale")
"""Arrays of the covariates' scale, a row a ticker."""
READS = "reads"
"""Array (M, K): 1 for the covariates' columns that a ticker's models read."""
FEWEST_BARS = 250
"""Below so many training bars nothing is boosted: the shape is Gaussian."""
BLOCKS = 3
LEAST_GAIN = 0.001
"""Share of the loss that a covariate has to take away, out of block, to be read."""


class Lesson(NamedTuple):
    """One ticker's training bars, from which its models are grown again, bit for bit: trees are never unpickled."""

    unit: float
    inputs_BF: Floats
    labels_BH: Floats
    """Sums of returns over causal scale x sqrt(h)."""


@dataclass(frozen=True)
class Gbm:
    """Boosted quantiles of the standardised cumulative return, on past returns and volatilities."""

    spec: GbmSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedGbm:
        """Models on the last `spec.window` bars of every ticker with a training row."""
        tickers, names = tickers_of(panel, rows), names_read(panel)
        covariates = covariates_of(panel, names, NAME)
        owner_K, profiles = owners(covariates, horizon), profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        lessons, scales, reads = [], [], []
        for ticker in tickers:
            returns_T = even_returns(panel, ticker, sd_R)
            unit = scale_of(returns_T[-self.spec.window :])
            scaled_T = returns_T / unit
            scale_T = causal_scale(scaled_T, self.spec.decay)
            bars, labels_BH = labelled(scaled_T, scale_T, horizon, self.spec.window)
            more_TK = exogenous(panel, ticker, covariates, unit * scale_T, horizon)
            scales.append(Scale.of(more_TK[bars]))
            inputs_BF, more_BK = predictors(scaled_T)[bars], scaled_inputs(more_TK[bars], *scales[-1])
            few = len(labels_BH) < FEWEST_BARS or scaled_T.std() == 0
            state = ticker_seed(seed, ticker, NAME) % 2**32
            paying = set() if few else self._paying(inputs_BF, more_BK, owner_K, labels_BH, state)
            reads.append(np.array([name in paying for name in owner_K], bool))
            inputs_BF = np.concatenate([inputs_BF, more_BK[:, reads[-1]]], axis=1)
            lessons.append(
                Lesson(unit, inputs_BF[:0], np.empty((0, horizon))) if few else Lesson(unit, inputs_BF, labels_BH)
            )
        arrays = {"unit": np.array([lesson.unit for lesson in lessons])}
        if covariates is not None:
            arrays |= {name: np.array(values) for name, values in zip(SCALES, zip(*scales, strict=True), strict=True)}
            arrays[READS] = np.array(reads)
        for m, lesson in enumerate(lessons):
            arrays |= {f"inputs.{m}": lesson.inputs_BF, f"labels.{m}": lesson.labels_BH}
        return FittedGbm(self.spec, NAME, tickers, horizon, seed, arrays, covariates=names, profiles=profiles)

    def _paying(
        self, inputs_BF: Floats, more_BK: Floats, owner_K: Sequence[str], labels_BH: Floats, state: int
    ) -> set[str]:
        """The covariates that, each by itself, take LEAST_GAIN of the loss away on blocks of bars not learnt from."""
        if not owner_K:
            return set()
        plain = out_of_block_loss(self.spec, inputs_BF, labels_BH, state)
        mine = {name: np.array([owner == name for owner in owner_K]) for name in dict.fromkeys(owner_K)}
        losses = {
            name: out_of_block_loss(self.spec, np.concatenate([inputs_BF, more_BK[:, own]], axis=1), labels_BH, state)
            for name, own in mine.items()
        }
        return {name for name, loss in losses.items() if loss < (1 - LEAST_GAIN) * plain}

    def restore(self, state: State) -> FittedGbm:
        """The fitted forecaster that wrote `state`, its trees grown again."""
        return FittedGbm.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedGbm(FittedBaseline[GbmSpec]):
    """Boosted quantiles for named tickers, grown from their lessons when made."""

    models: tuple[dict[tuple[int, float], Any], ...] = field(init=False, repr=False)
    """By ticker: the boosted trees of each (step, level)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        grown = [self._grow(ticker, self._lesson(m)) for m, ticker in enumerate(self.tickers)]
        object.__setattr__(self, "models", tuple(grown))

    def _lesson(self, m: int) -> Lesson:
        return Lesson(float(self.arrays["unit"][m]), self.arrays[f"inputs.{m}"], self.arrays[f"labels.{m}"])

    def _grow(self, ticker: str, lesson: Lesson) -> dict[tuple[int, float], Any]:
        if not len(lesson.inputs_BF):
            return {}
        return grown(self.spec, lesson.inputs_BF, lesson.labels_BH, self.seed_of(ticker) % 2**32)

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles: scale x sqrt(h) x the interpolated standardised quantile; the mean is that of the quantiles."""
        quantiles_NHQ = np.empty((len(rows), self.horizon, len(LEVELS)))
        covariates = covariates_of(panel, self.covariates, NAME)
        for origins in self.origins(panel, rows):
            lesson, models = self._lesson(origins.number), self.models[origins.number]
            scaled_T = origins.returns / lesson.unit
            sd_T = lesson.unit * causal_scale(scaled_T, self.spec.decay)
            scale_NH = sd_T[origins.bars][:, None] * np.sqrt(origins.clock(self.horizon))
            shape_HQ = base_shape(lesson.labels_BH)
            if models:
                inputs_NF = predictors(scaled_T)[origins.bars]
                if covariates is not None:
                    more_TK = exogenous(panel, origins.ticker, covariates, sd_T, self.horizon)
                    own = (self.arrays[name][origins.number] for name in SCALES)
                    more_NK = scaled_inputs(more_TK[origins.bars], *own)
                    inputs_NF = np.concatenate([inputs_NF, more_NK[:, self.arrays[READS][origins.number] > 0]], axis=1)
                steps = node_steps(self.horizon, self.spec.nodes)
                nodes_NDG = np.array(
                    [[models[step, level].predict(inputs_NF) for level in self.spec.levels] for step in steps]
                ).transpose(2, 0, 1)
                standard_NHQ = interpolated(nodes_NDG, np.array(steps), np.array(self.spec.levels), shape_HQ)
            else:
                standard_NHQ = np.broadcast_to(shape_HQ, (len(scale_NH), *shape_HQ.shape))
            quantiles_NHQ[origins.where] = scale_NH[:, :, None] * standard_NHQ
        return Forecast(NAME, rows, quantiles_NHQ, quantiles_NHQ.mean(axis=2))


def grown(spec: GbmSpec, inputs_BF: Floats, labels_BH: Floats, state: int) -> dict[tuple[int, float], Any]:
    """The boosted trees of each node (step, level).

    Labels of step h overlap h - 1 bars: fewer trees and larger leaves for later steps.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # a second that the other models need not wait for

    return {
        (step, level): HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            max_iter=max(1, round(spec.trees / np.sqrt(step))),
            max_leaf_nodes=spec.leaves,
            learning_rate=spec.rate,
            min_samples_leaf=min(round(spec.leaf_bars * np.sqrt(step)), len(inputs_BF) // 2),
            max_features=spec.features,
            early_stopping=False,
            random_state=state,
        ).fit(inputs_BF, labels_BH[:, step - 1])
        for step in node_steps(labels_BH.shape[1], spec.nodes)
        for level in spec.levels
    }


def out_of_block_loss(spec: GbmSpec, inputs_BF: Floats, labels_BH: Floats, state: int) -> float:
    """Pinball loss over all nodes of each of BLOCKS blocks by trees of the others, a horizon apart on both sides."""
    horizon, place_B, total = labels_BH.shape[1], np.arange(len(labels_BH)), 0.0
    for block in np.array_split(place_B, BLOCKS):
        apart = (place_B < block[0] - horizon) | (place_B > block[-1] + horizon)
        for (step, level), model in grown(spec, inputs_BF[apart], labels_BH[apart], state).items():
            error_B = labels_BH[block, step - 1] - model.predict(inputs_BF[block])
            total += float(np.maximum(level * error_B, (level - 1) * error_B).sum())
    return total


def node_steps(horizon: int, nodes: int) -> tuple[int, ...]:
    """The first step, the last, and those between at equal ratios: 1, 3, 7, 20."""
    return tuple(sorted({int(x) for x in np.round(np.geomspace(1, horizon, nodes))}))


def base_shape(labels_BH: Floats) -> Floats:
    """Unconditional quantiles (H, Q) of the standardised sums; Gaussian where there are none."""
    if not len(labels_BH):
        return np.broadcast_to(ndtri(LEVELS), (labels_BH.shape[1], len(LEVELS)))
    shape: Floats = np.quantile(labels_BH, LEVELS, axis=0, method="hazen").T
    return shape


def interpolated(nodes_NDG: Floats, steps_D: Ints, levels_G: Floats, shape_HQ: Floats) -> Floats:
    """Quantiles (N, H, Q), ordered: a monotone map of the unconditional quantiles through the sorted nodes.

    Between steps the nodes' distance from the unconditional quantile is linear in log h; between levels the map is
    linear in that quantile; beyond the outer levels it goes on with the slope between them.
    """
    step_H = np.arange(1, len(shape_HQ) + 1)
    place_HG = np.stack([np.interp(levels_G, LEVELS, shape_Q) for shape_Q in shape_HQ])
    shift_NDG = np.sort(nodes_NDG, axis=2) - place_HG[steps_D - 1]
    weight_HD = np.stack([np.interp(np.log(step_H), np.log(steps_D), one_D) for one_D in np.eye(len(steps_D))], axis=1)
    value_NHG = np.zeros((len(nodes_NDG), *place_HG.shape)) + place_HG
    for weight_H, shift_NG in zip(weight_HD.T, shift_NDG.transpose(1, 0, 2), strict=True):
        value_NHG += weight_H[:, None] * shift_NG[:, None, :]
    value_NHG.sort(axis=2)
    width_HG = np.maximum(np.diff(place_HG, axis=1), 1e-12)
    slope_NHG = np.diff(value_NHG, axis=2) / width_HG
    outer_NH = (value_NHG[..., -1] - value_NHG[..., 0]) / (width_HG.sum(axis=1))
    found_NHQ = value_NHG[..., :1] + outer_NH[..., None] * np.minimum(shape_HQ - place_HG[:, :1], 0)
    for g in range(len(levels_G) - 1):
        inside_HQ = np.clip(shape_HQ - place_HG[:, g : g + 1], 0, width_HG[:, g : g + 1])
        found_NHQ += slope_NHG[..., g : g + 1] * inside_HQ
    found_NHQ += outer_NH[..., None] * np.maximum(shape_HQ - place_HG[:, -1:], 0)
    ordered: Floats = np.maximum.accumulate(found_NHQ, axis=2)
    return ordered
