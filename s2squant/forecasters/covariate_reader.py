"""Covariates as the networks read them: numbers beside the inputs of each bar and at each step, and categories.

Shape legend: R rows, V scheduled sessions, M tickers, P past, F future-known and C static covariates, K = P + F,
E numbers of a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from s2squant.forecasters.covariate_scale import Scale, ahead_numbers, past_numbers
from s2squant.series.arrays import Floats, Ints
from s2squant.series.covariates import Covariate, PanelCovariates, filled
from s2squant.series.panel import Panel

if TYPE_CHECKING:  # torch takes a second that who has no network need not wait for
    from s2squant.nets.covariates import CovariateSizes, KnownAhead


@dataclass(frozen=True)
class CovariateReader:
    """The columns of a fit, and how each is scaled: by its ticker's training rows, else by those of all tickers."""

    past: tuple[Covariate, ...]
    future: tuple[Covariate, ...]
    static: tuple[Covariate, ...]
    tickers: tuple[str, ...]
    centre_MK: Floats
    """The fitted tickers, and after them all tickers together."""
    scale_MK: Floats
    static_scale: Scale

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(c.name for c in (*self.past, *self.future, *self.static))

    @property
    def sizes(self) -> CovariateSizes:
        """What a network has to be built for: each number has a mask beside it, each category a code for 'unknown'."""
        from s2squant.nets.covariates import CovariateSizes

        numbers = sum(not c.categories for c in self.static)
        return CovariateSizes(
            past=2 * (len(self.past) + len(self.future)),
            ahead=2 * (len(self.future) + numbers),
            categories=tuple(len(c.categories) + 1 for c in self.static if c.categories),
        )

    def beside(self, panel: Panel, sd_R: Floats) -> Floats:
        """Numbers (R, 2 K) of each bar: past covariates, and what was known ahead of the bar's own session."""
        covariates = self._of(panel)
        own_RK = np.concatenate([past_numbers(covariates, sd_R), ahead_numbers(self.future, covariates.now_RF)], axis=1)
        return np.concatenate(filled(self._scaled(panel, own_RK, panel.ticker_of, slice(None))), axis=1)

    def known(self, panel: Panel) -> KnownAhead:
        """What every row knows of the steps after it."""
        import torch

        from s2squant.nets.covariates import KnownAhead

        covariates = self._of(panel)
        ends_M = covariates.end_R[panel.starts[:-1]]
        owner_V = np.searchsorted(ends_M, np.arange(len(covariates.future_VF)), side="right")
        sessions_VF = ahead_numbers(self.future, covariates.future_VF)
        own = slice(len(self.past), None)
        sessions_VE = np.concatenate(filled(self._scaled(panel, sessions_VF, owner_V, own)), axis=1)
        categorical = np.array([bool(c.categories) for c in self.static], bool)
        same_ME = np.concatenate(filled(self.static_scale.applied(covariates.static_MC)[:, ~categorical]), axis=1)
        unknown_C = [len(c.categories) for c in self.static if c.categories]
        code_MC = covariates.static_MC[:, categorical]
        codes_MC = np.where(np.isfinite(code_MC), code_MC, unknown_C).astype(np.int64)
        return KnownAhead(
            torch.from_numpy(np.concatenate([sessions_VE, np.zeros((1, sessions_VE.shape[1]))]).astype(np.float32)),
            torch.from_numpy(covariates.place_R.astype(np.int64)),
            torch.from_numpy(covariates.end_R.astype(np.int64)),
            torch.from_numpy(same_ME[panel.ticker_of].astype(np.float32)),
            torch.from_numpy(codes_MC[panel.ticker_of]),
        )

    def _of(self, panel: Panel) -> PanelCovariates:
        """The panel's columns that were there in the fit, categories by the codes of the fit; others are unknown.

        Raises ValueError where a column is missing or another.
        """
        own = None if panel.covariates is None else panel.covariates.only(self.names)
        if own is None or (own.past, own.future, own.names) != (self.past, self.future, self.names):
            there = ", ".join(panel.covariates.names) if panel.covariates is not None else "none"
            raise ValueError(f"the network was fitted with covariates {', '.join(self.names)}; the prices have {there}")
        if own.static == self.static:
            return own
        codes_MC = [
            _coded(values_M, there.categories, fitted.categories)
            for values_M, there, fitted in zip(own.static_MC.T, own.static, self.static, strict=True)
        ]
        return replace(own, static=self.static, static_MC=np.stack(codes_MC, axis=1))

    def _scaled(self, panel: Panel, values: Floats, owner: Ints, columns: slice) -> Floats:
        """Values of some of the K columns, scaled by the ticker that each row belongs to."""
        place = {ticker: m for m, ticker in enumerate(self.tickers)}
        row_M = np.array([place.get(ticker, len(place)) for ticker in panel.tickers])
        centre_MK, scale_MK = self.centre_MK[row_M][:, columns], self.scale_MK[row_M][:, columns]
        return Scale(centre_MK[owner], scale_MK[owner]).applied(values)

    def arrays(self) -> dict[str, Floats]:
        """What was learnt, for a stored state."""
        static = self.static_scale
        return {
            "centre": self.centre_MK,
            "scale": self.scale_MK,
            "static_centre": static.centre_K,
            "static_scale": static.scale_K,
        }

    def meta(self) -> dict[str, Any]:
        """The columns and tickers, as plain values for a stored state."""
        kinds = {"past": self.past, "future": self.future, "static": self.static}
        columns = {kind: [[c.name, c.variance, list(c.categories), c.measure] for c in kinds[kind]] for kind in kinds}
        return {"columns": columns, "tickers": list(self.tickers)}


