"""The gradient of a target with respect to every gate and state of one row: one backward pass over a recorded run.

That is how much the target changes when a value changes slightly and everything that depends on it is recomputed:
the slope of an edit that sets or adds. Computed from the cell's derivatives, since autograd treats a layer as one node.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.cells.cell import Weights
from hiddenstate.cells.lstm import LSTM as CELL
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import borders
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Target
from hiddenstate.nn.scoped_edits import edits_in_force
from hiddenstate.structure.names import QUANTITIES, Place
from hiddenstate.tracing.trace import Trace


def slopes(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """Return the target's slope by every value of a run: a map from place to ``[T, units]``.

    Args:
        subject: a subject with one row.
        target: the target.
        trace: the subject's run, with every gate and state.

    Raises:
        ArgumentError: edits are in force; the gradient does not support them.
    """
    if edits_in_force(subject.lstm):
        raise ArgumentError("the gradient estimate does not support edits; leave their block, or use mode='exact'")
    wanted = _direct(subject, target, trace)
    found: dict[str, Tensor] = {}
    D, weights = subject.sizes.directions, subject.lstm._weights()
    with torch.no_grad():
        for layer in reversed(range(subject.sizes.num_layers)):
            below: list[Tensor] = []
            for reverse in (False, True)[:D]:
                k = layer * D + reverse
                mine, dz = _layer(_Track(subject, trace, weights[k], layer, reverse), wanted)
                found |= mine
                below += [dz @ weights[k].ih] if layer else []
            if layer:
                for way, part in enumerate(torch.stack(below).sum(0).chunk(D, dim=-1)):
                    name = str(Place(layer - 1, bool(way), "h"))
                    wanted[name] = wanted[name] + part
    return found


def _direct(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """The target's slope by each value that it reads directly."""
    leaves = {name: trace.values[name].detach()[:, 0].clone().requires_grad_() for name in trace}
    last, T, D = subject.sizes.num_layers - 1, subject.T, subject.sizes.directions
    ways = (False, True)[:D]
    with torch.enable_grad():
        out = torch.cat([leaves[str(Place(last, way, "h"))] for way in ways], dim=-1)[:, None]
        ends = [
            torch.stack([leaves[str(Place(*track, q))][0 if track[1] else T - 1] for track in subject.sizes.tracks])
            for q in "hc"
        ]
        steps = target.steps or tuple(range(T))
        values = {
            name: leaf[list(steps), None] for name, leaf in leaves.items() if not target.keep or name in target.keep
        }
        state = ends[0][:, None], ends[1][:, None]
        value = target.of(Outputs(out, state, subject.head, values, steps, 0, last)).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, grads, strict=True))


@dataclass(frozen=True)
class _Track:
    """One layer and direction of a run."""

    subject: Subject
    trace: Trace
    weights: Weights
    layer: int
    reverse: bool

    def name(self, quantity: str) -> str:
        return str(Place(self.layer, self.reverse, quantity))

    def value(self, quantity: str) -> Tensor:
        return self.trace.values[self.name(quantity)].detach()[:, 0]

    def c_before(self) -> Tensor:
        """The cell state before each step."""
        c, sizes = self.value("c"), self.subject.sizes
        first = self.subject.initial[1][sizes.tracks.index((self.layer, self.reverse))]
        before = torch.cat([c[1:], first]) if self.reverse else torch.cat([first, c[:-1]])
        return torch.where(self.cut()[:, None], 0.0, before)

    def cut(self) -> Tensor:
        """Whether a step receives no state from the step read before it: bool ``[T]``."""
        return borders(self.subject, torch.arange(self.subject.T), self.reverse)

    def order(self) -> list[int]:
        """The steps, last read first."""
        T = self.subject.T
        return list(range(T) if self.reverse else reversed(range(T)))


def _layer(track: _Track, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the slopes of one layer and direction, and those by its pre-activations, ``[T, 4H]``."""
    values = {q: track.value(q) for q in QUANTITIES} | {"c_prev": track.c_before()}
    slopes, w = CELL.slopes(values), track.weights
    reads = [CELL.state_read_by(gate.name) for gate in CELL.gates]
    direct = {q: wanted[track.name(q)] for q in QUANTITIES}
    # Computed for all steps at once, so that the loop contains only the recurrence.
    by_gate = torch.cat([slopes[state][gate.name] for state, gate in zip(reads, CELL.gates, strict=True)], dim=1)
    inside = torch.cat([gate.slope(values[gate.name]) for gate in CELL.gates], dim=1)
    direct_gates = torch.cat([direct[gate.name] for gate in CELL.gates], dim=1)
    by_pre, direct_pre = inside * by_gate, inside * direct_gates
    # Row by row: torch never splits operations on single rows among threads, which wait for long on a busy machine.
    d = {"c": torch.empty_like(values["c"]), "h": torch.empty_like(values["c"])}  # h: before the projection
    dh, dz = torch.empty_like(direct["h"]), torch.empty_like(inside)
    h_on, c_on = torch.zeros_like(dh[0]), torch.zeros_like(d["c"][0])
    cut = track.cut().tolist()
    for t in track.order():
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
    return {track.name(q): value for q, value in parts.items()}, dz
