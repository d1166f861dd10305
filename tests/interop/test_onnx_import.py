"""LSTMs out of ONNX models: the numbers are those of onnxruntime, and of the operator's published cases."""

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
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    MissingDependencyError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.interop.onnx_import import from_onnx, in_onnx
from interop.onnx_models import lstm_node, model_of, random_arrays, run
from support import SIZES, assert_close


def one_node(C: int = 4, H: int = 3, D: int = 1, *, bias: bool = True, **attributes: Any) -> ModelProto:
    arrays = random_arrays(C, H, D, bias=bias)
    if D == 2:
        attributes = {"direction": "bidirectional", **attributes}
    return model_of([lstm_node(arrays, **attributes)], arrays, ["lstm_Y", "lstm_Y_h", "lstm_Y_c"])


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


def published_cases() -> dict[str, Any]:
    """The operator's published cases; importing their module makes them."""
    from onnx.backend.test.case import node as cases
    from onnx.backend.test.case.node import lstm as lstm

    return {case.name: case for case in cases._NodeTestCases if case.name.startswith("test_lstm_")}


CASES = published_cases()


@pytest.mark.parametrize("name", CASES)
def test_published_cases(name: str) -> None:
    """Their weights are inputs of the graph, hence ``inputs=``; the one with peepholes is refused by name."""
    case = CASES[name]
    names = [value.name for value in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        given = dict(zip(names, inputs, strict=True))
        if "peepholes" in name:
            with pytest.raises(ArgumentError, match="has peepholes"):
                from_onnx(case.model, inputs=given)
            continue
        flipped = "reverse" in name
        ours = from_onnx(case.model, inputs=given, flipped=flipped)
        x = torch.from_numpy(given["X"])
        time = int(ours.batch_first)
        out, (h_n, c_n) = ours(x.flip(time) if flipped else x)
        T, N = (x.shape[1], x.shape[0]) if ours.batch_first else x.shape[:2]
        y = (out.transpose(0, 1) if ours.batch_first else out).reshape(T, N, -1, ours.hidden_size)
        y = (y.flip(0) if flipped else y).permute((1, 0, 2, 3) if ours.batch_first else (0, 2, 1, 3))
        states = {"Y_h": h_n, "Y_c": c_n}
        computed = {"Y": y, **{key: s.transpose(0, 1) if ours.batch_first else s for key, s in states.items()}}
        asked = [value.name for value in case.model.graph.output]
        assert asked
        for output, want in zip(asked, outputs, strict=True):
            assert_close(computed[output], torch.from_numpy(want), output)


def test_the_published_cases_are_there() -> None:
    assert {
        "test_lstm_defaults",
        "test_lstm_with_initial_bias",
        "test_lstm_batchwise",
        "test_lstm_with_peepholes",
    } <= set(CASES)


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


def stack(D: int, join: list[Any], more: list[Any] | None = None, outputs: tuple[str, ...] = ("b_Y",)) -> ModelProto:
    """Two nodes, a and b, with other nodes between a_Y and J, which b reads."""
    first, second = random_arrays(4, 3, D, end="0"), random_arrays(3 * D, 3, D, seed=1, end="1")
    direction = "bidirectional" if D == 2 else "forward"
    nodes = [
        lstm_node(first, "a", end="0", direction=direction),
        *join,
        lstm_node(second, "b", x="J", end="1", direction=direction),
        *(more or []),
    ]
    constants = {"axis": np.array([1]), "shape": np.array([0, 0, -1]), **first, **second}
    return model_of(nodes, constants, outputs)


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


SQUEEZE = [node("Squeeze", ["a_Y", "axis"], "J")]
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
    for model in (*models, wrong, added):
        assert list(in_onnx(model)) == ["a", "b"]
        assert from_onnx(model, "b").num_layers == 1


def test_nodes_of_other_sizes_or_biases_stay_apart() -> None:
    first, second = random_arrays(4, 3, end="0"), random_arrays(3, 2, end="1")
    plain = random_arrays(3, 3, bias=False, end="1")
    for upper in (second, plain):
        nodes = [lstm_node(first, "a", end="0"), *SQUEEZE, lstm_node(upper, "b", x="J", end="1")]
        assert list(in_onnx(model_of(nodes, {"axis": np.array([1]), **first, **upper}, ["b_Y"]))) == ["a", "b"]


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
        warnings.simplefilter("ignore")  # the exporters warn of themselves
        torch.onnx.export(theirs, (torch.randn(5, 2, 4),), path, verbose=False, **exporter)
    found = in_onnx(path)
    assert len(found) == 2
    first, head = found.values()
    for ours, want in ((first, theirs.lstm), (head, theirs.head)):
        assert (ours.num_layers, ours.bidirectional, ours.bias) == (want.num_layers, want.bidirectional, want.bias)
        for key, value in want.state_dict().items():
            assert torch.equal(ours.state_dict()[key], value), key


def test_weights_in_constants_in_files_beside_and_inside_other_nodes(tmp_path: Path) -> None:
    arrays = random_arrays(4, 3)
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in arrays.items()
    ]
    want = from_onnx(model_of([lstm_node(arrays)], arrays, ["lstm_Y"])).state_dict()
    flat = model_of([*constants, lstm_node(arrays)], {}, ["lstm_Y"])
    branch = helper.make_graph(
        [lstm_node(arrays, "inner")], "branch", [], [helper.make_tensor_value_info("inner_Y", TensorProto.FLOAT, None)]
    )
    choice = helper.make_node("If", ["condition"], ["out"], then_branch=branch, else_branch=branch)
    inside = model_of([choice], {"condition": np.array(True), **arrays}, ["out"])
    big = random_arrays(40, 30)
    beside = model_of([lstm_node(big)], big, ["lstm_Y"])
    onnx.save(beside, tmp_path / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    assert (tmp_path / "data").stat().st_size > 40 * 30 * 4
    for ours in (from_onnx(flat), from_onnx(inside, "inner_Y")):
        for key, value in ours.state_dict().items():
            assert torch.equal(value, want[key])
    for key, value in from_onnx(tmp_path / "model.onnx").state_dict().items():
        assert torch.equal(value, from_onnx(model_of([lstm_node(big)], big, ["lstm_Y"])).state_dict()[key])


def test_names_of_nodes_without_one() -> None:
    arrays = random_arrays(4, 3)
    unnamed = lstm_node(arrays)
    unnamed.name = ""
    twins = [lstm_node(arrays), lstm_node(arrays)]
    twins[1].output[:] = ["second_Y"]
    assert list(in_onnx(model_of([unnamed], arrays, ["lstm_Y"]))) == ["lstm_Y"]
    assert list(in_onnx(model_of(twins, arrays, ["lstm_Y", "second_Y"]))) == ["lstm_Y", "second_Y"]


def test_half_precision_and_dequantized_weights() -> None:
    arrays = {name: value.astype(np.float16) for name, value in random_arrays(4, 3).items()}
    assert from_onnx(model_of([lstm_node(arrays)], arrays, ["lstm_Y"])).weight("l0.W_ii").dtype is torch.float16
    arrays = random_arrays(4, 3)
    whole = (arrays["W"] * 100).astype(np.int8)
    scale = helper.make_node("DequantizeLinear", ["whole", "scale"], ["W"])
    constants = {"whole": whole, "scale": np.float32(0.01), "R": arrays["R"], "B": arrays["B"]}
    model = model_of([scale, lstm_node(arrays)], constants, ["lstm_Y"])
    model.opset_import[0].version, model.ir_version = 21, 10  # the first in which onnx's reference dequantizes
    ours = from_onnx(model)
    want = torch.from_numpy(whole[0, :3].astype(np.float32) * np.float32(0.01))
    assert torch.equal(ours.weight("l0.W_ii"), want)


def test_inputs_as_tensors() -> None:
    arrays = random_arrays(4, 3)
    model = model_of([lstm_node(arrays)], {}, ["lstm_Y"], inputs=["X", "W", "R", "B"])
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    assert torch.equal(from_onnx(model, inputs=tensors).weight("l0.W_ii"), tensors["W"][0, :3])


def test_initial_states_in_the_graph_are_warned_of() -> None:
    arrays = random_arrays(4, 3)
    lstm = lstm_node(arrays)
    lstm.input.extend(["", "h", "c"])
    spread = node("Expand", ["learned", "shape"], "h")
    states = {"learned": np.ones((1, 1, 3), np.float32), "c": np.zeros((1, 2, 3), np.float32)}
    model = model_of([spread, lstm], {**arrays, **states}, ["lstm_Y"], inputs=["X", "shape"])
    with pytest.warns(UserWarning, match="'lstm' begins with initial_h out of the graph, which are not zero"):
        from_onnx(model)
    quiet = model_of([spread, lstm], {**arrays, **states, "learned": np.zeros((1, 1, 3), np.float32)}, ["lstm_Y"])
    from_onnx(quiet)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"activations": ["Relu", "Tanh", "Tanh"]}, r"'lstm' has activations=\['Relu', 'Tanh', 'Tanh'\], and not"),
        ({"clip": 3.0}, r"clips its gates \(clip=3.0\)"),
        ({"input_forget": 1}, r"couples its input and forget gates \(input_forget=1\)"),
        ({"hidden_size": 5}, "says hidden_size=5, and its R is for 3 units"),
        ({"hidden_size": None}, "does not say its hidden_size"),
        ({"direction": "sideways"}, "has direction='sideways': expected forward, reverse or bidirectional"),
        ({"direction": "reverse"}, "reads only in reverse.*With flipped=True"),
        ({"swish": 1}, "has attributes that are not known here: swish"),
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


