"""A call computed by the native engine, forward and backward: no graph is made here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from hiddenstate.base.validation import check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.edits.resolve import ResolvedEdit, values_of_numbers
from hiddenstate.engine import kernels
from hiddenstate.engine.call import STATES, Call, tensors_needing_gradients
from hiddenstate.engine.kernels import Kernel, RefusedError
from hiddenstate.errors import DtypeError, ShapeError
from hiddenstate.structure.layer_direction import LayerDirection
from hiddenstate.structure.names import GATES, PRE_ACTIVATIONS

# The numbers that native/kernel/edits.h gives them.
_PLACES = {quantity: number for number, quantity in enumerate(PRE_ACTIVATIONS + GATES + ("c", "h"))}
_KINDS = {"set": 0, "scale": 1, "add": 2}

_HANDED = "a tensor that the native scan was handed"

Tensors = Sequence[Tensor | None]


class Run(NamedTuple):
    """What a forward run gives: outputs, and lists of records with an entry for each layer and direction.

    Gates and cell states are in the type that cell states are kept in; past a row's end all but ``raw_gates`` are zero.
    """

    out: Tensor  # [T, N, D*P]
    h_n: Tensor  # [L*D, N, P]
    c_n: Tensor  # [L*D, N, H]
    gates: Tensors | None  # [T, N, 4H], in the order of names.GATES, after edits; None where not recorded
    raw_gates: Tensors | None  # the same before edits; None where a layer and direction has none
    c: Tensors | None  # [T, N, H]
    layer_outputs: Sequence[Tensor] | None  # of each layer but the last [T, N, D*P]

    def saved(self, *, gates: bool = True) -> "Saved":
        """What a gradient needs of it; without ``gates``, those are computed again."""
        assert self.gates is not None
        assert self.raw_gates is not None
        if not gates:
            return Saved(self.out, [None] * len(self.gates), self.c, self.layer_outputs)  # type: ignore[arg-type]
        before_edits = [
            after if before is None else before for after, before in zip(self.gates, self.raw_gates, strict=True)
        ]
        return Saved(self.out, before_edits, self.c, self.layer_outputs)  # type: ignore[arg-type]


class Saved(NamedTuple):
    """What a gradient needs of a forward run: the output, gates before edits, cell states, outputs between layers.

    A layer and direction whose gates are None has them computed again.
    """

    out: Tensor
    gates: Tensors
    c: Sequence[Tensor]
    layer_outputs: Sequence[Tensor]


class Gradients(NamedTuple):
    """Gradients of what a run gave, None for zeros; those of gates and cell states are lists, None for none."""

    out: Tensor | None
    h_n: Tensor | None = None
    c_n: Tensor | None = None
    gates: Tensors | None = None
    c: Tensors | None = None


def forward(call: Call, *, shown: Sequence[bool] = (), gradient: bool = False, kernel: Kernel | None = None) -> Run:
    """Run forward.

    Args:
        call: what to compute; its edits must go on through time.
        shown: for each layer and direction, whether to record its gates and cell states; empty for none.
        gradient: whether to record what a gradient needs.
        kernel: the native functions; those for the type of ``x`` when None.

    Raises:
        ShapeError: a weight's shape is not what the others say.
        DtypeError: native code can't read a tensor.
    """
    kernel = kernel or kernels.kernel(call.x.dtype)
    edits = _native_edits(call, kernel)

    def run(call: Call) -> Run:
        return Run(*kernel.native.forward(call, edits, list(shown), gradient))

    done: Run = _ask(run, call, kernel)
    if kernel.element is kernel.real:
        return done
    return done._replace(c_n=done.c_n.to(call.c0.dtype))


def backward(call: Call, saved: Saved, grads: Gradients, needed: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of the call's leaves (`call.leaves_of`), in their order; None where not needed.

    Raises:
        ShapeError, DtypeError: as `forward`; or hooks changed what was saved.
    """
    kernel = kernels.kernel(call.x.dtype)
    edits = _native_edits(call, kernel)
    if grads.out is None:
        grads = grads._replace(out=torch.zeros_like(saved.out))
    if kernel.element is kernel.real:
        try:
            return kernel.native.backward(call, edits, saved, grads, needed)
        except RefusedError:  # a tensor is in another form
            pass

    def run(call: Call) -> list[Tensor | None]:
        return kernel.native.backward(call, edits, _contiguous_saved(saved), _in_types(grads, kernel), needed)

    found = _ask_converted(run, call, kernel)
    types = [call.x.dtype if leaf is None else leaf.dtype for leaf in tensors_needing_gradients(call)[:STATES]]
    states = [None if value is None else value.to(dtype) for value, dtype in zip(found, types, strict=False)]
    return [*states, *found[STATES:]]


def _ask(run: Callable[[Call], Any], call: Call, kernel: Kernel) -> Any:
    """Run with the tensors as they are; if native code refuses one, once more with all in the form that it reads."""
    if kernel.element is kernel.real:
        try:
            return run(call)
        except RefusedError:
            pass
    return _ask_converted(run, call, kernel)


