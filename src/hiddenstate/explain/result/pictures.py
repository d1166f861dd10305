"""Pictures of explanations: bars over the words, and heat maps. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hiddenstate.base.figures import one_plot, shortened
from hiddenstate.explain.result.terminal import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # the colour-blind safe palette of Okabe and Ito
MOST_NAMED = 60  # maximum number of words under an axis


def bars(title: str, words: Sequence[str], series: Mapping[str, Sequence[float]]) -> "Figure":
    """Draw numbers over words as grouped bars, with one colour for each series."""
    figure, axes = one_plot(max(5.0, 0.45 * len(words) * max(1, len(series) / 2) + 1.5), 3.2)
    at, width = np.arange(len(words)), 0.8 / max(1, len(series))
    for k, (name, values) in enumerate(series.items()):
        axes.bar(at + (k - (len(series) - 1) / 2) * width, values, width, label=name, color=COLORS[k % len(COLORS)])
    axes.axhline(0, color="#333333", linewidth=0.8)
    _name(axes, words)
    axes.set_title(title, fontsize=10, parse_math=False)
    if len(series) > 1:
        axes.legend(fontsize=8)
    return figure


def heat_map(title: str, words: Sequence[str], values: Tensor, what: str) -> "Figure":
    """Draw numbers ``[units, words]`` as colours: red above 0, blue below."""
    figure, axes = one_plot(max(5.0, 0.35 * len(words) + 2), 4.5)
    draw_map(axes, values.detach().cpu().numpy(), float(values.abs().max()) or 1.0)
    _name(axes, words)
    axes.set_ylabel(what)
    axes.set_title(title, fontsize=10, parse_math=False)
    return figure


def draw_map(axes: Any, values: "NDArray[Any]", bound: float, **options: Any) -> None:
    """Draw numbers from ``-bound`` to ``bound`` as colours, with a colour bar."""
    colors = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound, "interpolation": "nearest"}
    axes.figure.colorbar(axes.imshow(values, aspect="auto", **colors, **options), ax=axes)


def _name(axes: object, words: Sequence[str]) -> None:
    every = max(1, -(-len(words) // MOST_NAMED))
    at = range(0, len(words), every)
    labels = [shortened(readable(words[k])) for k in at]
    axes.set_xticks(list(at), labels, rotation=60, ha="right", fontsize=8, parse_math=False)  # type: ignore[attr-defined]
