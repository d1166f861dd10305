from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hiddenstate.models.language.language_model import AdaptiveSoftmax, Softmax

FEATURES, TOKENS = 16, 50


def adaptive() -> AdaptiveSoftmax:
    return AdaptiveSoftmax(FEATURES, TOKENS, (10, 30), 2.0)


def test_softmax_is_torchs() -> None:
    head, hidden, targets = Softmax(FEATURES, TOKENS), torch.randn(9, FEATURES), torch.randint(TOKENS, (9,))
    torch.nn.init.normal_(head.bias)
    want = (hidden @ head.weight.T + head.bias).log_softmax(-1)
    torch.testing.assert_close(head.log_probabilities(hidden), want)
    torch.testing.assert_close(head.surprise(hidden, targets), -want[range(9), targets])


def test_adaptive_softmax_is_torchs() -> None:
    head, hidden = adaptive(), torch.randn(200, FEATURES, requires_grad=True)
    targets = torch.randint(TOKENS, (200,))
    want = nn.AdaptiveLogSoftmaxWithLoss.forward(head, hidden, targets).output
    got = head.surprise(hidden, targets)
    torch.testing.assert_close(got, -want)
    torch.testing.assert_close(head.log_probabilities(hidden), head.log_prob(hidden))
    weights = [hidden, *head.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(got.sum(), weights), torch.autograd.grad(-want.sum(), weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("targets", [torch.arange(10), torch.arange(10, 30), torch.tensor([49]), torch.tensor([0])])
def test_a_batch_may_lack_clusters(targets: Tensor) -> None:
    head, hidden = adaptive(), torch.randn(len(targets), FEATURES)
    want = -head.log_prob(hidden)[range(len(targets)), targets]
    torch.testing.assert_close(head.surprise(hidden, targets), want)


def test_probabilities_sum_to_one() -> None:
    for head in (adaptive(), Softmax(FEATURES, TOKENS)):
        total = head.log_probabilities(torch.randn(9, FEATURES)).exp().sum(-1)
        torch.testing.assert_close(total, torch.ones(9))


def test_embedding_reads_the_rows_that_score() -> None:
    plain, ids = Softmax(FEATURES, TOKENS), torch.randint(TOKENS, (4, 3))
    assert torch.equal(plain.embed(ids), plain.weight[ids])
    head = adaptive()
    # A token's score within its cluster is the product of its vector with the hidden state.
    hidden, vectors = torch.randn(2, FEATURES), head.embed(torch.arange(TOKENS))
    torch.testing.assert_close(head.head(hidden)[:, :10], hidden @ vectors[:10].T + head.head.bias[:10])
    for tail, members in zip(head.tail, (slice(10, 30), slice(30, 50)), strict=True):
        torch.testing.assert_close(tail(hidden), hidden @ vectors[members].T)
    assert torch.equal(head.embed(ids), vectors[ids])
    vectors.sum().backward()
    assert all(weight.grad is not None for weight in (head.head.weight, *head.tail.parameters()))


def test_first_vectors_are_of_one_size() -> None:
    head = AdaptiveSoftmax(64, 3000, (1000, 2000), 4.0)
    sizes = [head.embed(torch.arange(k, k + 1000)).std().item() for k in (0, 1000, 2000)]
    assert max(sizes) < 1.2 * min(sizes)


@pytest.mark.parametrize("make", [adaptive, lambda: Softmax(FEATURES, TOKENS)])
def test_under_autocast_probabilities_are_float32(make: Callable[[], Softmax]) -> None:
    head, hidden, targets = make(), torch.randn(300, FEATURES), torch.randint(TOKENS, (300,))
    want = head.surprise(hidden, targets)
    with torch.autocast("cpu", torch.bfloat16):
        got = head.surprise(hidden.bfloat16(), targets)
        assert head.log_probabilities(hidden).dtype is torch.float32
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, want, atol=0.05, rtol=0.01)
