"""The edits in force in this thread (or asyncio task).

They are stored here, not in the modules, so no edit can be left behind in a module, and other threads never see them.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from hiddenstate.base import scoped
from hiddenstate.base.indexing import resolve
from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.structure.names import Layers, Place, parse_place
from hiddenstate.structure.sizes import Sizes


class Editable(Protocol):
    """An LSTM or a cell."""

    @property
    def sizes(self) -> Sizes:
        """Its sizes; a cell counts as one layer."""

    def _traced_layers(self) -> Layers: ...


@dataclass(frozen=True, eq=False)
class ScopedEdit:
    """An edit in force, and the LSTM or cell that it applies to."""

    lstm: Editable
    edit: Edit


scoped_edits: Scoped[ScopedEdit] = ContextVar("hiddenstate_edits", default=())


def edits_in_force(lstm: Editable) -> list[Edit]:
    """Return the edits in force for this LSTM, in the order in which they are applied."""
    return [entry.edit for entry in in_force(scoped_edits) if entry.lstm is lstm] if scoped.any_open else []


def scope_edits(lstm: Editable, edits: Sequence[Edit], switches: Sequence[Switch] = ()) -> Block:
    """Return a context manager in which edits apply to an LSTM or a cell, and the given switches are on.

    Raises:
        NameUnknownError: this LSTM has no such place.
        IndexRangeError: a unit does not exist.
        ArgumentTypeError: an argument is not an `Edit`.
    """
    places: dict[str, Place] = {}  # a cache: many edits usually name the same few places
    for edit in edits:
        check_edit(edit)
        place = places.get(edit.place) if isinstance(edit.place, str) else None
        if place is None:
            place = places[edit.place] = parse_place(edit.place, *lstm._traced_layers())
        resolve(edit.unit, lstm.sizes.units(place.quantity), "unit")
    return scope(scoped_edits, [ScopedEdit(lstm, edit) for edit in edits], switches)


def share_edits(lstm: Editable, twin: Editable) -> AbstractContextManager[object]:
    """Return a context manager in which the edits in force for an LSTM are in force for its twin as well."""
    edits = edits_in_force(lstm)
    # Without edits, no block is opened, because an open block slows calls down.
    return scope(scoped_edits, [ScopedEdit(twin, edit) for edit in edits]) if edits else nullcontext()


def check_edit(edit: object) -> None:
    """Raise ArgumentTypeError for arguments that are not edits."""
    if not isinstance(edit, Edit):
        hint = "; write edit(*edits)" if isinstance(edit, (list, tuple)) else ""
        raise ArgumentTypeError(
            f"edit() takes edits, such as those made by hs.zero, hs.set or hs.patch, got {type(edit).__name__}{hint}"
        )
