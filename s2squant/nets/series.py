"""Real-valued sequence to sequence: any encoder, context, attention and decoder of the family, a linear output layer.

Shape legend: N sequences, W past steps, H future steps, F values of a step, E inputs of a step, K hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from s2squant.config.networks import Seq2SeqSpec
from s2squant.nets.covariates import NO_COVARIATES, Ahead, CovariateSizes, beside, step_covariates, widen
from s2squant.nets.decoders import MlpDecoder, make_decoder, step_inputs
from s2squant.nets.encoders import make_encoder
from s2squant.nets.memory import Memory
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.training import Trainer, descent, truth_share

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Ahead]]
"""The batch of a step, given its number and the fit's generator: past (N, W, F), future (H, N, F), what is known ahead.
"""


class SeriesSeq2Seq(nn.Module):
    """Past values in, future values out, squared loss.

    A decoder with `previous` reads the value before: in training the truth, its own, or a mix. One
    without reads which step it is; either reads covariates beside. The value before the first step is the last one
    observed, or zero ("GO").
    """

    steps_HE: Tensor

    def __init__(
        self,
        spec: Seq2SeqSpec,
        *,
        horizon: int,
        values: int = 1,
        first: Literal["last", "zero"] = "last",
        covariates: CovariateSizes = NO_COVARIATES,
    ) -> None:
        super().__init__()
        if spec.head.kind != "point" or spec.head.loss != "mse":
            raise ValueError(
                f"a series has a point head and squared loss, not {spec.head.kind}; use head.kind = 'point'"
            )
        if spec.training.precision == "bf16":
            raise ValueError(
                "training.precision = 'bf16' is for decoders of returns; series train in single precision, "
                "use 'float32' or 'auto'"
            )
        if spec.training.device != "cpu":
            raise ValueError("training.device is for decoders of returns; series train on the CPU, use device = 'cpu'")
        self.spec, self.first = spec, first
        self.register_buffer("steps_HE", step_inputs(horizon), persistent=False)
        inputs = values if spec.decoder.previous else self.steps_HE.shape[1]
        self.encoder = make_encoder(spec.encoder, values)
        self.decoder = make_decoder(spec.decoder, spec.encoder.cell, inputs, spec.encoder.hidden)
        self.output = nn.Linear(self.decoder.width, values)
        self.ahead = step_covariates(covariates, spec.decoder)
        if covariates.past:
            widen(self.encoder, values, covariates.past)
        if self.ahead is not None:
            widen(self.decoder, inputs, self.ahead.width)

    def loss(self, past_NWF: Tensor, future_HNF: Tensor, feeding: Feeding, ahead: Ahead | None = None) -> Tensor:
        """Squared error, averaged over sequences and values and summed over the steps, as the literature prints it."""
        return (self.decode(past_NWF, future_HNF, feeding, ahead) - future_HNF).square().mean(dim=(1, 2)).sum()

    def forward(self, past_NWF: Tensor, ahead: Ahead | None = None) -> Tensor:
        """The forecast (H, N, F), free-running: each step reads the output of the step before."""
        return self.decode(past_NWF, ahead=ahead)

    def decode(
        self,
        past_NWF: Tensor,
        truth_HNF: Tensor | None = None,
        feeding: Feeding | None = None,
        ahead: Ahead | None = None,
    ) -> Tensor:
        """Values (H, N, F): fed the truth in one call, nothing at all, or its own and the truth step by step.

        Past covariates stand after the values of a step in `past_NWF`.
        """
        memory: Memory = self.encoder(past_NWF)
        if self.ahead is not None:
            assert ahead is not None, "this network reads covariates of the steps ahead"
            memory = memory._replace(ahead_BHE=self.ahead(ahead))
        last_NF = past_NWF[:, -1, : self.output.out_features]
        start_NF = last_NF if self.first == "last" else torch.zeros_like(last_NF)
        if not self.spec.decoder.previous:
            known_HNE = self.steps_HE[:, None].to(past_NWF.dtype)
        elif truth_HNF is not None and feeding is not None and feeding.share >= 1:
            known_HNE = torch.cat([start_NF[None], truth_HNF[:-1]])
        else:
            return self.unroll(memory, start_NF, truth_HNF, feeding)
        decoded = self.decoder.run(beside(known_HNE, memory.ahead_BHE), memory)
        return torch.as_tensor(self.output(decoded.hidden_HNK))

    def unroll(self, memory: Memory, start_NF: Tensor, truth_HNF: Tensor | None, feeding: Feeding | None) -> Tensor:
        """Step by step; each sequence has a coin of its own that says whether it reads the truth."""
        assert not isinstance(self.decoder, MlpDecoder)
        state, previous_NF, values = self.decoder.start(memory), start_NF, []
        for h in range(len(self.steps_HE)):
            x_NE = previous_NF if memory.ahead_BHE is None else torch.cat([previous_NF, memory.ahead_BHE[:, h]], dim=1)
            hidden_NK, _, state = self.decoder.step(x_NE, state)
            previous_NF = self.output(hidden_NK)
            values.append(previous_NF)
            if truth_HNF is not None and feeding is not None:
                previous_NF = feeding.mix(truth_HNF[h], previous_NF)
        return torch.stack(values)

    def inner(self) -> list[nn.Parameter]:
        """The parameters below the output layer."""
        outer = {id(p) for p in self.output.parameters()}
        return [p for p in self.parameters() if id(p) not in outer]


def fit_series(
    net: SeriesSeq2Seq, draw: Draw, *, steps: int, lr: float, seed: int, undecayed: Sequence[Tensor] = ()
) -> list[float]:
    """Train in place on the batches of `draw` and leave the averaged weights in the net; returns every step's loss."""
    trainer = Trainer(net, net.spec.training, steps=steps, lr=lr, seed=seed, undecayed=undecayed)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        past_NWF, future_HNF, *ahead = draw(step, generator)
        return net.loss(past_NWF, future_HNF, Feeding(truth_share(net.spec.training, step, steps), generator), *ahead)

    trainer.run(descent(loss))
    return trainer.finish()
