"""Bundles of traces: the values of one LSTM call, without its weights."""

import safetensors.torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import PRE_ACTIVATIONS
from hiddenstate.studio.bundles.bundle import Bundle, Given
from hiddenstate.tracing.trace import Trace


def bundle_trace(trace: Trace, name: str = "", row: int = 0) -> Bundle:
    """Bundle one row of a trace.

    Raises:
        ArgumentError: the trace is not of an LSTM, has only some of the steps, has resets, or is empty.
        IndexRangeError: there is no such row.
        DtypeError: the memory of a record was freed.
    """
    trace._check_memory()
    row = resolve_one(row, trace.batch, "row")
    steps = trace.row_length(row)
    _refuse(trace, steps)
    tensors = {f"given.{place}": trace.values[place][:steps, row] for place in trace.names if not _before(place)}
    tensors |= {f"given.carried.{name}": value[:steps, row] for name, value in trace.carried.items()}
    tensors |= {f"given.{state}0": value[:, row] for state, value in zip("hc", trace.initial, strict=True)}
    words = trace.words(row)
    given = Given(steps, None if words is None else [str(word) for word in words[:steps]])
    return Bundle("trace", name or "trace", _config(trace), safetensors.torch.save(_plain(tensors)), given=given)


def _refuse(trace: Trace, steps: int) -> None:
    if trace.cell != "LSTM":
        raise ArgumentError(f"the studio shows only LSTMs, but this is a trace of a {trace.layers.cell.label}")
    if trace.steps != tuple(range(trace.length)):
        raise ArgumentError(
            f"only {len(trace.steps)} of {trace.length} steps were recorded; the studio shows whole runs: trace again "
            "without steps="
        )
    if trace.reset is not None and bool(trace.reset.any()):
        raise ArgumentError("the studio shows one sequence, but this trace has resets; trace the sequences one by one")
    if not steps:
        raise ArgumentError("this row of the trace has no steps to show; choose a different one with row=")


def _before(place: str) -> bool:
    """Whether a place is a pre-activation, which the page computes itself if it has weights."""
    return place.split(".")[1] in PRE_ACTIVATIONS


def _config(trace: Trace) -> dict[str, int | bool]:
    h0, c0 = trace.initial
    return {
        "input_size": 0,  # unknown
        "hidden_size": c0.shape[2],
        "num_layers": trace.num_layers,
        "bias": True,
        "bidirectional": trace.bidirectional,
        "proj_size": h0.shape[2] if trace.projected else 0,
    }


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
