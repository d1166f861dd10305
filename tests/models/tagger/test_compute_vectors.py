from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.tagger import context_vectors
from hiddenstate.models.tagger.context_vectors import ContextualVectors, compute_vectors
from language_models import make

SENTENCES = [["the", "cat"], [], ["so"], ["the", "cat", "sat", "."], ["the"]]


def pair() -> ContextualVectors:
    return ContextualVectors(make(1), make(2, backward=True, hidden_size=4))


@pytest.mark.parametrize("together", [1, 12, 20_000])
def test_vectors_of_all_words_are_those_of_each_sentence(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(context_vectors, "READ_TOGETHER", together)
    vectors = pair()
    got = compute_vectors(vectors, SENTENCES)
    want = torch.cat([vectors([words])[:, 0] for words in SENTENCES if words])
    assert got.dtype is torch.float16
    torch.testing.assert_close(got.float(), want, rtol=0, atol=1e-3)
    assert compute_vectors(vectors, [[]]).shape == (0, 11)


def test_data_round_trip() -> None:
    vectors = pair()
    again = ContextualVectors.from_data(vectors.to_data())
    again.load_state_dict(vectors.state_dict())
    assert torch.equal(compute_vectors(again, SENTENCES), compute_vectors(vectors, SENTENCES))


def test_fails() -> None:
    with pytest.raises(ArgumentError, match="at least one character"):
        compute_vectors(pair(), [["a", ""]])
    wrong: list[Any] = [None, {}, [], {"forward": 1, "backward": 1}]
    for data in wrong:
        with pytest.raises(FileFormatError, match="not a description of contextual vectors"):
            ContextualVectors.from_data(data)
