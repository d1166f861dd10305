"""Every number that decides what a tagger is and how it is trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from hiddenstate.errors import ArgumentError, FileFormatError

_CHOICES = {"column": ("upos", "xpos"), "weights_dtype": ("float16", "float32")}
_SHARES = ("dropout", "char_dropout", "label_smoothing")
_MAY_BE_ZERO = ("word_dropout", "weight_decay", "warmup_steps", "seed", *_SHARES)


@dataclass(frozen=True)
class TaggerConfig:
    """Sizes, rates and seed of a tagger.

    Attributes:
        column: which CoNLL-U column is learnt, ``upos`` or ``xpos``.
        word_size: numbers in a word's embedding.
        word_minimum: a word seen less often in training is unknown.
        char_size: numbers in a character's embedding.
        char_minimum: a character seen less often in training is unknown.
        char_hidden_size: hidden units of the character LSTM, each direction.
        max_chars: a longer word is spelt by its first and last half of this many characters.
        hidden_size: hidden units of the word-level LSTM, each layer and direction.
        num_layers: layers of the word-level LSTM.
        dropout: share of the word-level LSTM's inputs and of each layer's outputs dropped in training.
        char_dropout: the same for the character LSTM's inputs.
        word_dropout: odds d of a word seen n times to be unknown in training: d / (d + n).
        label_smoothing: share of the target probability spread over all tags.
        epochs: the most passes over the training data; the learning rate has fallen to 0 after the last.
        patience: stop when the dev accuracy has not risen for so many epochs.
        batch_words: the most words in a batch.
        learning_rate: the highest step size of AdamW.
        warmup_steps: batches over which the learning rate rises from 0.
        weight_decay: AdamW's.
        clip_norm: longest gradient.
        seed: of the initial weights, dropout and the order of batches.
        weights_dtype: precision of the weights on disk, ``float16`` or ``float32``; in memory it is float32.
    """

    column: str = "upos"
    word_size: int = 64
    word_minimum: int = 2
    char_size: int = 32
    char_minimum: int = 3
    char_hidden_size: int = 48
    max_chars: int = 30
    hidden_size: int = 128
    num_layers: int = 2
    dropout: float = 0.4
    char_dropout: float = 0.1
    word_dropout: float = 0.25
    label_smoothing: float = 0.05
    epochs: int = 14
    patience: int = 8
    batch_words: int = 300
    learning_rate: float = 0.003
    warmup_steps: int = 200
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    seed: int = 1
    weights_dtype: str = "float16"

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for field in fields(self):
            _check(field.name, getattr(self, field.name), types[field.name])

    def with_texts(self, settings: Mapping[str, str]) -> "TaggerConfig":
        """Return the config with some fields set from text, as a command line gives them.

        Raises:
            ArgumentError: there is no such field, or the text is not a value of its type and range.

        >>> TaggerConfig().with_texts({"hidden_size": "32", "dropout": "0.1"}).hidden_size
        32
        """
        types = get_type_hints(type(self))
        values: dict[str, Any] = {}
        for name, text in settings.items():
            if name not in types:
                raise ArgumentError(f"unknown setting {name!r}; settings are {' '.join(types)}")
            try:
                values[name] = types[name](text)
            except ValueError as error:
                kind = types[name].__name__
                raise ArgumentError(f"setting {name} must be of type {kind}, got {text!r}") from error
        return replace(self, **values)

    @classmethod
    def from_data(cls, data: Any) -> "TaggerConfig":
        """Take a config from the object that a ``config.json`` holds; fields left out have their defaults.

        Raises:
            FileFormatError: it is no object, or a field is unknown or out of range.
        """
        if not isinstance(data, dict):
            raise FileFormatError(f"a tagger's config must be an object, got {type(data).__name__}")
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown:
            raise FileFormatError(f"unknown field {unknown[0]!r} in a tagger's config; remove it")
        try:
            return cls(**data)
        except ArgumentError as error:
            raise FileFormatError(f"a tagger's config: {error}") from error


def _check(name: str, value: Any, wanted: type) -> None:
    accepted = (int, float) if wanted is float else (wanted,)
    fits = isinstance(value, accepted) and not isinstance(value, bool)
    if not fits:
        raise ArgumentError(f"{name} must be of type {wanted.__name__}, got {value!r}")
    if wanted is str:
        if value not in _CHOICES[name]:
            raise ArgumentError(f"{name} must be one of {' '.join(_CHOICES[name])}, got {value!r}")
    else:
        _check_number(name, value)


def _check_number(name: str, value: float) -> None:
    may_be_zero = name in _MAY_BE_ZERO
    if not math.isfinite(value) or value < 0 or (value == 0 and not may_be_zero):
        raise ArgumentError(f"{name} must be {'at least' if may_be_zero else 'above'} 0 and finite, got {value}")
    if name in _SHARES and value >= 1:
        raise ArgumentError(f"{name} must be below 1, got {value}")
