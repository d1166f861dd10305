"""An LSTM, GRU or RNN without its calls: sizes, options, parameters by torch's names, weights by gate."""

import numbers
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hiddenstate.base.memory import CheckedModule
from hiddenstate.base.messages import shorten
from hiddenstate.base.scalars import check_bool
from hiddenstate.base.validation import check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.weights import Int8Weights, dequantise
from hiddenstate.errors import ArgumentError
from hiddenstate.nn import quantised
from hiddenstate.nn.quantised import WeightType
from hiddenstate.nn.torch_modules import FX_LEAF, QuantisationSetting
from hiddenstate.structure.names import LayerDirection, Layers
from hiddenstate.structure.sizes import ParameterNames, Sizes, draw, parameter_names, parameter_shapes
from hiddenstate.structure.structure import Structure, structure_of
from hiddenstate.tracing.traceable import Traceable

# The attributes that determine the parameters' shapes, besides ``mode``, which is the kind of cell.
SIZES = tuple(field.name for field in fields(Sizes) if field.name != "cell")
_STORED = {*SIZES, "mode"}
_PLAIN = (Tensor, nn.Parameter)  # not, for example, spread over several devices


class RecurrentParameters(CheckedModule, Traceable):
    """The sizes, options and parameters of a `hiddenstate.LSTM`, `GRU` or `RNN`, under torch's names."""

    mode: str  # the kind of cell
    qconfig = QuantisationSetting()
    # Plain attributes, as in torch's layer, because users' code copies and assigns them.
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    proj_size: int
    recompute_gates: bool = False
    weight_format: WeightType = "float"  # how matrices are stored
    _named: tuple[Sizes, ParameterNames] | None = None  # derived from the sizes; cleared when one is assigned
    _packed_int8: Any = None  # int8 weights, packed for all calls; a `Packed` or None

    def __init__(
        self,
        sizes: Sizes,
        batch_first: bool,
        dropout: float,
        device: torch.device | str | int | None,
        dtype: torch.dtype | None,
        weights: WeightType,
    ) -> None:
        super().__init__()
        if weights not in ("float", "int8"):
            raise ArgumentError(f"weights must be 'float' or 'int8', got {shorten(weights)}")
        self.__module__ = FX_LEAF
        self.mode = sizes.cell
        for name in SIZES:
            setattr(self, name, getattr(sizes, name))
        self.batch_first = check_bool("batch_first", batch_first)
        self.dropout = _checked_dropout(dropout, self.num_layers)
        for layer_direction in sizes.layer_directions:
            for stem, shape in parameter_shapes(sizes, layer_direction.layer).items():
                parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(stem + layer_direction.suffix, parameter)
        self._parameter_names()
        self.reset_parameters()
        if weights == "int8":
            quantised.quantise_module(self)
        self.flatten_parameters()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "recompute_gates":
            value = check_bool(name, value)
        super().__setattr__(name, value)
        if name in _STORED:
            self._named = None

    @property
    def sizes(self) -> Sizes:
        """The sizes and options that determine the parameters' shapes, read from the attributes.

        Raises:
            ArgumentError, ArgumentTypeError: an invalid size was assigned to an attribute.
        """
        return self._parameter_names()[0]

    def _parameter_names(self) -> tuple[Sizes, ParameterNames]:
        """The sizes, and the parameter names of each layer and direction."""
        if self._named is None:
            sizes = Sizes(**{name: getattr(self, name) for name in SIZES}, cell=self.mode)
            self._named = sizes, parameter_names(sizes)
        return self._named

    def __getstate__(self) -> dict[str, Any]:
        # Only plain types, so that users need to allow only this class to load a pickle with weights_only=True.
        return {name: value for name, value in super().__getstate__().items() if name not in ("_named", "_packed_int8")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        state.setdefault("proj_size", 0)  # as torch's layer does
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._named = None
        self._parameter_names()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the same order as torch."""
        rounds = self.weight_format == "int8"
        if rounds:
            quantised.dequantise_module(self)
        draw(self, self.hidden_size)
        if rounds:
            quantised.quantise_module(self)

    def flatten_parameters(self) -> None:
        """Copy the weights into one block of memory, as cuDNN needs them. Does nothing on other devices.

        This happens automatically when the layer is created, moved or converted. Call it after parameters were replaced
        (by a deep copy, or ``load_state_dict(..., assign=True)``); otherwise torch copies them at each call, and warns.
        """
        # Weights that are recomputed at each call have no fixed memory, and cuDNN can't read int8 weights.
        if self.weight_format == "int8" or parametrize.is_parametrized(self):
            return
        weights: list[Any] = [getattr(self, name, None) for name in self._flat_weights_names]
        if all(type(weight) in _PLAIN and weight.is_cuda for weight in weights):
            nn.RNNBase.flatten_parameters(self)  # type: ignore[arg-type]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RecurrentParameters":
        # torch moves and converts modules with this function, which scatters the weights in memory.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, in the order of torch's ``all_weights``."""
        return [[w for w in weights if w is not None] for weights in self._weights()]

    @property
    def _flat_weights(self) -> list[Tensor]:
        """All weights in one list, as torch's tools read them from its own layers."""
        return [w for weights in self._weights() for w in weights if w is not None]

    @property
    def _all_weights(self) -> list[list[str]]:
        """Names of each layer's and direction's parameters, as torch's tools read them."""
        return [[name for name in names if name is not None] for names in self._parameter_names()[1]]

    @property
    def _flat_weights_names(self) -> list[str]:
        """Names of all parameters, in the order of ``_flat_weights``."""
        return [name for names in self._all_weights for name in names]

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults, in torch's format."""
        options = {
            "proj_size": (self.proj_size, 0),
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0),
            "bidirectional": (self.bidirectional, False),
            "weights": (self.weight_format, "float"),
        }
        texts = [f"{name}={value!r}" for name, (value, default) in options.items() if value != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *texts])

    def structure(self) -> Structure:
        """Every weight by gate, layer and direction: shape, place in the stacked matrix, equation and count."""
        return structure_of(self.sizes)

    def weight(self, name: str) -> Tensor:
        """Return a weight by name, as a view into its stacked parameter: ``"l0.W_if"``, ``"l1r.b_ho"``, ``"l0.W_hr"``.

        For int8 weights it is a copy, converted to float.

        Raises:
            NameUnknownError: there is no such weight.
            DtypeError: its memory was freed.
        """
        entry = self.structure()[name]
        parameter = self._parameter(entry.parameter)
        check_memory(parameter, entry.parameter)
        return parameter[entry.rows]

    def _traced_layers(self) -> Layers:
        return self.sizes.layers

    def _like(self) -> Tensor:
        """Return a tensor whose type and device all others must have."""
        first = "weight_ih" + LayerDirection(0, reverse=False).suffix
        return self._parameter(first) if self.weight_format == "float" else self._parameter(first + quantised.SCALE)

    def _parameter(self, name: str) -> Tensor:
        # Through getattr, so that a parametrized weight is found under the parameter's name.
        value: Tensor = getattr(self, name)
        if self.weight_format == "int8" and quantised.is_matrix(name) and not name.endswith(quantised.SCALE):
            scale = getattr(self, name + quantised.SCALE)
            if value is None or scale is None:
                raise quantised.missing(name if value is None else name + quantised.SCALE)
            return dequantise(value, scale, name)
        return value

    def _stored(self) -> dict[str, Tensor | None]:
        """The stored parameters or buffers, by name."""
        stored: dict[str, Any] = self._parameters if self.weight_format == "float" else self._buffers
        return stored

    def _stored_names(self) -> list[str]:
        """The names of the stored weights and their scales."""
        return self._flat_weights_names if self.weight_format == "float" else list(quantised.stored_names(self))

    def _named_weights(self) -> dict[str, Tensor]:
        """The current weights by name, with the scales of int8 weights, and nothing else that the module may hold."""
        return {name: getattr(self, name) for name in self._stored_names()}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        quantised.read_state(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _weights(self) -> Sequence[Weights]:
        if self.weight_format == "int8":
            weights = Int8Weights(quantised.kept_weights(self))
            return weights.floats() if torch.compiler.is_compiling() else weights
        # Does not use _make, which older versions of Dynamo cannot trace.
        return [Weights(*map(self._found, names)) for names in self._parameter_names()[1]]  # type: ignore[arg-type]

    def _found(self, name: str | None) -> Tensor | None:
        if name is None:
            return None
        value = self._parameters.get(name)
        if value is not None:
            return value
        try:
            return self._parameter(name)
        except AttributeError as error:
            raise quantised.missing(name) from error


def _checked_dropout(dropout: float, num_layers: int) -> float:
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Real) or not 0 <= dropout <= 1:
        raise ArgumentError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, got "
            f"{dropout!r}"
        )
    if dropout and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )
    return float(dropout)
