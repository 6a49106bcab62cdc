"""Heads of the next step's return given the steps before: densities that are sampled as paths and summed.

A step's return is in units of the anchor's own standard deviation of that step. Every correction is bounded and zero at
the start. A forecast of the cumulative return is made of sums along sampled paths, never of the steps' marginals.

Shape legend: N origins or paths, H steps, D units of the decoder, C components, B bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from s2squant.config.networks import HeadSpec
from s2squant.nets.heads import Corrections

SCALE_BOUND = 1.0
"""Largest change of a step's log scale: feedback moves one step's variance further than a whole horizon's."""
KNOTS = 9
"""Quantiles of each bin of a categorical head, its edges included."""


def step_deviation(deviation_NH: Tensor) -> Tensor:
    """The anchor's standard deviation of each step's own return (N, H), from those of the cumulative return."""
    variance = deviation_NH.square()
    first = torch.zeros_like(variance[:, :1])
    own = torch.diff(variance, dim=1, prepend=first)
    steps = torch.arange(1, variance.shape[1] + 1, dtype=variance.dtype, device=variance.device)
    return torch.sqrt(torch.maximum(own, 0.05 * variance / steps))


def student_log_density(x: Tensor, location: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    """Log density of a Student-t."""
    constant = torch.lgamma((degrees + 1) / 2) - torch.lgamma(degrees / 2) - 0.5 * torch.log(degrees * math.pi)
    body = (degrees + 1) / 2 * torch.log1p(((x - location) / scale).square() / degrees)
    return torch.as_tensor(constant - torch.log(scale) - body)


def student_draw(first: Tensor, second: Tensor, location: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    """Draws of a Student-t from two uniforms each, by the polar method (Bailey 1994)."""
    radius = torch.sqrt(degrees * torch.expm1(-2.0 / degrees * torch.log(first)))
    return torch.as_tensor(location + scale * radius * torch.cos(2 * math.pi * second))


def bound_of_steps(bound: float, first: int, z_HNZ: Tensor) -> Tensor:
    """Largest location shift (H, 1) of the steps from `first` on: a bound divided by the step, whatever its number."""
    steps_H = torch.arange(first + 1, first + len(z_HNZ) + 1, dtype=torch.float32, device=z_HNZ.device)
    return bound / steps_H[:, None]


class StudentHead(Corrections):
    """Student-t with a location, a scale and degrees of freedom of its own at every step (Salinas et al. 2020)."""

    def __init__(self, spec: HeadSpec, inputs: int, width: int, dropout: float) -> None:
        super().__init__(inputs, width, dropout, 3)
        self.location_bound = spec.location_bound

    def forward(self, hidden_HND: Tensor, mask: Tensor | None = None, first: int = 0) -> Tensor:
        """Location, scale and degrees of freedom (H, N, 3) of the steps from `first` on; unit variance untrained."""
        z_HN3 = self.corrected(hidden_HND, mask)
        bound_H1 = bound_of_steps(self.location_bound, first, z_HN3)
        degrees = 2.1 + nn.functional.softplus(z_HN3[..., 2] + 3.0)
        scale = torch.exp(SCALE_BOUND * torch.tanh(z_HN3[..., 1] / SCALE_BOUND)) * torch.sqrt((degrees - 2) / degrees)
        return torch.stack([torch.tanh(z_HN3[..., 0]) * bound_H1, scale, degrees], dim=2)

    def log_density(self, parts: Tensor, x: Tensor) -> Tensor:
        """Log density of the step's return; `parts` is `x` by 3."""
        return student_log_density(x, *parts.unbind(-1))

    def sample(self, parts_N3: Tensor, uniform_N2: Tensor) -> Tensor:
        """Returns (N,) from two uniforms each."""
        return student_draw(uniform_N2[:, 0], uniform_N2[:, 1], *parts_N3.unbind(-1))


class MixtureHead(Corrections):
    """Mixture of Gaussians (Bishop 1994), from a narrow to a wide one, of unit variance together when untrained."""

    widths_C: Tensor

    def __init__(self, spec: HeadSpec, inputs: int, width: int, dropout: float) -> None:
        super().__init__(inputs, width, dropout, 3 * spec.components)
        self.location_bound = spec.location_bound
        widths = torch.logspace(-1, 1, spec.components, base=2.0)
        self.register_buffer("widths_C", widths / widths.square().mean().sqrt(), persistent=False)

    def forward(self, hidden_HND: Tensor, mask: Tensor | None = None, first: int = 0) -> Tensor:
        """Log weights, means and standard deviations (H, N, 3 C) of the steps from `first` on."""
        logits, means, logs = self.corrected(hidden_HND, mask).chunk(3, dim=2)
        bound_H11 = bound_of_steps(self.location_bound, first, means)[:, :, None]
        scales = self.widths_C * torch.exp(SCALE_BOUND * torch.tanh(logs / SCALE_BOUND))
        return torch.cat([torch.log_softmax(logits, dim=2), torch.tanh(means) * bound_H11, scales], dim=2)

    def log_density(self, parts: Tensor, x: Tensor) -> Tensor:
        """Log density of the step's return; `parts` is `x` by 3 C."""
        logs, means, scales = parts.chunk(3, dim=-1)
        normal = -0.5 * ((x[..., None] - means) / scales).square() - torch.log(scales) - 0.5 * math.log(2 * math.pi)
        return torch.as_tensor(torch.logsumexp(logs + normal, dim=-1))

    def sample(self, parts_NZ: Tensor, uniform_N2: Tensor) -> Tensor:
        """Returns (N,): the first uniform chooses the component, the second the place in it."""
        logs, means, scales = parts_NZ.chunk(3, dim=1)
        chosen = choose(logs, uniform_N2[:, :1])
        away_N1: Tensor = torch.special.ndtri(uniform_N2[:, 1:])
        return (means.gather(1, chosen) + scales.gather(1, chosen) * away_N1)[:, 0]


class CategoricalHead(Corrections):
    """Softmax over return bins equally likely in training; inside a bin the training returns' own quantiles."""

    knots_BK: Tensor

    def __init__(self, spec: HeadSpec, inputs: int, width: int, dropout: float) -> None:
        super().__init__(inputs, width, dropout, spec.bins)
        edges = torch.special.ndtri(torch.linspace(0.001, 0.999, spec.bins + 1, dtype=torch.float64)).float()
        inside = torch.linspace(0, 1, KNOTS)
        self.register_buffer("knots_BK", edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * inside)

    def learn_bins(self, x: Tensor) -> None:
        """Set the bins from training returns of any shape; raises ValueError when too few of them differ."""
        bins = len(self.knots_BK)
        levels = torch.linspace(0, 1, bins * (KNOTS - 1) + 1, dtype=torch.float64, device=x.device)
        ordered = torch.sort(x.double().flatten()).values
        position = levels * (len(ordered) - 1)
        low = position.floor().long()
        high = torch.clamp(low + 1, max=len(ordered) - 1)
        values = torch.lerp(ordered[low], ordered[high], position - low)
        edges = values[:: KNOTS - 1]
        if not bool((edges[1:] > edges[:-1]).all()):
            raise ValueError(
                f"too many equal returns for {bins} bins; lower forecasters.seq2seq.head.bins or leave the ticker out"
            )
        inner = values[:-1].view(bins, KNOTS - 1)
        self.knots_BK.copy_(torch.cat([inner, edges[1:, None]], dim=1))

    def bins_of(self, x: Tensor) -> Tensor:
        """The bin of each return; what lies beyond the outermost edges belongs to the outermost bins."""
        return torch.bucketize(x.to(self.knots_BK.dtype), self.knots_BK[1:, 0].contiguous(), right=True)

    def forward(self, hidden_HND: Tensor, mask: Tensor | None = None, first: int = 0) -> Tensor:  # noqa: ARG002
        """Log probabilities (H, N, B) of the bins; equal when untrained."""
        return torch.log_softmax(self.corrected(hidden_HND, mask), dim=2)

    def log_density(self, parts: Tensor, x: Tensor) -> Tensor:
        """Log probability of the bin of the step's return: cross-entropy's negative."""
        return parts.gather(-1, self.bins_of(x)[..., None])[..., 0]

    def sample(self, parts_NB: Tensor, uniform_N2: Tensor) -> Tensor:
        """Returns (N,): the first uniform chooses the bin, the second the place in it."""
        knots_NK = self.knots_BK[choose(parts_NB, uniform_N2[:, :1])[:, 0]]
        at_N1 = uniform_N2[:, 1:] * (KNOTS - 1)
        low_N1 = torch.clamp(at_N1.floor().long(), max=KNOTS - 2)
        low, high = knots_NK.gather(1, low_N1), knots_NK.gather(1, low_N1 + 1)
        return torch.lerp(low, high, at_N1 - low_N1)[:, 0]


PathHead = StudentHead | MixtureHead | CategoricalHead


def choose(logs_NC: Tensor, uniform_N1: Tensor) -> Tensor:
    """The index (N, 1) at which the cumulative probability passes the uniform."""
    reached = torch.cumsum(torch.exp(logs_NC), dim=1) < uniform_N1
    return torch.clamp(reached.sum(dim=1, keepdim=True), max=logs_NC.shape[1] - 1)
