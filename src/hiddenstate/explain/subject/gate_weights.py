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
    ends = LayerDirection(layer, reverse).suffix

    def found(stem: str) -> Tensor:
        value = subject.lstm._parameter(stem + ends)
        return value.detach().cpu().double()

    W, sizes = found("weight_ih"), subject.sizes
    b = found("bias_ih") + found("bias_hh") if sizes.bias else W.new_zeros(len(W))
    return GateWeights(W, found("weight_hh"), b, found("weight_hr") if sizes.proj_size else None)
