"""Single steps of all layers, natively, on weights packed once: what a stream runs on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate import native
from hiddenstate.engine import check_shapes
from hiddenstate.native import address, flat, new
from hiddenstate.reference import Weights
from hiddenstate.sizes import Sizes

# Weights that a second thread is worth waking for: it takes some microseconds, when it sleeps.
_LARGE = 2**18


class Stepper:
    """An LSTM packed for single steps: weights of all layers, input and recurrent side by side.

    It is a copy, of the weights as they were; who holds it sees to it that they still are.
    """

    def __init__(self, sizes: Sizes, weights: Sequence[Weights]) -> None:
        H, widths = sizes.hidden_size, [sizes.layer_input_size(layer) for layer in range(sizes.num_layers)]
        self._kernel = kernel = native.kernel(weights[0].ih.dtype)
        self._sizes = (sizes.input_size, H, sizes.num_layers)
        self._large = any(H * (K + H) >= _LARGE for K in widths)
        layers = [new(torch.uint8, kernel.scan.layer_bytes(K, H)) for K in widths]
        biases = [new(kernel.real, kernel.scan.bias_size(H)) for _ in widths]
        for K, w, packed, bias in zip(widths, weights, layers, biases, strict=True):
            check_shapes(w, K, H)
            elements, reals = [flat(value) for value in w[:2]], [flat(value, kernel.real) for value in w[2:4]]
            given = [address(value, kernel.element) for value in elements]
            given += [address(value, kernel.real) for value in reals]
            kernel.scan.pack_layer(*given, K, H, 1, packed.data_ptr(), bias.data_ptr())
        self._w, self._bias = torch.cat(layers), torch.cat(biases)
        self._at = (self._w.data_ptr(), self._bias.data_ptr())

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Read ``[T, N, C]``, write the states ``h`` and ``c [L, N, H]`` in place, give ``out [T, N, H]``."""
        T, N, _ = x.shape
        return self._steps(x, h, c, new(x.dtype, T, N, h.shape[2]), T, N)

    def single(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor | None:
        """Read ``[N, C]`` or, where N is 1, ``[C]``; give ``[N, H]`` or ``[H]``, or None for anything else."""
        (C, H, _), N, kernel = self._sizes, h.shape[1], self._kernel
        shape = x.shape if type(x) is Tensor else None
        if shape != (N, C) and not (N == 1 and shape == (C,)):
            return None
        # The states' types are asked too: they may have been made before the weights were converted.
        if not (x.dtype is h.dtype is kernel.element and c.dtype is kernel.real and x.is_cpu and c.is_cpu):
            return None
        out = new(kernel.element, H) if len(shape) == 1 else new(kernel.element, N, H)
        return self._steps(x, h, c, out, 1, N)

    def _steps(self, x: Tensor, h: Tensor, c: Tensor, out: Tensor, T: int, N: int) -> Tensor:
        given = x if x.is_contiguous() and not x.is_neg() else x.resolve_neg().contiguous()
        spare = new(x.dtype, N, h.shape[2])  # of its own: several streams, and threads, may share the packed weights
        addresses = (h.data_ptr(), c.data_ptr(), spare.data_ptr(), out.data_ptr())
        threads = torch.get_num_threads() if self._large else 1
        self._kernel.scan.steps(given.data_ptr(), *self._at, *addresses, T, N, *self._sizes, threads)
        return out
