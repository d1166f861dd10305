"""`ledger`: which steps wrote a memory, which erased it, and how much each contributes to a logit."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.cells.kinds import cell_named
from hiddenstate.edits.edit import Edit, zero
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell import Ledger, cell_ledger
from hiddenstate.explain.ledger.cell_decomposition import decompose_cell, h_is_edited, projected
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, definite, number, sentence, shortened, sum_line
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Target, TargetLike, resolve_place, resolve_row, resolve_target
from hiddenstate.structure.addresses import parse_address
from hiddenstate.structure.names import Place
from hiddenstate.structure.tables import table
from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True, eq=False, repr=False)
class ReadoutLedger(Explanation):
    """The ledger of a target that is linear in states of one step, such as a logit. Returned by `ledger`.

    ``value = Σ parts + Σ edited + Σ initial + bias`` up to rounding, which is ``residual``. T steps of the input, in
    its order; R places that are read (for a logit the hidden states of the last layer, one per direction); H units.

    Attributes:
        target: a description of the target.
        t: the step.
        words: the word at each step of the input.
        places: the R places that are read.
        parts: ``[R, T, H]``, what is left of what each step wrote into each unit; zero for steps that a direction had
            not read yet.
        edited: ``[R, T]``, what is left of the changes made by edits.
        initial: ``[R]``, what is left of the initial states.
        bias: the head's bias.
        value: the target.
        residual: the difference between the value and the sum.
        cell: the kind of cell, as in `hiddenstate.Sizes`.
    """

    kind = "ledger of a readout"
    _saved = "places target t words parts edited initial bias value residual cost"

    target: str
    t: int
    words: tuple[str, ...]
    places: tuple[Place, ...]
    parts: Tensor
    edited: Tensor
    initial: Tensor
    bias: float
    value: float
    residual: float
    cost: int
    cell: str = "LSTM"

    @property
    def by_step(self) -> Tensor:
        """``[R, T]``, the parts summed over units."""
        return self.parts.sum(-1)

    def edits(self, step: int) -> list[Edit]:
        """Return the edits that prevent a step from writing to the places read, in every direction, as a causal check.

        The effect in a run differs from the ledger's parts, because later gates then see different states.

        Args:
            step: a step of the input; directions that had not read it yet get no edit.

        Raises:
            IndexRangeError: there is no such step.
        """
        step = resolve_one(step, len(self.words), "step")
        reads = [place for place in self.places if (step >= self.t if place.reverse else step <= self.t)]
        writer = cell_named(self.cell).writer
        return [zero(str(place._replace(quantity=writer)), t=step) for place in reads]

    def rows(self) -> list[Row]:
        """Return one row per step and place."""
        by_step = self.by_step
        return [
            {
                "step": t,
                "word": word,
                "place": str(place),
                "part": float(by_step[r, t]),
                "edited": float(self.edited[r, t]),
            }
            for t, word in enumerate(self.words)
            for r, place in enumerate(self.places)
        ]

    def __str__(self) -> str:
        by_step = self.by_step
        total = by_step.sum(0)
        largest = float(total.abs().max())
        several = len(self.places) > 1
        names = ["step", "word", *([str(place) for place in self.places] if several else []), "part", ""]
        rows = []
        for t, word in enumerate(self.words):
            parts = [number(float(part)) for part in by_step[:, t]] if several else []
            rows.append([str(t), shortened(word), *parts, number(float(total[t])), bar(float(total[t]), largest)])
        terms = {"words": float(total.sum())}
        terms |= {"edits": float(self.edited.sum())} if self.edited.abs().max() > 0 else {}
        terms |= {"initial state": float(self.initial.sum()), "bias": self.bias}
        note = (
            "A part is what was written at that step into the cells that are read, and is still there. It includes "
            "what the layer below carried there from other steps; an attribution traces that to the words that each "
            "step reads."
        )
        lines = [
            f"What makes {definite(self.target)}",
            "",
            table(names, rows, "rl"),
            "",
            sum_line(terms, number(self.value), self.residual),
            sentence(note),
        ]
        return "\n".join(lines)

    def _figure(self) -> Any:
        """Draw the parts over the steps, as bars for each direction."""
        from hiddenstate.explain.result.pictures import bars

        series = {str(place): part.tolist() for place, part in zip(self.places, self.by_step, strict=True)}
        return bars(self.target, list(self.words), series)


def readout_ledger(subject: Subject, trace: Trace, target: Target) -> ReadoutLedger:
    """Decompose a linear target of one row."""
    readout = target.linear("the ledger")
    R, T, H = len(readout.vectors), subject.T, subject.sizes.hidden_size
    parts = torch.zeros(R, T, H, dtype=torch.float64)
    edited, initial, value = torch.zeros(R, T, dtype=torch.float64), torch.zeros(R, dtype=torch.float64), readout.bias
    for r, (place, vector) in enumerate(readout.vectors.items()):
        memory = decompose_cell(subject, trace, place, readout.t)
        reads = vector if place.quantity == "c" else memory.secant * projected(subject, place, vector[:, None])[:, 0]
        order = list(memory.steps)
        parts[r, order] = memory.parts * reads
        edited[r, order] = memory.edit_parts @ reads
        initial[r] = memory.initial_part @ reads
        state = memory.c if place.quantity == "c" else memory.h
        value += float(state @ vector)
        if place.quantity == "h" and h_is_edited(subject, place):
            edited[r, readout.t] += memory.h @ vector - memory.c @ reads
    residual = value - readout.bias - float(parts.sum() + edited.sum() + initial.sum())
    return ReadoutLedger(
        target=target.name,
        t=readout.t,
        words=subject.words(),
        places=tuple(readout.vectors),
        parts=parts,
        edited=edited,
        initial=initial,
        bias=readout.bias,
        value=value,
        residual=residual,
        cost=T,
        cell=subject.sizes.cell,
    )


def ledger(
    model: Any, x: Any = None, *, place: TargetLike, row: int | None = None, **options: Any
) -> Ledger | ReadoutLedger:
    """Decompose a memory: what each step wrote into it, and how much of that is still there.

    For a cell state, or the hidden state of a GRU, the sum is exact (``c_t = Σ (Π f)·i·g + (Π f)·c_0``, or
    ``h_t = Σ (Π z)·(1-z)·n + (Π z)·h_0``), in the reading order of its direction; an edit of the memory adds a separate
    term, and a reset cuts off the sum. For an LSTM's hidden state, a logit or a difference of logits, every part is
    multiplied by ``o·tanh(c)/c`` and the head's weights, so the sum is still exact; both directions and the head's bias
    add up to the logit. The ledger covers one layer: a step's part is what was written *at* that step, which the layer
    below may have carried there from other steps.

    Args:
        model: an LSTM or a GRU, a module, a model with text, or a `Subject`; see `hiddenstate.explain.subject`.
        x: the model's input.
        place: a memory, such as ``"l1.c[125]@7"`` (without a unit, all units; without a step, the last one that the
            direction reads), a hidden state, such as ``"l1.h[3]@7"``, or a `logit`.
        row: the row to explain, if there are several; the place can also contain it (``,n=2``).
        options: the options of `hiddenstate.explain.subject`.

    Returns:
        A `Ledger` of a cell state, or a `ReadoutLedger` of a target that is linear in states.

    Raises:
        NameUnknownError, IndexRangeError: there is no such place, unit, step or row.
        ArgumentError: the place is neither a cell state nor linear in one, such as a gate; or the model is a plain RNN,
            which keeps nothing by addition.
        HiddenStateError: any error of `hiddenstate.explain.subject`.
    """
    subject = resolve_subject(place, model, x, **options)
    kind = subject.sizes.kind
    if not kind.is_additive:
        raise ArgumentError(
            f"a plain {kind.label} keeps nothing by addition: all of its state goes through {kind.gates[0].symbol} at "
            "each step, so no part of it can be followed. A ledger needs an LSTM or a GRU"
        )
    subject = subject.only(resolve_row(place, row))
    with torch.no_grad():
        trace = subject.trace()
    if isinstance(place, str) and parse_address(place).place.endswith(f".{kind.memory}"):
        where, unit, t = resolve_place(parse_address(place), subject)
        return cell_ledger(subject, decompose_cell(subject, trace, where, t), unit)
    return readout_ledger(subject, trace, resolve_target(place, subject))
