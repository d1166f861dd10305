"""The operator, by itself and when torch compiles or exports it."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.export import Dim, export
from torch.func import functional_call, grad, jvp, vmap
from torch.library import opcheck
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from support import NEEDS_INDUCTOR, Call, assert_all_close, assert_close, calls, diagonal, draws, gradients

# The compilers warn of their own internals.
pytestmark = pytest.mark.filterwarnings("default")

OPERATOR = torch.ops.hiddenstate.recurrent.default
BACKWARD = torch.ops.hiddenstate.recurrent_backward.default


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> None:
    torch._dynamo.reset()


def compile_counter() -> Any:
    from torch._dynamo.testing import CompileCounterWithBackend  # which takes a second to import

    return CompileCounterWithBackend("aot_eager")


def operands(
    lstm: hs.LSTM, inputs: Sequence[Tensor], *, noise: bool = False, keep: bool = True, **given: Any
) -> tuple[Any, ...]:
    """The operator's arguments for a call of a layer."""
    x, h0, c0 = inputs
    width = lstm.sizes.directions * lstm.sizes.output_size
    noises = [2 * torch.rand(*x.shape[:2], width).round().to(x.dtype) for _ in range(lstm.num_layers - 1)]
    weights = [value.detach().requires_grad_() for value in lstm.parameters()]
    options = (given.get("lengths"), given.get("reset"), noises if noise else [])
    return x, [h0, c0], [], weights, *options, lstm.bias, lstm.bidirectional, lstm.mode, keep, False


@settings(max_examples=draws(30))
@given(calls())
def test_it_gives_what_the_reference_does(call: Call) -> None:
    dtype = torch.float32
    lstm, inputs = call.lstm(dtype), call.inputs(dtype)
    arguments = operands(lstm, inputs, keep=call.seed % 2 == 0, **call.given())
    got = OPERATOR(*arguments)[:3]
    with hs.backend("reference"):
        out, state = lstm(inputs[0], (inputs[1], inputs[2]), **call.given())
    want = (out, *state)
    assert_all_close(got, want, "out, h_n, c_n")
    mine = gradients(got, [*inputs, *arguments[3]])
    assert_all_close(mine, gradients(want, [*inputs, *lstm.parameters()]), "gradients")


CASES = {
    "all": Call(4, 3, 4, 5, 3, 0, bidirectional=True, ragged=True, borders=True, projects=True),
    "no bias": Call(4, 3, 4, 5, 1, 0, bias=False),
    "one row": Call(1, 1, 3, 17, 2, 0),
}


@pytest.mark.parametrize(
    ("name", "dtype", "keep"),
    diagonal(CASES, [torch.float32, torch.float64, torch.bfloat16], [True, False]),
)
def test_torch_finds_no_fault_with_it(name: str, dtype: torch.dtype, keep: bool) -> None:
    """Its schema, its rules for shapes and derivatives, and its compilation with varying sizes."""
    case = CASES[name]
    arguments = operands(case.lstm(dtype), case.inputs(dtype), noise=case.L > 1, keep=keep, **case.given())
    assert set(opcheck(OPERATOR, arguments).values()) == {"SUCCESS"}


