"""Ridge, direct: one linear regression a step for the location, its residuals' quantiles scaled by a causal volatility.

Shape legend: M tickers, T returns, N origins, B training bars, F predictors, K of them covariates,
H steps ahead, Q quantile levels.
Source: Hoerl and Kennard, Technometrics 12 (1970); direct multi-step as in Marcellino, Stock and Watson (2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from s2squant.config.baselines import RidgeSpec
from s2squant.forecasters.baselines.exogenous import covariates_of, exogenous, names_read, scaled_inputs
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.predictors import NAMES, causal_scale, labelled, predictors
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.covariate_scale import Scale
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.covariates import PanelCovariates
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "ridge"
FEWEST_BARS = 250
"""Below so many training bars the location is zero and the shape Gaussian."""
HELD_OUT = 0.25
"""Last share of the training bars that chooses the penalty."""
BLOCKS = 5
LEAST_SIZE = 0.05
"""Smallest residual whose size is told apart, in standard deviations."""
LEAST_GAIN = 0.02
"""Share of the squared error that covariates have to take away at a step, out of block, to be read there."""
WIDEST = 3.0
"""Largest factor by which covariates widen or narrow a forecast."""


class Parts(NamedTuple):
    """What one ticker's fit learns; empty where it reads no covariates."""

    unit: Floats
    weights: Floats
    """(H, 1 + F), the constant first."""
    shape: Floats
    """(H, Q) quantiles of the residuals, each over its spread."""
    centre: Floats
    scale: Floats
    """(K,) of the covariates."""
    spread: Floats
    """(H, 1 + K) weights of the log size of the residuals."""


@dataclass(frozen=True)
class Ridge:
    """Location by ridge on past returns and volatilities, every step by itself; the penalty chosen on held-out bars.

    Labels overlap, so a cross-validation that mixes bars would choose too small a penalty: the last quarter is held
    out, a horizon apart. The largest penalty of the list forecasts next to nothing but the mean. Covariates are
    predictors too, and a second ridge has the size of the residuals depend on them.
    """

    spec: RidgeSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedRidge:  # noqa: ARG002
        """Coefficients and residual quantiles on the last `spec.window` bars; nothing is drawn, `seed` is not used."""
        tickers, names = tickers_of(panel, rows), names_read(panel)
        profiles, covariates = profiles_of(panel), covariates_of(panel, names, NAME)
        sd_R = None if profiles is None else profiles.sd(panel)
        parts = [self._fit(panel, ticker, even_returns(panel, ticker, sd_R), covariates, horizon) for ticker in tickers]
        kept = {k: v for k, v in zip(Parts._fields, map(np.array, zip(*parts, strict=True)), strict=True) if v.size}
        return FittedRidge(self.spec, NAME, tickers, horizon, arrays=kept, covariates=names, profiles=profiles)

    def _fit(
        self, panel: Panel, ticker: str, returns_T: Floats, covariates: PanelCovariates | None, horizon: int
    ) -> Parts:
        unit = scale_of(returns_T[-self.spec.window :])
        scaled_T = returns_T / unit
        scale_T = causal_scale(scaled_T, self.spec.decay)
        bars, labels_BH = labelled(scaled_T, scale_T, horizon, self.spec.window)
        more_TK = exogenous(panel, ticker, covariates, unit * scale_T, horizon)
        own = Scale.of(more_TK[bars])
        columns = more_TK.shape[1]
        weights_HF = np.zeros((horizon, 1 + len(NAMES) + columns))
        shape_HQ: Floats = np.broadcast_to(ndtri(LEVELS), (horizon, len(LEVELS)))
        spread_HK: Floats = np.zeros((horizon, 1 + columns) if columns else 0)
        if len(labels_BH) >= FEWEST_BARS and scaled_T.std() > 0:
            more_BK = scaled_inputs(more_TK[bars], *own)
            inputs_BF = np.concatenate([predictors(scaled_T)[bars], more_BK], axis=1)
            clipped_BH = np.clip(labels_BH, -self.spec.clip, self.spec.clip)
            penalty_H = chosen_penalty(inputs_BF, clipped_BH, self.spec.penalties)
            weights_HF = solved(inputs_BF, clipped_BH, penalty_H)
            location_BH = out_of_block(inputs_BF, clipped_BH, penalty_H)
            if columns:
                plain_BF = inputs_BF[:, : len(NAMES)]
                plain_H = chosen_penalty(plain_BF, clipped_BH, self.spec.penalties)
                plain_BH = out_of_block(plain_BF, clipped_BH, plain_H)
                idle = ~pays(clipped_BH - location_BH, clipped_BH - plain_BH)
                none_HK = np.zeros((horizon, columns))
                weights_HF[idle] = np.column_stack([solved(plain_BF, clipped_BH, plain_H), none_HK])[idle]
                location_BH[:, idle] = plain_BH[:, idle]
            residual_BH = labels_BH - location_BH
            if columns:
                sizes_BH = np.log(np.maximum(np.abs(residual_BH), LEAST_SIZE))
                penalty_H = chosen_penalty(more_BK, sizes_BH, self.spec.penalties)
                spread_HK = solved(more_BK, sizes_BH, penalty_H)
                size_BH = out_of_block(more_BK, sizes_BH, penalty_H)
                idle = ~pays(sizes_BH - size_BH, sizes_BH - sizes_BH.mean(axis=0))
                spread_HK[idle, 1:] = 0.0
                size_BH[:, idle] = spread_HK[idle, 0]
                residual_BH /= spread(size_BH, spread_HK)
            shape_HQ = np.quantile(residual_BH, LEVELS, axis=0, method="hazen").T
        return Parts(np.array(unit), weights_HF, shape_HQ, own.centre_K, own.scale_K, spread_HK)

    def restore(self, state: State) -> FittedRidge:
        """The fitted forecaster that wrote `state`."""
        return FittedRidge.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedRidge(FittedBaseline[RidgeSpec]):
    """Ridge for named tickers: the arrays of `Parts`, a row a ticker."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles: scale x sqrt(h) x (location + residual quantile)."""
        quantiles_NHQ = np.empty((len(rows), self.horizon, len(LEVELS)))
        mean_NH = np.empty((len(rows), self.horizon))
        covariates = covariates_of(panel, self.covariates, NAME)
        for origins in self.origins(panel, rows):
            learnt = {name: values[origins.number] for name, values in self.arrays.items()}
            scaled_T = origins.returns / learnt["unit"]
            sd_T = learnt["unit"] * causal_scale(scaled_T, self.spec.decay)
            scale_NH = sd_T[origins.bars][:, None] * np.sqrt(origins.clock(self.horizon))
            inputs_NF, shape_NHQ = predictors(scaled_T)[origins.bars], learnt["shape"][None]
            if covariates is not None:
                more_TK = exogenous(panel, origins.ticker, covariates, sd_T, self.horizon)
                more_NK = scaled_inputs(more_TK[origins.bars], learnt["centre"], learnt["scale"])
                inputs_NF = np.concatenate([inputs_NF, more_NK], axis=1)
                shape_NHQ = shape_NHQ * spread(linear(more_NK, learnt["spread"]), learnt["spread"])[:, :, None]
            location_NH = linear(inputs_NF, learnt["weights"])
            quantiles_NHQ[origins.where] = scale_NH[:, :, None] * (location_NH[:, :, None] + shape_NHQ)
            mean_NH[origins.where] = scale_NH * (location_NH + shape_NHQ.mean(axis=2))
        return Forecast(NAME, rows, quantiles_NHQ, mean_NH)


