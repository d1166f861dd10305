"""Plots of a trace, a heat map of each gate and state or one unit's curves, with the same colours everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.base.figures import Picture, shortened, text_width
from hiddenstate.base.indexing import resolve
from hiddenstate.cells.cell import Cell
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.structure.names import LayerDirection, Place, parse_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from hiddenstate.tracing.record import Record

# Colours from Okabe and Ito's palette, which is safe for colour-blind readers; dashes distinguish crossing curves.
COLORS = {"i": "#009e73", "f": "#d55e00", "g": "#0072b2", "o": "#cc79a7", "c": "#c2410c", "h": "#1d4ed8"}
DASHES = {"i": "-", "f": "-", "g": "--", "o": ":", "c": "-", "h": "--"}
# A GRU's gates have the colours of the LSTM gates with the same role: z keeps, n is written, r hides.
COLORS |= {"r": COLORS["o"], "z": COLORS["f"], "n": COLORS["g"]}
DASHES |= {"r": DASHES["o"], "z": DASHES["f"], "n": DASHES["g"]}
FEW_STEPS = 20  # with more steps, three maps would not fit side by side
MOST_LABELS = 60  # maximum number of labels along an axis, and of steps with marked points
FINE = 600  # cells, about as many as an axis has pixels
LABEL_SIZE = 8  # points


@dataclass(frozen=True)
class _PlottedRow:
    """The data to plot: the recorded real steps of one row in one layer and direction."""

    title: str
    values: dict[str, NDArray[np.float64]]  # maps quantities to [steps, units]
    labels: tuple[str, ...]
    axis: str
    spans: dict[str, tuple[float, float]]  # maps bounded quantities to their bounds
    cell: Cell

    def legend(self, quantity: str) -> tuple[str, str]:
        """Return the meaning of a quantity and of its values."""
        return self.cell.meanings[quantity], self.cell.hints[quantity]


def plot_trace(trace: Record, *, layer: int, reverse: bool, row: int, unit: int | None) -> Figure:
    """Plot gates and states over the steps: heat maps of all units, or the curves of one."""
    (row,) = resolve(row, trace.batch, "row")
    run = _read(trace, layer, reverse, row, unit)
    return _maps(run) if unit is None else _curves(run)


def _read(trace: Record, layer: int, reverse: bool, row: int, unit: int | None) -> _PlottedRow:
    """Collect the recorded values of one row in one layer and direction."""
    if unit is not None:
        (unit,) = resolve(unit, trace.layers.cell.parts_of(trace.initial)[-1].shape[2], "unit")
    names = _names(trace, layer, reverse, unit)
    end = trace.row_length(row)
    times = [t for t in trace.steps if t < end]
    if not times:
        raise ArgumentError(
            f"row {row} has no recorded step: it has {end} steps, and the recorded ones are {trace.steps}"
        )
    picked = {q: trace.pick(name, t=tuple(times), row=row, unit=unit)[0][:, 0] for q, name in names.items()}
    words = trace.words(row)
    way = ", last step to first" if reverse else ""
    title = f"{LayerDirection(layer, reverse).name}{'' if unit is None else f', unit {unit}'}, row {row}{way}"
    return _PlottedRow(
        title=title,
        values={q: values.detach().double().cpu().numpy() for q, values in picked.items()},
        labels=tuple(str(t) if words is None else shortened(words[t]) for t in times),
        axis="step" if len(times) == times[-1] - times[0] + 1 else "recorded steps",
        spans=_spans(trace),
        cell=trace.layers.cell,
    )


def _spans(trace: Record) -> dict[str, tuple[float, float]]:
    """Return the bounds of each quantity; c has none, and neither has h if it is projected or comes from relu."""
    gates = trace.layers.cell.gates
    spans = {gate.name: gate.bounds for gate in gates} | {"c": None}
    if trace.projected or any(gate.bounds is None for gate in gates):
        spans["h"] = None
    else:
        spans["h"] = (-1.0, 1.0)
    return {name: span for name, span in spans.items() if span is not None}


def _names(trace: Record, layer: int, reverse: bool, unit: int | None) -> dict[str, str]:
    """Return the recorded places of a layer and direction, by quantity."""
    places = {q: str(Place(layer, reverse, q)) for q in trace.layers.cell.quantities}
    parse_place(places["h"], *trace.layers)
    names = {q: name for q, name in places.items() if name in trace}
    if trace.projected and unit is not None:
        names.pop("h", None)  # a projection mixes the units, so no unit of h belongs to this one
    if not names:
        recorded = " ".join(trace.names)
        raise NameUnknownError(
            f"nothing of {LayerDirection(layer, reverse).name} to draw: add it to keep=; only {recorded} was recorded"
        )
    return names


def _maps(run: _PlottedRow) -> Figure:
    """Draw one heat map for each quantity: units upwards, steps to the right."""
    count = len(run.values)
    columns = min(3, count) if len(run.labels) <= FEW_STEPS else 1
    rows, width = -(-count // columns), 4.4 if len(run.labels) <= FEW_STEPS else 13.0
    figure = Picture(figsize=(width * columns, 2.4 * rows + 0.8), layout="constrained")
    figure.suptitle(run.title)
    for k, (quantity, values) in enumerate(run.values.items()):
        ax = figure.add_subplot(rows, columns, k + 1)
        meaning, hint = run.legend(quantity)
        _map(ax, f"{quantity}: {meaning} ({hint}", values.T, run.spans.get(quantity))
        ax.set_ylabel("" if k % columns else "unit")
        _mark_steps(ax, run, width, bottom=k + columns >= count)
    return figure


def _map(ax: Axes, title: str, values: NDArray[np.float64], span: tuple[float, float] | None) -> None:
    """Draw the heat map ``[units, steps]`` of one quantity, scaled to ``span`` or, if None, to its own values."""
    bound = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    low, high = span or (-bound, bound)
    colors = "RdBu_r" if low < 0 else "viridis"
    units, steps = values.shape
    borders = (-0.5, steps - 0.5, -0.5, units - 0.5)
    style: dict[str, Any] = {"cmap": colors, "vmin": low, "vmax": high, "extent": borders}
    image = ax.imshow(_fine(values), aspect="auto", origin="lower", **style)
    beyond = bool((values < low).any() or (values > high).any())  # an edit can put a value anywhere
    ax.figure.colorbar(image, ax=ax, extend="both" if beyond else "neither")
    scale = "" if span else f"; scale ±{bound:.3g}"
    ax.set_title(f"{title}{scale})", fontsize=9)
    ax.locator_params(axis="y", integer=True)


def _fine(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Split cells into many equal ones, so that matplotlib, which blends neighbours, does not smear a step."""
    units, steps = (-(-FINE // n) for n in values.shape)
    return values.repeat(units, axis=0).repeat(steps, axis=1)


def _curves(run: _PlottedRow) -> Figure:
    """Draw one unit over the steps: its gates above, its states below."""
    width = 9.0 if len(run.labels) <= FEW_STEPS else 13.0
    figure = Picture(figsize=(width, 6), layout="constrained")
    figure.suptitle(run.title)
    groups = [[q for q in group if q in run.values] for group in _groups(run.cell)]
    groups = [group for group in groups if group]
    for k, group in enumerate(groups):
        ax = figure.add_subplot(len(groups), 1, k + 1)
        for quantity in group:
            _curve(ax, quantity, run.values[quantity][:, 0], run.legend(quantity))
        ax.axhline(0, color="#888888", linewidth=0.8, zorder=1)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -1.05), max(high, 1.05))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
        _mark_steps(ax, run, width, bottom=k == len(groups) - 1)
    return figure


