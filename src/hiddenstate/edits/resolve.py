"""The active edits, kept by thread (or asyncio task), not in the modules; and edits resolved against one call."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from hiddenstate.base import scoped
from hiddenstate.base.indexing import PlainIndex, count, resolve, undated
from hiddenstate.base.messages import shorten
from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.base.validation import check_memory
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, IndexRangeError
from hiddenstate.structure.names import Layers, Place, parse_place
from hiddenstate.structure.sizes import Sizes


@dataclass(frozen=True)
class StepSpan:
    """The rows of a scan, and its time steps, ``start .. start + T - 1``; ``open_end`` if more may follow."""

    T: int
    N: int
    start: int = 0
    open_end: bool = False

    @property
    def stop(self) -> int:
        """The time step after the last one."""
        return self.start + self.T


@dataclass(frozen=True, eq=False)
class ResolvedEdit:
    """An edit whose indices are resolved against the sizes of one call."""

    place: Place
    edit: Edit
    value: Tensor  # three axes, broadcasts against [steps, rows, units]
    position: Mapping[int, int]  # maps a time step of this call, from 0, to its index among the edit's steps
    rows: Sequence[int]
    units: Sequence[int]

    @cached_property
    def _chosen(self) -> tuple[Tensor, Tensor]:
        """The rows ``[rows, 1]`` and units ``[units]`` as indices."""
        # On the CPU, whatever the default device, because such indices work for tensors on any device.
        rows, units = (
            torch.tensor(list(chosen), dtype=torch.int64, device="cpu") for chosen in (self.rows, self.units)
        )
        return rows[:, None], units

    def apply(self, old: Tensor, t: int) -> Tensor:
        """Return the value ``[N, H]`` of the place at step t after this edit."""
        part = old[self._chosen]
        value = self.value[self.position[t] if len(self.value) > 1 else 0].to(old)
        new = {
            "set": lambda: value.expand_as(part),
            "scale": lambda: part * value,
            "add": lambda: part + value,
            "clamp": lambda: part.clamp(value, torch.full_like(value, self.edit.upper)),
        }[self.edit.kind]()
        return old.index_put(self._chosen, new)


def resolve_edits(edits: Sequence[Edit], sizes: Sizes, span: StepSpan, device: torch.device) -> list[ResolvedEdit]:
    """Resolve edits against one call, whose input is on a device, and reject those that do not fit it."""
    places = {name: parse_place(name, *sizes.layers) for name in dict.fromkeys(edit.place for edit in edits)}
    values = values_of_numbers(edits, torch.float64)
    resolved = []
    for edit, number in zip(edits, values, strict=True):
        value = _tensor_value(edit, device) if number is None else number
        resolved.append(_resolve_edit(edit, places[edit.place], value, sizes, span))
    return resolved


def values_of_numbers(edits: Sequence[Edit], dtype: torch.dtype) -> list[Tensor | None]:
    """Return each number's value ``[1, 1, 1]``, all made at once because a sweep has hundreds; None for tensors."""
    numbers = [edit.value for edit in edits if not isinstance(edit.value, Tensor)]
    values = iter(torch.tensor(numbers, dtype=dtype, device="cpu").reshape(len(numbers), 1, 1, 1).unbind())
    return [None if isinstance(edit.value, Tensor) else next(values) for edit in edits]


def _tensor_value(edit: Edit, device: torch.device) -> Tensor:
    value = edit.value
    assert isinstance(value, Tensor)
    check_memory(value, f"the value of the edit of {edit.place!r}")
    if value.is_meta and device.type != "meta":
        raise DeviceError(
            f"the value of the edit of {edit.place!r} is on the meta device, which has no values, but the input is on "
            f"{device}: create it there"
        )
    return value.reshape((1,) * (3 - value.dim()) + value.shape)


def _resolve_edit(edit: Edit, place: Place, value: Tensor, sizes: Sizes, span: StepSpan) -> ResolvedEdit:
    units = resolve(edit.unit, sizes.units(place.quantity), "unit")
    rows = resolve(edit.row, span.N, "row")
    times = _resolve_times(undated(edit.t, "t"), span)
    if isinstance(edit.value, Tensor):  # a plain number fits any block
        open_end = span.open_end and (edit.t is None or (isinstance(edit.t, slice) and edit.t.stop is None))
        _check_block(edit, value, (None if open_end else count(times), len(rows), len(units)))
    position = _positions(times, span)
    if len(value) > 1 and max(position.values(), default=0) >= len(value):
        raise ArgumentError(
            f"the edit of {edit.place!r} has values for {len(value)} steps, but the stream has reached step "
            f"{max(position) + span.start}; choose the steps of the values with t="
        )
    return ResolvedEdit(place, edit, value, position, rows, units)


