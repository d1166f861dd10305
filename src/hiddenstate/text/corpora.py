"""Real corpora by name, or any by path, downloaded once into the user's cache and checked against a hash."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from hiddenstate.base.files import refuse_link, writing, written_beside
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, DownloadError, FileFormatError
from hiddenstate.text.source import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

StrPath = str | os.PathLike[str]

# The environment variable that names a folder for downloads, instead of the system's cache folder.
CACHE_VARIABLE = "HIDDENSTATE_CACHE"


class Remote(NamedTuple):
    """An upstream file: its name below the corpus's address, its SHA-256 and its size in bytes."""

    name: str
    sha256: str
    size: int


class CorpusPart(NamedTuple):
    """The train, dev or test part: a file, or its characters from ``start`` to ``stop``, as fractions."""

    file: str
    start: float = 0.0
    stop: float = 1.0


@dataclass(frozen=True)
class Corpus:
    """A corpus: its title, its licence, and where to find its files.

    Attributes:
        title: what it is.
        licence: its terms, as its makers state them.
        source: the address of a web page about it.
        address: the base URL of its files.
        files: every file.
        parts: train, dev and test.
    """

    title: str
    licence: str
    source: str
    address: str
    files: tuple[Remote, ...]
    parts: Mapping[str, CorpusPart]

    @property
    def size(self) -> int:
        """The total size of all files in bytes."""
        return sum(file.size for file in self.files)


def _described(data: Mapping[str, Any]) -> Corpus:
    files = tuple(Remote(*file) for file in data["files"])
    return Corpus(
        **{**data, "files": files, "parts": {name: CorpusPart(*part) for name, part in data["parts"].items()}}
    )


CORPORA: Mapping[str, Corpus] = MappingProxyType({
    name: _described(data)
    for name, data in tomllib.loads(Path(__file__).with_name("corpora.toml").read_text("utf-8")).items()
})  # fmt: skip


def cache_folder() -> Path:
    """Return the folder of the corpora: ``$HIDDENSTATE_CACHE``, or the system's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(_pooch().os_cache("hiddenstate"))


def corpus(name: str) -> Corpus:
    """Return the description of a corpus."""
    if name not in CORPORA:
        raise ArgumentError(
            f"there is no corpus named {name!r}; the corpora are {' '.join(CORPORA)} (a path also works)"
        )
    return CORPORA[name]


def get(name: str) -> dict[str, Path]:
    """Return the paths of a corpus's train, dev and test parts; files that are not in the cache are downloaded.

    Every file is checked against its known hash, even in the cache; cached files need no network.

    Args:
        name: one of `CORPORA`.

    Raises:
        ArgumentError: no corpus has this name.
        DownloadError: a file could not be downloaded.
        FileFormatError: a downloaded file has the wrong hash.
        MissingDependencyError: pooch is not installed.
        FileWriteError: a file cannot be written.
    """
    known = corpus(name)
    folder = cache_folder() / name
    for file in known.files:
        _fetch(known, file, folder)
    return {part: _part(folder, part, where) for part, where in known.parts.items()}


def corpus_path(path: StrPath) -> Path:
    """Return a path unchanged; for a part of a corpus, such as ``wikitext-2:train``, download it and return its path.

    Raises:
        ArgumentError: the corpus has no such part.
        DownloadError, FileFormatError, MissingDependencyError, FileWriteError: see `get`.
    """
    if not names_corpus(path):
        return Path(path)
    name, _, part = str(path).partition(":")
    if part not in CORPORA[name].parts:
        parts = " ".join(f"{name}:{known}" for known in CORPORA[name].parts)
        raise ArgumentError(f"{str(path)!r} is not a part of a corpus; the parts are {parts}")
    return get(name)[part]


def names_corpus(path: StrPath) -> bool:
    """Whether this names a corpus or a part of one, rather than an existing file."""
    return str(path).partition(":")[0] in CORPORA and not Path(path).exists()


def is_cached(name: str) -> bool:
    """Whether the files of a corpus are in the cache (their hashes are checked when they are used)."""
    folder = cache_folder() / name
    return all((folder / file.name).is_file() for file in corpus(name).files)


def _pooch() -> Any:
    return optional_package("pooch", "corpora", "fetching a corpus")


def _fetch(known: Corpus, file: Remote, folder: Path) -> None:
    url, pooch = known.address + file.name, _pooch()
    from requests import RequestException  # comes with pooch

    by_hand = f"or get it by hand and put it into {folder}"
    try:
        with writing(folder):
            try:
                pooch.retrieve(url, f"sha256:{file.sha256}", fname=file.name, path=folder)
            except PermissionError as error:  # if it concerns a folder, only its cause has the system's error number
                raise (error.__cause__ if error.errno is None else None) or error from None
    except RequestException as error:
        raise DownloadError(
            f"{url} could not be downloaded ({error}); try again with a network connection, {by_hand}"
        ) from error
    except ValueError as error:  # raised by pooch if the hash differs
        raise FileFormatError(f"the file from {url} is not the expected one: {error}") from error


def _part(folder: Path, name: str, part: CorpusPart) -> Path:
    """Return the path of a part; if it is a share of a file, that share is extracted first."""
    whole = folder / part.file
    if (part.start, part.stop) == (0, 1):
        return whole
    text, path = read_text(whole), whole.with_stem(name)
    text = text[int(part.start * len(text)) : int(part.stop * len(text))]
    if not path.is_file() or path.read_bytes() != text.encode():  # otherwise another process may be reading it
        refuse_link(path)
        with written_beside(path) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    return path
