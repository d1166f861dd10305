"""Measures whether a tagger that is 90 % confident is right 90 % of the time, and fits a temperature to that."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15
# Temperatures between 1/20 and 20 are searched.
_SPAN = math.log(20)
_GOLDEN = (math.sqrt(5) - 1) / 2
_TURNS = 30


@dataclass(frozen=True)
class Bin:
    """Words whose confidence is between two bounds.

    Attributes:
        count: the number of words.
        confidence: their mean confidence; 0 without words.
        correct: the share of them that are right; 0 without words.
    """

    count: int
    confidence: float
    correct: float


@dataclass(frozen=True)
class Calibration:
    """Confidence (the probability of the chosen tag) compared with accuracy.

    Attributes:
        bins: words by confidence, in equal intervals from 0 to 1.
    """

    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over words of |confidence - share correct| of the word's bin."""
        words = sum(each.count for each in self.bins)
        gaps = sum(each.count * abs(each.confidence - each.correct) for each in self.bins)
        return gaps / words if words else float("nan")


def measure_calibration(confidences: Tensor, correct: Tensor) -> Calibration:
    """Sort words into bins.

    Args:
        confidences: ``[W]``, the confidence in each word's tag.
        correct: ``[W]``, bool.

    >>> measure_calibration(torch.full([4], 0.875), torch.tensor([True, True, True, False])).error
    0.125
    """
    place = (confidences * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    sums = [torch.bincount(place, each.double(), minlength=BINS) for each in (confidences, correct)]
    means = [(each / counts.clamp_min(1)).tolist() for each in sums]
    return Calibration(tuple(Bin(*row) for row in zip(counts.tolist(), *means, strict=True)))


def fit_temperature(log_probabilities: Tensor, tags: Tensor) -> float:
    """Return the temperature that minimises the surprise of the tags.

    With few words it stays near 1, even if all predictions are right: the prior of its logarithm is a normal
    distribution around 0.

    Args:
        log_probabilities: ``[W, K]`` for W words.
        tags: ``[W]``, the right tags.
    """
    scores = log_probabilities.double()

    def surprise(logarithm: float) -> float:
        shares = (scores / math.exp(logarithm)).log_softmax(-1)
        return logarithm**2 / 2 - float(shares.gather(1, tags[:, None]).sum())

    return math.exp(_lowest(surprise, -_SPAN, _SPAN))


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimum of a unimodal function, by golden-section search."""
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    values = [function(inner[0]), function(inner[1])]
    for _ in range(_TURNS):
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - _GOLDEN * (high - low)
            values[0] = function(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + _GOLDEN * (high - low)
            values[1] = function(inner[1])
    return (low + high) / 2
