import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.interop.torch.conversion import convert
from hiddenstate.models.model_folder import (
    FILES,
    WEIGHTS,
    WeightsFile,
    load_any,
    load_language_model,
    load_tagger,
    quantised,
    restored,
    save,
    scale_name,
    written,
)
from language_models import make as make_language_model
from models.folder.test_model_folder import make, said_by


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (65, 3), (4, 3, 5)])
@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-3, 1.0, 1e30, 3e38])
def test_rows_are_rounded_to_their_scales_and_no_more_when_that_is_done_again(
    shape: tuple[int, ...], size: float
) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        matrix = (torch.rand(shape) * 2 - 1) * size
        whole, scale = quantised(matrix)
        assert (whole.dtype, scale.dtype, scale.shape) == (torch.int8, torch.float32, shape[:1])
        again = restored(whole, scale)
        largest = matrix.flatten(1).abs().amax(1)
        seen = largest > 1.5e-36  # smaller values are negligible
        assert bool((whole.flatten(1).abs().amax(1)[seen] == 127).all())
        assert bool(((again - matrix).flatten(1).abs().amax(1) <= scale * 0.501).all() or not seen.all())
        torch.testing.assert_close(scale[seen], largest[seen] / 127, rtol=2**-16, atol=0)
        second = quantised(again)
        assert torch.equal(second[0], whole)
        assert torch.equal(second[1], scale)


def test_rows_of_zeros_stay_zeros() -> None:
    whole, scale = quantised(torch.tensor([[0.0, -0.0], [1.0, 0.5]]))
    assert (whole[0].tolist(), float(scale[0])) == ([0, 0], 1.0)
    assert restored(whole, scale)[0].tolist() == [0, 0]


def test_a_folder_in_int8(tmp_path: Path) -> None:
    tagger = make(weights_dtype="int8")
    save(tagger, tmp_path / "first")
    stored = safetensors.torch.load_file(tmp_path / "first" / WEIGHTS)
    for name, value in tagger.state_dict().items():
        if value.ndim == 1:
            assert torch.equal(stored[name], value)
        else:
            assert stored[name].dtype == torch.int8
            assert stored[scale_name(name)].shape == value.shape[:1]
    again = load_tagger(tmp_path / "first")
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    assert 0 < float((said_by(again) - said_by(tagger)).abs().max()) < 0.02
    save(again, tmp_path / "second")
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("name", ["model", "model.safetensors"])
@pytest.mark.parametrize("weights_dtype", ["float32", "int8"])
def test_models_whose_layers_have_int8_weights_are_stored_with_their_values(
    tmp_path: Path, name: str, weights_dtype: str
) -> None:
    for model in (make(weights_dtype=weights_dtype), make_language_model(weights_dtype=weights_dtype)):
        small: Any = convert(model, weights="int8")
        save(small, tmp_path / name)
        again = load_any(tmp_path / name)
        floats = small.lstm.dequantize().state_dict()
        assert floats
        assert again.lstm.state_dict().keys() == floats.keys()
        for key, value in again.lstm.state_dict().items():
            torch.testing.assert_close(value, floats[key], rtol=1e-6, atol=0, msg=key)
        if (tmp_path / name).is_file():
            (tmp_path / name).unlink()


def test_a_language_model_in_int8(tmp_path: Path) -> None:
    model = make_language_model(weights_dtype="int8")
    save(model, tmp_path / "model")
    again = load_language_model(tmp_path / "model").state_dict()
    for name, value in model.state_dict().items():
        expected = value if value.ndim == 1 else restored(*quantised(value))
        assert torch.equal(again[name], expected)


def test_what_no_scale_holds_is_refused() -> None:
    for value in (math.inf, math.nan):
        with pytest.raises(ArgumentError, match="'w' cannot be stored as float32"):
            written({"w": torch.tensor([[1.0, value]])}, "int8")
    with pytest.raises(ArgumentError, match=r"'w' cannot be stored as float32: it has values up to 1e\+300"):
        written({"w": torch.tensor([[1e300]], dtype=torch.float64)}, "int8")


W, S = "head.weight", "head.weight.scale"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(S), f"weight '{S}' is missing"),
        (lambda t: t.pop(W), f"weight '{W}' is missing"),
        (lambda t: t.update({W: t[W].float()}), f"weight '{S}' is not expected"),
        (lambda t: t.update({W: t[W].short()}), f"weight '{S}' is not expected"),
        (lambda t: t.update({W: t[W].short(), "x": t.pop(S)}) or t.pop("x"), f"weight '{W}' is of type torch.int16"),
        (lambda t: t.update({W: t[W][:, :-1].contiguous()}), rf"weight '{W}' has shape \[3, 7\], expected \[3, 8\]"),
        (lambda t: t.update({S: t[S][:-1]}), rf"weight '{S}' has shape \[2\], expected \[3\]"),
        (lambda t: t.update({S: t[S][:, None]}), rf"weight '{S}' has shape \[3, 1\], expected \[3\]"),
        (lambda t: t.update({S: t[S].double()}), f"'{S}' must hold a float32 above 0 for each row, got torch.float64"),
        (lambda t: t.update({S: t[S].half()}), f"'{S}' must hold a float32 above 0 for each row, got torch.float16"),
        (lambda t: t.update({S: t[S].to(torch.int8)}), f"'{S}' is of type torch.int8"),
        (lambda t: t[S].fill_(math.nan), f"'{S}' has values that are not finite"),
        (lambda t: t[S][1:2].fill_(math.inf), f"'{S}' has values that are not finite"),
        (lambda t: t[S][1:2].fill_(-0.5), f"'{S}' must hold a float32 above 0 .* down to -0.5"),
        (lambda t: t[S][1:2].fill_(0), f"'{S}' must hold a float32 above 0 .* down to 0"),
        (lambda t: t[S].fill_(3e38), f"weight '{W}' has values that are not finite"),
        (lambda t: t.update({"head.bias": t["head.bias"].to(torch.int8)}), "'head.bias' is of type torch.int8"),
        (lambda t: t.update({"head.bias.scale": torch.ones(3)}), "'head.bias.scale' is not expected"),
    ],
)
def test_damage_is_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    save(make(weights_dtype="int8"), tmp_path / "model")
    path = tmp_path / "model" / WEIGHTS
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(FileFormatError, match=message) as error:
        load_tagger(tmp_path / "model")
    assert str(path) in str(error.value)


def test_a_file_without_weights_has_no_shapes(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(written({}, "int8"))
    assert WeightsFile(tmp_path / "none").shapes == {}
