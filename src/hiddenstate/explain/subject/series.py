"""`ExplainedSeries`: rows of numbers that a module reads, with names and dates; `output`: a target of a module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_named, resolve_one
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError
from hiddenstate.explain.result.terminal import shortened
from hiddenstate.explain.subject.subject import Explained, ModuleOutputs, Subject, WholeModule
from hiddenstate.explain.subject.target import (
    Logit,
    LogProbability,
    Readout,
    Target,
    readout_target,
    resolve_target,
    split_output,
)
from hiddenstate.models.series.dates import Dates

ROUNDING = 2**8  # in units of the type's precision, relative to the largest value
MOST_NAMED = 12


@dataclass(frozen=True)
class Output:
    """One number that a module returns. Make one with `output`."""

    target: int | str = 0
    at: int | str = -1


def output(target: int | str = 0, *, at: int | str = -1) -> Output:
    """Name one number that a module returns, as a target of `attribute`, `importance` or `response`.

    Args:
        target: the name of the target, or the number of the output.
        at: for a module that returns one value per step, or a horizon: which of them, by its number (negative ones
            count from the end) or, if the series has dates, by its date.
    """
    return Output(target, at)


# None: the only output
SeriesTarget = int | str | Output | Logit | LogProbability | Target | Callable[[Any], Tensor] | None


class SeriesValues(NamedTuple):
    """Values ``[T, N, C]`` as a model reads them, their dates, or None, and the names of their rows, if known."""

    x: Tensor
    dates: Dates | None = None
    rows: tuple[str, ...] = ()

    def rows_like(self, series: "ExplainedSeries", rows: Sequence[int], what: str) -> Tensor:
        """Return ``[T, R, C]`` for the rows with the same names as a series' rows, or the only row R times."""
        names = self.rows or tuple(map(str, range(self.x.shape[1])))
        if len(names) == 1:
            return self.x.expand(-1, len(rows), -1)
        number = {name: k for k, name in enumerate(names)}
        for name in (series.rows[row] for row in rows):
            if name not in number:
                raise ArgumentError(f"{what} has the rows {_some(names)}, and none is {name!r}: give that of this row")
        return self.x[:, [number[series.rows[row]] for row in rows]]


@dataclass(frozen=True, eq=False)
class ExplainedSeries:
    """N rows of T steps and C features, with what is known about them."""

    x: Tensor  # ``[T, N, C]``, what the module or layer reads
    values: Tensor  # ``[T, N, C]``, the same in the units of the data
    features: tuple[str, ...]
    steps: tuple[str, ...]  # the names of the steps: dates or numbers
    rows: tuple[str, ...]
    whole: WholeModule | None  # runs the module as a whole; None if a layer is explained by itself
    # returns the layer that reads x itself, with its rows, or the reason why there is none; with ``any_input=True``,
    # the layer of the module whatever it reads, with its first row
    find_layer: Callable[..., Subject | str]
    # reads other values of these columns, such as a history or a baseline, without running the model
    read_more: Callable[[Any], SeriesValues]
    targets: tuple[str, ...] = ()  # the names of the module's outputs; empty if they have none
    output_steps: tuple[str, ...] = ()  # the names of the steps of its outputs; empty if they are not known
    units: Mapping[str, str] = field(default_factory=dict)  # the unit of each target that has one
    ahead: int = 0  # how many steps an output is after the last step that is read for it
    dates: Dates | None = None  # those of the steps
    # the offsets and factors ``[K]`` from the module's outputs to the units of the data, or None
    target_scale: tuple[Tensor, Tensor] | None = None
    # those of the columns, ``[C]``, from x to the units of the data, or None
    input_scale: tuple[Tensor, Tensor] | None = None
    per_step: bool | None = None  # whether the module gives one output a step; None if that follows only from its shape
    past: SeriesValues | None = None  # all steps, if only the last window of a longer series is explained

    @property
    def known(self) -> SeriesValues:
        """All steps; perhaps only the last window of them is explained."""
        return self.past or SeriesValues(self.x, self.dates, self.rows)

    @cached_property
    def layer(self) -> Subject | str:
        """The layer with its input, all rows; or the reason why none reads this input."""
        return self.find_layer(self.x)

    @property
    def T(self) -> int:  # noqa: N802
        """Time steps."""
        return self.x.shape[0]

    @cached_property
    def output_shape(self) -> tuple[int, int]:
        """S, the number of steps or the horizon, and K, the number of outputs, that the whole module gives per row."""
        assert self.whole is not None
        with torch.no_grad():
            S, _, K = self.whole.only(0).run(self.whole.x[:, :1]).out.shape
        return S, K

    def row(self, row: int | str | None) -> int:
        """Return the number of a row; by default the first."""
        return resolve_named(row or 0, self.rows, "row")


