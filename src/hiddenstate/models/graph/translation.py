"""Translates the operations that ``torch.export`` captured into graph operations, or refuses them by path."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.models.graph.graph import (
    ELEMENTWISE,
    MOST_NODES,
    RULES,
    Graph,
    GraphError,
    Input,
    Node,
    Shape,
    checked,
    infer,
    results_of,
)

END = 2**62  # where slices to the end end, at least

# What would work instead, by the name of torch's operation.
_NORM = "LayerNorm, or BatchNorm in eval mode, would work"
_POOL = "a mean or maximum over an axis would work, or a Conv1d with a stride"
_PRODUCT = "only products with constant weights are (Linear)"
_GREATER = "relu(a - b) + b would work"
_MASK = "a product with a mask of 0 and 1, which is given as an argument, would work"
_OUTSIDE = "take it outside: of an argument before the call, or of a result, such as scores, after it"
_COMPARED = f"return what is compared, and compare outside; or {_MASK}"
_PARTS = "slices of features (x[..., a:b]) that torch.cat joins would work; rows and steps keep their order"
_EARLIER = "a causal Conv1d reads earlier steps (those of one feature alone with groups=channels)"
SERVES = {
    name: serves
    for names, serves in (
        ("maximum", f"of two tensors, {_GREATER}"),
        ("instance_norm group_norm rms_norm", _NORM),
        ("max_pool1d avg_pool1d adaptive_avg_pool1d max_pool1d_with_indices", _POOL),
        ("matmul bmm mm einsum scaled_dot_product_attention", _PRODUCT),
        ("leaky_relu prelu hardswish hardtanh relu6 mish", "ReLU, ELU, GELU or SiLU would work"),
        ("conv2d conv3d conv_transpose1d", "Conv1d over a fixed frame, or causal over time, would work"),
        ("log_softmax log log1p log2 log10 exp expm1 sin cos round floor sign argmax topk sort argsort", _OUTSIDE),
        ("gt lt ge le eq ne", _COMPARED),
        ("where masked_fill logical_not one_hot", _MASK),
        ("masked_select nonzero gather index_put index_fill scatter", _MASK),
        ("roll", f"{_PARTS}; {_EARLIER}"),
        ("flip repeat_interleave repeat index_select", _PARTS),
        ("cumsum cumprod", "a recurrent layer, or a causal Conv1d over a fixed number of steps, would work"),
        ("std var", "the mean of x * x, minus the square of the mean, would work, with torch.sqrt"),
        ("min amin", "-torch.amax(-x, axis) would work"),
        ("linalg_vector_norm", "torch.sqrt(torch.sum(x * x, axis)) over features would work"),
        ("glu", "the product of one half and the sigmoid of the other would work: a, b = x.chunk(2, -1)"),
        ("clamp", "relu(x - low) + low, and high - relu(high - x), would work"),
        ("hardsigmoid", "relu(x / 6 + 0.5) - relu(x / 6 - 0.5) would work"),
        ("softplus", "ELU would work"),
    )
    for name in names.split()
}


class Value(int):
    """The number of a value of the graph, which is not a number that the module computes with."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that depends on no argument, and its name if it is a parameter or buffer."""

    tensor: Tensor
    name: str = ""


@dataclass(frozen=True)
class Fill:
    """One number, whatever the shape."""

    number: float


@dataclass(frozen=True)
class Padded:
    """A value with zeros before and after its time axis, which only a convolution reads."""

    value: int
    left: int
    right: int


@dataclass(frozen=True)
class Untrimmed:
    """A causal convolution whose last ``excess`` steps must be cut off, because they have read padding."""

    emit: Callable[[], Value]
    excess: int


@dataclass(frozen=True)
class Lazy:
    """A result that becomes a node if something reads it."""

    emit: Callable[[], Value]