def _ask_converted(run: Callable[[Call], Any], call: Call, kernel: Kernel) -> Any:
    try:
        return run(_contiguous_call(call, kernel))
    except RefusedError as refused:
        _raise(*refused.args)


def _raise(argument: str, reason: str, value: Tensor | None, expected: Sequence[int] | None) -> NoReturn:
    """Raise what a refusal of native/python/read.h says.

    Raises:
        ShapeError, DtypeError: always.
    """
    if value is None:
        raise ShapeError(f"a {argument} is None, expected {_shape(expected)}: was it replaced?")
    if reason == "shape" and argument == "input":
        raise ShapeError(f"the input has shape {list(value.shape)}, which the LSTM does not read: was it replaced?")
    if reason == "shape" and (argument.startswith(("weight", "bias"))):
        raise ShapeError(f"a {argument} has shape {list(value.shape)}, expected {_shape(expected)}: was it replaced?")
    if reason == "memory":
        raise DtypeError(
            f"{argument} has shape {list(value.shape)}, and its memory was freed or cut shorter, or it has none of its "
            "own; give a tensor whose storage is whole"
        )
    raise DtypeError(
        f"the native scan was handed a tensor {list(value.shape)} of {value.dtype} on {value.device} as {argument}, "
        f"expected {_shape(expected)} on cpu: hooks on saved tensors must give back what they were given"
    )


def _shape(expected: Sequence[int] | None) -> str:
    return "another" if expected is None else str(list(expected))


def _contiguous_call(call: Call, kernel: Kernel) -> Call:
    """The same call, its tensors of the types and in the order that native code reads."""
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
    # Hooks on saved tensors may have changed how they lie. Their types are left alone: another one is refused.
    return Saved(contiguous(saved.out), *([contiguous(value) for value in values] for values in saved[1:]))


def _in_types(grads: Gradients, kernel: Kernel) -> Gradients:
    """The same gradients, in the types and the order that native code reads."""
    real = kernel.real
    many = [None if values is None else [contiguous(value, real) for value in values] for values in grads[3:]]
    return Gradients(contiguous(grads.out), contiguous(grads.h_n, real), contiguous(grads.c_n, real), *many)


def contiguous(value: Tensor | None, dtype: torch.dtype | None = None) -> Any:
    """The same numbers one after another, without torch's negative mark, perhaps of another type; None for None."""
    if value is None:
        return None
    other = dtype is not None and value.dtype is not dtype
    if not other and value.is_contiguous() and not value.is_neg():
        return value
    check_memory(value, _HANDED)
    value = value.resolve_neg()
    return (value.to(dtype) if other else value).contiguous()


def _side_by_side(value: Tensor | None, dtype: torch.dtype) -> Any:
    """The same numbers in a type, features or units side by side; steps, layers and rows at any distance."""
    if value is None or value.dtype is not dtype or value.dim() != 3 or value.is_neg():
        return contiguous(value, dtype)
    return value if value.stride(2) == 1 or value.shape[2] <= 1 else contiguous(value, dtype)


def _native_edits(call: Call, kernel: Kernel) -> list[Any] | None:
    """The edits of each layer and direction as native code takes them, or None for no edits at all."""
    if not call.edits:
        return None
    by_layer: dict[LayerDirection, list[Any]] = {}
    numbers = values_of_numbers([edit.edit for edit in call.edits], kernel.real)
    for edit, number in zip(call.edits, numbers, strict=True):
        if not (edit.position and edit.rows and edit.units):
            continue  # nothing of it is in this call: in a stream its steps may lie ahead
        value = _native_value(edit, kernel) if number is None else number
        by_layer.setdefault(edit.place.layer_direction, []).append(_native_edit(edit, value))
    return [by_layer.get(each) for each in call.layer_directions]


def _native_value(edit: ResolvedEdit, kernel: Kernel) -> Tensor:
    value = edit.value.detach().resolve_neg().to("cpu", kernel.real)
    # Of several steps those that this call has, which in a stream may be a few of the edit's.
    return value[list(edit.position.values())] if len(value) > 1 else value


def _native_edit(edit: ResolvedEdit, value: Tensor) -> tuple[Any, ...]:
    place, kind = _PLACES[edit.place.quantity], _KINDS[edit.edit.kind]
    return place, kind, value, list(edit.position), list(edit.rows), list(edit.units)


def pack(sizes: Any, weights: Sequence[Weights], kernel: Kernel) -> Any:
    """Pack the weights of all layers and directions, for single steps or calls that repeat.

    Raises:
        ShapeError: a weight's shape is not what the others say.
    """
    try:
        given = _contiguous_weights(weights, kernel)
        return kernel.native.pack(given, sizes.input_size, sizes.hidden_size, sizes.directions)
    except RefusedError as refused:
        _raise(*refused.args)
