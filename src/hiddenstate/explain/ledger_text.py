"""How ledgers look: tables with bars for terminals, and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hiddenstate.explain.text import bar, number, share, shortened, table
from hiddenstate.structure.names import MEANINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from hiddenstate.explain.ledger_of_readout import ReadoutLedger
    from hiddenstate.explain.ledgers import Ledger

MOST_LABELS = 4  # logits that are named
MOST_UNITS = 3  # units that are named at each step


def ledger_text(ledger: Ledger) -> str:
    """Write a ledger of a cell state as a table."""
    one = len(ledger.units) == 1
    unit = f"unit {ledger.units[0]} of " if one else ""
    way = ", read from the last word to the first" if ledger.place.reverse else ""
    where = f"{unit}the {MEANINGS['c']} {ledger.place} at step {ledger.t} ({shortened(ledger.words[ledger.t])}){way}"
    head = f"Who wrote {where}"
    lines = [head, "", _one_unit(ledger) if one else _all_units(ledger), ""]
    if one:
        lines.append(_sum_of_one(ledger))
        lines += _logit_lines(ledger)
    else:
        lines.append(f"Parts add up to the {len(ledger.units)} cell states to {ledger.residual:.0e}.")
    return "\n".join(lines)


def _one_unit(ledger: Ledger) -> str:
    largest = float(ledger.parts.abs().max())
    erased, rows = ledger.erased_at(), []
    has_edits = bool(ledger.edited.abs().max() > 0)
    for s, t in enumerate(ledger.steps):
        at, kept, part = erased[s], float(ledger.kept[s, 0]), float(ledger.parts[s, 0])
        lost = "" if at is None or kept > 0.95 else f"{shortened(ledger.words[at])} ({at})"
        cells = [str(t), shortened(ledger.words[t]), number(float(ledger.written[s, 0]))]
        cells += [f"{share(kept)} {100 * kept:3.0f} %", number(part), bar(part, largest)]
        rows.append([*cells, *([number(float(ledger.edited[s, 0]))] if has_edits else []), lost])
    names = ["step", "word", "wrote i·g", "still there", "part", "", *(["by an edit"] if has_edits else [])]
    return table([*names, "erased most at"], rows, "rlrlrl" + "r" * has_edits + "l")


def _sum_of_one(ledger: Ledger) -> str:
    terms = [f"parts {number(float(ledger.parts.sum()))}"]
    if ledger.edited.abs().max() > 0:
        terms.append(f"edits {number(float(ledger.edited.sum()))}")
    terms.append(f"initial state {number(float(ledger.initial[0]))}")
    return f"{' and '.join(terms)} make c = {number(float(ledger.value[0]))}; rounding leaves {ledger.residual:.0e}."


def _logit_lines(ledger: Ledger) -> list[str]:
    if ledger.effect is None:
        return []
    effect = ledger.effect[0] * ledger.value[0]
    most = effect.abs().topk(min(MOST_LABELS, len(effect))).indices.tolist()
    said = ", ".join(f"{shortened(ledger.labels[k])} {number(float(effect[k]))}" for k in most)
    return [f"It adds to the logits at this step (those that it moves most): {said}."]


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
    return table(["step", "word", "still there", "of Σ|c|", "", "largest parts, unit:part"], rows, "rllrll")


def readout_text(ledger: ReadoutLedger) -> str:
    """Write a ledger of a linear target as a table: a column for each place that is read."""
    by_step = ledger.by_step
    total = by_step.sum(0)
    largest = float(total.abs().max())
    several = len(ledger.places) > 1
    names = ["step", "word", *([str(place) for place in ledger.places] if several else []), "part", ""]
    rows = []
    for t, word in enumerate(ledger.words):
        parts = [number(float(part)) for part in by_step[:, t]] if several else []
        rows.append([str(t), shortened(word), *parts, number(float(total[t])), bar(float(total[t]), largest)])
    terms = [f"words {number(float(total.sum()))}"]
    if ledger.edited.abs().max() > 0:
        terms.append(f"edits {number(float(ledger.edited.sum()))}")
    terms += [f"initial state {number(float(ledger.initial.sum()))}", f"bias {number(ledger.bias)}"]
    summed = f"{', '.join(terms)} make {number(ledger.value)}; rounding leaves {abs(ledger.residual):.0e}."
    note = (
        "A word's part is what was written at its step into the cells that are read, and is still there. What the\n"
        "layer below carried to that step from other words is in it: attribute() goes down to the words."
    )
    return "\n".join([f"What makes the {ledger.target}", "", table(names, rows, "rl"), "", summed, note])


def plot_parts(ledger: Ledger) -> Figure:
    """Draw a ledger of a cell state: bars of one unit, or a map of all."""
    from hiddenstate.explain.pictures import bars, heat_map

    order = sorted(range(len(ledger.steps)), key=lambda s: ledger.steps[s])
    words = [ledger.words[ledger.steps[s]] for s in order]
    if len(ledger.units) == 1:
        return bars(f"what each step left in {ledger.name}", words, {"part": _floats(ledger.parts[order, 0])})
    return heat_map(f"what each step left in {ledger.name}", words, ledger.parts[order].T, "unit")


def plot_readout(ledger: ReadoutLedger) -> Figure:
    """Draw a ledger of a linear target: bars for each place that is read."""
    from hiddenstate.explain.pictures import bars

    series = {str(place): _floats(part) for place, part in zip(ledger.places, ledger.by_step, strict=True)}
    return bars(ledger.target, list(ledger.words), series)


def _floats(values: Tensor) -> list[float]:
    found: list[float] = values.tolist()
    return found
