"""A regime: one way to use the layer on one shape, and the contestants in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ceilings import Ceilings
from contestants import Contestant, Entry, MissingPeerError, gap
from shapes import Case, Shape

Floor = Callable[[Shape, Ceilings], float]


class Regime(NamedTuple):
    """What is measured; the first entry is ours, which the others are held to.

    Attributes:
        what: the way to use the layer.
        shape: on which shape.
        entries: make the contestants, of the same weights and input.
        floor: the least time of the first, in seconds; None where no floor is known.
        quick: whether it is in the quick table too.
    """

    what: str
    shape: Shape
    entries: tuple[Entry, ...]
    floor: Floor | None = None
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.what} ({self.shape})"


@dataclass
class Field:
    """The contestants of a regime whose numbers are those of the first, and a line for each that is not among them."""

    contestants: list[Contestant]
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def enter(regime: Regime) -> Field:
    """Make the contestants, run each once, and compare."""
    case = Case(regime.shape)
    first = regime.entries[0](case)
    shown = first.shown(first.run())
    entered = Field([first])
    for entry in regime.entries[1:]:
        try:
            peer = entry(case)
        except MissingPeerError as reason:
            entered.missing.append(str(reason))
            continue
        difference = gap(shown, peer.shown(peer.run()))
        if peer.tolerance is None or difference <= peer.tolerance:
            entered.contestants.append(peer)
        else:
            entered.wrong.append(f"{regime.name}: {peer.name} differs by {difference:.2g} and was not measured")
    return entered
