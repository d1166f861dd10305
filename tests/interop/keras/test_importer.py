"""LSTMs from Keras's files and layers give Keras's numbers."""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    MissingDependencyError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.interop.keras.importer import from_keras, in_keras
from interop.keras.keras_models import keras, layers, lstm, model_of, output_of, randomise, saved
from support import assert_close

# Keras on torch passes arrays to NumPy that NumPy 2 warns about, and warns that .h5 is old.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

DATA = Path(__file__).parents[2] / "data"


@cache
def big_model() -> Any:
    """A model with every kind of layer that contains something to find."""
    keras.utils.clear_session()  # so that layers without a name are always called the same
    inner = keras.Sequential([keras.Input((None, 2)), lstm(5, name="deep", use_bias=False)], name="inner")
    return model_of(
        lstm(3, name="first"),
        layers.Bidirectional(lstm(4), name="both"),
        layers.RNN(layers.LSTMCell(2), return_sequences=True, name="celled"),
        inner,
        layers.TimeDistributed(layers.Dense(2), name="each"),
        layers.RNN(
            [layers.LSTMCell(2, name="lower"), layers.LSTMCell(3, name="upper")], return_sequences=True, name="pile"
        ),
        layers.GRU(2, return_sequences=True, name="gru"),
        lstm(2, name="last"),
    )


# The name in our list, and the place in the model.
BIG: dict[str, Callable[[Any], Any]] = {
    "first": lambda model: model.get_layer("first"),
    "both": lambda model: model.get_layer("both"),
    "celled": lambda model: model.get_layer("celled"),
    "inner/deep": lambda model: model.get_layer("inner").get_layer("deep"),
    "pile/stacked_rnn_cells/lower": lambda model: layers.RNN(
        model.get_layer("pile").cell.cells[0], return_sequences=True
    ),
    "pile/stacked_rnn_cells/upper": lambda model: layers.RNN(
        model.get_layer("pile").cell.cells[1], return_sequences=True
    ),
    "last": lambda model: model.get_layer("last"),
}


def without_names(path: Path) -> Path:
    """The same file as early versions of Keras 3 wrote it, without the layers' names."""
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
    return path


