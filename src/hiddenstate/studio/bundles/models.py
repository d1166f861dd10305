"""Bundles of whole models: of folders, and of taggers and language models in memory."""

import json
import os
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from hiddenstate.base.memory import check_module_memory
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import CARD, CONFIG, VOCABULARY, WEIGHTS, find_folder, load_any, read_kind
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.weights_file import quantised, restored, scale_name
from hiddenstate.studio.bundles.bundle import Bundle


def bundle_folder(folder: str | os.PathLike[str]) -> Bundle:
    """Bundle a model's folder unchanged, after loading it to check that it is complete.

    Raises:
        FileFormatError: the folder, or one of its files, is missing, damaged, of another kind or of a later version.
    """
    path = find_folder(folder)
    model = load_any(path)
    config, vocabulary = (json.loads((path / name).read_bytes()) for name in (CONFIG, VOCABULARY))
    card = (path / CARD).read_text(encoding="utf-8", errors="replace")
    weights, cell = (path / WEIGHTS).read_bytes(), model.lstm.sizes.kind
    return Bundle(read_kind(path), path.resolve().name, config["config"], weights, vocabulary, card, cell=cell)


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
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain
