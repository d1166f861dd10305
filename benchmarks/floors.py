"""The minimum time that a float32 layer can take on this machine, from its ceilings.

An LSTM's layer and direction has two parts. The input's projection knows all steps beforehand: ``8·T·N·H·C`` operations
in floating point, on ``16·H·C`` bytes of weights that need to be read once. Its recurrence is serial in time: each step
costs ``8·N·H²`` operations and reads the ``16·H²`` bytes of recurrent weights again. Each part takes at least as long
as its operations at the peak of all threads, and at least as long as its reads from the level of memory in which the
weights fit, each core holding its share; the recurrence takes the longer of the two at every step. The directions of a
layer run at once, on the same cores.

So one step of one row is bound by reading ``4H(C + H)`` weights, a single long row by reading ``4H²`` of them a step,
and a large batch by ``8·T·N·H·(C + H)`` operations. Backward costs twice what forward costs: a product for the gradient
of what came in, and one for that of the weights. A GRU has three quarters of an LSTM's weights, and a plain RNN a
quarter.

A floor leaves out the sigmoids and tanhs, the writing of results, and the overhead of starting threads and calls.
"""

from ceilings import Ceilings
from shapes import Shape, live_share

FLOAT32_BYTES = 4
LSTM_GATES = 4


def forward(shape: Shape, ceilings: Ceilings, gates: int = LSTM_GATES) -> float:
    """Seconds of a forward run."""
    return sum(_layer(shape, C, ceilings, gates) for C in shape.input_sizes())


def training(shape: Shape, ceilings: Ceilings, gates: int = LSTM_GATES) -> float:
    """Seconds of a forward and backward run."""
    return 3 * forward(shape, ceilings, gates)


def ragged_forward(shape: Shape, ceilings: Ceilings) -> float:
    """Seconds of a forward run over the steps that the rows have."""
    return live_share(shape) * forward(shape, ceilings)


def ragged_training(shape: Shape, ceilings: Ceilings) -> float:
    """Seconds of a forward and backward run over the steps that the rows have."""
    return 3 * ragged_forward(shape, ceilings)


def _layer(shape: Shape, C: int, ceilings: Ceilings, gates: int) -> float:
    T, N, H = shape.T, shape.N, shape.H
    projection = _product(shape.directions * gates * H * C, T * N, ceilings)
    return projection + T * _product(shape.directions * gates * H * H, N, ceilings)


def _product(weights: int, rows: int, ceilings: Ceilings) -> float:
    """Seconds of a matrix product that uses each weight once for each row."""
    size = weights * FLOAT32_BYTES
    return max(2 * weights * rows / ceilings.flops.all, size / ceilings.read_rate(size))
