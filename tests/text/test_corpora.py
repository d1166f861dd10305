"""Fetching is tested with the real code path, against a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hiddenstate.errors import ArgumentError, DownloadError, FileFormatError, FileWriteError, MissingDependencyError
from hiddenstate.text import corpora
from hiddenstate.text.corpora import (
    CACHE_VARIABLE,
    CORPORA,
    Corpus,
    CorpusPart,
    Remote,
    corpus_path,
    get,
    is_cached,
)

TEXT = "".join(f"line {k}, é\n" for k in range(20)).encode()
NAME = "a-corpus"


@dataclass
class Server:
    """The content served, as bytes by path; and the paths that were requested."""

    files: dict[str, bytes]
    address: str = ""
    asked: list[str] = field(default_factory=list)
    cut: bool = False


def remote(name: str, data: bytes) -> Remote:
    return Remote(name, hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server with a two-file corpus, registered under `NAME`; and an empty cache."""
    served = Server({"/text.txt": TEXT, "/other.txt": b"other\n"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            data = served.files.get(self.path)
            self.send_response(404 if data is None else 200)
            data = data or b"nothing here"
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if served.cut else data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.address = f"http://127.0.0.1:{http.server_address[1]}/"
    known = Corpus(
        title="A corpus",
        licence="public domain",
        source="https://example.org",
        address=served.address,
        files=(remote("text.txt", TEXT), remote("other.txt", b"other\n")),
        parts={
            "train": CorpusPart("text.txt", 0, 0.5),
            "dev": CorpusPart("text.txt", 0.5, 1),
            "test": CorpusPart("other.txt"),
        },
    )
    monkeypatch.setattr(corpora, "CORPORA", {NAME: known, **CORPORA})
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def test_get_fetches_once_and_cuts_the_parts(server: Server, tmp_path: Path) -> None:
    assert not is_cached(NAME)
    parts = get(NAME)
    assert is_cached(NAME)
    folder = tmp_path / "cache" / NAME
    assert parts == {"train": folder / "train.txt", "dev": folder / "dev.txt", "test": folder / "other.txt"}
    halves = [parts[name].read_text(encoding="utf-8") for name in ("train", "dev")]
    assert "".join(halves) == TEXT.decode()
    assert len(halves[0]) == len(halves[1])
    assert get(NAME) == parts
    assert server.asked == ["/text.txt", "/other.txt"]


def test_a_link_in_the_cache_is_not_written_through(server: Server, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "cache" / NAME
    outside.write_text("years of work")
    folder.mkdir(parents=True)
    (folder / "dev.txt").symlink_to(outside)
    with pytest.raises(FileWriteError, match="it is a link to .*outside"):
        get(NAME)
    assert outside.read_text() == "years of work"


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    get(NAME)
    (tmp_path / "cache" / NAME / "text.txt").write_bytes(b"damaged")
    assert get(NAME)["train"].read_bytes() in TEXT
    assert server.asked.count("/text.txt") == 2


def test_another_file_than_the_known_one_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/text.txt"] = TEXT + b"more"
    with pytest.raises(FileFormatError, match="is not the expected one: SHA256 hash"):
        get(NAME)
    assert list((tmp_path / "cache" / NAME).iterdir()) == []


def test_a_file_that_is_gone(server: Server) -> None:
    del server.files["/other.txt"]
    with pytest.raises(DownloadError, match=r"other\.txt could not be downloaded \(404"):
        get(NAME)


def test_a_connection_that_breaks(server: Server) -> None:
    server.cut = True
    with pytest.raises((DownloadError, FileFormatError)):
        get(NAME)
    assert not is_cached(NAME)


def test_without_a_network(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fetched = get(NAME)
    gone = Corpus(**{**vars(corpora.CORPORA[NAME]), "address": "http://127.0.0.1:9/"})
    monkeypatch.setattr(corpora, "CORPORA", {NAME: gone})
    assert get(NAME) == fetched  # cached files need no server
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(DownloadError, match="with a network connection, or get it by hand and put it into") as caught:
        get(NAME)
    assert isinstance(caught.value, OSError)


def test_files_put_there_by_hand_will_do(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / NAME
    folder.mkdir(parents=True)
    (folder / "text.txt").write_bytes(TEXT)
    (folder / "other.txt").write_bytes(b"other\n")
    get(NAME)
    assert server.asked == []


def test_path_of(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert corpus_path(f"{NAME}:test").read_bytes() == b"other\n"
    assert corpus_path("any/path.txt") == Path("any/path.txt")
    assert corpus_path(tmp_path) == tmp_path
    for wrong in (NAME, f"{NAME}:", f"{NAME}:part"):
        with pytest.raises(ArgumentError, match=f"is not a part of a corpus; the parts are {NAME}:train"):
            corpus_path(wrong)
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_text("a file of that name")
    assert corpus_path(NAME) == Path(NAME)


def test_unknown_name() -> None:
    with pytest.raises(ArgumentError, match="there is no corpus named 'nothing'; the corpora are ud-english-ewt"):
        get("nothing")


def test_without_pooch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[corpora\]'"):
        get("wikitext-2")


def test_the_table() -> None:
    for known in CORPORA.values():
        assert known.address.startswith("https://")
        assert known.address.endswith("/")
        assert known.licence
        assert all(len(file.sha256) == 64 for file in known.files)
        assert {part.file for part in known.parts.values()} <= {file.name for file in known.files}
        assert list(known.parts) == ["train", "dev", "test"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("ud-english-ewt", "ud_english_ewt"), ("tiny-shakespeare", "tinyshakespeare"), ("wikitext-2", "wikitext2")],
)
def test_the_known_hashes_are_those_of_the_files(corpora: Path, name: str, folder: str) -> None:
    for file in CORPORA[name].files:
        data = (corpora / folder / file.name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (file.sha256, file.size)
