import io
from pathlib import Path

import pytest

from hiddenstate.errors import FileFormatError
from hiddenstate.text.source import name_of, read_text


@pytest.mark.parametrize("text", ["", "héé\r\nx", "\ufeffhéé\r\nx"])
def test_read_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(text.encode())
    with path.open("rb") as stream:
        read = [read_text(source) for source in (path, str(path), stream, io.StringIO(text, newline=""))]
    assert read == [text.removeprefix("\ufeff")] * 4


def test_read_text_fails(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"h\xe9")
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        for source in (path, binary, text):
            with pytest.raises(FileFormatError, match=r"latin1\.txt: not UTF-8 text .* at byte 1\); convert it"):
                read_text(source)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_name_of(tmp_path: Path) -> None:
    assert name_of(tmp_path / "a") == str(tmp_path / "a")
    assert name_of("a") == "a"
    assert name_of(io.StringIO()) == "<stream>"
