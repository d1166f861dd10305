"""`sweep`: patches every place, unit and step from one run into another, and measures the effect on a target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

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
from hiddenstate.structure.names import places as every_place
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
        units: None: each unit by itself. ``"all"``: all units of a place together. Numbers: these units, each by
            itself. Lists of numbers: groups of units.
        steps: the steps to patch; None for all.
        mode: ``"exact"``: run every patch. ``"gradient+exact"``: estimate each as slope times difference, from one
            backward pass, and run the ``top`` patches with the largest estimates.
        direction: ``"noising"``: patch the clean run from the corrupt one, to see what breaks it. ``"denoising"``:
            patch the corrupt run from the clean one, to see what restores it.
        top: how many patches to run after an estimate.
        row: the batch row.
        progress: True for a progress bar on stderr (after one second, in a terminal or notebook), False for none, or a
            function called with the row-steps done and their total.
        options: as for `subject`: ``head=``, ``labels=``, ``hx=`` and others.

    Returns:
        The `Sweep`.

    Raises:
        ShapeError: the inputs have different numbers of steps.
        NameUnknownError: a pattern matches no place, or the target does not exist.
        IndexRangeError: there is no such unit, step or row.
        ArgumentError: the mode or direction is unknown, there are too many patches, or an edit in force is for single
            rows.

    See Heimersheim & Nanda (2024), "How to use and interpret activation patching"; the estimate is Nanda's attribution
    patching (2023).
    """
    for name, value, known in (("mode", mode, get_args(Mode)), ("direction", direction, get_args(Direction))):
        if value not in known:
            raise ArgumentError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    check_progress(progress)
    row = resolve_row(of, row)
    clean_one, corrupt_one = (one.only(row) for one in _pair(of, (model, clean, corrupt), options))
    if clean_one.T != corrupt_one.T:
        raise ShapeError(f"both inputs need the same number of steps, got {clean_one.T} and {corrupt_one.T}")
    base, other = (clean_one, corrupt_one) if direction == "noising" else (corrupt_one, clean_one)
    target = resolve_target(of, clean_one)
    patterns = ",".join(f"*.{state}" for state in base.sizes.kind.state_names) if places is None else places
    plan, count = _plan(base, patterns, units, steps), check_int("top", top)
    if mode == "gradient+exact" and count < 1:
        raise ArgumentError(f"top must be at least 1, got {count}")
    patches = len(plan.patches) if mode == "exact" else min(count, len(plan.patches))
    check_row_steps(base.T * patches, f"choose fewer of the {patches:,} patches, with places=, units=, steps= or top=")
    with reporting(progress) as report:
        return _Run(base, other, target, plan, report).sweep(mode, direction, count)


@dataclass(frozen=True)
class _Plan:
    """The places, steps and groups of units to patch, and each patch's position in the array of effects."""

    places: tuple[str, ...]
    steps: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    patches: list[Patch]
    where: NDArray[np.int64]


def _pair(of: TargetLike, given: tuple[Any, Any, Any], options: dict[str, Any]) -> tuple[Subject, Subject]:
    """Return the subjects of the clean and the corrupt run."""
    model, clean, corrupt = given
    if corrupt is None and isinstance(model, Subject) and isinstance(clean, Subject):
        return subject(model, **options), subject(clean, **options)
    if clean is None or corrupt is None:
        raise ArgumentError(
            "a sweep compares two runs: give a model and two inputs, sweep(model, clean, corrupt, of=...), or two "
            "subjects, sweep(clean, corrupt, of=...)"
        )
    one, two = (x if isinstance(x, Subject) else resolve_subject(of, model, x, **options) for x in (clean, corrupt))
    return one, two


def _plan(base: Subject, patterns: str, units: Units, steps: Index) -> _Plan:
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
    patches, where = [], []
    for p, name in enumerate(names):
        width = sizes.units(name.split(".")[1])
        inside = [(u, tuple(k for k in group if k < width)) for u, group in enumerate(groups)]
        for s, t in enumerate(times):
            start = (p * len(times) + s) * len(groups)
            patches += [Patch(name, t, group) for _, group in inside if group]
            where += [start + u for u, group in inside if group]
    return _Plan(names, times, groups, patches, np.array(where, dtype=np.int64))


