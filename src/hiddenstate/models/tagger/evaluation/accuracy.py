"""Measures a tagger's accuracy: on all words, on unknown words and by tag, and its calibration."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.models.tagger.evaluation.calibration import Calibration, fit_temperature, measure_calibration
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import Tagging
from hiddenstate.text.conllu import Sentence


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
        wanted, given = Counter[str](), Counter[str]()
        for (want, got), count in self.confusions.items():
            wanted[want] += count
            given[got] += count
        names = sorted({*wanted, *given}, key=lambda name: (-wanted[name], name))
        return [TagAccuracy(name, wanted[name], given[name], self.confusions.get((name, name), 0)) for name in names]

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
    given = [tag for tagging in taggings for tag in tagging.columns[column].tags]
    rows = zip(forms, wanted, given, strict=True)
    marks = [(want == got, form not in known) for form, want, got in rows if want is not None]
    unknown = [right for right, is_unknown in marks if is_unknown]
    correct = [right for right, _ in marks]
    tagged = torch.tensor([want is not None for want in wanted], dtype=torch.bool)
    shares, chosen = _shares(column, names, taggings), torch.tensor(_numbers(names, given), dtype=torch.int64)
    raw = (shares.log() * tagger.temperatures[column]).softmax(-1)
    confidences = [each.gather(1, chosen[:, None])[tagged, 0] for each in (shares, raw)]
    return Report(
        Accuracy(len(correct), sum(correct), len(unknown), sum(unknown)),
        Counter((want, got) for want, got in zip(wanted, given, strict=True) if want is not None),
        sum(want is not None and want not in names for want in wanted),
        *(measure_calibration(each, torch.tensor(correct)) for each in confidences),
    )


def fitted_temperatures(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, float]:
    """Return the temperatures that minimise the surprise of the sentences' tags; see `Tagger.calibrate`."""
    taggings = tagger.tag(sentence.forms for sentence in sentences)
    found = {}
    for column, names in tagger.columns.items():
        wanted = torch.tensor(_numbers(names, [tag for s in sentences for tag in s.tags(column)]), dtype=torch.int64)
        scores = _shares(column, names, taggings).log() * tagger.temperatures[column]
        found[column] = fit_temperature(scores[wanted >= 0], wanted[wanted >= 0])
    return found


def _shares(column: str, names: Sequence[str], taggings: Sequence[Tagging]) -> Tensor:
    """Return the probabilities ``[W, K]`` of all words, all above 0."""
    shares = torch.cat([torch.empty(0, len(names)), *(tagging.columns[column].probabilities for tagging in taggings)])
    return shares.clamp_min(torch.finfo(shares.dtype).tiny)


def _numbers(names: Sequence[str], tags: Sequence[str | None]) -> list[int]:
    """Return the indices of tags, -1 for unknown ones."""
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    return [numbers.get(tag, -1) for tag in tags]
