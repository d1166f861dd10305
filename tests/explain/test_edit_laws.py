"""Equivalent edits: of a writing gate and of the cell; of the output gate and of the hidden state."""

from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from random_lstms import every_kind, random_lstm, subject_of

LAYERS = {"first": 0, "last": -1}


def close(a: Tensor, b: Tensor) -> None:
    """Equal except for the last place."""
    assert torch.all((a - b).abs() <= 4 * torch.finfo(a.dtype).eps * (1 + torch.maximum(a.abs(), b.abs())))


@every_kind
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("gate", "ifg")
@pytest.mark.parametrize("path", ["auto", "reference"])
def test_setting_a_gate_that_writes_is_setting_the_cell(kind: str, layer: str, gate: str, path: Any) -> None:
    lstm = random_lstm(kind)
    subject = subject_of(lstm)
    number, unit, t, to = range(lstm.num_layers)[LAYERS[layer]], lstm.hidden_size - 1, 3, 0.3
    plain = subject.trace()
    value = {q: float(plain.values[f"l{number}.{q}"][t, 0, unit]) for q in "ifg"} | {gate: to}
    before = float(plain.values[f"l{number}.c"][t - 1, 0, unit])
    cell = value["f"] * before + value["i"] * value["g"]
    with hs.backend(path):
        with lstm.edit(hs.set(f"l{number}.{gate}[{unit}]@{t}", to=to)):
            by_gate = subject.run()
        with lstm.edit(hs.set(f"l{number}.c[{unit}]@{t}", to=cell)):
            by_cell = subject.run()
    close(by_gate.out, by_cell.out)
    close(by_gate.state[1], by_cell.state[1])


@every_kind
@pytest.mark.parametrize("layer", LAYERS)
def test_setting_the_output_gate_is_an_edit_of_the_hidden_state(kind: str, layer: str) -> None:
    lstm = random_lstm(kind)
    subject = subject_of(lstm)
    number, unit, t, to = range(lstm.num_layers)[LAYERS[layer]], lstm.hidden_size - 1, 3, 0.3
    plain = subject.trace()
    o, c = (float(plain.values[f"l{number}.{q}"][t, 0, unit]) for q in "oc")
    shown = torch.tensor(c, dtype=torch.float64).tanh()
    if lstm.proj_size:
        column = lstm.weight(f"l{number}.W_hr")[:, unit].detach()
        same = hs.add(f"l{number}.h@{t}", value=column * (to - o) * shown)
    else:
        same = hs.set(f"l{number}.h[{unit}]@{t}", to=to * shown)
    with lstm.edit(hs.set(f"l{number}.o[{unit}]@{t}", to=to)):
        by_gate = subject.run()
    with lstm.edit(same):
        by_state = subject.run()
    close(by_gate.out, by_state.out)
    close(by_gate.state[1], by_state.state[1])
