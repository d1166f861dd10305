"""Settings of Keras's layers, and those that are rejected by name."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.keras.importer import from_keras, in_keras, recurrent_layers
from interop.keras.keras_models import archive_of, keras, layers, lstm, model_of, output_of, saved
from support import assert_close

# Keras on torch passes arrays to NumPy that NumPy 2 warns about, and warns that .h5 is old.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


def test_go_backwards_as_a_flipped_one() -> None:
    layer = model_of(lstm(go_backwards=True)).layers[0]
    x = torch.randn(2, 5, 4)
    with pytest.raises(ArgumentError, match=r"has go_backwards=True.*With flipped=True"):
        from_keras(layer)
    assert_close(from_keras(layer, flipped=True)(x.flip(1))[0], output_of(layer, x))


def test_both_outputs_apart_are_the_halves() -> None:
    layer = model_of(layers.Bidirectional(lstm(), merge_mode=None)).layers[0]
    x = torch.randn(2, 5, 4)
    forward, backward = layer(x)
    assert_close(from_keras(layer)(x)[0], torch.cat([forward, backward], -1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lstm(name="a", activation="relu"), "'a' has activation='relu', but an hs.LSTM has tanh"),
        (lambda: lstm(name="a", activation=None), "'a' has activation='linear', but an hs.LSTM has tanh"),
        (
            lambda: lstm(name="a", recurrent_activation="hard_sigmoid"),
            "'a' has recurrent_activation='hard_sigmoid', but an hs.LSTM has sigmoid",
        ),
        (lambda: layers.Bidirectional(lstm(), name="a", merge_mode="sum"), "'a' has merge_mode='sum'"),
        (
            lambda: layers.Bidirectional(lstm(go_backwards=True), backward_layer=lstm(), name="a"),
            "'a' has go_backwards=True",
        ),
        (
            lambda: layers.Bidirectional(lstm(), backward_layer=lstm(go_backwards=True, activation="relu"), name="a"),
            "'a' has activation='relu'",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_settings_that_an_lstm_has_not_fail(tmp_path: Path, suffix: str, make: Callable[[], Any], message: str) -> None:
    path = saved(model_of(make()), tmp_path / f"a.{suffix}")
    with pytest.raises(ArgumentError, match=message):
        from_keras(path)
    assert "'a': refused" in str(in_keras(path))


def test_a_function_of_the_users_own_fails(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable(package="mine")  # type: ignore[untyped-decorator]
    def cube(x: Any) -> Any:
        return x**3

    path = saved(model_of(lstm(name="a", activation=cube)), tmp_path / "a.keras")
    with pytest.raises(ArgumentError, match="'a' has activation='mine>cube', but an hs.LSTM has tanh"):
        from_keras(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = saved(model_of(lstm()), tmp_path / "a.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name.replace(".", "__"): archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config__json"])
    code = {"class_name": "__lambda__", "config": {"value": ["gASV", None, None]}}
    config["config"]["layers"].append({"class_name": "Lambda", "config": {"name": "code", "function": code}})
    members["config__json"] = json.dumps(config).encode()
    assert from_keras(archive_of(tmp_path / "b.keras", **members)).hidden_size == 3


class OldLayer:
    """A layer as in Keras 2, with an option for the input's layout."""

    name = "old"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "units": 3, "time_major": True}

    def get_weights(self) -> list[Any]:
        return [torch.zeros(4, 12).numpy(), torch.zeros(3, 12).numpy()]


def test_time_major_is_not_batch_first() -> None:
    layer: Any = type("LSTM", (OldLayer,), {})()
    assert repr(from_keras(layer)) == "LSTM(4, 3, bias=False)"


def test_configurations_of_old_sequential_models_are_lists() -> None:
    layers_of_old = [{"class_name": "LSTM", "config": {"name": name}} for name in ("a", "b")]
    entries = recurrent_layers({"class_name": "Sequential", "config": layers_of_old})
    assert [(entry.name, entry.places) for entry in entries] == [("a", ("lstm",)), ("b", ("lstm_1",))]
    assert recurrent_layers({"class_name": "Sequential"}) == []
