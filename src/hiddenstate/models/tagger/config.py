"""Every number that decides what a tagger is and how it is trained."""

from dataclasses import dataclass

from hiddenstate.errors import ArgumentError
from hiddenstate.text.conllu import TAG_COLUMNS
from hiddenstate.training.config import TrainConfig
from hiddenstate.training.settings import choice, number


@dataclass(frozen=True)
class TaggerConfig(TrainConfig):
    """Sizes and rates of a tagger, and all of `TrainConfig`.

    Attributes:
        columns: which CoNLL-U columns are learnt, all at once: ``upos``, ``xpos``, ``feats`` or any other with tags;
            the first is the main one.
        crf: whether tags are chosen together, by a linear chain over the sentence, or each for itself.
        word_size: numbers in a word's embedding.
        word_minimum: a word seen less often in training is unknown.
        char_size: numbers in a character's embedding.
        char_minimum: a character seen less often in training is unknown.
        char_hidden_size: hidden units of the character LSTM, each direction; 0 for a tagger without spelling, which has
            no character embedding either.
        max_chars: a longer word is spelt by its first and last half of this many characters.
        hidden_size: hidden units of the word-level LSTM, each layer and direction.
        num_layers: layers of the word-level LSTM.
        bidirectional: whether the word-level LSTM also reads from the last word to the first.
        lower_case: whether words are looked up in lower case.
        dropout: share of the word-level LSTM's inputs and of each layer's outputs dropped in training.
        char_dropout: the same for the character LSTM's inputs.
        word_dropout: odds d of a word seen n times to be unknown in training: d / (d + n).
        label_smoothing: share of the target probability spread over all tags.
        batch_words: the most words in a batch.
        varied: share of the sentences that an epoch reads as a variant: a part, or in other letters (see
            `hiddenstate.models.tagger.variants`); which ones is drawn anew for each epoch, and a sentence's
            variant stays the same.
        teacher_share: with teachers, the weight of their probabilities beside the tag of a tagged word.
        tagged_epochs: with teachers, so many epochs at the end learn the tags alone, without teachers and untagged
            text.
        untagged_words: the words of untagged text in an epoch, drawn anew for each; 0 for all.
        untagged_minimum: with untagged text, a word or character that all texts together have so often is known, too.
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
    weights_dtype: str = choice("float16", "float32", "int8")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = " ".join(TAG_COLUMNS)
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ArgumentError(f"columns must be one or more of {known}, each once, got {' '.join(self.columns)!r}")
        for column in self.columns:
            if column not in TAG_COLUMNS:
                raise ArgumentError(f"columns must be of {known}, got {column!r}")
