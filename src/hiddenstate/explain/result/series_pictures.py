"""Pictures of a series: a heat map over time, its sums on the margins, and the series above. Needs matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hiddenstate.base.figures import Picture, shortened
from hiddenstate.explain.result.pictures import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_DRAWN = 500  # maximum number of windows drawn side by side; neighbours of more are added up
MOST_LINES = 8  # maximum number of columns drawn as lines
MOST_APART = 60  # with more windows, negligible ones at the beginning are not drawn
NEGLIGIBLE = 1e-3  # relative to the largest value
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"  # the ends of the heat map's colours


@dataclass(frozen=True)
class SeriesMap:
    """What is drawn: values ``[W, F]`` of windows and features, and the series ``[T, C]``, which may be absent."""

    title: str
    what: str
    values: Tensor
    features: Sequence[str]
    spans: Sequence[tuple[int, int]]  # of the windows, in time order
    steps: Sequence[str]
    series: Tensor | None = None
    columns: Sequence[str] = ()
    along: str = ""  # the label of the axis of time


def draw_series_map(of: SeriesMap) -> "Figure":
    """Draw a map of features over time."""
    values, spans, note = _drawn(of.values.detach().cpu().double().numpy(), list(of.spans))
    F, (begin, end) = len(of.features), (spans[0][0], spans[-1][1])
    heights = [*([1.5] if of.series is not None else []), min(8.0, 0.3 * F + 0.5), 1.0]
    width = min(14.0, max(8.0, 4 + 0.12 * (end - begin)))
    figure: Any = Picture(figsize=(width, sum(heights) + 1.2), layout="constrained")
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(width - 2.5, 2.0))
    middle = len(heights) - 2
    axes = figure.add_subplot(grid[middle, 0])
    below = figure.add_subplot(grid[middle + 1, 0], sharex=axes)
    beside = figure.add_subplot(grid[middle, 1], sharey=axes)
    image = _draw_cells(axes, values, spans)
    axes.set_yticks(np.arange(F) + 0.5, [shortened(name) for name in of.features], fontsize=8, parse_math=False)
    axes.set_ylim(F, 0)
    axes.tick_params(labelbottom=False)
    figure.colorbar(image, ax=beside, fraction=0.1, pad=0.05).ax.tick_params(labelsize=7)
    _draw_sums(beside.barh, np.arange(F) + 0.5, values.sum(0), {"height": 0.7})
    beside.axvline(0, color="#333333", linewidth=0.8)
    beside.set_title("sum by feature", fontsize=8)
    beside.tick_params(labelleft=False, labelsize=7)
    starts, stops = np.array(spans).T
    _draw_sums(below.bar, (starts + stops) / 2, values.sum(1), {"width": stops - starts})
    below.axhline(0, color="#333333", linewidth=0.8)
    below.set_ylabel("sum by\nwindow", fontsize=8)
    below.tick_params(labelsize=7)
    _name_steps(below, of.steps, begin, end, width - 3.5)
    below.set_xlabel(", ".join(filter(None, (of.along, note))), fontsize=8)
    if of.series is not None:
        panel, names = figure.add_subplot(grid[0, 0], sharex=axes), figure.add_subplot(grid[0, 1])
        names.axis("off")
        _draw_series(panel, names, of.series.detach().cpu().double().numpy()[begin:end], of.columns, begin)
    figure.suptitle(f"{of.title}\n{of.what}", fontsize=10, parse_math=False)
    return figure


def _drawn(values: "NDArray[Any]", spans: list[tuple[int, int]]) -> tuple["NDArray[Any]", list[tuple[int, int]], str]:
    """Return what to draw of many windows: leave out the first ones if they are negligible, and sum neighbours."""
    notes = []
    first = int((np.abs(values).max(1) >= NEGLIGIBLE * np.abs(values).max()).argmax())
    if first >= len(spans) / 2 and len(spans) > MOST_APART:
        first = min(first, len(spans) - MOST_APART // 2)
        notes.append(f"{first:,} earlier windows, together {values[:first].sum():+.1e}, are not drawn")
        values, spans = values[first:], spans[first:]
    every = -(-len(spans) // MOST_DRAWN)
    if every > 1:
        notes.append(f"each column of the map is the sum of {every} windows")
        starts = range(0, len(spans), every)
        values = np.stack([values[k : k + every].sum(0) for k in starts])
        spans = [(spans[k][0], spans[min(k + every, len(spans)) - 1][1]) for k in starts]
    return values, spans, "; ".join(notes)


def _draw_cells(axes: Any, values: "NDArray[Any]", spans: Sequence[tuple[int, int]]) -> Any:
    """Draw windows ``[W, F]`` where they are in time; steps between them stay empty."""
    edges = sorted({edge for span in spans for edge in span})
    cells = np.full((len(edges) - 1, values.shape[1]), np.nan)
    for value, (start, _) in zip(values, spans, strict=True):
        cells[edges.index(start)] = value
    bound = float(np.abs(values).max()) or 1.0
    F = np.arange(values.shape[1] + 1)
    return axes.pcolormesh(edges, F, cells.T, cmap="RdBu_r", vmin=-bound, vmax=bound, rasterized=True)


def _draw_sums(draw: Any, at: "NDArray[Any]", sums: "NDArray[Any]", size: dict[str, Any]) -> None:
    draw(at, sums, color=np.where(sums < 0, NEGATIVE, POSITIVE), **size)


def _draw_series(axes: Any, beside: Any, values: "NDArray[Any]", columns: Sequence[str], begin: int) -> None:
    """Draw columns as lines, each from its smallest to its largest value, which are written beside it."""
    low, high = values.min(0), values.max(0)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    for k in range(min(len(columns), MOST_LINES)):
        dashes, name = "-" if k < len(COLORS) else "--", f"{shortened(columns[k])}: {low[k]:.3g} to {high[k]:.3g}"
        steps = begin + np.arange(len(values)) + 0.5
        axes.plot(steps, scaled[:, k], dashes, color=COLORS[k % len(COLORS)], lw=1, label=name)
    more = len(columns) - MOST_LINES
    title = f"{more} more not drawn" if more > 0 else None
    style: dict[str, Any] = {"fontsize": 7, "frameon": False, "title_fontsize": 7, "borderaxespad": 0}
    beside.legend(*axes.get_legend_handles_labels(), loc="upper left", title=title, **style).set_in_layout(False)
    axes.set_yticks([])
    axes.set_ylabel("series", fontsize=8)
    axes.tick_params(labelbottom=False)


def _name_steps(axes: Any, steps: Sequence[str], begin: int, end: int, width: float) -> None:
    """Name as many steps as fit into a width in inches; always the last one."""
    names = [shortened(name) for name in steps[begin:end]]
    most = max(1, int(width / (0.075 * max(map(len, names)) + 0.25)))
    every = max(1, -(-len(names) // most))
    at = list(range(len(names) - 1, -1, -every))[::-1]
    axes.set_xticks([begin + t + 0.5 for t in at], [names[t] for t in at], fontsize=8, parse_math=False)
    axes.set_xlim(begin, end)
