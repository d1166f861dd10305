"""Keras's files: damaged, incomplete, and with external links."""

import zipfile
from pathlib import Path

import h5py
import pytest
import torch

from hiddenstate.errors import FileFormatError, NameUnknownError
from hiddenstate.interop.keras.importer import from_keras
from interop.keras.keras_models import archive_of, keras, lstm, model_of, saved

# Keras on torch passes arrays to NumPy that NumPy 2 warns about, and warns that .h5 is old.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


def test_other_types(tmp_path: Path) -> None:
    for dtype in ("float64", "bfloat16", "float16"):
        model = keras.Sequential([keras.Input((None, 4), dtype=dtype), lstm(dtype=dtype, recurrent_initializer="ones")])
        ours = from_keras(saved(model, tmp_path / f"{dtype}.keras"))
        assert ours.weight("l0.W_hi").dtype == getattr(torch, dtype)
        assert (ours.weight("l0.W_hi") == 1).all()
        want = torch.from_numpy(model.layers[0].get_weights()[0].astype("float64"))[:, :3].T
        assert torch.equal(ours.weight("l0.W_ii").double(), want)


def test_relatives_in_files_of_weights_alone_are_not_taken_for_lstms(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        for k, shape in enumerate([(4, 12), (3, 12), (12,), (3,)]):  # with peepholes, for example
            file[f"layers/rnn/cell/vars/{k}"] = torch.zeros(shape).numpy()
    with pytest.raises(NameUnknownError, match="holds no LSTMs"):
        from_keras(path)


def test_bad_files_fail(tmp_path: Path) -> None:
    model = model_of(lstm())
    for name in ("a.keras", "a.h5", "a.weights.h5"):
        path = saved(model, tmp_path / name)
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"no model"):
            path.write_bytes(content)
            with pytest.raises(FileFormatError, match=f"{name} is (damaged|neither a .keras file)"):
                from_keras(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_keras(tmp_path / "none.keras")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        from_keras(tmp_path)


def test_archives_without_what_they_need_fail(tmp_path: Path) -> None:
    path = saved(model_of(lstm()), tmp_path / "a.keras")
    with zipfile.ZipFile(path) as archive:
        config, weights = archive.read("config.json"), archive.read("model.weights.h5")
    for members, message in (
        ({"model__weights__h5": weights}, "config.json is missing; it has model.weights.h5"),
        ({"config__json": config}, "model.weights.h5 is missing; it has config.json"),
        ({"config__json": b"{", "model__weights__h5": weights}, "is damaged: "),
        ({"config__json": b"[]", "model__weights__h5": weights}, "does not contain the configuration of a model"),
        (
            {"config__json": b'{"config": {"layers": [3]}}', "model__weights__h5": weights},
            "its configuration was not written by Keras",
        ),
        ({"config__json": config, "model__weights__h5": b"no HDF5"}, "is damaged: "),
    ):
        with pytest.raises(FileFormatError, match=message):
            from_keras(archive_of(tmp_path / "b.keras", **members))
    with zipfile.ZipFile(tmp_path / "c.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
        archive.filelist[-1].file_size = (1 << 30) + 1  # which is only declared
    with pytest.raises(FileFormatError, match="more than this file can contain"):
        from_keras(tmp_path / "c.keras")


def test_files_that_lead_into_others_fail(tmp_path: Path) -> None:
    elsewhere = saved(model_of(lstm()), tmp_path / "elsewhere.weights.h5")
    linked, outside, vast = (tmp_path / f"{name}.weights.h5" for name in ("linked", "outside", "vast"))
    with h5py.File(linked, "w") as file:
        file["layers"] = h5py.ExternalLink(elsewhere, "layers")
        file["model_weights"] = h5py.ExternalLink(elsewhere, "layers")
    with pytest.raises(NameUnknownError, match="holds no LSTMs"):
        from_keras(linked)
    with h5py.File(outside, "w") as file:
        group = file.create_group("layers/lstm/cell/vars")
        group.create_dataset("0", (4, 12), "f4", external=[(str(elsewhere), 0, h5py.h5f.UNLIMITED)])
        group["1"] = torch.zeros(3, 12).numpy()
    with pytest.raises(FileFormatError, match="vars/0 is in another file, which is not read"):
        from_keras(outside)
    with h5py.File(vast, "w") as file:
        group = file.create_group("layers/lstm/cell/vars")
        group.create_dataset("0", (1 << 20, 1 << 12), "f4", chunks=(1, 1 << 12))
        group["1"] = torch.zeros(3, 12).numpy()
    with pytest.raises(FileFormatError, match=r"vars/0 claims shape \[1048576, 4096\]"):
        from_keras(vast)
