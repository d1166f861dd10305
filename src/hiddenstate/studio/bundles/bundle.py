"""The data that the page needs to run a model: a head as JSON, and weights as a safetensors file.

The head describes the model with the names of `hiddenstate.cells`, so the page does not define a gate order itself.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import safetensors.torch
from torch import Tensor

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.cells.lstm import LSTM

FORMAT = "hiddenstate-studio"
VERSION = 1


@dataclass(frozen=True)
class Given:
    """Data given along with a model: numbers to read, or a trace.

    Attributes:
        steps: T.
        tokens: a word for each step, or None.
    """

    steps: int
    tokens: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model for the page.

    Attributes:
        kind: ``tagger``, ``language-model``, ``layer`` or ``trace``.
        name: its name on the page.
        config: sizes, and all other settings that define the model.
        weights: the bytes of a safetensors file.
        vocabulary: the vocabulary of a tagger or language model.
        card: Markdown.
        given: data stored with the weights, under names that begin with ``given.``.
        cell: the kind of cell shown.
    """

    kind: str
    name: str
    config: Mapping[str, Any] = field(repr=False)
    weights: bytes = field(repr=False)
    vocabulary: Mapping[str, Any] | None = field(default=None, repr=False)
    card: str = field(default="", repr=False)
    given: Given | None = None
    cell: Cell = field(default=LSTM, repr=False)

    def named(self, name: str) -> "Bundle":
        """Return the same bundle under a different name."""
        return replace(self, name=name)

    def head(self) -> dict[str, Any]:
        """Return everything except the weights, ready for JSON."""
        from hiddenstate.text.tokenise import PATTERN  # loaded only when needed, because it takes time

        given = None if self.given is None else {"steps": self.given.steps, "tokens": self.given.tokens}
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
            "tokeniser": PATTERN if self.vocabulary is not None else None,
            "card": self.card,
            "given": given,
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
    found: dict[str, Bundle] = {}
    for bundle in bundles:
        stem = re.sub(r"[^a-z0-9]+", "-", bundle.name.lower()).strip("-")[:60] or bundle.kind
        taken = itertools.chain([stem], (f"{stem}-{count}" for count in itertools.count(2)))
        found[next(key for key in taken if key not in found)] = bundle
    return found
