"""Files run in another runtime, compared with torch's own layer or the module; rejected exports leave no file."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ExportError, MissingDependencyError
from hiddenstate.interop.layouts import ONNX, layout_for
from hiddenstate.interop.onnx import export, lstm
from support import SIZES, TORCH, assert_all_close, assert_close, pair, random_input, random_state

OPTIONS = st.fixed_dictionaries(
    {
        "input_size": SIZES,
        "hidden_size": SIZES,
        "num_layers": st.integers(1, 3),
        "bias": st.booleans(),
        "batch_first": st.booleans(),
        "bidirectional": st.booleans(),
    }
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file to write; nothing else may remain in its folder."""
    yield tmp_path / "lstm.onnx"
    assert [file.name for file in tmp_path.iterdir()] in ([], ["lstm.onnx"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


def run(path: Path, *inputs: Tensor) -> list[Tensor]:
    """The results of onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    return [torch.as_tensor(value) for value in outputs]


def kinds(path: Path) -> Counter[str]:
    """The number of nodes for each operator."""
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def shapes(path: Path) -> dict[str, list[int | str]]:
    graph = onnx.load(path).graph
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


@torch.no_grad()
def row_by_row(theirs: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], lengths: Tensor) -> list[Tensor]:
    """torch's results for each row by itself, cut at its length: the truth for ragged batches."""
    time, batch = (1, 0) if theirs.batch_first else (0, 1)
    D = 2 if theirs.bidirectional else 1
    out = x.new_zeros(*x.shape[:2], D * theirs.hidden_size)
    h_n, c_n = (value.clone() for value in state)
    for row, length in enumerate(lengths.tolist()):
        if length:
            alone = x.narrow(batch, row, 1).narrow(time, 0, length)
            done, (h, c) = theirs(alone, (state[0][:, row : row + 1], state[1][:, row : row + 1]))
            out.narrow(batch, row, 1).narrow(time, 0, length).copy_(done)
            h_n[:, row : row + 1], c_n[:, row : row + 1] = h, c
    return [out, h_n, c_n]


@given(OPTIONS, st.integers(1, 7), st.integers(1, 5), st.integers(0, 999))
def test_a_sequence_is_what_torch_computes(folder: Path, options: dict[str, Any], T: int, N: int, seed: int) -> None:
    ours, theirs = pair(options, seed)
    hs.export_onnx(ours, folder / "sequence.onnx", check=False)
    x, state = random_input(ours, T, N), random_state(ours, N)
    with torch.no_grad():
        out, final = theirs(x, state)
    assert_all_close(run(folder / "sequence.onnx", x, *state), [out, *final])
    assert kinds(folder / "sequence.onnx")["LSTM"] == options["num_layers"]


@given(OPTIONS, st.integers(1, 9), st.integers(1, 6), st.integers(0, 999))
def test_a_ragged_sequence_is_each_row_alone(folder: Path, options: dict[str, Any], T: int, N: int, seed: int) -> None:
    ours, theirs = pair(options, seed)
    hs.export_onnx(ours, folder / "ragged.onnx", lengths=True, check=False)
    x, state, lengths = random_input(ours, T, N), random_state(ours, N), torch.randint(T + 1, (N,))
    assert_all_close(
        run(folder / "ragged.onnx", x, lengths, *state), row_by_row(theirs, x, state, lengths), f"lengths {lengths}"
    )


@given(OPTIONS, st.integers(1, 6), st.integers(1, 4), st.integers(0, 999))
def test_steps_one_after_the_other_are_the_whole_sequence(
    folder: Path, options: dict[str, Any], T: int, N: int, seed: int
) -> None:
    ours, theirs = pair({**options, "bidirectional": False}, seed)
    hs.export_onnx(ours, folder / "step.onnx", form="step", check=False)
    x, (h, c) = random_input(ours, T, N), random_state(ours, N)
    with torch.no_grad():
        out, final = theirs(x, (h, c))
    session = onnxruntime.InferenceSession(folder / "step.onnx", providers=["CPUExecutionProvider"])
    time = 1 if ours.batch_first else 0
    state, steps = [h.numpy(), c.numpy()], []
    for step in x.unbind(time):
        done, *state = session.run(None, {"x": step.numpy(), "h": state[0], "c": state[1]})
        steps.append(torch.from_numpy(done))
    assert_close(torch.stack(steps, time), out)
    assert_all_close([torch.from_numpy(value) for value in state], final)


@settings(max_examples=10)
@given(OPTIONS, st.booleans(), st.booleans(), st.integers(0, 999))
def test_what_is_right_passes_the_check(
    folder: Path, options: dict[str, Any], lengths: bool, states: bool, seed: int
) -> None:
    _, theirs = pair(options, seed)
    hs.export_onnx(theirs, folder / "checked.onnx", lengths=lengths, states=states)
    onnx.checker.check_model(onnx.load(folder / "checked.onnx"), full_check=True)


@pytest.mark.parametrize("opset", [14, 17, 21, 22, 24])
def test_opsets(path: Path, opset: int) -> None:
    lstm = hs.LSTM(4, 3, 2, bidirectional=True)
    if opset == 24 and [int(part) for part in onnxruntime.__version__.split(".")[:2]] < [1, 24]:
        with pytest.raises(ExportError, match="onnxruntime can't load the file: .*Unsupported model IR version"):
            hs.export_onnx(lstm, path, lengths=True, opset=opset)
        assert not path.exists()
        return
    hs.export_onnx(lstm, path, lengths=True, opset=opset)
    assert [imported.version for imported in onnx.load(path).opset_import] == [opset]


def test_what_goes_in_and_comes_out_is_named_and_told(path: Path) -> None:
    hs.export_onnx(hs.LSTM(4, 3, 2, bidirectional=True, batch_first=True), path, lengths=True)
    assert shapes(path) == {
        "x": ["N", "T", 4],
        "lengths": ["N"],
        "h0": [4, "N", 3],
        "c0": [4, "N", 3],
        "out": ["N", "T", 6],
        "h_n": [4, "N", 3],
        "c_n": [4, "N", 3],
    }
    model = onnx.load(path)
    assert (model.producer_name, model.producer_version) == ("hiddenstate", hs.__version__)
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["form"] == "sequence"
    assert facts["hidden_size"] == "3"


def test_without_states_a_sequence_begins_at_zero(path: Path) -> None:
    ours = hs.LSTM(4, 3, 2)
    hs.export_onnx(ours, path, states=False)
    assert list(shapes(path)) == ["x", "out"]
    x = torch.randn(5, 2, 4)
    assert_close(run(path, x)[0], ours.to_torch()(x)[0])


def test_the_mode_stays_and_dropout_goes(path: Path) -> None:
    ours = hs.LSTM(4, 3, 2, dropout=0.5)
    hs.export_onnx(ours, path)
    assert ours.training
    assert "Dropout" not in kinds(path)
    x, state = torch.randn(5, 2, 4), random_state(ours, 2)
    assert_close(run(path, x, *state)[0], ours.eval()(x, state)[0])


def test_random_numbers_and_gradients_are_left_alone(path: Path) -> None:
    ours = hs.LSTM(4, 3)
    before = torch.get_rng_state()
    hs.export_onnx(ours, path)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in ours.parameters())


def test_parametrized_weights_are_written_as_they_are_now(path: Path) -> None:
    ours = hs.LSTM(4, 3)
    parametrizations.weight_norm(ours, "weight_hh_l0")
    with torch.no_grad():
        ours.parametrizations.weight_hh_l0.original0.mul_(2)  # type: ignore[union-attr, operator]
    hs.export_onnx(ours, path)
    x, state = torch.randn(5, 2, 4), random_state(ours, 2)
    assert_close(run(path, x, *state)[0], ours(x, state)[0])


def test_float64_is_written_unchecked(path: Path) -> None:
    ours = hs.LSTM(4, 3, 2, dtype=torch.float64)
    with pytest.raises(DtypeError, match="only in float32"):
        hs.export_onnx(ours, path)
    hs.export_onnx(ours, path, check=False)
    x, (h, c) = random_input(ours, 5, 2), random_state(ours, 2)
    got = ReferenceEvaluator(str(path)).run(None, {"x": x.numpy(), "h0": h.numpy(), "c0": c.numpy()})
    out, final = ours(x, (h, c))
    assert_all_close([torch.from_numpy(value) for value in got], [out, *final])


# Rejected exports, and the reasons; nothing is written.

LAYER = hs.LSTM(4, 3)
REFUSED: list[tuple[nn.Module, dict[str, Any], type[Exception], str]] = [
    (hs.LSTM(4, 3, proj_size=2), {}, ArgumentError, "no projection"),
    (hs.LSTM(4, 3, bidirectional=True), {"form": "step"}, ArgumentError, "bidirectional"),
    (LAYER, {"form": "steps"}, ArgumentError, "unknown form 'steps'"),
    (LAYER, {"form": "step", "lengths": True}, ArgumentError, "apply to a sequence"),
    (LAYER, {"form": "step", "states": False}, ArgumentError, "apply to a sequence"),
    (LAYER, {"tolerance": -1.0}, ArgumentError, "tolerance must not be negative"),
    (LAYER, {"opset": 13}, ArgumentError, "opset must be in 14.."),
    (LAYER, {"opset": 999}, ArgumentError, "opset must be in 14.."),
    (LAYER, {"args": (torch.randn(5, 2, 4),)}, ArgumentError, "args= is for a model"),
    (LAYER, {"args": torch.randn(5, 2, 4)}, ArgumentError, "args= is for a model"),
    (LAYER, {"dynamic_shapes": ({0: "T"},)}, ArgumentError, "dynamic_shapes= is for a model"),
    (hs.LSTM(4, 3, dtype=torch.bfloat16), {}, DtypeError, "bfloat16, expected float32"),
    (hs.LSTM(4, 3, dtype=torch.float16), {"check": False}, DtypeError, "float16, expected float32"),
    (nn.Linear(4, 3), {"args": (torch.randn(2, 4),), "form": "step"}, ArgumentError, "calls no recurrent layer"),
    (nn.Linear(4, 3), {"args": (torch.randn(2, 4),), "lengths": True}, ArgumentError, "lengths= is only for an LSTM"),
    (nn.Linear(4, 3), {"args": torch.randn(2, 4)}, ArgumentTypeError, "args must be a tuple.*got Tensor"),
    (nn.Linear(4, 3), {}, ArgumentTypeError, "args must be a tuple.*got NoneType"),
]


@pytest.mark.parametrize(("module", "options", "error", "reason"), REFUSED)
def test_what_can_not_be_is_refused(
    path: Path, module: nn.Module, options: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        hs.export_onnx(module, path, **options)
    assert not path.exists()


def test_only_modules_are_exported(path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="takes a torch.nn.Module, got Sizes"):
        hs.export_onnx(hs.Sizes(4, 3), path)


def test_edits_and_autocast_are_refused(path: Path) -> None:
    ours, model = hs.LSTM(4, 3), Tagger()
    with ours.edit(hs.zero("l0.f")), pytest.raises(ArgumentError, match="edits are active"):
        hs.export_onnx(ours, path)
    with model.lstm.edit(hs.zero("l0.f", t=2)), pytest.raises(ArgumentError, match="edits are active"):
        hs.export_onnx(model, path, tagger_call())
    with torch.autocast("cpu"), pytest.raises(ArgumentError, match="autocast is on"):
        hs.export_onnx(ours, path)


class Doubled(hs.LSTM):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


def test_hooks_and_a_forward_of_its_own_are_refused(path: Path) -> None:
    pruned = hs.LSTM(4, 3)
    prune.l1_unstructured(pruned, "weight_hh_l0", 0.5)
    for module in (pruned, Doubled(4, 3)):
        with pytest.raises(ArgumentError, match="hooks or its own forward"):
            hs.export_onnx(module, path)
    prune.remove(pruned, "weight_hh_l0")
    hs.export_onnx(pruned, path)


def test_too_large_a_model_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_BYTES", 100)
    with pytest.raises(ArgumentError, match="432 bytes, more than the 100"):
        hs.export_onnx(hs.LSTM(4, 3), path)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"needs {package}: pip install 'hiddenstate\[onnx\]'"):
        hs.export_onnx(hs.LSTM(4, 3), path)
    if package == "onnxruntime":
        hs.export_onnx(hs.LSTM(4, 3), path, check=False)
        assert path.exists()


@pytest.mark.parametrize("options", [{}, {"form": "step"}, {"lengths": True}, {"states": False}])
def test_a_file_of_other_numbers_is_not_left(
    path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    path.write_bytes(b"what was there before")
    monkeypatch.setattr(lstm, "layout_for", lambda *_: replace(ONNX, gates=("i", "f", "o", "g")))
    with pytest.raises(ExportError, match="differs by .* more than the tolerance, 0.0001 times"):
        hs.export_onnx(hs.LSTM(4, 3), path, **options)
    assert path.read_bytes() == b"what was there before"
    hs.export_onnx(hs.LSTM(4, 3), path, tolerance=10, **options)
    assert path.read_bytes() != b"what was there before"


@pytest.mark.parametrize("kind", [hs.LSTM, hs.GRU])
def test_int8_weights_are_named_as_a_reason(path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    torch.manual_seed(0)
    small = kind(64, 128, num_layers=2).quantize()
    with pytest.raises(ExportError, match=rf"differs .* computes in int8, .* {kind.__name__.lower()}.dequantize\(\)"):
        hs.export_onnx(small, path)
    assert not path.exists()
    hs.export_onnx(small.dequantize(), path)
    hs.export_onnx(small, path, tolerance=0.05)
    wrong = replace(layout_for(ONNX, kind.__name__), gates=small.sizes.kind.gate_names[::-1])
    monkeypatch.setattr(lstm, "layout_for", lambda *_: wrong)
    with pytest.raises(ExportError, match="Nothing was written$"):
        hs.export_onnx(small.dequantize(), path)


def test_rows_without_steps_are_part_of_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without the node that gives such rows their own state
    real = lstm._OnnxGraph.node

    def node(self: Any, kind: str, inputs: Any, *outputs: str, **attributes: Any) -> str:
        kind, inputs = ("Identity", inputs[2:]) if kind == "Where" else (kind, inputs)
        return real(self, kind, inputs, *outputs, **attributes)

    monkeypatch.setattr(lstm._OnnxGraph, "node", node)
    with pytest.raises(ExportError, match="h_n of the file on 5 time steps of 3 rows differs"):
        hs.export_onnx(hs.LSTM(4, 3), path, lengths=True)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        hs.export_onnx(hs.LSTM(4, 3), tmp_path / "none" / "lstm.onnx")


# Models around an LSTM, through torch.onnx.export.


class Tagger(nn.Module):
    """Scores for the tags of ragged sentences, with enough units that the exporter leaves weights in torch's order."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.lstm = hs.LSTM(16, 64, 2, bidirectional=True, batch_first=True, dropout=0.5)
        self.tags = nn.Linear(128, 7)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        out, _ = self.lstm(self.embedding(tokens), lengths=lengths)
        return self.tags(out).log_softmax(-1)  # type: ignore[no-any-return]


def tagger_call() -> tuple[Tensor, Tensor]:
    return torch.randint(50, (3, 8)), torch.tensor([8, 0, 5])


class Forecaster(nn.Module):
    """The next values of a series, and the state, a nested input and output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(3, 8, 2)
        self.next = nn.Linear(8, 3)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor], scale: float = 1.0) -> dict[str, Any]:
        out, state = self.lstm(x, state)
        return {"next": self.next(out[-1]) * scale, "state": state}


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = hs.LSTMCell(4, 3)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.cell(x, (h, c))  # type: ignore[no-any-return]


RAGGED = {"tokens": {0: "N", 1: "T"}, "lengths": {0: "N"}}


def test_a_tagger_is_exported_with_its_sizes_open(path: Path) -> None:
    model = Tagger()
    hs.export_onnx(model, path, tagger_call(), dynamic_shapes=RAGGED, output_names=["scores"])
    assert model.training
    assert model.lstm.training
    assert shapes(path) == {"tokens": ["N", "T"], "lengths": ["N"], "scores": ["N", "T", 7]}
    found = kinds(path)
    assert found["LSTM"] == 2
    assert not {"Split", "Loop", "Scan", "Sigmoid", "Dropout"} & set(found)
    tokens, lengths = torch.randint(50, (5, 13)), torch.tensor([0, 13, 1, 4, 0])
    assert_close(run(path, tokens, lengths)[0], model.eval()(tokens, lengths))


@pytest.mark.filterwarnings("ignore:# ONNX model has different number of inputs")  # the scale is not in the model
def test_a_forecaster_is_exported_with_its_state(path: Path) -> None:
    model, state = Forecaster(), (torch.randn(2, 2, 8), torch.randn(2, 2, 8))
    open_sizes = {"x": {0: "T", 1: "N"}, "state": ({1: "N"}, {1: "N"}), "scale": None}
    names = ["x", "h0", "c0"]
    hs.export_onnx(
        model, path, (torch.randn(6, 2, 3), state), {"scale": 2.0}, dynamic_shapes=open_sizes, input_names=names
    )
    x, h, c = torch.randn(4, 5, 3), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    want = model(x, (h, c), 2.0)
    assert_all_close(run(path, x, h, c), [want["next"], *want["state"]])
    assert [*shapes(path)] == [*names, "out.next", "out.state.0", "out.state.1"]


class Named(nn.Module):
    """Has a weight or an input called out, or results whose names are the same."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.lstm, self.what = hs.LSTM(4, 3), what
        self.out = nn.Parameter(torch.ones(3)) if what == "weight" else 1

    def forward(self, x: Tensor) -> Any:
        out = self.lstm(x)[0] * self.out
        results = {"same": {"a": {"b": out}, "a.b": out + 1}, "brackets": {"a[0]": out, "it's": out + 1}}
        return results.get(self.what, out)


@pytest.mark.parametrize(
    ("what", "names"),
    [("weight", None), ("input", None), ("same", None), ("brackets", ["out.a[0]", "out.it's"]), ("", ["out"])],
)
def test_results_whose_names_are_taken_are_exported(what: str, names: list[str] | None, path: Path) -> None:
    x = torch.randn(5, 2, 4)
    hs.export_onnx(Named(what), path, (x,), input_names=["out"] if what == "input" else None)
    assert names is None or [*shapes(path)][1:] == names


def test_a_cell_is_exported(path: Path) -> None:
    model = Cell()
    hs.export_onnx(
        model, path, (torch.randn(5, 4), torch.randn(5, 3), torch.randn(5, 3)), dynamic_shapes=({0: "N"},) * 3
    )
    given = torch.randn(2, 4), torch.randn(2, 3), torch.randn(2, 3)
    assert_all_close(run(path, *given), model(*given))


class Reset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 3)

    def forward(self, x: Tensor, starts: Tensor) -> Tensor:
        return self.lstm(x, reset=starts)[0]  # type: ignore[no-any-return]


class Traced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm.trace(x)["l0.f"]


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x  # a choice that depends on the data


class Fixed(nn.Module):
    """A model that only accepts the sizes it was made for, but raises where torch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            assert len(x) == 5, "five steps"
        return self.lstm(x)[0]  # type: ignore[no-any-return]


class Lying(Fixed):
    """A model that gives different results when torch exports it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(-x if torch.compiler.is_compiling() else x)[0]  # type: ignore[no-any-return]


class Scored(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = hs.LSTM(64, 128), nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])  # type: ignore[no-any-return]


@pytest.mark.slow
def test_int8_weights_in_a_model_are_named_as_a_reason(path: Path) -> None:
    torch.manual_seed(0)
    small, x = hs.convert(Scored(), weights="int8"), torch.randn(5, 2, 64)
    with pytest.raises(ExportError, match=r"differs .* computes in int8, .* hs\.convert_back\(model\)"):
        hs.export_onnx(small, path, (x,), tolerance=1e-6)
    hs.export_onnx(hs.convert_back(small), path, (x,), tolerance=1e-6)
    with pytest.raises(ExportError, match="Nothing was written$"):
        hs.export_onnx(Lying(), path, (X,))


X = torch.randn(5, 2, 4)


@pytest.mark.parametrize(
    ("module", "args", "error", "reason"),
    [
        (Reset(), (X, torch.zeros(5, 2, dtype=torch.bool)), ArgumentError, "reset= can't be exported"),
        (Traced(), (X,), ArgumentError, "traces can't be exported"),
        (nn.Sequential(hs.LSTM(4, 3, proj_size=2)), (X,), ArgumentError, "no projection"),
        pytest.param(
            *(Broken(), (X,), ExportError, "torch.onnx.export can't export"),
            marks=pytest.mark.skipif(TORCH < (2, 9), reason="torch 2.8 exports a choice that depends on the data"),
        ),
        (Lying(), (X,), ExportError, "differs by"),
    ],
)
def test_models_that_can_not_be_are_refused(
    path: Path, module: nn.Module, args: tuple[Tensor, ...], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        hs.export_onnx(module, path, args)
    assert not path.exists()


def test_sizes_that_the_model_does_not_take_must_not_be_open(path: Path) -> None:
    with pytest.raises(ExportError, match="the module itself fails on inputs with T = 8.*five steps"):
        hs.export_onnx(Fixed(), path, (X,), dynamic_shapes=({0: "T"},))
    assert not path.exists()
    hs.export_onnx(Fixed(), path, (X,), dynamic_shapes=({1: "N"},))
    assert shapes(path)["x"] == [5, "N", 4]
