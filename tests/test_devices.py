"""Devices: CUDA and MPS if available, and the meta device, which has only shapes, everywhere."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils._pytree import tree_leaves, tree_map_only

import hiddenstate as hs
from hiddenstate.engine.paths.torch_path import torch_serves
from hiddenstate.errors import DeviceError
from support import share, thinned
from torch_cases import Cases, every, leaves, run, with_tensors

ACCELERATORS = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
on_accelerators = pytest.mark.parametrize(
    "device",
    [
        pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"there is no {name} device here"))
        for name, there in ACCELERATORS.items()
    ],
)
# Such devices multiply with fewer digits if allowed (TF32).
NEAR = 5e-3

T, N = 5, 3
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layers": {"num_layers": 2, "bidirectional": True},
    "batch first": {"num_layers": 2, "batch_first": True},
    "without biases": {"bias": False},
    "projected": {"proj_size": 2, "num_layers": 2},
}
RESET = torch.arange(T * N).reshape(T, N) % 4 == 0
CALLS: dict[str, dict[str, Any]] = {
    "whole": {},
    "ragged": {"lengths": [2, 5, 1]},
    "with an empty row": {"lengths": [0, 5, 1]},
    "with borders": {"reset": RESET},
}


def made(options: str, device: str = "cpu") -> tuple[hs.LSTM, Tensor, tuple[Tensor, Tensor]]:
    """The same layer, input and state on every device."""
    torch.manual_seed(0)
    lstm = hs.LSTM(4, 3, **OPTIONS[options])
    x = torch.randn((N, T, 4) if lstm.batch_first else (T, N, 4))
    units = lstm.sizes.output_size, lstm.sizes.hidden_size
    h0, c0 = (torch.randn(len(lstm.sizes.layer_directions), N, size).to(device).requires_grad_() for size in units)
    return lstm.to(device), x.to(device).requires_grad_(), (h0, c0)


def given(call: str, lstm: hs.LSTM, device: str) -> dict[str, Any]:
    def move(value: Tensor) -> Tensor:
        return (value.T if lstm.batch_first else value).to(device)

    moved: dict[str, Any] = tree_map_only(Tensor, move, CALLS[call])
    return moved


Use = Callable[[str, str, str], list[Tensor]]


def called(options: str, call: str, device: str) -> list[Tensor]:
    lstm, x, state = made(options, device)
    return list(tree_leaves(lstm(x, state, **given(call, lstm, device))))


def differentiated(options: str, call: str, device: str, *, training: bool = True) -> list[Tensor]:
    lstm, x, state = made(options, device)
    lstm.train(training)
    out, final = lstm(x, state, **given(call, lstm, device))
    total = torch.stack([value.square().sum() for value in (out, *final)]).sum()
    return list(torch.autograd.grad(total, [x, *state, *lstm.parameters()]))


def differentiated_outside_training(options: str, call: str, device: str) -> list[Tensor]:
    return differentiated(options, call, device, training=False)


def unbatched(options: str, call: str, device: str) -> list[Tensor]:
    lstm, x, _ = made(options, device)
    row = x[0] if lstm.batch_first else x[:, 0]
    more: dict[str, Any] = {"lengths": CALLS[call]["lengths"][0]} if "lengths" in CALLS[call] else {}
    if "reset" in CALLS[call]:
        more["reset"] = RESET[:, 0].to(device)
    return list(tree_leaves(lstm(row, **more)))


def traced(options: str, call: str, device: str) -> list[Tensor]:
    lstm, x, state = made(options, device)
    trace = lstm.trace(x, state, **given(call, lstm, device))
    return [*tree_leaves((trace.out, trace.state)), *trace.values.values()]


def edited(options: str, call: str, device: str) -> list[Tensor]:
    lstm, x, state = made(options, device)
    scaled = hs.scale("l0.f", by=torch.tensor([0.5, 2.0]).to(device), unit=[0, 2], t=1)
    with lstm.edit(scaled, hs.zero("l0.c", unit=0, row=1, t=0, scope="readout")):
        return list(tree_leaves(lstm(x, state, **given(call, lstm, device))))


def packed(options: str, call: str, device: str) -> list[Tensor]:
    lstm, x, state = made(options, device)
    rows = pack_padded_sequence(x, torch.tensor([5, 3, 1]), lstm.batch_first)
    more = given(call, lstm, device) if call == "with borders" else {}
    out, final = lstm(rows, state, **more)
    assert isinstance(out, PackedSequence)
    return [out.data, *final]


def streamed(device: str) -> list[Tensor]:
    lstm, x, _ = made("plain", device)
    stream = lstm.stream(batch=N)
    found = [stream.step(x[0]), stream.step(x[1]), stream.feed(x)]
    stream.reset(torch.tensor([True, False, True]).to(device))
    return [*found, stream.step(x[2]), *stream.state]


USES: dict[str, Use] = {
    use.__name__: use
    for use in (called, differentiated, differentiated_outside_training, unbatched, traced, edited, packed)
}


def assert_near(got: Sequence[Tensor], want: Sequence[Tensor], what: str) -> None:
    gaps = [share(a.cpu(), b) for a, b in zip(got, want, strict=True)]
    assert max(gaps) < NEAR, f"{what}: {gaps}"


@on_accelerators
@pytest.mark.parametrize("use", USES)
def test_numbers_are_those_of_the_cpu(use: str, device: str) -> None:
    for options, call in product(OPTIONS, CALLS):
        got, want = USES[use](options, call, device), USES[use](options, call, "cpu")
        assert {value.device.type for value in got} == {device}
        assert_near(got, want, f"{options}, {call}")


@on_accelerators
def test_streams_are_those_of_the_cpu(device: str) -> None:
    assert_near(streamed(device), streamed("cpu"), "a stream")


def assert_same_shapes(on_meta: Sequence[Tensor], on_cpu: Sequence[Tensor]) -> None:
    assert all(value.is_meta for value in on_meta)
    assert [(value.shape, value.dtype) for value in on_meta] == [(value.shape, value.dtype) for value in on_cpu]


@pytest.mark.parametrize(("options", "call", "use"), thinned(OPTIONS, CALLS, USES))
def test_shapes_and_types_on_meta_are_those_of_the_cpu(options: str, call: str, use: str) -> None:
    assert_same_shapes(USES[use](options, call, "meta"), USES[use](options, call, "cpu"))


def test_streams_on_meta() -> None:
    assert_same_shapes(streamed("meta"), streamed("cpu"))


@on_accelerators
def test_dropout_between_layers_is_part_of_the_gradient(device: str) -> None:
    """Against a finite difference along the gradient, with the same random numbers."""
    lstm = hs.LSTM(4, 3, 2, dropout=0.5, device=device)
    x = torch.randn(T, N, 4, device=device, requires_grad=True)

    def total(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        out: Tensor = lstm(x)[0]
        return out.square().sum()

    (slope,) = torch.autograd.grad(total(x), x)
    step = 0.1 * slope / slope.norm()
    with torch.no_grad():
        difference = float(total(x + step) - total(x - step)) / 0.2
    assert difference == pytest.approx(float(slope.norm()), rel=0.05)


@on_accelerators
def test_weights_lie_in_one_piece_however_they_came_there(device: str) -> None:
    """Otherwise torch warns on CUDA, which fails tests."""
    x = torch.randn(T, N, 4, device=device)
    moved, born = hs.LSTM(4, 3, 2).to(device), hs.LSTM(4, 3, 2, device=device)
    emptied = hs.LSTM(4, 3, 2, device="meta").to_empty(device=device)
    emptied.load_state_dict(moved.state_dict())
    for lstm in (moved, born, emptied, hs.LSTM(4, 3, 2).to(device).half().float()):
        lstm(x)[0].sum().backward()
    assigned = hs.LSTM(4, 3, 2, device=device)
    assigned.load_state_dict(hs.LSTM(4, 3, 2, device=device).state_dict(), assign=True)
    assigned.flatten_parameters()
    assigned(x)


@on_accelerators
def test_states_of_any_stride(device: str) -> None:
    lstm, x, (h0, c0) = made("layers", device)
    apart = tuple(torch.stack([value, value], dim=-1)[..., 0] for value in (h0, c0))
    assert not apart[0].is_contiguous()
    assert share(lstm(x, (apart[0], apart[1]))[0], lstm(x, (h0, c0))[0]) < 1e-5


@on_accelerators
def test_second_derivatives_by_the_reference(device: str) -> None:
    """cuDNN and MPS have no second derivatives."""
    found = []
    for place in (device, "cpu"):
        lstm, x, _ = made("layers", place)
        with hs.backend("reference"):
            (first,) = torch.autograd.grad(lstm(x)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *lstm.parameters()]))
    assert_near(found[0], found[1], "second derivatives")


def squares(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([value.square().sum() for value in values]).sum()


def moved(given: Any, device: str) -> Any:
    return with_tensors(given, lambda value: value.detach().to(device).requires_grad_(value.requires_grad))


@on_accelerators
@pytest.mark.parametrize("cases", every(torch.float32), ids=str)
def test_cpu_gpu_parity(cases: Cases, device: str) -> None:
    """torch's test of that name, on its cases."""
    for case in cases.inputs():
        on_cpu, elsewhere = cases.make(case.constructor_input), cases.make(case.constructor_input).to(device)
        elsewhere.load_state_dict(on_cpu.state_dict())
        given, there = case.forward_input, moved(case.forward_input, device)
        got, want = run(elsewhere, there), run(on_cpu, given)
        assert_near(got, want, "outputs")
        of_got = torch.autograd.grad(squares(got), leaves(elsewhere, there))
        assert_near(of_got, torch.autograd.grad(squares(want), leaves(on_cpu, given)), "gradients")


