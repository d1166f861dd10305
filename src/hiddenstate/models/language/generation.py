"""Generates text with a language model: repeatedly draws a token from its prediction and reads it, as fast as possible.

Uses plain NumPy around a stream: each token takes a table lookup, a step, a matrix product, noise and a maximum.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.errors import ArgumentError, DeviceError
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.sampling import Array, Chosen, Sampling, chooser, head_scores
from hiddenstate.models.language.softmax import AdaptiveSoftmax, Softmax
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.text.tokens import UNKNOWN_ID, Ids, Tokens

PRECISIONS = ("fp32", "bf16")


class Writer(Protocol):
    """The methods of a `LanguageModel` that generation needs."""

    config: LanguageConfig
    tokens: Tokens
    embedding: nn.Embedding | None
    project: nn.Linear | None
    head: AdaptiveSoftmax | Softmax

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """Its recurrent layer."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Yield the weights."""

    def features(self, out: Tensor) -> Tensor:
        """Return the head's input, from the LSTM's output."""


def generate(
    model: Writer,
    prompt: Ids,
    length: int,
    sampling: Sampling,
    samples: int = 1,
    precision: str = "fp32",
) -> Iterator[Chosen]:
    """Yield ids that continue a prompt, each as soon as it is chosen; arrays ``[S]`` for several samples.

    Each sample has its own random numbers, so it does not depend on the number of others.
    """
    if length < 0 or samples < 1:
        raise ArgumentError(f"length must be at least 0 and samples at least 1, got {length} and {samples}")
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {' '.join(PRECISIONS)}, got {precision!r}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, so it can't continue a prompt")
    if next(model.parameters()).device.type != "cpu":
        raise DeviceError("generation runs on the CPU; move the model there: model.cpu()")
    return islice(_endless(model, prompt, sampling, samples, precision), length)


def _endless(model: Writer, prompt: Ids, sampling: Sampling, samples: int, precision: str) -> Iterator[Chosen]:
    reader = _Reader(model, samples, precision)
    scores = _scores(model, sampling, samples)
    choose = chooser(sampling, samples, len(model.tokens))
    step = reader.step
    chosen = choose(scores(reader.begin([model.tokens.start, *prompt.tolist()])))
    while True:
        yield chosen
        chosen = choose(scores(step(chosen)))


class _Reader:
    """Reads ids, and returns the hidden state ``[H]`` or ``[S, H]`` after each in the same array."""

    def __init__(self, model: Writer, samples: int, precision: str) -> None:
        dtype, lstm = (torch.bfloat16, deepcopy(model.lstm).bfloat16()) if precision == "bf16" else (None, model.lstm)
        self._stream = lstm.stream(samples)
        self._vectors = _vectors(model, dtype)
        self._one = samples == 1
        shape = (lstm.hidden_size,) if self._one else (samples, lstm.hidden_size)
        self._h = torch.empty(shape)
        self._shown: Array = self._h.numpy()
        self._out = torch.empty(shape, dtype=dtype)
        self._rows = list(self._vectors.unbind()) if self._one else None
        self._arrays = self._vectors.numpy() if dtype is None else None
        self.step: Callable[[Chosen], Array] = self._step if dtype is None else self._step_coarse

    def begin(self, ids: list[int]) -> Array:
        """Read a prompt."""
        chunk = self._vectors[torch.tensor(ids), None].expand(-1, self._stream.batch, -1)
        self._h.copy_(self._stream.feed(chunk)[-1].view(self._h.shape))
        return self._shown

    def _step(self, chosen: Chosen) -> Array:
        assert self._arrays is not None
        return self._stream.step(self._arrays[chosen], out=self._shown)

    def _step_coarse(self, chosen: Chosen) -> Array:
        """Take a step in bfloat16, which NumPy does not support."""
        x = self._rows[chosen] if self._rows else self._vectors[torch.from_numpy(chosen)]
        self._h.copy_(self._stream.step(x, out=self._out))
        return self._shown


@torch.no_grad()
def _vectors(model: Writer, dtype: torch.dtype | None) -> torch.Tensor:
    """Return the LSTM's input for each id, ``[V, E]``."""
    ids = torch.arange(len(model.tokens))
    vectors = model.head.embed(ids) if model.embedding is None else model.embedding(ids)
    return vectors.detach().to(dtype or vectors.dtype, copy=True)


def _scores(model: Writer, sampling: Sampling, samples: int) -> Callable[[Array], Array]:
    """Return a function from hidden state to all scores divided by the temperature, in an array it may reuse."""
    if isinstance(model.head, AdaptiveSoftmax):
        scale = 1.0 if sampling.is_greedy else 1 / sampling.temperature
        return _adaptive_scores(model, scale, sampling.unknown)
    weight, bias = (part.detach().float().numpy() for part in (model.head.weight.T.contiguous(), model.head.bias))
    project = None if model.project is None else model.project.weight.detach().T.numpy()
    return head_scores(weight, bias, project, sampling, samples)


def _adaptive_scores(model: Writer, scale: float, unknown: bool) -> Callable[[Array], Array]:
    @torch.no_grad()
    def scores(h: Array) -> Array:
        hidden = torch.from_numpy(h)
        logs = model.head.log_probabilities(model.features(hidden if h.ndim > 1 else hidden[None]))
        scaled: Array = logs.mul_(scale).view(*h.shape[:-1], -1).numpy()
        if not unknown:
            scaled[..., UNKNOWN_ID] = -np.inf
        return scaled

    return scores