@dataclass(frozen=True, eq=False)
class SeriesCase:
    """One row of a series and one target."""

    series: ExplainedSeries
    row: int
    explained: Explained  # what runs variants of the row
    target: Target
    origin: int  # the target's step; lags are counted from it, and it may be after the last step
    unit: str = ""  # the target's unit, or empty
    # the numbers k and s of an output and its step, if the target is one of a whole module
    output: tuple[int, int] | None = None

    def of_rows(self, x: Tensor) -> Tensor:
        """Return the target of every row, if the rows read other inputs ``[T, N, C]``."""
        explained: Any = self.series.layer if isinstance(self.explained, Subject) else self.series.whole
        with torch.no_grad():
            run = explained.run(x, explained.initial, keep=self.target.keep, steps=self.target.steps)
            return self.target.of(run).double().cpu()

    def needed_layer(self, method: str) -> Subject:
        """Return the layer, or raise ArgumentError if a method that looks inside one can't be used."""
        if isinstance(self.explained, Subject):
            return self.explained
        layer = self.series.layer
        reason = layer if isinstance(layer, str) else "the target is not linear in that layer's states"
        raise ArgumentError(
            f"{method} looks inside a recurrent layer, so it needs one that reads the module's own input and a "
            f"target that one linear layer reads from it. Here, {reason}. Use another method, such as shapley"
        )


def series_case(
    series: ExplainedSeries, of: SeriesTarget, row: int | str | None = None, *, inside: bool = True
) -> SeriesCase:
    """Return one row and a target, explained in the layer ``inside`` the module if that gives the same."""
    number = series.row(row)
    if isinstance(of, str) and (of in series.targets or (series.targets and not set(of) & set(".[@"))):
        of = Output(of)  # no place in a layer
    whole = series.whole
    if isinstance(of, Logit | LogProbability | Target | str) or (whole is None and callable(of)):
        layer = _needed_layer(series, of).only(number)
        target = resolve_target(of, layer)
        return SeriesCase(series, number, layer, target, series.T - 1 if target.t is None else target.t)
    if whole is None:
        return _of_layer(series, number, of)
    single = whole.only(number)
    if callable(of):
        function, name = of, getattr(of, "__name__", "a function").replace("<lambda>", "a function of the output")

        def value(outputs: ModuleOutputs) -> Tensor:
            return function(outputs.result)

        return SeriesCase(series, number, single, Target(name, value), series.T - 1 + series.ahead)  # type: ignore[arg-type]
    return _of_output(series, number, single, of, inside=inside)


