"""Finds the LSTMs in any source of weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hiddenstate.errors import ArgumentTypeError
from hiddenstate.interop.build import L, layer_class
from hiddenstate.interop.found import Found
from hiddenstate.interop.jax_arrays import in_flax
from hiddenstate.interop.keras.importer import in_keras
from hiddenstate.interop.onnx.importer import in_onnx
from hiddenstate.interop.state_dict import KERAS_ENDINGS, in_state_dict
from hiddenstate.nn.lstm import LSTM


def find_lstms(source: Any, *, kind: type[L] = LSTM, **options: Any) -> Found[L]:  # type: ignore[assignment]
    """List the LSTMs in a file, an ONNX model, a torch state dict, Flax parameters, or a Keras model or layer.

    With ``kind``, it lists the GRUs or plain RNNs instead.

    Args:
        source: the path of a file, whose extension determines its kind (``.onnx``; ``.keras`` or ``.h5``; anything else
            is a torch or safetensors file), or any source of `from_onnx`, `from_state_dict`, `from_flax` or
            `from_keras`.
        kind: the class of the layers: `LSTM`, `GRU` or `RNN`.
        options: the options of that function, such as ``join=False`` for ONNX.

    Returns:
        A mapping from names to layers. `print` it to see names and sizes; each layer is built, or rejected with the
        reason, on access.

    Raises:
        FileFormatError, FileNotFoundError, IsADirectoryError, MissingDependencyError: the file can't be read.
        ArgumentTypeError: the source has the wrong type.

    >>> from torch import nn
    >>> find_lstms(nn.ModuleDict({"encoder": nn.LSTM(4, 3), "decoder": nn.LSTM(3, 5)}).state_dict())
    this state dict holds 2 LSTMs
      'encoder': LSTM(4, 3)
      'decoder': LSTM(3, 5)
    """
    if isinstance(source, (str, Path)):
        ending = Path(source).suffix
        read: Any = in_onnx if ending == ".onnx" else in_keras if ending in KERAS_ENDINGS else in_state_dict
    elif isinstance(source, Mapping):
        read = in_state_dict if any(isinstance(leaf, Tensor) for leaf in _leaves(source)) else in_flax
    elif hasattr(source, "graph"):
        read = in_onnx
    elif hasattr(source, "get_weights"):
        read = in_keras
    else:
        raise ArgumentTypeError(
            f"expected the path of a file, a state dict, parameters, an ONNX model or a Keras layer, got "
            f"{type(source).__name__}"
        )
    found: Found[L] = read(source, kind=layer_class(kind), **options)
    return found


def _leaves(tree: Mapping[Any, Any]) -> Iterator[Any]:
    for value in tree.values():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield value
