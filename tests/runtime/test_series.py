"""Stored series models without torch: the same forecasts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import hiddenstate as hs
from models.series.modules import Direct, LastStep, PerStep
from runtime.built import IS_BUILT, needs_runtime
from studio.runtime.test_series import FEATURES, MODULES, frame_of, model_of

if IS_BUILT:
    import hiddenstate_runtime as hr

pytestmark = needs_runtime


def stored(model: Any, tmp_path: Path) -> Any:
    hs.save(model, tmp_path / "river.safetensors")
    return hr.load(tmp_path / "river.safetensors")


def close(got: Any, want: torch.Tensor) -> None:
    torch.testing.assert_close(torch.from_numpy(np.array(got)).double(), want.double(), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_forecasts(name: str, tmp_path: Path) -> None:
    make, options = MODULES[name]
    model, frame = model_of(make(), **options), frame_of()
    ours = stored(model, tmp_path)
    assert (ours.features, ours.targets, ours.window) == (model.features, model.targets, model.window)
    assert (ours.units, list(ours.ahead)) == (model.units, list(model.form.ahead))
    values = model.read(frame).values[:, :, 0]
    want = values[:, 0] if model.gives == "step" else values[-1, 0] if model.gives == "row" else values[-1]
    close(ours.forecast(frame.to_numpy()), want)
    close(ours.forecast(frame[[*reversed(FEATURES)]]), want)  # by name
    rows = np.stack([frame.to_numpy(), frame.to_numpy()[::-1]], axis=1)
    close(ours.forecast(rows)[..., 0, :], want)


@pytest.mark.parametrize("name", ["a step", "a row", "a horizon", "only a layer"])
def test_a_stream(name: str, tmp_path: Path) -> None:
    model, frame = model_of(MODULES[name][0]()), frame_of(9)
    ours = stored(model, tmp_path)
    one, two, theirs = ours.stream(), ours.stream(rows=2), model.stream()
    for _, row in frame.iterrows():
        want = theirs.step(row).values[:, 0]
        got = one.step(row.to_numpy())
        both = two.step({name: [row[name], 0.0] for name in FEATURES})
        close(both[..., 0, :], torch.from_numpy(got))
        close(got.reshape(want.shape), want)


def test_a_step_is_read_by_name(tmp_path: Path) -> None:
    """A line of a frame is, whatever the order of its columns, and with others beside them."""
    ours, line = stored(model_of(PerStep(3, 2)), tmp_path), frame_of(1).iloc[0]
    want = ours.stream().step(line.to_numpy())
    other = pd.concat([pd.Series({"date": "2001-01-01"}), line[::-1]])
    np.testing.assert_array_equal(ours.stream().step(other), want)
    with pytest.raises(hr.HiddenStateError, match="no 'snow'"):
        ours.stream().step(line.drop("snow"))


def test_int8(tmp_path: Path) -> None:
    """A file whose matrices are int8 gives what their products with their scales give."""
    from hiddenstate.models import model_file
    from hiddenstate.models.model_folder import as_stored, float_weights

    model, frame = model_of(PerStep(3, 2)), frame_of()
    network = model._to_stored()
    config, columns = network.to_data()
    weights = as_stored(float_weights(network), "int8")
    path = tmp_path / "small.safetensors"
    model_file.write_model(network.kind, weights, {**config, "weights_dtype": "int8"}, columns, path)
    again: Any = hs.load(path)
    want = again.read(frame).values[:, 0, 0]
    close(hr.load(path).forecast(frame.to_numpy()), want)
    assert not torch.allclose(want, model.read(frame).values[:, 0, 0])


def test_bad_series_fail(tmp_path: Path) -> None:
    ours = stored(model_of(PerStep(3, 2)), tmp_path)
    frame = frame_of(4)
    for series, words in (
        (frame.drop(columns="snow"), "no 'snow'"),
        (frame.to_numpy()[:, :2], "2 features"),
        (frame.to_numpy()[0], "axes"),
        (frame.to_numpy()[:0], "0 steps"),
        (frame.where(frame["rain"] > frame["rain"].min()).to_numpy(), "missing or infinite"),
        ([["a", "b", "c"]], "real numbers"),
        (frame.astype(str), "'rain' must be real numbers"),
        (frame.assign(rain=[1, 2, 3, "4"]), "'rain' must be real numbers"),
        ({**frame, "rain": [1.0]}, "different shapes"),
        ({**frame, "rain": [[1.0], [1.0, 2.0]]}, "'rain' must be real numbers"),
        (frame.assign(rain=1e300), "too large"),
        (frame.assign(rain=1e300).to_numpy(), "too large"),
    ):
        with pytest.raises(hr.HiddenStateError, match=words):
            ours.forecast(series)
    windows = stored(model_of(LastStep(3, 2), window=17), tmp_path)
    with pytest.raises(hr.HiddenStateError, match="expected at least 17"):
        windows.forecast(frame.to_numpy())
    with pytest.raises(hr.HiddenStateError, match="reads windows of 17"):
        windows.stream()


def test_damaged_files_fail(tmp_path: Path) -> None:
    from hiddenstate.models import model_file

    network = model_of(Direct(3, 2))._to_stored()
    config, columns = network.to_data()
    path = tmp_path / "damaged.safetensors"
    damages: list[dict[str, Any]] = [
        {"then": "exp"},
        {"scale": [[0, 0]] * 3},
        {"after": []},
        {"before": None},
        {"window": 0},
        {"steps": 3},
        {"last": False},
        {"rnn": {**config["rnn"], "hidden_size": 7}},
        {"rnn": {**config["rnn"], "cell": "QRNN"}},
    ]
    for part in damages:
        model_file.write_model(network.kind, dict(network.state_dict()), {**config, **part}, columns, path)
        with pytest.raises(hr.HiddenStateError):
            hr.load(path)
        with pytest.raises(hs.errors.HiddenStateError):
            hs.load(path)
