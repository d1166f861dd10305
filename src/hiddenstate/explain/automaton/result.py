"""`LearnedAutomaton`: a finite automaton that reproduces an LSTM's outputs, as far as tested."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hiddenstate.errors import NameUnknownError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DRAWN = 30


@dataclass(frozen=True, eq=False, repr=False)
class LearnedAutomaton(Explanation):
    """A Moore machine learned from an LSTM, and how well the two agree. States are numbers; 0 is the start.

    Attributes:
        symbols: the alphabet.
        delta: maps every (state, symbol) to the next state.
        outputs: the LSTM's output in each state.
        steps: the share of steps at which both outputs agree, over fresh random words.
        words: the share of these words that agree at every step.
        tested: the number of these words.
        disagreement: the shortest known word at the end of which they differ; None if there is none.
        complete: whether learning converged: False if it stopped at the maximum number of states.
        residual: the share of steps at which they differ.
        cost: row-steps that were run.
    """

    kind: ClassVar[str] = "automaton"

    symbols: tuple[Hashable, ...]
    delta: Mapping[tuple[int, Hashable], int]
    outputs: tuple[Hashable, ...]
    steps: float
    words: float
    tested: int
    disagreement: tuple[Hashable, ...] | None
    complete: bool
    residual: float
    cost: int

    def __len__(self) -> int:
        return len(self.outputs)

    def run(self, word: Sequence[Hashable]) -> list[Hashable]:
        """Return the automaton's output after each symbol.

        Raises:
            NameUnknownError: the alphabet has no such symbol.
        """
        state, said = 0, []
        for symbol in word:
            if symbol not in self.symbols:
                raise NameUnknownError(f"no symbol {symbol!r} in this automaton: it reads {self.symbols}")
            state = self.delta[state, symbol]
            said.append(self.outputs[state])
        return said

    def rows(self) -> Sequence[Row]:
        """Return one row per state and symbol."""
        return [
            {"state": state, "output": str(self.outputs[state]), "symbol": str(symbol), "next": after}
            for (state, symbol), after in self.delta.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON; symbols and outputs as text."""
        own = {name: getattr(self, name) for name in ("steps", "words", "tested", "complete", "residual", "cost")}
        wrong = None if self.disagreement is None else list(map(str, self.disagreement))
        outputs = list(map(str, self.outputs))
        return {**own, "disagreement": wrong, "outputs": outputs, "transitions": self.rows()}

    def __str__(self) -> str:
        lines = [
            [str(state), str(output), *(str(self.delta[state, symbol]) for symbol in self.symbols)]
            for state, output in enumerate(self.outputs)
        ]
        found = (
            f"{len(self)} states. Over {self.tested:,} fresh random words, it agrees with the LSTM\nat "
            f"{self.steps:.2%} of the steps, and at all steps of {self.words:.2%} of the words."
        )
        if self.disagreement is not None:
            found += f" They differ on: {' '.join(map(str, self.disagreement))}"
        if not self.complete:
            found += "\nLearning stopped at the maximum number of states; the LSTM distinguishes more."
        return table(["state", "says", *map(str, self.symbols)], lines, "ll") + "\n" + found

    def _figure(self) -> "Figure":
        """Draw the states on a circle, with an arrow for each symbol."""
        from hiddenstate.base.figures import Picture

        figure = Picture(figsize=(5.5, 5.5), layout="constrained")
        axes = figure.add_subplot()
        count = min(len(self), MOST_DRAWN)
        at = [(math.sin(2 * math.pi * k / count), math.cos(2 * math.pi * k / count)) for k in range(count)]
        labels: dict[tuple[int, int], list[str]] = {}
        for (state, symbol), after in self.delta.items():
            if state < count and after < count:
                labels.setdefault((state, after), []).append(str(symbol))
        for (state, after), symbols in labels.items():
            (x, y), (u, v) = at[state], at[after]
            said = ",".join(symbols)
            if state == after:
                axes.text(1.25 * x, 1.25 * y, f"↺ {said}", fontsize=8, ha="center", va="center", parse_math=False)
                continue
            bent = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "shrinkA": 16, "shrinkB": 16}
            axes.annotate("", (u, v), (x, y), arrowprops={**bent, "color": "#555555"})
            axes.text(0.6 * x + 0.4 * u, 0.6 * y + 0.4 * v, said, fontsize=8, color="#0072b2", parse_math=False)
        for state in range(count):
            label = f"{state}\n{self.outputs[state]}"
            box = {"boxstyle": "circle,pad=0.3", "facecolor": "white", "edgecolor": "#333333"}
            axes.text(*at[state], label, fontsize=8, ha="center", va="center", bbox=box, parse_math=False)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.5, 1.5)
        axes.set_axis_off()
        return figure
