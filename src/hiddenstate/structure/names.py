"""The names of axes and their orders, of layers and directions, gates, states and places, for any kind of cell.

A *place* names one recorded or editable quantity of one layer and direction::

    l0.f        layer 0, forward direction, forget gate
    l1r.c       layer 1, reverse direction, cell state
    l0.f_pre    layer 0, forward direction, forget gate before its sigmoid
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Literal, NamedTuple, TypeVar

from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import NameUnknownError

Module = TypeVar("Module")


class LayerDirection(NamedTuple):
    """One layer in one direction; it equals the tuple ``(layer, reverse)``.

    >>> LayerDirection(1, reverse=True).name
    'l1r'
    """

    layer: int
    reverse: bool

    @property
    def name(self) -> str:
        """The prefix of places: ``l0``, or ``l0r`` for the reverse direction."""
        return f"l{self.layer}{'r' if self.reverse else ''}"

    @property
    def suffix(self) -> str:
        """The suffix of torch's parameter names: ``_l0``, or ``_l0_reverse`` for the reverse direction."""
        return f"_l{self.layer}{'_reverse' if self.reverse else ''}"

    def order(self, T: int) -> range:
        """Return the steps of a sequence of ``T`` steps in the order in which this direction reads them."""
        return reading_order(T, self.reverse)


def reading_order(T: int, reverse: bool) -> range:
    """Return the steps of a sequence of ``T`` steps in the order in which one direction reads them."""
    return range(T - 1, -1, -1) if reverse else range(T)


def layer_directions(num_layers: int, bidirectional: bool) -> list[LayerDirection]:
    """Return every layer and direction in the order in which torch stacks them in ``h_n``.

    >>> [each.name for each in layer_directions(2, bidirectional=True)]
    ['l0', 'l0r', 'l1', 'l1r']
    """
    directions = (False, True) if bidirectional else (False,)
    return [LayerDirection(layer, reverse) for layer in range(num_layers) for reverse in directions]


AxisOrder = Literal["TN", "NT", "T"]  # time first, batch first, without a batch


def to_time_first(value: Tensor, layout: AxisOrder) -> Tensor:
    """Convert a tensor from a layout to ``[T, N, ...]``."""
    if layout == "T":
        return value.unsqueeze(1)
    return value.transpose(0, 1) if layout == "NT" else value


def from_time_first(value: Tensor, layout: AxisOrder) -> Tensor:
    """Convert a tensor ``[T, N, ...]`` to a layout."""
    if layout == "T":
        return value[:, 0]
    return value.transpose(0, 1) if layout == "NT" else value


AXES = {
    "T": "time step",
    "N": "batch row",
    "C": "input feature",
    "H": "hidden unit",
    "P": "projected unit (P = H without a projection)",
    "D": "direction",
    "L": "layer",
}

# The names of an LSTM; those of other cells are in their descriptions.
GATES = LSTM.gate_names
STATES = LSTM.state_names
QUANTITIES = LSTM.quantities
PRE_ACTIVATIONS = LSTM.pre_activations

MEANINGS = LSTM.meanings

_PLACE = re.compile(r"l(?P<layer>0|[1-9][0-9]{0,8})(?P<reverse>r?)\.(?P<quantity>\w+)")


class Layers(NamedTuple):
    """The properties that determine which places a module has: its layers, directions and cell."""

    num_layers: int
    bidirectional: bool
    cell: Cell = LSTM

    @property
    def directions(self) -> list[LayerDirection]:
        """Every layer and direction."""
        return layer_directions(self.num_layers, self.bidirectional)


class Place(NamedTuple):
    """One quantity (``f`` or ``f_pre``, for example) of one layer and direction."""

    layer: int
    reverse: bool
    quantity: str

    def __str__(self) -> str:
        return _place_name(*self)

    @property
    def layer_direction(self) -> LayerDirection:
        """The layer and direction without the quantity."""
        return LayerDirection(self.layer, self.reverse)


@cache  # a trace looks up the same few names repeatedly
def _place_name(layer: int, reverse: bool, quantity: str) -> str:
    return f"{LayerDirection(layer, reverse).name}.{quantity}"


