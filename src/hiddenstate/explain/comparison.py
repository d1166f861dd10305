"""`Comparison`: where two runs part, which units do the same, and how alike their layers are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.indexing import freeze, resolve, resolve_one
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.divergence import differences_of
from hiddenstate.explain.explained import Subject
from hiddenstate.explain.results import Explanation, Row
from hiddenstate.explain.text import bar, number, share, shortened, table
from hiddenstate.structure.sizes import whole
from hiddenstate.tracing.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12  # steps


class Difference(NamedTuple):
    """One step at which the outputs differ."""

    item: int
    row: int
    t: int
    word: str
    amount: float


class Match(NamedTuple):
    """Which unit of b does what each unit of a does, in one layer and direction.

    ``units[k]`` is b's unit for a's unit k (-1 where b has fewer), ``correlation[k]`` their correlation over all steps;
    below 0, b's unit is a's with its sign turned.
    """

    units: Tensor
    correlation: Tensor


class Pair(NamedTuple):
    """What both read, and what each did."""

    a: Subject
    b: Subject
    run_a: Trace
    run_b: Trace


class Check(NamedTuple):
    """What patching does to the difference: its mean over the steps, before and with the patch."""

    before: float
    patched: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Explanation):
    """What `hiddenstate.compare` found. Units are matched and layers compared by hidden states.

    Attributes:
        measure: ``"KL"``: the divergence of b's probabilities from a's, in nats; ``"distance"``: the distance of their
            outputs, where they have no probabilities of the same labels; ``"none"``: their outputs have other sizes.
        differences: for each item of the data, ``[T, N]``; NaN past a row's end.
        tolerance: from which on two outputs differ.
        matches: for each layer and direction that both have (``"l0"``) which units do the same.
        cka: linear centred kernel alignment of each of a's layers and directions (rows) with each of b's: 1 for the
            same up to a rotation and a scale.
        tracks: names of its rows and of its columns.
        residual: how far b is from a in what both should share, the alignment of each with itself: at most rounding.
        cost: row-steps that were run.
        pairs: what both read, and what each did.
    """

    kind: ClassVar[str] = "comparison"

    measure: str
    differences: tuple[Tensor, ...]
    tolerance: float
    matches: Mapping[str, Match]
    cka: Tensor
    tracks: tuple[tuple[str, ...], tuple[str, ...]]
    residual: float
    cost: int
    pairs: tuple[Pair, ...]

    @property
    def first(self) -> Difference | None:
        """The first step at which the outputs differ, in the earliest item that has one; None if nowhere."""
        for item, values in enumerate(self.differences):
            t, n = torch.nonzero(values > self.tolerance, as_tuple=True)
            if len(t):
                return self._at(item, int(t[0]), int(n[0]))
        return None

    @property
    def steps(self) -> int:
        """Real steps of the data."""
        return sum(pair.a.row_length(n) for pair in self.pairs for n in range(pair.a.N))

    @property
    def mean(self) -> float:
        """The mean difference over all steps."""
        return float(torch.cat([values.flatten() for values in self.differences]).nanmean())

    def largest(self, count: int = SHOWN) -> list[Difference]:
        """Return the steps at which the outputs differ most."""
        every = [
            self._at(item, t, n)
            for item, values in enumerate(self.differences)
            for t, n in torch.nonzero(values > self.tolerance).tolist()
        ]
        return sorted(every, key=lambda one: -one.amount)[: whole("count", count)]

    def edit(self, place: str, *, item: int = 0, unit: int | Sequence[int] | None = None, t: int | None = None) -> Edit:
        """Return the edit of b that puts a's values into the units that match them.

        Args:
            place: a hidden or cell state of a layer that both have, such as ``"l0.h"``.
            item: of the data.
            unit: units of a; all that have a match when None.
            t: the step; all when None.

        Raises:
            ArgumentTypeError: the place is no text, or something else no number.
            NameUnknownError: it is no state of a layer that both have.
            IndexRangeError: there is no such item, a has no such unit, or there is no such step.
            ArgumentError: a unit has no match.
        """
        if not isinstance(place, str):
            raise ArgumentTypeError(f"place must be a text such as 'l0.h', got {type(place).__name__}")
        track, _, quantity = place.partition(".")
        if track not in self.matches or quantity not in ("c", "h"):
            raise NameUnknownError(f"cannot patch {place!r}: expected c or h of {' or '.join(self.matches)}")
        pair = self.pairs[resolve_one(item, len(self.pairs), "item")]
        match, run = self.matches[track], pair.run_a
        if quantity == "c" and run.values[place].shape[-1] != len(match.units):
            raise ArgumentError("units are matched by h, which a projection makes of all of them: patch h")
        units = resolve(freeze(unit, "unit"), len(match.units), "unit")
        chosen = [k for k in units if unit is not None or match.units[k] >= 0]
        if any(match.units[k] < 0 for k in chosen):
            raise ArgumentError("one of these units of a has no match in b, which has fewer units")
        signs = torch.where(match.correlation[chosen] < 0, -1.0, 1.0).to(run.values[place])
        if t is not None:
            t = resolve_one(freeze(t, "t"), pair.a.T, "t")
        steps = slice(None) if t is None else slice(t, t + 1)
        values = run.values[place][steps][:, :, chosen] * signs
        return Edit(place, "set", values, unit=tuple(match.units[chosen].tolist()), t=t)

    def check(self, place: str) -> Check:
        """Patch b with a's values at a place, and measure how much of the difference is left.

        Matched units that really do the same leave nothing below them: the check that a correlation cannot give.

        Raises:
            NameUnknownError, ArgumentError, ArgumentTypeError: as `edit`; or the outputs cannot be compared.
        """
        if math.isnan(self.mean):
            raise ArgumentError("the outputs have other sizes: there is no difference that a patch could undo")
        lstm, after = self.pairs[0].b.lstm, []
        for item, pair in enumerate(self.pairs):
            with torch.no_grad(), lstm.edit(self.edit(place, item=item)):
                after.append(differences_of(pair.a, pair.b, pair.run_a, pair.b.trace(), self.measure))
        return Check(self.mean, float(torch.cat([values.flatten() for values in after]).nanmean()))

    def rows(self) -> Sequence[Row]:
        """Return a row for each step."""
        return [
            self._at(item, t, n)._asdict()
            for item, values in enumerate(self.differences)
            for t, n in torch.nonzero(~values.isnan()).tolist()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the runs, ready for JSON."""
        first = self.first
        matches = {name: match._asdict() for name, match in self.matches.items()}
        own = {
            name: getattr(self, name) for name in ("measure", "tolerance", "cka", "tracks", "residual", "cost", "mean")
        }
        return {**own, "first": first._asdict() if first else None, "matches": matches, "differences": self.rows()}

    def __str__(self) -> str:
        told = [self._where()]
        most = self.largest()
        if most:
            top = most[0].amount
            lines = [
                [f"{one.item}", f"{one.t}", shortened(one.word), number(one.amount), bar(one.amount, top)]
                for one in most
            ]
            told.append(table(["item", "step", "word", self.measure, ""], lines, "rrlrl"))
        lines = []
        for name, (units, correlation) in self.matches.items():
            there = correlation[units >= 0].abs()
            same = int((units == torch.arange(len(units))).sum())
            kept = self.cka[self.tracks[0].index(name), self.tracks[1].index(name)]
            lines.append(
                [name, f"{float(there.mean()):.3f}", str(int((there > 0.9).sum())), str(same), f"{float(kept):.3f}"]
            )
            lines[-1].append(share(float(kept)))
        head = ["", "mean |r|", "|r| above 0.9", "in their place", "CKA", ""]
        told.append(table(head, lines, "lrrrrl"))
        if self.steps < 4 * max((len(match.units) for match in self.matches.values()), default=0):
            told.append(
                f"Over {self.steps} steps, few for as many units: high correlations come by chance. Give more data."
            )
        told.append(
            "|r|: correlation of matched units; in their place: matched with the unit of their own number. Patch one\n"
            'into the other with check("l0.h") to see whether matched units do the same.'
        )
        return "\n".join(told)

    def plot(self) -> "Figure":
        """Draw the alignment of all layers and directions."""
        from hiddenstate.base.figures import Picture

        figure = Picture(figsize=(4.5, 4), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(self.cka.numpy(), vmin=0, vmax=1)
        axes.set_xticks(range(len(self.tracks[1])), self.tracks[1])
        axes.set_yticks(range(len(self.tracks[0])), self.tracks[0])
        axes.set_xlabel("b")
        axes.set_ylabel("a")
        axes.set_title("linear CKA of hidden states", fontsize=9)
        figure.colorbar(image, ax=axes)
        return figure

    def _where(self) -> str:
        if self.measure == "none":
            return (
                "The outputs have other sizes, and there are no probabilities of the same labels: only insides compare."
            )
        first = self.first
        if first is None:
            return f"The outputs nowhere differ by more than {self.tolerance:g} ({self.measure})."
        return (
            f"The outputs first differ at {shortened(first.word)} (item {first.item}, row {first.row}, step {first.t}):"
            f" {self.measure} {number(first.amount)}; mean {number(self.mean)}"
        )

    def _at(self, item: int, t: int, n: int) -> Difference:
        return Difference(item, n, t, self.pairs[item].a.words(n)[t], float(self.differences[item][t, n]))
