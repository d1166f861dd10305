"""A tagger's data besides its weights: config, vocabulary, tags and temperatures, as JSON data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.cells import VERSION_5
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.text.vocabulary import Vocabulary


class TaggerData(NamedTuple):
    """Everything that defines a tagger except its weights."""

    config: TaggerConfig
    words: Vocabulary
    chars: Vocabulary
    tags: Mapping[str, Sequence[str]]
    temperatures: Mapping[str, float]
    context: ContextualVectors | None

    def to_data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the config and the vocabulary for JSON; settings that earlier formats imply are omitted."""
        config, implied = asdict(self.config), {**VERSION_4, **VERSION_5}
        vocabulary: dict[str, Any] = {"words": self.words.to_data(), "chars": self.chars.to_data()}
        vocabulary["tags"] = {column: list(names) for column, names in self.tags.items()}
        vocabulary["temperatures"] = dict(self.temperatures)
        if self.context is not None:
            vocabulary["context"] = context_data(self.context)
        return {name: v for name, v in config.items() if name not in implied or v != implied[name]}, vocabulary

    @classmethod
    def from_data(cls, config: Any, vocabulary: Any) -> "TaggerData":
        """Parse the result of `to_data`."""
        config, vocabulary = _upgraded(config, vocabulary)
        try:
            words, chars = (Vocabulary.from_data(vocabulary[name]) for name in ("words", "chars"))
            context = context_from_data(vocabulary["context"]) if "context" in vocabulary else None
            settings = TaggerConfig.from_data(config, "a tagger's config")
            return cls(settings, words, chars, check_tags(vocabulary["tags"]), vocabulary["temperatures"], context)
        except (AttributeError, KeyError, TypeError, ArgumentError) as error:
            raise not_a_tagger(error) from error


# Settings that earlier format versions lacked, with the values that they implied.
VERSION_4 = {"bidirectional": True, "lower_case": True}


def not_a_tagger(error: Exception) -> FileFormatError:
    """Return the error for an invalid description of a tagger."""
    return FileFormatError(f"not the description of a tagger: {error}")


def check_columns(tags: Mapping[str, Sequence[str]], columns: Sequence[str]) -> None:
    """Raise ArgumentError unless exactly these columns have tags, without duplicates."""
    if tuple(tags) != tuple(columns):
        raise ArgumentError(f"a tagger of {' '.join(columns)} needs tags for these columns, got {' '.join(tags)}")
    for column, names in tags.items():
        if not names or len(set(names)) != len(names):
            raise ArgumentError(f"column {column} needs at least one tag, without duplicates, got {list(names)}")


def checked_temperatures(temperatures: Mapping[str, float], columns: Sequence[str]) -> dict[str, float]:
    """Return the temperatures in the columns' order."""
    if set(temperatures) != set(columns):
        got = " ".join(temperatures)
        raise ArgumentError(f"temperatures must be given for {' '.join(columns)}, got {got!r}")
    for column, value in temperatures.items():
        # With much lower temperatures, the divided scores would be infinite and their differences NaN.
        if not isinstance(value, float | int) or not 1e-6 <= value <= 1e6:
            raise ArgumentError(f"the temperature of {column} must be between 1e-6 and 1e6, got {value!r}")
    return {column: float(temperatures[column]) for column in columns}


def check_tags(tags: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Return the tags of each column."""
    for column, names in tags.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"the tags of {column} must be a list of strings, got {names!r}")
        for name in names:
            if not name.strip() or any(mark in name for mark in "\t\n\r"):
                raise ArgumentError(f"tag {name!r} of {column} is blank or contains a tab or line end")
    return tags


def _upgraded(config: Any, vocabulary: Any) -> tuple[Any, Any]:
    """Turn the description of a tagger of format version 1, which had one column and no temperatures, into ours."""
    if isinstance(config, dict) and isinstance(vocabulary, dict) and isinstance(vocabulary.get("tags"), list):
        column = config.get("column", "upos")
        others = {name: value for name, value in config.items() if name != "column"}
        tags = {column: vocabulary["tags"]}
        return {**others, "columns": [column]}, {**vocabulary, "tags": tags, "temperatures": {column: 1.0}}
    return config, vocabulary


def context_data(context: ContextualVectors) -> dict[str, Any]:
    """Return what `context_from_data` needs besides the weights, ready for JSON."""
    models = {"forward": context.forward_model, "backward": context.backward_model}
    described = {name: model.to_data() for name, model in models.items()}
    return {name: {"config": config, "vocabulary": vocabulary} for name, (config, vocabulary) in described.items()}


def context_from_data(data: Any) -> ContextualVectors:
    """Make contextual vectors from the result of `context_data`, with fresh weights."""
    try:
        parts = [data[name] for name in ("forward", "backward")]
        models = [LanguageModel.from_data(part["config"], part["vocabulary"]) for part in parts]
    except (KeyError, TypeError, IndexError) as error:
        raise FileFormatError(f"not a description of contextual vectors: {error!r}") from error
    return ContextualVectors(models[0], models[1])
