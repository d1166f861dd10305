"""Measures a tagger: its accuracy overall, on unknown words and by tag, and its calibration; and plots both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.figures import Picture, shortened
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import Tagging
from hiddenstate.text.conllu import Sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Accuracy:
    """Counts of tagged words in the data, and of those not seen in training.

    >>> str(Accuracy(words=200, correct=190, unknown_words=0, unknown_correct=0))
    '95.00 % of 200 words'
    """

    words: int
    correct: int
    unknown_words: int
    unknown_correct: int

    @property
    def share(self) -> float:
        """The share of all words that are correct, 0 to 1; NaN without words."""
        return self.correct / self.words if self.words else float("nan")

    @property
    def unknown_share(self) -> float:
        """The share of unknown words that are correct, 0 to 1; NaN without any."""
        return self.unknown_correct / self.unknown_words if self.unknown_words else float("nan")

    def __str__(self) -> str:
        text = f"{100 * self.share:.2f} % of {self.words:,} words"
        if self.unknown_words:
            text += f", {100 * self.unknown_share:.2f} % of {self.unknown_words:,} unknown words"
        return text


@dataclass(frozen=True)
class TagAccuracy:
    """Precision and recall of one tag.

    Attributes:
        tag: its name.
        wanted: the number of words with this tag in the data.
        given: the number of words to which the tagger assigns it.
        correct: the number of words for which both hold.
    """

    tag: str
    wanted: int
    given: int
    correct: int

    @property
    def precision(self) -> float:
        """The share of words assigned the tag that are correct; NaN without any."""
        return self.correct / self.given if self.given else float("nan")

    @property
    def recall(self) -> float:
        """The share of words with the tag that are correct; NaN without any."""
        return self.correct / self.wanted if self.wanted else float("nan")

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; NaN if the tag is neither in the data nor assigned."""
        either = self.wanted + self.given
        return 2 * self.correct / either if either else float("nan")


@dataclass(frozen=True)
class Report:
    """The measurements for one tag column.

    Attributes:
        accuracy: counts of words.
        confusions: counts of pairs of a word's tag in the data and the tag assigned to it.
        unseen: the number of words whose tag was not in the training data; never correct.
        calibration: the calibration of its confidence.
        uncalibrated: the calibration without its temperature.
    """

    accuracy: Accuracy
    confusions: Mapping[tuple[str, str], int]
    unseen: int
    calibration: Calibration
    uncalibrated: Calibration

    @property
    def by_tag(self) -> list[TagAccuracy]:
        """Each tag that is in the data or was assigned, in order of frequency in the data."""
        wanted, assigned = Counter[str](), Counter[str]()
        for (want, got), count in self.confusions.items():
            wanted[want] += count
            assigned[got] += count
        names = sorted({*wanted, *assigned}, key=lambda name: (-wanted[name], name))
        return [TagAccuracy(name, wanted[name], assigned[name], self.confusions.get((name, name), 0)) for name in names]

    def __str__(self) -> str:
        return str(self.accuracy)


Reports = Mapping[str, Report]  # by column


def distinct_words(sentences: Sequence[Sentence]) -> frozenset[str]:
    """Every distinct word form."""
    return frozenset(form for sentence in sentences for form in sentence.forms)


def evaluate(tagger: Tagger, sentences: Sequence[Sentence], known: Set[str]) -> dict[str, Report]:
    """Tag the sentences, and compare the result with their tags.

    Args:
        tagger: the tagger.
        sentences: words with tags; words without one are not counted.
        known: the word forms of the training data; all others are unknown words.

    Returns:
        A report for each of the tagger's columns.
    """
    taggings = tagger.tag(sentence.forms for sentence in sentences)
    return {column: _report(tagger, column, sentences, taggings, known) for column in tagger.columns}


def _report(
    tagger: Tagger, column: str, sentences: Sequence[Sentence], taggings: Sequence[Tagging], known: Set[str]
) -> Report:
    names = tagger.columns[column]
    forms = [form for sentence in sentences for form in sentence.forms]
    wanted = [tag for sentence in sentences for tag in sentence.tags(column)]
    assigned = [tag for tagging in taggings for tag in tagging.columns[column].tags]
    rows = zip(forms, wanted, assigned, strict=True)
    marks = [(want == got, form not in known) for form, want, got in rows if want is not None]
    unknown = [right for right, is_unknown in marks if is_unknown]
    correct = [right for right, _ in marks]
    tagged = torch.tensor([want is not None for want in wanted], dtype=torch.bool)
    shares, chosen = _shares(column, names, taggings), torch.tensor(_numbers(names, assigned), dtype=torch.int64)
    raw = (shares.log() * tagger.temperatures[column]).softmax(-1)
    confidences = [part.gather(1, chosen[:, None])[tagged, 0] for part in (shares, raw)]
    return Report(
        Accuracy(len(correct), sum(correct), len(unknown), sum(unknown)),
        Counter((want, got) for want, got in zip(wanted, assigned, strict=True) if want is not None),
        sum(want is not None and want not in names for want in wanted),
        *(measure_calibration(confidence, torch.tensor(correct)) for confidence in confidences),
    )


