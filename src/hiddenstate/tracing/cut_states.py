"""Reads the states discarded by resets from a record."""

from typing import Any

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import Place, from_time_first
from hiddenstate.tracing.record import Record


def states_before_resets(record: Record) -> Any:
    """Return the state of each layer and direction at each border: h ``[B, L*D, P]``, c ``[B, L*D, H]``; or only h.

    Raises:
        ArgumentError: the run had no ``reset=``, some steps were not recorded, or a readout edit was in force.
        NameUnknownError: h or c of a layer and direction was not recorded.
    """
    if record.reset is None:
        raise ArgumentError("this run was called without reset=, so no state was discarded")
    if len(record.steps) < record.length:
        raise ArgumentError(
            f"{len(record.steps)} of {record.length} steps were recorded: trace without steps= to record all of them"
        )
    if record.carried:
        raise ArgumentError(
            "a readout edit was in force, and the hidden states passed on to the next step were not recorded"
        )
    # Indices in the order of the caller's mask.
    first, *second = from_time_first(record.reset, record.layout).nonzero(as_tuple=True)
    row = second[0] if second else torch.zeros_like(first)
    t, n = (row, first) if record.layout == "NT" else (first, row)
    cell, every = record.layers.cell, record.layers.directions
    return cell.as_given(
        [
            torch.stack([_carried(record, Place(*each, quantity), k, t, n) for k, each in enumerate(every)], dim=1)
            for quantity in cell.carried
        ]
    )


def _carried(record: Record, place: Place, k: int, t: Tensor, n: Tensor) -> Tensor:
    """Return the k-th layer and direction's state at the borders before steps ``t`` of rows ``n``: ``[B, units]``."""
    cell, values = record.layers.cell, record.recorded(str(place))
    initial = cell.parts_of(record.initial)[cell.carried.index(place.quantity)][k]
    length = torch.full_like(t, record.length) if record.lengths is None else record.lengths[n]
    if place.reverse:  # the state comes from step t, or from beyond the row's end
        return torch.cat([values, initial[None]])[torch.where(t < length, t, record.length), n]
    return torch.cat([initial[None], values])[torch.minimum(t, length), n]
