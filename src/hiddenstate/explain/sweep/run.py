"""`sweep`: patches every place, unit and step from one run into another, and measures the effect on a target."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.indexing import Index, freeze, resolve
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import map_state
from hiddenstate.edits.edit import Edit, add
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import resolve_subject, subject
from hiddenstate.explain.subject.subject import Outputs, Subject, check_row_steps
from hiddenstate.explain.subject.target import BatchRunner, Target, TargetLike, resolve_row, resolve_target
from hiddenstate.explain.sweep.result import Sweep
from hiddenstate.structure.names import Place
from hiddenstate.structure.sizes import Sizes
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


Mode = Literal["exact", "gradient+exact"]
Direction = Literal["noising", "denoising"]
Units = None | Literal["all"] | Sequence[int] | Sequence[Sequence[int]]

Numbers = NDArray[np.float64]

MOST_PATCHES = 2**20


def sweep(
    model: Any,
    clean: Any = None,
    corrupt: Any = None,
    *,
    of: TargetLike,
    places: str | None = None,
    units: Units = None,
    steps: Index = None,
    mode: Mode = "exact",
    direction: Direction = "noising",
    top: int = 256,
    row: int | None = None,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Sweep:
    """Patch each value from one run into another, one at a time, and measure the target.

    Call it with a model and two inputs, ``sweep(model, clean, corrupt, of=...)``, or with two subjects,
    ``sweep(clean, corrupt, of=...)``. Both inputs must have the same number of steps. Ctrl-C stops it, and the result
    then has the patches run so far.

    Args:
        model: as for `subject`; or the clean input, as a `Subject`.
        clean: the clean input, or a `Subject`; if ``model`` is a `Subject`, the corrupt one.
        corrupt: another input of the same length, such as the sentence with one word replaced; or a `Subject`.
        of: the target: `logit`, `log_probability`, a place such as ``"l1.c[125]@7"``, or a function of the outputs.
        places: patterns of places (gates and states), separated by commas; by default all states, such as
            ``"*.c,*.h"`` for an LSTM; the LSTM's module path may come before them, as in ``"encoder.*.c"``.
        units: None: each unit separately. ``"all"``: all units of a place together. Numbers: these units, each
            separately. Lists of numbers: groups of units.
        steps: the steps to patch; None for all.
        mode: ``"exact"``: run every patch. ``"gradient+exact"``: estimate each as slope times difference, from one
            backward pass, and run the ``top`` patches with the largest estimates.
        direction: ``"noising"``: patch the clean run from the corrupt one, to see what breaks it. ``"denoising"``:
            patch the corrupt run from the clean one, to see what restores it.
        top: how many patches to run after an estimate.
        row: the batch row.
        progress: True for a bar on stderr, False for none, or a function of the row-steps done and their total.
        options: as for `subject`: ``head=``, ``labels=``, ``hx=`` and others.

    Returns:
        The `Sweep`.

    Raises:
        ShapeError: the inputs have different numbers of steps.
        NameUnknownError: a pattern matches no place, or the target does not exist.
        IndexRangeError: there is no such unit, step or row.
        ArgumentError: the mode or direction is unknown, there are too many patches, or an active edit is for single
            rows.

    See Heimersheim & Nanda (2024), "How to use and interpret activation patching"; the estimate is Nanda's attribution
    patching (2023).
    """
    for name, value, known in (("mode", mode, get_args(Mode)), ("direction", direction, get_args(Direction))):
        if value not in known:
            raise ArgumentError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    check_progress(progress)
    row = resolve_row(of, row)
    clean_row, corrupt_row = (both.only(row) for both in _pair(of, model, clean, corrupt, options))
    if clean_row.T != corrupt_row.T:
        raise ShapeError(f"both inputs need the same number of steps, got {clean_row.T} and {corrupt_row.T}")
    target = resolve_target(of, clean_row)
    base, other = (clean_row, corrupt_row) if direction == "noising" else (corrupt_row, clean_row)
    patterns = ",".join(f"*.{state}" for state in base.sizes.kind.state_names) if places is None else places
    plan, count = _plan(base, patterns, units, steps), check_int("top", top)
    if mode == "gradient+exact" and count < 1:
        raise ArgumentError(f"top must be at least 1, got {count}")
    patches = len(plan.patches) if mode == "exact" else min(count, len(plan.patches))
    check_row_steps(base.T * patches, f"choose fewer of the {patches:,} patches, with places=, units=, steps= or top=")
    with reporting(progress) as report:
        work = BatchRunner(base, target, report)
        return _patched(work, other, plan, direction, None if mode == "exact" else count)


class PatchPlan(NamedTuple):
    """The places, steps and groups of units to patch, and each patch's position in the array of effects."""

    places: tuple[str, ...]
    steps: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    patches: list[Patch]
    positions: NDArray[np.int64]

    def spread(self, numbers: Numbers) -> Numbers:
        """Arrange one number per patch as ``[places, steps, units]``."""
        array = np.full((len(self.places), len(self.steps), len(self.groups)), np.nan)
        array.ravel()[self.positions] = numbers
        return array


