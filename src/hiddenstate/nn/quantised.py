"""The int8 weights of an LSTM: quantising, dequantising, and reading float or int8 state dicts."""

from collections.abc import Iterator, MutableMapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.weights import Kept, dequantise, quantise
from hiddenstate.errors import ArgumentError, DtypeError

WeightType = Literal["float", "int8"]
SCALE = "_scale"  # the suffix that names a matrix's scales


def is_matrix(name: str) -> bool:
    """Whether a parameter is a matrix; matrices are quantised, biases are not."""
    return name.startswith("weight_")


def quantise_module(lstm: Any) -> None:
    """Quantise the matrices of an LSTM in place: its parameters become buffers."""
    keep(lstm, rounded(lstm))


def rounded(lstm: Any) -> dict[str, Tensor]:
    """Return the buffers of a quantised LSTM, ours or torch's: int8 matrices, scales and biases by name."""
    names: list[str] = lstm._flat_weights_names
    if parametrize.is_parametrized(lstm) or any(lstm._parameters.get(name) is None for name in names):
        raise ArgumentError(
            f"the weights of this {type(lstm).__name__} are not all parameters, so they cannot be quantised: make "
            "parametrizations, pruning or weight norm permanent first"
        )
    buffers: dict[str, Tensor] = {}
    for name in names:
        value = lstm._parameters[name]
        assert value is not None
        if is_matrix(name):
            buffers[name], buffers[name + SCALE] = quantise(value, name)
        else:
            buffers[name] = _cloned(value, name)
    return buffers


def _cloned(value: Tensor, name: str) -> Tensor:
    check_dense(value, name)
    check_memory(value, name)
    if not value.is_floating_point():
        raise DtypeError(f"{name} has dtype {value.dtype}, expected a floating-point type: was it replaced?")
    return value.detach().clone()


def keep(lstm: Any, buffers: dict[str, Tensor]) -> None:
    """Replace an LSTM's parameters by the buffers that `rounded` returned."""
    for name in lstm._flat_weights_names:
        del lstm._parameters[name]
    for name, value in buffers.items():
        lstm._buffers[name] = value
    lstm.weight_format = "int8"


def dequantise_module(lstm: Any) -> None:
    """Dequantise the matrices of an LSTM in place: its buffers become parameters."""
    keep_floats(lstm, floats(lstm))


def floats(lstm: Any) -> dict[str, nn.Parameter]:
    """Return the float values of int8 weights, by name."""
    for name in stored_names(lstm):
        _kept(lstm, name)
    return {name: nn.Parameter(_cloned(lstm._parameter(name), name)) for name in lstm._flat_weights_names}


def keep_floats(lstm: Any, parameters: dict[str, nn.Parameter]) -> None:
    """Replace an LSTM's int8 weights by the parameters that `floats` returned."""
    for name in list(stored_names(lstm)):
        del lstm._buffers[name]
    for name, value in parameters.items():
        lstm._parameters[name] = value
    del lstm.weight_format
    lstm._packed_int8 = None


def kept_weights(lstm: Any) -> list[Kept]:
    """Return the weights of each layer and direction as stored."""
    kept = []
    for names in lstm._parameter_names()[1]:
        values = [None if name is None else _kept(lstm, name) for name in names]
        scales = [_kept(lstm, name + SCALE) if name is not None and is_matrix(name) else None for name in names]
        # Does not use _make, which torch 2.8's Dynamo cannot trace.
        kept.append(Kept(Weights(*names), Weights(*values), Weights(*scales)))  # type: ignore[arg-type]
    return kept


def _kept(lstm: Any, name: str) -> Tensor:
    value = lstm._buffers.get(name)
    if value is None:
        raise missing(name)
    return value


def current_weights(layer: Any) -> dict[str, Tensor]:
    """Return a layer's weights by name, ours or torch's: int8 weights as floats, parametrized ones as computed."""
    read = getattr(layer, "_parameter", partial(getattr, layer))
    return {name: read(name) for name in layer._flat_weights_names}


def missing(name: str) -> ArgumentError:
    """Return the error for a missing weight."""
    return ArgumentError(
        f"{name} is missing, but the sizes of this layer require it: was it deleted, or was a size assigned?"
    )


def stored_names(lstm: Any) -> Iterator[str]:
    """Yield the names of the buffers of int8 weights."""
    for name in lstm._flat_weights_names:
        yield name
        if is_matrix(name):
            yield name + SCALE


def read_state(lstm: Any, state: MutableMapping[str, Tensor], prefix: str) -> None:
    """Convert a state dict to an LSTM's weight type: quantise floats, or dequantise int8 weights."""
    for name in filter(is_matrix, lstm._flat_weights_names):
        key, key_of_scale = prefix + name, prefix + name + SCALE
        value, scale = state.get(key), state.get(key_of_scale)
        if not isinstance(value, Tensor) or value.dim() != 2:
            continue  # torch reports the error
        # torch would copy from one type to the other and ignore the scale.
        if lstm.weight_format == "int8" and scale is not None and value.dtype is not torch.int8:
            raise DtypeError(f"{key} has dtype {value.dtype} with scales beside it, expected torch.int8")
        if isinstance(scale, Tensor) and not scale.dtype.is_floating_point:
            raise DtypeError(f"{key_of_scale} has dtype {scale.dtype}, expected a floating-point type")
        if lstm.weight_format == "float" and value.dtype is torch.int8 and scale is None:
            raise ArgumentError(f"{key} is int8, but its scales {key_of_scale} are missing: save both")
        if lstm.weight_format == "int8" and scale is None and value.dtype.is_floating_point:
            state[key], state[key_of_scale] = quantise(value, key)
        elif lstm.weight_format == "float" and value.dtype is torch.int8 and isinstance(scale, Tensor):
            state[key] = dequantise(value, scale, key)
            del state[key_of_scale]
