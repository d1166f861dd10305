"""Exports a module as one C99 file without allocation: `export_c`."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.files import check_place, written_beside
from hiddenstate.engine.weights import dequantise
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.graph.arithmetic import Array
from hiddenstate.models.graph.file import TOLERANCE, check_numbers, graph_of, least_size, rounding, run_graph
from hiddenstate.models.graph.graph import GATES, STATES, Graph, Node, label
from hiddenstate.models.graph.int8 import is_rounded
from hiddenstate.nn.quantised import SCALE

TESTED_STEPS = 4
UNARY = {
    "relu": "{x} < 0.0f ? 0.0f : {x}",
    "silu": "{x} * sigmoid({x})",
    "tanh": "hyperbolic({x})",
    "sigmoid": "sigmoid({x})",
    "sqrt": "sqrtf({x})",
    "elu": "{x} > 0.0f ? {x} : {alpha} * (exponential({x}) - 1.0f)",
    "gelu": "0.5f * {x} * (1.0f + erff({x} * 0.707106781f))",
    "gelu_tanh": "0.5f * {x} * (1.0f + hyperbolic(0.797884561f * ({x} + 0.044715f * {x} * {x} * {x})))",
}
_FUNCTION = re.compile(r"^static (?:inline )?\w+ (\w+)\(", re.MULTILINE)
# The functions that the code calls, by name.
PARTS = {
    _FUNCTION.findall(part)[0]: part
    for part in Path(__file__).with_name("parts.c").read_text("ascii").strip().split("\n\n")[1:]
}
BINARY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


@dataclass(frozen=True)
class CFile:
    """What `export_c` wrote: sizes in bytes, and the products of matrices and convolutions in a step.

    ``is_step`` is False if the model has no time axis of any length: a call takes the inputs whole, and carries nothing
    to the next.
    """

    path: str
    ram: int
    flash: int
    multiplications: int
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Sequence[tuple[int, ...]]
    is_step: bool

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} {list(shape)}" for name, shape in self.inputs.items())
        whole = f"call, which takes all of {inputs} and carries nothing to the next"
        return (
            f"{self.path}: {self.ram:,} bytes of RAM, {self.flash:,} bytes of constants, "
            f"{self.multiplications:,} multiplications a {'step' if self.is_step else whole}"
        )


def export_c(model: nn.Module, path: str | os.PathLike[str], args: tuple[Any, ...]) -> CFile:
    """Export a module as one C99 file, which computes one time step of one row.

    If the module takes one number of steps only (because it loops over a cell, or has a convolution over time that is
    not causal) or none (a cell whose state is an argument), the file has ``vad_call`` in place of ``vad_step``, which
    takes the arguments whole and carries nothing to the next call.

    The file allocates nothing, has no variables outside of functions, and needs only ``sqrtf``, ``erff`` and ``fmaf``
    of the standard library. Its functions are named after the file: ``vad.c`` has ``vad_init(vad_state *)`` and
    ``vad_step(vad_state *, arguments, results)``. Compiled with ``-DVAD_SELFTEST`` it is a program that compares steps
    with the module's numbers and returns 0 if they agree; with ``VAD_DECLARATIONS`` defined it is its own header.

    Args:
        model: a module of the operations that files have, as for `hiddenstate.save`; int8 layers multiply int8.
        path: the file to write; its name gives the functions' names.
        args: the positional arguments of an example call: tensors (or tuples of them).

    Returns:
        What the file needs: RAM, constants and multiplications a step.

    Raises:
        ArgumentError: the module has an operation that files do not have, or that needs later steps; the message names
            the part and suggests an alternative.
        ArgumentTypeError: the module is not a `torch.nn.Module`, or ``args`` is not a tuple of tensors.
        DtypeError: a weight or argument is not float32.
        ExportError: ``torch.export`` can't capture the module, or the graph's numbers differ from the module's.
        FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(f"expected the path of a file, got {type(path).__name__}")
    check_place(Path(path))
    graph, tensors, example = graph_of(model, args)
    check_numbers(model, example, graph, tensors)
    reason = graph.why_no_stream() if graph.has_steps else None
    if reason:
        why, _, advice = reason.partition(": ")
        if why.endswith("from an argument"):
            advice = "a cell may"
        advice = advice or "hiddenstate.save writes it for whole sequences"
        raise ArgumentError(f"this model can't run step by step: {why}: {advice}")
    name = re.sub(r"\W", "_", Path(path).stem, flags=re.ASCII)
    source = _Source(graph, tensors, name if not name[:1].isdigit() else f"_{name}")
    vectors = [*_vectors(graph, tensors, example)]
    rounded = rounding(model, example)
    if any(is_rounded(node, tensors) for node in graph.nodes):
        # A last digit that differs from torch's may decide to which integer a state is rounded.
        exact = _vectors(graph, _floats(tensors), example)
        pairs = [zip(results, floats, strict=True) for (_, results), (_, floats) in zip(vectors, exact, strict=True)]
        rounded = [max(float(np.abs(a - b).max()) for a, b in steps) for steps in zip(*pairs, strict=True)]
    text, described = source.text(os.fspath(path), vectors, rounded)
    with written_beside(Path(path)) as beside:
        beside.write_text(text, encoding="ascii")
    return described


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with int8 matrices as the numbers that they stand for."""
    whole = {name for name, value in tensors.items() if value.dtype is torch.int8}
    return {
        name: dequantise(value, tensors[name + SCALE], name) if name in whole else value
        for name, value in tensors.items()
        if not (name.endswith(SCALE) and name.removesuffix(SCALE) in whole)
    }


def _vectors(graph: Graph, tensors: Mapping[str, Tensor], example: Any) -> Iterator[tuple[list[Array], list[Array]]]:
    """Yield the arguments and results of the first steps of the example's first row."""
    leaves = [leaf.detach().numpy() for leaf in pytree.tree_leaves(example)]
    firsts = [
        leaf[tuple(slice(0, 1) if size == "N" else slice(None) for size in declared.shape)]
        for leaf, declared in zip(leaves, graph.inputs, strict=True)
    ]
    times = [declared.shape.index("T") if "T" in declared.shape else None for declared in graph.inputs]
    length = max([1, *(first.shape[axis] for first, axis in zip(firsts, times, strict=True) if axis is not None)])
    carried = None
    for t in range(min(length, TESTED_STEPS) if graph.has_steps else 1):
        step = [first if axis is None else first.take([t], axis) for first, axis in zip(firsts, times, strict=True)]
        results, carried = run_graph(graph, step, tensors, carried, rounds=True)
        yield step, results


