"""Tags a corpus in shards, as Parquet or CoNLL-U."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate.corpus.shards.contents import read_parsed
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.corpus.tables import list_column, write_table
from hiddenstate.engine import kernels
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import SENTENCES_TOGETHER, OnlyTags, WordTags, in_batches, tag_parsed
from hiddenstate.text.conllu import count_words, forms_in

# In smaller shards, sentences of a batch differ more in length and, without native code, more words are spelled twice.
SHARD_BYTES = 1 << 22


@dataclass(frozen=True, eq=False)
class TagShards:
    """The task of tagging a shard: ``part-00000.parquet`` with a row per sentence, or ``part-00000.conllu``.

    Attributes:
        tagger: the tagger.
        is_parquet: whether to write Parquet: columns ``words``, and for each column of the tagger its tags and the
            probability of each.
        precision: as for `Tagger.tag`.
    """

    tagger: Tagger
    is_parquet: bool = True
    precision: str = "fp32"

    def name(self, shard: Shard) -> str:
        """Return the name of a shard's file."""
        return f"part-{shard.number:05}.{'parquet' if self.is_parquet else 'conllu'}"

    def __call__(self, shard: Shard, place: Path) -> None:
        """Write a shard's sentences with their tags."""
        batches = in_batches(read_parsed(shard), SENTENCES_TOGETHER, count_words)
        weight = self.tagger.head.weight
        tag = self._tag if weight.is_cpu and kernels.serves(weight.dtype) else self._new_tag()
        if self.is_parquet:
            self._write_parquet(([*chain.from_iterable(map(forms_in, batch))] for batch in batches), place, tag)
            return
        with place.open("w", encoding="utf-8", newline="\n") as file:
            for batch in batches:
                file.writelines(tag_parsed(tag, batch))

    # Remembers spelled words from shard to shard: in native code, a word's vector does not depend on the words that are
    # spelled with it. In plain torch it does, so there each shard spells its own.
    @cached_property
    def _tag(self) -> OnlyTags:
        return self._new_tag()

    def _new_tag(self) -> OnlyTags:
        return self.tagger.only_tags(precision=self.precision, has_probabilities=self.is_parquet)

    def __reduce__(self) -> tuple[Any, ...]:
        return TagShards, (self.tagger, self.is_parquet, self.precision)

    def _write_parquet(self, batches: Iterable[list[tuple[str, ...]]], place: Path, tag: OnlyTags) -> None:
        found, words, lengths = list[Mapping[str, WordTags]](), list[str](), list[int]()
        for batch in batches:
            found.append(tag(batch))
            words += chain.from_iterable(batch)
            lengths += map(len, batch)
        columns = {"words": list_column(words, lengths)}
        for column, names in self.tagger.columns.items():
            numbers = np.concatenate([np.empty(0, np.int64), *[each[column].numbers for each in found]])
            shares = np.concatenate([np.empty(0), *[each[column].probabilities for each in found]])
            columns[column] = list_column(numbers, lengths, names)
            columns[f"{column}_probability"] = list_column(shares, lengths)
        write_table(place, columns, {"sentences": len(lengths), "words": len(words)})
