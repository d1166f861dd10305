"""Computes the surprise of each character or word of a text of any length, as it arrives.

With dynamic evaluation (Krause et al. 2018), a copy of the model also learns from the text. Each segment is scored
before the model learns from it, so every score is a genuine prediction.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import evaluating
from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.perplexity import Tally, tally
from hiddenstate.text.source import Source, read_chunks
from hiddenstate.text.tokens import END_TOKEN, Ids, Pieces, split

if TYPE_CHECKING:
    from hiddenstate.models.language.language_model import LanguageModel

STEPS = 128  # tokens scored at a time


@dataclass(frozen=True)
class Dynamic:
    """How a model learns from the text that it scores.

    Attributes:
        learning_rate: how far a weight moves after a segment if its gradient has the usual size.
        decay: how far each weight moves back to its trained value after each segment, as a share of the distance.
        steps: the number of tokens per segment.

    Raises:
        ArgumentError: a value is out of range.
    """

    learning_rate: float = 0.0005
    decay: float = 0.002
    steps: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf or not 0 <= self.decay < 1 or self.steps < 1:
            raise ArgumentError(
                "dynamic evaluation needs a finite learning rate above 0, a decay of at least 0 and below 1, and "
                f"segments of at least 1 step, got {self}"
            )


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


def score(
    model: "LanguageModel", source: Source, *, steps: int = STEPS, dynamic: Dynamic | None = None
) -> Iterator[Scored]:
    """Score a text from beginning to end; before it, the model reads only a newline.

    Args:
        model: the model; it is not changed.
        source: a path, or an open stream of text or bytes, which is read as it arrives.
        steps: the number of tokens to score at a time; the scores do not depend on it.
        dynamic: learn while scoring; its ``steps`` then apply.

    Yields:
        The next tokens, scored.

    Raises:
        ArgumentError: the model reads backwards, or diverges while it learns.
        FileFormatError: the text is not UTF-8.
        OSError: the text cannot be read.
    """
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, so it can't score a stream")
    scorer = _Scorer(model) if dynamic is None else _Learner(model, dynamic)
    return _scored(scorer, model.config.level, source, steps if dynamic is None else dynamic.steps)


def _scored(scorer: "_Scorer", level: str, source: Source, steps: int) -> Iterator[Scored]:
    for pieces in regrouped(split(level, read_chunks(source), whole_lines=True), steps):
        yield scorer.score(pieces)


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

    def __init__(self, model: "LanguageModel") -> None:
        self.model = model
        self.last = model.tokens.start
        self.state: AnyState | None = None
        self.at_line_start = True

    def score(self, pieces: Pieces) -> Scored:
        ids = self.model.tokens.ids(pieces)
        inputs, targets = (self._column(each) for each in (np.concatenate([[self.last], ids[:-1]]), ids))
        nats = self.read(inputs, targets)[:, 0].float().cpu().numpy()
        self.last = int(ids[-1])
        return Scored(pieces, ids, nats, tally(ids, nats, self._characters(pieces)))

    def read(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the surprise of the targets ``[T, 1]``."""
        with evaluating(self.model), torch.no_grad():
            nats, self.state = self.model.surprise(inputs, targets, self.state)
        return nats

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


class _Learner(_Scorer):
    """Scores and then learns: moves along the gradient divided by its usual size, then part of the way back.

    The usual size is the root mean square of a weight's gradients so far; Krause et al. take it from the training data,
    which is not available here.
    """

    def __init__(self, model: "LanguageModel", dynamic: Dynamic) -> None:
        super().__init__(deepcopy(model).eval().requires_grad_())
        self.model.lstm.train()  # saves the values that the gradient needs; the module has no dropout
        self.dynamic = dynamic
        self.weights = list(self.model.parameters())
        self.trained = [weight.detach().clone() for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        self.count = 0

    def read(self, inputs: Tensor, targets: Tensor) -> Tensor:
        nats, state = self.model.surprise(inputs, targets, self.state)
        self.state = map_state(Tensor.detach, state)
        if not torch.isfinite(nats).all():
            raise ArgumentError("dynamic evaluation diverged: its weights are not finite; lower its learning rate")
        gradients = torch.autograd.grad(nats.mean(), self.weights, allow_unused=True, materialize_grads=True)
        self.learn(gradients)
        return nats.detach()

    @torch.no_grad()
    def learn(self, gradients: tuple[Tensor, ...]) -> None:
        self.count += 1
        for weight, trained, square, gradient in zip(self.weights, self.trained, self.squares, gradients, strict=True):
            square.addcmul_(gradient, gradient)
            usual = (square / self.count).sqrt_().add_(1e-8)
            weight.addcdiv_(gradient, usual, value=-self.dynamic.learning_rate)
            weight.lerp_(trained, self.dynamic.decay)
