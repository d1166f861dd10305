"""Measures how long each unit remembers, and how often each gate is shut or open, over the steps of some data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, share
from hiddenstate.structure.tables import table

SHUT, OPEN = 0.1, 0.9
EDGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))  # steps
SPANS = tuple(pairwise(EDGES))


@dataclass(frozen=True, eq=False, repr=False)
class Timescales(Measured):
    """The time constant of every unit: the number of steps after which 1/e of its cell state remains.

    It is ``-1 / mean(log f)`` over the steps: after T steps, the share that the cell keeps is the product of T forget
    gates, which is ``exp(-T / time constant)``. It is infinite if f is 1 at every step, and 0 if f is 0 at any step. In
    a GRU, z takes the place of f, and h that of the cell state.

    Attributes:
        constants: for each layer and direction, such as ``l0``, the time constants ``[H]``, in steps, float64.
        steps: the number of real steps, in all rows, that were averaged.
        memory: the state that is kept: c, or h in a GRU.
    """

    kind = "timescales"
    _saved = "constants steps residual cost"

    constants: Mapping[str, Tensor]
    steps: int
    cost: int
    memory: str = "c"

    def rows(self) -> Sequence[Row]:
        """Return one row per unit."""
        return [
            {"track": name, "unit": k, "time_constant": value}
            for name, values in self.constants.items()
            for k, value in enumerate(values.tolist())
        ]

    def __str__(self) -> str:
        head = ["", *(f"{low:g}-{high:g}" if high < 1e9 else f"over {low:g}" for low, high in SPANS)]
        lines = []
        for name, values in self.constants.items():
            inside = [int(((values >= low) & (values < high)).sum()) for low, high in SPANS]
            inside[-1] += int((values == float("inf")).sum())
            lines.append([name, *map(str, inside)])
        longest = [
            f"{name}.{self.memory}[{int(v.argmax())}] {float(v.max()):.1f}" for name, v in self.constants.items()
        ]
        return (
            "Units by the time constant of their memory, in steps:\n"
            + table([*head, ""], [[*line, ""] for line in lines], "l")
            + f"\nlongest: {', '.join(longest)}; over {self.steps:,} steps."
        )

    def _draw(self, axes: Any) -> None:
        """Draw the time constants of each layer and direction, sorted, on a logarithmic axis."""
        for name, values in self.constants.items():
            axes.plot(values.sort().values, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("units, sorted")
        axes.set_ylabel("time constant, steps")
        axes.legend(fontsize=8)


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(Measured):
    """How often each gate is shut (below 0.1) or open (above 0.9); Karpathy, Johnson & Fei-Fei (2015).

    For values from -1 to 1 (g of an LSTM, n of a GRU, h of an RNN), the limits are -0.9 and 0.9.

    Attributes:
        shut: maps a place such as ``l0.f`` to the share of steps ``[H]`` at which each unit's gate is shut; float64.
        open: maps a place to the share of steps at which each unit's gate is open.
        steps: the number of real steps, in all rows.
        cell: the kind of cell.
    """

    kind = "saturation"
    _saved = "shut open steps residual cost"

    shut: Mapping[str, Tensor]
    open: Mapping[str, Tensor]
    steps: int
    cost: int
    cell: str = "LSTM"

    def rows(self) -> Sequence[Row]:
        """Return one row per gate and unit."""
        return [
            {"place": name, "unit": k, "shut": float(self.shut[name][k]), "open": float(self.open[name][k])}
            for name in self.shut
            for k in range(len(self.shut[name]))
        ]

    def __str__(self) -> str:
        lines = []
        for name in self.shut:
            shut, opened = self.shut[name], self.open[name]
            always = int((opened > 0.95).sum()), int((shut > 0.95).sum())
            meaning = CELLS[self.cell].meanings[name.split(".")[1]]
            sides = [f"{float(v.mean()):.2f} {share(float(v.mean()))}" for v in (shut, opened)]
            lines.append([name, meaning, *sides, *map(str, reversed(always))])
        head = ["", "", "shut", "open", "always shut", "always open"]
        return (
            sentence(
                f"Share of {self.steps:,} steps at which gates are shut (below 0.1) or open (above 0.9); of "
                f"{CELLS[self.cell].candidate}, below -0.9 or above 0.9. The last columns count units for which that "
                "holds at more than 95 % of the steps."
            )
            + "\n"
            + table(head, lines, "llll")
        )

    def _figure(self) -> Any:
        """Draw each gate of each unit as a point that shows how often it is shut, and how often it is open."""
        from hiddenstate.base.figures import Picture

        kind = CELLS[self.cell]
        names = sorted({name.split(".")[1] for name in self.shut}, key=kind.gate_names.index)
        figure = Picture(figsize=(3 * len(names), 3.2), layout="constrained")
        for k, gate in enumerate(names):
            axes = figure.add_subplot(1, len(names), k + 1)
            for name in self.shut:
                if name.endswith(f".{gate}"):
                    axes.scatter(self.shut[name], self.open[name], s=8, label=name.split(".")[0])
            axes.set_title(f"{gate}: {kind.meanings[gate]}", fontsize=9)
            axes.set_xlabel("shut")
            axes.set_ylabel("open")
            axes.legend(fontsize=7)
        return figure


def compute_timescales(forget: Mapping[str, Tensor], cost: int, memory: str = "c") -> Timescales:
    """Compute time constants from forget gates ``[steps, H]`` of each layer and direction."""
    means = {name: values.double().log().mean(0) for name, values in forget.items()}
    # A gate that is 1 at every step forgets nothing; an edit may even set it above 1.
    constants = {name: torch.where(mean >= 0, torch.inf, -1 / mean) for name, mean in means.items()}
    return Timescales(constants, len(next(iter(forget.values()))), cost, memory=memory)


def compute_saturation(gates: Mapping[str, Tensor], cost: int, kind: Cell) -> Saturation:
    """Count how often gates ``[steps, H]`` are shut or open."""
    signed = {f".{gate.name}" for gate in kind.gates if gate.activation == "tanh"}
    low = {
        name: (values < (-OPEN if name[name.index(".") :] in signed else SHUT)).double().mean(0)
        for name, values in gates.items()
    }
    high = {name: (values > OPEN).double().mean(0) for name, values in gates.items()}
    return Saturation(low, high, len(next(iter(gates.values()))), cost, cell=kind.name)
