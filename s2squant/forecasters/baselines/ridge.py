"""Ridge, direct: one linear regression a step for the location, its residuals' quantiles scaled by a causal volatility.

Shape legend: M tickers, T returns, N origins, B training bars, F predictors, H steps ahead, Q quantile levels.
Source: Hoerl and Kennard, Technometrics 12 (1970); direct multi-step as in Marcellino, Stock and Watson (2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from s2squant.config.baselines import RidgeSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.predictors import NAMES, causal_scale, labelled, predictors
from s2squant.forecasters.baselines.returns import by_ticker, log_returns, tickers_of
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "ridge"
FEWEST_BARS = 250
"""Below so many training bars the location is zero and the shape Gaussian."""
HELD_OUT = 0.25
"""Last share of the training bars that chooses the penalty."""
BLOCKS = 5


@dataclass(frozen=True)
class Ridge:
    """Location by ridge on past returns and volatilities, every step by itself; the penalty chosen on held-out bars.

    Labels overlap, so a cross-validation that mixes bars would choose too small a penalty: the last quarter is held
    out, a horizon apart. The largest penalty of the list forecasts next to nothing but the mean.
    """

    spec: RidgeSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedRidge:  # noqa: ARG002
        """Coefficients and residual quantiles on the last `spec.window` bars; nothing is drawn, `seed` is not used."""
        tickers = tickers_of(panel, rows)
        unit_M = np.empty(len(tickers))
        weights_MHF = np.zeros((len(tickers), horizon, len(NAMES) + 1))
        shape_MHQ = np.broadcast_to(ndtri(LEVELS), (len(tickers), horizon, len(LEVELS))).copy()
        for m, ticker in enumerate(tickers):
            returns_T = log_returns(panel, ticker)
            unit_M[m] = scale_of(returns_T[-self.spec.window :])
            scaled_T = returns_T / unit_M[m]
            scale_T = causal_scale(scaled_T, self.spec.decay)
            bars, labels_BH = labelled(scaled_T, scale_T, horizon, self.spec.window)
            if len(labels_BH) >= FEWEST_BARS and scaled_T.std() > 0:
                inputs_BF = predictors(scaled_T)[bars]
                clipped_BH = np.clip(labels_BH, -self.spec.clip, self.spec.clip)
                penalty_H = chosen_penalty(inputs_BF, clipped_BH, self.spec.penalties)
                weights_MHF[m] = solved(inputs_BF, clipped_BH, penalty_H)
                residual_BH = labels_BH - out_of_block(inputs_BF, clipped_BH, penalty_H)
                shape_MHQ[m] = np.quantile(residual_BH, LEVELS, axis=0, method="hazen").T
        return FittedRidge(
            self.spec, NAME, tickers, horizon, arrays={"unit": unit_M, "weights": weights_MHF, "shape": shape_MHQ}
        )

    def restore(self, state: State) -> FittedRidge:
        """The fitted forecaster that wrote `state`."""
        return FittedRidge.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedRidge(FittedBaseline[RidgeSpec]):
    """Ridge for named tickers: unit (M,), weights (M, H, 1 + F) with the constant first, shape (M, H, Q)."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles: scale x sqrt(h) x (location + residual quantile)."""
        quantiles_NHQ = np.empty((len(rows), self.horizon, len(LEVELS)))
        mean_NH = np.empty((len(rows), self.horizon))
        root_H = np.sqrt(np.arange(1, self.horizon + 1))
        for origins in by_ticker(panel, rows, self.tickers, NAME):
            unit, weights_HF, shape_HQ = (self.arrays[name][origins.number] for name in ("unit", "weights", "shape"))
            scaled_T = origins.returns / unit
            scale_NH = unit * causal_scale(scaled_T, self.spec.decay)[origins.bars][:, None] * root_H
            location_NH = linear(predictors(scaled_T)[origins.bars], weights_HF)
            quantiles_NHQ[origins.where] = scale_NH[:, :, None] * (location_NH[:, :, None] + shape_HQ)
            mean_NH[origins.where] = scale_NH * (location_NH + shape_HQ.mean(axis=1))
        return Forecast(NAME, rows, quantiles_NHQ, mean_NH)


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
