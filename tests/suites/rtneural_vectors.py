"""RTNeural's test vectors of torch models: their weights, inputs and outputs, as RTNeural's C++ tests read them.

``downstream.py`` runs it in a copy of that repository; because of its name, our own suite does not collect it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn


class Model(nn.Module):
    """The model that the weights are for; its attributes are called ``lstm`` or ``gru``, as in the weights."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        layer: type[nn.Module] = nn.LSTM if kind == "lstm" else nn.GRU
        self.add_module(kind, layer(1, 8))
        self.add_module(f"{kind}2", layer(8, 8, num_layers=3))
        self.dense = nn.Linear(8, 1)

    def layers(self) -> tuple[nn.Module, nn.Module]:
        """The first recurrent layer and the three stacked ones."""
        return self.get_submodule(self.kind), self.get_submodule(f"{self.kind}2")

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        for layer in self.layers():
            x = layer(x)[0]
        found: Tensor = self.dense(x)
        return found


def vectors(kind: str) -> tuple[Model, Tensor, Tensor]:
    """A model, its input and its expected output."""
    weights = json.loads(Path(f"models/{kind}_torch.json").read_text(encoding="utf-8"))
    model = Model(kind)
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    x, y = (np.loadtxt(f"test_data/{kind}_torch_{name}_python.csv", dtype=np.float32) for name in "xy")
    return model.eval(), torch.from_numpy(x).reshape(-1, 1), torch.from_numpy(y).reshape(-1, 1)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_whole_sequence(kind: str) -> None:
    model, x, y = vectors(kind)
    assert torch.allclose(model(x), y, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_step_by_step(kind: str) -> None:
    """As in an audio plug-in, carrying the states."""
    model, x, y = vectors(kind)
    states: list[Any] = [None, None]
    found = []
    with torch.no_grad():
        for value in x:
            out = value[None]
            for place, layer in enumerate(model.layers()):
                out, states[place] = layer(out, states[place])
            found.append(model.dense(out)[0])
    assert torch.allclose(torch.stack(found), y, atol=1e-6)
