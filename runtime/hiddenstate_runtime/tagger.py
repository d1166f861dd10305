"""The tagger: a distribution over tags for each word of a sentence."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_runtime.arrays import Array
from hiddenstate_runtime.layer import Layer, cell_of
from hiddenstate_runtime.shared.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate_runtime.shared.tokenise import tokenise
from hiddenstate_runtime.shared.vocabulary import Vocabulary

WORDS_TOGETHER = 4000  # per batch


@dataclass(frozen=True, eq=False)
class Tags:
    """The tags of a sentence in one column.

    Attributes:
        names: the K tags.
        tags: each word's most probable tag or, with a CRF, the most probable sequence of tags.
        probabilities: ``[T, K]``, each word's distribution; None with a CRF, which has a single distribution over whole
        sentences.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: Array | None


@dataclass(frozen=True, eq=False)
class Tagging:
    """A sentence with its tags.

    Attributes:
        words: its words.
        columns: the tags of each column of the model.
    """

    words: tuple[str, ...]
    columns: Mapping[str, Tags]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag of each word in the first column."""
        return next(iter(self.columns.values())).tags


class Tagger:
    """A tagger with constant weights, which threads may share.

    Attributes:
        columns: the tags of each column.
        lstm: the LSTM, GRU or plain RNN over words, as a `Layer`, to trace or edit.
    """

    def __init__(self, file: Any, config: dict[str, Any], vocabulary: dict[str, Any]) -> None:
        if "context" in vocabulary:
            raise FileFormatError("it reads contextual word vectors, which this version does not compute")
        self.columns = {column: tuple(names) for column, names in vocabulary["tags"].items()}
        self._words, self._chars = (Vocabulary.from_data(vocabulary[name]) for name in ("words", "chars"))
        self._temperatures = {column: _positive(vocabulary["temperatures"][column]) for column in self.columns}
        self._lower, self._half = config.get("lower_case", True), index(config["max_chars"]) // 2
        self._longest: int = config["max_chars"]
        word, char, spelt = config["word_size"], config["char_size"], config["char_hidden_size"]
        hidden, both = config["hidden_size"], config.get("bidirectional", True)
        self._word_vectors = matrix(file, "word_embedding.weight", len(self._words), word)
        self._char_vectors = matrix(file, "char_embedding.weight", len(self._chars), char) if spelt else None
        cell = cell_of(config)
        self._speller = Layer(file.layer("char_lstm.", char, spelt, 1, True, True, cell)) if spelt else None
        self.lstm = Layer(file.layer("lstm.", word + 2 * spelt, hidden, config["num_layers"], True, both, cell))
        tags = sum(map(len, self.columns.values()))
        self._head = matrix(file, "head.weight", tags, (1 + both) * hidden).T.copy()
        self._bias = vector(file, "head.bias", tags)
        self._chains = {name: _Chain(file, name, len(tags)) for name, tags in self.columns.items() if config["crf"]}

    @classmethod
    def from_file(cls, file: Any, metadata: Mapping[str, str]) -> "Tagger":
        """Read the tagger that a file describes."""
        return cls(file, json.loads(metadata["config"]), json.loads(metadata["vocabulary"]))

    def tag(self, text: str | Sequence[str]) -> Tagging:
        """Tag a sentence: a text, or its words.

        Raises:
            ArgumentError: a word is the empty string.
            ArgumentTypeError: a word is not a string.
        """
        (tagging,) = self.tag_many([text])
        return tagging

    def tag_many(self, sentences: Iterable[str | Sequence[str]]) -> list[Tagging]:
        """Tag sentences, many at a time; each is a text, or its words."""
        rows = [_words_of(sentence) for sentence in sentences]
        found: list[Tagging | None] = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda k: -len(rows[k]))
        spellings = self._spellings({word for words in rows for word in words})
        at = 0
        while at < len(order):
            longest = max(len(rows[order[at]]), 1)
            together = order[at : at + max(1, WORDS_TOGETHER // longest)]
            at += len(together)
            for k, tagging in zip(together, self._tag_batch([rows[k] for k in together], spellings), strict=True):
                found[k] = tagging
        return [tagging for tagging in found if tagging is not None]

    def _spellings(self, words: set[str]) -> dict[str, Array]:
        """The character layer's final states for each word."""
        if self._speller is None or self._char_vectors is None:
            return {word: np.empty(0, np.float32) for word in words}
        found: dict[str, Array] = {}
        listed = sorted(words, key=len, reverse=True)
        for k in range(0, len(listed), WORDS_TOGETHER):
            part = listed[k : k + WORDS_TOGETHER]
            spelt = [w if len(w) <= self._longest else w[: self._half] + w[-self._half :] for w in part]
            lengths = np.array([len(word) for word in spelt])
            ids = np.zeros((int(lengths[0]), len(spelt)), np.int64)
            for column, word in enumerate(spelt):
                ids[: len(word), column] = self._chars.ids(word)
            _, state = self._speller(self._char_vectors[ids], lengths=lengths)
            h = state[0] if isinstance(state, tuple) else state
            found.update(zip(part, np.concatenate([h[0], h[1]], axis=1), strict=True))
        return found

    def _tag_batch(self, rows: Sequence[tuple[str, ...]], spellings: Mapping[str, Array]) -> list[Tagging]:
        lengths = np.array([len(words) for words in rows])
        x = np.zeros((int(lengths.max(initial=0)), len(rows), self.lstm.sizes.input_size), np.float32)
        size = self._word_vectors.shape[1]
        for n, words in enumerate(rows):
            if not words:
                continue
            ids = self._words.ids(word.lower() if self._lower else word for word in words)
            x[: len(words), n, :size] = self._word_vectors[ids]
            x[: len(words), n, size:] = [spellings[word] for word in words]
        out, _ = self.lstm(x, lengths=lengths)
        scores = out @ self._head + self._bias
        return [self._tagging(words, scores[: len(words), n]) for n, words in enumerate(rows)]

    def _tagging(self, words: tuple[str, ...], scores: Array) -> Tagging:
        columns, first = {}, 0
        for name, names in self.columns.items():
            part, first = scores[:, first : first + len(names)], first + len(names)
            if name in self._chains:
                columns[name] = Tags(names, tuple(names[k] for k in self._chains[name].best(part)), None)
                continue
            shares = softmax(part / np.float32(self._temperatures[name]))
            columns[name] = Tags(names, tuple(names[k] for k in shares.argmax(-1)), shares)
        return Tagging(words, columns)


