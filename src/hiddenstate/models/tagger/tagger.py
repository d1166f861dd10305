"""The tagger: predicts a distribution over tags (such as parts of speech) for each word, in one or more columns.

Word embedding and spelling (the final states of a bidirectional LSTM over the word's characters) are concatenated and
read by a bidirectional LSTM over the sentence; a linear layer turns its output into a score for every tag of every
column. With a CRF, the tags of a column are chosen jointly.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import chain
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hiddenstate.base.memory import CheckedModule
from hiddenstate.base.modes import evaluating
from hiddenstate.base.scalars import check_at_least
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate.models.building import Dropout, dropout_odds, made_if_it_fits
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.models.tagger.config import TaggerConfig, check_columns, check_tags
from hiddenstate.models.tagger.context_vectors import ContextualVectors, compute_vectors
from hiddenstate.models.tagger.decoding import Chain, best, find, tagging_loss
from hiddenstate.models.tagger.tagging import (
    SENTENCES_TOGETHER,
    OnlyTags,
    Reading,
    Tagging,
    Tags,
    WordInputs,
    WordTags,
    check_precision,
    in_batches,
)
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes
from hiddenstate.text.batches import (
    Batch,
    Encoded,
    Encoder,
    check_sentences,
    check_words,
    plan_batches,
    word_index,
    word_rows,
)
from hiddenstate.text.conllu import Sentence
from hiddenstate.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from hiddenstate.tracing.trace import Trace

__all__ = ["Reading", "Tagger", "Tagging", "Tags"]

T = TypeVar("T", bound="Tagger")

SPELT_TOGETHER = 4096  # words per batch; larger batches are no faster
BATCH_WORDS = 4000
SENTENCES_READ_TOGETHER, WORDS_READ_TOGETHER = 256, 4000  # more take more memory for their records, and are no faster


class ScoredBatch(NamedTuple):
    """Sentences read together, their words' places among all ``[W]``, and ``scores [T, N, K]`` of all columns."""

    positions: list[int]
    places: Tensor
    scores: Tensor
    lengths: Tensor


