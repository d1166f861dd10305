"""Builds layers from weights: the last step of every importer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import TypeVar

from hiddenstate.base.messages import readable_name, with_article
from hiddenstate.base.modes import evaluating
from hiddenstate.cells.cell import Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ShapeError
from hiddenstate.nn.cell import CELL_CLASSES, GRUCell, LSTMCell, RecurrentCell, RNNCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import RNN, Layer, new_layer, rnn_mode
from hiddenstate.structure.names import LayerDirection
from hiddenstate.structure.sizes import PARAMETER_STEMS, Sizes, parameter_shapes

# The class to build, and that of layers; an LSTM where a call names none.
K = TypeVar("K", bound=Recurrent[Any, Any] | RecurrentCell[Any, Any], default=LSTM)
L = TypeVar("L", bound=Recurrent[Any, Any], default=LSTM)


def layer_class(kind: object) -> type[Any]:
    """Return the layer class that belongs to a class of layers or cells; raise ArgumentTypeError for others."""
    for layer, cell in CELL_CLASSES.items():
        if kind is layer or kind is cell:
            return layer
    names = ", ".join(f"hs.{cls.__name__}" for pair in CELL_CLASSES.items() for cls in pair)
    raise ArgumentTypeError(f"kind must be one of {names}, got {kind!r:.100}")


def build_layer(
    weights: Sequence[Weights],
    kind: type[L],
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
    dropout: float = 0.0,
    nonlinearity: str = "tanh",
) -> L:
    """Make a layer whose parameters are these tensors, in the order of `Sizes.layer_directions`."""
    sizes = _infer_sizes(weights, bidirectional, rnn_mode(nonlinearity) if kind is RNN else kind.__name__)
    state = {}
    for direction, own in zip(sizes.layer_directions, weights, strict=True):
        _check(own, sizes, direction, like=weights[0])
        named = zip(PARAMETER_STEMS, own, strict=True)
        state.update({stem + direction.suffix: value for stem, value in named if value is not None})
    # On the meta device, so that no random numbers are drawn and the random state does not change.
    options = {"batch_first": batch_first, "dropout": dropout, "dtype": weights[0].ih.dtype}
    layer: L = new_layer(sizes, **options, device="meta")
    layer.load_state_dict(state, assign=True)
    return layer


def build_kind(layer: Any, kind: type[K]) -> K:
    """Return the layer, or the cell that shares its parameters if ``kind`` is a class of cells."""
    if kind not in CELL_CLASSES:
        layer = build_cell(layer.dequantize() if layer.weight_format == "int8" else layer)
    return layer


def build_cell(layer: Any) -> Any:
    """Make a cell that shares the parameters of a one-layer LSTM, GRU or RNN."""
    as_cell = CELL_CLASSES[type(layer)]
    if len(layer.sizes.layer_directions) > 1 or layer.sizes.proj_size:
        raise ArgumentError(
            f"{with_article(as_cell.__name__)} has one layer, one direction and no projection, but this is {layer}"
        )
    options: Any = {"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {}
    cell = as_cell(layer.input_size, layer.hidden_size, layer.bias, device="meta", **options)
    ending = LayerDirection(0, reverse=False).suffix
    cell.load_state_dict({k.removesuffix(ending): p for k, p in layer.named_parameters()}, assign=True)
    return cell


def weights_by_direction(module: Layer | LSTMCell | GRUCell | RNNCell) -> list[list[Weights]]:
    """Return the current weights of each layer and direction, or of a cell, parametrized ones as in eval mode."""
    if not isinstance(module, (*CELL_CLASSES, *CELL_CLASSES.values())):
        raise ArgumentTypeError(
            "expected an hs.LSTM, hs.GRU, hs.RNN or a cell of these (hs.from_torch makes one), got "
            f"{readable_name(type(module))}"
        )
    if module._forward_pre_hooks:
        raise ArgumentError(
            f"this {module.sizes.kind.label} has hooks that run before a call and may change its weights: make "
            "pruning or weight norm permanent, or remove the hooks"
        )
    with evaluating(module), torch.no_grad():
        if isinstance(module, RecurrentCell):
            return [[Weights._make(_detached(getattr(module, stem, None)) for stem in PARAMETER_STEMS)]]
        weights = [Weights._make(map(_detached, parts)) for parts in module._weights()]
    D = module.sizes.directions
    return [weights[layer * D : (layer + 1) * D] for layer in range(module.num_layers)]


def _detached(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach()


def _infer_sizes(weights: Sequence[Weights], bidirectional: bool, cell: str) -> Sizes:
    first = weights[0]
    return Sizes(
        input_size=first.ih.shape[1],
        hidden_size=first.ih.shape[0] // len(CELLS[cell].gates),
        num_layers=len(weights) // (2 if bidirectional else 1),
        bias=first.b_ih is not None,
        bidirectional=bidirectional,
        proj_size=0 if first.hr is None else len(first.hr),
        cell=cell,
    )


def _check(weights: Weights, sizes: Sizes, layer_direction: LayerDirection, like: Weights) -> None:
    where, shapes = layer_direction.name, parameter_shapes(sizes, layer_direction.layer)
    if (weights.b_ih is None) == sizes.bias:
        raise ArgumentError(f"{LayerDirection(0, reverse=False).name} and {where} must both have biases, or neither")
    if weights.ih.dtype != like.ih.dtype:
        raise DtypeError(f"weights of {where} are {weights.ih.dtype}, but those of the first layer are {like.ih.dtype}")
    for stem, value in zip(PARAMETER_STEMS, weights, strict=True):
        got = None if value is None else list(value.shape)
        expected = list(shapes[stem]) if stem in shapes else None
        if got != expected:
            raise ShapeError(
                f"{stem} of {where} has shape {got}, expected {expected}: all layers must have the same number of "
                "units, and each reads the layer below"
            )
