"""The common base of `LSTM`, `GRU` and `RNN`: calls, traces, edits, streams, int8 weights."""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.indexing import Index
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.scoped import Block
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import scope_edits
from hiddenstate.engine.call import PathReport
from hiddenstate.engine.inputs import Arguments, Lengths
from hiddenstate.nn import calls
from hiddenstate.nn.packed_weights import packed_int8
from hiddenstate.nn.quantised import floats, keep, keep_floats, rounded
from hiddenstate.nn.recurrent_parameters import RecurrentParameters
from hiddenstate.nn.streams.stream import Stream
from hiddenstate.nn.torch_modules import Route, TorchClass, copied_as, scriptable
from hiddenstate.tracing.record_spec import DEFAULT_TRACE_LIMIT, TraceOptions
from hiddenstate.tracing.trace import Trace

X = TypeVar("X", Tensor, PackedSequence)  # an input, and an output of the same form
S = TypeVar("S")  # a state: a pair of tensors, or one tensor
M = TypeVar("M", bound=nn.Module)  # torch's class
L = TypeVar("L", bound="Recurrent[Any, Any]")


class Recurrent(RecurrentParameters, Generic[S, M]):
    """A layer with any kind of cell. Use `hiddenstate.LSTM`, `GRU` or `RNN`."""

    _torch: ClassVar[TorchClass]

    def forward(
        self,
        input: X,  # noqa: A002 (torch's name for it)
        hx: S | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: S | None = None,
    ) -> tuple[X, S]:
        """Run over a sequence.

        Args:
            input: ``[T, N, C]``, ``[N, T, C]`` with ``batch_first``, ``[T, C]`` without a batch, or a
                `PackedSequence`.
            hx: the initial state: ``(h0 [L*D, N, P], c0 [L*D, N, H])`` for an LSTM, ``h0 [L*D, N, H]`` for a GRU or
                RNN; without N for an unbatched input; zeros if None.
            lengths: integers ``[N]`` in 0..T, in any order: the number of time steps of each row. Past its end a row's
                output is zero, and its final state is that of its last real step (or its first, for the reverse
                direction, which starts at the end). A row of length 0 returns its initial state.
            reset: bool ``[T, N]``, ``[N, T]`` with ``batch_first``, ``[T]`` without a batch. True where a new
                sequence begins: the state is zeroed before that step, and no gradient passes. The reverse direction is
                cut at the same border: its state is zeroed between steps t and t-1. So a run with resets equals
                separate runs of the pieces; the initial state applies to the piece that is read first.
            reset_to: the state at borders, ``(h, c)`` or h as in ``hx``, instead of zero; gradients flow to it. Either
                one state for all borders, h ``[L*D, P]`` and c ``[L*D, H]``, which may be parameters; or one for each
                row, with the layout of ``hx``; or one for each step of each row, with the axes of ``reset`` in front:
                h ``[T, N, L*D, P]`` and c ``[T, N, L*D, H]`` (``[N, T, ...]`` with ``batch_first``, ``[T, ...]``
                without a batch), where only values at borders are read.

        Returns:
            ``out``: the last layer's hidden state at each step, ``[T, N, D*P]``, with the layout of the input; and the
            final state, ``(h_n, c_n)`` or h_n, with the shapes of ``hx``.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: an argument does not fit.
            IndexRangeError: an active edit names a step or row that this input does not have.
        """
        # Dynamo cannot trace a native call, so it skips this branch.
        if reset is None and reset_to is None and not torch.compiler.is_compiling():
            result = calls.run_fast(self, input, hx, lengths)
            if result is not None:
                return result  # type: ignore[return-value]
        return calls.run(self, Arguments(input, hx, lengths, reset, reset_to))  # type: ignore[return-value]

    def _eval_twin(self: L) -> L:
        """Return a copy that shares this layer's weights, detached, and has no dropout; see `eval_twin`."""
        if self.weight_format == "int8":
            packed_int8(self)  # packs first, so that both run on the same packed weights
        twin = eval_twin(self)
        twin.dropout = 0.0
        if parametrize.is_parametrized(twin):
            # Computed once, and not by the twin's properties, because torch caches those by id, which the next twin may
            # reuse.
            with torch.no_grad():
                twin._parameters |= {name: parametrization() for name, parametrization in twin.parametrizations.items()}  # type: ignore[operator, union-attr]
        return twin

    def path(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: S | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: S | None = None,
    ) -> PathReport:
        """Report which path a call with these arguments takes, and why no faster one can run it, without running it.

        The report takes the context into account: edits, traces, autocast, gradients, `hiddenstate.backend`.

        Args:
            input: the input; all arguments are the same as for a call.
            hx: the initial state.
            lengths: the number of time steps of each row.
            reset: where new sequences begin.
            reset_to: the states with which they begin.

        Returns:
            A `PathReport`, which can be printed: ``name`` is the path, and ``reasons`` explains why each faster path
            was not possible.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: as for a call.
        """
        return calls.path_report(self, Arguments(input, hx, lengths, reset, reset_to))

    def trace(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: S | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: S | None = None,
        keep: Sequence[str] | None = None,
        steps: Index = None,
        pre: bool = False,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        limit: int | None = DEFAULT_TRACE_LIMIT,
    ) -> Trace:
        """Run over a sequence and record every gate and state. Differentiable; the results equal those of a plain call.

        Args:
            input: the input; this, ``hx``, ``lengths``, ``reset`` and ``reset_to`` are the same as for a call.
            hx: the initial state.
            lengths: the number of time steps of each row.
            reset: where new sequences begin.
            reset_to: the states with which they begin.
            keep: the places to record, such as ``["l1.f", "l1.c"]``; if None, all gates and states (``i f g o c h`` for
                an LSTM, ``r z n h`` for a GRU, ``h`` for an RNN) in every layer and direction.
            steps: the time steps to record; all if None.
            pre: whether to record the gates' pre-activations as well (``l0.f_pre``); for a GRU, also the recurrent part
                of n, before (``l0.n_h``) and after (``l0.n_rh``) it is multiplied by r.
            tokens: a word for each step, for tables and plots: one list, or a list for each row of the batch.
            limit: the maximum size of the record in bytes; None for no limit. See `trace_nbytes`.

        Returns:
            The `Trace`.

        Raises:
            TraceTooLargeError: the record would take more than ``limit`` bytes. Nothing was computed.
            NameUnknownError: ``keep`` names a place that this layer does not have.
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: as for a call.
        """
        options = TraceOptions(keep, steps, pre, tokens, limit)
        return calls.trace(self, Arguments(input, hx, lengths, reset, reset_to), options, _FORWARD)

    def trace_nbytes(
        self, T: int, N: int = 1, *, keep: Sequence[str] | None = None, steps: Index = None, pre: bool = False
    ) -> int:
        """The size in bytes of the record of a trace over ``T`` steps of ``N`` rows, computed without running it.

        It includes active readout edits, but neither ``out`` nor the memory for gradients.

        Raises:
            ArgumentError: ``T`` is below 1 or ``N`` below 0, or the size exceeds any machine's memory.
            NameUnknownError, ArgumentTypeError, IndexRangeError: an argument does not fit.
        """
        return calls.trace_nbytes(self, T, N, TraceOptions(keep, steps, pre, None, None))

    def edit(self, *edits: Edit) -> Block:
        """Return a context manager in which the edits apply to this layer: to its calls, traces and streams.

        They apply only in the thread that opened the block (or in the asyncio task, and in tasks that it starts inside
        the block), in the order of the arguments; the edits of an inner block come after those of the outer one. They
        end with the block, even if an exception leaves it. Code that reruns the layer after the block, as activation
        checkpointing does, runs it without the edits.

        Args:
            edits: made by `hiddenstate.zero`, `set`, `scale`, `add`, `clamp`, `patch` and the ablations.

        Raises:
            NameUnknownError: this layer has no such place.
            IndexRangeError: a unit does not exist (steps and rows are checked when the layer is called).
            ArgumentTypeError: an argument is not an `Edit`.
        """
        return scope_edits(self, edits)

    def stream(self, batch: int = 1) -> Stream:
        """Return a `Stream`, which runs ``batch`` sequences one time step at a time and carries the state.

        Raises:
            ArgumentError: the layer is bidirectional, or ``batch`` is below 1 or too large for the memory.
        """
        return Stream._of(self, batch)

    def quantize(self: L) -> L:
        """Return a copy whose weights are stored and multiplied as int8, for inference.

        Each matrix row is rounded to integers in -127..127 times its own scale, ``max|row| / 127``; the input of each
        step and the hidden state are quantized the same way when they are multiplied. Products are summed in int32;
        biases, gates and states stay in float32. The matrices become buffers, int8 ``[G*H, C]`` and ``[G*H, H]`` for
        G gates, with their scales ``[G*H]`` in buffers named ``..._scale``; there are no parameters. Quantizing the
        result again changes nothing in float32.

        Calls with gradients, under ``torch.compile``, with a projection, with a type other than float32 or on other
        devices read the weights as floats, and so do processors on which int8 is not faster, and cells that native code
        does not support; `path` reports the reason.

        Raises:
            ArgumentError: a weight is not finite, or is not a parameter of this module.
        """
        values = rounded(self) if self.weight_format == "float" else None
        copied = copy.deepcopy(self)
        if values is not None:
            keep(copied, values)
        return copied

    def dequantize(self: L) -> L:
        """Return a copy with float parameters that have the values of the int8 weights."""
        values = floats(self) if self.weight_format == "int8" else None
        copied = copy.deepcopy(self)
        if values is not None:
            keep_floats(copied, values)
            copied.flatten_parameters()
        return copied

    def to_torch(self) -> M:
        """Return torch's layer with the same options, values, dtype, device and mode; int8 weights as floats."""
        theirs: M = copied_as(self._with_floats(), Route.to_torch(self))
        return theirs

    def __prepare_scriptable__(self) -> nn.Module:
        return scriptable(self._with_floats())

    def _with_floats(self: L) -> L:
        return self if self.weight_format == "float" else self.dequantize()


# The original method, kept to detect monkey-patching.
_FORWARD = Recurrent.forward
