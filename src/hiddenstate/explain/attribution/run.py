"""`attribute`: how much each word contributes to a target."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.scalars import check_int, check_seed
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution.contextual_decomposition import decomposed
from hiddenstate.explain.attribution.frozen import frozen_parts
from hiddenstate.explain.attribution.gradients import gradient_parts, integrated
from hiddenstate.explain.attribution.players import (
    Baseline,
    Players,
    Spans,
    make_players,
    masked_targets,
    resolve_baselines,
)
from hiddenstate.explain.attribution.result import OF_BIASES, Attribution, MethodResult, stacked
from hiddenstate.explain.attribution.shapley import shapley
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.explain.subject.subject import check_cell, check_row_steps
from hiddenstate.explain.subject.target import BatchRunner, Readout, TargetLike, resolve_row, resolve_target
from hiddenstate.structure.names import Place

Method = Literal["shapley", "integrated_gradients", "frozen", "cd", "occlusion", "gradient"]
DEFAULT_SAMPLES = 200
MOST_POINTS_GIVEN = 2**12  # computing the quadrature nodes takes a points-by-points matrix
CD_NUMBERS = 2**20  # maximum number of units × steps × spans decomposed at once


class AttributionOptions(NamedTuple):
    """How to attribute; see `attribute`. ``pairs``: whether interactions of two players are also computed."""

    points: int | None
    samples: int
    seed: int
    pairs: bool
    occlusion: bool


def attribute(
    model: Any,
    x: Any = None,
    *,
    of: TargetLike,
    method: Method = "shapley",
    baseline: Baseline | Sequence[Baseline] | None = None,
    spans: Spans | None = None,
    state: Literal["baseline", "player"] = "baseline",
    row: int | None = None,
    points: int | None = None,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    occlusion: bool = True,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Attribution:
    """Compute how much each word contributes to a target.

    The methods and their sum rules:

    - ``shapley``: a word's mean contribution over all orders in which words are added; absent words are replaced by the
      baseline. Adds up to ``f(x) - f(baseline)``. Exact up to 16 steps or spans if the LSTM is unidirectional, the
      target is not a function and no edits are in force, otherwise up to 12; sampled beyond that.
    - ``integrated_gradients``: the gradient integrated along the line from the baseline (Sundararajan, Taly & Yan
      2017). Adds up to ``f(x) - f(baseline)`` within the error of the quadrature.
    - ``frozen``: parts in the linear map that the run becomes if its gates are held fixed. Together with the parts of
      biases and initial states, adds up to the target. Blind to effects that only open or close a gate. For linear
      targets.
    - ``cd``: contextual decomposition (Murdoch, Liu & Yu 2018), β of each word; does not add up. For linear targets of
      LSTMs.
    - ``occlusion``: what is lost when one word is replaced. An exact measurement, but the parts do not add up.
    - ``gradient``: gradient times difference to the baseline, a first-order estimate.

    Args:
        model: an LSTM, a module, a model with text, or a `Subject`; see `hiddenstate.explain.subject`.
        x: the model's input.
        of: the target: `logit`, `log_probability`, a place such as ``"l1.c[125]@7"``, or a function of `Outputs`.
        method: one of the methods above.
        baseline: what a replaced step reads: ``"zero"``, ``"mean"``, ``"unk"``, a tensor ``[C]`` or ``[T, C]``, or
            a list of these to compare several. None means the model's default: ``"unk"`` for a tagger, ``"mean"`` for a
            language model, otherwise ``"zero"``.
        spans: pairs ``(start, stop)`` of steps, stop excluded, that are replaced together. Steps outside all spans
            never change. If the method allows it, interactions of spans are also computed.
        state: ``"baseline"`` keeps the initial state; ``"player"`` makes it a player, replaced by zeros.
        row: the row to explain, if there are several.
        points: quadrature points of integrated gradients; None doubles them until the integral converges.
        samples: the number of orders to draw, if Shapley values are sampled.
        seed: the seed of the draw.
        occlusion: whether to also compute occlusion, and mark where the method disagrees with it.
        progress: True for a bar on stderr, False for none, or a function of the row-steps done and their total.
        options: the options of `hiddenstate.explain.subject`.

    Returns:
        The `Attribution`.

    Raises:
        ArgumentError: the method or baseline is unknown; spans overlap; ``frozen`` or ``cd`` is used with a target that
            is not linear, or with edits in force; or more than 2^30 row-steps would be run.
        TraceTooLargeError: a run of the input would take more than 8 GiB.
        NameUnknownError, IndexRangeError: there is no such label, word, place, step or row.
        HiddenStateError: any error of `hiddenstate.explain.subject`.
    """
    seed = check_seed(seed)
    if not isinstance(method, str) or method not in METHODS:
        raise ArgumentError(f"unknown method {method!r}: expected one of {' '.join(METHODS)}")
    for name, number in (("points", points), ("samples", samples)):
        if number is not None and check_int(name, number) < 1:
            raise ArgumentError(f"{name} must be at least 1, got {number}")
    if points is not None and points > MOST_POINTS_GIVEN:
        raise ArgumentError(f"points must be at most {MOST_POINTS_GIVEN:,}, got {points:,}: far fewer are enough")
    check_progress(progress)
    row_subject = resolve_subject(of, model, x, **options).only(resolve_row(of, row))
    if spans is None and (occlusion or method in ("occlusion", "shapley")):
        # Each step is replaced in a run of its own, which may share the steps before it with others.
        check_row_steps(
            row_subject.T * (row_subject.T + 1) // 2,
            f"give fewer than T = {row_subject.T:,} steps, or join steps with spans=",
        )
    target = resolve_target(of, row_subject)
    if method in ("frozen", "cd"):
        target.linear(method)
    if method == "cd":
        why = "contextual decomposition splits an LSTM's gates; use another method, such as frozen or shapley"
        check_cell(row_subject, "method='cd'", ("LSTM",), why)
    chosen = AttributionOptions(points, samples, seed, spans is not None, occlusion or method == "occlusion")
    bases = resolve_baselines(row_subject, baseline)
    every = [make_players(row_subject, base, spans, state) for base in bases.values()]
    with reporting(progress) as report:
        work = BatchRunner(row_subject, target, report)
        values = [METHODS[method](work, players, chosen) for players in every]
    return _result(work, method, tuple(bases), every[0], values)


def _result(
    work: BatchRunner,
    method: str,
    names: tuple[str, ...],
    players: Players,
    by_baseline: Sequence[MethodResult],
) -> Attribution:
    first = by_baseline[0]
    return Attribution(
        method=method,
        target=work.target.name,
        value=first.whole,
        words=work.subject.words(),
        players=players.every,
        baselines=names,
        references=torch.tensor([values.none for values in by_baseline], dtype=torch.float64),
        parts=torch.stack([values.parts for values in by_baseline]),
        occlusion=stacked([values.occlusion for values in by_baseline]),
        residual=max((values.residual for values in by_baseline), key=abs),
        cost=work.cost,
        rest=first.rest,
        gamma=first.gamma,
        alone=stacked([values.alone for values in by_baseline]),
        interaction=stacked([values.interaction for values in by_baseline]),
        error=stacked([values.error for values in by_baseline]),
        exact=all(values.exact for values in by_baseline),
        points=max(values.points for values in by_baseline),
    )


def _shapley(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    values = shapley(work, players, samples=options.samples, seed=options.seed, pairs=options.pairs)
    if not options.occlusion:
        return values
    ends = _occluded(work, players)
    return replace(values, whole=ends.whole, none=ends.none, occlusion=ends.occlusion)


def _integrated(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    return integrated(work, players, _ends(work, players, options), options.points)


def _gradient(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    ends = _ends(work, players, options)
    parts = gradient_parts(work, players)
    return replace(ends, parts=parts, residual=ends.whole - ends.none - float(parts.sum()))


def _occlusion(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    return _occluded(work, players, pairs=options.pairs)


def _ends(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    """Run the target with every player present and with every player replaced; with occlusion, if it is requested."""
    if options.occlusion:
        return _occluded(work, players)
    whole, none = masked_targets(work, players, torch.tensor([[True], [False]]).expand(2, len(players))).tolist()
    return MethodResult(parts=torch.empty(0), residual=0.0, whole=whole, none=none)


def _occluded(work: BatchRunner, players: Players, *, pairs: bool = False) -> MethodResult:
    """Replace each player in a row of one batch; with ``pairs``, also all but one, and every two."""
    P = len(players)
    work.expect(work.subject.T * (2 + P + (P + P * (P - 1) // 2 if pairs else 0)))
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
    by_step = split.x.sum(-1)
    parts = players.sums(by_step, float(split.initial.sum()))
    rest = {f"{OF_BIASES} in {name}": float(bias.sum()) for name, bias in split.biases.items()}
    if not players.has_state:
        rest["initial state"] = float(split.initial.sum())
    if -1 in players.owner:
        rest["other words"] = float(sum(by_step[t] for t, owner in enumerate(players.owner) if owner < 0))
    rest["the head's bias"] = split.bias
    residual = ends.whole - float(parts.sum()) - sum(rest.values())
    return replace(ends, parts=parts, residual=residual, rest=rest)


def _cd(work: BatchRunner, players: Players, options: AttributionOptions) -> MethodResult:
    ends = _ends(work, players, options)
    readout, P = work.target.linear("cd"), len(players)
    work.expect(work.subject.T * (P + (P * (P - 1) // 2 if options.pairs else 0)))
    pairs = list(combinations(range(P), 2)) if options.pairs else []
    members = [{p} for p in range(P)] + [set(pair) for pair in pairs]
    inside = torch.tensor([[owner in group for group in members] for owner in players.owner])
    initial = torch.tensor([any(players.every[p].is_state for p in group) for group in members])
    beta, gamma, residual = _split_readout(work, readout, inside, initial)
    interaction = torch.zeros(P, P, dtype=torch.float64)
    for k, (p, q) in enumerate(pairs):
        interaction[p, q] = interaction[q, p] = beta[P + k] - beta[p] - beta[q]
    rest = {"the head's bias": readout.bias}
    together = interaction if options.pairs else None
    return replace(ends, parts=beta[:P], residual=residual, rest=rest, gamma=gamma[:P], interaction=together)


def _split_readout(
    work: BatchRunner, readout: Readout, inside: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Split a linear target by every span, in blocks of spans.

    Returns:
        β and γ of each span, and the largest error of β + γ in a state that the target reads, at any step.
    """
    subject = work.subject
    with torch.no_grad():
        real = subject.run(keep=[str(place) for place in readout.vectors]).values
    work.count(subject.T)
    at_once = max(1, CD_NUMBERS // (subject.T * subject.sizes.hidden_size))
    betas, gammas, gap = [], [], 0.0
    for within, begins in zip(inside.split(at_once, dim=1), initial.split(at_once), strict=True):
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


METHODS: dict[str, Callable[[BatchRunner, Players, AttributionOptions], MethodResult]] = {
    "shapley": _shapley,
    "integrated_gradients": _integrated,
    "frozen": _frozen,
    "cd": _cd,
    "occlusion": _occlusion,
    "gradient": _gradient,
}