@on_accelerators
@pytest.mark.parametrize("cases", every(torch.float32), ids=str)
def test_multiple_device_transfer(cases: Cases, device: str) -> None:
    """torch's test of that name: there and back, twice."""
    for case in cases.inputs(requires_grad=False):
        module, given = cases.make(case.constructor_input), case.forward_input
        want = run(module, given)
        for _ in range(2):
            assert_near(run(module.to(device), moved(given, device)), want, "there")
            assert all(torch.equal(a, b) for a, b in zip(run(module.to("cpu"), given), want, strict=True))


@pytest.mark.parametrize(
    ("device", "projects", "drops", "serves"),
    [
        ("cpu", False, True, True),
        ("cpu", True, False, False),
        ("cuda", True, True, True),
        ("mps", False, False, True),
        ("mps", True, False, False),
        ("mps", False, True, False),
    ],
)
def test_which_devices_torchs_layer_serves(device: str, projects: bool, drops: bool, serves: bool) -> None:
    assert torch_serves(device, projects=projects, drops=drops) == serves


def test_what_is_on_another_device_fails() -> None:
    """Before anything is computed; on meta nothing can be."""
    lstm, x, (h0, c0) = made("plain", "meta")
    here, cell = torch.zeros(T, N, 4), hs.LSTMCell(4, 3, device="meta")
    stream = lstm.stream(batch=N)
    uses: list[tuple[Callable[[], object], str]] = [
        (lambda: lstm(here), "input is on cpu, the weights are on meta"),
        (lambda: lstm(x, (torch.zeros(1, N, 3), c0)), "h0 is on cpu"),
        (lambda: lstm(x, (h0, torch.zeros(1, N, 3))), "c0 is on cpu"),
        (lambda: lstm(x, reset=RESET), "reset is on cpu and the input on meta"),
        (lambda: lstm.trace(here), "input is on cpu"),
        (lambda: lstm(pack_padded_sequence(here, torch.tensor([3, 2, 1]))), "input is on cpu"),
        (lambda: stream.step(here[0]), "x is on cpu"),
        (lambda: cell(here[0]), "input is on cpu"),
        (lambda: cell(x[0], (torch.zeros(N, 3), c0[0])), r"hx\[0\] is on cpu"),
    ]
    for use, message in uses:
        with pytest.raises(DeviceError, match=message):
            use()
        with pytest.raises(RuntimeError):
            use()


def test_lengths_may_be_on_any_device() -> None:
    lstm, x, _ = made("plain", "meta")
    for lengths in ([2, 5, 1], torch.tensor([2, 5, 1]), torch.tensor([2, 5, 1], device="meta")):
        assert lstm(x, lengths=lengths)[0].shape == (T, N, 3)
    with pytest.raises(ValueError, match="lengths must be in 0..T = 0..5"):
        lstm(x, lengths=[2, 6, 1])
