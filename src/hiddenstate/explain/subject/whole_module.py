"""`WholeModule`: a module whose input is the argument of its call, not that of its recurrent layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.cells.cell import Cell
from hiddenstate.errors import ArgumentError, ArgumentTypeError, RankError, ShapeError
from hiddenstate.explain.subject.subject import Outputs, Subject, check_bytes
from hiddenstate.models.series.module_form import (
    NOT_REPEATABLE,
    ModuleForm,
    call_module,
    growing_axes,
    is_same,
    recurrent_parts,
    weight_of,
)


class ModuleState:
    """The form of a module's state: a tensor ``[L, R, H]``, a tuple of such, or None."""

    def __init__(self, state: Any) -> None:
        self._is_tuple = isinstance(state, tuple | list)

    def as_given(self, states: Sequence[Tensor]) -> Any:
        """Return the tensors as the argument of a call."""
        return tuple(states) if self._is_tuple else states[0] if states else None

    def parts_of(self, state: Any) -> tuple[Tensor, ...]:
        """Return the tensors of such an argument."""
        return tuple(state) if self._is_tuple else () if state is None else (state,)


def changed_state(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a state of the same form, with each of its tensors changed."""
    form = ModuleState(state)
    return form.as_given(list(map(change, form.parts_of(state))))


def repeated_state(state: Any, R: int) -> Any:
    """Return the state of one row for R rows."""
    return changed_state(state, lambda part: part.expand(-1, R, -1).contiguous())


@dataclass(frozen=True, eq=False)
class ModuleOutputs(Outputs):
    """What a whole module returns for R rows; ``out`` is ``[S, R, K]``."""

    result: Any = None  # what the user's function of the output takes


@dataclass(frozen=True, eq=False)
class WholeModule:
    """A module with rows of its own input, time first."""

    forecasts: Callable[[Tensor, Any], Tensor]  # returns [R, K] or [S, R, K] for x [T, R, C] and a state
    x: Tensor  # [T, N, C], what the module reads
    initial: Any = None  # the state that it is called with
    raw: Callable[[Tensor], Any] = lambda out: out  # what the module returns, for targets that are functions of that
    hidden: int = 64  # units of all its recurrent layers
    rows_axis: int = 1  # in the module's own input

    @property
    def T(self) -> int:  # noqa: N802
        """Time steps."""
        return self.x.shape[0]

    @property
    def state_form(self) -> ModuleState:
        """The form of the initial state."""
        return ModuleState(self.initial)

    @property
    def numbers_per_step(self) -> int:
        """About how many numbers a run computes for each row-step."""
        return self.x.shape[2] + 8 * self.hidden

    def only(self, row: int) -> "WholeModule":
        """Return the module with one row of its input."""
        row = resolve_one(row, self.x.shape[1], "row")
        chosen = slice(row, row + 1)
        return replace(self, x=self.x[:, chosen], initial=changed_state(self.initial, lambda part: part[:, chosen]))

    def run(
        self, x: Tensor, state: Any = None, *, keep: Sequence[str] = (), steps: Sequence[int] = (), first: int = 0
    ) -> ModuleOutputs:
        """Run rows ``x [T, R, C]`` from states ``[L, R, H]``; without a state, from that of the only row."""
        del keep, steps, first  # for targets inside a layer, which a whole module has not
        result = self.forecasts(x, repeated_state(self.initial, x.shape[1]) if state is None else state)
        out = result if result.dim() == 3 else result[None]
        return ModuleOutputs(out, (), None, result=self.raw(result))  # type: ignore[arg-type]  # no state is kept


Explained = Subject | WholeModule  # what runs many variants of one row
StateForm = Cell | ModuleState  # how the tensors of an initial state are given in a call


def _called(module: nn.Module, x: Tensor, state: Any, *, time_first: bool) -> Tensor:
    """Return a module's output for rows ``[T, R, C]``, as it returns it."""
    out, _ = call_module(module, x, state, time_first=time_first)
    if not 1 <= out.dim() <= 3:
        raise ArgumentTypeError(
            f"the module returned a tensor {list(out.shape)}, expected 1 to 3 axes: wrap the module in one that "
            "returns what you want to explain"
        )
    return out


def _forecasts(module: nn.Module, form: ModuleForm, x: Tensor, state: Any) -> Tensor:
    """Run rows ``[T, R, C]``; a single one is run twice, as a module may drop an axis of 1."""
    if x.shape[1] == 1:
        return _forecasts(module, form, x.expand(-1, 2, -1), repeated_state(state, 2))[..., :1, :]
    return form.arranged(_called(module, x, state, time_first=form.time_first))


def whole_module(model: nn.Module, x: Any, hx: Any = None, time_first: bool | None = None) -> WholeModule:
    """Return a module with the rows of its input, whose axis is found by calls with two and three rows."""
    check_module_memory(model)
    layers = [*recurrent_parts(model).values()]
    if not layers:
        raise ArgumentError(f"this {type(model).__name__} contains no LSTM, GRU or RNN: give a module with one")
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        x = torch.from_numpy(np.ascontiguousarray(x)).to(weight_of(model))
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"a module reads a tensor, or a NumPy array of numbers, got {type(x).__name__}")
    check_plain_tensor(x, "x")
    check_memory(x, "x")
    if x.dim() not in (2, 3) or not x.is_floating_point() or 0 in x.shape:
        raise RankError(
            "a module's input is explained for a floating-point tensor of steps, rows and features, [T, N, C] or "
            f"[N, T, C], or one row [T, C]; got {list(x.shape)} of {x.dtype}"
        )
    x, hidden = x.detach(), sum(int(layer.hidden_size) for layer in layers)
    check_bytes(x.numel() // x.shape[-1] * (x.shape[-1] + hidden) * x.element_size(), "a run", *x.shape[:2])
    reasons = []
    for rows in (0, 1) if time_first is None else (int(time_first),):
        series = x[:, None] if x.dim() == 2 else x.movedim(rows, 1)
        try:
            state = _checked_state(hx, series.shape[1])
        except ShapeError as error:
            reasons.append(f"as {'[T, N, C]' if rows else '[N, T, C]'}, {error}")
            continue
        form = _form(model, series[:, 0], changed_state(state, lambda part: part[:, :1]), time_first=bool(rows))
        if isinstance(form, ModuleForm):
            return WholeModule(partial(_forecasts, model, form), series, state, form.as_returned, hidden, rows)
        reasons.append(f"as {'[T, N, C]' if rows else '[N, T, C]'}, {form}")
    raise ShapeError(
        f"this {type(model).__name__} can't read this input, {list(x.shape)}, with more rows: {'; '.join(reasons)}. "
        "Check the input's axes, or give time_first=True for [T, N, C], False for [N, T, C]"
        f"{'' if hx is None else '; and check hx=, the state with which the module is called'}"
    )


def _checked_state(hx: Any, N: int) -> Any:
    """Return a state with N rows; one without an axis of rows gets it."""
    for part in ModuleState(hx).parts_of(hx):
        if not isinstance(part, Tensor) or part.dim() not in (2, 3) or (part.dim() == 3 and part.shape[1] != N):
            got = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ShapeError(f"hx= must be tensors [L, N, H] for the N = {N} rows, or [L, H] for one, got {got}")
    return changed_state(hx, lambda part: (part if part.dim() == 3 else part[:, None]).detach())


@torch.no_grad()
def _form(module: nn.Module, row: Tensor, state: Any, *, time_first: bool) -> ModuleForm | str:
    """Return the form of a module that reads variants of ``row [T, C]``; or why its rows are not on this axis."""
    rows = torch.stack([row, row.flip(0), row * 0.5], dim=1)
    outs = []
    for some in ([0, 1], [0, 1], [0, 1, 2], [1, 0]):
        try:
            outs.append(_called(module, rows[:, some], repeated_state(state, len(some)), time_first=time_first))
        except (ArgumentTypeError, KeyboardInterrupt):
            raise
        except Exception as error:
            return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if len(outs) == 2 and not is_same(outs[1].nan_to_num(), outs[0].nan_to_num(), outs[0]):
            raise ArgumentError(NOT_REPEATABLE.format(type(module).__name__))
    two, _, three, exchanged = outs
    axes = growing_axes(two, three, 2)
    if len(axes) != 1 or axes[0] == 2:
        return f"it returns {list(two.shape)} for 2 rows and {list(three.shape)} for 3, expected an axis of them"
    if not is_same(three.narrow(axes[0], 0, 2).double().nan_to_num(), two.double().nan_to_num(), two):
        return "the outputs of two rows change if it reads a third"
    if not is_same(exchanged.flip(axes[0]).double().nan_to_num(), two.double().nan_to_num(), two):
        return "the outputs of two rows depend on which is the first"
    if two.dim() < 3 and axes == [0]:
        return ModuleForm(time_first, "row", tuple(range(two.dim())), horizon=0)
    others = [axis for axis in range(two.dim()) if axis not in axes]
    return ModuleForm(time_first, "step", (others[0], *axes, *others[1:]), horizon=0)
