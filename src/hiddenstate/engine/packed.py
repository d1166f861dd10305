"""Single steps of all layers, natively, on weights packed once: what a stream runs on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from hiddenstate.engine import kernels
from hiddenstate.engine.kernels import address, flat, new
from hiddenstate.engine.native import check_shapes, threads
from hiddenstate.engine.reference import Weights
from hiddenstate.errors import ConcurrentUseError
from hiddenstate.structure.sizes import Sizes

if TYPE_CHECKING:
    from hiddenstate.engine.kernels import StreamStep

# Weights of a gate, times rows, from which on several threads can pay in a single step: less stays in one core's cache.
_SHARED_FROM = 2**15

SHARED = (
    "this stream is at work in another thread, and its state would be lost between the two: use one stream a thread, "
    "made by lstm.stream() or stream.fork()"
)


class Stepper:
    """An LSTM packed for single steps: weights of all layers, input and recurrent side by side.

    It is a copy, of the weights as they were; who holds it sees to it that they still are.
    """

    def __init__(self, sizes: Sizes, weights: Sequence[Weights]) -> None:
        H, widths = sizes.hidden_size, [sizes.layer_input_size(layer) for layer in range(sizes.num_layers)]
        self.kernel = kernel = kernels.kernel(weights[0].ih.dtype)
        self._sizes = (sizes.input_size, H, sizes.num_layers)
        self._weights = max(H * (K + H) for K in widths)
        nbytes, L = [kernel.scan.layer_bytes(K, H) for K in widths], sizes.num_layers
        self._w, self._bias = new(torch.uint8, sum(nbytes)), new(kernel.real, L * kernel.scan.bias_size(H))
        for K, w, packed, bias in zip(widths, weights, self._w.split(nbytes), self._bias.chunk(L), strict=True):
            check_shapes(w, K, H, H)
            elements, reals = [flat(value) for value in w[:2]], [flat(value, kernel.real) for value in w[2:4]]
            given = [address(value, kernel.element) for value in elements]
            given += [address(value, kernel.real) for value in reals]
            kernel.scan.pack_layer(*given, K, H, 1, packed.data_ptr(), bias.data_ptr())
        # Kept from being given to other weights, which could not be told from these by where they lie.
        self._memory = [value.detach() for w in weights for value in w if value is not None]

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Read ``[T, N, C]``, write the states ``h`` and ``c [L, N, H]`` in place, give ``out [T, N, H]``."""
        T, N, _ = x.shape
        (C, H, L), kernel = self._sizes, self.kernel
        given = flat(x)
        spare = new(kernel.element, N, H)  # of its own: several streams, and threads, may share the packed weights
        out = new(kernel.element, T, N, H)
        kernel.scan.steps(
            *(address(given, kernel.element), self._w.data_ptr(), self._bias.data_ptr()),
            *(address(h, kernel.element), address(c, kernel.real), spare.data_ptr(), out.data_ptr()),
            *(T, N, C, H, L, threads(T, N, C, H) if T > 1 else 1),
        )
        return out

    def quick(self, h: Tensor, c: Tensor) -> "QuickStep":
        """Make the shortest way to a step that writes these states in place."""
        (C, H, L), kernel, N = self._sizes, self.kernel, h.shape[1]
        spare = new(kernel.element, N, H)
        step = kernel.scan.stream_step(
            *(self._w.data_ptr(), self._bias.data_ptr()),
            *(address(h, kernel.element), address(c, kernel.real), spare.data_ptr()),
            *(N, C, H, L, torch.get_num_threads() if N * self._weights >= _SHARED_FROM else 1),
        )
        step.keep((self, h, c, spare))
        step.tell(torch.autograd.graph.increment_version)
        step.refuse_with(ConcurrentUseError, SHARED)
        step.guard_idle([torch._C._are_functorch_transforms_active], forward_ad, "_current_level")
        like = new(kernel.element, N, H)
        step.take_torch(Tensor, kernel.element, torch.empty_like, like, like[0])
        if kernel.element is kernel.real:
            dtype = np.dtype(str(kernel.element).removeprefix("torch."))
            step.take_numpy(np.ndarray, dtype, np.empty, (N, H), (H,))
        return QuickStep(step, self, (h, c))


class QuickStep:
    """A native step, and whose weights and states it is for."""

    def __init__(self, step: "StreamStep", stepper: Stepper, state: tuple[Tensor, Tensor]) -> None:
        self.native = step
        self.step = step.step
        self.stepper = stepper
        self._state = state

    def writes(self, state: tuple[Tensor, Tensor]) -> bool:
        """Whether it is these states that it writes."""
        return state[0] is self._state[0] and state[1] is self._state[1]
