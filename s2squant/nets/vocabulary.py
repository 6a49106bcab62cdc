"""Vocabulary of a user's own symbols: from sequences of them to tokens and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PAD, BOS, EOS, UNKNOWN = range(4)
MARKS = 4
"""Tokens before the first symbol's."""


@dataclass(frozen=True)
class SymbolVocabulary:
    """Symbols as tokens from 4 on, the most frequent first; 0 to 3 are PAD, BOS, EOS and the unknown symbol.

    Examples
    --------
    >>> known = SymbolVocabulary.learnt([["up", "up", "down"], ["up", "flat"]], least=1)
    >>> known.encode(["up", "sideways", "down"])
    [4, 3, 5]
    >>> known.decode([4, 6, 2, 0])
    ['up', 'flat']
    """

    symbols: tuple[str, ...]

    @classmethod
    def learnt(cls, sequences: Iterable[Sequence[str]], *, least: int = 1) -> SymbolVocabulary:
        """The symbols that come `least` times or more; equally frequent ones in the order in which they come."""
        counts = Counter(symbol for sequence in sequences for symbol in sequence)
        return cls(tuple(symbol for symbol, times in counts.most_common() if times >= least))

    @property
    def size(self) -> int:
        """Tokens, the marks among them."""
        return MARKS + len(self.symbols)

    def encode(self, sequence: Iterable[str]) -> list[int]:
        """The token of each symbol."""
        token = {symbol: MARKS + k for k, symbol in enumerate(self.symbols)}
        return [token.get(symbol, UNKNOWN) for symbol in sequence]

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """The symbols up to the first EOS, `?` for an unknown one; PAD and BOS say nothing."""
        said = []
        for token in tokens:
            if token == EOS:
                break
            if token >= MARKS:
                said.append(self.symbols[token - MARKS])
            elif token == UNKNOWN:
                said.append("?")
        return said
