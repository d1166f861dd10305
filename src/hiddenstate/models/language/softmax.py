"""From a hidden state to the probabilities of all V tokens: one softmax, or, where V is large, an adaptive one.

Both can also embed: tied weights (Inan et al. 2017; Press & Wolf 2017) are one matrix for reading and predicting.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear, log_softmax


class Softmax(nn.Module):
    """Scores of all V tokens, from E features each.

    Args:
        features: E.
        tokens: V.
    """

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
        # What autocast makes bfloat16 is too coarse for sums of exponentials.
        return cross_entropy(linear(hidden, self.weight, self.bias).float(), targets, reduction="none")


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """The adaptive softmax (Grave et al. 2017): frequent tokens at full size, clusters of rarer ones at less and less.

    A token's probability is exact; only what a rare token costs, and how many parameters it has, is less. So is what
    a rare token's vector can say where weights are tied: it lies in a subspace.

    Args:
        features: E.
        tokens: V.
        cutoffs: where the clusters begin; ids must be in the order of falling frequency.
        factor: how many times smaller each cluster's features are than those of the one before.
    """

    def __init__(self, features: int, tokens: int, cutoffs: Sequence[int], factor: float) -> None:
        super().__init__(features, tokens, list(cutoffs), div_value=factor, head_bias=True)
        nn.init.uniform_(self.head.weight, -0.1, 0.1)
        for narrow, rows in self._clusters():
            # So that what a rare token is given, and what it scores, is of the size that frequent tokens have.
            nn.init.uniform_(rows.weight, -0.1, 0.1)
            nn.init.normal_(narrow.weight, std=1 / math.sqrt(rows.in_features))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors ``[..., E]`` of tokens: rows of the head, and rows of a cluster projected up."""
        first = self.shortlist_size
        found = embedding(ids.clamp(max=first - 1), self.head.weight[:first])
        for number, (narrow, rows) in enumerate(self._clusters()):
            places = self._members(ids, number).nonzero(as_tuple=True)
            if len(places[0]):
                vectors = linear(rows.weight[ids[places] - self.cutoffs[number]], narrow.weight.T)
                found = found.index_put(places, vectors.to(found.dtype))
        return found

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
        found = hidden.new_zeros(len(targets), dtype=torch.float32)
        for number, tail in enumerate(self.tail):
            member = self._members(targets, number)
            in_head = in_head.masked_fill(member, first + number)
            (rows,) = member.nonzero(as_tuple=True)
            if len(rows):
                scores = tail(hidden[rows]).float()
                part = cross_entropy(scores, targets[rows] - self.cutoffs[number], reduction="none")
                found = found.index_add(0, rows, part)
        return found + cross_entropy(self.head(hidden).float(), in_head, reduction="none")

    def _clusters(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """Of each cluster the projection to fewer features, and the rows that score its tokens."""
        found: list[tuple[nn.Linear, nn.Linear]] = [tuple(tail) for tail in self.tail]  # type: ignore[arg-type, misc]
        return found

    def _members(self, ids: Tensor, number: int) -> Tensor:
        """Whether each id is of a cluster."""
        return (ids >= self.cutoffs[number]) & (ids < self.cutoffs[number + 1])
