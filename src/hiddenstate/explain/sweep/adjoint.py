"""The gradient of a target with respect to every gate and state of one row, by one backward pass over a recorded run.

It is how much the target changes when a value changes slightly and everything that depends on it is recomputed: the
slope of an edit that sets or adds. For an LSTM it is computed from the cell's derivatives, since autograd treats a
layer as one node; for other cells by autograd, from a run step by step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hiddenstate.cells.cell import ValueHook, Weights
from hiddenstate.cells.lstm import LSTM as CELL
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.engine.reference import scan
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import borders
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Target
from hiddenstate.structure.names import QUANTITIES, LayerDirection
from hiddenstate.tracing.trace import Trace


def slopes(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """Return the target's slope with respect to every value of a run: a map from place to ``[T, units]``.

    Args:
        subject: a subject with one row.
        target: the target.
        trace: the subject's run, with every gate and state.

    Raises:
        ArgumentError: edits are in force; the gradient does not support them.
    """
    if edits_in_force(subject.lstm):
        raise ArgumentError("the gradient estimate does not support edits; exit their block, or use mode='exact'")
    if subject.sizes.kind is not CELL:
        return slopes_by_autograd(subject, target)
    wanted = _direct(subject, target, trace)
    found: dict[str, Tensor] = {}
    D, weights = subject.sizes.directions, subject.lstm._eval_twin()._weights()
    with torch.no_grad():
        for layer in reversed(range(subject.sizes.num_layers)):
            below: list[Tensor] = []
            for k in range(layer * D, layer * D + D):
                mine, dz = _layer(_Layer(subject, trace, weights[k], k), wanted)
                found |= mine
                below += [dz @ weights[k].ih] if layer else []
            if layer:
                sides = torch.stack(below).sum(0).chunk(D, dim=-1)
                for each, part in zip(subject.sizes.directions_in(layer - 1), sides, strict=True):
                    wanted[f"{each.name}.h"] = wanted[f"{each.name}.h"] + part
    return found


def _direct(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """The target's slope with respect to each value that it reads directly."""
    leaves = {name: trace.values[name].detach()[:, 0].clone().requires_grad_() for name in trace}
    every, T = subject.sizes.layer_directions, subject.T
    with torch.enable_grad():
        out = torch.cat([leaves[f"{each.name}.h"] for each in subject.sizes.directions_in(every[-1].layer)], dim=-1)[
            :, None
        ]
        ends = [torch.stack([leaves[f"{each.name}.{q}"][each.order(T)[-1]] for each in every]) for q in "hc"]
        steps = target.steps or tuple(range(T))
        values = {
            name: leaf[list(steps), None] for name, leaf in leaves.items() if not target.keep or name in target.keep
        }
        state = ends[0][:, None], ends[1][:, None]
        value = target.of(Outputs(out, state, subject.head, values, steps, 0, every[-1].layer)).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, grads, strict=True))


@dataclass(frozen=True)
class _Layer:
    """One layer and direction of a run."""

    subject: Subject
    trace: Trace
    weights: Weights
    number: int  # index in `Sizes.layer_directions`

    @property
    def layer_direction(self) -> LayerDirection:
        return self.subject.sizes.layer_directions[self.number]

    def name(self, quantity: str) -> str:
        return f"{self.layer_direction.name}.{quantity}"

    def value(self, quantity: str) -> Tensor:
        return self.trace.values[self.name(quantity)].detach()[:, 0]

    def c_before(self) -> Tensor:
        """The cell state before each step."""
        c, first = self.value("c"), self.subject.initial[1][self.number]
        before = torch.cat([c[1:], first]) if self.layer_direction.reverse else torch.cat([first, c[:-1]])
        return torch.where(self.cut()[:, None], 0.0, before)

    def cut(self) -> Tensor:
        """Whether a step receives nothing from the step read before it: bool ``[T]``."""
        return borders(self.subject, torch.arange(self.subject.T), self.layer_direction.reverse)

    def order(self) -> list[int]:
        """The steps, last read first."""
        return list(reversed(self.layer_direction.order(self.subject.T)))


