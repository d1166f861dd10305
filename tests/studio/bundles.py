"""Bundles for the browser in a form that tests can damage: a model's description (data for JSON), and its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

import hiddenstate as hs
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.studio.bundles import bundle, modules, opening


@dataclass(frozen=True)
class Bundle:
    """The data that the browser loads a model from."""

    head: dict[str, Any]
    weights: bytes


def bundle_of(model: Any, given: Mapping[str, Tensor] | None = None) -> Bundle:
    """Bundle a model, a trace, or a layer with an ``input`` (and ``h0`` and ``c0``)."""
    found = _found(model, given or {})
    return Bundle(found.head(), found.weights)


def _found(model: Any, given: Mapping[str, Tensor]) -> bundle.Bundle:
    if isinstance(model, hs.Trace):
        return bundle.bundle_trace(model)
    if isinstance(model, Recurrent):
        states = tuple(given[f"{name}0"] for name in model.sizes.kind.carried if f"{name}0" in given)
        state = model.sizes.kind.as_given(states) if states else None
        return modules.bundle_layer(model, numbers=modules.Numbers(given["input"], state) if given else None)
    return opening.bundle_model(model)
