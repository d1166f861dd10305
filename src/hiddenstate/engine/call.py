"""The one description of a call, which every path computes, and what it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from hiddenstate.base.validation import State
from hiddenstate.cells.cell import Weights
from hiddenstate.edits.resolve import ResolvedEdit
from hiddenstate.engine.record import RecordSpec
from hiddenstate.structure.layer_direction import LayerDirection
from hiddenstate.structure.parameters import parameter_names
from hiddenstate.structure.sizes import Sizes

R = TypeVar("R", bound=tuple[Any, ...])  # what running one layer and direction gives


# Not frozen: that would take three times as long, and one is made in each call and each gradient. Nothing changes it.
@dataclass(eq=False)
class Call:
    """One call in canonical form: time first, batched, every shape checked. Never changed: `replace` makes another.

    Args:
        sizes: sizes of what runs: of the whole LSTM, or of one layer and direction of it.
        weights: weights of each layer and direction, in the order of ``layer_directions``.
        x: input, ``[T, N, C]``.
        h0: initial hidden states, ``[L*D, N, P]``.
        c0: initial cell states, ``[L*D, N, H]``, of the type of ``x`` or of the type that cell states are kept in;
            ``c_n`` comes back in its type.
        lengths: int64 ``[N]``, or None: every row has T steps.
        reset: bool ``[T, N]``, or None.
        dropout: probability of dropping an output between layers; zero outside training.
        masks: for each layer but the last, the dropout mask that multiplies its output ``[T, N, D*P]``; empty where
            none was drawn.
        training: whether a gradient is likely to be asked for. Otherwise nothing is saved for it, and it costs a
            second forward run.
        edits: edits, resolved against this call.
        record: what to record, or None.
        part: the layer and direction that runs, if it is a part of an LSTM; None for all of them.
        packed: weights packed for single steps, which then change ``h0`` and ``c0`` in place; or None.
        reset_h: hidden states that come in behind borders, ``[L*D, N, P]`` (all borders of a row get the same) or
            ``[L*D, T*N, P]`` (the border before step t of row n gets number t*N + n); None for zeros.
        reset_c: the cell states there, ``[L*D, N, H]`` or ``[L*D, T*N, H]``, of the types that ``c0`` may have; or
            None.
        shared: weights packed before, which native code reads in place of ``weights``; or None.
        order: int64 ``[N]``, the order of rows, longest first, in which torch packs them and draws dropout; None for
            that of `torch.nn.utils.rnn.pack_padded_sequence` with ``enforce_sorted=False``.
        recompute_gates: whether no gates are kept for a gradient, which then computes them again.
    """

    sizes: Sizes
    weights: Sequence[Weights]
    x: Tensor
    h0: Tensor
    c0: Tensor
    lengths: Tensor | None = None
    reset: Tensor | None = None
    dropout: float = 0.0
    masks: Sequence[Tensor] = ()
    training: bool = False
    edits: Sequence[ResolvedEdit] = ()
    record: RecordSpec | None = None
    part: LayerDirection | None = None
    packed: Any = None
    reset_h: Tensor | None = None
    reset_c: Tensor | None = None
    recompute_gates: bool = False
    shared: Any = None
    order: Tensor | None = None

    @property
    def layer_directions(self) -> Sequence[LayerDirection]:
        """Every layer and direction that runs."""
        return self.sizes.layer_directions if self.part is None else [self.part]

    @property
    def reverse(self) -> bool:
        """Whether a part reads from the last step to the first."""
        return self.part is not None and self.part.reverse

    def only(self, k: int, x: Tensor) -> "Call":
        """The part of the k-th layer and direction, which reads ``x``."""
        part = self.layer_directions[k]
        return replace(
            self,
            sizes=self.sizes.of_layer(part.layer),
            weights=[self.weights[k]],
            x=x,
            h0=self.h0[k : k + 1],
            c0=self.c0[k : k + 1],
            masks=(),
            edits=[edit for edit in self.edits if edit.place.layer_direction == part],
            part=part,
            reset_h=None if self.reset_h is None else self.reset_h[k : k + 1],
            reset_c=None if self.reset_c is None else self.reset_c[k : k + 1],
        )


class Result(NamedTuple):
    """What a call gives: ``out [T, N, D*P]``, ``h_n [L*D, N, P]``, ``c_n [L*D, N, H]``, and what was recorded.

    ``values`` maps a place, and ``carried`` a layer and direction, to ``[steps, N, units]``.
    """

    out: Tensor
    h_n: Tensor
    c_n: Tensor
    values: Mapping[str, Tensor] = {}
    carried: Mapping[str, Tensor] = {}


STATES = 5  # the leaves before the weights


def tensors_needing_gradients(call: Call) -> tuple[Tensor | None, ...]:
    """What a gradient may be needed of: x, the states, and the weights of one layer and direction after another."""
    return (call.x, call.h0, call.c0, call.reset_h, call.reset_c, *chain.from_iterable(call.weights))


def with_leaves(call: Call, leaves: Sequence[Tensor | None]) -> Call:
    """The same call of other leaves."""
    x, h0, c0, reset_h, reset_c, *_ = leaves
    return replace(call, x=x, h0=h0, c0=c0, reset_h=reset_h, reset_c=reset_c, weights=split_weights(leaves))  # type: ignore[arg-type]


def split_weights(leaves: Sequence[Tensor | None]) -> list[Weights]:
    """The weights among leaves, of one layer and direction after another."""
    width = len(Weights._fields)
    # Not by _make, which older versions of Dynamo do not trace.
    return [Weights(*leaves[k : k + width]) for k in range(STATES, len(leaves), width)]  # type: ignore[arg-type]


def weights_of_flat(flat: Sequence[Tensor], sizes: Sizes) -> list[Weights]:
    """Sort weights in one list, in torch's order, by layer and direction; None for those that there are not."""
    left = iter(flat)
    return [
        Weights._make([None if name is None else next(left, None) for name in names])
        for names in parameter_names(sizes)
    ]


def wants_gradient(tensors: Sequence[Tensor | None]) -> bool:
    """Whether torch builds a graph for results of these: never in inference mode, even inside `torch.enable_grad`."""
    return builds_graphs() and any(value is not None and value.requires_grad for value in tensors)


def builds_graphs() -> bool:
    """Whether autograd records operations now."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def through_layers(call: Call, run: Callable[[int, Tensor], R]) -> tuple[Tensor, list[R]]:
    """Go through all layers and directions, each by ``run``, which takes its number and what it reads.

    Returns:
        The last layer's output, and what ``run`` gave, the first of which is the output of that layer and direction.
    """
    done: list[R] = []
    x = call.x
    D = call.sizes.directions
    for first in range(0, len(call.layer_directions), D):
        if first and call.masks:
            x = x * call.masks[first // D - 1]
        sides = [run(k, x) for k in range(first, first + D)]
        x = torch.cat([side[0] for side in sides], dim=-1) if D > 1 else sides[0][0]
        done += sides
    return x, done


def zero_state(x: Tensor, sizes: Sizes) -> State:
    """The state that a run over ``x [T, N, ...]`` begins with if none is given: ``[L*D, N, P]``, ``[L*D, N, H]``."""
    count, N = len(sizes.layer_directions), x.shape[1]
    return x.new_zeros(count, N, sizes.output_size), x.new_zeros(count, N, sizes.hidden_size)


def live_steps(lengths: Tensor, T: int) -> Tensor:
    """Bool ``[T, N]``: True before each row's end."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
