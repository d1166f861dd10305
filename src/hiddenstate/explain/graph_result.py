"""`Graph`: nodes and edges from words to a target; each edge can be checked by an edit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from hiddenstate.edits.edit import Edit, add, zero
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.graph_parts import TARGET, Edge, Node
from hiddenstate.explain.results import Explanation, Row
from hiddenstate.explain.text import number, shortened
from hiddenstate.explain.work import Work
from hiddenstate.structure.sizes import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRANCHES = (6, 3, 2)  # edges that the terminal shows, by depth


class EdgeCheck(NamedTuple):
    """What the target loses when an edge is removed: as the graph says, and as it is with gates free."""

    expected: float
    real: float


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Explanation):
    """What `hiddenstate.explain.graph` found.

    Attributes:
        target: what was asked.
        value: its value.
        words: what stands at each step.
        nodes: the target, the kept cell states by the size of their part, words, and the rest.
        edges: into the target and the kept cell states.
        residual: the most by which the edges into a node miss its value.
        cost: row-steps that were run.
        work: what was run, for checks.
    """

    kind: ClassVar[str] = "graph"

    target: str
    value: float
    words: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    residual: float
    cost: int
    work: Work

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
        """Return the cell states with the largest parts in the target, all when ``count`` is None.

        Raises:
            ArgumentTypeError: the count is no int.
        """
        cells = [node for node in self.nodes if node.kind == "cell"]
        return cells if count is None else cells[: whole("count", count)]

    def into(self, name: str) -> list[Edge]:
        """Return the edges into a node, the largest first; they sum to its value.

        Raises:
            NameUnknownError: it is not in the graph.
        """
        end = self.node(name).name
        return sorted((edge for edge in self.edges if edge.target == end), key=lambda edge: -abs(edge.flow))

    def ablation(self, count: int = 10) -> list[Edit]:
        """Return edits that set to 0 the cell states with the largest parts of the target's own sign: what makes it.

        Raises:
            ArgumentTypeError: the count is no int.
        """
        cells = [node for node in self.top() if node.part * self.value > 0]
        return [zero(f"{node.track}.c", unit=node.unit, t=node.t) for node in cells[: whole("count", count)]]

    def edit(self, edge: Edge) -> Edit:
        """Return the edit that removes an edge: what it adds is taken off, and nothing else.

        Raises:
            ArgumentError: no edit of the LSTM does this: the head's bias.
            ArgumentTypeError: it is no edge.
            NameUnknownError: it is none of this graph.
        """
        if not isinstance(edge, Edge):
            raise ArgumentTypeError(f"an edge is one of the graph's edges, got {type(edge).__name__}")
        end = self.node(edge.target)
        if end.kind == "cell":
            return add(f"{end.track}.c", value=-edge.amount, unit=end.unit, t=end.t)
        if edge.kind != "read":
            raise ArgumentError(
                f"the edge from {edge.source!r} into the target lies outside the LSTM: no edit removes it"
            )
        source = self.node(edge.source)
        quantity = next(iter(self.work.target.linear("graph").vectors)).quantity
        if quantity == "c":
            return zero(f"{source.track}.c", unit=source.unit, t=source.t)
        return zero(f"{source.track}.o", unit=source.unit, t=source.t, scope="readout")

    def check(self, edge: Edge) -> EdgeCheck:
        """Remove an edge by its edit, gates free, and say what the target loses.

        Raises:
            ArgumentError, ArgumentTypeError, NameUnknownError: as `edit`.
        """
        change = self.edit(edge)
        subject, target = self.work.subject, self.work.target

        def value() -> float:
            with torch.no_grad():
                return float(target.of(subject.run(keep=target.keep, steps=target.steps)))

        before = value()
        with subject.lstm.edit(change):
            return EdgeCheck(edge.flow, before - value())

    def rows(self) -> Sequence[Row]:
        """Return a row an edge."""
        return [edge._asdict() for edge in self.edges]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        own = {name: getattr(self, name) for name in ("target", "value", "words", "residual", "cost")}
        nodes, edges = [node._asdict() for node in self.nodes], [edge._asdict() for edge in self.edges]
        return {**own, "nodes": nodes, "edges": edges}

    def __str__(self) -> str:
        lines = [f"{self.target}: {number(self.value)}"]
        lines += self._branches(TARGET, 0, "")
        lines.append(
            "Each line is an edge: its part of the target, how it gets there, and from where. Gates are held as they\n"
            "are, so what only opened one is not seen; check(edge) removes an edge and tells what really happens."
        )
        return "\n".join(lines)

    def _branches(self, name: str, depth: int, indent: str) -> list[str]:
        if depth == len(BRANCHES) or name not in {node.name for node in self.nodes}:
            return []
        every, lines = self.into(name), []
        few = [edge for edge in every if edge.kind != "others"][: BRANCHES[depth]]
        few += [edge for edge in every if edge.kind == "others"]
        for k, edge in enumerate(few):
            end = k == len(few) - 1
            word = self.node(edge.source).word
            said = f"{edge.source} {shortened(word)}" if word else edge.source
            lines.append(f"{indent}{'└' if end else '├'} {number(edge.flow)}  {edge.kind:9} {said}")
            lines += self._branches(edge.source, depth + 1, indent + ("  " if end else "│ "))
        return lines

    def plot(self) -> "Figure":
        """Draw the graph: steps to the right, layers upwards, edges as thick as their flow, red above 0, blue below."""
        from hiddenstate.explain.graph_picture import drawn

        return drawn(f"{self.target}: {self.value:+.3f}", self.words, self.nodes, self.edges)
