"""The structure of an LSTM: every gate's weight by name, its position in torch's parameters, and its equation.

>>> structure = structure_of(Sizes(input_size=4, hidden_size=3))
>>> forget = structure["l0.W_if"]
>>> forget.parameter, forget.rows, forget.shape
('weight_ih_l0', slice(3, 6, None), (3, 4))
>>> structure.count
108
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from hiddenstate.errors import ArgumentTypeError
from hiddenstate.structure.names import AXES, LayerDirection
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.weights import Weight, WeightsByGate, equations, gate_terms, list_weights, weight_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


TIMES = "\N{MULTIPLICATION SIGN}"
_COLUMNS = ("part", "equation", "name", "shape", "count", "parameter", "rows")
_NUMERIC = ("shape", "count", "rows")
# Wide enough for every row, so that plain text never wraps.
_PLAIN_WIDTH = 120


def build_table(structure: WeightsByGate) -> RenderableType:
    """Build the table for rich: rows for each layer and direction, then equations and shapes."""
    parts: list[RenderableType] = [Text(_title(structure), style="bold")]
    for place in structure.sizes.layer_directions:
        parts += [Text(), Text(_block_title(structure, *place), style="bold cyan"), _block(structure, *place)]
    return Group(*parts, Text("\n".join(_notes(structure.sizes))))


def render_text(structure: WeightsByGate) -> str:
    """Build the same table as plain text: no colour codes, the same on every terminal."""
    console = Console(width=_PLAIN_WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as capture:
        console.print(build_table(structure))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _title(structure: WeightsByGate) -> str:
    sizes = structure.sizes
    layers = f"{sizes.num_layers} layer{'s' if sizes.num_layers > 1 else ''}"
    both = ", both directions" if sizes.bidirectional else ""
    ends = f"{sizes.input_size} → {sizes.directions * sizes.output_size}"
    return f"{_name(sizes)} {ends}: {layers}{both}, {structure.count:,} parameters"


def _name(sizes: Sizes) -> str:
    """The kind of cell; for a plain RNN, including the nonlinearity, because both kinds have the same weights."""
    return sizes.kind.name if len(sizes.kind.gates) > 1 else f"RNN ({sizes.kind.gates[0].symbol})"


def _block_title(structure: WeightsByGate, layer: int, reverse: bool) -> str:
    """Return the layer and direction, what its x is, and its number of parameters."""
    sizes = structure.sizes
    name = LayerDirection(layer, reverse).name
    below = " beside ".join(
        f"{layer_direction.name}.h" for layer_direction in sizes.layer_directions if layer_direction.layer == layer - 1
    )
    x = f"x is {below or 'the input'}, {sizes.layer_input_size(layer)} features"
    way = "last step to first" if reverse else "first step to last"
    return f"{name}: layer {layer}, {way}; {x}; {structure.counts[name]:,} parameters"


def _rows(structure: WeightsByGate, layer: int, reverse: bool) -> list[list[tuple[str, ...]]]:
    """Return the texts of the table in the order of its columns: the rows of each gate, then of the projection."""
    name, sizes = LayerDirection(layer, reverse).name, structure.sizes
    groups = [[*_gate_rows(structure, name, gate)] for gate in sizes.kind.gate_names]
    if sizes.proj_size:
        groups.append([("projection", equations(sizes)[-1], *_facts(structure[f"{name}.W_hr"]))])
    return groups


def _gate_rows(structure: WeightsByGate, name: str, gate: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of one gate, with its equation split over them."""
    cell = structure.sizes.kind
    terms = gate_terms(gate, structure.sizes.bias, cell)
    opening = f"{gate} = {cell.gate_by_name[gate].symbol}("
    for k, term in enumerate(terms):
        part, left = ("", "+ ".rjust(len(opening))) if k else (cell.meanings[gate], opening)
        right = ")" if k == len(terms) - 1 else ""
        weight = structure[f"{name}.{weight_name(term)}"]
        yield part, f"{left}{term}{right}", *_facts(weight)


def _facts(weight: Weight) -> tuple[str, ...]:
    rows = f"{weight.start}:{weight.stop}"
    return weight.name, TIMES.join(map(str, weight.shape)), f"{weight.count:,}", weight.parameter, rows


def _block(structure: WeightsByGate, layer: int, reverse: bool) -> Table:
    # Narrow gaps: with small sizes the table then fits 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        justify: JustifyMethod = "right" if name in _NUMERIC else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == "equation")
    for group in _rows(structure, layer, reverse):
        for row in group:
            table.add_row(*row, end_section=row is group[-1])
    table.columns[_COLUMNS.index("name")].style = "bold yellow"
    return table


def _notes(sizes: Sizes) -> list[str]:
    """Return one step's equations, the shapes of inputs and outputs, and the letters of the axes."""
    return [
        "One step (∘: unit by unit; _prev: at the previous step, in the layer's direction):",
        *(f"  {line}" for line in equations(sizes)),
        "Shapes:",
        *(f"  {line}" for line in _shapes(sizes)),
        "Axes:",
        *(f"  {line}" for line in _axes(sizes)),
    ]


def _shapes(sizes: Sizes) -> list[str]:
    states = sizes.num_layers * sizes.directions
    P = "P" if sizes.proj_size else "H"
    return [
        f"input    (T, N, C)    = (T, N, {sizes.input_size})",
        f"out      (T, N, D·{P})  = (T, N, {sizes.directions * sizes.output_size})",
        f"h0, h_n  (L·D, N, {P})  = ({states}, N, {sizes.output_size})",
        *([f"c0, c_n  (L·D, N, H)  = ({states}, N, {sizes.hidden_size})"] if "c" in sizes.kind.carried else []),
    ]


def _axes(sizes: Sizes) -> list[str]:
    values = {"C": sizes.input_size, "H": sizes.hidden_size, "P": sizes.output_size}
    values |= {"D": sizes.directions, "L": sizes.num_layers}
    lines = []
    for letter, meaning in AXES.items():
        if letter == "P" and not sizes.proj_size:
            continue
        size = f" = {values[letter]}" if letter in values else ""
        lines.append(f"{letter}{size}: {meaning}")
    return lines
