"""Every problem with a file becomes one of our errors, with the file's name."""

import zipfile
import zlib
from pathlib import Path

import pytest

from hiddenstate.base.reading import check_zip, reading, unpacked_limit
from hiddenstate.errors import FileFormatError, MissingDependencyError, NameUnknownError, ShapeError

FOREIGN = [
    *(KeyError("a"), TypeError("t"), ValueError("v"), OverflowError("o"), RecursionError("r"), IndexError("i")),
    *(zlib.error("z"), zipfile.BadZipFile("b"), UnicodeDecodeError("utf-8", b"a", 0, 1, "u"), MemoryError()),
    *(OSError("no error number"), OSError(22, "Invalid argument"), FileNotFoundError(2, "No such file", "elsewhere")),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_foreign_errors_become_ours(error: Exception) -> None:
    with pytest.raises(FileFormatError, match=r"a\.file") as caught, reading("a.file"):
        raise error
    assert caught.value.__cause__ is error


def test_a_long_message_is_cut() -> None:
    with pytest.raises(FileFormatError) as caught, reading("a.file"):
        raise ValueError("x" * 10_000)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", [ShapeError, FileFormatError, NameUnknownError])
def test_errors_of_ours_get_the_files_name_once(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, reading("a.file"), reading("a.file"):
        raise kind("something is wrong")
    assert str(caught.value) == "a.file: something is wrong"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("no such file: a.file"),
        PermissionError(13, "Permission denied", "a.file"),
        OSError(5, "Input/output error"),
        MissingDependencyError("needs more"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_no_fault_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, reading("a.file"):
        raise error
    assert caught.value is error
    assert "damaged" not in str(error)


def test_a_zip_says_how_much_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1000))
        archive.writestr("b", bytes(500))
    assert check_zip(path) == 1500
    assert unpacked_limit(path) == 1 << 28
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(3):
            archive.writestr(str(k), b"")
            archive.filelist[-1].file_size = 1 << 27  # which is only declared
    with pytest.raises(FileFormatError, match="402,653,184 bytes unpacked, more than this file can contain"):
        check_zip(path)
