"""The inputs of the word-level LSTM, computed once for each distinct word of the sentences that are tagged together."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from hiddenstate.base.forks import ForkSafeLock

MOST_WORDS = 50_000  # 50 MB for the shipped tagger


class WordInputs:
    """Caches the input vectors of words, so that a stream of sentences spells each word only once.

    It may be used from several threads. The model's weights must not change meanwhile.

    Args:
        compute: returns the vectors ``[F, C]`` of F distinct words.
        most: the maximum number of words; beyond it, the cache is cleared to bound the memory. The words of a single
            call of `look_up` are always kept.
    """

    def __init__(self, compute: Callable[[Sequence[str]], Tensor], most: int = MOST_WORDS) -> None:
        self._compute, self._most, self._lock = compute, most, ForkSafeLock()
        self._rows: dict[str, int] = {}
        self._vectors: Tensor | None = None  # [F, C] or longer, of which the first F rows are in use

    def look_up(self, words: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Return a tensor of vectors, and the row of each word in it, ``[W]``.

        Raises:
            ArgumentError: a word is empty.
        """
        words = list(words)
        with self._lock.lock:
            new = [word for word in dict.fromkeys(words) if word not in self._rows]
            if len(self._rows) + len(new) > self._most:
                self._rows, self._vectors, new = {}, None, [*dict.fromkeys(words)]
            if new or self._vectors is None:
                self._vectors = _appended(self._vectors, len(self._rows), self._compute(new))
                self._rows.update(zip(new, range(len(self._rows), len(self._rows) + len(new)), strict=True))
            # Words added later are written after these rows, or into another tensor.
            return self._vectors, torch.tensor([*map(self._rows.__getitem__, words)], dtype=torch.int64)


def _appended(vectors: Tensor | None, count: int, more: Tensor) -> Tensor:
    """Return a tensor with these rows after the first ``count``; a longer tensor if they don't fit."""
    if vectors is None:
        return more
    end = count + len(more)
    if end > len(vectors) or vectors.is_inference():  # a tensor made in inference mode can't be written outside it
        longer = vectors.new_empty(2 * end, vectors.shape[1])
        longer[:count] = vectors[:count]
        vectors = longer
    vectors[count:end] = more
    return vectors
