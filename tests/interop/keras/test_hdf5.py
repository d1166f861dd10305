"""HDF5 read in separate processes: its results, and that its failures do not affect the caller."""

import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate.errors import FileFormatError, MissingDependencyError
from hiddenstate.interop.keras import file as hdf5
from hiddenstate.interop.keras.file import Hdf5, Hdf5Item

BEGUN = "import os, sys, time; print('begun', flush=True); "
ARRAYS = {
    "float": np.arange(12, dtype=np.float32).reshape(3, 4),
    "other-order": np.arange(6, dtype=">f8").reshape(2, 3),
    "scalar": np.array(3, np.int16),
    "none": np.zeros((0, 4), np.float32),
    "packed": np.ones((100, 7), np.float64),
    "two-bytes": np.arange(5, dtype=np.uint16).view("V2"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file.create_dataset(f"group/{name}", data=array, compression="gzip" if name == "packed" else None)
        file["texts"] = ["a", "b"]
        file["group"].attrs["name"] = "a name"
        file["group"].attrs["bytes"] = b"some bytes"
        file["group"].attrs["number"] = 3
        file.attrs["long"] = "x" * 1000
    return path


def program(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Replace the program that reads."""
    script = folder / "program.py"
    script.write_text(text)
    monkeypatch.setattr(hdf5, "PROGRAM", script)


def opened(path: Path) -> Hdf5:
    return Hdf5(path, None, 1 << 20)


@pytest.mark.parametrize("is_packed", [False, True])
def test_it_gives_what_h5py_gives(path: Path, is_packed: bool) -> None:
    file = Hdf5(Path("nowhere"), path.read_bytes(), 1 << 20) if is_packed else opened(path)
    items = file.list(("name", "bytes", "number", "long", "other"), 2000)
    assert set(items) == {"", "group", "texts", *(f"group/{name}" for name in ARRAYS)}
    assert items["group"].texts == {"name": "a name", "bytes": "some bytes", "number": ""}
    assert items[""].texts == {"long": "x" * 1000}
    assert items["texts"].dtype.hasobject
    assert items["group"].shape is None
    arrays = file.read([items[f"group/{name}"] for name in ARRAYS])
    for found, array in zip(arrays, ARRAYS.values(), strict=True):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    program(monkeypatch, tmp_path, f"{BEGUN}import signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(FileFormatError, match=rf"a\.h5 is damaged: it crashed the HDF5 library \({name}\)"):
        hs.from_keras(path)


def test_a_crash_amid_an_array_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = hdf5.PROGRAM.read_text()
    assert "answers.write(array.data)" in text
    program(monkeypatch, tmp_path, text.replace("array.data)", "array.data[:3]); answers.flush(); os.abort()"))
    file = opened(path)
    with pytest.raises(FileFormatError, match=r"crashed the HDF5 library \(SIGABRT\)"):
        file.read([file.list((), 0)["group/float"]])


def test_what_hangs_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    monkeypatch.setattr(hdf5, "_PATIENCE", 1)
    program(monkeypatch, tmp_path, f"{BEGUN}time.sleep(1000)")
    began = time.monotonic()
    with pytest.raises(FileFormatError, match=r"a\.h5 takes more than 1 seconds to read, or is damaged"):
        hs.from_keras(path)
    assert time.monotonic() - began < 500


def test_what_is_busy_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 2)  # CPU seconds, including those for loading the library
    text, order = hdf5.PROGRAM.read_text(), "    items: dict[str, Any] = "
    assert order in text
    program(monkeypatch, tmp_path, text.replace(order, f"    while True:\n        pass\n{order}"))
    with pytest.raises(FileFormatError, match="takes more than 2 seconds to read"):
        hs.from_keras(path)


def test_what_takes_much_memory_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "vast.h5", "w") as file:
        file.create_dataset("vast", (1 << 15, 1 << 15), "f4", chunks=(1 << 5, 1 << 15), compression="gzip")
    with pytest.raises(FileFormatError, match=r"vast\.h5 is damaged: Unable to allocate"):
        # The caller believes that it is small.
        opened(tmp_path / "vast.h5").read([Hdf5Item("/vast", {}, (4,), np.dtype("f4"))])


def test_names_without_end_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_LONGEST_ANSWER", 100)
    with pytest.raises(FileFormatError, match=r"a\.h5 has more groups and datasets than Keras files have"):
        hs.from_keras(path)


def test_a_text_that_is_too_long_is_refused(path: Path) -> None:
    with pytest.raises(FileFormatError, match="is damaged: long has 1,000 bytes, expected at most 999"):
        opened(path).list(("long",), 999)


def test_arrays_of_another_size_are_refused(path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"a\.h5 is damaged: its arrays are not of the sizes that it declares"):
        opened(path).read([Hdf5Item("/group/float", {}, (4,), np.dtype("f4"))])


def test_no_python_to_read_with_fails(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path, "import a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match="did not start: ModuleNotFoundError: No module named 'a_package"):
        hs.from_keras(path)
    for name, said in (
        ("", "there is no Python interpreter to run it"),
        ("/no/such/python", "can't be run to read it"),
    ):
        monkeypatch.setattr(sys, "executable", name)
        with pytest.raises(MissingDependencyError, match=said):
            hs.from_keras(path)
