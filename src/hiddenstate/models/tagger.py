"""The tagger: each word of a sentence to a distribution over tags (of parts of speech, say).

Word embedding and spelling (the final states of a bidirectional LSTM over the word's characters) go side by side
into a bidirectional LSTM over the sentence, and its output through one linear layer to a score for every tag.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.lstm import LSTM
from hiddenstate.models.config import TaggerConfig
from hiddenstate.text.batches import Batch, Encoder, plan_batches
from hiddenstate.text.conllu import Sentence
from hiddenstate.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from hiddenstate.trace import Trace

T = TypeVar("T", bound="Tagger")


@dataclass(frozen=True, eq=False)
class Tagging:
    """One sentence with its tags.

    Attributes:
        words: the T words.
        tags: the most probable tag of each word.
        probabilities: ``[T, K]``, the distribution over tags of each word.
        tag_names: the K tags, in the order of the last axis of ``probabilities``.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: Tensor
    tag_names: tuple[str, ...]

    def top(self, k: int) -> list[dict[str, float]]:
        """Return for each word its ``k`` most probable tags with their probabilities, the most probable first."""
        values, numbers = self.probabilities.topk(min(k, len(self.tag_names)))
        return [
            {self.tag_names[number]: value for number, value in zip(row, ps, strict=True)}
            for row, ps in zip(numbers.tolist(), values.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Reading(Tagging):
    """One sentence with its tags and everything that the word-level LSTM did (batch axis of the trace: 1)."""

    trace: Trace


class Tagger(nn.Module):
    """Word and spelling to bidirectional LSTM to a distribution over tags.

    Args:
        config: sizes and rates.
        words: vocabulary of lower-cased words.
        chars: vocabulary of characters.
        tag_names: the K tags.

    Raises:
        ArgumentError: there are no tags, or one occurs twice.
    """

    kind: ClassVar[str] = "tagger"
    dropout_odds: Tensor

    def __init__(self, config: TaggerConfig, words: Vocabulary, chars: Vocabulary, tag_names: Sequence[str]) -> None:
        super().__init__()
        if not tag_names or len(set(tag_names)) != len(tag_names):
            raise ArgumentError(f"a tagger needs at least one tag, and each once, got {list(tag_names)}")
        self.config = config
        self.encoder = Encoder(words, chars, tuple(tag_names), config.max_chars)
        self.word_embedding = nn.Embedding(len(words), config.word_size, padding_idx=PADDING)
        self.char_embedding = nn.Embedding(len(chars), config.char_size, padding_idx=PADDING)
        self.char_lstm = LSTM(config.char_size, config.char_hidden_size, bidirectional=True)
        self.lstm = LSTM(
            config.word_size + 2 * config.char_hidden_size,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=True,
        )
        self.head = nn.Linear(2 * config.hidden_size, len(tag_names))
        self.dropout = nn.Dropout(config.dropout)
        self.char_dropout = nn.Dropout(config.char_dropout)
        # torch's unit variance would drown the spelling, and rare words would keep most of that noise.
        nn.init.normal_(self.word_embedding.weight, std=0.1)
        counts = torch.tensor([0.0, 0.0, *words.counts])
        odds = config.word_dropout / (config.word_dropout + counts) if config.word_dropout else 0 * counts
        self.register_buffer("dropout_odds", odds, persistent=False)

    @classmethod
    def build(cls: type[T], config: TaggerConfig, sentences: Sequence[Sentence]) -> T:
        """Make a new tagger for the words, characters and tags of these sentences.

        Raises:
            ArgumentError: no word has a tag.
        """
        words = Vocabulary.build((form.lower() for s in sentences for form in s.forms), config.word_minimum)
        chars = Vocabulary.build((char for s in sentences for form in s.forms for char in form), config.char_minimum)
        tags = {tag for s in sentences for tag in tags_of(s, config.column) if tag is not None}
        return cls(config, words, chars, sorted(tags))

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The K tags, in the order of the last axis of every output."""
        return self.encoder.tag_names

    def embed(self, batch: Batch) -> Tensor:
        """Return the word-level LSTM's input ``[T, N, C]``: word embedding and spelling side by side.

        In training rare words are sometimes replaced by the unknown one (odds ``d / (d + count)`` with ``d`` the
        config's ``word_dropout``), so that the unknown word's embedding is learnt and spelling is relied on.
        """
        words = batch.words
        if self.training:
            words = words.masked_fill(torch.rand(words.shape) < self.dropout_odds[words], UNKNOWN)
        characters = self.char_dropout(self.char_embedding(batch.chars))
        _, (final, _) = self.char_lstm(characters, lengths=batch.char_lengths)
        spelling = torch.cat(final.unbind(), dim=-1)
        given: Tensor = self.dropout(torch.cat([self.word_embedding(words), spelling[batch.char_index]], dim=-1))
        return given

    def forward(self, batch: Batch) -> Tensor:
        """Return scores ``[T, N, K]`` before softmax; past a sentence's end they mean nothing."""
        out, _ = self.lstm(self.embed(batch), lengths=batch.lengths)
        scores: Tensor = self.head(self.dropout(out))
        return scores

    @torch.no_grad()
    def tag(self, sentences: Iterable[Sequence[str]], batch_words: int = 4000) -> list[Tagging]:
        """Tag sentences, many at a time.

        Args:
            sentences: the words of each; a sentence may be empty.
            batch_words: the most words computed together; more is faster and takes more memory.

        Returns:
            One `Tagging` a sentence, in the order of the input.

        Raises:
            ArgumentError: a word is the empty string, or ``batch_words`` is below 1.
        """
        rows = [tuple(words) for words in sentences]
        empty = torch.empty(0, len(self.tag_names))
        taggings = [Tagging(words, (), empty, self.tag_names) for words in rows]
        with self._evaluating():
            for positions in plan_batches([len(words) for words in rows], batch_words):
                chosen = [rows[position] for position in positions]
                probabilities = self(self.encoder.batch(chosen)).softmax(-1)
                for column, (position, words) in enumerate(zip(positions, chosen, strict=True)):
                    taggings[position] = self._tagging(words, probabilities[: len(words), column].clone())
        return taggings

    @torch.no_grad()
    def read(self, words: Sequence[str]) -> Reading:
        """Tag one sentence and record all that the word-level LSTM does meanwhile.

        Args:
            words: at least one word.

        Returns:
            The tagging, as `tag` gives it, and the trace it was computed from.

        Raises:
            ArgumentError: there is no word, or a word is the empty string.
        """
        with self._evaluating():
            trace = self.lstm.trace(self.embed(self.encoder.batch([words])), tokens=list(words))
            out = trace.out
            assert isinstance(out, Tensor)  # it is packed only if the input was
            tagging = self._tagging(tuple(words), self.head(out[:, 0]).softmax(-1))
        return Reading(tagging.words, tagging.tags, tagging.probabilities, self.tag_names, trace)

    def to_data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what `from_data` needs beside the weights: the config and the vocabulary, ready for JSON."""
        encoder = self.encoder
        vocabulary = {"words": encoder.words.to_data(), "chars": encoder.chars.to_data()}
        return asdict(self.config), {**vocabulary, "tags": list(encoder.tag_names)}

    @classmethod
    def from_data(cls: type[T], config: Any, vocabulary: Any) -> T:
        """Make a tagger as `to_data` described it, with fresh weights.

        Raises:
            FileFormatError: something is missing or out of range.
        """
        try:
            parts = [Vocabulary.from_data(vocabulary[name]) for name in ("words", "chars")]
            return cls(TaggerConfig.from_data(config, "a tagger's config"), parts[0], parts[1], vocabulary["tags"])
        except (KeyError, TypeError, ArgumentError) as error:
            raise FileFormatError(f"not the description of a tagger: {error}") from error

    def _tagging(self, words: tuple[str, ...], probabilities: Tensor) -> Tagging:
        tags = tuple(self.tag_names[number] for number in probabilities.argmax(-1).tolist())
        return Tagging(words, tags, probabilities, self.tag_names)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Switch dropout off inside; training mode, where it was on, is on again afterwards."""
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)


def tags_of(sentence: Sentence, column: str) -> tuple[str | None, ...]:
    """Return the sentence's tags in CoNLL-U column ``upos`` or ``xpos``."""
    return sentence.xpos if column == "xpos" else sentence.upos
