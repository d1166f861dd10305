"""The tasks of tagging and of scoring a corpus in shards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import AnyState
from hiddenstate.corpus.shards.contents import Piece, list_column, read_about, read_pieces, read_sentences, write_table
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.engine import kernels
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.scoring import Tally, tally
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import SENTENCES_TOGETHER, OnlyTags, WordTags, in_batches, with_best_tags
from hiddenstate.text.conllu import to_conllu
from hiddenstate.text.tokens import UNKNOWN_ID

ROWS_TOGETHER, STEPS_TOGETHER = 64, 64
# In smaller shards, sentences of a batch differ more in length and, without native code, more words are spelled twice.
SHARD_BYTES = 1 << 22


@dataclass(frozen=True, eq=False)
class TagShards:
    """Tags a shard to CoNLL-U, or to Parquet with a row per sentence: words, tags and probabilities."""

    tagger: Tagger
    is_parquet: bool = True
    precision: str = "fp32"

    def name(self, shard: Shard) -> str:
        """The name of a shard's file."""
        return f"part-{shard.number:05}.{'parquet' if self.is_parquet else 'conllu'}"

    def __call__(self, shard: Shard, place: Path) -> None:
        """Write a shard's sentences with their tags."""
        batches = in_batches(read_sentences(shard), SENTENCES_TOGETHER, len)
        weight = self.tagger.head.weight
        tag = self._tag if weight.is_cpu and kernels.serves(weight.dtype) else self._new_tag()
        if self.is_parquet:
            self._write_parquet(([sentence.forms for sentence in batch] for batch in batches), place, tag)
            return
        with place.open("w", encoding="utf-8", newline="\n") as file:
            for batch in batches:
                file.write(to_conllu(with_best_tags(tag, batch)))

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
        tags, words, lengths = list[Mapping[str, WordTags]](), list[str](), list[int]()
        for batch in batches:
            tags.append(tag(batch))
            words += chain.from_iterable(batch)
            lengths += map(len, batch)
        columns = {"words": list_column(words, lengths)}
        for column, names in self.tagger.columns.items():
            numbers = np.concatenate([np.empty(0, np.int64), *[batch_tags[column].numbers for batch_tags in tags]])
            shares = np.concatenate([np.empty(0), *[batch_tags[column].probabilities for batch_tags in tags]])
            columns[column] = list_column(numbers, lengths, names)
            columns[f"{column}_probability"] = list_column(shares, lengths)
        write_table(place, columns, {"sentences": len(lengths), "words": len(words)})


@dataclass(frozen=True, eq=False)
class ScoreShards:
    """Scores a shard to Parquet, a row per token, reading at most 2,048 tokens at once, each after a newline."""

    model: LanguageModel

    def name(self, shard: Shard) -> str:
        """The name of a shard's file."""
        return f"part-{shard.number:05}.parquet"

    @torch.no_grad()
    def __call__(self, shard: Shard, place: Path) -> None:
        """Write the tokens of a shard with their surprise."""
        pieces = read_pieces(shard, self.model.tokens)
        nats = self._nats(pieces)
        ids = np.concatenate([piece.ids[1:] for piece in pieces]) if pieces else np.empty(0, np.int32)
        flat = np.concatenate(nats) if nats else np.empty(0, np.float32)
        columns = {
            "piece": np.repeat(np.arange(len(pieces), dtype=np.int32), [len(piece.ids) - 1 for piece in pieces]),
            "token": [token for piece in pieces for token in piece.tokens[1:]],
            "nats": flat,
            "unknown": ids == UNKNOWN_ID,
        }
        write_table(place, columns, asdict(tally(ids, flat)))

    def _nats(self, pieces: Sequence[Piece]) -> list[np.ndarray]:
        model = eval_twin(self.model)
        nats: list[np.ndarray] = [np.empty(0, np.float32)] * len(pieces)
        order = sorted(range(len(pieces)), key=lambda k: (-len(pieces[k].ids), k))
        for start in range(0, len(order), ROWS_TOGETHER):
            rows = order[start : start + ROWS_TOGETHER]
            ids = pad_sequence([torch.from_numpy(pieces[k].ids).long() for k in rows])
            surprise = torch.cat(list(_surprises(model, ids)))
            for row, k in enumerate(rows):
                nats[k] = surprise[: len(pieces[k].ids) - 1, row].float().numpy()
        return nats


def _surprises(model: LanguageModel, ids: Tensor) -> Iterator[Tensor]:
    """Yield the surprise of the tokens after the first, ``[steps, rows]``, some steps at a time."""
    state: AnyState | None = None
    for t in range(0, len(ids) - 1, STEPS_TOGETHER):
        part = ids[t : t + STEPS_TOGETHER + 1]
        nats, state = model.surprise(part[:-1], part[1:], state)
        yield nats


def sum_scores(folder: Path, shards: Sequence[Shard], task: ScoreShards) -> Tally:
    """Return the sums over all shards of a folder."""
    return sum((Tally(**read_about(folder / task.name(shard))) for shard in shards), Tally())