class _Chain:
    """Scores of the first tag, of transitions and of the last tag."""

    def __init__(self, file: Any, column: str, tags: int) -> None:
        self.transitions = matrix(file, f"chains.{column}.transitions", tags, tags).astype(np.float64)
        self.start, self.end = (
            vector(file, f"chains.{column}.{name}", tags).astype(np.float64) for name in ("start", "end")
        )

    def best(self, scores: Array) -> list[int]:
        """Return the most probable sequence of scores ``[T, K]``, by the Viterbi algorithm."""
        if not len(scores):
            return []
        state, origins = self.start + scores[0], list[NDArray[np.int64]]()
        for score in scores[1:].astype(np.float64):
            ways = state[:, None] + self.transitions
            origins.append(ways.argmax(0))
            state = ways.max(0) + score
        best = [int((state + self.end).argmax())]
        for origin in reversed(origins):
            best.append(int(origin[best[-1]]))
        return best[::-1]


def _words_of(sentence: str | Sequence[str]) -> tuple[str, ...]:
    words = tuple(tokenise(sentence) if isinstance(sentence, str) else sentence)
    for word in words:
        if not isinstance(word, str):
            raise ArgumentTypeError(f"a sentence must be a string or a list of words, but {word!r:.60} is among them")
        if not word:
            raise ArgumentError("a word needs at least one character, got ''")
    return words


def matrix(file: Any, name: str, rows: int, columns: int) -> Array:
    """Read a matrix of this shape.

    Raises:
        FileFormatError: it is missing, or has another shape.
    """
    if file.shape(name) != (rows, columns):
        raise FileFormatError(f"tensor {name!r} has shape {file.shape(name)}, expected {(rows, columns)}")
    found: Array = file.tensor(name).reshape(rows, columns)
    return found


def vector(file: Any, name: str, size: int) -> Array:
    """Read a vector of this size.

    Raises:
        FileFormatError: it is missing, or has another shape.
    """
    if file.shape(name) != (size,):
        raise FileFormatError(f"tensor {name!r} has shape {file.shape(name)}, expected {(size,)}")
    found: Array = file.tensor(name)
    return found


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise FileFormatError(f"a temperature must be a positive number, got {value!r:.60}")
    return float(value)


def softmax(scores: Array) -> Array:
    """Return probabilities over the last axis."""
    raised = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
    found: Array = raised / raised.sum(-1, keepdims=True)
    return found
