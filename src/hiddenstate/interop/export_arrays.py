"""The weights of an LSTM as other frameworks want them: the way back, by the same table."""

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
    """Give for each layer what ``set_weights`` of Keras's LSTM layer takes, or of a Bidirectional of one.

    Arrays are copies. Keras has one bias, so it gets the sum of ours; without biases, the layer has ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, which Keras does not know; or hooks, which may compute weights.
        ArgumentTypeError: it is no layer or cell of ours.

    >>> [array.shape for array in keras_weights(LSTM(4, 3))[0]]
    [(4, 12), (3, 12), (12,)]
    """
    return [[array for arrays in layer for array in arrays.values()] for layer in _arrays(lstm, KERAS)]


def flax_weights(
    lstm: LSTM | LSTMCell, kind: Literal["linen", "nnx", "nnx_optimized"] = "linen"
) -> list[dict[str, Any]]:
    """Give for each layer the parameters of Flax's ``RNN(LSTMCell(...))``, or of a ``Bidirectional`` of two.

    Arrays are copies. Flax's cells have one bias and always one, so they get the sum of ours, or zeros.

    Args:
        lstm: the layer, or cell: its parameters are those at ``"cell"``.
        kind: of which cells: linen's (either), nnx's ``LSTMCell``, or nnx's ``OptimizedLSTMCell``.

    Raises:
        ArgumentError: there is a projection, which Flax does not know, or no such kind; or hooks, which may compute
            weights.
        ArgumentTypeError: it is no layer or cell of ours.

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
    """Give for each layer and each of its directions the arrays of Equinox's ``LSTMCell``, by their names.

    Arrays are copies. Equinox has one bias, so it gets the sum of ours; without biases, its cell has
    ``use_bias=False``.

    Raises:
        ArgumentError: there is a projection, which Equinox does not know; or hooks, which may compute weights.
        ArgumentTypeError: it is no layer or cell of ours.

    >>> {name: array.shape for name, array in equinox_weights(LSTM(4, 3))[0][0].items()}
    {'weight_ih': (12, 4), 'weight_hh': (12, 3), 'bias': (12,)}
    """
    return _arrays(lstm, EQUINOX)


def onnx_weights(lstm: LSTM | LSTMCell) -> "list[dict[str, Array]]":
    """Give for each layer the inputs W, R and B of ONNX's LSTM operator. Arrays are copies, of the same values.

    Raises:
        ArgumentError: there is a projection, which ONNX does not know; or hooks, which may compute weights.
        ArgumentTypeError: it is no layer or cell of ours.

    >>> {name: array.shape for name, array in onnx_weights(LSTM(4, 3, bidirectional=True))[0].items()}
    {'W': (2, 12, 4), 'R': (2, 12, 3), 'B': (2, 24)}
    """
    return [{name: np.stack([arrays[name] for arrays in layer]) for name in layer[0]} for layer in _arrays(lstm, ONNX)]


def _arrays(lstm: LSTM | LSTMCell, layout: Layout) -> "list[list[dict[str, Array]]]":
    """The arrays of each direction of each layer, by the layout's names and in its order."""
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
