"""A regime: one way to use the layer on one shape, and the contestants in it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from ceilings import Ceilings
from contestants import Contestant, Entry, MissingPeerError, Yardstick, gap
from measure import LostError
from shapes import Case, Shape
from workers import PATIENCE, Entered, Worker

Floor = Callable[[Shape, Ceilings], float]


class Regime(NamedTuple):
    """A measurement; the first entry is ours, to which the others are compared.

    Attributes:
        what: the way to use the layer.
        shape: the shape. entries: make the contestants, with the same weights and input. floor: the minimum time of the
        first, in seconds; None if unknown.
        quick: whether it is in the quick table too.
        idle: seconds for which each run waits for its next input, which are not timed.
    """

    what: str
    shape: Shape
    entries: tuple[Entry, ...]
    floor: Floor | None = None
    quick: bool = False
    idle: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.what} ({self.shape})"


@dataclass
class Field:
    """The contestants of a regime whose numbers agree with the first's, and a line for each of the others."""

    contestants: list[Worker] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@contextmanager
def entered(regime: Regime, patience: float = PATIENCE) -> Iterator[Field]:
    """Make the contestants, each in its own process, which ends with the block; run each once, and compare."""
    with ExitStack() as ends:
        workers = [ends.enter_context(Worker(_label(entry), patience)) for entry in regime.entries]
        yield _compared(regime, workers)


def _compared(regime: Regime, workers: Sequence[Worker]) -> Field:
    """Those that may take turns; the others end here. Without the first there is nothing to compare the others with."""
    found = Field()
    ours: Entered | None = None
    for worker, entry in zip(workers, regime.entries, strict=True):
        worker.begin(partial(made, entry, regime))
    for k, worker in enumerate(workers):
        peer = _entered(worker, found)
        ours = peer if k == 0 else ours
        if peer and ours and _agrees(regime, ours, peer, found):
            found.contestants.append(worker)
        else:
            worker.close()
    return found


def made(entry: Entry, regime: Regime) -> Contestant:
    """Make the contestant in its worker: every case of a shape has the same weights and input."""
    return entry(Case(regime.shape))._replace(idle=regime.idle)


def _entered(worker: Worker, found: Field) -> Entered | None:
    """The contestants that exist; for the others, the reason why not."""
    try:
        return worker.entered()
    except MissingPeerError as reason:
        found.missing.append(str(reason))
    except LostError as reason:
        found.lost.append(str(reason))
    return None


def _agrees(regime: Regime, ours: Entered, peer: Entered, found: Field) -> bool:
    if peer.tolerance is None or (difference := gap(ours.shown, peer.shown)) <= peer.tolerance:
        return True
    found.wrong.append(f"{regime.name}: {peer.name} differs by {difference:.2g} and was not measured")
    return False


def _label(entry: Entry) -> str:
    """A contestant's name until it exists."""
    return entry.name if isinstance(entry, Yardstick) else str(getattr(entry, "__name__", entry))
