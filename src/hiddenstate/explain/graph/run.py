"""`graph`: the paths from words through units and steps to a target."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.edits.edit import Edit, add, zero
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.attribution.frozen import FrozenLayer, frozen_layer, frozen_parts
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import number, sentence, shortened
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner, Readout, TargetLike, resolve_row, resolve_target

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
        """Return edits that zero the cell states with the largest parts of the same sign as the target.

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


MOST_UNITS_KEPT = 2000
LARGEST = 10  # maximum number of cell states kept only for their size; at most a third of all


class MemoryUnit(NamedTuple):
    """One unit's memory at one step, in one layer and direction such as ``l0``."""

    layer_direction: str
    t: int
    unit: int
    memory: str = "c"


# An int is a step of the input; other sources are named: the candidate's bias, the initial state, the head's bias.
Source = MemoryUnit | int | str


class Inflow(NamedTuple):
    """The amount that one source adds to a node's value."""

    source: Source
    kind: str
    amount: float


@dataclass(frozen=True, eq=False)
class Inflows:
    """Contributions in one run, by node. Float64."""

    subject: Subject  # a subject with one row
    layers: dict[str, FrozenLayer]  # each layer and direction, by name
    readout: Readout  # what a target reads

    def value(self, cell: MemoryUnit) -> float:
        """Return the value of a memory."""
        return float(self.layers[cell.layer_direction].values[cell.memory][cell.t, cell.unit])

    def into(self, cell: MemoryUnit) -> Iterator[Inflow]:
        """Yield everything that flows into a cell state."""
        part, t = self.layers[cell.layer_direction], cell.t
        place, write = part.place, part.split.write[t, cell.unit]
        yield Inflow(f"bias of {part.kind.candidate}", "bias", float(write * part.bias[t, cell.unit]))
        if place.layer == 0:
            yield Inflow(t, "input", float(write * (part.W[cell.unit] @ part.inputs[t])))
        else:
            yield from self._below(part, t, write * part.W[cell.unit])
        memory = part.split.keep[t, cell.unit] * part.before[part.memory][t, cell.unit]
        reads = write * part.scale[t, cell.unit] * part.U[cell.unit]
        before = t + 1 if place.reverse else t - 1
        if 0 <= before < self.subject.T:
            yield Inflow(cell._replace(t=before), "memory", float(memory))
            shown = _mixed(part, reads) * part.split.show[before] * part.values[part.memory][before]
            if not bool(part.before["h"][t].any()):  # a reset is in between
                return
            for unit, amount in enumerate(shown.tolist()):
                yield Inflow(cell._replace(t=before, unit=unit), "recurrent", amount)
        else:
            begun = reads @ part.before["h"][t] + memory
            yield Inflow("initial state", "initial", float(begun))

    def into_target(self) -> Iterator[Inflow]:
        """Yield everything that flows into the target."""
        t = self.readout.t
        yield Inflow("head's bias", "bias", self.readout.bias)
        for place, vector in self.readout.vectors.items():
            name = place.layer_direction.name
            part = self.layers[name]
            c = part.values[part.memory][t]
            amounts = vector * c if place.quantity == part.memory else _mixed(part, vector) * part.split.show[t] * c
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(MemoryUnit(name, t, unit, part.memory), "read", amount)

    def _below(self, part: FrozenLayer, t: int, weights: Tensor) -> Iterator[Inflow]:
        """Yield the contributions of the cells in the layer below, through their outputs at this step."""
        sizes = self.subject.sizes
        sides = sizes.directions_in(part.place.layer - 1)
        for track, vector in zip(sides, weights.split(sizes.output_size), strict=True):
            below = self.layers[track.name]
            amounts = _mixed(below, vector) * below.split.show[t] * below.values[below.memory][t]
            for unit, amount in enumerate(amounts.tolist()):
                yield Inflow(MemoryUnit(track.name, t, unit, below.memory), "below", amount)


def _mixed(part: FrozenLayer, vector: Tensor) -> Tensor:
    """Convert a vector ``[P]`` over hidden states to one over units ``[H]``."""
    return vector if part.projection is None else vector @ part.projection


