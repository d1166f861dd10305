"""Checks all arguments of a call, and converts them to one form: time first, batched, padded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import lt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate.base.indexing import count
from hiddenstate.base.messages import shorten
from hiddenstate.base.torch_internals import is_transformed, own_types, uses_onednn, without_modes
from hiddenstate.base.validation import check_dense, check_lengths, check_memory, check_state, check_tensor
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.call import Call
from hiddenstate.engine.weights import Int8Weights, check_weights
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, RankError, ShapeError
from hiddenstate.structure.names import AxisOrder, from_time_first, to_time_first
from hiddenstate.structure.sizes import Sizes

Lengths = Tensor | Sequence[int] | int | None


@dataclass(frozen=True, eq=False)
class Form:
    """The form of a call's input, to which its outputs are converted back."""

    layout: AxisOrder
    packed: PackedSequence | None  # the input, if it was packed: the output is packed in the same way
    types: tuple[torch.dtype, torch.dtype] | None  # the types of hidden and cell states, if autocast changes them

    def give_out(self, out: Tensor) -> Tensor | PackedSequence:
        """Convert ``out [T, N, D*P]`` to the form of the input."""
        out = out if self.types is None else out.to(self.types[0])
        if self.packed is not None:
            return _pack_like(out, self.packed)
        return from_time_first(out, self.layout)

    def give_state(self, h_n: Tensor, c_n: Tensor | None) -> Any:
        """Convert the final states to the form of the input: a pair, or the hidden state if there is no cell state."""
        if self.types is not None:
            h_n, c_n = h_n.to(self.types[0]), c_n if c_n is None else c_n.to(self.types[1])
        if self.layout == "T":
            h_n, c_n = h_n[:, 0], c_n if c_n is None else c_n[:, 0]
        return h_n if c_n is None else (h_n, c_n)


class Arguments(NamedTuple):
    """The arguments of a call, as passed by the user; ``hx`` and ``reset_to`` are pairs if there is a cell state."""

    input: Tensor | PackedSequence
    hx: Any = None
    lengths: Lengths = None
    reset: Tensor | None = None
    reset_to: Any = None
    order: Tensor | None = None  # [N, T], which word belongs to each step, if steps were moved before the call


class CallOptions(NamedTuple):
    """The options of a layer that its calls use; ``dropout`` is zero outside training."""

    batch_first: bool
    dropout: float = 0.0
    training: bool = False
    recompute_gates: bool = False


def read(arguments: Arguments, sizes: Sizes, weights: Sequence[Weights], options: CallOptions) -> tuple[Call, Form]:
    """Check a call's arguments and return the `Call`; everything must have the first weight's type and device."""
    check_weights(weights, sizes)
    like = weights.like if isinstance(weights, Int8Weights) else weights[0].ih
    packed, lengths = None, arguments.lengths
    if isinstance(arguments.input, PackedSequence):
        if lengths is not None:
            raise ArgumentError("lengths= was given with a PackedSequence, which has its own lengths; give one of them")
        check_tensor(arguments.input.data, "input", like)
        _check_packed(arguments.input)
        packed = arguments.input
        with own_types():  # otherwise padding would cast
            x, lengths = pad_packed_sequence(packed)
        layout: AxisOrder = "NT" if options.batch_first else "TN"
    else:
        value = check_tensor(arguments.input, "input", like)
        layout = _layout(value, options.batch_first, sizes)
        x = value if layout == "TN" else to_time_first(value, layout)
    _check_input(x, sizes)
    T, N = x.shape[:2]
    h0, c0 = _initial_state(arguments.hx, layout, N, sizes, like, x.dtype)
    reset_h, reset_c = _take_border_states(arguments.reset_to, arguments.reset, layout, (T, N), sizes, like)
    call = Call(
        sizes=sizes,
        weights=weights,
        x=x,
        h0=h0,
        c0=c0,
        lengths=_take_lengths(lengths, T, N, x.device),
        reset=_take_reset(arguments.reset, layout, T, N, x),
        dropout=options.dropout,
        training=options.training,
        reset_h=reset_h,
        reset_c=reset_c,
        recompute_gates=options.recompute_gates,
    )
    if packed is not None and options.dropout:
        order = packed.sorted_indices
        call.order = torch.arange(N, device=packed.data.device) if order is None else order
    return call, Form(layout, packed, _result_types(call, packed))


