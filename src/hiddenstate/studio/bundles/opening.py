"""Turns everything that the studio can open into bundles."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_file import is_model_file
from hiddenstate.models.model_folder import load, shipped
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.streams.stream import Stream
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.captured_inputs import capture_input
from hiddenstate.studio.bundles.models import bundle_folder, bundle_model
from hiddenstate.studio.bundles.modules import KINDS, Numbers, bundle_layer, layer_in, make_bundle
from hiddenstate.studio.bundles.traces import bundle_trace
from hiddenstate.studio.live import LiveStream
from hiddenstate.tracing.models import ModelTrace
from hiddenstate.tracing.trace import Trace

_SHOWN = (
    "a model's folder or file, a Tagger, a LanguageModel, an LSTM, GRU or RNN, a module with one, a Trace, a trace of "
    "a model, a Stream"
)


def named(models: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return the things to open, each with its name, or "" if it has none; mappings are expanded.

    Raises:
        ArgumentError: a mapping is empty.
    """
    found: list[tuple[str, Any]] = []
    for model in models or (shipped(),):
        if isinstance(model, Mapping) and not isinstance(model, ModelTrace):
            found += [(str(name), each) for name, each in model.items()]
        else:
            found.append(("", model))
    if not found:
        raise ArgumentError("there is no model to open: the mapping of names to models is empty")
    return found


def opened(
    model: Any,
    name: str = "",
    *,
    x: Any = None,
    hx: Any = None,
    tokens: Sequence[str] | None = None,
    row: int = 0,
    path: str | None = None,
) -> Bundle:
    """Bundle one thing; the options are those of `hiddenstate.studio`.

    Raises:
        ArgumentTypeError: the studio cannot show this type.
        ArgumentError: an option does not apply to it.
        HiddenStateError: it has any other problem.
    """
    if x is None and (hx is not None or tokens is not None):
        raise ArgumentError("hx= and tokens= go with x=, the layer's input; give x= too, or drop them")
    if is_model_file(model):
        model, name = load(model), name or Path(model).stem
    numbers = None if x is None else Numbers(x, hx, tokens, row)
    if isinstance(model, nn.Module) and (path is not None or not isinstance(model, Tagger | LanguageModel)):
        return _of_module(model, name, path, numbers)
    if x is not None:
        raise ArgumentError(f"x= is for a layer that reads numbers, but this is a {type(model).__name__}; drop it")
    if isinstance(model, ModelTrace):
        chosen = _path(model, path)
        return bundle_trace(model.joined(chosen), name or chosen, row)
    if path is not None:
        raise ArgumentError(f"path= is for a module or a trace of one, but this is a {type(model).__name__}; drop it")
    if isinstance(model, Trace):
        return bundle_trace(model, name, row)
    bundle = _whole(model)
    return bundle.named(name) if name else bundle


def _whole(model: Any) -> Bundle:
    if isinstance(model, Bundle):
        return model
    if isinstance(model, str | os.PathLike):
        return bundle_folder(model)
    if isinstance(model, Tagger | LanguageModel):
        return bundle_model(model)
    if isinstance(model, Stream | LiveStream):
        return make_bundle(model.sizes, model.weights())
    raise ArgumentTypeError(f"the studio shows {_SHOWN}; got {type(model).__name__}")


def _of_module(model: nn.Module, name: str, path: str | None, numbers: Numbers | None) -> Bundle:
    found, layer = layer_in(model, path)
    if numbers is not None and not isinstance(model, KINDS):
        read = capture_input(model, found, layer, numbers.x)
        numbers = Numbers(read.x, read.hx, numbers.tokens, numbers.row)
    return bundle_layer(layer, name or found, numbers)


def _path(run: ModelTrace, path: str | None) -> str:
    if path is not None:
        return path
    if len(run) != 1:
        raise ArgumentError(f"this run has {len(run)} traces; choose one with path=: {', '.join(map(repr, run))}")
    return next(iter(run))
