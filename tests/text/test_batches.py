from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError
from hiddenstate.text.batches import IGNORED_TAG, Encoder, plan_batches
from hiddenstate.text.vocabulary import PADDING, UNKNOWN, Vocabulary

ENCODER = Encoder(Vocabulary(("the", "cat"), (2, 1)), Vocabulary(tuple("theca"), (1,) * 5), ("DET", "NOUN"), 4)


def test_batch() -> None:
    batch = ENCODER.batch([["The", "cat"], [], ["The"]], [["DET", "NOUN"], [], ["X"]])
    assert batch.lengths.tolist() == [2, 0, 1]
    assert batch.words.T.tolist() == [[2, 3], [PADDING, PADDING], [2, PADDING]]
    # "T" is not among the characters; "The" is spelt once.
    assert batch.chars.T.tolist() == [[UNKNOWN, 3, 4], [5, 6, 2]]
    assert batch.char_lengths.tolist() == [3, 3]
    assert batch.char_index.T.tolist() == [[0, 1], [0, 0], [0, 0]]
    assert batch.tags is not None
    ignored = IGNORED_TAG
    assert batch.tags.T.tolist() == [[0, 1], [ignored, ignored], [ignored, ignored]]


def test_batch_without_tags() -> None:
    assert ENCODER.batch([["cat"]]).tags is None


def test_long_words_are_spelt_by_their_ends() -> None:
    assert ENCODER.spell("thexxxxca") == ENCODER.chars.ids("thca")
    assert ENCODER.spell("thec") == ENCODER.chars.ids("thec")


@pytest.mark.parametrize("sentences", [[], [[], []], [["a", ""]]])
def test_batch_fails(sentences: list[list[str]]) -> None:
    with pytest.raises(ArgumentError, match="at least one character"):
        ENCODER.batch(sentences)


def test_tags_fail() -> None:
    with pytest.raises(ArgumentError, match="tags and words differ in number"):
        ENCODER.batch([["the", "cat"]], [["DET"]])


def test_encoder_fails() -> None:
    with pytest.raises(ArgumentError, match="max_chars must be at least 2, got 1"):
        Encoder(ENCODER.words, ENCODER.chars, ("X",), 1)


@given(st.lists(st.integers(0, 12)), st.integers(1, 20), st.none() | st.integers(0, 9))
def test_plan(lengths: list[int], budget: int, seed: int | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    batches = plan_batches(lengths, budget, generator)
    assert sorted(p for batch in batches for p in batch) == [p for p, length in enumerate(lengths) if length]
    assert all(len(batch) == 1 or sum(lengths[p] for p in batch) <= budget for batch in batches)
    # Batches are runs of the sentences sorted by length.
    ranges = sorted((min(lengths[p] for p in batch), max(lengths[p] for p in batch)) for batch in batches)
    assert all(upper <= lower for (_, upper), (lower, _) in pairwise(ranges))


def test_plan_is_shuffled_by_its_generator() -> None:
    def plan(seed: int) -> list[list[int]]:
        return plan_batches([3] * 40, 9, torch.Generator().manual_seed(seed))

    assert plan(1) == plan(1) != plan(2)


def test_plan_fails() -> None:
    with pytest.raises(ArgumentError, match="at least 1 word, got 0"):
        plan_batches([1], 0)
