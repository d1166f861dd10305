"""Runs calls on the native engine, forward and backward; no graph is built here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from hiddenstate.base.torch_internals import is_plain
from hiddenstate.base.validation import check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.edits.resolve import ResolvedEdit, values_of_numbers
from hiddenstate.engine import kernels
from hiddenstate.engine.call import STATES, Call, tensors_needing_gradients
from hiddenstate.engine.kernels import Kernel, RefusedError
from hiddenstate.errors import DtypeError, ShapeError
from hiddenstate.structure.names import LayerDirection

# The codes of the places in native/kernel/kinds.h, by kind of cell.
_PLACES = {name: {place: number for number, place in enumerate(cell.places)} for name, cell in CELLS.items()}
_KINDS = {"set": 0, "scale": 1, "add": 2}

HANDED = "a tensor that the native scan was handed"

Tensors = Sequence[Tensor | None]


class NativeRun(NamedTuple):
    """Outputs, and records by layer and direction; past a row's end, all but ``raw_gates`` is zero."""

    out: Tensor  # [T, N, D*P]
    h_n: Tensor  # [L*D, N, P]
    c_n: Tensor | None  # [L*D, N, H]; None without a cell state
    # [T, N, 4H], or [T, N, H] for a plain RNN, in the order of `Cell.recorded_gates`; None if not recorded. Values are
    # after edits, except for a plain RNN's h, which is before edits because `out` has it after them.
    gates: Tensors | None
    raw_gates: Tensors | None  # the gates before edits; None for layers and directions without edits
    c: Tensors | None  # [T, N, H]; None without a cell state
    layer_outputs: Sequence[Tensor] | None  # [T, N, D*P] for each layer except the last

    def saved(self, *, gates: bool = True) -> "Saved":
        """Return the values that the backward pass needs; without ``gates``, it recomputes them."""
        assert self.gates is not None
        assert self.raw_gates is not None
        if not gates:
            return Saved(self.out, [None] * len(self.gates), self.c, self.layer_outputs)  # type: ignore[arg-type]
        before_edits = [
            after if before is None else before for after, before in zip(self.gates, self.raw_gates, strict=True)
        ]
        return Saved(self.out, before_edits, self.c, self.layer_outputs)  # type: ignore[arg-type]


class Saved(NamedTuple):
    """What the backward pass needs; gates that are None are recomputed."""

    out: Tensor
    gates: Tensors
    c: Sequence[Tensor]
    layer_outputs: Sequence[Tensor]


class Gradients(NamedTuple):
    """The gradients of a run's results, None for zeros. Those of gates and cell states are lists, or None if absent."""

    out: Tensor | None
    h_n: Tensor | None = None
    c_n: Tensor | None = None
    gates: Tensors | None = None
    c: Tensors | None = None


def forward(
    call: Call, *, shown: Sequence[bool] = (), gradient: bool = False, kernel: Kernel | None = None
) -> NativeRun:
    """Run a call with write edits forward, and record what ``shown`` and the backward pass need."""
    kernel = kernel or kernels.kernel(call.x.dtype, call.sizes.cell)
    edits = _native_edits(call, kernel)

    def run(call: Call) -> NativeRun:
        return NativeRun(*kernel.native.forward(call, edits, list(shown), gradient))

    result: NativeRun = _ask(run, call, kernel)
    if kernel.element is kernel.real:
        return result
    return result if result.c_n is None or call.c0 is None else result._replace(c_n=result.c_n.to(call.c0.dtype))


