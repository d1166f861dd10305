"""Computes each token's surprise as a text arrives."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import evaluating
from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.text.batches import Rows, Span, spans
from hiddenstate.text.source import Source, read_chunks
from hiddenstate.text.tokens import END_TOKEN, UNKNOWN_ID, Ids, Pieces, split

_NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Tally:
    """Surprise summed over tokens, in nats. ``<unk>`` stands for unknown words.

    Attributes:
        tokens: the number of tokens.
        nats: the sum of their surprise.
        unknown: how many of the tokens are ``<unk>``.
        unknown_nats: the surprise of ``<unk>`` tokens.
        characters: the number of characters, including spaces and newlines; 0 if not counted.

    >>> str(Tally(tokens=2, nats=2 * math.log(8)))
    '2 tokens, perplexity 8.00'
    """

    tokens: int = 0
    nats: float = 0.0
    unknown: int = 0
    unknown_nats: float = 0.0
    characters: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def mean(self) -> float:
        """Nats per token; NaN without tokens."""
        return _share(self.nats, self.tokens)

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens that would be as hard to predict, with ``<unk>`` as one of them."""
        return _exp(self.mean)

    @property
    def known_perplexity(self) -> float:
        """The perplexity of all tokens other than ``<unk>``."""
        return _exp(_share(self.nats - self.unknown_nats, self.tokens - self.unknown))

    @property
    def unknown_share(self) -> float:
        """The share of tokens that are ``<unk>``."""
        return _share(self.unknown, self.tokens)

    @property
    def bits_per_character(self) -> float:
        """Bits per character; too low if there are unknown words, because ``<unk>`` does not spell them."""
        return _share(self.nats / math.log(2), self.characters)

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens, perplexity {self.perplexity:.2f}"


def tally(ids: NDArray[np.integer[Any]], nats: NDArray[np.float32], characters: int = 0) -> Tally:
    """Sum up tokens and their surprise, both ``[T]``."""
    unknown = ids == UNKNOWN_ID
    sums = float(nats.sum(dtype=np.float64)), float(nats[unknown].sum(dtype=np.float64))
    return Tally(len(ids), sums[0], int(unknown.sum()), sums[1], characters)


@torch.no_grad()
def measure(model: LanguageModel, ids: Ids, rows: int = 1) -> Tally:
    """Measure the surprise of every token of a text, each given all previous ones.

    Args:
        model: the model; it is in eval mode afterwards.
        ids: the text, as the model's tokens; for a model that reads backwards, in reverse order.
        rows: the number of pieces that are read in parallel. More is faster, but each piece starts without the context
            of the previous one.
    """
    model.eval()
    N, start = min(rows, len(ids)), model.tokens.start
    text, total, state = Rows(ids, N, start), Tally(), None
    widest = max(len(model.tokens), 4 * model.config.hidden_size)
    for span in spans(text.length, max(1, _NUMBERS_AT_ONCE // (N * widest))):
        counted, state = _measured(model, *text.read(span), state)
        total += counted
    read = N * text.length
    if read < len(ids):  # the remainder continues the last row
        last = Rows(ids[read:], 1, int(ids[read - 1]))
        assert state is not None
        end = map_state(lambda part: part[:, -1:], state)
        total += _measured(model, *last.read(Span(0, last.length)), end)[0]
    return replace(total, characters=len(ids) if model.config.level == "char" else 0)


def _measured(model: LanguageModel, inputs: Tensor, targets: Tensor, state: AnyState | None) -> tuple[Tally, AnyState]:
    device = next(model.parameters()).device
    nats, state = model.surprise(inputs.to(device), targets.to(device), state)
    return tally(targets.flatten().numpy(), nats.flatten().float().cpu().numpy()), state


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _exp(nats: float) -> float:
    return math.inf if nats > 700 else math.exp(nats)


STEPS = 128  # tokens scored at a time


@dataclass(frozen=True, eq=False)
class Scored:
    """Consecutive tokens of a text.

    Attributes:
        pieces: the characters or words as in the text; ``<eos>`` for the end of a line of words.
        ids: ``[T]``; `UNKNOWN_ID` for unknown tokens, whose surprise is that of ``<unk>``.
        nats: ``[T]``, the surprise of each token.
        tally: their sums.
    """

    pieces: Pieces
    ids: Ids
    nats: NDArray[np.float32]
    tally: Tally


def score(model: LanguageModel, source: Source, *, steps: int = STEPS) -> Iterator[Scored]:
    """Score a text from beginning to end; before it, the model reads only a newline.

    Args:
        model: the model; it is not changed.
        source: a path, or an open stream of text or bytes, which is read as it arrives.
        steps: the number of tokens to score at a time; the scores do not depend on it.

    Yields:
        The next tokens, scored.

    Raises:
        ArgumentError: the model reads backwards.
        FileFormatError: the text is not UTF-8.
        OSError: the text cannot be read.
    """
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, so it can't score a stream")
    pieces = split(model.config.level, read_chunks(source), whole_lines=True)
    return map(_Scorer(model).score, regrouped(pieces, steps))


def regrouped(parts: Iterator[Pieces], size: int) -> Iterator[Pieces]:
    """Yield the same pieces in groups of ``size``; the last may be smaller.

    >>> list(regrouped(iter(["abc", "d", "efgh"]), 3))
    ['abc', 'def', 'gh']
    """
    rest: Pieces | None = None
    for part in parts:
        # Both are strings, or both are lists.
        joined = part if rest is None else rest + part  # type: ignore[operator]
        whole = len(joined) // size * size
        for start in range(0, whole, size):
            yield joined[start : start + size]
        rest = joined[whole:]
    if rest:
        yield rest


class _Scorer:
    """Scores one piece of a text after another."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.last = model.tokens.start
        self.state: AnyState | None = None
        self.at_line_start = True

    def score(self, pieces: Pieces) -> Scored:
        ids = self.model.tokens.ids(pieces)
        inputs, targets = (self._column(part) for part in (np.concatenate([[self.last], ids[:-1]]), ids))
        with evaluating(self.model), torch.no_grad():
            surprise, self.state = self.model.surprise(inputs, targets, self.state)
        nats = surprise[:, 0].float().cpu().numpy()
        self.last = int(ids[-1])
        return Scored(pieces, ids, nats, tally(ids, nats, self._characters(pieces)))

    def _column(self, ids: NDArray[Any]) -> Tensor:
        return torch.from_numpy(ids)[:, None].long().to(next(self.model.parameters()).device)

    def _characters(self, pieces: Pieces) -> int:
        if isinstance(pieces, str):
            return len(pieces)
        count = 0
        for piece in pieces:
            ends = piece == END_TOKEN
            count += 1 if ends else len(piece) + (not self.at_line_start)
            self.at_line_start = ends
        return count
