"""RTNeural's test vectors of a torch model: its weights, inputs and outputs, as RTNeural's C++ tests read them.

``downstream.py`` runs it in a copy of that repository; because of its name, our own suite does not collect it.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class Model(nn.Module):
    """The model that the weights are for."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 8)
        self.lstm2 = nn.LSTM(8, 8, num_layers=3)
        self.dense = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        found: Tensor = self.dense(self.lstm2(self.lstm(x)[0])[0])
        return found


def vectors() -> tuple[Model, Tensor, Tensor]:
    """The model, its input and its expected output."""
    weights = json.loads(Path("models/lstm_torch.json").read_text(encoding="utf-8"))
    model = Model()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    x, y = (np.loadtxt(f"test_data/lstm_torch_{name}_python.csv", dtype=np.float32) for name in "xy")
    return model.eval(), torch.from_numpy(x).reshape(-1, 1), torch.from_numpy(y).reshape(-1, 1)


def test_the_whole_sequence() -> None:
    model, x, y = vectors()
    assert torch.allclose(model(x), y, atol=1e-6)


def test_step_by_step() -> None:
    """As in an audio plug-in, carrying the states."""
    model, x, y = vectors()
    states: list[tuple[Tensor, Tensor] | None] = [None, None]
    found = []
    with torch.no_grad():
        for value in x:
            out, states[0] = model.lstm(value[None], states[0])
            out, states[1] = model.lstm2(out, states[1])
            found.append(model.dense(out)[0])
    assert torch.allclose(torch.stack(found), y, atol=1e-6)