def parse_place(name: str, num_layers: int, bidirectional: bool, cell: Cell = LSTM) -> Place:
    """Parse ``"l0.f"`` as a `Place`; reject places that this LSTM (or other kind of cell) does not have.

    >>> parse_place("l1r.c", num_layers=2, bidirectional=True)
    Place(layer=1, reverse=True, quantity='c')
    """
    match = _PLACE.fullmatch(name) if isinstance(name, str) else None
    known = cell.quantities + cell.pre_activations
    if match is None or match["quantity"] not in known:
        with_path = isinstance(name, str) and name.count(".") > 1
        raise NameUnknownError(
            f"unknown place {shorten(name)}: expected LAYER.QUANTITY such as 'l0.{example(cell)}' or, for the reverse "
            f"direction, 'l0r.{example(cell)}'; quantities are {' '.join(known)}"
            + (". A place with a module path is one of a model: use hs.edit(model, ...)" if with_path else "")
        )
    place = Place(int(match["layer"]), bool(match["reverse"]), match["quantity"])
    if place.layer >= num_layers or (place.reverse and not bidirectional):
        have = " ".join(layer_direction.name for layer_direction in layer_directions(num_layers, bidirectional))
        raise NameUnknownError(f"no place {shorten(name)} in this {cell.label}: its layers and directions are {have}")
    return place


def example(cell: Cell) -> str:
    """Return a quantity for examples in messages: the gate that keeps the memory, or the output."""
    return next((gate for gate in ("f", "z") if gate in cell.gate_names), "h")


def has_place(name: str, num_layers: int, bidirectional: bool, cell: Cell = LSTM) -> bool:
    """Whether an LSTM, or another kind of cell, has a place of this name."""
    try:
        parse_place(name, num_layers, bidirectional, cell)
    except NameUnknownError:
        return False
    return True


def places(num_layers: int, bidirectional: bool, quantities: Iterable[str] = QUANTITIES) -> list[Place]:
    """Return every place of these quantities, layer by layer."""
    wanted: Sequence[str] = tuple(quantities)
    return [
        Place(*layer_direction, quantity)
        for layer_direction in layer_directions(num_layers, bidirectional)
        for quantity in wanted
    ]


def split_path(place: str) -> tuple[str, str]:
    """Split a place into the path of its module and the place within it.

    >>> split_path("encoder.rnn.l0.f")
    ('encoder.rnn', 'l0.f')
    >>> split_path("l0.f")
    ('', 'l0.f')
    """
    path, layer, quantity = ([""] * 3 + place.rsplit(".", 2))[-3:]
    return path, f"{layer}.{quantity}" if layer else quantity


_MOST_PATHS = 4  # maximum number of places listed in a message
_MOST_LAYER_DIRECTIONS = 6


def at_path(path: str, modules: Mapping[str, Module]) -> Module | None:
    """Return the entry for a module path, or None. An empty path also finds the only module, whatever its path."""
    if path in modules:
        return modules[path]
    distinct = {id(module): module for module in modules.values()}
    return next(iter(distinct.values())) if not path and len(distinct) == 1 else None


def list_places(layers: Mapping[str, Layers], near: str = "") -> str:
    """Format the places of several LSTMs for a message, shortened; those with similar paths come first.

    Args:
        layers: the layers at each module path.
        near: the requested path.

    >>> list_places({"encoder": Layers(2, False), "decoder": Layers(1, True)})
    'encoder.{l0,l1}.{i,f,g,o,c,h}, decoder.{l0,l0r}.{i,f,g,o,c,h}'
    """
    paths = [*dict.fromkeys([*get_close_matches(near, layers, n=_MOST_PATHS), *layers])]
    listed = [_places_at(path, layers[path]) for path in paths[:_MOST_PATHS]]
    return ", ".join([*listed, *(["..."] if len(paths) > _MOST_PATHS else [])])


def _places_at(path: str, having: Layers) -> str:
    names = [layer_direction.name for layer_direction in having.directions]
    if len(names) > _MOST_LAYER_DIRECTIONS:
        names = [*names[:2], "...", names[-1]]
    layers, quantities = _grouped(names), _grouped(having.cell.quantities)
    return f"{path}{'.' * bool(path)}{layers}.{quantities}"


def _grouped(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
