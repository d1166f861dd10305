"""Contextual decomposition: splits every state into the part due to a span of steps, and the rest.

Murdoch, Liu & Yu (2018), "Beyond Word Importance: Contextual Decomposition to Extract Interactions from LSTMs".
Every c and h is split into β, which comes only from the span, and γ, everything else, with β + γ = h at every step. A
gate's activation is split by averaging over the orders in which β's and γ's pre-activations are added, the bias always
first. In the products i·g and f·c, every term with a factor from outside the span belongs to γ; the product of two
biases belongs to its own step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hiddenstate.cells.lstm import LSTM as CELL
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import borders
from hiddenstate.explain.subject.subject import GateWeights, Subject, weights_of_gates
from hiddenstate.nn.scoped_edits import edits_in_force
from hiddenstate.structure.layer_direction import LayerDirection
from hiddenstate.structure.names import Place


@dataclass(frozen=True, eq=False)
class Split:
    """States split into two parts, for S spans at once: each ``[T, S, units]``, float64."""

    beta: Tensor
    gamma: Tensor


@dataclass
class _SplitState:
    """The states passed from step to step, split: ``[S, P]`` and ``[S, H]``."""

    h: tuple[Tensor, Tensor]
    c: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class _Spans:
    """S spans: ``inside [T, S]``, the steps in each span; ``initial [S]``, whether it includes the initial state."""

    inside: Tensor
    initial: Tensor
    cut: dict[bool, list[bool]] = field(default_factory=dict)


def decomposed(subject: Subject, inside: Tensor, initial: Tensor) -> dict[Place, Split]:
    """Split every c and h of one row, for S spans: ``inside [T, S]``, the steps; ``initial [S]``, the initial state."""
    if edits_in_force(subject.lstm):
        raise ArgumentError("cd explains a run without edits, but edits are in force: exit their block first")
    T, sizes = subject.T, subject.sizes
    cut = {way: borders(subject, torch.arange(T), way).tolist() for way in (False, True)}
    spans = _Spans(inside[..., None], initial[:, None], cut)
    x = subject.x[:, :1].detach().cpu().double()
    inputs = Split(torch.where(spans.inside, x, 0.0), torch.where(spans.inside, 0.0, x))
    parts: dict[Place, Split] = {}
    for layer in range(sizes.num_layers):
        sides = []
        for track in sizes.directions_in(layer):
            number = sizes.layer_directions.index(track)
            state = [part[number].detach().cpu().double() for part in subject.initial]
            h, c = _scan(inputs, weights_of_gates(subject, *track), spans, track, (state[0], state[1]))
            parts |= {Place(*track, "h"): h, Place(*track, "c"): c}
            sides.append(h)
        inputs = Split(torch.cat([h.beta for h in sides], -1), torch.cat([h.gamma for h in sides], -1))
    return parts


def _scan(
    x: Split, weights: GateWeights, spans: _Spans, layer_direction: LayerDirection, begin: tuple[Tensor, Tensor]
) -> tuple[Split, Split]:
    """Run one layer and direction on split inputs; return h and c, split."""
    from_x = Split(x.beta @ weights.W.T, x.gamma @ weights.W.T)
    state = _SplitState(*((torch.where(spans.initial, s, 0.0), torch.where(spans.initial, 0.0, s)) for s in begin))
    h: dict[int, tuple[Tensor, Tensor]] = {}
    c: dict[int, tuple[Tensor, Tensor]] = {}
    for t in layer_direction.order(len(x.beta)):
        if spans.cut[layer_direction.reverse][t]:
            h_none, c_none = torch.zeros_like(state.h[0]), torch.zeros_like(state.c[0])
            state = _SplitState((h_none, h_none), (c_none, c_none))
        z = tuple(
            parts[t] + part @ weights.U.T for parts, part in zip((from_x.beta, from_x.gamma), state.h, strict=True)
        )
        state = _step((z[0], z[1]), weights, state, spans.inside[t])
        h[t], c[t] = state.h, state.c
    return _stacked(h), _stacked(c)


def _step(z: tuple[Tensor, Tensor], weights: GateWeights, state: _SplitState, inside: Tensor) -> _SplitState:
    """One time step on split pre-activations ``[S, 4H]``; ``inside [S, 1]``."""
    parts = zip(CELL.gates, *(tensor.chunk(len(CELL.gates), -1) for tensor in (*z, weights.b)), strict=True)
    by_gate = {gate.name: _three(beta, gamma, bias, gate) for gate, beta, gamma, bias in parts}
    i, f, g, o = by_gate["i"], by_gate["f"], by_gate["g"], by_gate["o"]
    both = i.bias * g.bias
    write = i.beta * (g.beta + g.bias) + i.bias * g.beta + torch.where(inside, both, 0.0)
    rest = i.gamma * (g.beta + g.gamma + g.bias) + (i.beta + i.bias) * g.gamma + torch.where(inside, 0.0, both)
    c_beta, c_gamma = state.c
    new_beta = (f.beta + f.bias) * c_beta + write
    new_gamma = (f.beta + f.gamma + f.bias) * c_gamma + f.gamma * c_beta + rest
    shown = (o.total * part for part in _two(new_beta, new_gamma))
    h = tuple(part if weights.projection is None else part @ weights.projection.T for part in shown)
    return _SplitState((h[0], h[1]), (new_beta, new_gamma))


@dataclass(frozen=True, eq=False)
class _Three:
    """An activation as a sum of three parts."""

    beta: Tensor
    gamma: Tensor
    bias: Tensor
    total: Tensor


def _three(beta: Tensor, gamma: Tensor, bias: Tensor, act: Callable[[Tensor], Tensor]) -> _Three:
    """Split ``act(beta + gamma + bias)``: the bias first, then the mean of both orders of the others."""
    alone, whole = act(bias), act(beta + gamma + bias)
    with_beta, with_gamma = act(beta + bias), act(gamma + bias)
    beta_part, gamma_part = with_beta - alone + whole - with_gamma, with_gamma - alone + whole - with_beta
    return _Three(beta_part / 2, gamma_part / 2, alone, whole)


def _two(beta: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Split ``tanh(beta + gamma)``: the mean of both orders."""
    whole, first, second = torch.tanh(beta + gamma), torch.tanh(beta), torch.tanh(gamma)
    return (first + whole - second) / 2, (second + whole - first) / 2


def _stacked(parts: dict[int, tuple[Tensor, Tensor]]) -> Split:
    steps = range(len(parts))
    return Split(torch.stack([parts[t][0] for t in steps]), torch.stack([parts[t][1] for t in steps]))
