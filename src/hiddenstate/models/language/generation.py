"""Generates text with a language model: draws a token from its prediction, reads it, and repeats, as fast as possible.

Plain NumPy around a stream: each token takes a table lookup, a step, a matrix product, noise and a maximum. With the
Gumbel trick (the largest of scores plus Gumbel noise is a draw from their softmax), no probabilities are needed.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hiddenstate.errors import ArgumentError, DeviceError
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.softmax import AdaptiveSoftmax, Softmax
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.text.tokens import UNKNOWN_ID, Ids, Tokens

# One sample is a vector, several are the rows of a matrix: [V] or [S, V].
Array = NDArray[np.float32]
Chosen = Any  # np.int64 or an array of np.int64
PRECISIONS = ("fp32", "bf16")

# Below it, the smallest float32 difference exceeds the noise, and scores divided by it soon overflow.
_COLDEST = 1e-6
_NOISE_BLOCK = 2**16  # numbers drawn at a time


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token.

    Attributes:
        temperature: the divisor of the scores: below 1 makes likely tokens likelier; 0 (or anything below 1e-6) always
            takes the most likely.
        top_k: choose only among the k most likely tokens; 0 for all, 1 for the most likely.
        top_p: choose among the most likely tokens whose probabilities sum to at least this (nucleus sampling).
        seed: the same seed gives the same text.
        unknown: whether ``<unk>`` may be chosen.

    Raises:
        ArgumentError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    unknown: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ArgumentError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if self.top_k < 0:
            raise ArgumentError(f"top_k must be at least 0, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ArgumentError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.seed < 0:
            raise ArgumentError(f"seed must be at least 0, got {self.seed}")

    @property
    def is_greedy(self) -> bool:
        """Whether sampling is deterministic."""
        return self.temperature < _COLDEST or self.top_k == 1


DEFAULT_SAMPLING = Sampling()


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
    """Yield ids that continue a prompt, each as soon as it is chosen.

    Args:
        model: the model; its current weights are used.
        prompt: the ids to read first; the model reads a newline before them.
        length: the number of ids.
        sampling: how to choose them.
        samples: the number of texts S to generate in one batch. Each has its own random numbers, so it does not depend
            on the number of others.
        precision: ``fp32``, or ``bf16`` for bfloat16 LSTM weights, which are read faster.

    Yields:
        An id, or an array ``[S]`` for several samples.

    Raises:
        ArgumentError: an argument is out of range, or the model reads backwards.
        DeviceError: the model is not on the CPU.
    """
    if length < 0 or samples < 1:
        raise ArgumentError(f"length must be at least 0 and samples at least 1, got {length} and {samples}")
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {' '.join(PRECISIONS)}, got {precision!r}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, and can't continue a prompt")
    if next(model.parameters()).device.type != "cpu":
        raise DeviceError("generation runs on the CPU; move the model there: model.cpu()")
    return islice(_endless(model, prompt, sampling, samples, precision), length)


def _endless(model: Writer, prompt: Ids, sampling: Sampling, samples: int, precision: str) -> Iterator[Chosen]:
    reader = _Reader(model, samples, precision)
    scores = _scores(model, sampling, samples)
    choose = _chooser(sampling, samples, len(model.tokens))
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
        """A step in bfloat16, which NumPy does not support."""
        x = self._rows[chosen] if self._rows else self._vectors[torch.from_numpy(chosen)]
        self._h.copy_(self._stream.step(x, out=self._out))
        return self._shown


@torch.no_grad()
def _vectors(model: Writer, dtype: torch.dtype | None) -> torch.Tensor:
    """The LSTM's input for each id, ``[V, E]``."""
    ids = torch.arange(len(model.tokens))
    found = model.head.embed(ids) if model.embedding is None else model.embedding(ids)
    return found.detach().to(dtype or found.dtype, copy=True)


def _scores(model: Writer, sampling: Sampling, samples: int) -> Callable[[Array], Array]:
    """Return a function from hidden state to all tokens' scores over the temperature, in an array it may reuse."""
    scale = 1.0 if sampling.is_greedy else 1 / sampling.temperature
    if isinstance(model.head, AdaptiveSoftmax):
        return _adaptive_scores(model, scale, sampling.unknown)
    weight, bias = ((scale * each.detach()).numpy() for each in (model.head.weight.T.contiguous(), model.head.bias))
    if not sampling.unknown:
        bias[UNKNOWN_ID] = -np.inf
    project = None if model.project is None else model.project.weight.detach().T.numpy()
    matmul, add = np.matmul, np.add
    out: Array = np.empty(len(bias) if samples == 1 else (samples, len(bias)), np.float32)

    def scores(h: Array) -> Array:
        matmul(h if project is None else matmul(h, project), weight, out=out)
        add(out, bias, out=out)
        return out

    return scores


def _adaptive_scores(model: Writer, scale: float, unknown: bool) -> Callable[[Array], Array]:
    @torch.no_grad()
    def scores(h: Array) -> Array:
        hidden = torch.from_numpy(h)
        found = model.head.log_probabilities(model.features(hidden if h.ndim > 1 else hidden[None]))
        given: Array = found.mul_(scale).view(*h.shape[:-1], -1).numpy()
        if not unknown:
            given[..., UNKNOWN_ID] = -np.inf
        return given

    return scores


def _chooser(sampling: Sampling, samples: int, tokens: int) -> Callable[[Array], Chosen]:
    """Return a function that chooses a token from the scores of all."""
    if sampling.is_greedy:
        return lambda scores: scores.argmax(-1)
    noise, add, top_k, top_p = _noise(sampling.seed, samples, tokens), np.add, sampling.top_k, sampling.top_p
    limited = 0 < top_k < tokens or top_p < 1

    def choose(scores: Array) -> Chosen:
        if limited:
            keep_likeliest(scores, top_k, top_p)
        return add(scores, next(noise), out=scores).argmax(-1)

    return choose


def keep_likeliest(scores: Array, top_k: int, top_p: float) -> None:
    """Set all scores ``[..., V]`` but the highest to minus infinity; ties are kept or dropped together."""
    if 0 < top_k < scores.shape[-1]:
        least = np.partition(scores, -top_k, axis=-1)[..., -top_k, None]
        scores[scores < least] = -np.inf
    if top_p < 1:
        falling = -np.sort(-scores, axis=-1)
        mass = np.exp(falling - falling[..., :1], dtype=np.float64)
        before = mass.cumsum(-1) - mass
        count = (before < top_p * mass.sum(-1, keepdims=True)).sum(-1, keepdims=True)
        scores[scores < np.take_along_axis(falling, count - 1, axis=-1)] = -np.inf


def _noise(seed: int, samples: int, tokens: int) -> Iterator[Array]:
    """Yield Gumbel noise for each choice."""
    sources = [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(samples)]
    block = max(1, _NOISE_BLOCK // (samples * tokens))
    while True:
        drawn = np.stack([source.standard_exponential((block, tokens)) for source in sources], axis=1)
        noise = -np.log(np.maximum(drawn, np.finfo(drawn.dtype).tiny, out=drawn), out=drawn)
        yield from (noise[:, 0] if samples == 1 else noise).astype(np.float32)
