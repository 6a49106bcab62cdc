"""Autoencoder and variational autoencoder of sequences, from the encoders and decoders of seq2seq.

Seq2seq forecasts what follows a sequence; these reconstruct or generate the sequence itself. A decoder reads the code
and the clock; a variational one may read the value before, too.

Shape legend: N sequences, L steps, F values of a step, C numbers of a code, K hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.relatives import AutoencoderSpec, LatentSpec, VariationalSpec
from s2squant.nets.decoders import MlpDecoder, make_decoder, step_inputs
from s2squant.nets.encoders import make_encoder
from s2squant.nets.memory import Memory
from s2squant.nets.path_heads import student_draw, student_log_density
from s2squant.nets.seq2seq import fed
from s2squant.nets.training import Trainer, descent

Draw = Callable[[int, torch.Generator], Tensor]
"""The sequences (N, L, F) of a step, given its number and the fit's generator."""
LEAST_DEGREES = 3.0
"""Below, a Student-t has no skewness, and at two no variance."""


class CodeDecoder(nn.Module):
    """From a code the outputs of every step, through a decoder of the family."""

    clock_LE: Tensor

    def __init__(self, spec: LatentSpec, length: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("clock_LE", step_inputs(length), persistent=False)
        hidden, inputs = spec.encoder.hidden, self.clock_LE.shape[1] + 2 * spec.decoder.previous
        self.enter = nn.Linear(spec.code, hidden)
        self.decoder = make_decoder(spec.decoder, spec.encoder.cell, inputs, hidden)
        self.output = nn.Linear(self.decoder.width, outputs)

    def memory(self, code_NC: Tensor) -> Memory:
        """The code as a decoder reads it: a summary, and for a transformer the one state there is to attend to."""
        summary_NK = torch.tanh(self.enter(code_NC))
        return Memory(summary_NK, summary_NK[:, None])

    def forward(self, code_NC: Tensor, before_LNE: Tensor | None = None) -> Tensor:
        """Outputs (L, N, Z) of all steps in one call, the values before them known where they are read."""
        inputs = self.clock_LE[:, None].to(code_NC.dtype)
        if before_LNE is not None:
            inputs = torch.cat([inputs.expand(-1, len(code_NC), -1), before_LNE], dim=2)
        return torch.as_tensor(self.output(self.decoder.run(inputs, self.memory(code_NC)).hidden_HNK))


class SequenceAutoencoder(nn.Module):
    """Reconstructs sequences from a code (Srivastava et al. 2015); what it cannot reconstruct is unusual."""

    def __init__(self, spec: AutoencoderSpec, *, length: int, values: int) -> None:
        super().__init__()
        self.spec, self.length, self.values = spec, length, values
        self.encoder = make_encoder(spec.encoder, values)
        self.press = nn.Linear(spec.encoder.hidden, spec.code)
        self.decode = CodeDecoder(spec, length, values)

    def encode(self, x_NLF: Tensor) -> Tensor:
        """Codes (N, C)."""
        return torch.as_tensor(self.press(self.encoder(x_NLF).summary_BK))

    def forward(self, x_NLF: Tensor) -> Tensor:
        """Reconstructions (N, L, F)."""
        return torch.as_tensor(self.decode(self.encode(x_NLF)).transpose(0, 1))

    def loss(self, x_NLF: Tensor) -> Tensor:
        """Mean squared error of the reconstruction."""
        return nn.functional.mse_loss(self(x_NLF), x_NLF)


class Code(NamedTuple):
    """A Gaussian posterior of the code, independent in its numbers, (N, C) each."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One code a sequence, with gradients to both parts (Kingma and Welling 2014, sec. 2.4)."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def divergence(self) -> Tensor:
        """KL (N, C) from the standard normal, in nats (Kingma and Welling 2014, appendix B)."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - self.log_variance - 1.0)


class Steps(NamedTuple):
    """Independent Student-t steps given a code, (N, L) each."""

    location: Tensor
    scale: Tensor
    degrees: Tensor

    def log_density(self, x_NL: Tensor) -> Tensor:
        """Log density (N, L) of each step."""
        return student_log_density(x_NL, *self)

    def draw(self, generator: torch.Generator) -> Tensor:
        """One path (N, L) each."""
        shape, kind = self.location.shape, self.location.dtype
        first = torch.rand(shape, generator=generator, dtype=kind).clamp(1e-7, 1 - 1e-7)
        second = torch.rand(shape, generator=generator, dtype=kind)
        return student_draw(first, second, *self)


class Bound(NamedTuple):
    """The two parts of the evidence lower bound: ELBO = likelihood - divergence."""

    likelihood_N: Tensor
    """Log likelihood of each sequence given one drawn code."""
    divergence_NC: Tensor


class VariationalAutoencoder(nn.Module):
    """Draws whole sequences of returns: code ~ N(0, 1), then Student-t steps given it (Kingma and Welling 2014).

    With `decoder.previous` a step is given the steps before it, too. The degrees of freedom are learned, one number for
    all steps, and stay above `LEAST_DEGREES`.
    """

    def __init__(self, spec: VariationalSpec, *, length: int) -> None:
        super().__init__()
        self.spec, self.length = spec, length
        self.encoder = make_encoder(spec.encoder, 2)
        self.press = nn.Linear(spec.encoder.hidden, 2 * spec.code)
        self.decode = CodeDecoder(spec, length, 2)
        self.degrees = nn.Parameter(torch.tensor([2.0]))

    def posterior(self, x_NL: Tensor) -> Code:
        """Posterior of the code given sequences."""
        mean, log_variance = self.press(self.encoder(fed(x_NL)).summary_BK).chunk(2, dim=1)
        return Code(mean, 6.0 * torch.tanh(log_variance / 6.0))

    def steps(self, code_NC: Tensor, x_NL: Tensor | None = None) -> Steps:
        """The distribution of every step given a code and, where the decoder reads them, the true values before."""
        before_LNE = None
        if self.spec.decoder.previous:
            if x_NL is None:
                raise ValueError("this decoder reads the values before each step; give them")
            before_LN = torch.cat([torch.zeros_like(x_NL[:, :1]), x_NL[:, :-1]], dim=1).T
            before_LNE = fed(before_LN)
        return self._steps(self.decode(code_NC, before_LNE).transpose(0, 1))

    def _steps(self, out_NLZ: Tensor) -> Steps:
        location, log_scale = out_NLZ.unbind(dim=2)
        degrees = LEAST_DEGREES + nn.functional.softplus(self.degrees)
        return Steps(torch.tanh(location), torch.exp(4.0 * torch.tanh(log_scale / 4.0)), degrees)

    def bound(self, x_NL: Tensor, generator: torch.Generator) -> Bound:
        """Both parts of the evidence lower bound, from one code a sequence."""
        code = self.posterior(x_NL)
        likelihood_N = self.steps(code.draw(generator), x_NL).log_density(x_NL).sum(dim=1)
        return Bound(likelihood_N, code.divergence())

    def loss(self, x_NL: Tensor, weight: float, generator: torch.Generator) -> Tensor:
        """Negative bound a sequence, its KL weighted, the first `free_nats` of each number free on the batch's mean.

        Without the free nats and a weight that rises from zero the posterior falls to the prior, and stays there
        (Bowman et al. 2016; Kingma et al. 2016, eq. 15).
        """
        likelihood_N, divergence_NC = self.bound(x_NL, generator)
        paid_C = divergence_NC.mean(dim=0).clamp(min=self.spec.free_nats)
        return -likelihood_N.mean() + weight * paid_C.sum()

    @torch.no_grad()
    def generate(self, paths: int, generator: torch.Generator) -> Tensor:
        """Paths (N, L) from the prior."""
        code_NC = torch.randn(paths, self.spec.code, generator=generator, dtype=self.degrees.dtype)
        if not self.spec.decoder.previous:
            return self.steps(code_NC).draw(generator)
        decoder, parts = self.decode.decoder, list[Tensor]()
        assert not isinstance(decoder, MlpDecoder)
        state, previous_N1 = decoder.start(self.decode.memory(code_NC)), torch.zeros_like(code_NC[:, :1])
        for known_E in self.decode.clock_LE.to(code_NC.dtype):
            inputs_NE = torch.cat([known_E.expand(paths, -1), fed(previous_N1[:, 0])], dim=1)
            hidden_NK, _, state = decoder.step(inputs_NE, state)
            previous_N1 = self._steps(self.decode.output(hidden_NK)[:, None]).draw(generator)
            parts.append(previous_N1)
        return torch.cat(parts, dim=1)


def fit_latent(net: SequenceAutoencoder | VariationalAutoencoder, draw: Draw, *, seed: int) -> list[float]:
    """Train in place on the batches of `draw` and leave the averaged weights in the net; returns every step's loss."""
    spec = net.spec
    trainer = Trainer(net, spec.training, steps=spec.steps, lr=spec.lr, seed=seed)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        x_NLF = draw(step, generator)
        if isinstance(net, SequenceAutoencoder):
            return net.loss(x_NLF)
        return net.loss(x_NLF[..., 0], kl_weight(net.spec, step), generator)

    trainer.run(descent(loss))
    return trainer.finish()


def kl_weight(spec: VariationalSpec, step: int) -> float:
    """The KL's weight at a step: a straight line up to one, then one (Bowman et al. 2016)."""
    return min(1.0, (step + 1) / max(spec.warm * spec.steps, 1.0))
