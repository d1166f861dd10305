"""The functions beneath Keras 3's recurrent layers on torch, computed by the engine if it supports a call.

Keras is never imported here: its modules are looked up among the loaded ones. ``backend.lstm`` and ``backend.gru``
compute calls without a mask, and decline others; ``backend.rnn`` then runs the layer's step in a loop, as it does for
every `SimpleRNN`, and the step's closure names the layer.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.base import scoped
from hiddenstate.base.native_module import Switch
from hiddenstate.base.torch_internals import interception
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine.dispatch import ComputedBy
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.layouts import KERAS, layout_for
from hiddenstate.interop.torch.accelerate.replacements import Counts, serve
from hiddenstate.interop.torch.accelerate.stand_ins import StandIn, TorchArguments, classes_of, register
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import RNN

_TORCHS_RNN = "keras.src.backend.torch.rnn"
_STEP = "keras.src.layers.rnn.rnn", "RNN.inner_loop.<locals>.step"
# Keras' cells by module and name: a subclass may have its own step.
_CELLS = {
    ("keras.src.layers.rnn.lstm", "LSTMCell"): "LSTM",
    ("keras.src.layers.rnn.gru", "GRUCell"): "GRU",
    ("keras.src.layers.rnn.simple_rnn", "SimpleRNNCell"): "SimpleRNN",
}
_KINDS = {("SimpleRNN", "tanh"): "RNN_TANH", ("SimpleRNN", "relu"): "RNN_RELU"}
_KINDS |= {(name, "tanh"): name for name in ("LSTM", "GRU")}


def torch_backend() -> ModuleType | None:
    """Keras' module ``backend``, if it is loaded and is torch's."""
    backend = sys.modules.get("keras.src.backend")
    return backend if getattr(getattr(backend, "rnn", None), "__module__", None) == _TORCHS_RNN else None


def switches(backend: ModuleType, counts: Counts) -> tuple[Switch, ...]:
    """Return the switches that put our functions in place of Keras'."""
    names = vars(backend)
    return tuple(Switch(names, name, _function(names[name], read, counts)) for name, read in _READERS.items())


class KerasCall(NamedTuple):
    """A call of one of Keras' recurrent layers that the engine can compute."""

    name: str  # of Keras' layer
    kind: str  # of cell
    x: Tensor  # [N, T, C], in the order in which the steps are read
    mask: Tensor | None  # bool [N, T], in that order
    states: Sequence[Tensor]  # [N, H]
    arrays: Sequence[Any]  # kernel, recurrent kernel, and bias or None: Keras' variables
    returns_all: bool
    zeroes_masked: bool  # whether the output of a masked step is zero, not the previous step's
    layer: Any = None  # if it is known
    is_backwards: bool = False


