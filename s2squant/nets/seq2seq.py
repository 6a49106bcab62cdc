"""Seq2Seq = encoder x context x attention x decoder x head, on top of an anchor.

Shape legend: B chunks, L bars, F inputs, P positions, N = B P origins, W states of a memory, H steps, Q levels,
S paths, R = N S rows, K hidden units, E inputs of a step, Z outputs of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.networks import FREE_REMEDY, Seq2SeqSpec
from s2squant.nets.covariates import NO_COVARIATES, Ahead, CovariateSizes, beside, step_covariates, widen
from s2squant.nets.decoders import MlpDecoder, make_decoder, step_inputs
from s2squant.nets.encoders import RecurrentEncoder, make_encoder
from s2squant.nets.heads import PointHead, QuantileHead
from s2squant.nets.memory import Memory
from s2squant.nets.path_heads import CategoricalHead, MixtureHead, PathHead, StudentHead, step_deviation

ROWS = 8192
"""Paths that step side by side in a forecast."""


class Feeding(NamedTuple):
    """Input feeding in training of a decoder that reads its previous output (Bengio et al. 2015)."""

    share: float
    """Probability of the truth, one coin an element: 1 teacher forcing, 0 free running."""
    draw: torch.Generator

    def mix(self, truth: Tensor, own: Tensor) -> Tensor:
        """The truth where a row's coin says so, elsewhere the net's own output."""
        if self.share <= 0:
            return own
        coins = torch.rand(len(own), *[1] * (own.ndim - 1), generator=self.draw) < self.share
        return torch.where(coins.to(own.device), truth, own)


class Outlook(NamedTuple):
    """A forecast in scaled units: quantiles of the cumulative return, paths and attention where there are any."""

    quantiles_NHQ: Tensor
    paths_NSH: Tensor | None
    weights_NHW: Tensor | None


class Seq2Seq(nn.Module):
    """Encode a chunk once, decode the horizon from many of its positions ("forking sequences", Wen et al. 2017)."""

    steps_HE: Tensor
    levels_Q: Tensor

    def __init__(
        self,
        spec: Seq2SeqSpec,
        inputs: int,
        table_HQ: Tensor,
        levels_Q: Tensor,
        covariates: CovariateSizes = NO_COVARIATES,
    ) -> None:
        super().__init__()
        self.inputs, self.spec, self.sizes = inputs, spec, covariates
        horizon, hidden = len(table_HQ), spec.encoder.hidden
        self.register_buffer("steps_HE", step_inputs(horizon), persistent=False)
        self.register_buffer("levels_Q", levels_Q, persistent=False)
        self.encoder = make_encoder(spec.encoder, inputs)
        known = 2 + 2 * spec.decoder.previous
        self.decoder = make_decoder(spec.decoder, spec.encoder.cell, known, hidden)
        self.head = _make_head(spec, self.decoder.width, table_HQ, levels_Q)
        if covariates.past:
            widen(self.encoder, inputs, covariates.past)
        self.ahead = step_covariates(covariates, spec.decoder)
        if self.ahead is not None:
            widen(self.decoder, known, self.ahead.width)

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters that weight decay leaves alone, whatever their shape: the head's table."""
        return [self.head.table] if isinstance(self.head, QuantileHead) else []

    def encode(self, past_BLF: Tensor, positions_P: Tensor, ahead: Ahead | None = None) -> Memory:
        """Memories of the past up to each position, (B P) of them, chunk by chunk; `ahead` where the net reads any."""
        memory = self._encode(past_BLF, positions_P)
        if self.ahead is None:
            return memory
        assert ahead is not None, "this network reads covariates of the steps ahead"
        return memory._replace(ahead_BHE=self.ahead(ahead))

    def _encode(self, past_BLF: Tensor, positions_P: Tensor) -> Memory:
        window = self.spec.encoder.window
        if self.spec.encoder.reads == "window":
            memory: Memory = self.encoder(_windows(past_BLF, positions_P, window))
            return memory
        assert isinstance(self.encoder, RecurrentEncoder), "only a recurrent encoder reads chunks"
        states_BLK = self.encoder.states(past_BLF)
        last_NK = states_BLK[:, positions_P].flatten(0, 1)
        if not self.spec.remembers:
            return Memory(self.encoder.summary(last_NK, None, None))
        states_NWK = _windows(states_BLK, positions_P, window)
        return Memory(self.encoder.summary(last_NK, states_NWK, None), states_NWK)

    def loss(self, memory: Memory, truth_HN: Tensor, feeding: Feeding) -> Tensor:
        """Mean loss of the head over origins and steps: of the returns that it speaks of, in anchor units.

        Those of a quantile or point head are cumulative, those of the others each step's own.
        """
        head = self.head
        if isinstance(head, QuantileHead) and (inputs_HNE := self._known(memory, truth_HN, feeding)) is not None:
            mask = head.draw_mask(len(memory.summary_BK))
            if isinstance(self.decoder, MlpDecoder) and self.ahead is None:
                return head.loss_of_hidden(self.decoder.direct(inputs_HNE, memory), mask, truth_HN)
            return head.loss_of_hidden(self.decoder.run(inputs_HNE, memory).hidden_HNK, mask, truth_HN)
        out_HNZ = self.decode(memory, truth_HN, feeding)
        if isinstance(head, QuantileHead | PointHead):
            return head.loss(out_HNZ, truth_HN)
        return -head.log_density(out_HNZ, truth_HN).mean()

    def plain_loss(self, past_BLF: Tensor, positions_P: Tensor, truth_HN: Tensor, mask_ND: Tensor | None) -> Tensor:
        """The same of a quantile head that reads no covariates, from the past on, by operations that torch can map."""
        memory = self.encode(past_BLF, positions_P)
        inputs_HNE = self._known(memory, None, None)
        assert inputs_HNE is not None, "a step reads the step before"
        quantiles_HNQ = self.head(self.decoder.run(inputs_HNE, memory).hidden_HNK, mask_ND)
        over_HNQ = quantiles_HNQ - truth_HN[..., None]
        return torch.as_tensor((over_HNQ * ((over_HNQ > 0).to(over_HNQ.dtype) - self.levels_Q)).mean())

    def decode(self, memory: Memory, truth_HN: Tensor | None = None, feeding: Feeding | None = None) -> Tensor:
        """Head outputs (H, N, Z) after each memory; a decoder that is fed no truth runs free."""
        return self._decode(memory, truth_HN, feeding)[0]

    def _decode(self, memory: Memory, truth_HN: Tensor | None, feeding: Feeding | None) -> tuple[Tensor, Tensor | None]:
        """Head outputs, and the attention weights (H, N, W) if any."""
        mask = self.head.draw_mask(len(memory.summary_BK))
        inputs_HNE = self._known(memory, truth_HN, feeding)
        if inputs_HNE is None:
            return self._unroll(memory, mask, truth_HN, feeding)
        decoded = self.decoder.run(inputs_HNE, memory)
        return torch.as_tensor(self.head(decoded.hidden_HNK, mask)), decoded.weights_HNW

    def _known(self, memory: Memory, truth_HN: Tensor | None, feeding: Feeding | None) -> Tensor | None:
        """Inputs of all steps (H, 1 or N, E); None where a step may be fed the output of the step before."""
        clock_H1E = self.steps_HE[:, None].to(memory.summary_BK.dtype)
        if not self.spec.decoder.previous:
            return beside(clock_H1E, memory.ahead_BHE)
        if truth_HN is None or feeding is None or feeding.share < 1:
            return None
        before_HN = torch.cat([torch.zeros_like(truth_HN[:1]), truth_HN[:-1]])
        return beside(torch.cat([clock_H1E.expand(-1, truth_HN.shape[1], -1), fed(before_HN)], dim=2), memory.ahead_BHE)

    def _unroll(
        self, memory: Memory, mask: Tensor | None, truth_HN: Tensor | None, feeding: Feeding | None
    ) -> tuple[Tensor, Tensor | None]:
        """Head outputs and attention weights step by step, each fed the truth or the output of the step before."""
        assert not isinstance(self.decoder, MlpDecoder)
        state, parts, weights = self.decoder.start(memory), [], []
        previous_N = torch.zeros_like(memory.summary_BK[:, 0])
        for h, known_E in enumerate(self.steps_HE.to(previous_N.dtype)):
            x_NE = torch.cat([known_E.expand(len(previous_N), -1), fed(previous_N)], dim=1)
            if memory.ahead_BHE is not None:
                x_NE = torch.cat([x_NE, memory.ahead_BHE[:, h].to(x_NE.dtype)], dim=1)
            hidden_NK, where_NW, state = self.decoder.step(x_NE, state)
            weights += [] if where_NW is None else [where_NW]
            parts.append(self.head(hidden_NK[None], mask, h))
            if h + 1 == len(self.steps_HE):
                break
            previous_N = self._own(parts[-1][0], None if feeding is None else feeding.draw)
            if truth_HN is not None and feeding is not None:
                previous_N = feeding.mix(truth_HN[h], previous_N)
        return torch.cat(parts), torch.stack(weights) if weights else None

    def _own(self, out_NZ: Tensor, draw: torch.Generator | None) -> Tensor:
        """The previous output of a free-running decoder: a marginal head's centre, or a draw of a density."""
        if isinstance(self.head, QuantileHead | PointHead):
            return self.head.feed(out_NZ)
        uniform_N2 = torch.rand(len(out_NZ), 2, generator=draw).clamp(1e-6, 1 - 1e-6)
        with torch.no_grad():
            return self.head.sample(out_NZ, uniform_N2.to(out_NZ))

    def forward(self, past_BLF: Tensor, positions_P: Tensor, ahead: Ahead | None = None) -> Tensor:
        """Head outputs (H, B P, Z) after each position, running free."""
        return self.decode(self.encode(past_BLF, positions_P, ahead))

    @torch.no_grad()
    def forecast(self, past_NLF: Tensor, deviation_NH: Tensor, ahead: Ahead | None = None, *, seed: int = 0) -> Outlook:
        """Forecast after the last bar of each window, from the anchor's deviation of the cumulative return.

        Paths are driven by the same scrambled Sobol points for every origin, so that an origin's forecast is its own.
        As many steps as `deviation_NH` has: beyond those trained on the decoder runs free, and its first steps are the
        same as without. Raises ValueError where it cannot.
        """
        if deviation_NH.shape[1] > len(self.steps_HE) and not self.spec.runs_free:
            raise ValueError(f"{deviation_NH.shape[1]} steps of a net trained on {len(self.steps_HE)}: {FREE_REMEDY}")
        memory = self.encode(past_NLF, torch.tensor([past_NLF.shape[1] - 1]), ahead)
        if isinstance(self.head, QuantileHead | PointHead):
            out_HNZ, weights_HNW = self._decode(memory, None, None)
            quantiles = self.head.quantiles(out_HNZ).double() * deviation_NH.double()[:, :, None]
            return Outlook(quantiles, None, None if weights_HNW is None else weights_HNW.transpose(0, 1))
        deviation_NH = deviation_NH.float()
        uniform_SH2 = _uniforms(self.spec.head.paths, deviation_NH.shape[1], seed, trained=len(self.steps_HE))
        each = max(1, ROWS // len(uniform_SH2))
        parts = [
            self._paths(memory.pick(rows), self.head, uniform_SH2)
            for rows in torch.split(torch.arange(len(deviation_NH)), each)
        ]
        steps_NSH = torch.cat([x_NSH for x_NSH, _ in parts]) * step_deviation(deviation_NH)[:, None]
        paths_NSH = torch.cumsum(steps_NSH, dim=2)
        quantiles = torch.quantile(paths_NSH, self.levels_Q.float(), dim=1).permute(1, 2, 0).double()
        weights = [w for _, w in parts if w is not None]
        return Outlook(quantiles, paths_NSH, torch.cat(weights) if weights else None)

    def _clock(self, horizon: int) -> Tensor:
        """Step features (H, E), in the terms of the steps trained on: beyond these the clock goes on."""
        trained = len(self.steps_HE)
        return self.steps_HE[:horizon] if horizon <= trained else step_inputs(horizon, trained)

    def _paths(self, memory: Memory, head: PathHead, uniform_SH2: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ancestral samples (N, S, H) of the steps in anchor units, and the mean attention (N, H, W) along them."""
        origins, paths = len(memory.summary_BK), len(uniform_SH2)
        uniform_HR2 = uniform_SH2.transpose(0, 1).repeat(1, origins, 1)
        if not self.spec.decoder.previous:
            out_HNZ, weights_HNW = self._decode(memory, None, None)
            mean = None if weights_HNW is None else weights_HNW.transpose(0, 1)
            steps = [head.sample(o.repeat_interleave(paths, 0), u) for o, u in zip(out_HNZ, uniform_HR2, strict=True)]
        else:
            assert not isinstance(self.decoder, MlpDecoder)
            state = self.decoder.start(memory).pick(torch.arange(origins).repeat_interleave(paths))
            previous_R, steps, where = torch.zeros(origins * paths), [], []
            for h, known_E in enumerate(self._clock(len(uniform_HR2))):
                x_RE = torch.cat([known_E.expand(len(previous_R), -1), fed(previous_R)], dim=1)
                if memory.ahead_BHE is not None:
                    x_RE = torch.cat([x_RE, memory.ahead_BHE[:, h].repeat_interleave(paths, 0)], dim=1)
                hidden_RK, weights_RW, state = self.decoder.step(x_RE, state)
                previous_R = head.sample(head(hidden_RK[None], None, h)[0], uniform_HR2[h])
                steps.append(previous_R)
                if weights_RW is not None:
                    where.append(weights_RW.view(origins, paths, -1).mean(dim=1))
            mean = torch.stack(where, dim=1) if where else None
        return torch.stack(steps, dim=1).view(origins, paths, -1), mean


def fed(previous: Tensor) -> Tensor:
    """A return in anchor units as a decoder reads it (..., 2): its sign with its size, and its size, both as logs."""
    size = torch.log1p(previous.abs())
    return torch.stack([torch.sign(previous) * size, size], dim=-1)


def _windows(x_BLK: Tensor, positions_P: Tensor, window: int) -> Tensor:
    """The `window` rows up to each position (B P, W, K); raises ValueError for a position without so many."""
    if int(positions_P.min()) < window - 1:
        raise ValueError(f"position {int(positions_P.min())} has no whole window of {window} before it")
    return x_BLK.unfold(1, window, 1)[:, positions_P - window + 1].flatten(0, 1).transpose(1, 2)


def _uniforms(paths: int, horizon: int, seed: int, *, trained: int) -> Tensor:
    """Two uniforms for each step of each path (S, H, 2): scrambled Sobol points (Owen 1998), beyond `trained` random.

    The points of the steps trained on do not depend on how many come after them.
    """
    known = min(horizon, trained)
    engine = torch.quasirandom.SobolEngine(2 * known, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points: Tensor = engine.draw(paths).view(paths, known, 2)
    if horizon > known:
        random = torch.rand(paths, horizon - known, 2, generator=torch.Generator().manual_seed(seed))
        points = torch.cat([points, random], dim=1)
    return points.clamp(1e-6, 1 - 1e-6)


def _make_head(
    spec: Seq2SeqSpec, inputs: int, table_HQ: Tensor, levels_Q: Tensor
) -> QuantileHead | PointHead | PathHead:
    width, dropout = spec.decoder.width, spec.decoder.dropout
    match spec.head.kind:
        case "quantile":
            return QuantileHead(spec.head, inputs, width, dropout, table_HQ, levels_Q)
        case "point":
            return PointHead(spec.head, inputs, width, dropout, table_HQ)
        case "student_t":
            return StudentHead(spec.head, inputs, width, dropout)
        case "mixture":
            return MixtureHead(spec.head, inputs, width, dropout)
        case "categorical":
            return CategoricalHead(spec.head, inputs, width, dropout)
