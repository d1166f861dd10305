"""Replaces the ``forward`` of a module's parts, during a stream's calls, with ones that carry states."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base import scoped
from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block, Scoped, in_force
from hiddenstate.base.torch_internals import interception
from hiddenstate.cells.cell import Cell, Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import cell_steps
from hiddenstate.engine.call import weights_of_flat
from hiddenstate.engine.paths.packed import FEW_STEPS
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.torch.accelerate.replacements import serve
from hiddenstate.interop.torch.accelerate.stand_ins import TorchArguments
from hiddenstate.nn.packed_weights import Packed, shared_weights
from hiddenstate.nn.torch_modules import cell_of, sizes_of
from hiddenstate.tracing.traceable import is_cell, is_layer

States = tuple[Tensor, ...]
Key = tuple[str, int]  # the path of a part, and which of the sequences that it runs in one call of the model


class _TorchWeights:
    """The weights of one of torch's layers, as `shared_weights` packs them."""

    weight_format = "float"
    _packed_int8 = None

    def __init__(self, layer: Any) -> None:
        self._layer, self._buffers = layer, layer._buffers
        self.sizes = sizes_of(layer)

    def _stored(self) -> Any:
        return self._layer._parameters

    def _stored_names(self) -> list[str]:
        return self._layer._flat_weights_names

    def _weights(self) -> Sequence[Weights]:
        return weights_of_flat(self._layer._flat_weights, self.sizes)


class Carrier:
    """A part of a model that can carry a state: all streams of the model use the same one."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.original: Callable[..., Any] = module.forward
        self.is_cell, self.is_torchs = is_cell(module), isinstance(module, nn.RNNBase | nn.RNNCellBase)
        self.switch = Switch(vars(module), "forward", self.forward)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, with the states of the stream that runs in this thread."""
        calls = in_force(_running)
        return calls[-1].call(self, args, kwargs) if calls else self.original(*args, **kwargs)

    @cached_property
    def kind(self) -> Cell | None:
        """The kind of cell of a layer or cell; None for a convolution."""
        return None if isinstance(self.module, nn.Conv1d) else CELLS[cell_of(self.module)]

    @cached_property
    def _weights(self) -> Any:
        return _TorchWeights(self.module) if self.is_torchs else self.module

    @cached_property
    def _packed(self) -> Packed:
        return shared_weights(self._weights)

    def check_again(self) -> None:
        """Also notice writes to weights that torch's version counters miss."""
        if self.kind is not None and not self.is_cell:
            self._packed.check_again()

    def run(self, kind: Cell, x: Any, states: States, others: Mapping[str, Any]) -> tuple[Any, States]:
        """Run a layer or a cell from these states, or from none; return its result, and the states after it."""
        hx = kind.as_given(list(states)) if states else None
        if states and not others and not scoped.any_open and not torch.compiler.is_compiling() and x.is_cpu:
            after = self._on_the_engine(kind, x, states)
            if after is not None:
                return after
        result = self.original(x, hx, **others)
        return result, kind.parts_of(result if self.is_cell else result[1])

    def _on_the_engine(self, kind: Cell, x: Tensor, states: States) -> tuple[Any, States] | None:
        """Run a step or a chunk on packed weights, or what is torch's without; return None if that is not possible."""
        module = self.module
        if self.is_cell:
            sizes = module.input_size, module.hidden_size
            new = cell_steps.compute(kind, x, kind.as_given(list(states)), module._parameters, sizes)
            return None if new is None else (new, kind.parts_of(new))
        if x.dim() != 3:
            return None
        steps = x.transpose(0, 1) if module.batch_first else x
        out = None
        if 0 < steps.shape[0] <= FEW_STEPS and interception(autocast=True) is None:
            out, states = self._on_packed_weights(steps, states)
        if out is not None:
            return (out.transpose(0, 1) if module.batch_first else out, kind.as_given(list(states))), states
        if not self.is_torchs:
            return None
        options = module.bias, module.num_layers, 0.0, False, module.bidirectional, module.batch_first
        served, _ = serve(TorchArguments(module.mode, x, None, states, module._flat_weights, *options))
        return None if served is None else ((served[0], kind.as_given(list(served[1:]))), served[1:])

    def _on_packed_weights(self, x: Tensor, states: States) -> tuple[Tensor | None, States]:
        stepper, sizes = self._packed.stepper(), self._weights.sizes
        if stepper is None or not x.dtype == stepper.kernel.element == stepper.kernel.real:
            return None, states
        want = (sizes.num_layers, x.shape[1], sizes.hidden_size)
        if x.shape[2] != sizes.input_size or not all(part.shape == want and part.dtype is x.dtype for part in states):
            return None, states
        after = tuple(part.clone(memory_format=torch.contiguous_format) for part in states)
        return stepper.run(x, after), after


def has_own_forward(module: nn.Module) -> bool:
    """Whether a recurrent layer or cell has a ``forward`` other than the library's."""
    own = next(kind for kind in type(module).__mro__ if "forward" in vars(kind))
    return not own.__module__.startswith(("torch.nn.modules.", "hiddenstate."))


_carriers: WeakValueDictionary[int, Carrier] = WeakValueDictionary()  # by the module's id, which they keep alive
_running: Scoped[Any] = ContextVar("hiddenstate_streamed_calls", default=())


