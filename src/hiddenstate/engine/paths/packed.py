"""Runs single steps of all layers on packed weights, for streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.torch_internals import FORWARD_LEVEL, STREAM_INTERCEPTORS, interception
from hiddenstate.cells.cell import Weights
from hiddenstate.engine import kernels, native
from hiddenstate.engine.call import Call, CallResult
from hiddenstate.engine.kernels import Kernel, new
from hiddenstate.errors import ConcurrentUseError
from hiddenstate.structure.sizes import Sizes

if TYPE_CHECKING:
    from hiddenstate.base.native_module import StreamStep

SHARED = (
    "this stream is running in another thread, and concurrent steps would corrupt its state: use one stream per "
    "thread, made by lstm.stream() or stream.fork()"
)


class PackedLSTM:
    """A copy of all weights, packed for single steps; ``outdated`` invalidates the native steps that use it."""

    def __init__(self, sizes: Sizes, weights: Sequence[Weights], kernel: Kernel, stored: Sequence[Tensor]) -> None:
        self.kernel = kernel
        self.is_half = any(value.dtype is torch.float16 for value in stored)  # float16, widened for a float32 kernel
        self._sizes = sizes
        self.packed = native.pack(sizes, weights, kernel)
        self.outdated: dict[str, bool] = {}
        # Keeps the weights' memory alive, so that no new tensor can get the same address and be mistaken for one of
        # them.
        self._memory = [value.detach() for value in stored]

    def equals(self, other: "PackedLSTM") -> bool:
        """Whether another copy has the same bytes, so that both compute the same steps."""
        return bool(self.packed.equals(other.packed))

    def run(self, x: Tensor, state: Sequence[Tensor]) -> Tensor:
        """Read ``x [T, N, C]``, update the states ``[L, N, H]`` in place, and return ``out [T, N, H]``."""
        h, *more = state
        wide, c = native.contiguous(x, self.kernel.element), more[0] if more else None
        out = native.forward(Call(self._sizes, (), wide, h, c, packed_steps=self.packed)).out
        return out.half() if self.is_half else out

    def quick(self, state: Sequence[Tensor]) -> "FastStep":
        """Return the quick step, which updates these states in place."""
        h, *more = state
        kernel, (_, N, H) = self.kernel, h.shape
        scratch = new(kernel.element, N, H)
        step = self.packed.stream_step(h, more[0] if more else None, scratch, self.is_half)
        step.keep((self, *state, scratch))
        step.tell(torch.autograd.graph.increment_version)
        step.refuse_with(ConcurrentUseError, SHARED)
        step.guard_idle(STREAM_INTERCEPTORS, *FORWARD_LEVEL)
        if kernel.element is kernel.real:
            dtype = np.dtype(np.float16 if self.is_half else str(kernel.element).removeprefix("torch."))
            step.take_numpy(np.ndarray, dtype, np.empty, (N, H), (H,))
        return FastStep(step, self, state)


class FastStep:
    """A native step, with the weights and states that it uses."""

    def __init__(self, step: "StreamStep", stepper: PackedLSTM, state: Sequence[Tensor]) -> None:
        self.native = step
        self.step, self.step_rows = step.step, step.step_rows
        self.stepper = stepper
        self._state = state

    def writes(self, state: Sequence[Tensor]) -> bool:
        """Whether it updates these state tensors."""
        return all(map(is_, state, self._state))


def why_not_pack(sizes: Sizes, stored: Sequence[Tensor | None]) -> str | None:
    """Return why the stored weights of a layer can't be packed, or None."""
    if sizes.proj_size:
        return "there is a projection"
    known = [value for value in stored if value is not None]
    if len(known) < len(stored):
        return "a weight is recomputed at each call (by a parametrization, for example), not a parameter"
    if any(value.layout is not torch.strided for value in known):
        return "a weight is sparse"
    types = dict.fromkeys(value.dtype for value in known if value.dtype is not torch.int8)
    if len(types) != 1:
        return f"the weights' types are mixed: {', '.join(map(str, types))}"
    (dtype,) = types
    is_int8 = any(value.dtype is torch.int8 for value in known)
    against = kernels.why_not(sizes.cell, dtype if is_int8 else kernels.computed_in(dtype), known)
    return against or interception(autocast=True)


@dataclass(eq=False)
class StreamSteps:
    """The next steps of a stream. Immutable."""

    count: int  # T
    hooks: Sequence[dict[int, Any]]  # the hooks of the layer, which would not run with packed weights
    is_observed: bool  # whether edits are active
    pack: Callable[[], tuple[PackedLSTM | None, str | None]]  # returns packed weights, or None and the reason
    call: Callable[[Tensor, tuple[Tensor, ...]], Call]  # makes the call that computes them from x [T, N, C] and a state

    @cached_property
    def packed(self) -> tuple[PackedLSTM | None, str | None]:
        """The result of the first call of ``pack``."""
        return self.pack()


# With more steps, it is faster to compute the input's part of all steps in one matrix product.
FEW_STEPS = 4


def run(steps: StreamSteps, x: Tensor, state: Sequence[Tensor]) -> CallResult:
    """Read ``x [T, N, C]`` on packed weights, and update the states in place."""
    stepper, _ = steps.packed
    assert stepper is not None
    h, *more = state
    return CallResult(stepper.run(x, state), h, more[0] if more else None)
