"""`Graph`: nodes and edges from words to a target; an edit can check each edge."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from hiddenstate.base.scalars import check_int
from hiddenstate.edits.edit import Edit, add, zero
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.graph.parts import TARGET, Edge, Node
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import number, sentence, shortened
from hiddenstate.explain.subject.batch_runner import BatchRunner

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRANCHES = (6, 3, 2)  # number of edges shown in the terminal at each depth


class EdgeCheck(NamedTuple):
    """The target's loss when an edge is removed: as predicted by the graph, and as measured with gates free."""

    expected: float
    real: float


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Explanation):
    """The result of `hiddenstate.explain.graph`.

    Attributes:
        target: a description of the target.
        value: the target's value.
        words: the word at each step.
        nodes: the target, the kept cell states by the size of their part, words, and the rest.
        edges: the edges into the target and the kept cell states.
        residual: the largest difference between a node's value and the sum of its edges.
        cost: row-steps that were run.
        work: runs the subject for checks.
        real: the measured loss of the target without each edge, for the edges that `checked` checked.
    """

    kind: ClassVar[str] = "graph"

    target: str
    value: float
    words: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    residual: float
    cost: int
    work: BatchRunner
    real: Mapping[Edge, float] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """Return a node by name, such as ``"l1.c[5]@3"``, ``"word@2"`` or ``"target"``.

        Raises:
            NameUnknownError: it is not in the graph.
        """
        for one in self.nodes:
            if one.name == name:
                return one
        raise NameUnknownError(
            f"no node {name!r} in this graph; its cell states are {' '.join(n.name for n in self.top())}"
        )

    def top(self, count: int | None = None) -> list[Node]:
        """Return the cell states with the largest parts in the target; all of them if ``count`` is None.

        Raises:
            ArgumentTypeError: the count is not an int.
        """
        cells = [node for node in self.nodes if node.kind == "cell"]
        return cells if count is None else cells[: check_int("count", count)]

    def into(self, name: str) -> list[Edge]:
        """Return the edges into a node, largest first; they sum to its value.

        Raises:
            NameUnknownError: it is not in the graph.
        """
        end = self.node(name).name
        return sorted((edge for edge in self.edges if edge.target == end), key=lambda edge: -abs(edge.flow))

    def ablation(self, count: int = 10) -> list[Edit]:
        """Return edits that zero the cell states with the largest parts of the target's own sign.

        Raises:
            ArgumentTypeError: the count is not an int.
        """
        cells = [node for node in self.top() if node.part * self.value > 0]
        return [
            zero(f"{node.track}.{self._memory}", unit=node.unit, t=node.t)
            for node in cells[: check_int("count", count)]
        ]

    @property
    def _memory(self) -> str:
        return self.work.subject.sizes.kind.memory

    def edit(self, edge: Edge) -> Edit:
        """Return the edit that removes an edge: it subtracts exactly the edge's amount.

        Raises:
            ArgumentError: no edit of the LSTM can remove it, as for the head's bias.
            ArgumentTypeError: the argument is not an edge.
            NameUnknownError: the edge does not belong to this graph.
        """
        if not isinstance(edge, Edge):
            raise ArgumentTypeError(f"an edge must be one of the graph's edges, got {type(edge).__name__}")
        end = self.node(edge.target)
        if end.kind == "cell":
            return add(f"{end.track}.{self._memory}", value=-edge.amount, unit=end.unit, t=end.t)
        if edge.kind != "read":
            raise ArgumentError(
                f"the edge from {edge.source!r} into the target is outside the LSTM: no edit removes it"
            )
        source = self.node(edge.source)
        quantity = next(iter(self.work.target.linear("graph").vectors)).quantity
        if quantity == self._memory:
            return zero(f"{source.track}.{self._memory}", unit=source.unit, t=source.t)
        return zero(f"{source.track}.o", unit=source.unit, t=source.t, scope="readout")

    def check(self, edge: Edge) -> EdgeCheck:
        """Remove an edge by its edit, with gates free, and measure what the target loses.

        Raises:
            ArgumentError, ArgumentTypeError, NameUnknownError: as for `edit`.
        """
        change = self.edit(edge)
        return EdgeCheck(edge.flow, self._value() - self._value(change))

    def checked(self) -> "Graph":
        """Return the graph after checking each edge that the terminal shows and an edit can remove, with gates free.

        ``print`` and the rows then also include what the target really loses.
        """
        shown = {edge for edge, _ in self._branches(TARGET, 0, "") if self._removes(edge)}
        whole_value = self._value()
        real = {edge: whole_value - self._value(self.edit(edge)) for edge in shown}
        return replace(self, real=real, cost=self.cost + (1 + len(shown)) * self.work.subject.T)

    def _removes(self, edge: Edge) -> bool:
        """Whether an edit can remove an edge."""
        return edge.target != TARGET or edge.kind == "read"

    @torch.no_grad()
    def _value(self, *edits: Edit) -> float:
        """Run the target with some edits."""
        subject, target = self.work.subject, self.work.target
        with subject.lstm.edit(*edits):
            return float(target.of(subject.run(keep=target.keep, steps=target.steps)))

    def rows(self) -> Sequence[Row]:
        """Return one row per edge; checked edges include what the target really loses."""
        return [edge._asdict() | ({"real": self.real.get(edge)} if self.real else {}) for edge in self.edges]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        own = {name: getattr(self, name) for name in ("target", "value", "words", "residual", "cost")}
        return {**own, "nodes": [node._asdict() for node in self.nodes], "edges": self.rows()}

    def __str__(self) -> str:
        lines = [f"{self.target}: {number(self.value)}"]
        for edge, indent in self._branches(TARGET, 0, ""):
            word = self.node(edge.source).word
            said = f"{edge.source} {shortened(word)}" if word else edge.source
            real = f" ({number(self.real[edge])})" if edge in self.real else " " * 9 * bool(self.real)
            lines.append(f"{indent} {number(edge.flow)}{real}  {edge.kind:9} {said}")
        lines.append(
            sentence(
                "Each line is an edge: its part of the target, its kind, and its source. Gates are held fixed, so "
                "effects that only open or close a gate are not seen. "
                + (
                    "In brackets: what the target really loses when an edit removes the edge, with gates free."
                    if self.real
                    else "What the target really loses is shown by an edit that removes the edge."
                )
            )
        )
        return "\n".join(lines)

    def _branches(self, name: str, depth: int, indent: str) -> Iterator[tuple[Edge, str]]:
        """Yield the edges that are shown in a terminal, each with the lines that lead to it."""
        if depth == len(BRANCHES) or name not in {node.name for node in self.nodes}:
            return
        every = self.into(name)
        few = [edge for edge in every if edge.kind != "others"][: BRANCHES[depth]]
        few += [edge for edge in every if edge.kind == "others"]
        for edge in few:
            end = edge is few[-1]
            yield edge, f"{indent}{'└' if end else '├'}"
            yield from self._branches(edge.source, depth + 1, indent + ("  " if end else "│ "))

    def _figure(self) -> "Figure":
        """Draw the graph: steps to the right, layers upwards, edges as thick as their flow, red above 0, blue below."""
        from hiddenstate.explain.graph.picture import drawn

        return drawn(f"{self.target}: {self.value:+.3f}", self.words, self.nodes, self.edges)
