"""The layer: `LSTM`, a drop-in for torch's with its inside open."""

import numbers
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _hooks
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base import scoped
from hiddenstate.base.indexing import Index, resolve
from hiddenstate.base.scoped import Held, holding
from hiddenstate.base.validation import State
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import Span, bind
from hiddenstate.engine import flat_weights, layers, native
from hiddenstate.engine.dispatch import Job, chosen_backends, run, uses_reference
from hiddenstate.engine.inputs import Inputs, Lengths, take
from hiddenstate.engine.observer import Wanted
from hiddenstate.engine.reference import Weights
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
)
from hiddenstate.nn.stream import Stream
from hiddenstate.nn.stream_runner import Advance, Hindrances, Packed
from hiddenstate.nn.torch_modules import FX_LEAF, LSTM_OPTIONS, rebuild
from hiddenstate.structure import names
from hiddenstate.structure.names import parse_place
from hiddenstate.structure.parameters import draw, parameter_names, parameter_shapes
from hiddenstate.structure.sizes import Sizes, flag
from hiddenstate.structure.structure import Structure, structure_of
from hiddenstate.tracing.record_spec import (
    DEFAULT_TRACE_LIMIT,
    Asked,
    Tokens,
    nbytes_of,
    nbytes_of_all,
    prepare,
    together,
    trace_of,
    trace_of_all,
    wanted_of,
)
from hiddenstate.tracing.recorders import OneCall, Traceable, requested, requesting
from hiddenstate.tracing.trace import Trace

# The edits that hold now in this thread (or asyncio task), each with the LSTM that it is for. Nothing is kept in
# the module, so nothing can be left behind in it, and other threads never see these.
_edits: Held["_Holding"] = ContextVar("hiddenstate_edits", default=())


