"""The observer of the reference: applies edits to the values of a scan, and records them."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hiddenstate.cells.cell import ValueHook
from hiddenstate.edits.resolve import ResolvedEdit
from hiddenstate.engine.record import RecordSpec


@dataclass
class LayerObserver:
    """The observer of one layer and direction: applies its edits, records its values.

    ``memory`` is the state whose value is passed on.

    With a readout edit, a step is computed twice: once with only the write edits, for the state passed on
    (``carried``), and once with all edits, for its output (``shown``). The values of the output are recorded.
    """

    edits: Sequence[ResolvedEdit]
    quantities: frozenset[str]
    steps: Container[int]
    memory: str = "c"
    seen: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    handed_on: dict[int, Tensor] = field(default_factory=dict)

    def carried(self, t: int) -> ValueHook:
        """Return the hook for the values of step t whose states are passed on."""
        writes = [e for e in self.edits if e.edit.scope == "write" and t in e.position]
        last = self._reads_out(t)

        def see(name: str, value: Tensor) -> Tensor:
            value = _edited(name, value, writes, t)
            if not last:
                self._record(name, value, t)
            if name == self.memory and t in self.steps and self.quantities and self._any_readout:
                self.handed_on[t] = value
            return value

        return see

    def shown(self, t: int) -> ValueHook | None:
        """Return the hook for the values of step t's output, if a readout edit makes them differ."""
        if not self._reads_out(t):
            return None
        here = [e for e in self.edits if t in e.position]

        def see(name: str, value: Tensor) -> Tensor:
            value = _edited(name, value, here, t)
            self._record(name, value, t)
            return value

        return see

    def _reads_out(self, t: int) -> bool:
        return any(e.edit.scope == "readout" and t in e.position for e in self.edits)

    @property
    def _any_readout(self) -> bool:
        return any(e.edit.scope == "readout" for e in self.edits)

    def _record(self, name: str, value: Tensor, t: int) -> None:
        if name in self.quantities and t in self.steps:
            self.seen.setdefault(name, {})[t] = value


def _edited(name: str, value: Tensor, edits: Iterable[ResolvedEdit], t: int) -> Tensor:
    for edit in edits:
        if edit.place.quantity == name:
            value = edit.apply(value, t)
    return value


def make_observer(
    layer: int, reverse: bool, edits: Iterable[ResolvedEdit], record: RecordSpec | None, memory: str = "c"
) -> LayerObserver | None:
    """Make the observer of one layer and direction, or None if nothing is edited or recorded."""
    mine = [e for e in edits if (e.place.layer, e.place.reverse) == (layer, reverse)]
    places = record.places if record else ()
    quantities = [p.quantity for p in places if (p.layer, p.reverse) == (layer, reverse)]
    if not mine and not quantities:
        return None  # returns before creating a set, which older versions of torch.compile do not support
    steps = record.steps if record else ()
    return LayerObserver(mine, frozenset(quantities), steps if isinstance(steps, range) else frozenset(steps), memory)
