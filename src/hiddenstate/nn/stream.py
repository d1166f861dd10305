"""One time step at a time, with the state carried."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.validation import State, autocasts
from hiddenstate.errors import RankError, ShapeError
from hiddenstate.nn.stream_arrays import Array, as_tensor, check_out
from hiddenstate.nn.stream_rows import Rows
from hiddenstate.nn.stream_state import Moment, StreamState
from hiddenstate.structure.axis_order import from_time_first, to_time_first


class Stream(StreamState):
    """A running LSTM: give it one step (or a chunk), it remembers the state. Made by `hiddenstate.LSTM.stream`.

    Chunks of any size give the same numbers as the whole sequence at once. A stream computes no gradients and no
    dropout, and keeps to the type of the weights, under autocast too. It follows the LSTM's weights: optimisers,
    ``load_state_dict`` and any other write that torch counts; after one that it does not, such as one through
    ``.data``, call `hiddenstate.repack`. Its state changes with each call, so use one stream per thread.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.LSTM(4, 3).stream()
    >>> stream.step(torch.zeros(4)).shape
    torch.Size([3])
    """

    def step(self, x: Array, *, rows: Rows | None = None, out: Array | None = None) -> Array:
        """Read one time step.

        Args:
            x: ``[N, C]``; ``[C]`` also serves when the batch is 1. A tensor, or a NumPy array of the same type.
            rows: the rows that take this step, each once; x is ``[n, C]`` then, in their order. The others wait. All
                rows when None.
            out: where to write the result, of its shape and of x's kind; saves making a new one at each step.

        Returns:
            The last layer's hidden state, ``[N, P]`` or ``[P]`` as x came, ``[n, P]`` with ``rows``; a NumPy array if x
            is one.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: what does not fit.
            IndexRangeError, ArgumentError: an edit that holds does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if rows is not None:
            return self._step_of_rows(x, rows, out)
        step = self._now.step
        if step is not None:
            done = step(x, out)
            if done is not None:
                return done  # type: ignore[no-any-return]
        return self._step(x, out)

    def _step(self, x: Array, out: Array | None) -> Array:
        """A step with every check, after which the next ones go the quick way, if they can."""
        given: Tensor = self._tensor(x, "x")
        if given.dim() != 2 and not (given.dim() == 1 and self._batch == 1):
            allowed = "[N, C] or [C]" if self._batch == 1 else "[N, C]"
            raise RankError(
                f"a step must be {allowed}, got {given.dim()}D of shape {list(given.shape)}; feed() takes chunks"
            )
        shape = (*given.shape[:-1], self._sizes.output_size)
        if out is not None:
            check_out(out, x, shape, self._like())
        done = self._feed(given.view(1, self._batch, -1) if given.dim() == 1 else given.unsqueeze(0)).view(shape)
        with self._alone():
            self._find_quick()
        return self._give(done, x, out)

    def _step_of_rows(self, x: Array, rows: Rows, out: Array | None) -> Array:
        done = self._quick_rows(x, rows, out)
        return self._step_of_checked_rows(x, rows, out) if done is None else done

    def _quick_rows(self, x: Array, rows: Rows, out: Array | None) -> Array | None:
        """A step of some rows in one native call, or None where that does not serve, or not in this form."""
        now = self._now
        return None if now.quick is None else now.quick.step_rows(x, rows, now.rows.free, out)

    def _step_of_checked_rows(self, x: Array, rows: Rows, out: Array | None) -> Array:
        """A step of some rows with every check, which may be given in a form that only this reads."""
        index, given = self._index(rows), self._tensor(x, "x")
        want = (len(index), self._sizes.input_size)
        if given.shape != want:
            raise ShapeError(f"x has shape {list(given.shape)}, expected [n, C] = {list(want)} for {len(index)} rows")
        if out is not None:
            check_out(out, x, (len(index), self._sizes.output_size), self._like())
        with self._alone():
            self._to_write()
            self._find_quick()
        done = self._quick_rows(x, index, out)
        return self._give(self._feed(given.unsqueeze(0), index)[0], x, out) if done is None else done

    def feed(self, chunk: Array) -> Array:
        """Read several time steps.

        Args:
            chunk: ``[T, N, C]``, or ``[N, T, C]`` when the LSTM is ``batch_first``; T may be 0. A tensor, or a NumPy
                array of the same type.

        Returns:
            The last layer's hidden state at each step, ``[T, N, P]`` or ``[N, T, P]``, in an array of the chunk's kind.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: what does not fit.
            IndexRangeError, ArgumentError: an edit that holds does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        given: Tensor = self._tensor(chunk, "chunk")
        if given.dim() != 3:
            form = "[N, T, C]" if self._layout == "NT" else "[T, N, C]"
            raise RankError(f"a chunk must be {form}, got {given.dim()}D of shape {list(given.shape)}")
        done = from_time_first(self._feed(to_time_first(given, self._layout)), self._layout)
        return self._give(done, chunk, None)

    def _tensor(self, value: object, name: str) -> Tensor:
        """The value as a tensor of the weights' type and device."""
        return as_tensor(value, name, self._like())

    def _give(self, done: Tensor, like: Array, out: Array | None) -> Array:
        """The result as an array of the kind that was given, or in the one that was given for it."""
        if out is not None:
            self._tensor(out, "out").copy_(done)
            return out
        return done.numpy() if isinstance(like, np.ndarray) else done

    def _feed(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Read ``[T, N, C]``, give ``[T, N, P]``; for the rows of an index ``[n]`` alone if there is one."""
        want = (len(x), self._batch, self._sizes.input_size)
        if index is None and x.shape != want:
            raise ShapeError(
                f"got {list(x.shape[1:])} features a step, expected [N, C] = {list(want[1:])}: this stream was "
                f"made for batch={self._batch}"
            )
        self._check_state()
        if not len(x):
            return x.new_zeros(0, x.shape[1], self._sizes.output_size)
        like = self._like()
        uncast = torch.autocast(like.device.type, enabled=False) if autocasts(like.device.type) else nullcontext()
        with self._alone(), torch.no_grad(), uncast:
            out, state = self._run(x.to(like.dtype), index)
            self._advance(state, self.t + len(x))
        return out

    def _run(self, x: Tensor, index: Tensor | None) -> tuple[Tensor, State]:
        h, c = (part.clone() for part in self._state)  # written in place, and interrupted midway perhaps
        if index is None:
            return self._runner.run(x, (h, c), self.t)
        if not len(index):
            return x.new_empty(len(x), 0, self._sizes.output_size), self._state
        # Edits name rows of the whole stream, so all of them are run, and those that wait are put back.
        every = x.new_zeros(len(x), self._batch, x.shape[2]).index_copy_(1, index, x)
        before = self._state[0].clone(), self._state[1].clone()
        out, after = self._runner.run(every, (h, c), self.t)
        for was, part in zip(before, after, strict=True):
            was.index_copy_(1, index, part.index_select(1, index).to(was.dtype))
        return out.index_select(1, index), before

    def fork(self) -> "Stream":
        """Return a second stream that goes on from this one's state; from here on they are apart."""
        other = Stream.__new__(Stream)
        with self._alone():
            h, c = self._state
            now = Moment((h.clone(), c.clone()), self.t, self._rows.copy())
            other.__dict__.update(self.__dict__, _now=now, _turn={})
        return other

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in self.__dict__.items() if name not in ("_now", "_turn")}
        return {**own, "_state": self._state, "_t": self.t, "_rows": self._rows.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        now = Moment(state.pop("_state"), state.pop("_t"), state.pop("_rows"))
        self.__dict__.update(state, _now=now, _turn={})

    def __repr__(self) -> str:
        return f"Stream(batch={self._batch}, t={self.t})"
