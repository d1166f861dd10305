"""A model for the page: a head as JSON, with the names of `hiddenstate.cells`, and a safetensors file."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import safetensors.torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import ArgumentError
from hiddenstate.tracing.trace import Trace

FORMAT = "hiddenstate-studio"
VERSION = 1


@dataclass(frozen=True)
class InputSteps:
    """Data given along with a model: numbers to read, or a trace."""

    steps: int  # T
    tokens: Sequence[str] | None = None  # a word for each step, or None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model for the page."""

    kind: str  # ``tagger``, ``language-model``, ``layer`` or ``trace``
    name: str  # its name on the page
    config: Mapping[str, Any] = field(repr=False)  # sizes, and all other settings that define the model
    weights: bytes = field(repr=False)  # the bytes of a safetensors file
    # the vocabulary of a tagger or language model
    vocabulary: Mapping[str, Any] | None = field(default=None, repr=False)
    given: InputSteps | None = None  # data stored with the weights, under names that begin with ``given.``
    cell: Cell = field(default=LSTM, repr=False)  # the kind of cell shown

    def named(self, name: str) -> "Bundle":
        """Return the same bundle under a different name."""
        return replace(self, name=name)

    def head(self) -> dict[str, Any]:
        """Return everything except the weights, ready for JSON."""
        from hiddenstate.text.tokenise import PATTERN  # loaded only when needed, because it takes time

        reading = None if self.given is None else {"steps": self.given.steps, "tokens": self.given.tokens}
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "name": self.name,
            "cell": self.cell.name,
            "cells": {cell.name: {"gates": cell.gate_names, "states": cell.state_names} for cell in CELLS.values()},
            "meanings": self.cell.meanings,
            "config": self.config,
            "vocabulary": self.vocabulary,
            "tokeniser": None if self.vocabulary is None else {k: v for k, v in PATTERN.items() if k != "about"},
            "given": reading,
        }

    def head_bytes(self) -> bytes:
        """Return the head as JSON."""
        return as_json(self.head())


def as_json(value: Any) -> bytes:
    """Return data as JSON; lone surrogates, which may come from pages and command lines, are escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def saved(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as the bytes of a safetensors file."""
    return safetensors.torch.save({k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()})


def assign_ids(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """Give each bundle an id that can be used in an address: its name, with a number if the name is taken."""
    by_id: dict[str, Bundle] = {}
    for bundle in bundles:
        stem = re.sub(r"[^a-z0-9]+", "-", bundle.name.lower()).strip("-")[:60] or bundle.kind
        taken = itertools.chain([stem], (f"{stem}-{count}" for count in itertools.count(2)))
        by_id[next(key for key in taken if key not in by_id)] = bundle
    return by_id


def bundle_trace(trace: Trace, name: str = "", row: int = 0) -> Bundle:
    """Bundle one row of a trace."""
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
    reading = InputSteps(steps, None if words is None else [str(word) for word in words[:steps]])
    return Bundle("trace", name or "trace", _config(trace), saved(tensors), given=reading, cell=kind)


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
