"""The effects of patches on a target: run one by one, many in few calls, or estimated by the gradient."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from hiddenstate.cells.cell import ValueHook, Weights
from hiddenstate.cells.lstm import LSTM as CELL
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.engine.reference import scan
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import before_each_step, borders
from hiddenstate.explain.subject.subject import Outputs, Subject
from hiddenstate.explain.subject.target import BatchRunner, Target
from hiddenstate.structure.names import QUANTITIES, Place
from hiddenstate.tracing.trace import Trace

BYTES_AT_ONCE = 2**27


@dataclass(frozen=True)
class Patch:
    """The values to replace: units of a place at one step."""

    place: str
    t: int
    units: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Patcher:
    """Runs a single-row subject with values of another run patched in."""

    work: BatchRunner  # runs the subject, and reports progress
    base: Trace  # the subject's own run, with every gate and state
    value: float  # the target's value in that run
    source: Mapping[str, Tensor]  # values of the other run: a map from place to [T, units]

    @property
    def shares(self) -> bool:
        """Whether rows may start at their patch's step: not if bidirectional, nor with edits in force."""
        return not self.work.subject.sizes.bidirectional and not edits_in_force(self.work.subject.lstm)

    @property
    def stop(self) -> int:
        """The step at which rows may end, because the target does not depend on later ones."""
        t = self.work.target.t
        return self.work.subject.T if t is None or self.work.subject.sizes.bidirectional else t + 1

    def row_steps(self, patches: Sequence[Patch]) -> int:
        """The number of row-steps that the patches take."""
        if not self.shares:
            return self.stop * len(patches)
        return sum(max(0, self.stop - patch.t) for patch in patches)

    def run(self, patches: Sequence[Patch]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Run every patch; yield the indices of finished patches, with the target's value in each."""
        if any(edit.row is not None for edit in edits_in_force(self.work.subject.lstm)):
            raise ArgumentError(
                "an edit in force selects rows (row=), but here every row is a patched copy of the same row"
            )
        for numbers in self._batches(patches):
            yield numbers, self._run([patches[k] for k in numbers])

    def _batches(self, patches: Sequence[Patch]) -> Iterator[list[int]]:
        """Yield indices of patches to run together: as many as memory allows, all at one step if rows start there."""
        sizes, x = self.work.subject.sizes, self.work.subject.x
        width = sizes.input_size + 2 * sizes.directions * sizes.output_size  # a run holds two layers' outputs
        most = max(1, BYTES_AT_ONCE // (width * x.element_size()))
        order = sorted(range(len(patches)), key=lambda k: (patches[k].t, patches[k].place))
        groups: list[tuple[int, list[int]]] = [(0, order)]
        if self.shares:
            groups = [(t, list(same)) for t, same in groupby(order, key=lambda k: patches[k].t)]
        for t, numbers in groups:
            size = max(1, most // max(1, self.stop - t))
            for start in range(0, len(numbers), size):
                yield numbers[start : start + size]

    @torch.no_grad()
    def _run(self, patches: Sequence[Patch]) -> Tensor:
        subject, target, R = self.work.subject, self.work.target, len(patches)
        first = patches[0].t if self.shares else 0
        if first >= self.stop:  # later steps do not affect the target
            return torch.full((R,), self.value, dtype=torch.float64)
        stop = self.stop
        kind = subject.sizes.kind
        rows = replace(
            subject,
            x=subject.x[first:stop].expand(-1, R, -1),
            initial=kind.as_given([part.expand(-1, R, -1).contiguous() for part in self._state(first)]),
            reset=None if subject.reset is None else subject.reset[first:stop].expand(-1, R),
            tokens=None,
        )
        inside = [t - first for t in target.steps]
        with subject.lstm.edit(*self._edits(patches, first)):
            outputs = rows.run(keep=target.keep, steps=inside)
        self.work.count((stop - first) * R)
        if target.t is None and first:  # the target may depend on all steps
            shared = [self.base.values[str(Place(subject.sizes.num_layers - 1, False, "h"))][:first].expand(-1, R, -1)]
            return target.of(replace(outputs, out=torch.cat([*shared, outputs.out])))
        return target.of(replace(outputs, first=first, steps=tuple(t + first for t in outputs.steps)))

    def _edits(self, patches: Sequence[Patch], first: int) -> list[Edit]:
        """Return one edit for each place and step."""
        edits = []
        order = sorted(range(len(patches)), key=lambda k: (patches[k].place, patches[k].t))
        for (place, t), same in groupby(order, key=lambda k: (patches[k].place, patches[k].t)):
            rows = list(same)
            own, other = self.base.values[place][t, 0], self.source[place][t]
            units = [patches[k].units for k in rows]
            mask = torch.zeros(len(rows), len(own), dtype=torch.bool)
            at = [(n, unit) for n, chosen in enumerate(units) for unit in chosen]
            mask[tuple(torch.tensor(at).T)] = True
            edits.append(
                Edit(place, "set", torch.where(mask.to(own.device), other, own)[None], t=t - first, row=tuple(rows))
            )
        return edits

    def _state(self, t: int) -> tuple[Tensor, ...]:
        """Return the tensors of the run's state before a step."""
        sizes = self.work.subject.sizes
        if t == 0:
            return sizes.kind.parts_of(self.work.subject.initial)
        every, values = sizes.layer_directions, self.base.values
        return tuple(
            torch.stack([values[str(Place(*track, q))][t - 1] for track in every]).detach() for q in sizes.kind.carried
        )


def slopes(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """Return the target's slope with respect to every value of a run: a map from place to ``[T, units]``."""
    if edits_in_force(subject.lstm):
        raise ArgumentError("the gradient estimate does not support edits; exit their block, or use mode='exact'")
    if subject.sizes.kind is not CELL:
        return slopes_by_autograd(subject, target)
    wanted = _direct(subject, target, trace)
    by_place: dict[str, Tensor] = {}
    D, weights = subject.sizes.directions, subject.lstm._eval_twin()._weights()
    with torch.no_grad():
        for layer in reversed(range(subject.sizes.num_layers)):
            below: list[Tensor] = []
            for k in range(layer * D, layer * D + D):
                mine, dz = _layer(subject, trace, k, weights[k], wanted)
                by_place |= mine
                below += [dz @ weights[k].ih] if layer else []
            if layer:
                sides = torch.stack(below).sum(0).chunk(D, dim=-1)
                for track, part in zip(subject.sizes.directions_in(layer - 1), sides, strict=True):
                    wanted[f"{track.name}.h"] = wanted[f"{track.name}.h"] + part
    return by_place


def _direct(subject: Subject, target: Target, trace: Trace) -> dict[str, Tensor]:
    """The target's slope with respect to each value that it reads directly."""
    leaves = {name: trace.values[name].detach()[:, 0].clone().requires_grad_() for name in trace}
    every, T = subject.sizes.layer_directions, subject.T
    with torch.enable_grad():
        out = torch.cat([leaves[f"{track.name}.h"] for track in subject.sizes.directions_in(every[-1].layer)], dim=-1)[
            :, None
        ]
        ends = [torch.stack([leaves[f"{track.name}.{q}"][track.order(T)[-1]] for track in every]) for q in "hc"]
        steps = target.steps or tuple(range(T))
        values = {
            name: leaf[list(steps), None] for name, leaf in leaves.items() if not target.keep or name in target.keep
        }
        state = ends[0][:, None], ends[1][:, None]
        value = target.of(Outputs(out, state, subject.head, values, steps, 0, every[-1].layer)).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, grads, strict=True))


def _layer(
    subject: Subject, trace: Trace, k: int, w: Weights, wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the slopes with respect to values of the k-th layer and direction, and to pre-activations, ``[T, 4H]``."""
    track = subject.sizes.layer_directions[k]
    values = {q: trace.values[f"{track.name}.{q}"].detach()[:, 0] for q in QUANTITIES}
    values["c_prev"] = before_each_step(subject, track, values["c"], subject.initial[1][k])
    slopes = CELL.slopes(values)
    reads = [CELL.state_read_by(gate.name) for gate in CELL.gates]
    direct = {q: wanted[f"{track.name}.{q}"] for q in QUANTITIES}
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
    cut = borders(subject, torch.arange(subject.T), track.reverse).tolist()
    for t in reversed(track.order(subject.T)):
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
    return {f"{track.name}.{q}": value for q, value in parts.items()}, dz


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
        for k, track in enumerate(sizes.layer_directions):
            if track.layer and not track.reverse:
                below = sizes.directions_in(track.layer - 1)
                x = torch.cat([values[f"{lower.name}.h"] for lower in below], dim=-1)
            steps = _AddedZeros(sizes.kind.quantities, T)
            w = Weights(*(None if value is None else value.detach() for value in weights[k]))  # type: ignore[arg-type]
            h, c, *_ = (*(part[k] for part in initial), None)
            result = scan(x, h, c, w, cell=sizes.kind, reverse=track.reverse, reset=subject.reset, observer=steps)
            ends.append(result[1:])
            for quantity in sizes.kind.quantities:
                name = f"{track.name}.{quantity}"
                values[name] = torch.stack(steps.seen[quantity])
                leaves |= {f"{name}@{t}": leaf for t, leaf in enumerate(steps.leaves[quantity])}
        last = sizes.layer_directions[-1].layer
        out = torch.cat([values[f"{track.name}.h"] for track in sizes.directions_in(last)], dim=-1)
        end = sizes.kind.as_given([torch.stack(parts) for parts in zip(*ends, strict=True)])
        chosen = target.steps or tuple(range(T))
        kept = {name: value[list(chosen)] for name, value in values.items() if not target.keep or name in target.keep}
        value = target.of(Outputs(out, end, subject.head, kept, chosen, 0, last)).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    by_leaf = dict(zip(leaves, grads, strict=True))
    return {name: torch.cat([by_leaf[f"{name}@{t}"] for t in range(T)]) for name in values}


class _AddedZeros:
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
