"""Joins the traces of consecutive calls: the steps of a cell, or the pieces of a sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.indexing import FrozenIndex, ascending, resolve
from hiddenstate.cells.cell import Cell
from hiddenstate.engine.call import RecordSpec
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import AxisOrder, Layers, from_time_first
from hiddenstate.tracing.record_spec import Tokens, TraceOptions, check_limit, naming, resolve_places, resolve_tokens
from hiddenstate.tracing.trace import Trace


def wanted_of_step(asked: TraceOptions, cell: Cell, h: Tensor) -> RecordSpec:
    """Return the places to record for one step of a cell with the state ``h [N, H]``: layer 0, one time step."""
    with naming(asked.name):
        places = resolve_places(Layers(1, False, cell), asked.keep, asked.pre)
        if not places:
            raise ArgumentError("nothing to record: 0 places (keep=)")
        wanted = RecordSpec(places, [0])
        check_limit(len(places) * h.nbytes, asked, wanted)
        return wanted


def trace_of_step(
    wanted: RecordSpec, cell: Cell, seen: Mapping[str, Tensor], initial: Sequence[Tensor], layout: AxisOrder
) -> Trace:
    """Build the trace of one step of a cell."""
    states = [from_time_first(seen[name][None], layout) for name in cell.carried]
    return Trace(
        out=states[0],
        state=cell.as_given(states),
        initial=cell.as_given([part[None].clone() for part in initial]),
        values={str(place): seen[place.quantity][None] for place in wanted.places},
        carried={},
        steps=(0,),
        length=1,
        num_layers=1,
        bidirectional=False,
        layout=layout,
        cell=cell.name,
    )


def chained(calls: Sequence[Trace]) -> list[Trace]:
    """Join successive calls into one trace as long as each continues from the final state of the previous one."""
    chains: list[list[Trace]] = []
    for call in calls:
        if chains and goes_on(chains[-1][-1], call):
            chains[-1].append(call)
        else:
            chains.append([call])
    return [joined(chain) for chain in chains]


def goes_on(before: Trace, after: Trace) -> bool:
    """Whether a call began with the final state of another call, so that both are pieces of one sequence.

    Always False for bidirectional calls, because a reverse direction reads the later piece first, and for rows with
    lengths.
    """
    if before.bidirectional or before.lengths is not None or after.lengths is not None:
        return False
    if (before.layout, before.names, set(before.carried)) != (after.layout, after.names, set(after.carried)):
        return False
    cell = before.layers.cell
    left = [part[:, None] if before.layout == "T" else part for part in cell.parts_of(before.state)]
    return all(_same(a, b) for a, b in zip(left, cell.parts_of(after.initial), strict=True))


def _same(a: Tensor, b: Tensor) -> bool:
    alike = (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
    return alike and torch.allclose(a.detach(), b.detach(), rtol=0, atol=0, equal_nan=True)


def joined(chain: Sequence[Trace]) -> Trace:
    """Return one trace of calls that each continue from the previous one."""
    first, last = chain[0], chain[-1]
    if len(chain) == 1:
        return first
    starts = accumulate((call.length for call in chain), initial=0)
    outs = [call.out for call in chain if isinstance(call.out, Tensor)]  # none is packed: packed calls have lengths
    return replace(
        first,
        out=torch.cat(outs, dim=1 if first.layout == "NT" else 0),
        state=last.state,
        values={name: torch.cat([call.values[name] for call in chain]) for name in first.values},
        carried={name: torch.cat([call.carried[name] for call in chain]) for name in first.carried},
        steps=tuple(start + t for start, call in zip(starts, chain, strict=False) for t in call.steps),
        length=sum(call.length for call in chain),
        reset=_joined_reset(chain),
        tokens=_joined_tokens(chain),
        reset_to=_joined_reset_to(chain),
    )


def _joined_reset(chain: Sequence[Trace]) -> Tensor | None:
    if all(call.reset is None for call in chain):
        return None
    device = chain[0].initial[0].device  # the states are pairs or tensors
    none = [torch.zeros(call.length, call.batch, dtype=torch.bool, device=device) for call in chain]
    return torch.cat([other if call.reset is None else call.reset for call, other in zip(chain, none, strict=True)])


def _joined_reset_to(chain: Sequence[Trace]) -> Any:
    """Return the states after all borders, for each step and row; zeros for calls without ``reset_to``."""
    if all(call.reset_to is None for call in chain):
        return None
    cell = chain[0].layers.cell
    return cell.as_given([torch.cat([_by_step(call, k) for call in chain], dim=1) for k in range(len(cell.carried))])


def _by_step(call: Trace, k: int) -> Tensor:
    cell, count = call.layers.cell, call.length * call.batch
    initial = cell.parts_of(call.initial)[k]
    if call.reset_to is None:
        return initial.new_zeros(len(initial), count, initial.shape[2])
    states = cell.parts_of(call.reset_to)[k]
    return states if states.shape[1] == count else states.repeat(1, call.length, 1)


def _joined_tokens(chain: Sequence[Trace]) -> tuple[tuple[str, ...], ...] | None:
    tokens = [call.tokens for call in chain if call.tokens is not None]
    if len(tokens) < len(chain):
        return None
    return tuple(tuple(word for piece in row for word in piece) for row in zip(*tokens, strict=True))


def narrowed(trace: Trace, steps: FrozenIndex, tokens: Tokens | None) -> Trace:
    """Return a trace reduced to the chosen steps, with a token for each; all of its steps must have been recorded."""
    times = ascending(resolve(steps, trace.length, "steps"))
    if not times:
        raise ArgumentError(f"nothing to record: 0 of {trace.length} steps (steps=)")
    every = len(times) == trace.length
    return replace(
        trace,
        values=trace.values if every else {name: value[list(times)] for name, value in trace.values.items()},
        steps=tuple(times),
        tokens=resolve_tokens(tokens, trace.length, trace.batch, None),
    )
