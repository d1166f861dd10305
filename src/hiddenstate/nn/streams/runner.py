"""The interface between a stream and the LSTM that it runs."""

from typing import Protocol

from torch import Tensor

from hiddenstate.engine.paths.packed import FastStep
from hiddenstate.engine.paths.path import PathReport

States = tuple[Tensor, ...]  # h [L, N, P] and, if there is a cell state, c [L, N, H]


class Runner(Protocol):
    """Runs the next steps of a stream: `hiddenstate.nn.streams.stream_runner.StreamRunner`."""

    def run(self, x: Tensor, state: States, start: int) -> tuple[Tensor, States]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``; return ``out`` and the new state."""

    def path(self, x: Tensor, state: States, start: int) -> PathReport:
        """Report the path of these steps, and the reasons against the faster ones."""

    def quick(self, state: States, now: FastStep | None, turn: dict[str, object]) -> FastStep | None:
        """Return the quick step from a state, or None if it is not possible."""

    def weights(self) -> dict[str, Tensor]:
        """The current weights by name."""

    def fingerprint(self) -> str:
        """A hash of the weights."""

    def check_again(self) -> None:
        """Check the weights again at the next step, also for writes that torch's version counters miss."""
