"""What a stream asks of the LSTM that it runs."""

from typing import Protocol

from torch import Tensor

from hiddenstate.base.validation import State
from hiddenstate.engine.packed import FastStep


class Runner(Protocol):
    """Runs the next steps of a stream: `hiddenstate.nn.stream_runner.StreamRunner`."""

    def run(self, x: Tensor, state: State, start: int) -> tuple[Tensor, State]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``; give ``out`` and the state after."""

    def quick(self, state: State, now: FastStep | None, turn: dict[str, object]) -> FastStep | None:
        """Return the quickest way to single steps from a state, or None."""

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as they are now."""

    def forget(self) -> None:
        """Look at the weights anew at the next step."""
