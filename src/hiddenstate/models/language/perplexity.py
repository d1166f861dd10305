"""Measures a language model's surprise and perplexity on a text, over many rows at once."""

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.text.continuous import Rows, Span, spans
from hiddenstate.text.tokens import UNKNOWN_ID, Ids

if TYPE_CHECKING:
    from hiddenstate.models.language.language_model import LanguageModel

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
def measure(model: "LanguageModel", ids: Ids, rows: int = 1) -> Tally:
    """Measure the surprise of every token of a text, each given all previous ones.

    Args:
        model: the model; it is in eval mode afterwards.
        ids: the text, as the model's tokens; for a model that reads backwards, in reverse order.
        rows: the number of pieces that are read in parallel. More is faster, but each piece starts without the context
            of the previous one.
    """
    model.eval()
    N, start = min(rows, len(ids)), model.tokens.start
    text, done, state = Rows(ids, N, start), Tally(), None
    widest = max(len(model.tokens), 4 * model.config.hidden_size)
    for span in spans(text.length, max(1, _NUMBERS_AT_ONCE // (N * widest))):
        counted, state = _measured(model, *text.read(span), state)
        done += counted
    read = N * text.length
    if read < len(ids):  # the remainder continues the last row
        last = Rows(ids[read:], 1, int(ids[read - 1]))
        assert state is not None
        end = map_state(lambda part: part[:, -1:], state)
        done += _measured(model, *last.read(Span(0, last.length)), end)[0]
    return replace(done, characters=len(ids) if model.config.level == "char" else 0)


def _measured(
    model: "LanguageModel", inputs: Tensor, targets: Tensor, state: AnyState | None
) -> tuple[Tally, AnyState]:
    device = next(model.parameters()).device
    nats, state = model.surprise(inputs.to(device), targets.to(device), state)
    return tally(targets.flatten().numpy(), nats.flatten().float().cpu().numpy()), state


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _exp(nats: float) -> float:
    return math.inf if nats > 700 else math.exp(nats)
