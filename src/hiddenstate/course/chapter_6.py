"""Checks of chapter 6: to production."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hiddenstate.course.answers import Check, called, near, seeded, tensor, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

State = tuple[Tensor, Tensor]
SIZES = (4, 1, 6, 3)


def in_chunks(answer: object) -> str:
    """Check exercise 6.1: chunks of any size give the same result as one call."""
    with seeded(61), torch.no_grad():
        lstm, x = LSTM(3, 5), torch.randn(sum(SIZES), 2, 3)
        out, state = lstm(x)
        drawn = [int(size) for size in torch.randint(1, 4, (sum(SIZES),))]
        for sizes in (list(SIZES), [sum(SIZES)], drawn):
            cut = _cut(sizes)
            given, after = _pair(called(answer, lstm, x, cut))
            if not near(tensor(given, *out.shape), out):
                raise _other_chunks(given, out, lstm, x, cut)
            if not all(map(near, after, state)):
                raise wrong(
                    "M3", "The outputs are right, but the final state (h and c) is not that of the whole sequence."
                )
    return "Every split gives the outputs and the state of the whole sequence."


def _cut(sizes: list[int]) -> list[int]:
    """Adjust the sizes so that they add up to the number of steps."""
    ends = [min(end, sum(SIZES)) for end in itertools.accumulate(sizes)]
    return [end - begin for begin, end in itertools.pairwise([0, *ends]) if end > begin]


def _pair(given: object) -> tuple[Tensor, State]:
    try:
        out, (h, c) = cast("Sequence[Any]", given)
    except (TypeError, ValueError):
        raise wrong("M3", "The answer should be two things: out, and the state, a pair (h, c).") from None
    return out, (h, c)


def _other_chunks(given: Tensor, out: Tensor, lstm: LSTM, x: Tensor, sizes: list[int]) -> AnswerError:
    """Explain what happens to a state that is not carried."""
    if near(given, torch.cat([lstm(chunk)[0] for chunk in x.split(sizes)])):
        return wrong("M32", "Each chunk starts from zeros, so it knows nothing of the chunks before it.")
    first = lstm(x[: sizes[0]])[1]
    again = [lstm(chunk, first if k else None)[0] for k, chunk in enumerate(x.split(sizes))]
    if near(given, torch.cat(again)):
        return wrong("M1", "Each chunk starts where the *first* ended. Pass in the state that the last call returned.")
    step = int((given - out).abs().amax(dim=(1, 2)).gt(1e-5).nonzero()[0, 0])
    return wrong("M3", f"It differs from step {step} on, in a chunk that follows another one: carry both h and c.")


def resets(answer: object) -> str:
    """Check exercise 6.2: converting marks of last steps to marks of first steps."""
    done = torch.zeros(6, 3, dtype=torch.bool)
    done[1, 0] = done[3, 0] = done[2, 1] = done[5, 2] = True
    right = torch.zeros_like(done)
    right[1:] = done[:-1]
    given = tensor(called(answer, done.clone()), 6, 3)
    if given.dtype != torch.bool:
        raise wrong("", f"The answer should be a bool tensor, but its dtype is {given.dtype}.")
    if torch.equal(given, right):
        return "Each sequence starts one step after the previous one in its row ends."
    raise _other_mask(given, done, right)


def _other_mask(given: Tensor, done: Tensor, right: Tensor) -> AnswerError:
    if torch.equal(given, done):
        return wrong("M26", "The last step is marked, so it is cut off from its own sequence. The reset comes after.")
    if not given.any():
        return wrong("M25", "Nothing is marked: each sequence continues with the state of the previous one.")
    if torch.equal(given, done.roll(1, dims=0)):
        return wrong("", "Row 2 is marked at step 0: its last step was rolled around to the start.")
    if torch.equal(given, right.any(dim=1, keepdim=True).expand_as(right)):
        return wrong("M28", "All rows are reset when one is done, but the sequences of the others continue.")
    aside = torch.zeros_like(done)
    aside[:, 1:] = done[:, :-1]
    if torch.equal(given, aside):
        return wrong("M8", "The marks have moved to the next *row*. Steps are the first axis.")
    t, n = (int(place) for place in (given != right).nonzero()[0])
    return wrong("", f"At step {t} of row {n} it is {bool(given[t, n])}, and should be {bool(right[t, n])}.")


def skill(answer: object) -> str:
    """Check exercise 6.3: squared error against persistence."""
    with seeded(63):
        walk = torch.randn(400, 16).cumsum(dim=0)
        wave = torch.sin(0.4 * torch.arange(400.0))[:, None] + 0.1 * torch.randn(400, 16)
        last = walk + 0.3 * torch.randn(400, 16)
    nearly = torch.cat([wave[1:], wave[:1]]) * 0.9
    for said, series in ((last, walk), (nearly, wave)):
        given = called(answer, said, series)
        if not isinstance(given, float | int):
            raise wrong("", f"The answer should be one number, but its type is {type(given).__name__}.")
        right = _skill(said, series)
        if not math.isclose(given, right, abs_tol=1e-5):
            raise _other_skill(float(given), right, said, series)
    return "On a random walk, the last value plus noise has a skill below 0; a nearly perfect forecast has one near 1."


def _skill(said: Tensor, series: Tensor) -> float:
    came = series[1:]
    return float(1 - ((said[:-1] - came) ** 2).mean() / ((series[:-1] - came) ** 2).mean())


def _other_skill(given: float, right: float, said: Tensor, series: Tensor) -> AnswerError:
    """Name what was computed instead of the skill of the forecasts."""
    came = series[1:]
    rival = ((series[:-1] - came) ** 2).mean()
    if math.isclose(given, float(1 - ((said - series) ** 2).mean() / rival), abs_tol=1e-5):
        return wrong(
            "M34", f"{given:.2f} on a random walk is a leak: the forecast made at t is compared with t, not t+1."
        )
    spread = ((came - came.mean()) ** 2).mean()
    if math.isclose(given, float(1 - ((said[:-1] - came) ** 2).mean() / spread), abs_tol=1e-5):
        return wrong("M34", f"{given:.2f} on a random walk: the mean is too weak a baseline. Use the last value.")
    together = float(torch.corrcoef(torch.stack([said[:-1].flatten(), came.flatten()]))[0, 1])
    if math.isclose(given, together, abs_tol=1e-4):
        return wrong(
            "M34", f"{given:.2f} is a correlation. Anything that follows a random walk one step behind has that."
        )
    if math.isclose(given, 1 - right, abs_tol=1e-5):
        return wrong("", f"{given:.2f} is the ratio of the errors. Skill is 1 minus that: 0 is no better.")
    return wrong("", f"It is {given:.4f}, but should be {right:.4f}.")


class _Ahead(nn.Module):
    """Looks one step ahead: each step reads the mean of its own input and the next one."""

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        given: tuple[Tensor, State] = self.lstm(torch.cat([(x[:-1] + x[1:]) / 2, x[-1:]]))
        return given


def can_stream(answer: object) -> str:
    """Check exercise 6.4: a test that finds models whose outputs depend on later input."""
    with seeded(65), torch.no_grad():
        plain, both = LSTM(3, 4), LSTM(3, 4, bidirectional=True)
        models = {"plain": plain, "both": both, "ahead": _Ahead(LSTM(3, 4))}
        x = torch.randn(7, 2, 3)
        said = {name: bool(called(answer, model, x)) for name, model in models.items()}
    if said == {"plain": True, "both": False, "ahead": False}:
        return "It passes the LSTM that reads forward, and finds the reverse direction and the look-ahead."
    if all(said.values()):
        raise wrong("M33", "It passes the bidirectional one, whose first output depends on the last input.")
    if not said["plain"]:
        changed = "the last output depends on the last input, as it may" if not said["both"] else ""
        why = changed if _spares_early(answer, x) else "outputs may depend on what came *before* them"
        raise wrong("", f"It rejects the LSTM that reads forward: {why or 'it does not read ahead'}.")
    raise wrong("", "It misses a model that looks one step ahead, without a reverse direction: compare the numbers.")


class _Constant(nn.Module):
    """Makes every output except the last the same for any input."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return torch.cat([torch.zeros_like(x[:-1]), x[-1:]]), None


def _spares_early(answer: object, x: Tensor) -> bool:
    """Whether a test rejects an LSTM only because its last output depends on the last input."""
    return not called(answer, _Constant(), x)


CHECKS: dict[str, Check] = {
    "6.1": in_chunks,
    "6.2": resets,
    "6.3": skill,
    "6.4": can_stream,
}