def _function(keras_function: Callable[..., Any], read: Callable[..., "KerasCall | str | None"], counts: Counts) -> Any:
    @wraps(keras_function)
    def function(*arguments: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():  # counting would be compiled, too
            return keras_function(*arguments, **named)
        call = read(*arguments, **named)
        if call is None:
            return keras_function(*arguments, **named)
        if isinstance(call, str):
            counts.add(ComputedBy("torch", call))
            return keras_function(*arguments, **named)
        results, by = _compute(call)
        counts.add(by)
        return keras_function(*arguments, **named) if results is None else results

    return function


def _read_lstm(
    inputs: Any, h: Any, c: Any, mask: Any, kernel: Any, recurrent_kernel: Any, bias: Any, *rest: Any, **options: Any
) -> KerasCall | str | None:
    return _read_whole("LSTM", inputs, (h, c), mask, (kernel, recurrent_kernel, bias), rest, options)


def _read_gru(
    inputs: Any, h: Any, mask: Any, kernel: Any, recurrent_kernel: Any, bias: Any, *rest: Any, **options: Any
) -> KerasCall | str | None:
    if not options.get("reset_after", True):
        return None
    return _read_whole("GRU", inputs, (h,), mask, (kernel, recurrent_kernel, bias), rest, options)


def _read_whole(
    name: str, x: Any, states: Any, mask: Any, arrays: Any, rest: Any, options: Mapping[str, Any]
) -> KerasCall | str | None:
    """Read a call of ``backend.lstm`` or ``gru``; None if Keras' declines it, or calls torch's, which counts."""
    if mask is not None or getattr(x, "is_meta", False):
        return None
    activations = options.get("activation"), options.get("recurrent_activation")
    if getattr(x, "is_cuda", False) and sys.modules[_TORCHS_RNN].cudnn_ok(
        *activations, options.get("unroll", False), use_bias=arrays[2] is not None
    ):
        return None
    if rest or not options.get("batch_first", True):
        return f"Keras {name}: the function beneath the layer was called with arguments other than the layer's"
    kind = _kind(name, *activations)
    known = [*_known.values()] if scoped.any_open else []
    layer = next((stand_in._module() for stand_in in known if stand_in.has(arrays[0])), None)
    if kind not in CELLS:
        return _left(name, kind, layer)
    if isinstance(x, Tensor):
        x = x.to(_tensor(arrays[0]).dtype)
    call = KerasCall(name, kind, x, None, states, arrays, options.get("return_sequences", False), False, layer)
    return _checked(call, options.get("go_backwards", False))


def _read_rnn(step: Any, x: Any, states: Any, *rest: Any, **options: Any) -> KerasCall | str | None:
    """Read a call of ``backend.rnn``, which runs the step of a layer; None for a symbolic one."""
    if getattr(x, "is_meta", False):
        return None
    if (getattr(step, "__module__", ""), getattr(step, "__qualname__", "")) != _STEP or rest:
        return "Keras: a step function that is not that of a layer"
    closure = dict(zip(step.__code__.co_freevars, step.__closure__, strict=True))
    layer, training = closure["self"].cell_contents, closure["cell_kwargs"].cell_contents.get("training")
    cell, mask = layer.cell, options.get("mask")
    name, kind = cell_kind(cell)
    if kind not in CELLS:
        return _left(name, kind, layer)
    if training and cell.recurrent_dropout > 0:
        return _left(name, "recurrent_dropout is drawn in training", layer)
    if mask is not None and options.get("unroll"):
        return _left(name, "unroll=True with a mask", layer)
    if mask is not None and not (isinstance(mask, Tensor) and mask.dim() == 2):
        return _left(name, "the mask is not of shape [batch, steps]", layer)
    if training and cell.dropout > 0 and isinstance(x, Tensor) and x.dim() == 3 and x.shape[1]:
        drawn = cell.get_dropout_mask(x[:, 0])  # drawn once, and kept for Keras' own loop
        if isinstance(drawn, list):
            return _left(name, "implementation=1 draws dropout for each gate", layer)
        x = x * drawn[:, None] if cell.dropout < 1 or name == "SimpleRNN" else x
    arrays = cell.kernel, cell.recurrent_kernel, cell.bias
    returns_all, zeroes_masked = options.get("return_all_outputs", True), options.get("zero_output_for_mask", False)
    call = KerasCall(name, kind, x, mask, states, arrays, returns_all, zeroes_masked, layer)
    return _checked(call, options.get("go_backwards", False))


_READERS: Mapping[str, Callable[..., KerasCall | str | None]] = {
    "lstm": _read_lstm,
    "gru": _read_gru,
    "rnn": _read_rnn,
}


def cell_kind(cell: Any) -> tuple[str, str]:
    """Return the name of one of Keras' cells, and our kind of cell or, if the engine has none, the reason."""
    name = _CELLS.get((type(cell).__module__, type(cell).__qualname__))
    if name is None:
        return "RNN", f"its cell is a {type(cell).__name__}"
    if name == "GRU" and not cell.reset_after:
        return name, "reset_after=False multiplies by the reset gate before the matrix product"
    recurrent = () if name == "SimpleRNN" else (cell.recurrent_activation,)
    return name, _kind(name, cell.activation, *recurrent)


def _kind(name: str, activation: Any, *recurrent: Any) -> str:
    """Return the kind of cell with these activations, or why there is none."""
    for known in ("tanh", "relu"):
        if (name, known) in _KINDS and _is(activation, known):
            other = next((gate for gate in recurrent if not _is(gate, "sigmoid")), None)
            return _KINDS[name, known] if other is None else f"recurrent_activation is {_named(other)}, not sigmoid"
    return f"activation is {_named(activation)}, not tanh{' or relu' if name == 'SimpleRNN' else ''}"


def _is(activation: Any, name: str) -> bool:
    modules = sys.modules.get("keras.src.activations"), sys.modules.get("keras.src.ops"), torch
    return activation is not None and any(activation is getattr(module, name, None) for module in modules)


def _named(activation: Any) -> str:
    return str(getattr(activation, "__name__", type(activation).__name__))


def _left(name: str, why: str, layer: Any) -> str:
    """Return the reason for the report; an edit or a trace of the layer must not be silently left out."""
    stand_in = _known.get(id(layer)) if scoped.any_open else None
    if stand_in is not None and stand_in.is_asked():
        raise ArgumentError(f"this call of the Keras layer {layer.name!r} can't be edited or traced: {why}")
    return f"Keras {name}: {why}"


def _checked(call: KerasCall, backwards: bool) -> KerasCall | str:
    """Return the call with its steps in the order in which they are read, or why the engine can't read it."""
    why = interception() or _unlike(call)
    if why is not None:
        return _left(call.name, why, call.layer)
    mask = None if call.mask is None else call.mask.bool()
    if backwards:
        return call._replace(x=call.x.flip(1), mask=None if mask is None else mask.flip(1), is_backwards=True)
    return call._replace(mask=mask)


def _unlike(call: KerasCall) -> str | None:
    x, kernel = call.x, _tensor(call.arrays[0])
    if not isinstance(x, Tensor) or not all(isinstance(state, Tensor) for state in call.states):
        return "the input or a state is not a tensor"
    if x.dim() != 3 or not x.shape[1] or any(state.dim() != 2 for state in call.states):
        return f"the input has shape {list(x.shape)}, or a state is not of shape [batch, units]"
    if x.dtype != kernel.dtype:
        return f"the input is {x.dtype}, the weights are {kernel.dtype}"
    return None if call.mask is None or call.mask.shape == x.shape[:2] else "the mask does not fit the input"


def _compute(call: KerasCall) -> tuple[Any, ComputedBy]:
    """Return the last output, all outputs and the states, or None if Keras must compute them; and what does."""
    x, mask = call.x, call.mask
    if mask is not None and mask.all():
        mask = None
    lengths = None if mask is None else mask.sum(1)
    if mask is not None and (mask[:, 1:] > mask[:, :-1]).any():  # not only at the end: masked steps are moved there
        x = x.take_along_dim(_unmasked_first(mask)[..., None], dim=1)
    dtype = x.dtype
    flat = flat_weights(call.kind, call.arrays)
    # Copies, because a stateful layer overwrites its states, which the backward pass reads.
    states = [state.to(dtype, copy=True)[None] for state in call.states]
    training = torch.is_grad_enabled()
    arguments = TorchArguments(call.kind, x, None, states, flat, len(flat) > 2, 1, 0.0, training, False, True, lengths)
    stand_in = _known.get(id(call.layer)) if scoped.any_open else None
    if stand_in is not None:
        order = torch.arange(x.shape[1]).expand(len(x), -1) if mask is None else _unmasked_first(mask)
        arguments = arguments._replace(order=x.shape[1] - 1 - order if call.is_backwards else order)
    results, by = serve(arguments, stand_in)
    if results is None:
        return None, ComputedBy("torch", _left(call.name, by.detail, call.layer))
    out, *after = results
    after = [state[0] for state in after]
    if mask is None:
        last, every = out[:, -1], out
    else:
        last, every = _last_and_all(call, out, after[0], mask)
    return (last, every if call.returns_all else last[:, None], after), by


def _unmasked_first(mask: Tensor) -> Tensor:
    return mask.byte().argsort(dim=1, descending=True, stable=True)


def _last_and_all(call: KerasCall, out: Tensor, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs with those of masked steps: the previous step's or zero; zero before the first step."""
    read = mask.cumsum(1)
    is_kept = (mask if call.zeroes_masked else read > 0)[..., None]
    last = h.masked_fill(~is_kept[:, -1], 0)
    if not call.returns_all:
        return last, last
    return last, out.take_along_dim((read - 1).clamp(min=0)[..., None], dim=1).masked_fill(~is_kept, 0)


def _tensor(variable: Any) -> Tensor:
    """Return a variable of Keras' as its tensor, in the type in which the layer computes."""
    tensor: Tensor = sys.modules[_TORCHS_RNN].convert_to_tensor(variable)
    return tensor


def flat_weights(kind: str, arrays: Sequence[Any]) -> list[Tensor]:
    """Return a layer's weights in torch's form; gradients flow to Keras' variables."""
    name = "RNN" if kind not in ("LSTM", "GRU") else kind
    order = [layout_for(KERAS, name).gates.index(gate) for gate in CELLS[kind].gate_names]
    kernel, recurrent_kernel, bias = arrays
    matrices = [_ordered(_tensor(matrix).T, order) for matrix in (kernel, recurrent_kernel)]
    if bias is None:
        return matrices
    bias = _tensor(bias)
    biases = bias if bias.dim() == 2 else (bias, torch.zeros_like(bias))
    return [*matrices, *(_ordered(row, order) for row in biases)]


def _ordered(stacked: Tensor, order: Sequence[int]) -> Tensor:
    if list(order) == sorted(order):
        return stacked.contiguous()
    parts = stacked.chunk(len(order))
    return torch.cat([parts[k] for k in order])


class _KerasStandIn(StandIn):
    """Represents one of Keras' layers in traces and edits."""

    def has(self, kernel: Any) -> bool:
        """Whether the layer has this variable."""
        layer: Any = self._module()
        return layer is not None and layer.cell.kernel is kernel

    def weights_of_module(self) -> list[Tensor] | None:
        """Return None: calls of torch's functions are never this layer's."""
        return None

    def _arrays(self) -> tuple[Any, Any, Any]:
        cell: Any = self._represented().cell
        return cell.kernel, cell.recurrent_kernel, cell.bias

    def _flat(self) -> list[Tensor]:
        flat = flat_weights(self.mode, self._arrays())
        return [weight.detach() for weight in flat] if self._is_detached else flat

    def _like(self) -> Tensor:
        return _tensor(self._arrays()[0])


_STAND_INS = dict(zip(_CELLS.values(), classes_of(_KerasStandIn, (LSTM, GRU, RNN)), strict=True))
_known: dict[int, _KerasStandIn] = {}  # by the layer's id, as in `stand_ins`


def find_stand_in(layer: nn.Module) -> _KerasStandIn | None:
    """Return the stand-in of one of Keras' layers, which is made if there is none; None for other modules."""
    existing = _known.get(id(layer))
    base = getattr(sys.modules.get("keras.src.layers.rnn.rnn"), "RNN", None)
    if existing is not None or base is None or not isinstance(layer, base):
        return existing
    cell: Any = layer.cell
    name, kind = cell_kind(cell)
    if kind not in CELLS or not cell.built:
        return None
    options: dict[str, Any] = {"bias": cell.use_bias, "batch_first": True, "device": torch.device("meta")}
    if name == "SimpleRNN":
        options["nonlinearity"] = kind.removeprefix("RNN_").lower()
    new: _KerasStandIn = _STAND_INS[name](cell.kernel.shape[0], cell.units, **options)
    return register(new, layer, _known)
