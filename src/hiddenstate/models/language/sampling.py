"""Chooses tokens by the Gumbel trick, in plain NumPy; also part of the runtime without torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate.errors import ArgumentError
from hiddenstate.text.tokens import UNKNOWN_ID

# [V] for a single sample, or [S, V] for several.
Array = NDArray[np.float32]
Chosen = Any  # np.int64 or an array of np.int64

# At lower temperatures, the smallest float32 difference exceeds the noise, and the quotients soon overflow.
_COLDEST = 1e-6
_NOISE_BLOCK = 2**16  # random numbers drawn at a time


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


def head_scores(
    weight: Array, bias: Array, project: Array | None, sampling: Sampling, samples: int
) -> Callable[[Array], Array]:
    """Return a function from state to all tokens' scores over the temperature, in an array that it reuses."""
    scale = np.float32(1.0 if sampling.is_greedy else 1 / sampling.temperature)
    weight, bias = scale * weight, scale * bias
    if not sampling.unknown:
        bias[UNKNOWN_ID] = -np.inf
    matmul, add = np.matmul, np.add
    out: Array = np.empty(len(bias) if samples == 1 else (samples, len(bias)), np.float32)

    def scores(h: Array) -> Array:
        matmul(h if project is None else matmul(h, project), weight, out=out)
        add(out, bias, out=out)
        return out

    return scores


def chooser(sampling: Sampling, samples: int, tokens: int) -> Callable[[Array], Chosen]:
    """Return a function that chooses a token from the scores of all tokens."""
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
    """Set all but the highest of the scores ``[..., V]`` to minus infinity; ties are kept or dropped together."""
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
    sources = [np.random.default_rng(own) for own in np.random.SeedSequence(seed).spawn(samples)]
    block = max(1, _NOISE_BLOCK // (samples * tokens))
    while True:
        drawn = np.stack([source.standard_exponential((block, tokens)) for source in sources], axis=1)
        noise = -np.log(np.maximum(drawn, np.finfo(drawn.dtype).tiny, out=drawn), out=drawn)
        yield from (noise[:, 0] if samples == 1 else noise).astype(np.float32)
