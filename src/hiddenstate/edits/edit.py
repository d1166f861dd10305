"""Edits of a run, as frozen data.

An `Edit` replaces, scales or shifts the values at a *place* (``"l0.f"``), for some units, steps and batch rows. Units,
step and row can also be part of the place's string: ``"l0.f[3]@7"``. An edit is only data: `hiddenstate.LSTM.edit`
opens a block in which edits are active, and the scan applies them. For `hiddenstate.edit`, which edits the LSTMs
inside a model, a module path precedes the place: ``"encoder.rnn.l0.f"``.
"""

import math
import numbers
import random
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from hiddenstate.base.indexing import FrozenIndex, Index, freeze, resolve
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import shorten
from hiddenstate.base.scalars import check_int, check_seed
from hiddenstate.base.validation import check_dense
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, IndexRangeError
from hiddenstate.structure.addresses import is_address, parse_address
from hiddenstate.structure.names import split_path

Kind = Literal["set", "scale", "add", "clamp"]
Scope = Literal["write", "readout"]


@dataclass(frozen=True, eq=False, repr=False)
class Edit:
    """A change to a run. Create one with `zero`, `set`, `scale`, `add`, `clamp` or `patch`.

    Attributes:
        place: what to change, such as ``"l0.f"``, ``"l1r.c"`` or, before the activation, ``"l0.f_pre"``; for an LSTM
            inside a model, with its module path, ``"encoder.l0.f"``. An address such as ``"l1.c[125]@7,n=2"`` is split
            into ``place``, ``unit``, ``t`` and ``row``.
        kind: how the new value is computed: ``value`` (set), ``old * value`` (scale), ``old + value`` (add), or ``old``
            limited to the range from ``value`` to ``upper`` (clamp).
        value: a number, or a tensor that broadcasts against the chosen ``[steps, rows, units]``.
        unit: the units to change; all if None.
        t: the time steps to change, in the order of the input even for the reverse direction; all if None. For
            `hiddenstate.what_if` also dates, such as ``"2015-01-01"``, or a slice of dates, including its last.
        row: the batch rows to change; all if None.
        upper: the upper bound of a clamp.
        call: the call of the layer in which to change it, from 0, for a layer that a model calls several times, such
            as a decoder; all if None. Only for `hiddenstate.edit` and `hiddenstate.what_if`.
        scope: ``"write"``: the change propagates through time. ``"readout"``: it affects only this step's output (and
            the layers above), and the step passes on the unchanged state.

    A negative ``t`` counts from the end of the whole input, even if a row ends earlier; past a row's end an edit does
    nothing. Tensors are not copied, so that gradients reach them.

    Raises:
        ArgumentError: unknown kind or scope; crossed bounds; a number too large for a float; units, steps or rows both
            in the address and as arguments.
        NameUnknownError: the place is not a valid address.
        ArgumentTypeError: a value that is neither a real number nor a real tensor, or an index of a wrong type.
        DtypeError: a tensor that is sparse, nested or quantized.
    """

    place: str
    kind: Kind
    value: float | Tensor
    unit: FrozenIndex = None
    t: FrozenIndex = None
    row: FrozenIndex = None
    scope: Scope = "write"
    upper: float = math.inf
    call: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ArgumentError(f"unknown kind {shorten(self.kind)}: expected one of {' '.join(get_args(Kind))}")
        if self.scope not in get_args(Scope):
            raise ArgumentError(
                f"unknown scope {shorten(self.scope)}: expected 'write' (propagates) or 'readout' (this output only)"
            )
        # The only way to set fields of a frozen dataclass. It is used only here, to make the arguments immutable.
        object.__setattr__(self, "value", _value(self.value))
        object.__setattr__(self, "upper", _value(self.upper))
        if isinstance(self.value, float) and self.kind == "clamp" and not self.value <= self.upper:
            raise ArgumentError(f"cannot clamp between {self.value} and {self.upper}: the lower bound comes first")
        if self.call is not None and check_int("call", self.call) < 0:
            raise ArgumentError(f"call must be at least 0, which is the first, got {self.call}")
        place, *indices = _located(self.place, self.unit, self.t, self.row)
        object.__setattr__(self, "place", place)
        for name, index in zip(("unit", "t", "row"), indices, strict=True):
            object.__setattr__(self, name, freeze(index, name))

    def __repr__(self) -> str:
        shown = {"upper": self.kind == "clamp", "call": self.call is not None}
        names = [field.name for field in fields(self) if shown.get(field.name, True)]
        return f"Edit({', '.join(f'{name}={_written(getattr(self, name))}' for name in names)})"


