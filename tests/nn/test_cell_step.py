"""A native step of `hs.LSTMCell`: when it is not taken, and how torch sees its results."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import hiddenstate as hs
from hiddenstate.base.torch_internals import interception
from hiddenstate.engine import kernels


def _mode(name: str) -> AbstractContextManager[Any]:
    class Passing(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    modes: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "none": nullcontext,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "dispatch": Passing,
        "forward": forward_ad.dual_level,
    }
    return modes[name]()


@pytest.mark.parametrize("name", ["none", "autocast", "dispatch", "forward", "vmap", "trace"])
def test_a_native_step_stands_back_where_interception_says_why(name: str) -> None:
    cell, found = hs.LSTMCell(4, 3), []

    def look(x: torch.Tensor) -> torch.Tensor:
        state = (torch.zeros(1, 3), torch.zeros(1, 3))
        done = kernels.cell_steps["LSTM"].run(torch.zeros(1, 4), state, cell._parameters, (4, 3))
        found.append((done is None, interception() is not None))
        return x * 1

    with torch.no_grad(), _mode(name if name not in ("vmap", "trace") else "none"):
        if name == "vmap":
            torch.vmap(look)(torch.zeros(2, 4))
        elif name == "trace":
            torch.jit.trace(look, torch.zeros(2), check_trace=False)
        else:
            look(torch.zeros(2))
    served = name == "none" and hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # torch 2.8 has no such table
    assert found == [(not served, name != "none")]


def test_what_a_step_without_gradients_gives_is_torchs_own_tensor() -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            got, want = cell(x), nn.LSTMCell(4, 3)(x)
        for one, should in zip(got, want, strict=True):
            assert type(one) is torch.Tensor
            for name in ("dtype", "device", "layout", "is_leaf", "requires_grad", "grad_fn", "_base"):
                assert getattr(one, name) == getattr(should, name), name
            assert one.is_inference() is should.is_inference()
            assert one.stride() == should.stride()
            assert one.untyped_storage().nbytes() == should.untyped_storage().nbytes()
    h, c = got
    assert h.untyped_storage().data_ptr() != c.untyped_storage().data_ptr()


def test_results_are_freed() -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    with torch.no_grad():
        cell(x)
        gc.collect()
        before = sum(type(one) is torch.Tensor for one in gc.get_objects())
        for _ in range(100):
            cell(x)
        assert sum(type(one) is torch.Tensor for one in gc.get_objects()) <= before + 10


def test_steps_of_large_cells_are_the_same_again_and_again() -> None:
    # They alternate the order in which units are computed.
    cells, x = [hs.LSTMCell(64, units) for units in (129, 200, 333)], torch.randn(3, 64)
    with torch.no_grad():
        first = [cell(x) for cell in cells]
        for _ in range(3):
            for cell, want in zip(cells, first, strict=True):
                assert all(map(torch.equal, cell(x), want))


def test_so_many_rows_of_nothing_that_no_memory_holds_their_states_fail_as_torchs_do() -> None:
    x = torch.empty(2**60 + 1, 0)
    for cell in (hs.LSTMCell(0, 4), nn.LSTMCell(0, 4)):
        with torch.no_grad(), pytest.raises(RuntimeError):
            cell(x)


def _times_three(weights: list[Tensor], _: Tensor) -> None:
    for weight in weights:
        weight.mul_(3)


def _flat_times_two(_: list[Tensor], flat: Tensor) -> None:
    flat.mul_(2)


def _detached(weights: list[Tensor], _: Tensor) -> None:
    for weight in weights:
        weight.detach_().requires_grad_()


@pytest.mark.parametrize("write", [_times_three, _flat_times_two, _detached])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_weights_written_in_place_between_steps_have_torchs_gradients(name: str, write: Any) -> None:
    ours = getattr(hs, name)(5, 7)
    theirs = getattr(nn, name)(5, 7)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, 5)
    found = []
    for cell in (ours, theirs):
        parameters = [p.detach().clone().requires_grad_() for p in theirs.parameters()]
        flat = torch.cat([p.flatten() for p in parameters])
        if write is _flat_times_two:
            sizes = [p.numel() for p in parameters]
            weights = [flat[sum(sizes[:k]) : sum(sizes[: k + 1])].view_as(p) for k, p in enumerate(parameters)]
        else:
            weights = [p * 1 for p in parameters]
        named = dict(zip([n for n, _ in theirs.named_parameters()], weights, strict=True))
        kept = torch.func.functional_call(cell, named, (x[0],))  # its graph lives on
        write(weights, flat)
        state = None
        for step in x[1:]:
            state = torch.func.functional_call(cell, named, (step, state))
        h = state[0] if isinstance(state, tuple) else state
        assert isinstance(h, Tensor)
        h.sum().backward()
        found.append([p.grad for p in (*parameters, *(w for w in weights if w.is_leaf))])
        del kept
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-5)
