"""Streams that can be watched while they run; they never wait for viewers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.errors import ShapeError
from hiddenstate.nn.streams.stream import Stream
from hiddenstate.nn.streams.stream_arrays import Array
from hiddenstate.studio.messages import Audience, BeginMessage, Floats, StepMessage, Subscriber


class LiveStream:
    """A `hiddenstate.Stream` that can be watched while it runs: use it in place of the stream, for steps of all rows.

    >>> import hiddenstate as hs, torch
    >>> stream = LiveStream(hs.LSTM(4, 3).stream())
    >>> stream.step(torch.zeros(4), token="a").shape
    torch.Size([3])

    Args:
        stream: the stream to run.
        row: the batch row to show.

    Raises:
        IndexRangeError: the stream has no such row.
        ArgumentTypeError: the row is not an int.
    """

    def __init__(self, stream: Stream, row: int = 0) -> None:
        self.stream = stream
        self.row = resolve_one(row, stream.batch, "row")
        self.audience = Audience()
        self._told = -1  # the step that viewers expect next

    def step(self, x: Array, token: str | None = None, *, out: Array | None = None) -> Array:
        """Read one time step, as `hiddenstate.Stream.step` does; ``token`` is the word to show for it."""
        lookers = self.audience.lookers
        if not lookers:
            return self.stream.step(x, out=out)
        self._begin(lookers)
        result = self.stream.step(x, out=out)
        self._tell(lookers, x, token)
        return result

    def feed(self, chunk: Array, tokens: Sequence[str] | None = None) -> Array:
        """Read several time steps, as `hiddenstate.Stream.feed` does; ``tokens`` are the words to show for them.

        Raises:
            ShapeError: the numbers of tokens and steps differ.
        """
        axis = 1 if self.stream.layout == "NT" else 0
        if tokens is not None and chunk.ndim == 3 and len(tokens) != chunk.shape[axis]:
            raise ShapeError(f"got {len(tokens)} tokens for {chunk.shape[axis]} steps; give one for each")
        if not self.audience.lookers or chunk.ndim != 3 or not chunk.shape[axis]:
            return self.stream.feed(chunk)
        words = [None] * chunk.shape[axis] if tokens is None else tokens
        outputs = [self.step(chunk[:, t] if axis else chunk[t], word) for t, word in enumerate(words)]
        if isinstance(chunk, np.ndarray):
            return np.stack(outputs, axis)
        return torch.stack(outputs, axis)

    def reset(self, mask: Tensor | None = None, **where: Any) -> None:
        """Set the state, as `hiddenstate.Stream.reset` does, with the same arguments."""
        self.stream.reset(mask, **where)
        self._told = -1

    def load(self, path: str | Path) -> None:
        """Continue from a saved state, as `hiddenstate.Stream.load` does."""
        self.stream.load(path)
        self._told = -1

    @property
    def state(self) -> Any:
        """The stream's state; assign a state to continue from it."""
        return self.stream.state

    @state.setter
    def state(self, value: Any) -> None:
        self.stream.state = value
        self._told = -1

    def _begin(self, lookers: tuple[Subscriber, ...]) -> None:
        """Send the state before the next step to viewers that don't have it."""
        known = self._told == self.stream.t
        unaware = [looker for looker in lookers if not (known and looker.begun)]
        if unaware:
            states = self._states()
            for looker in unaware:
                looker.put(BeginMessage(self.stream.t, **states))
                looker.begun = True

    def _tell(self, lookers: tuple[Subscriber, ...], x: Array, token: str | None) -> None:
        word = None if token is None else str(token)
        message = StepMessage(self.stream.t - 1, word, _floats(x if x.ndim == 1 else x[self.row]), **self._states())
        for looker in lookers:
            looker.put(message)
        self._told = self.stream.t

    def _states(self) -> dict[str, Floats]:
        kind = self.stream.sizes.kind
        states = zip(kind.carried, kind.parts_of(self.stream.state), strict=True)
        return {name: _floats(value[:, self.row]) for name, value in states}

    def __getattr__(self, name: str) -> Any:
        """Delegate everything else to the stream."""
        if name == "stream" or name.startswith("__"):  # looked up by copy while an object is only partly built
            raise AttributeError(name)
        return getattr(self.stream, name)

    def __repr__(self) -> str:
        return f"LiveStream({self.stream!r})"


def _floats(values: Array) -> Floats:
    """Copy numbers that the stream may overwrite."""
    if isinstance(values, np.ndarray):
        return values.astype(np.float32)
    return values.detach().to("cpu", torch.float32, copy=True).numpy()
