"""Checks the options of a trace against a call, and builds the trace from the call's record."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.indexing import Index, ascending, count, freeze, resolve
from hiddenstate.base.messages import shorten
from hiddenstate.cells.cell import Cell
from hiddenstate.edits.edit import Edit
from hiddenstate.engine.call import Call, CallResult, RecordSpec, zero_state
from hiddenstate.engine.inputs import Form
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    HiddenStateError,
    NameUnknownError,
    ShapeError,
    TraceTooLargeError,
)
from hiddenstate.structure.names import AxisOrder, Layers, Place, from_time_first, parse_place, places
from hiddenstate.structure.sizes import Sizes
from hiddenstate.tracing.trace import Trace

DEFAULT_TRACE_LIMIT = 4 * 2**30  # bytes
Tokens = Sequence[str] | Sequence[Sequence[str]]


class TraceOptions(NamedTuple):
    """What to record of a call of the module ``name``, after ``spent`` bytes of earlier calls."""

    keep: Sequence[str] | None
    steps: Index
    pre: bool
    tokens: Tokens | None
    limit: int | None
    name: str | None = None
    spent: int = 0


@dataclass(frozen=True, eq=False)
class Recording:
    """The places and steps to record of one call, with the tokens of the steps."""

    record: RecordSpec
    words: tuple[tuple[str, ...], ...] | None


def prepare(
    asked: TraceOptions, call: Call, edits: Sequence[Edit], itemsize: int, order: Tensor | None = None
) -> Recording:
    """Check the options of a trace against a call, whose steps were read in an ``order [N, T]``."""
    T, N = call.x.shape[:2]
    wanted = check_wanted(asked, call.sizes, (T, N), edits, itemsize)
    with naming(asked.name):
        words = resolve_tokens(asked.tokens, T, N, call.lengths)
        if words is not None and order is not None:
            words = tuple(map(_reordered, words, order.tolist()))
        return Recording(wanted, words)


def _reordered(words: tuple[str, ...], order: Sequence[int]) -> tuple[str, ...]:
    """Return a row's words in the order in which its steps are read; a short list has those of its first steps read."""
    read = order[: len(words)]
    return tuple(words[k] for k in (read if len(words) == len(order) else map(sorted(read).index, read)))


def check_wanted(
    asked: TraceOptions, sizes: Sizes, shape: tuple[int, int], edits: Sequence[Edit], itemsize: int
) -> RecordSpec:
    """Return what to record of a call of shape ``(T, N)``."""
    T, N = shape
    with naming(asked.name):
        wanted = make_record_spec(sizes, T, asked.keep, asked.steps, asked.pre)
        check_limit(record_nbytes(sizes, wanted, edits, N, itemsize), asked, wanted)
        return wanted


@contextmanager
def naming(module: str | None) -> Iterator[None]:
    """Prefix the message of an error that leaves the block with a module's name."""
    try:
        yield
    except HiddenStateError as error:
        if module is not None:
            error.args = (f"{module}: {error.args[0]}", *error.args[1:])
        raise


def union(wanted: Sequence[RecordSpec]) -> RecordSpec | None:
    """Return one specification that covers all of them; None if there are none."""
    if len(wanted) < 2:
        return wanted[0] if wanted else None
    places = dict.fromkeys(place for spec in wanted for place in spec.places)
    steps = wanted[0].steps
    if any(spec.steps != steps for spec in wanted):
        steps = sorted({step for spec in wanted for step in spec.steps})
    return RecordSpec(list(places), steps)


def make_record_spec(sizes: Sizes, T: int, keep: Sequence[str] | None, steps: Index, pre: bool) -> RecordSpec:
    """Return the places and steps to record for a call over T steps."""
    kept = resolve_places(sizes.layers, keep, pre)
    times = resolve(freeze(steps, "steps"), T, "steps")
    if not times or not kept:
        raise ArgumentError(f"nothing to record: {len(kept)} places (keep=) at {count(times)} of {T} steps (steps=)")
    return RecordSpec(kept, ascending(times))


def resolve_places(layers: Layers, keep: Sequence[str] | None, pre: bool) -> list[Place]:
    """Return the places to record, without repetition."""
    if keep is None:
        kept = places(layers.num_layers, layers.bidirectional, layers.cell.quantities)
    else:
        kept = [parse_place(name, *layers) for name in check_names(keep)]
    if pre:
        kept += [Place(p.layer, p.reverse, name) for p in kept for name in layers.cell.before(p.quantity)]
    return list(dict.fromkeys(kept))


