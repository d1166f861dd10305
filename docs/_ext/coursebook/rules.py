"""How the answer to each kind of numeric question is derived, shown for an unforeseen wrong number."""

from collections.abc import Callable
from typing import Any


def _rule_of_shape(given: dict[str, Any]) -> str:
    if given["of"] != "out":
        return f"`{given['of']}` is `[L·D, N, H]`: one state for each layer and direction, with batch_first too."
    return (
        f"`out` is `{'[N, T, D·H]' if given.get('batch_first') else '[T, N, D·H]'}`: the last layer's h at every step."
    )


RULES: dict[str, Callable[[dict[str, Any]], str]] = {
    "parameters": lambda given: "each layer and direction has 4·H·(C + H) weights and two vectors of 4·H biases.",
    "shape": _rule_of_shape,
    "cell": lambda given: "c = f·c_prev + i·g." if given["of"] == "c" else "h = o·tanh(c), with the new c.",
}
