"""`GRUCell` and `RNNCell` against torch's cells and against the layers, step by step."""

import copy
import gc
import pickle
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.engine import cell_steps, kernels
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError
from support import share

KINDS: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "GRU": (hs.GRUCell, nn.GRUCell, {}),
    "RNN_TANH": (hs.RNNCell, nn.RNNCell, {}),
    "RNN_RELU": (hs.RNNCell, nn.RNNCell, {"nonlinearity": "relu"}),
}

# Cells step natively with versions of torch that expose their function table.
needs_native_steps = pytest.mark.skipif(
    kernels.isa() is None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"), reason="no native steps here"
)


def run(cell: Any, xs: Tensor, h: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """The states of a few steps, and the gradients of a sum of them."""
    states = []
    begin = h
    for x in xs:
        h = cell(x, h)
        states.append(h)
    weighed = torch.stack([(k + 1) * state.square().sum() for k, state in enumerate(states)]).sum()
    wanted = [xs, *([] if begin is None else [begin]), *cell.parameters()]
    return [state.detach() for state in states], list(torch.autograd.grad(weighed, wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_torchs_and_the_references(kind: str) -> None:
    ours, theirs, options = KINDS[kind]
    for seed in range(60):
        draw = random.Random(seed)
        C, H, bias = draw.choice([1, 3, 17]), draw.choice([1, 5, 65]), draw.random() < 0.7
        torch.manual_seed(1)
        cell = ours(C, H, bias, **options, dtype=torch.float64)
        torch.manual_seed(1)
        torchs = theirs(C, H, bias, **options, dtype=torch.float64)
        assert all(torch.equal(a, b) for a, b in zip(cell.parameters(), torchs.parameters(), strict=True))
        rows = draw.choice([None, 1, 4])
        xs = torch.randn(3, *([] if rows is None else [rows]), C).double().requires_grad_()
        h = torch.randn(*([] if rows is None else [rows]), H).double().requires_grad_() if seed % 2 else None
        want = run(torchs, xs, h)
        found = [run(cell, xs, h)]
        with hs.backend("reference"):
            found.append(run(cell, xs, h))
        for results in found:
            for a, b in zip((*results[0], *results[1]), (*want[0], *want[1]), strict=True):
                assert a.shape == b.shape
                assert share(a, b) <= 1e-10


class Loop(nn.Module):
    """A cell in a loop."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Tensor) -> Tensor:
        h: Any = None
        for x in xs:
            h = self.cell(x, h)
        assert isinstance(h, Tensor)
        return h


def test_the_steps_of_a_loop_are_one_trace_and_can_be_edited() -> None:
    for kind, (ours, _, options) in KINDS.items():
        cell = ours(3, 5, **options)
        model, xs = Loop(cell), torch.randn(4, 2, 3)
        trace = hs.trace(model, xs, pre=True)["cell"]
        assert (trace.cell, trace.length) == (kind, 4)
        layer: Any = hs.GRU(3, 5) if kind == "GRU" else hs.RNN(3, 5, nonlinearity=cell.nonlinearity)
        layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
        whole = layer.trace(xs, pre=True)
        assert trace.names == whole.names
        for name in trace.names:
            torch.testing.assert_close(trace[name], whole[name])
        torch.testing.assert_close(trace.state, whole.state[0][None])
        with hs.edit(model, hs.zero("cell.l0.h", unit=1)):
            assert not model(xs)[:, 1].any()
        with cell.edit(hs.zero("h_pre" if kind != "GRU" else "n_rh")):
            model(xs)


def test_copies_conversions_and_what_is_printed() -> None:
    for ours, theirs, options in KINDS.values():
        cell, x = ours(3, 5, **options), torch.randn(2, 3)
        assert repr(cell) == repr(cell.to_torch())
        for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), hs.from_torch(cell.to_torch())):
            assert type(other) is ours
            assert torch.equal(other(x), cell(x))
        model = hs.convert(Loop(theirs(3, 5, **options)))
        assert type(model.cell) is ours
        assert type(hs.convert_back(model).cell) is theirs


def test_wrong_arguments_are_refused_as_torch_refuses_them() -> None:
    x = torch.zeros(2, 3)
    wrong: list[tuple[Any, ...]] = [
        (torch.zeros(1, 2, 3),),
        (torch.zeros(2, 7),),
        (x, torch.zeros(2, 9)),
        (x, torch.zeros(3, 5)),
        (x, torch.zeros(1, 2, 5)),
    ]
    for ours, theirs, options in KINDS.values():
        cell, torchs = ours(3, 5, **options), theirs(3, 5, **options)
        for given in wrong:
            with pytest.raises(Exception) as of_torch:  # noqa: PT011 (whatever torch raises)
                torchs(*given)
            with pytest.raises(of_torch.type, match=r"."):
                cell(*given)
        with pytest.raises(ArgumentTypeError, match="only an LSTM has a cell state"):
            cell(x, (torch.zeros(2, 5), torch.zeros(2, 5)))
        with pytest.raises(ArgumentError, match="readout"):
            cell.edit(hs.zero("h", scope="readout"))
    with pytest.raises(ArgumentError, match="Select from"):
        hs.RNNCell(3, 5, nonlinearity="gelu")


@pytest.mark.parametrize("ours", [hs.LSTMCell, hs.GRUCell, hs.RNNCell])
def test_a_missing_argument_or_matrix_is_refused(ours: Any) -> None:
    cell = ours(3, 5)
    for grad in (True, False):
        with torch.set_grad_enabled(grad), pytest.raises(ArgumentTypeError, match="input must be a torch.Tensor"):
            cell(None)
    for name in ("weight_hh", "weight_ih"):
        setattr(cell, name, None)
        with pytest.raises(ArgumentError, match=f"{name} is missing"):
            cell(torch.zeros(2, 3))


@needs_native_steps  # torch reads freed memory unchecked
@pytest.mark.parametrize("freed", ["weight_ih", "weight_hh", "state"])
@pytest.mark.parametrize("ours", [hs.LSTMCell, hs.GRUCell])
def test_memory_that_is_freed_before_the_backward_pass_is_refused(ours: Any, freed: str) -> None:
    cell, state = ours(3, 5), torch.randn(2, 5, requires_grad=True)
    new = cell(torch.randn(2, 3), (torch.randn(2, 5), state) if ours is hs.LSTMCell else state)
    loss = (new[0] if ours is hs.LSTMCell else new).sum()
    getattr(cell, freed, state).untyped_storage().resize_(0)
    with pytest.raises(DtypeError, match="its memory was freed"):
        loss.backward()


@needs_native_steps
@pytest.mark.parametrize("ours", [hs.LSTMCell, hs.GRUCell, hs.RNNCell])
def test_hooks_of_nodes_may_replace_gradients(ours: Any) -> None:
    cell, x = ours(3, 5), torch.randn(4, 2, 3)

    def gradients(hooked: bool) -> tuple[Tensor, ...]:
        state = None
        for one in x:
            state = cell(one, state)
            h = state[0] if isinstance(state, tuple) else state
            if hooked:
                h.grad_fn.register_hook(
                    lambda given, _: tuple(each if each is None else each.clone() for each in given)
                )
                for node, _ in h.grad_fn.next_functions:
                    if node is not None:
                        node.register_prehook(
                            lambda given: tuple(each if each is None else each.clone() for each in given)
                        )
        return torch.autograd.grad(h.sum(), list(cell.parameters()))

    assert all(map(torch.equal, gradients(hooked=True), gradients(hooked=False)))


@needs_native_steps  # torch saves what a step needs
@pytest.mark.parametrize("ours", [hs.LSTMCell, hs.GRUCell])
def test_a_backward_pass_that_fails_keeps_nothing_alive(ours: Any) -> None:
    cell, x = ours(3, 5), torch.randn(2, 3)
    state = cell(x)
    sums = cell_steps._sums[id(cell.weight_hh)]
    h = state[0] if ours is hs.LSTMCell else state
    h.register_hook(lambda _grad: 1 / 0)
    last = cell(x, state)
    with pytest.raises(ZeroDivisionError):
        (last[0] if ours is hs.LSTMCell else last).sum().backward()
    known = sums()
    assert known is not None
    assert [left() for left in known.pending.values()] == [None]  # although the graph is alive
    del state, h, last, known
    gc.collect()
    assert sums() is None
