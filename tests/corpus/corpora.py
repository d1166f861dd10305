"""Small indexes, and what a plain NumPy scan says about the same sequences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hiddenstate as hs
from hiddenstate.nn.rnn import Layer, new_layer

WORDS = ("a", "b", "c", "the")


def arrays(count: int, seed: int, features: int = 3, longest: int = 40) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randn(T, features, generator=generator) for T in lengths]


def words_of(xs: Sequence[Tensor], seed: int) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    return [[WORDS[k] for k in generator.integers(0, len(WORDS), len(x))] for x in xs]


def plain_values(lstm: Layer, xs: Sequence[Tensor], place: str) -> list[NDArray[np.float32]]:
    """The values ``[T, U]`` of a place, one sequence at a time."""
    given = [x[None] if lstm.batch_first else x[:, None] for x in xs]
    with torch.no_grad():
        return [lstm.trace(x, keep=[place]).values[place][:, 0].numpy() for x in given]


def make(folder: Path, lstm: Layer, xs: Sequence[Tensor], **options: Any) -> hs.Index:
    torch.manual_seed(0)
    return hs.index(lstm, list(xs), folder, **options)


def lstm_of(
    seed: int = 0, *, cell: str = "LSTM", bidirectional: bool = False, proj_size: int = 0, batch_first: bool = False
) -> Any:
    """A layer, of any kind of cell."""
    torch.manual_seed(seed)
    sizes = hs.Sizes(3, 5, 2, True, bidirectional, proj_size, cell)
    layer = new_layer(sizes, batch_first=batch_first).eval()
    with torch.no_grad():  # so that units are far from 0 at times
        for weight in layer.parameters():
            weight.mul_(1.2 if cell == "RNN_RELU" else 3)
    return layer
