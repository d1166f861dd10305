"""Checks of the appendix."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hiddenstate.course.exercises.answers import Check, Typical, called, explained, near, tensor, wrong
from hiddenstate.course.exercises.cell_errors import TORCH
from hiddenstate.errors import AnswerError

ONNX = "iofg"  # ONNX's c is called g here


def from_onnx(answer: object) -> str:
    """Check exercise 10.1: a weight's rows converted from ONNX's gate order to torch's."""
    for units, columns in ((3, 2), (5, 4), (2, 1)):
        rows = torch.arange(4.0 * units * columns).view(4 * units, columns)
        other = {
            (4, units, columns): "`torch.stack` makes a new axis, `torch.cat` joins along the first.",
            (12, columns): "That is right for 3 units only: rows.chunk(4) cuts any H.",
            (units, 4 * columns): "The quarters are side by side: join them along the first axis.",
        }
        result = tensor(called(answer, rows), *rows.shape, other=other)
        quarters = dict(zip(ONNX, rows.chunk(4), strict=True))
        if not near(result, torch.cat([quarters[gate] for gate in TORCH])):
            raise _other_rows(result, rows, quarters)
    return "Of the 24 orders, you have the one that torch reads."


def _other_rows(result: Tensor, rows: Tensor, quarters: Mapping[str, Tensor]) -> AnswerError:
    """Explain the order of rows."""
    units, columns = len(rows) // 4, rows.shape[1]
    order = "".join(
        next((gate for gate, quarter in quarters.items() if near(quarter, part)), "?") for part in result.chunk(4)
    )
    if order == ONNX:
        return wrong("Nothing was moved, so the output gate's rows are where torch reads the forget gate's.", "M15")
    if "?" not in order:
        why = " That is the reverse conversion, from torch's order to ONNX's." if order == "igof" else ""
        lost = [gate for gate in TORCH if gate not in order]
        if lost:
            why = f" {' and '.join(lost)} is lost: a quarter was overwritten before it was moved, or used twice."
        return wrong(
            f"The quarters come out in the order {' '.join(order)}, but torch's is {' '.join(TORCH)}.{why}",
            "" if lost else "M15",
        )
    split = "The rows of a gate are split up. A gate has H rows, one for each unit: move whole quarters."
    interleaved = "Rows are read as if the gates of a unit were next to each other. Each gate has H rows together."
    typical = [
        Typical(split, rows.view(units, 4, columns).transpose(0, 1).reshape(rows.shape), "M16"),
        Typical(interleaved, rows.view(4, units, columns).transpose(0, 1).reshape(rows.shape)),
        Typical("The rows are in reverse order. Move whole quarters, each with its rows in order.", rows.flip(0)),
    ]
    if sorted(result.flatten().tolist()) != sorted(rows.flatten().tolist()):
        return wrong("The numbers themselves have changed, or some are missing: only move whole rows.")
    error = explained(result, rows, typical)
    if error.misconception or "differ" not in str(error):
        return error
    first = order.index("?")
    begins = [int(row) // columns for row in result.chunk(4)[first][:, 0]]
    last = (first + 1) * units - 1
    return wrong(f"Rows {first * units} to {last} of the result are rows {begins} of the input: not a quarter.")


CHECKS: dict[str, Check] = {"10.1": from_onnx}
