"""The canonical description of a call, which every path computes; what to record of it; and its result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from hiddenstate.cells.cell import Weights
from hiddenstate.edits.resolve import ResolvedEdit
from hiddenstate.structure.names import LayerDirection, Place
from hiddenstate.structure.sizes import Sizes, parameter_names


@dataclass(frozen=True)
class RecordSpec:
    """The places and time steps to record of a call."""

    places: Sequence[Place]
    steps: Sequence[int]


R = TypeVar("R", bound=tuple[Any, ...])  # the result of running one layer and direction


# Never changed once it is read, but not frozen: each call and gradient creates one, and freezing would take longer.
@dataclass(eq=False)
class Call:
    """One call in canonical form: time first, batched, all shapes checked. Once read, `replace` makes new ones."""

    sizes: Sizes  # of the whole LSTM, or of one layer and direction of it
    weights: Sequence[Weights]  # of each layer and direction, in the order of ``layer_directions``
    x: Tensor  # [T, N, C]
    h0: Tensor  # [L*D, N, P]
    # [L*D, N, H], in the type of x or in that in which cell states are stored; c_n has the same type. None if the cell
    # has no cell state.
    c0: Tensor | None
    lengths: Tensor | None = None  # int64 [N]; None: every row has T steps
    reset: Tensor | None = None  # bool [T, N]
    dropout: float = 0.0  # the probability of zeroing an output between layers; zero outside training
    masks: Sequence[Tensor] = ()  # the dropout mask of each layer's output [T, N, D*P] except the last's, if drawn
    # Whether a backward pass is likely. If not, nothing is saved for it, and it needs a second forward run.
    training: bool = False
    edits: Sequence[ResolvedEdit] = ()
    record: RecordSpec | None = None
    part: LayerDirection | None = None  # the layer and direction to run, if only one of an LSTM's
    packed_steps: Any = None  # weights packed for single steps, which update h0 and c0 in place
    # The states after borders: [L*D, N, units], the same for all borders of a row, or [L*D, T*N, units], index t*N + n
    # for the border before step t of row n; None for zeros. The types are those of h0 and c0.
    reset_h: Tensor | None = None
    reset_c: Tensor | None = None
    recompute_gates: bool = False  # whether the backward pass recomputes the gates instead of reading saved ones
    packed_weights: Any = None  # packed weights that native code reads instead of ``weights``
    # int64 [N], the order (longest first) in which torch packs the rows and draws dropout; None for the order of
    # `torch.nn.utils.rnn.pack_padded_sequence` with enforce_sorted=False.
    order: Tensor | None = None

    @property
    def layer_directions(self) -> Sequence[LayerDirection]:
        """Every layer and direction that runs."""
        return self.sizes.layer_directions if self.part is None else [self.part]

    @property
    def cell(self) -> str:
        """The kind of cell."""
        return self.sizes.cell

    @property
    def given_weights(self) -> list[Tensor]:
        """The weights in torch's order, without absent ones."""
        return [weight for weights in self.weights for weight in weights if weight is not None]

    @property
    def is_observed(self) -> bool:
        """Whether edits are active, or a trace records the call."""
        return bool(self.edits) or self.record is not None

    @property
    def initial(self) -> tuple[Tensor, ...]:
        """The initial states, in the order of the cell's ``carried``."""
        return (self.h0,) if self.c0 is None else (self.h0, self.c0)

    @property
    def reset_to(self) -> tuple[Tensor, ...] | None:
        """The states after borders, in that order; None for zeros."""
        if self.reset_h is None:
            return None
        return (self.reset_h,) if self.reset_c is None else (self.reset_h, self.reset_c)

    @property
    def reverse(self) -> bool:
        """Whether the part, if there is one, reads from the last step to the first."""
        return self.part is not None and self.part.reverse

    def only(self, k: int, x: Tensor) -> "Call":
        """Return the call of only the k-th layer and direction, which reads ``x``."""
        part = self.layer_directions[k]
        return replace(
            self,
            sizes=self.sizes.of_layer(part.layer),
            weights=[self.weights[k]],
            x=x,
            h0=self.h0[k : k + 1],
            c0=None if self.c0 is None else self.c0[k : k + 1],
            masks=(),
            edits=[edit for edit in self.edits if edit.place.layer_direction == part],
            part=part,
            reset_h=None if self.reset_h is None else self.reset_h[k : k + 1],
            reset_c=None if self.reset_c is None else self.reset_c[k : k + 1],
        )


