"""Stand-ins for torch's LSTMs in traces and edits, while their own calls run on the engine.

A stand-in has no weights of its own: it uses those of torch's module.
"""

import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block
from hiddenstate.base.validation import State
from hiddenstate.cells.cell import Weights
from hiddenstate.edits.edit import Edit
from hiddenstate.engine.call import weights_of_flat
from hiddenstate.engine.inputs import Arguments
from hiddenstate.interop.torch.accelerate.arguments import LSTMArguments
from hiddenstate.nn import calls
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.scoped_edits import edits_in_force, scope_edits
from hiddenstate.nn.torch_modules import TORCH_CELL, TORCH_LSTM
from hiddenstate.tracing.recorders import would_be_requested
from hiddenstate.tracing.traceable import Traceable

# The switches that keep torch's functions replaced in a block; `acceleration`, which replaces them, adds its own.
holds: list[Callable[[], Sequence[Switch]]] = []
M = TypeVar("M", nn.LSTM, nn.LSTMCell)


def _switches() -> list[Switch]:
    """The switches that keep torch's functions replaced in a block."""
    return [switch for hold in holds for switch in hold()]


class StandInLSTM(LSTM):
    """Represents a `torch.nn.LSTM` in traces, edits and explanations."""

    _is_detached = False  # whether no gradient may reach the module's weights

    def __init__(self, module: nn.LSTM) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch has already warned about dropout in a single layer
            super().__init__(
                *(module.input_size, module.hidden_size, module.num_layers, bool(module.bias), module.batch_first),
                *(module.dropout, module.bidirectional, module.proj_size),
                device="meta",
            )
        self._module = _reference(module, _lstms)

    def weights_of_module(self) -> list[Tensor] | None:
        """The module's list of weights, which it passes to its calls; None once the module is gone."""
        module: Any = self._module()
        return None if module is None else module._flat_weights

    def _torchs(self) -> nn.Module:
        module = self._module()
        assert module is not None, "a stand-in goes with its module"
        return module

    def _flat(self) -> list[Tensor]:
        flat: list[Tensor] = self._torchs()._flat_weights  # type: ignore[assignment]
        return [weight.detach() for weight in flat] if self._is_detached else flat

    def _weights(self) -> list[Weights]:
        return weights_of_flat(self._flat(), self.sizes)

    def _like(self) -> Tensor:
        return self._flat()[0]

    def _parameter(self, name: str) -> Tensor:
        return self._flat()[self._flat_weights_names.index(name)]

    def _eval_twin(self) -> LSTM:
        twin = super()._eval_twin()
        twin._is_detached = True
        return twin

    def run(self, arguments: Arguments, args: LSTMArguments) -> tuple[Tensor | PackedSequence, State]:
        """Run a call with its active edits and records.

        Raises:
            HiddenStateError: an edit or a record does not fit the call.
        """
        # Not kept in the stand-in: other threads may be running calls of the same module, with other options.
        return calls.run(self, arguments, calls.Options(args.batch_first, args.dropout, args.training))

    def edit(self, *edits: Edit) -> Block:
        """Return a block with edits, as `hiddenstate.LSTM.edit` does; torch's functions stay replaced in it."""
        return scope_edits(self, edits, _switches())

    def is_asked(self) -> bool:
        """Whether an edit or a record of this LSTM is in force."""
        return bool(edits_in_force(self) or would_be_requested(self))


class StandInCell(LSTMCell):
    """Stands for a `torch.nn.LSTMCell` in traces and edits."""

    def __init__(self, module: nn.LSTMCell) -> None:
        super().__init__(module.input_size, module.hidden_size, bool(module.bias), device="meta")
        self._module = _reference(module, _cells)

    def weight_of_module(self) -> Tensor | None:
        """The module's first weight; None once the module is gone."""
        module = self._module()
        return None if module is None else module._parameters.get("weight_ih")

    def edit(self, *edits: Edit) -> Block:
        """Return a block with edits, as `hiddenstate.LSTMCell.edit` does; torch's functions stay replaced in it."""
        return scope_edits(self, edits, _switches())

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        """Compute a step with its active edits and records."""
        return self._step(x, state, weights, "TN")


# By module id. A plain dict, because a weak-key one can't be read while another thread adds to it.
_lstms: dict[int, StandInLSTM] = {}
_cells: dict[int, StandInCell] = {}


def _reference(module: M, of: dict[int, Any]) -> "weakref.ref[M]":
    """Return a weak reference to a module that removes its stand-in when the module is gone."""
    forget = partial(of.pop, id(module))
    return weakref.ref(module, lambda _: forget(None))


def find_stand_in(module: nn.Module) -> Traceable | None:
    """Return the stand-in of an LSTM or cell of torch's, or None for other modules."""
    if isinstance(module, TORCH_LSTM):
        return _lstms.get(id(module)) or _lstms.setdefault(id(module), StandInLSTM(module))
    if isinstance(module, TORCH_CELL):
        return _cells.get(id(module)) or _cells.setdefault(id(module), StandInCell(module))
    return None


def find_lstm(flat: Sequence[Tensor]) -> StandInLSTM | None:
    """Find the stand-in of the module that passed these weights: a module passes its own list object."""
    return next((one for one in [*_lstms.values()] if one.weights_of_module() is flat), None)


def find_cell(weight_ih: Tensor) -> StandInCell | None:
    """Find the stand-in of the cell that has this weight."""
    return next((one for one in [*_cells.values()] if one.weight_of_module() is weight_ih), None)
