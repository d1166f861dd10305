"""Keras, on torch, for the tests, imported when one uses it. Its backend must be set before."""

import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from support import Later

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="keras-"))  # it writes its settings there


class _Keras(Later):
    def __getattr__(self, attribute: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().__getattr__(attribute)


keras: Any = _Keras("keras")
layers: Any = _Keras("keras.layers")
keras_backend: Any = _Keras("keras.src.backend")


def randomise(layer: Any) -> Any:
    """Give a built layer or model random weights, including biases, which Keras initialises with zeros and ones."""
    layer.set_weights([torch.randn(w.shape).numpy().astype(w.dtype) * 0.5 for w in layer.get_weights()])
    return layer


def model_of(*stack: Any, features: int = 4) -> Any:
    """A model of layers, one after the other, with random weights."""
    return randomise(keras.Sequential([keras.Input((None, features)), *stack]))


def output_of(layer: Any, x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = layer(x).detach()
    return out


def lstm(units: int = 3, **options: Any) -> Any:
    return layers.LSTM(units, **{"return_sequences": True, **options})


def saved(model: Any, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def archive_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return path
