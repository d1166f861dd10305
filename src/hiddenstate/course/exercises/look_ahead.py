"""Check of exercise 6.4: whether a learner's test finds models whose outputs depend on later input."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import Typical, called, explained, seeded, verdict
from hiddenstate.nn.lstm import LSTM


class _Ahead(nn.Module):
    """Looks ahead, at every step or at one: it reads the mean of the step's own input and a later step's input."""

    def __init__(self, lstm: LSTM, steps: int, at: int | None = None) -> None:
        super().__init__()
        self.lstm, self.steps, self.at = lstm, steps, at

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        later = torch.cat([x[self.steps :], x[-1:].expand(self.steps, *x.shape[1:])])
        read = (x + later) / 2
        if self.at is not None:
            read = torch.cat([x[: self.at], read[self.at : self.at + 1], x[self.at + 1 :]])
        result: tuple[Tensor, Any] = self.lstm(read)
        return result


class _Apart(nn.Module):
    """Has no memory: each output depends only on the input of its own step."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x * 2, None


STEPS = 9
Model = Callable[[Tensor], tuple[Tensor, Any]]
_KINDS = {
    "plain": "the LSTM that reads forward",
    "deep": "the LSTM of two layers that reads forward",
    "apart": "a model without a memory",
    "both": "the bidirectional one",
    "ahead": "a model that looks one step ahead",
    "far": "a model that looks four steps ahead",
    "first": "a model that looks ahead at step 0 only",
    "early": "a model that looks ahead at step 2 only",
    "late": "a model that looks ahead at step 5 only",
    "last": "a model that looks ahead at the last step but one only",
}


def can_stream(answer: object) -> str:
    """Check exercise 6.4: a test that finds models whose outputs depend on later input."""
    with seeded(65):
        models: dict[str, nn.Module] = {"plain": LSTM(3, 4), "deep": LSTM(3, 4, num_layers=2), "apart": _Apart()}
        models |= {"both": LSTM(3, 4, bidirectional=True), "ahead": _Ahead(LSTM(3, 4), 1), "far": _Ahead(LSTM(3, 4), 4)}
        places = {"first": 0, "early": 2, "late": 5, "last": STEPS - 2}  # a single cut misses most of them
        models |= {name: _Ahead(LSTM(3, 4), 1, at=place) for name, place in places.items()}
        x = torch.randn(STEPS, 2, 3)
        for model in models.values():
            model.requires_grad_(False)  # so that only an answer that asks for gradients of x has them
        result = {name: verdict(called(answer, model, x)) for name, model in models.items()}
        right = {name: name in ("plain", "deep", "apart") for name in models}
        if result != right:
            raise explained(result, right, _typical_tests(models, x, result, right))
    return "It passes the LSTM that reads forward, and finds the reverse direction and the look-ahead."


def _after_change(model: Model, x: Tensor, steps: int | slice) -> Tensor:
    """Return which outputs change with the input at one step or several: a mask, by step."""
    other = x.clone()
    other[steps] += 1
    return ((model(other)[0] - model(x)[0]).abs() > 1e-6).flatten(1).any(1)


# Tests that do not do what is asked: functions of a model and its input.
_TESTS = (
    Typical(
        "It passes every model, even the bidirectional one, whose first output depends on the last input.",
        lambda model, x: True,
    ),
    Typical(
        "It rejects every model, even the LSTM that reads forward. If an input changes, the output of its own step may "
        "change too: compare only the outputs before it, and change one step at a time, in a copy of x.",
        lambda model, x: False,
    ),
    Typical(
        "It rejects the LSTM that reads forward: outputs may depend on what came *before* them. Change a late input, "
        "and compare the outputs before it.",
        lambda model, x: not bool(_after_change(model, x, 0)[1:].any()),
    ),
    Typical(
        "It rejects exactly the models that can stream: True should mean that no output depends on later input.",
        lambda model, x: any(_after_change(model, x, slice(step, None))[:step].any() for step in range(1, STEPS)),
    ),
    Typical(
        "It finds the reverse direction, but misses models that look ahead without one. Change the input at every step "
        "in turn, and compare all outputs before it.",
        lambda model, x: not bool(_after_change(model, x, -1)[0]),
    ),
    Typical(
        "It misses a model that looks one step ahead. Compare the output just before the change, too.",
        lambda model, x: not bool(_after_change(model, x, -1)[:-2].any()),
    ),
    *(
        Typical(
            "It tests one place only, and misses models that look ahead at another: repeat it for every step.",
            lambda model, x, step=step, steps=steps: not bool(_after_change(model, x, steps)[:step].any()),
        )
        for step in range(1, STEPS)
        for steps in (step, slice(step, None))
    ),
)


def _typical_tests(
    models: dict[str, nn.Module], x: Tensor, result: dict[str, bool], right: dict[str, bool]
) -> Iterator[Typical]:
    for error in _TESTS:
        yield error._replace(result={name: error.result(model, x) for name, model in models.items()})
    passed = [_KINDS[name] for name in models if result[name] and not right[name]]
    rejected = [_KINDS[name] for name in models if right[name] and not result[name]]
    sentences = [f"It rejects {', '.join(rejected)}, though no output depends on later input."] if rejected else []
    sentences += [f"It passes {', '.join(passed)}, though outputs depend on later input."] if passed else []
    yield Typical(" ".join(sentences), result)
