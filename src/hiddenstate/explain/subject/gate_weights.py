"""The weights of one layer and direction in float64, for computations outside the engine."""

from dataclasses import dataclass

from torch import Tensor

from hiddenstate.explain.subject.subject import Subject
from hiddenstate.structure.layer_direction import LayerDirection


@dataclass(frozen=True, eq=False)
class GateWeights:
    """One layer and direction in float64: ``W [4H, C]``, ``U [4H, P]``, ``b [4H]``; projection ``[P, H]`` or None."""

    W: Tensor
    U: Tensor
    b: Tensor
    projection: Tensor | None


def weights_of_gates(subject: Subject, layer: int, reverse: bool) -> GateWeights:
    """Return the weights of one layer and direction, gates stacked in the order of `names.GATES`, biases summed."""
    number = subject.sizes.layer_directions.index(LayerDirection(layer, reverse))
    stacked = subject.lstm._eval_twin()._weights()[number]
    W, U, b_ih, b_hh, hr = (None if value is None else value.detach().cpu().double() for value in stacked)
    assert W is not None
    assert U is not None
    b = W.new_zeros(len(W)) if b_ih is None or b_hh is None else b_ih + b_hh
    return GateWeights(W, U, b, hr)
