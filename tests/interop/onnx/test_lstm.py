"""The graph of an LSTM, without a runtime: its inputs and outputs, its contents, and their order."""

from typing import Any

import onnx
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.onnx.lstm import Signature, build_model, stacked


def weights_of(lstm: hs.LSTM) -> Any:
    return lstm._weights()


def test_gates_are_stacked_as_onnx_says() -> None:
    lstm = hs.LSTM(2, 3, bidirectional=True)
    arrays = stacked(weights_of(lstm), lstm.sizes)
    i, f, g, o = (lstm.weight(f"l0r.W_i{gate}") for gate in "ifgo")
    assert torch.equal(arrays["W"][1], torch.cat([i, o, f, g]))  # W[iofc], where c is our g
    b_i, b_h = (lstm.weight(f"l0.b_{side}o") for side in "ih")
    assert torch.equal(arrays["B"][0, 3:6], b_i)  # [Wb[iofc], Rb[iofc]]
    assert torch.equal(arrays["B"][0, 15:18], b_h)
    assert {name: list(value.shape) for name, value in arrays.items()} == {
        "W": [2, 12, 2],
        "R": [2, 12, 3],
        "B": [2, 24],
    }


def test_a_projection_is_refused() -> None:
    with pytest.raises(ArgumentError, match="ONNX has no projection"):
        stacked(weights_of(lstm := hs.LSTM(4, 3, proj_size=2)), lstm.sizes)


def test_sizes_may_be_fixed() -> None:
    lstm = hs.LSTM(4, 3)
    model = build_model(Signature(lstm.sizes, T=5, N=2), weights_of(lstm))
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input]
    assert shapes == [[5, 2, 4], [1, 2, 3], [1, 2, 3]]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_not_there_is_left_out(layers: int, states: bool) -> None:
    lstm = hs.LSTM(4, 3, layers, bias=False)
    model = build_model(Signature(lstm.sizes, states=states), weights_of(lstm))
    operators = [node for node in model.graph.node if node.op_type == "LSTM"]
    assert [len(node.input) for node in operators] == [7 if states else 3] * layers
    assert [len(node.output) for node in operators] == [3 if states else 1] * layers
    # a single layer passes the state through unchanged
    assert len(model.graph.node) == 3 * layers + (4 if states and layers > 1 else 0)


def test_an_opset_that_is_not_there_is_refused() -> None:
    lstm = hs.LSTM(4, 3)
    for opset in (13, onnx.defs.onnx_opset_version() + 1, "17"):
        with pytest.raises(ArgumentError, match="opset must be in 14"):
            build_model(Signature(lstm.sizes), weights_of(lstm), opset)  # type: ignore[arg-type]