def _needed_layer(series: ExplainedSeries, of: object) -> Subject:
    if isinstance(series.layer, Subject):
        return series.layer
    targets = f"; the targets of this model are {_some(series.targets)}" if series.targets else ""
    raise ArgumentError(
        f"{of} is a place or logit of a layer, but {series.layer}. Give an output of the module, such as "
        f"hs.explain.output(0), or a function of what it returns{targets}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shortened, names[:MOST_NAMED])) + (", ..." if len(names) > MOST_NAMED else "")


def _output(of: object, K: int, targets: Sequence[str] = ()) -> Output:
    if of is None and K == 1:
        return Output()
    if of is None:
        several = f"targets {_some(targets)}" if targets else f"{K} outputs"
        raise ArgumentError(f"of= is missing, and the model has the {several}: choose one, such as of={K - 1}")
    if isinstance(of, int) and not isinstance(of, bool):
        return Output(of)
    if isinstance(of, Output):
        return of
    raise ArgumentTypeError(
        "a target must be the number or name of an output, hs.explain.output(...), or a function of what the module "
        f"returns, got {type(of).__name__}"
    )


def _of_layer(series: ExplainedSeries, row: int, of: object) -> SeriesCase:
    """Return the case of one unit of a layer's output."""
    layer = _needed_layer(series, of).only(row)
    width = layer.sizes.directions * layer.sizes.output_size
    chosen = _output(of, width)
    k, t = resolve_one(chosen.target, width, "output"), layer.step_of(chosen.at)
    vector = torch.zeros(width, dtype=torch.float64)
    vector[k] = 1
    readout = Readout(t, {place: part for place, part in split_output(vector, layer).items() if bool(part.any())})
    return SeriesCase(series, row, layer, readout_target(f"output {k} at step {t}", layer, readout), t)


def _of_output(series: ExplainedSeries, row: int, single: WholeModule, of: object, *, inside: bool) -> SeriesCase:
    S, K = series.output_shape
    chosen = _output(of, K, series.targets)
    k = _target_number(series, chosen.target, K)
    s = _output_step(series, chosen.at, S)
    per_step = series.T == S if series.per_step is None else series.per_step
    name = series.targets[k] if series.targets else f"output {k}"
    if series.output_steps:
        name += f" at {series.output_steps[s]}"
    elif S > 1:
        name += f" at step {s}" if per_step and not series.ahead else f", {s + 1} steps ahead" if not per_step else ""
    last_read = s if per_step else series.T - 1
    ahead = s + 1 if S > 1 and not per_step and series.ahead else series.ahead
    target = Target(name, lambda outputs: outputs.out[s, :, k])
    unit = series.units.get(series.targets[k], "") if series.targets else ""
    case = SeriesCase(series, row, single, target, last_read + ahead, unit, (k, s))
    return (_inside(case) if inside else None) or case


def _target_number(series: ExplainedSeries, target: int | str, K: int) -> int:
    if isinstance(target, str):
        if target not in series.targets:
            known = f"the targets are {_some(series.targets)}" if series.targets else "its outputs have only numbers"
            raise NameUnknownError(f"this model has no target {target!r}: {known}")
        return series.targets.index(target)
    return resolve_one(target, K, "output")


def _output_step(series: ExplainedSeries, at: int | str, S: int) -> int:
    if isinstance(at, str):
        steps = [s for s, name in enumerate(series.output_steps) if name == at]
        if not steps:
            known = f"{series.output_steps[0]} to {series.output_steps[-1]}" if series.output_steps else "only numbers"
            raise IndexRangeError(f"the model gives no output for {at!r}: its outputs are for {known}")
        return steps[0]
    return resolve_one(at, S, "step of the output")


def _inside(case: SeriesCase) -> SeriesCase | None:
    """Return the same target of the layer inside the module, if one linear layer reads it and the numbers are equal."""
    single = case.explained
    if isinstance(case.series.layer, str):
        return None
    layer = case.series.layer.only(case.row)
    target = linear_target(case, layer)
    if target is None:
        return None
    rows = torch.cat([single.x, single.x.flip(0), torch.zeros_like(single.x)], dim=1)
    with torch.no_grad():
        want = case.target.of(single.run(rows, None))
        got = target.of(layer.run(rows, keep=target.keep, steps=target.steps))
    return replace(case, explained=layer, target=target) if are_equal(got, want, target) else None


def linear_target(case: SeriesCase, layer: Subject) -> Target | None:
    """Return the case's output as a linear target of the layer's states, or None if no linear layer gives it."""
    series = case.series
    if case.output is None or layer.head is None or layer.output is None or layer.output.function != "":
        return None
    k, s = case.output
    if k >= len(layer.head.weight):
        return None
    steps = torch.nonzero(layer.output.steps[:, 0])[:, 0].tolist()
    t = s if len(steps) == series.T and case.origin - series.ahead == s else steps[0] if len(steps) == 1 else None
    if t is None:
        return None
    vector, bias = layer.head.readout(k)
    offset, factor = (0.0, 1.0) if series.target_scale is None else (float(part[k]) for part in series.target_scale)
    return readout_target(
        case.target.name, layer, Readout(t, split_output(vector * factor, layer), offset + factor * bias)
    )


def are_equal(got: Tensor, want: Tensor, target: Target, dtype: torch.dtype | None = None) -> bool:
    """Whether values of a target are equal up to rounding in a type, by default their own."""
    size = float(want.abs().max()) + (abs(target.readout.bias) if target.readout is not None else 0.0)
    error = ROUNDING * torch.finfo(dtype or want.dtype).eps * max(size, 1e-30)
    return float((got.double() - want.double()).abs().max()) <= error
