"""Vectors of words in context as a tagger's input, for all sentences at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate.models.contextual import ContextualVectors
from hiddenstate.text.batches import plan_batches

READ_TOGETHER = 20_000  # characters


def vectors_of(context: ContextualVectors, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the vectors ``[W, C']`` of all words, one sentence after another, as float16: they are many.

    Raises:
        ArgumentError: a word is empty.
    """
    starts = torch.tensor([0, *(len(words) for words in sentences)]).cumsum(0).tolist()
    vectors = torch.empty(starts[-1], context.size, dtype=torch.float16)
    characters = [sum(map(len, words)) + len(words) for words in sentences]
    for positions in plan_batches(characters, READ_TOGETHER):
        found = context([sentences[position] for position in positions])
        for row, position in enumerate(positions):
            vectors[starts[position] : starts[position + 1]] = found[: len(sentences[position]), row]
    return vectors
