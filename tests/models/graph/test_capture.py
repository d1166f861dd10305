"""A module becomes a graph with its numbers, or is refused by the path of the part that can't be in one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ExportError, FileFormatError
from hiddenstate.models.graph import file as graph_file
from hiddenstate.models.graph.file import check_numbers, graph_of, run_graph, run_torch
from models.graph.random_modules import Random
from support import draws

X = torch.randn(2, 5, 4)


class Acts(nn.Module):
    """A policy that acts for one step a call, from zeros or from a state."""

    def __init__(self, cell: bool) -> None:
        super().__init__()
        self.cell, self.rnn = cell, nn.GRUCell(4, 3) if cell else nn.GRU(4, 3)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Any:  # [N, C]
        if self.cell:
            return self.rnn(x, h)
        return self.rnn(x[None], x.new_zeros(1, x.shape[0], 3) if h is None else 2 * h)


@pytest.mark.parametrize(
    ("write", "name", "h"), [(hs.save, "a.safetensors", X[:, 0, :3]), (hs.export_c, "a.c", X[None, :, 0, :3])]
)
def test_a_file_that_remembers_nothing_is_warned_about(write: Any, name: str, h: Tensor, tmp_path: Path) -> None:
    model, x = Acts(cell=h.dim() == 2), X[:, 0]
    with pytest.warns(UserWarning, match="remembers nothing: a call runs one step of `rnn`") as caught:
        write(model, tmp_path / name, args=(x,))
    assert caught[0].filename == __file__
    write(model, tmp_path / name, args=(x, h))  # a warning is an error


def in_file(model: nn.Module, *args: Any) -> Any:
    """The graph, after its numbers have been compared with the module's at two numbers of steps and rows."""
    graph, tensors, example = graph_of(model, args)
    check_numbers(model, example, graph, tensors)
    return graph


def sweep(seeds: range) -> None:
    for seed in seeds:
        model = Random(seed, int8=seed % 5 == 0, streams=seed % 2 == 0)
        graph = in_file(model, model.example())
        assert seed % 2 or graph.why_no_stream() is None, seed


def test_random_modules_give_torchs_numbers() -> None:
    sweep(range(3, 4))


@pytest.mark.slow
def test_many_random_modules_give_torchs_numbers() -> None:
    sweep(range(draws(20)))