def _layout(input: Tensor, batch_first: bool, sizes: Sizes) -> AxisOrder:  # noqa: A002
    if input.dim() == 2:
        return "T"
    if input.dim() == 3:
        return "NT" if batch_first else "TN"
    form = "[N, T, C]" if batch_first else "[T, N, C]"
    raise RankError(
        f"{sizes.kind.label}: Expected input to be 2D or 3D, got {input.dim()}D instead: give {form}, or [T, C] "
        "without a batch"
    )


def _check_packed(packed: PackedSequence) -> None:
    """Reject invalid packed sequences: torch trusts hand-made ones, and would write out of bounds."""
    sizes, rows = packed.batch_sizes, len(packed.data)
    source = "torch.nn.utils.rnn.pack_padded_sequence makes them"
    if not isinstance(sizes, Tensor) or sizes.dtype is not torch.int64 or not sizes.is_cpu or sizes.dim() != 1:
        is_tensor = isinstance(sizes, Tensor)
        got = f"{list(sizes.shape)} of {sizes.dtype} on {sizes.device}" if is_tensor else type(sizes).__name__
        raise ArgumentTypeError(f"a PackedSequence's batch_sizes must be int64 [T] on the CPU, got {got}: {source}")
    check_dense(sizes, "batch_sizes")
    check_memory(sizes, "batch_sizes")
    steps = sizes.tolist()
    if not steps or steps[0] < 1 or steps[-1] < 0 or any(map(lt, steps, steps[1:])) or sum(steps) != rows:
        raise ShapeError(
            f"a PackedSequence's batch_sizes must not increase from step to step and must add up to {rows}, the number "
            f"of rows of its data; got {shorten(steps)}: {source}"
        )


def _check_input(x: Tensor, sizes: Sizes) -> None:
    if x.shape[-1] != sizes.input_size:
        raise ShapeError(f"input.size(-1) must be equal to input_size. Expected {sizes.input_size}, got {x.shape[-1]}")
    if x.shape[0] == 0:  # len() would fix a size that torch.export keeps symbolic
        raise ShapeError(
            "Expected sequence length to be larger than 0, got an input of T = 0 time steps; skip the call, or give "
            "lengths= if only some rows are empty"
        )


