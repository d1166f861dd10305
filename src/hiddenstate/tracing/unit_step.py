"""One unit at one step: the cell's equations with their numbers in them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hiddenstate.structure.equations import squash_of
from hiddenstate.structure.names import GATES, MEANINGS, track


@dataclass(frozen=True)
class Moment(Mapping[str, float]):
    """What one unit of one layer and direction did at one time step of one batch row.

    A mapping from names to numbers: the gates ``i f g o``, the cell state before and after (``c_prev``, ``c``), the
    hidden state ``h`` (with a projection ``m``, the unit's output before it, since h then mixes all units), and the
    pre-activations where they were recorded. Names that the trace did not keep are absent. ``str()`` gives the
    equations with the numbers in them.
    """

    t: int
    unit: int
    layer: int
    reverse: bool
    row: int
    token: str | None
    numbers: Mapping[str, float]
    eps: float  # relative rounding of the type that the run was computed in
    tiny: float  # its smallest normal number: below it the rounding is absolute

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        return "\n  ".join([self._title(), *self._gate_lines(), *self.state_lines()])

    def _title(self) -> str:
        token = "" if self.token is None else f" {self.token!r}"
        return f"{track(self.layer, self.reverse)}, step {self.t}{token}, unit {self.unit}, row {self.row}"

    def _gate_lines(self) -> list[str]:
        return [line for gate in GATES for line in self._gate_line(gate)]

    def _gate_line(self, gate: str) -> list[str]:
        pre = f"{gate}_pre"
        if pre not in self:
            return [f"{gate} = {_n(self[gate])}   {MEANINGS[gate]}"] if gate in self else []
        value = math.tanh(self[pre]) if gate == "g" else 1 / (1 + math.exp(-max(self[pre], -700.0)))
        return [
            f"{gate} = {squash_of(gate)}({_n(self[pre])}) = {_n(value)}   {MEANINGS[gate]}"
            + self._edited(gate, value, 1.0)
        ]

    def state_lines(self) -> list[str]:
        """The equations of c and h with their numbers, a line each."""
        return [*self._cell_line(), *self._hidden_line()]

    def _cell_line(self) -> list[str]:
        if not {"i", "f", "g", "c_prev"} <= self.keys():
            return [f"c = {_n(self['c'])}"] if "c" in self else []
        kept, wrote = self["f"] * self["c_prev"], self["i"] * self["g"]
        line = (
            f"c = f·c_prev + i·g = {_n(self['f'])}·{_factor(self['c_prev'])} + {_n(self['i'])}·{_factor(self['g'])}"
            f" = {_n(kept)} {'-' if wrote < 0 else '+'} {_n(abs(wrote))} = {_n(kept + wrote)}"
        )
        return [line + self._edited("c", kept + wrote, abs(kept) + abs(wrote))]

    def _hidden_line(self) -> list[str]:
        name = "m" if "m" in self else "h"
        if not {"o", "c"} <= self.keys():
            return [f"{name} = {_n(self[name])}"] if name in self else []
        value = self["o"] * math.tanh(self["c"])
        line = f"{name} = o·tanh(c) = {_n(self['o'])}·tanh({_n(self['c'])}) = {_n(value)}"
        return [line + self._edited(name, value, 1.0)]

    def _edited(self, name: str, computed: float, size: float) -> str:
        """Say so where the run holds another value than the equation gives: an edit put it there."""
        held = self.get(name, computed)
        if not abs(held - computed) > 16 * (self.eps * size + self.tiny):  # a NaN or an infinity is no sign of it
            return ""
        return f"   (edited: the run holds {_n(held)})"


def _n(value: float) -> str:
    return f"{value:.4f}"


def _factor(value: float) -> str:
    return f"({value:.4f})" if value < 0 else f"{value:.4f}"
