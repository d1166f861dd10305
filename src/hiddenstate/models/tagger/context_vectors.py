"""Vectors of words in context from the states of two character language models (Akbik et al. 2018).

The forward model has read the sentence up to a word's last character, the backward model from its end to the word's
first character: both have seen the word's spelling and the context on their side.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.text.batches import plan_batches

READ_TOGETHER = 20_000  # characters
BORDER = "\n"  # the text that each model reads before a sentence


class ContextualVectors(nn.Module):
    """Word vectors from a forward and a backward character model, without dropout or gradients.

    Args:
        forward_model: reads from the first character to the last.
        backward_model: reads from the last to the first.

    Raises:
        ArgumentError: a model is not a character model, or reads in the wrong direction.
    """

    def __init__(self, forward_model: LanguageModel, backward_model: LanguageModel) -> None:
        super().__init__()
        for model, backward in ((forward_model, False), (backward_model, True)):
            if model.config.level != "char" or model.config.backward is not backward:
                way = "backward" if backward else "forward"
                raise ArgumentError(
                    f"expected a {way} character model, got one of level {model.config.level} that reads "
                    f"{'backward' if model.config.backward else 'forward'}"
                )
        self.forward_model, self.backward_model = forward_model, backward_model
        self.requires_grad_(False).train()

    @property
    def size(self) -> int:
        """C', the size of a vector: the units of both models."""
        return self.forward_model.config.hidden_size + self.backward_model.config.hidden_size

    @torch.no_grad()
    def forward(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """Return the vectors ``[T, N, C']`` of N sentences of at most T words; zero beyond a sentence's end.

        Args:
            sentences: the words of each, read with one space in between; a sentence may be empty.

        Raises:
            ArgumentError: there is no sentence, or a word is empty.
        """
        if not sentences:
            raise ArgumentError("there is no sentence to read")
        texts = [" ".join(words) for words in sentences]
        places = [list(_places(words)) for words in sentences]
        # The border precedes the first character.
        ends = [[last + 1 for _, last in words] for words in places]
        starts = [[len(text) - first for first, _ in words] for text, words in zip(texts, places, strict=True)]
        ahead = _states(self.forward_model, texts, ends)
        return torch.cat([ahead, _states(self.backward_model, [text[::-1] for text in texts], starts)], dim=-1)

    def train(self, mode: bool = True) -> "ContextualVectors":
        """Stay in eval mode, because these vectors must not change while something else is trained on them."""
        return super().train(False)

    def to_data(self) -> dict[str, Any]:
        """Return what `from_data` needs besides the weights, ready for JSON."""
        models = {"forward": self.forward_model, "backward": self.backward_model}
        described = {name: model.to_data() for name, model in models.items()}
        return {name: {"config": config, "vocabulary": vocabulary} for name, (config, vocabulary) in described.items()}

    @classmethod
    def from_data(cls, data: Any) -> "ContextualVectors":
        """Make vectors of what `to_data` returned, with fresh weights; FileFormatError if it is damaged."""
        try:
            parts = [data[name] for name in ("forward", "backward")]
            models = [LanguageModel.from_data(part["config"], part["vocabulary"]) for part in parts]
        except (KeyError, TypeError, IndexError) as error:
            raise FileFormatError(f"not a description of contextual vectors: {error!r}") from error
        return cls(models[0], models[1])


def _places(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of each word's first and last character in the sentence."""
    first = 0
    for word in words:
        if not word:
            raise ArgumentError(f"a word needs at least one character, got {list(words)!r}")
        yield first, first + len(word) - 1
        first += len(word) + 1


def _states(model: LanguageModel, texts: Sequence[str], places: Sequence[Sequence[int]]) -> Tensor:
    """Return the hidden states ``[T, N, H]`` after the characters at these positions; zero beyond the last."""
    device = next(model.parameters()).device
    ids = [torch.from_numpy(model.tokens.ids(BORDER + text)).long() for text in texts]
    lengths = torch.tensor([len(row) for row in ids])
    out, _ = model.lstm(model.embed(pad_sequence(ids).to(device)), lengths=lengths.to(device))
    chosen = pad_sequence([torch.tensor(row, dtype=torch.int64) for row in places], padding_value=-1).to(device)
    states: Tensor = out[chosen.clamp(min=0), torch.arange(len(texts), device=device)]
    return states.masked_fill((chosen < 0)[..., None], 0)


def compute_vectors(context: ContextualVectors, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the vectors ``[W, C']`` of all words of all sentences, as float16 to save memory."""
    starts = torch.tensor([0, *(len(words) for words in sentences)]).cumsum(0).tolist()
    vectors = torch.empty(starts[-1], context.size, dtype=torch.float16)
    characters = [sum(map(len, words)) + len(words) for words in sentences]
    for positions in plan_batches(characters, READ_TOGETHER):
        batch = context([sentences[position] for position in positions])
        for row, position in enumerate(positions):
            vectors[starts[position] : starts[position + 1]] = batch[: len(sentences[position]), row]
    return vectors
