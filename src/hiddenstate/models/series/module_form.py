"""What a module takes and gives, which is found by calling it with random numbers, never from its code."""

import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import readable_name
from hiddenstate.base.modes import evaluating
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ShapeError
from hiddenstate.tracing.traceable import is_cell, is_layer, refuse_keras

_STEPS, _ROWS = 32, 3  # of the calls that find the form
_ROUNDING, _ROUNDING_OF_HALF = 2**10, 2**2  # in units of the type's precision, relative to the largest value
NOT_REPEATABLE = (
    "this {} gives different results when it is called with the same input again: it draws random numbers "
    "(functional.dropout needs training=self.training), or keeps a state between calls, which it should take and return"
)

Kind = Literal["row", "step", "horizon"]


class ModuleForm(NamedTuple):
    """What a module takes and gives."""

    time_first: bool  # whether it reads ``[T, N, C]``; otherwise ``[N, T, C]``
    gives: Kind  # one forecast a ``row``, one a ``step``, or a ``horizon`` of several a row
    # the axes of its output, in the order row, or step and row, or horizon and row; and then target, which is absent if
    # the module gives no axis for its only target
    axes: tuple[int, ...]
    horizon: int  # how many steps after the last one that was read its last forecast is
    # whether it takes and returns a state, with which pieces of a series give what the whole gives
    carries_state: bool = False

    @property
    def ahead(self) -> range:
        """How far ahead of the last step that was read each of its last forecasts is, in steps."""
        return range(1 if self.gives == "horizon" else self.horizon, self.horizon + 1)

    @property
    def has_targets_axis(self) -> bool:
        """Whether its output has an axis of targets, which it may lack if there is only one."""
        return len(self.axes) > (1 if self.gives == "row" else 2)

    def last(self, arranged: Tensor) -> Tensor:
        """Return the forecasts ``[A, R, K]`` after the last step that was read."""
        return arranged[-1:] if self.gives == "step" else arranged.reshape(-1, *arranged.shape[-2:])

    def arranged(self, out: Tensor) -> Tensor:
        """Return a module's output as ``[R, K]``, ``[T, R, K]`` or ``[horizon, R, K]``."""
        if out.dim() != len(self.axes):
            raise ShapeError(
                f"the module gives {list(out.shape)}, expected {len(self.axes)} axes: if squeeze() drops the axis of a "
                "single row, give it the axis to drop, squeeze(-1)"
            )
        value = out.permute(self.axes)
        return value if self.has_targets_axis else value.unsqueeze(-1)

    def as_returned(self, arranged: Tensor) -> Tensor:
        """Turn the result of `arranged` back into the form that the module returned."""
        value = arranged if arranged.dim() == len(self.axes) else arranged.squeeze(-1)
        return value.permute([self.axes.index(axis) for axis in range(len(self.axes))])


def call_module(module: nn.Module, x: Tensor, state: Any, *, time_first: bool) -> tuple[Tensor, Any]:
    """Call a module in eval mode with a copy of ``x [T, R, C]``; return its output and its state, or None."""
    # cuDNN's layers have no derivative in eval mode.
    without_cudnn = x.is_cuda and x.requires_grad and torch.is_grad_enabled()
    if any(part.training for part in module.modules()):
        mode: AbstractContextManager[object] = evaluating(module)
    else:
        check_module_memory(module)
        mode = nullcontext()
    with mode, torch.backends.cudnn.flags(enabled=False) if without_cudnn else nullcontext():
        own = (x if time_first else x.transpose(0, 1)).clone()
        result = module(own, *(() if state is None else (state,)))
    return forecast_in(result), result[1] if isinstance(result, tuple) and len(result) == 2 else None


def forecast_in(result: object) -> Tensor:
    """Return the forecast in what a module returns: a tensor, the first part of a tuple, or the only one of a dict."""
    value = result
    if isinstance(result, tuple | list) and result:
        value = result[0]
    elif isinstance(result, Mapping) and len(result) == 1:
        (value,) = result.values()
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ArgumentTypeError(
            f"the module returned {_described(result)}, expected a tensor of forecasts, or a tuple that begins with it"
        )
    return value


