"""Tags sentences as they arrive: collects them into batches, which threads or processes tag and format as text."""

import gc
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TextIO

from rich.cells import cell_len

from hiddenstate.cli.conventions import STANDARD, json_line, standard_input
from hiddenstate.corpus.shards.workers import CallsInOrder, WorkerProcesses, work
from hiddenstate.text.conllu import Sentence, to_conllu, with_tags
from hiddenstate.text.passages import IncrementalReader, Passage
from hiddenstate.text.source import describe_source, read_chunks

if TYPE_CHECKING:
    from hiddenstate.models.tagger.tagging import OnlyTags, Tagging, Tags

TABLE_TAGS = 3
SWITCH_INTERVAL = 2e-4  # seconds
WORDS_TOGETHER = 80_000  # approximate batch size; larger batches take more memory and are no faster
LULL = 0.05  # seconds without input after which the pending sentences are tagged
CHUNK = 2**16  # bytes
# Writes to a pipe up to this size arrive whole or not at all (POSIX: PIPE_BUF), even if this process is killed.
WHOLE = 4096

TagFormat = Literal["conllu", "jsonl", "table"]


class SentenceLayout(NamedTuple):
    """The format of tagged sentences."""

    format: TagFormat
    top_k: int | None  # tags per word; None for the format's default

    def text(self, sentence: Sentence, tagging: "Tagging") -> str:
        """Return a tagged sentence, with its final newline."""
        if self.format == "conllu":
            return to_conllu([_filled(sentence, tagging, self.top_k)])
        if self.format == "jsonl":
            return json_line(_data(tagging, self.top_k))
        return _table(tagging, self.top_k or (TABLE_TAGS if len(tagging.columns) == 1 else 1))


def _filled(sentence: Sentence, tagging: "Tagging", top_k: int | None) -> Sentence:
    """Insert the tags of every column, and the requested probabilities, into a sentence."""
    for column, tags in tagging.columns.items():
        sentence = with_tags(sentence, tags.tags, None if top_k is None else tags.top(top_k), column)
    return sentence


def _data(tagging: "Tagging", top_k: int | None) -> dict[str, Any]:
    """Return a sentence for JSON: its words, and the result of `_column` for the first and for each further column."""
    first, *others = tagging.columns.items()
    data = {"words": tagging.words, **_column(first[1], top_k)}
    if others:
        data["columns"] = {column: _column(tags, top_k) for column, tags in others}
    return data


def _column(tags: "Tags", top_k: int | None) -> dict[str, Any]:
    """Return the tags and the probabilities for each word."""
    shares = [{tag: round(share, 6) for tag, share in word.items()} for word in tags.top(top_k or len(tags.names))]
    return {"tags": tags.tags, "probabilities": shares}


def _table(tagging: "Tagging", top_k: int) -> str:
    """Write a line for each word: the word, then its tags and probabilities, the most probable first."""
    width = max((cell_len(word) for word in tagging.words), default=0)
    # Wide characters (Chinese, say) take two terminal cells, which str.ljust ignores.
    lines = [word + " " * (width - cell_len(word)) for word in tagging.words]
    for tags in tagging.columns.values():
        tag_width = max(len(name) for name in tags.names)
        for k, shares in enumerate(tags.top(top_k)):
            lines[k] += "".join(f"  {name:{tag_width}} {share:.4f}" for name, share in shares.items())
    return "\n".join([*lines, ""])


class TaggedBatch(NamedTuple):
    """A tagged batch: the text of each sentence, and the number of words."""

    texts: list[str]
    words: int


Work = Callable[[Sequence[Passage], SentenceLayout], TaggedBatch]


