from pathlib import Path

import pytest

from hiddenstate.files import folder_beside, mend_folder, put_folder, replace_bytes, write_bytes


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
