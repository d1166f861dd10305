"""The tagger's loss: on tags, on teachers' probabilities, or on both."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.crf import Chain
from hiddenstate.text.batches import IGNORED_TAG, Batch


def tagging_loss(
    scores: Mapping[str, Tensor], batch: Batch, config: TaggerConfig, chains: Mapping[str, Chain | None]
) -> Tensor:
    """Return the mean surprise of a batch's tags per word, in nats, summed over columns.

    If a word has teachers' probabilities, its loss is the cross-entropy with them (Hinton et al. 2015); if it also has
    a tag, the mean of both, weighted by ``config.teacher_share``.

    Args:
        scores: ``[T, N, K]`` of each column, float32.
        batch: the sentences, with tags.
        config: label smoothing and the teachers' share.
        chains: the CRF of each column that has one.
    """
    assert batch.tags is not None
    total = torch.zeros((), device=batch.words.device)
    for column, tags in batch.tags.items():
        chain, taught = chains[column], None if batch.taught is None else batch.taught[column]
        if taught is not None:
            surprise, count = _of_both(scores[column], tags, taught, config), int(batch.lengths.sum())
        else:
            count = max(1, int((tags != IGNORED_TAG).sum()))
            if chain is not None:
                surprise = chain.surprise(scores[column], tags, batch.lengths).sum().float()
            else:
                surprise = _of_tags(scores[column], tags, config.label_smoothing, "sum")
        total = total + surprise / count
    return total


def _of_tags(scores: Tensor, tags: Tensor, smoothing: float, reduction: str) -> Tensor:
    """Return the surprise of the words' tags, 0 for words without: summed or, with ``"none"``, of each, ``[T·N]``."""
    flat = scores.flatten(0, 1), tags.flatten()
    return cross_entropy(*flat, ignore_index=IGNORED_TAG, label_smoothing=smoothing, reduction=reduction)


def _of_both(scores: Tensor, tags: Tensor, taught: Tensor, config: TaggerConfig) -> Tensor:
    """Return the summed loss on tags and teachers' probabilities, or only on the latter for words without a tag."""
    soft = -(taught * scores.log_softmax(-1)).sum(-1).flatten()
    share = torch.where(tags.flatten() == IGNORED_TAG, 1.0, config.teacher_share)
    both: Tensor = share * soft + (1 - share) * _of_tags(scores, tags, config.label_smoothing, "none")
    return both.sum()
