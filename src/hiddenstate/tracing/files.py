"""Saves traces to files, and loads them."""

import json
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.reading import reading
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import cell_named
from hiddenstate.errors import FileFormatError
from hiddenstate.structure.names import parse_place
from hiddenstate.tracing.record import Record

R = TypeVar("R", bound=Record)
Shape = tuple[int, ...]

KIND = "hiddenstate.trace/1"
_LONGEST = 2**40  # time steps
_PLAIN = ("steps", "length", "num_layers", "bidirectional", "layout", "tokens")


def save_trace(trace: Record, path: str | Path) -> None:
    """Write a trace to a safetensors file."""
    out = trace.out
    if isinstance(out, PackedSequence):
        out, _ = pad_packed_sequence(out, batch_first=trace.layout == "NT")
    cell = trace.layers.cell
    tensors: dict[str, Tensor | None] = {
        "out": out,
        **_named(cell, trace.state, "{}_n"),
        **_named(cell, trace.initial, "{}0"),
        "lengths": trace.lengths,
        "reset": trace.reset,
        **({} if trace.reset_to is None else _named(cell, trace.reset_to, "reset_{}")),
        **{f"values.{name}": value for name, value in trace.values.items()},
        **{f"carried.{name}": value for name, value in trace.carried.items()},
    }
    plain = json.dumps({name: getattr(trace, name) for name in (*_PLAIN, *(["cell"] if trace.cell != "LSTM" else []))})
    # safetensors orders tensors by size and name, so the order of the places is stored separately.
    write_tensors(
        path,
        KIND,
        {name: value for name, value in tensors.items() if value is not None},
        {"trace": plain, "names": json.dumps(trace.names)},
    )


def _named(cell: Cell, states: Any, form: str) -> dict[str, Tensor]:
    """Return the tensors of a state by their names in a file."""
    return dict(zip(map(form.format, cell.carried), cell.parts_of(states), strict=True))


def load_record(path: str | Path, kind: type[R]) -> R:
    """Read a file that `save_trace` wrote, as a record of class ``kind``."""
    tensors, metadata = read_tensors(path, KIND)
    with reading(path):
        try:
            record = kind(**_fields(tensors, metadata))
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: it lacks parts of a trace ({error!r})") from error
        _check(record)
    return record


