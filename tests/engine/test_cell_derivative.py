"""Steps of cells in a loop with gradients: torch's numbers, and the single node that the steps share with the
weights."""

import gc
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.engine import cell_steps, kernels

CELLS: list[tuple[Any, Any]] = [(hs.LSTMCell, nn.LSTMCell), (hs.GRUCell, nn.GRUCell)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.1}


def loop(cell: Any, xs: Tensor, state: Any) -> list[Tensor]:
    """The hidden states of a loop of steps, and the last state."""
    seen = []
    for x in xs:
        state = cell(x, state)
        seen.append(state[0] if isinstance(state, tuple) else state)
    return [*seen, *(state if isinstance(state, tuple) else (state,))]


def loss(seen: list[Tensor]) -> Tensor:
    return torch.stack([(k + 1) * one.double().square().sum() for k, one in enumerate(seen)]).sum()


def drawn(draw: random.Random, cells: tuple[Any, Any], dtype: torch.dtype) -> tuple[Any, Any, Tensor, Any]:
    """Our cell, torch's cell with the same weights, inputs, and a state."""
    C, H, N = draw.choice([1, 3, 17, 65]), draw.choice([1, 3, 17, 65, 130]), draw.choice([1, 2, 3, 5, 17, 65])
    ours, theirs = (cell(C, H, bias=True, dtype=dtype) for cell in cells)
    ours.load_state_dict(theirs.state_dict())
    states = torch.randn(2, N, H, dtype=dtype)
    state = tuple(states) if cells[0] is hs.LSTMCell else states[0]
    return ours, theirs, torch.randn(draw.choice([1, 3]), N, C, dtype=dtype), draw.choice([None, state])


def given(xs: Tensor, state: Any) -> tuple[Tensor, Any, list[Tensor]]:
    """The inputs and the state as new leaves, and a list of all of them."""
    xs = xs.clone().requires_grad_()
    parts = () if state is None else state if isinstance(state, tuple) else (state,)
    leaves = [part.clone().requires_grad_() for part in parts]
    return xs, None if state is None else tuple(leaves) if isinstance(state, tuple) else leaves[0], [xs, *leaves]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("cells", CELLS)
def test_a_loop_is_torchs_outputs_and_gradients(cells: tuple[Any, Any], dtype: torch.dtype) -> None:
    for seed in range(25):
        torch.manual_seed(seed)
        ours, theirs, xs, state = drawn(random.Random(seed), cells, dtype)
        found = []
        for cell in (ours, theirs):
            inputs, begin, leaves = given(xs, state)
            seen = loop(cell, inputs, begin)
            found.append([*seen, *torch.autograd.grad(loss(seen), [*leaves, *cell.parameters()])])
        for got, want in zip(*found, strict=True):
            gap = (got - want).abs().max() / (1e-3 + want.abs().max())
            assert gap <= TOLERANCE[dtype], (seed, xs.shape, state is None)


@pytest.mark.parametrize("cells", [*CELLS, (hs.RNNCell, nn.RNNCell)])
def test_steps_on_slices_of_a_batch_are_native(cells: tuple[Any, Any]) -> None:
    ours, theirs = (cell(5, 17) for cell in cells)
    ours.load_state_dict(theirs.state_dict())
    xs, states = torch.randn(3, 4, 5), torch.randn(3, 2, 17)
    found = []
    for cell in (ours, theirs):
        x, begin = xs.clone().requires_grad_(), states.clone().requires_grad_()
        state = (begin[:, 0], begin[:, 1]) if cells[0] is hs.LSTMCell else begin[:, 1]
        if cell is ours:
            assert not x[:, 0].is_contiguous()
            has_table = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # torch 2.8 has none, and no native step
            assert cell.path(x[:, 0], state).name == ("native" if has_table and kernels.isa() else "torch")
        with torch.no_grad():
            plain = loop(cell, x.unbind(1), state)  # type: ignore[arg-type]
        seen = loop(cell, x.unbind(1), state)  # type: ignore[arg-type]
        found.append([*plain, *seen, *torch.autograd.grad(loss(seen), [x, begin, *cell.parameters()])])
    for got, want in zip(*found, strict=True):
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cells", CELLS)
def test_each_backward_pass_has_its_own_sums(cells: tuple[Any, Any]) -> None:
    ours, theirs, xs, state = drawn(random.Random(3), cells, torch.float64)
    found = []
    for cell in (ours, theirs):
        inputs, begin, _ = given(xs, state)
        first, second = loss(loop(cell, inputs, begin)), loss(loop(cell, 2 * inputs, begin))
        # A pass that needs no gradient of the weights leaves nothing for the next one.
        torch.autograd.grad(first, [inputs], retain_graph=True)
        twice = [torch.autograd.grad(first, list(cell.parameters()), retain_graph=True) for _ in range(2)]
        assert all(map(torch.equal, *twice))
        first.backward(retain_graph=True)
        (first + second).backward()
        found.append([parameter.grad for parameter in cell.parameters()])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("cells", CELLS)
def test_what_needs_no_gradient_gets_none(cells: tuple[Any, Any]) -> None:
    ours, theirs, xs, state = drawn(random.Random(5), cells, torch.float64)
    found = []
    for cell in (ours, theirs):
        cell.weight_hh.requires_grad_(False)
        cell.bias_ih.requires_grad_(False)
        loss(loop(cell, xs, state)).backward()
        found.append([parameter.grad for parameter in cell.parameters()])
        for parameter in cell.parameters():
            parameter.requires_grad_(False)
        assert not loop(cell, xs, state)[0].requires_grad
    for got, want in zip(*found, strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("cells", CELLS)
def test_second_derivatives(cells: tuple[Any, Any]) -> None:
    cell = cells[0](1, 2, dtype=torch.float64)
    x, *states = (torch.randn(1, size, dtype=torch.float64, requires_grad=True) for size in (1, 2, 2))
    states = states[: 2 if cells[0] is hs.LSTMCell else 1]

    def step(x: Tensor, *others: Tensor) -> Any:
        return cell(x, tuple(others[: len(states)]) if len(states) > 1 else others[0])

    assert torch.autograd.gradgradcheck(step, (x, *states, *cell.parameters()))


def test_writing_into_what_a_step_returned_is_as_in_torch() -> None:
    cell, other = hs.LSTMCell(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict(other.state_dict())
    found = []
    for one in (cell, other):
        h, c = one(torch.ones(2, 3))
        c[0] = 0  # a row starts again
        h, c = one(torch.ones(2, 3), (h, c))
        found.append(torch.autograd.grad(h.sum() + c.sum(), list(one.parameters())))
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want)
    for one in (cell, other):
        h, c = one(torch.ones(2, 3))
        later = one(torch.ones(2, 3), (h, c))[0].sum()
        with torch.no_grad():
            one.weight_hh += 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            later.backward()


def test_nothing_stays_when_the_graph_is_gone() -> None:
    def alive() -> int:  # dead references stay in the table until it is full
        return sum(each() is not None for each in [*cell_steps._sums.values()])

    cell = hs.LSTMCell(3, 4)
    gc.collect()
    before = alive()
    seen = loop(cell, torch.ones(5, 2, 3), None)
    if hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):  # torch 2.8 has no such table, and no native step
        assert alive() == before + 1
    loss(seen).backward()
    del seen
    gc.collect()
    assert alive() == before
