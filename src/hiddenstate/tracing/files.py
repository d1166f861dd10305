"""Traces in files."""

import json
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.errors import FileFormatError
from hiddenstate.tracing.record import Record

R = TypeVar("R", bound=Record)

KIND = "hiddenstate.trace/1"
_PLAIN = ("steps", "length", "num_layers", "bidirectional", "layout", "tokens")


def save_trace(trace: Record, path: str | Path) -> None:
    """Write a trace to a safetensors file."""
    out = trace.out
    if isinstance(out, PackedSequence):
        out, _ = pad_packed_sequence(out, batch_first=trace.layout == "NT")
    tensors: dict[str, Tensor | None] = {
        "out": out,
        "h_n": trace.state[0],
        "c_n": trace.state[1],
        "h0": trace.initial[0],
        "c0": trace.initial[1],
        "lengths": trace.lengths,
        "reset": trace.reset,
        **{f"values.{name}": value for name, value in trace.values.items()},
        **{f"carried.{name}": value for name, value in trace.carried.items()},
    }
    plain = json.dumps({name: getattr(trace, name) for name in _PLAIN})
    # safetensors orders tensors by size and name; the order of the places is kept here.
    write_tensors(
        path,
        KIND,
        {name: value for name, value in tensors.items() if value is not None},
        {"trace": plain, "names": json.dumps(trace.names)},
    )


def load_record(path: str | Path, kind: type[R]) -> R:
    """Read what `save_trace` wrote, as a record of a kind."""
    tensors, metadata = read_tensors(path, KIND)
    try:
        return kind(**_fields(tensors, metadata))
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} is damaged: it lacks parts of a trace ({error!r})") from error


def _fields(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(metadata["trace"])
    plain["steps"] = tuple(plain["steps"])
    if plain["tokens"] is not None:
        plain["tokens"] = tuple(tuple(words) for words in plain["tokens"])
    return dict(
        out=tensors["out"],
        state=(tensors["h_n"], tensors["c_n"]),
        initial=(tensors["h0"], tensors["c0"]),
        values={name: tensors[f"values.{name}"] for name in json.loads(metadata["names"])},
        carried={name.removeprefix("carried."): v for name, v in tensors.items() if name.startswith("carried.")},
        lengths=tensors.get("lengths"),
        reset=tensors.get("reset"),
        **plain,
    )