def check_names(keep: Sequence[str]) -> Sequence[str]:
    """Return the names of places; reject anything but a list of them."""
    if isinstance(keep, str):
        raise ArgumentTypeError(
            f"keep must be a list of places, got the string {shorten(keep)}: write keep=[{shorten(keep)}]"
        )
    if not isinstance(keep, Iterable) or isinstance(keep, Tensor):
        raise ArgumentTypeError(f"keep must be a list of places such as 'l0.f', got {type(keep).__name__}")
    names = list[str]()
    for name in keep:
        if not isinstance(name, str):
            raise NameUnknownError(f"unknown place {shorten(name)}: places are names such as 'l0.f'")
        names.append(name)
    return names


def record_nbytes(sizes: Sizes, wanted: RecordSpec, edits: Sequence[Edit], N: int, itemsize: int) -> int:
    """Return the size of a record in bytes, including the extra values for readout edits."""
    units = sum(sizes.units(place.quantity) for place in wanted.places)
    # With a readout edit, the cell state passed on differs from the recorded one, so it is recorded as well.
    readouts = {parse_place(edit.place, *sizes.layers)[:2] for edit in edits if edit.scope == "readout"}
    split = readouts & {place[:2] for place in wanted.places}
    return count(wanted.steps) * N * (units + len(split) * sizes.hidden_size) * itemsize


