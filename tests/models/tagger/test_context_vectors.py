import pytest
import torch

from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from language_models import make

SENTENCES = [["the", "cat", "sat", "."], ["so"], [], ["é", "戦", "unknown-☃"], ["the", "cat"]]


def pair() -> ContextualVectors:
    return ContextualVectors(make(1), make(2, backward=True, hidden_size=4))


def last_state(model: LanguageModel, text: str) -> torch.Tensor:
    """The hidden state after a line end and the text, one character at a time."""
    stream = model.lstm.stream()
    for character in "\n" + text:
        with torch.no_grad():
            x = model.embed(torch.from_numpy(model.tokens.ids(character)).long()[:, None])[0]
        h = stream.step(x)
    return h[0]


def test_against_one_character_at_a_time() -> None:
    vectors = pair()
    got = vectors(SENTENCES)
    assert got.shape == (4, 5, vectors.size) == (4, 5, 7 + 4)
    for n, words in enumerate(SENTENCES):
        for t in range(4):
            if t >= len(words):
                assert not got[t, n].any()
                continue
            ahead = last_state(vectors.forward_model, " ".join(words[: t + 1]))
            back = last_state(vectors.backward_model, " ".join(words[t:])[::-1])
            torch.testing.assert_close(got[t, n], torch.cat([ahead, back]), atol=1e-5, rtol=1e-5)


def test_company_makes_no_difference() -> None:
    vectors = pair()
    together = vectors(SENTENCES)
    for n, words in enumerate(SENTENCES):
        alone = vectors([words])
        torch.testing.assert_close(together[: len(words), n], alone[:, 0])


def test_nothing_learns_and_nothing_is_dropped() -> None:
    vectors = ContextualVectors(make(dropout=0.5, input_dropout=0.5), make(backward=True, token_dropout=0.5)).train()
    got = vectors(SENTENCES)
    assert torch.equal(got, vectors(SENTENCES))
    assert not got.requires_grad
    assert not any(parameter.requires_grad for parameter in vectors.parameters())


def test_only_empty_sentences() -> None:
    assert pair()([[], []]).shape == (0, 2, 11)


def test_fails() -> None:
    with pytest.raises(ArgumentError, match="expected a backward character model, got .* char that reads forward"):
        ContextualVectors(make(), make())
    with pytest.raises(ArgumentError, match="expected a forward character model, got .* level word"):
        ContextualVectors(make(level="word"), make(backward=True))
    with pytest.raises(ArgumentError, match="a word needs at least one character"):
        pair()([["the", ""]])
    with pytest.raises(ArgumentError, match="no sentence"):
        pair()([])
