"""The cells `LSTMCell`, `GRUCell` and `RNNCell`, drop-in replacements for torch's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from hiddenstate.base import scoped
from hiddenstate.base.memory import CheckedModule
from hiddenstate.base.scalars import check_bool, check_int
from hiddenstate.base.scoped import Block
from hiddenstate.base.validation import State, check_alike, check_memory, check_plain_tensor, check_state
from hiddenstate.cells.cell import Cell, Weights, ignore
from hiddenstate.cells.gru import GRU
from hiddenstate.cells.kinds import CELLS
from hiddenstate.cells.lstm import LSTM
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import StepSpan, check_edit, edits_in_force, resolve_edits, scope_edits
from hiddenstate.engine import cell_steps, dispatch, kernels
from hiddenstate.engine.call import PathReport
from hiddenstate.engine.cell_steps import CellStep
from hiddenstate.engine.reference import make_observer
from hiddenstate.engine.weights import check_weight
from hiddenstate.errors import ArgumentError, RankError, ShapeError
from hiddenstate.nn.quantised import missing
from hiddenstate.nn.rnn import LAYERS, Layer, rnn_mode
from hiddenstate.nn.torch_modules import (
    FX_LEAF,
    TORCH_GRU_CELL_CLASS,
    TORCH_LSTM_CELL_CLASS,
    TORCH_RNN_CELL_CLASS,
    QuantisationSetting,
    Route,
    TorchClass,
    copied_as,
    scriptable,
    sizes_of,
)
from hiddenstate.structure.names import AxisOrder, Layers
from hiddenstate.structure.sizes import PARAMETER_STEMS, Sizes, draw
from hiddenstate.tracing.record_spec import trace_of_step, wanted_of_step
from hiddenstate.tracing.recorders import Requested, requested, would_be_requested
from hiddenstate.tracing.traceable import Traceable

_WEIGHTS = dict.fromkeys(PARAMETER_STEMS[:4]).keys()  # ordered, and comparable as a set


S = TypeVar("S")  # a state: a pair of tensors, or one tensor
M = TypeVar("M", bound=nn.Module)  # torch's class


class RecurrentCell(CheckedModule, Traceable, Generic[S, M]):
    """One time step of one layer, of any kind of cell. Use `hiddenstate.LSTMCell`, `GRUCell` or `RNNCell`."""

    _traces_steps = True
    _torch: ClassVar[TorchClass]
    _kind: Cell
    qconfig = QuantisationSetting()
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.__module__ = FX_LEAF
        input_size, hidden_size = check_int("input_size", input_size), check_int("hidden_size", hidden_size)
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 0:
                raise ArgumentError(f"{name} must not be negative, got {size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = check_bool("bias", bias, number=True)
        for name, shape in zip(_WEIGHTS, self._shapes(), strict=True):
            there = bias or len(shape) > 1
            self.register_parameter(
                name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if there else None
            )
        self.reset_parameters()

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the weights and biases."""
        rows = len(self._kind.gates) * self.hidden_size
        return (rows, self.input_size), (rows, self.hidden_size), (rows,), (rows,)

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the same order as torch."""
        draw(self, self.hidden_size)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults, in torch's format."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}")

    def _traced_layers(self) -> Layers:
        return Layers(1, False, self._kind)

    def forward(self, input: Tensor, hx: S | None = None) -> S:  # noqa: A002 (torch's name for it)
        """Read one time step.

        Args:
            input: ``[N, C]`` or ``[C]``.
            hx: the previous state: for an LSTM a tuple or list ``(h [N, H], c [N, H])``, for a GRU or RNN ``h [N, H]``;
                without N for an unbatched input; zeros if None. As in torch, c may have a narrower floating-point type
                than the weights; the new state has the weights' type.

        Returns:
            The new state, ``(h, c)`` or h, with the same shapes.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: an argument does not fit.
            IndexRangeError, ArgumentError: an active edit does not fit this step.
        """
        compiling = torch.compiler.is_compiling()
        if not (scoped.any_open or compiling):
            new = cell_steps.compute(self._kind, input, hx, self._parameters, (self.input_size, self.hidden_size))
            if new is not None:
                return new
        # torch.compile would make a block's edits and recorders part of the compiled code, so this is not compiled.
        if scoped.any_open and compiling:
            return torch.compiler.disable(self._run)(input, hx)
        return self._run(input, hx)

    def _run(self, x: Tensor, hx: S | None) -> S:
        states, w = self._read(x, hx)
        kind = self._kind
        if x.dim() == 1:
            new = self._step(x[None], tuple(part[None] for part in states), w, "T")
            return kind.as_given([part[0] for part in new])
        return kind.as_given(self._step(x, states, w, "TN"))

    def _read(self, x: Tensor, hx: S | None) -> tuple[tuple[Tensor, ...], Weights]:
        """Check the arguments, and return the states and weights."""
        compiling = torch.compiler.is_compiling()
        w = self._weights(compiling)
        try:
            fits = not compiling and self._fits(x, hx, w)
        except TypeError:
            fits = False  # an invalid size was assigned
        if not fits:
            self._check(x, hx, w)
        if hx is not None:
            return self._kind.parts_of(hx), w
        zeros = x.new_zeros((*x.shape[:-1], self.hidden_size))
        return (zeros,) * len(self._kind.carried), w

    def path(self, input: Tensor, hx: S | None = None) -> PathReport:  # noqa: A002
        """Report which path a step with these arguments takes, and why no faster one can run it, as `LSTM.path` does.

        Args:
            input: the input, as for a step.
            hx: the previous state.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: as for a step.
        """
        states, w = self._read(input, hx)
        is_observed = bool(would_be_requested(self) or edits_in_force(self))
        if input.dim() == 1:
            input, states = input[None], tuple(part[None] for part in states)  # noqa: A001
        step = CellStep(self._kind, input, states, w, (self.input_size, self.hidden_size), is_observed=is_observed)
        return PathReport(*dispatch.choose_cell(step))

    def _fits(self, _given: Tensor, _hx: S | None, _w: Weights) -> bool:
        """Whether it is known that all checks of the arguments would pass."""
        return False

    def edit(self, *edits: Edit) -> Block:
        """Return a context manager in which the edits apply to this cell, as with `hiddenstate.LSTM.edit`.

        Places are named as in the cell's trace, ``"l0.c"``, or without the layer, ``"c"``. Every call is a run of one
        step, so ``t`` can only be 0. To edit only some steps, open the block around those calls.

        Args:
            edits: made by `hiddenstate.zero`, `set`, `scale`, `add`, `clamp`, `patch` and the ablations.

        Raises:
            NameUnknownError: an edit's place does not exist.
            IndexRangeError: a unit does not exist (steps and rows are checked when the cell is called).
            ArgumentError: an edit has the scope ``"readout"``, but a cell's output is also its next state.
            ArgumentTypeError: an argument is not an `Edit`.

        >>> import hiddenstate as hs
        >>> cell = hs.LSTMCell(4, 3)
        >>> with cell.edit(hs.zero("c", unit=1)):
        ...     h, c = cell(torch.ones(2, 4))
        >>> bool(c[:, 1].any())
        False
        """
        return scope_edits(self, [_of_step(edit, self._kind) for edit in edits])

    @property
    def sizes(self) -> Sizes:
        """The sizes of one layer with this cell's weights."""
        return sizes_of(self)

    def to_torch(self) -> M:
        """Return torch's cell with the same options, values, dtype, device and mode."""
        theirs: M = copied_as(self, Route.to_torch(self))
        return theirs

    def __prepare_scriptable__(self) -> nn.Module:
        return scriptable(self)

    def _weights(self, compiling: bool) -> Weights:
        own: dict[str, Any] = self._parameters
        if own.keys() == _WEIGHTS and not compiling:  # a dict lookup takes a tenth of the time of a module attribute
            return Weights(own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"], None)
        # Each weight is read only once: reading a parametrized weight may change the state of its parametrization.
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None)

    def _check(self, x: Tensor, hx: object, w: Weights) -> None:
        """Reject invalid arguments before anything is computed."""
        for name in ("input_size", "hidden_size"):
            check_int(name, getattr(self, name))
        self._check_weights(w)
        check_plain_tensor(x, "input")
        if x.dim() not in (1, 2):
            raise RankError(
                f"{self._kind.label}Cell: Expected input to be 1D or 2D, got {x.dim()}D instead: give [N, C] or [C]"
            )
        if x.shape[-1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got {x.shape[-1]} expected {self.input_size}")
        count = len(self._kind.carried)
        names = [f"hx[{k}]" for k in range(count)] if count > 1 else ["hx"]
        state = [] if hx is None else self._checked_state(x, check_state(hx, "hx", count), names)
        # If both the size and the type are wrong, torch reports the size.
        check_alike(x, "input", w.ih)
        for k, value in enumerate(state):
            # c is not part of any matrix product, so torch accepts any type that promotes to the weights' type.
            check_alike(value, names[k], w.ih, takes_narrower=k == 1)

    def _check_weights(self, w: Weights) -> None:
        for name, value, shape in zip(_WEIGHTS, (w.ih, w.hh, w.b_ih, w.b_hh), self._shapes(), strict=True):
            if value is None and name.startswith("bias"):
                continue
            if value is None:
                raise missing(name)
            check_weight(value, name, shape, ("weight_ih", w.ih))
            check_memory(value, name)

    def _checked_state(self, x: Tensor, hx: tuple[object, ...], names: Sequence[str]) -> list[Tensor]:
        want = (*x.shape[:-1], self.hidden_size)
        state = [check_plain_tensor(part, name) for part, name in zip(hx, names, strict=True)]
        for k, (value, name) in enumerate(zip(state, names, strict=True)):
            if value.dim() not in (1, 2):
                shown = name if len(names) > 1 else "hidden"
                raise RankError(f"{self._kind.label}Cell: Expected {shown} to be 1D or 2D, got {value.dim()}D instead")
            if value.shape[-1] != self.hidden_size:
                raise ShapeError(
                    f"hidden{k} has inconsistent hidden_size: got {value.shape[-1]}, expected {self.hidden_size}"
                )
            if value.shape != want:
                raise ShapeError(
                    f"Input batch size {_batch(x)} doesn't match hidden{k} batch size {_batch(value)}: "
                    f"{name} must be {list(want)}"
                )
        return state

    def _step(self, x: Tensor, states: tuple[Tensor, ...], w: Weights, layout: AxisOrder) -> tuple[Tensor, ...]:
        """Compute a step ``x [N, C]`` from the states ``[N, H]``, with the active edits and records."""
        requests, edits = requested(self), edits_in_force(self)
        if requests or edits:
            return self._observed_step(x, states, w, layout, requests, edits)
        return dispatch.run_cell(CellStep(self._kind, x, states, w, (self.input_size, self.hidden_size)))

    def _observed_step(
        self,
        x: Tensor,
        states: tuple[Tensor, ...],
        w: Weights,
        layout: AxisOrder,
        requests: Sequence[Requested],
        edits: Sequence[Edit],
    ) -> tuple[Tensor, ...]:
        kind = self._kind
        wanted = [wanted_of_step(request.asked, kind, states[-1]) for request in requests]
        resolved = resolve_edits(edits, self.sizes, StepSpan(1, len(x)), x.device) if edits else ()
        observer = make_observer(0, False, resolved, None)
        edited = ignore if observer is None else observer.carried(0)
        seen: dict[str, Tensor] = {}

        def see(name: str, value: Tensor) -> Tensor:
            value = edited(name, value)
            # Copies, so that the caller can write into the result without changing the record.
            seen[name] = value.clone() if name in kind.carried else value
            return value

        new = dispatch.run_cell(CellStep(kind, x, states, w, (self.input_size, self.hidden_size), see, True))
        for request, places in zip(requests, wanted, strict=True):
            request.recorder.receive(self, trace_of_step(places, kind, seen, states, layout))
        return new


class LSTMCell(RecurrentCell[State, nn.LSTMCell]):
    """One time step of one layer: same arguments, parameters, initial values and results as `torch.nn.LSTMCell`.

    Args:
        input_size: number of input features, C.
        hidden_size: number of units, H.
        bias: whether to use bias vectors.
        device: the device of the parameters.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: a size is negative.
        ArgumentTypeError: an argument has a wrong type.

    >>> h, c = LSTMCell(4, 3)(torch.zeros(2, 4))
    >>> h.shape
    torch.Size([2, 3])
    """

    _torch = TORCH_LSTM_CELL_CLASS
    _kind = LSTM

    def _fits(self, x: Tensor, hx: State | None, w: Weights) -> bool:
        return kernels.cell_fits(x, hx, w, self.input_size, self.hidden_size)


class GRUCell(RecurrentCell[Tensor, nn.GRUCell]):
    """One time step of one layer: same arguments, parameters, initial values and results as `torch.nn.GRUCell`.

    Its errors are those of `LSTMCell`.

    >>> h = GRUCell(4, 3)(torch.zeros(2, 4))
    >>> h.shape
    torch.Size([2, 3])
    """

    _torch = TORCH_GRU_CELL_CLASS
    _kind = GRU


class RNNCell(RecurrentCell[Tensor, nn.RNNCell]):
    """One time step of one layer: same arguments, parameters, initial values and results as `torch.nn.RNNCell`.

    Its errors are those of `LSTMCell`; a ``nonlinearity`` other than ``"tanh"`` and ``"relu"`` is an `ArgumentError`.

    >>> h = RNNCell(4, 3, nonlinearity="relu")(torch.zeros(2, 4))
    >>> h.shape
    torch.Size([2, 3])
    """

    _torch = TORCH_RNN_CELL_CLASS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        rnn_mode(nonlinearity)
        self.nonlinearity = nonlinearity  # first, since it determines the kind of cell
        super().__init__(input_size, hidden_size, bias, device, dtype)

    @property
    def _kind(self) -> Cell:  # type: ignore[override]
        return CELLS[rnn_mode(self.nonlinearity)]

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults, in torch's format."""
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


# By the class of the layer.
CELL_CLASSES: dict[type[Layer], type[RecurrentCell[Any, Any]]]
CELL_CLASSES = {LAYERS["LSTM"]: LSTMCell, LAYERS["GRU"]: GRUCell, LAYERS["RNN_TANH"]: RNNCell}


def _of_step(edit: Edit, kind: Cell) -> Edit:
    """Rename an edit's place as in traces, and reject an edit that makes no sense for a single step."""
    check_edit(edit)
    if edit.scope == "readout":
        raise ArgumentError(
            f"the edit of {edit.place!r} has the scope 'readout', but a cell's output is also its next state: use "
            "scope='write', and keep the unedited state yourself if the next step needs it"
        )
    known = kind.quantities + kind.pre_activations
    return replace(edit, place=f"l0.{edit.place}") if edit.place in known else edit


def _batch(value: Tensor) -> str:
    return str(len(value)) if value.dim() > 1 else "none"
