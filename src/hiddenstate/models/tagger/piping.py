"""Streams of sentences tagged lazily, in batches; and parsed CoNLL-U tagged as text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.tagger.tagging import OnlyTags
from hiddenstate.text.conllu import Sentence, Table, forms_in, with_columns

T = TypeVar("T")

# In smaller batches, sentences differ more in length, which costs time; larger batches take memory and are no faster.
SENTENCES_TOGETHER = 4000
WORDS_TOGETHER = 80_000  # bounds the memory for long sentences


def piped(
    tag: Callable[[list[Any]], Sequence[Any]], sentences: Iterable[Any], batch_size: int, as_tuples: bool
) -> Iterator[Any]:
    """Return the results of ``tag`` for a stream of sentences; same arguments and errors as `Tagger.pipe`."""
    size = check_int("batch_size", batch_size)
    if size < 1:
        raise ArgumentError(f"batch_size must be at least 1, got {batch_size}")
    if isinstance(sentences, str):
        raise ArgumentTypeError("pipe takes an iterable of sentences, each a list of words; got a text")
    return _pairs(tag, sentences, size) if as_tuples else _taggings(tag, sentences, size)


def check_options(n_best: int, precision: str) -> None:
    """Raise ArgumentError if an option of `Tagger.tag` is out of range."""
    if precision not in ("fp32", "bf16"):
        raise ArgumentError(f"precision must be fp32 or bf16, got {precision!r}")
    if n_best < 0:
        raise ArgumentError(f"n_best must be at least 0, got {n_best}")


def in_batches(
    items: Iterable[T], size: int, words: Callable[[T], int], most_words: int = WORDS_TOGETHER
) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``; a list also ends once it has ``most_words`` words."""
    batch, count = list[T](), 0
    for item in items:
        batch.append(item)
        count += words(item)
        if len(batch) >= size or count >= most_words:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def tag_parsed(tag: OnlyTags, groups: Sequence[Table | list[Sentence]]) -> list[str]:
    """Tag groups of sentences, and return each group as CoNLL-U with a blank line after each sentence."""
    forms = [forms_in(group) for group in groups]
    found = {column: each.tags for column, each in tag([*chain.from_iterable(forms)]).items()}
    texts, at = list[str](), 0
    for group, sentences in zip(groups, forms, strict=True):
        end = at + sum(map(len, sentences))
        texts.append(with_columns(group, {column: tags[at:end] for column, tags in found.items()}))
        at = end
    return texts


def _taggings(tag: Callable[[list[Any]], Sequence[Any]], sentences: Iterable[Any], size: int) -> Iterator[Any]:
    for batch in in_batches(sentences, size, _words):
        yield from tag(batch)


def _pairs(tag: Callable[[list[Any]], Sequence[Any]], pairs: Iterable[Any], size: int) -> Iterator[Any]:
    for batch in in_batches(map(_pair, pairs), size, lambda pair: _words(pair[0])):
        words, others = zip(*batch, strict=True)
        yield from zip(tag([*words]), others, strict=True)


def _words(sentence: Any) -> int:
    return len(sentence) if hasattr(sentence, "__len__") else 1  # `tag` rejects anything that is not a sentence


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise ArgumentTypeError(
            f"with as_tuples, pipe takes pairs (words, anything), got {type(item).__name__}; "
            "drop as_tuples to give sentences only"
        )
    return item[0], item[1]
