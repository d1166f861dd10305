"""`Graph`: nodes and edges from words to a target, and their picture; an edit can check each edge."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from hiddenstate.base.scalars import check_int
from hiddenstate.edits.edit import Edit, add, zero
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import number, sentence, shortened
from hiddenstate.explain.subject.target import BatchRunner

TARGET, OTHERS = "target", "all others"
POSITIVE, NEGATIVE = "#d55e00", "#0072b2"
THICKEST = 4.0  # points
BRANCHES = (6, 3, 2)  # number of edges shown in the terminal at each depth


class Node(NamedTuple):
    """A cell state at a step, a word, the target or another source; its value (or NaN), and its part of the target."""

    name: str
    kind: str
    track: str
    t: int
    unit: int
    word: str
    value: float
    part: float


class Edge(NamedTuple):
    """The contribution of one node to another: ``amount`` to its value, and thereby ``flow`` to the target's value.

    ``kind`` is ``input``, ``below`` (from the layer below), ``recurrent``, ``memory``, ``read`` (by the target),
    ``bias``, ``initial`` or ``others`` (everything that was pruned).
    """

    source: str
    target: str
    kind: str
    amount: float
    flow: float


def drawn(title: str, words: Sequence[str], nodes: Sequence[Node], edges: Sequence[Edge]) -> Any:
    """Draw the nodes and the edges between them."""
    from hiddenstate.base.figures import one_plot
    from hiddenstate.base.figures import shortened as cut

    figure, axes = one_plot(max(6.0, 1.1 * len(words) + 1.5), 5.5)
    at = _places(nodes)
    shown = [edge for edge in edges if edge.source in at and edge.target in at]
    largest = max((abs(edge.flow) for edge in shown), default=1.0) or 1.0
    for edge in sorted(shown, key=lambda edge: abs(edge.flow)):
        if edge.flow:  # edges without flow are not drawn
            share = abs(edge.flow) / largest
            axes.annotate(
                "",
                at[edge.target],
                at[edge.source],
                arrowprops={
                    "arrowstyle": "-|>",
                    "linewidth": max(0.3, THICKEST * share),
                    "color": POSITIVE if edge.flow > 0 else NEGATIVE,
                    "alpha": 0.25 + 0.75 * share,
                    "shrinkA": 6,
                    "shrinkB": 6,
                },
            )
    for node in nodes:
        if node.name in at:
            label = cut(node.word) if node.kind == "word" else node.name.split("@")[0]
            color = POSITIVE if node.part > 0 else NEGATIVE
            axes.text(
                *at[node.name], label, fontsize=7, ha="center", va="center", parse_math=False,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": color, "linewidth": 0.8},
            )  # fmt: skip
    xs, ys = zip(*at.values(), strict=True)
    axes.set_xlim(min(xs) - 0.7, max(xs) + 0.7)
    axes.set_ylim(min(ys) - 0.5, max(ys) + 0.5)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, parse_math=False)
    return figure


def _places(nodes: Sequence[Node]) -> dict[str, tuple[float, float]]:
    """Where each node is drawn; nodes of the same layer and step are stacked."""
    heights = Counter((node.track, node.t) for node in nodes if node.kind == "cell")
    floors, level = {}, 1.0
    for name in sorted({track for track, _ in heights}, key=lambda name: (int(name.rstrip("r")[1:]), name)):
        floors[name] = level
        level += 0.35 * max(height for (track, _), height in heights.items() if track == name) + 0.7
    at: dict[str, tuple[float, float]] = {}
    seen = Counter[tuple[str, int]]()
    for node in nodes:
        if node.kind == "word":
            at[node.name] = (float(node.t), 0.0)
        elif node.kind == "cell":
            seen[node.track, node.t] += 1
            k = seen[node.track, node.t]
            at[node.name] = (node.t + 0.12 * (k % 2), floors[node.track] + 0.35 * (k - 1))
        elif node.kind == "target":
            at[node.name] = (float(node.t), level)
    return at


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
        work: runs the subject for checks.
        real: the measured loss of the target without each edge, for the edges that `checked` checked.
    """

    kind = "graph"
    _saved = "target value words residual cost nodes edges=rows"

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
        for node in self.nodes:
            if node.name == name:
                return node
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
        # Those that an edit can remove.
        shown = {edge for edge, _ in self._branches(TARGET, 0, "") if edge.target != TARGET or edge.kind == "read"}
        whole_value = self._value()
        real = {edge: whole_value - self._value(self.edit(edge)) for edge in shown}
        return replace(self, real=real, cost=self.cost + (1 + len(shown)) * self.work.subject.T)

    @torch.no_grad()
    def _value(self, *edits: Edit) -> float:
        """Run the target with some edits."""
        subject, target = self.work.subject, self.work.target
        with subject.lstm.edit(*edits):
            return float(target.of(subject.run(keep=target.keep, steps=target.steps)))

    def rows(self) -> Sequence[Row]:
        """Return one row per edge; checked edges include what the target really loses."""
        return [edge._asdict() | ({"real": self.real.get(edge)} if self.real else {}) for edge in self.edges]

    def __str__(self) -> str:
        lines = [f"{self.target}: {number(self.value)}"]
        for edge, indent in self._branches(TARGET, 0, ""):
            word = self.node(edge.source).word
            source = f"{edge.source} {shortened(word)}" if word else edge.source
            real = f" ({number(self.real[edge])})" if edge in self.real else " " * 9 * bool(self.real)
            lines.append(f"{indent} {number(edge.flow)}{real}  {edge.kind:9} {source}")
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

    def _figure(self) -> Any:
        """Draw the graph: steps to the right, layers upwards, edges as thick as their flow, red above 0, blue below."""
        return drawn(f"{self.target}: {self.value:+.3f}", self.words, self.nodes, self.edges)
