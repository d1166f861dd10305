"""The contestants of a regime: something to run, and the part of its result on which all must agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shapes import Case

# Largest difference allowed from ours, as a share of the largest value (at least 1). bfloat16 has 8 bits of mantissa,
# and its errors add up over the steps, so that bound only distinguishes a wrong computation from a coarse one. So does
# the bound for int8, since each contestant rounds weights and inputs in its own way.
SAME = 1e-4
SAME_IN_BFLOAT16 = 5e-2
SAME_IN_INT8 = 5e-2


class Contestant(NamedTuple):
    """One competitor of a regime.

    Attributes:
        name: as the table shows it.
        run: the work that is timed.
        shown: what of a run's result is compared with ours (not timed).
        tolerance: the largest difference allowed; None if it computes something else on purpose.
        scale: the factor from one run to the whole work, if a run is only a sample of it.
        rest: seconds for which its threads keep spinning after a turn, during which no other turn begins.
        idle: seconds for which it waits before each run, as a stream waits for its next input (not timed).
    """

    name: str
    run: Callable[[], Any]
    shown: Callable[[Any], Tensor]
    tolerance: float | None = SAME
    scale: float = 1.0
    rest: float = 0.0
    idle: float = 0.0


# Makes a contestant of a regime; it is sent to the worker by name, so it must be a module's function or a `Yardstick`.
Entry = Callable[[Case], Contestant]


@dataclass(frozen=True)
class Yardstick:
    """The same contestant as a yardstick rather than a peer: with a different name, compared loosely or not at all.

    Attributes:
        entry: makes the contestant.
        name: as the table shows it.
        tolerance: the largest difference allowed, or None; see `Contestant`.
        layers: layers of the LSTM, if different from the regime's.
    """

    entry: Entry
    name: str
    tolerance: float | None = None
    layers: int | None = None

    def __call__(self, case: Case) -> Contestant:
        if self.layers:
            case = Case(case.shape._replace(L=self.layers))
        return self.entry(case)._replace(name=self.name, tolerance=self.tolerance)


class MissingPeerError(Exception):
    """A peer is not installed or not suitable; the message says which and why."""


def if_it_runs(make: Callable[[], Contestant]) -> Contestant:
    """Make a new torch layer in bfloat16, which only some processors support; a run may change its state.

    Raises:
        MissingPeerError: this processor does not support it.
    """
    tried = make()
    try:
        tried.run()
    except RuntimeError as error:
        raise MissingPeerError(f"{tried.name}: torch's layer does not run here: {error}") from error
    return make()


def itself(result: Tensor) -> Tensor:
    return result


def gap(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value; for a sample, over its rows."""
    ours, theirs = ours.detach().float(), theirs.detach().float()
    if ours.dim() == 3:
        ours = ours[:, : theirs.shape[1]]
    return float((ours - theirs).abs().max()) / max(1.0, float(ours.abs().max()))


def without_gradient(run: Callable[[], Any]) -> Callable[[], Any]:
    def guarded() -> Any:
        with torch.no_grad():
            return run()

    return guarded
