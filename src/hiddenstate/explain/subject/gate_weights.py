"""The weights of one layer and direction in float64, for computations outside the engine."""

from dataclasses import dataclass

from torch import Tensor

from hiddenstate.explain.subject.subject import Subject
from hiddenstate.structure.names import LayerDirection


@dataclass(frozen=True, eq=False)
class GateWeights:
    """One layer and direction in float64, for G gates; biases are zero if there are none."""

    W: Tensor  # [G*H, C]
    U: Tensor  # [G*H, P]
    b_ih: Tensor  # [G*H]
    b_hh: Tensor  # [G*H]
    projection: Tensor | None  # [P, H]

    @property
    def b(self) -> Tensor:
        """The sum of both biases."""
        return self.b_ih + self.b_hh


def weights_of_gates(subject: Subject, layer: int, reverse: bool) -> GateWeights:
    """Return the weights of one layer and direction, gates stacked in the cell's order."""
    number = subject.sizes.layer_directions.index(LayerDirection(layer, reverse))
    stacked = subject.lstm._eval_twin()._weights()[number]
    W, U, b_ih, b_hh, hr = (None if value is None else value.detach().cpu().double() for value in stacked)
    assert W is not None
    assert U is not None
    none = W.new_zeros(len(W))
    return GateWeights(W, U, none if b_ih is None else b_ih, none if b_hh is None else b_hh, hr)
