"""Splits states by step, as read: ``c_t = Σ_s (Π_{r>s} f_r)·i_s·g_s + (Π f)·c_0``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.structure.names import LayerDirection, Place, parse_place
from hiddenstate.tracing.trace import Trace

ROUNDINGS = 16  # an edit's change of fewer units in the last place counts as rounding


@dataclass(frozen=True, eq=False)
class CellDecomposition:
    """What one row's layer and direction wrote and kept over S steps, in float64 on the CPU."""

    place: Place  # the memory, such as l1.c
    t: int  # the step
    steps: tuple[int, ...]  # the S steps read up to t, in reading order; the last is t
    forget: Tensor  # [S, H], the forget gates, or a GRU's update gates; 0 where a reset cuts
    written: Tensor  # [S, H], i·g, or (1-z)·n
    edited: Tensor  # [S, H], the changes made by edits of the memory; zero without edits
    kept: Tensor  # [S, H], the share of the cell state after each step that is still there at t
    c0: Tensor  # [H], the initial memory
    c: Tensor  # [H], the memory at t
    # [H], the factor that turns a part of the memory into a part of the output before a projection: the secant
    # o·tanh(c)/c, or 1
    secant: Tensor
    h: Tensor  # [P], the hidden state at t

    @property
    def parts(self) -> Tensor:
        """``[S, H]``, the amount left at t of what each step wrote."""
        return self.written * self.kept

    @property
    def edit_parts(self) -> Tensor:
        """``[S, H]``, what remains at t of the changes made by edits of c."""
        return self.edited * self.kept

    @property
    def initial_part(self) -> Tensor:
        """``[H]``, what remains at t of the initial state."""
        return self.c0 * self.forget[0] * self.kept[0]

    @property
    def residual(self) -> Tensor:
        """``[H]``, the cell state minus all parts: the rounding error."""
        return self.c - self.parts.sum(0) - self.edit_parts.sum(0) - self.initial_part


def decompose_cell(subject: Subject, trace: Trace, place: Place, t: int) -> CellDecomposition:
    """Decompose the memory of one layer and direction at a step; subject and trace have one row."""
    layer, reverse, _ = place
    cell = subject.sizes.kind
    steps = range(subject.T - 1, t - 1, -1) if reverse else range(t + 1)
    order = torch.tensor(steps)
    values = {q: row_values(trace, Place(layer, reverse, q))[order] for q in (*cell.gate_names, cell.memory)}
    k = subject.sizes.layer_directions.index(place.layer_direction)
    c0 = cell.parts_of(subject.initial)[-1][k, 0].detach().cpu().double()
    split = cell.split(values)
    forget = split.keep * ~borders(subject, order, reverse)[:, None]
    written = split.write * values[cell.candidate]
    h = row_values(trace, Place(layer, reverse, "h"))[t]
    edited = _edited(subject, trace, place, order, forget, written, c0, values[cell.memory])
    kept = torch.ones_like(forget)
    kept[:-1] = forget[1:].flip(0).cumprod(0).flip(0)
    own, c = Place(layer, reverse, cell.memory), values[cell.memory][-1]
    return CellDecomposition(own, t, tuple(steps), forget, written, edited, kept, c0, c, split.show[-1], h)


def projected(subject: Subject, place: Place, vectors: Tensor) -> Tensor:
    """Convert vectors ``[P, K]`` that read h into vectors ``[H, K]`` that read o·tanh(c)."""
    if not subject.sizes.proj_size:
        return vectors
    weight: Tensor = subject.lstm.weight(f"{place.layer_direction.name}.W_hr")
    return weight.detach().cpu().double().T @ vectors


def row_values(trace: Trace, place: Place) -> Tensor:
    """Return the values ``[T, units]`` of a place in a run of one row, in float64 on the CPU."""
    return trace.values[str(place)][:, 0].detach().cpu().double()


def borders(subject: Subject, order: Tensor, reverse: bool) -> Tensor:
    """Bool ``[S]``: True at steps without a previous state, because a reset precedes them in reading order."""
    if subject.reset is None:
        return torch.zeros(len(order), dtype=torch.bool)
    reset = subject.reset[:, 0].cpu()
    if not reverse:
        return reset[order]
    return torch.cat([reset[1:], reset.new_zeros(1)])[order]  # nothing follows the last step


def before_each_step(subject: Subject, track: LayerDirection, values: Tensor, initial: Tensor) -> Tensor:
    """Return a state before each step, from its values ``[T, units]`` and the initial one ``[1, units]``."""
    shifted = [values[1:], initial] if track.reverse else [initial, values[:-1]]
    return torch.where(borders(subject, torch.arange(subject.T), track.reverse)[:, None], 0.0, torch.cat(shifted))


def _edited(
    subject: Subject, trace: Trace, place: Place, order: Tensor, forget: Tensor, written: Tensor, c0: Tensor, c: Tensor
) -> Tensor:
    """Return the memory minus what was kept and written, if active edits can change it."""
    memory = subject.sizes.kind.memory
    if not any(edit.scope == "readout" or _quantity(edit) == memory for edit in edits_at(subject, place)):
        return torch.zeros_like(written)
    carried = trace.carried.get(place.layer_direction.name)
    after = c.clone() if carried is None else carried[:, 0].detach().cpu().double()[order]
    before = torch.cat([c0[None], after[:-1]])
    after[-1] = c[-1]  # at step t, the ledger explains the recorded value
    kept = forget * before
    change = after - kept - written
    rounding = ROUNDINGS * torch.finfo(trace.values[str(place._replace(quantity=memory))].dtype).eps
    return torch.where(change.abs() > rounding * (after.abs() + kept.abs() + written.abs()), change, 0.0)


def edits_at(subject: Subject, place: Place) -> Sequence[Edit]:
    """Return the active edits of the layer and direction of a place."""
    layers, wanted = subject.sizes.layers, place.layer_direction
    return [edit for edit in edits_in_force(subject.lstm) if parse_place(edit.place, *layers).layer_direction == wanted]


def h_is_edited(subject: Subject, place: Place) -> bool:
    """Whether an active edit changes h directly, so that it is not o·tanh(c); a GRU's ledger includes edits of h."""
    return subject.sizes.kind.memory != "h" and any(_quantity(edit) == "h" for edit in edits_at(subject, place))


def _quantity(edit: Edit) -> str:
    return edit.place.partition(".")[2]


def erased_most(forget: Tensor, units: Iterable[int]) -> list[list[int | None]]:
    """Return, by step and unit, the later step that erased most of what it wrote, or None; in O(S²) time."""
    chosen = forget[:, list(units)]
    erased: list[list[int | None]] = []
    for s in range(len(chosen)):
        left = torch.cat([torch.ones_like(chosen[:1]), chosen[s + 1 :].cumprod(0)])
        if len(left) == 1:
            erased.append([None] * chosen.shape[1])
            continue
        lost, at = (left[:-1] - left[1:]).max(0)
        erased.append([s + 1 + int(k) if drop > 0 else None for k, drop in zip(at, lost, strict=True)])
    return erased
