"""How many words a tagger tags as the data does: of all words, and of words it was not trained on."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from hiddenstate.models.tagger import Tagger, tags_of
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


def words_of(sentences: Sequence[Sentence]) -> frozenset[str]:
    """Every distinct word form."""
    return frozenset(form for sentence in sentences for form in sentence.forms)


def evaluate(tagger: Tagger, sentences: Sequence[Sentence], known: Set[str]) -> Accuracy:
    """Tag the sentences and compare with their tags (the column that the tagger's config names).

    Args:
        tagger: the tagger.
        sentences: words with tags; words without one are not counted.
        known: the word forms of the training data; any other is an unknown word.
    """
    taggings = tagger.tag(sentence.forms for sentence in sentences)
    marks = [
        (got == wanted, form not in known)
        for sentence, tagging in zip(sentences, taggings, strict=True)
        for form, got, wanted in zip(sentence.forms, tagging.tags, tags_of(sentence, tagger.config.column), strict=True)
        if wanted is not None
    ]
    unknown = [right for right, is_unknown in marks if is_unknown]
    return Accuracy(len(marks), sum(right for right, _ in marks), len(unknown), sum(unknown))
