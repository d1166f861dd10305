"""Tags batches of sentences and formats them as text, in this process or in several."""

import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hiddenstate.cli.tag_format import Layout
from hiddenstate.corpus.shards.processes import WorkerProcesses
from hiddenstate.text.conllu import count_words
from hiddenstate.text.passages import Passage

if TYPE_CHECKING:
    from hiddenstate.models.tagger.tagging import OnlyTags, Tagging

SWITCH_INTERVAL = 2e-4  # seconds


@dataclass(frozen=True)
class Job:
    """The job for every batch: the model's folder or name, and the options of `Tagger.tag`."""

    model: str
    n_best: int
    precision: str


class Result(NamedTuple):
    """A tagged batch: the text of each sentence, and the number of words."""

    texts: list[str]
    words: int


Work = Callable[[Sequence[Passage], Layout], Result]


class Workers:
    """Turns batches into text, in threads of this process or in several processes. A context manager.

    Args:
        job: the job.
        processes: the number of processes, each with its own copy of the model; 1 for this one.

    Raises:
        HiddenStateError: the model can't be read.
    """

    def __init__(self, job: Job, processes: int) -> None:
        work = _loaded(job)  # a broken model is reported here, in one line
        self._pool: Executor
        self._work: Work
        self._switch_interval = sys.getswitchinterval()
        if processes == 1:
            # While the model computes for one thread without holding the GIL, the other thread parses and formats.
            # After each operation, the model waits for the GIL, by default for up to 5 ms.
            sys.setswitchinterval(SWITCH_INTERVAL)
            self._pool, self._work = ThreadPoolExecutor(2), work
        else:
            threads = max(1, (os.cpu_count() or 1) // processes)
            self._pool = WorkerProcesses(processes, _start, job, threads)
            self._work = _work
        self._running: deque[Future[Result]] = deque()
        self._most = 2 * processes

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(self._switch_interval)
        gc.unfreeze()

    def submit(self, passages: Sequence[Passage], layout: Layout) -> None:
        """Hand over a batch."""
        self._running.append(self._pool.submit(self._work, passages, layout))

    def finished(self, *, all_: bool) -> Iterator[Result]:
        """Yield the results of the oldest batches, so that few are in memory; with ``all_``, wait for every batch.

        Raises:
            FileFormatError: a batch was not CoNLL-U.
        """
        while self._running and (all_ or self._running[0].done() or len(self._running) > self._most):
            yield self._running.popleft().result()


_mine: Work | None = None  # set in processes that `Workers` started


def _start(job: Job, threads: int) -> None:
    global _mine
    import torch

    torch.set_num_threads(threads)
    _mine = _loaded(job)


def _work(passages: Sequence[Passage], layout: Layout) -> Result:
    assert _mine is not None
    return _mine(passages, layout)


def _loaded(job: Job) -> Work:
    from hiddenstate.models.model_folder import load_tagger

    tagger = load_tagger(job.model)
    tag = tagger.repeatedly(n_best=job.n_best, precision=job.precision)
    only_tags = None if job.n_best else tagger.only_tags(precision=job.precision)
    gc.freeze()  # existing objects stay alive, and scanning them for garbage again and again takes 3 % of the time
    return partial(_result, tag, only_tags)


def _result(
    tag: Callable[..., "list[Tagging]"],
    only_tags: "OnlyTags | None",
    passages: Sequence[Passage],
    layout: Layout,
) -> Result:
    from hiddenstate.models.tagger.tagging import tag_parsed

    if only_tags is None or layout.has_probabilities:
        sentences = [sentence for passage in passages for sentence in passage.sentences()]
        taggings = tag([sentence.forms for sentence in sentences])
        texts = [layout.text(*pair) for pair in zip(sentences, taggings, strict=True)]
        return Result(texts, sum(map(len, sentences)))
    parsed = [passage.parsed() for passage in passages]
    texts = [f"{each}\n\n" for group in tag_parsed(only_tags, parsed) for each in group.split("\n\n") if each]
    return Result(texts, sum(map(count_words, parsed)))
