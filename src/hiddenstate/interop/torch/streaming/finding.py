"""Finds how a module is streamed, by running it: which axes are rows and steps, and which parts carry a state."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.interop.torch.streaming.carrying import (
    CarriedCall,
    CarriedState,
    Carrier,
    Key,
    arguments_of,
    carriers_of,
)
from hiddenstate.tracing.traceable import is_layer

_LEAST, _MOST, _ROWS = 15, 128, 3  # steps and rows of the example on which a stream is checked
_STATE_CHANGED = (
    "{} is not given at each step the state that it returned at the step before: what changes it in between (a "
    "dropout, a mask, new zeros) would be lost in a stream"
)
Axes = tuple[int | None, int | None]  # of rows and of steps; None where there is no such axis


def quoted(path: str) -> str:
    """The path of a module in a message."""
    return f"`{path}`" if path else "its own forward"


def axis_of(shape: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the axes whose sizes differ."""
    return [axis for axis, sizes in enumerate(zip(shape, other, strict=True)) if sizes[0] != sizes[1]]


def unsteady_parts(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """Return the parts that in training mode draw random numbers, or read the whole batch."""
    parts = []
    for path, part in model.named_modules():
        has_dropout = isinstance(part, _DropoutNd) or (is_layer(part) and part.num_layers > 1)
        if has_dropout and getattr(part, "p", getattr(part, "dropout", 0)):
            parts.append((path, part, "draws random numbers (dropout)"))
        elif isinstance(part, _BatchNorm):
            parts.append((path, part, "normalises by the batch"))
    return parts


def refuse_training(parts: Iterable[tuple[str, nn.Module, str]]) -> None:
    """Reject parts that draw random numbers, or read the whole batch, because they are in training mode."""
    for path, part, why in parts:
        if part.training:
            raise ArgumentError(f"{quoted(path)} {why} in training mode: call model.eval() first")


@dataclass(frozen=True)
class StreamedArguments:
    """The arguments of a call of the module, and where the stream's input is among them."""

    leaves: tuple[Any, ...]
    spec: Any
    primary: int
    axes: Axes = (None, None)  # of the stream's input
    row_axes: Mapping[int, int] = field(default_factory=dict)  # of other tensors that have rows

    @property
    def x(self) -> Tensor:
        """The stream's input."""
        return self.leaves[self.primary]

    @cached_property
    def _is_alone(self) -> bool:
        return bool(self.spec == pytree.tree_structure(((0,), {})))

    def call(self, model: nn.Module, x: Tensor) -> Any:
        """Call the module with a different input."""
        if self._is_alone:
            return model(x)
        leaves = [*self.leaves]
        leaves[self.primary] = x
        for k, axis in self.row_axes.items():
            sizes = [*leaves[k].shape]
            sizes[axis] = x.shape[self.axes[0] or 0]
            leaves[k] = leaves[k].narrow(axis, 0, 1).expand(sizes)
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return model(*args, **kwargs)

    @property
    def layout(self) -> str:
        """A letter for each axis of the input: N for rows, T for steps, others C, D, ..."""
        others = iter("CDEFGHIJKLM")
        return "".join(
            "N" if k == self.axes[0] else "T" if k == self.axes[1] else next(others) for k in range(self.x.dim())
        )

    def with_axes(self, axes: Axes) -> "StreamedArguments":
        """Return the call with known axes; reject other tensors that differ between rows."""
        row_axes = {}
        for k, leaf in enumerate(self.leaves):
            if k == self.primary or not isinstance(leaf, Tensor) or axes[0] is None:
                continue
            candidates = (1, 0) if leaf.dim() == 3 else range(min(1, leaf.dim()))
            axis = next((a for a in candidates if leaf.shape[a] == self.x.shape[axes[0]]), None)
            if axis is not None and not torch.equal(leaf, leaf.narrow(axis, 0, 1).expand_as(leaf)):
                raise ArgumentError(
                    f"the tensor {list(leaf.shape)} among the arguments differs between rows, but a step has one input "
                    "only: join the two in a module that takes one"
                )
            if axis is not None:
                row_axes[k] = axis
        return replace(self, axes=axes, row_axes=row_axes)


def read_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StreamedArguments:
    """Find the stream's input among the arguments: the first tensor."""
    leaves, spec = pytree.tree_flatten((args, dict(kwargs)))
    for k, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and leaf.dim():
            return StreamedArguments(tuple(leaves), spec, k)
    kinds = ", ".join(readable_name(type(leaf)) for leaf in leaves) or "nothing"
    raise ArgumentTypeError(
        f"expected an example of the module's input, a tensor, got {kinds}: pass what the module is called with, "
        "stream(model, x)"
    )


def resized(x: Tensor, axis: int | None, size: int) -> Tensor:
    """Return a tensor with one axis resized; values are repeated to fill it, with noise so that none are equal."""
    if axis is None or size <= x.shape[axis]:
        return x if axis is None else x.narrow(axis, 0, size)
    index = torch.arange(size, device=x.device)
    longer = x.index_select(axis, index % x.shape[axis])
    if x.is_floating_point():
        spread = float(x.std()) if x.numel() > 1 else 0.0
        noise = torch.randn(longer.shape, generator=torch.Generator().manual_seed(0)).to(longer)
        is_new = (index >= x.shape[axis]).view([-1 if k == axis else 1 for k in range(x.dim())])
        longer = torch.where(is_new, longer + noise * (0.1 * spread if 0 < spread < float("inf") else 0.1), longer)
    return longer


class Sight(NamedTuple):
    """How many steps and rows a layer, a loop over a cell, or a convolution has in one call of the model."""

    steps: int
    rows: int


class _Counting(CarriedCall):
    """A call that runs everything as it is, and counts."""

    def __init__(self, carriers: Mapping[Carrier, str]) -> None:
        super().__init__(carriers, {}, {}, 0)
        self.seen: dict[Key, Sight] = {}  # in the order in which they begin

    def call(self, carrier: Carrier, args: Any, kwargs: Any) -> Any:
        result, module = carrier.original(*args, **kwargs), carrier.module
        x, initial, _ = arguments_of(*args, **kwargs)
        shape = x.data.shape if isinstance(x, PackedSequence) else x.shape
        if carrier.kind is None:
            key, sight = (self.paths[carrier], 0), Sight(shape[-1], shape[0] if len(shape) == 3 else 1)
        else:
            key, _ = self.begin(carrier, () if initial is None else carrier.kind.parts_of(initial))
            self.end(carrier, key, carrier.kind.parts_of(result if carrier.is_cell else result[1]))
            first, second = shape[:2] if len(shape) == 3 - carrier.is_cell else (shape[0], 1)
            is_row_first = getattr(module, "batch_first", False) and len(shape) == 3
            sight = Sight(1, first) if carrier.is_cell else Sight(*(second, first) if is_row_first else (first, second))
        self.seen[key] = Sight(self.seen.get(key, Sight(0, 0)).steps + sight.steps, sight.rows)
        return result


class Survey:
    """What the parts of a module see of its example, and of copies in which one axis has a different size."""

    def __init__(self, model: nn.Module, example: StreamedArguments) -> None:
        self.model, self.example, self.x, self.carriers = model, example, example.x, carriers_of(model)
        self.base = self._seen(example, example.x)
        self.changed: dict[int, dict[Key, Sight]] = {}
        self.refused: dict[int, ArgumentError] = {}  # by axis: why others differ between rows, if it is that of rows
        for axis, size in enumerate(example.x.shape):
            x = resized(example.x, axis, size - 1 if size > 1 else 2)
            for with_others in (True, False):  # as rows, which other arguments may have, too
                try:
                    self.changed[axis] = self._seen(example.with_axes((axis, None)) if with_others else example, x)
                    break
                except Exception as error:
                    if isinstance(error, ArgumentError):
                        self.refused[axis] = error
        if not self.base:
            raise ArgumentError(
                f"this {type(model).__name__} calls no recurrent layer, cell or Conv1d, so there is no state to carry"
            )

    def _seen(self, example: StreamedArguments, x: Tensor) -> dict[Key, Sight]:
        call = _Counting(self.carriers)
        with call.within():
            example.call(self.model, x)
        return call.seen

    def _moved(self, key: Key, what: str) -> list[int]:
        """Return the axes of the input that change how many steps or rows a part sees."""
        count = getattr(self.base[key], what)
        return [axis for axis, seen in self.changed.items() if key in seen and getattr(seen[key], what) != count]

    def axes(self) -> Axes:
        """Return the axes of the input that the layers take for rows and for steps, the last layer's first."""
        for seen in self.changed.values():
            for path, index in seen.keys() ^ self.base.keys():
                if index:
                    raise ArgumentError(_STATE_CHANGED.format(quoted(path)))
        recurrent = {path for carrier, path in self.carriers.items() if carrier.kind is not None}
        keys = [key for key in self.base if key[0] in recurrent][::-1]
        for key in keys or [*self.base]:
            for steps in self._moved(key, "steps"):
                rows = next((axis for axis in self._moved(key, "rows") if axis != steps), None)
                refused = [error for axis, error in self.refused.items() if axis not in (steps, *self.changed)]
                if rows is None and refused and self.base[key].rows > 1:
                    raise refused[0]
                return rows, steps
        for key in keys:
            if self.base[key].steps == 1:
                return next(iter(self._moved(key, "rows")), None), None
        others = [leaf for leaf in self.example.leaves if isinstance(leaf, Tensor) and leaf is not self.x]
        if any(leaf.dim() > 1 and leaf.shape[:2] == self.x.shape[:2] for leaf in others):
            raise ArgumentError(
                f"this {type(self.model).__name__} takes several sequences, but a step is one tensor: wrap it "
                "in a module that takes them joined"
            )
        raise ArgumentError(
            f"no axis of the example, {list(self.x.shape)}, is seen to be the time steps of this "
            f"{type(self.model).__name__}: give layout=, a letter for each axis, such as 'NTC'"
        )

    def carrying(self, steps: int | None) -> dict[Carrier, str]:
        """Return the parts that run over time, and so must carry a state; reject those that can't."""
        paths = {}
        for carrier, path in self.carriers.items():
            keys = [key for key in self.base if key[0] == path]
            if steps is None:  # each call is one step, and convolutions run within it
                is_over_time = carrier.kind is not None and any(self.base[key].steps == 1 for key in keys)
            else:
                is_over_time = any(steps in self._moved(key, "steps") for key in keys)
            if is_over_time:
                why = _why_not(carrier.module) if carrier.kind is None else None
                if getattr(carrier.module, "bidirectional", False):
                    why = "is bidirectional: its reverse direction begins at the last step, which has not come yet"
                if why:
                    raise ArgumentError(f"this {type(self.model).__name__} can't be streamed: {quoted(path)} {why}")
                paths[carrier] = path
        return paths


def _why_not(conv: Any) -> str | None:
    """Return why a convolution over time can't run on its last inputs."""
    reach, (stride,) = conv.dilation[0] * (conv.kernel_size[0] - 1), conv.stride
    padding = conv.padding if isinstance(conv.padding, str) else conv.padding[0]
    if stride != 1:
        return f"takes {stride} steps at a time (stride): give the module frames, [rows, steps, {stride}]"
    if reach and padding not in (0, "valid", reach):
        return f"looks ahead (padding={padding!r} on both sides): pad only before the first step, by {reach}"
    if padding not in (0, "valid") and conv.padding_mode != "zeros":
        return f"pads with {conv.padding_mode} values: pad with zeros"
    return None


@dataclass(frozen=True, eq=False)
class ModelForm:
    """How a module is streamed. All its streams share it."""

    model: nn.Module
    example: StreamedArguments
    carriers: Mapping[Carrier, str]
    states: Mapping[str, tuple[Key, int, CarriedState]]  # by name: of which call of which part, which of its states
    outputs: Sequence[Axes | None]  # None for what is not a tensor
    spec: Any  # of what the module returns
    templates: Sequence[Any]  # what it returns for one row and one step

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The shape of the example's input."""
        return (*self.example.x.shape,)

    @cached_property
    def forms(self) -> tuple[CarriedState, ...]:
        """The forms of the states."""
        return tuple(form for _, _, form in self.states.values())

    @cached_property
    def _spans(self) -> dict[Key, slice]:
        """Where the states of each call of a part, which are consecutive, are among all states."""
        keys = [key for key, _, _ in self.states.values()]
        return {key: slice(keys.index(key), keys.index(key) + keys.count(key)) for key in keys}

    @cached_property
    def _forms_by_key(self) -> dict[Key, tuple[CarriedState, ...]]:
        return {key: self.forms[span] for key, span in self._spans.items()}

    def call_from(self, states: Sequence[Tensor], steps: int, begun: Tensor | None) -> CarriedCall:
        """Return a call of the module for the next steps from states in the module's shapes."""
        before = {key: tuple(states[span]) for key, span in self._spans.items()}
        return CarriedCall(self.carriers, self._forms_by_key, before, steps, begun)

    @cached_property
    def unsteady(self) -> list[tuple[str, nn.Module, str]]:
        """The parts that must not be in training mode."""
        return unsteady_parts(self.model)


def find_form(model: nn.Module, example: StreamedArguments, layout: str | None) -> ModelForm:
    """Find how a module is streamed; its example becomes one of several rows and steps to check it on."""
    survey = Survey(model, example)
    axes = survey.axes() if layout is None else _axes_of(layout, example.x)
    carriers = survey.carrying(axes[1])
    example = example.with_axes(axes)
    x = resized(example.x, axes[0], _ROWS)
    x = x if axes[1] is None else resized(x, axes[1], min(max(x.shape[axes[1]], _LEAST), _MOST))
    sizes = [1 if axis is None else x.shape[axis] for axis in axes]
    # The whole, and with fewer rows, and with fewer steps.
    inputs = [x, *(x if axis is None else x.narrow(axis, 0, size - 1) for axis, size in zip(axes, sizes, strict=True))]
    calls = [CarriedCall(carriers, {}, {}, 1 if axes[1] is None else part.shape[axes[1]]) for part in inputs]
    outs = []
    try:
        for call, part in zip(calls, inputs, strict=True):
            with call.within():
                outs.append(pytree.tree_flatten(example.call(model, part)))
    except RuntimeError as error:
        wrong = inputs[len(outs)]
        raise ArgumentError(
            f"this {type(model).__name__} can't be streamed: a call with an input of {list(wrong.shape)} in place of "
            f"{list(survey.x.shape)} fails ({shorten(str(error))}). If other arguments have an axis of rows or steps, "
            "join them with the input in a module that takes one"
        ) from error
    whole, fewer, shorter = (call.after for call in calls)
    for path, _ in whole.keys() ^ shorter.keys():
        raise ArgumentError(_STATE_CHANGED.format(quoted(path)))
    states = dict(_states(carriers, whole, fewer, axes[0], sizes[0]))
    (leaves, spec), *others = outs
    outputs = [
        _output_axes(model, [leaf, *(other[k] for other, _ in others)], sizes, axes) for k, leaf in enumerate(leaves)
    ]
    if not any(outputs):
        kind = readable_name(type(pytree.tree_unflatten(leaves, spec)))
        raise ArgumentTypeError(f"the module returned {kind}, which contains no tensor")
    templates = []
    for leaf, of in zip(leaves, outputs, strict=True):
        for axis in of or ():
            leaf = leaf if axis is None else leaf.narrow(axis, 0, 1)
        templates.append(leaf)
    kept = (*example.leaves[: example.primary], x.clone(), *example.leaves[example.primary + 1 :])
    return ModelForm(model, replace(example, leaves=kept), carriers, states, outputs, spec, templates)


def _axes_of(layout: str, x: Tensor) -> Axes:
    if not isinstance(layout, str) or not layout.isalpha() or len({*layout}) != len(layout) or len(layout) > x.dim():
        raise ArgumentError(
            f"layout must have a letter for each axis of the example, N for rows and T for time steps, such as 'NTC', "
            f"'TNC' or 'NCT', got {layout!r} for an example of {x.dim()} axes"
        )
    rows, steps = (layout.find(letter) for letter in "NT")
    return (None if rows < 0 else rows), (None if steps < 0 else steps)


def _states(
    carriers: Mapping[Carrier, str], whole: Mapping[Key, Any], fewer: Mapping[Key, Any], rows: int | None, N: int
) -> Iterator[tuple[str, tuple[Key, int, CarriedState]]]:
    """Yield the name and the form of each state, from those of N rows and of one row less."""
    kinds = {path: ("inputs",) if carrier.kind is None else carrier.kind.carried for carrier, path in carriers.items()}
    for (path, index), parts in whole.items():
        for k, part in enumerate(parts):
            shape = [*part.shape]
            moved = [None] if rows is None else axis_of(shape, fewer[path, index][k].shape)
            axis = moved[0] if len(moved) == 1 else 2
            if axis is not None:
                if axis > 1 or shape[axis] % N:
                    raise ArgumentError(f"the state of {quoted(path)}, {shape} for {N} rows, has no axis of rows")
                shape[axis] //= N
            call = f"[{index}]" if index else ""
            name = f"{path}{call}.{kinds[path][k]}".lstrip(".")
            yield name, ((path, index), k, CarriedState(tuple(shape), axis, part.dtype))


def _output_axes(model: nn.Module, leaves: Sequence[Any], sizes: Sequence[int], axes: Axes) -> Axes | None:
    """Return the axes of a tensor that the module returns, by comparing it with fewer rows and with fewer steps."""
    leaf, *others = leaves
    if not isinstance(leaf, Tensor):
        if not isinstance(leaf, int | float | str | None):
            raise ArgumentTypeError(
                f"this {type(model).__name__} can't be streamed: it returns a {readable_name(type(leaf))}, which can't "
                "be compared or cut into steps: wrap it in a module that returns tensors, or tuples or dicts of them"
            )
        if any(repr(other) != repr(leaf) for other in others):
            raise ArgumentError(
                f"this {type(model).__name__} can't be streamed: it returns {leaf!r:.60}, a number or text that "
                "depends on the rows or steps: leave it out"
            )
        return None
    axes_of_leaf: list[int | None] = []
    for other, size, axis, what in zip(others, sizes, axes, ("rows", "steps"), strict=True):
        moved = axis_of(leaf.shape, other.shape) if other.dim() == leaf.dim() else [0, 0]
        is_each = len(moved) == 1 and (leaf.shape[moved[0]], other.shape[moved[0]]) == (size, size - 1)
        if axis is not None and moved and not is_each:
            raise ArgumentError(
                f"this {type(model).__name__} can't be streamed: it gives {list(leaf.shape)} for {size} {what} and "
                f"{list(other.shape)} for {size - 1}, expected an axis with one entry for each, or none"
            )
        axes_of_leaf.append(moved[0] if moved else None)
    return axes_of_leaf[0], axes_of_leaf[1]
