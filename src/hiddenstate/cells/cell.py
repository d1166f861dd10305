"""`Cell`: describes a kind of recurrent cell, by data and two functions of one step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

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
    """A gate: its letter, its name, and the function applied to its pre-activation.

    The pre-activation is ``W·x + b_ih + scale ∘ (U·h_prev + b_hh)``; explanations and equations rely on this form.
    """

    name: str
    meaning: str
    activation: Literal["sigmoid", "tanh", "relu"]
    scale: str | None = None  # the gate that multiplies the recurrent part of the pre-activation

    def __call__(self, pre: Tensor) -> Tensor:
        """Apply the activation."""
        function: Callable[[Tensor], Tensor] = getattr(torch, self.activation)
        return function(pre)

    @property
    def symbol(self) -> str:
        """The activation in equations: tanh, relu or σ."""
        return SIGMA if self.activation == "sigmoid" else self.activation

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of the values; None if they have no upper bound."""
        return {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": None}[self.activation]


@dataclass(frozen=True)
class GatePart:
    """A part of a gate's pre-activation that is recorded separately: its letter, its name, and the gate."""

    name: str
    meaning: str
    gate: str


@dataclass(frozen=True)
class State:
    """A state: its letter, its name, and its equation as a sum of products.

    A factor is a gate, 1 minus a gate (``(1-z)``), a state of this step, a state of the previous step (``c_prev``), or
    ``tanh`` of a state. There are no terms if the state is the value of the gate of the same name.
    """

    name: str
    meaning: str
    terms: tuple[tuple[str, ...], ...]

    def equation(self, times: str) -> str:
        """Return the right-hand side as text, with the given sign between factors."""
        return " + ".join(times.join(term) for term in self.terms)


class MemorySplit(NamedTuple):
    """How a step changes its memory, ``keep·memory_prev + write·candidate``, and outputs ``show·memory``."""

    keep: Tensor
    write: Tensor
    show: Tensor


@dataclass(frozen=True)
class Cell:
    """A kind of cell."""

    name: str  # the cell's name, torch's ``mode``: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"``
    gates: tuple[Gate, ...]  # in the order in which torch stacks them in ``weight_ih`` and ``weight_hh``
    # in the order in which a step computes them. The last one is the output, before any projection
    states: tuple[State, ...]
    memory: str  # the state that carries information from step to step
    candidate: str  # the gate whose value may be written to memory
    # ``step(xg, states, weights, see)`` computes one step, from the input's part of the pre-activations ``[N, G*H]``
    # and the previous states to the new ones, both in the order of ``carried``. It calls ``see(name, value)`` on every
    # quantity and uses what it returns
    step: Callable[[Tensor, tuple[Tensor, ...], Weights, ValueHook], tuple[Tensor, ...]]
    # ``split(values)`` returns what the step keeps, writes and outputs, from its values
    split: Callable[[Mapping[str, Tensor]], MemorySplit]
    carried: tuple[str, ...] = ("h",)  # the states that a call takes and returns, in torch's order
    parts: tuple[GatePart, ...] = ()  # parts of pre-activations that a step computes separately
    keeper: str = ""  # the gate that keeps the memory, if there is one
    writer: str = ""  # the gate that prevents a step from writing if it is set to zero
    # whether memory is kept by addition, so that what was written can be followed from step to step
    is_additive: bool = True
    is_bounded: bool = False  # whether h, which is the memory, stays between -1 and 1
    # a short description of what the values of each gate and state mean
    hints: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """The name without the nonlinearity: ``"LSTM"``, ``"GRU"``, ``"RNN"``."""
        return self.name.partition("_")[0]

    @property
    def setting(self) -> str:
        """The name in the settings of models: ``"lstm"``, ``"gru"``, ``"rnn"``, ``"rnn_relu"``."""
        return self.name.lower().removesuffix("_tanh")

    @cached_property
    def gate_names(self) -> tuple[str, ...]:
        """The gates' letters, in order."""
        return tuple(gate.name for gate in self.gates)

    @cached_property
    def state_names(self) -> tuple[str, ...]:
        """The states' letters, in order."""
        return tuple(state.name for state in self.states)

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Everything that a trace records: the gates, then the states."""
        return tuple(dict.fromkeys(self.gate_names + self.state_names))

    @cached_property
    def pre_activations(self) -> tuple[str, ...]:
        """The values that a trace records only on request: the pre-activations, then their parts."""
        return (*(f"{gate}_pre" for gate in self.gate_names), *(part.name for part in self.parts))

    @cached_property
    def recorded_gates(self) -> tuple[str, ...]:
        """The quantities in a native record of the gates, in order; a GRU's record includes n_h."""
        return (*self.gate_names, *(f"{gate.name}_h" for gate in self.gates if gate.scale))

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Everything in a step that edits can change, in the order of native/kernel/kinds.h."""
        return self.pre_activations + self.quantities

    @property
    def gate_by_name(self) -> dict[str, Gate]:
        """The gates by letter."""
        return {gate.name: gate for gate in self.gates}

    @property
    def meanings(self) -> dict[str, str]:
        """The meaning of each letter."""
        named: list[Gate | State | GatePart] = [*self.gates, *self.states, *self.parts]
        return {item.name: item.meaning for item in named}

    def before(self, quantity: str) -> tuple[str, ...]:
        """Return the pre-activation of a gate and its parts; empty for a state."""
        if quantity not in self.gate_names:
            return ()
        return (f"{quantity}_pre", *(part.name for part in self.parts if part.gate == quantity))

    def rows(self, gate: str, hidden_size: int) -> slice:
        """Return the rows of a gate in stacked weights."""
        start = self.gate_names.index(gate) * hidden_size
        return slice(start, start + hidden_size)

    def as_given(self, states: Sequence[Tensor]) -> Any:
        """Return states in the form that torch's layer takes: a tuple, or a single tensor."""
        return tuple(states) if len(self.carried) > 1 else states[0]

    def parts_of(self, state: Any) -> tuple[Tensor, ...]:
        """Return the tensors of a state that `as_given` returned."""
        return tuple(state) if len(self.carried) > 1 else (state,)


def project(m: Tensor, w: Weights) -> Tensor:
    """Map the cell's output ``[N, H]`` to the hidden state ``[N, P]``: the identity without a projection."""
    return m if w.hr is None else linear(m, w.hr)


def secant(c: Tensor) -> Tensor:
    """Return ``tanh(c)/c``, which is 1 at 0."""
    near = c.abs() < TINY
    return torch.where(near, 1.0, c.tanh() / torch.where(near, 1.0, c))


def ignore(_name: str, value: Tensor) -> Tensor:
    """Return the value unchanged: the hook for a step without an observer."""
    return value
