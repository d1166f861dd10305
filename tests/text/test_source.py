import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import FileFormatError
from hiddenstate.text.source import describe_source, read_chunks, read_text


@pytest.mark.parametrize("text", ["", "héé\r\nx", "\ufeffhéé\r\nx", "héé\rx", "héé\nx"])
def test_read_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(text.encode())
    with path.open("rb") as stream:
        read = [read_text(source) for source in (path, str(path), stream, io.StringIO(text, newline=""))]
    assert read == ["héé\nx" if text else ""] * 4


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
    assert describe_source(tmp_path / "a") == str(tmp_path / "a")
    assert describe_source("a") == "a"
    assert describe_source(io.StringIO()) == "<stream>"


def test_read_chunks_gives_the_text_with_one_kind_of_line_end(tmp_path: Path) -> None:
    text = "a\r\nü\rb\n戦\n\r\n😀"
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    for size in (1, 2, 3, 1000):
        assert "".join(read_chunks(path, size)) == "a\nü\nb\n戦\n\n😀"
        assert "".join(read_chunks(io.StringIO(text, newline=""), size)) == "a\nü\nb\n戦\n\n😀"
    assert list(read_chunks(io.BytesIO(b""))) == []
    assert list(read_chunks(io.BytesIO("\ufeff".encode()))) == []
    assert list(read_chunks(io.BytesIO(b"a\r"), 1)) == ["a", "\n"]


@given(st.text(), st.integers(1, 9))
def test_chunks_are_the_whole(text: str, size: int) -> None:
    # Python's own reading of a file is the reference.
    whole = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8").read().removeprefix("\ufeff")
    assert "".join(read_chunks(io.BytesIO(text.encode()), size)) == whole


def test_read_chunks_says_where_it_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes("größer é ".encode() + "über".encode("latin-1"))
    for size in (1, 3, 4, 1000):
        with pytest.raises(FileFormatError, match=r"latin1\.txt: not UTF-8 text \(invalid start byte at byte 12\)"):
            list(read_chunks(path, size))
    for data, at in ((b"ab\xe2\x82", 2), ("ab".encode("utf-16"), 0)):
        with pytest.raises(FileFormatError, match=f"at byte {at}.*convert it to UTF-8"):
            list(read_chunks(io.BytesIO(data), 1))
    with path.open(encoding="utf-8") as text, pytest.raises(FileFormatError, match="at byte 12"):
        list(read_chunks(text))
    with pytest.raises(FileNotFoundError):
        list(read_chunks(tmp_path / "none.txt"))


def test_a_pipe_is_read_as_it_comes() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        chunks = read_chunks(source)
        sink.write(b"first ")
        assert next(chunks) == "first "
        sink.write(b"second")
        assert next(chunks) == "second"
