"""The copy task: sequences of random tokens, to be said again, by the plain family and by its attentions.

Vocabulary of 10 with 0 for PAD and 1 for EOS, which a decoder reads first too; lengths 3 to 8, drawn alike; batches of
100 fresh sequences, so that every example is new; embedding 20, one LSTM of 20 units on each side.

Shape legend: B sequences of a batch, L source tokens, T target tokens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec
from s2squant.config.relatives import TokenSpec
from s2squant.config.training import TrainingSpec
from s2squant.experiments.copy_result import (
    BATCH,
    EXAMPLES,
    LONGEST,
    NO_ATTENTION,
    SHORTEST,
    UNSEEN,
    Alignment,
    Group,
    Member,
    Outcome,
    Regime,
    Samples,
    Search,
    copy_result,
)
from s2squant.experiments.result import Progress, Result, done_by_cost
from s2squant.nets.search import Generated, beam_search, greedy, sample
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.token_batches import Batch, by_length, padded_share
from s2squant.nets.tokens import FORCED, TokenSeq2Seq, train_tokens
from s2squant.runs.engines.local import map_jobs

SIZE, PAD, EOS = 10, 0, 1
HIDDEN = 20
LIMIT = 20
"""Tokens after which decoding is cut."""
FAST = 1e-2
UNCLIPPED = 1e6
"""The literature clips nothing."""
NONE = AttentionSpec()
BEAMS = ((2, 0.0), (5, 0.0), (5, 1.0))
"""Width and length power of the beams tried."""


@dataclass(frozen=True)
class Budget:
    """How much is trained and tried."""

    examples: int
    """Of the plain network and of the one with attention."""
    seeds: int
    beside: int
    """Examples of each member shown side by side."""
    fresh: int
    """Sequences scored."""


FULL = Budget(EXAMPLES, 3, 60_000, 1_000)
QUICK = Budget(30_000, 1, 6_000, 200)


def run(progress: Progress, *, quick: bool = False, seed: int = 0, workers: int | None = None) -> Result:
    """Train every member, score it on fresh sequences, and lay out the page.

    `workers` processes run side by side, one a core when None; the figures do not depend on it.
    """
    return copy_experiment(progress, QUICK if quick else FULL, seed=seed, workers=workers)


def copy_experiment(progress: Progress, budget: Budget, *, seed: int, workers: int | None) -> Result:
    """The experiment at a budget."""
    family = members(budget, seed)
    progress(f"training {len(family)} networks", 0.0)
    on_done = done_by_cost(progress, [f"trained {m.name}" for m in family], [m.examples for m in family])
    jobs = [(member, budget.fresh) for member in family]
    outcomes = map_jobs(carry_out, jobs, workers=workers, on_done=on_done)
    padding = padding_shares(seed)
    return copy_result(outcomes, padding)


def members(budget: Budget, seed: int) -> list[Member]:
    """All networks, those that take longest first."""
    plain, one_way = _decoder(context="initial", start="states"), _encoder()
    chosen = _decoder(AttentionSpec(kind="luong_global", score="concat"), context="initial")
    family = []
    for place in range(budget.seeds):
        for name, decoder, lr, clip in (("attention", chosen, FAST, 1.0), ("plain", plain, 1e-3, UNCLIPPED)):
            own = seed + place
            family.append(
                Member(name, "headline", one_way, decoder, lr, clip, budget.examples, own, searched=place == 0)
            )

    def beside(
        name: str,
        group: Group,
        decoder: DecoderSpec,
        encoder: EncoderSpec = one_way,
        lr: float = FAST,
        regime: Regime = "teacher",
    ) -> Member:
        searched = regime == "teacher" and group == "feeding"
        return Member(name, group, encoder, decoder, lr, 1.0, budget.beside, seed, regime, searched)

    def luong(kind: str, score: str, *, feeds: bool = False) -> DecoderSpec:
        chosen = AttentionSpec.model_validate({"kind": kind, "score": score, "input_feeding": feeds, "radius": 2})
        return _decoder(chosen, context="initial")

    both, every = _encoder(directions="both"), _decoder()
    bahdanau = _decoder(AttentionSpec(kind="bahdanau"))
    family += [
        beside(NO_ATTENTION, "attention", plain),
        beside("no attention, context at every step", "attention", every),
        beside("Bahdanau", "attention", bahdanau),
        beside("Bahdanau, both directions", "attention", bahdanau, both),
        beside("Luong global, dot", "attention", luong("luong_global", "dot")),
        beside("Luong global, general", "attention", luong("luong_global", "general")),
        beside("Luong global, concat", "attention", luong("luong_global", "concat")),
        beside("Luong global, general, input feeding", "attention", luong("luong_global", "general", feeds=True)),
        beside("Luong local-m", "attention", luong("luong_local_m", "general")),
        beside("Luong local-p", "attention", luong("luong_local_p", "general")),
        beside("Transformer", "attention", _decoder(kind="transformer"), _encoder(kind="transformer"), 3e-3),
    ]
    for regime in ("teacher", "scheduled", "free"):
        family.append(beside(regime, "feeding", plain, regime=regime))
    return family


def carry_out(job: tuple[Member, int]) -> Outcome:
    """Train a member and score it on so many fresh sequences, the same for all members of a seed."""
    member, fresh = job
    spec = TokenSpec(
        size=SIZE, pad=PAD, bos=EOS, eos=EOS, embedding=HIDDEN, encoder=member.encoder, decoder=member.decoder
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed)
        net = TokenSeq2Seq(spec)
    training = TrainingSpec(
        optimiser="adam", rate="constant", weight_decay=0.0, ema=0.0, clip=member.clip, regime=member.regime
    )
    began = time.process_time()
    losses = train_tokens(
        net,
        lambda _, draw: copies(BATCH, (SHORTEST, LONGEST), draw),
        training,
        steps=max(1, member.examples // BATCH),
        lr=member.lr,
        seed=member.seed,
    )
    seconds = time.process_time() - began
    draw = torch.Generator().manual_seed(10_000 + member.seed)
    seen = copies(fresh, (SHORTEST, LONGEST), draw)
    with torch.no_grad():
        loss = float(net.loss(seen, Feeding(FORCED, draw)))
    said = greedy(net, seen.source_BL, seen.lengths_B, limit=LIMIT)
    lengths = (*range(SHORTEST, LONGEST + 1), *UNSEEN)
    outcome = Outcome(
        member,
        tuple(losses),
        loss,
        float(_right(said, seen).double().mean()),
        {length: exact(net, copies(fresh, (length, length), draw)) for length in lengths},
        seconds,
        sum(parameter.numel() for parameter in net.parameters()),
    )
    if not member.searched:
        return outcome
    searches = tuple(_search(net, seen, said, width, power) for width, power in BEAMS)
    return replace(outcome, searches=searches, samples=_samples(net, seen, draw), alignment=_alignment(net))


def copies(sequences: int, lengths: tuple[int, int], draw: torch.Generator) -> Batch:
    """Random sequences to be said again; tokens are all but PAD and EOS, lengths alike from the first to the last."""
    shortest, longest = lengths
    lengths_B = torch.randint(shortest, longest + 1, (sequences,), generator=draw)
    tokens_BL = torch.randint(EOS + 1, SIZE, (sequences, longest), generator=draw)
    source_BL = tokens_BL.masked_fill(torch.arange(longest) >= lengths_B[:, None], PAD)
    target_BT = nn.functional.pad(source_BL, (0, 1), value=PAD)
    target_BT[torch.arange(sequences), lengths_B] = EOS
    return Batch(source_BL, lengths_B, target_BT)


def exact(net: TokenSeq2Seq, batch: Batch) -> float:
    """Share of sequences that greedy decoding says again, token by token and no longer."""
    said = greedy(net, batch.source_BL, batch.lengths_B, limit=LIMIT)
    return float(_right(said, batch).double().mean())


def padding_shares(seed: int) -> dict[str, float]:
    """Share of padding in batches of lengths as they come, and of lengths alike."""
    draw = torch.Generator().manual_seed(seed)
    lengths_N = torch.randint(SHORTEST, LONGEST + 1, (100 * BATCH,), generator=draw)
    as_they_come = torch.split(torch.randperm(len(lengths_N), generator=draw), BATCH)
    return {
        "as they come": padded_share(lengths_N, as_they_come),
        "by length": padded_share(lengths_N, by_length(lengths_N, BATCH, draw)),
    }


def _encoder(
    *, kind: Literal["recurrent", "transformer"] = "recurrent", directions: Literal["forward", "both"] = "forward"
) -> EncoderSpec:
    return EncoderSpec(kind=kind, hidden=HIDDEN, directions=directions, reads="window", window=UNSEEN[-1])


def _decoder(
    attention: AttentionSpec = NONE,
    *,
    kind: Literal["recurrent", "transformer"] = "recurrent",
    context: Literal["initial", "every_step"] = "every_step",
    start: Literal["summary", "states"] = "summary",
) -> DecoderSpec:
    return DecoderSpec(kind=kind, attention=attention, context=context, start=start, previous=True, dropout=0.0)


def _right(said: Generated, batch: Batch) -> Tensor:
    """Which sequences (B,) are the targets, EOS included."""
    longest = max(said.tokens_NT.shape[1], batch.target_BT.shape[1])
    both = [nn.functional.pad(t, (0, longest - t.shape[1]), value=PAD) for t in (said.tokens_NT, batch.target_BT)]
    return (both[0] == both[1]).all(dim=1)


def _search(net: TokenSeq2Seq, batch: Batch, first: Generated, width: int, power: float) -> Search:
    """A beam against greedy decoding."""
    best = beam_search(net, batch.source_BL, batch.lengths_B, width=width, limit=LIMIT, length_power=power)
    gain_B = best.log_likelihood_N - first.log_likelihood_N
    return Search(
        width,
        power,
        float(gain_B.mean()),
        float(gain_B.min()),
        float((gain_B > 0).double().mean()),
        float(_right(best, batch).double().mean()),
    )


def _samples(net: TokenSeq2Seq, batch: Batch, draw: torch.Generator) -> Samples:
    """One sample a sequence: how often it is the source, and how often it should be."""
    said = sample(net, batch.source_BL, batch.lengths_B, samples=1, limit=LIMIT, draw=draw)
    chance_B = net.log_likelihood(batch).exp()
    error = float((chance_B * (1 - chance_B)).sum().sqrt()) / len(chance_B)
    return Samples(float(_right(said, batch).double().mean()), float(chance_B.mean()), error)


def _alignment(net: TokenSeq2Seq) -> Alignment | None:
    """Where the net looks while it says a sequence of the longest length it was trained on."""
    batch = copies(1, (LONGEST, LONGEST), torch.Generator().manual_seed(0))
    said = greedy(net, batch.source_BL, batch.lengths_B, limit=LIMIT)
    if said.weights_NTW is None:
        return None
    rows = tuple(tuple(row) for row in said.weights_NTW[0].tolist())
    return Alignment(tuple(batch.source_BL[0].tolist()), tuple(said.tokens_NT[0].tolist()), rows)