def _initial_state(
    hx: Any, layout: AxisOrder, N: int, sizes: Sizes, like: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    kinds, stacked = sizes.kind.carried, len(sizes.layer_directions)
    if hx is None:
        h0, *more = (torch.zeros(stacked, N, sizes.units(name), dtype=dtype, device=like.device) for name in kinds)
        return h0, more[0] if more else None
    is_pair = len(kinds) > 1
    names = ("h0", "c0") if is_pair else ("hx",)
    states = [
        check_tensor(part, name, like) for part, name in zip(check_state(hx, "hx", len(kinds)), names, strict=True)
    ]
    rank, form = (2, "unbatched 2-D") if layout == "T" else (3, "batched 3-D")
    if any(state.dim() != rank for state in states):
        got = ", ".join(f"{state.dim()}-D" for state in states)
        got = f"({got}) tensors" if is_pair else f"{got} tensor"
        raise RankError(f"For {form} input, hx {'and cx ' if is_pair else ''}should also be {rank}-D but got {got}")
    if layout == "T":
        states = [state.unsqueeze(1) for state in states]
    for k, (state, name) in enumerate(zip(states, kinds, strict=True)):
        want = stacked, N, sizes.units(name)
        if state.shape != want:
            units = "units of the hidden state" if is_pair and k == 0 else "hidden_size"
            raise ShapeError(
                f"Expected hidden{f'[{k}]' if is_pair else ''} size {want}, got {list(state.shape)}: it is "
                f"(layers * directions, batch, {units})"
            )
    h0, *more = states
    return h0, more[0] if more else None


def _take_lengths(lengths: Lengths, T: int, N: int, device: torch.device) -> Tensor | None:
    if lengths is None:
        return None
    if isinstance(lengths, range) and count(lengths) != N:  # torch would iterate over it
        raise ShapeError(f"lengths has shape [{count(lengths)}], expected [{N}]: one length for each row of the batch")
    try:
        taken = torch.as_tensor(lengths, device="cpu" if not isinstance(lengths, Tensor) else None)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ArgumentTypeError(f"lengths must be integers, one for each row, got {shorten(lengths)}") from error
    check_dense(taken, "lengths")
    if isinstance(lengths, (list, tuple)) and not lengths:
        taken = taken.long()  # an empty list has no integer type
    if taken.is_floating_point() or taken.is_complex() or taken.dtype is torch.bool:
        raise ArgumentTypeError(f"lengths must be integers, got {taken.dtype}: give numbers of time steps")
    check_memory(taken, "lengths")
    if taken.is_meta and device.type != "meta":
        raise DeviceError(f"lengths are on the meta device, which has no values, but the input is on {device}")
    taken = taken.to(dtype=torch.int64)
    taken = taken.reshape(1) if taken.dim() == 0 else taken
    if taken.shape != (N,):
        raise ShapeError(f"lengths has shape {list(taken.shape)}, expected [{N}]: one length for each row of the batch")
    # Compiled code checks the values when it runs; on the meta device and inside vmap they can't be read.
    if not (torch.compiler.is_compiling() or taken.is_meta or is_transformed(taken)):
        check_lengths(taken, T)
    return taken.to(device=device)


def _take_reset(reset: Tensor | None, layout: AxisOrder, T: int, N: int, x: Tensor) -> Tensor | None:
    if reset is None:
        return None
    if not isinstance(reset, Tensor) or reset.dtype is not torch.bool:
        got, cure = type(reset).__name__, "torch.as_tensor(reset, dtype=torch.bool)"
        if isinstance(reset, Tensor):
            got, cure = str(reset.dtype), ".bool()"
        raise ArgumentTypeError(f"reset must be a bool tensor, got {got}: convert it with {cure}")
    check_dense(reset, "reset")
    check_memory(reset, "reset")
    want = {"TN": (T, N), "NT": (N, T), "T": (T,)}[layout]
    if reset.shape != want:
        axes = {"TN": "[T, N]", "NT": "[N, T] (batch_first)", "T": "[T]"}[layout]
        raise ShapeError(f"reset has shape {list(reset.shape)}, expected {axes} = {list(want)}")
    if reset.device != x.device:
        raise DeviceError(f"reset is on {reset.device} and the input on {x.device}; move one of them with .to(...)")
    return to_time_first(reset, layout)


def _pack_like(out: Tensor, packed: PackedSequence) -> PackedSequence:
    """Pack ``[T, N, D*P]``, with rows in batch order, in the same way as a packed sequence."""
    order = packed.sorted_indices
    sorted_out = out if order is None else out.index_select(1, order)
    # Uses the batch sizes, which are always on the CPU, because copying the lengths from a device takes time.
    rows = torch.arange(out.shape[1], device="cpu")
    with own_types():
        data = pack_padded_sequence(sorted_out, (packed.batch_sizes[:, None] > rows).sum(0)).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


_AXES = {"TN": ("L*D", "L*D, N", "T, N, L*D"), "NT": ("L*D", "L*D, N", "N, T, L*D"), "T": ("L*D", "T, L*D")}


def _take_border_states(
    reset_to: Any, reset: Tensor | None, layout: AxisOrder, shape: tuple[int, int], sizes: Sizes, like: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return states for borders, rows or all steps as `Call.reset_h`, as a view where it can be."""
    if reset_to is None:
        return None, None
    if reset is None:
        raise ArgumentError("reset_to= gives the states at borders, and reset= where the borders are: give both")
    names = sizes.kind.carried
    states = check_state(reset_to, "reset_to", len(names))
    labels = [f"{name} of reset_to" if len(names) > 1 else "reset_to" for name in names]
    h, *more = (check_tensor(value, label, like) for label, value in zip(labels, states, strict=True))
    c = more[0] if more else None
    if c is not None and h.dim() != c.dim():
        raise RankError(f"h of reset_to is {h.dim()}-D and c is {c.dim()}-D: give both in the same form")
    axes = {
        "T": shape[0],
        "N": shape[1],
        "L*D": len(sizes.layer_directions),
        "P": sizes.output_size,
        "H": sizes.hidden_size,
    }
    unit = "P" if more else "H"
    return _in_form(h, labels[0], unit, layout, axes), None if c is None else _in_form(c, labels[1], "H", layout, axes)


def _in_form(value: Tensor, name: str, unit: str, layout: AxisOrder, sizes: dict[str, int]) -> Tensor:
    forms = {axes.count(",") + 2: axes for axes in _AXES[layout]}
    axes = forms.get(value.dim())
    if axes is None:
        known = " or ".join(f"[{form}, {unit}]" for form in _AXES[layout])
        raise RankError(f"{name} is {value.dim()}-D, expected {known}")
    want = tuple(sizes[axis] for axis in [*axes.split(", "), unit])
    if value.shape != want:
        raise ShapeError(f"{name} has shape {list(value.shape)}, expected [{axes}, {unit}] = {list(want)}")
    if axes == "L*D":
        return value.unsqueeze(1).expand(-1, sizes["N"], -1)
    if axes == "L*D, N":
        return value
    return to_time_first(value, layout).flatten(0, 1).transpose(0, 1)


def _result_types(call: Call, packed: PackedSequence | None) -> tuple[torch.dtype, torch.dtype] | None:
    """Return the types that torch returns under autocast on the CPU if they differ from the computed ones."""
    if not torch.is_autocast_enabled("cpu") or not call.x.is_cpu or call.x.dtype is torch.float64:
        return None  # autocast leaves float64 unchanged
    of_products = torch.get_autocast_dtype("cpu")
    if call.c0 is None:  # that of a product, or of its sum with the previous state
        dtype = torch.promote_types(of_products, call.h0.dtype) if call.sizes.kind.is_additive else of_products
        return dtype, dtype
    if not call.sizes.proj_size and (packed is None or _runs_as_padded(packed)):
        return None
    of_cells = torch.promote_types(of_products, call.c0.dtype)
    return (of_products if call.sizes.proj_size else of_cells), of_cells


def _runs_as_padded(packed: PackedSequence) -> bool:
    """Whether torch runs a packed sequence as a padded one; newer versions do so if all rows have the same length."""
    is_even = bool(packed.batch_sizes[0] == packed.batch_sizes[-1])
    return is_even and _pads_even_rows(torch.get_autocast_dtype("cpu"), uses_onednn())


@cache
def _pads_even_rows(dtype: torch.dtype, _uses_onednn: bool) -> bool:
    """Whether this version of torch does so under autocast to a type, judging by the output type of a tiny call."""
    state, w, b = (torch.zeros(shape, dtype=torch.float32, device="cpu") for shape in ((1, 1, 1), (4, 1), (4,)))
    even = torch.ones(1, dtype=torch.int64, device="cpu")
    with without_modes(), torch.no_grad():
        try:
            out, *_ = torch.ops.aten.lstm.data(state[0], even, (state, state), (w, w, b, b), True, 1, 0.0, False, False)
        except RuntimeError:  # oneDNN has no kernel for this type and processor
            return False
    return bool(out.dtype is dtype)
