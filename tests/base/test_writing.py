"""If the system can't write, one of our errors names the file and says what to do; the old content stays."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import hiddenstate as hs
from hiddenstate.base.files import (
    append_line,
    check_folder_place,
    folder_beside,
    replace_bytes,
    write_bytes,
    writing,
)
from hiddenstate.course.files import copy
from hiddenstate.errors import FileFormatError, FileWriteError
from hiddenstate.training.checkpoint import METRICS, Checkpoint, Position, RunFolder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a full disk, or at a quota."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def where_nothing_may_be_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files without write permission; skipped for root, who may write everywhere."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
        yield


@pytest.mark.parametrize(
    ("number", "what_to_do"),
    [
        (errno.EACCES, "; choose a different place, or allow writing there"),
        (errno.EROFS, "; choose a different place, or allow writing there"),
        (errno.ENOSPC, "; make room, or choose a different place"),
        (errno.EIO, ""),
    ],
)
def test_it_says_what_to_do(number: int, what_to_do: str) -> None:
    with pytest.raises(FileWriteError) as caught, writing("a.file"), writing("a.file"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"cannot write a.file: {os.strerror(number)}{what_to_do}"
    assert caught.value.errno == number
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "elsewhere"),
        PermissionError(13, "Permission denied", "another.file"),
        OSError(5, "Input/output error", "b", None, "c"),
        OSError("no error number"),
        BrokenPipeError(32, "Broken pipe"),
        FileFormatError("what is read is damaged"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_about_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, writing("a.file"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("name", ["a.file", "a.file/inside", "a.file.0123.part", ".a.file.0123.partial", ""])
def test_what_is_beside_in_or_around_is_about_the_file(name: str) -> None:
    with pytest.raises(FileWriteError, match=r"cannot write a\.file"), writing("a.file"):
        raise PermissionError(13, "Permission denied", name)


def test_a_name_that_is_too_long_fails(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(FileWriteError, match="File name too long"):
        hs.LSTM(2, 3).trace(torch.zeros(2, 2)).save(path)
    assert content(tmp_path) == {}


WRITERS: dict[str, Callable[[Path], object]] = {
    "trace": lambda path: hs.LSTM(2, 3).trace(torch.randn(300, 2)).save(path),
    "bytes": lambda path: replace_bytes(path, os.urandom(9000)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "file")
    before = content(tmp_path)
    with no_file_beyond(4096), pytest.raises(FileWriteError, match=r"cannot write .*file: File too large; make room"):
        WRITERS[name](tmp_path / "file")
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    WRITERS[name](tmp_path / "file")
    before = content(tmp_path)
    with (
        where_nothing_may_be_written(monkeypatch),
        pytest.raises(FileWriteError, match="Permission denied; choose a different"),
    ):
        WRITERS[name](tmp_path / "file")
    assert content(tmp_path) == before


def test_folders_that_were_made_for_nothing_are_deleted(tmp_path: Path) -> None:
    def fill(target: Path) -> None:
        with folder_beside(target) as partial:
            partial.mkdir()
            write_bytes(partial / "one", b"one")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FileWriteError, match="cannot write .*model"):
        fill(tmp_path / "a" / "b" / "model")
    assert content(tmp_path) == {}


def test_a_line_is_added_whole_or_not(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_line(path, "one")
    with no_file_beyond(7), pytest.raises(FileWriteError, match="File too large"):
        append_line(path, "another")  # only three bytes fit
    assert path.read_text() == "one\n"
    append_line(path, "two")
    assert path.read_text() == "one\ntwo\n"


def test_obsolete_files_stay_if_the_new_one_has_no_room(tmp_path: Path) -> None:
    obsolete = tmp_path / "obsolete"
    obsolete.write_text("o")
    with no_file_beyond(1), pytest.raises(FileWriteError):
        replace_bytes(tmp_path / "file", b"one", obsolete=[obsolete])
    assert content(tmp_path) == {"obsolete": b"o"}
    replace_bytes(tmp_path / "file", b"one", obsolete=[obsolete, tmp_path / "absent"])
    assert content(tmp_path) == {"file": b"one"}


def test_a_run_that_cannot_begin_leaves_the_finished_one(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin("first")
    run.log("step", {"loss": 1.0})
    run.write(Checkpoint(Position(), "data", {"w": torch.ones(2)}), finished=True)
    before = content(tmp_path)
    with no_file_beyond(900), pytest.raises(FileWriteError, match=r"cannot write .*run\.toml"):
        run.begin("x" * 1000)
    assert content(tmp_path) == before
    run.begin("second")
    assert METRICS not in content(run.path)


@pytest.mark.parametrize("most", [0, 60])
def test_a_folder_of_a_run_in_which_nothing_fits_is_not_made(tmp_path: Path, most: int) -> None:
    """Not even the note about the process that trains there fits into 60 bytes."""
    with no_file_beyond(most), pytest.raises(FileWriteError, match="cannot write .*deep"):
        RunFolder(tmp_path / "deep" / "run").begin("")
    assert content(tmp_path) == {}


def test_notebooks_that_do_not_fit_can_be_copied_again(tmp_path: Path) -> None:
    with no_file_beyond(2000), pytest.raises(FileWriteError, match="cannot write .*course"):
        copy(tmp_path / "course")
    assert content(tmp_path) == {}
    assert copy(tmp_path / "course")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    (tmp_path / "file").write_text("")
    for name in ("new", "new/deeper"):
        check_folder_place(tmp_path / name, is_replaced=is_replaced)
    with pytest.raises(FileWriteError, match=r"cannot write .*deeper: Not a directory"):
        check_folder_place(tmp_path / "file" / "deeper", is_replaced=is_replaced)
    with (
        where_nothing_may_be_written(monkeypatch),
        pytest.raises(FileWriteError, match=r"cannot write .*new/deeper: P"),
    ):
        check_folder_place(tmp_path / "new" / "deeper", is_replaced=is_replaced)
    assert content(tmp_path) == {"file": b""}
