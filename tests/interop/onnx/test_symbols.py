"""torch.onnx.export itself, with both of its exporters: our layer becomes ONNX's operator."""

import io
from collections import Counter
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from support import assert_all_close, thinned

pytestmark = [
    # torch 2.13's warning about itself
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name:UserWarning"),
    # the older exporter warns that it is old, and that sizes in our checks are not traced
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
EXPORTERS = pytest.mark.parametrize("dynamo", [True, False])


class Model(nn.Module):
    """An LSTM with its state, and lengths of rows."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 3, 2, **options)

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, (h_n, c_n) = self.lstm(x, (h, c), lengths=lengths, reset=reset)
        return out.relu(), h_n, c_n


class Resetting(Model):
    """The same, starting each sequence from the given state."""

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, (h_n, c_n) = self.lstm(x, reset=reset, reset_to=(h, c))
        return out.relu(), h_n, c_n


def call(T: int, N: int, D: int, *, ragged: bool) -> tuple[Tensor, ...]:
    given = torch.randn(T, N, 4), torch.randn(2 * D, N, 3), torch.randn(2 * D, N, 3)
    lengths = torch.randint(T + 1, (N,))
    lengths[0] = 0
    return (*given, lengths) if ragged else given


def exported(model: nn.Module, given: tuple[Tensor, ...], *, dynamo: bool) -> bytes:
    """The model, with dynamic time steps T and rows N."""
    names = ["x", "h", "c", "lengths"][: len(given)]
    axes = {"x": {0: "T", 1: "N"}, "h": {1: "N"}, "c": {1: "N"}, "lengths": {0: "N"}}
    open_axes = {name: axes[name] for name in names}
    if dynamo:
        program = torch.onnx.export(model, given, dynamo=True, dynamic_shapes=open_axes, verbose=False)
        assert program is not None
        serialized: bytes = program.model_proto.SerializeToString()
        return serialized
    file = io.BytesIO()
    torch.onnx.export(model, given, file, dynamo=False, input_names=names, dynamic_axes=open_axes)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(
    ("options", "ragged", "dynamo"), thinned([{"bidirectional": True}, {"bias": False}], [False, True], [True, False])
)
def test_the_operator_gives_our_numbers(options: dict[str, Any], ragged: bool, dynamo: bool) -> None:
    model, D = Model(**options).eval(), 1 + options.get("bidirectional", False)
    file = exported(model, call(6, 3, D, ragged=ragged), dynamo=dynamo)
    found = Counter(node.op_type for node in onnx.load_from_string(file).graph.node)
    assert found["LSTM"] == 2
    assert not {"Loop", "Scan", "Split", "TopK", "Sigmoid"} & set(found)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for T, N in ((6, 3), (1, 1), (9, 5)):
        given = call(T, N, D, ragged=ragged)
        inputs = {value.name: x.numpy() for value, x in zip(session.get_inputs(), given, strict=True)}
        with torch.no_grad():
            assert_all_close([torch.as_tensor(value) for value in session.run(None, inputs)], model(*given))


@EXPORTERS
def test_a_forced_backend_changes_nothing(dynamo: bool) -> None:
    with hs.backend("reference"):
        file = exported(Model().eval(), call(6, 3, 1, ragged=False), dynamo=dynamo)
    assert Counter(node.op_type for node in onnx.load_from_string(file).graph.node)["LSTM"] == 2


def refusal(model: nn.Module, given: tuple[Tensor, ...], *, dynamo: bool) -> str:
    """The reason why it is not exported."""
    with pytest.raises((ArgumentError, torch.onnx.OnnxExporterError)) as raised:
        torch.onnx.export(model, given, io.BytesIO() if not dynamo else None, dynamo=dynamo, verbose=False)  # type: ignore[arg-type]
    return str(raised.value)


@pytest.mark.parametrize("dynamo", [pytest.param(True, marks=pytest.mark.slow), False])
def test_what_has_no_operator_is_refused_by_name(dynamo: bool) -> None:
    given, model = call(5, 2, 1, ragged=False), Model().eval()
    starts = torch.zeros(5, 2, dtype=torch.bool)
    assert "reset= can't be exported" in refusal(model, (*given, torch.tensor([5, 2]), starts), dynamo=dynamo)
    resetting = (*given, torch.tensor([5, 2]), starts)
    assert "reset= can't be exported" in refusal(Resetting().eval(), resetting, dynamo=dynamo)
    with model.lstm.edit(hs.zero("l0.f")):
        assert "edits can't be exported" in refusal(model, given, dynamo=dynamo)
    with torch.autocast("cpu"):
        assert "autocast can't be exported" in refusal(model, given, dynamo=dynamo)
    projected = Model(proj_size=2).eval()
    assert "no projection" in refusal(projected, (given[0], given[1][..., :2], given[2]), dynamo=dynamo)


@pytest.mark.filterwarnings("ignore:Exporting a model while it is in training mode")
def test_dropout_in_training_mode_is_refused() -> None:
    assert "call .eval() first" in refusal(Model(dropout=0.5), call(5, 2, 1, ragged=False), dynamo=True)


def test_plain_traces_and_exports_do_not_meet_it() -> None:
    model, given = Model().eval(), call(5, 2, 1, ragged=False)
    with torch.no_grad():
        assert_all_close(torch.jit.trace(model, given)(*given), model(*given))
