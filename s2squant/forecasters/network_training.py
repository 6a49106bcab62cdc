"""Fitting the networks, per ticker, pooled and adapted.

Shape legend: R rows, N origins, L bars of a window, F inputs, H steps, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2squant.config.networks import AnchorSpec, Scope, Seq2SeqSpec
from s2squant.config.training import AdaptedSpec, PerTickerSpec, PooledSpec, TrainingSpec
from s2squant.forecasters.anchor import POOLED, Anchor, FittedAnchor, stable_seed
from s2squant.forecasters.covariate_reader import CovariateReader, fit_reader
from s2squant.forecasters.expected_return import training_drifts
from s2squant.forecasters.features import has_ranges
from s2squant.forecasters.network import (
    FittedSeq2Seq,
    Prepared,
    levels_Q,
    prepare,
    restore_seq2seq,
    seen_of,
    sizes_read,
)
from s2squant.nets.covariates import CovariateSizes
from s2squant.nets.device import device_of
from s2squant.nets.precision import precision_of
from s2squant.nets.processor import processor_units
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.side_by_side import can_stack, train_together
from s2squant.nets.training import Resident, train
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import State, quantile_crps
from s2squant.series.panel import Panel

HELD_OUT, MOST_HELD_OUT = 0.25, 2000
"""Last share of the origins on which a pooled net has to gain by covariates, and the most of them that are asked."""
LEAST_GAIN = 0.001
"""Share of the loss that covariates have to take away there, to be read."""


class Begun(NamedTuple):
    """A fit before its first step: its net, and the rows at which its chunks may end."""

    key: str
    seed: int
    net: Seq2Seq
    ends: Tensor


@dataclass(frozen=True)
class Seq2SeqForecaster:
    """Fit networks on top of an anchor; `anchor` is fitted on the way unless a fitted one is given.

    Scope per_ticker trains own weights for each ticker in `rows`; pooled trains one net for all; adapted tunes the
    nets of `pooled` on each ticker.
    """

    spec: Seq2SeqSpec
    scope: Scope
    anchor: AnchorSpec | FittedAnchor
    pooled: FittedSeq2Seq | None = None

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedSeq2Seq:
        """Train on the origins `rows` of a panel that ends at the fit date, each ticker's own mean taken out.

        Device and precision are resolved first, and what is fitted says which they were.
        """
        device = device_of(self.spec.training.device)
        precision = precision_of(self.spec, self._settings().batch, device, processor_units())
        training = self.spec.training.model_copy(update={"device": device.type, "precision": precision})
        resolved = replace(self, spec=self.spec.model_copy(update={"training": training}))
        return resolved._fit(panel, rows, horizon=horizon, seed=seed)

    def _fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedSeq2Seq:
        anchor = self.anchor
        if isinstance(anchor, AnchorSpec):
            anchor = Anchor(anchor).fit(panel, rows, horizon=horizon, seed=seed)
        ranges = self.spec.ranges and has_ranges(panel)
        data = prepare(anchor, self.spec, panel, rows, ranges=ranges)
        name = f"seq2seq_{self.scope}"
        reader = self._reader(panel, rows, data.sd_R)
        if reader is not None and self.scope == "pooled" and not self._pays(panel, rows, anchor, data, reader, seed):
            reader = None
        steps, sizes = self.spec.training.horizon or anchor.horizon, sizes_read(reader, anchor.profiles)
        resident = _resident(panel, rows, anchor, data, reader, steps).to(device_of(self.spec.training.device))
        begun: list[Begun] = []
        nets: dict[str, list[Seq2Seq]] = {}
        losses: dict[str, list[list[float]]] = {}
        for key, part in self._parts(panel, rows):
            ends = chunk_ends(panel, part, self.spec.training)
            if len(ends) == 0:
                needed = self.spec.training.chunk + anchor.horizon
                raise ValueError(
                    f"{name}: no training chunk of {needed} bars for {key}; lower forecasters.seq2seq.training.chunk"
                )
            table = torch.from_numpy(anchor.table_GHQ[anchor.group_of(panel, part[:1])[0], :steps])
            inputs = resident.inputs_RF.shape[1]
            begun += [
                self._begin(key, s, torch.from_numpy(ends), inputs, table, sizes, seed)
                for s in range(self._settings().seeds)
            ]
        for fit, loss in zip(begun, self._train(begun, resident), strict=True):
            nets.setdefault(fit.key, []).append(fit.net)
            losses.setdefault(fit.key, []).append(loss)
        return FittedSeq2Seq(name, self.spec, anchor, ranges, nets, losses, reader)

    def restore(self, state: State) -> FittedSeq2Seq:
        """The fitted network that wrote `state`."""
        return restore_seq2seq(state)

    def _starts(self) -> Sequence[Seq2Seq]:
        """The nets whose weights a fit starts from; none for one that starts anew."""
        if self.scope != "adapted":
            return ()
        if self.pooled is None:
            raise ValueError("scope adapted tunes a pooled net; give one as `pooled`")
        return self.pooled.nets[POOLED]

    def _settings(self) -> PerTickerSpec | PooledSpec | AdaptedSpec:
        match self.scope:
            case "per_ticker":
                return self.spec.per_ticker
            case "pooled":
                return self.spec.pooled
            case "adapted":
                return self.spec.adapted

    def _parts(self, panel: Panel, rows: Ints) -> list[tuple[str, Ints]]:
        if self.scope == "pooled":
            return [(POOLED, rows)]
        owner = panel.ticker_of[rows]
        return [(panel.tickers[m], rows[owner == m]) for m in np.unique(owner)]

    def _reader(self, panel: Panel, rows: Ints, sd_R: Floats) -> CovariateReader | None:
        """How covariates are read: as the nets learnt to whose weights a fit starts from, else by `rows`."""
        return self.pooled.covariates if self.pooled is not None else fit_reader(panel, rows, sd_R)

    def _pays(
        self, panel: Panel, rows: Ints, anchor: FittedAnchor, data: Prepared, reader: CovariateReader, seed: int
    ) -> bool:
        """Whether a net with covariates beats one without on the last origins, a horizon after those it learnt from."""
        early, late = held_out(panel, rows, anchor.horizon)
        ends = torch.from_numpy(chunk_ends(panel, early, self.spec.training))
        if len(ends) == 0 or len(late) == 0:
            return False
        steps = self.spec.training.horizon or anchor.horizon
        table = torch.from_numpy(anchor.table_GHQ[anchor.group_of(panel, rows[:1])[0], :steps])
        unit_N1, y_NH = data.unit_R[late][:, None], panel.targets(late, anchor.horizon)
        losses = []
        for own in (reader, None):
            part = _resident(panel, rows, anchor, data, own, steps).to(device_of(self.spec.training.device))
            sizes = sizes_read(own, anchor.profiles)
            fit = self._begin(POOLED, 0, ends, part.inputs_RF.shape[1], table, sizes, seed)
            self._train([fit], part)
            ranges = self.spec.ranges and has_ranges(panel)
            fitted = FittedSeq2Seq("held out", self.spec, anchor, ranges, {POOLED: [fit.net]}, covariates=own)
            quantiles_NHQ = fitted.predict(panel, late).quantiles_NHQ
            losses.append(float(quantile_crps(y_NH / unit_N1, quantiles_NHQ / unit_N1[:, :, None]).mean()))
        return losses[0] < (1 - LEAST_GAIN) * losses[1]

    def _begin(
        self, key: str, s: int, ends: Tensor, inputs: int, table_HQ: Tensor, sizes: CovariateSizes, seed: int
    ) -> Begun:
        """The net of a fit before its first step."""
        settings, starts = self._settings(), self._starts()
        own = stable_seed(seed, self.scope, key, str(s))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own)
            net = Seq2Seq(self.spec, inputs - sizes.past, table_HQ, levels_Q(), sizes)
        if starts:
            net.load_state_dict(starts[s % len(starts)].state_dict())
        for table in net.undecayed():
            table.requires_grad_(settings.free_table)
        return Begun(key, own, net, ends)

    def _train(self, begun: Sequence[Begun], data: Resident) -> list[list[float]]:
        """Train what was begun, side by side on an accelerator; returns each one's loss of every step."""
        settings, spec = self._settings(), self.spec.training
        nets, ends, seeds = ([fit.net for fit in begun], [fit.ends for fit in begun], [fit.seed for fit in begun])
        how = {"steps": settings.steps, "batch": settings.batch}
        if len(nets) > 1 and data.inputs_RF.device.type != "cpu" and data.ahead is None and can_stack(self.spec):
            return train_together(nets, data, ends, spec, **how, lr=settings.lr, seeds=seeds)
        return [
            train(fit.net, data._replace(chunk_ends=fit.ends), spec, **how, lr=settings.lr, seed=fit.seed)
            for fit in begun
        ]


