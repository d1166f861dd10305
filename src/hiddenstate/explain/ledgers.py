"""`ledger`: who wrote a memory, what erased it, and what it adds to each logit."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hiddenstate.edits.edit import Edit, zero
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.explained import Subject
from hiddenstate.explain.ledger_of_readout import ReadoutLedger, ledger_of_readout
from hiddenstate.explain.ledger_text import ledger_text, plot_parts
from hiddenstate.explain.memory import Memory, erased_most, memory_of, projected
from hiddenstate.explain.results import Explanation, Row
from hiddenstate.explain.subjects import subject
from hiddenstate.explain.targets import Of, bound, place_of, row_of
from hiddenstate.structure.addresses import Address, parse_address
from hiddenstate.structure.names import Place


@dataclass(frozen=True, eq=False, repr=False)
class Ledger(Explanation):
    """The ledger of a cell state at a step: what each step wrote and what of it is still there. Made by `ledger`.

    The sum is exact: ``value = parts.sum(0) + edited.sum(0) + initial`` up to rounding, which is ``residual``. S
    steps in reading order, U units (one, or all); all tensors float64.

    Attributes:
        place: the cell state.
        units: which units.
        t: the step at which it is looked at.
        words: what stands at each step of the input.
        steps: the S steps read up to t, in reading order.
        written: ``[S, U]``, what each step wrote, i·g.
        kept: ``[S, U]``, the share of it that is still there at t: the product of the forget gates since.
        parts: ``[S, U]``, what is left of it at t: ``written * kept``.
        forget: ``[S, U]``, the forget gates; 0 where a reset cuts.
        edited: ``[S, U]``, what is left at t of what edits of c in force put there.
        initial: ``[U]``, what is left of the initial state.
        value: ``[U]``, the cell state at t.
        effect: ``[U, K]``, what one unit of each part adds to each logit at t, through ``o·tanh(c)/c`` and the head;
            None below the last layer or without a head.
        labels: the K labels.
        residual: the largest difference between value and sum.
        cost: row-steps that were run.
    """

    kind: ClassVar[str] = "ledger"

    place: Place
    units: tuple[int, ...]
    t: int
    words: tuple[str, ...]
    steps: tuple[int, ...]
    written: Tensor
    kept: Tensor
    parts: Tensor
    forget: Tensor
    edited: Tensor
    initial: Tensor
    value: Tensor
    effect: Tensor | None
    labels: tuple[str, ...]
    residual: float
    cost: int

    @property
    def name(self) -> str:
        """The place with its unit and step."""
        return str(Address(str(self.place), self.units[0] if len(self.units) == 1 else None, self.t))

    @property
    def logits(self) -> Tensor | None:
        """``[S, K]``, what each step's parts in these units add to each logit at t; None without ``effect``."""
        return None if self.effect is None else self.parts @ self.effect

    def erased_at(self, unit: int | None = None) -> tuple[int | None, ...]:
        """Return for each of the S steps the step that erased most of what it wrote, None where nothing was erased.

        Args:
            unit: a unit of the ledger; may be left out where it has one.

        Raises:
            ArgumentError: the ledger does not have this unit, or has several and none was given.
        """
        k = self._position(unit)
        return tuple(None if at[0] is None else self.steps[at[0]] for at in erased_most(self.forget, [k]))

    def edit(self, step: int, unit: int | None = None) -> Edit:
        """Return the edit that keeps a step from writing: the causal check of its part.

        What follows in a run with it differs from the ledger's part, since later gates see another state.

        Args:
            step: one of ``steps``.
            unit: a unit of the ledger; all of them without.

        Raises:
            ArgumentError: the ledger has no such step or unit.
        """
        if step not in self.steps:
            raise ArgumentError(f"step {step} is not among those read until then: {self.steps}")
        units = self.units if unit is None else (self.units[self._position(unit)],)
        place = Place(self.place.layer, self.place.reverse, "i")
        return zero(str(place), unit=units[0] if len(units) == 1 else units, t=step)

    def rows(self) -> list[Row]:
        """Return one row for each step and unit."""
        found: list[Row] = []
        erased = erased_most(self.forget, range(len(self.units))) if len(self.units) == 1 else None
        for s, t in enumerate(self.steps):
            for k, unit in enumerate(self.units):
                row: dict[str, Any] = {"step": t, "word": self.words[t], "unit": unit}
                row |= {name: float(getattr(self, name)[s, k]) for name in ("written", "kept", "parts", "edited")}
                if erased is not None:
                    at = erased[s][0]
                    row["erased_most_at"] = None if at is None else self.steps[at]
                found.append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        names = ("units", "t", "words", "steps", "written", "kept", "parts", "edited", "initial", "value", "labels")
        data = {name: getattr(self, name) for name in names}
        if len(self.units) == 1:
            data["erased_most_at"] = self.erased_at()
        return {"place": str(self.place), **data, "logits": self.logits, "residual": self.residual, "cost": self.cost}

    def __str__(self) -> str:
        return ledger_text(self)

    def plot(self) -> Any:
        """Draw the parts over the steps: bars for one unit, a map for many."""
        return plot_parts(self)

    def _position(self, unit: int | None) -> int:
        if unit is None and len(self.units) == 1:
            return 0
        if unit is None or unit not in self.units:
            raise ArgumentError(f"unit={unit} is not in this ledger, which has {len(self.units)}: {self.units[:8]}")
        return self.units.index(unit)


