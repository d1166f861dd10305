"""The diagram of an LSTM unrolled over a sentence, in inches: time to the right, layers upwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hiddenstate.base.figures import Pen, Picture, Point, shortened, text_width
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.structure.names import LayerDirection
from hiddenstate.structure.sizes import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIMES = "\N{MULTIPLICATION SIGN}"
C_COLOR, H_COLOR, X_COLOR = "#c2410c", "#1d4ed8", "#404040"
COLORS, SIDES = {"c": C_COLOR, "h": H_COLOR}, {"c": 1, "h": -1}  # c is drawn above the middle of a row, h below
FACES = {False: "#e8eefb", True: "#fdf0e1"}

BOX = (1.0, 0.72)
GAP = 0.9  # distance between two boxes of a row: room for an arrow's label
NARROWEST = 6.2  # minimum width: room for the notes
MARGIN = 1.75  # space beside the outer boxes: room for an arrow and the name of a state
SHIFT = 0.38  # offset of the two directions to the left and right of their step's middle
ROW = 1.2  # distance from the forward row of a layer to its reverse row
WORDS = 1.3  # y of the words, above the notes
BOTTOM = 2.2  # room below the first box
RISE = 0.75  # distance between layers
HEAD = 1.4  # space above the last box: room for the output and the title
FORK = 0.4  # space above a bidirectional layer, and half of it below
LANE = 0.17  # distance of c above, and of h below, the middle of a row
WORD_SIZE = 13  # points


@dataclass(frozen=True)
class _DiagramPlan:
    """The positions of all elements."""

    sizes: Sizes
    words: tuple[str, ...]

    @property
    def shift(self) -> float:
        return SHIFT if self.sizes.bidirectional else 0.0

    @cached_property
    def column(self) -> float:
        """The distance between steps: room for the arrows between boxes, and for the longest word."""
        words = max(text_width(word, WORD_SIZE, "bold") for word in self.words)
        return max(BOX[0] + GAP + (0.35 if self.shift else 0), words + 0.2)

    @property
    def width(self) -> float:
        return max(self._drawn, NARROWEST)

    @property
    def height(self) -> float:
        return self.join(self.sizes.num_layers - 1) + HEAD

    @property
    def _drawn(self) -> float:
        return 2 * (MARGIN + BOX[0] / 2 + self.shift) + self.column * (len(self.words) - 1)

    @property
    def ends(self) -> tuple[float, float]:
        """The x of the initial states, on the left, and of the final ones, on the right."""
        left = (self.width - self._drawn) / 2 + MARGIN - GAP
        return left, self.width - left

    def step(self, t: int) -> float:
        """The x of a step's middle, of its word and of its output."""
        return self.ends[0] + GAP + BOX[0] / 2 + self.shift + t * self.column

    def box(self, t: int, layer: int, reverse: bool) -> Point:
        """The middle of a box."""
        level = BOX[1] + RISE + (ROW + 2 * FORK if self.shift else 0)
        y = BOTTOM + BOX[1] / 2 + layer * level + (ROW if reverse else 0)
        return self.step(t) + (self.shift if reverse else -self.shift), y

    def split(self, layer: int) -> float:
        """The y where a layer's x splits for its directions, or reaches the only one."""
        return self.box(0, layer, False)[1] - BOX[1] / 2 - (FORK / 2 if self.shift else 0)

    def join(self, layer: int) -> float:
        """The y where a layer's hidden states join."""
        top = self.box(0, layer, bool(self.shift))[1] + BOX[1] / 2
        return top + (FORK if self.shift else 0)


def draw_unrolled(sizes: Sizes, words: Sequence[str], ax: Axes | None = None) -> Figure:
    """Draw a network of these sizes unrolled over words, one for each step, on axes or a new figure."""
    plan = _DiagramPlan(sizes, _check(words))
    if ax is None:
        figure: Figure = Picture(figsize=(plan.width, plan.height))
        ax = figure.add_axes((0, 0, 1, 1))
    pen = Pen.on(ax, plan.width, plan.height)
    for layer, reverse in sizes.layer_directions:
        _carry(pen, plan, layer, reverse)
    for t in range(len(plan.words)):
        _climb(pen, plan, t)
    _notes(pen, plan)
    return ax.figure.figure  # for a subfigure, the figure that contains it


def _check(words: Sequence[str]) -> tuple[str, ...]:
    if isinstance(words, str):
        raise ArgumentTypeError(
            f"words is the string {words!r}: expected a sequence of words, such as words.split(). To write a file, "
            "give path="
        )
    if not words:
        raise ArgumentError("words is empty: expected one word for each step to draw")
    return tuple(shortened(word) for word in words)


def _carry(pen: Pen, plan: _DiagramPlan, layer: int, reverse: bool) -> None:
    """Draw one row: its boxes, and its states from the initial one through the boxes to the final one."""
    sizes, way, half = plan.sizes, (-1 if reverse else 1), BOX[0] / 2
    middles = [plan.box(t, layer, reverse) for t in range(len(plan.words))[::way]]
    first, last = plan.ends[::way]
    tails = [first, *(x + way * half for x, _ in middles)]
    heads = [*(x - way * half for x, _ in middles), last]
    for k, (tail, head) in enumerate(zip(tails, heads, strict=True)):
        # The other direction's line crosses right after every box, so the label avoids it.
        clear = way * max(0, 2 * plan.shift - half) if k else 0
        _states(pen, plan, (tail, head), (tail + clear + head) / 2, middles[0][1])
    for middle in middles:
        _cell(pen, sizes.kind.label, middle, layer, reverse)
    _names(pen, plan, layer, reverse)


