"""Series models as ONNX files, in the units of the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ExportError
from models.series.modules import Direct, EncoderDecoder, LastStep
from studio.runtime.test_series import frame_of, model_of

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    "name", ["a horizon", "windows", pytest.param("an encoder and a decoder", marks=pytest.mark.slow)]
)
def test_forecasts(name: str, tmp_path: Path) -> None:
    frame = frame_of()
    if name == "windows":
        model: Any = model_of(LastStep(3, 2), window=17)
    elif name == "an encoder and a decoder":  # not of the simple shape
        model = hs.series_model(EncoderDecoder(3), [*frame], "flow", scale={"flow": (1013.0, 40.0)})
    else:
        model = model_of(Direct(3, 2))
    hs.export_onnx(model, tmp_path / "river.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "river.onnx")
    (series,), (forecast,) = session.get_inputs(), session.get_outputs()
    assert (series.name, forecast.name) == ("series", "forecast")
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert about == {
        "features": ["rain", "snow", "flow"],
        "targets": [*model.targets],
        "units": model.units,
        "gives": model.gives,
        "ahead": [*model.form.ahead],
        "window": model.window,
    }
    rows = np.stack([frame.to_numpy()[-(model.window or 65) :]] * 2, axis=int(model.time_first)).astype(np.float32)
    (got,) = session.run(None, {"series": rows})
    want = model.read(frame).values[-1, :, 0]
    arranged = model.form.arranged(torch.from_numpy(got)).reshape(-1, 2, len(model.targets))
    torch.testing.assert_close(arranged[:, 1].double(), want, rtol=1e-5, atol=1e-3)


def test_what_it_says_itself_is_not_given(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="args= is known for a series model"):
        hs.export_onnx(model_of(LastStep(3, 2)), tmp_path / "river.onnx", (torch.ones(1, 5, 3),))


def test_a_file_that_differs_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="differs"):
        hs.export_onnx(model_of(LastStep(3, 2), window=5), tmp_path / "river.onnx", tolerance=0)
    assert not [*tmp_path.iterdir()]