def test_torch_finds_no_fault_with_its_derivative() -> None:
    case = CASES["all"]
    arguments = operands(case.lstm(torch.float32), case.inputs(torch.float32), noise=True, **case.given())
    with torch.no_grad():
        outputs = OPERATOR(*arguments)
    leaves = 3 + len(arguments[3])
    for needed in ([True] * leaves, [k % 3 == 0 for k in range(leaves)]):
        given = (*arguments[:-2], outputs[0], outputs[3:], [torch.randn_like(value) for value in outputs[:3]], needed)
        detached = torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, given)
        assert set(opcheck(BACKWARD, detached).values()) == {"SUCCESS"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=() if name == "no bias" else pytest.mark.slow) for name, case in CASES.items()],
)
def test_its_first_and_second_derivatives(case: Call) -> None:
    inputs = [value.detach().requires_grad_() for value in case.inputs(torch.float64)]
    x, (h0, c0), _, weights, *options = operands(case.lstm(torch.float64), inputs, noise=True, **case.given())

    def run(x: Tensor, h0: Tensor, c0: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(OPERATOR(x, [h0, c0], [], list(weights), *options)[:3])

    assert torch.autograd.gradcheck(run, (x, h0, c0, *weights), fast_mode=case is not CASES["no bias"])
    assert torch.autograd.gradgradcheck(run, (x, h0, c0, *weights), fast_mode=True)


LAYERS: dict[str, Callable[..., Any]] = {
    "GRU": hs.GRU,
    "RNN_TANH": hs.RNN,
    "RNN_RELU": partial(hs.RNN, nonlinearity="relu"),
}


def rnn_operands(cell: str, dtype: torch.dtype, *, small: bool = False, keep: bool = True) -> tuple[Any, ...]:
    """A bidirectional layer and its operator's arguments, with all optional ones or none."""
    torch.manual_seed(0)
    T, N, C, H, L = (4, 3, 4, 5, 1 if small else 2)
    layer = LAYERS[cell](C, H, L, bias=not small, bidirectional=not small, dtype=dtype)
    x, h0 = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((T, N, C), (L * (2 - small), N, H)))
    lengths, reset = (None, None) if small else (torch.tensor([4, 0, 3]), torch.rand(T, N) < 0.3)
    masks = [] if small else [2 * torch.rand(T, N, 2 * H).round().to(dtype)]
    borders = [] if small else [torch.randn_like(h0).requires_grad_()]
    weights = [value.detach().requires_grad_() for value in layer.parameters()]
    return x, [h0], borders, weights, lengths, reset, masks, not small, not small, cell, keep, False


@pytest.mark.parametrize(("cell", "small"), [("GRU", False), ("RNN_TANH", True)])
def test_torch_finds_no_fault_with_that_of_cells_without_a_cell_state(cell: str, small: bool) -> None:
    *given, _, _ = arguments = rnn_operands(cell, torch.float32, small=small)
    assert set(opcheck(OPERATOR, arguments).values()) == {"SUCCESS"}
    with torch.no_grad():
        outputs = OPERATOR(*arguments)
    needed = [True] * (2 + len(arguments[3]) + (not small))
    of_derivative = (*given, outputs[0], outputs[2:], [torch.randn_like(value) for value in outputs[:2]], needed)
    detached = torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, of_derivative)
    assert set(opcheck(BACKWARD, detached).values()) == {"SUCCESS"}


