"""Figures, and a pen to draw on them, with matplotlib but without pyplot: no window, nothing to close."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.base.files import check_place, written_beside
from hiddenstate.errors import ArgumentError, ArgumentTypeError, MissingDependencyError

try:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import FancyBboxPatch
    from matplotlib.textpath import text_to_path
except ImportError as error:
    raise MissingDependencyError(
        "pictures need matplotlib, which is not installed; install it with: pip install 'hiddenstate[plot]'"
    ) from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

Point = tuple[float, float]

LONGEST = 16  # maximum number of characters in a word of a figure


class Picture(Figure):
    """A figure that notebooks display even if pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def one_plot(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure of this size, in inches, with one plot, and the plot's axes."""
    figure = Picture(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


@dataclass(frozen=True)
class Pen:
    """Draws in inches on axes of any size; lines and text scale with the figure."""

    ax: Axes  # where to draw; `on` has set its limits
    scale: float  # inches on the page per inch drawn

    @staticmethod
    def on(ax: Axes, width: float, height: float) -> Pen:
        """Set axes to show ``0..width`` by ``0..height`` inches, undistorted and as large as possible."""
        ax.set_xlim(0, width)
        ax.set_ylim(0, height)
        ax.set_aspect("equal")
        ax.set_axis_off()
        return Pen(ax, min(ax.bbox.width / width, ax.bbox.height / height) / ax.figure.dpi)

    def write(self, at: Point, words: str, *, size: float = 9, color: str = "black", **style: Any) -> Text:
        """Write text centred on a point, unless ``ha`` or ``va`` differ; the size is in points."""
        style = {"ha": "center", "va": "center", **style}
        return self.ax.text(*at, words, fontsize=size * self.scale, color=color, parse_math=False, **style)

    def box(self, middle: Point, width: float, height: float, face: str) -> None:
        """Draw a box with rounded corners."""
        corner = (middle[0] - width / 2, middle[1] - height / 2)
        style = f"round,pad=0,rounding_size={height / 6}"
        line: dict[str, Any] = {"edgecolor": "#333333", "linewidth": 1.2 * self.scale, "zorder": 2.5}
        self.ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=face, **line))

    def line(self, a: Point, b: Point, color: str, *, head: bool = False, bridge: bool = False) -> None:
        """Draw a straight line, optionally with an arrow ``head``, or as a ``bridge`` over lines that it crosses."""
        (x0, y0), (x1, y1) = a, b
        width = 1.5 * self.scale
        if bridge:
            self.ax.plot((x0, x1), (y0, y1), color="white", linewidth=5 * width, solid_capstyle="butt")
        if head:
            arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": color, "linewidth": width}
            arrow |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 13 * self.scale}
            self.ax.annotate("", b, a, arrowprops=arrow, zorder=2)
        else:
            self.ax.plot((x0, x1), (y0, y1), color=color, linewidth=width, solid_capstyle="projecting")


def shortened(word: str) -> str:
    """Shorten a word that is too long for a figure, and mark the cut."""
    return word if len(word) <= LONGEST else word[: LONGEST - 1] + "…"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width in inches of text whose size is in points."""
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def check_picture(path: Path) -> None:
    """Reject a file to which no figure can be written."""
    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ArgumentError(f"cannot draw into {path}: its name must end with one of .{' .'.join(sorted(kinds))}")
    if not path.parent.is_dir():
        raise ArgumentError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    check_place(path)


def draw_to(path: str | Path | None, draw: Callable[[], Figure]) -> Figure:
    """Draw a figure, and write it to a file if there is one; the file's name is checked first."""
    if path is None:
        return draw()
    if not isinstance(path, (str, Path)):
        raise ArgumentTypeError(f"path must be the name of a file to write the figure to, got {type(path).__name__}")
    path = Path(path)
    check_picture(path)
    figure = draw()
    save_picture(figure, path)
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure to a file, in the format of the file's extension."""
    check_picture(path)
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=160, format=path.suffix[1:].lower())
