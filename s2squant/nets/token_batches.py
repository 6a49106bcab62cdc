"""Batches of token sequences: padded at their end, and bucketed by length so that little of a batch is padding.

Shape legend: B sequences of a batch, L source tokens, T target tokens, N sequences in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2squant.config.relatives import TokenSpec


class Batch(NamedTuple):
    """Sequences side by side; a target ends with EOS, and what comes after an end is PAD."""

    source_BL: Tensor
    lengths_B: Tensor
    target_BT: Tensor


def pad_tokens(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Sequences (B, L) filled up with `pad`, and their lengths; raises ValueError for one without a token."""
    if not sequences or not all(sequences):
        raise ValueError("an empty sequence cannot be encoded; leave it out, or let each source end with EOS")
    rows = [torch.tensor(sequence) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=pad), torch.tensor([len(row) for row in rows])


def make_batch(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], spec: TokenSpec) -> Batch:
    """A batch of sources and of the targets that belong to them, to which EOS is added here.

    Raises ValueError where their numbers differ, a source is empty, a token is outside the vocabulary, or PAD or EOS
    stands inside a target.
    """
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} sources and {len(targets)} targets; each source needs its own")
    source_BL, lengths_B = pad_tokens(sources, spec.pad)
    target_BT, _ = pad_tokens([[*target, spec.eos] for target in targets], spec.pad)
    for tokens, what in ((source_BL, "source"), (target_BT, "target")):
        if int(tokens.min()) < 0 or int(tokens.max()) >= spec.size:
            raise ValueError(f"a {what} holds a token outside 0 .. {spec.size - 1}; raise the vocabulary's size")
    if any(mark in target for target in targets for mark in (spec.pad, spec.eos)):
        raise ValueError(f"a target holds PAD ({spec.pad}) or EOS ({spec.eos}) itself; leave them to the batch")
    return Batch(source_BL, lengths_B, target_BT)


def by_length(lengths_N: Tensor, size: int, draw: torch.Generator) -> list[Tensor]:
    """Rows of each batch of at most `size`: every row once, neighbours in length together, in a random order.

    Rows of one length are shuffled before they are cut into batches, and the one batch that is not full comes where
    it saves most, so that no batches of these sizes have less padding; then the batches are shuffled.
    """
    shuffled_N = torch.randperm(len(lengths_N), generator=draw)
    sorted_N = shuffled_N[torch.argsort(lengths_N[shuffled_N], descending=True, stable=True)]
    full, rest = divmod(len(sorted_N), size)
    sizes = [size] * full
    if rest:
        sizes.insert(_place_of_rest(lengths_N[sorted_N], size), rest)
    batches = torch.split(sorted_N, sizes)
    return [batches[place] for place in torch.randperm(len(batches), generator=draw).tolist()]


def bucketed(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], spec: TokenSpec, size: int
) -> Callable[[int, torch.Generator], Batch]:
    """Batches for `train_tokens`: epoch after epoch every pair once, neighbours in the source's length together."""
    lengths_N = torch.tensor([len(source) for source in sources])
    waiting: list[Tensor] = []

    def batch(_: int, draw: torch.Generator) -> Batch:
        if not waiting:
            waiting.extend(by_length(lengths_N, size, draw))
        chosen = waiting.pop().tolist()
        return make_batch([sources[n] for n in chosen], [targets[n] for n in chosen], spec)

    return batch


def _place_of_rest(falling_N: Tensor, size: int) -> int:
    """How many full batches come before the rest, so that the longest of the batches add up to least."""
    full, rest = divmod(len(falling_N), size)
    before = falling_N[: full * size : size]
    after = falling_N[rest::size]
    none = falling_N.new_zeros(1)
    ahead = torch.cat([none, before.cumsum(0)])
    behind = torch.cat([after.flip(0).cumsum(0).flip(0), none])
    places = size * (ahead + behind) + rest * falling_N[::size][: full + 1]
    return int(places.argmin())


def padded_share(lengths_N: Tensor, batches: Sequence[Tensor]) -> float:
    """Share of the places of these batches that is padding."""
    places = sum(len(rows) * int(lengths_N[rows].max()) for rows in batches)
    return 1.0 - int(lengths_N.sum()) / places
