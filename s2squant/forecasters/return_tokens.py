"""Returns as words: each daily return a token of a vocabulary of bins, the next ones drawn from a softmax.

The encoder reads the tokens of the last bars, as many as there are since a hole or a listing; the decoder begins at
BOS and reads each token that it has drawn. A path's return at a bar is a value of the token's bin, drawn too. Returns
are in units of the ticker's deviation as known at the origin (`known_units`), less their mean in training; the forecast
drifts as every model's does (`shrunk_drifts`).

Source: a decoder that reads the tokens before, Sutskever, Vinyals and Le (2014); values as a vocabulary of bins, Oord
et al. (2016, section 2.2, of audio) and Ansari et al. (2024, of scaled series).
Shape legend: N origins, H steps ahead, S paths, B bins, V values of a bin, L tokens of a history, A quantile levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from s2squant.config.networks import DecoderSpec, EncoderSpec
from s2squant.config.part import Part
from s2squant.config.relatives import TokenSpec
from s2squant.config.training import TrainingSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.baselines.sampling import PATHS_KEPT, sample_quantiles, uniforms
from s2squant.forecasters.expected_return import Drifts, shrunk_drifts
from s2squant.forecasters.scenarios import known_units
from s2squant.nets.search import beam_search
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.token_batches import Batch, by_length, make_batch
from s2squant.nets.tokens import TokenSeq2Seq, train_tokens
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "return_tokens"
PAD, BOS, EOS = 0, 1, 2
FIRST = 3
"""The token of the lowest bin."""
VALUES = 16
"""Values that stand for the returns of a bin."""


@dataclass(frozen=True)
class Vocabulary:
    """Bins of returns: inner edges (B - 1,) and the values (B, V) that stand for each, in units, their mean zero."""

    edges: Floats
    values_BV: Floats

    @classmethod
    def learnt(cls, returns: Floats, bins: int) -> Vocabulary:
        """Equally likely bins of a sample of returns, each with its own values at equally spaced levels."""
        levels = (np.arange(bins * VALUES) + 0.5) / (bins * VALUES)
        values = np.quantile(returns, levels, method="hazen")
        edges = np.quantile(returns, np.arange(1, bins) / bins, method="hazen")
        return cls(edges, (values - values.mean()).reshape(bins, VALUES))

    def tokens(self, returns: Floats) -> Ints:
        """The token of each return."""
        return np.searchsorted(self.edges, returns) + FIRST


class ReturnTokens(Part):
    """Seq2seq over returns as tokens, by cross-entropy, fed the true tokens; one network for all tickers given.

    Its fields are its settings: what stands under `forecasters.own` for it.
    """

    bins: int = Field(24, ge=2, le=500, description="words: bins of returns, equally likely in training")
    history: int = Field(60, ge=2, le=2_000, description="bars read at most")
    shortest: int = Field(20, ge=1, le=2_000, description="bars that a training history is cut to at least")
    cell: str = Field("lstm", pattern="^(lstm|transformer)$", description="lstm or transformer, on both sides")
    hidden: int = Field(24, ge=2, le=4_096)
    embedding: int = Field(8, ge=1, le=4_096)
    steps: int = Field(300, ge=1, le=1_000_000)
    batch: int = Field(64, ge=1, le=10_000)
    lr: float = Field(3e-3, gt=0, le=10)
    paths: int = Field(512, ge=64, le=20_000)
    horizon: int | None = Field(
        None,
        ge=1,
        le=250,
        description="steps trained on, where they are fewer than the forecast's: beyond it runs free",
    )

    @property
    def net(self) -> TokenSpec:
        """The token network."""
        recurrent = self.cell == "lstm"
        encoder: dict[str, Any] = {"reads": "window", "window": self.history, "hidden": self.hidden}
        decoder: dict[str, Any] = {"previous": True}
        if recurrent:
            decoder |= {"context": "initial", "start": "states"}
        else:
            encoder |= {"kind": "transformer", "heads": 2}
            decoder |= {"kind": "transformer", "heads": 2}
        marks = {"size": FIRST + self.bins, "pad": PAD, "bos": BOS, "eos": EOS, "embedding": self.embedding}
        return TokenSpec(encoder=EncoderSpec(**encoder), decoder=DecoderSpec(**decoder), **marks)

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedReturnTokens:
        """Learn the vocabulary and the network on the origins `rows`; histories are cut to lengths drawn anew."""
        spec, trained = self, self.horizon or horizon
        if trained > horizon:
            raise ValueError(f"horizon = {trained} is beyond the forecast's {horizon} steps; lower it or walk.horizon")
        rows, unit_N, after_NH = returns_after(panel, rows, trained)
        vocabulary = Vocabulary.learnt(after_NH.ravel(), spec.bins)
        wanted = vocabulary.tokens(after_NH).tolist()
        sources = histories(panel, rows, unit_N, vocabulary, spec.history)
        whole_N = torch.tensor([len(source) for source in sources])
        queue: list[Tensor] = []
        length_N = whole_N

        def batches(_: int, draw: torch.Generator) -> Batch:
            nonlocal length_N
            if not queue:
                shortest_N = whole_N.clamp(max=spec.shortest)
                length_N = shortest_N + (torch.rand(len(rows), generator=draw) * (whole_N - shortest_N + 1)).long()
                queue.extend(by_length(length_N, spec.batch, draw))
            chosen = queue.pop().tolist()
            cut = [sources[n][-int(length_N[n]) :] for n in chosen]
            return make_batch(cut, [wanted[n] for n in chosen], spec.net)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = TokenSeq2Seq(spec.net)
        training = TrainingSpec(regime="teacher")
        losses = train_tokens(net, batches, training, steps=spec.steps, lr=spec.lr, seed=seed)
        return FittedReturnTokens(spec, net.eval(), vocabulary, shrunk_drifts(panel), horizon, seed, tuple(losses))

    def restore(self, state: State) -> FittedReturnTokens:
        """The fitted forecaster that wrote `state`; raises CheckpointError where its parts do not fit together."""
        try:
            spec = ReturnTokens.model_validate(state.meta["spec"])
            net = TokenSeq2Seq(spec.net)
            weights = {k.removeprefix("net/"): torch.tensor(v) for k, v in state.arrays.items() if k.startswith("net/")}
            net.load_state_dict(weights)
            vocabulary = Vocabulary(state.arrays["edges"], state.arrays["values"])
            horizon, seed = int(state.meta["horizon"]), int(state.meta["seed"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"stored weights do not fit their specification: {error}") from None
        return FittedReturnTokens(spec, net.eval(), vocabulary, Drifts.restored(state), horizon, seed)


@dataclass(frozen=True)
class FittedReturnTokens:
    """A token network and its vocabulary; it forecasts any ticker of the panel."""

    spec: ReturnTokens
    net: TokenSeq2Seq
    vocabulary: Vocabulary
    drifts: Drifts
    horizon: int
    seed: int
    losses: tuple[float, ...] = ()
    name: str = NAME
    reach: int = 0
    """Steps ahead that are forecast, where they are more."""

    @property
    def trained_steps(self) -> int:
        """The steps that the network was trained on."""
        return self.spec.horizon or self.horizon

    def beyond(self, horizon: int) -> FittedReturnTokens:
        """The same network, forecasting so many steps: beyond those trained on it runs free."""
        return replace(self, reach=horizon)

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles and paths by ancestral sampling, the same draws at every origin, which is decoded by itself."""
        unit_N = known_units(panel)[rows]
        if not (unit_N > 0).all():
            raise ValueError(f"{self.name}: no deviation is known at a ticker's first bar; forecast from a later one")
        steps = max(self.horizon, self.reach)
        drift_NH = self.drifts.of(panel)[panel.ticker_of[rows]][:, None] * np.arange(1, steps + 1)
        draws_S2H = self._draws(steps)
        levels_NHA = np.empty((len(rows), steps, len(ALL_LEVELS)))
        kept = min(PATHS_KEPT, len(draws_S2H))
        paths_NSH = np.empty((len(rows), kept, steps), np.float32)
        for n, source in enumerate(histories(panel, rows, unit_N, self.vocabulary, self.spec.history)):
            sums_SH = np.cumsum(self._drawn(source, draws_S2H), axis=1) * unit_N[n] + drift_NH[n]
            paths_NSH[n] = sums_SH[:kept]
            levels_NHA[n] = sample_quantiles(sums_SH.T.copy())
        forecast = Forecast.of_levels(self.name, rows, levels_NHA, drift_NH, paths_NSH)
        return replace(forecast, trained_steps=self.trained_steps) if self.trained_steps < steps else forecast

    def _draws(self, steps: int) -> Floats:
        """Uniforms (S, 2, H) of word and value; those of the steps trained on do not depend on how many come after."""
        known = min(steps, self.trained_steps)
        draws_S2H = uniforms(self.spec.paths, 2 * known, self.seed).reshape(-1, 2, known)
        beyond_S2H = np.random.default_rng(self.seed).random((len(draws_S2H), 2, steps - known))
        return np.concatenate([draws_S2H, beyond_S2H], axis=2)

    def log_likelihood(self, panel: Panel, rows: Ints) -> Floats:
        """Log probability (N,), in nats, of the true words of the steps after each row: the sum of the steps'.

        Each step is given the true words before it, and a sequence of so many words does not end before them. Raises
        ValueError where a step's return is not known.
        """
        rows_N, unit_N, after_NH = returns_after(panel, rows, self.trained_steps)
        if len(rows_N) < len(rows) or not np.isfinite(after_NH).all():
            raise ValueError(f"{self.name}: the likelihood of steps that are not known was asked for")
        sources = histories(panel, rows, unit_N, self.vocabulary, self.spec.history)
        wanted_NH = self.vocabulary.tokens(after_NH)
        parts = []
        for some in np.array_split(np.arange(len(rows)), max(1, len(rows) // 256)):
            batch = make_batch([sources[n] for n in some], wanted_NH[some].tolist(), self.spec.net)
            with torch.no_grad():
                words_BHW = self.net(batch, Feeding(1.0, torch.Generator()))[:, : self.trained_steps, FIRST:]
            at_BH1 = torch.from_numpy(wanted_NH[some] - FIRST)[:, :, None]
            parts.append(torch.log_softmax(words_BHW, dim=2).gather(2, at_BH1).sum(dim=(1, 2)).double().numpy())
        return np.concatenate(parts)

    def likeliest(self, panel: Panel, rows: Ints, *, width: int = 1) -> Ints:
        """The likeliest words (N, H) after each row: greedily with a width of 1, else the best that such a beam finds.

        A mode, which is no forecast: the likeliest words of a noisy path are typical of none. `predict` draws.
        """
        steps, net = max(self.horizon, self.reach), deepcopy(self.net)
        net.mute_V[EOS] = True  # as paths are drawn: a history of so many bars does not end
        said = [
            beam_search(
                net, torch.tensor([source]), torch.tensor([len(source)]), width=width, limit=steps, length_power=0
            )
            for source in histories(panel, rows, known_units(panel)[rows], self.vocabulary, self.spec.history)
        ]
        return np.concatenate([each.tokens_NT.numpy() for each in said])

    @torch.no_grad()
    def _drawn(self, source: Sequence[int], draws_S2H: Floats) -> Floats:
        """Returns (S, H) in units: a token by its probability, then a value of its bin."""
        paths, steps = len(draws_S2H), draws_S2H.shape[2]
        memory = self.net.encode(torch.tensor([source]), torch.tensor([len(source)]))
        state = self.net.start(memory).pick(torch.zeros(paths, dtype=torch.int64))
        token_S, returns_SH = torch.full((paths,), BOS), np.empty((paths, steps))
        for h in range(steps):
            log_probs_SV, _, state = self.net.step(token_S, state)
            share_SB = log_probs_SV[:, FIRST:].double().exp().cumsum(dim=1)
            share_SB /= share_SB[:, -1:]  # a history of so many bars does not end
            at_S = torch.searchsorted(share_SB, torch.from_numpy(draws_S2H[:, 0, h : h + 1]).contiguous())[:, 0]
            at_S = at_S.clamp(max=self.spec.bins - 1)
            value_S = (draws_S2H[:, 1, h] * VALUES).astype(np.intp)
            returns_SH[:, h] = self.vocabulary.values_BV[at_S.numpy(), value_S]
            token_S = at_S + FIRST
        return returns_SH

    def state(self) -> State:
        weights = {f"net/{name}": value.numpy() for name, value in self.net.state_dict().items()}
        drifts, words = self.drifts.state(), {"edges": self.vocabulary.edges, "values": self.vocabulary.values_BV}
        plain = {"spec": self.spec.model_dump(mode="json"), "horizon": self.horizon, "seed": self.seed}
        return State({**weights, **words, **drifts.arrays}, {**plain, **drifts.meta})


def returns_after(panel: Panel, rows: Ints, horizon: int) -> tuple[Ints, Floats, Floats]:
    """The rows at which a deviation is known, it (N,), and the daily returns (N, H) after each in units of it."""
    unit_N = known_units(panel)[rows]
    rows, unit_N = rows[unit_N > 0], unit_N[unit_N > 0]
    return rows, unit_N, np.diff(panel.targets(rows, horizon), axis=1, prepend=0.0) / unit_N[:, None]


def histories(panel: Panel, rows: Ints, unit_N: Floats, vocabulary: Vocabulary, most: int) -> list[list[int]]:
    """The tokens of the last returns up to each row, oldest first: `most`, or all since a hole or a listing."""
    moved_R = np.diff(panel.log_price, prepend=panel.log_price[:1])
    first_N = np.maximum(panel.first_of(rows), rows - most) + 1
    return [
        vocabulary.tokens(moved_R[first : row + 1] / unit).tolist()
        for first, row, unit in zip(first_N, rows, unit_N, strict=True)
    ]
