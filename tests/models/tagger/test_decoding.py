import torch

from hiddenstate.models.tagger.decoding import Chain, find
from hiddenstate.models.tagger.tagging import Tagging, Tags

NAMES = ("a", "b", "c", "d")


def test_without_a_chain() -> None:
    scores, lengths = torch.randn(3, 2, 4), torch.tensor([3, 1])
    first, second = find(scores, lengths, NAMES, None, 2.0)
    torch.testing.assert_close(first.probabilities, (scores[:, 0] / 2).softmax(-1))
    torch.testing.assert_close(second.probabilities, (scores[:1, 1] / 2).softmax(-1))
    assert first.tags == tuple(NAMES[number] for number in scores[:, 0].argmax(-1))
    assert second.tags == (NAMES[int(scores[0, 1].argmax())],)


def test_with_a_chain() -> None:
    chain, scores = Chain(4), torch.randn(3, 2, 4)
    first, second = find(scores, torch.tensor([3, 1]), NAMES, chain, 1.0)
    best = chain.best(scores, torch.tensor([3, 1]))
    assert first.tags == tuple(NAMES[number] for number in best[0])
    assert second.tags == (NAMES[int(best[1, 0])],)
    torch.testing.assert_close(first.probabilities, chain.marginals(scores, torch.tensor([3, 1]))[:, 0].float())


def test_the_first_column_is_the_main_one() -> None:
    first, second = (Tags(names, (names[0],), torch.tensor([[0.75, 0.25]])) for names in (("A", "B"), ("x", "y")))
    tagging = Tagging(("word",), {"upos": first, "xpos": second})
    assert (tagging.tags, tagging.tag_names, tagging.top(1)) == (("A",), ("A", "B"), [{"A": 0.75}])
    assert tagging.probabilities is first.probabilities
    assert tagging.columns["xpos"].top(9) == [{"x": 0.75, "y": 0.25}]