class LSTM(Traceable):
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

    Raises:
        ArgumentError: a size or the dropout is out of range (a `ValueError`).
        ArgumentTypeError: an argument has a wrong type (a `TypeError`).

    >>> lstm = LSTM(input_size=4, hidden_size=3)
    >>> out, (h_n, c_n) = lstm(torch.zeros(5, 2, 4))
    >>> out.shape, h_n.shape, c_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]), torch.Size([1, 2, 3]))
    """

    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.__module__ = FX_LEAF
        self.sizes = Sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size)
        self.batch_first = flag("batch_first", batch_first)
        self.dropout = _checked_dropout(dropout, self.num_layers)
        for layer, reverse in self.sizes.tracks:
            for stem, shape in parameter_shapes(self.sizes, layer).items():
                parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(stem + names.suffix(layer, reverse), parameter)
        self._parameter_names = parameter_names(self.sizes)
        self.reset_parameters()
        self.flatten_parameters()

    @property
    def input_size(self) -> int:
        """Features of the input, C."""
        return self.sizes.input_size

    @property
    def hidden_size(self) -> int:
        """Units, H."""
        return self.sizes.hidden_size

    @property
    def num_layers(self) -> int:
        """Layers, L."""
        return self.sizes.num_layers

    @property
    def bias(self) -> bool:
        """Whether there are bias vectors."""
        return self.sizes.bias

    @property
    def bidirectional(self) -> bool:
        """Whether each layer also reads the sequence in reverse."""
        return self.sizes.bidirectional

    @property
    def proj_size(self) -> int:
        """Size P of the projection of the hidden state, or 0."""
        return self.sizes.proj_size

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), as torch does and in its order."""
        draw(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Lay the weights out in one piece of memory, as cuDNN reads them. On other devices nothing is done.

        This is done when the LSTM is made and when it is moved or converted. To do it again is of use after parameters
        were replaced (by a deep copy, or ``load_state_dict(..., assign=True)``): else torch copies them together at
        each call, and warns.
        """
        if not parametrize.is_parametrized(self):  # what is computed anew at each call stays nowhere
            named = [name for names in self._parameter_names for name in names if name is not None]
            flat_weights.flatten([getattr(self, name, None) for name in named], self.sizes, self.batch_first)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LSTM":
        # What moves and converts a module, and so scatters its weights.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Parameters of each layer and direction, as `torch.nn.LSTM.all_weights` lists them."""
        return [[w for w in weights if w is not None] for weights in self._weights()]

    def extra_repr(self) -> str:
        """Arguments that differ from their defaults, as torch prints them."""
        options = {
            "proj_size": (self.proj_size, 0),
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0),
            "bidirectional": (self.bidirectional, False),
        }
        said = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *said])

    @overload
    def forward(
        self, input: Tensor, hx: State | None = None, *, lengths: Lengths = None, reset: Tensor | None = None
    ) -> tuple[Tensor, State]: ...

    @overload
    def forward(
        self,
        input: PackedSequence,
        hx: State | None = None,
        *,
        lengths: None = None,
        reset: Tensor | None = None,
    ) -> tuple[PackedSequence, State]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 (torch's name for it)
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
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

        Returns:
            ``out``: the last layer's hidden state at each step, laid out as the input, ``[T, N, D*P]``; and the final
            state ``(h_n, c_n)``, of the shapes of ``hx``.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError: what does not fit.
            IndexRangeError: an edit that holds is for a step or row that this input does not have.
        """
        if reset is None:
            done = self._run_plain(input, hx, lengths)
            if done is not None:
                return done
        # What a block holds is not for torch.compile, which would compile it in.
        run = torch.compiler.disable(self._run) if torch.compiler.is_compiling() and scoped.anything else self._run
        return run(input, hx, lengths, reset)

    def _run_plain(self, x: object, hx: object, lengths: object) -> tuple[Tensor, State] | None:
        """The shortest way, where nothing is recorded, edited or reset; None where there is none."""
        if not self._is_plain():
            return None
        done = self._run_natively(x, hx, lengths)
        if done is None or not self.batch_first or done[0].dim() == 2:
            return done  # type: ignore[no-any-return]
        return done[0].transpose(0, 1), done[1]

    def _run_natively(self, x: object, hx: object, lengths: object, *, keep: bool = False) -> Any:
        """Run as `layers.run_plain`, differentiably where gradients are on."""
        parts = self._parameters, self._parameter_names, self.sizes, self.batch_first
        if torch.is_grad_enabled():
            return layers.run_differentiable(x, hx, lengths, *parts, training=self.training, keep=keep)
        return layers.run_plain(x, hx, lengths, *parts, keep=keep)

    def _is_plain(self) -> bool:
        """Whether there is no dropout in a call now, and no block open that might change it."""
        return not (torch.compiler.is_compiling() or scoped.anything or (self.training and self.dropout))

    def _run(
        self,
        given: Tensor | PackedSequence,
        hx: State | None,
        lengths: Lengths,
        reset: Tensor | None,
    ) -> tuple[Tensor | PackedSequence, State]:
        weights = self._weights()
        inputs = self._take(given, hx, lengths, reset, weights[0].ih)
        requests, edits = requested(self), self._edits_held()
        itemsize = weights[0].ih.element_size()
        recordings = [prepare(wish.asked, self.sizes, inputs, edits, itemsize) for wish in requests]
        wanted = together([recording.wanted for recording in recordings])
        result = run(self._job(inputs, weights, edits, wanted))
        out, state = inputs.give_out(result.out), inputs.give_state(result.h_n, result.c_n)
        if wanted is not None:
            for wish, recording in zip(requests, recordings, strict=True):
                wish.request.take(self, trace_of(recording, wanted, self.sizes, inputs, result, out, state))
        return out, state

    def trace(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: State | None = None,
        *,
        lengths: Lengths = None,
        reset: Tensor | None = None,
        keep: Sequence[str] | None = None,
        steps: Index = None,
        pre: bool = False,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        limit: int | None = DEFAULT_TRACE_LIMIT,
    ) -> Trace:
        """Run over a sequence and record every gate and state. Differentiable; numbers are those of a plain call.

        Args:
            input: as for a call, as are ``hx``, ``lengths`` and ``reset``.
            hx: initial state.
            lengths: time steps of each row.
            reset: where new sequences begin.
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
        if keep is None and steps is None and reset is None and not pre:
            found = self._trace_plain(input, hx, lengths, tokens, limit)
            if found is not None:
                return found
        request = OneCall(self, Asked(keep, steps, pre, tokens, limit))
        with requesting(request):
            # A call like any other, so that hooks (pruning or weight norm, say) do here what they do there.
            out, state = self(input, hx, lengths=lengths, reset=reset)
        trace = request.trace
        assert trace is not None
        hooked = out is not trace.out or state is not trace.state
        return replace(trace, out=out, state=state) if hooked else trace

    def _trace_plain(self, x: object, hx: Any, lengths: Any, tokens: Tokens | None, limit: int | None) -> Trace | None:
        """The record of everything in such a call, likewise the shortest way."""
        if type(x) is not Tensor or not (self._is_plain() and self._is_called_plainly()):
            return None
        if limit is not None and nbytes_of_all(self.sizes, x) > limit:
            return None
        done = self._run_natively(x, hx, lengths, keep=True)
        return None if done is None else trace_of_all(self.sizes, self.batch_first, hx, lengths, tokens, *done)

    def _is_called_plainly(self) -> bool:
        """Whether to call this module is to run its `forward`, and that is ours."""
        kind, run = type(self), self.forward
        called = getattr(run, "__func__", None), getattr(run, "__self__", None), kind.__call__, kind._call_impl
        return called == (_FORWARD, self, *_CALLS) and not (
            self._forward_pre_hooks
            or self._forward_hooks
            or self._backward_pre_hooks
            or self._backward_hooks
            or _hooks._has_any_global_hook()
            or self._compiled_call_impl
        )

    def _traced_layers(self) -> tuple[int, bool]:
        return self.num_layers, self.bidirectional

    def trace_nbytes(
        self, T: int, N: int = 1, *, keep: Sequence[str] | None = None, steps: Index = None, pre: bool = False
    ) -> int:
        """Bytes that the record of a trace over ``T`` steps of ``N`` rows would take, told without running it.

        A gradient's own memory is not in it, nor is ``out``. A readout edit that holds now is.
        """
        wanted = wanted_of(self.sizes, T, keep, steps, pre)
        return nbytes_of(self.sizes, wanted, self._edits_held(), N, self._like().element_size())

    def edit(self, *edits: Edit) -> AbstractContextManager[None]:
        """Open a block in which the edits hold for this LSTM: its calls, traces and streams.

        They hold in the thread (or asyncio task, and those it starts meanwhile) that opened the block, are applied in
        the order given, those of an inner block after those of the outer, and are gone after it, also when an exception
        leaves it. What runs the LSTM anew after the block, as activation checkpointing does, runs it without them.

        Args:
            edits: made by `hiddenstate.zero`, `set`, `scale`, `add` and `patch`.

        Raises:
            NameUnknownError: an edit's place is none of this LSTM's.
            IndexRangeError: a unit does not exist (steps and rows are checked when the LSTM is called).
            ArgumentTypeError: something else than an `Edit` was given.
        """
        for edit in edits:
            if not isinstance(edit, Edit):
                hint = "; write edit(*edits)" if isinstance(edit, (list, tuple)) else ""
                raise ArgumentTypeError(
                    "edit() takes edits made by hs.zero, hs.set, hs.scale, hs.add or hs.patch, got "
                    f"{type(edit).__name__}{hint}"
                )
            place = parse_place(edit.place, self.num_layers, self.bidirectional)
            resolve(edit.unit, self.sizes.units(place.quantity), "unit")
        return holding(_edits, [_Holding(self, edit) for edit in edits])

    def stream(self, batch: int = 1) -> Stream:
        """Return a `Stream`: one time step at a time, for ``batch`` sequences side by side, with the state carried.

        Raises:
            ArgumentError: the LSTM is bidirectional, or ``batch`` is below 1.
        """
        packed = Packed(self, self.sizes, self._weights)
        advance = Advance(packed, self._is_hindered, self._hindrances, self._advance)
        return Stream(advance, self.sizes, batch, self._like, "NT" if self.batch_first else "TN")

    def structure(self) -> Structure:
        """Every weight by gate, layer and direction: shape, place in the stacked matrix, equation and count."""
        return structure_of(self.sizes)

    def weight(self, name: str) -> Tensor:
        """Return a weight by name, as a view into its stacked parameter: ``"l0.W_if"``, ``"l1r.b_ho"``, ``"l0.W_hr"``.

        Raises:
            NameUnknownError: this LSTM has no such weight.
        """
        entry = self.structure()[name]
        return self._parameter(entry.parameter)[entry.rows]

    def to_torch(self) -> nn.LSTM:
        """Return a `torch.nn.LSTM` with the same options, values, dtype, device and mode."""
        return rebuild(self, nn.LSTM, LSTM_OPTIONS)

    def _like(self) -> Tensor:
        """Return a weight, whose type and device everything else must have."""
        return self._parameter("weight_ih" + names.suffix(0, reverse=False))

    def _parameter(self, name: str) -> Tensor:
        # Through getattr, so that what a parametrization computes is found where the parameter was.
        found: Tensor = getattr(self, name)
        return found

    def _weights(self) -> list[Weights]:
        # Not by _make, which older versions of Dynamo do not trace.
        return [Weights(*map(self._found, names)) for names in self._parameter_names]  # type: ignore[arg-type]

    def _found(self, name: str | None) -> Tensor | None:
        if name is None:
            return None
        found = self._parameters.get(name)
        return self._parameter(name) if found is None else found

    def _edits_held(self) -> list[Edit]:
        return [entry.edit for entry in _edits.get() if entry.lstm is self] if scoped.anything else []

    def _take(
        self,
        given: Tensor | PackedSequence,
        hx: State | None,
        lengths: Lengths,
        reset: Tensor | None,
        like: Tensor,
    ) -> Inputs:
        return take(given, hx, lengths, reset, sizes=self.sizes, batch_first=self.batch_first, like=like)

    def _job(self, inputs: Inputs, weights: Sequence[Weights], edits: Sequence[Edit], wanted: Wanted | None) -> Job:
        T, N = inputs.x.shape[:2]
        return Job(
            sizes=self.sizes,
            weights=weights,
            x=inputs.x,
            h0=inputs.h0,
            c0=inputs.c0,
            dropout=self.dropout if self.training else 0.0,
            training=self.training,
            lengths=inputs.lengths,
            reset=inputs.reset,
            edits=bind(edits, self.sizes, N, Span(T)) if edits else (),
            wanted=wanted,
        )

    def _is_hindered(self) -> bool:
        """Whether something stands between a stream's step and the engine: a hook, an edit, another path."""
        return bool(
            self._forward_pre_hooks
            or self._forward_hooks
            or self._edits_held()
            or uses_reference()
            or native.transformed()
        )

    def _hindrances(self) -> Hindrances:
        return Hindrances([self._forward_pre_hooks, self._forward_hooks], [_edits, chosen_backends])

    def _advance(self, x: Tensor, state: State, start: int) -> tuple[Tensor, State]:
        """Read a chunk of a stream whose first step is the stream's step ``start``."""
        if self._forward_pre_hooks or self._forward_hooks:
            raise ArgumentError(
                "this LSTM has forward hooks (pruning and the older weight norm add such), which a stream would pass "
                "over: make pruning or weight norm permanent, or remove the hooks"
            )
        edits = bind(self._edits_held(), self.sizes, x.shape[1], Span(len(x), start, open_end=True))
        result = run(Job(self.sizes, self._weights(), x, *state, edits=edits))
        return result.out, (result.h_n, result.c_n)


# As they are before anyone puts others in their place.
_FORWARD, _CALLS = LSTM.forward, (nn.Module.__call__, nn.Module._call_impl)


@dataclass(frozen=True, eq=False)
class _Holding:
    """An edit that holds now, and the LSTM that it is for."""

    lstm: LSTM
    edit: Edit


def _checked_dropout(dropout: float, num_layers: int) -> float:
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Real) or not 0 <= dropout <= 1:
        raise ArgumentError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, got "
            f"{dropout!r}"
        )
    if dropout and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=3,
        )
    return float(dropout)
