"""Runs calls on the reference, layer by layer; supports every edit and record, on any device."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.validation import check_memory
from hiddenstate.engine import reference
from hiddenstate.engine.call import Call, Result, live_steps, through_layers
from hiddenstate.engine.observer import make_observer
from hiddenstate.structure.names import Place


class LayerResult(NamedTuple):
    """The result of one layer and direction: ``out [T, N, P]``, ``h [N, P]``, ``c [N, H]``, and its recorded values.

    ``c`` is None if the cell has no cell state.
    """

    out: Tensor
    h: Tensor
    c: Tensor | None
    values: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]


def run(call: Call) -> Result:
    """Compute a call through the reference."""
    out, done = through_layers(call, lambda k, x: run_layer(call, k, x))
    return joined(out, done)


def joined(out: Tensor, done: Sequence[LayerResult]) -> Result:
    """Combine the results of all layers and directions."""
    values = {name: value for layer in done for name, value in layer.values.items()}
    carried = {name: value for layer in done for name, value in layer.carried.items()}
    # Copies even a single state: it may be changed in place, though the last step's tanh has saved it.
    h, c = [layer.h for layer in done], [layer.c for layer in done if layer.c is not None]
    return Result(out, torch.stack(h), torch.stack(c) if c else None, values, carried)


def run_layer(call: Call, k: int, x: Tensor) -> LayerResult:
    """Compute the k-th layer and direction, which reads ``x``."""
    for weight in call.weights[k]:
        if weight is not None:
            check_memory(weight, "a weight")
    layer_direction = call.layer_directions[k]
    cell = call.sizes.kind
    observer = make_observer(*layer_direction, call.edits, call.record, cell.memory)
    live = None if call.lengths is None else live_steps(call.lengths, len(x))
    c0 = None if call.c0 is None else call.c0[k].to(x.dtype)
    out, h, *more = reference.scan(
        *(x, call.h0[k], c0, call.weights[k]),
        cell=cell,
        reverse=layer_direction.reverse,
        live=live,
        reset=call.reset,
        reset_to=_border_states(call, k, x.dtype),
        observer=observer,
    )
    c = more[0] if more else None
    if observer is None or call.record is None:
        return LayerResult(out, h, c, {}, {})
    steps = call.record.steps
    named = (*cell.quantities, *cell.pre_activations)
    seen = {q: _stack(observer.seen[q], steps, live) for q in named if q in observer.seen}
    values = {str(Place(*layer_direction, q)): v for q, v in seen.items()}
    handed_on = observer.handed_on
    carried = {layer_direction.name: _stack(handed_on, steps, live)} if handed_on else {}
    return LayerResult(out, h, c, values, carried)


def _border_states(call: Call, k: int, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
    """Return the states of the k-th layer and direction after borders; None means zeros."""
    if call.reset_to is None:
        return None
    h, *more = call.reset_to
    return h[k], *(c[k].to(dtype) for c in more)


def _stack(by_step: Mapping[int, Tensor], steps: Sequence[int], live: Tensor | None) -> Tensor:
    """Stack values recorded step by step to ``[steps, N, units]``; zero past a row's end."""
    values = torch.stack([by_step[t] for t in steps])
    return values if live is None else torch.where(live[list(steps), :, None], values, 0)
