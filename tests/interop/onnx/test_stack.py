"""Nodes that are the layers of one LSTM, and nodes that only look like it."""

from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hiddenstate.interop.onnx.importer import from_onnx, in_onnx
from interop.onnx.onnx_models import SQUEEZE, lstm_node, model_of, node, random_arrays, run, stack
from support import assert_close

TURN = [node("Transpose", ["a_Y"], "t", perm=[0, 2, 1, 3]), node("Reshape", ["t", "shape"], "J")]


DROPOUT = [node("Squeeze", ["a_Y", "axis"], "s"), node("Dropout", ["s"], "J")]


@pytest.mark.parametrize(("D", "join"), [(1, SQUEEZE), (1, TURN), (2, TURN), (1, DROPOUT)])
def test_nodes_that_are_layers_become_one_lstm(D: int, join: list[Any]) -> None:
    model, x = stack(D, join), torch.randn(4, 2, 4)
    ours = from_onnx(model)
    assert ours.num_layers == 2
    y = torch.from_numpy(run(model, x)[0])
    assert_close(ours(x)[0], y.transpose(1, 2).reshape(4, 2, -1))
    assert list(in_onnx(model)) == ["a"]
    assert list(in_onnx(model, join=False)) == ["a", "b"]
    assert from_onnx(model, "b", join=False).input_size == 3 * D


def test_nodes_that_only_look_like_layers_stay_apart() -> None:
    relu = [node("Squeeze", ["a_Y", "axis"], "s"), node("Relu", ["s"], "J")]
    untransposed = [node("Reshape", ["a_Y", "shape3"], "J")]
    skip = [node("Squeeze", ["a_Y", "axis"], "J"), node("Relu", ["J"], "K")]
    models = [stack(1, relu), stack(1, skip, outputs=("b_Y", "K")), stack(1, SQUEEZE, outputs=("b_Y", "J"))]
    wrong = stack(2, untransposed)
    wrong.graph.initializer.append(numpy_helper.from_array(np.array([0, -1, 6]), "shape3"))
    residual = [node("Squeeze", ["a_Y", "axis"], "s"), node("Add", ["s", "X2"], "J")]
    added = stack(1, residual)
    added.graph.input.append(helper.make_tensor_value_info("X2", TensorProto.FLOAT, None))
    unknown = stack(1, [helper.make_node("Mystery", ["a_Y"], ["J"], domain="nobody.knows")])
    for model in (*models, wrong, added, unknown):
        assert list(in_onnx(model)) == ["a", "b"]
        assert from_onnx(model, "b").num_layers == 1


def test_nodes_of_other_sizes_or_biases_stay_apart() -> None:
    first, second = random_arrays(4, 3, end="0"), random_arrays(3, 2, end="1")
    plain = random_arrays(3, 3, bias=False, end="1")
    for upper in (second, plain):
        nodes = [lstm_node(first, "a", end="0"), *SQUEEZE, lstm_node(upper, "b", x="J", end="1")]
        assert list(in_onnx(model_of(nodes, {"axis": np.array([1]), **first, **upper}, ["b_Y"]))) == ["a", "b"]
