"""What a stream asks of the LSTM that it runs, and steps of some of its rows by that."""

from collections import OrderedDict
from typing import Protocol

import torch
from torch import Tensor

from hiddenstate.base.validation import State
from hiddenstate.engine.packed import QuickStep

MOST_SIZES = 16  # numbers of rows for which the place to step in is kept


class Runner(Protocol):
    """Runs the next steps of a stream: `hiddenstate.nn.stream_runner.StreamRunner`."""

    def run(self, x: Tensor, state: State, start: int) -> tuple[Tensor, State]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``; give ``out`` and the state after."""

    def quick(self, state: State, now: QuickStep | None) -> QuickStep | None:
        """Return the quickest way to single steps from a state, or None."""

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as they are now."""

    def forget(self) -> None:
        """Look at the weights anew at the next step."""


class RowSteps:
    """Runs steps of some rows: their states are gathered into a place of their own, stepped there, and put back.

    The place, and the native step that writes it, is kept for each number of rows, the `MOST_SIZES` last ones.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[int, tuple[State, QuickStep | None]] = OrderedDict()

    def run(self, x: Tensor, index: Tensor, state: State, runner: Runner, t: int) -> tuple[Tensor, State] | None:
        """Read ``x [T, n, C]`` for the rows ``[n]``, write their states in place; give ``out`` and the whole state.

        None, without side effects, where packed weights do not serve.
        """
        if not len(index):
            return x.new_empty(len(x), 0, state[0].shape[2]), state
        place, quick = self._place(index, state)
        quick = runner.quick(place, quick)
        if quick is None:
            return None
        n = len(index)
        self._places[n] = place, quick
        self._places.move_to_end(n)
        if len(self._places) > MOST_SIZES:
            self._places.popitem(last=False)
        for whole, part in zip(state, place, strict=True):
            torch.index_select(whole, 1, index, out=part)
        out = quick.step(x[0], None) if len(x) == 1 else None
        after = place
        if out is None:
            out, after = runner.run(x, place, t)
        for whole, part in zip(state, after, strict=True):
            whole.index_copy_(1, index, part.to(whole.dtype))
        return out.view(len(x), n, -1), state

    def _place(self, index: Tensor, state: State) -> tuple[State, QuickStep | None]:
        n = len(index)
        if n in self._places:
            return self._places[n]
        h, c = state
        with torch.inference_mode(False):  # what is made in it can't be written outside
            return (h.new_empty(len(h), n, h.shape[2]), c.new_empty(len(c), n, c.shape[2])), None
