"""One long text as a batch: split into parallel rows, which are read a few steps at a time."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.text.tokens import Ids

# As in Merity et al. (2018), the number of steps varies a little and is sometimes halved, so that the borders move.
_HALVED, _SPREAD, _FEWEST = 0.05, 5.0, 5


class Span(NamedTuple):
    """Time steps of a batch, from ``start`` to before ``stop``."""

    start: int
    stop: int


class Rows:
    """N parallel pieces of a text, L tokens each; the tokens after the first ``N * L`` are dropped.

    Args:
        ids: the text, M tokens.
        rows: the number of rows, N.
        start: the id that precedes the text.

    Raises:
        ArgumentError: there are fewer tokens than rows.

    >>> import numpy as np
    >>> rows = Rows(np.arange(1, 8, dtype=np.int32), rows=2, start=0)
    >>> inputs, targets = rows.read(Span(0, 3))
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """

    def __init__(self, ids: Ids, rows: int, start: int) -> None:
        if rows < 1 or len(ids) < rows:
            raise ArgumentError(
                f"a text of {len(ids)} tokens can't be read as {rows} rows; use fewer rows, or more text"
            )
        text = torch.cat([torch.tensor([start], dtype=torch.int32), torch.from_numpy(ids)])
        self.length = len(ids) // rows
        # Views that overlap by one token: a row's last target is the next row's first input.
        self._rows = text.unfold(0, self.length + 1, self.length)[:rows].T

    def read(self, span: Span, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return inputs ``[T, N]`` and, one step later, targets ``[T, N]``, as int64."""
        given = self._rows[span.start : span.stop + 1, rows].long()
        return given[:-1].contiguous(), given[1:].contiguous()


def spans(length: int, steps: int, generator: torch.Generator | None = None) -> list[Span]:
    """Split L time steps into spans of ``steps``, or of about as many with a generator.

    Raises:
        ArgumentError: ``steps`` is below 1.

    >>> spans(5, 2)
    [Span(start=0, stop=2), Span(start=2, stop=4), Span(start=4, stop=5)]
    """
    if steps < 1:
        raise ArgumentError(f"a span needs at least 1 step, got {steps}")
    borders = [0]
    for size in _sizes(steps, generator):
        if borders[-1] >= length:
            break
        borders.append(min(borders[-1] + size, length))
    return [Span(start, stop) for start, stop in pairwise(borders)]


def _sizes(steps: int, generator: torch.Generator | None) -> Iterator[int]:
    while True:
        if generator is None:
            yield steps
            continue
        middle = steps / 2 if torch.rand((), generator=generator) < _HALVED else steps
        drawn = middle + _SPREAD * float(torch.randn((), generator=generator))
        yield max(min(_FEWEST, steps), round(drawn))
