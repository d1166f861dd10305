"""Bundles for the browser, made in memory: what a model is (JSON), and its numbers (safetensors)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.tagger import Tagger
from hiddenstate.names import GATES, MEANINGS, STATES
from hiddenstate.text.tokenise import PATTERN


@dataclass(frozen=True)
class Bundle:
    """What the browser loads a model from."""

    head: dict[str, Any]
    weights: bytes


def bundle_of(model: Tagger | LanguageModel | hs.LSTM, given: Mapping[str, Tensor] | None = None) -> Bundle:
    """Describe a model, and what is handed over beside it."""
    config, vocabulary = _sizes(model) if isinstance(model, hs.LSTM) else model.to_data()
    kind = "lstm" if isinstance(model, hs.LSTM) else model.kind
    return bundle(kind, config, vocabulary, {**model.state_dict(), **_named(given)}, _steps(given))


def trace_bundle(trace: hs.Trace, proj_size: int = 0) -> Bundle:
    """Describe the first row of a trace."""
    P, H = trace.initial[0].shape[2], trace.initial[1].shape[2]
    sizes = {"input_size": 0, "hidden_size": H, "num_layers": trace.num_layers, "bidirectional": trace.bidirectional}
    config = {**sizes, "bias": True, "proj_size": P if P < H else 0}
    values = {name: value[:, 0] for name, value in trace.values.items()}
    values |= {f"carried.{name}": value[:, 0] for name, value in trace.carried.items()}
    values |= {name: value[:, 0] for name, value in zip(("h0", "c0"), trace.initial, strict=True)}
    given = {"tokens": list(trace.words() or []) or None, "steps": len(trace.steps)}
    return bundle("trace", config, None, _named(values), given)


def bundle(kind: str, config: Any, vocabulary: Any, tensors: Mapping[str, Tensor], given: Any = None) -> Bundle:
    """Put a bundle together."""
    head = {"format": "hiddenstate-studio", "version": 1, "kind": kind, "name": "small", "gates": GATES}
    head |= {"states": STATES, "meanings": MEANINGS, "config": config, "vocabulary": vocabulary}
    head |= {"tokeniser": PATTERN, "card": "", "given": given}
    return Bundle(head, safetensors.torch.save({name: value.contiguous().clone() for name, value in tensors.items()}))


def _named(given: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    return {f"given.{name}": value for name, value in (given or {}).items()}


def _steps(given: Mapping[str, Tensor] | None) -> dict[str, Any] | None:
    return {"tokens": None, "steps": len(given["input"])} if given and "input" in given else None


def _sizes(lstm: hs.LSTM) -> tuple[dict[str, Any], None]:
    names = ("input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size")
    return {name: getattr(lstm, name) for name in names}, None