@pytest.mark.parametrize("cell", ["GRU", "RNN_RELU"])
def test_first_and_second_derivatives_of_that(cell: str) -> None:
    x, (h0,), (reset_h,), weights, *options = rnn_operands(cell, torch.float64)

    def run(x: Tensor, h0: Tensor, reset_h: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(OPERATOR(x, [h0], [reset_h], list(weights), *options)[:2])

    assert torch.autograd.gradcheck(run, (x, h0, reset_h, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, h0, reset_h, *weights), fast_mode=True)


@pytest.mark.parametrize(("cell", "recompute"), [("GRU", False), ("GRU", True), ("RNN_RELU", True)])
def test_a_layer_without_a_cell_state_is_one_operator(cell: str, recompute: bool) -> None:
    layer, x = LAYERS[cell](3, 17, 2), torch.randn(5, 4, 3, requires_grad=True)
    layer.recompute_gates = recompute
    counter = compile_counter()
    compiled: Any = torch.compile(layer, backend=counter, fullgraph=True)
    lengths = torch.tensor([5, 0, 2, 3])
    found, want = compiled(x, lengths=lengths), layer(x, lengths=lengths)
    assert_all_close(found, want, "out, h_n")
    leaves = [x, *layer.parameters()]
    assert_all_close(gradients(found, leaves), gradients(want, leaves), "gradients")
    assert len([node for node in counter.graphs[0].graph.nodes if "hiddenstate.recurrent" in str(node.target)]) == 1
    program = export(layer.eval(), (x.detach(),))
    assert "hiddenstate.recurrent" in str(program.graph)
    assert_all_close(program.module()(x.detach()), layer(x.detach()), "exported")


def test_it_refuses_what_native_code_must_not_see() -> None:
    case = CASES["all"]
    x, (h0, c0), _, weights, lengths, reset, noise, *flags = operands(
        case.lstm(torch.float32), case.inputs(torch.float32), noise=True, **case.given()
    )
    states, border = [h0, c0], [torch.randn_like(h0), torch.randn_like(c0)]
    refused: list[tuple[tuple[Any, ...], type[Exception], str]] = [
        ((x, [h0[:, :2], c0], [], weights, lengths, reset, noise), ShapeError, "a h0 has shape .* expected"),
        ((x, [h0, c0[:, :2]], [], weights, lengths, reset, noise), ShapeError, "a c0 has shape"),
        ((x, [h0], [], weights, lengths, reset, noise), ArgumentError, "got 1 states, expected 2"),
        ((x, states, border[:1], weights, lengths, reset, noise), ArgumentError, "got 1 borders, expected 2"),
        ((x, states, [border[0][:, :1], border[1]], weights, lengths, reset, noise), ShapeError, "a reset_h has shape"),
        ((x, states, [], weights, lengths[:2], reset, noise), ShapeError, "a lengths has shape"),
        ((x, states, [], weights, lengths, reset[:2], noise), ShapeError, "a reset has shape"),
        ((x, states, [], weights, lengths, reset, noise[:1]), ArgumentError, "got 1 masks, expected 2"),
        ((x, states, [], weights, lengths, reset, [n[:2] for n in noise]), ShapeError, "a dropout mask has shape"),
        ((x, states, [], weights, lengths + 5, reset, noise), ArgumentError, r"lengths must be in 0\.\.T"),
        ((x, states, [], weights, lengths - 5, reset, noise), ArgumentError, r"lengths must be in 0\.\.T"),
        ((x, states, [], weights[:-1], lengths, reset, noise), ShapeError, "a weight_hr is None"),
        ((x, states, [], [*weights, weights[0]], lengths, reset, noise), ArgumentError, "got 31 weights, expected 30"),
        ((x, states, [], [w[:-1] for w in weights], lengths, reset, noise), ShapeError, "a weight_ih has shape"),
        ((x[0], states, [], weights, lengths, reset, noise), ShapeError, "x and states must have 3 axes, got 2, 3, 3"),
        ((x.half(), states, [], weights, lengths, reset, noise), DtypeError, "got LSTM in torch.float16"),
        ((x, states, [], weights, lengths.float(), reset, noise), DtypeError, "as lengths"),
    ]
    for arguments, error, message in refused:
        with pytest.raises(error, match=message):
            OPERATOR(*arguments, *flags)
    plain = CASES["one row"]
    *given, _, keep, recompute = operands(plain.lstm(torch.float32), plain.inputs(torch.float32))
    for cell, error in (("GRU", ArgumentError), ("rnn", DtypeError)):
        with pytest.raises(error, match="hiddenstate::recurrent"):
            OPERATOR(*given, cell, keep, recompute)


def test_its_derivative_refuses_what_native_code_must_not_see() -> None:
    case = CASES["all"]
    *given, keep, recompute = operands(case.lstm(torch.float32), case.inputs(torch.float32), noise=True, **case.given())
    with torch.no_grad():
        out, h_n, c_n, *kept = OPERATOR(*given, keep, recompute)
        needed = [True] * (3 + len(given[3]))
        refused: list[tuple[tuple[Any, ...], type[Exception], str]] = [
            ((out, [k.new_empty(0) for k in kept], [out, h_n, c_n], needed), ShapeError, "a saved gates has shape"),
            ((out, [k[:1] for k in kept], [out, h_n, c_n], needed), ShapeError, "a saved gates has shape"),
            ((out, kept[::-1], [out, h_n, c_n], needed), ShapeError, "a saved gates has shape"),
            ((out, kept[1:], [out, h_n, c_n], needed), ShapeError, "saved|has shape"),
            ((out, [k.double() for k in kept], [out, h_n, c_n], needed), DtypeError, "as saved gates"),
            ((out[:1], kept, [out, h_n, c_n], needed), ShapeError, "a out has shape"),
            ((out, kept, [out[:1], h_n, c_n], needed), ShapeError, "a grad of out has shape"),
            ((out, kept, [out, h_n[:, :1], c_n], needed), ShapeError, "a grad of h_n has shape"),
            ((out, kept, [out, h_n, c_n[:, :1]], needed), ShapeError, "a grad of c_n has shape"),
            ((out, kept, [out, h_n, c_n], needed[1:]), ArgumentError, "needed has 32 entries, not 33"),
            ((out, kept, [out, h_n], needed), ArgumentError, "grads has 2 entries, not 3"),
            ((out, [*kept, *kept], [out, h_n, c_n], needed), ArgumentError, "kept has 28 entries, expected at most 14"),
        ]
        for arguments, error, message in refused:
            with pytest.raises(error, match=message):
                BACKWARD(*given, *arguments)


class Tagger(nn.Module):
    """A layer and a linear map."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 5, batch_first=True, **options)
        self.head = nn.Linear((1 + self.lstm.bidirectional) * 5, 3)

    def forward(self, x: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.lstm(x, lengths=lengths, reset=reset)[0])
        return scores


def whole(function: Callable[..., Any], compiler: Any = "aot_eager") -> Any:
    return torch.compile(function, fullgraph=True, backend=compiler)


@pytest.mark.parametrize("training", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_any_number_of_steps_and_rows_compiles_whole_and_twice_at_most(training: bool) -> None:
    """Once for the first sizes, and once for any sizes."""
    model = Tagger(num_layers=2, bidirectional=True).train(training)
    counter = compile_counter()
    compiled = whole(model, counter)
    for T, N in ((5, 2), (7, 3), (9, 4), (4, 9), (100, 17)):
        x = torch.randn(N, T, 4, requires_grad=True)
        given = {"lengths": torch.randint(0, T + 1, (N,)), "reset": torch.rand(N, T) < 0.3}
        got, want = compiled(x, **given), model(x, **given)
        assert_close(got, want)
        leaves = [x, *model.parameters()]
        weighing = torch.randn_like(want)
        mine, theirs = (torch.autograd.grad(out, leaves, weighing) for out in (got, want))
        assert_all_close(mine, theirs, "gradients")
    assert counter.frame_count <= 2


def graph_of(T: int, **options: Any) -> list[Any]:
    graphs: list[Any] = []

    def keep(graph: Any, _: Any) -> Any:
        graphs.append(graph.graph)
        return graph

    whole(Tagger(**options), keep)(torch.randn(2, T, 4))
    (graph,) = graphs
    return [node.target for node in graph.nodes if node.op == "call_function"]


def test_what_is_compiled_does_not_grow_with_steps_or_layers() -> None:
    short = graph_of(10)
    assert short.count(OPERATOR) == 1
    assert short == graph_of(1000)
    torch._dynamo.reset()
    assert short == graph_of(10, num_layers=6)


def losses(model: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], steps: int = 50) -> list[float]:
    optimiser, seen = torch.optim.Adam(parameters, 3e-2), []
    generator = torch.Generator().manual_seed(1)
    for k in range(steps):
        x = torch.randn(4, 6 + k % 5, 4, generator=generator)
        loss = (model(x) - x[..., :3].cumsum(1).tanh()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    return seen


@pytest.mark.slow
@NEEDS_INDUCTOR
def test_training_compiled_goes_as_training_does() -> None:
    """Fifty steps with torch's default compiler give the same losses."""
    curves = []
    for compiles in (False, True):
        torch.manual_seed(0)
        model = Tagger(num_layers=2, bidirectional=True)
        curves.append(losses(torch.compile(model, fullgraph=True) if compiles else model, list(model.parameters())))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert curves[0][-1] < 0.7 * curves[0][0]


def test_the_cell_compiles_whole() -> None:
    cell, x = hs.LSTMCell(4, 5), torch.randn(2, 4)
    assert_all_close(whole(cell)(x), cell(x))


def test_dropout_between_layers_compiles() -> None:
    lstm = hs.LSTM(3, 64, 2, dropout=0.25)
    for value in lstm.parameters():
        nn.init.constant_(value, 0.0)
    nn.init.constant_(lstm.weight("l0.b_ig"), 9.0)  # the layer below outputs one number, and the gates above show it
    with torch.no_grad():
        lstm.weight("l1.W_io").copy_(torch.eye(64))
        lstm.weight("l1.b_ig").fill_(9.0)
    x = torch.zeros(50, 20, 3)
    compiled = whole(lambda x: lstm(x)[0])(x)
    torch.manual_seed(0)
    plain = lstm(x)[0]
    # In the first step, the outputs only show whether it was dropped, by two values.
    seen = [value[0].round(decimals=4).unique(return_counts=True) for value in (compiled, plain)]
    assert_close(seen[0][0], seen[1][0])
    for _, counts in seen:
        assert 0.2 < counts[0] / counts.sum() < 0.3
    lstm.eval()
    assert_close(whole(lambda x: lstm(x)[0])(x), lstm(x)[0])


@pytest.mark.parametrize("options", [{}, {"proj_size": 3}, {"dropout": 1.0}], ids=str)
def test_autocast_compiles(options: dict[str, Any]) -> None:
    lstm, x = hs.LSTM(4, 5, 2, **options), torch.randn(6, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        (out, state), (want, want_state) = whole(lstm)(x), lstm(x)
    assert_all_close((out.float(), *map(Tensor.float, state)), (want.float(), *map(Tensor.float, want_state)))
    assert [v.dtype for v in (out, *state)] == [v.dtype for v in (want, *want_state)]


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_runs(strict: bool) -> None:
    model = Tagger(num_layers=2, bidirectional=True).eval()
    axes = {0: Dim("N"), 1: Dim("T")}
    shapes = {"x": axes, "lengths": {0: axes[0]}, "reset": axes}
    given = (torch.randn(3, 5, 4), torch.tensor([5, 2, 0]), torch.rand(3, 5) < 0.3)
    program = export(model, given, dynamic_shapes=shapes, strict=strict)
    file = BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    x, lengths, reset = torch.randn(7, 11, 4), torch.randint(0, 12, (7,)), torch.rand(7, 11) < 0.3
    assert_close(loaded(x, lengths, reset), model(x, lengths, reset))
    with pytest.raises(ArgumentError, match=r"lengths must be in 0\.\.T = 0\.\.11"):
        loaded(x, lengths + 12, reset)


def test_edits_traces_and_the_choice_of_a_path_break_the_graph_and_hold() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(6, 3, 4)
    compiled = torch.compile(lstm, backend="aot_eager")
    want = lstm(x)[0]
    assert_close(compiled(x)[0], want)
    with lstm.edit(hs.zero("l0.f")):
        assert_close(compiled(x)[0], lstm(x)[0])
        assert not torch.equal(compiled(x)[0], want)
    assert_close(compiled(x)[0], want)
    with hs.backend("reference"):
        assert_close(compiled(x)[0], want)
    forget = torch.compile(lambda x: lstm.trace(x)["l0.f"], backend="aot_eager")
    assert_close(forget(x), lstm.trace(x)["l0.f"])
    torch._dynamo.reset()
    with lstm.edit(hs.zero("l0.f")), pytest.raises(torch._dynamo.exc.Unsupported):
        whole(lstm)(x)


def test_a_block_in_another_thread_breaks_the_graph_but_changes_no_result() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(6, 3, 4)
    compiled = torch.compile(lstm, backend="aot_eager")
    is_open, may_end = threading.Event(), threading.Event()

    def edit() -> None:
        with lstm.edit(hs.zero("l0.f")):
            is_open.set()
            may_end.wait()

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        is_open.wait()
        assert_close(compiled(x)[0], lstm(x)[0])
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported):
            whole(lstm)(x)
    finally:
        may_end.set()
        thread.join()
    assert_close(whole(lstm)(x)[0], lstm(x)[0])


@pytest.mark.slow
@NEEDS_INDUCTOR
def test_a_program_compiled_ahead_of_time_runs(tmp_path: Path) -> None:
    model, x = Tagger(num_layers=2).eval(), torch.randn(3, 5, 4)
    path = str(tmp_path / "tagger.pt2")
    torch._inductor.aoti_compile_and_package(export(model, (x,)), package_path=path)
    assert_close(torch._inductor.aoti_load_package(path)(x), model(x))


def test_an_edit_that_holds_is_exported_with_the_model() -> None:
    model, x = Tagger().eval(), torch.randn(3, 5, 4)
    with model.lstm.edit(hs.zero("l0.f")):
        program, want = export(model, (x,)).module(), model(x)
    assert_close(program(x), want)
    assert not torch.equal(want, model(x))


class Padder(nn.Module):
    """Packs rows for an LSTM, and pads its output."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.lstm, self.after = nn.Linear(4, 4), nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.before(x), lengths, batch_first=True, enforce_sorted=False)
        padded: Tensor = self.after(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])
        return padded


def test_a_model_that_packs_and_pads_compiles_with_breaks() -> None:
    model, x = hs.convert(Padder()), torch.randn(3, 6, 4)
    compiled = torch.compile(model, backend="aot_eager")
    for lengths in (torch.tensor([6, 2, 4]), torch.tensor([1, 5, 3])):
        for mode in (torch.enable_grad(), torch.no_grad()):
            with mode:
                assert_close(compiled(x, lengths), model(x, lengths))


def test_packed_sequences_and_other_types_compile_with_breaks() -> None:
    lstm = hs.LSTM(4, 5)
    packed = pack_sequence([torch.randn(3, 4), torch.randn(2, 4)])
    assert_close(torch.compile(lstm, backend="aot_eager")(packed)[0].data, lstm(packed)[0].data)
    half, x = hs.LSTM(4, 5).half(), torch.randn(3, 2, 4).half()
    got = torch.compile(half, backend="aot_eager")(x)[0]
    assert torch.allclose(got.float(), half(x)[0].float(), atol=1e-2)


@pytest.mark.parametrize("strict", [False, True])
def test_other_types_and_devices_are_exported_as_torchs_operator(strict: bool) -> None:
    for like in (torch.empty(0, dtype=torch.float16), torch.empty(0, device="meta")):
        lstm, x = hs.LSTM(4, 5, 2).to(like).eval(), torch.randn(3, 2, 4).to(like)
        nodes = [node.target for node in export(lstm, (x,), strict=strict).graph.nodes]
        assert torch.ops.aten.lstm.input in nodes


def test_the_reference_that_was_chosen_is_exported() -> None:
    lstm, x = hs.LSTM(4, 5).eval(), torch.randn(3, 2, 4)
    with hs.backend("reference"):
        program = export(lstm, (x,))
    assert OPERATOR not in [node.target for node in program.graph.nodes]
    assert_close(program.module()(x)[0], lstm(x)[0])


def test_autocast_to_other_types_gives_their_types() -> None:
    lstm, x = (
        hs.LSTM(4, 5, proj_size=3),
        torch.randn(3, 2, 4),
    )  # without a projection, torch supports it only on some CPUs
    with torch.autocast("cpu", torch.float16):
        got, want = torch.compile(lstm, backend="aot_eager")(x)[0], lstm(x)[0]
    assert got.dtype is want.dtype is torch.float16


@pytest.mark.parametrize("traces", [pytest.param(False, marks=pytest.mark.slow), True])
def test_compiled_autograd_of_what_is_not_compiled(traces: bool) -> None:
    lstm, x = hs.LSTM(4, 5, 2), torch.randn(3, 2, 4)
    out = lstm.trace(x)["l1.f"] if traces else lstm(x)[0]
    out.square().sum().backward(retain_graph=True)
    want = [torch.empty(0) if value.grad is None else value.grad for value in lstm.parameters()]
    lstm.zero_grad()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        out.square().sum().backward()
    assert_all_close([torch.empty(0) if value.grad is None else value.grad for value in lstm.parameters()], want)


@pytest.mark.slow
def test_transformations_compile_whole() -> None:
    lstm, x = hs.LSTM(4, 5, 2), torch.randn(4, 3, 4)
    parameters: dict[str, Tensor] = dict(lstm.named_parameters())

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        out: Tensor = functional_call(lstm, parameters, (row,))[0]
        return out.square().sum()

    runs: list[Callable[[Tensor], Any]] = [
        lambda x: vmap(lambda row: lstm(row)[0], in_dims=1, out_dims=1)(x),
        lambda x: list(vmap(grad(loss), (None, 1))(parameters, x).values()),
        lambda x: jvp(lambda v: lstm(v)[0], (x,), (torch.ones_like(x),))[1],
    ]
    for run in runs:
        got, want = (torch.utils._pytree.tree_leaves(f(x)) for f in (whole(run), run))
        assert_all_close(got, want)