def _states(pen: Pen, plan: _DiagramPlan, span: tuple[float, float], label: float, y: float) -> None:
    """Draw the arrows of the states from one box to the next, with their shapes at x = label."""
    for name in plan.sizes.kind.carried[::-1]:
        units, color, side = plan.sizes.units(name), COLORS[name], SIDES[name]
        pen.line((span[0], y + side * LANE), (span[1], y + side * LANE), color, head=True)
        pen.write((label, y + side * (LANE + 0.13)), f"{name} 1{TIMES}{units}", color=color)


def _cell(pen: Pen, label: str, middle: Point, layer: int, reverse: bool) -> None:
    x, y = middle
    pen.box(middle, *BOX, FACES[reverse])
    pen.write((x, y + 0.13), label, size=10)
    pen.write((x, y - 0.13), LayerDirection(layer, reverse).name, size=11, weight="bold")


def _names(pen: Pen, plan: _DiagramPlan, layer: int, reverse: bool) -> None:
    """Name the initial and final states of a row at its two ends."""
    index, y = plan.sizes.layer_directions.index(LayerDirection(layer, reverse)), plan.box(0, layer, reverse)[1]
    names = ("_n", "0") if reverse else ("0", "_n")
    for x, name, side, ha in zip(plan.ends, names, (-0.08, 0.08), ("right", "left"), strict=True):
        for state in plan.sizes.kind.carried[::-1]:
            at, text = (x + side, y + SIDES[state] * LANE), f"{state}{name}[{index}]"
            pen.write(at, text, size=10, color=COLORS[state], ha=ha)


def _climb(pen: Pen, plan: _DiagramPlan, t: int) -> None:
    """Draw one step: its word, the path up through the layers, its output."""
    sizes, x, start, color = plan.sizes, plan.step(t), WORDS + 0.22, X_COLOR
    pen.write((x, WORDS), plan.words[t], size=WORD_SIZE, weight="bold")
    for layer in range(sizes.num_layers):
        label = f"{'' if layer else f'input[{t}] '}1{TIMES}{sizes.layer_input_size(layer)}"
        _rise(pen, (x, start), plan.split(layer), label, color, head=not sizes.bidirectional)
        if sizes.bidirectional:
            _fork(pen, plan, t, layer, color)
        start, color = plan.join(layer), H_COLOR
    label = f"1{TIMES}{sizes.directions * sizes.output_size}"
    _rise(pen, (x, start), start + 0.55, label, color, head=True)
    pen.write((x, start + 0.7), f"out[{t}]", size=11)


def _rise(pen: Pen, start: Point, stop: float, label: str, color: str, head: bool) -> None:
    """Draw a line straight up to y = stop, with the shape of what it carries."""
    x, y = start
    pen.line(start, (x, stop), color, head=head)
    pen.write((x + 0.08, (y + stop) / 2), label, color=color, ha="left")


def _fork(pen: Pen, plan: _DiagramPlan, t: int, layer: int, color: str) -> None:
    """Split a layer's x to the boxes of both directions, and join their hidden states."""
    x, split, join, half = plan.step(t), plan.split(layer), plan.join(layer), BOX[1] / 2
    for reverse, side, ha in ((False, -0.08, "right"), (True, 0.08, "left")):
        bx, y = plan.box(t, layer, reverse)
        pen.line((bx, split), (bx, y - half), color, head=True, bridge=reverse)
        pen.line((bx, y + half), (bx, join), H_COLOR, bridge=not reverse)
        pen.line((x, split), (bx, split), color)
        pen.line((bx, join), (x, join), H_COLOR)
        pen.write((bx + side, join - 0.2), f"1{TIMES}{plan.sizes.output_size}", color=H_COLOR, ha=ha)


def _notes(pen: Pen, plan: _DiagramPlan) -> None:
    """Write the title, and the meaning of the states and out."""
    sizes, x, steps = plan.sizes, plan.width / 2, len(plan.words)
    ends = f"{sizes.input_size} → {sizes.directions * sizes.output_size}"
    title = f"{sizes.kind.label} {ends}, unrolled over {steps} step{'s' if steps > 1 else ''}"
    pen.write((x, plan.height - 0.25), title, size=13)
    for name, y in (("c", 0.9), ("h", 0.7)):
        if name in sizes.kind.carried:
            pen.write((x, y), f"{name}: {sizes.kind.meanings[name]}, the {sizes.kind.hints[name]}", color=COLORS[name])
    pen.write((x, 0.5), "Boxes of a row share their weights.")
    pen.write((x, 0.3), _about_out(sizes))


def _about_out(sizes: Sizes) -> str:
    """Explain which hidden states make up the output, and which of them are final states."""
    last = len(sizes.layer_directions) - 1
    top = [
        f"{layer_direction.name}.h"
        for layer_direction in sizes.layer_directions
        if layer_direction.layer == sizes.num_layers - 1
    ]
    if not sizes.bidirectional:
        return f"out[t] is {top[0]}, so out[-1] is h_n[{last}]."
    ends = f"out[-1] begins with h_n[{last - 1}], out[0] ends with h_n[{last}]"
    return f"out[t] is {top[0]} beside {top[1]}: {ends}."
