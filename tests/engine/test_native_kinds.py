"""The native GRU and plain RNN compared with the reference and torch, over random arguments; their records and
streams."""

import copy
import random
import statistics
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.cells import rnn
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import kernels
from hiddenstate.structure.layer_direction import reading_order

TOLERANCE = {
    torch.float32: 3e-5,
    torch.float64: 1e-12,
    torch.bfloat16: 0.2,
}  # the reference rounds each sum
KINDS: dict[str, tuple[Any, Any, list[str]]] = {
    "GRU": (hs.GRU, nn.GRU, ["r", "z", "n", "h", "r_pre", "z_pre", "n_pre", "n_h", "n_rh"]),
    "RNN": (hs.RNN, nn.RNN, ["h", "h_pre"]),
}


class Case:
    """A GRU or an RNN, and the arguments of a call."""

    def __init__(self, kind: str, seed: int, dtype: torch.dtype) -> None:
        ours, theirs, self.places = KINDS[kind]
        draw = random.Random(seed)
        torch.manual_seed(seed)
        C, H, N, T = (draw.choice(some) for some in ([1, 3, 17, 65], [1, 3, 17, 65], [1, 2, 7, 17, 65], [1, 3, 17, 65]))
        self.layers, self.sides = draw.choice([1, 1, 2, 3]), draw.choice([1, 1, 2])
        options = {"bias": draw.random() < 0.8, "bidirectional": self.sides == 2, "batch_first": draw.random() < 0.5}
        more = {} if kind == "GRU" else {"nonlinearity": draw.choice(["tanh", "relu"])}
        self.theirs = theirs(C, H, self.layers, dtype=dtype, **options, **more)
        self.ours = ours(C, H, self.layers, dtype=dtype, **options, **more)
        self.ours.load_state_dict(self.theirs.state_dict())
        self.train = draw.random() < 0.5
        self.ours.recompute_gates = draw.random() < 0.3
        rows = (N, T) if options["batch_first"] else (T, N)
        self.x = torch.randn(*rows, C, dtype=dtype)
        states = torch.randn(2, self.layers * self.sides, N, H, dtype=dtype)
        self.h0 = states[0] if draw.random() < 0.6 else None
        self.named: dict[str, Tensor] = {}
        if draw.random() < 0.3:
            self.named["lengths"] = torch.randint(0, T + 1, (N,))
        if draw.random() < 0.3:
            self.named["reset"] = torch.rand(rows) < 0.3
            if draw.random() < 0.5:
                self.named["reset_to"] = states[1]
        kinds = [hs.set, hs.scale, hs.add]
        self.edits = [
            draw.choice(kinds)(self.place(draw), draw.uniform(-1, 1), unit=draw.choice([None, draw.randrange(H)]))
            for _ in range(draw.choice([0, 0, 1, 3]))
        ]

    def place(self, draw: random.Random) -> str:
        side = draw.choice(["", "r"]) if self.sides == 2 else ""
        return f"l{draw.randrange(self.layers)}{side}.{draw.choice(self.places)}"

    def run(self, gru: Any, *, reference: bool = False, grad: bool = True) -> list[Tensor | None]:
        """The outputs and, with ``grad``, the gradients of everything."""
        named = self.named if gru is self.ours else {}
        x, h0, reset_to = (
            None if value is None else value.clone().requires_grad_(grad)
            for value in (self.x, self.h0, named.get("reset_to"))
        )
        named = named if reset_to is None else {**named, "reset_to": reset_to}
        edits = gru.edit(*self.edits) if gru is self.ours and self.edits else nullcontext()
        with hs.backend("reference") if reference else nullcontext(), edits, torch.set_grad_enabled(grad):
            out, h_n = gru.train(self.train)(x, h0, **named)
        if not out.requires_grad:
            return [out, h_n]
        leaves = [value for value in (x, h0, reset_to) if value is not None]
        weighed = (
            out.double() * torch.linspace(-1, 1, out.numel()).view(out.shape)
        ).sum() + h_n.double().square().sum()
        return [out, h_n, *torch.autograd.grad(weighed, [*leaves, *gru.parameters()], allow_unused=True)]

    def in_float64(self, *, grad: bool, monkeypatch: pytest.MonkeyPatch) -> list[Tensor | None]:
        """The same by the reference in float64, with relu's derivative where it is 1 in this run.

        A pre-activation that is rounded past 0 has the other derivative, and then gradients differ by as much as they
        are, however small the error.
        """
        exact = copy.copy(self)
        exact.ours = copy.deepcopy(self.ours).double()
        exact.x, exact.h0 = self.x.double(), None if self.h0 is None else self.h0.double()
        exact.named = {name: v.double() if v.is_floating_point() else v for name, v in self.named.items()}
        if getattr(self.ours, "nonlinearity", None) == "relu":
            above = self.above_zero()
            gate: Any = lambda pre: pre * next(above)  # noqa: E731
            cell = replace(rnn.RNN_RELU, step=partial(rnn.step, gate))
            monkeypatch.setitem(CELLS, cell.name, cell)
        found = exact.run(exact.ours, reference=True, grad=grad)
        monkeypatch.undo()
        return found

    def above_zero(self) -> Iterator[Tensor]:
        """Where this run's pre-activations are, ``[N, H]``, in the order in which the reference computes them."""
        with self.ours.edit(*self.edits) if self.edits else nullcontext():
            trace = self.ours.trace(self.x, self.h0, **self.named)
        for layer in range(self.layers):
            for side in range(self.sides):
                pre = trace[f"l{layer}{'r' * side}.h_pre"]
                pre = pre.transpose(0, 1) if self.ours.batch_first else pre
                yield from (pre[t] > 0 for t in reading_order(len(pre), bool(side)))


