"""`compare`: two models on the same data, or one on two inputs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.indexing import freeze, resolve, resolve_one
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, number, sentence, share, shortened
from hiddenstate.explain.subject.head import needed_head, needed_probabilities
from hiddenstate.explain.subject.module_output import SOFTMAX
from hiddenstate.explain.subject.progress_bar import Progress, counted, reporting
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Subject, real_steps
from hiddenstate.structure.tables import table
from hiddenstate.tracing.trace import Trace

SHOWN = 12  # steps


def choose_measure(a: Subject, b: Subject) -> str:
    """Return the measure for two outputs: ``KL``, ``distance``, ``state distance``, or ``none``; see `Comparison`."""
    if a.head is not None and b.head is not None and a.head.labels == b.head.labels:
        if a.head.log_probabilities is not None and b.head.log_probabilities is not None:
            return "KL"
        if len(a.head.weight) == len(b.head.weight):
            return "distance"
    sizes = [subject.sizes.output_size * subject.sizes.directions for subject in (a, b)]
    return "state distance" if sizes[0] == sizes[1] else "none"


def note_outputs(a: Subject, b: Subject, measure: str) -> str:
    """Return how the compared values differ from what the modules return; empty if they do not."""
    if measure in ("state distance", "none"):
        cure = "Compare two subjects with head= to compare its outputs."
        return next((f"There is no head: {subject.no_head}. {cure}" for subject in (a, b) if subject.no_head), "")
    explained = ("", *SOFTMAX) if measure == "KL" else ("",)
    for read in (a, b):
        if read.output is not None:
            notes = read.output.notes([read.row_length(n) for n in range(read.N)], explained)
            steps, note = next(((steps, note) for note, steps in notes.items() if note), (0, ""))
            if note:
                return f"At {steps:,} of {sum(notes.values()):,} steps, what is compared is {note}."
    return ""


@torch.no_grad()
def step_differences(a: Subject, b: Subject, run_a: Trace, run_b: Trace, measure: str) -> Tensor:
    """Return how much the outputs differ at each step, ``[T, N]``; NaN beyond a row's end."""
    outs = [_out(subject, run) for subject, run in ((a, run_a), (b, run_b))]
    if measure == "KL":
        p, q = (needed_probabilities(needed_head(subject.head))(out) for subject, out in zip((a, b), outs, strict=True))
        differences = torch.where(p == -torch.inf, 0.0, p.double().exp() * (p.double() - q.double())).sum(-1)
    elif measure == "none":
        differences = torch.full(outs[0].shape[:2], torch.nan, dtype=torch.float64)
    else:
        if measure == "distance":
            outs = [needed_head(subject.head).logits(out) for subject, out in zip((a, b), outs, strict=True)]
        differences = (outs[0].double() - outs[1].double()).norm(dim=-1)
    return differences.cpu().masked_fill(~real_steps(a), torch.nan)


def _out(subject: Subject, run: Trace) -> Tensor:
    last = subject.sizes.directions_in(subject.sizes.num_layers - 1)
    return torch.cat([run.values[f"{track.name}.h"] for track in last], dim=-1)


class Difference(NamedTuple):
    """One step at which the outputs differ."""

    item: int
    row: int
    t: int
    word: str
    amount: float


class Match(NamedTuple):
    """For each unit of a: b's unit (-1 if none), and their correlation; below 0, it has the opposite sign."""

    units: Tensor
    correlation: Tensor


class Pair(NamedTuple):
    """The inputs of both models, and the run of each."""

    a: Subject
    b: Subject
    run_a: Trace
    run_b: Trace