def pays(with_BH: Floats, without_BH: Floats) -> NDArray[np.bool_]:
    """Steps (H,) at which the squared out-of-block errors are smaller with covariates than without by LEAST_GAIN."""
    squared_H = np.square(with_BH).mean(axis=0), np.square(without_BH).mean(axis=0)
    return np.asarray(squared_H[0] < (1 - LEAST_GAIN) * squared_H[1])


def spread(log_size_NH: Floats, weights_HK: Floats) -> Floats:
    """Size of the residuals relative to the mean, within WIDEST times of it either way."""
    return np.exp(np.clip(log_size_NH - weights_HK[:, 0], -np.log(WIDEST), np.log(WIDEST)))


def linear(inputs_BF: Floats, weights_HF: Floats) -> Floats:
    """Constant and weighted inputs (B, H), added term by term: the same bits for any number of rows."""
    total_BH = np.broadcast_to(weights_HF[:, 0], (len(inputs_BF), len(weights_HF))).copy()
    for input_B, weight_H in zip(inputs_BF.T, weights_HF.T[1:], strict=True):
        total_BH += input_B[:, None] * weight_H
    return total_BH


def solved(inputs_BF: Floats, labels_BH: Floats, penalty_H: Floats) -> Floats:
    """Weights (H, 1 + F) with the constant first; a penalty a step, as a multiple of the number of bars."""
    from sklearn.linear_model import Ridge as LinearRidge  # a second that the other models need not wait for

    model = LinearRidge(alpha=penalty_H * len(inputs_BF)).fit(inputs_BF, labels_BH)
    return np.column_stack([np.atleast_1d(model.intercept_), np.atleast_2d(model.coef_)])  # sklearn drops a single step


def out_of_block(inputs_BF: Floats, labels_BH: Floats, penalty_H: Floats) -> Floats:
    """Locations (B, H) of each of BLOCKS blocks of bars by weights from the others, a horizon apart on both sides.

    Residuals of bars that were fitted are too narrow: at 20 steps, 1000 bars are 50 labels.
    """
    horizon, place_B = labels_BH.shape[1], np.arange(len(labels_BH))
    found_BH = np.empty_like(labels_BH)
    for block in np.array_split(place_B, BLOCKS):
        apart = (place_B < block[0] - horizon) | (place_B > block[-1] + horizon)
        found_BH[block] = linear(inputs_BF[block], solved(inputs_BF[apart], labels_BH[apart], penalty_H))
    return found_BH


def chosen_penalty(inputs_BF: Floats, labels_BH: Floats, penalties: tuple[float, ...]) -> Floats:
    """Each step's penalty (H,) with the least squared error on the last quarter, trained to a horizon before it."""
    first, steps = int((1 - HELD_OUT) * len(labels_BH)), labels_BH.shape[1]
    early, late = slice(0, first - steps), slice(first, None)
    errors_PH = np.array(
        [
            np.square(
                labels_BH[late]
                - linear(inputs_BF[late], solved(inputs_BF[early], labels_BH[early], np.full(steps, penalty)))
            ).mean(axis=0)
            for penalty in penalties
        ]
    )
    chosen_H: Floats = np.array(penalties)[errors_PH.argmin(axis=0)]
    return chosen_H
