"""The evidence about a unit: its correlation with a label on held-out sequences, and the cost of editing it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import eval_twin, types_of_the_weights
from hiddenstate.corpus.index.folder import IndexFolder
from hiddenstate.corpus.index.sequences import WINDOW, Context, CorpusItem, half_of, scramble
from hiddenstate.edits.edit import Edit, zero
from hiddenstate.edits.edit import set as hold
from hiddenstate.explain.subject.head import needed_head, needed_probabilities
from hiddenstate.nn.recurrent import Recurrent

SIGNIFICANT = 0.01
LEAST = 32
LEAST_STEPS = 2 * LEAST + 2  # minimum for one shift
LEAST_SEQUENCES = 32
FLIPS, FLIPS_TOGETHER = 10_000, 1000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Chance(NamedTuple):
    """A correlation, and the probability of one as large by chance; None if unknown."""

    r: float | None
    p: float | None


def chance(values: Floats, labels: Mask, lengths: Sequence[int], draws: int = FLIPS) -> Chance:
    """Return the correlation of values with a label over some sequences, and its p.

    The steps of a sequence depend on one another, so p is the larger of two values, neither of which takes steps as
    independent. One is `shift_p`. The other is `flip_p` by sequence if there are at least 32 sequences, the label
    mostly covers whole ones, or they are too short for the alternative, which is `inner_shift_p`.

    Values ``[T]``, and whether steps have the label, are concatenated over the sequences. The correlation is None
    if either is constant, or there are fewer than 66 steps. p is also None if there are too few sequences for any p
    below 0.01: fewer than eight, if they are the groups.
    """
    if len(values) < LEAST_STEPS or min(np.ptp(values), np.ptp(1 * labels)) == 0:
        return Chance(None, None)
    values = (values - values.mean()) / values.std()
    r, p = shift_p(values, labels)
    least, other = 1.0, 1.0
    if not are_groups(labels, lengths):
        least, other = inner_shift_p(values, labels, lengths, draws)
    if least >= SIGNIFICANT:
        groups = np.repeat(np.arange(len(lengths)), lengths)
        least, other = 2.0 ** (1 - len(lengths)), flip_p(values, labels, groups, draws)
    return Chance(r, None if least >= SIGNIFICANT else max(p, other, least))


def shift_p(values: Floats, labels: Mask, least: int = LEAST) -> tuple[float, float]:
    """Return the correlation, and p of circular label shifts by ``least`` or more, which keep neighbours; or (0, 1)."""
    T = len(values)
    if 2 * least + 1 >= T:
        return 0.0, 1.0
    a, b = values - values.mean(), labels - labels.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale < 1e-9:
        return 0.0, 1.0
    every = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), T) / scale
    shifted = np.abs(every[least : T - least + 1])
    r = float(a @ b / scale)
    return r, (int((shifted >= abs(r) - 1e-12).sum()) + 1) / (len(shifted) + 1)


def flip_p(values: Floats, labels: Mask, groups: Ints, flips: int = FLIPS) -> float:
    """Return the chance of so large a correlation if each group's contribution has a random sign.

    This is also valid for labels that whole groups share: a shift mixes two groups, which makes correlations smaller.
    """
    parts = np.bincount(groups, (values - values.mean()) * (labels - labels.mean()))
    generator, least, count = np.random.default_rng(0), abs(parts.sum()) - 1e-12, 0
    for start in range(0, flips, FLIPS_TOGETHER):
        signs = generator.integers(0, 2, (min(FLIPS_TOGETHER, flips - start), len(parts)), dtype=np.int8) * 2 - 1
        count += int((np.abs(signs @ parts) >= least).sum())
    return (count + 1) / (flips + 1)


def inner_shift_p(values: Floats, labels: Mask, lengths: Sequence[int], draws: int = FLIPS) -> tuple[float, float]:
    """Return the least possible p, and the share of random label shifts inside sequences that reach the correlation.

    Labels shifted beyond the end come back mirrored, because a jump there would break up slow labels.
    """
    a, b = values - values.mean(), labels - labels.mean()
    generator, sums, choices = np.random.default_rng(0), np.zeros(draws), 1.0
    for stop, T in zip(np.cumsum(lengths).tolist(), lengths, strict=True):
        x, y = a[stop - T : stop], b[stop - T : stop]
        if T <= LEAST or np.ptp(y) == 0:
            sums += x @ y
            continue
        mirrored = np.fft.rfft(np.concatenate([y, y[::-1]]))
        shifted = np.fft.irfft(np.fft.rfft(x, 2 * T) * np.conj(mirrored), 2 * T)[LEAST : 2 * T - LEAST + 1]
        sums += shifted[generator.integers(0, len(shifted), draws)]
        choices *= len(shifted)
    reached = np.abs(sums) >= abs(a @ b) - 1e-9 * np.sqrt((a @ a) * (b @ b))
    return 1 / (choices + 1), (int(reached.sum()) + 1) / (draws + 1)


def are_groups(labels: Mask, lengths: Sequence[int]) -> bool:
    """Whether sequences are the groups that count: there are at least 32, or the label mostly covers whole ones."""
    if len(lengths) >= LEAST_SEQUENCES:
        return True
    share = labels.mean()
    inside = np.add.reduceat(labels, np.cumsum([0, *lengths[:-1]]), dtype=np.float64) / lengths
    return bool(np.average((inside - share) ** 2, weights=lengths) > share * (1 - share) / 2)


def groups_of(labels: Mask, lengths: Sequence[int]) -> Ints:
    """Return each step's group ``[T]`` of dependent steps: its sequence if `are_groups`, or 64 steps."""
    size = max(*lengths, 1) if are_groups(labels, lengths) else WINDOW
    ends = np.cumsum([-(-length // size) for length in lengths])
    starts = ends - [-(-length // size) for length in lengths]
    return np.concatenate([a + np.arange(length) // size for a, length in zip(starts, lengths, strict=True)])


MOST_STEPS = 512  # maximum number of steps in a sequence
ROWS_TOGETHER = 64
MATCHED = 8
LEAST_GROUPS = 8  # minimum number of sequences with and without a label for a statement about what a unit is used for
NATS, DISTANCE = "nats lost by the right output", "distance that the outputs move"


class UnitEffect(NamedTuple):
    """The average cost of zeroing a unit at the steps with a label, and at all others."""

    unit: str
    there: float
    elsewhere: float


def held_out(index: IndexFolder, least: int, longest: int | None = None) -> tuple[list[Context], int]:
    """Return random sequences of the second half, and their steps, counting at most ``longest`` of each."""
    sample: list[Context] = []
    steps = 0
    order = np.argsort(scramble(np.arange(len(index.shards))), kind="stable")
    for shard in order.tolist():
        starts = index.text(shard).starts
        numbers = np.arange(len(starts) - 1)
        numbers = numbers[half_of(shard, numbers) == 1]
        for k in numbers[np.argsort(scramble(numbers), kind="stable")].tolist():
            length = int(starts[k + 1] - starts[k])
            length = min(length, longest or length)
            sample.append(Context(shard, k, 0, length))
            steps += length
            if steps >= least:
                return sample, steps
    return sample, steps


def label_chance(
    index: IndexFolder, sample: Sequence[Context], name: str, unit: int, label: str, chances: int
) -> Chance:
    """Return the correlation of a unit with a label over a sample, and its p, if there is a label."""
    if not label or not sample:
        return Chance(None, None)
    values = np.concatenate([states[name][:, unit] for states in index.run(sample, [name])]).astype(np.float64)
    texts = [index.text(context.shard).item(context.sequence) for context in sample]
    has_label = np.array([step_label == label for text in texts for step_label in text.labels])
    return chance(values, has_label, [context.stop for context in sample], max(FLIPS, chances))


def _matched(index: IndexFolder, name: str, unit: int) -> list[int]:
    """Return the units of a place whose root mean square is nearest to that of a unit."""
    known = index.statistics[name]
    size = np.sqrt(known.mean**2 + known.deviation**2)
    order = np.argsort(np.abs(size - size[unit]), kind="stable").tolist()
    return [k for k in order if k != unit][:MATCHED]


def effects_of(
    index: IndexFolder, sample: Sequence[Context], name: str, unit: int, label: str
) -> tuple[str, list[UnitEffect], float | None]:
    """Return the name of the cost, the effects (zeroing a unit, holding it, zeroing matched ones), and the margin."""
    units = [unit, unit, *_matched(index, name, unit)]
    if not sample:
        return "cost", [UnitEffect(f"{name}[{k}]", 0.0, 0.0) for k in units], None
    held = hold(name, unit=unit, to=float(index.statistics[name].mean[unit]))
    edits = [zero(name, unit=unit), held, *(zero(name, unit=k) for k in units[2:])]
    cost_name, lost, labels, lengths = costs(index, sample, edits)
    known = ~np.isnan(lost).any(axis=0)
    at = labels == label if label else np.zeros(len(labels), np.bool_)
    lost, at, groups = lost[:, known], at[known], groups_of(at, lengths)[known]
    effects = [
        UnitEffect(f"{name}[{k}]", _mean(cost[at]), _mean(cost[~at])) for k, cost in zip(units, lost, strict=True)
    ]
    return cost_name, effects, _margin(lost, at, groups)


def _margin(lost: Floats, at: Mask, groups: NDArray[np.int64]) -> float | None:
    """Return the smallest of the differences that must be above 0, each reduced by two standard errors."""
    if len(lost) < 3 or min(len(np.unique(groups[side])) for side in (at, ~at)) < LEAST_GROUPS:
        return None
    # Two units are compared at the same steps, so they are paired.
    values = [*lost[:2], *(lost[0] - other for other in lost[2:])]
    return min([_lowest(cost, groups, at) for cost in values] + [_lowest(cost, groups, at, ~at) for cost in lost[:2]])


def _lowest(values: Floats, groups: NDArray[np.int64], at: Mask, less: Mask | None = None) -> float:
    """Return the mean of values at some steps, minus the mean at others (if given), minus two standard errors."""
    mean, numbers = 0.0, np.unique(groups, return_inverse=True)[1]
    parts = np.zeros(int(numbers.max()) + 1)
    for sign, side in ((1, at), (-1, less)):
        if side is not None:
            here = values[side]
            mean += sign * here.mean()
            parts += sign * np.bincount(numbers[side], here - here.mean(), len(parts)) / len(here)
    count = len(np.unique(numbers[at]))
    return float(mean - 2 * math.sqrt((parts @ parts) * count / (count - 1)))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


@torch.no_grad()
@types_of_the_weights()
def costs(
    index: IndexFolder, sample: Sequence[Context], edits: Sequence[Edit]
) -> tuple[str, Floats, NDArray[np.str_], list[int]]:
    """Return each edit's separate cost, ``[len(edits), M]``, with its name, and the steps' labels and lengths."""
    reader, lstm = index.reader, eval_twin(index.reader.lstm)
    items = [_cut(index.item(context.shard, context.sequence)) for context in sample]
    targets = [reader.targets(item) for item in items]
    is_softmax = reader.head is not None and reader.head.log_probabilities is not None
    logits = None if reader.head is None or is_softmax else reader.head.logits
    is_known = is_softmax and any((target >= 0).any() for target in targets)
    order = sorted(range(len(items)), key=lambda k: -len(items[k].tokens))
    parts, labels = list[Floats](), list[str]()
    for start in range(0, len(order), ROWS_TOGETHER):
        rows = order[start : start + ROWS_TOGETHER]
        lengths = torch.tensor([len(items[k].tokens) for k in rows])
        x = reader.inputs([items[k] for k in rows], 0, int(lengths.max()))
        plain = _out(lstm, x, lengths)
        valid = (torch.arange(len(x))[:, None] < lengths).numpy()
        right = np.full(valid.shape, -1)
        for row, k in enumerate(rows):
            right[: len(targets[k]), row] = targets[k]
        before = _scores(index, plain, right) if is_known else None
        costs_of_rows = []
        for edit in edits:
            with lstm.edit(edit):
                out = _out(lstm, x, lengths)
            if before is None:
                before_edit, after = (plain, out) if logits is None else (logits(plain), logits(out))
                lost = (after - before_edit).norm(dim=-1).double().numpy()
            else:
                lost = np.where(right >= 0, before - _scores(index, out, right), np.nan)
            costs_of_rows.append(lost.T[valid.T])
        parts.append(np.array(costs_of_rows))
        labels += [label for k in rows for label in items[k].labels]
    steps = [len(items[k].tokens) for k in order]
    return NATS if is_known else DISTANCE, np.concatenate(parts, axis=1), np.array(labels), steps


def _cut(item: CorpusItem) -> CorpusItem:
    return CorpusItem(
        item.tokens[:MOST_STEPS], item.labels[:MOST_STEPS], None if item.data is None else item.data[:MOST_STEPS]
    )


def _out(lstm: Recurrent[Any, Any], x: Tensor, lengths: Tensor) -> Tensor:
    out: Tensor = lstm(x.transpose(0, 1) if lstm.batch_first else x, lengths=lengths)[0]
    return out.transpose(0, 1) if lstm.batch_first else out


def _scores(index: IndexFolder, out: Tensor, right: NDArray[np.int64]) -> Floats:
    head = index.reader.head
    chosen = torch.from_numpy(np.maximum(right, 0))[..., None]
    return np.asarray(needed_probabilities(needed_head(head))(out).gather(-1, chosen)[..., 0].double().numpy())
