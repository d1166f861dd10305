"""Bundles of whole models: of folders, and of taggers and language models in memory."""

import json
import os
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from hiddenstate.models.folder import CARD, CONFIG, VOCABULARY, WEIGHTS, folder_of, kind_of, load_any
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.tagger import Tagger
from hiddenstate.studio.bundle import Bundle


def of_folder(folder: str | os.PathLike[str]) -> Bundle:
    """Bundle a model as it lies in its folder, once it was read and found to be whole.

    Raises:
        FileFormatError: the folder, or one of its files, is missing, damaged, of another kind or a later version.
    """
    path = folder_of(folder)
    load_any(path)
    config, vocabulary = (json.loads((path / name).read_bytes()) for name in (CONFIG, VOCABULARY))
    card = (path / CARD).read_text(encoding="utf-8", errors="replace")
    return Bundle(kind_of(path), path.resolve().name, config["config"], (path / WEIGHTS).read_bytes(), vocabulary, card)


def of_model(model: Tagger | LanguageModel, name: str = "") -> Bundle:
    """Bundle a model in memory; weights that float16 holds exactly are stored so."""
    config, vocabulary = model.to_data()
    weights = {key: _narrowed(value) for key, value in model.state_dict().items()}
    return Bundle(model.kind, name or model.kind, _plain(config), safetensors.torch.save(weights), _plain(vocabulary))


def _narrowed(value: Tensor) -> Tensor:
    half = value.detach().to("cpu", torch.float16)
    exact = bool((half.to(value.dtype) == value.detach().cpu()).all())
    return (half if exact else value.detach().cpu()).contiguous().clone()


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Bring tuples and the like into the form that JSON gives back."""
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain
