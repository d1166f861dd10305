"""Exports weights in the layouts of other frameworks, using the same table as the importers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.build import weights_by_direction
from hiddenstate.interop.layouts import (
    EQUINOX,
    FLAX,
    KERAS,
    NNX,
    NNX_GRU,
    NNX_STACKED,
    ONNX,
    WeightLayout,
    from_weights,
    layout_for,
    to_array,
)
from hiddenstate.nn.cell import GRUCell, LSTMCell, RNNCell
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import RNN

if TYPE_CHECKING:
    from hiddenstate.interop.layouts import Array

_FLAX_KINDS = {"linen": FLAX, "nnx": NNX, "nnx_optimized": NNX_STACKED}

Source = LSTM | GRU | RNN | LSTMCell | GRUCell | RNNCell


def keras_weights(layer: Source) -> "list[list[Array]]":
    """Return, for each layer, the arguments of ``set_weights`` of Keras's layer, or of a Bidirectional around it.

    Keras's layer is an ``LSTM``, a ``GRU`` (with ``reset_after=True``, its default) or a ``SimpleRNN``. Arrays are
    copies. Except in a GRU, Keras has one bias, so it gets the sum of ours; without biases, use ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, which Keras does not support, or there are hooks, which may compute
            weights.
        ArgumentTypeError: the module is not one of our layers or cells.

    >>> [array.shape for array in keras_weights(LSTM(4, 3))[0]]
    [(4, 12), (3, 12), (12,)]
    """
    return [[array for arrays in directions for array in arrays.values()] for directions in _arrays(layer, KERAS)]


def flax_weights(layer: Source, kind: Literal["linen", "nnx", "nnx_optimized"] = "linen") -> list[dict[str, Any]]:
    """Return, for each layer, the parameters of Flax's ``RNN(LSTMCell(...))``, or of a ``Bidirectional`` of two.

    For a GRU they are a ``GRUCell``'s, for a plain RNN a ``SimpleCell``'s. Arrays are copies. Flax's cells always have
    exactly one bias, which gets the sum of ours, or zeros; linen's ``GRUCell`` also has our ``b_hn``.

    Args:
        layer: the layer or cell; a cell's parameters are those under ``"cell"``.
        kind: the kind of cell: linen's (both of its LSTM cells), nnx's ``LSTMCell``, or nnx's ``OptimizedLSTMCell``;
            for a GRU or RNN, linen's or nnx's cell.

    Raises:
        ArgumentError: there is a projection, or with nnx a nonzero ``b_hn``, which Flax does not support; the kind of
            cell is unknown; or there are hooks, which may compute weights.
        ArgumentTypeError: the module is not one of our layers or cells.

    >>> list(flax_weights(LSTM(4, 3))[0]["cell"])
    ['ii', 'if', 'ig', 'io', 'hi', 'hf', 'hg', 'ho']
    """
    if kind not in _FLAX_KINDS:
        raise ArgumentError(f"kind must be one of {', '.join(_FLAX_KINDS)}, got {kind!r}")
    layers = []
    for directions in _arrays(layer, _FLAX_KINDS[kind]):
        cells = [{"cell": _nested(arrays)} for arrays in directions]
        layers.append(cells[0] if len(cells) == 1 else dict(zip(FLAX.directions or (), cells, strict=True)))
    return layers


def equinox_weights(layer: Source) -> "list[list[dict[str, Array]]]":
    """Return, for each layer and direction, the arrays of Equinox's ``LSTMCell`` or ``GRUCell`` by name.

    Arrays are copies. Equinox has one bias, so it gets the sum of ours (``bias_n`` is a GRU's ``b_hn``); without
    biases, use ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, or the layer is a plain RNN, which Equinox does not support; or there are
            hooks, which may compute weights.
        ArgumentTypeError: the module is not one of our layers or cells.

    >>> {name: array.shape for name, array in equinox_weights(LSTM(4, 3))[0][0].items()}
    {'weight_ih': (12, 4), 'weight_hh': (12, 3), 'bias': (12,)}
    """
    return _arrays(layer, EQUINOX)


def onnx_weights(layer: Source) -> "list[dict[str, Array]]":
    """Return, for each layer, the inputs W, R and B of ONNX's LSTM, GRU or RNN operator, as copies with equal values.

    The GRU operator needs ``linear_before_reset=1``.

    Raises:
        ArgumentError: there is a projection, which ONNX does not support, or there are hooks, which may compute
            weights.
        ArgumentTypeError: the module is not one of our layers or cells.

    >>> {name: array.shape for name, array in onnx_weights(LSTM(4, 3, bidirectional=True))[0].items()}
    {'W': (2, 12, 4), 'R': (2, 12, 3), 'B': (2, 24)}
    """
    return [
        {name: np.stack([arrays[name] for arrays in directions]) for name in directions[0]}
        for directions in _arrays(layer, ONNX)
    ]


def _arrays(layer: Source, base: WeightLayout) -> "list[list[dict[str, Array]]]":
    """Return the arrays of each layer and direction, with the framework's names and order for this cell."""
    weights = weights_by_direction(layer)
    cell = layer.sizes.kind.label
    layout = base if cell == base.cell else layout_for(NNX_GRU if base is NNX else base, cell)
    return [
        [
            {name: to_array(tensor) for name, tensor in from_weights(direction, layout).items()}
            for direction in directions
        ]
        for directions in weights
    ]


def _nested(arrays: "Mapping[str, Array]") -> dict[str, Any]:
    """Turn ``{"ii/kernel": ...}`` into ``{"ii": {"kernel": ...}}``."""
    nested: dict[str, Any] = {}
    for path, array in arrays.items():
        outer, _, inner = path.partition("/")
        nested.setdefault(outer, {})[inner] = array
    return nested
