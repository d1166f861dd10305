"""The parameters of an LSTM: torch's names, order, shapes and initialisation."""

import math
from functools import cache

from torch import nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.structure.sizes import Sizes

# In torch's order. The options of a layer determine which of them it has.
PARAMETER_STEMS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


def parameter_shapes(sizes: Sizes, layer: int) -> dict[str, tuple[int, ...]]:
    """Return the stems and shapes of a layer's parameters, in torch's order; `names.suffix` completes the names.

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
        [stem + each.suffix if stem in parameter_shapes(sizes, each.layer) else None for stem in PARAMETER_STEMS]
        for each in sizes.layer_directions
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