def _pair(of: TargetLike, model: Any, clean: Any, corrupt: Any, options: dict[str, Any]) -> tuple[Subject, Subject]:
    """Return the subjects of the clean and the corrupt run."""
    if corrupt is None and isinstance(model, Subject) and isinstance(clean, Subject):
        return (subject(model, **options), subject(clean, **options)) if options else (model, clean)
    if clean is None or corrupt is None:
        raise ArgumentError(
            "a sweep compares two runs: give a model and two inputs, sweep(model, clean, corrupt, of=...), or two "
            "subjects, sweep(clean, corrupt, of=...)"
        )
    first, second = (
        x if isinstance(x, Subject) else resolve_subject(of, model, x, **options) for x in (clean, corrupt)
    )
    return first, second


def _plan(base: Subject, patterns: str, units: Units, steps: Index) -> PatchPlan:
    """Choose the patches, before anything runs."""
    sizes, T = base.sizes, base.T
    names = chosen_places(sizes, patterns, base.path)
    times = tuple(resolve(freeze(steps, "steps"), T, "steps"))
    if not times:
        raise ArgumentError(f"steps= selects none of the {T} steps: give at least one")
    groups = _groups(units, max(sizes.units(name.split(".")[1]) for name in names))
    if len(names) * len(times) * len(groups) > MOST_PATCHES:
        raise ArgumentError(
            f"{len(names)} places of {len(groups)} units at {len(times)} steps are more than {MOST_PATCHES:,} patches; "
            "choose fewer with places=, units= or steps="
        )
    patches, positions = [], []
    for p, name in enumerate(names):
        width = sizes.units(name.split(".")[1])
        inside = [(u, tuple(k for k in group if k < width)) for u, group in enumerate(groups)]
        for s, t in enumerate(times):
            start = (p * len(times) + s) * len(groups)
            patches += [Patch(name, t, group) for _, group in inside if group]
            positions += [start + u for u, group in inside if group]
    return PatchPlan(names, times, groups, patches, np.array(positions, dtype=np.int64))


def chosen_places(sizes: Sizes, patterns: str, path: str = "") -> tuple[str, ...]:
    """Return the gates and states that patterns such as ``"*.c,l1.h"`` match, in layer order."""
    if not isinstance(patterns, str):
        raise ArgumentTypeError(
            f"places must be patterns in one string, such as '*.c,l1.h', got {type(patterns).__name__}"
        )
    known = [name for layer_direction in sizes.places for name in layer_direction]
    wanted = [part.strip().removeprefix(f"{path}.") for part in patterns.split(",")]
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise NameUnknownError(f"no place matches {pattern!r}: this {sizes.kind.label} has {' '.join(known)}")
    return tuple(name for name in known if any(fnmatchcase(name, pattern) for pattern in wanted))


