"""RTNeural's vectors of a model of torch's: its weights, inputs and outputs, as its own tests in C++ read them.

Run by ``downstream.py`` in a copy of its repository; by its name no part of our own suite.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class Model(nn.Module):
    """What the file of weights is of."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 8)
        self.lstm2 = nn.LSTM(8, 8, num_layers=3)
        self.dense = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the outputs of all steps."""
        found: Tensor = self.dense(self.lstm2(self.lstm(x)[0])[0])
        return found


def vectors() -> tuple[Model, Tensor, Tensor]:
    """The model, what it reads and what it should give."""
    weights = json.loads(Path("models/lstm_torch.json").read_text(encoding="utf-8"))
    model = Model()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    x, y = (np.loadtxt(f"test_data/lstm_torch_{name}_python.csv", dtype=np.float32) for name in "xy")
    return model.eval(), torch.from_numpy(x).reshape(-1, 1), torch.from_numpy(y).reshape(-1, 1)


def test_the_whole_sequence() -> None:
    model, x, y = vectors()
    assert torch.allclose(model(x), y, atol=1e-6)


def test_step_by_step() -> None:
    """As it runs in a plug-in, with the states carried."""
    model, x, y = vectors()
    states: list[tuple[Tensor, Tensor] | None] = [None, None]
    found = []
    with torch.no_grad():
        for value in x:
            out, states[0] = model.lstm(value[None], states[0])
            out, states[1] = model.lstm2(out, states[1])
            found.append(model.dense(out)[0])
    assert torch.allclose(torch.stack(found), y, atol=1e-6)
