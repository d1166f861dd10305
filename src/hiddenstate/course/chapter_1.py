"""Checks of chapter 1: structure and hidden state."""

from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.course.answers import Check, called, near, seeded, tensor, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

State = tuple[Tensor, Tensor]
STEPS, ROWS, INPUTS, UNITS = 5, 3, 4, 3


def one_at_a_time(answer: object) -> str:
    """Check exercise 1.2: a loop over the elements of a sequence that carries the state."""
    with seeded(12), torch.no_grad():
        lstm, x = LSTM(INPUTS, UNITS), torch.randn(STEPS, 1, INPUTS)
        state = (torch.randn(1, 1, UNITS), torch.randn(1, 1, UNITS))
        given = tensor(called(answer, lstm, list(x), state), STEPS, 1, UNITS)
        if not near(given, lstm(x, state)[0]):
            raise _other_loop(answer, given, lstm, x, state)
    return "The loop gives the numbers of all at once, and the order of the inputs matters."


def _other_loop(answer: object, given: Tensor, lstm: LSTM, x: Tensor, state: State) -> AnswerError:
    """Say what a loop does that does not carry both."""
    if near(given, _loop(lstm, x, state, "")):
        return _restarts(answer, lstm, x, state)
    if near(given, _loop(lstm, x, state, "h")):
        return wrong("M3", "h goes on and c does not: each step begins with the first c again. Carry both.")
    if near(given, _loop(lstm, x, state, "c")):
        return wrong("M3", "c goes on and h does not: each step begins with the first h again. Carry both.")
    if near(given, lstm(x)[0]):
        return wrong("", "The loop begins with zeros, and a state was given. Begin with that.")
    gap = (given - lstm(x, state)[0]).abs().amax(dim=(1, 2))
    first = int((gap > 1e-5).nonzero()[0, 0])
    return wrong("", f"From step {first} on the outputs differ from those of all at once, there by {gap[first]:.4f}.")


def _loop(lstm: LSTM, x: Tensor, state: State, carried: str) -> Tensor:
    """Run step after step; only the parts of the state that are named go on."""
    outputs, (h, c) = [], state
    for element in x:
        out, (h_after, c_after) = lstm(element[None], (h, c))
        h, c = h_after if "h" in carried else h, c_after if "c" in carried else c
        outputs.append(out)
    return torch.cat(outputs)


def _restarts(answer: object, lstm: LSTM, x: Tensor, state: State) -> AnswerError:
    """Say how a loop comes to begin at the first state again and again: it hands that in, or a copy of it."""
    handed: list[Any] = []

    def watch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        handed.append(named.get("hx", given[1] if len(given) > 1 else None))

    with lstm.register_forward_pre_hook(watch, with_kwargs=True):
        called(answer, lstm, list(x), state)
    if any(hx is not None and hx[0] is not state[0] for hx in handed):
        return wrong(
            "M1", "Each step is given a copy of the first state, with the same numbers. Hand in what came back."
        )
    return wrong("M1", "Each step is given the first state, so none knows of those before it. Hand in what came back.")


def rows_are_apart(answer: object) -> str:
    """Check exercise 1.5: a test that finds a model in which rows of a batch have an influence on each other."""
    with seeded(15), torch.no_grad():
        lstm = LSTM(INPUTS, UNITS, batch_first=True)
        models = {"good": lstm, "swapped": _Swapped(lstm), "mean": _Mean(lstm), "leak": _Leak(lstm)}
        x = torch.randn(ROWS, STEPS, INPUTS)
        content = [name for name, model in models.items() if called(answer, model, x)]
    if "good" not in content:
        raise wrong(
            "M7", "It finds fault with the good model. There x and out are [N, T, ...]: rows are the first axis."
        )
    if content != ["good"]:
        raise _missed(content[1:])
    return "It passes the good model, and finds an exchanged batch, a mean over rows, and a state that leaks."


def _missed(content: list[str]) -> AnswerError:
    """Say which broken models a test is content with."""
    if len(content) == 3:
        return wrong(
            "M8", "It is content with three broken models. None raises, and all shapes are right: compare numbers."
        )
    if "leak" in content:
        return wrong(
            "M25", "It misses a model in which each row begins where the row before ended: row 0 alone is right."
        )
    if "swapped" in content:
        return wrong("M8", "It misses the model that takes rows for steps. Change one row: do the others stay?")
    return wrong("", "It misses the model that adds the mean over all rows. Change one row: do the others stay?")


class _Broken(nn.Module):
    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.lstm = lstm


class _Swapped(_Broken):
    """Takes the first axis for time, as a layer without batch_first does."""

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        out, state = self.lstm(x.transpose(0, 1))
        return out.transpose(0, 1), state


class _Mean(_Broken):
    """Adds the mean over the rows."""

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        out, state = self.lstm(x)
        return out + out.mean(dim=0, keepdim=True), state


class _Leak(_Broken):
    """Reads one row after the other, and never begins anew."""

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        outputs = []
        state: State | None = None
        for row in x:
            out, state = self.lstm(row[None], state)
            outputs.append(out)
        assert state is not None
        return torch.cat(outputs), state


CHECKS: dict[str, Check] = {"1.2": one_at_a_time, "1.5": rows_are_apart}
