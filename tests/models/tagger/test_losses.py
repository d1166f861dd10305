import math

import pytest
import torch

from hiddenstate.errors import ArgumentError
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.decoding import tagging_loss
from hiddenstate.text.batches import IGNORED_TAG, Batch


def batch_of(tags: torch.Tensor, lengths: list[int], taught: torch.Tensor | None = None) -> Batch:
    zeros = torch.zeros_like(tags).clamp_min(0)
    one = torch.ones(1, dtype=torch.int64)
    given = None if taught is None else {"upos": taught}
    return Batch(zeros, torch.tensor(lengths), one[None], one, zeros, {"upos": tags}, taught=given)


def by_hand(scores: list[float], tag: int, taught: list[float], share: float, smoothing: float) -> float:
    """One word's loss, computed step by step."""
    total = sum(math.exp(each) for each in scores)
    surprise = [-math.log(math.exp(each) / total) for each in scores]
    soft = sum(p * s for p, s in zip(taught, surprise, strict=True))
    if tag == IGNORED_TAG:
        return soft
    hard = (1 - smoothing) * surprise[tag] + smoothing * sum(surprise) / len(scores)
    return share * soft + (1 - share) * hard


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("steps", "rows", "count"), [(1, 1, 2), (3, 5, 4), (17, 3, 1)])
def test_tags_and_teachers(share: float, smoothing: float, steps: int, rows: int, count: int) -> None:
    lengths = torch.randint(1, steps + 1, (rows,)).tolist()
    scores, taught = torch.randn(steps, rows, count), torch.randn(steps, rows, count).softmax(-1)
    tags = torch.randint(0, count, (steps, rows))
    tags[torch.rand(steps, rows) < 0.4] = IGNORED_TAG
    beyond = torch.arange(steps)[:, None] >= torch.tensor(lengths)
    tags[beyond], taught[beyond] = IGNORED_TAG, 0
    config = TaggerConfig(teacher_share=share, label_smoothing=smoothing)
    found = tagging_loss({"upos": scores}, batch_of(tags, lengths, taught), config, {"upos": None})
    words = [(t, n) for n, length in enumerate(lengths) for t in range(length)]
    expected = [
        by_hand(scores[t, n].tolist(), int(tags[t, n]), taught[t, n].tolist(), share, smoothing) for t, n in words
    ]
    assert float(found) == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_teachers_who_are_sure_of_the_tags_teach_the_tags() -> None:
    scores, tags = torch.randn(4, 2, 3), torch.randint(0, 3, (4, 2))
    config = TaggerConfig(label_smoothing=0)
    sure = torch.nn.functional.one_hot(tags, 3).float()
    losses = [
        float(tagging_loss({"upos": scores}, batch_of(tags, [4, 4], taught), config, {"upos": None}))
        for taught in (None, sure)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_share_has_its_range() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(ArgumentError, match="teacher_share"):
            TaggerConfig(teacher_share=share)
