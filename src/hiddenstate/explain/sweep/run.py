"""`sweep`: patches every place, unit and step from one run into another, and measures the effect on a target."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.indexing import Index, freeze, resolve
from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import resolve_subject, subject
from hiddenstate.explain.subject.subject import Outputs, Subject, check_row_steps
from hiddenstate.explain.subject.target import BatchRunner, Target, TargetLike, resolve_row, resolve_target
from hiddenstate.explain.sweep.effects import Patch, Patcher, slopes
from hiddenstate.explain.sweep.result import Sweep
from hiddenstate.structure.sizes import Sizes
from hiddenstate.tracing.trace import Trace

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
