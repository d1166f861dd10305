"""LSTMs from ONNX models give the numbers of onnxruntime and of the operator's published test cases."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    MissingDependencyError,
    NameUnknownError,
)
from hiddenstate.interop.onnx.importer import from_onnx, in_onnx
from interop.onnx.onnx_models import lstm_node, model_of, node, one_node, random_arrays, run, stack
from support import SIZES, assert_close


@given(SIZES, SIZES, st.sampled_from([1, 2]), st.booleans())
def test_one_node_against_onnxruntime(C: int, H: int, D: int, bias: bool) -> None:
    model, x = one_node(C, H, D, bias=bias), torch.randn(4, 2, C)
    ours = from_onnx(model)
    out, (h_n, c_n) = ours(x)
    y, y_h, y_c = map(torch.from_numpy, run(model, x))
    assert_close(out, y.transpose(1, 2).reshape(4, 2, D * H), "Y")
    assert_close(h_n, y_h, "Y_h")
    assert_close(c_n, y_c, "Y_c")


def test_values_are_copied_bit_for_bit() -> None:
    arrays = random_arrays(4, 3)
    ours = from_onnx(model_of([lstm_node(arrays)], arrays, ["lstm_Y"]))
    for k, gate in enumerate("iofg"):  # the operator's order
        rows = slice(3 * k, 3 * k + 3)
        for name, want in (
            ("W_i", arrays["W"][0, rows]),
            ("W_h", arrays["R"][0, rows]),
            ("b_i", arrays["B"][0, rows]),
            ("b_h", arrays["B"][0, 12:][rows]),
        ):
            assert torch.equal(ours.weight(f"l0.{name}{gate}"), torch.from_numpy(want)), name + gate


KINDS: dict[str, Any] = {"LSTM": hs.LSTM, "GRU": hs.GRU, "RNN": hs.RNN}


def published_cases() -> dict[str, Any]:
    """The operators' published cases; importing their modules makes them."""
    from onnx.backend.test.case import node as cases
    from onnx.backend.test.case.node import gru as gru
    from onnx.backend.test.case.node import lstm as lstm
    from onnx.backend.test.case.node import rnn as rnn

    return {case.name: case for case in cases._NodeTestCases if case.model.graph.node[0].op_type in KINDS}


CASES = published_cases()


@pytest.mark.parametrize("name", CASES)
def test_published_cases(name: str) -> None:
    """Their weights are inputs of the graph, hence ``inputs=``. Cases of a different cell are rejected by name."""
    case = CASES[name]
    kind = KINDS[case.model.graph.node[0].op_type]
    names = [value.name for value in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        given = dict(zip(names, inputs, strict=True))
        if "peepholes" in name:
            with pytest.raises(ArgumentError, match="has peepholes"):
                from_onnx(case.model, inputs=given)
            continue
        model, flipped = case.model, "reverse" in name
        if kind is hs.GRU:
            with pytest.raises(ArgumentError, match="a different cell"):
                from_onnx(model, inputs=given, flipped=flipped, kind=kind)
            model = resetting_after(model)
            outputs = ReferenceEvaluator(model).run(None, given)
        ours: Any = from_onnx(model, inputs=given, flipped=flipped, kind=kind)
        x = torch.from_numpy(given["X"])
        time = int(ours.batch_first)
        out, state = ours(x.flip(time) if flipped else x)
        T, N = (x.shape[1], x.shape[0]) if ours.batch_first else x.shape[:2]
        y = (out.transpose(0, 1) if ours.batch_first else out).reshape(T, N, -1, ours.hidden_size)
        y = (y.flip(0) if flipped else y).permute((1, 0, 2, 3) if ours.batch_first else (0, 2, 1, 3))
        states = dict(zip(("Y_h", "Y_c"), state if kind is hs.LSTM else (state,), strict=False))
        computed = {"Y": y, **{key: s.transpose(0, 1) if ours.batch_first else s for key, s in states.items()}}
        asked = [value.name for value in model.graph.output]
        assert asked
        for output, want in zip(asked, outputs, strict=True):
            assert_close(computed[output], torch.from_numpy(want), output)


def resetting_after(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same GRU that resets the state after the matrix product, as torch's does."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.node[0].attribute.append(helper.make_attribute("linear_before_reset", 1))
    return changed


def test_the_published_cases_are_there() -> None:
    assert {
        "test_lstm_defaults",
        "test_lstm_with_initial_bias",
        "test_lstm_batchwise",
        "test_lstm_with_peepholes",
        "test_gru_defaults",
        "test_gru_bidirectional",
        "test_simple_rnn_defaults",
        "test_rnn_seq_length",
    } <= set(CASES)


class Stacked(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, **options)
        self.head = nn.LSTM(3 * self.lstm.num_layers if self.lstm.bidirectional else 3, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.lstm(x)[0])[0]
        return out


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True, "bias": False}])
@pytest.mark.parametrize("exporter", [{"dynamo": False}, {"dynamo": True}, {"dynamo": True, "optimize": False}])
def test_models_that_torch_exports(tmp_path: Path, options: dict[str, Any], exporter: dict[str, Any]) -> None:
    theirs, path = Stacked(**options).eval(), tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn about themselves
        torch.onnx.export(theirs, (torch.randn(5, 2, 4),), path, verbose=False, **exporter)
    found = in_onnx(path)
    assert len(found) == 2
    first, head = found.values()
    for ours, want in ((first, theirs.lstm), (head, theirs.head)):
        assert (ours.num_layers, ours.bidirectional, ours.bias) == (want.num_layers, want.bidirectional, want.bias)
        for key, value in want.state_dict().items():
            assert torch.equal(ours.state_dict()[key], value), key


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True, "bias": False}])
@pytest.mark.parametrize("lengths", [False, True])
def test_what_we_write_comes_back(tmp_path: Path, options: dict[str, Any], lengths: bool) -> None:
    lstm, path = hs.LSTM(4, 3, 2, **options), tmp_path / "lstm.onnx"
    hs.export_onnx(lstm, path, lengths=lengths)
    found = from_onnx(path)
    assert (found.num_layers, found.bidirectional, found.bias) == (lstm.num_layers, lstm.bidirectional, lstm.bias)
    for key, value in lstm.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