def _described(result: object) -> str:
    if isinstance(result, Tensor):
        return f"a tensor of {result.dtype}"
    if isinstance(result, Mapping):
        return f"a dict of {', '.join(map(repr, result)) or 'nothing'}"
    return readable_name(type(result))


def recurrent_parts(module: nn.Module) -> dict[str, Any]:
    """Return the recurrent layers and cells of a module, by path."""
    return {path: part for path, part in module.named_modules() if is_layer(part) or is_cell(part)}


def check_module(module: object) -> nn.Module:
    """Return the module; reject anything else, and modules without a recurrent layer or cell."""
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"series_model takes a torch.nn.Module, got {readable_name(type(module))}")
    if not recurrent_parts(module):
        refuse_keras(module)
        raise ArgumentError(
            f"this {type(module).__name__} contains no LSTM, GRU or RNN, and no cell of these: give the module that "
            "was trained, with the recurrent layer inside"
        )
    return module


def weight_of(module: nn.Module) -> Tensor:
    """Return the first floating-point parameter, whose type and device inputs must have."""
    weight = next((value for value in module.parameters() if value.is_floating_point()), None)
    if weight is None:
        raise DtypeError(f"this {type(module).__name__} has no floating-point parameters, expected a trained module")
    return weight


@torch.no_grad()
def find_form(
    module: nn.Module, C: int, K: int, *, window: int | None, horizon: int | None, time_first: bool | None
) -> ModuleForm:
    """Find what a module takes and gives, by calling it with random numbers; a ``window`` of None is any length."""
    orders = [time_first] if time_first is not None else _likely_orders(module)
    reasons = list[str]()
    for order in orders:
        form = _form(module, C, K, window, horizon, time_first=order)
        if isinstance(form, ModuleForm):
            return form._replace(carries_state=_carries_state(module, C, form))
        reasons.append(f"with {'[T, N, C]' if order else '[N, T, C]'}, {form}")
    may_be_windows = window is None and any(" fails (" in reason for reason in reasons)
    raise ShapeError(
        f"this {type(module).__name__} does not map [N, T, C] or [T, N, C], with C = {C} features, to {K} "
        f"target{'s' * (K > 1)} a row, a step or a horizon: {'; '.join(reasons)}"
        f"{'. If it reads windows of one length, give window=' if may_be_windows else ''}"
    )


def _likely_orders(module: nn.Module) -> list[bool]:
    first = next((part for part in module.modules() if is_layer(part)), None)
    batch_first = first is None or bool(getattr(first, "batch_first", False))
    return [not batch_first, batch_first]


def _form(
    module: nn.Module, C: int, K: int, window: int | None, horizon: int | None, *, time_first: bool
) -> ModuleForm | str:
    """Return the form of a module that reads this order of axes, or why it does not."""
    T, N = window or _STEPS, _ROWS
    x, changed = random_numbers(module, T + 1, N + 1, C), random_numbers(module, T + 1, N + 1, C)
    changed[:, 0] = random_numbers(module, T + 1, N + 1, C, seed=1)[:, 0]
    inputs = [x[:T, :N], x[:T, :N], x[:T], changed[:T, :N], *([] if window else [x[:, :N]])]
    outs, failure = list[Tensor](), None
    try:
        for part in inputs:
            outs.append(call_module(module, part, None, time_first=time_first)[0].double())
    except ArgumentTypeError:
        raise
    except Exception as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    if len(outs) > 1:
        _check_repeatable(module, outs[0], outs[1], x)
    if failure is not None:
        return f"a call with {T} steps and {N} rows fails ({failure})"
    out, _, wider, again, *longer = outs
    rows = growing_axes(out, wider, N)
    if len(rows) != 1:
        return f"it gives {list(out.shape)} for {N} rows of {T} steps, expected one axis of {N} for the rows"
    steps = growing_axes(out, longer[0], T) if longer else _axis_of_steps(out, rows, T, K, horizon)
    if longer and not steps and longer[0].shape != out.shape:
        return (
            f"it gives {list(out.shape)} for {T} steps and {list(longer[0].shape)} for {T + 1}, expected one for each"
        )
    form = _classified(list(out.shape), rows, steps, K, horizon, time_first=time_first)
    if isinstance(form, ModuleForm) and not is_same(
        form.arranged(again)[..., 1:, :], form.arranged(out)[..., 1:, :], x
    ):
        return (
            "a change of one row's input changes the forecasts of other rows: axes of rows and steps are exchanged (a "
            "view or reshape where a transpose is meant mixes them), or it mixes rows in another way"
        )
    return form