def _groups(cell: Cell) -> tuple[list[str], tuple[str, ...]]:
    """Return the gates and the states; a plain RNN's only gate is its state."""
    return [gate for gate in cell.gate_names if gate not in cell.state_names], cell.state_names


def _curve(ax: Axes, quantity: str, values: NDArray[np.float64], legend: tuple[str, str]) -> None:
    style: dict[str, Any] = {"color": COLORS[quantity], "linestyle": DASHES[quantity]}
    style["marker"] = "o" if len(values) <= MOST_LABELS else ""
    label = f"{quantity}: {legend[0]}\n    ({legend[1]})"
    ax.plot(np.arange(len(values)), values, label=label, markersize=4, **style)


def _mark_steps(ax: Axes, run: _PlottedRow, width: float, bottom: bool) -> None:
    """Mark the steps, and write their words below the lowest plot of a column; thin them out if there are many."""
    every = -(-len(run.labels) // MOST_LABELS)
    places, labels = range(0, len(run.labels), every), run.labels[::every]
    if not bottom:
        ax.set_xticks(places, [""] * len(labels))
        return
    room = 0.6 * width / len(labels)
    fits = all(text_width(label, LABEL_SIZE) + 0.1 < room for label in labels)
    ax.set_xticks(places, labels, fontsize=LABEL_SIZE, rotation=0 if fits else 90, parse_math=False)
    ax.set_xlabel(run.axis)
