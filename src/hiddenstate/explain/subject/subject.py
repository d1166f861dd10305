"""`Subject`: an LSTM, its input, its words and its head; runs the LSTM on many rows, and returns `Outputs`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.memory import MOST_BYTES
from hiddenstate.base.messages import listed
from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.cells.kinds import cell_named
from hiddenstate.edits.resolve import edits_in_force, share_edits
from hiddenstate.engine.call import live_steps
from hiddenstate.errors import ArgumentError, IndexRangeError, NameUnknownError, ShapeError, TraceTooLargeError
from hiddenstate.explain.subject.head import Head, needed_head, needed_probabilities
from hiddenstate.explain.subject.module_output import ModuleOutput
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.names import LayerDirection, Place, list_places, parse_place, split_path
from hiddenstate.structure.sizes import Sizes
from hiddenstate.tracing.trace import Trace

MOST_ROW_STEPS = 2**30  # takes minutes to hours, depending on the LSTM


def check_row_steps(row_steps: int, cure: str) -> None:
    """Reject a computation that would run for hours."""
    if row_steps > MOST_ROW_STEPS:
        raise ArgumentError(
            f"this would run {row_steps:,} row-steps (time steps, summed over all rows), but at most "
            f"{MOST_ROW_STEPS:,} are allowed: {cure}"
        )


def check_bytes(nbytes: int, what: str, T: int, N: int) -> None:
    """Raise TraceTooLargeError if a run would take more than 8 GiB; strides can give a small tensor any shape."""
    if nbytes > MOST_BYTES:
        raise TraceTooLargeError(
            f"{what} of T={T:,} steps and N={N:,} rows would take {nbytes:,} bytes, but at most {MOST_BYTES:,} are "
            "allowed: give fewer steps or rows"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Outputs:
    """The outputs of a run of R rows. A target takes them and returns one number per row, ``[R]``.

    Attributes:
        out: the last layer's hidden states, ``[T, R, D*P]``, time first whatever the LSTM's layout is.
        state: the final ``(h_n, c_n)``, ``[L*D, R, P]`` and ``[L*D, R, H]``; only h_n for a cell without a cell state.
        head: the linear layer that reads ``out``, or None.
        values: recorded places, ``[steps, R, units]``.
        steps: the steps of ``values``.
        first: the input step of ``out[0]``; above 0 if only a part was run.
        last_layer: the index of the last layer.
    """

    out: Tensor
    state: AnyState
    head: Head | None
    values: Mapping[str, Tensor] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    first: int = 0
    last_layer: int = 0

    @property
    def logits(self) -> Tensor:
        """The head's logits at every step, ``[T, R, K]``.

        Raises:
            ArgumentError: there is no head.
        """
        return needed_head(self.head).logits(self.out)

    @property
    def log_probabilities(self) -> Tensor:
        """The logarithm of each label's probability at every step, ``[T, R, K]``.

        Raises:
            ArgumentError: there is no head, or it gives no probabilities.
        """
        return needed_probabilities(needed_head(self.head))(self.out)

    def out_at(self, t: int) -> Tensor:
        """Return the output ``[R, D*P]`` at step t of the input."""
        return self.out[t - self.first]

    def at(self, place: Place, t: int) -> Tensor:
        """Return the values ``[R, units]`` of a place at step t of the input.

        Raises:
            NameUnknownError, IndexRangeError: the place or the step was not recorded.
        """
        name = str(place)
        if name in self.values:
            if t not in self.steps:
                raise IndexRangeError(f"step {t} of {name} was not recorded in this run, only {self.steps}")
            return self.values[name][self.steps.index(t)]
        if place.quantity != "h" or place.layer != self.last_layer:
            raise NameUnknownError(f"{name} was not recorded in this run, only {' '.join(self.values)}")
        units = (self.state[0] if isinstance(self.state, tuple) else self.state).shape[-1]
        begin = units if place.reverse else 0
        return self.out_at(t)[:, begin : begin + units]


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """The subject of an explanation, returned by `hiddenstate.explain.subject`. All tensors are time-first.

    Attributes:
        lstm: the LSTM; or a GRU or RNN, which some functions of `hiddenstate.explain` take.
        x: the input, ``[T, N, C]``.
        initial: the initial state, ``(h0 [L*D, N, P], c0 [L*D, N, H])``; only h0 if there is no cell state.
        head: the linear layer that reads its outputs, or None.
        tokens: the words or characters at each row's steps, or None.
        lengths: int64 ``[N]``, the number of steps of each row; None if all rows are full.
        reset: bool ``[T, N]``, or None.
        vectors: neutral inputs ``[C]`` by name: ``mean``, and ``unk`` if the model has an unknown word; each is
            computed on first use.
        baseline: the name of the default baseline: one of ``vectors``, or ``zero``.
        foretells: whether the head predicts the token after a step, as in a language model, instead of labelling the
            step itself.
        path: the LSTM's path in its model; empty if the LSTM itself is the model.
        output: for a module with a head: how the module's own output follows from the head's.
        no_head: for a module whose linear layers are not its head: the reason.
        sizes: the sizes of the LSTM.
    """

    lstm: Recurrent[Any, Any]
    x: Tensor
    initial: Any
    head: Head | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    lengths: Tensor | None = None
    reset: Tensor | None = None
    vectors: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict)
    baseline: str = "zero"
    foretells: bool = False
    path: str = ""
    output: ModuleOutput | None = None
    no_head: str = ""
    sizes: Sizes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", self.lstm.sizes)

    def __repr__(self) -> str:
        head = "" if self.head is None else f", {len(self.head.labels)} labels"
        if self.output is not None and self.output.function is None:
            head += " of a head whose outputs the module does not return"
        reason = f", no head: {self.no_head}" if self.no_head else ""
        return f"Subject({self.lstm}, {self.T} steps, {self.N} rows{head}{reason})"

    @property
    def has_logits(self) -> bool:
        """Whether the head's outputs are known to feed a softmax or sigmoid."""
        feeds = self.output is not None and bool(self.output.function)
        return feeds or (self.head is not None and self.head.log_probabilities is not None)

    @property
    def T(self) -> int:  # noqa: N802
        """Time steps."""
        return self.x.shape[0]

    @property
    def N(self) -> int:  # noqa: N802
        """Batch rows."""
        return self.x.shape[1]

    @property
    def numbers_per_step(self) -> int:
        """About how many numbers a run computes for each row-step, which bounds the rows that are run together."""
        return self.sizes.input_size + 6 * len(self.sizes.layer_directions) * self.sizes.hidden_size

    def words(self, row: int = 0) -> tuple[str, ...]:
        """Return the word at each step of a row: its tokens, or the step numbers."""
        if self.tokens is not None:
            return self.tokens[row]
        return tuple(str(t) for t in range(self.row_length(row)))

    def row_length(self, row: int = 0) -> int:
        """Return the number of real time steps in one row."""
        return self.T if self.lengths is None else int(self.lengths[row])

    def step_of(self, word: int | str, row: int = 0) -> int:
        """Return the step of a word: a number (negative ones count from the end), or a token that occurs once.

        Raises:
            NameUnknownError: the token does not occur, or more than once.
            IndexRangeError: there is no such step.
        """
        if not isinstance(word, str):
            return resolve_one(word, self.row_length(row), "word")
        steps = [t for t, token in enumerate(self.words(row)) if token == word]
        if len(steps) != 1:
            places = "stands nowhere" if not steps else f"occurs at steps {', '.join(map(str, steps))}"
            raise NameUnknownError(f"{word!r} {places} in {' '.join(self.words(row))!r}; give the number of its step")
        return steps[0]

    def place(self, name: str) -> Place:
        """Return the place with a name, which may start with the LSTM's path; refuse other names and paths."""
        path, within = split_path(name)
        if path and path != self.path:
            listed = list_places({self.path: self.sizes.layers})
            raise NameUnknownError(f"no place {name!r} in this LSTM: its places are {listed}")
        return parse_place(within, *self.sizes.layers)

    def only(self, row: int = 0) -> "Subject":
        """Return the subject of one row, cut to its length."""
        row = resolve_one(row, self.N, "row")
        T, chosen = self.row_length(row), slice(row, row + 1)
        if T < 1:
            raise ShapeError(f"row {row} has no steps, so there is nothing to explain; choose another row")
        if self.N == 1 and self.lengths is None:
            return self
        return replace(
            self,
            x=self.x[:T, chosen],
            initial=map_state(lambda part: part[:, chosen], self.initial),
            tokens=None if self.tokens is None else (self.tokens[row],),
            lengths=None,
            reset=None if self.reset is None else self.reset[:T, chosen],
            output=None if self.output is None else replace(self.output, steps=self.output.steps[:T, chosen]),
        )

    def run(
        self,
        x: Tensor | None = None,
        state: Any = None,
        *,
        keep: Sequence[str] = (),
        steps: Sequence[int] = (),
        first: int = 0,
    ) -> Outputs:
        """Run the LSTM, without dropout. Gradients are recorded if torch's gradient mode is on.

        Args:
            x: ``[T', R, C]``, a different input with any number of rows; by default the subject's own.
            state: the initial state of the rows, ``[L*D, R, ...]``; by default the subject's own.
            keep: places to record, such as ``["l0.c"]``.
            steps: the input steps to record; all if empty.
            first: the step of the subject's input that ``x[0]`` replaces.

        Raises:
            ArgumentError: an active edit is for single rows, and this run has different rows.
        """
        x = self.x if x is None else x
        R = x.shape[1]
        state = self.rows_of(R) if state is None else state
        call = self._call(x, state, first)
        last = self.sizes.num_layers - 1
        with self._evaluating() as lstm:
            if not keep:
                out, end = lstm(*call[0], **call[1])
                return Outputs(self._time_first(out), end, self.head, first=first, last_layer=last)
            inside = [t - first for t in steps] or None
            trace = lstm.trace(*call[0], **call[1], keep=list(keep), steps=inside, limit=None)
        out = trace.out
        assert isinstance(out, Tensor)
        recorded = tuple(t + first for t in trace.steps)
        return Outputs(self._time_first(out), trace.state, self.head, trace.values, recorded, first, last)

    def trace(self, *, pre: bool = False) -> Trace:
        """Run the LSTM on the subject's own input, without dropout, and record every gate and state.

        Raises:
            TraceTooLargeError: the record would take more than 8 GiB.
        """
        nbytes = self.lstm.trace_nbytes(max(self.T, 1), self.N, pre=pre)
        check_bytes(nbytes, "a record of all gates and states", self.T, self.N)
        (x, state), options = self._call(self.x, self.initial, 0)
        with self._evaluating() as lstm:
            return lstm.trace(x, state, **options, pre=pre, limit=None)

    def rows_of(self, R: int) -> Any:
        """Return the initial state for R rows: the subject's own, or its only row R times."""
        if R == self.N:
            return self.initial
        if self.N != 1:
            raise ShapeError(f"{R} rows need a subject of {R} rows or of one, but this one has {self.N}: use only(row)")
        return repeated_state(self.initial, R)

    @contextmanager
    def _evaluating(self) -> Iterator[Recurrent[Any, Any]]:
        """Yield a twin of the LSTM with its edits, without dropout or gradients of the weights."""
        twin = self.lstm._eval_twin()
        # Training mode saves the values that the gradient with respect to x needs, which avoids a second forward run.
        twin.training = torch.is_grad_enabled()
        with share_edits(self.lstm, twin):
            yield twin

    def _call(self, x: Tensor, state: Any, first: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the LSTM's call, in its own layout."""
        R, stop = x.shape[1], first + len(x)
        if R != self.N and any(edit.row is not None for edit in edits_in_force(self.lstm)):
            raise ArgumentError(
                f"an active edit selects rows (row=), but this runs {R} variants of a single row: write the edit "
                "without row="
            )
        options: dict[str, Any] = {}
        if self.lengths is not None:
            options["lengths"] = self.lengths if len(self.lengths) == R else self.lengths.expand(R)
        if self.reset is not None:
            reset = self.reset[first:stop].expand(-1, R)
            options["reset"] = reset.transpose(0, 1) if self.lstm.batch_first else reset
        return (x.transpose(0, 1) if self.lstm.batch_first else x, state), options

    def _time_first(self, out: Tensor) -> Tensor:
        return out.transpose(0, 1) if self.lstm.batch_first else out


def repeated_state(state: Any, R: int) -> Any:
    """Return the state of one row for R rows."""
    return map_state(lambda part: part.expand(-1, R, -1).contiguous(), state)


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
    def numbers_per_step(self) -> int:
        """About how many numbers a run computes for each row-step."""
        return self.x.shape[2] + 8 * self.hidden

    def only(self, row: int) -> "WholeModule":
        """Return the module with one row of its input."""
        row = resolve_one(row, self.x.shape[1], "row")
        chosen = slice(row, row + 1)
        return replace(self, x=self.x[:, chosen], initial=map_state(lambda part: part[:, chosen], self.initial))

    def run(
        self, x: Tensor, state: Any = None, *, keep: Sequence[str] = (), steps: Sequence[int] = (), first: int = 0
    ) -> ModuleOutputs:
        """Run rows ``x [T, R, C]`` from states ``[L, R, H]``; without a state, from the state of the only row."""
        del keep, steps, first  # for targets inside a layer, which a whole module has not
        result = self.forecasts(x, repeated_state(self.initial, x.shape[1]) if state is None else state)
        out = result if result.dim() == 3 else result[None]
        return ModuleOutputs(out, (), None, result=self.raw(result))  # type: ignore[arg-type]  # no state is kept


Explained = Subject | WholeModule  # what runs many variants of one row


def real_steps(subject: Subject) -> Tensor:
    """Return bool ``[T, N]`` on the CPU: True before each row's end."""
    lengths = torch.full((subject.N,), subject.T, device="cpu") if subject.lengths is None else subject.lengths.cpu()
    return live_steps(lengths, subject.T)


def check_cell(subject: Subject, function: str, cells: Sequence[str], why: str) -> None:
    """Raise ArgumentError, with the reason, if a function does not support a subject's kind of cell."""
    kind = subject.sizes.kind
    if kind.name not in cells:
        known = dict.fromkeys(cell_named(name).label for name in cells)
        names = cells if kind.label in known else known  # some functions support only one nonlinearity of plain RNNs
        got = kind.name if kind.label in known else kind.label
        raise ArgumentError(f"{function} supports only {listed(names)}, got {got}: {why}")


@dataclass(frozen=True, eq=False)
class GateWeights:
    """One layer and direction in float64, for G gates; biases are zero if there are none."""

    W: Tensor  # [G*H, C]
    U: Tensor  # [G*H, P]
    b_ih: Tensor  # [G*H]
    b_hh: Tensor  # [G*H]
    projection: Tensor | None  # [P, H]

    @property
    def b(self) -> Tensor:
        """The sum of both biases."""
        return self.b_ih + self.b_hh


def weights_of_gates(subject: Subject, layer: int, reverse: bool) -> GateWeights:
    """Return the weights of one layer and direction, gates stacked in the cell's order."""
    number = subject.sizes.layer_directions.index(LayerDirection(layer, reverse))
    stacked = subject.lstm._eval_twin()._weights()[number]
    W, U, b_ih, b_hh, hr = (None if value is None else value.detach().cpu().double() for value in stacked)
    assert W is not None
    assert U is not None
    none = W.new_zeros(len(W))
    return GateWeights(W, U, none if b_ih is None else b_ih, none if b_hh is None else b_hh, hr)
