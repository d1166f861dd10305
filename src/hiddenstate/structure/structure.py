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
from difflib import get_close_matches
from functools import cached_property
from html import escape
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import ArgumentTypeError, NameUnknownError
from hiddenstate.structure.names import AXES, LayerDirection
from hiddenstate.structure.sizes import Sizes, parameter_shapes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def gate_terms(gate: str, bias: bool = True, cell: Cell = LSTM) -> tuple[str, ...]:
    """List the terms of a gate's sum, which may open and close a bracket.

    >>> gate_terms("f")
    ('W_if·x', 'b_if', 'W_hf·h_prev', 'b_hf')
    """
    x, h = f"W_i{gate}·x", f"W_h{gate}·h_prev"
    terms = (x, f"b_i{gate}", h, f"b_h{gate}") if bias else (x, h)
    scale = cell.gate_by_name[gate].scale
    if scale is None:
        return terms
    *of_input, first = terms[: len(terms) // 2 + 1]
    if not bias:
        return (*of_input, f"{scale}∘({first})")
    return (*of_input, f"{scale}∘({first}", f"{terms[-1]})")


def weight_name(term: str) -> str:
    """Return the name of the weight in a term.

    >>> weight_name("r∘(W_hn·h_prev"), weight_name("b_hn)")
    ('W_hn', 'b_hn')
    """
    return term.rpartition("(")[2].partition("·")[0].rstrip(")")


def gate_equation(gate: str, bias: bool = True, cell: Cell = LSTM) -> str:
    """Write one gate's equation.

    >>> gate_equation("g", bias=False)
    'g = tanh(W_ig·x + W_hg·h_prev)'
    """
    return f"{gate} = {cell.gate_by_name[gate].symbol}({' + '.join(gate_terms(gate, bias, cell))})"


def equations(sizes: Sizes) -> tuple[str, ...]:
    """Write the equations of all gates, then of all states.

    >>> equations(Sizes(4, 3))[4:]
    ('c = f∘c_prev + i∘g', 'h = o∘tanh(c)')
    >>> equations(Sizes(4, 3, cell="GRU"))[2:]
    ('n = tanh(W_in·x + b_in + r∘(W_hn·h_prev + b_hn))', 'h = z∘h_prev + (1-z)∘n')
    """
    cell = sizes.kind
    gates = [gate_equation(gate, sizes.bias, cell) for gate in cell.gate_names]
    states = [[state.name, state.equation("∘")] for state in cell.states if state.terms]
    if sizes.proj_size:
        states[-1][1] = f"W_hr·({states[-1][1]})"
    return (*gates, *(" = ".join(sides) for sides in states))


# Maps the stem of a stacked parameter's name to the name of a gate's part of it, without the gate's letter.
_SHORT = {"weight_ih": "W_i", "weight_hh": "W_h", "bias_ih": "b_i", "bias_hh": "b_h"}


@dataclass(frozen=True)
class Weight:
    """One gate's part of a stacked parameter of torch's layer, or a whole projection matrix.

    ``getattr(lstm, weight.parameter)[weight.rows]`` is the tensor, with the shape `shape`.
    """

    name: str
    layer: int
    reverse: bool
    gate: str | None  # None for the projection, which belongs to no gate
    parameter: str
    start: int
    stop: int
    shape: tuple[int, ...]
    equation: str

    @property
    def address(self) -> str:
        """The name with layer and direction: ``l0.W_if``, ``l0r.W_if``."""
        return f"{LayerDirection(self.layer, self.reverse).name}.{self.name}"

    @property
    def rows(self) -> slice:
        """The rows in the stacked parameter."""
        return slice(self.start, self.stop)

    @property
    def count(self) -> int:
        """The number of its elements."""
        return prod(self.shape)

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON; ``rows`` is ``[start, stop]``."""
        return {
            "address": self.address,
            "name": self.name,
            "layer": self.layer,
            "reverse": self.reverse,
            "gate": self.gate,
            "parameter": self.parameter,
            "rows": [self.start, self.stop],
            "shape": list(self.shape),
            "count": self.count,
            "equation": self.equation,
        }


@dataclass(frozen=True)
class WeightsByGate:
    """Every weight of a layer, in the order of torch's parameters."""

    sizes: Sizes
    weights: tuple[Weight, ...]

    @property
    def count(self) -> int:
        """The number of parameters of the whole LSTM: ``sum(p.numel() for p in lstm.parameters())``."""
        return sum(weight.count for weight in self.weights)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of parameters of each layer and direction: ``{"l0": 108}``."""
        counts = dict.fromkeys((layer_direction.name for layer_direction in self.sizes.layer_directions), 0)
        for weight in self.weights:
            counts[weight.address.partition(".")[0]] += weight.count
        return counts

    def of(self, layer: int, reverse: bool = False) -> tuple[Weight, ...]:
        """List the weights of one layer and direction (empty if the LSTM does not have it)."""
        return tuple(w for w in self.weights if (w.layer, w.reverse) == (layer, reverse))

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[Weight]:
        return iter(self.weights)

    def __getitem__(self, address: str) -> Weight:
        """Look up one weight by its address, such as ``"l0.W_if"``; NameUnknownError suggests others."""
        if isinstance(address, str) and address in self._by_address:
            return self._by_address[address]
        raise NameUnknownError(f"no weight {address!r} in this {self.sizes.kind.label}: {self._help(address)}")

    @cached_property
    def _by_address(self) -> dict[str, Weight]:
        return {weight.address: weight for weight in self.weights}

    def _help(self, address: str) -> str:
        stacked = [w.address for w in self.weights if w.parameter == address]
        if stacked:
            return f"that is torch's stacked parameter, made of {', '.join(stacked)}"
        known = [weight.address for weight in self.weights]
        near = get_close_matches(str(address), known, n=3)
        return f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"

    def to_dicts(self) -> list[dict[str, object]]:
        """Return a plain dict for each weight (see `Weight.to_dict`), ready for JSON or a data frame."""
        return [weight.to_dict() for weight in self.weights]


def list_weights(sizes: Sizes) -> tuple[Weight, ...]:
    """List every weight of a layer of these sizes, in the order of torch's parameters."""
    return tuple(weight for layer_direction in sizes.layer_directions for weight in _weights(sizes, layer_direction))


def _weights(sizes: Sizes, layer_direction: LayerDirection) -> Iterator[Weight]:
    """Yield the weights of one layer and direction: W_i*, W_h*, b_i*, b_h*, W_hr."""
    layer, reverse = layer_direction
    for stem, (rows, *columns) in parameter_shapes(sizes, layer).items():
        parameter = stem + layer_direction.suffix
        if stem not in _SHORT:
            shape, equation = (rows, *columns), equations(sizes)[-1]
            yield Weight("W_hr", layer, reverse, None, parameter, 0, rows, shape, equation)
            continue
        H = rows // len(sizes.kind.gates)
        for k, gate in enumerate(sizes.kind.gate_names):
            name, equation = _SHORT[stem] + gate, gate_equation(gate, sizes.bias, sizes.kind)
            yield Weight(name, layer, reverse, gate, parameter, k * H, (k + 1) * H, (H, *columns), equation)


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
