import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.studio.bundles.modules import capture_input


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(4, 3)
        self.unused = nn.LSTM(4, 3)
        self.cell = nn.LSTMCell(4, 3)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = self.dropout(self.embedding(ids))
        self.cell(x[0])
        out, _ = self.lstm(x, hx=state)
        self.lstm(out.repeat(1, 1, 2)[:, :, :4])
        return torch.as_tensor(out)


def lstm_of(model: nn.Module) -> nn.LSTM | hs.LSTM:
    found = model.get_submodule("lstm")
    assert isinstance(found, nn.LSTM | hs.LSTM)
    return found


def test_what_is_read_in_the_first_call() -> None:
    model, ids = hs.convert(Model(), inplace=True), torch.tensor([[1], [2], [3]])
    read = capture_input(model, "lstm", lstm_of(model), ids)
    assert torch.equal(read.x, model.get_submodule("embedding")(ids))  # without dropout
    assert read.hx is None
    assert model.training
    assert not lstm_of(model)._forward_pre_hooks


def test_several_arguments() -> None:
    model, state = Model().eval(), (torch.ones(1, 1, 3), torch.zeros(1, 1, 3))
    read = capture_input(model, "lstm", lstm_of(model), (torch.tensor([[1], [2]]), state))
    assert read.hx is state
    assert not model.training


def test_fails() -> None:
    model, ids = Model(), torch.tensor([[1], [2]])
    with pytest.raises(ArgumentError, match="the layer at 'unused' was not called"):
        capture_input(model, "unused", model.unused, ids)
    with pytest.raises(ArgumentError, match="'cell' is a cell"):
        capture_input(model, "cell", model.cell, ids)
    with pytest.raises(IndexError):
        capture_input(model, "lstm", lstm_of(model), torch.tensor([[10]]))
    assert model.training
    assert not lstm_of(model)._forward_pre_hooks
