"""How well a tagger tags: of all words, of words it was not trained on, tag by tag, and how sure it is."""

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
    """Counts of words that have a tag in the data, and of those among them not seen in training.

    >>> str(Accuracy(words=200, correct=190, unknown_words=0, unknown_correct=0))
    '95.00 % of 200 words'
    """

    words: int
    correct: int
    unknown_words: int
    unknown_correct: int

    @property
    def share(self) -> float:
        """Correct share of all words, 0 to 1; not a number without words."""
        return self.correct / self.words if self.words else float("nan")

    @property
    def unknown_share(self) -> float:
        """Correct share of the unknown words, 0 to 1; not a number without any."""
        return self.unknown_correct / self.unknown_words if self.unknown_words else float("nan")

    def __str__(self) -> str:
        text = f"{100 * self.share:.2f} % of {self.words:,} words"
        if self.unknown_words:
            text += f", {100 * self.unknown_share:.2f} % of {self.unknown_words:,} unknown words"
        return text


@dataclass(frozen=True)
class TagAccuracy:
    """How well one tag is found.

    Attributes:
        tag: its name.
        wanted: words that have it in the data.
        given: words that the tagger gives it.
        correct: words of both kinds.
    """

    tag: str
    wanted: int
    given: int
    correct: int

    @property
    def precision(self) -> float:
        """Correct share of the words that are given the tag; not a number without any."""
        return self.correct / self.given if self.given else float("nan")

    @property
    def recall(self) -> float:
        """Correct share of the words that have the tag; not a number without any."""
        return self.correct / self.wanted if self.wanted else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; not a number where the tag is neither wanted nor given."""
        either = self.wanted + self.given
        return 2 * self.correct / either if either else float("nan")


@dataclass(frozen=True)
class Report:
    """What was measured in one tag column.

    Attributes:
        accuracy: counts of words.
        confusions: how often words with one tag in the data (the first) were given another, or the same (the second).
        unseen: words whose tag the tagger does not have, since it was not in the training data; never correct.
        calibration: how confident it is, and whether rightly.
        uncalibrated: the same without its temperature.
    """

    accuracy: Accuracy
    confusions: Mapping[tuple[str, str], int]
    unseen: int
    calibration: Calibration
    uncalibrated: Calibration

    @property
    def by_tag(self) -> list[TagAccuracy]:
        """Each tag that is in the data or was given, the most frequent in the data first."""
        wanted, given = Counter[str](), Counter[str]()
        for (want, got), count in self.confusions.items():
            wanted[want] += count
            given[got] += count
        names = sorted({*wanted, *given}, key=lambda name: (-wanted[name], name))
        return [TagAccuracy(name, wanted[name], given[name], self.confusions.get((name, name), 0)) for name in names]

    def __str__(self) -> str:
        return str(self.accuracy)


Reports = Mapping[str, Report]  # by column


def words_of(sentences: Sequence[Sentence]) -> frozenset[str]:
    """Every distinct word form."""
    return frozenset(form for sentence in sentences for form in sentence.forms)


def evaluate(tagger: Tagger, sentences: Sequence[Sentence], known: Set[str]) -> dict[str, Report]:
    """Tag the sentences and compare with their tags.

    Args:
        tagger: the tagger.
        sentences: words with tags; words without one are not counted.
        known: the word forms of the training data; any other is an unknown word.

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
    """Return the temperatures at which the sentences' tags are the least surprising; see `Tagger.calibrate`."""
    taggings = tagger.tag(sentence.forms for sentence in sentences)
    found = {}
    for column, names in tagger.columns.items():
        wanted = torch.tensor(_numbers(names, [tag for s in sentences for tag in s.tags(column)]), dtype=torch.int64)
        scores = _shares(column, names, taggings).log() * tagger.temperatures[column]
        found[column] = fit_temperature(scores[wanted >= 0], wanted[wanted >= 0])
    return found


def _shares(column: str, names: Sequence[str], taggings: Sequence[Tagging]) -> Tensor:
    """Probabilities ``[W, K]`` of all words, above 0."""
    shares = torch.cat([torch.empty(0, len(names)), *(tagging.columns[column].probabilities for tagging in taggings)])
    return shares.clamp_min(torch.finfo(shares.dtype).tiny)


def _numbers(names: Sequence[str], tags: Sequence[str | None]) -> list[int]:
    """Numbers of tags, -1 for those that there are not."""
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    return [numbers.get(tag, -1) for tag in tags]
