"""Collects sentences from files or a pipe into batches, and writes the results as they arrive."""

import os
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, TextIO

from hiddenstate.cli.outputs import STANDARD, standard_input
from hiddenstate.cli.tag_format import Format, Layout
from hiddenstate.cli.tag_jobs import Workers
from hiddenstate.text.passages import IncrementalReader, Passage
from hiddenstate.text.source import describe_source, read_chunks

WORDS_TOGETHER = 80_000  # approximate batch size; larger batches take more memory and are no faster
LULL = 0.05  # seconds without input after which the pending sentences are tagged
CHUNK = 2**16  # bytes
# Writes to a pipe up to this size arrive whole or not at all (POSIX: PIPE_BUF), even if this process is killed.
WHOLE = 4096

# The kind of input by file suffix; for other files, the content decides.
SUFFIXES = {".conllu": "conllu", ".conll": "conllu", ".tokens": "tokens", ".tok": "tokens"}


class Watched:
    """A byte stream that calls a function before it waits for input."""

    def __init__(self, stream: BinaryIO, name: str, on_lull: Callable[[], None]) -> None:
        self.name, self._stream, self._on_lull = name, stream, on_lull
        self._read = getattr(stream, "read1", stream.read)

    def read(self, size: int) -> bytes:
        """Read the available bytes, or wait for some."""
        if not self._is_ready():
            self._on_lull()
        read: bytes = self._read(size)
        return read

    def _is_ready(self) -> bool:
        try:
            number = self._stream.fileno()
            return bool(select.select([number], [], [], LULL)[0])
        except (OSError, ValueError):  # not a real file, or one that Windows can't poll
            return os.name != "nt"


class Writer:
    """Writes the sentences of finished batches, each one whole even if the process is killed.

    Attributes:
        sentences: how many have been written.
    """

    def __init__(self, stream: TextIO, on_progress: Callable[[int], None]) -> None:
        self._stream, self._on_progress = stream, on_progress
        self.sentences = 0

    def write(self, texts: Sequence[str], separator: str) -> None:
        """Write sentences, with a separator between them."""
        pieces = [separator + text for text in texts]
        if pieces and not self.sentences:
            pieces[0] = texts[0]
        for piece in _pieces(pieces):
            self._stream.write(piece)
            self._stream.flush()
        self.sentences += len(texts)
        self._on_progress(self.sentences)


class Batches:
    """Collects passages into batches, and writes the workers' results.

    Attributes:
        words: the number of words written.
    """

    def __init__(self, workers: Workers, writer: Writer, format_: Format | None, top_k: int | None) -> None:
        self._workers, self._writer, self._format, self._top_k = workers, writer, format_, top_k
        self._pending: list[Passage] = []
        self._pending_words = self.words = 0

    def add(self, passages: Iterable[Passage]) -> None:
        """Take passages; the kind of the first decides the format if none was chosen."""
        for passage in passages:
            self._format = self._format or (Format.conllu if passage.kind == "conllu" else Format.table)
            self._pending.append(passage)
            self._pending_words += passage.about_words
            if self._pending_words >= WORDS_TOGETHER:
                self._submit()
                self._write(all_=False)

    def flush(self) -> None:
        """Write everything received so far."""
        self._submit()
        self._write(all_=True)

    def _submit(self) -> None:
        if self._pending:
            self._workers.submit(self._pending, self._layout)
            self._pending, self._pending_words = [], 0

    def _write(self, *, all_: bool) -> None:
        for texts, words in self._workers.finished(all_=all_):
            self._writer.write(texts, self._layout.separator)
            self.words += words

    @property
    def sentences(self) -> int:
        """The number of sentences written."""
        return self._writer.sentences

    @property
    def _layout(self) -> Layout:
        return Layout(self._format or Format.table, self._top_k)


def feed(file: str, kind: str | None, batches: Batches) -> None:
    """Read a file or standard input into batches; pending sentences are tagged when the input pauses.

    Raises:
        ArgumentError: standard input is closed.
        FileFormatError: it is not UTF-8, or not CoNLL-U.
        OSError: it can't be read.
    """
    with nullcontext(standard_input()) if file == STANDARD else Path(file).open("rb") as opened:
        name = describe_source(opened)
        reader = IncrementalReader(kind or SUFFIXES.get(Path(file).suffix.lower()), name)

        def answer() -> None:
            batches.add(reader.pause())
            batches.flush()

        for text in read_chunks(Watched(opened, name, answer), CHUNK):  # type: ignore[arg-type]
            batches.add(reader.feed(text))
        batches.add(reader.end())


def _pieces(texts: Sequence[str]) -> Iterator[str]:
    """Join sentences into chunks that a pipe accepts in full; longer sentences are cut at line ends."""
    piece, size = list[str](), 0
    for text in texts:
        whole = _size(text) <= WHOLE
        for part in (text,) if whole else [f"{line}\n" for line in text.removesuffix("\n").split("\n")]:
            length = _size(part)
            if size and size + length > WHOLE:
                yield "".join(piece)
                piece, size = [], 0
            piece.append(part)
            size += length
    if piece:
        yield "".join(piece)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
