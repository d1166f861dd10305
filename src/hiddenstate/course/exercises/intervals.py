"""Check of exercise 8.4: the interval of a difference between two models on the same steps."""

import math
from collections.abc import Sequence
from typing import cast

from torch import Tensor

from hiddenstate.course.exercises.answers import is_sequence_of, number, tensor, wrong
from hiddenstate.errors import AnswerError

BLOCKS = 20


def interval(answer: object) -> str:
    """Check exercise 8.4: a paired interval for the difference between two models on the same steps."""
    if not is_sequence_of(answer, Tensor, Tensor, Sequence) or len(answer[2]) != 2:
        raise wrong("", "The answer should be (losses of the baseline, losses of the model, (low, high)).")
    base, own = (tensor(losses, *cast("Tensor", answer[0]).shape).double() for losses in answer[:2])
    if base.dim() != 1 or len(base) < 2 * BLOCKS:
        raise wrong(
            "", f"The losses should be one number for each held-out element, but their shape is {list(base.shape)}."
        )
    low, high = map(number, answer[2])
    gain = base - own
    if not bool(gain.any()):
        raise wrong("", "The losses of the baseline and of the model are the same, element by element.")
    if low >= high:
        raise wrong("", f"The interval should be (low, high), but it is ({low:.4f}, {high:.4f}).")
    middle, half = (low + high) / 2, (high - low) / 2
    mean, widths = float(gain.mean()), _half_widths(base, own)
    right = widths[0][0]
    if abs(middle - mean) > 0.25 * max(half, right) or abs(middle - mean) > 2 * right:
        raise _other_middle(middle, mean, base, own)
    exact = next((sentence for width, sentence in widths if math.isclose(half, width, rel_tol=1e-3)), None)
    if exact is None and not right / 1.15 <= half <= 1.15 * right:
        exact = next((sentence for width, sentence in widths[1:] if math.isclose(half, width, rel_tol=0.03)), "")
        exact = exact or "It should be two standard errors of the means of 20 blocks (15 % more or less are allowed)."
    if exact:
        raise wrong("", f"The half width should be about {right:.4f}, but it is {half:.4f}. {exact}")
    verdict = "does not include 0" if low > 0 or high < 0 else "includes 0, so the gain may be chance"
    return f"{mean:.4f} ± {half:.4f} a step, from {BLOCKS} blocks of the same steps: the interval {verdict}."


def _blocks(x: Tensor) -> Tensor:
    return x[: len(x) // BLOCKS * BLOCKS].view(BLOCKS, -1).mean(1)


def _half_widths(base: Tensor, own: Tensor) -> list[tuple[float, str]]:
    """Return the right half widths, by several quantiles, then those of typical errors, each with its sentence."""
    gain, n = base - own, len(base)
    blocks, root = _blocks(gain).std().item(), BLOCKS**0.5
    steps = gain.std().item()
    by_step = gain[: n // BLOCKS * BLOCKS].view(-1, BLOCKS)
    apart = ((base.var() + own.var()) / n).sqrt().item()
    apart_blocks = ((_blocks(base).var() + _blocks(own).var()) / BLOCKS).sqrt().item()
    independent = "It takes the steps as independent, but neighbours are not: use the means of 20 blocks"
    unpaired = "It treats the two as tested on different steps. Take the difference at each step first"
    no_root = f"It is the spread of the block means, not of their mean: divide by √{BLOCKS}"
    spread = "It is how far single steps spread, not how sure their mean is: take blocks, and divide by √20"
    once = "and take two standard errors"
    interleaved = f"A block takes every {BLOCKS}th step. Its steps should be neighbours: .view({BLOCKS}, -1).mean(1)."
    short = f"The blocks have {BLOCKS} steps each. There should be {BLOCKS} blocks: .view({BLOCKS}, -1).mean(1)."
    return [
        *((quantile * blocks / root, "") for quantile in (2, 1.96, 2.09)),
        (blocks / root, "It is one standard error, which leaves out a third of the cases. Take two."),
        (4 * blocks / root, "It is four standard errors: the whole interval is that wide. Each side has two."),
        (2 * blocks, f"{no_root}."),
        (blocks, f"{no_root}, {once}."),
        (2 * blocks / BLOCKS, f"It divides by {BLOCKS}, not by its root: divide by √{BLOCKS}."),
        (
            2 * blocks / n**0.5,
            f"It divides by the root of the number of steps. There are {BLOCKS} means: divide by √{BLOCKS}.",
        ),
        (2 * blocks**2 / root, "It uses the variance of the block means. Take their standard deviation."),
        (2 * blocks**2 / BLOCKS, "It is the variance of the mean, without the root."),
        (2 * steps / n**0.5, f"{independent}."),
        (steps / n**0.5, f"{independent}, {once}."),
        (1.96 * steps / n**0.5, f"{independent}."),
        (
            2 * steps / root,
            f"It divides the spread of single steps by √{BLOCKS}. Take the spread of the {BLOCKS} means.",
        ),
        (2 * by_step.mean(0).std().item() / root, interleaved),
        (2 * by_step.mean(1).std().item() / root, short),
        (2 * steps, f"{spread}."),
        (1.96 * steps, f"{spread}."),
        (steps, f"{spread}, {once}."),
        (2 * apart, f"{unpaired}."),
        (1.96 * apart, f"{unpaired}."),
        (apart, f"{unpaired}, {once}."),
        (2 * apart_blocks, f"{unpaired}."),
    ]


def _other_middle(middle: float, mean: float, base: Tensor, own: Tensor) -> AnswerError:
    known = (
        (-mean, "That is model minus baseline, or the two losses are exchanged."),
        (0.0, "That is around 0: add the mean of the differences."),
        (float(own.mean()), "That is the model's loss, not a difference."),
        (float(base.mean()), "That is the baseline's loss, not a difference."),
        (float((base - own).median()), "That is the median of the differences. Take their mean."),
        (float((base - own).sum()), "That is the sum of the differences. Take their mean."),
        (mean / float(base.mean()), "That is a fraction of the baseline's loss. Take the difference itself."),
    )
    why = next((sentence for value, sentence in known if math.isclose(middle, value, rel_tol=0.02, abs_tol=1e-6)), "")
    return wrong(
        "", f"It should be around baseline minus model, {mean:.4f}, but is around {middle:.4f}. {why}".rstrip()
    )
