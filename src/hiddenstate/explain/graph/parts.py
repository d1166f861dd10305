"""What a graph is made of: nodes and edges."""

from typing import NamedTuple

TARGET, OTHERS = "target", "all others"


class Node(NamedTuple):
    """A cell state at a step, a word, the target, or what else there is.

    ``value`` is what it holds (NaN for words and the rest), ``part`` its part in the target.
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
    """What one node adds to another: ``amount`` of its value, and so ``flow`` of the target's.

    ``kind`` is ``input``, ``below`` (from the layer below), ``recurrent``, ``memory``, ``read`` (by the target),
    ``bias``, ``initial`` or ``others`` (all that was cut off).
    """

    source: str
    target: str
    kind: str
    amount: float
    flow: float
