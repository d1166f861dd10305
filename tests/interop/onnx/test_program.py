"""Models exported by torch: what remains of our layers in the graph, and what it can't export."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ExportError, MissingDependencyError
from hiddenstate.interop.onnx.check import ExampleCall
from hiddenstate.interop.onnx.export import export_program


class Model(nn.Module):
    """Enough units that the exporter leaves weights in torch's order by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(16, 64, 2, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.lstm(x, lengths=lengths)[0].relu()  # type: ignore[no-any-return]


def given(*args: Any, dynamic_shapes: Any = None) -> ExampleCall:
    return ExampleCall(args, {}, dynamic_shapes, None, None)


@pytest.fixture(scope="module")
def program() -> Any:
    open_axes = {"x": {0: "T", 1: "N"}, "lengths": {0: "N"}}
    call = given(torch.randn(6, 3, 16), torch.tensor([6, 0, 2]), dynamic_shapes=open_axes)
    return export_program(Model().eval(), call, None)


def test_weights_are_in_the_operator_s_order_in_the_file(program: Any) -> None:
    constants = {value.name for value in program.graph.initializer}
    operators = [node for node in program.graph.node if node.op_type == "LSTM"]
    assert len(operators) == 2
    assert all(name in constants for node in operators for name in node.input[1:4])
    assert not any(name in constants for node in operators for name in node.input[4:7])


def test_a_file_says_nothing_of_the_machine_that_wrote_it(program: Any) -> None:
    text = program.SerializeToString()
    for module in (__file__, torch.__file__, hs.__file__):
        assert str(Path(module).parent).encode() not in text
    assert b"aten.relu" in text  # it still says what each node was


def test_an_opset_that_the_exporter_does_not_reach_is_refused() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.pad(x, (1, 1)) * 2

    call = given(torch.randn(2, 3))
    versions = [entry.version for entry in export_program(Twice().eval(), call, 21).opset_import if not entry.domain]
    assert versions == [21]
    # Older versions of torch fail on the way there.
    with pytest.raises(ExportError, match="gave a model of opset 18 instead of 9|can't export the module"):
        export_program(Twice().eval(), call, 9)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingDependencyError, match=r"needs onnxscript: pip install 'hiddenstate\[onnx\]'"):
        export_program(nn.Identity(), given(torch.zeros(1)), None)


def test_a_reason_that_torch_cuts_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = ValueError("\n\nThe error above occurred when calling torch.export.export.")
    cut.__context__ = ValueError("the reason\n\nand how to find more")
    error = torch.onnx.OnnxExporterError()
    error.__cause__ = cut
    monkeypatch.setattr(torch.onnx, "export", mock.Mock(side_effect=error))
    with pytest.raises(ExportError, match="can't export the module: the reason$"):
        export_program(nn.Identity(), given(torch.zeros(1)), None)


class Named(nn.Module):
    def forward(self, x: Tensor, options: dict[str, Any], *, shift: Tensor) -> list[Any]:
        return [x * options["scale"] + shift, None, {"shift": shift}]


def test_tensors_are_found_wherever_they_are_and_others_put_in_their_place() -> None:
    call = ExampleCall((torch.ones(2), {"scale": 3}), {"shift": torch.zeros(2)}, None, None, None)
    assert [value.tolist() for value in call.tensors()] == [[1, 1], [0, 0]]
    other = [torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5])]
    assert [value.tolist() for value in call.call(Named(), other)] == [[3.5, 6.5], [0.5, 0.5]]
