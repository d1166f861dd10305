"""Edits: what to change in a run, as frozen data.

An `Edit` says: at this *place* (``"l0.f"``), for these units, steps and batch rows, replace, scale or shift the
value. Units, step and row can stand in the place's string, too: ``"l0.f[3]@7"``. Nothing here runs anything:
`hiddenstate.LSTM.edit` opens a block in which the edits hold, and the scan applies them. For `hiddenstate.edit`, which
edits the LSTMs inside a model, the path of a module comes before the place: ``"encoder.rnn.l0.f"``.
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
from hiddenstate.base.scalars import check_seed
from hiddenstate.base.validation import check_dense
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, IndexRangeError
from hiddenstate.structure.addresses import is_address, parse_address
from hiddenstate.structure.names import split_path

Kind = Literal["set", "scale", "add", "clamp"]
Scope = Literal["write", "readout"]


@dataclass(frozen=True, eq=False, repr=False)
class Edit:
    """One change of a run. Make one with `zero`, `set`, `scale`, `add`, `clamp` or `patch`.

    Attributes:
        place: what is changed, such as ``"l0.f"``, ``"l1r.c"`` or, before the activation, ``"l0.f_pre"``; for an LSTM
            inside a model with the path of its module, ``"encoder.l0.f"``. An address such as ``"l1.c[125]@7,n=2"`` is
            taken apart into ``place``, ``unit``, ``t`` and ``row``.
        kind: the new value is ``value`` (set), ``old * value`` (scale), ``old + value`` (add), or the nearest to the
            old one between ``value`` and ``upper`` (clamp).
        value: a number, or a tensor that broadcasts against the chosen ``[steps, rows, units]``.
        unit: which units (all when None).
        t: which time steps, counted as in the input, also for the reverse direction (all when None).
        row: which rows of the batch (all when None).
        upper: the upper bound of a clamp.
        scope: ``"write"``: the change goes on through time. ``"readout"``: only this step's output (and what lies
            above it) is made with it, and the state that the step hands on is the one without it.

    A negative ``t`` counts from the end of the whole input, also where a row ends earlier; past a row's end an edit
    does nothing. Tensors are held, not copied, so that gradients reach them.

    Raises:
        ArgumentError: unknown kind or scope; crossed bounds; a number too large for a float; units, steps or rows both
            in the address and beside it.
        NameUnknownError: the place is written as an address that cannot be read.
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

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ArgumentError(f"unknown kind {shorten(self.kind)}: expected one of {' '.join(get_args(Kind))}")
        if self.scope not in get_args(Scope):
            raise ArgumentError(
                f"unknown scope {shorten(self.scope)}: expected 'write' (propagates) or 'readout' (this output only)"
            )
        # A frozen dataclass lets only this way in, and only here: what was given is brought into an immutable form.
        object.__setattr__(self, "value", _value(self.value))
        object.__setattr__(self, "upper", _value(self.upper))
        if isinstance(self.value, float) and self.kind == "clamp" and not self.value <= self.upper:
            raise ArgumentError(f"cannot clamp between {self.value} and {self.upper}: the lower bound comes first")
        place, *indices = _located(self.place, self.unit, self.t, self.row)
        object.__setattr__(self, "place", place)
        for name, index in zip(("unit", "t", "row"), indices, strict=True):
            object.__setattr__(self, name, freeze(index, name))

    def __repr__(self) -> str:
        said = [one.name for one in fields(self) if one.name != "upper" or self.kind == "clamp"]
        return f"Edit({', '.join(f'{name}={_written(getattr(self, name))}' for name in said)})"