def _positions(times: Sequence[int], span: StepSpan) -> dict[int, int]:
    """Map the steps of the span, counted from its start, to their indices among the times."""
    if isinstance(times, range):  # the range may be far longer than the span
        return {k: times.index(t) for k, t in enumerate(range(span.start, span.stop)) if t in times}
    return {t - span.start: k for k, t in enumerate(times) if span.start <= t < span.stop}


def _resolve_times(t: PlainIndex, span: StepSpan) -> Sequence[int]:
    if not span.open_end:
        return resolve(t, span.stop, "t")
    if t is None:
        return range(span.stop)
    if isinstance(t, slice):
        start, step = t.start or 0, 1 if t.step is None else t.step
        stop = max(start, span.stop) if t.stop is None else t.stop
        if start < 0 or stop < 0 or step < 0:
            raise _no_end(t)
        return range(start, stop, step)
    chosen = (t,) if isinstance(t, int) else t  # more steps may follow
    ends = (chosen[0], chosen[-1]) if isinstance(chosen, range) and chosen else chosen
    if min(ends, default=0) < 0:
        raise _no_end(t)
    return chosen


def _no_end(t: PlainIndex) -> IndexRangeError:
    return IndexRangeError(f"t={shorten(t)} counts from the end, and a stream has no end; count steps from its start")


def _check_block(edit: Edit, value: Tensor, block: tuple[int | None, int, int]) -> None:
    fits = value.dim() == 3 and all(
        have in (1, want) or want is None for have, want in zip(value.shape, block, strict=True)
    )
    if not fits:
        shape = list(edit.value.shape) if isinstance(edit.value, Tensor) else []
        wanted = ", ".join("any" if n is None else str(n) for n in block)
        raise ArgumentError(
            f"the value of the edit of {edit.place!r} has shape {shape}, which does "
            f"not broadcast against the chosen [steps, rows, units] = [{wanted}]"
        )


class Editable(Protocol):
    """An LSTM or a cell."""

    @property
    def sizes(self) -> Sizes:
        """Its sizes; a cell counts as one layer."""

    def _traced_layers(self) -> Layers: ...


@dataclass(frozen=True, eq=False)
class ScopedEdit:
    """An active edit, and the LSTM or cell that it applies to."""

    lstm: Editable
    edit: Edit


scoped_edits: Scoped[ScopedEdit] = ContextVar("hiddenstate_edits", default=())


def edits_in_force(lstm: Editable) -> list[Edit]:
    """Return the active edits for this LSTM, in the order in which they are applied."""
    return [entry.edit for entry in in_force(scoped_edits) if entry.lstm is lstm] if scoped.any_open else []


def scope_edits(lstm: Editable, edits: Sequence[Edit], switches: Sequence[Switch] = ()) -> Block:
    """Return a context manager in which edits apply to an LSTM or a cell, and the given switches are on."""
    places: dict[str, Place] = {}  # a cache: many edits usually name the same few places
    for edit in edits:
        check_edit(edit)
        if edit.call is not None:
            raise ArgumentError(
                f"the edit of {edit.place!r} has call={edit.call}, which counts the calls of a layer inside a model: "
                "give it to hs.edit(model, edit)"
            )
        place = places.get(edit.place) if isinstance(edit.place, str) else None
        if place is None:
            place = places[edit.place] = parse_place(edit.place, *lstm._traced_layers())
        resolve(edit.unit, lstm.sizes.units(place.quantity), "unit")
    return scope(scoped_edits, [ScopedEdit(lstm, edit) for edit in edits], switches)


def share_edits(lstm: Editable, twin: Editable) -> AbstractContextManager[object]:
    """Return a context manager in which the active edits of an LSTM also apply to its twin."""
    edits = edits_in_force(lstm)
    # Without edits, no block is opened, because an open block slows calls down.
    return scope(scoped_edits, [ScopedEdit(twin, edit) for edit in edits]) if edits else nullcontext()


def check_edit(edit: object) -> None:
    """Raise ArgumentTypeError for arguments that are not edits, or whose steps are dates."""
    undated(check_is_edit(edit).t, "t")


def check_is_edit(edit: object) -> Edit:
    """Return the edit; raise ArgumentTypeError for arguments that are not edits."""
    if not isinstance(edit, Edit):
        hint = "; write edit(*edits)" if isinstance(edit, (list, tuple)) else ""
        raise ArgumentTypeError(
            f"edit() takes edits, such as those made by hs.zero, hs.set or hs.patch, got {type(edit).__name__}{hint}"
        )
    return edit
