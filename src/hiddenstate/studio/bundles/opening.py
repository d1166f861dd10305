"""Turns everything that the studio can open into bundles."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_file import SUFFIX, is_model_file
from hiddenstate.models.model_folder import (
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    find_folder,
    load,
    load_any,
    quantised,
    read_kind,
    restored,
    scale_name,
    shipped,
)
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.streams.stream import Stream
from hiddenstate.studio.bundles.bundle import Bundle, bundle_trace
from hiddenstate.studio.bundles.modules import KINDS, Numbers, bundle_layer, capture_input, layer_in, make_bundle
from hiddenstate.studio.bundles.series import bundle_series
from hiddenstate.studio.live import LiveStream
from hiddenstate.tracing.models import ModelTrace
from hiddenstate.tracing.trace import Trace

_SHOWN = (
    "a model's folder or file, a Tagger, a LanguageModel, a SeriesModel, an LSTM, GRU or RNN, a module with one, a "
    "Trace, a trace of a model, a Stream"
)


def bundle_folder(folder: str | os.PathLike[str]) -> Bundle:
    """Bundle a model's folder unchanged, after loading it to check that it is complete."""
    path = find_folder(folder)
    model = load_any(path)
    config, vocabulary = (json.loads((path / name).read_bytes()) for name in (CONFIG, VOCABULARY))
    weights, cell = (path / WEIGHTS).read_bytes(), model.lstm.sizes.kind
    return Bundle(read_kind(path), path.resolve().name, config["config"], weights, vocabulary, cell=cell)


def bundle_model(model: Tagger | LanguageModel) -> Bundle:
    """Bundle a model in memory; weights that fit int8 or float16 exactly are stored that way."""
    check_module_memory(model)
    config, vocabulary = model.to_data()
    weights: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        weights |= _narrowed(key, value.detach().cpu())
    stored, cell = safetensors.torch.save(weights), model.lstm.sizes.kind
    return Bundle(model.kind, model.kind, _plain(config), stored, _plain(vocabulary), cell=cell)


def _narrowed(name: str, value: Tensor) -> dict[str, Tensor]:
    """Return tensors that represent a weight exactly: int8 values and scales, a float16 tensor, or the weight."""
    if value.ndim > 1 and value.dtype == torch.float32 and bool(torch.isfinite(value).all()):
        whole, scale = quantised(value)
        if torch.equal(restored(whole, scale), value):
            return {name: whole, scale_name(name): scale}
    half = value.to(torch.float16)
    return {name: (half if bool((half.to(value.dtype) == value).all()) else value).contiguous().clone()}


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Convert tuples and similar types to those that parsing JSON returns."""
    return json.loads(json.dumps(data))


def named(models: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return the things to open, each with its name, or "" if it has none; mappings are expanded."""
    chosen: list[tuple[str, Any]] = []
    for model in models or (shipped(),):
        if isinstance(model, Mapping) and not isinstance(model, ModelTrace):
            chosen += [(str(name), entry) for name, entry in model.items()]
        else:
            chosen.append(("", model))
    if not chosen:
        raise ArgumentError("there is no model to open: the mapping of names to models is empty")
    return chosen


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
    """Bundle one thing; the options are those of `hiddenstate.studio`."""
    if x is None and (hx is not None or tokens is not None):
        raise ArgumentError("hx= and tokens= go with x=, the layer's input; give x= too, or drop them")
    if is_model_file(model) or (isinstance(model, str | os.PathLike) and read_kind(model) == StoredSeries.kind):
        model, name = load(model), name or Path(model).resolve().name.removesuffix(SUFFIX)
    if isinstance(model, SeriesModel):
        if any(option is not None for option in (hx, tokens, path)):
            raise ArgumentError("hx=, tokens= and path= are for a layer, but this is a SeriesModel; drop them")
        return bundle_series(model, x, name, row)
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
    where, layer = layer_in(model, path)
    if numbers is not None and not isinstance(model, KINDS):
        read = capture_input(model, where, layer, numbers.x)
        numbers = Numbers(read.x, read.hx, numbers.tokens, numbers.row)
    return bundle_layer(layer, name or where, numbers)


def _path(run: ModelTrace, path: str | None) -> str:
    if path is not None:
        return path
    if len(run) != 1:
        raise ArgumentError(f"this run has {len(run)} traces; choose one with path=: {', '.join(map(repr, run))}")
    return next(iter(run))
