"""What a check uses: it refuses an answer with the idea behind it, and draws numbers without moving the learner's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch

from hiddenstate.course.misconceptions import idea_behind
from hiddenstate.errors import AnswerError

Check = Callable[..., str]  # takes an answer, refuses it or says what a right one shows
CLOSE = 1e-5


def wrong(about: str, said: str) -> AnswerError:
    """Return what refuses an answer.

    Args:
        about: the misconception behind it, ``M1`` and so on; "" where none of them is.
        said: what was got and what was expected, with numbers.
    """
    return AnswerError("\n".join(filter(None, (said, idea_behind(about)))), misconception=about)


def empty() -> AnswerError:
    """Return what refuses an answer that is not there yet."""
    return AnswerError("There is no answer yet: write it in place of the three dots, and run the cell again.")


def called(answer: object, *arguments: object) -> object:
    """Call an answer that is a function, and refuse one that gives nothing.

    Raises:
        AnswerError: it is no function, or it gives None or three dots.
    """
    if not callable(answer):
        raise wrong("", f"A function is asked for, and this is of type {type(answer).__name__}.")
    given = cast("Callable[..., object]", answer)(*arguments)
    if given is None or given is ...:
        raise empty()
    return given


def tensor(answer: object, *shape: int) -> torch.Tensor:
    """Return an answer as the tensor of this shape that is asked for.

    Raises:
        AnswerError: it is something else.
    """
    if not isinstance(answer, torch.Tensor):
        raise wrong("", f"A tensor of shape {list(shape)} is asked for, and this is of type {type(answer).__name__}.")
    if answer.shape != shape:
        raise wrong("", f"The shape should be {list(shape)}, and it is {list(answer.shape)}.")
    return answer.detach()


def near(a: torch.Tensor, b: torch.Tensor, within: float = CLOSE) -> bool:
    """Say whether two tensors have the same shape and numbers, as far as rounding lets them."""
    return a.shape == b.shape and bool(torch.allclose(a.detach(), b.detach(), atol=within, rtol=within))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the same numbers at each call, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