def _number(value: float) -> str:
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def _table(kind: str, name: str, values: Array) -> str:
    flat = values.ravel()
    texts = [str(int(v)) if kind != "float" else _number(v) for v in flat]
    lines = [", ".join(texts[k : k + 12]) for k in range(0, len(texts), 12)]
    return f"static const {kind} {name}[{len(flat)}] = {{\n    " + ",\n    ".join(lines) + "\n};\n"


class _Memory:
    """Places for values in the working memory; one that nothing needs any more is used again."""

    def __init__(self) -> None:
        self.used: dict[Any, tuple[int, int]] = {}
        self.most = 0

    def take(self, key: Any, size: int) -> str:
        begin = 0
        for start, end in sorted(self.used.values()):
            if start - begin >= size:
                break
            begin = max(begin, end)
        self.used[key] = (begin, begin + size)
        self.most = max(self.most, begin + size)
        return f"(s->work + {begin})"

    def free(self, key: Any) -> None:
        self.used.pop(key, None)


class _Source:
    """Writes the code of a graph's nodes, one after another."""

    def __init__(self, graph: Graph, tensors: Mapping[str, Tensor], name: str) -> None:
        self.graph, self.tensors, self.name = graph, tensors, name
        self.function = f"{name}_step" if graph.has_steps else f"{name}_call"
        self.tables: dict[str, tuple[str, str]] = {}  # name and text, by what is stored
        self.flash = self.products = self.states = 0
        self.memory = _Memory()
        self.code: list[str] = []
        self.initial: list[str] = []
        self.places: dict[int, str] = {}
        self.owners: dict[int, int] = {}  # whose memory a value is in, if it is in the working memory
        self.roots: dict[int, int] = {}  # which argument a value is part of
        self.shapes = [tuple(1 if isinstance(size, str) else size for size in shape) for shape in graph.shapes]

    def text(self, path: str, vectors: Any, rounded: Sequence[float]) -> tuple[str, CFile]:
        """Return the file's text, and what it needs; ``rounded``: how much rounding may change each result."""
        graph, name = self.graph, self.name
        names: list[str] = []
        for k, declared in enumerate(graph.inputs):
            names.append(_identifier(declared.name, k, (name, *names)))
            self.places[k], self.roots[k] = names[k], k
        for place, (node, first) in enumerate(zip(graph.nodes, graph.first_values, strict=True)):
            self.code.append(f"    /* {ascii(label(node))[1:-1]} */".replace("`", ""))
            self._node(place, node, first)
            for value in graph.ends[place]:
                self._release(value)
        for k, value in enumerate(graph.outputs):
            self.code.append(f"    memcpy(out{k}, {self.places[value]}, {prod(self.shapes[value])} * sizeof(float));")
        inputs = {declared.name: self.shapes[k] for k, declared in enumerate(graph.inputs)}
        outputs = [self.shapes[value] for value in graph.outputs]
        ram = 4 * (max(self.states, 1) + max(self.memory.most, 1))
        described = CFile(path, ram, self.flash, self.products, inputs, outputs, graph.has_steps)
        arguments = [
            f"const {'int32_t' if declared.ints else 'float'} *{own}"
            for declared, own in zip(graph.inputs, names, strict=True)
        ]
        head = ", ".join([f"{name}_state *s", *arguments, *(f"float *out{k}" for k in range(len(outputs)))])
        own = "\n".join(self.code)
        upper = name.upper()
        lines = [
            self._comment(described, names),
            f"#ifndef {upper}_C\n#define {upper}_C\n#include <math.h>\n#include <stdint.h>\n#include <string.h>\n",
            f"typedef struct {{\n    float state[{max(self.states, 1)}];\n    float work[{max(self.memory.most, 1)}];\n"
            f"}} {name}_state;\n",
            '#ifdef __cplusplus\nextern "C" {\n#endif',
            f"void {name}_init({name}_state *s);\n/* Returns 0, or -1 if an index is out of range (nothing is done)."
            f" */\nint32_t {self.function}({head});\n#ifdef __cplusplus\n}}\n#endif\n",
            f"#ifndef {upper}_DECLARATIONS\n#ifdef __cplusplus\n"
            f'#error "compile this file as C; C++ includes it with {upper}_DECLARATIONS defined"\n#else\n',
            *(text for _, text in self.tables.values()),
            *(_with_prefix(part, name) for part in _parts_of(own)),
            f"void {name}_init({name}_state *s)\n{{\n    memset(s, 0, sizeof *s);",
            *self.initial,
            f"}}\n\nint32_t {self.function}({head})\n{{",
            *self._guards(names),
            _with_prefix(own, name),
            "    return 0;\n}\n",
            self._selftest(vectors, rounded),
            "#endif\n#endif\n#endif\n",
        ]
        return "\n".join(lines), described

    def _comment(self, described: CFile, names: Sequence[str]) -> str:
        arguments = [f" *   {own} {list(shape)}" for own, shape in zip(names, described.inputs.values(), strict=True)]
        results = [f" *   out{k} {list(shape)}" for k, shape in enumerate(described.outputs)]
        what, unit, sizes = (
            ("one time step of one row", "step", "rows and time steps have size 1")
            if described.is_step
            else ("one row, whole; nothing is carried to the next call", "call", "rows have size 1")
        )
        return "\n".join(
            [
                f"/* {self.name}: {what}. Written by hiddenstate.export_c.",
                " *",
                f" * RAM: {described.ram} bytes ({self.name}_state)",
                f" * Constants: {described.flash} bytes",
                f" * Multiplications a {unit}: {described.multiplications}",
                " *",
                f" * Arguments and results; {sizes}:",
                *arguments,
                *results,
                " *",
                f" * Test: cc -std=c99 -D{self.name.upper()}_SELFTEST FILE -lm && ./a.out returns 0.",
                f" * Header: define {self.name.upper()}_DECLARATIONS and include this file. */",
            ]
        )

    def _guards(self, names: Sequence[str]) -> Iterator[str]:
        """Check the indices of embeddings that read an argument, before anything changes."""
        for own in ["s", *names]:
            yield f"    (void){own};"
        for node in self.graph.nodes:
            if node.op == "embedding":
                ids, rows = node.inputs[0], self.tensors[node.tensors[0]].shape[0]
                yield f"    for (int32_t i = 0; i < {prod(self.shapes[ids])}; ++i) {{"
                yield f"        if ({self.places[ids]}[i] < 0 || {self.places[ids]}[i] >= {rows}) return -1;\n    }}"

    def _selftest(self, vectors: Any, rounded: Sequence[float]) -> str:
        name, tables, calls = self.name, [], []
        for t, (arguments, results) in enumerate(vectors):
            for kind, letter, arrays in (("", "x", arguments), ("float", "y", results)):
                for k, array in enumerate(arrays):
                    typed = kind or ("int32_t" if self.graph.inputs[k].ints else "float")
                    tables.append(_table(typed, f"{name}_{letter}{t}_{k}", array))
            arguments_of = [f"{name}_x{t}_{k}" for k in range(len(arguments))]
            outs = [f"out{k}" for k in range(len(results))]
            calls.append(f"    if ({self.function}(&s, {', '.join(arguments_of + outs)})) return 2;")
            calls += [
                f"    worst = {name}_compare(out{k}, {name}_y{t}_{k}, {array.size}, {_number(rounded[k])}, "
                f"{_number(TOLERANCE)}, {_number(least_size(array))}, worst);"
                for k, array in enumerate(results)
            ]
        outs = [f"    static float out{k}[{prod(self.shapes[value])}];" for k, value in enumerate(self.graph.outputs)]
        return "\n".join(
            [
                f"#ifdef {name.upper()}_SELFTEST\n",
                *tables,
                _with_prefix(PARTS["compare"], name) + "\n",
                f"int main(void)\n{{\n    static {name}_state s;",
                *outs,
                "    float worst = 0.0f;",
                f"    {name}_init(&s);",
                *calls,
                "    return worst <= 1.0f ? 0 : 1;\n}",
                "#endif\n",
            ]
        )

    # Values and tables

    def _release(self, value: int) -> None:
        """Free the memory of a value that nothing needs any more, if no other value is in it."""
        owner = self.owners.pop(value, None)
        if owner is not None and owner not in self.owners.values():
            self.memory.free(owner)

    def _new(self, value: int, size: int | None = None) -> str:
        """Give a value a place in the working memory."""
        self.owners[value] = value
        self.places[value] = self.memory.take(value, prod(self.shapes[value]) if size is None else size)
        return self.places[value]

    def _alias(self, value: int, of: int, offset: int = 0) -> None:
        self.places[value] = f"({self.places[of]} + {offset})" if offset else self.places[of]
        for known in (self.owners, self.roots):
            if of in known:
                known[value] = known[of]

    def _keep(self, values: Array, key: str) -> str:
        """Store a constant, and return its name."""
        kind = "int8_t" if values.dtype == np.int8 else "float"
        key = f"{key} {values.shape}"
        if key not in self.tables:
            own = f"{self.name}_w{len(self.tables)}"
            self.tables[key] = (own, _table(kind, own, values))
            self.flash += values.size * (1 if kind == "int8_t" else 4)
        return self.tables[key][0]

    def _tensor(self, name: str) -> str:
        return self._keep(self.tensors[name].numpy(), name)

    def _matrix(self, x: str, name: str, bias: str | None, y: str, rounded: str = "") -> str:
        """Return the call of a product with a stored matrix [out, in]; ``rounded``: memory for x as int8, or none."""
        weight = self.tensors[name]
        out, width = weight.shape
        self.products += out * width
        vector = self._tensor(bias) if bias else "0"
        if rounded:
            scale = self._tensor(name + SCALE)
            return f"matrix_int8({x}, {width}, {self._tensor(name)}, {scale}, {vector}, {out}, {rounded}, {y});"
        table = self._keep(np.ascontiguousarray(weight.numpy().T), f"{name} by columns")
        if weight.dtype is torch.int8:
            return f"matrix_of_int8({x}, {width}, {table}, {self._tensor(name + SCALE)}, {vector}, {out}, {y});"
        return f"matrix({x}, {width}, {table}, {vector}, {out}, {y});"

    def _loop(
        self, shape: Sequence[int], y: str, x: Callable[[Sequence[str]], str], to: Sequence[int] | None = None
    ) -> None:
        """Write a loop over the elements of a result with strides ``to``, each an expression of its indices."""
        axes = [k for k, size in enumerate(shape) if size > 1]
        indices = [f"i{k}" if k in axes else "0" for k in range(len(shape))]
        for depth, k in enumerate(axes):
            self.code.append("    " * (depth + 1) + f"for (int32_t i{k} = 0; i{k} < {shape[k]}; ++i{k})")
        self.code.append("    " * (len(axes) + 1) + f"{y}[{_offset(indices, to or _strides(shape))}] = {x(indices)};")

    # Nodes

    def _node(self, place: int, node: Node, first: int) -> None:
        reads_ints = any(self.graph.inputs[self.roots[value]].ints for value in node.inputs if value in self.roots)
        if node.op in ("layer", "cell"):
            self._recurrent(place, node, first)
        elif node.op in UNARY:
            self._unary(node, first)
        elif node.op in BINARY:
            self._binary(node, first)
        elif node.op in ("reshape", "last"):
            self._alias(first, node.inputs[0])
        elif node.op in ("mean", "maximum"):
            self._reduce(node, first)
        else:
            getattr(self, f"_{node.op}")(node, first)
        if reads_ints and node.op != "embedding" and first not in self.roots:
            raise ArgumentError(f"{label(node)} computes indices, which C files do not: give it as an argument")

    def _unary(self, node: Node, first: int) -> None:
        x, y, count = self.places[node.inputs[0]], self._new(first), prod(self.shapes[first])
        form = UNARY["gelu_tanh" if node.op == "gelu" and node.tanh else node.op]
        settings = {"alpha": _number(node.alpha)} if node.op == "elu" else {}
        self._loop([count], y, lambda at: form.format(x=f"{x}[{at[0]}]", **settings))

    def _binary(self, node: Node, first: int) -> None:
        y, shape = self._new(first), self.shapes[first]

        def operand(value: int, at: Sequence[str]) -> str:
            own = self.shapes[value]
            strides = [0] * (len(shape) - len(own)) + [
                0 if size == 1 else stride for size, stride in zip(own, _strides(own), strict=True)
            ]
            return f"{self.places[value]}[{_offset(at, strides)}]"

        a, b = node.inputs
        self._loop(shape, y, lambda at: f"{operand(a, at)} {BINARY[node.op]} {operand(b, at)}")

    def _constant(self, node: Node, first: int) -> None:
        values = self.tensors[node.tensors[0]].numpy() if node.tensors else np.full(1, node.value, np.float32)
        self.places[first] = self._keep(values, node.tensors[0] if node.tensors else f"{node.value}")

    def _linear(self, node: Node, first: int) -> None:
        x, y, width = self.places[node.inputs[0]], self._new(first), self.shapes[node.inputs[0]][-1]
        out, rows = self.shapes[first][-1], prod(self.shapes[first][:-1])
        bias = node.tensors[1] if len(node.tensors) > 1 else None
        if rows == 1:
            self.code.append("    " + self._matrix(x, node.tensors[0], bias, y))
            return
        call = self._matrix(f"{x} + r * {width}", node.tensors[0], bias, f"{y} + r * {out}")
        self.products += (rows - 1) * out * width
        self.code.append(f"    for (int32_t r = 0; r < {rows}; ++r) {call}")

    def _embedding(self, node: Node, first: int) -> None:
        ids, y, width = self.places[node.inputs[0]], self._new(first), self.shapes[first][-1]
        table = self._tensor(node.tensors[0])
        self.code.append(f"    for (int32_t r = 0; r < {prod(self.shapes[first][:-1])}; ++r)")
        self.code.append(f"        memcpy({y} + r * {width}, {table} + {ids}[r] * {width}, {width} * sizeof(float));")

    def _conv1d(self, node: Node, first: int) -> None:
        x, shape = self.places[node.inputs[0]], self.shapes[node.inputs[0]]
        weight, g = self.tensors[node.tensors[0]].numpy(), node.groups
        out, per_group, taps = weight.shape
        length, left, steps = shape[2], node.padding[0], self.shapes[first][2]
        if self.graph.shapes[node.inputs[0]][2] == "T":
            length, left = (taps - 1) * node.dilation + 1, 0
            past = f"(s->state + {self.states})"
            self.states += shape[1] * length
            self.code.append(f"    shift({past}, {shape[1]}, {length}, {x});")
            x = past
        grouped = weight.reshape(g, out // g, per_group * taps).transpose(0, 2, 1)
        table = self._keep(np.ascontiguousarray(grouped), f"{node.tensors[0]} by columns")
        bias = self._tensor(node.tensors[1]) if len(node.tensors) > 1 else "0"
        y, scratch = self._new(first), self.memory.take("scratch", per_group * taps + out // g)
        self.memory.free("scratch")
        self.products += shape[0] * steps * weight.size
        numbers = (shape[0], g, per_group, length, left)
        self.code.append(
            f"    convolution({x}, {', '.join(map(str, numbers))}, {table}, {bias}, {out // g}, {taps}, {node.stride}, "
            f"{node.dilation}, {steps}, {scratch}, {y});"
        )

    def _pad(self, node: Node, first: int) -> None:
        x, y, shape = self.places[node.inputs[0]], self._new(first), self.shapes[node.inputs[0]]
        strides, size, left = _strides(shape), shape[node.axis], node.amount[0]

        def element(at: Sequence[str]) -> str:
            index = f"({at[node.axis]} - {left})"
            outside = f"{index} < 0 || {index} >= {size}"
            if node.mode == "reflect":
                index = f"({index} < 0 ? -{index} : {index} >= {size} ? {2 * size - 2} - {index} : {index})"
            inside = f"{x}[{_offset([*at[: node.axis], index, *at[node.axis + 1 :]], strides)}]"
            return inside if node.mode == "reflect" else f"{outside} ? {_number(node.value)} : {inside}"

        self._loop(self.shapes[first], y, element)

    def _layer_norm(self, node: Node, first: int) -> None:
        x, y, shape = self.places[node.inputs[0]], self._new(first), self.shapes[first]
        n = prod(shape[len(shape) - node.count :])
        weights = [*map(self._tensor, node.tensors), "0", "0"][:2]
        eps = _number(node.eps)
        self.code.append(f"    normalise({x}, {prod(shape) // n}, {n}, {', '.join(weights)}, {eps}, {y});")

    def _softmax(self, node: Node, first: int) -> None:
        x, y, shape = self.places[node.inputs[0]], self._new(first), self.shapes[first]
        self.code.append(f"    softmax({x}, {', '.join(map(str, _around(shape, node.axis)))}, {y});")

    def _reduce(self, node: Node, first: int) -> None:
        x, shape = self.places[node.inputs[0]], list(self.shapes[node.inputs[0]])
        axes = sorted(node.axes, reverse=True)
        y = self._new(first, prod(shape) // shape[axes[0]])
        for axis in axes:
            self.code.append(f"    {node.op}({x}, {', '.join(map(str, _around(shape, axis)))}, {y});")
            x, shape[axis] = y, 1

    def _concatenate(self, node: Node, first: int) -> None:
        y, at, strides = self._new(first), 0, _strides(self.shapes[first])
        for value in node.inputs:
            x, shape = self.places[value], self.shapes[value]
            begin = f"({y} + {at * strides[node.axis]})"
            self._copy(shape, begin, strides, x, _strides(shape))
            at += shape[node.axis]

    def _copy(self, shape: Sequence[int], y: str, to: Sequence[int], x: str, of: Sequence[int]) -> None:
        self._loop(shape, y, lambda at: f"{x}[{_offset(at, of)}]", to)

    def _slice(self, node: Node, first: int) -> None:
        x, shape = self.places[node.inputs[0]], self.shapes[first]
        strides = list(_strides(self.shapes[node.inputs[0]]))
        begin = node.start * strides[node.axis]
        if prod(shape[: node.axis]) == 1 and (node.step == 1 or shape[node.axis] == 1):
            self._alias(first, node.inputs[0], begin)
            return
        strides[node.axis] *= node.step
        self._copy(shape, self._new(first), _strides(shape), f"({x} + {begin})", strides)

    def _transpose(self, node: Node, first: int) -> None:
        shape, of = self.shapes[first], _strides(self.shapes[node.inputs[0]])
        moved = [axis for axis in node.order if self.shapes[node.inputs[0]][axis] > 1]
        if moved == sorted(moved):
            self._alias(first, node.inputs[0])
            return
        x, y = self.places[node.inputs[0]], self._new(first)
        self._copy(shape, y, _strides(shape), x, [of[axis] for axis in node.order])

    def _recurrent(self, place: int, node: Node, first: int) -> None:
        """A layer, whose states are carried if it runs over time, or a cell."""
        x, initial = self.graph.shapes[node.inputs[0]], node.inputs[1:]
        is_layer, H, count = node.op == "layer", node.hidden_size, STATES[node.cell]
        L, P = (node.num_layers, node.proj_size or H) if is_layer else (1, H)
        steps = x[1 if node.batch_first else 0] if is_layer else 1
        rows = self.shapes[node.inputs[0]][0 if not is_layer or node.batch_first else 1]
        if (is_layer and node.bidirectional) or rows != 1:
            raise ArgumentError(
                f"{label(node)} is bidirectional, or runs over several rows at once, which C files do not"
            )
        sizes = [L * P, L * H][:count]
        if steps == "T":
            states = [f"(s->state + {self.states + sum(sizes[:k])})" for k in range(count)]
            self.states += sum(sizes)
            self.initial += [
                f"    memcpy({state}, {self.places[value]}, {size} * sizeof(float));"
                for state, value, size in zip(states, initial, sizes, strict=False)
            ]
        else:
            numbers = range(first + is_layer, first + is_layer + count)
            states = [self._new(number) for number in numbers]
            for k, (state, size) in enumerate(zip(states, sizes, strict=True)):
                self.code.append(
                    f"    memcpy({state}, {self.places[initial[k]]}, {size} * sizeof(float));"
                    if initial
                    else f"    memset({state}, 0, {size} * sizeof(float));"
                )
        fixed = steps if isinstance(steps, int) else 1
        for k in range(count):
            self.places.setdefault(first + is_layer + k, states[k])
        last = f"({states[0]} + {(L - 1) * P})"
        out = self._new(first) if fixed > 1 else last
        if is_layer:
            self.places[first] = out
            if fixed == 1 and steps != "T":
                self.owners[first] = self.owners[first + 1]
        rows_of = GATES[node.cell] * H
        a, b = self.memory.take("a", rows_of), self.memory.take("b", rows_of)
        full = self.memory.take("full", H) if P != H else ""
        rounded = ""
        if is_rounded(node, self.tensors):
            rounded = f"(int8_t *){self.memory.take('rounded', (max(node.input_size, H) + 3) // 4)}"
        x_of_step = f"({self.places[node.inputs[0]]} + t * {node.input_size})"
        body = self._steps(node, L, P, x_of_step, states, (a, b, full, rounded))
        self.products += (fixed - 1) * self._last_products
        if fixed > 1:
            body.append(f"memcpy({out} + t * {P}, {last}, {P} * sizeof(float));")
        self.code.append(f"    for (int32_t t = 0; t < {fixed}; ++t) {{")
        self.code += [f"        {line}" for line in body]
        self.code.append("    }")
        for key in ("a", "b", "full", "rounded"):
            self.memory.free(key)

    def _steps(
        self, node: Node, L: int, P: int, x: str, states: Sequence[str], work: tuple[str, str, str, str]
    ) -> list[str]:
        """Return the lines of one step of all layers."""
        (a, b, full, rounded), H, before = work, node.hidden_size, self.products
        lines = []
        for layer in range(L):
            stem = {name: f"{node.prefix}{name}_l{layer}" for name in ("weight_ih", "weight_hh", "weight_hr")}
            biases = [f"{node.prefix}bias_{part}_l{layer}" if node.bias else None for part in ("ih", "hh")]
            h = f"({states[0]} + {layer * P})"
            c = f", ({states[1]} + {layer * H})" if len(states) > 1 else ""
            lines += [
                self._matrix(x, stem["weight_ih"], biases[0], a, rounded),
                self._matrix(h, stem["weight_hh"], biases[1], b, rounded),
            ]
            lines.append(f"{node.cell.lower()}({H}, {a}, {b}, {full or h}{c});")
            if full:
                lines.append(self._matrix(full, stem["weight_hr"], None, h))
            x = h
        self._last_products = self.products - before
        return lines


# Words of C99 and C++ that Python allows as names, and names that the code of a step has.
_TAKEN = frozenset(
    re.findall(
        r"\w+",
        """
        NULL alignas alignof and_eq auto bitand bitor bool case catch char char16_t char32_t char8_t co_await co_return
        co_yield compl concept const const_cast consteval constexpr constinit decltype default delete do double
        dynamic_cast enum erff explicit export extern false float fmaf friend goto inline int int32_t int8_t linux long
        main memcpy memset mutable namespace new noexcept not_eq nullptr operator or_eq private protected public r
        register reinterpret_cast requires restrict s short signed sizeof sqrtf static static_assert static_cast struct
        switch t template this thread_local throw true typedef typeid typename union unix unsigned using virtual void
        volatile wchar_t xor xor_eq
        """,
    )
)


def _identifier(name: str, k: int, others: Sequence[str]) -> str:
    """Return what an argument is called in C; the first of the others is the file's name, which begins its names."""
    own = re.sub(r"\W", "_", name, flags=re.ASCII)
    is_free = own not in _TAKEN and own not in others and not re.match(rf"out|i\d|_[A-Z_]|{others[0]}_", own)
    return own if is_free else f"in{k}_{own}"


def _strides(shape: Sequence[int]) -> list[int]:
    return [prod(shape[k + 1 :]) for k in range(len(shape))]


def _offset(indices: Sequence[str], strides: Sequence[int]) -> str:
    terms = [
        index if stride == 1 else f"{index} * {stride}"
        for index, stride in zip(indices, strides, strict=True)
        if index != "0" and stride
    ]
    return " + ".join(terms) or "0"


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def _parts_of(code: str) -> list[str]:
    """Return the functions that the code calls, and those that these call, in order."""
    needed, text = set[str](), code
    while new := {name for name in PARTS if name not in needed and re.search(rf"\b{name}\(", text)}:
        needed |= new
        text = "\n".join(PARTS[name] for name in needed)
    return [f"{part}\n" for name, part in PARTS.items() if name in needed]


def _with_prefix(code: str, prefix: str) -> str:
    """Return the code with the file's name before the functions of `PARTS`, so that files go together."""
    return re.sub(rf"\b({'|'.join(PARTS)})\(", rf"{prefix}_\1(", code)
