"""`Target`: one number of a run, such as a logit; `Readout`: a target that is linear in c or h at one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.structure.names import Place


@dataclass(frozen=True, eq=False)
class Readout:
    """A target that is linear in states of one step: ``value = bias + Σ vector · place[t]``.

    Attributes:
        t: the step.
        vectors: the vector ``[units]`` for each place (a c or an h), float64 on the CPU.
        bias: the constant term.
    """

    t: int
    vectors: dict[Place, Tensor]
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Target:
    """One number per row of a run. Created by `resolve_target` from the user's argument.

    Attributes:
        name: a description for readers.
        value: takes `Outputs` and returns one number per row, ``[R]``; differentiable.
        t: the only input step that it depends on, or None if it may depend on all.
        keep: the places that a run must record for it, at step t.
        readout: the target as a linear readout of c or h, or None if it is not linear.
    """

    name: str
    value: Callable[[Outputs], Tensor]
    t: int | None = None
    keep: tuple[str, ...] = ()
    readout: Readout | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps at which a run must record ``keep``."""
        return () if self.t is None else (self.t,)

    def of(self, outputs: Outputs) -> Tensor:
        """Return the target's value ``[R]`` in a run.

        Raises:
            ArgumentError: the user's function did not return one number per row.
        """
        R = outputs.out.shape[1]
        value = self.value(outputs)
        if not isinstance(value, Tensor) or value.shape != (R,):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ArgumentError(
                f"a target must return one number per row, here a tensor [{R}], and {self.name} returned {got}; "
                "a run's tensors are [T, rows, ...], as in `lambda run: run.out[-1].sum(-1)`"
            )
        return value

    def linear(self, method: str) -> Readout:
        """Return the target as a linear readout.

        Raises:
            ArgumentError: it is not linear.
        """
        if self.readout is None:
            raise ArgumentError(
                f"{method} needs a target that is linear in c or h, such as a logit or a place 'l0.c[3]@7'; "
                f"{self.name} is not: use another method, such as occlusion or shapley"
            )
        return self.readout


def readout_target(name: str, subject: Subject, readout: Readout) -> Target:
    """Make a target from a readout."""
    last = subject.sizes.num_layers - 1
    keep = tuple(str(place) for place in readout.vectors if place.quantity != "h" or place.layer != last)
    like = subject.x
    vectors = {place: vector.to(like) for place, vector in readout.vectors.items()}

    def value(outputs: Outputs) -> Tensor:
        parts = [outputs.at(place, readout.t) @ vector for place, vector in vectors.items()]
        return torch.stack(parts).sum(0) + readout.bias

    return Target(name, value, readout.t, keep, readout)


def split_output(vector: Tensor, subject: Subject) -> dict[Place, Tensor]:
    """Split a vector ``[D*P]`` over the LSTM's output by the directions of the last layer."""
    sizes = subject.sizes
    parts: Sequence[Tensor] = vector.detach().cpu().double().split(sizes.output_size)
    ways = (False, True) if sizes.bidirectional else (False,)
    return {Place(sizes.num_layers - 1, way, "h"): part for way, part in zip(ways, parts, strict=True)}
