"""A layer as one file: its contents, and rejected files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate.models.model_folder import load_any, load_language_model, load_tagger


@pytest.mark.parametrize(
    "options",
    [{"batch_first": True}, {"num_layers": 2, "dropout": 0.25}, {"bias": False, "bidirectional": True}],
)
@torch.no_grad()
def test_a_layer_is_read_as_it_was(options: dict[str, Any], tmp_path: Path) -> None:
    lstm = hs.LSTM(3, 5, **options).eval()
    hs.save(lstm, tmp_path / "lstm.safetensors")
    again: Any = hs.load(tmp_path / "lstm.safetensors")
    assert repr(again) == repr(lstm)
    x = torch.randn(4, 6, 3)
    assert torch.equal(again(x)[0], lstm(x)[0])


@pytest.mark.parametrize("module", [hs.RNNCell(2, 3), nn.LSTM(2, 3), nn.Linear(2, 3), None])
@pytest.mark.parametrize("name", ["model.safetensors", "model"])
def test_other_modules_are_refused(module: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="a tagger, a language model, or a hiddenstate.LSTM, GRU or RNN"):
        hs.save(module, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("theirs", [nn.GRU(2, 3), nn.LSTM(2, 3)])
def test_torchs_layers_are_told_from_ours(theirs: Any, tmp_path: Path) -> None:
    name = rf"got torch\.nn\.{type(theirs).__name__}\b"
    doors: list[Callable[[], object]] = [
        lambda: hs.save(theirs, tmp_path / "layer.safetensors"),
        lambda: hs.index(theirs, [torch.zeros(4, 2)], tmp_path / "index"),
        lambda: hs.explain.probe(theirs, [torch.zeros(4, 2)], [["a"] * 4], place="l0.h"),
        lambda: hs.explain.automaton(theirs, {"a": torch.zeros(2)}),
        lambda: hs.keras_weights(theirs),
    ]
    for door in doors:
        with pytest.raises(ArgumentTypeError, match=name):
            door()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", "RNN_TANH"),
        ("gates", "f i g o"),
        ("hidden_size", "4"),
        ("hidden_size", "-3"),
        ("num_layers", "999999999"),
        ("bias", "x"),
        ("dropout", "nan"),
        ("dropout", "2"),
        ("dropout", "[]"),
        ("input_size", ""),
    ],
)
def test_metadata_that_do_not_fit_are_refused(name: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "lstm.safetensors"
    hs.save(hs.LSTM(2, 3), path)
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {**metadata, name: value})
    with pytest.raises(FileFormatError, match="damaged"):
        hs.load(path)


def test_a_layer_is_not_a_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "gru.safetensors"
    hs.save(hs.GRU(2, 3), path)
    for read in (load_tagger, load_any, load_language_model):
        with pytest.raises(FileFormatError, match="is a layer, which reads numbers, not text: expected a tagger or a"):
            read(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_no_reader_accepts_are_not_written(value: float, tmp_path: Path) -> None:
    lstm: Any = hs.LSTM(2, 3)
    path = tmp_path / "lstm.safetensors"
    with torch.no_grad():
        lstm.bias_ih_l0[1] = value
    with pytest.raises(ArgumentError, match="bias_ih_l0 has values that are not finite"):
        hs.save(lstm, path)
    with pytest.raises(ArgumentError, match="a model file has at most .* and 4,096 layers"):
        hs.save(hs.LSTM(1, 1, num_layers=4097, device="meta"), path)
    assert not path.exists()
