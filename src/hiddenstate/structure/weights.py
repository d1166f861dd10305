"""Every weight by name: its gate, its position in torch's parameters, and its equation (∘ is by element)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from math import prod

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import NameUnknownError
from hiddenstate.structure.names import LayerDirection
from hiddenstate.structure.sizes import Sizes, parameter_shapes


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
