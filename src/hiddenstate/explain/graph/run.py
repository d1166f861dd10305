"""`graph`: the paths from words through units and steps to a target."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution.frozen import FrozenLayer, frozen_layer, frozen_parts
from hiddenstate.explain.graph.result import OTHERS, TARGET, Edge, Graph, Node
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner, Readout, TargetLike, resolve_row, resolve_target

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