def ledger(
    model: Any, x: Any = None, *, place: Of = "", row: int | None = None, **options: Any
) -> Ledger | ReadoutLedger:
    """Take a memory apart: what each step wrote into it, and what of that is still there.

    For a cell state the sum is exact (``c_t = Σ (Π f)·i·g + (Π f)·c_0``), in the reading order of its direction; an
    edit of c in force adds a term of its own, and a reset cuts the sum. For a hidden state, a logit or a difference of
    logits, every part is multiplied by ``o·tanh(c)/c`` and the head's weights, which is exact for the whole, too; both
    directions and the head's bias add up to the logit. The ledger looks into one layer: a step's part is what was
    written *at* that step, which the layer below may have carried there from other steps.

    Args:
        model: an LSTM, a module, a model with text, or a `Subject`; see `hiddenstate.explain.subject`.
        x: what it reads.
        place: ``"l1.c[125]@7"``; without a unit all units, without a step the last one that the direction reads. Or a
            hidden state ``"l1.h[3]@7"``, or `logit`.
        row: which row, where there are several; it can stand in the place, too (``,n=2``).
        options: those of `hiddenstate.explain.subject`.

    Returns:
        A `Ledger` of a cell state, or a `ReadoutLedger` of a target that is linear in states.

    Raises:
        NameUnknownError, IndexRangeError: there is no such place, unit, step or row.
        ArgumentError: the place is neither a cell state nor linear in one, such as a gate.
        HiddenStateError: what `hiddenstate.explain.subject` raises.
    """
    found = subject(model, x, **options).only(row_of(place, row))
    trace = _traced(found)
    if isinstance(place, str) and parse_address(place).place.endswith(".c"):
        where, unit, t = place_of(parse_address(place), found)
        return _ledger(found, memory_of(found, trace, where, t), unit)
    return ledger_of_readout(found, trace, bound(place, found))


def _traced(found: Subject) -> Any:
    with torch.no_grad():
        return found.trace()


def _ledger(found: Subject, memory: Memory, unit: int | None) -> Ledger:
    units = tuple(range(found.sizes.hidden_size)) if unit is None else (unit,)
    chosen = list(units)
    effect = _effect(found, memory)
    return Ledger(
        place=memory.place,
        units=units,
        t=memory.t,
        words=found.words(),
        steps=memory.steps,
        written=memory.written[:, chosen],
        kept=memory.kept[:, chosen],
        parts=memory.parts[:, chosen],
        forget=memory.forget[:, chosen],
        edited=memory.edit_parts[:, chosen],
        initial=memory.initial_part[chosen],
        value=memory.c[chosen],
        effect=None if effect is None else effect[chosen],
        labels=() if found.head is None or effect is None else found.head.labels[: effect.shape[1]],
        residual=float(memory.residual[chosen].abs().max()),
        cost=found.T,
    )


def _effect(found: Subject, memory: Memory) -> Tensor | None:
    """What a number in each unit's c adds to each logit at t, ``[H, K]``."""
    layer, reverse, _ = memory.place
    if found.head is None or layer != found.sizes.num_layers - 1:
        return None
    units = found.sizes.output_size
    weight = found.head.weight.detach().cpu().double()[:, units * reverse : units * (reverse + 1)]
    return memory.shown[:, None] * projected(found, memory.place, weight.T)
