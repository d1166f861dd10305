"""`compare`: two models on the same data, or one on two inputs."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.comparison.result import Comparison, Match, Pair, choose_measure, step_differences
from hiddenstate.explain.subject.progress_bar import Progress, counted, reporting
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import real_steps


def compare(
    a: Any,
    b: Any,
    data: Any = None,
    other: Any = None,
    *,
    tolerance: float = 1e-5,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Comparison:
    """Compare two models on the same data, or on two inputs.

    The result shows where their outputs first differ and by how much: the Kullback-Leibler divergence of their
    probabilities, if both heads feed a softmax (``softmax=True``; taggers and language models do); otherwise the
    distance of the heads' outputs, in their own unit; without heads, the distance of the last hidden states. It matches
    the units whose hidden states correlate most over the data, one to one (the Hungarian method; a unit and its
    negative count as the same, since flipping the sign of a unit's candidate and of the weights that read it changes
    nothing, except with relu). The two may have different kinds of cells. For two inputs of one LSTM, each unit is its
    own match. It measures the similarity of whole layers by linear centred kernel alignment (Kornblith et al., 2019). A
    correlation is not a proof; `Comparison.check` patches one model into the other.

    Args:
        a: a model, or a `Subject`, as for `hiddenstate.explain.subject`.
        b: another model, or the same one.
        data: the input of both; for text models, a text or a list of texts. Omitted for two subjects.
        other: a different input for b, with the same number of steps.
        tolerance: outputs that differ by more than this count as different.
        progress: True for a bar on stderr, False for none, or a function of the inputs done and their total.
        options: as for `hiddenstate.explain.subject`, for both.

    Raises:
        MissingDependencyError: scipy is not installed.
        ShapeError: the inputs differ in their number of steps, or there are fewer than two steps in all.
        ArgumentError, ArgumentTypeError: an argument is invalid.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)):
        raise ArgumentTypeError(f"tolerance must be a number, got {type(tolerance).__name__}")
    if not tolerance >= 0:
        raise ArgumentError(f"tolerance must not be below 0, got {tolerance}")
    optional_package("scipy.optimize", "compare", "matching units")
    with reporting(progress) as report:
        pairs = tuple(_pairs(a, b, data, data if other is None else other, options, report))
    measure = choose_measure(pairs[0].a, pairs[0].b)
    states = [_states(ordered) for ordered in (pairs, tuple(Pair(p.b, p.a, p.run_b, p.run_a) for p in pairs))]
    names = tuple(states[0]), tuple(states[1])
    # In a relu network, flipping a unit's sign would change the function.
    signed = any(
        "relu" in {gate.activation for gate in ordered.sizes.kind.gates} for ordered in (pairs[0].a, pairs[0].b)
    )
    match = _same if pairs[0].a.lstm is pairs[0].b.lstm else partial(_match, signed=signed)
    if len(next(iter(states[0].values()))) < 2:
        raise ShapeError("the data have fewer than two steps, too few to correlate; give more")
    cka = torch.tensor([[_cka(x, y) for y in states[1].values()] for x in states[0].values()], dtype=torch.float64)
    own = [abs(1 - _cka(x, x)) for side in states for x in side.values() if bool((x != x[0]).any())]
    return Comparison(
        measure=measure,
        differences=tuple(step_differences(*pair, measure) for pair in pairs),
        tolerance=tolerance,
        matches={name: match(states[0][name], states[1][name]) for name in names[0] if name in names[1]},
        cka=cka,
        tracks=names,
        residual=max(own, default=0.0),
        cost=sum(pair.a.T * pair.a.N + pair.b.T * pair.b.N for pair in pairs),
        pairs=pairs,
    )


def _pairs(a: Any, b: Any, data: Any, other: Any, options: dict[str, Any], report: Progress | None) -> list[Pair]:
    """Return the inputs and the runs of both models."""
    every = data if _is_list_of_texts(data) else [data]
    others = other if _is_list_of_texts(other) else [other]
    if len(every) != len(others) or not every:
        raise ShapeError(f"both need the same number of items, at least one; got {len(every)} and {len(others)}")
    pairs = []
    for x, y in counted(list(zip(every, others, strict=True)), report):
        first, second = subject(a, x, **options), subject(b, y, **options)
        lengths = [[side.row_length(n) for n in range(side.N)] for side in (first, second)]
        if lengths[0] != lengths[1]:
            raise ShapeError(f"both need the same number of steps in each row, got {lengths[0]} and {lengths[1]}")
        with torch.no_grad():
            pairs.append(Pair(first, second, first.trace(), second.trace()))
    return pairs


def _is_list_of_texts(data: Any) -> bool:
    """Whether this is a list of texts (with spaces in them); a list of words is one text."""
    return (
        isinstance(data, list | tuple)
        and bool(data)
        and all(isinstance(x, str) for x in data)
        and any(" " in x for x in data)
    )


def _states(pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """Return the hidden states of each layer and direction at all real steps, ``[S, P]``, of the first in each pair."""
    states: dict[str, list[Tensor]] = {track.name: [] for track in pairs[0].a.sizes.layer_directions}
    for pair in pairs:
        real = real_steps(pair.a)
        for name, parts in states.items():
            parts.append(pair.run_a.values[f"{name}.h"].detach().cpu().double()[real])
    return {name: torch.cat(parts) for name, parts in states.items()}


def _match(x: Tensor, y: Tensor, *, signed: bool) -> Match:
    """Match the columns of two matrices ``[S, P]`` by correlation (if not ``signed``, its modulus), one to one."""
    x, y = (_standard(values) for values in (x, y))
    correlation = x.T @ y
    sizes = correlation if signed else correlation.abs()
    solver = optional_package("scipy.optimize", "compare", "matching units")
    rows, columns = (torch.as_tensor(part) for part in solver.linear_sum_assignment(-sizes.numpy()))
    units, matched = torch.full((x.shape[1],), -1), torch.zeros(x.shape[1], dtype=torch.float64)
    units[rows], matched[rows] = columns, correlation[rows, columns]
    return Match(units, matched.clamp(-1, 1))


def _same(x: Tensor, y: Tensor) -> Match:
    """Match each unit with itself, in two runs of one LSTM."""
    return Match(torch.arange(x.shape[1]), (_standard(x) * _standard(y)).sum(0).clamp(-1, 1))


def _standard(values: Tensor) -> Tensor:
    """Scale columns to mean 0 and norm 1; constant columns become 0."""
    centred = values - values.mean(0)
    length = centred.norm(dim=0)
    still = length <= 1e-12 * len(values) ** 0.5
    return torch.where(still, 0.0, centred / torch.where(still, 1.0, length))


def _cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features ``[S, P]``; 0 if one is constant."""
    x, y = x - x.mean(0), y - y.mean(0)
    size = (x.T @ x).norm() * (y.T @ y).norm()
    return float((x.T @ y).norm() ** 2 / size) if float(size) > 0 else 0.0
