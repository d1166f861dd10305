"""Unchanged models with torch's LSTMs, and no given sizes: the inputs that the file accepts, or the warning."""

import re
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ExportError
from hiddenstate.interop.onnx.export import _warn_of_fixed
from support import TORCH, assert_close

# torch's exporter warns about what torch's own layer does meanwhile
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes? self:UserWarning")


class Doubling(nn.LSTM):
    """A subclass that `hs.convert` leaves unchanged."""

    forward: Any = lambda self, x, hx=None: nn.LSTM.forward(self, x * 2, hx)


class Scores(nn.Module):
    def __init__(self, kind: type[nn.Module] = nn.LSTM, **options: Any) -> None:
        super().__init__()
        self.rnn = kind(4, 3, **options)
        self.head = nn.Linear(6 if options.get("bidirectional") else 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(x)[0])
        return out


class Mean(nn.Module):
    """The mean over the unmasked steps, so that two inputs share sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = hs.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:
        weights = mask.to(x.dtype)[..., None]
        total: Tensor = (self.rnn(x)[0] * weights).sum(1) / weights.sum(1)
        return total


class SevenSteps(nn.Module):
    """A model that accepts only seven steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 3)
        self.shift = nn.Parameter(torch.randn(7, 1, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rnn(x)[0] + self.shift
        return out


def run(path: Path, *inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    (out,) = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    return torch.as_tensor(out)


def shapes(path: Path) -> list[list[int | str]]:
    graph = onnx.load(path).graph
    values = (*graph.input, *graph.output)
    return [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]


@pytest.mark.parametrize(
    "options",
    [{"batch_first": True, "bidirectional": True}, pytest.param({"batch_first": False}, marks=pytest.mark.slow)],
)
def test_a_model_that_was_not_converted_takes_any_batch_and_time(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, path = Scores(**options), tmp_path / "model.onnx"
    hs.export_onnx(model, path, args=(torch.randn(3, 7, 4),))
    assert type(model.rnn) is nn.LSTM
    assert [[type(size) for size in shape] for shape in shapes(path)] == [[str, str, int]] * 2
    with torch.no_grad():
        for sizes in ((2, 5), (1, 1), (40, 800)):
            x = torch.randn(*sizes, 4)
            assert_close(run(path, x), model(x))


@pytest.mark.slow
def test_sizes_with_names_are_declared_as_they_are(tmp_path: Path) -> None:
    model, path = Scores(batch_first=False), tmp_path / "model.onnx"
    hs.export_onnx(model, path, (torch.randn(7, 3, 4),), dynamic_shapes=({0: "T", 1: "N"},))
    assert shapes(path) == [["T", "N", 4], ["T", "N", 5]]
    hs.export_onnx(model, path, (torch.randn(7, 3, 4),), dynamic_shapes={})
    assert shapes(path) == [[7, 3, 4], [7, 3, 5]]


def test_inputs_share_their_sizes_also_by_name(tmp_path: Path) -> None:
    model, path = Mean(), tmp_path / "model.onnx"
    hs.export_onnx(model, path, (torch.randn(3, 7, 4),), {"mask": torch.ones(3, 7, dtype=torch.bool)})
    x, mask = torch.randn(2, 9, 4), torch.arange(9)[None] < torch.tensor([[9], [4]])
    with torch.no_grad():
        assert_close(run(path, x, mask), model(x, mask=mask))


@pytest.mark.slow
def test_what_can_not_be_converted_is_written_for_the_examples_sizes_and_said(tmp_path: Path) -> None:
    model, path = Scores(Doubling, batch_first=True), tmp_path / "model.onnx"
    x = torch.randn(3, 7, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hs.export_onnx(model, path, (x,))
    with torch.no_grad():
        assert_close(run(path, x), model(x))
    if shapes(path) != [[3, 7, 4], [3, 7, 5]]:  # newer versions of torch export it with open axes
        other = torch.randn(2, 9, 4)
        with torch.no_grad():
            assert_close(run(path, other), model(other))
        return
    said = r"only inputs of the example's sizes.*hs\.convert.*'rnn': a subclass"
    assert any(re.search(said, str(one.message)) for one in caught)
    with pytest.raises(ExportError, match=r"hs\.convert\(model\).*'rnn': a subclass"):
        hs.export_onnx(model, path, (x,), dynamic_shapes=({0: "N", 1: "T"},))


@pytest.mark.slow
def test_a_model_of_one_length_is_written_for_it_and_said(tmp_path: Path) -> None:
    model, path = SevenSteps(), tmp_path / "model.onnx"
    # torch 2.8 fixes the length by itself and says nothing.
    said = "only size 7 on axis 0 of 'x', since the model fails on others"
    warned = pytest.warns(UserWarning, match=said) if TORCH > (2, 8) else nullcontext()
    with warned:
        hs.export_onnx(model, path, (torch.randn(7, 3, 4),))
    if TORCH > (2, 8):
        assert [shape[0] for shape in shapes(path)] == [7, 7]
        assert isinstance(shapes(path)[0][1], str)
    for rows in (3, 5) if TORCH > (2, 8) else (3,):
        x = torch.randn(7, rows, 4)
        with torch.no_grad():
            assert_close(run(path, x), model(x))


class WithState(nn.Module):
    """A model whose caller carries the state, for chunks ``[N, T, C]`` or, as a step, ``[N, C]``."""

    def __init__(self, kind: Any, layers: int) -> None:
        super().__init__()
        self.rnn, self.head = kind(4, 3, num_layers=layers, batch_first=True), nn.Linear(3, 5)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, new = self.rnn(x if x.dim() == 3 else x[:, None], state if len(state) > 1 else state[0])
        out = self.head(out if x.dim() == 3 else out[:, 0])
        return out, *((new,) if isinstance(new, Tensor) else new)


@pytest.mark.skipif(TORCH <= (2, 8), reason="torch 2.8 fixes some of these sizes by itself")
@pytest.mark.parametrize(
    ("kind", "layers", "step"),
    [
        (nn.LSTM, 2, True),
        pytest.param(hs.LSTM, 1, False, marks=pytest.mark.slow),
        pytest.param(hs.GRU, 2, False, marks=pytest.mark.slow),
    ],
)
def test_the_batch_of_a_state_is_dynamic_and_its_layers_are_not(
    kind: Any, layers: int, step: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, path = WithState(kind, layers), tmp_path / "model.onnx"

    def example(N: int, T: int) -> list[Tensor]:
        x = torch.randn(N, 4) if step else torch.randn(N, T, 4)
        return [x, *(torch.randn(layers, N, 3) for _ in range(1 if kind is hs.GRU else 2))]

    with pytest.warns(UserWarning, match="size 4 on axis 1 of 'x'") if step else warnings.catch_warnings():
        hs.export_onnx(model, path, tuple(example(2, 7)))
    first, *states = shapes(path)[: 2 if kind is hs.GRU else 3]
    assert [isinstance(size, str) for size in first] == ([True, False] if step else [True, True, False])
    assert states == [[layers, first[0], 3]] * len(states)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for sizes in ((2, 7), (1, 1), (5, 30)):
        inputs = example(*sizes)
        names = [value.name for value in session.get_inputs()]
        outputs = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
        with torch.no_grad():
            for got, want in zip(outputs, model(*inputs), strict=True):
                assert_close(torch.as_tensor(got), want)


def test_an_example_of_one_row_is_warned_of_where_torch_fixes_it() -> None:
    dims = [SimpleNamespace(dim_value=size) for size in (1, 0, 4)]
    tensor_type = SimpleNamespace(shape=SimpleNamespace(dim=dims))
    x = SimpleNamespace(name="x", type=SimpleNamespace(tensor_type=tensor_type))
    model = SimpleNamespace(graph=SimpleNamespace(input=[x]))
    with pytest.warns(UserWarning, match="only size 1 on axis 0 of 'x'"):
        _warn_of_fixed(model, [])


def test_edits_of_torchs_lstms_are_refused_too(tmp_path: Path) -> None:
    model = Scores()
    with hs.accelerate(), hs.edit(model, hs.zero("rnn.l0.f")), pytest.raises(ArgumentError, match="edits are active"):
        hs.export_onnx(model, tmp_path / "model.onnx", (torch.randn(7, 3, 4),))
