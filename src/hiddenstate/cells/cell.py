"""`Cell`: describes a kind of recurrent cell, as data and three functions of one step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

ValueHook = Callable[[str, Tensor], Tensor]
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
TINY = 1e-8  # below this, tanh(c)/c rounds to 1 in float64


class Weights(NamedTuple):
    """The parameters of one layer and direction. G gates are stacked in the cell's order."""

    ih: Tensor  # [G*H, C]
    hh: Tensor  # [G*H, P]
    b_ih: Tensor | None  # [G*H]
    b_hh: Tensor | None  # [G*H]
    hr: Tensor | None  # [P, H], only with a projection


@dataclass(frozen=True)
class Gate:
    """A gate: its letter, its name, and the function applied to its pre-activation."""

    name: str
    meaning: str
    activation: Literal["sigmoid", "tanh"]

    def __call__(self, pre: Tensor) -> Tensor:
        """Apply the activation."""
        return torch.sigmoid(pre) if self.activation == "sigmoid" else torch.tanh(pre)

    @property
    def symbol(self) -> str:
        """The activation in equations: tanh or σ."""
        return "tanh" if self.activation == "tanh" else SIGMA

    def slope(self, value: Tensor) -> Tensor:
        """Return the activation's derivative, given the gate's value."""
        return value * (1 - value) if self.activation == "sigmoid" else 1 - value * value


@dataclass(frozen=True)
class State:
    """A state: its letter, its name, and its equation as a sum of products.

    A factor is a gate, a state of this step, a state of the step before (``c_prev``), or ``tanh`` of a state.
    """

    name: str
    meaning: str
    terms: tuple[tuple[str, ...], ...]

    def equation(self, times: str) -> str:
        """Write the right-hand side, with the given sign between factors."""
        return " + ".join(times.join(term) for term in self.terms)


class MemorySplit(NamedTuple):
    """How one step treats its memory: ``memory = keep · memory_prev + write · candidate``; each ``[..., H]``.

    The output is ``show · memory``.
    """

    keep: Tensor
    write: Tensor
    show: Tensor


@dataclass(frozen=True)
class Cell:
    """A kind of cell.

    Attributes:
        name: the cell's name, such as ``"LSTM"``.
        gates: in the order in which torch stacks them in ``weight_ih`` and ``weight_hh``.
        states: in the order in which a step computes them. The last one is the output, before any projection.
        memory: the state that carries information from step to step.
        candidate: the gate whose value may be written to memory.
        step: ``step(xg, h, c, weights, see)`` computes one step, from the input's part of the pre-activations ``[N,
            G*H]`` and the previous states to the new ones, in torch's order. It calls ``see(name, value)`` on every
            quantity and uses what it returns.
        slopes: ``slopes(values)`` returns, for each state, its partial derivative by every gate and state in its
            equation. The values are those of a step, with the previous states as ``c_prev``.
        split: ``split(values)`` returns what the step keeps, writes and outputs.
    """

    name: str
    gates: tuple[Gate, ...]
    states: tuple[State, ...]
    memory: str
    candidate: str
    step: Callable[[Tensor, Tensor, Tensor, Weights, ValueHook], tuple[Tensor, Tensor]]
    slopes: Callable[[Mapping[str, Tensor]], dict[str, dict[str, Tensor]]]
    split: Callable[[Mapping[str, Tensor]], MemorySplit]

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates' letters, in order."""
        return tuple(gate.name for gate in self.gates)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The states' letters, in order."""
        return tuple(state.name for state in self.states)

    @property
    def gate_by_name(self) -> dict[str, Gate]:
        """The gates by letter."""
        return {gate.name: gate for gate in self.gates}

    @property
    def meanings(self) -> dict[str, str]:
        """The meaning of each letter."""
        return {gate.name: gate.meaning for gate in self.gates} | {state.name: state.meaning for state in self.states}

    def state_read_by(self, gate: str) -> str:
        """Return the state whose equation contains a gate."""
        return next(state.name for state in self.states if any(gate in term for term in state.terms))

    def rows(self, gate: str, hidden_size: int) -> slice:
        """Return the rows of a gate in stacked weights."""
        start = self.gate_names.index(gate) * hidden_size
        return slice(start, start + hidden_size)


def secant(c: Tensor) -> Tensor:
    """Return ``tanh(c)/c``, which is 1 at 0."""
    near = c.abs() < TINY
    return torch.where(near, 1.0, c.tanh() / torch.where(near, 1.0, c))


def ignore(_name: str, value: Tensor) -> Tensor:
    """Return the value unchanged: the hook for a step without an observer."""
    return value
