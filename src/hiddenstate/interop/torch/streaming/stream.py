"""`stream`: runs a whole module one step or chunk at a time, with the states of all its layers."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base import scoped
from hiddenstate.base.memory import MOST_BYTES, check_memory_of, check_module_memory
from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.base.modes import without_autocast
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.scoped import lasting, to_the_end
from hiddenstate.base.validation import check_tensor
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.interop.torch.streaming.carrying import CarriedCall
from hiddenstate.interop.torch.streaming.finding import (
    ModelForm,
    find_form,
    quoted,
    read_arguments,
    refuse_training,
    unsteady_parts,
)
from hiddenstate.interop.torch.streaming.verifying import refuse_unsteady, verify
from hiddenstate.nn.packed_weights import fingerprint
from hiddenstate.nn.streams import stream_file
from hiddenstate.nn.streams.stream_arrays import Array, as_tensor, check_out
from hiddenstate.nn.streams.stream_state import Rows, RowStream, States, StreamState, new_states
from hiddenstate.tracing.traceable import find_recordable, refuse_keras
from hiddenstate.tracing.watch import Snapshot


def stream(
    model: nn.Module, /, *args: Any, batch: int | None = None, layout: str | None = None, **kwargs: Any
) -> "ModelStream":
    """Return a `ModelStream`, which runs a whole module one step or chunk at a time and carries its states.

    Every recurrent layer and cell of the module that runs over time, torch's and ours, continues from its last state,
    and every causal ``Conv1d`` from its last inputs. The module is neither copied nor changed, and its weights are
    shared; torch's layers run on the engine. Initial states and padding that the module makes itself apply to the first
    step of a row.

    The module is first tested on at most 128 steps and 3 rows of the example; one of fewer than 15 steps is repeated.
    Chunks of 1, 2 and 7 steps, the whole sequence, and single rows must all give the module's own results for the whole
    sequence. Otherwise the module is refused, and the error names the part and the reason. The example is run about a
    hundred times.

    Args:
        model: any module.
        args: what the module is called with: an example of its input, a tensor, and other arguments, which stay the
            same in all steps and rows.
        batch: how many sequences run side by side; if None, as many as the example has rows.
        layout: a letter for each axis of the input, N for rows and T for time steps, such as "NTC", "TNC", "NCT" or
            "TC"; without T, a call of the module is one step. If None, it is the order in which the module's layers
            read it.
        kwargs: keyword arguments of the module.

    Raises:
        ArgumentTypeError: the model is not a module, or the example has no tensor.
        ArgumentError: the module can't be streamed, the layout does not fit, or ``batch`` is below 1.
        DtypeError: a tensor's memory was freed.

    >>> import torch, hiddenstate as hs
    >>> class Tagger(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm, self.head = torch.nn.LSTM(4, 8, batch_first=True), torch.nn.Linear(8, 2)
    ...
    ...     def forward(self, x):
    ...         return self.head(self.lstm(x)[0])
    >>> model, x = Tagger().eval(), torch.randn(1, 20, 4)
    >>> stream = hs.stream(model, x)
    >>> stream.step(x[0, 0]).shape, stream.feed(x[:, 1:]).shape
    (torch.Size([2]), torch.Size([1, 19, 2]))
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"stream takes a torch.nn.Module, got {readable_name(type(model))}")
    refuse_keras(model)
    check_module_memory(model)
    named = {**{f"argument {k}": value for k, value in enumerate(args)}, **kwargs}
    check_memory_of(named.items())
    example = read_arguments(args, kwargs)
    nbytes = example.x.numel() * example.x.element_size()
    if nbytes > MOST_BYTES or not nbytes:
        raise ArgumentError(
            f"the example, {list(example.x.shape)}, takes {nbytes:,} bytes, expected 1 to {MOST_BYTES:,}: a few rows "
            "and steps are enough"
        )
    refuse_training(unsteady_parts(model))
    snapshot = Snapshot(model)
    with lasting(lambda: None, snapshot.put_back), torch.no_grad(), without_autocast(example.x.device.type):
        refuse_unsteady(model, example)
        form = find_form(model, example, layout)
        verify(form, partial(ModelStream._of, form))
        snapshot.put_back()
    rows = 1 if form.example.axes[0] is None else example.x.shape[form.example.axes[0]]
    return ModelStream._of(form, rows if batch is None else batch)


