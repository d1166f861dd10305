import torch

from hiddenstate.models.tagger.crf import Chain
from hiddenstate.models.tagger.decoding import find
from hiddenstate.models.tagger.tagging import Tagging, Tags


def test_without_a_chain() -> None:
    scores, lengths = torch.randn(3, 2, 4), torch.tensor([3, 1])
    found = find(scores, lengths, None, 2.0, 2)
    torch.testing.assert_close(found.probabilities, (scores / 2).softmax(-1).transpose(0, 1))
    tags = found.tags(("a", "b", "c", "d"), row=1, length=1)
    assert tags.tags == ("abcd"[int(scores[0, 1].argmax())],)
    assert tags.probabilities.shape == (1, 4)
    assert [len(guess.tags) for guess in tags.guesses] == [1, 1]
    assert find(scores, lengths, None, 1.0, 0).tags(tuple("abcd"), 0, 3).guesses == ()


def test_with_a_chain_nothing_is_asked_for_and_nothing_given() -> None:
    found = find(torch.randn(3, 2, 4), torch.tensor([3, 1]), Chain(4), 1.0, 0)
    assert found.sequences is None
    assert len(found.tags(tuple("abcd"), 0, 3).tags) == 3


def test_the_first_column_is_the_main_one() -> None:
    first, second = (Tags(names, (names[0],), torch.tensor([[0.75, 0.25]])) for names in (("A", "B"), ("x", "y")))
    tagging = Tagging(("word",), {"upos": first, "xpos": second})
    assert (tagging.tags, tagging.tag_names, tagging.top(1)) == (("A",), ("A", "B"), [{"A": 0.75}])
    assert tagging.probabilities is first.probabilities
    assert tagging.columns["xpos"].top(9) == [{"x": 0.75, "y": 0.25}]