def carriers_of(model: nn.Module) -> dict[Carrier, str]:
    """Return the parts of a model that can carry a state, with their paths."""
    carriers = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ArgumentError(
                f"`{path}` is a TorchScript module, whose parts can't carry states: stream the original"
            )
        is_recurrent = is_layer(module) or is_cell(module)
        if is_recurrent and has_own_forward(module):
            raise ArgumentError(
                f"`{path}`, a {type(module).__name__}, is a recurrent layer with a forward of its own, which can't be "
                "given its state: hold the layer in a module instead"
            )
        if is_recurrent or isinstance(module, nn.Conv1d):
            carrier = _carriers.get(id(module)) or _carriers.setdefault(id(module), Carrier(module))
            carriers[carrier] = path
    return carriers


class CarriedState(NamedTuple):
    """The shape of a state."""

    shape: tuple[int, ...]  # for one row
    axis: int | None  # of the rows, of which each has the entries that ``shape`` says
    dtype: torch.dtype

    @property
    def of_one_row(self) -> list[int]:
        """The shape for one row, without an axis of rows if it would have one entry."""
        return [size for k, size in enumerate(self.shape) if k != self.axis or size != 1]

    def sizes(self, n: int) -> tuple[int, ...]:
        """The shape for n rows."""
        return tuple(size * n if k == self.axis else size for k, size in enumerate(self.shape))

    def stored_sizes(self, n: int) -> tuple[int, ...]:
        """The shape as a stream keeps it, with n rows as the second axis."""
        axis = self.axis or 0
        return (self.shape[0] if axis else 1, n, *self.shape[axis + self.is_kept :])

    @property
    def is_kept(self) -> bool:
        """Whether a stream keeps the state in the module's shape, as it does for a layer."""
        return self.axis == 1 and self.shape[1] == 1

    def mask(self, begun: Tensor) -> Tensor:
        """Return a mask of rows as one that broadcasts with the state."""
        if self.axis is None:
            return begun
        return begun.repeat_interleave(self.shape[self.axis]).view(
            [-1 if k == self.axis else 1 for k in range(len(self.shape))]
        )


@dataclass
class CarriedCall:
    """One call of a model in which layers, cells and convolutions begin with their states, and these are collected."""

    paths: Mapping[Carrier, str]  # of those that carry
    forms: Mapping[Key, tuple[CarriedState, ...]]
    before: Mapping[Key, States]  # none in the first call
    steps: int  # of the chunk
    begun: Tensor | None = None  # which rows have a state; None for all
    after: dict[Key, States] = field(default_factory=dict)
    _last: dict[Carrier, list[States]] = field(default_factory=dict)  # the last states of each sequence

    def within(self) -> Block:
        """Return a context manager in which calls of the parts in this thread belong to this call."""
        return Block(_running, (self,), tuple(carrier.switch for carrier in self.paths))

    def call(self, carrier: Carrier, args: Any, kwargs: Any) -> Any:
        """Run a part from its carried state."""
        path = self.paths.get(carrier)
        if path is None:
            return carrier.original(*args, **kwargs)
        x, hx, others = arguments_of(*args, **kwargs)
        if carrier.kind is None:
            return self._convolve(carrier, x)
        if isinstance(x, PackedSequence) or "lengths" in others:
            raise ArgumentError(f"`{path}` is given lengths of rows, which a stream does not have: leave them out")
        key, initial = self.begin(carrier, () if hx is None else carrier.kind.parts_of(hx))
        result, after = carrier.run(carrier.kind, x, initial, others)
        self.end(carrier, key, after)
        return result

    def begin(self, carrier: Carrier, initial: States) -> tuple[Key, States]:
        """Return which sequence a call of a layer or cell continues or begins, and the states from which it runs."""
        path, sequences = self.paths[carrier], self._last.setdefault(carrier, [])
        for index, last in enumerate(sequences):
            if initial and len(initial) == len(last) and all(map(_is_same, initial, last)):
                return (path, index), initial
        sequences.append(())
        key = path, len(sequences) - 1
        return key, self._carried(key, initial)

    def end(self, carrier: Carrier, key: Key, after: States) -> None:
        """Keep the states after a call of a layer or cell."""
        self._last[carrier][key[1]] = self.after[key] = after

    def _carried(self, key: Key, initial: States) -> States:
        """Return the carried states, with the module's own for rows that begin; without any, these rows hold zeros."""
        carried = self.before.get(key)
        if carried is None or self.begun is None or not initial:
            return initial if carried is None else carried
        parts = zip(self.forms[key], carried, initial, strict=True)
        return tuple(torch.where(form.mask(self.begun), old, new.to(old.dtype)) for form, old, new in parts)

    def _convolve(self, carrier: Carrier, x: Tensor) -> Any:
        """Run a causal convolution on its last inputs, which replace or precede its padding."""
        conv = carrier.module
        padded = x.shape[-1] - self.steps
        reach = padded or conv.dilation[0] * (conv.kernel_size[0] - 1)
        if reach <= 0 or padded < 0:
            return carrier.original(x)
        key, before = self.begin(carrier, (x[..., :padded],) if padded else ())
        zeros = before or (x.new_zeros(*x.shape[:-1], reach),)
        whole = torch.cat([*zeros, x[..., padded:]], dim=-1)
        self.after[key] = (whole[..., -reach:],)
        out = carrier.original(whole)
        return out if padded else out[..., reach:]


def arguments_of(*args: Any, **kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return the input of a layer or cell, its initial state or None, and its other arguments."""
    others = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    x, hx = others.pop("input"), others.pop("hx", None)
    return x, hx, {name: value for name, value in others.items() if value is not None}


def _is_same(initial: Tensor, last: Tensor) -> bool:
    if initial is last or initial.shape != last.shape or torch.compiler.is_compiling():
        return initial is last
    return torch.equal(initial, last)
