"""Features of LSTM nodes, and those that are rejected by name."""

from typing import Any

import numpy as np
import pytest
import torch

from hiddenstate.errors import ArgumentError, RankError, ShapeError
from hiddenstate.interop.onnx.importer import from_onnx
from interop.onnx.onnx_models import lstm_node, model_of, node, one_node, random_arrays, run
from support import assert_close


def test_layout_1_is_batch_first() -> None:
    # onnxruntime has no layout=1, so the numbers are those of layout=0
    x, plain = torch.randn(4, 2, 4), one_node()
    ours = from_onnx(one_node(layout=1))
    assert ours.batch_first
    want = torch.from_numpy(run(plain, x)[0])[:, 0].transpose(0, 1)
    assert_close(ours(x.transpose(0, 1))[0], want)


def test_reverse_as_a_flipped_one() -> None:
    model, x = one_node(direction="reverse"), torch.randn(4, 2, 4)
    out, (h_n, c_n) = from_onnx(model, flipped=True)(x.flip(0))
    y, y_h, y_c = map(torch.from_numpy, run(model, x))
    assert_close(out.flip(0), y[:, 0])
    assert_close(h_n, y_h)
    assert_close(c_n, y_c)


def test_default_activations_said_outright() -> None:
    names = ["Sigmoid", "Tanh", "tanh"] * 2
    assert from_onnx(one_node(D=2, activations=names, input_forget=0)).bidirectional


def test_initial_states_in_the_graph_are_warned_of() -> None:
    arrays = random_arrays(4, 3)
    lstm = lstm_node(arrays)
    lstm.input.extend(["", "h", "c"])
    spread = node("Expand", ["learned", "shape"], "h")
    states = {"learned": np.ones((1, 1, 3), np.float32), "c": np.zeros((1, 2, 3), np.float32)}
    model = model_of([spread, lstm], {**arrays, **states}, ["lstm_Y"], inputs=["X", "shape"])
    with pytest.warns(UserWarning, match="'lstm' starts from initial_h in the graph, which is not zero"):
        from_onnx(model)
    quiet = model_of([spread, lstm], {**arrays, **states, "learned": np.zeros((1, 1, 3), np.float32)}, ["lstm_Y"])
    from_onnx(quiet)
    from_onnx(model_of([lstm], arrays, ["lstm_Y"], inputs=["X", "h", "c"]))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"activations": ["Relu", "Tanh", "Tanh"]}, r"'lstm' has activations=\['Relu', 'Tanh', 'Tanh'\], not"),
        ({"clip": 3.0}, r"clips its gates \(clip=3.0\)"),
        ({"input_forget": 1}, r"couples its input and forget gates \(input_forget=1\)"),
        ({"hidden_size": 5}, "has hidden_size=5, but its R is for 3 units"),
        ({"hidden_size": None}, "does not declare its hidden_size"),
        ({"direction": "sideways"}, "has direction='sideways': expected forward, reverse or bidirectional"),
        ({"direction": "reverse"}, "reads only in reverse.*With flipped=True"),
        ({"swish": 1}, "has unknown attributes: swish"),
    ],
)
def test_what_an_lstm_has_not_fails(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        from_onnx(one_node(**attributes))


def test_peepholes_and_missing_weights_fail() -> None:
    arrays = random_arrays(4, 3)
    with_peepholes = lstm_node(arrays)
    with_peepholes.input.extend(["", "", "", "P"])
    with pytest.raises(ArgumentError, match=r"the LSTM node 'lstm' has peepholes \(its input P\)"):
        from_onnx(model_of([with_peepholes], {**arrays, "P": np.ones((1, 9), np.float32)}, ["lstm_Y"]))
    without = lstm_node(arrays)
    without.input[2] = ""
    with pytest.raises(ArgumentError, match="the LSTM node 'lstm' has no R"):
        from_onnx(model_of([without], arrays, ["lstm_Y"]))


def test_wrong_shapes_fail() -> None:
    arrays = random_arrays(4, 3)
    for name, value, error, message in (
        ("W", arrays["W"][0], RankError, r"W of the LSTM node 'lstm' must have 3 axes, got shape \[12, 4\]"),
        ("W", arrays["W"].repeat(2, 0), ShapeError, "W of the LSTM node 'lstm' is for 2 directions"),
        ("W", arrays["W"][:, :9], ShapeError, r"W of ONNX has shape \[9, 4\], expected \[4H, C\] = \[12, 4\]"),
        ("B", arrays["B"][:, :12], ShapeError, r"B of ONNX has shape \[12\], expected \[8H\] = \[24\]"),
    ):
        with pytest.raises(error, match=message):
            from_onnx(model_of([lstm_node(arrays)], {**arrays, name: value}, ["lstm_Y"]))