class CallResult(NamedTuple):
    """``out [T, N, D*P]``, ``h_n``, ``c_n`` (or None), and values by place, ``carried`` by layer and direction."""

    out: Tensor
    h_n: Tensor
    c_n: Any = None  # Tensor | None
    values: Mapping[str, Tensor] = {}
    carried: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class PathReport:
    """The path that a call takes, and why no faster path can run it.

    Attributes:
        name: ``"fast"``, or the name of a path in the documentation of the engine.
        reasons: maps each faster path to the reason why it can't run the call.
        plan: how the native engine would divide such a call now; None if it does not compute it in one native call.
    """

    name: str
    reasons: dict[str, str]
    plan: str | None = None

    def __str__(self) -> str:
        lines = [f"This call runs on the path {self.name!r}."]
        lines += [] if self.plan is None else [f"  plan: {self.plan}"]
        return "\n".join(lines + [f"  not {name!r}: {why}" for name, why in self.reasons.items()])


STATES = 5  # the number of leaves that come before the weights


def tensors_needing_gradients(call: Call) -> tuple[Tensor | None, ...]:
    """Return the tensors that may need gradients: x, the states, and the weights of each layer and direction."""
    return (call.x, call.h0, call.c0, call.reset_h, call.reset_c, *chain.from_iterable(call.weights))


def with_leaves(call: Call, leaves: Sequence[Tensor | None]) -> Call:
    """Return the call with different leaves."""
    x, h0, c0, reset_h, reset_c, *_ = leaves
    return replace(call, x=x, h0=h0, c0=c0, reset_h=reset_h, reset_c=reset_c, weights=split_weights(leaves))  # type: ignore[arg-type]


def split_weights(leaves: Sequence[Tensor | None]) -> list[Weights]:
    """Return the weights among the leaves, for each layer and direction in order."""
    width = len(Weights._fields)
    # Does not use _make, which older versions of Dynamo cannot trace.
    return [Weights(*leaves[k : k + width]) for k in range(STATES, len(leaves), width)]  # type: ignore[arg-type]


def weights_of_flat(flat: Sequence[Tensor], sizes: Sizes) -> list[Weights]:
    """Group a flat list of weights, in torch's order, by layer and direction; None for absent ones."""
    left = iter(flat)
    return [
        Weights._make([None if name is None else next(left, None) for name in names])
        for names in parameter_names(sizes)
    ]


def wants_gradient(tensors: Sequence[Tensor | None]) -> bool:
    """Whether torch builds a graph for these tensors; never in inference mode, even inside `torch.enable_grad`."""
    return builds_graphs() and any(value is not None and value.requires_grad for value in tensors)


def builds_graphs() -> bool:
    """Whether autograd records operations now."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def through_layers(call: Call, run: Callable[[int, Tensor], R]) -> tuple[Tensor, list[R]]:
    """Run all layers and directions by ``run(index, input)``; return the last output, and what each run returned."""
    results: list[R] = []
    x = call.x
    D = call.sizes.directions
    for first in range(0, len(call.layer_directions), D):
        if first and call.masks:
            x = x * call.masks[first // D - 1]
        sides = [run(k, x) for k in range(first, first + D)]
        x = torch.cat([side[0] for side in sides], dim=-1) if D > 1 else sides[0][0]
        results += sides
    return x, results


def zero_state(x: Tensor, sizes: Sizes) -> Any:
    """Return the default initial states of a run over ``x [T, N, ...]``: a tuple of ``[L*D, N, units]`` each."""
    count, N = len(sizes.layer_directions), x.shape[1]
    return tuple([x.new_zeros(count, N, units) for units in sizes.state_units])


def live_steps(lengths: Tensor, T: int) -> Tensor:
    """Return bool ``[T, N]``, True before each row's end."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
