"""Layers that torch has compiled or quantised are recognised, and others are not."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiddenstate.interop.torch.conversion import quantised_kind, scripted_layers

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
]


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.cell, self.head = nn.GRU(4, 3), nn.RNNCell(4, 3, nonlinearity="relu"), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x)[0] + self.cell(x[0]))
        return out


class LSTM(nn.Module):
    """A module with a name of torch's, but its own equation."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


def kinds_by_path(module: nn.Module) -> dict[str, tuple[str, ...]]:
    parts = ((path, part) for path, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule))
    return {path: kinds for path, part in parts if (kinds := scripted_layers(part))}


def test_the_layers_of_torchscript_are_recognised_by_path() -> None:
    model, x = Several().eval(), torch.zeros(2, 1, 4)
    by_path = {"layer": ("GRU",), "cell": ("RNNCell",)}
    scripted = torch.jit.script(model)
    assert kinds_by_path(scripted) == kinds_by_path(torch.jit.trace(model, x)) == by_path
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    assert kinds_by_path(torch.jit.load(file)) == by_path
    assert kinds_by_path(torch.jit.freeze(scripted)) == {"": ("GRU", "RNNCell")}


def test_quantised_layers_in_torchscript_are_recognised() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(Several().eval(), {nn.GRU, nn.RNNCell})
    assert kinds_by_path(torch.jit.script(quantised)) == {"layer": ("GRU",), "cell": ("RNNCell",)}


@pytest.mark.parametrize("kind", ["ScriptModule", "RecursiveScriptModule"])
def test_modules_that_are_just_being_made_have_no_layers(kind: str) -> None:
    module_class: Any = getattr(torch.jit, kind)
    assert scripted_layers(module_class.__new__(module_class)) == ()


def test_other_modules_are_not_taken_for_layers() -> None:
    assert kinds_by_path(torch.jit.script(nn.Sequential(nn.Linear(3, 3), LSTM()))) == {}
    assert quantised_kind(nn.LSTM(4, 3)) is None
    assert quantised_kind(torch.ao.nn.quantized.reference.LSTM(4, 3)) is None  # computes in floats
