"""A file with different numbers is detected, whatever the difference."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from hiddenstate.errors import ExportError
from hiddenstate.interop.onnx.check import CheckedRun, check_file

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file whose output equals its input."""
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N"]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "same.onnx")
    return tmp_path / "same.onnx"


def run(given: list[float], *wanted: Tensor) -> CheckedRun:
    return CheckedRun({"x": torch.tensor(given)}, list(wanted), "some numbers")


def test_the_same_numbers_pass(path: Path) -> None:
    same = [[1.0, NAN, INF, -INF], [], [1000.0, 1e-9]]
    runs = [run(numbers, torch.tensor(numbers)) for numbers in same]
    check_file(path, [*runs, run([1000.0], torch.tensor([1000.05]))], tolerance=1e-4)


@pytest.mark.parametrize(
    ("given", "wanted", "reason"),
    [
        ([1.0], torch.tensor([1.001]), "y of the file on some numbers differs by 0.001, with values up to 1:"),
        ([1000.0], torch.tensor([1001.0]), "differs by 1, with values up to 1e[+]03"),
        ([NAN], torch.tensor([0.0]), "differs by inf"),
        ([0.0, 1.0], torch.tensor([NAN, 1.0]), "differs by inf"),
        ([INF], torch.tensor([-INF]), "differs by inf"),
        ([1.0], torch.tensor([1.0, 1.0]), r"is torch.float32 \[1\], expected torch.float32 \[2\]"),
        ([1.0], torch.tensor([1]), r"is torch.float32 \[1\], expected torch.int64 \[1\]"),
    ],
)
def test_others_are_found(path: Path, given: list[float], wanted: Tensor, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        check_file(path, [run([2.0], torch.tensor([2.0])), run(given, wanted)], tolerance=1e-4)


def test_outputs_are_counted(path: Path) -> None:
    with pytest.raises(ExportError, match="has 1 outputs, y, expected 2"):
        check_file(path, [run([1.0], torch.tensor([1.0]), torch.tensor([1.0]))], tolerance=1e-4)


def test_what_onnxruntime_does_not_take_is_told_in_its_words(path: Path) -> None:
    with pytest.raises(ExportError, match="can't run the file on some numbers: .*missing from input feed"):
        check_file(path, [CheckedRun({"z": torch.zeros(1)}, [torch.zeros(1)], "some numbers")], tolerance=1e-4)
    path.write_bytes(b"no model")
    with pytest.raises(ExportError, match="onnxruntime can't load the file"):
        check_file(path, [], tolerance=1e-4)


def test_an_output_of_other_sizes_than_declared_is_found(tmp_path: Path) -> None:
    takes, gives = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size])
        for name, size in (("x", "N"), ("y", 3))
    )
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "lies", [takes], [gives])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "lies.onnx")
    check_file(tmp_path / "lies.onnx", [run([1.0, 2.0, 3.0], torch.tensor([1.0, 2.0, 3.0]))], tolerance=1e-4)
    with pytest.raises(ExportError, match=r"y of the file on some numbers is \[2\], but the file declares \[3\]"):
        check_file(tmp_path / "lies.onnx", [run([1.0, 2.0], torch.tensor([1.0, 2.0]))], tolerance=1e-4)
