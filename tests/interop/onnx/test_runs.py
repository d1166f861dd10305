"""The calls that check a file have several sizes, and fit together."""

from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ExportError
from hiddenstate.interop.onnx.check import SIZES, ExampleCall, runs_of_lstm, runs_of_model
from hiddenstate.interop.onnx.lstm import Signature


def test_an_lstm_is_called_with_rows_of_every_kind() -> None:
    lstm = hs.LSTM(4, 3, 2, batch_first=True)
    runs = list(runs_of_lstm(lstm, Signature(lstm.sizes, batch_first=True, lengths=True), torch.zeros(0)))
    assert [tuple(run.inputs["x"].shape) for run in runs] == [(N, T, 4) for T, N in SIZES]
    for run, (T, N) in zip(runs, SIZES, strict=True):
        assert run.inputs["lengths"].max() == T
        assert (run.inputs["lengths"].min() == 0) == (N > 1)
        assert [list(value.shape) for value in run.outputs] == [[N, T, 3], [2, N, 3], [2, N, 3]]
        assert run.inputs["h0"].any()


def model(*shapes: list[Any]) -> onnx.ModelProto:
    """A model with inputs of these shapes, which is all that matters here."""
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip("ab", shapes, strict=False)
    ]
    return onnx.helper.make_model(onnx.helper.make_graph([], "none", inputs, []))


class Pair(nn.Module):
    def forward(self, a: Tensor, more: dict[str, Any]) -> tuple[Tensor, str, Tensor]:
        return a * more["scale"], "no tensor", more["b"]


ROWS = torch.arange(4.0)
PAIR = ExampleCall((ROWS[:, None] * 10 + torch.arange(3.0), {"scale": 2, "b": ROWS}), {}, None, None, None)


def test_open_axes_grow_and_what_goes_together_stays_together() -> None:
    first, *larger = runs_of_model(Pair(), PAIR, model(["N", "K"], ["N"]))
    assert torch.equal(first.inputs["a"], PAIR.args[0])
    assert [tuple(run.inputs["a"].shape) for run in larger] == [(7, 7), (10, 11)]
    for run in larger:
        a, b = run.inputs["a"], run.inputs["b"]
        assert torch.equal(a // 10, b[:, None].expand_as(a))
        assert torch.equal(run.outputs[0], a * 2)
        assert torch.equal(run.outputs[1], b)


@pytest.mark.parametrize("shapes", [([4, 3], [4]), (["N", "3*N"], ["N"])])
def test_sizes_that_are_fixed_or_computed_are_left_as_they_are(shapes: tuple[list[Any], ...]) -> None:
    (only,) = runs_of_model(Pair(), PAIR, model(*shapes))
    assert torch.equal(only.inputs["b"], ROWS)


def test_inputs_that_are_not_those_of_the_call_are_refused() -> None:
    with pytest.raises(ExportError, match="has 1 inputs, but 2 tensors were given"):
        list(runs_of_model(Pair(), PAIR, model(["N", 3])))
