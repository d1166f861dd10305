"""Builds layers from weights: the last step of every importer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate.base.modes import evaluating
from hiddenstate.cells.cell import Weights
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ShapeError
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.layer_direction import LayerDirection
from hiddenstate.structure.names import GATES
from hiddenstate.structure.parameters import PARAMETER_STEMS, parameter_shapes
from hiddenstate.structure.sizes import Sizes


def build_lstm(
    weights: Sequence[Weights], *, bidirectional: bool = False, batch_first: bool = False, dropout: float = 0.0
) -> LSTM:
    """Make an LSTM from its weights, given in the order of `Sizes.layer_directions`; its sizes follow from theirs.

    The tensors become its parameters, without a copy.

    Raises:
        ShapeError, DtypeError: the layers do not match each other.
        ArgumentError: some layers have biases and others do not.
    """
    sizes = _infer_sizes(weights, bidirectional)
    state = {}
    for each, own in zip(sizes.layer_directions, weights, strict=True):
        _check(own, sizes, each, like=weights[0])
        named = zip(PARAMETER_STEMS, own, strict=True)
        state.update({stem + each.suffix: value for stem, value in named if value is not None})
    lstm = LSTM(
        sizes.input_size,
        sizes.hidden_size,
        sizes.num_layers,
        bias=sizes.bias,
        batch_first=batch_first,
        dropout=dropout,
        bidirectional=bidirectional,
        proj_size=sizes.proj_size,
        device="meta",  # so that nothing is drawn: the random state stays as it is
        dtype=weights[0].ih.dtype,
    )
    lstm.load_state_dict(state, assign=True)
    return lstm


def build_cell(lstm: LSTM) -> LSTMCell:
    """Make a cell that shares the parameters of a one-layer LSTM.

    Raises:
        ArgumentError: the LSTM has more than one layer or direction, or a projection.
    """
    if len(lstm.sizes.layer_directions) > 1 or lstm.proj_size:
        raise ArgumentError(f"an LSTMCell has one layer, one direction and no projection, but this is {lstm}")
    cell = LSTMCell(lstm.input_size, lstm.hidden_size, lstm.bias, device="meta")
    ending = LayerDirection(0, reverse=False).suffix
    cell.load_state_dict({k.removesuffix(ending): p for k, p in lstm.named_parameters()}, assign=True)
    return cell


def weights_by_direction(module: LSTM | LSTMCell) -> list[list[Weights]]:
    """The weights of each layer and direction; a cell counts as one layer and direction.

    These are the current values; parametrized weights are computed as in eval mode.

    Raises:
        ArgumentTypeError: the module is not an `LSTM` or `LSTMCell`.
        ArgumentError: it has hooks, which may compute weights at each call.
    """
    if not isinstance(module, (LSTM, LSTMCell)):
        raise ArgumentTypeError(f"expected an hs.LSTM or hs.LSTMCell (hs.from_torch makes one), got {type(module)}")
    if module._forward_pre_hooks:
        raise ArgumentError(
            "this LSTM has hooks that run before a call and may change its weights: make pruning or weight norm "
            "permanent, or remove the hooks"
        )
    with evaluating(module), torch.no_grad():
        if isinstance(module, LSTMCell):
            return [[Weights._make(_detached(getattr(module, stem, None)) for stem in PARAMETER_STEMS)]]
        weights = [Weights._make(map(_detached, one)) for one in module._weights()]
    D = module.sizes.directions
    return [weights[layer * D : (layer + 1) * D] for layer in range(module.num_layers)]


def _detached(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach()


def _infer_sizes(weights: Sequence[Weights], bidirectional: bool) -> Sizes:
    first = weights[0]
    return Sizes(
        input_size=first.ih.shape[1],
        hidden_size=first.ih.shape[0] // len(GATES),
        num_layers=len(weights) // (2 if bidirectional else 1),
        bias=first.b_ih is not None,
        bidirectional=bidirectional,
        proj_size=0 if first.hr is None else len(first.hr),
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
                f"{stem} of {where} has shape {got}, expected {expected}: the layers of one LSTM have the same units, "
                "and each reads the one below"
            )
