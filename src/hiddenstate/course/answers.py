"""Helpers of the checks: reject answers, name the misconception behind each, and draw numbers from a local state."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch

from hiddenstate.course.misconceptions import idea_behind
from hiddenstate.errors import AnswerError

Check = Callable[..., str]  # takes an answer, and either rejects it or returns a comment on the right answer
CLOSE = 1e-5


def wrong(about: str, said: str) -> AnswerError:
    """Return the error that rejects an answer.

    Args:
        about: the misconception behind it, such as ``M1``; "" if there is none.
        said: the message: the result and the expected one, with numbers.
    """
    return AnswerError("\n".join(filter(None, (said, idea_behind(about)))), misconception=about)


def empty() -> AnswerError:
    """Return the error for an answer that has not been given yet."""
    return AnswerError("There is no answer yet. Replace the three dots with yours, and run the cell again.")


def called(answer: object, *arguments: object) -> object:
    """Call an answer that is a function, and reject one that returns nothing.

    Raises:
        AnswerError: it is not a function, or returns None or three dots.
    """
    if not callable(answer):
        raise wrong("", f"The answer should be a function, but its type is {type(answer).__name__}.")
    given = cast("Callable[..., object]", answer)(*arguments)
    if given is None or given is ...:
        raise AnswerError("The function returns no answer yet. Replace the three dots, and return the result.")
    return given


def tensor(answer: object, *shape: int) -> torch.Tensor:
    """Return an answer as a tensor; raise AnswerError unless it is one of the required shape."""
    if not isinstance(answer, torch.Tensor):
        raise wrong(
            "", f"The answer should be a tensor of shape {list(shape)}, but its type is {type(answer).__name__}."
        )
    if answer.shape != shape:
        raise wrong("", f"The shape should be {list(shape)}, but it is {list(answer.shape)}.")
    return answer.detach()


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have the same shape and, up to rounding, the same numbers."""
    return a.shape == b.shape and bool(torch.allclose(a.detach(), b.detach(), atol=CLOSE, rtol=CLOSE))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the same numbers at each call, without changing the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
