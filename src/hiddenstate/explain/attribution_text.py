"""How attributions look: a table with bars for terminals, and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hiddenstate.explain.text import bar, number, shortened, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hiddenstate.explain.attribution import Attribution

TITLES = {
    "gradient": "gradient times difference to the baseline (a first-order estimate; it need not add up)",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion: what is lost when that word alone is replaced (it need not add up)",
    "frozen": "gates held as they are: blind to what only opens or closes a gate",
    "cd": "contextual decomposition: β, what comes from that word alone",
    "shapley": "Shapley values",
}
NAMES = {"zero": "zeros", "mean": "the mean of what is read in training", "unk": "an unknown word"}
MOST_PAIRS = 5


def attribution_text(result: Attribution) -> str:
    """Write an attribution as a table."""
    lines = [f"Which words make the {result.target}: {number(result.value)}", _how(result), ""]
    lines += [_one(result) if len(result.baselines) == 1 else _side_by_side(result), ""]
    lines += [_sum(result, b) for b in range(len(result.baselines) if result.method not in ("frozen", "cd") else 1)]
    if result.interaction is not None:
        lines += _pairs(result)
    if result.disagreements:
        names = ", ".join(shortened(result.players[p].name) for p in result.disagreements)
        lines.append(f"≠ Part and occlusion disagree: {names}. At least one of them misleads there.")
    return "\n".join(lines)


def _how(result: Attribution) -> str:
    said = TITLES[result.method]
    if result.method == "integrated_gradients":
        said += f", {result.points} points" + ("" if result.exact else ": NOT CONVERGED, see the residual")
    if result.method == "shapley":
        said += " over all ways to replace words" if result.exact else ", sampled: ± is the standard error"
    used = [] if result.method in ("frozen", "cd") and result.occlusion is None else result.baselines
    replaced = " | ".join(NAMES.get(name, name) for name in used)
    return said + (f"\na replaced word is read as {replaced}" if replaced else "")


def _one(result: Attribution) -> str:
    """One baseline: a row for each player with everything there is to it."""
    parts = result.parts[0]
    largest, marked = float(parts.abs().max()), result.disagreements
    head, left = ["step", "word", "β" if result.method == "cd" else "part", ""], "rlrl"
    optional = [("±", result.error), ("alone", result.alone)]
    optional += [("occlusion", result.occlusion if result.method != "occlusion" else None)]
    columns = [(name, values[0]) for name, values in optional if values is not None]
    if result.gamma is not None:
        columns.insert(0, ("γ", result.gamma))
    rows = []
    for p, player in enumerate(result.players):
        part = float(parts[p])
        cells = [_steps(player), player.name, number(part), bar(part, largest)]
        rows.append([*cells, *(number(float(values[p])) for _, values in columns), "≠" if p in marked else ""])
    return table([*head, *(name for name, _ in columns), ""], rows, left)


def _side_by_side(result: Attribution) -> str:
    """Several baselines: a column for each."""
    largest = float(result.parts.abs().max())
    rows = []
    for p, player in enumerate(result.players):
        cells = [_steps(player), player.name]
        for b in range(len(result.baselines)):
            part = float(result.parts[b, p])
            cells += [number(part), bar(part, largest, 8)]
        rows.append(cells)
    head = [cell for name in result.baselines for cell in (name, "")]
    return table(["step", "word", *head], rows, "rl" + "rl" * len(result.baselines))


def _steps(player: tuple[str, int, int]) -> str:
    _, start, stop = player
    return "" if start == stop else str(start) if stop == start + 1 else f"{start}-{stop - 1}"


def _sum(result: Attribution, b: int) -> str:
    total, value = float(result.parts[b].sum()), number(result.value)
    if result.method == "frozen":
        terms = "".join(f", {name} {number(part)}" for name, part in result.rest.items())
        return f"words {number(total)}{terms} make {value}; rounding leaves {abs(result.residual):.0e}."
    if result.method == "cd":
        bias = result.rest.get("the head's bias", 0.0)
        return (
            f"In every row β + γ and the head's bias {number(bias)} make {value}; β + γ misses the hidden state by "
            f"{result.residual:.0e} at most. The sum of all β has no meaning."
        )
    reference = float(result.references[b])
    name = f" ({result.baselines[b]})" if len(result.baselines) > 1 else ""
    missing = result.value - reference - total
    return (
        f"parts {number(total)}, and {number(reference)} with every word replaced{name}: "
        f"{number(total + reference)} of {value}, {number(missing)} is missing."
    )


def _pairs(result: Attribution) -> list[str]:
    """The pairs that do most together beyond what each does."""
    assert result.interaction is not None
    P = len(result.players)
    pairs = [(float(result.interaction[0, p, q]), p, q) for p in range(P) for q in range(p + 1, P)]
    pairs.sort(key=lambda pair: -abs(pair[0]))
    lines = ["Two together, beyond what each does:"] if pairs else []
    for size, p, q in pairs[:MOST_PAIRS]:
        lines.append(f"  {number(size)}  {result.players[p].name} × {result.players[q].name}")
    return lines


def plot_attribution(result: Attribution) -> Figure:
    """Draw parts and occlusion as bars over the words."""
    from hiddenstate.explain.pictures import bars

    series: dict[str, list[float]] = {}
    for b, name in enumerate(result.baselines):
        label = result.method if len(result.baselines) == 1 else f"{result.method}, {name}"
        series[label] = result.parts[b].tolist()
    if result.occlusion is not None and result.method != "occlusion" and len(result.baselines) == 1:
        series["occlusion"] = result.occlusion[0].tolist()
    return bars(result.target, [player.name for player in result.players], series)
