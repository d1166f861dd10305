"""Teachers for distillation: the mean of several taggers' probabilities for each word of a text.

A student that learns the probabilities of several taggers, on far more text than is tagged, comes close to their
ensemble (Hinton et al. 2015, "Distilling the knowledge in a neural network").
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import model_folder as folder
from hiddenstate.models.tagger.tagger import Tagger

_AT_ONCE = 1000  # sentences whose probabilities are kept in full precision


def taught_by(
    teachers: Sequence[str | Path],
    sentences: Sequence[Sequence[str]],
    tags: Mapping[str, Sequence[str]],
    precision: str = "fp32",
) -> dict[str, Tensor]:
    """Return the taggers' mean probabilities for each word of all sentences: ``[W, K]`` for each column, float16.

    Args:
        teachers: their folders, at least one.
        sentences: the words of each.
        tags: the student's tags of each column; a teacher may have further columns.
        precision: the precision of the teachers' matrix products, as for `Tagger.tag`.

    Raises:
        ArgumentError: a teacher lacks a column, or has different tags.
        FileFormatError: a folder is not a tagger.
    """
    words = sum(map(len, sentences))
    total = {column: torch.zeros(words, len(names)) for column, names in tags.items()}
    for path in teachers:
        teacher = folder.load_tagger(path)
        order = {column: _order(path, teacher, column, names) for column, names in tags.items()}
        start = 0
        for k in range(0, len(sentences), _AT_ONCE):
            taggings = teacher.tag(sentences[k : k + _AT_ONCE], precision=precision)
            for column, places in order.items():
                shares = torch.cat([tagging.columns[column].probabilities for tagging in taggings])
                total[column][start : start + len(shares)] += shares[:, places] / len(teachers)
            start += sum(map(len, sentences[k : k + _AT_ONCE]))
    return {column: shares.half() for column, shares in total.items()}


def _order(path: str | Path, teacher: Tagger, column: str, names: Sequence[str]) -> list[int]:
    """Return the index of each of the student's tags in a teacher."""
    theirs = teacher.columns.get(column)
    if theirs is None:
        raise ArgumentError(f"teacher {path} has no column {column}, only {' '.join(teacher.columns)}")
    differing = sorted(set(theirs) ^ set(names))
    if differing:
        whose = "the teacher" if differing[0] in theirs else "the training data"
        raise ArgumentError(
            f"teacher {path} has different tags in column {column} from the training data: only {whose} has "
            f"{differing[0]!r}; train it on the same data"
        )
    return [theirs.index(name) for name in names]
