"""What zeroing units costs at each step of some sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import eval_twin
from hiddenstate.corpus.index.folder import Context, IndexFolder
from hiddenstate.corpus.index.items import Item
from hiddenstate.edits.edit import zero
from hiddenstate.nn.recurrent import Recurrent

ROWS_TOGETHER = 64
MOST_STEPS = 512  # of a sequence


@torch.no_grad()
def costs(
    index: IndexFolder, sample: Sequence[Context], place: str, units: Sequence[int]
) -> tuple[str, NDArray[np.float64], NDArray[np.str_]]:
    """Return the cost of zeroing each of some units by itself, at each step of some sequences.

    The cost is what the right output loses of its log-probability, in nats, if a softmax reads the layer and the right
    output is known (the next token, or the label); else the distance that the outputs of the layer move.

    Args:
        index: the index.
        sample: sequences; of each at most the first 512 steps count.
        place: such as ``l1.h``.
        units: the units.

    Returns:
        What the cost is, the costs ``[len(units), M]``, and the label of each step ``[M]``.
    """
    reader, lstm = index.reader, eval_twin(index.reader.lstm)
    items = [_cut(index.item(each.shard, each.sequence)) for each in sample]
    targets = [reader.targets(item) for item in items]
    is_known = reader.head is not None and reader.head.log_probabilities is not None
    is_known = is_known and any((each >= 0).any() for each in targets)
    order = sorted(range(len(items)), key=lambda k: -len(items[k].tokens))
    found, labels = list[NDArray[np.float64]](), list[str]()
    for start in range(0, len(order), ROWS_TOGETHER):
        rows = order[start : start + ROWS_TOGETHER]
        lengths = torch.tensor([len(items[k].tokens) for k in rows])
        x = reader.inputs([items[k] for k in rows], 0, int(lengths.max()))
        plain = _out(lstm, x, lengths)
        valid = (torch.arange(len(x))[:, None] < lengths).numpy()
        right = np.full(valid.shape, -1)
        for row, k in enumerate(rows):
            right[: len(targets[k]), row] = targets[k]
        before = _scores(index, plain, right) if is_known else None
        part = []
        for unit in units:
            with lstm.edit(zero(place, unit=unit)):
                out = _out(lstm, x, lengths)
            if before is None:
                lost = (out - plain).norm(dim=-1).double().numpy()
            else:
                lost = np.where(right >= 0, before - _scores(index, out, right), np.nan)
            part.append(lost.T[valid.T])
        found.append(np.array(part))
        labels += [label for k in rows for label in items[k].labels]
    name = "nats lost by the right output" if is_known else "distance that the outputs move"
    return name, np.concatenate(found, axis=1), np.array(labels)


def _cut(item: Item) -> Item:
    return Item(
        item.tokens[:MOST_STEPS], item.labels[:MOST_STEPS], None if item.data is None else item.data[:MOST_STEPS]
    )


def _out(lstm: Recurrent[Any, Any], x: Tensor, lengths: Tensor) -> Tensor:
    out: Tensor = lstm(x.transpose(0, 1) if lstm.batch_first else x, lengths=lengths)[0]
    return out.transpose(0, 1) if lstm.batch_first else out


def _scores(index: IndexFolder, out: Tensor, right: NDArray[np.int64]) -> NDArray[np.float64]:
    head = index.reader.head
    assert head is not None
    assert head.log_probabilities is not None
    chosen = torch.from_numpy(np.maximum(right, 0))[..., None]
    return np.asarray(head.log_probabilities(out).gather(-1, chosen)[..., 0].double().numpy())