class Source(Protocol):
    """The record of one LSTM's run, from which edits copy values: a `hiddenstate.Trace`."""

    @property
    def batch(self) -> int:
        """The number of batch rows."""

    def row_length(self, row: int = 0) -> int:
        """Return the number of real time steps of one row."""

    def pick(
        self, name: str, *, t: Index = None, row: Index = None, unit: Index = None
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return values of one place as ``[steps, rows, units]``, with their time steps."""


class ModelSource(Protocol):
    """The record of a model's run, from which edits copy values: a `hiddenstate.ModelTrace`."""

    def trace_at(self, path: str) -> Source:
        """Return the record of the LSTM at a module path; with an empty path, the only LSTM's."""


def zero(
    place: str,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
    call: int | None = None,
) -> Edit:
    """Set the place to zero.

    >>> zero("l0.f", unit=3, t=[1, 2])
    Edit(place='l0.f', kind='set', value=0.0, unit=3, t=(1, 2), row=None, scope='write')
    """
    return Edit(place, "set", 0.0, **_indices(unit, t, row), scope=scope, call=call)


def set(  # noqa: A001 (hs.set says what it does)
    place: str,
    to: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
    call: int | None = None,
) -> Edit:
    """Set the place to a value: a number, or a tensor that broadcasts against ``[steps, rows, units]``."""
    return Edit(place, "set", to, **_indices(unit, t, row), scope=scope, call=call)


def scale(
    place: str,
    by: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
    call: int | None = None,
) -> Edit:
    """Multiply the place by a number or a tensor."""
    return Edit(place, "scale", by, **_indices(unit, t, row), scope=scope, call=call)


def add(
    place: str,
    value: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
    call: int | None = None,
) -> Edit:
    """Add a number or a tensor to the place."""
    return Edit(place, "add", value, **_indices(unit, t, row), scope=scope, call=call)


def clamp(
    place: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
    call: int | None = None,
) -> Edit:
    """Clamp the place between two bounds.

    Raises:
        ArgumentError: the bounds are crossed, or not a number.
    """
    return Edit(place, "clamp", low, **_indices(unit, t, row), scope=scope, call=call, upper=high)


def patch(
    place: str,
    *,
    source: Source | ModelSource,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    source_t: Index = None,
    source_row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set the place to the values that it had in another run.

    Args:
        place: what to change, and what to read from the source.
        source: the trace of the other run, of an LSTM or of a model, whose trace at the place's path is read. It must
            have recorded the place at the steps that are read.
        unit: the units to copy; all if None.
        t: the steps of this run to change; if None, those read from the source.
        row: the rows of this run to change; all if None.
        source_t: the steps to read from the source; if None, ``t``, or all recorded steps if ``t`` is also None.
        source_row: the rows to read from the source; ``row`` if None. A single row is used for any number of rows.
        scope: as for `Edit`.

    Raises:
        IndexRangeError: the source has no such step, row or unit, or did not record the step, or its row ended earlier.
        NameUnknownError: the source did not record the place.
        ArgumentTypeError: the source is not a trace.
    """
    place, unit, t, row = _located(place, unit, t, row)
    run, name = _run_at(source, place)
    reads_t = t if source_t is None else source_t
    reads_row = row if source_row is None else source_row
    if source_row is None and run.batch == 1:
        reads_row = None
    values, times = run.pick(name, t=reads_t, row=reads_row, unit=unit)
    _refuse_padding(run, times, reads_row)
    return Edit(place, "set", values, **_indices(unit, times if t is None else t, row), scope=scope)


def mean_ablation(
    place: str,
    *,
    source: Source | ModelSource,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set each unit of the place to its mean over all real steps of all rows of another run.

    This removes the unit's information about this input and leaves its average contribution.

    Args:
        place: what to change and to average.
        source: the trace of the other run, of an LSTM or of a model, whose trace at the place's path is read.
        unit: the units to change; all if None.
        t: the steps of this run to change; all if None.
        row: the rows of this run to change; all if None.
        scope: as for `Edit`.

    Raises:
        NameUnknownError: the source did not record the place.
        IndexRangeError: there is no such unit.
        ArgumentError: the source has no real step.
        ArgumentTypeError: the source is not a trace.
    """
    place, unit, t, row = _located(place, unit, t, row)
    run, name = _run_at(source, place)
    values, times = run.pick(name, unit=unit)
    lengths = [run.row_length(n) for n in range(run.batch)]
    real = torch.tensor([[step < length for length in lengths] for step in times], device=values.device)
    if not real.any():
        raise ArgumentError("the source recorded no real step, so there is no mean; trace a run that has some")
    mean = values[real.reshape(values.shape[:2])].double().mean(0).to(values.dtype)
    return Edit(place, "set", mean.reshape(1, 1, -1), **_indices(unit, t, row), scope=scope)


def resample_ablation(
    place: str,
    *,
    source: Source | ModelSource,
    seed: int = 0,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set the place to its values at the same steps of randomly drawn rows of another run.

    Each row in ``row`` gets its own drawn row, from which all its units are copied; if ``row`` is None, all rows share
    one.

    Args:
        place: what to change, and what to read from the source.
        source: the trace of the other run, of an LSTM or of a model; only rows that are long enough are drawn.
        seed: the seed of the draw.
        unit: the units to change; all if None.
        t: the steps to change; if None, all steps that the source recorded.
        row: the rows of this run to change, as non-negative numbers; all if None.
        scope: as for `Edit`.

    Raises:
        IndexRangeError: the source has no such step or unit, or has no row that is long enough.
        NameUnknownError: the source did not record the place.
        ArgumentTypeError: rows are not listed by number, the seed is not an int, or the source is not a trace.
        ArgumentError: the seed is out of range.
    """
    seed = check_seed(seed)
    place, unit, t, row = _located(place, unit, t, row)
    run, name = _run_at(source, place)
    times = run.pick(name, t=t, unit=unit)[1]
    long_enough = [n for n in range(run.batch) if run.row_length(n) > max(times, default=0)]
    if not long_enough:
        raise IndexRangeError(f"no row of the source has a step {max(times)} to copy; choose steps with t=")
    chosen = freeze(row, "row")
    if isinstance(chosen, slice):
        raise ArgumentTypeError(
            f"resample_ablation draws a source row for each row in row=, so they must be listed by number, got {row}"
        )
    drawn = random.Random(seed).choices(long_enough, k=len(chosen) if isinstance(chosen, tuple) else 1)
    values = torch.cat([run.pick(name, t=times, unit=unit, row=n)[0] for n in drawn], dim=1)
    return Edit(place, "set", values, **_indices(unit, times, row), scope=scope)


def _run_at(source: Source | ModelSource, place: str) -> tuple[Source, str]:
    """Return the record from which a place is read, and the place's name in it."""
    path, name = split_path(place) if isinstance(place, str) else ("", place)
    trace_at, pick = getattr(source, "trace_at", None), getattr(source, "pick", None)
    if not callable(trace_at) and not callable(pick):
        raise ArgumentTypeError(
            "values are copied from the trace of a run, got "
            f"{type(source).__name__}: record one, with source=lstm.trace(x) or source=hs.trace(model, x)"
        )
    return (trace_at(path) if callable(trace_at) else source), name  # type: ignore[return-value]


def _refuse_padding(source: Source, times: tuple[int, ...], rows: Index) -> None:
    for row in resolve(freeze(rows, "source_row"), source.batch, "source_row"):
        beyond = [t for t in times if t >= source.row_length(row)]
        if beyond:
            raise IndexRangeError(
                f"the source has nothing to copy at step {beyond[0]} of its row {row}, which has "
                f"{source.row_length(row)} steps: choose steps and rows with t= and row= (or source_t=, source_row=)"
            )


def _indices(unit: Index, t: Index, row: Index) -> dict[str, Any]:
    return {"unit": freeze(unit, "unit"), "t": freeze(t, "t"), "row": freeze(row, "row")}


def _located(place: str, unit: Index, t: Index, row: Index) -> tuple[str, Index, Index, Index]:
    """Split an address; reject anything that is given both in it and as an argument."""
    if not is_address(place):
        return place, unit, t, row
    address = parse_address(place)
    indices: list[Index] = []
    for name, inside, beside in zip(("unit", "t", "row"), address[1:], (unit, t, row), strict=True):
        if inside is not None and beside is not None:
            raise ArgumentError(
                f"{place!r} already contains {name}, but {name}={beside!r} is also given: give it only once"
            )
        indices.append(beside if inside is None else inside)
    return address.place, indices[0], indices[1], indices[2]


def _written(value: object) -> str:
    try:
        check_memory_of([("value", value)])
    except DtypeError:
        return "<a tensor whose memory was freed>"
    return repr(value)


def _value(value: float | Tensor) -> float | Tensor:
    if isinstance(value, Tensor):
        if value.is_complex():
            raise ArgumentTypeError(f"an edit's value must be real, got a tensor of {value.dtype}")
        check_dense(value, "an edit's value")
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"an edit's value must be a number or a tensor, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ArgumentError(f"an edit's value is too large for a float: {shorten(value)}") from None
