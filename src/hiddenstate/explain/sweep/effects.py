"""The effects of patches on a target: run one by one, many in few calls, or estimated by the gradient."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from hiddenstate.base.validation import map_state
from hiddenstate.edits.edit import Edit, add
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner, Target
from hiddenstate.structure.names import Place
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
        """Whether rows may start at their patch's step: not if bidirectional, nor with active edits."""
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
                "an active edit selects rows (row=), but here every row is a patched copy of the same row"
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


@torch.inference_mode(False)
def slopes(subject: Subject, target: Target) -> dict[str, Tensor]:
    """Return the target's slope with respect to every value of a run: a map from place to ``[T, units]``."""
    if edits_in_force(subject.lstm):
        raise ArgumentError("the gradient estimate does not support edits; exit their block, or use mode='exact'")
    # Tensors of the inference mode that the caller may be or have been in can't be differentiated, but copies can.
    row = replace(subject, x=subject.x.detach().clone(), initial=map_state(torch.clone, subject.initial))
    added = {
        name: row.x.new_zeros(row.T, 1, row.sizes.units(name.split(".")[1])).requires_grad_()
        for names in row.sizes.places
        for name in names
    }
    with torch.enable_grad(), row.lstm.edit(*(add(name, value) for name, value in added.items())):
        value = target.of(row.run(keep=target.keep, steps=target.steps)).sum()
        grads = torch.autograd.grad(value, list(added.values()), allow_unused=True, materialize_grads=True)
    # In torch 2.8, the zeros of values that are not read require gradients themselves.
    return {name: grad[:, 0].detach() for name, grad in zip(added, grads, strict=True)}
