"""The cost of edits, such as zeroing a unit, at each step of some sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import eval_twin, types_of_the_weights
from hiddenstate.corpus.index.folder import Context, IndexFolder
from hiddenstate.corpus.index.items import Item
from hiddenstate.edits.edit import Edit
from hiddenstate.explain.subject.head import needed_head, needed_probabilities
from hiddenstate.nn.recurrent import Recurrent

ROWS_TOGETHER = 64
MOST_STEPS = 512  # maximum number of steps in a sequence
NATS, DISTANCE = "nats lost by the right output", "distance that the outputs move"


@torch.no_grad()
@types_of_the_weights()
def costs(
    index: IndexFolder, sample: Sequence[Context], edits: Sequence[Edit]
) -> tuple[str, NDArray[np.float64], NDArray[np.str_], list[int]]:
    """Return the cost of each of some edits by itself, at each step of some sequences.

    If a softmax reads the layer and the correct output is known (the next token, or the label), the cost is the
    log-probability that this output loses, in nats. Otherwise it is the distance by which the outputs of a head without
    a softmax move or, without such a head, the layer's.

    Args:
        index: the index.
        sample: the sequences; only the first 512 steps of each are used.
        edits: the edits.

    Returns:
        The name of the cost, the costs ``[len(edits), M]``, the label of each step, and the lengths of the sequences in
        this order.
    """
    reader, lstm = index.reader, eval_twin(index.reader.lstm)
    items = [_cut(index.item(each.shard, each.sequence)) for each in sample]
    targets = [reader.targets(item) for item in items]
    is_softmax = reader.head is not None and reader.head.log_probabilities is not None
    logits = None if reader.head is None or is_softmax else reader.head.logits
    is_known = is_softmax and any((each >= 0).any() for each in targets)
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
        for edit in edits:
            with lstm.edit(edit):
                out = _out(lstm, x, lengths)
            if before is None:
                before_edit, after = (plain, out) if logits is None else (logits(plain), logits(out))
                lost = (after - before_edit).norm(dim=-1).double().numpy()
            else:
                lost = np.where(right >= 0, before - _scores(index, out, right), np.nan)
            part.append(lost.T[valid.T])
        found.append(np.array(part))
        labels += [label for k in rows for label in items[k].labels]
    steps = [len(items[k].tokens) for k in order]
    return NATS if is_known else DISTANCE, np.concatenate(found, axis=1), np.array(labels), steps


def _cut(item: Item) -> Item:
    return Item(
        item.tokens[:MOST_STEPS], item.labels[:MOST_STEPS], None if item.data is None else item.data[:MOST_STEPS]
    )


def _out(lstm: Recurrent[Any, Any], x: Tensor, lengths: Tensor) -> Tensor:
    out: Tensor = lstm(x.transpose(0, 1) if lstm.batch_first else x, lengths=lengths)[0]
    return out.transpose(0, 1) if lstm.batch_first else out


def _scores(index: IndexFolder, out: Tensor, right: NDArray[np.int64]) -> NDArray[np.float64]:
    head = index.reader.head
    chosen = torch.from_numpy(np.maximum(right, 0))[..., None]
    return np.asarray(needed_probabilities(needed_head(head))(out).gather(-1, chosen)[..., 0].double().numpy())