def graph(
    model: Any,
    x: Any = None,
    *,
    of: TargetLike,
    units: int = 30,
    edges: int = 150,
    row: int | None = None,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Graph:
    """Trace a target back through units and steps to the words, with gates held fixed.

    With i, f and o held fixed and tanh replaced by its secant, the run is linear: every cell state is the sum of its
    incoming edges, and every edge carries a part of the target, its flow. The graph keeps the ten cell states (at most
    a third of ``units``) with the largest parts of the target's sign, adds others backwards from the target along the
    largest flows, and keeps the edges with the largest flows. One more edge into each node stands for everything
    pruned, so that the edges still sum to its value. Effects that only open or close a gate are not seen: `Graph.check`
    removes an edge by an edit, with gates free, and measures what really happens. In a GRU, r and z are held fixed, and
    hidden states take the place of cell states; a plain RNN has no gates, so only its nonlinearity is replaced.

    Args:
        model: as for `subject`.
        x: the model's input.
        of: a target that is linear in c or h: `logit`, or a place such as ``"l1.c[125]@7"``.
        units: how many cell states to keep.
        edges: how many edges between kept nodes to keep.
        row: the row to explain, if there are several.
        progress: True for a bar on stderr, False for none, or a function of the units done and their total.
        options: as for `subject`.

    Raises:
        ArgumentError: the target is not linear, edits are active, or a number is out of range.
        NameUnknownError, IndexRangeError: there is no such label, word, place, step or row.
        HiddenStateError: any error of `subject`.
    """
    kept, most = check_int("units", units), check_int("edges", edges)
    if not 1 <= kept <= MOST_UNITS_KEPT or most < 1:
        raise ArgumentError(
            f"a graph can keep 1 to {MOST_UNITS_KEPT} units and at least one edge, got {units} and {edges}"
        )
    check_progress(progress)
    row_subject = resolve_subject(of, model, x, **options).only(resolve_row(of, row))
    work = BatchRunner(row_subject, resolve_target(of, row_subject))
    readout = work.target.linear("graph")
    with torch.no_grad():
        trace = row_subject.trace()
    work.count(row_subject.T)
    slopes = frozen_parts(row_subject, trace, readout).cells
    tracks = row_subject.sizes.layer_directions
    inflows = Inflows(row_subject, {track.name: frozen_layer(row_subject, trace, track) for track in tracks}, readout)
    with reporting(progress) as report:
        grown = _grown(inflows, slopes, kept, report)
    return _built(work, inflows, *grown, most)


Into = dict[Source, list[Inflow]]


def _grown(
    inflows: Inflows, slopes: dict[str, Tensor], count: int, report: Progress | None
) -> tuple[Into, dict[Source, float]]:
    """Choose cell states by their parts, then by flows to the target; return their inflows and slopes."""
    into: Into = {TARGET: list(inflows.into_target())}
    slope: dict[Source, float] = {TARGET: 1.0}
    # Cell states that are not kept yet, with the flow from each into the kept ones.
    waiting: dict[MemoryUnit, float] = {}

    def keep(cell: MemoryUnit) -> None:
        waiting.pop(cell, None)
        into[cell], slope[cell] = list(inflows.into(cell)), float(slopes[cell.layer_direction][cell.t, cell.unit])
        wait_for(cell)
        if report is not None:
            report(len(into) - 1, count)

    def wait_for(end: Source) -> None:
        for inflow in into[end]:
            if isinstance(inflow.source, MemoryUnit) and inflow.source not in into and inflow.amount:
                waiting[inflow.source] = waiting.get(inflow.source, 0.0) + abs(inflow.amount * slope[end])

    wait_for(TARGET)
    sign = math.copysign(1.0, sum(inflow.amount for inflow in into[TARGET]))
    for cell in _largest(inflows, slopes, min(count // 3, LARGEST), sign):
        keep(cell)
    while len(into) <= count and waiting:
        keep(max(waiting, key=lambda cell: waiting[cell]))
    return into, slope


def _largest(inflows: Inflows, slopes: dict[str, Tensor], count: int, sign: float) -> list[MemoryUnit]:
    """Return the cell states whose parts of the target are largest and have the same sign as the target."""
    sized = []
    for name, part in inflows.layers.items():
        sizes = (slopes[name] * part.values[part.memory] * sign).clamp(min=0)
        for k in sizes.flatten().topk(min(count, sizes.numel())).indices.tolist():
            t, unit = divmod(k, sizes.shape[1])
            cell = MemoryUnit(name, t, unit, part.memory)
            sized.append((float(sizes[cell.t, cell.unit]), cell))
    return [cell for size, cell in sorted(sized, reverse=True)[:count] if size]


def _built(work: BatchRunner, inflows: Inflows, into: Into, slope: dict[Source, float], most: int) -> Graph:
    """Collect nodes and edges, and prune the small ones."""
    words = work.subject.words()
    cells = [cell for cell in into if isinstance(cell, MemoryUnit)]
    cells.sort(key=lambda cell: -abs(inflows.value(cell) * slope[cell]))
    known: set[Source] = {*cells, *range(work.subject.T)}
    flows = [
        (abs(inflow.amount * slope[end]), end, k)
        for end, every in into.items()
        for k, inflow in enumerate(every)
        if inflow.amount and (inflow.source in known or isinstance(inflow.source, str))
    ]
    shown = {(end, k) for _, end, k in sorted(flows, key=lambda flow: -flow[0])[:most]}
    edges = []
    for end, every in into.items():
        mine = [inflow for k, inflow in enumerate(every) if (end, k) in shown]
        cut = sum(inflow.amount for k, inflow in enumerate(every) if (end, k) not in shown)
        mine += [Inflow(OTHERS, "others", cut)] if cut else []
        edges += [
            Edge(_name(inflow.source), _name(end), inflow.kind, inflow.amount, inflow.amount * slope[end])
            for inflow in mine
        ]
    value = sum(inflow.amount for inflow in into[TARGET])
    nodes = [Node(TARGET, "target", "", inflows.readout.t, -1, words[inflows.readout.t], value, value)]
    nodes += [
        Node(_name(cell), "cell", cell.layer_direction, cell.t, cell.unit, words[cell.t], inflows.value(cell),
             inflows.value(cell) * slope[cell])
        for cell in cells
    ]  # fmt: skip
    used = {edge.source for edge in edges}
    bias = f"bias of {work.subject.sizes.kind.candidate}"
    rest: list[Source] = [*range(work.subject.T), bias, "initial state", "head's bias", OTHERS]
    for source in rest:
        if _name(source) in used:
            flow = sum(edge.flow for edge in edges if edge.source == _name(source))
            t, word = (source, words[source]) if isinstance(source, int) else (-1, "")
            nodes.append(Node(_name(source), "word" if word else "rest", "", t, -1, word, float("nan"), flow))
    gaps = [sum(inflow.amount for inflow in into[cell]) - inflows.value(cell) for cell in cells]
    return Graph(
        target=work.target.name,
        value=value,
        words=words,
        nodes=tuple(nodes),
        edges=tuple(edges),
        residual=max(map(abs, gaps), default=0.0),
        cost=work.cost,
        work=work,
    )


def _name(source: Source) -> str:
    if isinstance(source, MemoryUnit):
        return f"{source.layer_direction}.{source.memory}[{source.unit}]@{source.t}"
    return f"word@{source}" if isinstance(source, int) else source