class Translator:
    """Builds the graph of a `capture.Captured`, node by node."""

    def __init__(self, captured: Any) -> None:
        self.captured = captured
        self.inputs: list[Input] = []
        self.nodes: list[Node] = []
        self.shapes: list[Shape] = []
        self.ints: list[bool] = []
        self.tensors: dict[str, Tensor] = {}
        self.references: dict[Any, Any] = {}
        self.path, self.what = "", ""
        self.node: Any = None

    def graph(self) -> tuple[Graph, dict[str, Tensor]]:
        """Translate the program, and return the graph and its tensors by name."""
        program = self.captured.program
        stored = self._stored(program)
        arguments = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"}
        if any(spec.kind.name.endswith("MUTATION") for spec in program.graph_signature.output_specs):
            raise ArgumentError("a call changes a buffer or an argument: return the new value as a result instead")
        for node in program.graph.nodes:
            if node.op == "placeholder" and node.name in arguments:
                value = node.meta["val"]
                shape, ints = self.shape_of(value), not value.is_floating_point()
                if None in shape:
                    raise ArgumentError(f"argument {node.name!r} has shape {list(value.shape)}, whose axes are unclear")
                self.references[node] = Value(len(self.shapes))
                self.inputs.append(Input(node.name, shape, ints))  # type: ignore[arg-type]
                self.shapes.append(shape)  # type: ignore[arg-type]
                self.ints.append(ints)
            elif node.op == "placeholder":
                self.references[node] = stored[node.name]
            elif node.op == "call_function":
                self._translate(node)
            elif node.op == "output":
                self.path, self.what = "", "this output"
                outputs = tuple(self.value(self.references[value]) for value in node.args[0])
        if len(self.nodes) > MOST_NODES:
            raise ArgumentError(f"the model has {len(self.nodes):,} operations, at most {MOST_NODES:,} are allowed")
        try:
            return checked(tuple(self.inputs), tuple(self.nodes), outputs, self._shape), self.tensors
        except GraphError as error:
            raise ArgumentError(f"this model can't become a file: {error}") from error

    def _stored(self, program: Any) -> dict[str, Stored]:
        every = {**program.state_dict, **program.constants}
        return {
            spec.arg.name: Stored(every[spec.target].detach(), spec.target)
            for spec in program.graph_signature.input_specs
            if spec.kind.name in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR")
        }

    def _shape(self, name: str) -> Sequence[int] | None:
        return tuple(self.tensors[name].shape) if name in self.tensors else None

    def _translate(self, node: Any) -> None:
        self.node = node
        stack = [entry for entry in node.meta.get("nn_module_stack", {}).values() if entry[0] is not None]
        self.path, module = stack[-1] if stack else ("", "")
        module = module if isinstance(module, str) else f"{module.__module__}.{module.__qualname__}"
        name = str(node.target).removeprefix("aten.").split(".")[0]
        self.what = module.rpartition(".")[2] if module.startswith("torch.nn.modules") else name
        if isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool | int | float):
            return  # sizes are read where they are used
        if name.startswith(("_assert", "sym_")):
            return
        if node.target is operator.getitem:
            result = self.references[node.args[0]][node.args[1]]
            self.references[node] = result.emit() if isinstance(result, Lazy) else result
            return
        if any(word in name for word in ("rand", "bernoulli", "normal_", "multinomial")):
            raise ArgumentError(f"{self.here}: {self.what} draws random numbers: give them as an argument")
        args, kwargs = self._resolved(node.args), {key: self._resolved(value) for key, value in node.kwargs.items()}
        if self._is_constant(node):
            self.references[node] = self._folded(node)
            return
        if name == "hiddenstate_graph":
            self.references[node] = _recurrent(self, *args)
            return
        handler = HANDLERS.get(name)
        if handler is None:
            self.refuse()
        try:
            self.references[node] = handler(self, *args, **kwargs)
        except TypeError as error:  # an argument that the handler does not know
            self.refuse(f"{self.what} with these options ({error})")

    @property
    def here(self) -> str:
        """The module whose operation is translated."""
        return f"`{self.path}`" if self.path else "the model's own forward"

    def refuse(self, what: str = "", serves: str = "") -> NoReturn:
        """Raise ArgumentError for an operation that is not in the list."""
        name = str(self.node.target).removeprefix("aten.").split(".")[0]
        serves = serves or SERVES.get(name, f"the list has {', '.join(RULES)}")
        raise ArgumentError(f"{self.here}: {what or self.what} is not in the list: {serves}")

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._resolved(part) for part in value]
        if not isinstance(value, torch.fx.Node):
            return value
        size = value.meta.get("val")
        return self.references.get(value, size)

    def _is_constant(self, node: Any) -> bool:
        """Whether an operation reads no argument, so that it can be computed now."""
        reads = [self.references.get(value) for value in node.all_input_nodes]
        shapes = [size for value in _flat(node.meta.get("val")) for size in getattr(value, "shape", ())]
        return all(isinstance(value, Stored) for value in reads) and all(isinstance(size, int) for size in shapes)

    def _folded(self, node: Any) -> Any:
        args, kwargs = torch.fx.node.map_arg(
            (node.args, node.kwargs), lambda value: self.references[value].tensor.cpu()
        )
        result = node.target(*args, **kwargs)
        return Stored(result) if isinstance(result, Tensor) else [Stored(part) for part in result]

    # Shapes

    def shape_of(self, value: Any, like: Shape = ()) -> tuple[int | str | None, ...]:
        """Return a tensor's shape as graphs have it; None stands for a size that they can't express."""
        order = "".join(size for size in like if isinstance(size, str)).replace("*", "")
        return tuple(self._size(size, order) for size in value.shape)

    def _size(self, size: Any, order: str = "NT") -> int | str | None:
        expression = getattr(getattr(size, "node", None), "expr", None)
        if expression is None or expression.is_number:
            return int(size) if expression is None else int(expression)
        names = [self.captured.symbols.get(symbol) for symbol in expression.free_symbols]
        product = 1
        for symbol in expression.free_symbols:
            product = product * symbol
        if None in names or expression != product:
            return None
        ordered = sorted(names, key=(order or "NT").find)
        return "*".join(ordered)

    def expected(self, like: int | None = None) -> Shape:
        """The shape of torch's result; raises an error if a graph can't express it."""
        shape = self.shape_of(self.node.meta["val"], () if like is None else self.shapes[like])
        if None in shape:
            sizes = list(self.node.meta["val"].shape)
            self.refuse(f"{self.what} to shape {sizes}", "an axis is rows, steps, both, or of a fixed size")
        return shape  # type: ignore[return-value]

    # Building

    def value(self, reference: Any) -> Value:
        """Return the number of the value that a reference stands for, with a node for a constant."""
        if isinstance(reference, bool) or reference is None:
            self.refuse()
        if isinstance(reference, Fill):
            return self.emit("constant", [], value=reference.number)
        if isinstance(reference, Stored):
            return self.emit("constant", [], [reference], value=0.0)
        if isinstance(reference, Padded | Untrimmed):
            self.refuse("padding over time before anything but a convolution, or a convolution that is not causal",
                        "cut off as many steps at the end as were padded there")  # fmt: skip
        if isinstance(reference, torch.SymInt | torch.SymFloat):
            self.refuse("a number of steps or rows as a value", "give it as an argument")
        if not isinstance(reference, Value):
            self.refuse()
        return reference

    def emit(self, op: str, inputs: Sequence[Any], stored: Sequence[Stored] = (), **settings: Any) -> Value:
        """Add a node, and return the number of its first result."""
        values = tuple(self.value(reference) for reference in inputs)
        tensors = tuple(self.keep(part) for part in stored)
        node = Node(op, self.path, values, tensors, settings)
        try:
            shapes, ints = infer(node, self.shapes, self.ints, self._shape)
        except GraphError as error:
            raise ArgumentError(f"{self.here}: {self.what} is not in the list in this form: {error}") from error
        first = Value(len(self.shapes))
        self.nodes.append(node)
        self.shapes += shapes
        self.ints += [ints] * results_of(node)
        return first

    def keep(self, part: Any, name: str = "") -> str:
        """Keep a constant tensor, and return its name."""
        if not isinstance(part, Stored):
            self.refuse(f"{self.what} whose weights depend on the arguments", "constant weights would work")
        value = part.tensor if part.tensor.dtype is torch.int8 else part.tensor.float()
        wanted = name or part.name or f"{self.path}.constant".lstrip(".")
        name, count = wanted, 1
        while name in self.tensors and not _equal(self.tensors[name], value):
            name, count = f"{wanted}.{count}", count + 1
        if not value.isfinite().all():
            raise ArgumentError(f"{wanted} has values that are not finite: check the training")
        self.tensors[name] = value
        return name


