import os
import resource
import threading
from pathlib import Path

import pytest
import torch

from hiddenstate.base.files import (
    check_place,
    folder_beside,
    mend_folder,
    put_folder,
    replace_bytes,
    write_bytes,
    write_tensors,
    written_beside,
)
from hiddenstate.errors import FileWriteError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(content)
    return folder


def test_replace_bytes(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        replace_bytes(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert names(tmp_path) == ["file"]


def test_replace_bytes_fails(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        replace_bytes(tmp_path / "file", b"one")
    assert names(tmp_path) == ["file"]


def test_put_folder(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with folder_beside(tmp_path / "here") as partial:
            put_folder(make(partial, content), tmp_path / "here")
        assert (tmp_path / "here" / "file").read_text() == content
    assert names(tmp_path) == ["here"]


def test_what_was_not_put_is_deleted(tmp_path: Path) -> None:
    with folder_beside(tmp_path / "here") as partial:
        write_bytes(make(partial, "one") / "more", b"")
        assert names(tmp_path) == [partial.name]
    assert names(tmp_path) == []


@pytest.mark.parametrize("left", ["partial", "previous", "both"])
def test_mend_after_a_kill(tmp_path: Path, left: str) -> None:
    target = tmp_path / "here[1]"
    if left in ("partial", "both"):
        make(tmp_path / f".{target.name}.0123.partial", "new")
    make(target if left == "partial" else tmp_path / f".{target.name}.0123.previous", "old")
    make(tmp_path / ".here1.0123.previous", "of another")
    mend_folder(target)
    assert names(tmp_path) == [".here1.0123.previous", target.name]
    assert (target / "file").read_text() == "old"


def test_mend_deletes_the_earlier_where_the_later_is_whole(tmp_path: Path) -> None:
    make(tmp_path / ".here.0123.previous", "old")
    make(tmp_path / "here", "new")
    mend_folder(tmp_path / "here")
    assert names(tmp_path) == ["here"]
    assert (tmp_path / "here" / "file").read_text() == "new"
    mend_folder(tmp_path / "nowhere")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("one")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "file")
    with written_beside(tmp_path / "link") as beside:
        beside.write_text("two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "file").read_text() == "two"
    assert (names(tmp_path), names(tmp_path / "deep")) == (["deep", "link"], ["file"])


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    with written_beside(tmp_path / "pipe") as beside:
        beside.write_text("through it")
    assert (tmp_path / "pipe").is_fifo()
    reader.join(timeout=60)
    assert read == [b"through it"]
    assert names(tmp_path) == ["pipe"]


def test_tensors_that_cannot_be_written(tmp_path: Path) -> None:
    """As on a full disk: the old content stays, and the error is the system's."""
    write_tensors(tmp_path / "file", "kind", {"a": torch.ones(2)}, {})
    before = (tmp_path / "file").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*file: File too large"):
            write_tensors(tmp_path / "file", "kind", {"a": torch.ones(2000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "file").read_bytes() == before
    assert names(tmp_path) == ["file"]


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    with (
        pytest.raises(IsADirectoryError, match="it is a folder, expected a file"),
        written_beside(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_found_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_place(tmp_path / "file")
    check_place("/dev/null")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "file")
    for path in (tmp_path / "nowhere" / "file", tmp_path / "link"):
        with pytest.raises(FileNotFoundError, match=r"cannot write .*: there is no folder .*nowhere"):
            check_place(path)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        check_place(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    with pytest.raises(FileWriteError, match="Permission denied; choose a different place"):
        check_place(tmp_path / "file")
    assert names(tmp_path) == ["link"]