def _groups(units: Units, width: int) -> tuple[tuple[int, ...], ...]:
    if units is None:
        return tuple((k,) for k in range(width))
    if isinstance(units, str):
        if units != "all":
            raise ArgumentError(f"units must be None, 'all', numbers or lists of numbers, got {units!r}")
        return (tuple(range(width)),)
    if not isinstance(units, Iterable):
        raise ArgumentTypeError(f"units must be None, 'all', numbers or lists of numbers, got {type(units).__name__}")
    parts = [part if isinstance(part, Sequence) else [part] for part in units]
    if not parts or not all(parts):
        raise ArgumentError("units= is empty: give numbers, or non-empty lists of numbers")
    return tuple(tuple(resolve(freeze(part, "units"), width, "units")) for part in parts)


def _patched(work: BatchRunner, other: Subject, plan: PatchPlan, direction: Direction, top: int | None) -> Sweep:
    """Run the patches, all or the ``top`` ones with the largest estimates, with values from another run."""
    base, target = work.subject, work.target
    with torch.no_grad():
        run, other_run = base.trace(), other.trace()
        value, other_value = (
            float(target.of(_outputs(row, trace, target))) for row, trace in ((base, run), (other, other_run))
        )
    work.count(2 * base.T)
    source = {name: other_run.values[name][:, 0] for name in plan.places}
    estimate: Numbers | None = None
    numbers: NDArray[np.int64] = np.arange(len(plan.patches))
    if top is not None:
        estimate = _estimate(work, run, source, plan.patches)
        numbers = np.sort(np.argsort(-np.abs(estimate), kind="stable")[:top])
    effect, complete = _effects(Patcher(work, run, value, source), plan.patches, numbers.tolist())
    own = Patcher(work, run, value, {name: values[:, 0] for name, values in run.values.items()})
    was_run = ~np.isnan(effect)
    return Sweep(
        target=target.name,
        direction=direction,
        base=value,
        other=other_value,
        places=plan.places,
        steps=plan.steps,
        words=tuple(base.words()[t] for t in plan.steps),
        units=plan.groups,
        effect=plan.spread(effect),
        estimate=None if estimate is None else plan.spread(estimate),
        rank_correlation=None if estimate is None else rank_correlation(estimate[was_run], effect[was_run]),
        complete=complete,
        values=source,
        # A patch with the run's own values should not move the target.
        residual=max((abs(float(values) - value) for _, values in own.run(plan.patches[:1])), default=0.0),
        cost=work.cost,
    )


def _estimate(work: BatchRunner, run: Trace, source: Mapping[str, Tensor], patches: Sequence[Patch]) -> Numbers:
    """Return slope times difference for each patch."""
    slope = slopes(work.subject, work.target)
    work.count(work.subject.T)
    parts = {
        name: (slope[name] * (values - run.values[name][:, 0])).detach().double().cpu().numpy()
        for name, values in source.items()
    }
    return np.array([parts[patch.place][patch.t, list(patch.units)].sum() for patch in patches])


def _effects(patcher: Patcher, patches: Sequence[Patch], numbers: Sequence[int]) -> tuple[Numbers, bool]:
    """Run the patches of these numbers; after Ctrl-C, return the effects of those already run, and False."""
    effect = np.full(len(patches), np.nan)
    chosen = [patches[k] for k in numbers]
    patcher.work.total = patcher.work.cost + patcher.row_steps(chosen)
    try:
        for which, values in patcher.run(chosen):
            effect[[numbers[k] for k in which]] = values.detach().double().cpu().numpy() - patcher.value
    except KeyboardInterrupt:
        return effect, False
    return effect, True


def _outputs(row: Subject, run: Trace, target: Target) -> Outputs:
    """Return a recorded run as the `Outputs` that a target reads."""
    out, steps = run.out, target.steps
    assert isinstance(out, Tensor)
    values = {name: run.values[name][list(steps)] for name in target.keep}
    time_first = out.transpose(0, 1) if row.lstm.batch_first else out
    return Outputs(time_first, run.state, row.head, values, steps, 0, row.sizes.num_layers - 1)


def rank_correlation(a: Numbers, b: Numbers) -> float:
    """Return Spearman's rank correlation, where equal values share their mean rank; NaN if either is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0]))
    0.5
    """
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (a, b)]
    size = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / size if size else float("nan")


def _ranks(values: Numbers) -> Numbers:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[inverse]
