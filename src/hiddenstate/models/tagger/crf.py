"""A linear-chain conditional random field: scores of tags, and of transitions between tags.

The probability of a sequence of tags is exp(its score) divided by the sum of exp(score) over all sequences. All sums
are in float64, so that long sentences lose no precision.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# The score of a forbidden tag. Its exponential is exactly 0, but the score is finite, so gradients are too.
_NEVER = -1e4


class Sequences(NamedTuple):
    """The n most probable sequences of each row.

    ``tags [N, n, T]`` (undefined beyond a row's end), and ``scores [N, n]``, their log-probabilities, highest first;
    -inf if a row has no more sequences.
    """

    tags: Tensor
    scores: Tensor


class Chain(nn.Module):
    """Learnt scores for the first tag, for transitions, and for the last tag.

    Args:
        tags: K, the number of tags.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))  # from, to
        self.end = nn.Parameter(torch.zeros(tags))

    def log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the log partition function ``[N]``, by the forward algorithm.

        Args:
            scores: ``[T, N, K]``, float64.
            lengths: ``[N]``, at least 1.
        """
        going = torch.arange(len(scores), device=scores.device)[:, None, None] < lengths[:, None]
        follow = self.transitions.double().exp()
        state = self.start + scores[0]
        for t in range(1, len(scores)):
            most = state.detach().amax(-1, keepdim=True)
            reached = ((state - most).exp() @ follow).clamp_min(torch.finfo(torch.float64).tiny).log() + most
            state = torch.where(going[t], reached + scores[t], state)
        return (state + self.end).logsumexp(-1)

    def surprise(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return the negative logarithm ``[N]`` of the probability of the tags of each row.

        Args:
            scores: ``[T, N, K]``.
            tags: ``[T, N]``; a negative one stands for any tag.
            lengths: ``[N]``, at least 1.
        """
        scores = scores.double()
        allowed = (tags[..., None] < 0) | (tags[..., None] == torch.arange(scores.shape[-1], device=scores.device))
        # Sums over all sequences, and over those with these tags, are computed in parallel.
        both = torch.cat([scores, scores.masked_fill(~allowed, _NEVER)], dim=1)
        every, these = self.log_partition(both, lengths.repeat(2)).chunk(2)
        return every - these

    def marginals(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return each tag's marginal probability at each word, ``[T, N, K]``; 0 beyond a row's end."""
        with torch.enable_grad():
            given = scores.detach().double().requires_grad_()
            # The derivative of the log partition function with respect to a score is the marginal probability of that
            # tag.
            (shares,) = torch.autograd.grad(self.log_partition(given, lengths).sum(), given)
        return shares.to(scores.dtype)

    def best(self, scores: Tensor, lengths: Tensor, n: int = 1) -> Sequences:
        """Return the ``n`` most probable sequences of scores ``[T, N, K]``."""
        chain = (self.start, self.transitions, self.end)
        found = n_best(scores, lengths, n, *(part.detach().double() for part in chain))
        return Sequences(found.tags, found.scores - self.log_partition(scores.double(), lengths)[:, None])


def n_best(scores: Tensor, lengths: Tensor, n: int, start: Tensor, transitions: Tensor, end: Tensor) -> Sequences:
    """Return the ``n`` sequences with the highest total scores, and these scores, by the Viterbi algorithm.

    Args:
        scores: ``[T, N, K]``.
        lengths: ``[N]``, at least 1.
        n: the number of sequences.
        start: ``[K]``, added for the first tag.
        transitions: ``[K, K]``, added for each transition.
        end: ``[K]``, added for the last tag.
    """
    T, _, K = scores.shape
    scores = scores.double()
    state = (start + scores[0])[:, None]  # [N, up to n, K]: the best sequences that end in each tag
    into, origins = transitions.T.contiguous(), list[Tensor]()
    for t in range(1, T):
        ways = (state[:, None] + into[:, None]).flatten(2)  # [N, K, up to n·K]: by next tag and previous tag
        highest, origin = (each.transpose(1, 2) for each in _highest(ways, n))
        origins.append(origin)
        room = highest.shape[1] - state.shape[1]
        before = nn.functional.pad(state, (0, 0, 0, room), value=-torch.inf)
        going = (t < lengths)[:, None, None]
        state = torch.where(going, highest + scores[t][:, None], before)
    totals, place = _highest((state + end).flatten(1), n)
    tags = list[Tensor]()
    for t in range(T - 1, 0, -1):
        tags.append(place % K)
        origin = origins[t - 1].flatten(1)
        # A row that has ended may have indices of sequences that do not exist; they are meaningless.
        earlier = origin.gather(1, place.clamp_max(origin.shape[1] - 1))
        place = torch.where((t < lengths)[:, None], earlier, place)
    return Sequences(torch.stack([place % K, *reversed(tags)], dim=-1), totals)


def _highest(values: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return up to ``n`` of the highest values along the last axis, and their indices."""
    if n == 1:  # many times faster than topk
        return values.max(dim=-1, keepdim=True)
    return values.topk(min(n, values.shape[-1]), dim=-1)