def fitted_temperatures(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, float]:
    """Return the temperatures that minimise the surprise of the sentences' tags; see `Tagger.calibrate`."""
    taggings = tagger.tag(sentence.forms for sentence in sentences)
    temperatures = {}
    for column, names in tagger.columns.items():
        wanted = torch.tensor(_numbers(names, [tag for s in sentences for tag in s.tags(column)]), dtype=torch.int64)
        scores = _shares(column, names, taggings).log() * tagger.temperatures[column]
        temperatures[column] = fit_temperature(scores[wanted >= 0], wanted[wanted >= 0])
    return temperatures


def _shares(column: str, names: Sequence[str], taggings: Sequence[Tagging]) -> Tensor:
    """Return the probabilities ``[W, K]`` of all words, all above 0."""
    shares = torch.cat([torch.empty(0, len(names)), *(tagging.columns[column].probabilities for tagging in taggings)])
    return shares.clamp_min(torch.finfo(shares.dtype).tiny)


def _numbers(names: Sequence[str], tags: Sequence[str | None]) -> list[int]:
    """Return the indices of tags, -1 for unknown ones."""
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    return [numbers.get(tag, -1) for tag in tags]


BINS = 15
# Temperatures between 1/20 and 20 are searched.
_SPAN = math.log(20)
_GOLDEN = (math.sqrt(5) - 1) / 2
_TURNS = 30


@dataclass(frozen=True)
class Bin:
    """Words whose confidence is between two bounds: their mean confidence and share correct, 0 without words."""

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
        words = sum(part.count for part in self.bins)
        gaps = sum(part.count * abs(part.confidence - part.correct) for part in self.bins)
        return gaps / words if words else float("nan")


def measure_calibration(confidences: Tensor, correct: Tensor) -> Calibration:
    """Sort words into bins by the confidence ``[W]`` in their tags.

    >>> measure_calibration(torch.full([4], 0.875), torch.tensor([True, True, True, False])).error
    0.125
    """
    place = (confidences * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    sums = [torch.bincount(place, values.double(), minlength=BINS) for values in (confidences, correct)]
    means = [(total / counts.clamp_min(1)).tolist() for total in sums]
    return Calibration(tuple(Bin(*row) for row in zip(counts.tolist(), *means, strict=True)))


def fit_temperature(log_probabilities: Tensor, tags: Tensor) -> float:
    """Return the temperature that minimises tags' surprise, with a normal prior around 0 on its logarithm."""
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


MOST_TAGS = 24
_CALIBRATED, _RAW = "#0072b2", "#d55e00"


def plot_reports(reports: Reports) -> Figure:
    """Draw a row for each tag column: confusions of its most frequent tags, and confidence against accuracy."""
    figure = Picture(figsize=(12, 5.5 * len(reports)), layout="constrained")
    rows = figure.subplots(len(reports), 2, squeeze=False, width_ratios=(3, 2))
    for (column, report), (left, right) in zip(reports.items(), rows, strict=True):
        _draw_confusions(left, column, report)
        _draw_confidence(right, column, report)
    return figure


def _draw_confusions(axes: Axes, column: str, report: Report) -> None:
    """Draw, in each row, the tags assigned to words with one tag, as shares of the row; correct ones are white."""
    names = [tag.tag for tag in report.by_tag if tag.wanted][:MOST_TAGS]
    wanted = {tag.tag: tag.wanted for tag in report.by_tag}
    shares = np.array([[report.confusions.get((a, b), 0) / wanted[a] for b in names] for a in names])
    np.fill_diagonal(shares, np.nan)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=max(1.0, 100 * float(np.nanmax([0, *shares.flat]))))
    axes.figure.colorbar(image, ax=axes, label="% of the row's words", shrink=0.8)
    labels = [shortened(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90)
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlabel="given", ylabel="wanted", title=f"{column.upper()}: words that are given another tag")


def _draw_confidence(axes: Axes, column: str, report: Report) -> None:
    axes.plot((0, 1), (0, 1), color="grey", linewidth=1, label="right as often as it says")
    curves = (report.uncalibrated, _RAW, "without temperature"), (report.calibration, _CALIBRATED, "with")
    for calibration, color, name in curves:
        bins = [part for part in calibration.bins if part.count]
        words = sum(part.count for part in bins)
        sizes = [8 + 200 * part.count / words for part in bins]
        confidence, correct = [part.confidence for part in bins], [part.correct for part in bins]
        axes.plot(confidence, correct, color=color, label=f"{name}, error {100 * calibration.error:.2f} %")
        axes.scatter(confidence, correct, sizes, color=color, alpha=0.6, clip_on=False)
    title = f"{column.upper()}: confidence in {BINS} parts"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share correct", title=title)
    axes.legend(loc="lower right")
