"""Every setting of a language model and its training."""

from dataclasses import dataclass, replace

from hiddenstate.errors import ArgumentError
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.training.settings import TrainConfig, choice, number


@dataclass(frozen=True)
class LanguageConfig(TrainConfig):
    """Sizes and rates of a language model, and the settings of `TrainConfig`, some with different defaults.

    Attributes:
        level: the tokens: ``char`` or ``word``.
        backward: whether the text is read from its end to its beginning.
        minimum: characters or words seen less often in training are unknown.
        vocabulary_size: the maximum number of characters or words, beyond which the rarest are unknown; 0 for no limit.
        embedding_size: the size of a character's or word's vector.
        hidden_size: hidden units of each layer.
        num_layers: the number of layers.
        tied: whether the embedding and the softmax share their weights.
        cutoffs: the ids at which the clusters of an adaptive softmax begin; empty for a plain softmax.
        cutoff_factor: the factor by which each cluster's vectors are smaller than those of the previous one.
        input_dropout: share of each input vector's features dropped, the same ones at every time step.
        dropout: share of each layer's output features dropped, the same ones at every time step.
        token_dropout: share of the vocabulary dropped in a batch, at every occurrence.
        weight_drop: share of the recurrent weights dropped in a batch.
        activation_penalty: weight of the mean square of the output (activation regularisation).
        change_penalty: weight of the mean square of its change from step to step (temporal activation regularisation).
        rows: the number of pieces of the text that are read in parallel.
        steps: time steps between two optimizer steps.
        random_steps: whether to vary ``steps`` randomly.
        dev_rows: the number of pieces of the dev text that are read in parallel.
        cell: the kind of recurrent cells: ``lstm``, ``gru``, ``rnn`` (tanh) or ``rnn_relu``.
        weights_dtype: precision of the weights on disk, ``float16``, ``float32`` or ``int8`` (a scale for each row of
            a matrix); in memory it is float32.
    """

    epochs: int = number(16, least=1)
    learning_rate: float = number(0.004, above=0)
    warmup_steps: int = number(100, least=0)
    beta2: float = number(0.99, least=0, below=1)
    clip_norm: float = number(1.0, least=0)
    level: str = choice("char", "word")
    backward: bool = False
    minimum: int = number(1, least=1)
    vocabulary_size: int = number(0, least=0)
    embedding_size: int = number(64, least=1)
    hidden_size: int = number(512, least=1)
    num_layers: int = number(1, least=1, below=1025)
    tied: bool = False
    cutoffs: tuple[int, ...] = ()
    cutoff_factor: float = number(4.0, least=1)
    input_dropout: float = number(0.1, least=0, below=1)
    dropout: float = number(0.3, least=0, below=1)
    token_dropout: float = number(0.0, least=0, below=1)
    weight_drop: float = number(0.0, least=0, below=1)
    activation_penalty: float = number(0.0, least=0)
    change_penalty: float = number(0.0, least=0)
    rows: int = number(32, least=1)
    steps: int = number(64, least=1)
    random_steps: bool = False
    dev_rows: int = number(16, least=1)
    cell: str = choice(*CELL_NAMES)
    weights_dtype: str = choice("float16", "float32", "int8")

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.cutoffs) != sorted(set(self.cutoffs)) or min(self.cutoffs, default=1) < 1:
            raise ArgumentError(f"cutoffs must be above 0 and increasing, got {self.cutoffs}")
        narrowest = (self.embedding_size if self.tied else self.hidden_size) / self.cutoff_factor ** len(self.cutoffs)
        if narrowest < 1:
            raise ArgumentError(
                f"the vectors of the last cluster would be empty: {len(self.cutoffs)} cutoffs with a "
                f"cutoff_factor of {self.cutoff_factor} are too many"
            )


CHARACTERS = LanguageConfig()
WORDS = replace(
    CHARACTERS,
    epochs=8,
    learning_rate=0.003,
    level="word",
    embedding_size=256,
    tied=True,
    cutoffs=(2000, 10000),
    cutoff_factor=2.0,
    token_dropout=0.1,
    steps=35,
)


def defaults_for(level: str) -> LanguageConfig:
    """Return the default settings of a level.

    Raises:
        ArgumentError: the level is unknown.
    """
    if level not in ("char", "word"):
        raise ArgumentError(f"level must be char or word, got {level!r}")
    return WORDS if level == "word" else CHARACTERS
