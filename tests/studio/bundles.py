"""Bundles for the browser in a form that tests can damage: what a model is (data for JSON), and its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

import hiddenstate as hs
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.studio.bundles import bundle, models, modules, traces


@dataclass(frozen=True)
class Bundle:
    """What the browser loads a model from."""

    head: dict[str, Any]
    weights: bytes


def bundle_of(model: Tagger | LanguageModel | hs.LSTM | hs.Trace, given: Mapping[str, Tensor] | None = None) -> Bundle:
    """Bundle a model, or an LSTM with an ``input`` (and ``h0`` and ``c0``) beside it."""
    found = _found(model, given or {})
    return Bundle(found.head(), found.weights)


def _found(model: Tagger | LanguageModel | hs.LSTM | hs.Trace, given: Mapping[str, Tensor]) -> bundle.Bundle:
    if isinstance(model, hs.Trace):
        return traces.bundle_trace(model)
    if isinstance(model, hs.LSTM):
        state = (given["h0"], given["c0"]) if "h0" in given else None
        return modules.bundle_lstm(model, numbers=modules.Numbers(given["input"], state) if given else None)
    return models.bundle_model(model)
