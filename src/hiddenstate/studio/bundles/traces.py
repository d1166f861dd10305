"""Bundles of traces: the values of one call, without its weights."""

from hiddenstate.base.indexing import resolve_one
from hiddenstate.errors import ArgumentError
from hiddenstate.studio.bundles.bundle import Bundle, Given, saved
from hiddenstate.tracing.trace import Trace


def bundle_trace(trace: Trace, name: str = "", row: int = 0) -> Bundle:
    """Bundle one row of a trace.

    Raises:
        ArgumentError: the trace has only some of the steps, has resets, or is empty.
        IndexRangeError: there is no such row.
        DtypeError: the memory of a record was freed.
    """
    trace._check_memory()
    row = resolve_one(row, trace.batch, "row")
    steps = trace.row_length(row)
    _refuse(trace, steps)
    kind = trace.layers.cell
    # Pre-activations and similar values need weights.
    shown = [place for place in trace.names if place.split(".")[1] in kind.quantities]
    tensors = {f"given.{place}": trace.values[place][:steps, row] for place in shown}
    tensors |= {f"given.carried.{name}": value[:steps, row] for name, value in trace.carried.items()}
    states = zip(kind.carried, kind.parts_of(trace.initial), strict=True)
    tensors |= {f"given.{state}0": value[:, row] for state, value in states}
    words = trace.words(row)
    given = Given(steps, None if words is None else [str(word) for word in words[:steps]])
    return Bundle("trace", name or "trace", _config(trace), saved(tensors), given=given, cell=kind)


def _refuse(trace: Trace, steps: int) -> None:
    if trace.steps != tuple(range(trace.length)):
        raise ArgumentError(
            f"only {len(trace.steps)} of {trace.length} steps were recorded; the studio shows whole runs: trace again "
            "without steps="
        )
    if trace.reset is not None and bool(trace.reset.any()):
        raise ArgumentError("the studio shows one sequence, but this trace has resets; trace the sequences one by one")
    if not steps:
        raise ArgumentError("this row of the trace has no steps to show; choose a different one with row=")


def _config(trace: Trace) -> dict[str, int | bool]:
    states = trace.layers.cell.parts_of(trace.initial)
    return {
        "input_size": 0,  # unknown
        "hidden_size": states[-1].shape[2],
        "num_layers": trace.num_layers,
        "bias": True,
        "bidirectional": trace.bidirectional,
        "proj_size": states[0].shape[2] if trace.projected else 0,
    }
