"""Watches a run of a module: every tensor that it computes, by which operation, where, and from which others."""

import linecache
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from hiddenstate.base.scoped import Block, lasting
from hiddenstate.tracing.traceable import Traceable, is_cell, keras_states, modules_of

_RECURRENT = (nn.RNNBase, nn.RNNCellBase, Traceable)
_PACKAGE = Path(__file__).parents[1]
_NOT_USERS = (str(Path(torch.__file__).parent), *(str(_PACKAGE / room) for room in ("tracing", "doctor", "interop")))
_CONTAINERS = (list, deque, set, OrderedDict, dict)


class Value(NamedTuple):
    """A tensor that the model computed: by which operation, in which module and line, and from which other values."""

    op: str
    module: str
    line: str
    inputs: tuple[int, ...]
    data: Tensor  # a copy, as it was then
    tensor: Tensor  # the tensor itself, through which gradients go

    @property
    def place(self) -> str:
        """The operation, with the line of the user's code."""
        return f"`{self.op}`" + (f" ({self.line})" if self.line else "")


class LayerCall(NamedTuple):
    """One call of a recurrent layer or cell; tensors as indices of values."""

    path: str
    layer: nn.Module
    x: int
    states: tuple[int, ...]
    outputs: tuple[int, ...]  # the layer's output and final states; a cell's states
    rows: Tensor | None  # of packed input: the row of each element
    has_lengths: bool

    @property
    def is_cell(self) -> bool:
        """Whether the call is one step."""
        return is_cell(self.layer)

    @property
    def sequence(self) -> int:
        """The value with the result of every step."""
        return self.outputs[0]

    @property
    def final(self) -> tuple[int, ...]:
        """The values of the final states."""
        return self.outputs if self.is_cell else self.outputs[1:]

    @property
    def row_axis(self) -> int:
        """The axis of the input that the layer takes for rows."""
        return 0 if self.is_cell or getattr(self.layer, "batch_first", False) else 1

    @property
    def directions(self) -> int:
        """How many directions the layer has."""
        return 1 + bool(getattr(self.layer, "bidirectional", False))


@dataclass
class Run:
    """One run of the model: its values in order, the calls of its recurrent modules, and its results."""

    values: list[Value] = field(default_factory=list)
    calls: list[LayerCall] = field(default_factory=list)
    unregistered: dict[int, str] = field(default_factory=dict)  # parameters that the model lacks: value and module
    layers_made: dict[str, str] = field(default_factory=dict)  # modules that drew parameters, and the line
    modules: set[str] = field(default_factory=set)  # the paths that were called
    out: Any = None
    results: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)  # the tensors of the example
    loss_from: int = sys.maxsize  # the values from here on belong to the loss
    loss: Tensor | None = None
    error: str = ""  # why it failed, and where
    line: str = ""  # of the user's code, where it failed
    loss_error: str = ""  # why the loss failed
    changed: list[Tensor | None] = field(default_factory=list)  # where each value differs from that of another run

    def ancestors(self, of: Sequence[int]) -> set[int]:
        """Return the values from which some values were computed, and those values themselves."""
        reached, todo = set(of), [*of]
        while todo:
            for k in self.values[todo.pop()].inputs:
                if k not in reached:
                    reached.add(k)
                    todo.append(k)
        return reached

    def change_of(self, value: int) -> Tensor | None:
        """Return where a value differs from that of the other run; None where the two runs can't be compared."""
        return self.changed[value] if value < len(self.changed) else None

    def is_changed(self, value: int) -> bool:
        """Whether a value is known to differ from that of the other run."""
        mask = self.change_of(value)
        return mask is not None and bool(mask.any())

    def call_of(self, value: int) -> LayerCall | None:
        """Return the call of a recurrent module that returned a value; None if none did."""
        return next((call for call in self.calls if value in call.outputs), None)

    def steps_of(self, call: LayerCall) -> int:
        """Return how many time steps a recurrent module was given; of packed input, how many elements."""
        shape = self.values[call.x].data.shape
        return 1 if call.is_cell else shape[1 - call.row_axis] if len(shape) == 3 else shape[0]

    def is_as(self, other: "Run") -> bool:
        """Whether it succeeded, and all values equal those of the run that it was compared with."""
        is_as_long = not self.error and len(self.changed) == len(other.values)
        return is_as_long and not any(mask is None or bool(mask.any()) for mask in self.changed)

    def is_state(self, value: int) -> bool:
        """Whether a value is the final state of a recurrent module."""
        return any(value in call.final for call in self.calls if not call.is_cell)


