"""`Sweep`: the effect of patching every place, unit and step: as numbers, a labelled array, and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import NameUnknownError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, number, shortened
from hiddenstate.structure.names import split_path
from hiddenstate.structure.tables import table

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

SHOWN = 12  # maximum number of lines of the table in the terminal


class Effect(NamedTuple):
    """One patch: its position and its effect."""

    place: str
    t: int
    unit: str
    effect: float
    estimate: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Explanation):
    """The result of `hiddenstate.explain.sweep`.

    Attributes:
        target: a description of the target.
        direction: ``"noising"``: the clean run is patched from the corrupt one. ``"denoising"``: the reverse.
        base: the target's value in the patched run, before any patch.
        other: the target's value in the run from which the patches come.
        places: names of the places, the first axis.
        steps: the steps, the second axis.
        words: the words at these steps in the patched run.
        units: for each entry of the third axis, the units that are patched together.
        effect: the target with the patch minus ``base``, ``[places, steps, units]``; NaN if a patch was not run, or a
            place has no such units.
        estimate: the effect estimated by the gradient, slope times difference; None if not requested.
        rank_correlation: Spearman's rank correlation of estimate and effect over the patches that were run; None
            without an estimate.
        complete: whether all requested patches were run, without an interruption.
        values: for each place, the values ``[T, units]`` that are patched in.
        residual: how far a patch with the run's own values moved the target; it should be 0.
    """

    target: str
    direction: str
    base: float
    other: float
    places: tuple[str, ...]
    steps: tuple[int, ...]
    words: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]
    effect: "NDArray[np.float64]"
    estimate: "NDArray[np.float64] | None"
    rank_correlation: float | None
    complete: bool
    values: Mapping[str, Tensor]
    residual: float
    cost: int

    kind = "sweep"
    _saved = (
        "target direction base other places steps words units effect estimate rank_correlation complete residual cost"
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each entry of the third axis: ``"7"``, ``"0,3"``, or ``"all"``."""
        everything = max(len(value[0]) for value in self.values.values())
        return tuple("all" if len(u) == everything > 1 else ",".join(map(str, u)) for u in self.units)

    def top(self, count: int = SHOWN) -> list[Effect]:
        """Return the patches that moved the target most, largest first."""
        size = np.abs(np.nan_to_num(self.effect, nan=-1.0)).ravel()
        size[np.isnan(self.effect).ravel()] = -1
        order = np.argsort(-size, kind="stable")[: check_int("count", count)]
        return [self._effect(int(k)) for k in order if size[k] >= 0]

    def edit(self, place: str, t: int, unit: int | str) -> Edit:
        """Return the edit of one patch, for the patched run: ``with lstm.edit(sweep.edit(...)): ...``.

        If the place starts with a module's path, the edit is for ``hs.edit(model, ...)``.

        Args:
            place: such as ``"l1.c"`` or ``"encoder.l1.c"``.
            t: the step.
            unit: the entry's label, or its only unit.

        Raises:
            NameUnknownError: there is no such patch in this sweep.
            ArgumentTypeError: the step is not an int.
        """
        t, name = check_int("t", t), split_path(place)[1]
        labels = self.labels
        if name not in self.places or t not in self.steps or str(unit) not in labels:
            raise NameUnknownError(f"this sweep has no patch of {place} at step {t}, unit {unit}")
        chosen = [u for u in self.units[labels.index(str(unit))] if u < self.values[name].shape[1]]
        return Edit(place, "set", self.values[name][t, chosen], unit=tuple(chosen), t=t)

    def rows(self) -> Sequence[Row]:
        """Return one row per patch that was run or estimated."""
        known = ~np.isnan(self.effect if self.estimate is None else self.estimate)
        return [effect._asdict() for k in np.flatnonzero(known) for effect in [self._effect(int(k))]]

    def to_xarray(self) -> "xarray.Dataset":
        """Return a labelled dataset over place, step and unit. Needs xarray (``pip install 'hiddenstate[frames]'``).

        Raises:
            MissingDependencyError: xarray is not installed.
        """
        package = optional_package("xarray", "frames", "to_xarray")
        dims = ("place", "step", "unit")
        variables = {"effect": (dims, self.effect)}
        if self.estimate is not None:
            variables["estimate"] = (dims, self.estimate)
        coordinates = {"place": list(self.places), "step": list(self.steps), "unit": list(self.labels)}
        words = {"word": ("step", list(self.words))}
        attributes = {name: getattr(self, name) for name in ("target", "direction", "base", "other")}
        return package.Dataset(variables, coords={**coordinates, **words}, attrs=attributes)

    def __str__(self) -> str:
        top = self.top()
        largest = max((abs(patch.effect) for patch in top), default=0.0)
        steps = dict(zip(self.steps, self.words, strict=True))
        lines = []
        for patch in top:
            estimated = [] if self.estimate is None else [number(patch.estimate or 0.0)]
            name = f"{patch.place}[{patch.unit}]@{patch.t}"
            lines.append(
                [name, shortened(steps[patch.t]), number(patch.effect), bar(patch.effect, largest), *estimated]
            )
        head = ["patch", "word", "effect", "", *([] if self.estimate is None else ["by gradient"])]
        run = int((~np.isnan(self.effect)).sum())
        text = [
            f"{self.target}: {number(self.base)}",
            f"In the run that values are patched from ({self.direction}) it is {number(self.other)}.",
            table(head, lines, "llrl"),
            f"{run:,} patches run, the {len(top)} largest shown; {self.cost:,} row-steps.",
        ]
        if self.rank_correlation is not None:
            text.append(f"Rank correlation of gradient and effect over the patches run: {self.rank_correlation:.2f}.")
        return "\n".join([*text, *([] if self.complete else ["Stopped before all patches were run."])])

    def _figure(self) -> Any:
        """Draw a heat map for each place: units upwards, steps to the right, all on one scale."""
        from hiddenstate.base.figures import Picture
        from hiddenstate.base.figures import shortened as cut
        from hiddenstate.explain.result.pictures import draw_map

        columns = min(2, len(self.places))
        lines = -(-len(self.places) // columns)
        figure = Picture(figsize=(5 * columns, 2.6 * lines + 0.6), layout="constrained")
        figure.suptitle(f"{self.target}, {self.direction}: effect of each patch", parse_math=False)
        bound = float(np.nanmax(np.abs(self.effect), initial=0.0)) or 1.0
        for k, place in enumerate(self.places):
            ax = figure.add_subplot(lines, columns, k + 1)
            draw_map(ax, self.effect[k].T, bound, origin="lower")
            ax.set_title(place, fontsize=9)
            ax.set_ylabel("unit")
            ax.set_xticks(
                range(len(self.steps)), [cut(w) for w in self.words], fontsize=7, rotation=90, parse_math=False
            )
        return figure

    def _effect(self, k: int) -> Effect:
        p, s, u = (int(axis) for axis in np.unravel_index(k, self.effect.shape))
        estimate = None if self.estimate is None else float(self.estimate[p, s, u])
        return Effect(self.places[p], self.steps[s], self.labels[u], float(self.effect[p, s, u]), estimate)
