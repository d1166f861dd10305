"""One unit at one step: the cell's equations with their numbers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from hiddenstate.cells.cell import Cell, Gate, State
from hiddenstate.cells.lstm import LSTM
from hiddenstate.structure.names import LayerDirection


@dataclass(frozen=True)
class Moment(Mapping[str, float]):
    """The values of one unit, in one layer and direction, at one time step of one batch row.

    A mapping from names to numbers: the gates ``i f g o``, the cell state before and after the step (``c_prev``,
    ``c``), the hidden state ``h`` (with a projection, the unit's output ``m`` before it instead, since h mixes all
    units), and the pre-activations if they were recorded. For a GRU: ``r z n``, ``h_prev`` and ``h``. Names that the
    trace did not record are absent. ``str()`` writes the equations with their numbers.
    """

    t: int
    unit: int
    layer: int
    reverse: bool
    row: int
    token: str | None
    numbers: Mapping[str, float]
    eps: float  # relative rounding error of the run's data type
    tiny: float  # its smallest normal number, below which the rounding error is absolute
    cell: Cell = LSTM

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        gates = [line for gate in self.cell.gates for line in (*self._part_line(gate), *self._gate_line(gate))]
        return "\n  ".join([self._title(), *gates, *self.state_lines()])

    def _title(self) -> str:
        token = "" if self.token is None else f" {self.token!r}"
        return (
            f"{LayerDirection(self.layer, self.reverse).name}, step {self.t}{token}, unit {self.unit}, row {self.row}"
        )

    def _part_line(self, gate: Gate) -> list[str]:
        """Return the equation of the recurrent part of a gate that another gate multiplies."""
        names = [part.name for part in self.cell.parts if part.gate == gate.name]
        if gate.scale is None or not {gate.scale, *names} <= self.keys():
            return []
        before, after = names
        product = self[gate.scale] * self[before]
        numbers = f"{self._factor_text(gate.scale)}·{self._factor_text(before)} = {_n(product)}"
        line = f"{after} = {gate.scale}·{before} = {numbers}   {self.cell.meanings[after]}"
        return [line + self._edited(after, product, abs(product))]

    def _gate_line(self, gate: Gate) -> list[str]:
        name, pre = gate.name, f"{gate.name}_pre"
        if pre not in self:
            return [f"{name} = {_n(self[name])}   {gate.meaning}"] if name in self else []
        value = gate(torch.tensor(self[pre], dtype=torch.float64)).item()
        line = f"{name} = {gate.symbol}({_n(self[pre])}) = {_n(value)}   {gate.meaning}"
        return [line + self._edited(name, value, 1.0)]

    def state_lines(self) -> list[str]:
        """Return the equations of the states with their numbers, one line each."""
        return [line for state in self.cell.states if state.terms for line in self._state_line(state)]

    def _state_line(self, state: State) -> list[str]:
        name = "m" if state is self.cell.states[-1] and "m" in self else state.name
        factors = {factor: self._factor(factor) for term in state.terms for factor in term}
        if None in factors.values():
            return [f"{name} = {_n(self[name])}"] if name in self else []
        products = [math.prod(factors[factor] or 0.0 for factor in term) for term in state.terms]
        total = sum(products)
        numbers = " + ".join("·".join(self._factor_text(factor) for factor in term) for term in state.terms)
        sums = [f"{_n(products[0])}", *(f"{'-' if p < 0 else '+'} {_n(abs(p))}" for p in products[1:])]
        added = f" = {' '.join(sums)}" if len(products) > 1 else ""
        line = f"{name} = {state.equation('·')} = {numbers}{added} = {_n(total)}"
        return [line + self._edited(name, total, sum(map(abs, products)))]

    def _factor(self, factor: str) -> float | None:
        """Return the value of a factor of a state's equation, or None if the trace did not record it."""
        name = factor.removeprefix("tanh").removeprefix("(1-").removeprefix("(").removesuffix(")")
        if name not in self:
            return None
        if factor.startswith("(1-"):
            return 1 - self[name]
        return self[name] if name == factor else math.tanh(self[name])

    def _factor_text(self, factor: str) -> str:
        if factor.startswith("tanh("):
            return f"tanh({_n(self[factor[5:-1]])})"
        if factor.startswith("(1-"):
            return f"(1-{self._factor_text(factor[3:-1])})"
        return _n(self[factor]) if self[factor] >= 0 else f"({_n(self[factor])})"

    def _edited(self, name: str, computed: float, size: float) -> str:
        """Return a note if the run's value differs from the equation's result, which means that an edit set it."""
        held = self.get(name, computed)
        if not abs(held - computed) > 16 * (self.eps * size + self.tiny):  # NaN and infinity do not indicate an edit
            return ""
        return f"   (edited: the run has {_n(held)})"


def _n(value: float) -> str:
    return f"{value:.4f}"
