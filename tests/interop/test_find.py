"""The right reader is used for every source of weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.interop.export_arrays import flax_weights
from hiddenstate.interop.find import find_lstms
from interop.keras.keras_models import layers, model_of
from interop.onnx.onnx_models import lstm_node, random_arrays
from interop.onnx.onnx_models import model_of as onnx_model_of

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning")


def two_nodes() -> onnx.ModelProto:
    first, second = random_arrays(4, 3, end="0"), random_arrays(4, 2, end="1")
    nodes = [lstm_node(first, "a", end="0"), lstm_node(second, "b", end="1")]
    return onnx_model_of(nodes, {**first, **second}, ["a_Y", "b_Y"])


def test_files(tmp_path: Path) -> None:
    state = nn.ModuleDict({"a": nn.LSTM(4, 3), "b": nn.LSTM(4, 2)}).state_dict()
    torch.save(state, tmp_path / "x.pt")
    save_file(state, tmp_path / "x.safetensors")
    onnx.save(two_nodes(), tmp_path / "x.onnx")
    model = model_of(layers.LSTM(3, return_sequences=True, name="a"), layers.LSTM(2, name="b"))
    model.save(tmp_path / "x.keras")
    model.save_weights(tmp_path / "x.weights.h5")
    for path in sorted(tmp_path.iterdir()):
        found = find_lstms(path)
        assert str(found).startswith(f"{path} holds 2 LSTMs"), path
        assert {name: lstm.hidden_size for name, lstm in found.items()} == {"a": 3, "b": 2}, path
        assert list(find_lstms(str(path))) == ["a", "b"]


def test_what_is_in_memory() -> None:
    lstm = hs.LSTM(4, 3)
    layer = layers.LSTM(3, name="a")
    layer.build((None, None, 4))
    sources: dict[str, Any] = {"": lstm.state_dict(), "cell": flax_weights(lstm)[0], "a": layer}
    for name, source in sources.items():
        assert list(find_lstms(source)) == [name]
    assert list(find_lstms(two_nodes())) == ["a", "b"]


def test_options_are_handed_on() -> None:
    assert find_lstms(hs.LSTM(4, 3).state_dict(), batch_first=True)[""].batch_first
    assert list(find_lstms(two_nodes(), join=False)) == ["a", "b"]


def test_anything_else_fails() -> None:
    for source in (3, np.zeros(3), nn.LSTM(4, 3)):
        with pytest.raises(ArgumentTypeError, match=f"expected the path of a file, .* got {type(source).__name__}"):
            find_lstms(source)