def _fields(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(metadata["trace"])
    plain["steps"] = tuple(plain["steps"])
    if plain["tokens"] is not None:
        plain["tokens"] = tuple(tuple(words) for words in plain["tokens"])
    cell = cell_named(plain.get("cell", "LSTM"))

    def state(form: str) -> Any:
        return cell.as_given([tensors[form.format(name)] for name in cell.carried])

    return dict(
        out=tensors["out"],
        state=state("{}_n"),
        initial=state("{}0"),
        values={name: tensors[f"values.{name}"] for name in json.loads(metadata["names"])},
        carried={name.removeprefix("carried."): v for name, v in tensors.items() if name.startswith("carried.")},
        lengths=tensors.get("lengths"),
        reset=tensors.get("reset"),
        reset_to=state("reset_{}") if "reset_h" in tensors else None,
        **plain,
    )


def _check(record: Record) -> None:
    """Reject a record that no call could have produced. As in a call, its values may be any numbers."""
    # Only the first error is reported, because each check relies on those before it.
    for wrong in chain(_wrong_data(record), _wrong_tensors(record), _wrong_tokens(record)):
        raise FileFormatError(f"it is not a trace: {wrong}")


def _wrong_data(record: Record) -> Iterator[str]:
    initial, steps = record.layers.cell.parts_of(record.initial), [-1, *record.steps]
    h0, c0 = initial[0], initial[-1]
    if not _is_count(record.length, _LONGEST):
        yield f"length must be a whole number, at least 0, got {record.length!r:.50}"
    if type(record.bidirectional) is not bool:
        yield f"bidirectional must be true or false, got {record.bidirectional!r:.50}"
    if record.layout not in ("TN", "NT", "T"):
        yield f"layout must be TN, NT or T, got {record.layout!r:.50}"
    if h0.dim() != 3 or c0.dim() != 3 or not h0.shape[2] or not c0.shape[2]:
        names = "h0 and c0" if len(initial) > 1 else "h0"
        yield f"{names} must be [L*D, N, units], got {' and '.join(str(list(part.shape)) for part in initial)}"
    if not _is_count(record.num_layers, len(h0)) or record.num_layers * (1 + record.bidirectional) != len(h0):
        yield f"num_layers must match h0, which has shape {list(h0.shape)}, got {record.num_layers!r:.50}"
    for last, step in pairwise(steps):
        if not _is_count(step, record.length - 1) or step <= last:
            yield f"steps must increase and be below the length of {record.length}, got {step!r:.50} after {last}"
    for name in record.values:
        parse_place(name, *record.layers)
    for name in record.carried.keys() - {track.name for track in record.layers.directions}:
        yield f"there is no layer and direction {name!r:.50}"


def _wrong_tensors(record: Record) -> Iterator[str]:
    for name, value, wanted in _parts(record):
        if value.shape != wanted:
            yield f"{name} has shape {list(value.shape)}, expected {list(wanted)}"
        if name not in ("lengths", "reset") and not value.is_floating_point():
            yield "states and values must be of a floating-point type"
    if record.reset is not None and record.reset.dtype is not torch.bool:
        yield f"reset must be bool, got {record.reset.dtype}"
    lengths = record.lengths
    whole = lengths is None or not (lengths.is_floating_point() or lengths.dtype is torch.bool)
    if lengths is not None and not (whole and bool(((lengths >= 0) & (lengths <= record.length)).all())):
        yield f"lengths must be whole numbers from 0 to {record.length}"


def _wrong_tokens(record: Record) -> Iterator[str]:
    if record.tokens is not None and len(record.tokens) != record.batch:
        yield f"there are tokens for {len(record.tokens)} rows, expected {record.batch}"
    for row, words in enumerate(record.tokens or ()):
        if len(words) < record.row_length(row) or not all(isinstance(word, str) for word in words):
            yield f"tokens of row {row} must be one string for each of its steps"


def _parts(record: Record) -> Iterator[tuple[str, Tensor, Shape]]:
    """Yield every tensor and the shape that it must have."""
    cell = record.layers.cell
    initial, units = cell.parts_of(record.initial), {}
    (stacked, N, P), H = initial[0].shape, initial[-1].shape[2]
    steps, T, D = len(record.steps), record.length, 1 + record.bidirectional
    flat = record.layout == "T"
    for name, part in zip(cell.carried, initial, strict=True):
        units[name] = part.shape[2]
        yield f"{name}0", part, (stacked, N, units[name])
    for name, value in zip(cell.carried, cell.parts_of(record.state), strict=True):
        yield f"{name}_n", value, (stacked, units[name]) if flat else (stacked, N, units[name])
    assert isinstance(record.out, Tensor)  # a packed output is padded in a file
    yield "out", record.out, {"TN": (T, N, D * P), "NT": (N, T, D * P), "T": (T, D * P)}[record.layout]
    for name, value in record.values.items():
        yield name, value, (steps, N, P if name.endswith(".h") else H)
    for name, value in record.carried.items():
        yield name, value, (steps, N, H)
    if record.lengths is not None:
        yield "lengths", record.lengths, (N,)
    if record.reset is not None:
        yield "reset", record.reset, (T, N)
    borders = () if record.reset_to is None else cell.parts_of(record.reset_to)
    for name, value in zip(cell.carried, borders, strict=False):
        by_step = value.dim() == 3 and value.shape[1] == T * N
        yield f"reset_{name}", value, (stacked, T * N if by_step else N, units[name])


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
