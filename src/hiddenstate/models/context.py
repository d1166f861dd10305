"""Vectors of words in context as a tagger's input: for all sentences at once, and as a part of its folder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hiddenstate.errors import FileFormatError
from hiddenstate.models.contextual import ContextualVectors
from hiddenstate.models.language import LanguageModel
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


def context_data(context: ContextualVectors) -> dict[str, Any]:
    """Return what `context_from_data` needs beside the weights, ready for JSON."""
    models = {"forward": context.forward_model, "backward": context.backward_model}
    described = {name: model.to_data() for name, model in models.items()}
    return {name: {"config": config, "vocabulary": vocabulary} for name, (config, vocabulary) in described.items()}


def context_from_data(data: Any) -> ContextualVectors:
    """Make such vectors as `context_data` described them, with fresh weights.

    Raises:
        FileFormatError: something is missing or out of range.
    """
    try:
        parts = [data[name] for name in ("forward", "backward")]
        models = [LanguageModel.from_data(part["config"], part["vocabulary"]) for part in parts]
    except (KeyError, TypeError, IndexError) as error:
        raise FileFormatError(f"not the description of vectors in context: {error!r}") from error
    return ContextualVectors(models[0], models[1])
