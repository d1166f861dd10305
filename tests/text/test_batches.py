from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError
from hiddenstate.text.batches import IGNORED_TAG, Encoder, TagRows, plan_batches
from hiddenstate.text.vocabulary import PADDING, UNKNOWN, Vocabulary

TAGS = {"upos": ("DET", "NOUN"), "xpos": ("DT",)}
ENCODER = Encoder(Vocabulary(("the", "cat"), (2, 1)), Vocabulary(tuple("theca"), (1,) * 5), TAGS, 4)


def test_batch() -> None:
    tags: TagRows = {"upos": [["DET", "NOUN"], [], ["X"]], "xpos": [[None, "DT"], [], ["DT"]]}
    batch = ENCODER.batch([["The", "cat"], [], ["The"]], tags)
    assert batch.lengths.tolist() == [2, 0, 1]
    assert batch.words.T.tolist() == [[2, 3], [PADDING, PADDING], [2, PADDING]]
    # "T" is not among the characters; "The" is spelt once.
    assert batch.chars.T.tolist() == [[UNKNOWN, 3, 4], [5, 6, 2]]
    assert batch.char_lengths.tolist() == [3, 3]
    assert batch.char_index.T.tolist() == [[0, 1], [0, 0], [0, 0]]
    assert batch.tags is not None
    ignored = IGNORED_TAG
    assert batch.tags["upos"].T.tolist() == [[0, 1], [ignored, ignored], [ignored, ignored]]
    assert batch.tags["xpos"].T.tolist() == [[ignored, 0], [ignored, ignored], [0, ignored]]


WORDS = st.lists(st.lists(st.text("theca戦é", min_size=1, max_size=6), max_size=5), min_size=1, max_size=6)


@given(WORDS, st.data())
def test_a_batch_of_some_is_what_they_are_alone(sentences: list[list[str]], data: st.DataObject) -> None:
    tags = {"upos": [["DET"] * len(words) for words in sentences]}
    count = sum(map(len, sentences))
    encoded = ENCODER.encode(sentences, tags, torch.arange(1.0, count + 1)[:, None])
    chosen = data.draw(st.lists(st.sampled_from(range(len(sentences))), min_size=1, unique=True))
    if not any(sentences[k] for k in chosen):
        return
    want = ENCODER.batch([sentences[k] for k in chosen], {"upos": [["DET"] * len(sentences[k]) for k in chosen]})
    got = encoded.batch(chosen)
    assert torch.equal(got.words, want.words)
    assert torch.equal(got.lengths, want.lengths)
    assert got.tags is not None
    assert want.tags is not None
    assert torch.equal(got.tags["upos"], want.tags["upos"])
    starts = [sum(map(len, sentences[:k])) for k in chosen]
    for n, k in enumerate(chosen):
        for t, word in enumerate(sentences[k]):
            column = got.char_index[t, n]
            assert got.chars[: got.char_lengths[column], column].tolist() == ENCODER.spell(word)
            assert got.context is not None
            assert float(got.context[t, n, 0]) == starts[n] + t + 1
        assert got.context is not None
        assert not got.context[len(sentences[k]) :, n].any()


def test_the_longest_forms_come_first() -> None:
    lengths = ENCODER.encode([["a", "the", "th", "hat", "theca"]]).char_lengths.tolist()
    assert lengths == sorted(lengths, reverse=True) == [4, 3, 3, 2, 1]


def test_nothing_is_encoded() -> None:
    encoded = ENCODER.encode([[], []], {"upos": [[], []]})
    assert (len(encoded.forms), encoded.lengths.tolist(), len(encoded.chars)) == (0, [0, 0], 0)


def test_batch_without_tags() -> None:
    assert ENCODER.batch([["cat"]]).tags is None


def test_long_words_are_spelt_by_their_ends() -> None:
    assert ENCODER.spell("thexxxxca") == ENCODER.chars.ids("thca")
    assert ENCODER.spell("thec") == ENCODER.chars.ids("thec")


@pytest.mark.parametrize(("sentences", "needed"), [([], "word"), ([[], []], "word"), ([["a", ""]], "character")])
def test_batch_fails(sentences: list[list[str]], needed: str) -> None:
    with pytest.raises(ArgumentError, match=f"at least one {needed}"):
        ENCODER.batch(sentences)


def test_tags_fail() -> None:
    with pytest.raises(ArgumentError, match="tags and words differ in number"):
        ENCODER.batch([["the", "cat"]], {"upos": [["DET"]]})


def test_encoder_fails() -> None:
    with pytest.raises(ArgumentError, match="max_chars must be at least 2, got 1"):
        Encoder(ENCODER.words, ENCODER.chars, {"upos": ("X",)}, 1)


@given(st.lists(st.integers(0, 12)), st.integers(1, 20), st.none() | st.integers(0, 9))
def test_plan(lengths: list[int], budget: int, seed: int | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    batches = plan_batches(lengths, budget, generator)
    assert sorted(p for batch in batches for p in batch) == [p for p, length in enumerate(lengths) if length]
    assert all(len(batch) == 1 or sum(lengths[p] for p in batch) <= budget for batch in batches)
    # Batches are consecutive sentences in order of length.
    ranges = sorted((min(lengths[p] for p in batch), max(lengths[p] for p in batch)) for batch in batches)
    assert all(upper <= lower for (_, upper), (lower, _) in pairwise(ranges))


def test_plan_is_shuffled_by_its_generator() -> None:
    def plan(seed: int) -> list[list[int]]:
        return plan_batches([3] * 40, 9, torch.Generator().manual_seed(seed))

    assert plan(1) == plan(1) != plan(2)


def test_plan_fails() -> None:
    with pytest.raises(ArgumentError, match="at least 1 word, got 0"):
        plan_batches([1], 0)
