"""Draws a graph: steps to the right, words below, layers upwards, the target on top. Needs matplotlib."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hiddenstate.base.figures import Picture, shortened
from hiddenstate.explain.graph.parts import Edge, Node

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITIVE, NEGATIVE = "#d55e00", "#0072b2"
THICKEST = 4.0  # points


def drawn(title: str, words: Sequence[str], nodes: Sequence[Node], edges: Sequence[Edge]) -> "Figure":
    """Draw the nodes and the edges between them."""
    figure = Picture(figsize=(max(6.0, 1.1 * len(words) + 1.5), 5.5), layout="constrained")
    axes = figure.add_subplot()
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
            label = shortened(node.word) if node.kind == "word" else node.name.split("@")[0]
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
    names = sorted({node.track for node in nodes if node.kind == "cell"}, key=lambda name: (len(name), name))
    names.sort(key=lambda name: (int(name.rstrip("r")[1:]), name.endswith("r")))
    columns: dict[tuple[str, int], int] = {}
    tallest: dict[str, int] = {}
    for node in nodes:
        if node.kind == "cell":
            key = node.track, node.t
            columns[key] = columns.get(key, 0) + 1
            tallest[node.track] = max(tallest.get(node.track, 0), columns[key])
    floors, level = {}, 1.0
    for name in names:
        floors[name] = level
        level += 0.35 * tallest[name] + 0.7
    at: dict[str, tuple[float, float]] = {}
    seen: dict[tuple[str, int], int] = {}
    for node in nodes:
        if node.kind == "word":
            at[node.name] = (float(node.t), 0.0)
        elif node.kind == "cell":
            key = node.track, node.t
            seen[key] = seen.get(key, 0) + 1
            at[node.name] = (node.t + 0.12 * (seen[key] % 2), floors[node.track] + 0.35 * (seen[key] - 1))
        elif node.kind == "target":
            at[node.name] = (float(node.t), level)
    return at
