"""One time step at a time, with the state carried."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import shown
from hiddenstate.base.validation import State, autocasts, check_pair, check_tensor
from hiddenstate.engine.kernels import real_type
from hiddenstate.engine.packed import SHARED, QuickStep
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConcurrentUseError,
    DtypeError,
    FileFormatError,
    RankError,
    ShapeError,
)
from hiddenstate.nn import stream_file
from hiddenstate.nn.runner import Runner
from hiddenstate.nn.stream_arrays import Array, as_tensor, check_mask, check_out
from hiddenstate.structure.axis_order import Layout, from_time_first, to_time_first
from hiddenstate.structure.sizes import Sizes


class Stream:
    """A running LSTM: give it one step (or a chunk), it remembers the state. Made by `hiddenstate.LSTM.stream`.

    Chunks of any size give the same numbers as the whole sequence at once. A stream computes no gradients and no
    dropout, and keeps to the type of the weights, under autocast too. It follows the LSTM's weights: optimisers,
    ``load_state_dict`` and any other write but one in place through ``.data``, of which torch keeps no record; `reset`
    makes it look. Its state changes with each call, so use one stream per thread.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.LSTM(4, 3).stream()
    >>> stream.step(torch.zeros(4)).shape
    torch.Size([3])
    """

    def __init__(
        self, runner: Runner, sizes: Sizes, batch: int, like: Callable[[], Tensor], layout: Layout = "TN"
    ) -> None:
        """Use `hiddenstate.LSTM.stream`. ``like`` gives a weight, whose type and device everything must have."""
        if isinstance(batch, bool) or not isinstance(batch, int):
            raise ArgumentTypeError(f"batch must be an int, got {type(batch).__name__}")
        if batch < 1:
            raise ArgumentError(f"batch must be at least 1, got {shown(batch)}")
        if sizes.bidirectional:
            raise ArgumentError(
                "a bidirectional LSTM can't be streamed: its reverse direction begins at the last step, which has not "
                "come yet. Use bidirectional=False"
            )
        self._runner = runner
        self._sizes = sizes
        self._batch = batch
        self._like = like
        self._layout = layout
        self._at_work = False
        self._quick: QuickStep | None = None
        self.reset()

    @property
    def batch(self) -> int:
        """How many sequences run side by side, N."""
        return self._batch

    @property
    def sizes(self) -> Sizes:
        """The sizes of the LSTM that runs."""
        return self._sizes

    @property
    def layout(self) -> Layout:
        """The order of the axes of a chunk: ``"TN"``, or ``"NT"`` when the LSTM is ``batch_first``."""
        return self._layout

    def weights(self) -> dict[str, Tensor]:
        """The weights of the LSTM that runs, under torch's names."""
        return self._runner.weights()

    @property
    def t(self) -> int:
        """Time steps taken since the stream began or was last reset as a whole."""
        return self._t

    @property
    def state(self) -> State:
        """Copies of ``h [L, N, P]`` and ``c [L, N, H]``; assign a pair of such tensors to go on from there.

        A stream in bfloat16 on CPU keeps c in float32: here it is rounded, and in `fork` and `save` it is not. Either
        type may be assigned.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: on assignment, what does not fit.
        """
        with self._alone():
            h, c = self._state
            return h.clone(), c.to(h.dtype, copy=True)

    @state.setter
    def state(self, value: State) -> None:
        given, like = check_pair(value, "state"), self._like()
        h, c = check_tensor(given[0], "h", like), check_tensor(given[1], "c", self._like_c(given[1]))
        for name, part, want in zip("hc", (h, c), self._state_shapes(), strict=True):
            if part.shape != want:
                raise ShapeError(f"{name} has shape {list(part.shape)}, expected [L, N, units] = {list(want)}")
        with self._alone():
            self._keep(h.detach().to(like.dtype, copy=True), c.detach().clone())

    def step(self, x: Array, *, out: Array | None = None) -> Array:
        """Read one time step.

        Args:
            x: ``[N, C]``; ``[C]`` also serves when the batch is 1. A tensor, or a NumPy array of the same type.
            out: where to write the result, of its shape and of x's kind; saves making a new one at each step.

        Returns:
            The last layer's hidden state, ``[N, P]`` or ``[P]`` as x came; a NumPy array if x is one.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: what does not fit.
            IndexRangeError, ArgumentError: an edit that holds does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if self._quick is not None:
            done = self._quick.step(x, out)
            if done is not None:
                self._t += 1
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
        self._quick = self._runner.quick(self._state, self._quick)
        return self._give(done, x, out)

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

    def _feed(self, x: Tensor) -> Tensor:
        """Read ``[T, N, C]``, give ``[T, N, P]``."""
        want = (len(x), self._batch, self._sizes.input_size)
        if x.shape != want:
            raise ShapeError(
                f"got {list(x.shape[1:])} features a step, expected [N, C] = {list(want[1:])}: this stream was "
                f"made for batch={self._batch}"
            )
        self._check_state()
        if not len(x):
            return x.new_zeros(0, self._batch, self._sizes.output_size)
        like = self._like()
        uncast = torch.autocast(like.device.type, enabled=False) if autocasts(like.device.type) else nullcontext()
        with self._alone(), torch.no_grad(), uncast:
            out, state = self._runner.run(x.to(like.dtype), self._state, self._t)
            self._keep(*state)
            self._t += len(x)
        return out

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread."""
        quick = self._quick
        if self._at_work or (quick is not None and not quick.native.enter()):
            raise ConcurrentUseError(SHARED)
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False
            if quick is not None:
                quick.native.leave()

    def _keep(self, h: Tensor, c: Tensor) -> None:
        self._state = h.contiguous(), c.to(real_type(h.dtype)).contiguous()
        if self._quick is not None and not self._quick.writes(self._state):
            self._quick = None

    def _like_c(self, c: object) -> Tensor:
        """Whose type a cell state must have: a weight's, or that in which it is kept."""
        like = self._like()
        kept = real_type(like.dtype)
        return like.new_empty(0, dtype=kept) if isinstance(c, Tensor) and c.dtype is kept else like

    def _check_state(self) -> None:
        like, state = self._like(), self._state[0]
        if (state.dtype, state.device) != (like.dtype, like.device):
            raise DtypeError(
                f"the LSTM went from {state.dtype} on {state.device} to {like.dtype} on {like.device} while this "
                "stream ran: reset() the stream, or assign its state anew"
            )

    def reset(self, mask: Tensor | None = None) -> None:
        """Zero the state: of all rows, or of those where the mask (bool ``[N]``) is True.

        Without a mask the count of steps, ``t``, begins again too.

        Raises:
            ArgumentTypeError, ShapeError: the mask is not a bool tensor of shape ``[N]``.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if mask is None:
            with self._alone():
                self._t, self._quick = 0, None
                self._runner.forget()
                self._keep(*self._zeros())
            return
        check_mask(mask, self._batch, self._like())
        begins = mask.to(self._like().device)[:, None]
        with self._alone():
            self._keep(*(torch.where(begins, 0, part) for part in self._state))

    def fork(self) -> "Stream":
        """Return a second stream that goes on from this one's state; from here on they are apart."""
        other = Stream.__new__(Stream)
        with self._alone():
            h, c = self._state
            other.__dict__.update(self.__dict__, _state=(h.clone(), c.clone()), _quick=None, _at_work=False)
        return other

    def save(self, path: str | Path) -> None:
        """Write the state and the count of steps to a safetensors file (beside, then renamed).

        Raises:
            OSError: the file cannot be written.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        with self._alone():
            h, c = self._state
            saved = stream_file.Saved((h.clone(), c.clone()), self._t)
        stream_file.save(path, saved)

    def load(self, path: str | Path) -> None:
        """Go on from a state that `save` wrote.

        Raises:
            FileFormatError: the file is not a stream's state, or one of other sizes or another type; or it is damaged.
        """
        (h, c), t = stream_file.load(path)
        device = self._like().device
        try:
            self.state = h.to(device), c.to(device)
        except (ShapeError, DtypeError) as error:
            raise FileFormatError(f"the state in {path} is not of this LSTM and batch: {error}") from error
        self._t = t

    def __getstate__(self) -> dict[str, Any]:
        """A copy finds its own quick way, to its own state."""
        return {**self.__dict__, "_quick": None}

    def __repr__(self) -> str:
        return f"Stream(batch={self._batch}, t={self._t})"

    def _state_shapes(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        L, N, sizes = self._sizes.num_layers, self._batch, self._sizes
        return (L, N, sizes.output_size), (L, N, sizes.hidden_size)

    def _zeros(self) -> State:
        like, shapes = self._like(), self._state_shapes()
        nbytes = sum(math.prod(shape) for shape in shapes) * like.itemsize
        try:
            if nbytes >= 2**63:
                raise MemoryError("no tensor has so many")
            h, c = (like.new_zeros(shape) for shape in shapes)
        except (RuntimeError, MemoryError) as error:
            raise ArgumentError(
                f"the state of a stream of batch={shown(self._batch)} takes {shown(nbytes)} bytes, which there are not:"
                " take fewer sequences at a time"
            ) from error
        return h, c