class Source(Protocol):
    """The record of one LSTM's run, which edits copy from: a `hiddenstate.Trace`."""

    @property
    def batch(self) -> int:
        """Rows of the batch."""

    def row_length(self, row: int = 0) -> int:
        """Return the real time steps of one row."""

    def pick(
        self, name: str, *, t: Index = None, row: Index = None, unit: Index = None
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return values of one place as ``[steps, rows, units]``, with their time steps."""


class ModelSource(Protocol):
    """The record of a model's run, which edits copy from: a `hiddenstate.ModelTrace`."""

    def trace_at(self, path: str) -> Source:
        """Return the record of the LSTM at a module path; with an empty path, that of the only LSTM."""


def zero(place: str, *, unit: Index = None, t: Index = None, row: Index = None, scope: Scope = "write") -> Edit:
    """Set the place to zero.

    >>> zero("l0.f", unit=3, t=[1, 2])
    Edit(place='l0.f', kind='set', value=0.0, unit=3, t=(1, 2), row=None, scope='write')
    """
    return Edit(place, "set", 0.0, **_indices(unit, t, row), scope=scope)


def set(  # noqa: A001 (hs.set reads as what it does)
    place: str,
    to: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Set the place to a value: a number, or a tensor that broadcasts against ``[steps, rows, units]``."""
    return Edit(place, "set", to, **_indices(unit, t, row), scope=scope)


def scale(
    place: str,
    by: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Multiply the place by a number or a tensor."""
    return Edit(place, "scale", by, **_indices(unit, t, row), scope=scope)


def add(
    place: str,
    value: float | Tensor,
    *,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Add a number or a tensor to the place."""
    return Edit(place, "add", value, **_indices(unit, t, row), scope=scope)


def clamp(
    place: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    unit: Index = None,
    t: Index = None,
    row: Index = None,
    scope: Scope = "write",
) -> Edit:
    """Keep the place between two bounds: what lies outside becomes the nearer one.

    Raises:
        ArgumentError: the bounds are crossed, or not a number.
    """
    return Edit(place, "clamp", low, **_indices(unit, t, row), scope=scope, upper=high)


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
        place: what is changed, and what is read from the source.
        source: the trace of the other run: of an LSTM, or of a model, whose trace at the place's path is read. It must
            have recorded the place at the steps that are read.
        unit: which units are copied (all when None).
        t: which steps of this run are changed; when None, those that are read from the source.
        row: which rows of this run are changed (all when None).
        source_t: which steps of the source are read: ``t`` when None, or all that it recorded when ``t`` is too.
        source_row: which rows of the source are read: ``row`` when None. One row serves any number of rows.
        scope: as for `Edit`.

    Raises:
        IndexRangeError: the source has no such step, row or unit, did not record the step, or its row ended before it.
        NameUnknownError: the source did not record the place.
        ArgumentTypeError: the source is no trace.
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

    What the unit says of this input is so taken away, and what it always says is left.

    Args:
        place: what is changed, and what is averaged.
        source: the trace of the other run: of an LSTM, or of a model, whose trace at the place's path is read.
        unit: which units (all when None).
        t: which steps of this run (all when None).
        row: which rows of this run (all when None).
        scope: as for `Edit`.

    Raises:
        NameUnknownError: the source did not record the place.
        IndexRangeError: there is no such unit.
        ArgumentError: the source has no real step.
        ArgumentTypeError: the source is no trace.
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
    """Set the place to what it was, at the same steps, in rows of another run that are drawn at random.

    Each of ``row`` gets a row of its own, all units from the same one; where ``row`` is None, one row serves all.

    Args:
        place: what is changed, and what is read from the source.
        source: the trace of the other run, of an LSTM or of a model; only its rows that are long enough are drawn.
        seed: of the draw.
        unit: which units (all when None).
        t: which steps; when None, those that the source recorded.
        row: which rows of this run (all when None); counted from 0.
        scope: as for `Edit`.

    Raises:
        IndexRangeError: the source has no such step or unit, or no row that is long enough.
        NameUnknownError: the source did not record the place.
        ArgumentTypeError: rows are not counted, the seed is no int, or the source is no trace.
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
        raise ArgumentTypeError(f"resample_ablation draws a row for each of row=, which must be counted, got {row}")
    drawn = random.Random(seed).choices(long_enough, k=len(chosen) if isinstance(chosen, tuple) else 1)
    values = torch.cat([run.pick(name, t=times, unit=unit, row=n)[0] for n in drawn], dim=1)
    return Edit(place, "set", values, **_indices(unit, times, row), scope=scope)


def _run_at(source: Source | ModelSource, place: str) -> tuple[Source, str]:
    """Return the record that a place is read from, and the place's name in it."""
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
    """Take an address apart; what is said beside it must not be said in it."""
    if not is_address(place):
        return place, unit, t, row
    address = parse_address(place)
    found: list[Index] = []
    for name, inside, beside in zip(("unit", "t", "row"), address[1:], (unit, t, row), strict=True):
        if inside is not None and beside is not None:
            raise ArgumentError(f"{place!r} says {name} already, and {name}={beside!r} is given: say it once")
        found.append(beside if inside is None else inside)
    return address.place, found[0], found[1], found[2]


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
