"""Contestants that are layers, ours and torch's, in the ways in which they are called."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import hiddenstate as hs
from contestants import SAME, SAME_IN_BFLOAT16, Contestant, if_it_runs, itself, without_gradient
from shapes import Case

OURS = "hiddenstate"
PATCHED_STEP = 10


def ours(case: Case) -> Contestant:
    return _inference(OURS, lambda: case.ours(case.x)[0])


def ours_with_grad(case: Case) -> Contestant:
    return Contestant(f"{OURS}, eval with grad", lambda: case.ours(case.x)[0], itself)


def torch_no_grad(case: Case) -> Contestant:
    return _inference("torch, no_grad", lambda: case.theirs(case.x)[0])


def torch_with_grad(case: Case) -> Contestant:
    return Contestant("torch, eval with grad", lambda: case.theirs(case.x)[0], itself)


def ours_bfloat16(case: Case) -> Contestant:
    return _inference(f"{OURS}, bfloat16", lambda: case.ours_bfloat16(case.x_bfloat16)[0], SAME_IN_BFLOAT16)


def torch_bfloat16(case: Case) -> Contestant:
    return if_it_runs(
        lambda: _inference("torch, bfloat16", lambda: case.theirs_bfloat16(case.x_bfloat16)[0], SAME_IN_BFLOAT16)
    )


def ours_ragged(case: Case) -> Contestant:
    return _inference(OURS, lambda: case.ours(case.x, lengths=case.lengths)[0])


def torch_packed(case: Case) -> Contestant:
    # The output stays packed, as a loss over the steps would take it: padding is not part of the layer.
    return _inference("torch, packed", lambda: _packed_steps(case, case.x), shown=lambda steps: _padded(case, steps))


def ours_training(case: Case) -> Contestant:
    return _training(OURS, case.ours, lambda x: case.ours(x)[0], case.x)


def torch_training(case: Case) -> Contestant:
    return _training("torch", case.theirs, lambda x: case.theirs(x)[0], case.x)


def ours_ragged_training(case: Case) -> Contestant:
    return _training(OURS, case.ours, lambda x: case.ours(x, lengths=case.lengths)[0], case.x)


def torch_packed_training(case: Case) -> Contestant:
    return _training("torch, packed", case.theirs, lambda x: _packed_steps(case, x), case.x)


def ours_autocast(case: Case) -> Contestant:
    name, forward = f"{OURS}, autocast", _under_autocast(lambda x: case.ours(x)[0])
    return _training(name, case.ours, forward, case.x, SAME_IN_BFLOAT16)


def torch_autocast(case: Case) -> Contestant:
    name, forward = "torch, autocast", _under_autocast(lambda x: case.theirs(x)[0])
    return if_it_runs(lambda: _training(name, case.theirs, forward, case.x, SAME_IN_BFLOAT16))


def ours_trace(case: Case) -> Contestant:
    return Contestant(OURS, without_gradient(lambda: case.ours.trace(case.x)), lambda trace: trace.out)


def ours_reset(case: Case) -> Contestant:
    reset = torch.rand(case.x.shape[:2], generator=torch.Generator().manual_seed(1)) < 0.05
    return _inference(OURS, lambda: case.ours(case.x, reset=reset)[0])


class Patch(NamedTuple):
    """One patch of the sweep: the forget gate of a unit is closed at one step."""

    layer: int
    unit: int


def patches(case: Case) -> list[Patch]:
    """A different patch for each row: unit by unit, layer by layer."""
    return [Patch(row // case.shape.H % case.shape.L, row % case.shape.H) for row in range(case.shape.N)]


def ours_patch_sweep(case: Case) -> Contestant:
    edits = [
        hs.set(f"l{patch.layer}.f", unit=patch.unit, t=PATCHED_STEP, row=row, to=0.0)
        for row, patch in enumerate(patches(case))
    ]

    def sweep() -> Tensor:
        with case.ours.edit(*edits):
            out: Tensor = case.ours(case.x)[0]
            return out

    return _inference(OURS, sweep)


def ours_stream(case: Case) -> Contestant:
    return _stream(OURS, case.ours, case.x[0])


def ours_stream_bfloat16(case: Case) -> Contestant:
    return _stream(f"{OURS}, bfloat16", case.ours_bfloat16, case.x_bfloat16[0], SAME_IN_BFLOAT16)


def torch_stream(case: Case) -> Contestant:
    return _torch_stream("torch, no_grad", case.theirs, case.x, case.zero_state())


def torch_stream_bfloat16(case: Case) -> Contestant:
    state = tuple(part.bfloat16() for part in case.zero_state())
    lstm, x = case.theirs_bfloat16, case.x_bfloat16
    return if_it_runs(lambda: _torch_stream("torch, bfloat16", lstm, x, state, SAME_IN_BFLOAT16))


def _inference(
    name: str,
    run: Callable[[], Tensor],
    tolerance: float = SAME,
    shown: Callable[[Tensor], Tensor] = itself,
) -> Contestant:
    return Contestant(name, without_gradient(run), shown, tolerance)


def _training(
    name: str, lstm: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, tolerance: float = SAME
) -> Contestant:
    """Forward and backward, including the input's gradient, as for a layer above another one."""
    leaf = x.clone().requires_grad_()
    lstm.train()

    def run() -> Any:
        lstm.zero_grad()
        leaf.grad = None
        forward(leaf).float().sum().backward()
        return lstm.weight_hh_l0.grad

    return Contestant(name, run, itself, tolerance)


def _under_autocast(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return forward(x)

    return run


def _packed_steps(case: Case, x: Tensor) -> Tensor:
    packed: Tensor = case.theirs(pack_padded_sequence(x, case.lengths, enforce_sorted=False))[0].data
    return packed


def _padded(case: Case, steps: Tensor) -> Tensor:
    """Packed steps ``[sum of lengths, H]`` as ``[T, N, H]``."""
    order = pack_padded_sequence(case.x, case.lengths, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(order._replace(data=steps))[0]


def _stream(name: str, lstm: hs.LSTM, x: Tensor, tolerance: float = SAME) -> Contestant:
    stream = lstm.stream(len(x))
    return Contestant(name, lambda: stream.step(x), itself, tolerance)


def _torch_stream(
    name: str, lstm: nn.LSTM, x: Tensor, zeros: tuple[Tensor, ...], tolerance: float = SAME
) -> Contestant:
    state: Any = zeros if len(zeros) > 1 else zeros[0]

    def step() -> Tensor:
        nonlocal state
        out: Tensor
        out, state = lstm(x, state)
        return out[0]

    return _inference(name, step, tolerance)
