"""From scores to tags and to the loss: tags one by one, or jointly by a linear-chain CRF."""

from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagging import Tags
from hiddenstate.text.batches import IGNORED_TAG, Batch

# The score of a forbidden tag. Its exponential is exactly 0, but the score is finite, so gradients are too.
_NEVER = -1e4


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
            leaf = scores.detach().double().requires_grad_()
            # The derivative of the log partition function with respect to a score is the marginal probability of that
            # tag.
            (shares,) = torch.autograd.grad(self.log_partition(leaf, lengths).sum(), leaf)
        return shares.to(scores.dtype)

    @torch.no_grad()
    def best(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the most probable tags ``[N, T]`` for scores ``[T, N, K]``, by the Viterbi algorithm."""
        scores, follow, origins = scores.double(), self.transitions.double(), list[Tensor]()
        state = self.start + scores[0]
        for t in range(1, len(scores)):
            highest, origin = (state[:, :, None] + follow).max(dim=1)  # [N, K]: by next tag
            origins.append(origin)
            state = torch.where((t < lengths)[:, None], highest + scores[t], state)
        tags = [(state + self.end).argmax(-1)]
        for t in range(len(origins), 0, -1):
            before = origins[t - 1].gather(1, tags[-1][:, None])[:, 0]
            tags.append(torch.where(t < lengths, before, tags[-1]))  # those beyond a row's end are not used
        return torch.stack(tags[::-1], dim=-1)


def tagging_loss(
    scores: Mapping[str, Tensor], batch: Batch, config: TaggerConfig, chains: Mapping[str, Chain | None]
) -> Tensor:
    """Return the mean surprise per word, summed over columns; with teachers, cross-entropy (Hinton et al. 2015)."""
    assert batch.tags is not None
    total = torch.zeros((), device=batch.words.device)
    for column, tags in batch.tags.items():
        chain, taught = chains[column], None if batch.taught is None else batch.taught[column]
        if taught is not None:
            soft = -(taught * scores[column].log_softmax(-1)).sum(-1).flatten()
            share = torch.where(tags.flatten() == IGNORED_TAG, 1.0, config.teacher_share)
            hard = _of_tags(scores[column], tags, config.label_smoothing, "none")
            surprise, count = (share * soft + (1 - share) * hard).sum(), int(batch.lengths.sum())
        else:
            count = max(1, int((tags != IGNORED_TAG).sum()))
            if chain is not None:
                surprise = chain.surprise(scores[column], tags, batch.lengths).sum().float()
            else:
                surprise = _of_tags(scores[column], tags, config.label_smoothing, "sum")
        total = total + surprise / count
    return total


def _of_tags(scores: Tensor, tags: Tensor, smoothing: float, reduction: str) -> Tensor:
    """Return the surprise of the words' tags, 0 for words without: summed or, with ``"none"``, of each, ``[T·N]``."""
    flat = scores.flatten(0, 1), tags.flatten()
    return cross_entropy(*flat, ignore_index=IGNORED_TAG, label_smoothing=smoothing, reduction=reduction)


def best(
    scores: Tensor, lengths: Tensor, chain: Chain | None, temperature: float, *, has_probabilities: bool
) -> tuple[Tensor, Tensor]:
    """Find a column's tags as indices ``[W]`` and their probabilities, which a CRF gives only if asked."""
    if chain is None:
        shares, numbers = _distributions(scores, lengths, None, temperature).max(-1)
        return numbers, shares
    numbers = chain.best(scores, lengths)[_is_word(scores, lengths)]
    if not has_probabilities:
        return numbers, torch.zeros(len(numbers))
    return numbers, _distributions(scores, lengths, chain, temperature).gather(1, numbers[:, None])[:, 0]


def find(
    scores: Tensor, lengths: Tensor, names: tuple[str, ...], chain: Chain | None, temperature: float
) -> list[Tags]:
    """Find the tags of one column for each sentence of a batch."""
    sizes, flat = lengths.tolist(), _distributions(scores, lengths, chain, temperature)
    numbers = flat.argmax(-1) if chain is None else chain.best(scores, lengths)[_is_word(scores, lengths)]
    chosen = map(names.__getitem__, numbers.tolist())
    shares = flat.cpu().split(sizes)
    return [Tags(names, tuple(islice(chosen, size)), part) for size, part in zip(sizes, shares, strict=True)]


def _is_word(scores: Tensor, lengths: Tensor) -> Tensor:
    """Return a mask ``[N, T]`` of the words."""
    return torch.arange(len(scores), device=lengths.device) < lengths[:, None]


def _distributions(scores: Tensor, lengths: Tensor, chain: Chain | None, temperature: float) -> Tensor:
    """Return the distributions of all words, sentence by sentence, so that each sentence has a slice of them."""
    if chain is None:
        logits = scores.transpose(0, 1)[_is_word(scores, lengths)]
    else:
        shares = chain.marginals(scores, lengths).clamp_min(torch.finfo(scores.dtype).tiny)
        logits = shares.transpose(0, 1)[_is_word(scores, lengths)].log()
    return (logits / temperature).softmax(-1)
