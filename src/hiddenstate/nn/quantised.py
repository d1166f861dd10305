"""The weights of an LSTM in 8 bits: put there, read from there, and in state dicts of either kind."""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.int8 import Kept, dequantise, quantise
from hiddenstate.errors import ArgumentError, DtypeError

WeightType = Literal["float", "int8"]
SCALE = "_scale"  # what the name of a matrix ends with for its scales


class Layer(Protocol):
    """An LSTM whose weights can be kept either way."""

    weights: WeightType
    _parameters: dict[str, nn.Parameter | None]
    _buffers: dict[str, Tensor | None]

    @property
    def _flat_weights_names(self) -> list[str]: ...
    def _layout(self) -> tuple[object, Sequence[Sequence[str | None]]]: ...
    def _parameter(self, name: str) -> Tensor: ...


def is_matrix(name: str) -> bool:
    """Whether a parameter is a matrix, which is rounded; biases stay as they are."""
    return name.startswith("weight_")


def quantise_module(lstm: Layer) -> None:
    """Round the matrices of an LSTM in place: its parameters become buffers.

    Raises:
        ArgumentError, DtypeError: as `rounded`. Nothing was changed.
    """
    keep(lstm, rounded(lstm))


def rounded(lstm: Any) -> dict[str, Tensor]:
    """What is kept of an LSTM, ours or torch's, whose matrices are rounded: numbers, scales and biases by name.

    Raises:
        ArgumentError: a weight is no parameter (a parametrization or pruning computes it), or is not finite.
        DtypeError: a weight is not of floating point, or its memory was freed.
    """
    names: list[str] = lstm._flat_weights_names
    if parametrize.is_parametrized(lstm) or any(lstm._parameters.get(name) is None for name in names):
        raise ArgumentError(
            f"the weights of this {type(lstm).__name__} are not all its parameters, so that they cannot be rounded: "
            "make parametrizations, pruning or weight norm permanent first"
        )
    made: dict[str, Tensor] = {}
    for name in names:
        value = lstm._parameters[name]
        assert value is not None
        if is_matrix(name):
            made[name], made[name + SCALE] = quantise(value, name)
        else:
            made[name] = _cloned(value, name)
    return made


def _cloned(value: Tensor, name: str) -> Tensor:
    check_dense(value, name)
    check_memory(value, name)
    if not value.is_floating_point():
        raise DtypeError(f"{name} has dtype {value.dtype}, expected a type of floating point: was it replaced?")
    return value.detach().clone()


def keep(lstm: Layer, made: dict[str, Tensor]) -> None:
    """Put what `rounded` made in the place of an LSTM's parameters."""
    for name in lstm._flat_weights_names:
        del lstm._parameters[name]
    for name, value in made.items():
        lstm._buffers[name] = value
    lstm.weights = "int8"


def dequantise_module(lstm: Layer) -> None:
    """Make floats of the matrices of an LSTM in place: its buffers become parameters.

    Raises:
        ArgumentError, DtypeError, ShapeError, DeviceError: as `floats`. Nothing was changed.
    """
    keep_floats(lstm, floats(lstm))


def floats(lstm: Layer) -> dict[str, nn.Parameter]:
    """The numbers that weights of 8 bits stand for, by name.

    Raises:
        ArgumentError: one is missing.
        DtypeError, ShapeError, DeviceError: they were replaced, or their memory was freed.
    """
    for name in stored_names(lstm):
        _kept(lstm, name)
    return {name: nn.Parameter(_cloned(lstm._parameter(name), name)) for name in lstm._flat_weights_names}


def keep_floats(lstm: Layer, made: dict[str, nn.Parameter]) -> None:
    """Put what `floats` made in the place of an LSTM's weights of 8 bits."""
    for name in list(stored_names(lstm)):
        del lstm._buffers[name]
    for name, value in made.items():
        lstm._parameters[name] = value
    del lstm.weights


def kept_weights(lstm: Layer) -> list[Kept]:
    """The weights of each layer and direction as they are kept."""
    found = []
    for names in lstm._layout()[1]:
        values = [None if name is None else _kept(lstm, name) for name in names]
        scales = [_kept(lstm, name + SCALE) if name is not None and is_matrix(name) else None for name in names]
        found.append(Kept(Weights._make(names), Weights._make(values), Weights._make(scales)))
    return found


def _kept(lstm: Layer, name: str) -> Tensor:
    found = lstm._buffers.get(name)
    if found is None:
        raise missing(name)
    return found


def missing(name: str) -> ArgumentError:
    """Return the error of a weight that is not there."""
    return ArgumentError(
        f"{name} is missing, which the sizes of this LSTM ask for: was it deleted, or a size assigned?"
    )


def stored_names(lstm: Layer) -> Iterator[str]:
    """Names of the buffers that weights of 8 bits are kept in."""
    for name in lstm._flat_weights_names:
        yield name
        if is_matrix(name):
            yield name + SCALE


def read_state(lstm: Layer, state: MutableMapping[str, Tensor], prefix: str) -> None:
    """Bring the weights of a state dict into the form that an LSTM keeps: floats are rounded, 8 bits made floats.

    Raises:
        ArgumentError, DtypeError, ShapeError, DeviceError: they cannot be.
    """
    for name in filter(is_matrix, lstm._flat_weights_names):
        key, key_of_scale = prefix + name, prefix + name + SCALE
        value, scale = state.get(key), state.get(key_of_scale)
        if not isinstance(value, Tensor) or value.dim() != 2:
            continue  # torch says what is wrong
        # torch would copy one type into the other: numbers without their scale.
        if lstm.weights == "int8" and scale is not None and value.dtype is not torch.int8:
            raise DtypeError(f"{key} has dtype {value.dtype} with scales beside it, expected torch.int8")
        if isinstance(scale, Tensor) and not scale.dtype.is_floating_point:
            raise DtypeError(f"{key_of_scale} has dtype {scale.dtype}, expected a type of floating point")
        if lstm.weights == "float" and value.dtype is torch.int8 and scale is None:
            raise ArgumentError(f"{key} is of 8 bits, and its scales {key_of_scale} are missing: save both")
        if lstm.weights == "int8" and scale is None and value.dtype.is_floating_point:
            state[key], state[key_of_scale] = quantise(value, key)
        elif lstm.weights == "float" and value.dtype is torch.int8 and isinstance(scale, Tensor):
            state[key] = dequantise(value, scale, key)
            del state[key_of_scale]
