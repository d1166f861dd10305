"""Captures a module once, by ``torch.export``, with its recurrent layers and cells as whole nodes."""

import inspect
import itertools
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.modes import eval_twin, evaluating
from hiddenstate.base.validation import check_memory
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ExportError, HiddenStateError
from hiddenstate.models.graph.graph import MOST_SIZE
from hiddenstate.nn.cell import RecurrentCell
from hiddenstate.nn.rnn import Layer
from hiddenstate.nn.torch_modules import sizes_of
from hiddenstate.tracing.traceable import find_recordable, refuse_keras

TORCH_CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
TORCH_LAYERS = (nn.LSTM, nn.GRU, nn.RNN)
TORCHS = nn.LSTM | nn.GRU | nn.RNN | nn.LSTMCell | nn.GRUCell | nn.RNNCell
OURS = Layer | RecurrentCell  # type: ignore[type-arg]
CELL_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

_SIZE = re.compile(r"L((?:\['?\w+'?\])+)\.size\(\)\[(\d+)\]")  # of an argument, in a condition that torch.export found
_CONSTANT = re.compile(r"aten\.(new_)?(zeros|ones|full|empty)(_like)?\.")  # reads no more of a tensor than its sizes
_MOST_TRIED = 130
_SCHEMA = "(Tensor x, Tensor? h, Tensor? c, str path, SymInt[] out, SymInt[] states) -> (Tensor, Tensor, Tensor)"
_LIBRARY = torch.library.Library("hiddenstate_graph", "DEF")
_LIBRARY.define(f"recurrent{_SCHEMA}")


