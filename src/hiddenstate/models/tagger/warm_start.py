"""A tagger that training begins with: the weights, words and tags of one that was trained before."""

from collections.abc import Sequence
from pathlib import Path

from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import model_folder as folder
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import Sentence
from hiddenstate.training.settings import format_setting

# Settings that decide what weights there are, and what they mean.
SIZES = (
    "columns",
    "crf",
    "word_size",
    "char_size",
    "char_hidden_size",
    "max_chars",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "lower_case",
)


def started(path: str | Path, config: TaggerConfig, sentences: Sequence[Sentence]) -> Tagger:
    """Return a new tagger with the weights and the vocabulary of a trained one, to be trained further.

    Args:
        path: the folder of the trained one. Its language models, if it has any, come along.
        config: the settings; the sizes are to be those of the trained one.
        sentences: what is to be learnt.

    Raises:
        ArgumentError: the sizes differ, or a sentence has a tag that the trained one has not.
        FileFormatError: the folder holds no tagger.
    """
    before = folder.load(path)
    for name in SIZES:
        theirs, ours = (format_setting(getattr(each, name)) for each in (before.config, config))
        if theirs != ours:
            raise ArgumentError(f"training starts from {path}, with {name} {theirs}, got {ours}; set {name}={theirs}")
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
