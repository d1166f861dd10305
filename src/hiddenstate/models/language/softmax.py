"""Turns a hidden state into probabilities, plain or adaptive (for large V); tied weights embed, too."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear, log_softmax


class Softmax(nn.Module):
    """Scores of all V tokens, from E features each."""

    def __init__(self, features: int, tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, features).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(tokens))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors ``[..., E]`` of tokens: rows of the weight."""
        return embedding(ids, self.weight)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """From ``[M, E]``, return the logarithm of each token's probability, ``[M, V]``."""
        return log_softmax(linear(hidden, self.weight, self.bias).float(), dim=-1)

    def surprise(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """From ``[M, E]``, return the negative logarithm of the targets' probabilities, ``[M]``, in nats."""
        # Under autocast, bfloat16 would be too imprecise for sums of exponentials.
        return cross_entropy(linear(hidden, self.weight, self.bias).float(), targets, reduction="none")


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """The adaptive softmax (Grave et al. 2017): frequent tokens have full-size vectors, rarer ones smaller ones.

    Probabilities are exact, but rare tokens take less time and fewer parameters. With tied weights, a rare token's
    vector is also less expressive, because it is limited to a subspace.

    Args:
        features: E.
        tokens: V.
        cutoffs: the ids at which clusters begin; ids must be sorted by decreasing frequency.
        factor: how many times fewer features each cluster has than the previous one.
    """

    def __init__(self, features: int, tokens: int, cutoffs: Sequence[int], factor: float) -> None:
        super().__init__(features, tokens, list(cutoffs), div_value=factor, head_bias=True)
        nn.init.uniform_(self.head.weight, -0.1, 0.1)
        for narrow, rows in self._clusters():
            # This gives the vectors and scores of rare tokens the same magnitude as those of frequent ones.
            nn.init.uniform_(rows.weight, -0.1, 0.1)
            nn.init.normal_(narrow.weight, std=1 / math.sqrt(rows.in_features))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors ``[..., E]`` of tokens: rows of the head, and rows of a cluster projected up."""
        first = self.shortlist_size
        embedded = embedding(ids.clamp(max=first - 1), self.head.weight[:first])
        for number, (narrow, rows) in enumerate(self._clusters()):
            places = self._members(ids, number).nonzero(as_tuple=True)
            if len(places[0]):
                vectors = linear(rows.weight[ids[places] - self.cutoffs[number]], narrow.weight.T)
                embedded = embedded.index_put(places, vectors.to(embedded.dtype))
        return embedded

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """From ``[M, E]``, return the logarithm of each token's probability, ``[M, V]``."""
        head = log_softmax(self.head(hidden).float(), dim=-1)
        first = self.shortlist_size
        parts = [head[:, :first]]
        for number, tail in enumerate(self.tail):
            parts.append(head[:, first + number, None] + log_softmax(tail(hidden).float(), dim=-1))
        return torch.cat(parts, dim=-1)

    def surprise(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """From ``[M, E]``, return the negative logarithm of the targets' probabilities, ``[M]``, in nats."""
        first, in_head = self.shortlist_size, targets
        in_tails = hidden.new_zeros(len(targets), dtype=torch.float32)
        for number, tail in enumerate(self.tail):
            member = self._members(targets, number)
            in_head = in_head.masked_fill(member, first + number)
            (rows,) = member.nonzero(as_tuple=True)
            if len(rows):
                scores = tail(hidden[rows]).float()
                part = cross_entropy(scores, targets[rows] - self.cutoffs[number], reduction="none")
                in_tails = in_tails.index_add(0, rows, part)
        return in_tails + cross_entropy(self.head(hidden).float(), in_head, reduction="none")

    def _clusters(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """Each cluster's projection to fewer features, and the rows that score its tokens."""
        return [tuple(tail) for tail in self.tail]  # type: ignore[arg-type, misc]

    def _members(self, ids: Tensor, number: int) -> Tensor:
        return (ids >= self.cutoffs[number]) & (ids < self.cutoffs[number + 1])
