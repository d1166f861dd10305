"""The models of the live figures, as classic scripts, which a page opened from disk is allowed to load."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hiddenstate.models.folder import model_folder as folder
from hiddenstate.nn.lstm import LSTM
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.models import bundle_folder
from hiddenstate.studio.bundles.modules import Numbers, bundle_layer

WORDS = ("first", "second", "third", "fourth", "fifth")


def tiny() -> tuple[LSTM, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Return the LSTM of the first lesson, its five inputs, and its initial state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        lstm = LSTM(4, 3)
        x = torch.stack([torch.randn(1, 4) for _ in range(5)])
        return lstm, x, (torch.randn(1, 1, 3), torch.randn(1, 1, 3))


def _tiny() -> Bundle:
    lstm, x, state = tiny()
    return bundle_layer(lstm, "tiny", Numbers(x, state, WORDS))


def _unit() -> Bundle:
    """Bundle a one-unit LSTM with zero weights, so that its gates have exactly the values to which they are set."""
    lstm = LSTM(1, 1)
    for weight in lstm.parameters():
        nn.init.zeros_(weight)
    return bundle_layer(lstm, "unit")


def _shipped(name: str) -> Callable[[], Bundle]:
    return lambda: bundle_folder(Path(folder.__file__).parents[1] / "shipped" / name)


MODELS: dict[str, Callable[[], Bundle]] = {
    "tiny": _tiny,
    "unit": _unit,
    "tagger": _shipped("tagger-en"),
    "shakespeare": _shipped("shakespeare"),
}


def script(name: str) -> str:
    """Return a classic script that puts a model into ``window.courseModels``."""
    bundle = MODELS[name]()
    weights = base64.b64encode(bundle.weights).decode()
    data = json.dumps({"head": bundle.head(), "weights": weights}, ensure_ascii=True)
    return f"(window.courseModels ??= {{}})[{json.dumps(name)}] = {data};\n"
