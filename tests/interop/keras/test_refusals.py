"""Functions that do not work on Keras' models say so, and what to do instead."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError, NameUnknownError

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed", allow_module_level=True)

from interop.keras.keras_models import keras, layers, model_of, saved

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
X = torch.zeros(2, 5, 4)
CALLS: dict[str, Callable[[Any, Path], object]] = {
    "convert": lambda model, _: hs.convert(model),
    "convert in place": lambda model, _: hs.convert(model, inplace=True, weights="int8"),
    "from_torch": lambda model, _: hs.from_torch(model),
    "constant_weights": lambda model, _: hs.constant_weights(model),
    "stream": lambda model, _: hs.stream(model, X),
    "export_onnx": lambda model, path: hs.export_onnx(model, path / "model.onnx", args=(X,), form="step"),
    "save": lambda model, path: hs.save(model, path / "model.safetensors"),
    "save a graph": lambda model, path: hs.save(model, path / "model.safetensors", args=(X,)),
    "export_c": lambda model, path: hs.export_c(model, path / "model.c", args=(X,)),
    "subject": lambda model, _: hs.explain.subject(model, X),
    "studio": lambda model, _: hs.studio(model),
    "series_model": lambda model, _: hs.series_model(model, features=[*"abcd"], targets=["a"]),
    "tagger": lambda model, _: hs.tagger(model, {}, []),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_does_not_work_says_what_does(name: str, tmp_path: Path) -> None:
    with hs.accelerate(), pytest.raises(ArgumentError, match=r"are Keras': hs.check works .* hs.from_keras"):
        CALLS[name](model_of(layers.LSTM(3)), tmp_path)


def test_a_model_of_torch_around_layers_of_keras_is_refused_and_one_with_other_layers_is_not() -> None:
    layer = model_of(layers.LSTM(4, return_sequences=True))
    with pytest.raises(ArgumentError, match="are Keras'"):
        hs.convert(torch.nn.Sequential(layer), inplace=True)
    both = torch.nn.Sequential(layer, torch.nn.LSTM(4, 3))
    assert isinstance(hs.convert(both, inplace=True)[1], hs.LSTM)  # type: ignore[index]


def test_an_edit_says_what_a_layer_needs() -> None:
    model = keras.Sequential([keras.Input((None, 4)), layers.LSTM(3, activation="relu", name="enc")])
    with hs.accelerate(), pytest.raises(NameUnknownError, match=r"hs.accelerate\(\), .* default activations"):
        hs.edit(model, hs.zero("enc.l0.f"))


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_file_of_keras_is_for_from_keras(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"hs.from_keras reads it"):
        hs.from_state_dict(saved(model_of(layers.LSTM(3)), tmp_path / name))


def test_a_layer_without_weights() -> None:
    with pytest.raises(ArgumentError, match="'early' has no weights yet"):
        hs.from_keras(layers.LSTM(3, name="early"))


def test_a_head_of_keras_is_no_reason_to_refuse_a_model_of_torch() -> None:
    head = layers.Dense(2)
    head.build((None, None, 4))
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), head)
    assert hs.convert(model, inplace=True) is model
    with pytest.raises(ArgumentError, match="calls no recurrent layer"):
        hs.stream(model, X)
