"""A series model of the simple shape in a folder and in a file; any other is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models import SeriesModel
from models.series import modules
from models.series.test_network import Residual
from support import assert_close

NAMES = ["rain", "temperature", "flow"]
FRAME = pd.DataFrame(np.random.default_rng(0).normal(10, 3, (20, 3)), pd.date_range("2014-12-25", periods=20), NAMES)
SCALE = FRAME.mean(), FRAME.std()
MODELS: list[tuple[nn.Module, Any, dict[str, Any]]] = [
    (modules.PerStep(3, 1), "flow", {"units": "m³/s", "horizon": 0}),
    (modules.PerStep(3, 2, nn.GRU, time_first=True, layers=2), ["flow", "rain"], {"target_scale": None}),
    (modules.LastStep(3, 1), "flow", {"window": 5, "units": {"rain": "mm"}}),
    (modules.Direct(3, 2, 4), ["flow", "rain"], {"window": 7}),
    (hs.LSTM(3, 3, bidirectional=True), list("abcdef"), {}),
    (hs.LSTM(3, 9, proj_size=2), ["flow", "rain"], {}),
]


@pytest.mark.parametrize(("module", "targets", "options"), MODELS, ids=lambda value: str(value).partition("(")[0])
@pytest.mark.parametrize("name", ["model", "model.safetensors"])
def test_a_model_comes_back_from_a_folder_and_a_file(
    module: nn.Module, targets: Any, options: dict[str, Any], name: str, tmp_path: Path
) -> None:
    model = hs.series_model(module, NAMES, targets, scale=SCALE, **options)
    hs.save(model, tmp_path / name)
    again = hs.load(tmp_path / name)
    assert isinstance(again, SeriesModel)
    for attribute in ("features", "targets", "units", "window", "horizon", "gives", "understood"):
        assert getattr(again, attribute) == getattr(model, attribute)
    assert_close(again.read(FRAME).values, model.read(FRAME).values, slack=1e5)  # rounded in float32
    if "bidirectional" not in repr(module):
        assert_close(again.stream().feed(FRAME).values, model.read(FRAME).values[-1], slack=1e5)
    hs.save(again, tmp_path / name)  # over the earlier one
    assert repr(hs.load(tmp_path / name)) == repr(again)


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = hs.series_model(Residual(3, 1), NAMES, "flow")
    for name in ("model", "model.safetensors"):
        with pytest.raises(
            ArgumentError, match=r"can't be stored: .* It is taken as it is: its forecasts are not what"
        ):
            hs.save(model, tmp_path / name)
    assert not [*tmp_path.iterdir()]


CHANGES: list[tuple[str, Any]] = [
    ("window", 0),
    ("horizon", -1),
    ("horizon", True),
    ("steps", 2**40),
    ("then", "exp"),
    ("last", 1),
    ("before", [[3, 5, True, "exp"]]),
    ("before", [[3, 2**40, True, "relu"]]),
    ("before", [[3, 3, True, ""]] * 1000),
    ("after", []),
    ("after", None),
    ("rnn", {"input_size": 5}),
    ("scale", [[0, 1]]),
    ("scale", [[0, 0]] * 3),
    ("scale", [[0, "x"]] * 3),
    ("target_scale", [[0]]),
]


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=str)
def test_a_damaged_description_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    hs.save(hs.series_model(modules.LastStep(3, 1), NAMES, "flow", scale=SCALE), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    head = json.loads(path.read_text())
    head["config"][name] = value
    path.write_text(json.dumps(head))
    with pytest.raises((FileFormatError, ArgumentError), match="model"):
        hs.load(tmp_path / "model")


@pytest.mark.parametrize(
    "columns",
    [
        [],
        {"features": NAMES},
        {"features": NAMES[:2], "targets": ["flow"], "units": {}},
        {"features": ["a"] * 3, "targets": ["flow"], "units": {}},
        {"features": NAMES, "targets": ["flow"], "units": {"a": 1}},
    ],
)
def test_damaged_columns_are_refused(columns: Any, tmp_path: Path) -> None:
    hs.save(hs.series_model(modules.LastStep(3, 1), NAMES, "flow", scale=SCALE), tmp_path / "model")
    (tmp_path / "model" / "vocabulary.json").write_text(json.dumps(columns))
    with pytest.raises(FileFormatError, match="model"):
        hs.load(tmp_path / "model")


def test_a_double_module_is_stored_in_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hs.series_model(modules.PerStep(3, 1).double(), NAMES, "flow", scale=SCALE)
    hs.save(model, tmp_path / "model")
    again = hs.load(tmp_path / "model")
    assert isinstance(again, SeriesModel)
    assert_close(again.read(FRAME).values, model.read(FRAME).values, slack=1e5)