@torch.library.register_fake("hiddenstate_graph::recurrent", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _shapes(x: Tensor, h: Tensor | None, c: Tensor | None, path: str, out: Any, states: Any) -> Any:
    """The shapes of a layer's or cell's results, whose sizes `_Recurrent` gives."""
    return x.new_empty(out), x.new_empty(states[:-1]), x.new_empty([*states[:-2], states[-1]])


class _Around(nn.Module):
    """A module around a layer or cell that is captured by itself."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002
        return self.layer(input, hx)


class Recurrent(nn.Module):
    """Stands for a recurrent layer or cell during the capture: one operation, whatever its steps and layers."""

    def __init__(self, layer: Any, path: str) -> None:
        super().__init__()
        is_ours = isinstance(layer, OURS)
        self.path, self.kind = path, type(layer).__name__
        self.is_cell = not isinstance(layer, (Layer, *TORCH_LAYERS))
        self.batch_first: bool = not self.is_cell and layer.batch_first
        self.sizes = sizes_of(layer)
        if self.is_cell:
            weights = {f"{name}_l0": getattr(layer, name) for name in CELL_WEIGHTS if getattr(layer, name) is not None}
        else:
            weights = layer._named_weights() if is_ours else {n: getattr(layer, n) for n in layer._flat_weights_names}
        self.weights = {name: value.detach() for name, value in weights.items()}

    def forward(self, input: Tensor, hx: Any = None, **options: Any) -> Any:  # noqa: A002 (torch's name for it)
        """Check the arguments, and return the results of the one operation."""
        sizes, rank = self.sizes, 2 if self.is_cell else 3
        if options:
            raise ArgumentError(f"`{self.path}`: {', '.join(options)}= is not in the list: rows take all steps")
        if not isinstance(input, Tensor) or input.dim() != rank:
            raise ArgumentError(f"`{self.path}`: its input needs {rank} axes, with one for rows, and is not packed")
        if input.shape[-1] != sizes.input_size:
            raise ArgumentError(f"`{self.path}`: it reads {sizes.input_size} features, got {input.shape[-1]}")
        h, c = hx if isinstance(hx, tuple | list) else (hx, None)
        H, P = sizes.hidden_size, sizes.output_size
        rows = input.shape[0 if self.batch_first or self.is_cell else 1]
        if any(part is not None and part.shape[-2] != rows and part.shape[-2] != 1 for part in (h, c)):
            raise ArgumentError(f"`{self.path}`: its state has other rows than its input, {rows}")
        states = [rows, H, H] if self.is_cell else [len(sizes.layer_directions), rows, P, H]
        out = [rows, H] if self.is_cell else [*input.shape[:2], sizes.directions * P]
        y, h, c = torch.ops.hiddenstate_graph.recurrent(input, h, c, self.path, out, states)
        state = (h, c) if sizes.cell == "LSTM" else h
        return state if self.is_cell else (y, state)


@dataclass(frozen=True)
class Captured:
    """What ``torch.export`` captured: its program, the layers by path, the example, and which symbols are N and T."""

    program: Any
    layers: Mapping[str, Recurrent]
    example: tuple[Any, ...]
    symbols: Mapping[Any, str]


def capture(model: nn.Module, args: Any) -> Captured:
    """Capture a call of a module in eval mode; raise our errors for what can't be captured."""
    _check(model, args)
    model = _Around(model) if isinstance(model, OURS | TORCHS) else model
    with evaluating(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_repeats(model, args)
        copied, layers = _with_leaves(model)
        if not layers:
            raise ArgumentError(f"this {type(model).__name__} has no recurrent layer or cell, and a file needs one")
        wider = _opened(model, args)
        captured = _captured(copied, layers, wider)
        sizes = [node.meta["val"].shape for node in _arguments(captured.program)]
        pairs = zip(sizes, pytree.tree_leaves(args), strict=True)
        if any(
            before == 1 and _symbol(size) is None and size == 2
            for shape, leaf in pairs
            for size, before in zip(shape, leaf.shape, strict=True)
        ):
            captured = _captured(copied, layers, args)  # the module takes no other size there than the example's 1
        for node in _leaves(captured.program):
            size = _rows(node.args[0].meta["val"].shape, layers[node.args[3]])
            if _symbol(size) is None and size > 1:
                raise ArgumentError(
                    f"`{node.args[3]}` reads {size} rows, whatever the number of rows is: if the module computes with "
                    "that number, take x.shape[0] and not len(x), which torch.export fixes at the example's"
                )
        return captured


def _captured(model: nn.Module, layers: Mapping[str, Recurrent], example: tuple[Any, ...]) -> Captured:
    leaves = pytree.tree_leaves(example)
    is_open = {(k, axis) for k, leaf in enumerate(leaves) for axis in range(leaf.dim()) if leaf.shape[axis] > 1}
    while True:
        program = _exported(model, example, is_open)
        symbols, rest = _symbols(program, layers)
        if not rest:
            return Captured(program, layers, example, symbols)
        is_open -= rest


def _check(model: object, args: object) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"expected a torch.nn.Module, got {type(model).__name__}")
    refuse_keras(model)
    leaves = pytree.tree_leaves(args)
    if not isinstance(args, tuple) or not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ArgumentTypeError(
            f"args must be a tuple of tensors, an example of the arguments of a call of this {type(model).__name__}, "
            f"got {_kinds(args)}"
        )
    for path, part in model.named_modules():
        if advice := _made_by_torch(part):
            raise ArgumentError(f"{f'`{path}`' if path else 'this module'} was {advice}")
    for k, leaf in enumerate(leaves):
        check_memory(leaf, f"argument {k}")
    for name, value in [*model.named_parameters(), *((f"argument {k}", leaf) for k, leaf in enumerate(leaves))]:
        if value.is_floating_point() and value.dtype is not torch.float32:
            raise DtypeError(f"{name} is {value.dtype}, expected float32: convert it first, with .float()")
    if any(edits_in_force(part) for part in map(find_recordable, model.modules()) if isinstance(part, OURS)):
        raise ArgumentError("edits are active, but the file can't contain them: exit their block first")


def _kinds(args: object) -> str:
    if not isinstance(args, tuple):
        return type(args).__name__
    wrong = [type(leaf).__name__ for leaf in pytree.tree_leaves(args) if not isinstance(leaf, Tensor)]
    return f"a tuple with {wrong[0]}" if wrong else "an empty one"


def _made_by_torch(part: nn.Module) -> str:
    """Say what made a module that can't be captured any more, and what to export instead."""
    if type(part).__module__.startswith("torch.ao.nn.quantized"):
        return "quantized by torch: export the float module, or hiddenstate.convert(model, weights='int8')"
    names = [kind.__name__ for kind in (*TORCH_LAYERS, *TORCH_CELLS)]
    if not any(
        isinstance(inner, OURS | TORCHS) or getattr(inner, "original_name", "") in names for inner in part.modules()
    ):
        return ""
    if hasattr(part, "_orig_mod"):
        return "compiled by torch.compile: export the module itself, which is its _orig_mod"
    if isinstance(part, torch.jit.ScriptModule):
        return "made by torch.jit: export the module that it was made from"
    return ""


def _opened(model: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the example with axes of size 1 widened where the model allows it, as torch.export keeps 1 fixed."""
    leaves, form = pytree.tree_flatten(args)
    ones = [(k, axis) for k, leaf in enumerate(leaves) for axis, size in enumerate(leaf.shape) if size == 1][:6]
    for count in range(len(ones), 0, -1):
        for axes in itertools.combinations(ones, count):
            wider = list(leaves)
            for k, axis in axes:
                wider[k] = wider[k].repeat_interleave(2, axis)
            example = pytree.tree_unflatten(wider, form)
            try:
                model(*example)
            except Exception:
                continue
            return example
    return args


def _check_repeats(model: nn.Module, example: tuple[Any, ...]) -> None:
    """Reject a module that gives different results when it is called again, or changes its buffers."""
    before = {name: value.clone() for name, value in model.named_buffers()}
    state = torch.random.get_rng_state()
    first = pytree.tree_leaves(model(*example))
    drew = not torch.equal(state, torch.random.get_rng_state())
    model(*pytree.tree_map(lambda leaf: leaf * 0.5 + 0.1 if leaf.is_floating_point() else leaf, example))
    again = pytree.tree_leaves(model(*example))
    for name, value in model.named_buffers():
        if name not in before or not torch.equal(value, before[name]):
            raise ArgumentError(
                f"a call changes the buffer `{name}`: return it as a result instead, and take it as an argument"
            )
    if not all(isinstance(value, Tensor) for value in first):
        raise ArgumentTypeError("a call returns something besides tensors: return only tensors")
    if drew:
        raise ArgumentError("a call draws random numbers, also in eval mode: give them as an argument")
    for k, value in enumerate(first):
        if not value.isfinite().all():
            raise ArgumentError(
                f"result {k} of the example has NaN or infinity, with which a file can't be compared: give arguments "
                "whose results are finite, or see whether a weight is NaN"
            )
    if len(first) != len(again) or not all(map(torch.equal, first, again)):
        raise ArgumentError(
            "a second call of the same arguments gives something else: the module keeps a state of its own; take it as "
            "an argument and return it, or leave it to the recurrent layer"
        )


def _with_leaves(model: nn.Module) -> tuple[nn.Module, dict[str, Recurrent]]:
    """Return a copy in which recurrent layers and cells are whole operations, and these by path."""
    copied = eval_twin(model)
    for part in copied.modules():  # torch.export takes Parameters alone for parameters
        for name, value in part._parameters.items():
            part._parameters[name] = None if value is None else nn.Parameter(value, requires_grad=False)
    layers: dict[str, Recurrent] = {}
    stands: dict[nn.Module, Recurrent] = {}
    for path, part in list(copied.named_modules(remove_duplicate=False)):
        kind = next((kind for kind in (*TORCH_LAYERS, *TORCH_CELLS) if isinstance(part, kind)), None)
        if kind is None and not isinstance(part, OURS):
            continue
        if kind is not None and type(part).forward is not vars(kind)["forward"]:
            raise ArgumentError(f"`{path}` is a {type(part).__name__} with a forward of its own, which may be anything")
        if part not in stands:
            stands[part] = Recurrent(part, path)
            if part._forward_hooks or part._forward_pre_hooks:
                raise ArgumentError(f"`{path}` has hooks, which the file would lose: remove them first")
            layers[path] = stands[part]
        parent, _, name = path.rpartition(".")
        setattr(copied.get_submodule(parent), name, stands[part])
    return copied, layers


def _exported(model: nn.Module, example: tuple[Any, ...], is_open: set[tuple[int, int]]) -> Any:
    leaves, form = pytree.tree_flatten(example)
    auto = torch.export.Dim.AUTO
    axes = [{axis: auto for axis in range(leaf.dim()) if (k, axis) in is_open} for k, leaf in enumerate(leaves)]
    shapes = pytree.tree_unflatten(axes, form)
    kinds = [parameter.kind for parameter in inspect.signature(model.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:  # *args is one parameter
        named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
        shapes = (*shapes[:named], shapes[named:])
    try:
        program = torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
        return program.run_decompositions({})  # without a table, this only turns in-place operations into others
    except HiddenStateError:
        raise
    except Exception as error:
        raise ExportError(f"{_where(model, error)}: {_reason(error)}") from error


def _where(model: nn.Module, error: BaseException) -> str:
    """Return the path of the innermost module in which an error was raised."""
    paths = {id(part): path for path, part in model.named_modules()}
    here = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        here = paths.get(id(frame.f_locals.get("self")), "") or here
    return f"`{here}`" if here else f"this {type(model).__name__}"


def _reason(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    if "DataDependent" in text or "data-dependent" in text:
        return "its control flow depends on the data: compute both ways, and multiply each by a mask of 0 and 1"
    if "was assigned during export" in text or ("attribute" in text and "assigned" in text):
        return "it keeps a state of its own in an attribute: take it as an argument, and return it"
    return f"torch.export can't capture it: {text.strip().splitlines()[0][:300]}"


def _symbols(program: Any, layers: Mapping[str, Recurrent]) -> tuple[dict[Any, str], set[tuple[int, int]]]:
    """Return which symbols are T and N, and the axes of arguments that are neither, which must not stay open."""
    symbols: dict[Any, str] = {}
    for name, where in (("T", _time), ("N", _rows)):
        for node in _leaves(program):
            size = where(node.args[0].meta["val"].shape, layers[node.args[3]])
            expression = _symbol(size)
            if getattr(expression, "is_Symbol", False) and name not in symbols.values():
                symbols.setdefault(expression, name)
    rest = set()
    for k, node in enumerate(_arguments(program)):
        for axis, size in enumerate(node.meta["val"].shape):
            expression = _symbol(size)
            if expression is None or symbols.get(expression):
                continue
            if "N" not in symbols.values() and axis < 2:
                symbols[expression] = "N"
            else:
                rest.add((k, axis))
    return symbols, rest


def warn_if_memoryless(captured: Captured, stacklevel: int) -> None:
    """Warn about a module whose calls all read one step, from a state that no argument changes."""
    nodes = [*_leaves(captured.program)]
    steps = [_time(node.args[0].meta["val"].shape, captured.layers[node.args[3]]) for node in nodes]
    if not nodes or any(_symbol(count) is not None or count not in (None, 1) for count in steps):
        return
    arguments = {*_arguments(captured.program)}
    if not any(_depends(node.args[1:3], arguments) for node in nodes):
        names = ", ".join(dict.fromkeys(f"`{node.args[3]}`" for node in nodes))
        warnings.warn(
            f"the file remembers nothing: a call runs one step of {names}, always from the same state. To carry the "
            "state, let forward take a sequence, [N, T, C] or [T, N, C], or take the state and return it",
            stacklevel=stacklevel,
        )


def _depends(values: Sequence[Any], arguments: set[Any]) -> bool:
    """Whether any of these nodes' values depends on an argument, other than through its sizes."""
    todo, reached = [*values], set()
    while todo:
        node = todo.pop()
        if node is None or node in reached or _CONSTANT.match(str(node.target)):
            continue
        if isinstance(node.meta.get("val"), int | torch.SymInt):
            continue
        if node in arguments:
            return True
        reached.add(node)
        todo += node.all_input_nodes
    return False


def check_conditions(captured: Captured) -> None:
    """Reject a module that computes something else for numbers of rows or steps other than the example's."""
    program, symbols = captured.program, captured.symbols
    conditions = []
    for symbol, name in symbols.items():
        bounds = program.range_constraints.get(symbol)
        if bounds is not None and not (bounds.lower <= 2 and bounds.upper >= MOST_SIZE):
            conditions.append(f"{bounds.lower} <= {name} <= {bounds.upper}".removesuffix(" <= int_oo"))
    conditions += [text for text in _guards(program, symbols) if "L[" not in text and not _holds(text)]
    if conditions:
        raise ArgumentError(
            "what the module computes depends on the number of rows or steps: a file would compute for all what it "
            f"computes where {conditions[0]}, as in the example; write it without that condition"
        )


def _guards(program: Any, symbols: Mapping[Any, str]) -> list[str]:
    """Return what torch.export has assumed about sizes, in terms of N and T where it concerns them."""
    shapes = {node.name: node.meta["val"].shape for node in _arguments(program)}
    if hasattr(program, "_guards_code"):
        return [_SIZE.sub(lambda found: _named_size(shapes, symbols, *found.groups()), c) for c in program._guards_code]
    # torch 2.8 keeps it only with the sizes themselves.
    from torch.utils._sympy.printers import PythonPrinter

    named = {symbol: type(symbol)(name) for symbol, name in symbols.items()}
    places = {
        id(size.node.shape_env): size.node.shape_env for shape in shapes.values() for size in shape if _symbol(size)
    }
    return [PythonPrinter().doprint(guard.expr.subs(named)) for place in places.values() for guard in place.guards]


def _named_size(shapes: Mapping[str, Any], symbols: Mapping[Any, str], keys: str, axis: str) -> str:
    """Return N, T or the number of a size of an argument; L[...] if it is unknown."""
    shape = shapes.get("_".join(re.findall(r"\w+", keys)))
    if shape is None:
        return f"L{keys}"
    expression = _symbol(shape[int(axis)])
    return str(int(shape[int(axis)])) if expression is None else symbols.get(expression, f"L{keys}")


def _holds(condition: str) -> bool:
    """Whether a condition holds for all numbers of rows and steps, from 2 up to those that it may name."""
    tried = {*range(2, _MOST_TRIED), *(int(n) + k for n in re.findall(r"\d+", condition) for k in (0, 1, 2))}
    pairs = [(n, t) for size in tried if size > 1 for n, t in ((size, 3), (2, size))]
    try:
        code = compile(condition, "condition", "eval")  # torch.export wrote it
        return all(eval(code, {}, {"N": n, "T": t}) for n, t in pairs)
    except Exception:  # of a form that is not known
        return True


def _symbol(size: Any) -> Any:
    """Return the expression of a size that is open, or None if it is fixed."""
    expression = getattr(getattr(size, "node", None), "expr", None)
    return None if expression is None or expression.is_number else expression


def _arguments(program: Any) -> list[Any]:
    """Return the nodes of the arguments."""
    names = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"}
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def _time(shape: Sequence[Any], layer: Recurrent) -> Any:
    return None if layer.is_cell else shape[1 if layer.batch_first else 0]


def _rows(shape: Sequence[Any], layer: Recurrent) -> Any:
    return shape[0 if layer.batch_first or layer.is_cell else 1]


def _leaves(program: Any) -> Iterator[Any]:
    """Yield the nodes of recurrent layers and cells."""
    return (node for node in program.graph.nodes if str(node.target) == "hiddenstate_graph.recurrent.default")