class Workers:
    """Turns batches into text, in this process or in several, each with a copy of the model. A context manager."""

    def __init__(self, model: str, precision: str, processes: int) -> None:
        tag_batch = _loaded(model, precision)  # a broken model is reported here, in one line
        self._pool: Executor
        self._work: Work
        self._switch_interval = sys.getswitchinterval()
        if processes == 1:
            # While the model computes for one thread without holding the GIL, the other thread parses and formats.
            # After each operation, the model waits for the GIL, by default for up to 5 ms.
            sys.setswitchinterval(SWITCH_INTERVAL)
            self._pool, self._work = ThreadPoolExecutor(2), tag_batch
        else:
            threads = max(1, (os.cpu_count() or 1) // processes)
            self._pool = WorkerProcesses(processes, _loaded_in_process, model, precision, threads)
            self._work = work
        self._calls = CallsInOrder[TaggedBatch](self._pool, 2 * processes)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(self._switch_interval)
        gc.unfreeze()

    def submit(self, passages: Sequence[Passage], layout: SentenceLayout) -> None:
        """Hand over a batch."""
        self._calls.submit(self._work, passages, layout)

    def finished(self, *, wait: bool) -> Iterator[TaggedBatch]:
        """Yield the oldest batches that are finished; with ``wait``, all of them."""
        return self._calls.finished(wait=wait)


def _loaded_in_process(model: str, precision: str, threads: int) -> Work:
    import torch

    torch.set_num_threads(threads)
    return _loaded(model, precision)


def _loaded(model: str, precision: str) -> Work:
    from hiddenstate.models.model_folder import load_tagger

    tagger = load_tagger(model)
    tag, only_tags = tagger.repeatedly(precision=precision), tagger.only_tags(precision=precision)
    gc.freeze()  # existing objects stay alive, and scanning them for garbage again and again takes 3 % of the time
    return partial(_result, tag, only_tags)


def _result(
    tag: Callable[..., "list[Tagging]"],
    only_tags: "OnlyTags",
    passages: Sequence[Passage],
    layout: SentenceLayout,
) -> TaggedBatch:
    from hiddenstate.models.tagger.tagging import with_best_tags

    sentences = [sentence for passage in passages for sentence in passage.sentences()]
    if layout != ("conllu", None):  # more than the tags
        taggings = tag([sentence.forms for sentence in sentences])
        texts = [layout.text(*pair) for pair in zip(sentences, taggings, strict=True)]
    else:
        texts = [to_conllu([sentence]) for sentence in with_best_tags(only_tags, sentences)]
    return TaggedBatch(texts, sum(map(len, sentences)))


class Watched:
    """A byte stream that calls a function before it waits for input."""

    def __init__(self, stream: BinaryIO, name: str, on_lull: Callable[[], None]) -> None:
        self.name, self._stream, self._on_lull = name, stream, on_lull
        self._read = getattr(stream, "read1", stream.read)

    def read(self, size: int) -> bytes:
        """Read the available bytes, or wait for some."""
        if not self._is_ready():
            self._on_lull()
        return self._read(size)

    def _is_ready(self) -> bool:
        try:
            number = self._stream.fileno()
            return bool(select.select([number], [], [], LULL)[0])
        except (OSError, ValueError):  # not a real file, or one that Windows can't poll
            return os.name != "nt"


class Batches:
    """Collects passages into batches and writes results, never half a sentence even if killed; counts what it wrote."""

    def __init__(
        self,
        workers: Workers,
        stream: TextIO,
        on_progress: Callable[[int], None],
        format_: TagFormat | None,
        top_k: int | None,
    ) -> None:
        self._workers, self._stream, self._on_progress = workers, stream, on_progress
        self._format, self._top_k = format_, top_k
        self._pending: list[Passage] = []
        self._pending_words = self.sentences = self.words = 0

    def add(self, passages: Iterable[Passage]) -> None:
        """Take passages; the kind of the first decides the format if none was chosen."""
        for passage in passages:
            self._format = self._format or ("conllu" if passage.kind == "conllu" else "table")
            self._pending.append(passage)
            self._pending_words += passage.about_words
            if self._pending_words >= WORDS_TOGETHER:
                self._submit()
                self._write(wait=False)

    def flush(self) -> None:
        """Write everything received so far."""
        self._submit()
        self._write(wait=True)

    def _submit(self) -> None:
        if self._pending:
            self._workers.submit(self._pending, self._layout)
            self._pending, self._pending_words = [], 0

    def _write(self, *, wait: bool) -> None:
        for texts, words in self._workers.finished(wait=wait):
            pieces = ["\n" + text for text in texts] if self._layout.format == "table" else [*texts]
            if pieces and not self.sentences:
                pieces[0] = texts[0]
            for piece in _pieces(pieces):
                self._stream.write(piece)
                self._stream.flush()
            self.sentences += len(texts)
            self.words += words
            self._on_progress(self.sentences)

    @property
    def _layout(self) -> SentenceLayout:
        return SentenceLayout(self._format or "table", self._top_k)


def feed(file: str, kind: str | None, batches: Batches) -> None:
    """Read a file (of the kind, suffix or content) or standard input into batches, tagged when the input pauses."""
    from hiddenstate.corpus.shards.plan import KINDS

    with nullcontext(standard_input()) if file == STANDARD else Path(file).open("rb") as opened:
        name = describe_source(opened)
        reader = IncrementalReader(kind or KINDS.get(Path(file).suffix.lower()), name)

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