def map_tree(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """Apply a function to the leaves of nested tuples, lists, dicts and dataclasses; packed sequences are leaves."""
    if isinstance(tree, (PackedSequence, Tensor)):
        return leaf(tree)
    if isinstance(tree, (tuple, list)) and not (tree and all(isinstance(part, int) for part in tree)):
        parts = [map_tree(part, leaf) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if type(tree) is dict:
        return {key: map_tree(part, leaf) for key, part in tree.items()}
    return leaf(tree)


def leaves_in(tree: Any) -> list[Any]:
    """Return the leaves that `map_tree` sees, in order."""
    leaves: list[Any] = []
    map_tree(tree, leaves.append)
    return leaves


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors of a nested structure, in order; for a packed sequence, its data."""
    if isinstance(tree, PackedSequence):
        yield tree.data
    elif isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from tensors_in(part)
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from tensors_in(part)
    elif is_dataclass(tree) and not isinstance(tree, type):
        yield from tensors_in(vars(tree))


def differs(new: Tensor, old: Tensor, tolerance: float = 0.0) -> Tensor | None:
    """Return where two tensors differ by more than a fraction of the largest value; None if their shapes differ."""
    if new.shape != old.shape:
        return None
    if not (new.is_floating_point() or new.is_complex()):
        return new != old
    other = (new != old) & ~(new.isnan() & old.isnan())
    if tolerance and other.any():
        finite = old[old.isfinite()]
        bound = tolerance * float(finite.abs().max()) if finite.numel() else 0.0
        other &= ~((new - old).abs() <= bound)
    return other


def hidden_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that parts of a model hold in plain lists, tuples and dicts, where torch does not see them."""
    seen = set(model.modules())
    by_keras = {module: path for path, module in modules_of(model)}  # its layers are in such lists, too
    for path, part in list(model.named_modules()):
        for name, held in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules") or "hooks" in name:
                continue
            for where, hidden in _modules_in(held, f"{path}.{name}".lstrip("."), set()):
                for below, module in hidden.named_modules():
                    if module not in seen:
                        seen.add(module)
                        yield by_keras.get(module) or f"{where}.{below}".rstrip("."), module


def _modules_in(held: object, where: str, above: set[int]) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(held, nn.Module):
        yield where, held
    elif isinstance(held, (list, tuple, dict)) and id(held) not in above:
        for key, part in held.items() if isinstance(held, dict) else enumerate(held):
            yield from _modules_in(part, f"{where}[{key!r}]", above | {id(held)})


def is_other(new: Tensor, old: Tensor) -> bool:
    """Whether two tensors differ in shape or in a value."""
    mask = differs(new, old)
    return mask is None or bool(mask.any())


class Watch(TorchFunctionMode):
    """Records a run's operations as they are called from Python, and what recurrent modules are given and return."""

    def __init__(self, model: nn.Module, against: Run | None = None, tolerance: float = 0.0) -> None:
        super().__init__()
        self.run = Run()
        self._against, self._tolerance = against, tolerance
        self._index: dict[int, int] = {}
        self._paths: list[str] = []
        self._inside = 0  # how many recurrent modules are being run
        self._modules = [*model.named_modules(), *hidden_modules(model)]
        self._parameters = {id(parameter) for parameter in model.parameters()}
        self._parameters |= {id(state) for _, module in self._modules for state in keras_states(module)}
        self._handles: list[Any] = []

    def watching(self) -> Block:
        """Return a context manager in which a run is recorded."""
        return lasting(self._start, self._stop)

    def _start(self) -> None:
        for path, module in self._modules:
            self._handles += [
                module.register_forward_pre_hook(self._begin(path, module), with_kwargs=True),
                module.register_forward_hook(self._end(path, module), with_kwargs=True, always_call=True),
            ]
        self.__enter__()  # type: ignore[no-untyped-call]

    def _stop(self) -> None:
        if _get_current_function_mode() is self:  # not if it is called again
            self.__exit__(None, None, None)
        for handle in self._handles:
            handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch and record the tensors that it returns or changes."""
        result = func(*args, **(kwargs or {}))
        if self._inside:
            return result
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        outputs = [*tensors_in(args[0])] if name == "__setitem__" else [*tensors_in(result)]
        if "dropout" in name and "training=True" in _users_code():
            name += "(training=True)"  # on purpose
        if outputs and name not in ("grad", "__set__"):
            inputs = tuple(self.index_of(tensor) for tensor in [*tensors_in(args), *tensors_in(kwargs or {})])
            for output in outputs:
                if name.endswith("_") and isinstance(output, nn.Parameter) and id(output) not in self._parameters:
                    self.run.layers_made.setdefault(self.where(), _users_line())
                self.record(name.strip("_") or "operation", inputs, output)
        return result

    def record(self, op: str, inputs: tuple[int, ...], tensor: Tensor) -> int:
        """Keep a tensor as the next value."""
        with torch._C.DisableTorchFunction():  # a hook's own operations are not the model's
            return self._record(op, inputs, tensor)

    def _record(self, op: str, inputs: tuple[int, ...], tensor: Tensor) -> int:
        k = len(self.run.values)
        path = self.where()
        plain = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
        data = tensor.detach() if plain else torch.zeros(0)
        if self._against is None:
            line = "" if op in ("parameter", "constant") else _users_line()
            copy = data if op == "parameter" else data.clone()
            self.run.values.append(Value(op, path, line, inputs, copy, tensor))
        else:
            old = self._against.values[k] if k < len(self._against.values) else None
            parted = old is None or old.op != op or (self.run.changed and self.run.changed[-1] is None)
            if (op == "parameter" or "empty" in op) and not parted:  # "empty" has values by chance
                mask: Tensor | None = torch.zeros(1, dtype=torch.bool)
            else:
                mask = None if parted or old is None else differs(data, old.data, self._tolerance)
            self.run.changed.append(mask)
            self.run.values.append(Value(op, path, "", inputs, data[:0] if data.dim() else data, tensor))
        self._index[id(tensor)] = k
        return k

    def index_of(self, tensor: Tensor) -> int:
        """Return the index of a tensor's value, a new one if it is a parameter or older than the run."""
        known = self._index.get(id(tensor))
        if known is not None:
            return known
        is_parameter = isinstance(tensor, nn.Parameter)
        k = self.record("parameter" if is_parameter else "constant", (), tensor)
        if is_parameter and id(tensor) not in self._parameters:
            self.run.unregistered[k] = self.where()
        return k

    def where(self) -> str:
        """Return the path of the module that runs."""
        return self._paths[-1] if self._paths else ""

    def _begin(self, path: str, module: nn.Module) -> Callable[..., None]:
        def begin(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._paths.append(path)
            self.run.modules.add(path)
            self._inside += isinstance(module, _RECURRENT)

        return begin

    def _end(self, path: str, module: nn.Module) -> Callable[..., None]:
        def end(_: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            if out is None and sys.exc_info()[0] is not None:
                return  # the module failed: `where` says which one
            self._inside -= isinstance(module, _RECURRENT)
            if not self._inside:
                inputs = tuple(self.index_of(tensor) for tensor in tensors_in([args, kwargs]))
                if isinstance(module, _RECURRENT):
                    self.run.calls.append(self._call(path, module, args, kwargs, out))
                else:
                    for tensor in tensors_in(out):
                        if id(tensor) not in self._index:
                            self.record(type(module).__name__, inputs, tensor)
            self._paths.pop()

        return end

    def _call(self, path: str, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> LayerCall:
        named = dict(zip(("x", "hx"), args, strict=False)) | kwargs
        x = named.get("input", named.get("x"))
        x_index = next((self.index_of(tensor) for tensor in tensors_in(x)), -1)
        states = tuple(self.index_of(tensor) for tensor in tensors_in(named.get("hx")))
        inputs = (x_index, *states)
        outputs = tuple(self.record(type(layer).__name__, inputs, tensor) for tensor in tensors_in(out))
        rows = rows_of_packed(x)[0] if isinstance(x, PackedSequence) else None
        return LayerCall(path, layer, x_index, states, outputs, rows, rows is not None or "lengths" in kwargs)


def rows_of_packed(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """Return the row and the time step of each element of a packed sequence."""
    sizes = packed.batch_sizes.tolist()
    place = torch.cat([torch.arange(size) for size in sizes])
    rows = place if packed.sorted_indices is None else packed.sorted_indices.cpu()[place]
    return rows, torch.repeat_interleave(torch.arange(len(sizes)), packed.batch_sizes)


def _users_frame() -> FrameType | None:
    """Return the frame of the code that called torch."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_USERS):
        frame = frame.f_back
    return frame


def failing_line(error: BaseException) -> str:
    """Return the last line of the user's code that an error came through; "" if there is none."""
    places = [(Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__)]
    lines = [f"{file.name}:{line}" for file, line in places if not str(file).startswith((_NOT_USERS[0], str(_PACKAGE)))]
    return lines[-1] if lines else ""


def _users_line() -> str:
    frame = _users_frame()
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame is not None else ""


def _users_code() -> str:
    frame = _users_frame()
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno) if frame is not None else ""


class Snapshot:
    """The contents of a module and its parts, and the random states, to be put back after a run."""

    def __init__(self, model: nn.Module) -> None:
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: dict[int, tuple[Tensor, Tensor, int]] = {}
        self._modules = [*model.named_modules(), *hidden_modules(model)]
        for _, module in self._modules:
            self._keep(vars(module))
            self._keep([*keras_states(module)])
        self._random = torch.get_rng_state(), random.getstate()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        numpy = sys.modules.get("numpy")
        self._numpy = None if numpy is None else (numpy.random, numpy.random.get_state())

    def changed(self) -> list[str]:
        """Return the names of the attributes and buffers that have changed since."""
        copies = {id(held): copied for held, copied in self._containers}
        changed = []
        for path, part in self._modules:
            for held in (vars(part), part._buffers):
                before = copies[id(held)]
                for name, value in held.items():
                    if name.startswith("_") and name in vars(nn.Module()):
                        continue
                    kept, copied = self._tensors.get(id(value)), copies.get(id(value), value)
                    is_new = before.get(name) is not value or (kept is not None and is_other(value, kept[1]))
                    if is_new or (isinstance(value, (list, deque)) and [*map(id, value)] != [*map(id, copied)]):
                        changed.append(f"{path}.{name}".lstrip("."))
        return changed

    def put_back(self) -> None:
        """Put everything back."""
        for container, before in self._containers:
            # Not by methods of a subclass: Keras' lists refuse layers once the model is built.
            kind: Any = next(base for base in _CONTAINERS if isinstance(container, base))
            kind.clear(container)
            (kind.extend if kind in (list, deque) else kind.update)(container, before)
        with torch.no_grad():
            for tensor, before, version in self._tensors.values():
                # Normalisation changes its buffers without counting it; a copy counts, so it is made only if needed.
                unlikely = isinstance(tensor, nn.Parameter) and tensor._version == version
                if not unlikely and is_other(tensor, before):
                    tensor.copy_(before)
        torch.set_rng_state(self._random[0])
        random.setstate(self._random[1])
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        if self._numpy is not None:
            self._numpy[0].set_state(self._numpy[1])

    def set_seed(self, seed: int) -> None:
        """Set the random states, which are put back with the rest."""
        torch.manual_seed(seed)
        random.seed(seed)
        if self._numpy is not None:
            self._numpy[0].seed(seed)

    def _keep(self, held: Any, depth: int = 0) -> None:
        if isinstance(held, Tensor):
            if id(held) not in self._tensors and not held.is_inference():
                self._tensors[id(held)] = held, held.detach().clone(), held._version
        elif isinstance(held, (dict, list, set, deque, tuple)) and depth < 4:
            if not isinstance(held, tuple):
                self._containers.append((held, held.copy()))
            for part in [*(held.values() if isinstance(held, dict) else held)]:
                self._keep(part, depth + 1)
