"""Runs one time step at a time and carries the state."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.modes import without_autocast
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.scoped import to_the_end
from hiddenstate.base.validation import check_state, check_tensor
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import StepSpan, edits_in_force, resolve_edits, scoped_edits
from hiddenstate.engine import dispatch
from hiddenstate.engine.call import Call, PathReport
from hiddenstate.engine.kernels import state_types
from hiddenstate.engine.paths import native_path
from hiddenstate.engine.paths.packed import FastStep, StreamSteps
from hiddenstate.engine.weights import check_weights
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, FileFormatError, RankError, ShapeError
from hiddenstate.nn.packed_weights import Packed, fingerprint, shared_weights, weights_for_call
from hiddenstate.nn.recurrent_parameters import RecurrentParameters
from hiddenstate.nn.streams import stream_file
from hiddenstate.nn.streams.stream_arrays import Array, as_tensor, check_out
from hiddenstate.nn.streams.stream_state import Rows, RowStream, States, StreamState, new_states
from hiddenstate.structure.names import AxisOrder, from_time_first, to_time_first
from hiddenstate.structure.sizes import Sizes


class Stream(RowStream):
    """A running layer, which takes one step (or a chunk) at a time and keeps the state. Created by ``stream``.

    Chunks of any size give the same results as the whole sequence at once. A stream computes no gradients and no
    dropout, and always uses the type of the weights, even under autocast. It picks up changes of the LSTM's weights
    through optimisers, ``load_state_dict`` and any other write that torch's version counters register; after a write
    that they miss, such as one through ``.data``, call `hiddenstate.repack`. A stream's state changes with each call,
    so use one stream per thread.

    The state is ``h [L, N, P]`` and ``c [L, N, H]``. Only an LSTM has c: for a GRU or RNN, read every pair below as
    only h.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.LSTM(4, 3).stream()
    >>> stream.step(torch.zeros(4)).shape
    torch.Size([3])
    """

    _lstm: RecurrentParameters
    _sizes: Sizes
    _layout: AxisOrder

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Streams are created by ``stream`` of a layer.

        Raises:
            ArgumentTypeError: always.
        """
        raise ArgumentTypeError(
            "hs.Stream can't be created directly: create a stream with layer.stream(batch=1), where layer is a "
            "hiddenstate.LSTM, GRU or RNN"
        )

    @classmethod
    def _of(cls, lstm: RecurrentParameters, batch: int) -> "Stream":
        """Create a stream that runs a layer."""
        sizes = lstm.sizes
        batch = check_at_least("batch", batch, 1)
        if sizes.bidirectional:
            raise ArgumentError(
                f"a bidirectional {sizes.kind.label} can't be streamed: its reverse direction begins at the last step, "
                "which has not come yet. Use bidirectional=False"
            )
        stream = cls.__new__(cls)
        stream._lstm, stream._sizes, stream._turn = lstm, sizes, {}
        stream._layout = "NT" if lstm.batch_first else "TN"
        stream._keep(*stream._zeros(batch), t=0, free=())
        return stream

    @cached_property
    def _packed(self) -> Packed:
        """The packed weights, which all streams of the layer share."""
        packed = shared_weights(self._lstm)
        packed.check_again()
        return packed

    @property
    def sizes(self) -> Sizes:
        """The sizes of the layer that runs."""
        return self._sizes

    @property
    def layout(self) -> AxisOrder:
        """The order of a chunk's axes: ``"TN"``, or ``"NT"`` if the LSTM is ``batch_first``."""
        return self._layout

    def weights(self) -> dict[str, Tensor]:
        """The weights of the layer that runs, under torch's names."""
        return dict(zip(self._lstm._flat_weights_names, self._lstm._flat_weights, strict=True))

    @property
    def _quick(self) -> FastStep | None:
        return self._now.quick

    def _check_weights_again(self) -> None:
        self._packed.check_again()

    def _like(self) -> Tensor:
        """Return a weight, whose type and device inputs must have."""
        return self._lstm._like()

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
            IndexRangeError, ArgumentError: an active edit does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if rows is not None:
            result = self._quick_rows(x, rows, out)
            return self._step_of_checked_rows(x, rows, out) if result is None else result
        step = self._now.step
        if step is not None:
            result = step(x, out)
            if result is not None:
                return result
        return self._step(x, out)

    def _step(self, x: Array, out: Array | None) -> Array:
        """Take a step with all checks; the following steps then use the quick step, if possible."""
        value: Tensor = self._tensor(x, "x")
        step = self._one_step(value)
        shape = (*value.shape[:-1], self._sizes.output_size)
        if out is not None:
            check_out(out, x, shape, self._like())
        result = self._feed(step).view(shape)
        with self._alone():
            self._find_quick()
        return self._give(result, x, out)

    def _one_step(self, x: Tensor) -> Tensor:
        """Return the input of a step as ``[1, N, C]``; raises RankError if its rank is wrong."""
        if x.dim() != 2 and not (x.dim() == 1 and self.batch == 1):
            allowed = "[N, C] or [C]" if self.batch == 1 else "[N, C]"
            raise RankError(f"a step must be {allowed}, got {x.dim()}D of shape {list(x.shape)}; feed() takes chunks")
        return x.unsqueeze(0) if x.dim() == 2 else x.view(1, 1, -1)

    def _quick_rows(self, x: Array, rows: Rows, out: Array | None) -> Array | None:
        """Take a step of some rows in one native call, or return None if that is not possible for these arguments."""
        now = self._now
        return None if now.quick is None else now.quick.step_rows(x, rows, now.free, out)

    def _step_of_checked_rows(self, x: Array, rows: Rows, out: Array | None) -> Array:
        """Take a step of some rows with all checks, for any form of arguments."""
        index, value = self._index(rows), self._tensor(x, "x")
        want = (len(index), self._sizes.input_size)
        if value.shape != want:
            raise ShapeError(f"x has shape {list(value.shape)}, expected [n, C] = {list(want)} for {len(index)} rows")
        if out is not None:
            check_out(out, x, (len(index), self._sizes.output_size), self._like())
        with self._alone():
            self._to_write()
            self._find_quick()
        result = self._quick_rows(x, index, out)
        return self._give(self._feed(value.unsqueeze(0), index)[0], x, out) if result is None else result

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
            IndexRangeError, ArgumentError: an active edit does not fit a stream.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        value: Tensor = self._tensor(chunk, "chunk")
        if value.dim() != 3:
            form = "[N, T, C]" if self._layout == "NT" else "[T, N, C]"
            raise RankError(f"a chunk must be {form}, got {value.dim()}D of shape {list(value.shape)}")
        out = from_time_first(self._feed(to_time_first(value, self._layout)), self._layout)
        return self._give(out, chunk, None)

    def path(self, x: Array) -> PathReport:
        """Report which path a step or a chunk takes, and why no faster one can run it, as `LSTM.path` does.

        Args:
            x: a step, as for `step`, or a chunk, as for `feed`.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError, ArgumentError: as for a step.
        """
        value: Tensor = self._tensor(x, "x")
        if value.dim() not in (1, 2, 3):
            raise RankError(f"give a step [N, C] or a chunk [T, N, C], got {value.dim()}D of shape {list(value.shape)}")
        chunk = to_time_first(value, self._layout) if value.dim() == 3 else self._one_step(value)
        self._check_chunk(chunk)
        with without_autocast(self._like().device.type), torch.no_grad():
            return dispatch.steps_report(self._steps(len(chunk)), chunk, self._state)

    def _tensor(self, value: object, name: str) -> Tensor:
        """Return the value as a tensor with the weights' type, on their device."""
        return as_tensor(value, name, self._like())

    def _give(self, result: Tensor, like: Array, out: Array | None) -> Array:
        """Return the result as a tensor or NumPy array like the input, or written to ``out``."""
        if out is not None:
            self._tensor(out, "out").copy_(result)
            return out
        return result.numpy() if isinstance(like, np.ndarray) else result

    def _feed(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Read ``[T, N, C]`` and return ``[T, N, P]``; only for the rows of an index ``[n]``, if there is one."""
        if index is None:
            self._check_chunk(x)
        like, dtype, device = self._like(), self._state[0].dtype, self._state[0].device
        if (dtype, device) != (state_types(like)[0], like.device):
            raise DtypeError(
                f"the {self._sizes.kind.label} is now {like.dtype} on {like.device}, which does not fit this stream's "
                f"state of {dtype} on {device}: reset() the stream, or assign its state again"
            )
        if not len(x):
            return x.new_zeros(0, x.shape[1], self._sizes.output_size)
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
            return self._compute(x, state)
        if not len(index):
            return x.new_empty(len(x), 0, self._sizes.output_size), self._state
        # Edits name rows of the whole stream, so all rows are run, and the waiting ones are restored.
        every = x.new_zeros(len(x), self.batch, x.shape[2]).index_copy_(1, index, x)
        before = tuple(part.clone() for part in self._state)
        out, after = self._compute(every, state)
        for was, part in zip(before, after, strict=True):
            was.index_copy_(1, index, part.index_select(1, index).to(was.dtype))
        return out.index_select(1, index), before

    def _compute(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        """Read ``x [T, N, C]``, and return ``out`` and the new state; the given one may be updated in place."""
        out, h_n, c_n, *_ = dispatch.run_steps(self._steps(len(x)), x, state)
        return out.to(x.dtype), (h_n,) if c_n is None else (h_n, c_n)

    def _steps(self, count: int) -> StreamSteps:
        edits = edits_in_force(self._lstm)
        call = partial(self._call, edits, self.t)
        return StreamSteps(count, self._hooks(), bool(edits), self._packed.stepper_or_reason, call)

    def _call(self, edits: Sequence[Edit], start: int, x: Tensor, state: States) -> Call:
        """Return the call that computes steps, the first of which is the stream's step ``start``."""
        if any(self._hooks()):
            raise ArgumentError(
                "this layer has forward hooks (added by pruning or the older weight norm, for example), which a stream "
                "would not run: make pruning or weight norm permanent, or remove the hooks"
            )
        lstm, weights = self._lstm, weights_for_call(self._lstm)
        check_weights(weights, lstm.sizes)
        resolved = resolve_edits(edits, lstm.sizes, StepSpan(len(x), x.shape[1], start, open_end=True), x.device)
        h, *more = state
        call = Call(lstm.sizes, weights, x, h, more[0] if more else None, edits=resolved)
        widens = x.dtype is torch.float16 and h.dtype is not x.dtype
        return native_path.cast("native float16", call) if widens else call

    def _hooks(self) -> list[dict[int, Any]]:
        return [self._lstm._forward_pre_hooks, self._lstm._forward_hooks]

    def _find_quick(self) -> None:
        """Find the quick step, which remains valid until something changes; none if it is not possible."""
        now, steps = self._now, self._steps(1)
        stepper = steps.packed[0] if dispatch.why_not_packed(steps) is None else None
        if now.quick is not None and now.quick.stepper is stepper and now.quick.writes(now.tensors):
            return
        quick = None
        types = [part.dtype for part in now.tensors]
        if stepper is not None and types == [stepper.kernel.element, stepper.kernel.real][: len(types)]:
            quick = stepper.quick(now.tensors)
            quick.native.take_turns(self._turn)
            quick.native.guard_parameters(self._packed.stored, self._packed.named())
            quick.native.guard_empty([*self._hooks(), stepper.outdated], [scoped_edits, dispatch.chosen_backends])
            # The guard has just read the versions. If another thread wrote to the weights after they were packed, the
            # packed ones are stale.
            quick = quick if self._packed.stepper() is stepper else None
        if quick is not now.quick:
            self._now = StreamState(now.tensors, now.t, now.free, quick)

    @property
    def _state_type(self) -> torch.dtype:
        """The type of the states that are handed out: the weights', unless that has changed while the stream ran."""
        like, kept = self._like(), self._state[0].dtype
        return like.dtype if state_types(like)[0] is kept else kept

    @property
    def state(self) -> Any:
        """Copies of ``h [L, N, P]`` and ``c [L, N, H]``; assign a pair of such tensors to continue from it.

        On the CPU, a bfloat16 stream keeps c in float32, and a float16 stream keeps both. They are rounded here, but
        not in `fork` and `save`. Either type may be assigned.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: on assignment, the state does not fit.
        """
        with self._alone():
            return self._sizes.kind.as_given([part.to(self._state_type, copy=True) for part in self._state])

    @state.setter
    def state(self, value: Any) -> None:
        self._set_state(value, None)

    def _set_state(self, value: object, t: int | None) -> None:
        h, *more = self._checked_state(value, self.batch)
        with self._alone():
            self._keep(h.to(state_types(self._like())[0], copy=True), *(c.clone() for c in more), t=t)

    def _checked_state(self, value: object, n: int | None, name: str = "state") -> States:
        """Check a state of n rows, ``[L, n, units]``, or of one row, ``[L, units]``, if n is None."""
        names, like = self._sizes.kind.carried, self._like()
        parts = check_state(value, name, len(names))
        kept = state_types(like)
        likes = [self._like_kept(part, dtype) for part, dtype in zip(parts, kept, strict=False)]
        state = tuple(map(check_tensor, parts, names, likes))
        for name, part, (L, _, units) in zip(names, state, self._state_shapes(n or 1), strict=True):
            form, want = ("[L, units]", (L, units)) if n is None else ("[L, N, units]", (L, n, units))
            if part.shape != want:
                raise ShapeError(f"{name} has shape {list(part.shape)}, expected {form} = {list(want)}")
        return tuple(part.detach() for part in state)

    def _like_kept(self, part: object, kept: torch.dtype) -> Tensor:
        """Return a tensor with the type that a part of a state must have: the weights' type, or the stored one."""
        like = self._like()
        return like.new_empty(0, dtype=kept) if isinstance(part, Tensor) and part.dtype is kept else like

    def state_of(self, rows: Rows) -> Any:
        """Return copies of the states of rows: ``h [L, n, P]`` and ``c [L, n, H]``; ``[L, P]``, ``[L, H]`` for an int.

        Raises:
            ArgumentTypeError, IndexRangeError, ArgumentError: the stream has no such rows.
        """
        index = self._index(rows)
        with self._alone():
            parts = [part.index_select(1, index) for part in self._state]
        parts = [part.to(self._state_type) for part in parts]
        return self._sizes.kind.as_given([part[:, 0] for part in parts] if isinstance(rows, int) else parts)

    def _begin(self, to: object, n: int) -> States:
        """Return the state that n rows are reset to, ``[L, n, units]``, or ``[L, 1, units]`` for all of them."""
        first = check_state(to, "to", len(self._sizes.kind.carried))[0]
        if isinstance(first, Tensor) and first.dim() == 2:
            return tuple(part[:, None] for part in self._checked_state(to, None, "to"))
        return self._checked_state(to, n, "to")

    def load(self, path: str | Path) -> None:
        """Continue from a state that `save` wrote, in a stream of a layer with the same weights.

        Raises:
            FileFormatError: the file is damaged, is not a stream's state, has a different cell, sizes or type, or was
                computed with other weights.
        """
        kind, like = self._sizes.kind, self._like()
        saved = stream_file.load(path, kind.name, kind.carried)
        # Another machine may have kept in float32 what this one rounds at each step.
        widened = torch.float32 if like.itemsize < torch.float32.itemsize else None
        parts = zip(saved.state.values(), state_types(like), strict=False)
        state = kind.as_given([part.to(like.device, kept if part.dtype is widened else None) for part, kept in parts])
        try:
            self._checked_state(state, self.batch)
        except (ShapeError, DtypeError) as error:
            raise FileFormatError(f"the state in {path} does not fit this {kind.label} and batch: {error}") from error
        stream_file.check_weights(path, saved, self._fingerprint())
        self._set_state(state, saved.t)

    @property
    def _file_kind(self) -> str:
        return self._sizes.cell

    def _named(self) -> dict[str, Tensor]:
        return dict(zip(self._sizes.kind.carried, self._state, strict=True))

    def _fingerprint(self) -> str:
        return fingerprint(self._lstm._named_weights())

    def _keep(self, *state: Tensor, t: int | None = None, free: Sequence[int] | None = None) -> None:
        kept = zip(state, state_types(state[0]), strict=False)
        state = tuple(part.to(dtype).contiguous() for part, dtype in kept)
        self._now = StreamState(state, self.t if t is None else t, self._now.free if free is None else free)

    def _advance(self, state: States, t: int) -> None:
        now = self._now
        types = [part.dtype for part in now.tensors], [part.dtype for part in state]
        if now.quick is None or types[0] != types[1] or any(part.is_inference() for part in now.tensors):
            self._keep(*state, t=t)
        else:
            to_the_end(partial(now.become, state, t))

    def _state_shapes(self, batch: int) -> list[tuple[int, int, int]]:
        sizes = self._sizes
        return [(sizes.num_layers, batch, sizes.units(name)) for name in sizes.kind.carried]

    def _zeros(self, batch: int) -> States:
        like = self._like()
        return new_states(zip(self._state_shapes(batch), state_types(like), strict=False), like.device, batch)

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in self.__dict__.items() if name not in ("_now", "_turn", "_packed")}
        return {**own, "_state": self._state, "_t": self.t, "_free": [*self._now.free]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        parts, t, free = (state.pop(name) for name in ("_state", "_t", "_free"))
        self.__dict__.update(state, _turn={})
        self._keep(*parts, t=t, free=free)

    def __repr__(self) -> str:
        return f"Stream(batch={self.batch}, t={self.t})"
