"""The cost of Python in a step of a stream: the whole step, and the native call in it."""

from functools import partial

import torch

import layers
from contestants import Contestant, itself
from hiddenstate.engine import kernels
from hiddenstate.nn.packed_weights import shared_weights
from measure import Pace, medians
from report import Column, Part, Row, Table, in_microseconds, microseconds
from shapes import Case, Shape

SHAPES = (Shape(1, 1, 64), Shape(1, 1, 128), Shape(1, 1, 256))
STEPS = 512
COLUMNS = (Column("us", "µs", in_microseconds),)


def table(pace: Pace) -> Table:
    """Measure the shapes, all in this process, which has no other threads."""
    parts = [Part(_name(shape), partial(_measure, shape, pace)) for shape in SHAPES if kernels.isa()]
    return Table("python_cost", "What Python costs in a step of a stream", COLUMNS, parts)


def _name(shape: Shape) -> str:
    return f"Python's part of a step ({shape})"


def _measure(shape: Shape, pace: Pace, seconds: float) -> list[Row]:
    """The whole step, the native call, and the difference; on one thread."""
    case, threads = Case(shape), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step, call = medians([layers.ours_stream(case), native_steps(case)], seconds, pace)
    finally:
        torch.set_num_threads(threads)
    figures = {"stream.step": step, "the native call in it": call, "the difference": step - call}
    return [{"regime": _name(shape), "contestant": what, "us": microseconds(time)} for what, time in figures.items()]


def native_steps(case: Case) -> Contestant:
    """The time per step of the kernel, in a call of so many steps that its overhead is negligible."""
    case_steps = case.x.expand(STEPS, -1, -1).contiguous()
    packed, state = shared_weights(case.ours).stepper(), case.zero_state()
    assert packed is not None
    return Contestant("the native steps", lambda: packed.run(case_steps, state)[-1], itself, scale=1 / STEPS)