def fit_reader(panel: Panel, rows: Ints, sd_R: Floats) -> CovariateReader | None:
    """Centre and scale of the panel's covariates on the training origins `rows`; None where it has none."""
    covariates = panel.covariates
    if covariates is None:
        return None
    values_NK = np.concatenate(
        [past_numbers(covariates, sd_R)[rows], ahead_numbers(covariates.future, covariates.now_RF[rows])], axis=1
    )
    owner_N = panel.ticker_of[rows]
    fitted = np.unique(owner_N)
    together = Scale.of(values_NK)
    each = [Scale.of(values_NK[owner_N == m]) for m in fitted]
    centre_MK = np.array([*(x.centre_K for x in each), together.centre_K])
    scale_MK = np.array([*(x.scale_K for x in each), together.scale_K])
    few_MK = ~np.isfinite(centre_MK)
    return CovariateReader(
        covariates.past,
        covariates.future,
        covariates.static,
        tuple(panel.tickers[m] for m in fitted),
        np.where(few_MK, together.centre_K, centre_MK),
        np.where(few_MK, together.scale_K, scale_MK),
        _across(covariates.static_MC),
    )


def restore_reader(arrays: Mapping[str, Floats], meta: Mapping[str, Any]) -> CovariateReader:
    """The reader that wrote `arrays` and `meta`."""
    past, future, static = (
        tuple(
            Covariate(name, variance, tuple(labels), *measure)
            for name, variance, labels, *measure in meta["columns"][kind]
        )
        for kind in ("past", "future", "static")
    )
    statics = Scale(arrays["static_centre"], arrays["static_scale"])
    return CovariateReader(past, future, static, tuple(meta["tickers"]), arrays["centre"], arrays["scale"], statics)


def sizes_of(reader: CovariateReader | None) -> CovariateSizes:
    """What a network has to be built for."""
    from s2squant.nets.covariates import NO_COVARIATES

    return NO_COVARIATES if reader is None else reader.sizes


def _coded(values_M: Floats, there: Sequence[str], fitted: Sequence[str]) -> Floats:
    """Values of a static covariate by the categories of the fit, NaN where that had none such; numbers stay."""
    if not there and not fitted:
        return values_M
    code = {label: float(place) for place, label in enumerate(fitted)}
    known_M = np.isfinite(values_M) & bool(there)
    return np.array(
        [code.get(there[int(x)], np.nan) if known else np.nan for x, known in zip(values_M, known_M, strict=True)]
    )


def _across(values_MC: Floats) -> Scale:
    """Scale of static numbers over the tickers that have one; where all are equal, they read zero."""
    known_C = np.isfinite(values_MC).sum(axis=0)
    zeros_MC = np.where(np.isfinite(values_MC), values_MC, 0.0)
    centre_C = zeros_MC.sum(axis=0) / np.maximum(known_C, 1)
    deviation_MC = np.where(np.isfinite(values_MC), values_MC - centre_C, 0.0)
    scale_C = np.sqrt((deviation_MC**2).sum(axis=0) / np.maximum(known_C, 1))
    return Scale(centre_C, np.where(scale_C > 0, scale_C, np.inf))