def _equal(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))


def _flat(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _recurrent(t: Translator, x: Any, h: Any, c: Any, path: str, *_sizes: Any) -> Sequence[Any]:
    """A whole recurrent layer or cell."""
    leaf = t.captured.layers[path]
    sizes, weights = leaf.sizes, leaf.weights
    t.path, t.what = path, leaf.kind
    for name, value in weights.items():
        kept = t.keep(Stored(value), f"{path}.{name}")
        if kept != f"{path}.{name}":
            raise ArgumentError(f"`{path}`: another tensor of this model is also called {path}.{name}")
    states = [state for state in (h, c) if state is not None]
    if all(isinstance(state, Fill) and state.number == 0 for state in states):
        states = []
    settings: dict[str, Any] = {
        "prefix": f"{path}.",
        **{name: getattr(sizes, name) for name in ("cell", "input_size", "hidden_size", "bias")},
    }
    if not leaf.is_cell:
        settings |= {name: getattr(sizes, name) for name in ("num_layers", "proj_size", "bidirectional")}
        settings["batch_first"] = bool(leaf.batch_first)
    first = t.emit("cell" if leaf.is_cell else "layer", [x, *states], **settings)
    results = [Value(first + k) for k in range(results_of(t.nodes[-1]))]
    return [None, *results] if leaf.is_cell else results


def _dropout(t: Translator, x: Any, p: float, train: bool) -> Any:
    if train and p > 0:
        raise ArgumentError(
            f"{t.here}: {t.what} draws random numbers, also in eval mode: give it training=self.training"
        )
    return x


def _cast(t: Translator, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    value = t.node.meta["val"]
    if value.dtype is not t.node.args[0].meta["val"].dtype:
        t.refuse(f"a conversion to {value.dtype}", "numbers are float32, and only an Embedding reads integers")
    return x


def _fill(number: float | None) -> Callable[..., Fill]:
    def full(t: Translator, *args: Any, **_kwargs: Any) -> Fill:
        # full(size, number), full_like(x, number), new_full(x, size, number)
        return Fill(float(args[-1]) if number is None else number)

    return full


def _expand(t: Translator, x: Any, sizes: Sequence[Any], **_kwargs: Any) -> Any:
    """A constant, or a value whose axes of size 1 are read as any size, as they are by what comes after."""
    return x


def _repeat(t: Translator, x: Any, counts: Sequence[Any]) -> Any:
    shape = t.node.args[0].meta["val"].shape
    if len(counts) != len(shape) or any(count != 1 and size != 1 for count, size in zip(counts, shape, strict=True)):
        t.refuse()
    return x


def _sum(t: Translator, x: Any, dim: Any = None, keepdim: bool = False, **_dtype: Any) -> Any:
    """A mean, times a fixed number."""
    x = t.value(x)
    axes = range(len(t.shapes[x])) if dim is None or dim == [] else dim if isinstance(dim, list) else [dim]
    sizes = [t.shapes[x][axis] for axis in axes]
    if not all(isinstance(size, int) for size in sizes):
        t.refuse("a sum over rows or steps", "their mean would work, or a sum over features")
    mean = _reduce("mean")(t, x, dim, keepdim)
    return t.emit("multiply", [mean, Fill(float(math.prod(sizes)))])


def _abs(t: Translator, x: Any) -> Value:
    x = t.value(x)
    return t.emit("add", [t.emit("relu", [x]), t.emit("relu", [t.emit("multiply", [x, Fill(-1.0)])])])


def _index(t: Translator, x: Any, indices: Sequence[Any]) -> Any:
    of = [node.meta["val"] for node in t.node.args[1] if node is not None]
    if any(index.dtype is torch.bool for index in of):
        t.refuse("indexing by a mask of True and False", _MASK)
    t.refuse("indexing by a list or tensor", _PARTS)


def _two(op: str, *, swap: bool = False) -> Callable[..., Value]:
    def binary(t: Translator, a: Any, b: Any, alpha: float = 1, *, rounding_mode: str | None = None) -> Value:
        if rounding_mode is not None:
            t.refuse(f"a division that rounds (rounding_mode={rounding_mode!r})", "a division that does not is")
        a, b = (Fill(float(part)) if type(part) in (int, float) else part for part in ((b, a) if swap else (a, b)))
        if alpha != 1:
            b = t.emit("multiply", [b, Fill(float(alpha))])
        return t.emit(op, [a, b])

    return binary


def _one(op: str) -> Callable[..., Value]:
    return lambda t, x: t.emit(op, [x])


def _power(t: Translator, x: Any, exponent: Any) -> Value:
    if exponent == 2:
        x = t.value(x)
        return t.emit("multiply", [x, x])
    return t.emit("sqrt", [x]) if exponent == 0.5 else t.refuse(serves="powers 2 and 0.5 are")


def _elu(t: Translator, x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    if input_scale != 1:
        t.refuse()
    result = t.emit("elu", [x], alpha=float(alpha))
    return result if scale == 1 else t.emit("multiply", [result, Fill(float(scale))])


def _softmax(t: Translator, x: Any, dim: int, *_dtype: Any) -> Value:
    x = t.value(x)
    return t.emit("softmax", [x], axis=dim % len(t.shapes[x]))


def _matmul(t: Translator, x: Any, weight: Any) -> Value:
    if not isinstance(weight, Stored) or weight.tensor.dim() != 2:
        t.refuse()
    return t.emit("linear", [x], [Stored(weight.tensor.T, f"{weight.name}.transposed" if weight.name else "")])


def _conv1d(
    t: Translator,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1,),
    padding: Any = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Any:
    left = right = 0
    if isinstance(x, Padded):
        x, left, right = x.value, x.left, x.right
    x = t.value(x)
    reach = (t.node.args[1].meta["val"].shape[-1] - 1) * dilation[0]
    both = (
        (reach // 2, reach - reach // 2) if padding == "same" else (0, 0) if padding == "valid" else 2 * tuple(padding)
    )
    left, right = left + both[0], right + both[1]
    over_time, excess = t.shapes[x][-1] == "T", right
    if over_time and (left != reach or stride[0] != 1):
        t.refuse(
            f"a {t.what} over time that is not causal (it pads {left} and {right}, and reaches {reach} back)",
            "pad (kernel_size - 1) * dilation steps only on the left, with stride 1",
        )
    place, path, what = t.node, t.path, t.what

    def emit() -> Value:
        t.node, t.path, t.what = place, path, what
        amounts = (left, 0 if over_time else right)
        settings = {"stride": stride[0], "dilation": dilation[0], "groups": groups, "padding": amounts}
        return t.emit("conv1d", [x], [weight] if bias is None else [weight, bias], **settings)

    return Untrimmed(emit, excess) if over_time and excess else emit()


def _pad(t: Translator, x: Any, amounts: Sequence[int], mode: str = "constant", value: float | None = 0.0) -> Any:
    if not all(type(amount) is int for amount in amounts) or min(amounts) < 0 or mode not in ("constant", "reflect"):
        t.refuse(f"padding {list(amounts)} in mode {mode!r}", "constant and reflected padding of fixed size are")
    x = t.value(x)
    for k in range(0, len(amounts), 2):
        axis, amount = len(t.shapes[x]) - 1 - k // 2, (amounts[k], amounts[k + 1])
        if amount == (0, 0):
            continue
        if (
            t.shapes[x][axis] == "T"
            and axis == len(t.shapes[x]) - 1
            and len(set(amounts[2:])) < 2
            and mode == "constant"
            and not value
        ):
            return Padded(x, *amount)
        if t.shapes[x][axis] == "T":
            t.refuse("padding over time before anything but a convolution", _EARLIER)
        x = t.emit("pad", [x], axis=axis, amount=amount, mode=mode, value=float(value or 0))
    return x


def _layer_norm(
    t: Translator, x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Value:
    if weight is None and bias is not None:
        result = t.emit("layer_norm", [x], count=len(shape), eps=eps)
        return t.emit("add", [result, bias])
    return t.emit("layer_norm", [x], [part for part in (weight, bias) if part is not None], count=len(shape), eps=eps)


def _batch_norm(t: Translator, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *options: Any) -> Value:
    """Two operations: times a factor, plus an offset."""
    *training, _momentum, eps = options if isinstance(options[-1], float) else options[:-1]
    if training == [True] or mean is None:
        t.refuse(f"{t.what} in training mode", "its running statistics, in eval mode, are")
    x = t.value(x)
    mean, variance = mean.tensor.double(), variance.tensor.double()
    factor = (1 if weight is None else weight.tensor.double()) / (variance + eps).sqrt()
    offset = (0 if bias is None else bias.tensor.double()) - mean * factor
    shape = (-1, *[1] * (len(t.shapes[x]) - 2))
    parts = [
        Stored(part.float().reshape(shape), f"{t.path}.{name}")
        for name, part in (("factor", factor), ("offset", offset))
    ]
    return t.emit("add", [t.emit("multiply", [x, parts[0]]), parts[1]])


def _reshape(t: Translator, x: Any, *_: Any, **_kwargs: Any) -> Value:
    x = t.value(x)
    shape = t.expected(x)
    return x if shape == t.shapes[x] else t.emit("reshape", [x], shape=shape)


def _transpose(t: Translator, x: Any, *args: Any) -> Value:
    x = t.value(x)
    sizes = [2, 3, 5, 7, 11, 13, 17, 19][: len(t.shapes[x])]
    order = tuple(sizes.index(size) for size in t.node.target(torch.empty(sizes, device="meta"), *args).shape)
    return x if list(order) == sorted(order) else t.emit("transpose", [x], order=order)


def _concatenate(t: Translator, parts: Sequence[Any], dim: int = 0) -> Value:
    values = [t.value(part) for part in parts]
    axis = dim % len(t.shapes[values[0]])
    if len({_with(t.shapes[value], axis) for value in values}) > 1:
        t.refuse("parts of which one is repeated over rows or steps", "the sum of a Linear of each part is")
    return t.emit("concatenate", values, axis=axis)


def _stack(t: Translator, parts: Sequence[Any], dim: int = 0) -> Value:
    values, axis = [t.value(part) for part in parts], dim % len(t.node.meta["val"].shape)
    whole = [(*t.shapes[value][:axis], 1, *t.shapes[value][axis:]) for value in values]
    reshaped = [t.emit("reshape", [value], shape=shape) for value, shape in zip(values, whole, strict=True)]
    return t.emit("concatenate", reshaped, axis=axis)


def _slices(t: Translator, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    start, is_to_end = start or 0, end is None or (type(end) is int and end >= END)
    if start == 0 and step == 1 and is_to_end:
        return x
    if isinstance(x, Untrimmed):
        is_trim = start == 0 and step == 1 and dim in (2, -1) and (end == -x.excess or t._size(end) == "T")
        return x.emit() if is_trim else t.value(x)
    x = t.value(x)
    axis = dim % len(t.shapes[x])
    size = t.shapes[x][axis]
    if size == "T" and start == 0 and step == 1 and t._size(end) == "T":
        return x
    if size == "T" and step == 1 and is_to_end and start == -1:
        return t.emit("reshape", [t.emit("last", [x], axis=axis)], shape=_with(t.shapes[x], axis, 1))
    if not isinstance(size, int):
        t.refuse("a slice of rows, or of steps other than all or the last,", f"the last is: out[:, -1]; {_EARLIER}")
    start, stop, step = slice(start, None if is_to_end else end, step).indices(size)
    return t.emit("slice", [x], axis=axis, start=start, stop=stop, step=step)


def _with(shape: Shape, axis: int, *sizes: int | str) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def _select(t: Translator, x: Any, dim: int, index: Any) -> Value:
    x = t.value(x)
    axis = dim % len(t.shapes[x])
    size = t.shapes[x][axis]
    if size == "T" and index == -1:
        return t.emit("last", [x], axis=axis)
    if not isinstance(size, int):
        t.refuse("one row, or a step other than the last,", "the last step is: out[:, -1]")
    start = index % size
    part = t.emit("slice", [x], axis=axis, start=start, stop=start + 1, step=1)
    return t.emit("reshape", [part], shape=_with(t.shapes[x], axis))


def _split(t: Translator, x: Any, *_: Any, **_kwargs: Any) -> Sequence[Lazy]:
    """The parts that torch's result has, along the axis in which they differ from x."""
    x, node, path, what = t.value(x), t.node, t.path, t.what
    shapes = [t.shape_of(part) for part in node.meta["val"]]
    names = [argument.name for argument in node.target._schema.arguments]
    position = names.index("dim")
    dim = node.kwargs.get("dim", node.args[position] if len(node.args) > position else 0)
    axis, drops = dim % len(t.shapes[x]), len(shapes[0]) < len(t.shapes[x])
    if not isinstance(t.shapes[x][axis], int):
        t.refuse("parts of rows or steps", "parts of features are")
    widths = [1 if drops else int(shape[axis]) for shape in shapes]

    def lazy(k: int) -> Lazy:
        def emit() -> Value:
            t.node, t.path, t.what = node, path, what
            start = sum(widths[:k])
            part = t.emit("slice", [x], axis=axis, start=start, stop=start + widths[k], step=1)
            return t.emit("reshape", [part], shape=_with(t.shapes[x], axis)) if drops else part

        return Lazy(emit)

    return [lazy(k) for k in range(len(shapes))]


def _reduce(op: str, *, pair: bool = False) -> Callable[..., Any]:
    def over(t: Translator, x: Any, dim: Any = None, keepdim: bool = False, **_dtype: Any) -> Any:
        x = t.value(x)
        rank = len(t.shapes[x])
        if isinstance(dim, Value | Stored | Fill):
            t.refuse(f"the {op} of two tensors", _GREATER)
        axes = range(rank) if dim is None or dim == [] else dim if isinstance(dim, list) else [dim]
        result = t.emit(op, [x], axes=tuple(sorted(axis % rank for axis in axes)), keep=keepdim)
        return [result, None] if pair and dim is not None else result

    return over


HANDLERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("clone", "contiguous", "alias", "detach", "lift_fresh_copy", "positive"), lambda t, x, *_, **_options: x
    ),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _cast),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropout),
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros"), _fill(0.0)),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), _fill(1.0)),
    **dict.fromkeys(("full", "full_like", "new_full"), _fill(None)),
    "expand": _expand,
    "repeat": _repeat,
    **{name: _one(name) for name in ELEMENTWISE},
    **{name: _two(op) for name, op in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide"))},
    "rsub": _two("subtract", swap=True),
    "neg": lambda t, x: t.emit("multiply", [x, Fill(-1.0)]),
    "reciprocal": lambda t, x: t.emit("divide", [Fill(1.0), x]),
    "rsqrt": lambda t, x: t.emit("divide", [Fill(1.0), t.emit("sqrt", [x])]),
    "square": lambda t, x: _power(t, x, 2),
    "pow": _power,
    "elu": _elu,
    "gelu": lambda t, x, approximate="none": t.emit("gelu", [x], tanh=approximate == "tanh"),
    **dict.fromkeys(("softmax", "_softmax"), _softmax),
    "linear": lambda t, x, weight, bias=None: t.emit("linear", [x], [weight] if bias is None else [weight, bias]),
    **dict.fromkeys(("matmul", "mm"), _matmul),
    "embedding": lambda t, weight, ids, *_: t.emit("embedding", [ids], [weight]),
    "conv1d": _conv1d,
    "pad": _pad,
    "constant_pad_nd": lambda t, x, amounts, value=0.0: _pad(t, x, amounts, "constant", value),
    "reflection_pad1d": lambda t, x, amounts: _pad(t, x, amounts, "reflect"),
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": lambda t, *args: [_batch_norm(t, *args), None, None],
    **dict.fromkeys(
        ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as"), _reshape
    ),
    **dict.fromkeys(("transpose", "permute", "t", "swapaxes", "swapdims", "movedim", "numpy_T", "mT"), _transpose),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    "stack": _stack,
    "slice": _slices,
    "narrow": lambda t, x, dim, start, length: _slices(t, x, dim, start, start + length),
    "select": _select,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind", "unsafe_chunk", "tensor_split"), _split),
    "mean": _reduce("mean"),
    "sum": _sum,
    "abs": _abs,
    "index": _index,
    "amax": _reduce("maximum"),
    "max": _reduce("maximum", pair=True),
}
