"""The models of the live figures, as classic scripts, which a page opened from disk is allowed to load."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

from torch import nn

from hiddenstate.course.figures.first_lesson import tiny
from hiddenstate.models import model_folder as folder
from hiddenstate.nn.lstm import LSTM
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.models import bundle_folder
from hiddenstate.studio.bundles.modules import Numbers, bundle_layer

WORDS = ("first", "second", "third", "fourth", "fifth")


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