def chosen_places(sizes: Sizes, patterns: str, path: str = "") -> tuple[str, ...]:
    """Return the gates and states that patterns such as ``"*.c,l1.h"`` match, in layer order."""
    if not isinstance(patterns, str):
        raise ArgumentTypeError(
            f"places must be patterns in one string, such as '*.c,l1.h', got {type(patterns).__name__}"
        )
    known = [str(place) for place in every_place(sizes.num_layers, sizes.bidirectional, sizes.kind.quantities)]
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


class _Run:
    """One sweep in progress."""

    def __init__(self, base: Subject, other: Subject, target: Target, plan: _Plan, progress: Progress | None) -> None:
        self.subject, self.target, self.plan = base, target, plan
        self.work = BatchRunner(base, target, progress)
        with torch.no_grad():
            self.base, source = base.trace(), other.trace()
            self.source = {name: source.values[name][:, 0] for name in plan.places}
            self.values = [
                float(target.of(_outputs(one, run, target))) for one, run in ((base, self.base), (other, source))
            ]
        self.work.count(2 * base.T)
        self.patcher = Patcher(self.work, self.base, self.values[0], self.source)

    def sweep(self, mode: Mode, direction: Direction, top: int) -> Sweep:
        estimate = self._estimate() if mode == "gradient+exact" else None
        numbers: NDArray[np.int64] = np.arange(len(self.plan.patches))
        if estimate is not None:
            numbers = np.sort(np.argsort(-np.abs(estimate), kind="stable")[:top])
        effect, complete = self._effects(numbers.tolist())
        residual = self._residual()
        ran = ~np.isnan(effect)
        return Sweep(
            target=self.target.name,
            direction=direction,
            base=self.values[0],
            other=self.values[1],
            places=self.plan.places,
            steps=self.plan.steps,
            words=tuple(self.subject.words()[t] for t in self.plan.steps),
            units=self.plan.groups,
            effect=self._spread(effect),
            estimate=None if estimate is None else self._spread(estimate),
            rank_correlation=None if estimate is None else rank_correlation(estimate[ran], effect[ran]),
            complete=complete,
            values=self.source,
            residual=residual,
            cost=self.work.cost,
        )

    def _spread(self, of_patches: Numbers) -> Numbers:
        """Arrange one number per patch as ``[places, steps, units]``."""
        plan = self.plan
        found = np.full((len(plan.places), len(plan.steps), len(plan.groups)), np.nan)
        found.ravel()[plan.where] = of_patches
        return found

    def _estimate(self) -> Numbers:
        """Return slope times difference for each patch."""
        slope = slopes(self.subject, self.target, self.base)
        self.work.count(self.subject.T)
        parts = {
            name: (slope[name] * (self.source[name] - self.base.values[name][:, 0])).detach().double().cpu().numpy()
            for name in self.plan.places
        }
        return np.array([parts[one.place][one.t, list(one.units)].sum() for one in self.plan.patches])

    def _effects(self, numbers: Sequence[int]) -> tuple[Numbers, bool]:
        """Run these patches; after Ctrl-C, keep those already run."""
        effect = np.full(len(self.plan.patches), np.nan)
        chosen = [self.plan.patches[k] for k in numbers]
        self.work.total = self.work.cost + self.patcher.row_steps(chosen)

        def done(which: Sequence[int], values: Tensor) -> None:
            effect[[numbers[k] for k in which]] = values.detach().double().cpu().numpy() - self.values[0]

        try:
            self.patcher.run(chosen, done)
        except KeyboardInterrupt:
            return effect, False
        return effect, True

    def _residual(self) -> float:
        """Return how far a patch with the run's own values moves the target."""
        if not self.plan.patches:
            return 0.0
        own = {name: value[:, 0] for name, value in self.base.values.items()}
        found: list[float] = []
        Patcher(self.work, self.base, self.values[0], own).run(
            self.plan.patches[:1], lambda _, values: found.append(abs(float(values) - self.values[0]))
        )
        return found[0]


def _outputs(one: Subject, run: Trace, target: Target) -> Outputs:
    """Return a recorded run as the `Outputs` that a target reads."""
    out, steps = run.out, target.steps
    assert isinstance(out, Tensor)
    values = {name: run.values[name][list(steps)] for name in target.keep}
    time_first = out.transpose(0, 1) if one.lstm.batch_first else out
    return Outputs(time_first, run.state, one.head, values, steps, 0, one.sizes.num_layers - 1)


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
    ranks: Numbers = (last - (counts + 1) / 2)[inverse]
    return ranks
