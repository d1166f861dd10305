"""Warm start: training starts from the weights, words and tags of a trained tagger."""

from collections.abc import Sequence
from pathlib import Path

from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import model_folder as folder
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import Sentence
from hiddenstate.training.settings import format_setting

# Settings that determine the shapes of the weights and their meaning.
SIZES = (
    *("columns", "crf", "word_size", "char_size", "char_hidden_size", "max_chars"),
    *("hidden_size", "num_layers", "bidirectional", "lower_case", "cell"),
)


def started(path: str | Path, config: TaggerConfig, sentences: Sequence[Sentence]) -> Tagger:
    """Return a new tagger with the weights and vocabulary of a trained one, for further training.

    Args:
        path: the folder of the trained tagger. Its language models, if any, are included.
        config: the settings; the sizes must match the trained tagger.
        sentences: the training data.

    Raises:
        ArgumentError: the sizes differ, or a sentence has a tag that the trained tagger lacks.
        FileFormatError: the folder is not a tagger.
    """
    before = folder.load_tagger(path)
    for name in SIZES:
        theirs, ours = (format_setting(getattr(each, name)) for each in (before.config, config))
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
