"""What a trace asks of a call, checked against it, and the record that the call gives back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.checks import State
from hiddenstate.edit import Edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError, TraceTooLargeError
from hiddenstate.indexing import Index, freeze, resolve
from hiddenstate.inputs import Inputs
from hiddenstate.names import GATES, Place, parse_place, places
from hiddenstate.observe import Wanted
from hiddenstate.scan import Result
from hiddenstate.sizes import Sizes
from hiddenstate.trace import Trace

DEFAULT_TRACE_LIMIT = 4 * 2**30  # bytes


@dataclass(frozen=True, eq=False)
class Asked:
    """The arguments of `hiddenstate.LSTM.trace` that say what to record."""

    keep: Sequence[str] | None
    steps: Index
    pre: bool
    tokens: Sequence[str] | Sequence[Sequence[str]] | None
    limit: int | None


@dataclass(frozen=True, eq=False)
class Recording:
    """What one call is to record: places and steps, and the words that stand at the steps."""

    wanted: Wanted
    words: tuple[tuple[str, ...], ...] | None


def prepare(asked: Asked, sizes: Sizes, inputs: Inputs, edits: Sequence[Edit], itemsize: int) -> Recording:
    """Check what is asked against a call.

    Raises:
        TraceTooLargeError: the record would take too much.
        NameUnknownError, ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError: what does not fit.
    """
    T, N = inputs.x.shape[:2]
    wanted = wanted_of(sizes, T, asked.keep, asked.steps, asked.pre)
    _check_limit(nbytes_of(sizes, wanted, edits, N, itemsize), asked.limit, wanted)
    return Recording(wanted, _tokens(asked.tokens, T, N, inputs.lengths))


def wanted_of(sizes: Sizes, T: int, keep: Sequence[str] | None, steps: Index, pre: bool) -> Wanted:
    """Which places and steps to record, of a call over T steps.

    Raises:
        NameUnknownError, ArgumentError, ArgumentTypeError, IndexRangeError: what does not fit.
    """
    kept = _kept(sizes, keep)
    if pre:
        kept += [Place(p.layer, p.reverse, f"{p.quantity}_pre") for p in kept if p.quantity in GATES]
    times = resolve(freeze(steps, "steps"), T, "steps")
    if not times or not kept:
        raise ArgumentError(f"nothing to record: {len(kept)} places (keep=) at {len(times)} of {T} steps (steps=)")
    return Wanted(list(dict.fromkeys(kept)), sorted(times))


def _kept(sizes: Sizes, keep: Sequence[str] | None) -> list[Place]:
    if keep is None:
        return places(sizes.num_layers, sizes.bidirectional)
    if isinstance(keep, str):
        raise ArgumentTypeError(f"keep must be a list of places, got the string {keep!r}: write keep=[{keep!r}]")
    if not isinstance(keep, Iterable):
        raise ArgumentTypeError(f"keep must be a list of places such as 'l0.f', got {type(keep).__name__}")
    return [parse_place(name, sizes.num_layers, sizes.bidirectional) for name in keep]


def nbytes_of(sizes: Sizes, wanted: Wanted, edits: Sequence[Edit], N: int, itemsize: int) -> int:
    """Bytes that a record takes; readout edits add to it."""
    units = sum(sizes.units(place.quantity) for place in wanted.places)
    # A readout edit makes what is shown differ from the cell state handed on, which is then recorded too.
    shown = [edit.place for edit in edits if edit.scope == "readout"]
    readouts = {parse_place(place, sizes.num_layers, sizes.bidirectional)[:2] for place in shown}
    tracks = readouts & {place[:2] for place in wanted.places}
    return len(wanted.steps) * N * (units + len(tracks) * sizes.hidden_size) * itemsize


def trace_of(
    recording: Recording,
    sizes: Sizes,
    inputs: Inputs,
    result: Result,
    out: Tensor | PackedSequence,
    state: State,
) -> Trace:
    """Put together the trace of a call."""
    wanted = recording.wanted
    return Trace(
        out=out,
        state=state,
        # Copies of what the caller gave: a buffer that is used again must not change the record.
        initial=(inputs.h0.clone(), inputs.c0.clone()),
        values={str(place): result.values[str(place)] for place in wanted.places},
        carried=result.carried,
        steps=tuple(wanted.steps),
        length=len(inputs.x),
        num_layers=sizes.num_layers,
        bidirectional=sizes.bidirectional,
        layout=inputs.layout,
        lengths=None if inputs.lengths is None else inputs.lengths.clone(),
        reset=None if inputs.reset is None else inputs.reset.clone(),
        tokens=recording.words,
    )


def _check_limit(nbytes: int, limit: int | None, wanted: Wanted) -> None:
    if limit is not None and nbytes > limit:
        raise TraceTooLargeError(
            f"this trace would take {nbytes:,} bytes ({len(wanted.places)} places at {len(wanted.steps)} steps), over "
            f"the limit of {limit:,}: record fewer places (keep=), fewer steps (steps=), or raise limit="
        )


def _tokens(
    tokens: Sequence[str] | Sequence[Sequence[str]] | None, T: int, N: int, lengths: Tensor | None
) -> tuple[tuple[str, ...], ...] | None:
    """Words for each row; a row's list may end where the row does."""
    if tokens is None:
        return None
    if isinstance(tokens, str):
        raise ArgumentTypeError(f"tokens must be a list of words, got the string {tokens!r}: split it first")
    by_row = [tokens] if all(isinstance(word, str) for word in tokens) else list(tokens)
    if len(by_row) != N:
        raise ShapeError(
            f"tokens are for {len(by_row)} rows, expected {N}: one list of words for each row of the batch"
        )
    for row, words in enumerate(by_row):
        real = T if lengths is None else int(lengths[row])
        if len(words) not in (T, real):
            raise ShapeError(f"row {row} has {real} time steps and {len(words)} tokens; give one for each step")
    return tuple(tuple(str(word) for word in words) for words in by_row)
