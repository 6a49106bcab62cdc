"""Decoding of token sequences: greedy, ancestral sampling, beam search.

Decoding is dynamic: a sequence ends with its EOS, at the latest after `limit` tokens. One that is cut there counts with
the probability of its `limit` tokens, so that all sequences together have probability one.

Shape legend: B sources, N generated sequences, T generated tokens, W states of a memory, V vocabulary, S samples of a
source, K hypotheses of a beam.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.nets.decoders import DecoderState
from s2squant.nets.tokens import TokenSeq2Seq

NEVER = float("-inf")


class Generated(NamedTuple):
    """Generated sequences, their likelihood and attention."""

    tokens_NT: Tensor
    """EOS included, PAD after it."""
    lengths_N: Tensor
    """Tokens of each, EOS included."""
    ended_N: Tensor
    """Whether EOS came before the limit."""
    log_likelihood_N: Tensor
    weights_NTW: Tensor | None
    """Attention weights of each token on the source; None without attention, and for a beam."""

    def sequences(self) -> list[list[int]]:
        """The tokens of each without its EOS."""
        lengths = (self.lengths_N - self.ended_N.to(self.lengths_N.dtype)).tolist()
        return [tokens[:length] for tokens, length in zip(self.tokens_NT.tolist(), lengths, strict=True)]


@torch.no_grad()
def greedy(net: TokenSeq2Seq, source_BL: Tensor, lengths_B: Tensor, *, limit: int) -> Generated:
    """The likeliest token at every step, given those chosen before."""
    state = net.start(net.encode(source_BL, lengths_B))
    return _generate(net, state, len(source_BL), limit, lambda log_probs_NV: log_probs_NV.argmax(dim=1))


@torch.no_grad()
def sample(
    net: TokenSeq2Seq, source_BL: Tensor, lengths_B: Tensor, *, samples: int, limit: int, draw: torch.Generator
) -> Generated:
    """Ancestral samples: each token drawn given those drawn before, `samples` sequences a source, source by source."""
    rows = torch.arange(len(source_BL)).repeat_interleave(samples)
    state = net.start(net.encode(source_BL, lengths_B)).pick(rows)
    return _generate(net, state, len(rows), limit, lambda p: torch.multinomial(p.exp(), 1, generator=draw)[:, 0])


@torch.no_grad()
def beam_search(
    net: TokenSeq2Seq, source_BL: Tensor, lengths_B: Tensor, *, width: int, limit: int, length_power: float
) -> Generated:
    """One sequence a source, searched for as the mode of log likelihood / length ** length_power by `width` hypotheses.

    A mode is no mean: it is the single likeliest sequence, typical of a translation and hardly ever of a noisy path.
    The greedy sequence is always a candidate and what is less likely is dropped, so that the result is never below it
    in log likelihood or in score. length_power 0 is the likelihood itself, 1 its mean a token (Wu et al. 2016, eq. 14).
    Raises ValueError for a width below 1 or a length_power below 0.
    """
    if width < 1 or length_power < 0:
        raise ValueError(f"a beam needs width >= 1 and length_power >= 0, not {width} and {length_power}")
    likeliest = greedy(net, source_BL, lengths_B, limit=limit)
    best, floor_B = _Best(likeliest, limit, length_power, net.spec.pad), likeliest.log_likelihood_N
    rows_B1 = torch.arange(len(source_BL))[:, None] * width
    state = net.start(net.encode(source_BL, lengths_B)).pick(torch.arange(len(source_BL)).repeat_interleave(width))
    total_BK = floor_B.new_full((len(source_BL), width), NEVER)
    total_BK[:, 0] = 0.0
    tokens_BKT = torch.full((*total_BK.shape, limit), net.spec.pad)
    token_N = torch.full((total_BK.numel(),), net.spec.bos)
    for place in range(limit):
        log_probs_NV, _, state = net.step(token_N, state)
        total_BKV = total_BK[:, :, None] + log_probs_NV.view(*total_BK.shape, -1)
        total_BKV = total_BKV.masked_fill(total_BKV < floor_B[:, None, None], NEVER)
        ends = range(net.spec.size) if place + 1 == limit else (net.spec.eos,)
        for token in ends:
            best.offer(total_BKV[:, :, token], tokens_BKT, place, token, ended=token == net.spec.eos)
        total_BKV[:, :, net.spec.eos] = NEVER
        total_BKV = total_BKV.masked_fill(total_BKV / limit**length_power <= best.score_B[:, None, None], NEVER)
        if place + 1 == limit or bool((total_BKV == NEVER).all()):
            break
        total_BK, chosen_BK = total_BKV.flatten(1).topk(width, dim=1)
        parent_BK, next_BK = chosen_BK // net.spec.size, chosen_BK % net.spec.size
        state = state.pick((rows_B1 + parent_BK).flatten())
        tokens_BKT = tokens_BKT.gather(1, parent_BK[:, :, None].expand(-1, -1, limit))
        tokens_BKT[:, :, place] = next_BK
        token_N = next_BK.flatten()
    return best.generated()


class _Best:
    """The best whole sequence of each source so far, the greedy one to begin with."""

    def __init__(self, first: Generated, limit: int, length_power: float, pad: int) -> None:
        self.power, self.ended_B = length_power, first.ended_N
        self.tokens_BT = nn.functional.pad(first.tokens_NT, (0, limit - first.tokens_NT.shape[1]), value=pad)
        self.lengths_B, self.total_B = first.lengths_N, first.log_likelihood_N
        self.score_B = self.total_B / self.lengths_B**length_power

    def offer(self, total_BK: Tensor, tokens_BKT: Tensor, place: int, token: int, *, ended: bool) -> None:
        """Take the likeliest hypothesis that goes on with `token` at `place` and stops there, where it is better."""
        total_B, which_B = total_BK.max(dim=1)
        score_B = total_B / (place + 1) ** self.power
        better_B = score_B > self.score_B
        tokens_BT = tokens_BKT[torch.arange(len(which_B)), which_B]
        tokens_BT[:, place] = token
        self.tokens_BT = torch.where(better_B[:, None], tokens_BT, self.tokens_BT)
        self.lengths_B = torch.where(better_B, place + 1, self.lengths_B)
        self.ended_B = torch.where(better_B, ended, self.ended_B)
        self.total_B = torch.where(better_B, total_B, self.total_B)
        self.score_B = torch.where(better_B, score_B, self.score_B)

    def generated(self) -> Generated:
        """The sequences best."""
        longest = int(self.lengths_B.max())
        return Generated(self.tokens_BT[:, :longest], self.lengths_B, self.ended_B, self.total_B, None)


def _generate(
    net: TokenSeq2Seq, state: DecoderState, rows: int, limit: int, choose: Callable[[Tensor], Tensor]
) -> Generated:
    """Step until every row has generated EOS, or `limit` tokens."""
    if limit < 1:
        raise ValueError(f"a sequence of at most {limit} tokens says nothing; use a limit of at least 1")
    token_N = torch.full((rows,), net.spec.bos)
    lengths_N, ended_N = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.bool)
    tokens, weights = [], []
    total_N: Tensor | float = 0.0
    for _ in range(limit):
        log_probs_NV, where_NW, state = net.step(token_N, state)
        token_N = choose(log_probs_NV)
        each_N = log_probs_NV.gather(1, token_N[:, None])[:, 0]
        total_N = total_N + each_N.masked_fill(ended_N, 0.0)
        tokens.append(token_N.masked_fill(ended_N, net.spec.pad))
        weights += [] if where_NW is None else [where_NW]
        lengths_N += ~ended_N
        ended_N = ended_N | (token_N == net.spec.eos)
        if bool(ended_N.all()):
            break
    where = torch.stack(weights, dim=1) if weights else None
    return Generated(torch.stack(tokens, dim=1), lengths_N, ended_N, torch.as_tensor(total_N), where)
