"""Random LSTMs for the laws of explanations: layers, directions, projections, initial states, resets, two types."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.explain.subject.subject import Subject
from support import random_state

# Largest residual, as a share of the sum of the parts' sizes.
LAW = {torch.float32: 1e-5, torch.float64: 1e-12}

KINDS: dict[str, dict[str, Any]] = {
    "one layer": {"num_layers": 1},
    "two layers": {"num_layers": 2},
    "both directions": {"num_layers": 1, "bidirectional": True},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "projected": {"num_layers": 3, "proj_size": 2},
    "projected, both directions": {"num_layers": 2, "bidirectional": True, "proj_size": 3},
    "no bias": {"num_layers": 2, "bias": False},
    "one unit": {"num_layers": 2, "hidden_size": 1, "input_size": 1},
    "wide": {"num_layers": 2, "hidden_size": 65, "input_size": 17},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
both_types = pytest.mark.parametrize("dtype", list(LAW), ids=str)


def random_lstm(kind: str, dtype: torch.dtype = torch.float64, seed: int = 0, scale: float = 2.0) -> hs.LSTM:
    """An LSTM with active gates: torch's initial weights, scaled up."""
    torch.manual_seed(seed)
    options = {"input_size": 3, "hidden_size": 5, **KINDS[kind], "dtype": dtype}
    lstm = hs.LSTM(**options)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(scale)
    return lstm


def head_of(lstm: Any, labels: int = 4) -> nn.Linear:
    return nn.Linear(lstm.sizes.directions * lstm.sizes.output_size, labels, dtype=next(lstm.parameters()).dtype)


def subject_of(lstm: Any, T: int = 7, *, state: bool = True, reset: bool = False, seed: int = 1) -> Subject:
    """Random input, with a softmax over four labels; and optionally with a random initial state and resets."""
    torch.manual_seed(seed)
    x = torch.randn(T, lstm.input_size, dtype=next(lstm.parameters()).dtype)
    borders: Tensor | None = None
    if reset:
        borders = torch.zeros(T, dtype=torch.bool)
        borders[[2, T - 2]] = True
    hx = tuple(part[:, 0] for part in random_state(lstm, 1)) if state else None
    return hs.explain.subject(lstm, x, hx=hx, reset=borders, head=head_of(lstm), softmax=True)


def tracks_of(lstm: Any) -> list[str]:
    return [f"l{layer}{'r' if reverse else ''}" for layer, reverse in lstm.sizes.layer_directions]