class Silero(nn.Module):
    """The shape of silero-vad: a frame of samples, a transform, convolutions, a cell whose state is an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.basis: Tensor
        self.register_buffer("basis", torch.randn(34, 1, 32) / 6)
        self.convs = nn.Sequential(nn.Conv1d(17, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 12, 3, 2, 1), nn.ReLU())
        self.rnn, self.head = nn.LSTMCell(12, 12), nn.Conv1d(12, 1, 1)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Any:
        y = functional.conv1d(functional.pad(x, (0, 16), mode="reflect")[:, None], self.basis, stride=32)
        y = self.convs((y[:, :17] ** 2 + y[:, 17:] ** 2).sqrt()).mean(-1)
        h, c = self.rnn(y, state)
        return torch.sigmoid(self.head(torch.relu(h)[..., None])).squeeze(-1), (h, c)


def test_a_cell_takes_its_state_as_an_argument() -> None:
    graph = in_file(Silero().eval(), torch.randn(1, 80), (torch.randn(1, 12), torch.randn(1, 12)))
    assert [given.shape for given in graph.inputs] == [("N", 80), ("N", 12), ("N", 12)]
    assert "no" in (graph.why_no_stream() or "")
    assert len(graph.outputs) == 3


def test_a_layer_by_itself_is_a_model() -> None:
    assert in_file(nn.GRU(4, 3, batch_first=True), X).inputs[0].shape == ("N", "T", 4)
    state = (torch.randn(2, 3), torch.randn(2, 3))
    assert len(in_file(hs.LSTMCell(4, 3), X[:, 0], state).outputs) == 2


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([hs.GRUCell(4, 6), nn.RNNCell(6, 5, nonlinearity="relu")])

    def forward(self, x: Tensor) -> Tensor:
        h, g, outs = None, torch.zeros(x.shape[0], 5), []
        for k in range(x.shape[1]):
            h = self.cells[0](x[:, k], h)
            g = self.cells[1](h, g)
            outs.append(g)
        return torch.stack(outs, 1)


def test_cells_in_a_loop_are_a_graph_of_a_fixed_number_of_steps() -> None:
    assert in_file(Loop().eval(), X).inputs[0].shape == ("N", 5, 4)


def test_an_example_of_one_row_and_step_leaves_both_open() -> None:
    model = nn.Sequential()
    model.add_module("lstm", First(hs.LSTM(1, 3, batch_first=True)))
    assert in_file(model, torch.randn(1, 1, 1)).inputs[0].shape == ("N", "T", 1)


def test_a_module_of_one_row_stays_one(tmp_path: Path) -> None:
    model = First(hs.GRU(4, 4, batch_first=True), lambda m, x: x + torch.zeros(len(x), 1, 4)).eval()
    assert in_file(model, X[:1]).inputs[0].shape == (1, "T", 4)


def test_rows_that_python_counted_are_named() -> None:
    model = First(hs.GRU(4, 4, batch_first=True), before=lambda m, x: x + torch.zeros(len(x), 1, 4)).eval()
    with pytest.raises(ArgumentError, match=r"`layer` reads \d rows.*take x.shape\[0\] and not len\(x\)"):
        in_file(model, X)


class First(nn.Module):
    def __init__(self, layer: nn.Module, after: Callable[..., Any] | None = None, before: Any = None) -> None:
        super().__init__()
        self.layer, self.before, self.after, self.calls = layer, before, after, 0
        self.norm = nn.InstanceNorm1d(4, affine=True)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        out = self.layer(x if self.before is None else self.before(self, x))[0]
        return out if self.after is None else self.after(self, out)


def count(model: Any, out: Tensor) -> Any:
    model.calls += 1
    return out * model.calls


def remember(model: Any, out: Tensor) -> Tensor:
    model.seen += 1
    return out


def keep(model: Any, out: Tensor) -> Tensor:
    previous = getattr(model, "previous", out)
    model.previous = out
    return out + previous * 0.5 if previous.shape == out.shape else out


MASK = torch.tensor([True, False, True, False])
REFUSED: dict[str, tuple[Callable[..., Any] | None, Callable[..., Any] | None, str]] = {
    "a norm over time": (lambda m, x: m.norm(x.transpose(1, 2)).transpose(1, 2), None, "`norm`: InstanceNorm1d is not"),
    "random numbers": (None, lambda m, x: x + torch.randn_like(x), "random"),
    "dropout always on": (None, lambda m, x: functional.dropout(x, 0.5, True), "random"),
    "a counter": (None, count, "state of its own"),
    "a buffer": (None, remember, "`seen`"),
    "a kept tensor": (None, keep, "state of its own"),
    "control flow": (None, lambda m, x: x if x.sum() > 0 else -x, "depends on the data"),
    "rows mixed": (lambda m, x: x.reshape(x.shape[1], x.shape[0], 4), None, "mix rows"),
    "rows averaged": (None, lambda m, x: x - x.mean(0, keepdim=True), "mix rows or steps"),
    "one row": (None, lambda m, x: x[0], "one row"),
    "an early step": (None, lambda m, x: x[:, 0], "a step other than the last"),
    "the future": (lambda m, x: functional.pad(x, (0, 0, 0, 1))[:, 1:], None, "not in the list"),
    "attention": (None, lambda m, x: x @ x.transpose(1, 2), "constant weights"),
    "a number of steps": (None, lambda m, x: x / x.shape[1], "number of steps"),
    "an activation": (None, lambda m, x: functional.softplus(x), "ELU would work"),
    "the greater of two": (None, lambda m, x: torch.max(x, -x), "the maximum of two tensors is not in the list: relu"),
    "the greatest of two": (None, lambda m, x: torch.maximum(x, -x), "of two tensors, relu"),
    "a division that rounds": (None, lambda m, x: torch.div(x, 2, rounding_mode="floor"), "rounding_mode='floor'"),
    "half": (None, lambda m, x: x.half(), "float16"),
    "lengths": (None, lambda m, x: m.layer(x, lengths=[1, 2])[0], "lengths"),
    "not finite": (None, lambda m, x: x / torch.zeros(4), "result 0 of the example has NaN or infinity"),
    "a sum over steps": (None, lambda m, x: x.sum(1), "a sum over rows or steps is not in the list: their mean"),
    "a mask of features": (None, lambda m, x: x[..., MASK], "mask of True and False is .*: a product with"),
    "a list of features": (None, lambda m, x: x[..., [0, 2]], "by a list or tensor is not in the list: slices"),
    "what is greater": (None, lambda m, x: x > 0, "gt is not in the list: return what is compared, and compare"),
    "a logarithm": (
        lambda m, x: (x * x + 1).log1p(),
        None,
        "log1p .*: take it outside: of an argument before the call",
    ),
    "differences": (lambda m, x: x - functional.pad(x, (0, 0, 1, 0))[:, :-1], None, "a causal Conv1d reads earlier"),
    "earlier steps": (lambda m, x: torch.cat([x[:, :1], x[:, :-1]], 1), None, "the last is: .*; a causal Conv1d reads"),
    "a hard sigmoid": (None, lambda m, x: functional.hardsigmoid(x), r"hardsigmoid .*: relu\(x / 6"),
    "a mask for numbers": (None, lambda m, x: x.masked_fill(MASK, 0), "masked_fill .*: a product with a mask"),
    "the best": (None, lambda m, x: x.topk(2)[0], "topk is not in the list: take it outside"),
    "a running sum": (None, lambda m, x: x.cumsum(1), "cumsum .*: a recurrent layer, or a causal Conv1d"),
    "the other way": (None, lambda m, x: x.flip(2), r"flip .*: slices of features \(x"),
    "a spread": (None, lambda m, x: x.std(2), "std .*: the mean of x"),
    "limits": (None, lambda m, x: x.clamp(-1, 1), "clamp .*: relu"),
    "a gate": (None, lambda m, x: functional.glu(x), "glu .*: the product of one half and the sigmoid"),
    "a part of all steps": (
        lambda m, x: torch.cat([x[..., :2], m.norm.weight[:2].expand(x.shape[0], x.shape[1], 2)], -1),
        None,
        "repeated over rows or steps is not in the list: the sum of a Linear",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_in_the_list_fails_with_what_it_is(case: str, tmp_path: Path) -> None:
    before, after, message = REFUSED[case]
    model = First(hs.GRU(4, 4, batch_first=True), after, before).eval()
    with pytest.raises((ArgumentError, ExportError), match=message):
        hs.save(model, tmp_path / "model.safetensors", args=(X,))
    assert list(tmp_path.iterdir()) == []


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = hs.GRU(4, 3, batch_first=True)

    def forward(self, first: Tensor, *rest: Tensor) -> Any:
        return self.layer(first + rest[0] * rest[1])[0]


def test_any_number_of_arguments() -> None:
    graph = in_file(Several().eval(), X, X + 1, X[..., :1])
    assert [declared.shape for declared in graph.inputs] == [("N", "T", 4), ("N", "T", 4), ("N", "T", 1)]


def test_options_of_operations_are_kept() -> None:
    bias = torch.randn(4)

    def after(_: Any, x: Tensor) -> Any:
        norm = functional.layer_norm(torch.rsub(x, 1.5, alpha=2), (4,), None, bias)
        return functional.layer_norm(torch.sub(norm, x, alpha=0.5), (4,), bias) + torch.rsub(x, norm, alpha=3)

    in_file(First(hs.GRU(4, 4, batch_first=True), after).eval(), X)


def test_sums_over_features_and_absolute_values() -> None:
    def after(_: Any, x: Tensor) -> Any:
        by_pair = x.unflatten(2, (2, 2)).sum((2, 3)), x.sum(-1, keepdim=True)
        return x.abs() / by_pair[1].abs(), by_pair[0], torch.abs(-x)

    in_file(First(hs.GRU(4, 4, batch_first=True), after).eval(), X)


def test_a_part_is_refused_by_its_path() -> None:
    model = First(hs.GRU(4, 4, batch_first=True), None, lambda m, x: m.encoder(x))
    model.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.InstanceNorm1d(4))
    with pytest.raises(ArgumentError, match=r"`encoder.2`: InstanceNorm1d is not in the list: LayerNorm"):
        graph_of(model.eval(), (X,))


def test_arguments_that_do_not_fit_fail(tmp_path: Path) -> None:
    model, path = First(hs.GRU(4, 4)).eval(), tmp_path / "model.safetensors"
    bad: tuple[tuple[Any, type[Exception]], ...] = (
        ((X.double(),), DtypeError),
        (X, ArgumentTypeError),
        (("x",), ArgumentTypeError),
        ((), ArgumentTypeError),
    )
    for args, error in bad:
        with pytest.raises(error):
            hs.save(model, path, args=args)
    with pytest.raises(ArgumentTypeError, match="got a tuple with ndarray"):
        hs.save(model, path, args=(X.numpy(),))
    with pytest.raises(ArgumentTypeError, match="safetensors"):
        hs.save(model, tmp_path / "folder", args=(X,))
    with pytest.raises(ArgumentError, match="without it"):
        hs.save(hs.GRU(4, 4), path, args=(X,))
    with pytest.raises(ArgumentError, match="no recurrent layer"):
        hs.save(nn.Linear(4, 4), path, args=(X,))
    with pytest.raises(ArgumentError, match="edits"), hs.edit(model, hs.zero("layer.l0.h")):
        hs.save(model, path, args=(X,))
    hs.save(model, path, args=(X,))
    with pytest.raises(FileFormatError, match="hiddenstate_runtime"):
        hs.load(path)


@pytest.mark.filterwarnings("ignore")  # of what torch deprecates
def test_what_torch_made_of_a_module_is_refused_by_its_maker() -> None:
    model = nn.Sequential(nn.Linear(4, 4), First(nn.GRU(4, 4))).eval()
    compiled: nn.Module = torch.compile(model)  # type: ignore[assignment]
    made: tuple[tuple[Callable[[], nn.Module], str], ...] = (
        (lambda: nn.Sequential(compiled), "`0` was compiled by torch.compile"),
        (lambda: torch.jit.trace(model, X), "this module was made by torch.jit"),
        (lambda: torch.ao.quantization.quantize_dynamic(model, {nn.Linear}), "`0` was quantized by torch"),
    )
    for make, message in made:
        with pytest.raises(ArgumentError, match=message):
            in_file(make(), X)


def test_a_graph_with_other_numbers_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"earlier")
    monkeypatch.setattr(graph_file, "run_torch", lambda model, args: [value + 1e-3 for value in run_torch(model, args)])
    with pytest.raises(ExportError, match="differs"):
        hs.save(First(hs.GRU(4, 4)).eval(), tmp_path / "model.safetensors", args=(X,))
    assert (tmp_path / "model.safetensors").read_bytes() == b"earlier"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_module_is_left_as_it_was() -> None:
    model = First(nn.LSTM(4, 4, dropout=0.5, num_layers=2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    graph_of(model, (X,))
    assert model.training
    assert model.layer.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_needs_all_steps_cannot_be_streamed() -> None:
    after: dict[str, Callable[..., Any]] = {
        "mean": lambda m, x: x.mean(1),
        "softmax": lambda m, x: x.softmax(1),
        "only after the last": lambda m, x: x - x[:, -1:],
    }
    for reason, function in after.items():
        assert reason in (in_file(First(hs.GRU(4, 4, batch_first=True), function).eval(), X).why_no_stream() or "")
    both = First(hs.GRU(4, 4, batch_first=True, bidirectional=True)).eval()
    assert "bidirectional" in (in_file(both, X).why_no_stream() or "")


def test_a_stream_gives_the_numbers_of_the_whole() -> None:
    for seed in (2,):
        model = Random(seed, streams=True)
        x = model.example(T=7)
        graph, tensors, _ = graph_of(model, (x,))
        whole, _ = run_graph(graph, [x.numpy()], tensors)
        carried, at, parts = None, 0, []
        for steps in (1, 2, 4):
            outputs, carried = run_graph(graph, [x[:, at : at + steps].numpy()], tensors, carried)
            parts.append(outputs)
            at += steps
        for k, value in enumerate(graph.outputs):
            chunks = [torch.from_numpy(part[k]) for part in parts]
            joined = torch.cat(chunks, graph.shapes[value].index("T")) if "T" in graph.shapes[value] else chunks[-1]
            torch.testing.assert_close(joined, torch.from_numpy(whole[k]), rtol=0, atol=2e-6)


class Conditional(nn.Module):
    """Doubles its outputs for some numbers of rows or steps."""

    def __init__(self, is_double: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.gru, self.is_double = nn.GRU(4, 3, batch_first=True), is_double

    def forward(self, x: Tensor) -> Any:
        return self.gru(x)[0] * (2 if self.is_double(x) else 1)


@pytest.mark.parametrize(
    ("is_double", "where"),
    [
        (lambda x: x.shape[1] > 4, "5 <= T"),
        (lambda x: x.shape[1] == 50, "T != 50"),
        (lambda x: x.shape[0] == 7, "N != 7"),
        (lambda x: x.shape[0] > 1, "output 0 of the graph differs"),
    ],
)
def test_a_condition_on_rows_or_steps_is_refused(is_double: Callable[[Tensor], bool], where: str) -> None:
    with pytest.raises((ArgumentError, ExportError), match=where):
        in_file(Conditional(is_double).eval(), X)