def backward(call: Call, saved: Saved, grads: Gradients, needed: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of the call's leaves (`call.tensors_needing_gradients`), in order; None if not needed."""
    kernel = kernels.kernel(call.x.dtype, call.sizes.cell)
    edits = _native_edits(call, kernel)
    if grads.out is None:
        grads = grads._replace(out=torch.zeros_like(saved.out))
    if kernel.element is kernel.real:
        try:
            return kernel.native.backward(call, edits, saved, grads, needed)
        except RefusedError:  # a tensor has a form that native code does not read
            pass

    def run(call: Call) -> list[Tensor | None]:
        return kernel.native.backward(call, edits, _contiguous_saved(saved), _in_types(grads, kernel), needed)

    gradients = _ask_converted(run, call, kernel)
    types = [call.x.dtype if leaf is None else leaf.dtype for leaf in tensors_needing_gradients(call)[:STATES]]
    states = [None if value is None else value.to(dtype) for value, dtype in zip(gradients, types, strict=False)]
    return [*states, *gradients[STATES:]]


def _ask(run: Callable[[Call], Any], call: Call, kernel: Kernel) -> Any:
    """Run with the tensors as they are; if native code rejects one, convert them and try again."""
    if kernel.element is kernel.real:
        try:
            return run(call)
        except RefusedError:
            pass
    return _ask_converted(run, call, kernel)


def _ask_converted(run: Callable[[Call], Any], call: Call, kernel: Kernel) -> Any:
    try:
        return run(_contiguous_call(call, kernel))
    except RefusedError as error:
        refused = error.args
    # Outside of the except clause, because printing the error's context would print a tensor that may have been freed.
    return raise_refused(*refused)


def refusal_text(argument: str, reason: str, value: Any, expected: Any) -> str:
    """Format a refusal by native/python/read.h as a reason against a path."""
    if argument == "torch":
        return "this version of torch lacks the function table by which native code reads tensors"
    if argument == "sizes":
        return "there are no rows, features or units, or more than 2^20 of them"
    if argument == "input" and isinstance(value, Tensor) and reason == "form" and value.stride(-1) != 1:
        return "the input is not contiguous in its last axis: give x.contiguous()"
    if isinstance(value, Tensor) and value.device.type != "cpu":
        return f"{argument} is on {value.device}, not on the CPU"
    if isinstance(value, Tensor) and not is_plain(value):
        return f"{argument} is a {type(value).__name__}, not one of torch's own tensors"
    if isinstance(value, Tensor):
        got = f"{list(value.shape)} of {value.dtype}, strides {value.stride()}"
        shape = f" {list(expected)}" if expected else ""
        return f"{argument} is {got}, not a contiguous tensor{shape} of the weights' type"
    if value is None and reason == "shape":
        return f"{argument} is recomputed at each call (by a parametrization, for example), not a parameter"
    return f"{argument} is not a plain tensor"


def raise_refused(argument: str, reason: str, value: Tensor | None, expected: Sequence[int] | None) -> NoReturn:
    """Raise the ShapeError or DtypeError for a rejection by native/python/read.h."""
    if value is None:
        raise ShapeError(f"a {argument} is None, expected {_shape(expected)}: was it replaced?")
    if reason == "shape":
        raise ShapeError(f"a {argument} has shape {list(value.shape)}, expected {_shape(expected)}: was it replaced?")
    if reason == "memory":
        raise DtypeError(
            f"{argument} has shape {list(value.shape)}, but its memory was freed or shrunk, or it has no memory; give "
            "a tensor with complete storage"
        )
    raise DtypeError(
        f"the native scan was handed a tensor {list(value.shape)} of {value.dtype} on {value.device} as {argument}, "
        f"expected {_shape(expected)} on cpu: hooks on saved tensors must return the tensors unchanged"
    )


def _shape(expected: Sequence[int] | None) -> str:
    return "another" if expected is None else str(list(expected))


def _contiguous_call(call: Call, kernel: Kernel) -> Call:
    """Return the call with its tensors converted to the types and memory order that native code reads."""
    return replace(
        call,
        x=_side_by_side(call.x, kernel.element),
        h0=contiguous(call.h0, kernel.element),
        c0=contiguous(call.c0, kernel.real),
        weights=_contiguous_weights(call.weights, kernel),
        lengths=contiguous(call.lengths),
        reset=contiguous(call.reset),
        reset_h=_side_by_side(call.reset_h, kernel.element),
        reset_c=_side_by_side(call.reset_c, kernel.real),
        masks=[contiguous(mask) for mask in call.masks],
    )


def _contiguous_weights(weights: Sequence[Weights], kernel: Kernel) -> list[Weights]:
    element, real = kernel.element, kernel.real
    types = Weights(element, element, real, real, element)  # type: ignore[arg-type]
    return [Weights._make(map(contiguous, of_layer, types)) for of_layer in weights]  # type: ignore[arg-type]


def _contiguous_saved(saved: Saved) -> Saved:
    # Hooks on saved tensors may have changed their strides. Types are not converted; a wrong type is rejected.
    return Saved(contiguous(saved.out), *([contiguous(value) for value in values] for values in saved[1:]))


def _in_types(grads: Gradients, kernel: Kernel) -> Gradients:
    """Convert the gradients to the types and memory order that native code reads."""
    real = kernel.real
    many = [None if values is None else [contiguous(value, real) for value in values] for values in grads[3:]]
    return Gradients(contiguous(grads.out), contiguous(grads.h_n, real), contiguous(grads.c_n, real), *many)


def contiguous(value: Tensor | None, dtype: torch.dtype | None = None) -> Any:
    """Return a contiguous tensor without torch's negative bit, optionally in a different type; None for None."""
    if value is None:
        return None
    if not value.numel():  # torch considers an empty tensor contiguous, whatever its strides
        return kernels.new(dtype or value.dtype, *value.shape)
    other = dtype is not None and value.dtype is not dtype
    if not other and value.is_contiguous() and not value.is_neg():
        return value
    check_memory(value, HANDED)
    value = value.resolve_neg()
    return (value.to(dtype) if other else value).contiguous()


def _side_by_side(value: Tensor | None, dtype: torch.dtype) -> Any:
    """Return the tensor in a type, with contiguous features or units, and any strides for steps, layers and rows."""
    if value is None or value.dtype is not dtype or value.dim() != 3 or value.is_neg():
        return contiguous(value, dtype)
    return value if value.stride(2) == 1 or value.shape[2] <= 1 else contiguous(value, dtype)


def _native_edits(call: Call, kernel: Kernel) -> list[Any] | None:
    """Return the edits of each layer and direction in native form, or None if there are no edits."""
    if not call.edits:
        return None
    by_layer: dict[LayerDirection, list[Any]] = {}
    numbers = values_of_numbers([edit.edit for edit in call.edits], kernel.real)
    for edit, number in zip(call.edits, numbers, strict=True):
        if not (edit.position and edit.rows and edit.units):
            continue  # in a stream, the edit's steps may come later than this call
        value = _native_value(edit, kernel) if number is None else number
        place, kind = _PLACES[call.cell][edit.place.quantity], _KINDS[edit.edit.kind]
        native_edit = place, kind, value, list(edit.position), list(edit.rows), list(edit.units)
        by_layer.setdefault(edit.place.layer_direction, []).append(native_edit)
    return [by_layer.get(layer_direction) for layer_direction in call.layer_directions]


def _native_value(edit: ResolvedEdit, kernel: Kernel) -> Tensor:
    value = edit.value.detach().resolve_neg().to("cpu", kernel.real)
    # Only the values for this call's steps; in a stream, these may be few of the edit's steps.
    return value[list(edit.position.values())] if len(value) > 1 else value


def pack(sizes: Any, weights: Sequence[Weights], kernel: Kernel) -> Any:
    """Pack the weights of all layers and directions, for single steps or repeated calls."""
    try:
        contiguous_weights = _contiguous_weights(weights, kernel)
        return kernel.native.pack(contiguous_weights, sizes.input_size, sizes.hidden_size, sizes.directions)
    except RefusedError as error:
        refused = error.args
    return raise_refused(*refused)