def unnamed(path: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = path.with_suffix(".weights")
    weights.write_bytes(members["model.weights.h5"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "model.weights.h5": without_names(weights).read_bytes()}.items():
            archive.writestr(name, content)
    return path


def assert_same_numbers(ours: Any, theirs: Any) -> None:
    x = torch.randn(2, 5, ours.input_size)
    assert ours.batch_first
    assert_close(ours(x)[0], output_of(theirs, x))


@pytest.mark.parametrize(
    ("name", "change"), [("a.keras", None), ("a.keras", unnamed), ("a.h5", None), ("a.weights.h5", None)]
)
def test_every_layer_of_a_file(tmp_path: Path, name: str, change: Callable[[Path], Path] | None) -> None:
    model = big_model()
    path = saved(model, tmp_path / name)
    found = in_keras(change(path) if change else path)
    # Even without names, the cells inside a cell are named after the configuration.
    assert sorted(found) == sorted(BIG)
    for key, theirs in BIG.items():
        assert_same_numbers(found[key], theirs(model))


def test_a_file_of_weights_without_names(tmp_path: Path) -> None:
    model = big_model()
    found = in_keras(without_names(saved(model, tmp_path / "a.weights.h5")))
    where = [
        "lstm",
        "bidirectional",
        "rnn",
        "sequential/lstm",
        "rnn_1/cell/lstm_cell",
        "rnn_1/cell/lstm_cell_1",
        "lstm_1",
    ]
    assert sorted(found) == sorted(where)
    for key, theirs in zip(where, BIG.values(), strict=True):
        assert_same_numbers(found[key], theirs(model))


@pytest.mark.parametrize("name", ["keras2.keras", "keras2.h5", "keras2_weights.h5", "keras2.weights.h5"])
def test_files_that_keras_2_wrote(tmp_path: Path, name: str) -> None:
    """Files from Keras 2.15 on TensorFlow, with its outputs for one input."""
    with zipfile.ZipFile(DATA / "keras2.zip") as archive:
        archive.extract(name, tmp_path)
        values = {key: torch.tensor(value) for key, value in json.loads(archive.read("keras2.json")).items()}
    found = in_keras(tmp_path / name)
    groups = {"first": "lstm", "both": "bidirectional", "sub/inner": "sequential/lstm"}
    x = values["input"]
    for key, group in groups.items():
        assert len(found) == 3
        x = found[group if name == "keras2.weights.h5" else key](x)[0]
        assert_close(x, values[key.rpartition("/")[2]], key)


def test_a_layer_and_its_arrays() -> None:
    for made in (
        lstm(),
        lstm(use_bias=False),
        layers.Bidirectional(lstm()),
        layers.RNN(layers.LSTMCell(3), return_sequences=True),
    ):
        made.build((None, None, 4))
        layer = randomise(made)
        assert_same_numbers(from_keras(layer), layer)
        assert_same_numbers(from_keras(layer.get_weights()), layer)
        assert from_keras(layer).bias == (len(layer.get_weights()) in (3, 6))


def test_every_layer_of_a_model_in_memory() -> None:
    layers_of = in_keras(big_model())
    assert set(layers_of) == set(BIG)
    for name, at in BIG.items():
        assert_same_numbers(layers_of[name], at(big_model()))
    assert_same_numbers(from_keras(big_model(), "inner/deep"), BIG["inner/deep"](big_model()))


def test_values_are_copied_bit_for_bit_and_the_bias_is_b_ih() -> None:
    layer = randomise(model_of(lstm())).layers[0]
    kernel, recurrent, bias = map(torch.from_numpy, layer.get_weights())
    ours = from_keras(layer)
    for k, gate in enumerate("ifgo"):  # Keras's order, in our names
        part = slice(3 * k, 3 * k + 3)
        assert torch.equal(ours.weight(f"l0.W_i{gate}"), kernel[:, part].T)
        assert torch.equal(ours.weight(f"l0.W_h{gate}"), recurrent[:, part].T)
        assert torch.equal(ours.weight(f"l0.b_i{gate}"), bias[part])
        assert not ours.weight(f"l0.b_h{gate}").any()


def test_several_none_and_other_layers_fail(tmp_path: Path) -> None:
    path = saved(big_model(), tmp_path / "a.keras")
    with pytest.raises(
        ArgumentError, match=r"(?s)holds 7 LSTMs.*'both': LSTM\(3, 4, batch_first=True, bidirectional=True\).*name="
    ):
        from_keras(path)
    with pytest.raises(ArgumentError, match="'gru' in .*a.keras is not an LSTM: it is a GRU"):
        from_keras(path, "gru")
    with pytest.raises(NameUnknownError, match="no LSTM 'deep'"):
        from_keras(path, "deep")
    for other in (
        layers.GRU(3, name="other"),
        layers.SimpleRNN(3, name="other"),
        layers.ConvLSTM1D(3, 2, name="other"),
    ):
        with pytest.raises(
            NameUnknownError, match=f"(?s)holds no LSTMs.*'other' is not an LSTM: it is a {type(other).__name__}"
        ):
            from_keras(other)
    with pytest.raises(NameUnknownError, match="holds no LSTMs"):
        from_keras(saved(model_of(layers.Dense(2)), tmp_path / "b.weights.h5"))
    with pytest.raises(
        ArgumentTypeError, match="expected the path of a file, a Keras layer or a list of its arrays, got int"
    ):
        from_keras(3)


def test_arrays_that_do_not_fit_fail() -> None:
    arrays = model_of(lstm()).get_weights()
    with pytest.raises(
        ArgumentError, match="expected 2 or 3 arrays of a recurrent layer, or 4 or 6 of a Bidirectional, got 1"
    ):
        from_keras(arrays[:1])
    with pytest.raises(ShapeError, match=r"kernel of Keras has shape \[4, 8\], expected \[C, 4H\] = \[4, 12\]"):
        from_keras([arrays[0][:, :8], *arrays[1:]])
    with pytest.raises(RankError, match="recurrent_kernel of Keras must have two axes"):
        from_keras([arrays[0], arrays[2], arrays[2]])
    with pytest.raises(ArgumentTypeError, match="array 0 must be an array of numbers, got str"):
        from_keras(["kernel", *arrays[1:]])
    with pytest.raises(ShapeError, match="weight_ih of l0r has shape"):
        from_keras([*arrays, *model_of(lstm(2)).get_weights()])


def older(path: Path, version: str) -> Path:
    with h5py.File(path, "r+") as file:
        if "model_weights" in file:
            del file.attrs["model_config"]
        file.get("model_weights", file).attrs["keras_version"] = version
    return path


def test_weights_alone_of_a_keras_with_another_default(tmp_path: Path) -> None:
    model = model_of(lstm(name="a"))
    assert from_keras(older(saved(model, tmp_path / "a.h5"), "2.3.0")).hidden_size == 3
    for version in ("1.2.2", "2.2.4", "2.2.4-tf", "2.1.6-tf"):
        path = older(saved(model, tmp_path / "a.h5"), version)
        with pytest.raises(ArgumentError, match=f"Keras {version} wrote these weights of 'a', .*hard_sigmoid"):
            from_keras(path)
        assert_same_numbers(from_keras(path, recurrent_activation="sigmoid"), model)
    with pytest.raises(ArgumentError, match="recurrent_activation='relu': an hs.LSTM always uses sigmoid"):
        from_keras(path, recurrent_activation="relu")


def test_weights_that_are_missing_or_of_wrong_shape_fail(tmp_path: Path) -> None:
    path = saved(model_of(lstm(name="a")), tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        (scope,) = file["model_weights/a"]
        cell = file[f"model_weights/a/{scope}/a/lstm_cell"]
        kernel = cell["kernel"][()]
        del cell["kernel"]
        cell["kernel"] = kernel[:, :5]
    with pytest.raises(ShapeError, match="kernel of Keras has shape"):
        from_keras(path)
    with h5py.File(path, "r+") as file:
        del file[f"model_weights/a/{scope}"]
    with pytest.raises(
        NameUnknownError, match="weights for 0 directions of the LSTM 'a', expected 1: was the model built"
    ):
        from_keras(path)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.keras"
    path.write_bytes(io.BytesIO().getvalue())
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "hiddenstate.interop.keras.file", raising=False)
    with pytest.raises(MissingDependencyError, match=r"Keras files need h5py: pip install 'hiddenstate\[keras\]'"):
        from_keras(path)
