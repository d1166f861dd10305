"""Contextual decomposition: splits every state into the part due to a span of steps, and the rest.

Murdoch, Liu & Yu (2018), "Beyond Word Importance: Contextual Decomposition to Extract Interactions from LSTMs".
Every c and h is split into β, which comes only from the span, and γ, everything else, with β + γ = h at every step. A
gate's activation is split by averaging over the orders in which β's and γ's pre-activations are added, the bias always
first. In the products i·g and f·c, every term with a factor from outside the span belongs to γ; the product of two
biases belongs to its own step. If the span has only some features of a step, it belongs to the rest.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from hiddenstate.cells.lstm import LSTM as CELL
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import borders
from hiddenstate.explain.subject.subject import GateWeights, Subject, weights_of_gates
from hiddenstate.explain.subject.target import BatchRunner, Readout
from hiddenstate.structure.names import LayerDirection, Place

AT_ONCE = 2**20  # maximum number of units × steps × spans decomposed together


class Split(NamedTuple):
    """Values split into two parts, for S spans at once, float64; ``[T, S, units]``, or ``[S, units]`` at one step."""

    beta: Tensor
    gamma: Tensor


def split_readout(work: BatchRunner, readout: Readout, inside: Tensor, initial: Tensor) -> tuple[Tensor, Tensor, float]:
    """Split a linear target by every span; return β, γ, and the largest error of β + γ at any step."""
    subject = work.subject
    with torch.no_grad():
        real = subject.run(keep=[str(place) for place in readout.vectors]).values
    work.count(subject.T)
    at_once = max(1, AT_ONCE // (subject.T * subject.sizes.hidden_size))
    betas, gammas, gap = [], [], 0.0
    for within, begins in zip(inside.split(at_once, dim=-1), initial.split(at_once), strict=True):
        split = decomposed(subject, within, begins)
        work.count(subject.T * len(begins))
        betas.append(_read(readout, {place: split[place].beta for place in readout.vectors}))
        gammas.append(_read(readout, {place: split[place].gamma for place in readout.vectors}))
        for place in readout.vectors:
            missed = real[str(place)].double().cpu() - split[place].beta - split[place].gamma
            gap = max(gap, float(missed.abs().max()))
    return torch.cat(betas), torch.cat(gammas), gap


def _read(readout: Readout, parts: dict[Place, Tensor]) -> Tensor:
    return torch.stack([parts[place][readout.t] @ vector for place, vector in readout.vectors.items()]).sum(0)


def decomposed(subject: Subject, inside: Tensor, initial: Tensor) -> dict[Place, Split]:
    """Split every c and h of a row by S spans of steps ``[T, S]`` or features ``[T, C, S]``."""
    if edits_in_force(subject.lstm):
        raise ArgumentError("cd explains a run without edits, but edits are active: exit their block first")
    sizes, by_feature = subject.sizes, inside if inside.dim() == 3 else inside[:, None]
    inputs = _parted(subject.x[:, :1].detach().cpu().double(), by_feature.transpose(1, 2))
    inside = by_feature.all(1)[..., None]
    parts: dict[Place, Split] = {}
    for layer in range(sizes.num_layers):
        sides = []
        for track in sizes.directions_in(layer):
            number = sizes.layer_directions.index(track)
            begin = [_parted(part[number].detach().cpu().double(), initial[:, None]) for part in subject.initial]
            cut = borders(subject, torch.arange(subject.T), track.reverse).tolist()
            h, c = _scan(inputs, weights_of_gates(subject, *track), inside, track, cut, *begin)
            parts |= {Place(*track, "h"): h, Place(*track, "c"): c}
            sides.append(h)
        inputs = Split(*(torch.cat(both, -1) for both in zip(*sides, strict=True)))
    return parts


def _parted(values: Tensor, inside: Tensor) -> Split:
    return Split(torch.where(inside, values, 0.0), torch.where(inside, 0.0, values))


def _scan(
    x: Split, weights: GateWeights, inside: Tensor, track: LayerDirection, cut: list[bool], h: Split, c: Split
) -> tuple[Split, Split]:
    """Run one layer and direction on split inputs, from split states; return h and c at each step, split."""
    from_x = Split(*(part @ weights.W.T for part in x))
    states: dict[int, tuple[Split, Split]] = {}
    for t in track.order(len(x.beta)):
        if cut[t]:
            h, c = (Split(*map(torch.zeros_like, state)) for state in (h, c))
        z = Split(*(parts[t] + part @ weights.U.T for parts, part in zip(from_x, h, strict=True)))
        h, c = states[t] = _step(z, weights, c, inside[t])
    steps = [states[t] for t in range(len(states))]
    return _stacked(h for h, _ in steps), _stacked(c for _, c in steps)


def _stacked(steps: Iterable[Split]) -> Split:
    return Split(*map(torch.stack, zip(*steps, strict=True)))


def _step(z: Split, weights: GateWeights, c: Split, inside: Tensor) -> tuple[Split, Split]:
    """One time step on split pre-activations ``[S, 4H]``; ``inside [S, 1]``; return h and c."""
    parts = zip(CELL.gates, *(tensor.chunk(len(CELL.gates), -1) for tensor in (*z, weights.b)), strict=True)
    by_gate = {gate.name: _activated(beta, gamma, bias, gate) for gate, beta, gamma, bias in parts}
    i, f, g, o = by_gate["i"], by_gate["f"], by_gate["g"], by_gate["o"]
    both = i.bias * g.bias
    write = i.beta * (g.beta + g.bias) + i.bias * g.beta + torch.where(inside, both, 0.0)
    rest = i.gamma * (g.beta + g.gamma + g.bias) + (i.beta + i.bias) * g.gamma + torch.where(inside, 0.0, both)
    new = Split((f.beta + f.bias) * c.beta + write, (f.beta + f.gamma + f.bias) * c.gamma + f.gamma * c.beta + rest)
    shown = (o.total * part for part in _tanh(new))
    return Split(*(part if weights.projection is None else part @ weights.projection.T for part in shown)), new


class _Activation(NamedTuple):
    """A gate as a sum of three parts."""

    beta: Tensor
    gamma: Tensor
    bias: Tensor
    total: Tensor


def _activated(beta: Tensor, gamma: Tensor, bias: Tensor, act: Callable[[Tensor], Tensor]) -> _Activation:
    """Split ``act(beta + gamma + bias)``: the bias first, then the mean of both orders of the others."""
    alone, whole = act(bias), act(beta + gamma + bias)
    with_beta, with_gamma = act(beta + bias), act(gamma + bias)
    beta_part, gamma_part = with_beta - alone + whole - with_gamma, with_gamma - alone + whole - with_beta
    return _Activation(beta_part / 2, gamma_part / 2, alone, whole)


def _tanh(c: Split) -> Split:
    """Split ``tanh(beta + gamma)``: the mean of both orders."""
    whole, first, second = torch.tanh(c.beta + c.gamma), torch.tanh(c.beta), torch.tanh(c.gamma)
    return Split((first + whole - second) / 2, (second + whole - first) / 2)
