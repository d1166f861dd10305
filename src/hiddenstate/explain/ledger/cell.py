"""The ledger of a memory (an LSTM's c, a GRU's h): what each step wrote, and how much of it is still there."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.cells.kinds import cell_named
from hiddenstate.edits.edit import Edit, zero
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell_decomposition import CellDecomposition, erased_most, projected
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, number, sentence, share, shortened, sum_line
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.structure.addresses import Address
from hiddenstate.structure.names import Place
from hiddenstate.structure.tables import table

MOST_LABELS = 4  # logits to name
MOST_UNITS = 3  # units to name at each step
HELD = 0.95  # the share above which the word at which a memory is lost is not named


@dataclass(frozen=True, eq=False, repr=False)
class Ledger(Explanation):
    """The ledger of a memory at a step: what each step wrote and how much of it is left. Returned by `ledger`.

    The sum is exact: ``value = parts.sum(0) + edited.sum(0) + initial`` up to rounding, which is ``residual``. S
    steps in reading order, U units (one, or all); all tensors float64.

    Attributes:
        place: the memory: the cell state of an LSTM, the hidden state of a GRU.
        units: the units.
        t: the step at which the memory is explained.
        words: the word at each step of the input.
        steps: the S steps read up to t, in reading order.
        written: ``[S, U]``, what each step wrote, i·g or (1-z)·n.
        kept: ``[S, U]``, the share of it that is still there at t: the product of the later forget gates (z of a GRU).
        parts: ``[S, U]``, the amount left at t: ``written * kept``.
        forget: ``[S, U]``, the forget gates (z of a GRU); 0 where a reset cuts.
        edited: ``[S, U]``, what remains at t of the changes made by edits of the memory.
        initial: ``[U]``, what is left of the initial state.
        value: ``[U]``, the memory at t.
        effect: ``[U, K]``, the factor from each unit's parts to each logit at t, through ``o·tanh(c)/c`` and the head;
            None below the last layer or without a head.
        labels: the K labels.
        residual: the largest difference between the value and the sum.
        cell: the kind of cell, as in `hiddenstate.Sizes`.
    """

    kind = "ledger"

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
    cell: str = "LSTM"

    @property
    def name(self) -> str:
        """The place with its unit and step."""
        return str(Address(str(self.place), self.units[0] if len(self.units) == 1 else None, self.t))

    @property
    def logits(self) -> Tensor | None:
        """``[S, K]``, the contribution of each step's parts to each logit at t; None without ``effect``."""
        return None if self.effect is None else self.parts @ self.effect

    def erased_at(self, unit: int | None = None) -> tuple[int | None, ...]:
        """Return, for each of the S steps, the step that erased most of what it wrote; None if nothing was erased.

        Args:
            unit: a unit of the ledger; optional if it has only one.

        Raises:
            ArgumentError: the ledger does not have this unit, or has several and the argument is missing.
            ArgumentTypeError: the unit is not an int.
        """
        k = self._position(unit)
        return tuple(None if at[0] is None else self.steps[at[0]] for at in erased_most(self.forget, [k]))

    def edit(self, step: int, unit: int | None = None) -> Edit:
        """Return the edit that prevents a step from writing, as a causal check of its part.

        The effect in a run differs from the ledger's part, because later gates then see a different state.

        Args:
            step: one of ``steps``.
            unit: a unit of the ledger; by default all of them.

        Raises:
            ArgumentError: the ledger has no such step or unit.
            ArgumentTypeError: an argument is not an int.
        """
        step = check_int("step", step)
        if step not in self.steps:
            raise ArgumentError(f"step {step} is not among the steps read so far: {self.steps}")
        units = self.units if unit is None else (self.units[self._position(unit)],)
        place = Place(self.place.layer, self.place.reverse, cell_named(self.cell).writer)
        return zero(str(place), unit=units[0] if len(units) == 1 else units, t=step)

    def rows(self) -> list[Row]:
        """Return one row for each step and unit."""
        rows: list[Row] = []
        erased = erased_most(self.forget, range(len(self.units))) if len(self.units) == 1 else None
        for s, t in enumerate(self.steps):
            for k, unit in enumerate(self.units):
                row: dict[str, Any] = {"step": t, "word": self.words[t], "unit": unit}
                row |= {name: float(getattr(self, name)[s, k]) for name in ("written", "kept", "parts", "edited")}
                if erased is not None:
                    at = erased[s][0]
                    row["erased_most_at"] = None if at is None else self.steps[at]
                rows.append(row)
        return rows

    @property
    def _saved(self) -> str:
        erased = "erased_most_at=erased_at" if len(self.units) == 1 else ""
        return f"place units t words steps written kept parts edited initial value labels {erased} logits residual cost"

    def __str__(self) -> str:
        is_unit = len(self.units) == 1
        unit = f"unit {self.units[0]} of " if is_unit else ""
        way = ", read from the last word to the first" if self.place.reverse else ""
        where = f"{unit}the {_meaning(self)} {self.place} at step {self.t} ({shortened(self.words[self.t])}){way}"
        head = sentence(f"Who wrote {where}")
        lines = [head, "", _one_unit(self) if is_unit else _all_units(self), ""]
        if is_unit:
            edits = {"edits": float(self.edited.sum())} if self.edited.abs().max() > 0 else {}
            terms = {"parts": float(self.parts.sum()), **edits, "initial state": float(self.initial[0])}
            lines.append(sum_line(terms, f"{self.place.quantity} = {number(float(self.value[0]))}", self.residual))
            lines += _logit_lines(self)
        else:
            lines.append(f"Parts add up to the {len(self.units)} {_meaning(self)}s to {self.residual:.0e}.")
        return "\n".join(lines)

    def _figure(self) -> Any:
        """Draw the parts over the steps: bars for one unit, a heat map for several."""
        from hiddenstate.explain.result.pictures import bars, heat_map

        order = sorted(range(len(self.steps)), key=lambda s: self.steps[s])
        words = [self.words[self.steps[s]] for s in order]
        if len(self.units) == 1:
            return bars(f"what each step left in {self.name}", words, {"part": self.parts[order, 0].tolist()})
        return heat_map(f"what each step left in {self.name}", words, self.parts[order].T, "unit")

    def _position(self, unit: int | None) -> int:
        if unit is None and len(self.units) == 1:
            return 0
        if unit is None or check_int("unit", unit) not in self.units:
            raise ArgumentError(f"unit={unit} is not in this ledger, which has {len(self.units)}: {self.units[:8]}")
        return self.units.index(unit)