class Tagger(CheckedModule):
    """A bidirectional LSTM over words and their spelling that predicts a distribution over tags.

    Args:
        config: sizes and rates.
        words: vocabulary of words, in lower case if the config's ``lower_case`` is set.
        chars: vocabulary of characters.
        tags: the tags of each column of the config.
        context: contextual word vectors, an additional input; they are not trained.

    Raises:
        ArgumentError: a column has no tags or duplicates, or the columns are not those of the config.
    """

    kind: ClassVar[str] = "tagger"
    dropout_odds: Tensor

    def __init__(
        self,
        config: TaggerConfig,
        words: Vocabulary,
        chars: Vocabulary,
        tags: Mapping[str, Sequence[str]],
        context: ContextualVectors | None = None,
    ) -> None:
        super().__init__()
        check_columns(tags, config.columns)
        self.config = config
        names_of = {column: tuple(names) for column, names in tags.items()}
        self.encoder = Encoder(words, chars, names_of, config.max_chars, config.lower_case)
        self.temperatures = dict.fromkeys(tags, 1.0)
        self.context = context
        self.word_embedding = nn.Embedding(len(words), config.word_size, padding_idx=PADDING)
        spelt = config.char_hidden_size > 0
        self.char_embedding = nn.Embedding(len(chars), config.char_size, padding_idx=PADDING) if spelt else None
        cell = CELL_NAMES[config.cell]
        self.char_lstm: Recurrent[Any, Any] | None = None
        if spelt:
            self.char_lstm = new_layer(Sizes(config.char_size, config.char_hidden_size, bidirectional=True, cell=cell))
        read = config.word_size + 2 * config.char_hidden_size + (context.size if context else 0)
        sizes = Sizes(read, config.hidden_size, config.num_layers, bidirectional=config.bidirectional, cell=cell)
        self.lstm: Recurrent[Any, Any] = new_layer(sizes, dropout=config.dropout if config.num_layers > 1 else 0.0)
        self.head = nn.Linear((1 + config.bidirectional) * config.hidden_size, sum(map(len, tags.values())))
        self.chains = nn.ModuleDict({column: Chain(len(names)) for column, names in tags.items() if config.crf})
        self.dropout = Dropout(config.dropout)
        self.char_dropout = Dropout(config.char_dropout)
        # With torch's unit variance, the embedding would drown out the spelling, and rare words would keep most of the
        # noise.
        nn.init.normal_(self.word_embedding.weight, std=0.1)
        self.register_buffer("dropout_odds", dropout_odds(words.counts, config.word_dropout), persistent=False)

    @classmethod
    def build(
        cls: type[T],
        config: TaggerConfig,
        sentences: Sequence[Sentence],
        context: ContextualVectors | None = None,
        untagged: Sequence[Sequence[str]] = (),
    ) -> T:
        """Make a new tagger for the words, characters and tags of these sentences, and the words of untagged ones.

        Raises:
            ArgumentError: no word has a tag in one of the columns, or there is not enough memory for the model.
        """
        forms, more = [form for s in sentences for form in s.forms], [word for words in untagged for word in words]
        looked_up = str.lower if config.lower_case else str
        known, more_known = map(looked_up, forms), map(looked_up, more)
        words = Vocabulary.build(known, config.word_minimum, more_known, config.untagged_minimum)
        chars = Vocabulary.build("".join(forms), config.char_minimum, "".join(more), config.untagged_minimum)
        tags = {c: sorted({tag for s in sentences for tag in s.tags(c) if tag is not None}) for c in config.columns}
        return made_if_it_fits(lambda: cls(config, words, chars, tags, context))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The tags of each column, in the order of the last axis of every output."""
        return dict(self.encoder.tags)

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The tags of the first column."""
        return self.encoder.tags[self.config.columns[0]]

    def encode(self, sentences: Sequence[Sequence[str]], tags: Mapping[str, Any] | None = None) -> Encoded:
        """Encode sentences for batches, including their contextual vectors; see `Encoder.encode`."""
        context = None if self.context is None else compute_vectors(self.context, sentences)
        return self.encoder.encode(sentences, tags, context)

    def spell(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """Return the spelling vectors ``[M, 2·units]`` of M words with at most K characters.

        Args:
            chars: character ids ``[K, M]``.
            lengths: ``[M]``, the number of characters of each word.
        """
        if self.char_embedding is None or self.char_lstm is None:
            return self.head.weight.new_empty(chars.shape[1], 0)
        characters = self.char_dropout(self.char_embedding(chars))
        _, state = self.char_lstm(characters, lengths=lengths)
        final, *_ = self.lstm.sizes.kind.parts_of(state)
        return torch.cat(final.unbind(), dim=-1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the word-level LSTM's input ``[T, N, C]``: word embedding, spelling (and context), concatenated.

        In training, rare words are sometimes replaced by the unknown one (with probability ``d / (d + count)``, where
        ``d`` is the config's ``word_dropout``), so that the tagger learns the unknown word's embedding and relies on
        spelling.

        Args:
            batch: the sentences.
        """
        words = batch.words
        if self.training:
            dropped = torch.rand(words.shape, device=words.device) < self.dropout_odds[words]
            words = words.masked_fill(dropped, UNKNOWN)
        parts = [self.word_embedding(words), self.spell(batch.chars, batch.char_lengths)[batch.char_index]]
        if batch.context is not None:
            parts.append(batch.context)
        return self.dropout(torch.cat(parts, dim=-1))

    def forward(self, batch: Batch) -> Tensor:
        """Return scores ``[T, N, K]`` of all columns' tags, concatenated; undefined beyond a sentence's end."""
        return self._scores(self.embed(batch), batch.lengths)

    def _scores(self, x: Tensor, lengths: Tensor) -> Tensor:
        out, _ = self.lstm(x, lengths=lengths)
        return self.head(self.dropout(out))

    def split(self, scores: Tensor) -> dict[str, Tensor]:
        """Split scores ``[..., K]`` by column."""
        sizes = [len(names) for names in self.encoder.tags.values()]
        return dict(zip(self.encoder.tags, scores.split(sizes, dim=-1), strict=True))

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean surprise of the batch's tags over words, in nats, summed over columns: see `tagging_loss`."""
        chains = {column: self._chain(column) for column in self.encoder.tags}
        return tagging_loss(self.split(self(batch).float()), batch, self.config, chains)

    def _chain(self, column: str) -> Chain | None:
        chain = self.chains[column] if self.config.crf else None
        assert chain is None or isinstance(chain, Chain)
        return chain

    def tag(
        self,
        sentences: Iterable[Sequence[str]],
        batch_words: int = BATCH_WORDS,
        *,
        precision: str = "fp32",
    ) -> list[Tagging]:
        """Tag sentences, many at a time.

        Args:
            sentences: the words of each; a sentence may be empty.
            batch_words: the maximum number of words per batch; more is faster and takes more memory.
            precision: ``fp32``, or ``bf16`` for bfloat16 matrix products, which are faster on CPUs that support them;
                about one tag in ten thousand differs.

        Returns:
            One `Tagging` per sentence, in input order.

        Raises:
            ArgumentError: a word is the empty string, ``batch_words`` is below 1, or the precision is unknown.
            ArgumentTypeError: a text is given where its words are expected.
        """
        return self.repeatedly(precision=precision)(sentences, batch_words)

    def repeatedly(self, *, precision: str = "fp32") -> Callable[..., list[Tagging]]:
        """Return `tag` as a function for any threads that keeps words' spelling; the weights must not change."""
        check_precision(precision)
        inputs = WordInputs(self._word_inputs)

        def tag(sentences: Iterable[Sequence[str]], batch_words: int = BATCH_WORDS) -> list[Tagging]:
            rows = check_sentences(sentences)
            empty = {column: Tags(names, (), torch.empty(0, len(names))) for column, names in self.columns.items()}
            taggings = [Tagging((), empty)] * len(rows)
            with torch.no_grad(), evaluating(self), self._precision(precision):
                for batch in self._scored(rows, inputs, batch_words):
                    tags = self._columns(batch.scores, batch.lengths)
                    for position, columns in zip(batch.positions, tags, strict=True):
                        taggings[position] = Tagging(rows[position], columns)
            return taggings

        return tag

    def only_tags(self, *, precision: str = "fp32", has_probabilities: bool = False) -> OnlyTags:
        """Like `repeatedly`, but for only each column's `WordTags`; a CRF gives probabilities only on request."""
        check_precision(precision)
        inputs = WordInputs(self._word_inputs)

        def tag(rows: Sequence[tuple[str, ...]]) -> dict[str, WordTags]:
            if {*map(type, rows)} - {tuple}:
                rows = check_sentences(rows)
            count = sum(map(len, rows))
            tags = {
                column: WordTags(names, torch.empty(count, dtype=torch.int64), torch.empty(count))
                for column, names in self.columns.items()
            }
            with torch.no_grad(), evaluating(self), self._precision(precision):
                for batch in self._scored(rows, inputs, BATCH_WORDS):
                    for column, part in self.split(batch.scores).items():
                        numbers, shares = best(
                            part.float(),
                            batch.lengths,
                            self._chain(column),
                            self.temperatures[column],
                            has_probabilities=has_probabilities,
                        )
                        tags[column].numbers[batch.places] = numbers.cpu()
                        tags[column].probabilities[batch.places] = shares.cpu()
            return tags

        return tag

    def _precision(self, name: str) -> AbstractContextManager[Any]:
        return torch.autocast(self.head.weight.device.type, torch.bfloat16, enabled=name == "bf16")

    def _scored(self, rows: Sequence[tuple[str, ...]], inputs: WordInputs, batch_words: int) -> Iterator[ScoredBatch]:
        """Score sentences batch by batch, with the vectors of words from ``inputs``."""
        sizes = [*map(len, rows)]
        lengths = torch.tensor(sizes, dtype=torch.int64)
        starts = lengths.cumsum(0) - lengths
        device = self.head.weight.device
        vectors, forms = inputs.look_up(chain.from_iterable(rows))
        context = None if self.context is None else compute_vectors(self.context, rows)
        for positions in plan_batches(sizes, batch_words):
            chosen = torch.tensor(positions)
            index, beyond = word_index(starts[chosen], lengths[chosen])
            x = functional.embedding(forms[index].to(device), vectors)
            if context is not None:
                x = torch.cat([x, word_rows(context, index, beyond).to(device)], dim=-1)
            on_device = lengths[chosen].to(device)
            yield ScoredBatch(positions, index.T[~beyond.T], self._scores(x, on_device), on_device)

    def pipe(
        self, sentences: Iterable[Sequence[str]], batch_size: int = SENTENCES_TOGETHER, *, precision: str = "fp32"
    ) -> Iterator[Tagging]:
        """Tag a stream of sentences lazily, in bounded memory.

        Args:
            sentences: the words of each, from any iterable, however long.
            batch_size: the maximum number of sentences to read ahead and tag together.
            precision: as for `tag`.

        Yields:
            One `Tagging` per sentence, in input order.

        Raises:
            ArgumentError: as for `tag`, or ``batch_size`` is below 1.
            ArgumentTypeError: as for `tag`.
        """
        size, tag = check_at_least("batch_size", batch_size, 1), self.repeatedly(precision=precision)
        if isinstance(sentences, str):
            raise ArgumentTypeError("pipe takes an iterable of sentences, each a list of words; got a text")
        return chain.from_iterable(map(tag, in_batches(sentences, size, _count)))

    def read(self, words: Sequence[str]) -> Reading:
        """Tag one sentence, and record everything that the word-level LSTM does.

        Args:
            words: the words, at least one.

        Returns:
            The tagging, as `tag` gives it, and the trace it was computed from.

        Raises:
            ArgumentError: there is no word, or a word is the empty string.
            ArgumentTypeError: a text is given where its words are expected.
        """
        (reading,) = self._readings(check_sentences([words]), None)
        return reading

    def read_all(self, sentences: Iterable[Sequence[str]], *, keep: Sequence[str] | None = None) -> Iterator[Reading]:
        """Read sentences lazily, many in one run of the LSTM, which is much faster than calling `read` on each.

        Args:
            sentences: the words of each, at least one.
            keep: places to record, as for `hiddenstate.LSTM.trace`.

        Yields:
            One `Reading` per sentence, in input order. Sentences that were read together share a trace, in which each
            is one row.

        Raises:
            ArgumentError, ArgumentTypeError: as for `read`.
            NameUnknownError: as for `hiddenstate.LSTM.trace`.
        """
        for batch in in_batches(sentences, SENTENCES_READ_TOGETHER, len, WORDS_READ_TOGETHER):
            yield from self._readings(check_sentences(batch), keep)

    @torch.no_grad()
    def _readings(self, rows: Sequence[tuple[str, ...]], keep: Sequence[str] | None) -> list[Reading]:
        if not all(rows):
            raise ArgumentError("there is no word to read")
        with evaluating(self):
            batch = self.encode(rows).batch(range(len(rows))).to(self.head.weight.device)
            lengths = batch.lengths if len(rows) > 1 else None
            trace = self.lstm.trace(self.embed(batch), lengths=lengths, tokens=rows, keep=keep)
            out = trace.out
            assert isinstance(out, Tensor)  # the output is packed only if the input was
            columns = self._columns(self.head(out), batch.lengths)
        return [Reading(*pair, trace, row) for row, pair in enumerate(zip(rows, columns, strict=True))]

    @torch.no_grad()
    def trace(self, sentences: Iterable[Sequence[str]], **options: Any) -> Trace:
        """Record the word-level LSTM while it reads sentences, one per row, with their words at the steps.

        Args:
            sentences: the words of each, at least one sentence.
            options: ``keep``, ``steps``, ``pre`` and ``limit`` of `hiddenstate.LSTM.trace`.

        Raises:
            ArgumentError: there is no sentence, or a word is the empty string.
            ArgumentTypeError: a text is given where its words are expected.
            TraceTooLargeError, NameUnknownError, IndexRangeError: as for `hiddenstate.LSTM.trace`.
        """
        rows = check_sentences(sentences)
        if not any(rows):
            raise ArgumentError("there is no word to read")
        with evaluating(self):
            batch = self.encode(rows).batch(range(len(rows))).to(self.head.weight.device)
            return self.lstm.trace(self.embed(batch), lengths=batch.lengths, tokens=rows, **options)

    def to_data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what `from_data` needs besides the weights: the config and the vocabulary, ready for JSON."""
        encoder = self.encoder
        vocabulary: dict[str, Any] = {"words": encoder.words.to_data(), "chars": encoder.chars.to_data()}
        vocabulary["tags"] = {column: list(names) for column, names in encoder.tags.items()}
        vocabulary["temperatures"] = dict(self.temperatures)
        if self.context is not None:
            vocabulary["context"] = self.context.to_data()
        return asdict(self.config), vocabulary

    @classmethod
    def from_data(cls: type[T], config: Any, vocabulary: Any) -> T:
        """Make a tagger of what `to_data` returned, with fresh weights; FileFormatError if that is damaged."""
        try:
            words, chars = (Vocabulary.from_data(vocabulary[name]) for name in ("words", "chars"))
            context = ContextualVectors.from_data(vocabulary["context"]) if "context" in vocabulary else None
            settings = TaggerConfig.from_data(config, "a tagger's config")
            tagger = cls(settings, words, chars, check_tags(vocabulary["tags"]), context)
            tagger.calibrate(vocabulary["temperatures"])
        except (AttributeError, KeyError, TypeError, ArgumentError) as error:
            raise FileFormatError(f"not the description of a tagger: {error}") from error
        return tagger

    def calibrate(self, temperatures: Mapping[str, float]) -> None:
        """Set the temperature of each column's probabilities: above 1 makes them flatter, below 1 sharper.

        Raises:
            ArgumentError: a column is missing or unknown, or a temperature is not between 1e-6 and 1e6.
        """
        columns = tuple(self.encoder.tags)
        if set(temperatures) != set(columns):
            got = " ".join(temperatures)
            raise ArgumentError(f"temperatures must be given for {' '.join(columns)}, got {got!r}")
        for column, value in temperatures.items():
            # With much lower temperatures, the divided scores would be infinite and their differences NaN.
            if not isinstance(value, float | int) or not 1e-6 <= value <= 1e6:
                raise ArgumentError(f"the temperature of {column} must be between 1e-6 and 1e6, got {value!r}")
        self.temperatures = {column: float(temperatures[column]) for column in columns}

    def _word_inputs(self, words: Sequence[str]) -> Tensor:
        """Return the input vectors ``[F, C]`` of words without their context: word embedding and spelling."""
        check_words(words)
        device = self.head.weight.device
        chars, lengths = self.encoder.spell_all(words)
        order = lengths.argsort(descending=True, stable=True)  # puts words of equal length together
        spelling = self.head.weight.new_empty(len(words), 2 * self.config.char_hidden_size)
        for k in range(0, len(words), SPELT_TOGETHER):
            chosen = order[k : k + SPELT_TOGETHER]
            spelt = self.spell(chars[chosen, : int(lengths[chosen[0]])].T.to(device), lengths[chosen].to(device))
            spelling[chosen.to(device)] = spelt.to(spelling.dtype)
        return torch.cat([self.word_embedding(self.encoder.word_ids(words).to(device)), spelling], dim=-1)

    def _columns(self, scores: Tensor, lengths: Tensor) -> list[dict[str, Tags]]:
        """Return each sentence's tags in each column, from scores ``[T, N, K]``."""
        columns = [
            find(part.float(), lengths, self.encoder.tags[column], self._chain(column), self.temperatures[column])
            for column, part in self.split(scores).items()
        ]
        return [dict(zip(self.encoder.tags, tags, strict=True)) for tags in zip(*columns, strict=True)]


def _count(words: object) -> int:
    return len(words) if isinstance(words, Sized) else 1  # `tag` rejects anything that is not a sentence
