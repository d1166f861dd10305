"""`Outputs`: the outputs of a run of many rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hiddenstate.base.validation import AnyState
from hiddenstate.errors import ArgumentError, IndexRangeError, NameUnknownError
from hiddenstate.explain.subject.head import Head
from hiddenstate.structure.names import Place


@dataclass(frozen=True, eq=False, repr=False)
class Outputs:
    """The outputs of a run of R rows. A target takes them and returns one number per row, ``[R]``.

    Attributes:
        out: the last layer's hidden states, ``[T, R, D*P]``, time first whatever the LSTM's layout is.
        state: the final ``(h_n, c_n)``, ``[L*D, R, P]`` and ``[L*D, R, H]``; only h_n for a cell without a cell state.
        head: the linear layer that reads ``out``, or None.
        values: recorded places, ``[steps, R, units]``.
        steps: the steps of ``values``.
        first: the input step of ``out[0]``; above 0 if only a part was run.
        last_layer: the index of the last layer.
    """

    out: Tensor
    state: AnyState
    head: Head | None
    values: Mapping[str, Tensor] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    first: int = 0
    last_layer: int = 0

    @property
    def logits(self) -> Tensor:
        """The head's logits at every step, ``[T, R, K]``.

        Raises:
            ArgumentError: there is no head.
        """
        return needed_head(self.head).logits(self.out)

    @property
    def log_probabilities(self) -> Tensor:
        """The logarithm of each label's probability at every step, ``[T, R, K]``.

        Raises:
            ArgumentError: there is no head, or it gives no probabilities.
        """
        return self.log_probabilities_from(self.out)

    def log_probabilities_from(self, out: Tensor) -> Tensor:
        """The logarithm of each label's probability, from outputs ``[..., D*P]``."""
        return needed_probabilities(needed_head(self.head))(out)

    def out_at(self, t: int) -> Tensor:
        """Return the output ``[R, D*P]`` at step t of the input."""
        return self.out[t - self.first]

    def at(self, place: Place, t: int) -> Tensor:
        """Return the values ``[R, units]`` of a place at step t of the input.

        Raises:
            NameUnknownError, IndexRangeError: the place or the step was not recorded.
        """
        name = str(place)
        if name in self.values:
            if t not in self.steps:
                raise IndexRangeError(f"step {t} of {name} was not recorded in this run, only {self.steps}")
            return self.values[name][self.steps.index(t)]
        if place.quantity != "h" or place.layer != self.last_layer:
            raise NameUnknownError(f"{name} was not recorded in this run, only {' '.join(self.values)}")
        units = (self.state[0] if isinstance(self.state, tuple) else self.state).shape[-1]
        begin = units if place.reverse else 0
        return self.out_at(t)[:, begin : begin + units]


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
