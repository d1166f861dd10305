"""Plans the sentences that a tagger reads in each epoch, and whether it learns from teachers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.text.batches import plan_batches


class Lesson(NamedTuple):
    """A batch: the positions of its sentences, and whether it learns from teachers' probabilities."""

    positions: list[int]
    taught: bool


class Syllabus:
    """The lengths of all sentences: tagged ones first, then untagged ones, then a variant of each, if any.

    Every epoch reads all tagged sentences, and newly drawn untagged sentences with ``config.untagged_words`` words in
    total. The last ``config.tagged_epochs`` epochs read only tagged sentences, without teachers. A share
    ``config.varied`` of an epoch's sentences is replaced by variants. Everything is determined by the seed and the
    epoch.

    Args:
        config: the settings.
        tagged: the number of words in each tagged sentence.
        untagged: the number of words in each untagged sentence.
        taught: whether there are teachers.
        variants: the number of words in each sentence's variant, tagged or not; empty for no variants.
    """

    def __init__(
        self,
        config: TaggerConfig,
        tagged: Sequence[int],
        untagged: Sequence[int],
        taught: bool,
        variants: Sequence[int] = (),
    ) -> None:
        self.config, self.tagged, self.untagged, self.taught = config, tagged, untagged, taught
        self.variants = variants
        self._last: tuple[int, list[int]] = (0, [])

    def lessons(self, epoch: int) -> list[Lesson]:
        """Group sentences of similar length into batches; epochs are counted from 1."""
        generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + epoch)
        taught = self._is_taught(epoch)
        return [Lesson(each, taught) for each in plan_batches(self._read(epoch), self.config.batch_words, generator)]

    def size(self, epoch: int) -> int:
        """Count the words read in an epoch."""
        return sum(self._read(epoch))

    def _is_taught(self, epoch: int) -> bool:
        return self.taught and epoch <= self.config.epochs - self.config.tagged_epochs

    def _read(self, epoch: int) -> list[int]:
        """Return the number of words of each sentence, 0 if it is not read; cached, as it is needed at every step."""
        if self._last[0] != epoch:
            more = self._drawn(epoch) if self._is_taught(epoch) else [0] * len(self.untagged)
            self._last = epoch, self._varied([*self.tagged, *more], epoch)
        return self._last[1]

    def _varied(self, read: list[int], epoch: int) -> list[int]:
        """Replace some of the sentences by their variants, at the end."""
        if not self.variants:
            return read
        generator = torch.Generator().manual_seed(2**41 + 1_000_003 * self.config.seed + epoch)
        drawn = (torch.rand(len(read), generator=generator) < self.config.varied).tolist()
        pairs = [(0, v if n else 0) if d else (n, 0) for n, v, d in zip(read, self.variants, drawn, strict=True)]
        return [n for n, _ in pairs] + [v for _, v in pairs]

    def _drawn(self, epoch: int) -> list[int]:
        wanted = self.config.untagged_words
        if not wanted or wanted >= sum(self.untagged):
            return list(self.untagged)
        generator = torch.Generator().manual_seed(2**40 + 1_000_003 * self.config.seed + epoch)
        order = torch.randperm(len(self.untagged), generator=generator)
        lengths = torch.tensor(self.untagged)[order]
        before = lengths.cumsum(0) - lengths
        drawn = torch.zeros(len(self.untagged), dtype=torch.int64)
        drawn[order] = lengths * (before < wanted)
        return [int(length) for length in drawn.tolist()]
