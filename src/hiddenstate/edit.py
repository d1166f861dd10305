"""Edits: what to change in a run, as frozen data.

An `Edit` says: at this *place* (``"l0.f"``), for these units, steps and batch rows, replace, scale or shift the
value. Nothing here runs anything: `hiddenstate.LSTM.edit` opens a block in which the edits hold, and the scan
applies them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.indexing import FrozenIndex, Index, freeze

if TYPE_CHECKING:
    from hiddenstate.trace import Trace

Kind = Literal["set", "scale", "add"]
Scope = Literal["write", "readout"]


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of a run. Make one with `zero`, `set`, `scale`, `add` or `patch`.

    Attributes:
        place: what is changed, such as ``"l0.f"``, ``"l1r.c"`` or, before the activation, ``"l0.f_pre"``.
        kind: the new value is ``value`` (set), ``old * value`` (scale) or ``old + value`` (add).
        value: a number, or a tensor that broadcasts against the chosen ``[steps, rows, units]``.
        unit: which units (all when None).
        t: which time steps, counted as in the input, also for the reverse direction (all when None).
        row: which rows of the batch (all when None).
        scope: ``"write"``: the change goes on through time. ``"readout"``: only this step's output (and what lies
            above it) is made with it, and the state that the step hands on is the one without it.
    """

    place: str
    kind: Kind
    value: float | Tensor
    unit: FrozenIndex = None
    t: FrozenIndex = None
    row: FrozenIndex = None
    scope: Scope = "write"


def zero(place: str, *, unit: Index = None, t: Index = None, row: Index = None, scope: Scope = "write") -> Edit:
    """Set the place to zero.

    >>> zero("l0.f", unit=3, t=[1, 2])
    Edit(place='l0.f', kind='set', value=0.0, unit=3, t=(1, 2), row=None, scope='write')
    """
    return _edit(place, "set", 0.0, unit, t, row, scope)


def set(  # noqa: A001 (hs.set reads as what it does)
    place: str,
    *,
    to: float | Tensor,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set the place to a value: a number, or a tensor that broadcasts against ``[steps, rows, units]``."""
    return _edit(place, "set", to, unit, t, row, scope)


def scale(
    place: str,
    *,
    by: float | Tensor,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Multiply the place by a number or a tensor."""
    return _edit(place, "scale", by, unit, t, row, scope)


def add(
    place: str,
    *,
    value: float | Tensor,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Add a number or a tensor to the place."""
    return _edit(place, "add", value, unit, t, row, scope)


def patch(
    place: str,
    *,
    source: "Trace",
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    source_t: Index = None,
    source_row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set the place to the values that it had in another run.

    Args:
        place: what is changed, and what is read from the source.
        source: the trace of the other run. It must have recorded the place at the steps that are read.
        unit: which units are copied (all when None).
        t: which steps of this run are changed; when None, those that are read from the source.
        row: which rows of this run are changed (all when None).
        source_t: which steps of the source are read: ``t`` when None, or all that it recorded when ``t`` is too.
        source_row: which rows of the source are read: ``row`` when None. One row serves any number of rows.
        scope: as for `Edit`.

    Raises:
        IndexRangeError: the source has no such step, row or unit, or did not record the step.
        NameUnknownError: the source did not record the place.
    """
    reads_t = t if source_t is None else source_t
    reads_row = row if source_row is None else source_row
    if source_row is None and source.batch == 1:
        reads_row = None
    values, times = source.pick(place, t=reads_t, row=reads_row, unit=unit)
    return _edit(place, "set", values, unit, times if t is None else t, row, scope)


def _edit(place: str, kind: Kind, value: float | Tensor, unit: Index, t: Index, row: Index, scope: Scope) -> Edit:
    if scope not in ("write", "readout"):
        raise ArgumentError(f"unknown scope {scope!r}: expected 'write' (propagates) or 'readout' (this output only)")
    indices = {"unit": freeze(unit, "unit"), "t": freeze(t, "t"), "row": freeze(row, "row")}
    return Edit(place, kind, _value(value), **indices, scope=scope)


def _value(value: float | Tensor) -> float | Tensor:
    if isinstance(value, Tensor):
        if value.is_complex():
            raise ArgumentTypeError(f"an edit's value must be real, got a tensor of {value.dtype}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentTypeError(f"an edit's value must be a number or a tensor, got {type(value).__name__}")
    return float(value)
