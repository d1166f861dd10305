"""Stand-ins for torch's recurrent layers in traces and edits, with the module's own weights."""

import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block
from hiddenstate.cells.cell import Weights
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import edits_in_force, scope_edits
from hiddenstate.engine.call import weights_of_flat
from hiddenstate.engine.cell_steps import CellStep
from hiddenstate.engine.inputs import Arguments, CallOptions
from hiddenstate.nn import calls
from hiddenstate.nn.cell import GRUCell, LSTMCell, RecurrentCell, RNNCell
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import RNN
from hiddenstate.nn.torch_modules import outline
from hiddenstate.tracing.recorders import would_be_requested
from hiddenstate.tracing.traceable import Traceable

# Functions that return the switches that keep functions replaced in a block; `acceleration` adds its own.
holds: list[Callable[[], Sequence[Switch]]] = []
S = TypeVar("S", bound="StandIn")
T = TypeVar("T", "StandIn", "_StandInCell")
R = TypeVar("R", bound=nn.Module)


class TorchArguments(NamedTuple):
    """The arguments of torch's function, by name, and the kind of cell that it computes."""

    cell: str
    x: Tensor
    batch_sizes: Tensor | None
    hx: Sequence[Tensor]  # the states, even if there is only one
    flat: Sequence[Tensor]
    bias: bool
    num_layers: int
    dropout: float
    training: bool
    bidirectional: bool
    batch_first: bool
    lengths: Tensor | None = None  # of the rows, which torch's functions do not have
    order: Tensor | None = None  # [N, T], of the steps of Keras' input

    @property
    def options(self) -> CallOptions:
        """The options of the call."""
        return CallOptions(self.batch_first, self.dropout if self.training else 0.0, self.training)


def name_arguments(cell: str, arguments: Sequence[Any]) -> TorchArguments:
    """Name torch's arguments: a packed sequence comes as ``data, batch_sizes`` and is never batch first."""
    if isinstance(arguments[2 if cell == "LSTM" else 3], (tuple, list)) and isinstance(arguments[1], Tensor):
        x, batch_sizes, hx, *others = [*arguments, False]
    else:
        x, hx, *others = arguments
        batch_sizes = None
    named: list[Any] = [cell, x, batch_sizes, (hx,) if isinstance(hx, Tensor) else hx, *others]
    return TorchArguments(*named)


def _switches() -> list[Switch]:
    """The switches that keep torch's and Keras' functions replaced in a block."""
    return [switch for hold in holds for switch in hold()]


class StandIn(Recurrent[Any, Any]):
    """Represents one of torch's or Keras' layers in traces, edits and explanations."""

    _is_detached = False  # whether no gradient may reach the module's weights
    _module: "weakref.ref[nn.Module]"

    def weights_of_module(self) -> list[Tensor] | None:
        """The module's list of weights, which it passes to its calls; None once the module is gone."""
        module: Any = self._module()
        return None if module is None else module._flat_weights

    def _represented(self) -> nn.Module:
        module = self._module()
        assert module is not None, "a stand-in goes with its module"
        return module

    def _flat(self) -> list[Tensor]:
        flat: list[Tensor] = self._represented()._flat_weights  # type: ignore[assignment]
        return [weight.detach() for weight in flat] if self._is_detached else flat

    def _weights(self) -> list[Weights]:
        return weights_of_flat(self._flat(), self.sizes)

    def _like(self) -> Tensor:
        return self._flat()[0]

    def _parameter(self, name: str) -> Tensor:
        return self._flat()[self._flat_weights_names.index(name)]

    def _eval_twin(self: S) -> S:
        twin = super()._eval_twin()
        twin._is_detached = True
        return twin

    def run(
        self, arguments: Arguments, args: TorchArguments, receive: calls.Receiver
    ) -> tuple[Tensor | PackedSequence, Any]:
        """Run a call with its active edits and records; ``receive`` is called with what computes it."""
        # Not kept in the stand-in: other threads may be running calls of the same module, with other options.
        return calls.run(self, arguments, args.options, receive)

    def edit(self, *edits: Edit) -> Block:
        """Return a context manager with edits, like `hiddenstate.LSTM.edit`; torch's functions stay replaced in it."""
        return scope_edits(self, edits, _switches())

    def is_asked(self) -> bool:
        """Whether an edit or a recorder of this layer is active."""
        return bool(edits_in_force(self) or would_be_requested(self))


class _StandInCell(RecurrentCell[Any, Any]):
    """Represents one of torch's cells in traces and edits."""

    _module: "weakref.ref[nn.RNNCellBase]"

    def weight_of_module(self) -> Tensor | None:
        """The module's first weight; None once the module is gone."""
        module = self._module()
        return None if module is None else module._parameters.get("weight_ih")

    def edit(self, *edits: Edit) -> Block:
        """Return a context manager with edits, like `hiddenstate.LSTMCell.edit`; torch's functions stay replaced."""
        return scope_edits(self, edits, _switches())

    def is_asked(self) -> bool:
        """Whether an edit or a recorder of this cell is active."""
        return bool(edits_in_force(self) or would_be_requested(self))

    def step(self, step: CellStep) -> tuple[Tensor, ...]:
        """Compute a step with its active edits and records."""
        return self._step(step.x, step.states, step.weights, "TN")


def classes_of(base: type[R], kinds: Sequence[type[nn.Module]]) -> list[type[R]]:
    """Return a class of stand-ins for each of our layers or cells, with the members of ``base``."""
    return [type(f"{base.__name__}{kind.__name__}", (base, kind), {}) for kind in kinds]


_LAYERS = classes_of(StandIn, (LSTM, GRU, RNN))
_CELLS = classes_of(_StandInCell, (LSTMCell, GRUCell, RNNCell))
# Keyed by module id. A plain dict, because a WeakKeyDictionary can't be read while another thread adds to it.
_layers: dict[int, StandIn] = {}
_cells: dict[int, _StandInCell] = {}


def find_stand_in(module: nn.Module) -> Traceable | None:
    """Return the stand-in of one of torch's recurrent layers or cells, or None for other modules."""
    if isinstance(module, nn.RNNBase):
        return _stand_in(module, _LAYERS, _layers)
    return _stand_in(module, _CELLS, _cells) if isinstance(module, nn.RNNCellBase) else None


def _stand_in(module: nn.Module, kinds: Sequence[type[T]], known: dict[int, T]) -> T | None:
    """Return the stand-in of a module. If there is none, it is made, and removed when its module is gone."""
    existing = known.get(id(module))
    kind = next((candidate for candidate in kinds if isinstance(module, candidate._torch.kind)), None)
    if existing is not None or kind is None:
        return existing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has already warned about dropout in a single layer
        new = outline(module, kind, kind._torch.options)
    return register(new, module, known)


def register(new: R, module: nn.Module, known: dict[int, R]) -> R:
    """Register a new stand-in until its module is gone; if another thread was first, return its stand-in."""
    forget = partial(known.pop, id(module))
    vars(new)["_module"] = weakref.ref(module, lambda _: forget(None))
    return known.setdefault(id(module), new)


def find_layer(flat: Sequence[Tensor]) -> StandIn | None:
    """Find the stand-in of the module that passed these weights; a module always passes the same list object."""
    return next((stand_in for stand_in in [*_layers.values()] if stand_in.weights_of_module() is flat), None)


def find_cell(weight_ih: Tensor) -> _StandInCell | None:
    """Find the stand-in of the cell that has this weight."""
    return next((stand_in for stand_in in [*_cells.values()] if stand_in.weight_of_module() is weight_ih), None)
