"""Numbers that questions of a page ask for.

`js/answers.js` computes the same in the page, and a test holds it to these.
"""

import json
from collections.abc import Callable
from typing import Any

from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import structure_of


def parameters(input: int, hidden: int, **options: Any) -> int:  # noqa: A002
    """Count the parameters of an LSTM."""
    return structure_of(Sizes(input, hidden, **options)).count


def shape(of: str, N: int, T: int, input: int, hidden: int, batch_first: bool = False, **options: Any) -> list[int]:  # noqa: A002
    """Give the shape of ``out``, ``h_n`` or ``c_n``."""
    sizes = Sizes(input, hidden, **options)
    directions = 2 if sizes.bidirectional else 1
    width = sizes.proj_size or sizes.hidden_size
    if of == "out":
        return [N, T, directions * width] if batch_first else [T, N, directions * width]
    return [sizes.num_layers * directions, N, sizes.hidden_size if of == "c_n" else width]


ANSWERS: dict[str, Callable[..., Any]] = {"parameters": parameters, "shape": shape}


def computed(kind: str, given: str) -> list[float]:
    """Compute an answer from what a page gives as JSON; a single number too is a list."""
    answer = ANSWERS[kind](**json.loads(given))
    return [float(number) for number in (answer if isinstance(answer, list) else [answer])]


def written(answer: Any) -> str:
    """Write an answer as a page shows it."""
    return f"[{', '.join(map(str, answer))}]" if isinstance(answer, list) else str(answer)
