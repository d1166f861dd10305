"""Stand-ins: what traces and edits take in place of an LSTM of torch's, whose own calls run on the engine.

A stand-in holds no weights. It reads them from torch's module, which torch's function is called with.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.validation import State
from hiddenstate.edits.edit import Edit
from hiddenstate.engine.call import weights_of_flat
from hiddenstate.engine.inputs import Arguments
from hiddenstate.engine.reference import Weights
from hiddenstate.interop.torch.accelerate.given import Given
from hiddenstate.nn import calls
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.scoped_edits import edits_in_force
from hiddenstate.nn.torch_modules import TORCH_CELL, TORCH_LSTM
from hiddenstate.tracing.recorders import would_be_requested
from hiddenstate.tracing.traceable import Traceable

# What keeps torch's functions replaced for a block; `acceleration`, which replaces them, adds it.
holds: list[Callable[[], AbstractContextManager[object]]] = []


@contextmanager
def _held(block: AbstractContextManager[None]) -> Iterator[None]:
    """Keep torch's functions replaced in a block."""
    with ExitStack() as blocks:
        for hold in holds:
            blocks.enter_context(hold())
        blocks.enter_context(block)
        yield


class StandInLSTM(LSTM):
    """Stands for a `torch.nn.LSTM` in traces and edits."""

    def __init__(self, module: nn.LSTM) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch has warned of dropout in one layer already
            super().__init__(
                *(module.input_size, module.hidden_size, module.num_layers, bool(module.bias), module.batch_first),
                *(module.dropout, module.bidirectional, module.proj_size),
                device="meta",
            )
        self._module = weakref.ref(module)

    def _flat(self) -> list[Tensor]:
        module = self._module()
        assert module is not None, "a stand-in goes with its module"
        flat: list[Tensor] = module._flat_weights  # type: ignore[assignment]
        return flat

    def _weights(self) -> list[Weights]:
        return weights_of_flat(self._flat(), self.sizes)

    def _like(self) -> Tensor:
        return self._flat()[0]

    def run(self, arguments: Arguments, given: Given) -> tuple[Tensor | PackedSequence, State]:
        """Run a call with what is in force for it.

        Raises:
            HiddenStateError: an edit or a record does not fit the call.
        """
        self.batch_first, self.dropout, self.training = given.batch_first, given.dropout, given.training
        return calls.run(self, arguments)

    def edit(self, *edits: Edit) -> AbstractContextManager[None]:
        """Open a block in which edits hold, as `hiddenstate.LSTM.edit` does; torch's functions stay replaced in it."""
        return _held(super().edit(*edits))

    def is_asked(self) -> bool:
        """Whether an edit or a record of this LSTM is in force."""
        return bool(edits_in_force(self) or would_be_requested(self))


class StandInCell(LSTMCell):
    """Stands for a `torch.nn.LSTMCell` in traces and edits."""

    def __init__(self, module: nn.LSTMCell) -> None:
        super().__init__(module.input_size, module.hidden_size, bool(module.bias), device="meta")
        self._module = weakref.ref(module)

    def edit(self, *edits: Edit) -> AbstractContextManager[None]:
        """Open a block in which edits hold, as `hiddenstate.LSTMCell.edit` does; torch's functions stay replaced."""
        return _held(super().edit(*edits))

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        """Compute a step with what is in force for it."""
        return self._step(x, state, weights, "TN")


_lstms: "weakref.WeakKeyDictionary[nn.Module, StandInLSTM]" = weakref.WeakKeyDictionary()
_cells: "weakref.WeakKeyDictionary[nn.Module, StandInCell]" = weakref.WeakKeyDictionary()


def stand_in_of(module: nn.Module) -> Traceable | None:
    """Return the stand-in of an LSTM or cell of torch's, or None for other modules."""
    if isinstance(module, TORCH_LSTM):
        if module not in _lstms:
            _lstms[module] = StandInLSTM(module)
        return _lstms[module]
    if isinstance(module, TORCH_CELL):
        if module not in _cells:
            _cells[module] = StandInCell(module)
        return _cells[module]
    return None


def _flat_of(module: nn.Module) -> object:
    return module._flat_weights


def lstm_of(flat: Sequence[Tensor]) -> StandInLSTM | None:
    """Find the stand-in of the module whose call gives these weights: it gives the very list that it holds."""
    return next((one for module, one in list(_lstms.items()) if _flat_of(module) is flat), None)


def cell_of(weight_ih: Tensor) -> StandInCell | None:
    """Find the stand-in of the cell that has this weight."""
    return next((one for module, one in list(_cells.items()) if module._parameters.get("weight_ih") is weight_ih), None)