def _check_repeatable(module: nn.Module, out: Tensor, again: Tensor, x: Tensor) -> None:
    """Reject a module whose output is not finite, or differs for the same input."""
    if not bool(out.isfinite().all()):
        raise ArgumentError(
            f"this {type(module).__name__} gives values that are not finite: check its weights, and its training"
        )
    if not is_same(again, out, x):
        raise ArgumentError(NOT_REPEATABLE.format(type(module).__name__))


def _axis_of_steps(out: Tensor, rows: list[int], T: int, K: int, horizon: int | None) -> list[int]:
    """Return the axis of steps of an output for windows of T steps: one of that size that is not the targets'."""
    axes = [axis for axis in range(out.dim()) if out.shape[axis] == T and axis not in rows]
    is_targets = out.dim() == 2 and T == K
    return [] if horizon == T or is_targets else axes[:1]


def random_numbers(module: nn.Module, T: int, N: int, C: int, seed: int = 0) -> Tensor:
    """Return numbers ``[T, N, C]`` of the module's type, on its device; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, N, C, generator=generator, device="cpu").to(weight_of(module))


def growing_axes(before: Tensor, after: Tensor, size: int) -> list[int]:
    """Return the axes that grew by one with the input's axis of this size, if no other changed."""
    if before.dim() != after.dim():
        return []
    axes = [axis for axis in range(before.dim()) if before.shape[axis] != after.shape[axis]]
    return axes if all(before.shape[axis] == size and after.shape[axis] == size + 1 for axis in axes) else []


def _classified(
    shape: list[int], rows: list[int], steps: list[int], K: int, horizon: int | None, *, time_first: bool
) -> ModuleForm | str:
    """Return the form of an output in which the axes of rows and steps are known, or why there is none."""
    others = [axis for axis in range(len(shape)) if axis not in (*rows, *steps)]
    sizes = [shape[axis] for axis in others]
    if sizes == [K] or (not sizes and K == 1):
        kind: Kind = "step" if steps else "row"
        return ModuleForm(time_first, kind, (*steps, *rows, *others), 1 if horizon is None else horizon)
    if steps or not (K in sizes if len(sizes) == 2 else len(sizes) == K == 1):
        return f"it gives {shape}, but targets has {K} name{'s' * (K > 1)}: give one for each value of its last axis"
    if len(sizes) == 2 and sizes[1] != K:
        others.reverse()
    if horizon not in (None, shape[others[0]]):
        return f"it gives {shape[others[0]]} values ahead, but horizon={horizon}"
    return ModuleForm(time_first, "horizon", (others[0], *rows, *others[1:]), shape[others[0]])


def is_same(a: Tensor, b: Tensor, like: Tensor) -> bool:
    """Whether values of a module are equal up to rounding in the type of its weights."""
    largest = max(1.0, float(b.abs().max())) if b.numel() else 1.0
    allowed = (_ROUNDING if like.element_size() > 2 else _ROUNDING_OF_HALF) * torch.finfo(like.dtype).eps
    return a.shape == b.shape and bool(((a - b).abs() <= allowed * largest).all())


def _carries_state(module: nn.Module, C: int, form: ModuleForm) -> bool:
    """Whether a series in two pieces, with the state that the first returned, gives the same as the whole."""
    if len(inspect.signature(module.forward).parameters) < 2:
        return False
    x, cut = random_numbers(module, _STEPS, _ROWS, C), _STEPS // 2
    try:
        whole, _ = call_module(module, x, None, time_first=form.time_first)
        _, state = call_module(module, x[:cut], None, time_first=form.time_first)
        if state is None:
            return False
        rest, _ = call_module(module, x[cut:], state, time_first=form.time_first)
    except Exception:  # the second argument is something else, or the module reads windows of one length
        return False
    want = form.arranged(whole)
    return is_same(form.arranged(rest).double(), (want[cut:] if form.gives == "step" else want).double(), x)