def _layer(layer: _Layer, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the slopes with respect to one layer and direction's values, and to its pre-activations, ``[T, 4H]``."""
    values = {q: layer.value(q) for q in QUANTITIES} | {"c_prev": layer.c_before()}
    slopes, w = CELL.slopes(values), layer.weights
    reads = [CELL.state_read_by(gate.name) for gate in CELL.gates]
    direct = {q: wanted[layer.name(q)] for q in QUANTITIES}
    # Computed for all steps at once, so that the loop only computes what is carried through time.
    by_gate = torch.cat([slopes[state][gate.name] for state, gate in zip(reads, CELL.gates, strict=True)], dim=1)
    inside = torch.cat([gate.slope(values[gate.name]) for gate in CELL.gates], dim=1)
    direct_gates = torch.cat([direct[gate.name] for gate in CELL.gates], dim=1)
    by_pre, direct_pre = inside * by_gate, inside * direct_gates
    # Row by row, because torch never splits operations on single rows among threads, which may wait for long on a busy
    # machine.
    d = {"c": torch.empty_like(values["c"]), "h": torch.empty_like(values["c"])}  # h is the value before the projection
    dh, dz = torch.empty_like(direct["h"]), torch.empty_like(inside)
    h_on, c_on = torch.zeros_like(dh[0]), torch.zeros_like(d["c"][0])
    cut = layer.cut().tolist()
    for t in layer.order():
        torch.add(direct["h"][t], h_on, out=dh[t])
        d["h"][t] = dh[t] if w.hr is None else dh[t] @ w.hr
        torch.addcmul(direct["c"][t] + c_on, d["h"][t], slopes["h"]["c"][t], out=d["c"][t])
        torch.addcmul(direct_pre[t], torch.cat([d[state][t] for state in reads]), by_pre[t], out=dz[t])
        if cut[t]:
            h_on, c_on = torch.zeros_like(h_on), torch.zeros_like(c_on)
        else:
            h_on, c_on = dz[t] @ w.hh, d["c"][t] * slopes["c"]["c_prev"][t]
    gates = direct_gates + torch.cat([d[state] for state in reads], dim=1) * by_gate
    parts = dict(zip(CELL.gate_names, gates.chunk(len(reads), dim=1), strict=True)) | {"c": d["c"], "h": dh}
    return {layer.name(q): value for q, value in parts.items()}, dz


@torch.inference_mode(False)
def slopes_by_autograd(subject: Subject, target: Target) -> dict[str, Tensor]:
    """Return the slopes for any kind of cell, with autograd, by adding a zero to each value of the reference's run."""
    sizes, T = subject.sizes, subject.T
    weights = subject.lstm._eval_twin()._weights()
    leaves: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}
    initial = [part.detach().clone() for part in sizes.kind.parts_of(subject.initial)]
    x, ends = subject.x.detach().clone(), []
    with torch.enable_grad():
        for k, each in enumerate(sizes.layer_directions):
            if each.layer and not each.reverse:
                below = sizes.directions_in(each.layer - 1)
                x = torch.cat([values[f"{one.name}.h"] for one in below], dim=-1)
            steps = _Steps(sizes.kind.quantities, T)
            w = Weights(*(None if value is None else value.detach() for value in weights[k]))  # type: ignore[arg-type]
            h, c, *_ = (*(part[k] for part in initial), None)
            done = scan(x, h, c, w, cell=sizes.kind, reverse=each.reverse, reset=subject.reset, observer=steps)
            ends.append(done[1:])
            for quantity in sizes.kind.quantities:
                name = f"{each.name}.{quantity}"
                values[name] = torch.stack(steps.seen[quantity])
                leaves |= {f"{name}@{t}": leaf for t, leaf in enumerate(steps.leaves[quantity])}
        last = sizes.layer_directions[-1].layer
        out = torch.cat([values[f"{each.name}.h"] for each in sizes.directions_in(last)], dim=-1)
        end = sizes.kind.as_given([torch.stack(parts) for parts in zip(*ends, strict=True)])
        chosen = target.steps or tuple(range(T))
        kept = {name: value[list(chosen)] for name, value in values.items() if not target.keep or name in target.keep}
        value = target.of(Outputs(out, end, subject.head, kept, chosen, 0, last)).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    found = dict(zip(leaves, grads, strict=True))
    return {name: torch.cat([found[f"{name}@{t}"] for t in range(T)]) for name in values}


class _Steps:
    """Observes one layer and direction: adds a zero to each value, with respect to which gradients are taken."""

    def __init__(self, quantities: Sequence[str], T: int) -> None:
        self.seen: dict[str, list[Tensor]] = {quantity: [torch.empty(0)] * T for quantity in quantities}
        self.leaves: dict[str, list[Tensor]] = {quantity: [torch.empty(0)] * T for quantity in quantities}

    def carried(self, t: int) -> ValueHook:
        return partial(self._see, t)

    def shown(self, _t: int) -> None:
        return None

    def _see(self, t: int, quantity: str, value: Tensor) -> Tensor:
        if quantity not in self.seen:  # a pre-activation
            return value
        leaf = torch.zeros_like(value).requires_grad_()
        self.leaves[quantity][t], self.seen[quantity][t] = leaf, value + leaf
        return self.seen[quantity][t]
