"""The layer: `LSTM`, a drop-in for torch's with its inside open."""

import copy
from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.indexing import Index
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.scoped import Block
from hiddenstate.base.validation import State
from hiddenstate.edits.edit import Edit
from hiddenstate.engine.dispatch import PathReport
from hiddenstate.engine.inputs import Arguments, Lengths
from hiddenstate.nn import calls
from hiddenstate.nn.lstm_parameters import LSTMParameters
from hiddenstate.nn.packed_weights import packed_int8
from hiddenstate.nn.quantised import floats, keep, keep_floats, rounded
from hiddenstate.nn.scoped_edits import scope_edits
from hiddenstate.nn.stream import Stream
from hiddenstate.nn.stream_runner import StreamRunner
from hiddenstate.nn.torch_modules import LSTM_OPTIONS, TORCH_LSTM, rebuild, scriptable
from hiddenstate.tracing.record_spec import DEFAULT_TRACE_LIMIT, TraceOptions
from hiddenstate.tracing.trace import Trace


class LSTM(LSTMParameters):
    r"""A multi-layer long short-term memory network: `torch.nn.LSTM`, with its inside open.

    Each layer and direction computes, at every time step t::

        i = σ(W_ii·x + b_ii + W_hi·h + b_hi)      input gate: what is written
        f = σ(W_if·x + b_if + W_hf·h + b_hf)      forget gate: what is kept
        g = tanh(W_ig·x + b_ig + W_hg·h + b_hg)   cell candidate: what would be written
        o = σ(W_io·x + b_io + W_ho·h + b_ho)      output gate: what is shown
        c = f ∘ c + i ∘ g                         cell state, the long-term memory
        h = o ∘ tanh(c)                           hidden state, the short-term memory and the output

    Arguments, parameters, initial values and numbers are those of `torch.nn.LSTM`, and ``state_dict`` goes both ways.

    Args:
        input_size: features of the input, C.
        hidden_size: units, H.
        num_layers: layers, L; each reads the one below.
        bias: whether there are bias vectors.
        batch_first: input and output are ``[N, T, ...]`` instead of ``[T, N, ...]`` (states are not).
        dropout: probability of dropping each output of every layer but the last, in training.
        bidirectional: whether each layer also reads the sequence in reverse.
        proj_size: size P of a projection of the hidden state (Sak et al., 2014); 0 for none.
        device: device of the parameters.
        dtype: type of the parameters.
        weights: how matrices are kept: ``"float"``, or ``"int8"``, in 8 bits with a scale a row, for inference. See
            `quantize`.

    Attributes:
        recompute_gates: whether a gradient computes the gates again, where it else keeps those of the forward run: less
            memory, more time. False at first.

    Raises:
        ArgumentError: a size or the dropout is out of range (a `ValueError`).
        ArgumentTypeError: an argument has a wrong type (a `TypeError`).

    >>> lstm = LSTM(input_size=4, hidden_size=3)
    >>> out, (h_n, c_n) = lstm(torch.zeros(5, 2, 4))
    >>> out.shape, h_n.shape, c_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]), torch.Size([1, 2, 3]))
    """

    @overload
    def forward(
        self,
        input: Tensor,
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: State | None = None,
    ) -> tuple[Tensor, State]: ...

    @overload
    def forward(
        self,
        input: PackedSequence,
        hx: State | None = None,
        *,
        lengths: None = None,
        reset: Tensor | None = None,
        reset_to: State | None = None,
    ) -> tuple[PackedSequence, State]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 (torch's name for it)
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: State | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run over a sequence.

        Args:
            input: ``[T, N, C]``, ``[N, T, C]`` with ``batch_first``, ``[T, C]`` without a batch, or a
                `PackedSequence`.
            hx: initial state ``(h0 [L*D, N, P], c0 [L*D, N, H])``, without N where the input has none; zeros when
                None.
            lengths: integers ``[N]`` in 0..T, in any order: time steps of each row. Past its end a row's output is
                zero and its final state is that of its last real step (for the reverse direction, which begins
                there, of its first). A row of length 0 gives back its initial state.
            reset: bool ``[T, N]``, ``[N, T]`` with ``batch_first``, ``[T]`` without a batch. True where a new
                sequence begins: the state is zeroed before that step, and no gradient passes. The reverse direction
                is cut at the same border: its state is zeroed between steps t and t-1. So a run with resets is each
                piece run alone; the initial state serves the piece that the run enters first.
            reset_to: what the state becomes at borders in place of zero, ``(h, c)``; gradients go to it. One state for
                all borders, h ``[L*D, P]`` and c ``[L*D, H]``, which may be parameters; or one for each row, laid out
                as ``hx``; or one for each step of each row, with the axes of ``reset`` in front: h ``[T, N, L*D, P]``
                and c ``[T, N, L*D, H]`` (``[N, T, ...]`` with ``batch_first``, ``[T, ...]`` without a batch), of which
                those at borders are read.

        Returns:
            ``out``: the last layer's hidden state at each step, laid out as the input, ``[T, N, D*P]``; and the final
            state ``(h_n, c_n)``, of the shapes of ``hx``.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: what does not fit.
            IndexRangeError: an edit that holds is for a step or row that this input does not have.
        """
        # Dynamo, which can't look into a native call, skips this.
        if reset is None and reset_to is None and not torch.compiler.is_compiling():
            done = calls.run_fast(self, input, hx, lengths)
            if done is not None:
                return done
        return calls.run(self, Arguments(input, hx, lengths, reset, reset_to))

    def _eval_twin(self) -> "LSTM":
        """Return a copy that shares this LSTM's weights, detached, and has no dropout; see `eval_twin`."""
        if self.weights == "int8":
            packed_int8(self)  # so that both run on the same packed weights
        twin = eval_twin(self)
        twin.dropout = 0.0
        if parametrize.is_parametrized(twin):
            # Computed once, and not by the twin's properties: torch caches those by id, which the next twin may have.
            with torch.no_grad():
                twin._parameters |= {name: each() for name, each in twin.parametrizations.items()}  # type: ignore[operator, union-attr]
        return twin

    def path(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: State | None = None,
    ) -> PathReport:
        """Say which path a call of these arguments takes, and why none of the faster ones. Nothing is computed.

        What is in force around it counts: edits, traces, autocast, gradients, `hiddenstate.backend`.

        Args:
            input: as for a call, as are the others.
            hx: initial state.
            lengths: time steps of each row.
            reset: where new sequences begin.
            reset_to: the states that they begin with.

        Returns:
            The `PathReport`: ``name``, and for each path before it the reason in ``reasons``. Print it.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: as for a call.
        """
        return calls.explain(self, Arguments(input, hx, lengths, reset, reset_to))

    def trace(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        reset_to: State | None = None,
        keep: Sequence[str] | None = None,
        steps: Index = None,
        pre: bool = False,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        limit: int | None = DEFAULT_TRACE_LIMIT,
    ) -> Trace:
        """Run over a sequence and record every gate and state. Differentiable; numbers are those of a plain call.

        Args:
            input: as for a call, as are ``hx``, ``lengths``, ``reset`` and ``reset_to``.
            hx: initial state.
            lengths: time steps of each row.
            reset: where new sequences begin.
            reset_to: the states that they begin with.
            keep: places to record, such as ``["l1.f", "l1.c"]``; all of ``i f g o c h`` of every layer and direction
                when None.
            steps: time steps to record; all when None.
            pre: also record what the gates were before their sigmoid or tanh (``l0.f_pre``).
            tokens: a word for each step, for tables and pictures: one list, or one for each row of the batch.
            limit: the most bytes that the record may take; None for no limit. See `trace_nbytes`.

        Returns:
            The `Trace`.

        Raises:
            TraceTooLargeError: the record would take more than ``limit`` bytes. Nothing was computed.
            NameUnknownError: ``keep`` names a place that this LSTM does not have.
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: as for a call.
        """
        options = TraceOptions(keep, steps, pre, tokens, limit)
        return calls.trace(self, Arguments(input, hx, lengths, reset, reset_to), options, _FORWARD)

    def trace_nbytes(
        self, T: int, N: int = 1, *, keep: Sequence[str] | None = None, steps: Index = None, pre: bool = False
    ) -> int:
        """Bytes that the record of a trace over ``T`` steps of ``N`` rows would take, told without running it.

        A gradient's own memory is not in it, nor is ``out``. A readout edit that holds now is.

        Raises:
            ArgumentError: ``T`` is below 1 or ``N`` below 0, or no memory has so many bytes.
            NameUnknownError, ArgumentTypeError, IndexRangeError: what does not fit.
        """
        return calls.trace_nbytes(self, T, N, TraceOptions(keep, steps, pre, None, None))

    def edit(self, *edits: Edit) -> Block:
        """Open a block in which the edits hold for this LSTM: its calls, traces and streams.

        They hold in the thread (or asyncio task, and those it starts meanwhile) that opened the block, are applied in
        the order given, those of an inner block after those of the outer, and are gone after it, also when an exception
        leaves it. What runs the LSTM anew after the block, as activation checkpointing does, runs it without them.

        Args:
            edits: made by `hiddenstate.zero`, `set`, `scale`, `add`, `clamp`, `patch` and the ablations.

        Raises:
            NameUnknownError: an edit's place is none of this LSTM's.
            IndexRangeError: a unit does not exist (steps and rows are checked when the LSTM is called).
            ArgumentTypeError: something else than an `Edit` was given.
        """
        return scope_edits(self, edits)

    def stream(self, batch: int = 1) -> Stream:
        """Return a `Stream`: one time step at a time, for ``batch`` sequences side by side, with the state carried.

        Raises:
            ArgumentError: the LSTM is bidirectional, or ``batch`` is below 1 or more than there is memory for.
        """
        return Stream(StreamRunner(self), self.sizes, batch, self._like, "NT" if self.batch_first else "TN")

    def quantize(self) -> "LSTM":
        """Return a copy whose weights are kept and multiplied in 8 bits, for inference.

        Each row of a matrix is rounded to whole numbers of -127..127 times a scale of its own, ``max|row| / 127``; the
        input of each step and the hidden state are rounded alike when they are multiplied. Products are summed in 32
        bits; biases, gates and states stay in float32. The matrices become buffers, int8 ``[4H, C]`` and ``[4H, H]``,
        with their scales ``[4H]`` beside them under ``..._scale``; there are no parameters. To quantize again, in
        float32, changes nothing.

        Calls with gradients, under ``torch.compile``, with a projection, of other types than float32 and on other
        devices read the weights as floats, as does a processor that gains nothing: `path` says so.

        Raises:
            ArgumentError: a weight is not finite, or no parameter of this module.
        """
        values = rounded(self) if self.weights == "float" else None
        made = copy.deepcopy(self)
        if values is not None:
            keep(made, values)
        return made

    def dequantize(self) -> "LSTM":
        """Return a copy whose weights are parameters, with the numbers that those of 8 bits stand for."""
        values = floats(self) if self.weights == "int8" else None
        made = copy.deepcopy(self)
        if values is not None:
            keep_floats(made, values)
            made.flatten_parameters()
        return made

    def to_torch(self) -> nn.LSTM:
        """Return a `torch.nn.LSTM` with the same options, values, dtype, device and mode; 8 bits as floats."""
        return rebuild(self if self.weights == "float" else self.dequantize(), TORCH_LSTM, LSTM_OPTIONS)

    def __prepare_scriptable__(self) -> nn.LSTM:
        return scriptable(self if self.weights == "float" else self.dequantize(), TORCH_LSTM, LSTM_OPTIONS)


# As it is before anyone puts another in its place.
_FORWARD = LSTM.forward
