"""Runs a cell in plain torch, on any device and type, differentiably: the reference of all paths' tests."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.base.validation import check_memory
from hiddenstate.cells.cell import Cell, ValueHook, Weights, ignore
from hiddenstate.cells.lstm import LSTM
from hiddenstate.edits.resolve import ResolvedEdit
from hiddenstate.engine.call import Call, CallResult, RecordSpec, live_steps, through_layers
from hiddenstate.structure.names import Place, reading_order


class Observer(Protocol):
    """Receives each value of a scan when it is computed, and may return a replacement."""

    def carried(self, t: int) -> ValueHook:
        """Return the hook for the values whose states are passed on to the next step."""

    def shown(self, t: int) -> ValueHook | None:
        """Return the hook for the values of this step's output, if they differ."""


def scan(
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    w: Weights,
    *,
    cell: Cell = LSTM,
    reverse: bool = False,
    live: Tensor | None = None,
    reset: Tensor | None = None,
    reset_to: tuple[Tensor, ...] | None = None,
    observer: Observer | None = None,
) -> tuple[Tensor, ...]:
    """Run one layer in one direction over ``x [T, N, C]``; return its output ``[T, N, P]`` and final states.

    ``live [T, N]`` is False where a row has ended, and ``reset [T, N]`` True where a sequence begins, in the state
    ``reset_to``: of each row ``[N, ...]``, of each step and row ``[T*N, ...]``, or zero.
    """
    if live is not None:  # values past a row's end must have no effect, not even through the gradient of a NaN
        x = torch.where(live[..., None], x, 0)
        reset = None if reset is None else reset & live
    xg = linear(x, w.ih, w.b_ih)
    out: dict[int, Tensor] = {}
    state: tuple[Tensor, ...] = (h,) if c is None else (h, c)
    for t in reading_order(len(x), reverse):
        state = _cross_border(state, t, reset, reset_to, reverse)
        new = cell.step(xg[t], state, w, observer.carried(t) if observer else ignore)
        shown = observer.shown(t) if observer else None
        out[t] = (new if shown is None else cell.step(xg[t], state, w, shown))[0]
        if live is None:
            state = new
        else:
            alive = live[t, :, None]
            state = tuple(torch.where(alive, after, before) for after, before in zip(new, state, strict=True))
            out[t] = torch.where(alive, out[t], 0)
    return torch.stack([out[t] for t in range(len(x))]), *state


def _cross_border(
    state: tuple[Tensor, ...], t: int, reset: Tensor | None, reset_to: tuple[Tensor, ...] | None, reverse: bool
) -> tuple[Tensor, ...]:
    """Replace the state before step t in rows with a border there; in reverse, the border is before t-1."""
    border = t + 1 if reverse else t
    if reset is None or border == len(reset):
        return state
    begins = reset[border, :, None]
    if reset_to is None:
        return tuple(torch.where(begins, 0, before) for before in state)
    N = len(state[0])  # there is one state for each row, or one for each step and row
    new = [part if part.shape[0] == N else part[border * N : (border + 1) * N] for part in reset_to]
    return tuple(torch.where(begins, after, before) for after, before in zip(new, state, strict=True))


@dataclass
class LayerObserver:
    """Applies edits to a layer and direction, and records it; with readout edits, each step is computed twice."""

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


class LayerResult(NamedTuple):
    """``out [T, N, P]``, ``h [N, P]``, ``c [N, H]`` (or None) of a layer and direction, and its recorded values."""

    out: Tensor
    h: Tensor
    c: Tensor | None
    values: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]


def run(call: Call) -> CallResult:
    """Compute a call through the reference."""
    out, results = through_layers(call, lambda k, x: run_layer(call, k, x))
    return joined(out, results)


def joined(out: Tensor, results: Sequence[LayerResult]) -> CallResult:
    """Combine the results of all layers and directions."""
    values = {name: value for layer in results for name, value in layer.values.items()}
    carried = {name: value for layer in results for name, value in layer.carried.items()}
    # Copies even a single state: it may be changed in place, though the last step's tanh has saved it.
    h, c = [layer.h for layer in results], [layer.c for layer in results if layer.c is not None]
    return CallResult(out, torch.stack(h), torch.stack(c) if c else None, values, carried)


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
    out, h, *more = scan(
        *(x, call.h0[k], c0, call.weights[k]),
        cell=cell,
        reverse=layer_direction.reverse,
        live=live,
        reset=call.reset,
        reset_to=None if call.reset_to is None else tuple(part[k].to(x.dtype) for part in call.reset_to),
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


def _stack(by_step: Mapping[int, Tensor], steps: Sequence[int], live: Tensor | None) -> Tensor:
    """Stack values recorded step by step to ``[steps, N, units]``; zero past a row's end."""
    values = torch.stack([by_step[t] for t in steps])
    return values if live is None else torch.where(live[list(steps), :, None], values, 0)
