"""`ledger`: finds which steps wrote a memory, which erased it, and how much it contributes to each logit."""

from typing import Any

import torch

from hiddenstate.errors import ArgumentError
from hiddenstate.explain.ledger.cell import Ledger, cell_ledger
from hiddenstate.explain.ledger.cell_decomposition import decompose_cell
from hiddenstate.explain.ledger.readout import ReadoutLedger, readout_ledger
from hiddenstate.explain.subject.resolve_target import TargetLike, resolve_place, resolve_row, resolve_target
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.structure.addresses import parse_address


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
    found = resolve_subject(place, model, x, **options)
    kind = found.sizes.kind
    if not kind.is_additive:
        raise ArgumentError(
            f"a plain {kind.label} keeps nothing by addition: all of its state goes through {kind.gates[0].symbol} at "
            "each step, so no part of it can be followed. A ledger needs an LSTM or a GRU"
        )
    found = found.only(resolve_row(place, row))
    with torch.no_grad():
        trace = found.trace()
    if isinstance(place, str) and parse_address(place).place.endswith(f".{kind.memory}"):
        where, unit, t = resolve_place(parse_address(place), found)
        return cell_ledger(found, decompose_cell(found, trace, where, t), unit)
    return readout_ledger(found, trace, resolve_target(place, found))
