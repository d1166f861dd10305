"""Edits: changes of gates and states at chosen steps, rows and units while a layer runs."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiddenstate_runtime.arrays import as_floats
from hiddenstate_runtime.shared.addresses import Chosen, parse_address
from hiddenstate_runtime.shared.errors import ArgumentTypeError, IndexRangeError, NameUnknownError, ShapeError

KINDS = ("set", "scale", "add")

NativeEdit = tuple[int, int, NDArray[np.float32], list[int], list[int], list[int]]


class Edit(NamedTuple):
    """A change of the values at an address, such as ``l0.c[3]@5``: the units, steps and rows of a place."""

    kind: Literal["set", "scale", "add"]
    address: str
    value: float | NDArray[np.floating]  # broadcast to [steps, rows, units]


def zero(address: str) -> Edit:
    """Set values to zero.

    Args:
        address: a place, optionally with units, steps and rows: ``l0.f``, ``l1.c[125]@7,n=2``.
    """
    return Edit("set", address, 0.0)


def set_to(address: str, value: float | NDArray[np.floating]) -> Edit:
    """Set values: to a number, or to an array that can be broadcast to ``[steps, rows, units]``."""
    return Edit("set", address, value)


def scale(address: str, value: float | NDArray[np.floating]) -> Edit:
    """Multiply values."""
    return Edit("scale", address, value)


def add(address: str, value: float | NDArray[np.floating]) -> Edit:
    """Add to values."""
    return Edit("add", address, value)


def resolve(
    edits: Sequence[Edit], names: Sequence[str], units: dict[str, int], T: int, N: int
) -> list[list[NativeEdit]]:
    """Return the edits of each layer and direction, in the form that native code reads.

    Args:
        edits: the edits, applied in this order.
        names: the layers and directions, such as ``l0`` and ``l0r``.
        units: the number of units of each place, in the order of native/kernel/kinds.h.
        T: the number of time steps.
        N: the number of rows.

    Raises:
        NameUnknownError: there is no such place.
        IndexRangeError: a unit, step or row does not exist.
        ArgumentTypeError: something is not an edit.
        ShapeError: a value cannot be broadcast.
    """
    found: list[list[NativeEdit]] = [[] for _ in names]
    for edit in edits:
        if not isinstance(edit, Edit) or edit.kind not in KINDS:
            raise ArgumentTypeError(f"edits are made with zero, set_to, scale and add, got {edit!r:.60}")
        address = parse_address(edit.address)
        layer, _, quantity = address.place.partition(".")
        if layer not in names or quantity not in units:
            places = " ".join(units)
            raise NameUnknownError(
                f"no place {address.place[:40]!r}: expected one of {' '.join(names)}, a point, and one of {places}"
            )
        steps, rows = _indices(address.t, T, "step"), _indices(address.row, N, "row")
        at = _indices(address.unit, units[quantity], "unit")
        value = _broadcast(edit, (len(steps), len(rows), len(at)))
        found[names.index(layer)].append((list(units).index(quantity), KINDS.index(edit.kind), value, steps, rows, at))
    return found


def _broadcast(edit: Edit, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    value = as_floats(edit.value, f"the value of {edit.address}")
    try:
        return np.ascontiguousarray(np.broadcast_to(value, shape))
    except ValueError:
        raise ShapeError(
            f"the value of {edit.address} has shape {list(value.shape)}, expected one that can be broadcast to "
            f"{list(shape)}: steps, rows and units"
        ) from None


def _indices(chosen: Chosen, size: int, what: str) -> list[int]:
    if chosen is None or isinstance(chosen, slice):
        return list(range(size)[chosen or slice(None)])
    listed = [chosen] if isinstance(chosen, int) else list(chosen)
    for one in listed:
        if not -size <= one < size:
            raise IndexRangeError(f"there is no {what} {one}: there are {size}")
    return [one % size for one in listed]