def assert_close(found: list[Tensor | None], wanted: list[Tensor | None], dtype: torch.dtype, what: object) -> None:
    for k, (got, want) in enumerate(zip(found, wanted, strict=True)):
        if got is None or want is None:
            assert not any(value is not None and value.any() for value in (got, want)), (what, k)
        elif want.numel():
            assert got.dtype is want.dtype
            assert (got - want).abs().max() <= TOLERANCE[dtype] * (1e-3 + want.abs().max()), (what, k)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_random_calls_are_the_references_and_torchs(kind: str, dtype: torch.dtype) -> None:
    # In bfloat16 torch's own gradients may be far from float64's: ours are held to those, below.
    compared = slice(2 if dtype is torch.bfloat16 else None)
    for seed in range(25):
        case = Case(kind, seed, dtype)
        grad = seed % 3 > 0
        found = case.run(case.ours, grad=grad)[compared]
        assert_close(found, case.run(case.ours, reference=True, grad=grad)[compared], dtype, seed)
        if not case.named and not case.edits:
            assert_close(found, case.run(case.theirs, grad=grad)[compared], dtype, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_near_to_float64(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for seed in range(25):
        case, grad = Case(kind, seed, torch.bfloat16), seed % 3 > 0
        found, exact = case.run(case.ours, grad=grad), case.in_float64(grad=grad, monkeypatch=monkeypatch)
        errors.append(max(map(relative_error, found, exact)))
    assert statistics.median(errors) <= 0.01
    assert max(errors) <= 0.15  # relu lets the errors of many steps grow: torch's are as large, or larger


def relative_error(got: Tensor | None, want: Tensor | None) -> float:
    if got is None or want is None or not want.numel():
        assert (got is None) == (want is None)
        return 0.0
    return float((got - want).detach().abs().max() / (1e-3 + want.detach().abs().max()))


@pytest.mark.skipif(not kernels.isas(), reason="there is no native module")
@pytest.mark.parametrize("kind", KINDS)
def test_they_run_natively(kind: str) -> None:
    ours, x = KINDS[kind][0], torch.ones(5, 2, 3)
    layer = ours(3, 4)
    has_fast = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # torch 2.8 has no such table
    assert layer.path(x).name == ("fast" if has_fast else "native")
    assert layer.path(x, reset=torch.zeros(5, 2, dtype=torch.bool)).name == "native"
    assert ours(3, 4, dtype=torch.bfloat16).path(x.bfloat16()).name == "native"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_records_with_gradients(kind: str, dtype: torch.dtype) -> None:
    for layers in (1, 2):
        layer, x = KINDS[kind][0](3, 17, layers, dtype=dtype), torch.randn(5, 4, 3, dtype=dtype)
        found: list[list[Tensor | None]] = []
        for reference in (False, True):
            with hs.backend("reference") if reference else nullcontext():
                trace = layer.trace(x)
            values = [trace[name] for name in trace.names]
            weighed = torch.stack([(k + 1) * value.double().square().sum() for k, value in enumerate(values)]).sum()
            found.append([*values, *torch.autograd.grad(weighed, list(layer.parameters()))])
        assert_close(found[0], found[1], dtype, layers)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_the_whole_call(kind: str, dtype: torch.dtype) -> None:
    for layers, units in ((1, 3), (2, 17), (1, 65), (2, 130)):
        layer, x = KINDS[kind][0](7, units, layers, dtype=dtype), torch.randn(9, 4, 7, dtype=dtype)
        with torch.no_grad():
            want, _ = layer(x)
            stream = layer.stream(4)
            got = torch.stack([stream.step(one) for one in x])
        assert_close([got], [want], dtype, (layers, units))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_extremes_of_a_plain_rnn(nonlinearity: str) -> None:
    """Infinite, NaN and huge numbers give torch's results, and so do their gradients."""
    theirs = nn.RNN(3, 5, nonlinearity=nonlinearity)
    ours = hs.RNN(3, 5, nonlinearity=nonlinearity)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 6, 3)
    x[1, :5, 0] = torch.tensor([float("inf"), -float("inf"), float("nan"), 3e38, -1e-45])
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        out, h_n = layer(given)
        found.append([out, h_n, *torch.autograd.grad(out.nan_to_num().sum(), given)])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True, atol=1e-6, rtol=1e-5)


def test_rows_of_no_steps_of_a_plain_rnn() -> None:
    rnn, h0 = hs.RNN(3, 5, 2), torch.randn(2, 4, 5, requires_grad=True)
    out, h_n = rnn(torch.randn(3, 4, 3), h0, lengths=torch.tensor([0, 3, 0, 1]))
    assert torch.equal(h_n[:, [0, 2]], h0[:, [0, 2]])
    assert not out[:, [0, 2]].any()
    (gradient,) = torch.autograd.grad(h_n.sum(), h0)
    assert torch.equal(gradient[:, [0, 2]], torch.ones(2, 2, 5))
