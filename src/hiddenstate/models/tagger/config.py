"""Every setting of a tagger and its training, and what else describes a tagger besides its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hiddenstate.errors import ArgumentError
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.text.conllu import TAG_COLUMNS
from hiddenstate.training.settings import TrainConfig, choice, number


@dataclass(frozen=True)
class TaggerConfig(TrainConfig):
    """Sizes and rates of a tagger, and all of `TrainConfig`.

    Attributes:
        columns: the CoNLL-U columns to learn jointly: ``upos``, ``xpos``, ``feats`` or any other with tags; the first
            is the main one.
        crf: whether tags are chosen jointly, by a linear-chain CRF over the sentence, or independently.
        word_size: the size of a word's embedding.
        word_minimum: words seen less often in training are unknown.
        char_size: the size of a character's embedding.
        char_minimum: characters seen less often in training are unknown.
        char_hidden_size: hidden units per direction of the character LSTM; 0 for a tagger without spelling, which has
            no character embedding either.
        max_chars: longer words are cut to the first and last half of this many characters.
        hidden_size: hidden units per layer and direction of the word-level LSTM.
        num_layers: the number of layers of the word-level LSTM.
        bidirectional: whether the word-level LSTM also reads from the last word to the first.
        lower_case: whether words are looked up in lower case.
        dropout: share of the word-level LSTM's inputs and of each layer's outputs dropped in training.
        char_dropout: share of the character LSTM's inputs dropped in training.
        word_dropout: d, which makes a word seen n times unknown in training with probability d / (d + n).
        label_smoothing: share of the target probability spread over all tags.
        batch_words: the maximum number of words in a batch.
        varied: share of an epoch's sentences that are replaced by a variant, a part or a change of letter case
            (`syllabus.py`). Each epoch draws different sentences; a sentence's variant never changes.
        teacher_share: with teachers, the weight of their probabilities relative to a word's tag.
        tagged_epochs: with teachers, the number of final epochs that learn only from tags.
        untagged_words: the number of words of untagged text in an epoch, drawn for each; 0 for all.
        untagged_minimum: with untagged text, words and characters that occur this often in all texts are also known.
        cell: the kind of recurrent cells, here called LSTMs: ``lstm``, ``gru``, ``rnn`` (tanh) or ``rnn_relu``.
        weights_dtype: precision of the weights on disk, ``float16``, ``float32`` or ``int8`` (a scale for each row of
            a matrix); in memory it is float32.
    """

    columns: tuple[str, ...] = ("upos",)
    crf: bool = False
    word_size: int = number(64, least=1)
    word_minimum: int = number(2, least=1)
    char_size: int = number(32, least=1)
    char_minimum: int = number(3, least=1)
    char_hidden_size: int = number(48, least=0)
    max_chars: int = number(30, least=2)
    hidden_size: int = number(128, least=1)
    num_layers: int = number(2, least=1, below=1025)
    bidirectional: bool = True
    lower_case: bool = True
    dropout: float = number(0.4, least=0, below=1)
    char_dropout: float = number(0.1, least=0, below=1)
    word_dropout: float = number(0.25, least=0)
    label_smoothing: float = number(0.05, least=0, below=1)
    batch_words: int = number(300, least=1)
    varied: float = number(0.0, least=0, below=1)
    teacher_share: float = number(0.5, least=0, below=1)
    tagged_epochs: int = number(0, least=0)
    untagged_words: int = number(0, least=0)
    untagged_minimum: int = number(5, least=1)
    cell: str = choice(*CELL_NAMES)
    weights_dtype: str = choice("float16", "float32", "int8")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = " ".join(TAG_COLUMNS)
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ArgumentError(
                f"columns must be one or more of {known}, without repetition, got {' '.join(self.columns)!r}"
            )
        for column in self.columns:
            if column not in TAG_COLUMNS:
                raise ArgumentError(f"columns must be among {known}, got {column!r}")


def check_columns(tags: Mapping[str, Sequence[str]], columns: Sequence[str]) -> None:
    """Raise ArgumentError unless exactly these columns have tags, without duplicates."""
    if tuple(tags) != tuple(columns):
        raise ArgumentError(f"a tagger of {' '.join(columns)} needs tags for these columns, got {' '.join(tags)}")
    for column, names in tags.items():
        if not names or len(set(names)) != len(names):
            raise ArgumentError(f"column {column} needs at least one tag, without duplicates, got {list(names)}")


def check_tags(tags: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Return the tags of each column."""
    for column, names in tags.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"the tags of {column} must be a list of strings, got {names!r}")
        for name in names:
            if not name.strip() or any(mark in name for mark in "\t\n\r"):
                raise ArgumentError(f"tag {name!r} of {column} is blank or contains a tab or line end")
    return tags