class ModelStream(RowStream):
    """A running module, which takes one step (or a chunk) at a time and keeps its states. Created by `stream`.

    Chunks of any size give the module's results for the whole sequence. For a chunk, a stream returns what the module
    would return for everything so far: results with an axis of steps have the chunk's steps; others, such as a forecast
    from the last step or a final state, have their current value. A stream computes no gradients, and uses the weights
    that the module has at each step. A stream's state changes with each call, so use one stream per thread.

    A state is a dict from names, such as ``"encoder.lstm.h"``, to tensors as the module's layers have them.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.stream(torch.nn.Sequential(hs.GRU(4, 3)), torch.zeros(6, 2, 4))
    >>> out, h = stream.step(torch.zeros(2, 4))
    >>> out.shape, list(stream.state)
    (torch.Size([2, 3]), ['0.h'])
    """

    _file_kind = "module"
    _form: ModelForm
    _full: tuple[Tensor, int] | None  # the record of rows that have begun, and its version, when all had

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Refuse: streams of modules are created by `stream`."""
        raise ArgumentTypeError("hs.ModelStream can't be created directly: use hs.stream(model, example)")

    @classmethod
    def _of(cls, form: ModelForm, batch: int) -> "ModelStream":
        batch = check_at_least("batch", batch, 1)
        if batch > 1 and form.example.axes[0] is None:
            raise ArgumentError(f"batch must be 1, since the module's input has no axis of rows, got {shorten(batch)}")
        stream = cls.__new__(cls)
        stream._form, stream._turn, stream._full = form, {}, None
        stream._keep(*stream._zeros(batch), t=0, free=())
        return stream

    @property
    def layout(self) -> str:
        """The order of a chunk's axes, N for rows and T for steps, such as ``"NTC"``."""
        return self._form.example.layout

    def step(self, x: Array, *, rows: Rows | None = None, out: Array | None = None) -> Any:
        """Read one time step.

        Args:
            x: the module's input without its axis of steps, such as ``[N, C]``; if the batch is 1, also without rows,
                ``[C]``. A tensor of the example's type, or a NumPy array of the same type.
            rows: the distinct rows that take this step, in the order of x; the other rows wait. All rows if None.
            out: for a module that returns one tensor, an array to write it to, with its shape.

        Returns:
            What the module returns, without axes of steps (and rows, if x has none); NumPy arrays if x is one.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: an argument does not fit.
            ArgumentError: the module is in training mode, or a row has left.
            IndexRangeError: there is no such row.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        (rows_axis, steps_axis), dims = self._form.example.axes, len(self._form.sizes)
        value: Tensor = as_tensor(x, "x", self._like())
        index = None if rows is None else self._index(rows)
        n = self.batch if index is None else len(index)
        dropped = [
            steps_axis,
            rows_axis if n == 1 and rows is None and value.dim() < dims - (steps_axis is not None) else None,
        ]
        added = sorted(axis for axis in dropped if axis is not None)
        if value.dim() != dims - len(added):
            wanted = [size for k, size in enumerate(self._sizes(n, 1)) if k != steps_axis]
            raise RankError(
                f"a step must be {wanted}, got {value.dim()}D of shape {list(value.shape)}; feed() takes chunks"
            )
        chunk = value
        for axis in added:
            chunk = chunk.unsqueeze(axis)
        if list(chunk.shape) != self._sizes(n, 1):
            wanted = [size for k, size in enumerate(self._sizes(n, 1)) if k not in added]
            raise ShapeError(f"x has shape {list(value.shape)}, expected {wanted} for {n} row{'s' * (n != 1)}")
        tree = self._read(chunk, index, 1, [axis is not None for axis in reversed(dropped)])
        if out is None:
            return _given_as(tree, x)
        if not isinstance(tree, Tensor):
            raise ArgumentError(
                f"out= is for a module that returns one tensor, but this one returns {type(tree).__name__}"
            )
        check_out(out, x, tuple(tree.shape), tree)
        as_tensor(out, "out", tree).copy_(tree)
        return out

    def feed(self, chunk: Array) -> Any:
        """Read several time steps.

        Args:
            chunk: the module's input, with any number of steps; for a module of single steps, several of its inputs,
                with the axis of steps in front. A tensor, or a NumPy array of the same type.

        Returns:
            What the module returns; NumPy arrays if the chunk is one. For a module of single steps, the results of all
            steps, with the axis of steps in front.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: an argument does not fit.
            ArgumentError: the module is in training mode.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        steps_axis = self._form.example.axes[1]
        value: Tensor = as_tensor(chunk, "chunk", self._like())
        wanted = self._sizes(self.batch, 0)
        if steps_axis is None:
            wanted.insert(0, 0)
        axis = steps_axis or 0
        if value.dim() != len(wanted):
            raise RankError(f"a chunk must have {len(wanted)} axes ({self.layout}), got shape {list(value.shape)}")
        T = wanted[axis] = value.shape[axis]
        if list(value.shape) != wanted:
            raise ShapeError(f"the chunk has shape {list(value.shape)}, expected {wanted} for batch={self.batch}")
        if steps_axis is not None:
            return _given_as(self._read(value, None, T) if T else self._nothing(self.batch, 0), chunk)
        trees = [self._read(step, None, 1) for step in value] or [self._nothing(self.batch, 1)]
        leaves = zip(*map(pytree.tree_leaves, trees), strict=True)
        joined = [torch.stack(parts)[:T] if isinstance(parts[0], Tensor) else parts[-1] for parts in leaves]
        return _given_as(pytree.tree_unflatten(joined, self._form.spec), chunk)

    def _sizes(self, n: int, steps: int) -> list[int]:
        """The shape of the module's input for n rows and these steps."""
        (rows_axis, steps_axis), sizes = self._form.example.axes, [*self._form.sizes]
        if rows_axis is not None:
            sizes[rows_axis] = n
        if steps_axis is not None:
            sizes[steps_axis] = steps
        return sizes

    def _nothing(self, n: int, steps: int) -> Any:
        """Return what the module returns for n rows and these steps if one of the two numbers is 0."""
        leaves = []
        for leaf, axes in zip(self._form.templates, self._form.outputs, strict=True):
            if not steps and axes is not None and axes[1] is None:
                raise ArgumentError(
                    "a chunk of no steps gives nothing: this module has results without an axis of steps"
                )
            for axis, size in zip(axes or (), (n, steps), strict=False):
                leaf = leaf if axis is None else torch.cat([leaf.narrow(axis, 0, 0), *[leaf] * size], axis)
            leaves.append(leaf)
        return pytree.tree_unflatten(leaves, self._form.spec)

    def _read(self, x: Tensor, index: Tensor | None, steps: int, drops: Sequence[bool] = ()) -> Any:
        """Read a chunk of all rows, or of those of an index ``[n]``; ``drops``: whether results lose rows and steps."""
        form = self._form
        refuse_training(form.unsteady)
        self._refuse_timed_edits()
        with self._alone(), torch.no_grad(), without_autocast(x.device.type):
            if index is not None and not len(index):
                return self._without(self._nothing(0, steps), drops)
            state = self._state if index is None else tuple(part.index_select(1, index) for part in self._state)
            call = self._call_from(state, steps)
            with call.within():
                tree = form.example.call(form.model, x)
            if not call.after.keys() <= call.forms.keys():
                raise ArgumentError("the module called its layers differently than on the example")
            n, after = state[-1].shape[1], []
            for old, (key, k, shape) in zip(state, form.states.values(), strict=False):
                new = call.after[key][k] if key in call.after else None
                after.append(
                    old if new is None else (new if shape.is_kept else new.reshape(shape.stored_sizes(n))).clone()
                )
            if index is None:
                self._keep(*after, self._all_begun(), t=self.t + steps)
            else:
                self._to_write()
                begun = self._state[-1].new_ones(1, n)
                to_the_end(partial(self._now.set_rows, index, (*after, begun), self.t + steps))
        return self._without(tree, drops)

    def _without(self, tree: Any, drops: Sequence[bool]) -> Any:
        """Return results without their axes of rows and steps, which have one entry each."""
        form = self._form
        if not any(drops):
            return tree
        leaves = [tree] if isinstance(tree, Tensor) else pytree.tree_leaves(tree)
        for k, axes in enumerate(form.outputs):
            dropped = tuple(axis for axis, drop in zip(axes or (), drops, strict=False) if drop and axis is not None)
            leaves[k] = leaves[k].squeeze(dropped) if dropped else leaves[k]
        return leaves[0] if isinstance(tree, Tensor) else pytree.tree_unflatten(leaves, form.spec)

    def _call_from(self, state: States, steps: int) -> CarriedCall:
        """Return a call of the module for the next steps from a state."""
        *parts, begun = state
        by_rows = [
            part if form.is_kept else part.reshape(form.sizes(begun.shape[1]))
            for part, form in zip(parts, self._form.forms, strict=True)
        ]
        is_full = self._is_full(begun) or bool(begun.all())
        return self._form.call_from(by_rows, steps, None if is_full else begun[0])

    def _is_full(self, begun: Tensor) -> bool:
        """Whether this record of the rows that have begun is known to include all."""
        return self._full is not None and begun is self._full[0] and begun._version == self._full[1]

    def _all_begun(self) -> Tensor:
        """Return the record that all rows have begun; the present one if it already says so."""
        begun = self._state[-1]
        if not self._is_full(begun):
            begun = torch.ones_like(begun)
            self._full = None if begun.is_inference() else (begun, begun._version)
        return begun

    def _refuse_timed_edits(self) -> None:
        """Reject edits of single steps or rows: a part sees only those of a chunk."""
        for carrier, path in self._form.carriers.items() if scoped.any_open else ():
            layer: Any = find_recordable(carrier.module)
            if layer is not None and any(edit.t is not None or edit.row is not None for edit in edits_in_force(layer)):
                raise ArgumentError(
                    f"an edit of single steps or rows of {quoted(path)} is active, which a stream of a module can't "
                    "place: leave t= and row= out, and open the block around the steps"
                )

    @property
    def state(self) -> dict[str, Tensor]:
        """Copies of the states by name; assign such a dict to continue from it.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError, NameUnknownError: on assignment, it does not fit.
        """
        with self._alone():
            return self._by_name([part.clone() for part in self._state])

    @state.setter
    def state(self, value: Mapping[str, Tensor]) -> None:
        state = self._checked_state(value, self.batch)
        with self._alone():
            self._keep(*(part.clone() for part in state))

    def _by_name(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        forms = self._form.states.items()
        return {
            name: part.reshape(form.sizes(part.shape[1]))
            for part, (name, (_, _, form)) in zip(parts, forms, strict=False)
        }

    def state_of(self, rows: Rows) -> dict[str, Tensor]:
        """Return copies of the states of rows by name; for an int, without the axis of rows.

        Raises:
            ArgumentTypeError, IndexRangeError, ArgumentError: the stream has no such rows.
        """
        index = self._index(rows)
        with self._alone():
            state = self._by_name([part.index_select(1, index) for part in self._state])
        if not isinstance(rows, int):
            return state
        return {
            name: part.reshape(form.of_one_row)
            for (name, part), form in zip(state.items(), self._form.forms, strict=True)
        }

    def _checked_state(self, value: Any, n: int | None, name: str = "state") -> States:
        names = self._form.states.keys()
        if not isinstance(value, Mapping):
            raise ArgumentTypeError(f"{name} must be a dict of {', '.join(names)}, got {readable_name(type(value))}")
        if value.keys() != names:
            raise NameUnknownError(f"{name} has {shorten([*value])}, expected {', '.join(names)}")
        parts = []
        for part, form, old in zip(names, self._form.forms, self._state, strict=False):
            new, wanted = check_tensor(value[part], part, old), form.of_one_row if n is None else [*form.sizes(n)]
            if list(new.shape) != wanted:
                raise ShapeError(f"{part} has shape {list(new.shape)}, expected {wanted}")
            parts.append(new.detach().reshape(form.stored_sizes(n or 1)))
        parts.append(self._state[-1].new_ones(1, n or 1))
        return tuple(part[:, 0] for part in parts) if n is None else tuple(parts)

    def _begin(self, to: Any, n: int) -> States:
        first = next(iter(to.values()), None) if isinstance(to, Mapping) else None
        if isinstance(first, Tensor) and list(first.shape) == self._form.forms[0].of_one_row:
            return tuple(part[:, None] for part in self._checked_state(to, None, "to"))
        return self._checked_state(to, n, "to")

    def load(self, path: str | Path) -> None:
        """Continue from a state that `save` wrote, in a stream of a module with the same weights.

        Raises:
            FileFormatError: the file is damaged, is not the state of a module's stream, has other shapes or types, or
                was computed with other weights.
        """
        saved = stream_file.load(path, self._file_kind, None)
        stream_file.check_weights(path, saved, self._fingerprint(), "module")
        wanted = {name: (part.dtype, part.shape) for name, part in self._named().items()}
        if {name: (part.dtype, part.shape) for name, part in saved.state.items()} != wanted:
            raise FileFormatError(
                f"the states in {path} do not fit this module and batch={self.batch}: they are "
                f"{ {name: [*part.shape] for name, part in saved.state.items()} }, expected "
                f"{ {name: [*shape] for name, (_, shape) in wanted.items()} }"
            )
        with self._alone():
            self._keep(*(saved.state[name].to(self._like().device) for name in wanted), t=saved.t)

    def _named(self) -> dict[str, Tensor]:
        # With the record of the rows that have begun.
        return dict(zip([*self._form.states, "begun"], self._state, strict=True))

    def _fingerprint(self) -> str:
        stored = self._form.model.state_dict()
        return fingerprint({name: value for name, value in stored.items() if isinstance(value, Tensor)})

    def _like(self) -> Tensor:
        return self._form.example.x

    def _check_weights_again(self) -> None:
        for carrier in self._form.carriers:
            carrier.check_again()

    def _keep(self, *state: Tensor, t: int | None = None, free: Sequence[int] | None = None) -> None:
        self._now = StreamState(state, self.t if t is None else t, self._now.free if free is None else free)

    def _zeros(self, batch: int) -> States:
        forms = [(form.stored_sizes(batch), form.dtype) for form in self._form.forms]
        return new_states([*forms, ((1, batch), torch.bool)], self._like().device, batch)

    def _widen(self, batch: int) -> None:
        if self._form.example.axes[0] is None:
            raise ArgumentError(
                "the module's input has no axis of rows, so no row can join: give an example of several"
            )
        super()._widen(batch)

    def __reduce__(self) -> Any:
        raise ArgumentTypeError("a stream of a module can't be pickled or copied: use save() and load(), or fork()")

    def __repr__(self) -> str:
        return f"ModelStream({type(self._form.model).__name__}, batch={self.batch}, t={self.t})"


def _given_as(tree: Any, like: object) -> Any:
    """Return results as NumPy arrays if the input was one."""
    if not isinstance(like, np.ndarray):
        return tree
    return pytree.tree_map(lambda leaf: leaf.numpy() if isinstance(leaf, Tensor) else leaf, tree)
