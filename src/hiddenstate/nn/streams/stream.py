"""Runs one time step at a time and carries the state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.modes import without_autocast
from hiddenstate.engine.call import PathReport
from hiddenstate.errors import ArgumentTypeError, RankError, ShapeError
from hiddenstate.nn.streams.stream_arrays import Array, as_tensor, check_out
from hiddenstate.nn.streams.stream_state import Moment, Rows, Runner, States, StreamState
from hiddenstate.structure.names import AxisOrder, from_time_first, to_time_first
from hiddenstate.structure.sizes import Sizes


class Stream(StreamState):
    """A running layer, which takes one step (or a chunk) at a time and keeps the state. Created by ``stream``.

    Chunks of any size give the same results as the whole sequence at once. A stream computes no gradients and no
    dropout, and always uses the type of the weights, even under autocast. It picks up changes of the LSTM's weights
    through optimisers, ``load_state_dict`` and any other write that torch's version counters register; after a write
    that they miss, such as one through ``.data``, call `hiddenstate.repack`. A stream's state changes with each call,
    so use one stream per thread.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.LSTM(4, 3).stream()
    >>> stream.step(torch.zeros(4)).shape
    torch.Size([3])
    """

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Streams are created by ``stream`` of a layer.

        Raises:
            ArgumentTypeError: always.
        """
        raise ArgumentTypeError(
            "hs.Stream is not called: create a stream with layer.stream(batch=1), where layer is a hiddenstate.LSTM, "
            "GRU or RNN"
        )

    @classmethod
    def _of(cls, runner: Runner, sizes: Sizes, batch: int, like: Callable[[], Tensor], layout: AxisOrder) -> "Stream":
        """Create a stream; the arguments are those of `StreamState`."""
        stream = cls.__new__(cls)
        StreamState.__init__(stream, runner, sizes, batch, like, layout)
        return stream

    def step(self, x: Array, *, rows: Rows | None = None, out: Array | None = None) -> Array:
        """Read one time step.

        Args:
            x: ``[N, C]``, or ``[C]`` if the batch is 1; a tensor, or a NumPy array of the same type.
            rows: the distinct rows that take this step; x is then ``[n, C]``, in their order, and the other rows wait.
                All rows if None.
            out: an array to write the result to, with its shape, a tensor or NumPy array like x; this saves an
                allocation at each step.

        Returns:
            The last layer's hidden state, ``[N, P]`` or ``[P]`` depending on x, ``[n, P]`` with ``rows``; a NumPy array
            if x is one.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: an argument does not fit.
            IndexRangeError, ArgumentError: an edit in force does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if rows is not None:
            done = self._quick_rows(x, rows, out)
            return self._step_of_checked_rows(x, rows, out) if done is None else done
        step = self._now.step
        if step is not None:
            done = step(x, out)
            if done is not None:
                return done  # type: ignore[no-any-return]
        return self._step(x, out)

    def _step(self, x: Array, out: Array | None) -> Array:
        """Take a step with all checks; the following steps then use the quick step, if possible."""
        given: Tensor = self._tensor(x, "x")
        step = self._one_step(given)
        shape = (*given.shape[:-1], self._sizes.output_size)
        if out is not None:
            check_out(out, x, shape, self._like())
        done = self._feed(step).view(shape)
        with self._alone():
            self._find_quick()
        return self._give(done, x, out)

    def _one_step(self, given: Tensor) -> Tensor:
        """Return the input of a step as ``[1, N, C]``; raises RankError if its rank is wrong."""
        if given.dim() != 2 and not (given.dim() == 1 and self.batch == 1):
            allowed = "[N, C] or [C]" if self.batch == 1 else "[N, C]"
            raise RankError(
                f"a step must be {allowed}, got {given.dim()}D of shape {list(given.shape)}; feed() takes chunks"
            )
        return given.unsqueeze(0) if given.dim() == 2 else given.view(1, 1, -1)

    def _quick_rows(self, x: Array, rows: Rows, out: Array | None) -> Array | None:
        """Take a step of some rows in one native call, or return None if that is not possible for these arguments."""
        now = self._now
        return None if now.quick is None else now.quick.step_rows(x, rows, now.rows.free, out)

    def _step_of_checked_rows(self, x: Array, rows: Rows, out: Array | None) -> Array:
        """Take a step of some rows with all checks, for any form of arguments."""
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
            chunk: ``[T, N, C]``, or ``[N, T, C]`` if the LSTM is ``batch_first``; T may be 0. A tensor, or a NumPy
                array of the same type.

        Returns:
            The last layer's hidden state at each step, ``[T, N, P]`` or ``[N, T, P]``; a NumPy array if the chunk is
            one.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: an argument does not fit.
            IndexRangeError, ArgumentError: an edit in force does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        given: Tensor = self._tensor(chunk, "chunk")
        if given.dim() != 3:
            form = "[N, T, C]" if self._layout == "NT" else "[T, N, C]"
            raise RankError(f"a chunk must be {form}, got {given.dim()}D of shape {list(given.shape)}")
        done = from_time_first(self._feed(to_time_first(given, self._layout)), self._layout)
        return self._give(done, chunk, None)

    def path(self, x: Array) -> PathReport:
        """Report which path a step or a chunk takes, and why no faster one can run it, as `LSTM.path` does.

        Args:
            x: a step, as for `step`, or a chunk, as for `feed`.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError, ArgumentError: as for a step.
        """
        given: Tensor = self._tensor(x, "x")
        if given.dim() not in (1, 2, 3):
            raise RankError(f"give a step [N, C] or a chunk [T, N, C], got {given.dim()}D of shape {list(given.shape)}")
        chunk = to_time_first(given, self._layout) if given.dim() == 3 else self._one_step(given)
        self._check_chunk(chunk)
        with without_autocast(self._like().device.type), torch.no_grad():
            return self._runner.path(chunk, self._state, self.t)

    def _tensor(self, value: object, name: str) -> Tensor:
        """Return the value as a tensor with the weights' type, on their device."""
        return as_tensor(value, name, self._like())

    def _give(self, done: Tensor, like: Array, out: Array | None) -> Array:
        """Return the result as a tensor or NumPy array like the input, or written to ``out``."""
        if out is not None:
            self._tensor(out, "out").copy_(done)
            return out
        return done.numpy() if isinstance(like, np.ndarray) else done

    def _feed(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Read ``[T, N, C]`` and return ``[T, N, P]``; only for the rows of an index ``[n]``, if there is one."""
        if index is None:
            self._check_chunk(x)
        self._check_state()
        if not len(x):
            return x.new_zeros(0, x.shape[1], self._sizes.output_size)
        like = self._like()
        with self._alone(), torch.no_grad(), without_autocast(like.device.type):
            out, state = self._run(x.to(like.dtype), index)
            self._advance(state, self.t + len(x))
        return out

    def _check_chunk(self, x: Tensor) -> None:
        want = (len(x), self.batch, self._sizes.input_size)
        if x.shape != want:
            raise ShapeError(
                f"got {list(x.shape[1:])} features per step, expected [N, C] = {list(want[1:])}: this stream was "
                f"made for batch={self.batch}"
            )

    def _run(self, x: Tensor, index: Tensor | None) -> tuple[Tensor, States]:
        state = tuple(part.clone() for part in self._state)  # because in-place writes may be interrupted
        if index is None:
            return self._runner.run(x, state, self.t)
        if not len(index):
            return x.new_empty(len(x), 0, self._sizes.output_size), self._state
        # Edits name rows of the whole stream, so all rows are run, and the waiting ones are restored.
        every = x.new_zeros(len(x), self.batch, x.shape[2]).index_copy_(1, index, x)
        before = tuple(part.clone() for part in self._state)
        out, after = self._runner.run(every, state, self.t)
        for was, part in zip(before, after, strict=True):
            was.index_copy_(1, index, part.index_select(1, index).to(was.dtype))
        return out.index_select(1, index), before

    def fork(self) -> "Stream":
        """Return a second stream that continues from this one's state; from then on, the two are independent."""
        other = Stream.__new__(Stream)
        with self._alone():
            now = Moment(tuple(part.clone() for part in self._state), self.t, self._rows.copy())
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
        return f"Stream(batch={self.batch}, t={self.t})"
