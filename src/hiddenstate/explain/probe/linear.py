"""One linear probe, trained on half of the sequences and scored on the other half; and the eraser of what it reads."""

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.validation import optional_package

SAMPLES = 1000  # bootstrap resamples
MOST_DRAWN = 1 << 20  # sequences drawn at once
ITERATIONS = 300
STRENGTH = 1.0  # inverse of the penalty


@dataclass(frozen=True, eq=False)
class Eraser:
    """The map ``x - (x - mean) @ matrix``, after which states and what is erased have no covariance."""

    mean: Tensor  # ``[U]``, float64
    matrix: Tensor  # ``[U, U]``, float64
    rank: int  # the number of directions that are removed
    span: int  # the number of directions in which the states vary

    def __call__(self, states: Tensor) -> Tensor:
        """Return states ``[..., U]`` without anything that a linear probe could read, in their own type."""
        x = states.double()
        return (x - (x - self.mean) @ self.matrix).to(states.dtype)


def fit_eraser(states: Tensor, classes: Tensor, count: int) -> Eraser:
    """Return the eraser of a label."""
    return fit_number_eraser(states, torch.nn.functional.one_hot(classes, count))


def fit_number_eraser(states: Tensor, numbers: Tensor) -> Eraser:
    """Return the eraser ``W⁻¹PW(x - mean)`` of numbers ``[M, K]``; W whitens, P projects onto their covariance."""
    x, z = states.double(), numbers.double()
    mean = x.mean(0)
    x, z = x - mean, z - z.mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    kept = values > values.max().clamp_min(1e-300) * len(values) * torch.finfo(torch.float64).eps * 16
    roots = torch.where(kept, values.clamp_min(1e-300).sqrt(), torch.zeros_like(values))
    inverse = torch.where(kept, 1 / values.clamp_min(1e-300).sqrt(), torch.zeros_like(values))
    whiten, colour = (vectors * inverse) @ vectors.T, (vectors * roots) @ vectors.T
    left, sizes, _ = torch.linalg.svd(whiten @ (x.T @ z / len(x)), full_matrices=False)
    directions = left[:, sizes > sizes.max().clamp_min(1e-300) * 1e-9]
    # For row vectors, x @ matrix is (W⁻¹ P W x)ᵀ; W and P are symmetric.
    return Eraser(mean, whiten @ directions @ directions.T @ colour, directions.shape[1], int(kept.sum()))


class Score(NamedTuple):
    """A score of held-out steps, the share with the right label or R², with its 95 % interval over sequences."""

    value: float
    low: float
    high: float


def held_out_sequences(sequence: Tensor, seed: int) -> NDArray[np.bool_]:
    """Return whether each step's sequence is in the held-out half."""
    every = np.unique(sequence.numpy())
    drawn = np.random.default_rng(seed).permutation(every)
    return np.isin(sequence.numpy(), drawn[: len(every) // 2])


def fit(
    states: Tensor, classes: NDArray[np.int64], is_held_out: NDArray[np.bool_], sequence: Tensor, seed: int
) -> tuple[Score, Tensor]:
    """Train a probe; return its score, and the directions of its classes ``[K, U]`` in the space of the states."""
    linear = optional_package("sklearn.linear_model", "probe", "a probe")
    train = ~is_held_out
    x = states.double().numpy()
    mean, deviation = x[train].mean(0), np.maximum(x[train].std(0), 1e-8)
    scaled = (x - mean) / deviation
    if len(np.unique(classes[train])) < 2:
        right = classes[is_held_out] == classes[train][0]
        return interval(right, sequence.numpy()[is_held_out], seed), torch.zeros(1, x.shape[1])
    model = linear.LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
    with warnings.catch_warnings():  # the optimiser may stop early; the held-out score shows how well it did
        warnings.simplefilter("ignore")
        model.fit(scaled[train], classes[train])
    right = model.predict(scaled[is_held_out]) == classes[is_held_out]
    return interval(right, sequence.numpy()[is_held_out], seed), torch.tensor(model.coef_ / deviation)


def interval(right: NDArray[np.bool_], sequence: NDArray[np.int64], seed: int) -> Score:
    """Return the share of correct steps, with a 95 % interval from resampling sequences (bootstrap)."""
    _, number = np.unique(sequence, return_inverse=True)
    sums = np.stack([np.bincount(number, right.astype(np.float64)), np.bincount(number)], axis=1).astype(np.float64)
    correct, steps = resampled(sums, seed).T
    low, high = np.quantile(correct / steps, [0.025, 0.975])
    return Score(float(right.mean()), float(low), float(high))


def resampled(sums: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the sums ``[SAMPLES, K]`` over units that are drawn with replacement, of sums ``[units, K]``."""
    generator, parts = np.random.default_rng(seed), list[NDArray[np.float64]]()
    together = max(1, MOST_DRAWN // len(sums))
    for k in range(0, SAMPLES, together):
        drawn = generator.integers(0, len(sums), (min(together, SAMPLES - k), len(sums)))
        parts.append(sums[drawn].sum(1))
    return np.concatenate(parts)


def by_word(
    words: tuple[Any, ...], classes: NDArray[np.int64], is_held_out: NDArray[np.bool_], sequence: Tensor, seed: int
) -> Score:
    """Score a guess from the word alone: its most frequent label in the probe's training data."""
    seen: dict[Any, Counter[int]] = {}
    usual: Counter[int] = Counter()
    for word, label, held in zip(words, classes.tolist(), is_held_out.tolist(), strict=True):
        if not held:
            seen.setdefault(word, Counter())[label] += 1
            usual[label] += 1
    best = {word: counter.most_common(1)[0][0] for word, counter in seen.items()}
    default = usual.most_common(1)[0][0]
    held_words = [word for word, held in zip(words, is_held_out.tolist(), strict=True) if held]
    right = np.array([best.get(word, default) for word in held_words]) == classes[is_held_out]
    return interval(right, sequence.numpy()[is_held_out], seed)


def repeated_share(words: tuple[Any, ...], is_held_out: NDArray[np.bool_]) -> float:
    """Return the share of held-out steps whose word occurs in the training data."""
    trained = {word for word, held in zip(words, is_held_out.tolist(), strict=True) if not held}
    return float(np.mean([word in trained for word, held in zip(words, is_held_out.tolist(), strict=True) if held]))


def control_labels(words: tuple[Any, ...], classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return one random label per word, which only memorising words solves (Hewitt & Liang 2019)."""
    generator = np.random.default_rng(seed)
    drawn = {word: int(generator.choice(classes)) for word in dict.fromkeys(words)}
    return np.array([drawn[word] for word in words], dtype=np.int64)
