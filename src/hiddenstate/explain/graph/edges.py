"""The contributions to a cell state or target with gates held fixed; they sum to its value.

With i, f, o held fixed and tanh replaced by its secant, a cell state is a sum: its previous value times f (memory)
plus, times i and the secant, the parts of the layer's input at this step, its hidden state at the previous step
(recurrent) and the bias of g. The memory of a GRU or a plain RNN, which is its hidden state, is also such a sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hiddenstate.explain.attribution.frozen import FrozenLayer, frozen_layer
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Readout
from hiddenstate.tracing.trace import Trace


class Cell(NamedTuple):
    """One unit's memory at one step, in one layer and direction such as ``l0``."""

    layer_direction: str
    t: int
    unit: int
    memory: str = "c"


class Word(NamedTuple):
    """The input of one step."""

    t: int


# Other sources are named: the candidate's bias, the initial state, the head's bias.
Source = Cell | Word | str


class Inflow(NamedTuple):
    """The amount that one source adds to a node's value."""

    source: Source
    kind: str
    amount: float


@dataclass(frozen=True, eq=False)
class Inflows:
    """Contributions in one run, by node. Float64.

    Attributes:
        subject: a subject with one row.
        layers: each layer and direction, by name.
        readout: what a target reads.
    """

    subject: Subject
    layers: dict[str, FrozenLayer]
    readout: Readout

    def value(self, cell: Cell) -> float:
        """Return the value of a memory."""
        return float(self.layers[cell.layer_direction].values[cell.memory][cell.t, cell.unit])

    def into(self, cell: Cell) -> Iterator[Inflow]:
        """Yield everything that flows into a cell state."""
        part, t = self.layers[cell.layer_direction], cell.t
        place, write = part.place, part.split.write[t, cell.unit]
        yield Inflow(f"bias of {part.kind.candidate}", "bias", float(write * part.bias[t, cell.unit]))
        if place.layer == 0:
            yield Inflow(Word(t), "input", float(write * (part.W[cell.unit] @ part.inputs[t])))
        else:
            yield from self._below(part, t, write * part.W[cell.unit])
        memory = part.split.keep[t, cell.unit] * part.before[part.memory][t, cell.unit]
        reads = write * part.scale[t, cell.unit] * part.U[cell.unit]
        before = t + 1 if place.reverse else t - 1
        if 0 <= before < self.subject.T:
            yield Inflow(cell._replace(t=before), "memory", float(memory))
            shown = _mixed(part, reads) * part.split.show[before] * part.values[part.memory][before]
            if not bool(part.before["h"][t].any()):  # a reset is in between
                return
            for unit, amount in enumerate(shown.tolist()):
                yield Inflow(cell._replace(t=before, unit=unit), "recurrent", amount)
        else:
            begun = reads @ part.before["h"][t] + memory
            yield Inflow("initial state", "initial", float(begun))

    def into_target(self) -> Iterator[Inflow]:
        """Yield everything that flows into the target."""
        t = self.readout.t
        yield Inflow("head's bias", "bias", self.readout.bias)
        for place, vector in self.readout.vectors.items():
            name = place.layer_direction.name
            part = self.layers[name]
            c = part.values[part.memory][t]
            amounts = vector * c if place.quantity == part.memory else _mixed(part, vector) * part.split.show[t] * c
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(Cell(name, t, unit, part.memory), "read", amount)

    def _below(self, part: FrozenLayer, t: int, weights: Tensor) -> Iterator[Inflow]:
        """Yield the contributions of the cells in the layer below, through their outputs at this step."""
        sizes = self.subject.sizes
        sides = sizes.directions_in(part.place.layer - 1)
        for each, vector in zip(sides, weights.split(sizes.output_size), strict=True):
            below = self.layers[each.name]
            amounts = _mixed(below, vector) * below.split.show[t] * below.values[below.memory][t]
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(Cell(each.name, t, unit, below.memory), "below", amount)


def _mixed(part: FrozenLayer, vector: Tensor) -> Tensor:
    """Convert a vector ``[P]`` over hidden states to one over units ``[H]``."""
    return vector if part.projection is None else vector @ part.projection


def prepare_inflows(subject: Subject, trace: Trace, readout: Readout) -> Inflows:
    """Prepare the contributions of one run."""
    layers = {each.name: frozen_layer(subject, trace, each) for each in subject.sizes.layer_directions}
    return Inflows(subject, layers, readout)
