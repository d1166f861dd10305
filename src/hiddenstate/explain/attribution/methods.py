"""The methods of `attribute`: each computes the part of every player, for one baseline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.scalars import check_at_least, check_seed
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution.contextual_decomposition import split_readout
from hiddenstate.explain.attribution.frozen import frozen_parts
from hiddenstate.explain.attribution.players import Players, masked_targets
from hiddenstate.explain.attribution.result import OF_BIASES, MethodResult
from hiddenstate.explain.attribution.shapley import shapley
from hiddenstate.explain.subject.subject import Subject, check_cell
from hiddenstate.explain.subject.target import BatchRunner, Target

Method = Literal["shapley", "integrated_gradients", "frozen", "cd", "occlusion", "gradient"]
LOOKS_INSIDE = ("frozen", "cd")  # methods that need a layer
DEFAULT_SAMPLES = 200
FIRST_POINTS = 16
MOST_POINTS = 1024
SHARE = 1e-3  # maximum error of the sum, as a share of the difference
LEAST = 0.1  # smaller differences count as this large
MOST_POINTS_GIVEN = 2**12  # computing the quadrature nodes takes a points-by-points matrix
GRADIENT_COST = 4  # memory of a run that saves values for gradients, relative to a plain run


class AttributionOptions(NamedTuple):
    """How to attribute; ``pairs`` adds interactions, and ``others`` names inputs of no player."""

    points: int | None
    samples: int
    seed: int
    pairs: bool
    occlusion: bool
    others: str = "other words"


def check_options(
    method: object, points: int | None, samples: int, seed: int, *, occlusion: bool, pairs: bool
) -> AttributionOptions:
    """Return the options of a method, after checks."""
    if not isinstance(method, str) or method not in METHODS:
        raise ArgumentError(f"unknown method {method!r}: expected one of {' '.join(METHODS)}")
    for name, number in (("points", points), ("samples", samples)):
        if number is not None:
            check_at_least(name, number, 1)
    if points is not None and points > MOST_POINTS_GIVEN:
        raise ArgumentError(f"points must be at most {MOST_POINTS_GIVEN:,}, got {points:,}: far fewer are enough")
    return AttributionOptions(points, samples, check_seed(seed), pairs, occlusion or method == "occlusion")


def check_suits(method: str, target: Target, subject: Subject) -> None:
    """Raise ArgumentError if a method that looks inside a layer does not support this target or kind of cell."""
    if method in LOOKS_INSIDE:
        target.linear(method)
    if method == "cd":
        why = "contextual decomposition splits an LSTM's gates; use another method, such as frozen or shapley"
        check_cell(subject, "method='cd'", ("LSTM",), why)


def _shapley(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    values = shapley(work, players, samples=options.samples, seed=options.seed, pairs=options.pairs)
    if not options.occlusion:
        return values
    ends = _occluded(work, players)
    residual = ends.whole - ends.none - float(values.parts.sum())  # of runs by themselves, whose states are not joined
    return replace(values, residual=residual, whole=ends.whole, none=ends.none, occlusion=ends.occlusion)


def _integrated(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    """Integrate the gradient by Gauss-Legendre, doubling points to 1024 (Sundararajan, Taly & Yan 2017)."""
    ends = _ends(work, players, options)
    difference = ends.whole - ends.none
    bound = SHARE * max(abs(difference), LEAST)
    count = options.points or FIRST_POINTS
    while True:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        parts = _along(work, players, (nodes + 1) / 2, weights / 2)
        missing = difference - float(parts.sum())
        converged = abs(missing) <= bound
        if converged or options.points is not None or count >= MOST_POINTS:
            return replace(ends, parts=parts, residual=missing, exact=converged, points=count)
        count *= 2


def _gradient(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    ends = _ends(work, players, options)
    parts = _along(work, players, np.array([1.0]), np.array([1.0]))
    return replace(ends, parts=parts, residual=ends.whole - ends.none - float(parts.sum()))


@torch.inference_mode(False)
def _along(work: BatchRunner, players: Players, alphas: NDArray[np.float64], weights: NDArray[np.float64]) -> Tensor:
    """Sum the weighted gradients at points along the line, times the difference; float64 ``[P]``."""
    x, base = players.x, players.base
    work.expect(len(alphas) * work.T)
    total = torch.zeros(x.shape, dtype=torch.float64)
    of_state = 0.0
    at_once = max(1, work.rows_at_once // GRADIENT_COST)
    for k in range(0, len(alphas), at_once):
        alpha = torch.as_tensor(alphas[k : k + at_once]).to(x)
        weight = torch.as_tensor(weights[k : k + at_once]).to(x.device, torch.float64)
        rows = (base[:, None] + alpha[:, None] * (x - base)[:, None]).detach().requires_grad_()
        state = _state_along(players, alpha)
        with torch.enable_grad():
            value = work.values(rows, players.as_given(state)).sum()
            slopes = torch.autograd.grad(value, (rows, *state), allow_unused=True, materialize_grads=True)
        total += torch.einsum("r,trc->tc", weight, slopes[0].double()).cpu()
        for slope, part, zero in zip(slopes[1:], players.state, players.zero, strict=True):
            of_state += float(torch.einsum("r,lru,lu->", weight, slope.double(), (part - zero)[:, 0].double()))
    return players.sums(total * (x - base).double().cpu(), of_state)


def _state_along(players: Players, alpha: Tensor) -> tuple[Tensor, ...]:
    """The initial states of the rows: scaled up from zero if the initial state is a player."""
    R = len(alpha)
    if not players.has_state:
        return tuple(part.expand(-1, R, -1).clone().requires_grad_() for part in players.state)
    pairs = zip(players.state, players.zero, strict=True)
    return tuple((zero + alpha[:, None] * (part - zero)).detach().requires_grad_() for part, zero in pairs)


def _ends(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    """Run the target with every player present and with every player replaced; with occlusion, if it is requested."""
    if options.occlusion:
        return _occluded(work, players)
    whole, none = masked_targets(work, players, torch.tensor([[True], [False]]).expand(2, len(players))).tolist()
    return MethodResult(parts=torch.empty(0), residual=0.0, whole=whole, none=none)


def _occluded(work: BatchRunner, players: Players, *, pairs: bool = False) -> MethodResult:
    """Replace each player in a row of one batch; with ``pairs``, also all but one, and every two."""
    P = len(players)
    work.expect(work.T * (2 + P + (P + P * (P - 1) // 2 if pairs else 0)))
    everyone = torch.ones(1, P, dtype=torch.bool)
    single = ~torch.eye(P, dtype=torch.bool)
    couples: Sequence[tuple[int, int]] = list(combinations(range(P), 2)) if pairs else []
    rows = [everyone, ~everyone, single, *([~single] if pairs else [])]
    if couples:
        both = torch.ones(len(couples), P, dtype=torch.bool)
        for row, couple in zip(both, couples, strict=True):
            row[list(couple)] = False
        rows.append(both)
    value = masked_targets(work, players, torch.cat(rows))
    whole, none, without = float(value[0]), float(value[1]), value[2 : 2 + P]
    parts = whole - without
    residual = whole - none - float(parts.sum())
    result = MethodResult(parts=parts, residual=residual, whole=whole, none=none, occlusion=parts)
    if not pairs:
        return result
    interaction = torch.zeros(P, P, dtype=torch.float64)
    for (a, b), both_gone in zip(couples, value[2 + 2 * P :], strict=True):
        interaction[a, b] = interaction[b, a] = whole - without[a] - without[b] + both_gone
    return replace(result, alone=value[2 + P : 2 + 2 * P] - none, interaction=interaction)


def _frozen(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    ends = _ends(work, players, options)
    with torch.no_grad():
        trace = work.subject.trace()
    work.count(work.subject.T)
    split = frozen_parts(work.subject, trace, work.target.linear("frozen"))
    parts = players.sums(split.x, float(split.initial.sum()))
    rest = {f"{OF_BIASES} in {name}": float(bias.sum()) for name, bias in split.biases.items()}
    if not players.has_state:
        rest["initial state"] = float(split.initial.sum())
    if bool((players.owner < 0).any()):
        outside = torch.where(players.owner < 0, split.x, 0.0).sum(-1)
        rest[options.others] = sum(outside.tolist())
    rest["the head's bias"] = split.bias
    residual = ends.whole - float(parts.sum()) - sum(rest.values())
    return replace(ends, parts=parts, residual=residual, rest=rest)


def _cd(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    ends = _ends(work, players, options)
    readout, P = work.target.linear("cd"), len(players)
    work.expect(work.subject.T * (P + (P * (P - 1) // 2 if options.pairs else 0)))
    pairs = list(combinations(range(P), 2)) if options.pairs else []
    members = [{p} for p in range(P)] + [set(pair) for pair in pairs]
    inside = torch.stack([torch.isin(players.owner, torch.tensor([*group])) for group in members], dim=-1)
    initial = torch.tensor([any(players.every[p].is_state for p in group) for group in members])
    beta, gamma, residual = split_readout(work, readout, inside, initial)
    interaction = torch.zeros(P, P, dtype=torch.float64)
    for k, (p, q) in enumerate(pairs):
        interaction[p, q] = interaction[q, p] = beta[P + k] - beta[p] - beta[q]
    rest = {"the head's bias": readout.bias}
    together = interaction if options.pairs else None
    return replace(ends, parts=beta[:P], residual=residual, rest=rest, gamma=gamma[:P], interaction=together)


METHODS: dict[str, Callable[[BatchRunner, Players, AttributionOptions], MethodResult]] = {
    "shapley": _shapley,
    "integrated_gradients": _integrated,
    "frozen": _frozen,
    "cd": _cd,
    "occlusion": lambda work, players, options: _occluded(work, players, pairs=options.pairs),
    "gradient": _gradient,
}
