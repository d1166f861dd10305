"""`response`: the target as one feature at one lag moves over a range, and which gate flattens it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.edits.edit import patch
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.attribution.features import groups_of
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, definite, number, sentence
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesCase, SeriesTarget, series_case
from hiddenstate.explain.subject.series_sources import explained_series
from hiddenstate.explain.subject.subject import Subject, check_row_steps
from hiddenstate.interop.torch.conversion import convert
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.nn.model_edits import edit
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.tables import table
from hiddenstate.tracing.models import trace

DEFAULT_VALUES = 21
MOST_VALUES = 1000
_NOT_ONCE = "this model calls no recurrent layer exactly once"
MOST_LINES = 60  # maximum number of rows drawn


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Response(Explanation):
    """A target as one feature at one lag moves, for N rows and V values. Returned by `response`.

    Attributes:
        target: a description of the target.
        unit: its unit, or empty.
        feature: the feature that moves.
        lag: how many steps before the target's step it moves.
        values: ``[V]``, its values, in the units of the data.
        actual: ``[N]``, its values in the data.
        curves: ``[N, V]``, the target of each row.
        held: by gate, the curves ``[N, V]`` if the gate keeps, at all steps and in all units, the values that it has
            for the actual input. Empty if there are none; see ``no_gates``.
        no_gates: the reason why no gates were held, or empty.
    """

    kind = "response"
    _saved = "target unit feature lag values actual curves mean held flattening no_gates cost"

    target: str
    unit: str
    feature: str
    lag: int
    values: Tensor
    actual: Tensor
    curves: Tensor
    held: Mapping[str, Tensor]
    no_gates: str
    cost: int

    @property
    def mean(self) -> Tensor:
        """``[V]``, the mean target over the rows."""
        return self.curves.mean(0)

    @property
    def flattening(self) -> dict[str, float]:
        """How much larger the mean range of the curves is if a gate is held: above 0 if the gate flattens them."""
        own = _range(self.curves)
        return {gate: _range(curves) - own for gate, curves in self.held.items()}

    def rows(self) -> list[Row]:
        """Return one row for each row of the data and each value."""
        return [
            {"row": n, "value": float(value), "target": float(self.curves[n, v])}
            for n in range(len(self.curves))
            for v, value in enumerate(self.values)
        ]

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        rows = f", mean of {len(self.curves):,} rows" if len(self.curves) > 1 else ""
        mean, every = self.mean, max(1, len(self.values) // 10)
        largest = float((mean - mean.min()).max())
        lines = [sentence(f"How does {definite(self.target)} follow {self.feature} at lag {self.lag}{rows}?"), ""]
        body = [
            [f"{float(self.values[v]):.4g}", number(float(mean[v])), bar(float(mean[v] - mean.min()), largest)[13:]]
            for v in range(0, len(self.values), every)
        ]
        lines += [table([self.feature, f"target{unit}", ""], body, "rrl"), ""]
        lines.append(sentence(f"From its lowest to its highest value it moves by {_range(self.curves):.3g}{unit}."))
        if self.held:
            gates = sorted(self.flattening.items(), key=lambda entry: -entry[1])
            lines += ["If a gate is held at its values for the actual input, it moves by:", ""]
            body = [[gate, f"{_range(self.held[gate]):.3g}", _verdict(change, self)] for gate, change in gates]
            lines.append(table(["gate", "moves by", ""], body, "lrl"))
        else:
            lines.append(sentence(f"No gates were held: {self.no_gates}."))
        return "\n".join(lines)

    def _draw(self, axes: Any) -> None:
        """Draw the curve of each row, their mean, and the mean with each gate held."""
        from hiddenstate.explain.result.pictures import COLORS

        axes.figure.set_size_inches(7.5, 4.2)
        values = self.values.tolist()
        for curve in self.curves[:MOST_LINES]:
            axes.plot(values, curve.tolist(), color="#bbbbbb", linewidth=0.6)
        ranked = sorted(self.flattening.items(), key=lambda entry: -abs(entry[1]))[: len(COLORS)]
        for (gate, _), color in zip(ranked, COLORS, strict=False):
            axes.plot(values, self.held[gate].mean(0).tolist(), "--", color=color, linewidth=1.2, label=f"{gate} held")
        axes.plot(values, self.mean.tolist(), color="black", linewidth=2, label="mean")
        few = self.actual[:MOST_LINES].tolist()
        axes.plot(few, [axes.get_ylim()[0]] * len(few), "|", color="#555555", label="actual values")
        axes.set_xlabel(f"{self.feature} at lag {self.lag}", parse_math=False)
        axes.set_ylabel(f"{self.target}{f' [{self.unit}]' if self.unit else ''}", parse_math=False)
        axes.legend(fontsize=8)


def _range(curves: Tensor) -> float:
    return float((curves.max(1).values - curves.min(1).values).mean())


def _verdict(change: float, response: Response) -> str:
    if abs(change) < 0.05 * max(_range(response.curves), 1e-12):
        return ""
    return "flattens it" if change > 0 else "carries it"


def response(
    model: Any,
    x: Any,
    *,
    of: SeriesTarget = None,
    feature: int | str,
    lag: int | None = None,
    values: Sequence[float] | Tensor | None = None,
    gates: bool = True,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Response:
    """Compute a target of every row as one feature at one lag moves over a range, with everything else unchanged.

    To see which gate flattens the curve, each gate is held in turn, by an edit, at the values that it has for the
    actual input: if the target then moves more, the gate had been working against the change.

    Args:
        model: a `SeriesModel`, a module with a recurrent layer, a layer, or a `Subject`.
        x: its input; see `attribute` with ``features=``. All rows are used.
        of: the target; see `attribute`.
        feature: the name or number of the column that moves.
        lag: how many steps before the target's step it moves; by default the last step that is read.
        values: the values, in the units of the data; by default 21 from the smallest to the largest in the series.
        gates: whether gates are held in turn.
        progress: True for a bar on stderr, False for none, or a function of the runs done and their total.
        options: the options of `attribute`.

    Returns:
        The `Response`.

    Raises:
        ArgumentError: there is no step at this lag, or too many values.
        NameUnknownError, IndexRangeError: there is no such feature.
        HiddenStateError: any error of `attribute`.
    """
    check_progress(progress)
    own, module = _with_own_layers(model) if gates else (model, "gates=False")
    series = explained_series(own, x, **options)
    N, T = series.x.shape[1], series.T
    case = series_case(series, of, 0, inside=False)
    if isinstance(case.explained, Subject) and not isinstance(module, str):
        module = "the target is in a layer; give an output of the module"
    t = _step(case, T, lag)
    ((column,),) = groups_of(series, [feature]).values()
    offset, factor = (0.0, 1.0) if series.input_scale is None else (float(part[column]) for part in series.input_scale)
    moved = _values(series, column, values, offset, factor)
    check_row_steps(T * N * (1 + len(moved)), f"give fewer than {N:,} rows or {len(moved):,} values")
    scaled = ((moved - offset) / factor).to(series.x)  # as the module reads them
    with reporting(progress, unit="runs") as report:
        curves, held = _curves(case, (t, column), scaled, module, report)
    return Response(
        target=case.target.name,
        unit=case.unit,
        feature=series.features[column],
        lag=case.origin - t,
        values=moved,
        actual=series.values[t, :, column].detach().double().cpu(),
        curves=curves,
        held=held,
        no_gates=module if isinstance(module, str) else _NOT_ONCE * (not held),
        cost=T * N * (len(moved) * (1 + len(held)) + 2 * isinstance(module, nn.Module)),
    )


def _with_own_layers(model: Any) -> tuple[Any, nn.Module | str]:
    """Return a model that shares the weights and whose layers can be edited, and its module; or why there is none."""
    module = model.module if isinstance(model, SeriesModel) else model
    if not isinstance(module, nn.Module) or isinstance(module, Recurrent):
        return model, "a layer by itself is explained; give the module that it is in"
    if any(isinstance(part, nn.RNNBase) and not isinstance(part, Recurrent) for part in module.modules()):
        module = convert(module)
    if not any(isinstance(part, Recurrent) for part in module.modules()):
        return model, "this model has no recurrent layer that can be edited"
    return (model.with_module(module) if isinstance(model, SeriesModel) else module), module


def _step(case: SeriesCase, T: int, lag: int | None) -> int:
    t = min(T - 1, case.origin) if lag is None else case.origin - check_int("lag", lag)
    if not 0 <= t < T:
        raise ArgumentError(
            f"there is no input at lag {lag}: the series has lags {case.origin - T + 1} to {case.origin}, counted from "
            "the target's step"
        )
    return t


def _values(series: ExplainedSeries, column: int, values: Any, offset: float, factor: float) -> Tensor:
    if values is None:
        known = series.known.x[..., column].double().cpu() * factor + offset
        return torch.linspace(float(known.min()), float(known.max()), DEFAULT_VALUES, dtype=torch.float64)
    if isinstance(values, Tensor):
        check_plain_tensor(values, "values")
        check_memory(values, "values")
    try:
        moved = torch.as_tensor(values).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(f"values must be numbers, got {type(values).__name__}") from error
    if moved.dim() != 1 or not 1 <= len(moved) <= MOST_VALUES:
        raise ShapeError(f"values must be 1 to {MOST_VALUES} numbers, got a tensor {list(moved.shape)}")
    if not bool(moved.isfinite().all()):
        raise ArgumentError(f"values must be finite, got {float(moved[~moved.isfinite()][0])}")
    return moved


def _gates(module: nn.Module, actual: Callable[[], Tensor]) -> list[str]:
    """Return the gates of all layers that the module calls once in a run."""
    layers = {path: part for path, part in module.named_modules() if isinstance(part, Recurrent)}
    run = trace(module, call=actual, limit=None)
    return [
        f"{path}.{track.name}.{gate.name}"
        for path, layer in layers.items()
        if path in run and len(run.calls(path)) == 1
        for track in layer.sizes.layer_directions
        for gate in layer.sizes.kind.gates
    ]


def _curves(
    case: SeriesCase, place: tuple[int, int], values: Tensor, module: nn.Module | str, report: Progress | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the curves ``[N, V]`` as the number at a step and column moves, and those with each gate held."""
    actual = partial(case.of_rows, case.series.x)
    places = [] if isinstance(module, str) else _gates(module, actual)
    total, runs = (1 + len(places)) * len(values), 0

    def moved() -> Tensor:
        nonlocal runs
        targets = []
        for value in values:
            x = case.series.x.clone()
            x[place[0], :, place[1]] = value
            targets.append(case.of_rows(x))
            runs += 1
            if report is not None:
                report(runs, total)
        return torch.stack(targets, dim=1)

    own, held = moved(), dict[str, Tensor]()
    if places and not isinstance(module, str):
        source = trace(module, keep=places, call=actual, limit=None)
        for gate in places:
            with edit(module, patch(gate, source=source)):
                held[gate] = moved()
    return own, held
