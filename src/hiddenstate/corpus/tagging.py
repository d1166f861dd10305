"""Tags a corpus in shards, as Parquet or CoNLL-U."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import torch

from hiddenstate.corpus.shards.contents import read_sentences
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.corpus.tables import write_table
from hiddenstate.models.tagger.piping import SENTENCES_TOGETHER, in_batches
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import Tagging, Tags
from hiddenstate.text.conllu import with_columns


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
        batches = in_batches(read_sentences(shard), SENTENCES_TOGETHER, len)
        if self.is_parquet:
            tag = self.tagger.repeatedly(precision=self.precision)
            self._write_parquet([each for batch in batches for each in tag([one.forms for one in batch])], place)
            return
        only_tags = self.tagger.only_tags(precision=self.precision)
        with place.open("w", encoding="utf-8", newline="\n") as file:
            for batch in batches:
                file.writelines(with_columns(batch, only_tags([one.forms for one in batch])))

    def _write_parquet(self, taggings: Sequence[Tagging], place: Path) -> None:
        columns: dict[str, list[list[str]] | list[list[float]]] = {"words": [list(each.words) for each in taggings]}
        for column in self.tagger.columns:
            tags = [each.columns[column] for each in taggings]
            columns[column] = [list(each.tags) for each in tags]
            columns[f"{column}_probability"] = _chosen(tags)
        write_table(place, columns, {"sentences": len(taggings), "words": sum(len(each.words) for each in taggings)})


def _chosen(tags: Sequence[Tags]) -> list[list[float]]:
    """Return the probability of each word's tag, by sentence."""
    if not tags:
        return []
    number = {name: k for k, name in enumerate(tags[0].names)}
    chosen = torch.tensor([number[tag] for each in tags for tag in each.tags])
    every = torch.cat([each.probabilities for each in tags]).gather(1, chosen[:, None])[:, 0].tolist()
    ends = list(accumulate(len(each.tags) for each in tags))
    return [every[a:b] for a, b in pairwise([0, *ends])]
