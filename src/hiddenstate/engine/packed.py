"""Single steps of all layers on packed weights, for streams."""

from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from hiddenstate.cells.cell import Weights
from hiddenstate.engine import native
from hiddenstate.engine.call import Call
from hiddenstate.engine.interception import STREAM_INTERCEPTORS
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
    """An LSTM packed for single steps: weights of all layers, input and recurrent side by side.

    It is a copy of the weights. When they change, the owner packs them again and fills ``outdated``, which invalidates
    the native steps that use this copy.
    """

    def __init__(self, sizes: Sizes, weights: Sequence[Weights], kernel: Kernel, stored: Sequence[Tensor]) -> None:
        self.kernel = kernel
        self._sizes = sizes
        self.packed = native.pack(sizes, weights, kernel)
        self.outdated: dict[str, bool] = {}
        # Keeps the weights' memory alive, so that no new tensor can get the same address and be mistaken for one of
        # them.
        self._memory = [value.detach() for value in stored]

    def run(self, x: Tensor, state: Sequence[Tensor]) -> Tensor:
        """Read ``x [T, N, C]``, update the states ``[L, N, H]`` in place, and return ``out [T, N, H]``."""
        h, *more = state
        c = more[0] if more else None
        return native.forward(Call(self._sizes, (), native.contiguous(x), h, c, packed_steps=self.packed)).out

    def quick(self, state: Sequence[Tensor]) -> "FastStep":
        """Make the quick step, which updates these states in place."""
        h, *more = state
        kernel, (_, N, H) = self.kernel, h.shape
        scratch = new(kernel.element, N, H)
        step = self.packed.stream_step(h, more[0] if more else None, scratch)
        step.keep((self, *state, scratch))
        step.tell(torch.autograd.graph.increment_version)
        step.refuse_with(ConcurrentUseError, SHARED)
        step.guard_idle(STREAM_INTERCEPTORS, forward_ad, "_current_level")
        if kernel.element is kernel.real:
            dtype = np.dtype(str(kernel.element).removeprefix("torch."))
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
