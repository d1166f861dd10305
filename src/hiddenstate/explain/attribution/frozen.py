"""`frozen`: the parts of a target in the linear map that a run becomes if its gates are held fixed.

With i, f, o taken as constants and tanh replaced by its secant (``tanh(z) = s·z`` with the s of this run), an LSTM of
any number of layers and directions is linear in its inputs, the biases of g, the initial states and the head's bias.
Their parts (each variable times the derivative of this linear map) add up to the target. A GRU with constant r and z is
linear in the same way. A plain RNN has no gates, so only its nonlinearity is replaced by its secant.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hiddenstate.cells.cell import Cell, MemorySplit, secant
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import before_each_step, borders, row_values
from hiddenstate.explain.subject.subject import Subject, weights_of_gates
from hiddenstate.explain.subject.target import Readout
from hiddenstate.structure.names import LayerDirection, Place
from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True, eq=False)
class FrozenParts:
    """The parts of a linear target; float64."""

    x: Tensor  # [T, C], the contribution of each input feature
    biases: dict[str, Tensor]  # for each layer and direction (l0), the part of the candidate's biases, [T]
    initial: Tensor  # [L*D], the parts of the initial states
    bias: float  # the head's bias
    # for each layer and direction, the derivative of the target with respect to its memory, [T, H]
    cells: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class FrozenLayer:
    """One layer and direction of one row, in float64: its recorded values, and its candidate's weights."""

    kind: Cell
    place: Place  # the place of its memory
    values: dict[str, Tensor]  # each [T, units]
    before: dict[str, Tensor]  # the states before each step
    inputs: Tensor  # [T, C]
    W: Tensor  # [H, C]
    U: Tensor  # [H, P]
    b: Tensor  # [H]
    b_h: Tensor  # [H]
    scale: Tensor  # [T, H]: a GRU's reset gate for the candidate, otherwise 1
    projection: Tensor | None  # [P, H]

    @property
    def memory(self) -> str:
        """The state that is the memory."""
        return self.kind.memory

    @cached_property
    def bias(self) -> Tensor:
        """The candidate's bias at each step, ``[T, H]``."""
        return self.b + self.scale * self.b_h

    @cached_property
    def split(self) -> MemorySplit:
        """The keep, write and show factors of each step; ``write`` includes the candidate's secant."""
        split = self.kind.split(self.values)
        pre = self.inputs @ self.W.T + self.scale * (self.before["h"] @ self.U.T) + self.bias
        is_relu = self.kind.gate_by_name[self.kind.candidate].activation == "relu"
        return split._replace(write=split.write * ((pre > 0).to(pre) if is_relu else secant(pre)))


def frozen_parts(subject: Subject, trace: Trace, readout: Readout) -> FrozenParts:
    """Split a linear target of one row into its parts."""
    if edits_in_force(subject.lstm):
        raise ArgumentError("frozen explains a run without edits, but edits are active: exit their block first")
    sizes = subject.sizes
    reads = {str(place): vector for place, vector in readout.vectors.items()}
    seeds: dict[str, Tensor] = {}  # the target's derivative with respect to each hidden state, [T, P]
    biases: dict[str, Tensor] = {}
    cells: dict[str, Tensor] = {}
    initial = torch.zeros(len(sizes.layer_directions), dtype=torch.float64)
    x = torch.zeros(subject.T, sizes.input_size, dtype=torch.float64)
    for layer in reversed(range(sizes.num_layers)):
        inputs = _inputs(subject, trace, layer)
        slopes = torch.zeros_like(inputs)
        for track in sizes.directions_in(layer):
            part = frozen_layer(subject, trace, track)
            slope, bias, initial[sizes.layer_directions.index(track)], cell = _through(
                subject, part, seeds, reads, readout.t
            )
            slopes += slope
            biases[track.name], cells[track.name] = bias, cell
        if layer:
            sides = slopes.split(sizes.output_size, dim=-1)
            seeds |= {track.name: seed for track, seed in zip(sizes.directions_in(layer - 1), sides, strict=True)}
        else:
            x = slopes * inputs
    return FrozenParts(x, biases, initial, readout.bias, cells)


def _through(
    subject: Subject, part: FrozenLayer, seeds: dict[str, Tensor], reads: dict[str, Tensor], t_read: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Go back through a layer and direction: the target's slopes by input and memory, parts of biases and start."""
    layer_direction = part.place.layer_direction
    T, split = subject.T, part.split
    order = layer_direction.order(T)
    cut = borders(subject, torch.arange(T), layer_direction.reverse).tolist()
    own = layer_direction.name
    seed_h = seeds.get(own)
    has_cell = part.memory != "h"  # otherwise the memory is the hidden state itself
    slope_z, slope_c = torch.zeros_like(split.write), torch.zeros_like(split.write)
    dc, dh = torch.zeros_like(split.write[0]), torch.zeros_like(part.before["h"][0])
    for t in reversed(order):
        if seed_h is not None:
            dh = dh + seed_h[t]
        if t == t_read and f"{own}.h" in reads:
            dh = dh + reads[f"{own}.h"]
        dc = dc + split.show[t] * (dh if part.projection is None else dh @ part.projection)
        if has_cell and t == t_read and f"{own}.{part.memory}" in reads:
            dc = dc + reads[f"{own}.{part.memory}"]
        slope_z[t], slope_c[t] = dc * split.write[t], dc
        dh, dc = (slope_z[t] * part.scale[t]) @ part.U, dc * split.keep[t]
        if cut[t]:
            dh, dc = torch.zeros_like(dh), torch.zeros_like(dc)
    first = order[0]
    initial = dh @ part.before["h"][first] + dc @ part.before[part.memory][first]
    return slope_z @ part.W, (slope_z * part.bias).sum(-1), initial, slope_c


def _inputs(subject: Subject, trace: Trace, layer: int) -> Tensor:
    """Return the input of a layer, ``[T, C]``."""
    if layer == 0:
        return subject.x[:, 0].detach().cpu().double()
    return torch.cat(
        [row_values(trace, Place(*track, "h")) for track in subject.sizes.directions_in(layer - 1)], dim=-1
    )


def frozen_layer(subject: Subject, trace: Trace, layer_direction: LayerDirection) -> FrozenLayer:
    """Convert the record of one layer and direction of a run to a common form."""
    kind = subject.sizes.kind
    values = {q: row_values(trace, Place(*layer_direction, q)) for q in kind.quantities}
    layer, reverse = layer_direction
    number = subject.sizes.layer_directions.index(layer_direction)
    before = {
        quantity: before_each_step(subject, layer_direction, values[quantity], state[number].detach().cpu().double())
        for quantity, state in zip(kind.carried, kind.parts_of(subject.initial), strict=True)
    }
    weights = weights_of_gates(subject, layer, reverse)
    rows = kind.rows(kind.candidate, subject.sizes.hidden_size)
    scale = kind.gate_by_name[kind.candidate].scale
    return FrozenLayer(
        kind,
        Place(layer, reverse, kind.memory),
        values,
        before,
        _inputs(subject, trace, layer),
        weights.W[rows],
        weights.U[rows],
        weights.b_ih[rows],
        weights.b_hh[rows],
        torch.ones_like(values[kind.memory]) if scale is None else values[scale],
        weights.projection,
    )