class Check(NamedTuple):
    """The mean difference over the steps, without and with a patch."""

    before: float
    patched: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Explanation):
    """The result of `hiddenstate.compare`. Units are matched and layers compared by their hidden states.

    Attributes:
        measure: ``"KL"``: the divergence of b's probabilities from a's, in nats, if their heads feed a softmax and have
            the same labels; ``"distance"``: the distance of the outputs of two other heads with the same labels, in
            their own unit; ``"state distance"``: without such heads, the distance of the last layers' hidden states;
            ``"none"``: these differ in size.
        differences: for each item of the data, ``[T, N]``; NaN beyond a row's end.
        tolerance: outputs that differ by more than this count as different.
        matches: the corresponding units in each layer and direction that both have (``"l0"``).
        cka: linear centred kernel alignment of each of a's layers and directions (rows) with each of b's: 1 if they
            are equal up to rotation and scale.
        tracks: the names of its rows and columns.
        residual: the error of each layer's alignment with itself, which should be 1; at most a rounding error.
        pairs: the inputs of both models, and the run of each.
        patched: the mean difference that remains with each layer that `checked` patched.
    """

    kind = "comparison"
    _saved = "measure tolerance cka tracks patched residual cost mean note first matches differences=rows"

    measure: str
    differences: tuple[Tensor, ...]
    tolerance: float
    matches: Mapping[str, Match]
    cka: Tensor
    tracks: tuple[tuple[str, ...], tuple[str, ...]]
    residual: float
    cost: int
    pairs: tuple[Pair, ...]
    patched: Mapping[str, float] = field(default_factory=dict)

    @property
    def first(self) -> Difference | None:
        """The first step at which the outputs differ, in the earliest such item; None if they never differ."""
        for item, values in enumerate(self.differences):
            t, n = torch.nonzero(values > self.tolerance, as_tuple=True)
            if len(t):
                return self._at(item, int(t[0]), int(n[0]))
        return None

    @property
    def note(self) -> str:
        """How the compared values differ from what the modules return; empty if they do not."""
        notes = (note_outputs(pair.a, pair.b, self.measure) for pair in self.pairs)
        return next(filter(None, notes), "")

    @property
    def steps(self) -> int:
        """The number of real steps in the data."""
        return sum(pair.a.row_length(n) for pair in self.pairs for n in range(pair.a.N))

    @property
    def mean(self) -> float:
        """The mean difference over all steps."""
        return float(torch.cat([values.flatten() for values in self.differences]).nanmean())

    def largest(self, count: int = SHOWN) -> list[Difference]:
        """Return the steps with the largest differences."""
        every = [
            self._at(item, t, n)
            for item, values in enumerate(self.differences)
            for t, n in torch.nonzero(values > self.tolerance).tolist()
        ]
        return sorted(every, key=lambda difference: -difference.amount)[: check_int("count", count)]

    def edit(self, place: str, *, item: int = 0, unit: int | Sequence[int] | None = None, t: int | None = None) -> Edit:
        """Return the edit of b that sets matched units to a's values.

        Args:
            place: a hidden or cell state of a layer that both have, such as ``"l0.h"``.
            item: the index of a data item.
            unit: units of a; None for all that have a match.
            t: the step; None for all.

        Raises:
            ArgumentTypeError: the place is not a string, or another argument is not a number.
            NameUnknownError: the place is not a state of a layer that both have.
            IndexRangeError: there is no such item, a has no such unit, or there is no such step.
            ArgumentError: a unit has no match.
        """
        if not isinstance(place, str):
            raise ArgumentTypeError(f"place must be a string such as 'l0.h', got {type(place).__name__}")
        name, _, quantity = place.partition(".")
        kinds = [subject.sizes.kind for subject in (self.pairs[0].a, self.pairs[0].b)]
        both = [state for state in kinds[0].state_names if state in kinds[1].state_names]
        if name not in self.matches or quantity not in both:
            raise NameUnknownError(
                f"cannot patch {place!r}: expected {' or '.join(both)} of {' or '.join(self.matches)}"
            )
        pair = self.pairs[resolve_one(item, len(self.pairs), "item")]
        match, run = self.matches[name], pair.run_a
        if quantity == "c" and run.values[place].shape[-1] != len(match.units):
            raise ArgumentError("units are matched by h, and with a projection h mixes all cell states: patch h")
        units = resolve(freeze(unit, "unit"), len(match.units), "unit")
        chosen = [k for k in units if unit is not None or match.units[k] >= 0]
        if any(match.units[k] < 0 for k in chosen):
            raise ArgumentError("one of these units of a has no match in b, which has fewer units")
        turned = (match.correlation[chosen] < 0) & (not self._one_lstm)
        signs = torch.where(turned, -1.0, 1.0).to(run.values[place])
        if t is not None:
            t = resolve_one(freeze(t, "t"), pair.a.T, "t")
        steps = slice(None) if t is None else slice(t, t + 1)
        values = run.values[place][steps][:, :, chosen] * signs
        return Edit(place, "set", values, unit=tuple(match.units[chosen].tolist()), t=t)

    def check(self, place: str) -> Check:
        """Patch b with a's values at a place, and measure how much of the difference is left.

        A correlation can't provide such a check: units that correlate may have different effects.

        Raises:
            NameUnknownError, ArgumentError, ArgumentTypeError: as for `edit`, or the outputs cannot be compared.
        """
        if math.isnan(self.mean):
            raise ArgumentError("the outputs differ in size: there is no difference that a patch could undo")
        lstm, after = self.pairs[0].b.lstm, []
        for item, pair in enumerate(self.pairs):
            with torch.no_grad(), lstm.edit(self.edit(place, item=item)):
                after.append(step_differences(pair.a, pair.b, pair.run_a, pair.b.trace(), self.measure))
        return Check(self.mean, float(torch.cat([values.flatten() for values in after]).nanmean()))

    def checked(self) -> "Comparison":
        """Return the comparison after checking every shared layer by patching its hidden states.

        If the outputs cannot be compared there is nothing to check, and the comparison is returned unchanged.
        """
        if self.measure == "none":
            return self
        patched = {name: self.check(f"{name}.h").patched for name in self.matches}
        return replace(self, patched=patched, cost=self.cost + len(patched) * sum(p.b.T * p.b.N for p in self.pairs))

    def rows(self) -> Sequence[Row]:
        """Return one row per step."""
        return [
            self._at(item, t, n)._asdict()
            for item, values in enumerate(self.differences)
            for t, n in torch.nonzero(~values.isnan()).tolist()
        ]

    def __str__(self) -> str:
        parts = [self._where(), *([sentence(self.note)] if self.note else [])]
        most = self.largest()
        if most:
            top = most[0].amount
            where = ["step"] if self._single else ["item", "row", "step"]
            lines = [
                [*map(str, place[3 - len(where) :]), shortened(word), number(amount), bar(amount, top)]
                for *place, word, amount in most
            ]
            parts.append(table([*where, "word", self.measure, ""], lines, "r" * len(where) + "lrl"))
        if self.matches:
            parts += [self._layers(), *map(sentence, self._legend())]
        return "\n".join(parts)

    @property
    def _one_lstm(self) -> bool:
        return self.pairs[0].a.lstm is self.pairs[0].b.lstm

    def _layers(self) -> str:
        """A line for each layer and direction that both have."""
        lines = []
        for name, (units, correlation) in self.matches.items():
            there = correlation[units >= 0].abs()
            counts = (
                [] if self._one_lstm else [int((there > 0.9).sum()), int((units == torch.arange(len(units))).sum())]
            )
            alike = float(self.cka[self.tracks[0].index(name), self.tracks[1].index(name)])
            left = [number(self.patched[name])] if name in self.patched else []
            lines.append([name, f"{float(there.mean()):.3f}", *map(str, counts), *left, f"{alike:.3f}", share(alike)])
        head = ["", "mean |r|", *([] if self._one_lstm else ["|r| above 0.9", "in their place"])]
        head += [*([f"{self.measure} left"] if self.patched else []), "CKA", ""]
        return table(head, lines, "l" + "r" * (len(head) - 2) + "l")

    def _legend(self) -> Iterator[str]:
        """The meaning of the columns, and their limits."""
        if self._one_lstm:
            yield "|r|: correlation of each unit's hidden state in the two runs."
        else:
            yield "|r|: correlation of matched units; in their place: matched with the unit of the same number."
        if self.steps < 4 * max(len(match.units) for match in self.matches.values()):
            yield f"Over only {self.steps} steps, high correlations arise by chance: give more data."
        if self.patched:
            yield f"{self.measure} left: what is left on average when that layer of b gets a's hidden states."
        elif self.measure != "none":
            yield 'check("l0.h") patches a\'s values into b, to see how much of the difference is left.'
        yield "CKA: how similar two layers are, up to rotation and scale; 1 means equal."

    def _draw(self, axes: Any) -> None:
        """Draw the alignment of all layers and directions as a heat map."""
        axes.figure.set_size_inches(4.5, 4)
        image = axes.imshow(self.cka.numpy(), vmin=0, vmax=1)
        axes.set_xticks(range(len(self.tracks[1])), self.tracks[1])
        axes.set_yticks(range(len(self.tracks[0])), self.tracks[0])
        axes.set_xlabel("b")
        axes.set_ylabel("a")
        axes.set_title("linear CKA of hidden states", fontsize=9)
        axes.figure.colorbar(image, ax=axes)

    def _where(self) -> str:
        first = self.first
        what = "The hidden states" if self.measure == "state distance" else "The outputs"
        if self.measure == "none":
            text = (
                "The last layers differ in size, and there are no heads for the same labels, so only hidden states "
                "can be compared."
            )
        elif first is None:
            text = f"{what} differ by at most {self.tolerance:g} at every step ({self.measure})."
        else:
            where = f"step {first.t}" if self._single else f"item {first.item}, row {first.row}, step {first.t}"
            text = f"{what} first differ at {shortened(first.word)} ({where}): {self.measure} {number(first.amount)}"
            text += f"; mean {number(self.mean)}"
        return sentence(text)

    @property
    def _single(self) -> bool:
        """Whether there is only one text or sequence."""
        return len(self.pairs) == 1 and self.pairs[0].a.N == 1

    def _at(self, item: int, t: int, n: int) -> Difference:
        return Difference(item, n, t, self.pairs[item].a.words(n)[t], float(self.differences[item][t, n]))


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