def test_weights_computed_at_run_time_fail() -> None:
    arrays = random_arrays(4, 3)
    others = {name: value for name, value in arrays.items() if name != "W"}
    given = model_of([node("Relu", ["V"], "W"), lstm_node(arrays)], others, ["lstm_Y"], inputs=["X", "V"])
    with pytest.raises(
        ArgumentError, match="W of the LSTM node 'lstm' is not there: 'W' is computed at run time, from 'V'"
    ):
        from_onnx(given)
    assert (from_onnx(given, inputs={"V": arrays["W"]}).weight("l0.W_ii") >= 0).all()
    drawn = node("RandomNormal", [], "W", shape=[1, 12, 4])
    with pytest.raises(ArgumentError, match="computed at run time, from RandomNormal"):
        from_onnx(model_of([drawn, lstm_node(arrays)], others, ["lstm_Y"]))
    broken = node("Reshape", ["V", "shape"], "W")
    with pytest.raises(ArgumentError, match="'W' can't be computed"):
        from_onnx(
            model_of([broken, lstm_node(arrays)], {**others, "V": arrays["W"], "shape": np.array([5])}, ["lstm_Y"])
        )


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


def test_several_none_and_unknown_fail() -> None:
    model = stack(1, [node("Squeeze", ["a_Y", "axis"], "s"), node("Relu", ["s"], "J")])
    with pytest.raises(
        ArgumentError, match=r"(?s)this ONNX model holds 2 LSTMs.*'b': LSTM\(3, 3\).*Choose one with name="
    ):
        from_onnx(model)
    with pytest.raises(NameUnknownError, match="no LSTM 'c': this ONNX model holds 2 LSTMs"):
        from_onnx(model, "c")
    quantized = helper.make_node("DynamicQuantizeLSTM", ["X", "W", "R"], ["Y"], name="q", domain="com.microsoft")
    with pytest.raises(NameUnknownError, match="(?s)holds no LSTMs.*'q' is none: it is of type DynamicQuantizeLSTM"):
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
        (b"", "model.onnx is no ONNX model: it has no graph"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            from_onnx(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_onnx(tmp_path / "none.onnx")


def test_data_beside_that_is_missing_or_elsewhere_fails(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(one_node(), path, save_as_external_data=True, location="data", size_threshold=0)
    unread = onnx.load(path, load_external_data=False)
    with pytest.raises(FileFormatError, match="the data of 'W' lies in another file: give the path of the model"):
        from_onnx(unread)
    (tmp_path / "data").rename(tmp_path.parent / "elsewhere")
    with pytest.raises(FileFormatError, match="can't be read as an ONNX model"):
        from_onnx(path)
    unread.graph.initializer[0].external_data[0].value = "../elsewhere"
    onnx.save(unread, path)
    with pytest.raises(FileFormatError, match="can't be read as an ONNX model"):  # onnx refuses paths that lead out
        from_onnx(path)


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"from_onnx needs onnx: pip install 'hiddenstate\[onnx\]'"):
        from_onnx("model.onnx")
