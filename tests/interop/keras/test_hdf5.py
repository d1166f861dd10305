"""HDF5 read in a separate process: its results, and that its failures do not affect the caller."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate.errors import FileFormatError, MissingDependencyError
from hiddenstate.interop.keras import hdf5
from hiddenstate.interop.keras.hdf5 import Hdf5, opened

READY = "import json, os, sys, time; sys.stdin.readline(); print(json.dumps({'ready': True}), flush=True); "
ARRAYS = {
    "float": np.arange(12, dtype=np.float32).reshape(3, 4),
    "other-order": np.arange(6, dtype=">f8").reshape(2, 3),
    "scalar": np.array(3, np.int16),
    "none": np.zeros((0, 4), np.float32),
    "packed": np.ones((100, 7), np.float64),
    "two-bytes": np.arange(5, dtype=np.uint16).view("V2"),
}


@pytest.fixture(autouse=True)
def children(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The started processes."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*given: Any, **more: Any) -> "subprocess.Popen[bytes]":
        started.append(popen(*given, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


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


def listed(file: Hdf5, *texts: str, longest: int = 2000) -> dict[str, hdf5.Hdf5Item]:
    return file.list("/", texts, longest)


@pytest.mark.parametrize("is_packed", [False, True])
def test_it_gives_what_h5py_gives(path: Path, children: list["subprocess.Popen[bytes]"], is_packed: bool) -> None:
    content = path.read_bytes() if is_packed else None
    with opened(path if not is_packed else Path("nowhere"), content, 1 << 20) as file:
        items = listed(file, "name", "bytes", "number", "long", "other")
        assert set(items) == {"", "group", "texts", *(f"group/{name}" for name in ARRAYS)}
        assert items["group"].texts == {"name": "a name", "bytes": "some bytes", "number": ""}
        assert items[""].texts == {"long": "x" * 1000}
        assert items["texts"].dtype.hasobject
        assert items["group"].shape is None
        for name, array in ARRAYS.items():
            found = file.read(items[f"group/{name}"])
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.tobytes() == array.tobytes()
        assert set(file.list("/group", (), 0)) == {"", *ARRAYS}
    assert children[0].returncode is not None


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    program(monkeypatch, tmp_path, f"{READY}import signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(FileFormatError, match=rf"a\.h5 is damaged: it crashed the HDF5 library \({name}\)"):
        hs.from_keras(path)


def test_a_crash_amid_an_array_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = hdf5.PROGRAM.read_text()
    assert "answers.write(array.data)" in text
    program(monkeypatch, tmp_path, text.replace("array.data)", "array.data[:3]); answers.flush(); os.abort()"))
    with (
        pytest.raises(FileFormatError, match=r"crashed the HDF5 library \(SIGABRT\)"),
        opened(path, None, 1 << 20) as file,
    ):
        file.read(listed(file)["group/float"])


def test_what_hangs_is_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: list["subprocess.Popen[bytes]"]
) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    monkeypatch.setattr(hdf5, "_PATIENCE", 1)
    program(monkeypatch, tmp_path, f"{READY}time.sleep(1000)")
    with pytest.raises(FileFormatError, match=r"a\.h5 takes more than 1 seconds to read, or is damaged"):
        hs.from_keras(path)
    assert children[0].returncode is not None


def test_what_is_busy_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 2)  # CPU seconds, including those for loading the library
    text, order = hdf5.PROGRAM.read_text(), '    if "list" in order:'
    assert order in text
    program(monkeypatch, tmp_path, text.replace(order, f"    while True:\n        pass\n{order}"))
    with pytest.raises(FileFormatError, match="takes more than 2 seconds to read"):
        hs.from_keras(path)


def test_what_takes_much_memory_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "vast.h5", "w") as file:
        file.create_dataset("vast", (1 << 15, 1 << 15), "f4", chunks=(1 << 5, 1 << 15), compression="gzip")
    with (
        pytest.raises(FileFormatError, match=r"vast\.h5 is damaged: Unable to allocate"),
        opened(tmp_path / "vast.h5", None, 1 << 20) as file,
    ):
        file.read(hdf5.Hdf5Item("/vast", {}, (4,), np.dtype("f4")))  # the caller believes that it is small


def test_names_without_end_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_LONGEST_ANSWER", 100)
    with pytest.raises(FileFormatError, match=r"a\.h5 has more groups and datasets than Keras files have"):
        hs.from_keras(path)


def test_a_text_that_is_too_long_is_refused(path: Path) -> None:
    with (
        pytest.raises(FileFormatError, match="is damaged: long has 1,000 bytes, expected at most 999"),
        opened(path, None, 1 << 20) as file,
    ):
        listed(file, "long", longest=999)


def test_answers_of_another_length_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    text = hdf5.PROGRAM.read_text().replace('"nbytes": array.nbytes', '"nbytes": array.nbytes + 1')
    program(monkeypatch, tmp_path, text)
    with pytest.raises(FileFormatError, match=r"a\.h5 is "), opened(path, None, 1 << 20) as file:
        file.read(listed(file)["group/float"])


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


def test_it_needs_nowhere_to_write(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container with only read-only disks."""

    def refuse(*given: Any, **more: Any) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with opened(path, None, 1 << 20) as file:
        assert file.read(listed(file)["group/float"]).tobytes() == ARRAYS["float"].tobytes()
    program(monkeypatch, tmp_path, "import a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match="did not start: exit code 1"):
        hs.from_keras(path)
