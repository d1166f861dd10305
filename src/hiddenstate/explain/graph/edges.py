"""The contributions to a cell state or target with gates held fixed; they sum to its value.

With i, f, o held fixed and tanh replaced by its secant, a cell state is a sum: its previous value times f (memory),
and, times i and the secant, the layer's input at this step, the layer's hidden state of the previous step (recurrent)
and the bias of g.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hiddenstate.explain.attribution.frozen import FrozenTrack, frozen_track
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Readout
from hiddenstate.structure.names import track
from hiddenstate.tracing.trace import Trace


class Cell(NamedTuple):
    """One unit's cell state at one step, in one layer and direction such as ``l0``."""

    track: str
    t: int
    unit: int


class Word(NamedTuple):
    """The input of one step."""

    t: int


# The other sources, by name: the bias of g, the initial state, the head's bias.
Source = Cell | Word | str


class Inflow(NamedTuple):
    """The amount that one source adds to the value of a node."""

    source: Source
    kind: str
    amount: float


@dataclass(frozen=True, eq=False)
class Inflows:
    """Contributions in one run, by node. Float64.

    Attributes:
        subject: a subject with one row.
        tracks: each layer and direction, by name.
        readout: the target as a linear readout.
    """

    subject: Subject
    tracks: dict[str, FrozenTrack]
    readout: Readout

    def value(self, cell: Cell) -> float:
        """Return a cell state."""
        return float(self.tracks[cell.track].values["c"][cell.t, cell.unit])

    def into(self, cell: Cell) -> Iterator[Inflow]:
        """Yield everything that flows into a cell state."""
        part, t = self.tracks[cell.track], cell.t
        place, write = part.place, part.split.write[t, cell.unit]
        yield Inflow("bias of g", "bias", float(write * part.b[cell.unit]))
        if place.layer == 0:
            yield Inflow(Word(t), "input", float(write * (part.W[cell.unit] @ part.inputs[t])))
        else:
            yield from self._below(part, t, write * part.W[cell.unit])
        memory = part.values["f"][t, cell.unit] * part.before["c"][t, cell.unit]
        before = t + 1 if place.reverse else t - 1
        if 0 <= before < self.subject.T:
            yield Inflow(Cell(cell.track, before, cell.unit), "memory", float(memory))
            shown = _mixed(part, write * part.U[cell.unit]) * part.split.show[before] * part.values["c"][before]
            if not bool(part.before["h"][t].any()):  # a reset is in between
                return
            for unit, amount in enumerate(shown.tolist()):
                yield Inflow(Cell(cell.track, before, unit), "recurrent", amount)
        else:
            begun = write * (part.U[cell.unit] @ part.before["h"][t]) + memory
            yield Inflow("initial state", "initial", float(begun))

    def into_target(self) -> Iterator[Inflow]:
        """Yield everything that flows into the target."""
        t = self.readout.t
        yield Inflow("head's bias", "bias", self.readout.bias)
        for place, vector in self.readout.vectors.items():
            name = track(place.layer, place.reverse)
            part = self.tracks[name]
            c = part.values["c"][t]
            amounts = vector * c if place.quantity == "c" else _mixed(part, vector) * part.split.show[t] * c
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(Cell(name, t, unit), "read", amount)

    def _below(self, part: FrozenTrack, t: int, weights: Tensor) -> Iterator[Inflow]:
        """The contributions of the cells of the layer below, through their hidden state at this step."""
        sizes = self.subject.sizes
        for way, vector in enumerate(weights.split(sizes.output_size)):
            name = track(part.place.layer - 1, bool(way))
            below = self.tracks[name]
            amounts = _mixed(below, vector) * below.split.show[t] * below.values["c"][t]
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(Cell(name, t, unit), "below", amount)


def _mixed(part: FrozenTrack, vector: Tensor) -> Tensor:
    """Turn a vector ``[P]`` over the hidden state into one over units ``[H]``."""
    return vector if part.projection is None else vector @ part.projection


def prepare_inflows(subject: Subject, trace: Trace, readout: Readout) -> Inflows:
    """Prepare the contributions of one run."""
    tracks = {track(*where): frozen_track(subject, trace, *where) for where in subject.sizes.tracks}
    return Inflows(subject, tracks, readout)