def cell_ledger(subject: Subject, memory: CellDecomposition, unit: int | None) -> Ledger:
    """Make the ledger of one unit of a cell state, or of all units."""
    units = tuple(range(subject.sizes.hidden_size)) if unit is None else (unit,)
    chosen = list(units)
    effect = _effect(subject, memory)
    return Ledger(
        place=memory.place,
        units=units,
        t=memory.t,
        words=subject.words(),
        steps=memory.steps,
        written=memory.written[:, chosen],
        kept=memory.kept[:, chosen],
        parts=memory.parts[:, chosen],
        forget=memory.forget[:, chosen],
        edited=memory.edit_parts[:, chosen],
        initial=memory.initial_part[chosen],
        value=memory.c[chosen],
        effect=None if effect is None else effect[chosen],
        labels=() if subject.head is None or effect is None else subject.head.labels[: effect.shape[1]],
        residual=float(memory.residual[chosen].abs().max()),
        cost=subject.T,
        cell=subject.sizes.cell,
    )


def _effect(subject: Subject, memory: CellDecomposition) -> Tensor | None:
    """Return the factor from each unit's c to each logit at t, ``[H, K]``."""
    layer, reverse, _ = memory.place
    if subject.head is None or layer != subject.sizes.num_layers - 1:
        return None
    units = subject.sizes.output_size
    weight = subject.head.weight.detach().cpu().double()[:, units * reverse : units * (reverse + 1)]
    return memory.secant[:, None] * projected(subject, memory.place, weight.T)


def _meaning(ledger: Ledger) -> str:
    return cell_named(ledger.cell).meanings[ledger.place.quantity]


def _one_unit(ledger: Ledger) -> str:
    largest = float(ledger.parts.abs().max())
    erased, rows = ledger.erased_at(), []
    has_edits = bool(ledger.edited.abs().max() > 0)
    for s, t in enumerate(ledger.steps):
        at, kept, part = erased[s], float(ledger.kept[s, 0]), float(ledger.parts[s, 0])
        lost = "" if at is None or kept > HELD else f"{shortened(ledger.words[at])} ({at})"
        cells = [str(t), shortened(ledger.words[t]), number(float(ledger.written[s, 0]))]
        cells += [f"{share(kept)} {100 * kept:3.0f} %", lost]
        cells += [number(float(ledger.edited[s, 0]))] if has_edits else []
        rows.append([*cells, number(part), bar(part, largest, 8)])
    cell = cell_named(ledger.cell)
    (memory,) = (state for state in cell.states if state.name == cell.memory)
    wrote = next("·".join(term) for term in memory.terms if cell.candidate in term)
    names = ["step", "word", f"wrote {wrote}", "still there", "erased most at"]
    names += ["by an edit"] if has_edits else []
    return table([*names, "part", ""], rows, "rlrll" + "r" * has_edits + "rl")


def _logit_lines(ledger: Ledger) -> list[str]:
    if ledger.effect is None:
        return []
    effect = ledger.effect[0] * ledger.value[0]
    most = effect.abs().topk(min(MOST_LABELS, len(effect))).indices.tolist()
    largest = ", ".join(f"{shortened(ledger.labels[k])} {number(float(effect[k]))}" for k in most)
    return [sentence(f"It adds to the logits at this step (those that it moves most): {largest}.")]


def _all_units(ledger: Ledger) -> str:
    sizes = ledger.parts.abs().sum(1)
    whole, largest = float(sizes.sum()), float(sizes.max())
    rows = []
    for s, t in enumerate(ledger.steps):
        size = float(sizes[s])
        kept = float((ledger.written[s].abs() * ledger.kept[s]).sum() / ledger.written[s].abs().sum().clamp(min=1e-30))
        most = ledger.parts[s].abs().topk(min(MOST_UNITS, len(ledger.units))).indices.tolist()
        units = " ".join(f"{ledger.units[k]}:{float(ledger.parts[s, k]):+.2f}" for k in most)
        cells = [str(t), shortened(ledger.words[t]), f"{share(kept)} {100 * kept:3.0f} %"]
        rows.append([*cells, f"{100 * size / max(whole, 1e-30):.0f} %", share(size / max(largest, 1e-30), 12), units])
    names = ["step", "word", "still there", f"of Σ|{ledger.place.quantity}|", "", "largest parts, unit:part"]
    return table(names, rows, "rllrll")
