import math
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hiddenstate.models.tagger.decoding import Chain

CASES = st.tuples(st.integers(1, 3), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 99))


def make(K: int, lengths: list[int], seed: int, spread: float = 2.0) -> tuple[Chain, Tensor, Tensor]:
    torch.manual_seed(seed)
    chain = Chain(K)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.normal_(std=spread)
    return chain, spread * torch.randn(max(lengths), len(lengths), K), torch.tensor(lengths)


def sequences_of(chain: Chain, scores: Tensor, length: int) -> dict[tuple[int, ...], float]:
    """The score of every sequence of one row, one by one."""
    start, follow, end = (part.detach().tolist() for part in (chain.start, chain.transitions, chain.end))
    found = {}
    for tags in product(range(len(start)), repeat=length):
        steps = sum(float(scores[t, tag]) for t, tag in enumerate(tags))
        found[tags] = steps + start[tags[0]] + end[tags[-1]] + sum(follow[a][b] for a, b in pairwise(tags))
    return found


def fits(tags: tuple[int, ...], wanted: list[int]) -> bool:
    return all(want in (-1, tag) for want, tag in zip(wanted, tags, strict=True))


def log_sum(values: list[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


@given(CASES)
def test_partition_and_surprise_against_every_sequence(case: tuple[int, list[int], int]) -> None:
    K, lengths, seed = case
    chain, scores, ends = make(K, lengths, seed)
    tags = torch.randint(-1, K, scores.shape[:2])
    total = chain.log_partition(scores.double(), ends).detach()
    surprise = chain.surprise(scores, tags, ends).detach()
    for row, length in enumerate(lengths):
        every = sequences_of(chain, scores[:, row], length)
        these = [score for each, score in every.items() if fits(each, tags[:length, row].tolist())]
        assert float(total[row]) == pytest.approx(log_sum(list(every.values())), abs=1e-5)
        assert float(surprise[row]) == pytest.approx(log_sum(list(every.values())) - log_sum(these), abs=1e-5)


@given(CASES)
def test_marginals_against_every_sequence(case: tuple[int, list[int], int]) -> None:
    K, lengths, seed = case
    chain, scores, ends = make(K, lengths, seed)
    marginals = chain.marginals(scores, ends)
    want = torch.zeros(scores.shape)
    for row, length in enumerate(lengths):
        every = sequences_of(chain, scores[:, row], length)
        total = log_sum(list(every.values()))
        for tags, score in every.items():
            for t, tag in enumerate(tags):
                want[t, row, tag] += math.exp(score - total)
    torch.testing.assert_close(marginals, want, rtol=1e-5, atol=1e-5)


@given(CASES)
def test_the_best_against_every_sequence(case: tuple[int, list[int], int]) -> None:
    K, lengths, seed = case
    chain, scores, ends = make(K, lengths, seed)
    best = chain.best(scores, ends)
    for row, length in enumerate(lengths):
        every = sequences_of(chain, scores[:, row], length)
        assert tuple(best[row, :length].tolist()) == max(every, key=lambda tags: every[tags])


def test_gradient() -> None:
    chain, scores, ends = make(3, [4, 2, 1], seed=0, spread=1.0)
    tags = torch.tensor([[0, 1, 2], [2, 2, 0], [-1, 0, 0], [1, 0, 0]])
    chain.double()

    def surprise(values: Tensor, *parts: Tensor) -> Tensor:
        named = dict(zip(("start", "transitions", "end"), parts, strict=True))
        call = (values, tags, ends)
        parameters = {f"chain.{name}": value for name, value in named.items()}
        done: Tensor = torch.func.functional_call(_Surprise(chain), parameters, call)
        return done

    inputs = [scores.double(), *(part.detach() for part in (chain.start, chain.transitions, chain.end))]
    assert torch.autograd.gradcheck(surprise, [value.requires_grad_() for value in inputs])


class _Surprise(torch.nn.Module):
    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        return self.chain.surprise(scores, tags, lengths)


@pytest.mark.parametrize("spread", [50.0, 200.0])
def test_extreme_scores_stay_finite(spread: float) -> None:
    chain, scores, ends = make(4, [40, 3], seed=1, spread=spread)
    scores.requires_grad_()
    tags = torch.randint(0, 4, scores.shape[:2])
    surprise = chain.surprise(scores, tags, ends)
    surprise.sum().backward()
    assert torch.isfinite(surprise).all()
    for value in (scores.grad, *(parameter.grad for parameter in chain.parameters())):
        assert value is not None
        assert torch.isfinite(value).all()


def test_a_long_row_and_company() -> None:
    chain, scores, ends = make(3, [500, 2], seed=2, spread=1.0)
    together, alone = chain.marginals(scores, ends), chain.marginals(scores[:2, 1:], ends[1:])
    torch.testing.assert_close(together[:2, 1:], alone)
    torch.testing.assert_close(together[:, 0].sum(-1), torch.ones(500))
    assert not together[2:, 1].any()
