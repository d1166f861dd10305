"""Checks of chapter 1: structure and hidden state."""

from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.course.answers import Check, called, near, seeded, tensor, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

State = tuple[Tensor, Tensor]
STEPS, INPUTS, UNITS = 5, 4, 3


def one_at_a_time(answer: object) -> str:
    """Check exercise 1.2: a loop over the elements of a sequence that carries the state."""
    with seeded(12), torch.no_grad():
        lstm, x = LSTM(INPUTS, UNITS), torch.randn(STEPS, 1, INPUTS)
        state = (torch.randn(1, 1, UNITS), torch.randn(1, 1, UNITS))
        given = tensor(called(answer, lstm, list(x), state), STEPS, 1, UNITS)
        if not near(given, lstm(x, state)[0]):
            raise _other_loop(answer, given, lstm, x, state)
    return "The loop gives the same numbers as one call, and the order of the inputs matters."


def _other_loop(answer: object, given: Tensor, lstm: LSTM, x: Tensor, state: State) -> AnswerError:
    """Explain what is wrong with a loop that does not carry both states."""
    if near(given, _loop(lstm, x, state, "")):
        return _restarts(answer, lstm, x, state)
    if near(given, _loop(lstm, x, state, "h")):
        return wrong("M3", "h is carried and c is not: each step starts from the initial c. Carry both.")
    if near(given, _loop(lstm, x, state, "c")):
        return wrong("M3", "c is carried and h is not: each step starts from the initial h. Carry both.")
    if near(given, lstm(x)[0]):
        return wrong("", "The loop starts from zeros, but a state was given. Start from that one.")
    gap = (given - lstm(x, state)[0]).abs().amax(dim=(1, 2))
    first = int((gap > 1e-5).nonzero()[0, 0])
    return wrong("", f"From step {first} on, the outputs differ from those of one call, first by {gap[first]:.4f}.")


def _loop(lstm: LSTM, x: Tensor, state: State, carried: str) -> Tensor:
    """Run step by step, carrying only the named parts of the state."""
    outputs, (h, c) = [], state
    for element in x:
        out, (h_after, c_after) = lstm(element[None], (h, c))
        h, c = h_after if "h" in carried else h, c_after if "c" in carried else c
        outputs.append(out)
    return torch.cat(outputs)


def _restarts(answer: object, lstm: LSTM, x: Tensor, state: State) -> AnswerError:
    """Explain why a loop restarts from the initial state: it passes that state, or a copy of it."""
    handed: list[Any] = []

    def watch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        handed.append(named.get("hx", given[1] if len(given) > 1 else None))

    with lstm.register_forward_pre_hook(watch, with_kwargs=True):
        called(answer, lstm, list(x), state)
    if any(hx is not None and hx[0] is not state[0] for hx in handed):
        return wrong(
            "M1",
            "Each step is given a copy of the initial state, with the same numbers. Pass in the state that came back.",
        )
    return wrong(
        "M1",
        "Each step is given the initial state, not the result of the step before it. Pass in the state that came back.",
    )


CHECKS: dict[str, Check] = {"1.2": one_at_a_time}
