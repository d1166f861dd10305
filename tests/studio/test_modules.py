from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_sequence

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DtypeError,
    IndexRangeError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.modules import Numbers, bundle_layer, layer_in


def tensors(bundle: Bundle) -> dict[str, Tensor]:
    return safetensors.torch.load(bundle.weights)


@pytest.mark.parametrize("kind", [hs.LSTM, nn.LSTM])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_lstm(kind: Any, dtype: torch.dtype) -> None:
    lstm = kind(4, 3, num_layers=2, bidirectional=True, proj_size=2, dtype=dtype)
    bundle = bundle_layer(lstm)
    found = tensors(bundle)
    assert set(found) == set(lstm.state_dict())
    for name, value in lstm.state_dict().items():
        assert found[name].dtype is dtype
        assert torch.equal(found[name], value)
    sizes = {"input_size": 4, "hidden_size": 3, "num_layers": 2, "bias": True, "bidirectional": True, "proj_size": 2}
    assert bundle.config == sizes
    assert bundle.name == "LSTM(4, 3)"


@pytest.mark.parametrize("kind", [hs.LSTMCell, nn.LSTMCell])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_is_one_layer(kind: Any, bias: bool) -> None:
    cell = kind(4, 3, bias=bias)
    bundle = bundle_layer(cell)
    assert set(tensors(bundle)) == {f"{name}_l0" for name in cell.state_dict()}
    assert bundle.config["num_layers"] == 1
    assert bundle.config["bias"] is bias


def test_a_weight_that_is_computed_is_stored() -> None:
    lstm = weight_norm(hs.LSTM(4, 3), "weight_hh_l0")
    found = tensors(bundle_layer(lstm))
    assert set(found) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    assert torch.equal(found["weight_hh_l0"], lstm.weight_hh_l0)


@pytest.mark.parametrize("shape", [(5, 4), (5, 1, 4), (5, 2, 4)])
def test_numbers(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    bundle = bundle_layer(hs.LSTM(4, 3), numbers=Numbers(x))
    found = tensors(bundle)
    assert torch.equal(found["given.input"], x if x.dim() == 2 else x[:, 0])
    assert found["given.h0"].shape == found["given.c0"].shape == (1, 3)
    assert not found["given.h0"].any()
    assert bundle.given is not None
    assert bundle.given.steps == 5


def test_numbers_of_another_kind_and_row() -> None:
    lstm = hs.LSTM(2, 3, batch_first=True, dtype=torch.float64)
    hx = (torch.randn(1, 2, 3).double(), torch.randn(1, 2, 3).double())
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = tensors(bundle_layer(lstm, numbers=Numbers(x, hx, ["a", "b", "c"], row=-1)))
    assert found["given.input"].dtype is torch.float64
    assert found["given.input"].tolist() == x[1].tolist()
    assert torch.equal(found["given.h0"], hx[0][:, 1])
    assert torch.equal(found["given.c0"], hx[1][:, 1])
    assert tensors(bundle_layer(hs.LSTM(2, 3), numbers=Numbers([[1, 2], [3, 4]])))["given.input"].tolist() == [
        [1, 2],
        [3, 4],
    ]


def test_numbers_of_a_packed_sequence() -> None:
    packed = pack_sequence([torch.ones(3, 4), torch.ones(2, 4)])
    found = tensors(bundle_layer(nn.LSTM(4, 3), numbers=Numbers(packed, row=1)))
    assert found["given.input"].shape == (2, 4)


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        (Numbers(torch.zeros(5, 3)), ShapeError),
        (Numbers(torch.zeros(4)), RankError),
        (Numbers(torch.zeros(0, 4)), ShapeError),
        (Numbers(torch.zeros(5, 4), row=1), IndexRangeError),
        (Numbers(torch.zeros(5, 4), tokens=["a"]), ShapeError),
        (Numbers(torch.zeros(5, 4), tokens=5), ArgumentTypeError),  # type: ignore[arg-type]
        (Numbers(torch.zeros(5, 4), hx=(torch.zeros(1, 3).double(), torch.zeros(1, 3).double())), DtypeError),
    ],
)
def test_numbers_fails(numbers: Numbers, error: type[Exception]) -> None:
    with pytest.raises(error):
        bundle_layer(hs.LSTM(4, 3), numbers=numbers)


def test_lstm_in() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.LSTM(3, 3)})
    assert layer_in(model, None) == ("b", model["b"])
    model["c"] = hs.LSTMCell(3, 3)
    assert layer_in(model, "c") == ("c", model["c"])
    lstm = hs.LSTM(4, 3)
    assert layer_in(lstm, None) == ("", lstm)


def test_layer_in_fails() -> None:
    model = nn.ModuleDict({"b": nn.LSTM(3, 3), "c": hs.LSTM(3, 3)})
    with pytest.raises(ArgumentError, match=r"2 recurrent layers; choose one with path=: 'b', 'c'"):
        layer_in(model, None)
    with pytest.raises(NameUnknownError, match="no LSTM, GRU or RNN at 'd' in this ModuleDict: there is 'b', 'c'"):
        layer_in(model, "d")
    with pytest.raises(ArgumentError, match="this Linear contains no LSTM"):
        layer_in(nn.Linear(2, 2), "d")
