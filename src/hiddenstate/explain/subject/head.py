"""`Head`: computes logits and log-probabilities from the LSTM's outputs, with labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hiddenstate.base.memory import check_memory_of
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError

MOST_NAMED = 20  # maximum number of labels listed in an error


@dataclass(frozen=True, eq=False)
class Head:
    """The linear layer that reads the last layer's hidden states, and the probabilities if a softmax reads its outputs.

    Attributes:
        weight: ``[K, D*P]``.
        bias: ``[K]``, or None.
        labels: the name of each logit; there may be more labels than logits, if some have only a probability.
        log_probabilities: maps outputs ``[..., D*P]`` to ``[..., len(labels)]``; None if the logits are not known to be
            the scores of a softmax, as in regression.
    """

    weight: Tensor
    bias: Tensor | None
    labels: tuple[str, ...]
    log_probabilities: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        check_memory_of([("the head's weight", self.weight), ("the head's bias", self.bias)])
        if self.weight.dim() != 2 or (self.bias is not None and self.bias.shape != self.weight.shape[:1]):
            bias = None if self.bias is None else list(self.bias.shape)
            raise ShapeError(
                f"a head must have a weight [K, D*P] and a bias [K], got {list(self.weight.shape)} and {bias}"
            )
        if len(self.labels) < len(self.weight):
            raise ArgumentError(f"{len(self.weight)} logits need one label each, got {len(self.labels)}")

    def logits(self, out: Tensor) -> Tensor:
        """Return the logits ``[..., K]`` of outputs ``[..., D*P]``."""
        return linear(out.to(self.weight.dtype), self.weight, self.bias)

    def index(self, label: str | int) -> int:
        """Return the index of a label; an int is returned as it is.

        Raises:
            NameUnknownError: there is no such label.
        """
        if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(self.labels):
            return label
        matches = [k for k, name in enumerate(self.labels) if name == label]
        if len(matches) != 1:
            some = " ".join(map(repr, self.labels[:MOST_NAMED])) + (" ..." if len(self.labels) > MOST_NAMED else "")
            count = f"{len(matches)} labels" if matches else "no label"
            raise NameUnknownError(
                f"this model has {count} {label!r}; expected one of the {len(self.labels)}: {some}; or an index from 0"
            )
        return matches[0]

    def readout(self, label: str | int) -> tuple[Tensor, float]:
        """Return the vector ``[D*P]`` and the number b with ``logit = vector · out + b``, both in float64.

        Raises:
            NameUnknownError: there is no such label.
            ArgumentError: the label has no logit of its own.
        """
        k = self.index(label)
        if k >= len(self.weight):
            raise ArgumentError(
                f"{label!r} has a probability but no logit of its own: the softmax of this model is adaptive, and "
                f"the label is in a cluster of rare ones; use log_probability({label!r})"
            )
        bias = 0.0 if self.bias is None else float(self.bias[k])
        return self.weight[k].detach().double(), bias


def softmax_head(
    weight: Tensor,
    bias: Tensor | None,
    labels: Sequence[str],
    groups: Sequence[int] = (),
    temperatures: Sequence[float] = (),
) -> Head:
    """Make a head whose logits are the scores of a softmax, or of one softmax per group."""
    sizes = list(groups) or [len(weight)]
    divisors = list(temperatures) or [1.0] * len(sizes)
    shown, offset = weight.detach(), None if bias is None else bias.detach()

    def log_probabilities(out: Tensor) -> Tensor:
        parts = linear(out.to(shown.dtype), shown, offset).split(sizes, dim=-1)
        normal = [torch.log_softmax(part / by, dim=-1) for part, by in zip(parts, divisors, strict=True)]
        return torch.cat(normal, dim=-1)

    return Head(shown, offset, tuple(labels), log_probabilities)


def make_head(head: object, labels: Sequence[str] | None, *, softmax: bool | None = None) -> Head:
    """Turn a linear layer into a head."""
    if softmax is not None and not isinstance(softmax, bool):
        raise ArgumentTypeError(f"softmax= must be True, False or None, got {softmax!r:.60}")
    if isinstance(head, Head):
        if softmax is not None:
            raise ArgumentError("softmax= is for a linear layer; a Head has its own log_probabilities")
        return head
    if not isinstance(head, nn.Linear):
        raise ArgumentTypeError(f"head= must be a torch.nn.Linear or a Head, got {type(head).__name__}")
    if labels is not None and (not isinstance(labels, Sequence) or not all(isinstance(name, str) for name in labels)):
        raise ArgumentTypeError(f"labels= must be a list of strings, got {labels!r:.60}")
    names = [str(k) for k in range(head.out_features)] if labels is None else list(labels)
    if softmax and len(head.weight) == 1:
        raise ArgumentError("a softmax over one output is always 1: drop softmax=True to explain the output itself")
    weight, bias = head.weight.detach(), None if head.bias is None else head.bias.detach()
    return softmax_head(weight, bias, names) if softmax else Head(weight, bias, tuple(names))


def needed_head(head: Head | None, reason: str = "") -> Head:
    """Return the head; raise ArgumentError, with the reason and ways to give one, if there is none."""
    if head is None:
        raise ArgumentError(
            f"there is no head here{f': {reason}' if reason else ' that reads the outputs of the LSTM'}. Give one, as "
            "in hs.explain.subject(model, x, head=linear, labels=names), a function of the LSTM's outputs, such as "
            "of=lambda run: model.mlp(run.out[-1])[:, 0] (run.state has the final states), or a place such as "
            "'l0.h[3]@7'"
        )
    return head


def needed_probabilities(head: Head) -> Callable[[Tensor], Tensor]:
    """Return the function that computes log-probabilities; raise ArgumentError if the head has none."""
    if head.log_probabilities is None:
        raise ArgumentError(
            "this head has no probabilities, because it is not known to feed a softmax (and a tagger with a CRF scores "
            "whole sentences): use logit(...), or, if a softmax reads a linear layer's outputs, give softmax=True"
        )
    return head.log_probabilities