def test_names_of_nodes_without_one() -> None:
    arrays = random_arrays(4, 3)
    unnamed = lstm_node(arrays)
    unnamed.name = ""
    twins = [lstm_node(arrays), lstm_node(arrays)]
    twins[1].output[:] = ["second_Y"]
    assert list(in_onnx(model_of([unnamed], arrays, ["lstm_Y"]))) == ["lstm_Y"]
    assert list(in_onnx(model_of(twins, arrays, ["lstm_Y", "second_Y"]))) == ["lstm_Y", "second_Y"]


def test_several_none_and_unknown_fail() -> None:
    model = stack(1, [node("Squeeze", ["a_Y", "axis"], "s"), node("Relu", ["s"], "J")])
    with pytest.raises(
        ArgumentError, match=r"(?s)this ONNX model holds 2 LSTMs.*'b': LSTM\(3, 3\).*Choose one with name="
    ):
        from_onnx(model)
    with pytest.raises(NameUnknownError, match="no LSTM 'c': this ONNX model holds 2 LSTMs"):
        from_onnx(model, "c")
    quantized = helper.make_node("DynamicQuantizeLSTM", ["X", "W", "R"], ["Y"], name="q", domain="com.microsoft")
    with pytest.raises(
        NameUnknownError, match="(?s)holds no LSTMs.*'q' is not an LSTM: it is of type DynamicQuantizeLSTM"
    ):
        from_onnx(model_of([quantized], random_arrays(4, 3), ["Y"]))
    with pytest.raises(NameUnknownError, match="no input V in this graph: it has B, R, W, X"):
        from_onnx(one_node(), inputs={"V": np.zeros(1)})
    with pytest.raises(ArgumentTypeError, match="expected an onnx.ModelProto or the path of a file, got int"):
        from_onnx(3)  # type: ignore[arg-type]


def test_a_refusal_is_listed_and_no_obstacle_to_the_others() -> None:
    first, second = random_arrays(4, 3, end="0"), random_arrays(4, 2, end="1")
    nodes = [lstm_node(first, "a", end="0", clip=1.0), lstm_node(second, "b", end="1")]
    model = model_of(nodes, {**first, **second}, ["a_Y", "b_Y"])
    assert "'a': refused: the LSTM node 'a' clips its gates" in str(in_onnx(model))
    assert from_onnx(model, "b").hidden_size == 2


def test_bad_files_fail(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(one_node(), path)
    whole = path.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "model.onnx can't be read as an ONNX model"),
        (b"hello world", "model.onnx can't be read as an ONNX model"),
        (b"", "model.onnx is not an ONNX model: it has no graph"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            from_onnx(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_onnx(tmp_path / "none.onnx")


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"from_onnx needs onnx: pip install 'hiddenstate\[onnx\]'"):
        from_onnx("model.onnx")
