"""Checks of chapter 1: structure and hidden state."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    case,
    explained,
    inputs_read,
    near,
    seeded,
    tensor,
    wrong,
)
from hiddenstate.course.exercises.cell_errors import other_cell
from hiddenstate.course.exercises.training_loops import refuse_other_loops
from hiddenstate.nn.lstm import LSTM

State = tuple[Tensor, Tensor]
CELL_SIZES = ((2, 4, 3), (3, 1, 1), (1, 5, 17))  # batch, inputs, units
SIZES = ((5, 4, 3), (8, 2, 6), (3, 7, 1))  # steps, inputs, units


def cell(answer: object) -> str:
    """Check exercise 1.1: one step of an LSTM, its values and its gradients."""
    for seed, (rows, inputs, units) in enumerate(CELL_SIZES):
        with seeded(22 + seed):
            torch_cell = nn.LSTMCell(inputs, units)
            x, h, c = torch.randn(rows, inputs), torch.randn(rows, units), torch.randn(rows, units)
        weights = list(torch_cell.parameters())
        right = torch_cell(x, (h, c))
        with case(f"With x [{rows}, {inputs}] and h and c [{rows}, {units}]"):
            result = _states(called(answer, x, h, c, *weights), rows, units)
        if not all(map(near, result, right)):
            raise other_cell(result, right, (x, h, c), weights)
        if not all(state.requires_grad for state in result):
            raise wrong("The values are right, but no gradient reaches the weights: something is detached.")
        if not all(map(near, _gradients(result, weights), _gradients(right, weights))):
            raise wrong("The values are right, but the gradients are not: part of the computation is detached.")
        _refuse_in_place(answer, x, (h, c), weights)
    return "Values and gradients match nn.LSTMCell at three sizes."


def _gradients(states: tuple[Tensor, Tensor], weights: list[nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(states[0].sum() + states[1].sum(), weights, materialize_grads=True, allow_unused=True)


def _refuse_in_place(answer: object, x: Tensor, states: State, weights: list[nn.Parameter]) -> None:
    """Reject a cell that changes the h or c that it is given."""
    passed = [state.clone().requires_grad_() + 0 for state in states]  # such tensors are passed as they are
    called(answer, x, *passed, *weights)
    for name, before, after in zip("hc", states, passed, strict=True):
        if not torch.equal(before, after):
            raise wrong(
                f"The results are right, but the {name} that it was given has changed, which others may still need, "
                "as the network below does for its gradient. Make a new tensor: c = f * c + i * g."
            )


def _states(result: object, rows: int, units: int) -> tuple[Tensor, Tensor]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        count = f"{len(result)} of them" if isinstance(result, tuple | list) else type(result).__name__
        raise wrong(f"The answer should be two tensors, h and c, in this order, but it is {count}.")
    for state in result:
        tensor(state, rows, units)
    return result[0], result[1]


def one_at_a_time(answer: object) -> str:
    """Check exercise 1.2: a loop over the elements of a sequence that carries the state."""
    for steps, inputs, units in SIZES:
        with seeded(12), torch.no_grad():
            lstm, x = LSTM(inputs, units), torch.randn(steps, 1, inputs)
            state = (torch.randn(1, 1, units), torch.randn(1, 1, units))
            right, typical = lstm(x, state)[0], list(_typical(lstm, x, state))
            result = tensor(called(answer, lstm, list(x), state), *right.shape, other=_other_shapes(right))
        if not near(result, right):
            steps_right = next(t for t in range(steps) if not near(result[t], right[t]))
            begins = f"The first {steps_right} steps are right" if steps_right else "The first step is wrong already"
            what = f"{begins}: step {steps_right} should read inputs[{steps_right}] and the state before it."
            raise explained(result, right, (*typical, Typical(what, result)))
        if [len(read) for read in inputs_read(answer, lstm, list(x), state)] == [steps]:
            raise wrong("The outputs are right, but they come from one call for the whole sequence. Write the loop.")
    return "The loop gives the same numbers as one call, and the order of the inputs matters."


def _other_shapes(right: Tensor) -> dict[tuple[int, ...], str]:
    steps, _, units = right.shape
    return {
        (1, 1, units): "That is one step only: keep the output of every step.",
        (steps, 1, 1, units): "`torch.stack` makes a new axis, `torch.cat` joins along the first.",
        (1, steps, units): "The steps should be the first axis.",
        (steps, units): "The axis of the batch, with one row, is missing.",
        (steps - 1, 1, units): "One step is missing.",
        (steps + 1, 1, units): "That is one step too many.",
    }


def _typical(lstm: LSTM, x: Tensor, state: State) -> Iterator[Typical]:
    right = lstm(x, state)[0]
    again = (
        "Each step is given the initial state, not the result of the step before it. Pass in the state that came back."
    )
    yield Typical(again, _loop(lstm, x, state, lambda before, after: before)[0], "M1")
    h_only = _loop(lstm, x, state, lambda before, after: (after[0], before[1]))
    yield Typical("h is carried and c is not: each step starts from the initial c. Carry both.", h_only[0], "M3")
    c_only = _loop(lstm, x, state, lambda before, after: (before[0], after[1]))
    yield Typical("c is carried and h is not: each step starts from the initial h. Carry both.", c_only[0], "M3")
    swapped = _loop(lstm, x, state, lambda before, after: (after[1], after[0]))
    yield Typical("h and c are swapped on their way to the next step: the state is (h, c).", swapped[0], "M3")
    once = (
        "Only the first step gets the state that was given; each later one starts from zeros. Pass on what comes back."
    )
    yield Typical(once, _loop(lstm, x, state, lambda before, after: (0 * after[0], 0 * after[1]))[0], "M1")
    h_twice = _loop(lstm, x, state, lambda before, after: (after[0], after[0]))
    yield Typical("h is passed in place of c as well: the state is (h, c).", h_twice[0], "M3")
    zeros = "The loop starts from zeros, but a state was given. Start from that one."
    yield Typical(zeros, lstm(x)[0])
    apart = "Every step starts from zeros, so it knows nothing of the steps before it: pass in a state."
    yield Typical(apart, torch.cat([lstm(element[None])[0] for element in x]), "M32")
    yield Typical("These are the right outputs in the wrong order: the last step comes first.", right.flip(0))
    yield Typical("The inputs are read in the wrong order: the last comes first.", lstm(x.flip(0), state)[0])
    shifted = torch.cat([state[0], right[:-1]])
    yield Typical("The outputs are shifted by one step: element k is the h that step k starts from.", shifted)
    yield Typical(
        "These are the cell states c. The output of a step is h.",
        _loop(lstm, x, state, lambda _, after: after)[1],
        "M3",
    )
    yield Typical("The last step's output is repeated: keep the output of every step.", right[-1:].expand_as(right))
    yield Typical("The first input is read at every step.", lstm(x[:1].expand_as(x), state)[0])


def _loop(lstm: LSTM, x: Tensor, state: State, carry: Callable[[State, State], State]) -> tuple[Tensor, Tensor]:
    """Run step by step, and return every h and every c; `carry` makes a step's state from those before and after."""
    outputs, cells = [], []
    for element in x:
        out, after = lstm(element[None], state)
        outputs.append(out)
        cells.append(after[1])
        state = carry(state, after)
    return torch.cat(outputs), torch.cat(cells)


def train(answer: object) -> str:
    """Check exercise 1.6: a training loop for sentences of equal length."""
    with seeded(16):
        batches = [(torch.randint(1, 9, (5, rows)), torch.randint(1, 5, (5, rows))) for rows in (3, 2, 4)]
    refuse_other_loops(answer, batches)
    return "The weights are those after one step of Adam for each batch."


CHECKS: dict[str, Check] = {"1.1": cell, "1.2": one_at_a_time, "1.6": train}
