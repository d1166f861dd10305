"""What a tagger learns from: the sentences of each epoch, their variants, teachers, and a tagger to start from."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.batches import plan_batches
from hiddenstate.text.conllu import Sentence
from hiddenstate.training.settings import format_setting


class Lesson(NamedTuple):
    """A batch: the positions of its sentences, and whether it learns from teachers' probabilities."""

    positions: list[int]
    taught: bool


class Syllabus:
    """The lengths of tagged sentences, untagged ones and variants; seed and epoch determine which are read."""

    def __init__(
        self,
        config: TaggerConfig,
        tagged: Sequence[int],
        untagged: Sequence[int],
        taught: bool,
        variants: Sequence[int] = (),
    ) -> None:
        self.config, self.tagged, self.untagged, self.taught = config, tagged, untagged, taught
        self.variants = variants
        self._last: tuple[int, list[int]] = (0, [])

    def lessons(self, epoch: int) -> list[Lesson]:
        """Group sentences of similar length into batches; epochs are counted from 1."""
        generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + epoch)
        taught = self._is_taught(epoch)
        batches = plan_batches(self._read(epoch), self.config.batch_words, generator)
        return [Lesson(positions, taught) for positions in batches]

    def size(self, epoch: int) -> int:
        """Count the words read in an epoch."""
        return sum(self._read(epoch))

    def _is_taught(self, epoch: int) -> bool:
        return self.taught and epoch <= self.config.epochs - self.config.tagged_epochs

    def _read(self, epoch: int) -> list[int]:
        """Return the number of words of each sentence, 0 if it is not read; cached, as it is needed at every step."""
        if self._last[0] != epoch:
            more = self._drawn(epoch) if self._is_taught(epoch) else [0] * len(self.untagged)
            self._last = epoch, self._varied([*self.tagged, *more], epoch)
        return self._last[1]

    def _varied(self, read: list[int], epoch: int) -> list[int]:
        """Replace some of the sentences by their variants, at the end."""
        if not self.variants:
            return read
        generator = torch.Generator().manual_seed(2**41 + 1_000_003 * self.config.seed + epoch)
        drawn = (torch.rand(len(read), generator=generator) < self.config.varied).tolist()
        pairs = [(0, v if n else 0) if d else (n, 0) for n, v, d in zip(read, self.variants, drawn, strict=True)]
        return [n for n, _ in pairs] + [v for _, v in pairs]

    def _drawn(self, epoch: int) -> list[int]:
        wanted = self.config.untagged_words
        if not wanted or wanted >= sum(self.untagged):
            return list(self.untagged)
        generator = torch.Generator().manual_seed(2**40 + 1_000_003 * self.config.seed + epoch)
        order = torch.randperm(len(self.untagged), generator=generator)
        lengths = torch.tensor(self.untagged)[order]
        before = lengths.cumsum(0) - lengths
        drawn = torch.zeros(len(self.untagged), dtype=torch.int64)
        drawn[order] = lengths * (before < wanted)
        return [int(length) for length in drawn.tolist()]


T = TypeVar("T")
Words = Sequence[str]


class Variant(NamedTuple):
    """Words that replace those of a sentence one for one, from word ``start`` on."""

    words: tuple[str, ...]
    start: int


def make_variants(sentences: Sequence[Words], seed: int) -> list[Variant]:
    """Return a variant of each sentence: half are spans of it, half are the whole sentence in a different case."""
    draw = random.Random(seed)
    return [_variant(words, draw) for words in sentences]


def select_like(variants: Sequence[Variant], rows: Sequence[Sequence[T]]) -> list[Sequence[T]]:
    """Select the items for the words of each variant from the items for the words of each sentence."""
    return [row[start : start + len(words)] for (words, start), row in zip(variants, rows, strict=bool(variants))]


def _variant(words: Words, draw: random.Random) -> Variant:
    kind, first, last = (draw.random() for _ in range(3))
    if kind < 1 / 6:
        return Variant(tuple(word.lower() for word in words), 0)
    if kind < 2 / 6:
        return Variant(tuple(word.upper() for word in words), 0)
    if kind < 3 / 6:
        return Variant(tuple(map(_capitalised, words)), 0)
    start = int(first * max(1, len(words) - 1))
    end = len(words) - int(last * max(1, len(words) - start - 1))
    part = tuple(words[start:end])
    return Variant((*map(_capitalised, part[:1]), *part[1:]), start)


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]


_AT_ONCE = 1000  # sentences whose probabilities are kept in full precision


def taught_by(
    teachers: Sequence[str | Path],
    sentences: Sequence[Sequence[str]],
    tags: Mapping[str, Sequence[str]],
    precision: str = "fp32",
) -> dict[str, Tensor]:
    """Return the taggers' mean probabilities for each word of all sentences: ``[W, K]`` for each column, float16."""
    words = sum(map(len, sentences))
    total = {column: torch.zeros(words, len(names)) for column, names in tags.items()}
    for path in teachers:
        teacher = load_tagger(path)
        order = {column: _order(path, teacher, column, names) for column, names in tags.items()}
        start = 0
        for k in range(0, len(sentences), _AT_ONCE):
            taggings = teacher.tag(sentences[k : k + _AT_ONCE], precision=precision)
            for column, places in order.items():
                shares = torch.cat([tagging.columns[column].probabilities for tagging in taggings])
                total[column][start : start + len(shares)] += shares[:, places] / len(teachers)
            start += sum(map(len, sentences[k : k + _AT_ONCE]))
    return {column: shares.half() for column, shares in total.items()}


def _order(path: str | Path, teacher: Tagger, column: str, names: Sequence[str]) -> list[int]:
    """Return the index of each of the student's tags in a teacher."""
    theirs = teacher.columns.get(column)
    if theirs is None:
        raise ArgumentError(f"teacher {path} has no column {column}, only {' '.join(teacher.columns)}")
    differing = sorted(set(theirs) ^ set(names))
    if differing:
        whose = "the teacher" if differing[0] in theirs else "the training data"
        raise ArgumentError(
            f"teacher {path} has different tags in column {column} from the training data: only {whose} has "
            f"{differing[0]!r}; train it on the same data"
        )
    return [theirs.index(name) for name in names]


# Settings that determine the shapes of the weights and their meaning.
SIZES = (
    *("columns", "crf", "word_size", "char_size", "char_hidden_size", "max_chars"),
    *("hidden_size", "num_layers", "bidirectional", "lower_case", "cell"),
)


def started(path: str | Path, config: TaggerConfig, sentences: Sequence[Sentence]) -> Tagger:
    """Return a new tagger with the weights and vocabulary of a trained one, for further training."""
    before = load_tagger(path)
    for name in SIZES:
        theirs, ours = (format_setting(getattr(settings, name)) for settings in (before.config, config))
        if theirs != ours:
            raise ArgumentError(
                f"training starts from {path}, which has {name}={theirs}, got {ours}; set {name}={theirs}"
            )
    for column, tags in before.columns.items():
        unknown = sorted({tag for s in sentences for tag in s.tags(column) if tag is not None} - set(tags))
        if unknown:
            raise ArgumentError(
                f"training starts from {path}, which lacks the tag {unknown[0]!r} of column {column} in the training "
                "data; train without a start"
            )
    tagger = Tagger(config, before.encoder.words, before.encoder.chars, before.columns, before.context)
    tagger.load_state_dict(before.state_dict())
    return tagger
