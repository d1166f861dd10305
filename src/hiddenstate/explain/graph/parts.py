"""Nodes and edges of a graph."""

from typing import NamedTuple

TARGET, OTHERS = "target", "all others"


class Node(NamedTuple):
    """A cell state at a step, a word, the target, or another source such as a bias.

    ``value`` is its value (NaN for words and other sources), ``part`` its part of the target.
    """

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