def nbytes_of_all(sizes: Sizes, x: Tensor) -> int:
    """Return the size in bytes of a record of everything, for an input ``x``."""
    return sizes.recorded_units * (x.numel() // sizes.input_size) * x.element_size()


def trace_of_all(
    sizes: Sizes,
    batch_first: bool,
    hx: Any,
    lengths: Tensor | None,
    words: tuple[tuple[str, ...], ...] | None,
    out: Tensor,
    state: Any,
    kept: tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]],
) -> Trace:
    """Build the trace of a fully recorded call, from the record of `engine.paths.fast.run`."""
    (*_, P, D), T, single = sizes.axes, out.shape[0], out.dim() == 2
    layout: AxisOrder = "T" if single else "NT" if batch_first else "TN"
    outputs = [*kept[2], out.unsqueeze(1) if single else out]  # the outputs of each layer
    values: dict[str, Tensor] = {}
    for k, (names, gates, c) in enumerate(zip(sizes.places, kept[0], kept[1], strict=True)):
        h = outputs[k // D]
        # Copied if the memory is shared with the other direction, or with the output, which belongs to the caller.
        if D > 1:
            h = h[..., k % D * P : (k % D + 1) * P].contiguous()
        elif k == sizes.num_layers - 1:
            h = h.clone()
        values.update(zip(names, (*gates.chunk(len(sizes.kind.gates), dim=-1), c, h), strict=True))
    return Trace(
        out=out.transpose(0, 1) if layout == "NT" else out,
        state=state,
        initial=_initial(sizes, hx, outputs[-1], single=single),
        values=values,
        carried={},
        steps=tuple(range(T)),
        length=T,
        num_layers=sizes.num_layers,
        bidirectional=sizes.bidirectional,
        layout=layout,
        lengths=None if lengths is None else lengths.clone(),
        tokens=words,
        cell=sizes.cell,
    )


def _initial(sizes: Sizes, hx: Any, out: Tensor, *, single: bool) -> Any:
    """Return a copy of a call's initial state, batched."""
    if hx is None:
        return sizes.kind.as_given(zero_state(out, sizes))
    copies = [part.clone() for part in sizes.kind.parts_of(hx)]
    return sizes.kind.as_given([part.unsqueeze(1) for part in copies] if single else copies)


def build_trace(
    recording: Recording,
    recorded: RecordSpec,
    call: Call,
    form: Form,
    result: CallResult,
    out: Tensor | PackedSequence,
    state: Any,
) -> Trace:
    """Build the trace of a call; ``recorded`` may contain more than the trace needs."""
    wanted = recording.record
    layers, cell = {place.layer_direction.name for place in wanted.places}, call.sizes.kind
    return Trace(
        out=out,
        state=state,
        # Copies of the arguments, so that a caller who reuses a buffer does not change the record.
        initial=cell.as_given([part.clone() for part in call.initial]),
        values={str(place): _at_steps(result.values[str(place)], wanted, recorded) for place in wanted.places},
        carried={name: _at_steps(value, wanted, recorded) for name, value in result.carried.items() if name in layers},
        steps=tuple(wanted.steps),
        length=len(call.x),
        num_layers=call.sizes.num_layers,
        bidirectional=call.sizes.bidirectional,
        layout=form.layout,
        lengths=None if call.lengths is None else call.lengths.clone(),
        reset=None if call.reset is None else call.reset.clone(),
        tokens=recording.words,
        reset_to=None if call.reset_to is None else cell.as_given([part.clone() for part in call.reset_to]),
        cell=cell.name,
    )


def wanted_of_step(asked: TraceOptions, cell: Cell, h: Tensor) -> RecordSpec:
    """Return the places to record for one step of a cell with the state ``h [N, H]``: layer 0, one time step."""
    with naming(asked.name):
        places = resolve_places(Layers(1, False, cell), asked.keep, asked.pre)
        if not places:
            raise ArgumentError("nothing to record: 0 places (keep=)")
        wanted = RecordSpec(places, [0])
        check_limit(len(places) * h.nbytes, asked, wanted)
        return wanted


def trace_of_step(
    wanted: RecordSpec, cell: Cell, seen: Mapping[str, Tensor], initial: Sequence[Tensor], layout: AxisOrder
) -> Trace:
    """Build the trace of one step of a cell."""
    states = [from_time_first(seen[name][None], layout) for name in cell.carried]
    return Trace(
        out=states[0],
        state=cell.as_given(states),
        initial=cell.as_given([part[None].clone() for part in initial]),
        values={str(place): seen[place.quantity][None] for place in wanted.places},
        carried={},
        steps=(0,),
        length=1,
        num_layers=1,
        bidirectional=False,
        layout=layout,
        cell=cell.name,
    )


def _at_steps(values: Tensor, wanted: RecordSpec, recorded: RecordSpec) -> Tensor:
    """Select the requested steps from ``[steps, N, units]``."""
    if wanted.steps == recorded.steps:
        return values
    position = {t: k for k, t in enumerate(recorded.steps)}
    return values[[position[t] for t in wanted.steps]]


def check_limit(nbytes: int, asked: TraceOptions, wanted: RecordSpec) -> None:
    """Raise TraceTooLargeError for a record over its limit."""
    if asked.limit is not None and asked.spent + nbytes > asked.limit:
        before = f" on top of {asked.spent:,} of earlier calls," if asked.spent else ""
        raise TraceTooLargeError(
            f"this trace would take {nbytes:,} bytes ({len(wanted.places)} places at {count(wanted.steps)} steps),"
            f"{before} over the limit of {asked.limit:,}: record fewer places (keep=), fewer steps (steps=), or raise "
            "limit="
        )


def resolve_tokens(tokens: Tokens | None, T: int, N: int, lengths: Tensor | None) -> tuple[tuple[str, ...], ...] | None:
    """Return the words of each row; the list of a short row may be as short as the row."""
    if tokens is None:
        return None
    if isinstance(tokens, str):
        raise ArgumentTypeError(f"tokens must be a list of words, got the string {shorten(tokens)}: split it first")
    by_row = _token_rows(tokens)
    if len(by_row) != N:
        raise ShapeError(
            f"tokens are for {len(by_row)} rows, expected {N}: one list of words for each row of the batch"
        )
    for row, words in enumerate(by_row):
        real = T if lengths is None or lengths.is_meta else int(lengths[row])
        if len(words) not in (T, real):
            raise ShapeError(f"row {row} has {real} time steps and {len(words)} tokens; give one for each step")
    return tuple(tuple(str(word) for word in words) for words in by_row)


def _token_rows(tokens: Tokens) -> list[list[str]]:
    """Return the words of each row, unchecked."""
    if isinstance(tokens, Collection) and not isinstance(tokens, Tensor):
        try:
            if all(isinstance(word, str) for word in tokens):
                return [[str(word) for word in tokens]]
            if all(isinstance(words, Collection) and not isinstance(words, (str, Tensor)) for words in tokens):
                return [list(words) for words in tokens]
        except TypeError:  # a zero-dimensional array, for example
            pass
    raise ArgumentTypeError(f"tokens must be a list of words, or such a list for each row, got {shorten(tokens)}")
