"""Exports an LSTM's weights in the layouts of other frameworks, with the table that importers use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.arrays import to_array
from hiddenstate.interop.build import weights_by_direction
from hiddenstate.interop.layouts import EQUINOX, FLAX, KERAS, NNX, NNX_STACKED, ONNX, Layout, from_weights
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_FLAX_KINDS = {"linen": FLAX, "nnx": NNX, "nnx_optimized": NNX_STACKED}


def keras_weights(lstm: LSTM | LSTMCell) -> "list[list[Array]]":
    """Return, for each layer, the arguments of ``set_weights`` of Keras's LSTM layer, or of a Bidirectional around it.

    Arrays are copies. Keras has one bias, so it gets the sum of ours; without biases, use ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, which Keras does not support, or there are hooks, which may compute
            weights.
        ArgumentTypeError: the module is not an `LSTM` or `LSTMCell`.

    >>> [array.shape for array in keras_weights(LSTM(4, 3))[0]]
    [(4, 12), (3, 12), (12,)]
    """
    return [[array for arrays in layer for array in arrays.values()] for layer in _arrays(lstm, KERAS)]


def flax_weights(
    lstm: LSTM | LSTMCell, kind: Literal["linen", "nnx", "nnx_optimized"] = "linen"
) -> list[dict[str, Any]]:
    """Return, for each layer, the parameters of Flax's ``RNN(LSTMCell(...))``, or of a ``Bidirectional`` of two.

    Arrays are copies. Flax's cells always have exactly one bias, which gets the sum of ours, or zeros.

    Args:
        lstm: the layer or cell; a cell's parameters are those under ``"cell"``.
        kind: the kind of cell: linen's (both), nnx's ``LSTMCell``, or nnx's ``OptimizedLSTMCell``.

    Raises:
        ArgumentError: there is a projection, which Flax does not support; the kind is unknown; or there are hooks,
            which may compute weights.
        ArgumentTypeError: the module is not an `LSTM` or `LSTMCell`.

    >>> list(flax_weights(LSTM(4, 3))[0]["cell"])
    ['ii', 'if', 'ig', 'io', 'hi', 'hf', 'hg', 'ho']
    """
    if kind not in _FLAX_KINDS:
        raise ArgumentError(f"kind must be one of {', '.join(_FLAX_KINDS)}, got {kind!r}")
    layers = []
    for directions in _arrays(lstm, _FLAX_KINDS[kind]):
        cells = [{"cell": _nested(arrays)} for arrays in directions]
        layers.append(cells[0] if len(cells) == 1 else dict(zip(FLAX.directions or (), cells, strict=True)))
    return layers


def equinox_weights(lstm: LSTM | LSTMCell) -> "list[list[dict[str, Array]]]":
    """Return, for each layer and direction, the arrays of Equinox's ``LSTMCell`` by name.

    Arrays are copies. Equinox has one bias, so it gets the sum of ours; without biases, use ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, which Equinox does not support, or there are hooks, which may compute
            weights.
        ArgumentTypeError: the module is not an `LSTM` or `LSTMCell`.

    >>> {name: array.shape for name, array in equinox_weights(LSTM(4, 3))[0][0].items()}
    {'weight_ih': (12, 4), 'weight_hh': (12, 3), 'bias': (12,)}
    """
    return _arrays(lstm, EQUINOX)


def onnx_weights(lstm: LSTM | LSTMCell) -> "list[dict[str, Array]]":
    """Return, for each layer, the inputs W, R and B of ONNX's LSTM operator, as copies with equal values.

    Raises:
        ArgumentError: there is a projection, which ONNX does not support, or there are hooks, which may compute
            weights.
        ArgumentTypeError: the module is not an `LSTM` or `LSTMCell`.

    >>> {name: array.shape for name, array in onnx_weights(LSTM(4, 3, bidirectional=True))[0].items()}
    {'W': (2, 12, 4), 'R': (2, 12, 3), 'B': (2, 24)}
    """
    return [{name: np.stack([arrays[name] for arrays in layer]) for name in layer[0]} for layer in _arrays(lstm, ONNX)]


def _arrays(lstm: LSTM | LSTMCell, layout: Layout) -> "list[list[dict[str, Array]]]":
    """The arrays of each layer and direction, with the layout's names and in its order."""
    return [
        [{name: to_array(tensor) for name, tensor in from_weights(weights, layout).items()} for weights in layer]
        for layer in weights_by_direction(lstm)
    ]


def _nested(arrays: "Mapping[str, Array]") -> dict[str, Any]:
    """Turn ``{"ii/kernel": ...}`` into ``{"ii": {"kernel": ...}}``."""
    nested: dict[str, Any] = {}
    for path, array in arrays.items():
        outer, _, inner = path.partition("/")
        nested.setdefault(outer, {})[inner] = array
    return nested