def held_out(panel: Panel, rows: Ints, horizon: int) -> tuple[Ints, Ints]:
    """Training origins whose labels end by the day after which the last HELD_OUT of all origins lie, and some of those.

    As many as MOST_HELD_OUT, evenly spread.
    """
    days = np.sort(panel.dates[rows])
    day = days[int((1 - HELD_OUT) * (len(days) - 1))]
    early, late = rows[panel.dates[rows + horizon] <= day], rows[panel.dates[rows] > day]
    return early, late[:: max(1, len(late) // MOST_HELD_OUT)]


def _resident(
    panel: Panel, rows: Ints, anchor: FittedAnchor, data: Prepared, reader: CovariateReader | None, steps: int
) -> Resident:
    """What a fit on the origins `rows` reads, with covariates where a reader is given; no chunk ends yet."""
    seen = seen_of(panel, data, reader, anchor.profiles)
    deviation_RH = np.ones((len(panel.log_price), steps), np.float32)
    deviation_RH[rows] = data.deviation_NH[:, :steps]
    mean_M, every = training_drifts(panel, rows), np.arange(len(panel.log_price))
    return Resident(
        torch.from_numpy(seen.inputs_RF.astype(np.float32)),
        torch.from_numpy(deviation_RH),
        torch.from_numpy((panel.log_price - mean_M[panel.ticker_of] * panel.bar_number(every)) / data.unit_R),
        torch.empty(0, dtype=torch.int64),
        seen.known,
    )


def chunk_ends(panel: Panel, rows: Ints, spec: TrainingSpec) -> Ints:
    """Rows of `rows` at which a whole chunk of training origins may end."""
    decoded = spec.chunk - spec.warm
    allowed = np.zeros(len(panel.log_price), bool)
    allowed[rows] = True
    run = np.cumsum(allowed)
    earlier = np.where(rows >= decoded, run[np.maximum(rows - decoded, 0)], 0)
    whole = run[rows] - earlier == decoded
    ends: Ints = rows[whole & (rows - panel.first_of(rows) >= spec.chunk - 1)]
    return ends
