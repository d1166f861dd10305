"""The sizes of an LSTM, or another kind of cell, from which every shape, name and index follows; torch's parameters."""

import math
from dataclasses import dataclass
from functools import cache, cached_property

from torch import nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.scalars import check_bool, check_int
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import cell_named
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import LayerDirection, Layers, Place, layer_directions


@dataclass(frozen=True)
class Sizes:
    """The sizes and options that determine the shapes of a layer's parameters, under torch's argument names.

    ``cell`` is the kind of cell, a name in `cells.kinds.CELLS`: what torch's layers have as ``mode``.

    Raises:
        ArgumentTypeError: a size is not an int, or an option is not a bool.
        ArgumentError: a size is out of range, there is no such cell, or it cannot be projected.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False
    proj_size: int = 0
    cell: str = "LSTM"

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "proj_size"):
            object.__setattr__(self, name, check_int(name, getattr(self, name)))
        object.__setattr__(self, "bias", check_bool("bias", self.bias))
        # As in torch, 0 and 1 are allowed here but not for the other options.
        object.__setattr__(self, "bidirectional", check_bool("bidirectional", self.bidirectional, number=True))
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ArgumentError(f"{name} must be greater than zero, got {getattr(self, name)}")
        kind = cell_named(self.cell)
        if self.proj_size and len(kind.carried) == 1:
            refuse_projection(self.proj_size)
        if self.proj_size < 0:
            raise ArgumentError(
                f"proj_size should be a positive integer or zero to disable projections, got {self.proj_size}"
            )
        if self.proj_size >= self.hidden_size:
            raise ArgumentError(
                f"proj_size has to be smaller than hidden_size, got {self.proj_size} and {self.hidden_size}"
            )

    @cached_property
    def kind(self) -> Cell:
        """The kind of cell."""
        return cell_named(self.cell)

    @property
    def layers(self) -> Layers:
        """The properties that determine which places there are."""
        return Layers(self.num_layers, self.bidirectional, self.kind)

    @property
    def directions(self) -> int:
        """D: 2 with a reverse direction, otherwise 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """P: the number of units of the hidden state, equal to H without a projection."""
        return self.proj_size or self.hidden_size

    @cached_property
    def layer_directions(self) -> list[LayerDirection]:
        """Every layer and direction, in the order in which torch stacks them in ``h_n``."""
        return layer_directions(self.num_layers, self.bidirectional)

    def directions_in(self, layer: int) -> list[LayerDirection]:
        """Return the layer's forward direction and, if there is one, its reverse direction."""
        return self.layer_directions[layer * self.directions : (layer + 1) * self.directions]

    @cached_property
    def axes(self) -> tuple[int, int, int, int]:
        """C, H, P and D, as native code reads them."""
        return self.input_size, self.hidden_size, self.output_size, self.directions

    @cached_property
    def places(self) -> list[list[str]]:
        """The names of all places that a trace records, in every layer and direction."""
        return [
            [str(Place(*layer_direction, quantity)) for quantity in self.kind.quantities]
            for layer_direction in self.layer_directions
        ]

    @cached_property
    def state_units(self) -> tuple[int, ...]:
        """The number of units of each state that a call takes, in torch's order."""
        return tuple(map(self.units, self.kind.carried))

    @cached_property
    def recorded_units(self) -> int:
        """How many values a trace of all places records at each step of a row."""
        return len(self.layer_directions) * sum(map(self.units, self.kind.quantities))

    def units(self, quantity: str) -> int:
        """Return the number of units of a quantity: P for h, H for all others."""
        return self.output_size if quantity == "h" else self.hidden_size

    def layer_input_size(self, layer: int) -> int:
        """Return the number of features that a layer reads: C for the first, D*P for the others."""
        return self.input_size if layer == 0 else self.directions * self.output_size

    def of_layer(self, layer: int) -> "Sizes":
        """Return the sizes of one layer in one direction, as a separate layer."""
        return _of_layer(self, layer)


def refuse_projection(proj_size: object) -> None:
    """Raise ArgumentError unless ``proj_size`` is None: for a GRU or RNN, torch refuses every value, even 0."""
    if proj_size is not None:
        raise ArgumentError(f"proj_size argument is only supported for LSTM, not RNN or GRU, got {proj_size!r:.50}")


@cache
def _of_layer(sizes: Sizes, layer: int) -> Sizes:
    return Sizes(sizes.layer_input_size(layer), sizes.hidden_size, 1, sizes.bias, False, sizes.proj_size, sizes.cell)


# In torch's order. The options of a layer determine which of them it has.
PARAMETER_STEMS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


def parameter_shapes(sizes: Sizes, layer: int) -> dict[str, tuple[int, ...]]:
    """Return the stems and shapes of a layer's parameters, in torch's order; a suffix completes the names.

    >>> parameter_shapes(Sizes(4, 3, bias=False), 0)
    {'weight_ih': (12, 4), 'weight_hh': (12, 3)}
    """
    rows = len(sizes.kind.gates) * sizes.hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, sizes.layer_input_size(layer)),
        "weight_hh": (rows, sizes.output_size),
    }
    if sizes.bias:
        shapes.update(bias_ih=(rows,), bias_hh=(rows,))
    if sizes.proj_size:
        shapes.update(weight_hr=(sizes.proj_size, sizes.hidden_size))
    return shapes


ParameterNames = list[list[str | None]]


def parameter_names(sizes: Sizes) -> ParameterNames:
    """Return the parameter names of each layer and direction, in the order of the stems; None for absent ones.

    >>> parameter_names(Sizes(4, 3, bias=False))
    [['weight_ih_l0', 'weight_hh_l0', None, None, None]]
    """
    return [
        [
            stem + layer_direction.suffix if stem in parameter_shapes(sizes, layer_direction.layer) else None
            for stem in PARAMETER_STEMS
        ]
        for layer_direction in sizes.layer_directions
    ]


@cache
def weight_shapes(sizes: Sizes, k: int) -> tuple[tuple[int, ...] | None, ...]:
    """Shapes of the parameters of layer and direction ``k``, in the order of the stems; None for absent ones."""
    shapes = parameter_shapes(sizes, sizes.layer_directions[k].layer)
    return tuple(shapes.get(stem) for stem in PARAMETER_STEMS)


def draw(module: nn.Module, hidden_size: int) -> None:
    """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the order of the parameters, like torch."""
    check_module_memory(module)
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size else 0.0
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound)
