"""Scores a corpus in shards with a language model: the surprise of every token, as Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import AnyState
from hiddenstate.corpus.pieces import Piece, cut_text
from hiddenstate.corpus.shards.contents import read_texts
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.corpus.tables import read_about, write_table
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.scoring import Tally, tally
from hiddenstate.text.tokens import UNKNOWN_ID

ROWS_TOGETHER, STEPS_TOGETHER = 64, 64


@dataclass(frozen=True, eq=False)
class ScoreShards:
    """The task of scoring a shard: ``part-00000.parquet`` with a row per token.

    A text is read in pieces of at most 2,048 tokens, each after a newline, so the scores differ from those of a text
    that is read in one piece.

    Attributes:
        model: the language model, which must read forward.
    """

    model: LanguageModel

    def name(self, shard: Shard) -> str:
        """Return the name of a shard's file."""
        return f"part-{shard.number:05}.parquet"

    @torch.no_grad()
    def __call__(self, shard: Shard, place: Path) -> None:
        """Write the tokens of a shard with their surprise."""
        pieces = [piece for text in read_texts(shard) for piece in cut_text(self.model.tokens, text)]
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
        found: list[np.ndarray] = [np.empty(0, np.float32)] * len(pieces)
        order = sorted(range(len(pieces)), key=lambda k: (-len(pieces[k].ids), k))
        for start in range(0, len(order), ROWS_TOGETHER):
            rows = order[start : start + ROWS_TOGETHER]
            ids = pad_sequence([torch.from_numpy(pieces[k].ids).long() for k in rows])
            surprise = torch.cat(list(_surprises(model, ids)))
            for row, k in enumerate(rows):
                found[k] = surprise[: len(pieces[k].ids) - 1, row].float().numpy()
        return found


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
