"""Real corpora by name, or any by path, downloaded once into the user's cache and checked against a hash."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from hiddenstate.base.files import refuse_link, written_beside
from hiddenstate.base.validation import optional_package
from hiddenstate.base.writing import writing
from hiddenstate.errors import ArgumentError, DownloadError, FileFormatError
from hiddenstate.text.source import read_text

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


CORPORA: Mapping[str, Corpus] = MappingProxyType({
    "ud-english-ewt": Corpus(
        title="Universal Dependencies English Web Treebank, May 2025: CoNLL-U",
        licence="annotations CC BY-SA 4.0; for the texts see the README at the source",
        source="https://github.com/UniversalDependencies/UD_English-EWT",
        address="https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/"
        "15d613d8447b3478787d4c278730a1e48a945efb/",
        files=(
            Remote(
                "en_ewt-ud-train.conllu",
                "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
                14_203_025,
            ),
            Remote(
                "en_ewt-ud-dev.conllu", "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6", 1_805_545
            ),
            Remote(
                "en_ewt-ud-test.conllu", "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd", 1_804_515
            ),
        ),
        parts={name: CorpusPart(f"en_ewt-ud-{name}.conllu") for name in ("train", "dev", "test")},
    ),
    "tiny-shakespeare": Corpus(
        title="Plays of Shakespeare, 1.1 million characters: plain text",
        licence="the text is in the public domain; the repository it comes from is under the MIT licence",
        source="https://github.com/karpathy/char-rnn",
        address="https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/"
        "data/tinyshakespeare/",
        files=(Remote("input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", 1_115_394),),
        # Other projects test on the last tenth. It continues the play before it, so that play is used for training.
        parts={
            "train": CorpusPart("input.txt", 0.05, 0.9),
            "dev": CorpusPart("input.txt", 0, 0.05),
            "test": CorpusPart("input.txt", 0.9, 1),
        },
    ),
    "wikitext-2": Corpus(
        title="WikiText-2, 2.1 million words of Wikipedia, rare words as <unk>: plain text, words between spaces",
        licence="CC BY-SA (Wikipedia's texts)",
        source="https://github.com/pytorch/examples/tree/main/word_language_model",
        address="https://raw.githubusercontent.com/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/"
        "word_language_model/data/wikitext-2/",
        files=(
            Remote("train.txt", "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f", 10_797_148),
            Remote("valid.txt", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8", 1_121_681),
            Remote("test.txt", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0", 1_256_449),
        ),
        parts={"train": CorpusPart("train.txt"), "dev": CorpusPart("valid.txt"), "test": CorpusPart("test.txt")},
    ),
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
