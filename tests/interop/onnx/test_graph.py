"""Weights in every place where a graph may have them, and missing weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.interop.onnx.importer import from_onnx
from interop.onnx.onnx_models import lstm_node, model_of, node, one_node, random_arrays


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


def test_half_precision_and_dequantized_weights() -> None:
    arrays = {name: value.astype(np.float16) for name, value in random_arrays(4, 3).items()}
    assert from_onnx(model_of([lstm_node(arrays)], arrays, ["lstm_Y"])).weight("l0.W_ii").dtype is torch.float16
    arrays = random_arrays(4, 3)
    whole = (arrays["W"] * 100).astype(np.int8)
    scale = helper.make_node("DequantizeLinear", ["whole", "scale"], ["W"])
    constants = {"whole": whole, "scale": np.float32(0.01), "R": arrays["R"], "B": arrays["B"]}
    model = model_of([scale, lstm_node(arrays)], constants, ["lstm_Y"])
    model.opset_import[0].version, model.ir_version = 21, 10  # the first opset in which onnx's reference dequantizes
    ours = from_onnx(model)
    want = torch.from_numpy(whole[0, :3].astype(np.float32) * np.float32(0.01))
    assert torch.equal(ours.weight("l0.W_ii"), want)


def test_inputs_as_tensors() -> None:
    arrays = random_arrays(4, 3)
    model = model_of([lstm_node(arrays)], {}, ["lstm_Y"], inputs=["X", "W", "R", "B"])
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    assert torch.equal(from_onnx(model, inputs=tensors).weight("l0.W_ii"), tensors["W"][0, :3])


def test_weights_computed_at_run_time_fail() -> None:
    arrays = random_arrays(4, 3)
    others = {name: value for name, value in arrays.items() if name != "W"}
    given = model_of([node("Relu", ["V"], "W"), lstm_node(arrays)], others, ["lstm_Y"], inputs=["X", "V"])
    with pytest.raises(
        ArgumentError, match="W of the LSTM node 'lstm' is not a constant: 'W' is computed at run time, from V"
    ):
        from_onnx(given)
    assert (from_onnx(given, inputs={"V": arrays["W"]}).weight("l0.W_ii") >= 0).all()
    with pytest.raises(
        ArgumentError, match="'W' is given at run time. Values of the graph's inputs can be given with inputs="
    ):
        from_onnx(model_of([lstm_node(arrays)], others, ["lstm_Y"], inputs=["X", "W"]))
    drawn = node("RandomNormal", [], "W", shape=[1, 12, 4])
    with pytest.raises(ArgumentError, match="computed at run time, from RandomNormal"):
        from_onnx(model_of([drawn, lstm_node(arrays)], others, ["lstm_Y"]))
    broken = node("Reshape", ["V", "shape"], "W")
    with pytest.raises(ArgumentError, match="'W' can't be computed"):
        from_onnx(
            model_of([broken, lstm_node(arrays)], {**others, "V": arrays["W"], "shape": np.array([5])}, ["lstm_Y"])
        )


def test_data_beside_that_is_missing_or_elsewhere_fails(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(one_node(), path, save_as_external_data=True, location="data", size_threshold=0)
    unread = onnx.load(path, load_external_data=False)
    with pytest.raises(FileFormatError, match="the data of 'W' is in a separate file: give the path of the model"):
        from_onnx(unread)
    (tmp_path / "data").rename(tmp_path.parent / "elsewhere")
    with pytest.raises(FileFormatError, match="can't be read as an ONNX model"):
        from_onnx(path)
    unread.graph.initializer[0].external_data[0].value = "../elsewhere"
    onnx.save(unread, path)
    with pytest.raises(FileFormatError, match="can't be read as an ONNX model"):  # onnx refuses paths that lead out
        from_onnx(path)
