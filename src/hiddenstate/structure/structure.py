"""The structure of an LSTM: every gate's weight by name, its position in torch's parameters, and its equation.

>>> structure = structure_of(Sizes(input_size=4, hidden_size=3))
>>> forget = structure["l0.W_if"]
>>> forget.parameter, forget.rows, forget.shape
('weight_ih_l0', slice(3, 6, None), (3, 4))
>>> structure.count
108
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hiddenstate.errors import ArgumentTypeError
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.table import build_table, render_text
from hiddenstate.structure.weights import Weight, WeightsByGate, list_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import RenderableType

__all__ = ["Structure", "Weight", "structure_of"]


@dataclass(frozen=True)
class Structure(WeightsByGate):
    """Every weight of a layer, in the order of torch's parameters; `print` it to see the table."""

    def plot(
        self,
        words: Sequence[str] = ("Giraffes", "in", "a", "field"),
        ax: Axes | None = None,
        *,
        path: str | Path | None = None,
    ) -> Figure:
        """Draw the network unrolled over a sentence: a box for each word, layer and direction.

        Args:
            words: one word for each step.
            ax: the axes to draw into; if None, a new figure, not managed by pyplot.
            path: a file to write the diagram to, in the format of its extension; not written if None.

        Raises:
            ArgumentError: there are no words, or matplotlib cannot write files of this format.
            IsADirectoryError, FileWriteError: the file cannot be written.
            ArgumentTypeError: a string was given instead of a list of words.
            MissingDependencyError: matplotlib is not installed.
        """
        from hiddenstate.base.figures import draw_to
        from hiddenstate.structure.diagram import draw_unrolled

        return draw_to(path, lambda: draw_unrolled(self.sizes, words, ax))

    def __str__(self) -> str:
        return render_text(self)

    def __rich__(self) -> RenderableType:
        return build_table(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(render_text(self))}</pre>"


def structure_of(sizes: Sizes) -> Structure:
    """List every weight of a layer of these sizes, in the order of torch's parameters.

    Raises:
        ArgumentTypeError: the argument is not a `Sizes`.
    """
    if not isinstance(sizes, Sizes):
        kind = type(sizes).__name__
        hint = "use its method structure()" if hasattr(sizes, "sizes") else "make one with hs.Sizes(4, 3), for example"
        raise ArgumentTypeError(f"structure_of takes Sizes, got {kind}: {hint}")
    return Structure(sizes, list_weights(sizes))
