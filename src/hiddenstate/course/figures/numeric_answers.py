"""Answers to a page's numeric questions.

`docs/_ext/coursebook/js/answers.js` computes the same in the page, and a test compares the two.
"""

import json
from collections.abc import Callable
from typing import Any

import torch

from hiddenstate.edits import edit
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import structure_of
from hiddenstate.tracing.trace import Trace


def parameters(input: int, hidden: int, **options: Any) -> int:  # noqa: A002
    """Count the parameters of an LSTM."""
    return structure_of(Sizes(input, hidden, **options)).count


def shape(of: str, N: int, T: int, input: int, hidden: int, batch_first: bool = False, **options: Any) -> list[int]:  # noqa: A002
    """Return the shape of ``out``, ``h_n`` or ``c_n``."""
    sizes = Sizes(input, hidden, **options)
    directions = 2 if sizes.bidirectional else 1
    width = sizes.proj_size or sizes.hidden_size
    if of == "out":
        return [N, T, directions * width] if batch_first else [T, N, directions * width]
    return [sizes.num_layers * directions, N, sizes.hidden_size if of == "c_n" else width]


def _unit(values: dict[str, float], steps: int, before: float = 0.0) -> Trace:
    """Run a unit whose gates are set."""
    lstm = LSTM(1, 1)
    state = (torch.zeros(1, 1, 1), torch.full((1, 1, 1), before))
    gates = (edit.set(f"l0.{gate}", to=value) for gate, value in values.items())
    with torch.no_grad(), lstm.edit(*gates):
        return lstm.trace(torch.zeros(steps, 1, 1), state)


def cell(of: str, c_prev: float, **gates: float) -> float:
    """Return c or h after one step."""
    return float(_unit(gates, 1, c_prev)[f"l0.{of}"])


ANSWERS: dict[str, Callable[..., Any]] = {"parameters": parameters, "shape": shape, "cell": cell}


def compute(kind: str, arguments: str) -> Any:
    """Compute an answer from a page's JSON."""
    return ANSWERS[kind](**json.loads(arguments))


def computed(kind: str, arguments: str) -> list[float]:
    """Compute an answer from a page's JSON; a single number is also a list."""
    answer = compute(kind, arguments)
    return [float(number) for number in (answer if isinstance(answer, list) else [answer])]


def written(answer: Any) -> str:
    """Write an answer as a page shows it."""
    if isinstance(answer, list):
        return f"[{', '.join(map(str, answer))}]"
    return f"{answer:.4g}" if isinstance(answer, float) else str(answer)
