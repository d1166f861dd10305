"""Helpers of the checks: run an answer, compare its result, and name the typical error that would give that result."""

import itertools
import linecache
import math
import numbers
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard, cast

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.doctor.misconceptions import idea_behind
from hiddenstate.errors import AnswerError

Check = Callable[..., str]  # takes an answer, and either rejects it or returns a comment on the right answer
CLOSE = 1e-5
LIBRARIES = (Path(__file__).parents[2], Path(torch.__file__).parent)  # whose lines are not the learner's
LONGEST = 300  # characters of another library's message
_NO_SHAPES: Mapping[tuple[int, ...], str] = MappingProxyType({})
# What to do about errors whose own message does not say it, by a passage of that message.
_MEANINGS = {
    "a leaf Variable that requires grad": "Change parameters under `torch.no_grad()`.",
    "can't call numpy() on Tensor that requires grad": "Use `.detach()` first, or compute under `torch.no_grad()`.",
    "does not require grad and does not have a grad_fn": "Was it computed under `torch.no_grad()`, or detached?",
    "Target -100 is out of bounds": "-100 marks padding, which cross_entropy leaves out by itself.",
    "is out of bounds": "A target is the index of one of the scores: were other numbers passed as targets?",
    "modified by an inplace operation": "backward needs values that were changed after they had been computed: by "
    "optimizer.step(), which comes after backward, or by something like `+=`.",
    "but got tuple": "Is that what a call returned? An LSTM returns two things: `out, state = lstm(...)`.",
    "hx and cx should also be 2-D": "An input with two axes is one sequence without a batch. Give it three: steps, "
    "sequences, features.",
    "Expected target size": "cross_entropy wants the classes on axis 1: `scores.flatten(0, 1)` and `y.flatten()`, say.",
    "not enough values to unpack (expected 4": "The four parts are stacked along one axis: cut along that one.",
    "'ellipsis'": "Replace the three dots.",
}


class Typical(NamedTuple):
    """A typical error: what to tell the learner, the result that it gives, and the misconception behind it, if any."""

    sentence: str
    result: Any
    about: str = ""


def wrong(sentence: str, about: str = "") -> AnswerError:
    """Return the error that rejects an answer: what is wrong, and the misconception that it shows, such as ``M1``."""
    return AnswerError("\n".join(filter(None, (sentence, idea_behind(about)))), misconception=about)


def empty() -> AnswerError:
    """Return the error for an answer that has not been given yet."""
    return AnswerError("There is no answer yet. Replace the three dots with yours, and run the cell again.")


def run(answer: object, *arguments: object) -> Any:
    """Call an answer that is a function, with copies of the tensors, and return its result.

    Tensors that require grad and modules are passed as they are, since checks read them afterwards.
    """
    if not callable(answer):
        raise wrong(f"The answer should be a function, but its type is {type(answer).__name__}.")
    try:
        return cast("Callable[..., object]", answer)(*map(_fresh, arguments))
    except AnswerError:
        raise
    except Exception as error:  # whatever a learner's code raises
        raise AnswerError(_describe(error)) from error


def called(answer: object, *arguments: object) -> Any:
    """Call an answer as `run` does, and reject one that returns nothing."""
    result = run(answer, *arguments)
    if result is None or result is ...:
        raise AnswerError(
            f"The function returns no answer yet: it returns {result}. End it with `return` and the result."
        )
    return result


def _fresh(argument: object) -> object:
    if isinstance(argument, Tensor):
        return argument if argument.requires_grad else argument.clone()
    if isinstance(argument, tuple | list):
        return type(argument)(map(_fresh, argument))
    return argument


def _describe(error: Exception) -> str:
    """Return an error's type, message and the line of the learner's code."""
    message = " ".join(str(error).split("\n")[0].split(" Hint: ")[0].split())[:LONGEST]
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if not {*LIBRARIES} & {*Path(frame.filename).parents}]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    place = ""
    if own and own[-1].lineno is not None:
        line = linecache.getline(own[-1].filename, own[-1].lineno).strip()
        place = f" in line {own[-1].lineno}" + (f", `{line}`" if line else "")
    meaning = next((meaning for passage, meaning in _MEANINGS.items() if passage in str(error)), "")
    message = message.rstrip(".") or "without a message"
    return f"Your code raises {type(error).__name__}{place}: {message}. {meaning}".rstrip()


@contextmanager
def case(description: str) -> Iterator[None]:
    """Begin the message of a rejection with the case in which the answer is wrong."""
    try:
        yield
    except AnswerError as error:
        raise AnswerError(f"{description}: {error}", misconception=error.misconception) from error.__cause__


def tensor(answer: object, *shape: int, other: Mapping[tuple[int, ...], str] = _NO_SHAPES) -> Tensor:
    """Return an answer as a tensor without a gradient."""
    if not isinstance(answer, Tensor):
        stack = " `torch.stack` combines several into one." if is_sequence_of(answer, *[Tensor] * shape[0]) else ""
        kind = type(answer).__name__
        raise wrong(f"The answer should be a tensor of shape {list(shape)}, but its type is {kind}.{stack}")
    if answer.shape != shape:
        sentence = f"The shape should be {list(shape)}, but it is {list(answer.shape)}."
        raise wrong(f"{sentence} {other.get(tuple(answer.shape), '')}".rstrip())
    if answer.isnan().any():
        raise wrong("The answer contains nan, which is not a number: was 0 divided by 0, or inf subtracted?")
    return answer.detach()


def number(answer: object) -> float:
    """Return an answer as a number; raise AnswerError unless it is one, or a tensor with one element."""
    if answer is None or answer is ...:
        raise empty()
    if isinstance(answer, Tensor) and answer.numel() == 1 and answer.dtype != torch.bool:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        shape = f" of shape {list(answer.shape)}" if isinstance(answer, Tensor) else ""
        raise wrong(f"The answer should be one number, but its type is {type(answer).__name__}{shape}.")
    if not math.isfinite(answer):
        raise wrong(f"The answer should be a finite number, but it is {float(answer)}: was it divided by 0?")
    return float(answer)


def verdict(result: object) -> bool:
    """Return an answer as a bool; raise AnswerError unless it is True or False, or a tensor with one of them."""
    if isinstance(result, np.bool_) or (isinstance(result, Tensor) and result.numel() == 1):
        result = result.item()
    if not isinstance(result, int) or result not in (0, 1):
        raise wrong(f"The answer should be True or False, but its type is {type(result).__name__}.")
    return bool(result)


def is_sequence_of(answer: object, *types: type) -> TypeGuard[Sequence[Any]]:
    """Whether an answer is a sequence of items of these types."""
    if not isinstance(answer, Sequence) or len(answer) != len(types):
        return False
    return all(isinstance(part, kind) for part, kind in zip(answer, types, strict=True))


def inputs_read(answer: object, lstm: nn.Module, *arguments: object) -> list[Tensor]:
    """Run an answer again, and return the input of each call of a module; [] if it refuses hooks."""
    inputs: list[Tensor] = []

    def note(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        inputs.append((*positional, *named.values())[0])

    with lstm.register_forward_pre_hook(note, with_kwargs=True):
        try:
            run(answer, lstm, *arguments)
        except AnswerError:
            return []
    return inputs


def near(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same shape and, up to rounding, the same numbers."""
    return a.shape == b.shape and bool(torch.allclose(a.detach().double(), b.detach().double(), atol=CLOSE, rtol=CLOSE))


def same(a: object, b: object) -> bool:
    """Whether two results are equal; numbers and tensors up to rounding."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return near(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return a == b


def explained(result: object, right: object, typical: Iterable[Typical]) -> AnswerError:
    """Return the error for a wrong result: the typical error that gives exactly this result, or else the difference."""
    for error in typical:
        if same(result, error.result) and not same(error.result, right):
            return wrong(error.sentence, error.about)
    return wrong(difference(result, right))


def difference(result: object, right: object) -> str:
    """Describe where a result differs from the expected one, with the precision of the comparison."""
    if isinstance(result, Tensor) and isinstance(right, Tensor):
        a, b = result.detach().double(), right.detach().double()
        differs = ~torch.isclose(a, b, atol=CLOSE, rtol=CLOSE)
        place = tuple(int(k) for k in differs.nonzero()[0])
        count = f"{int(differs.sum())} of {differs.numel()} numbers differ by more than {CLOSE:.0e}"
        return f"{count}, the first at {list(place)}: it is {_apart(float(a[place]), float(b[place]))}."
    if isinstance(result, float) and isinstance(right, float):
        return f"It is {_apart(result, right)}, to within {CLOSE:.0e}."
    return f"It is {result}, but should be {right}."


def _apart(result: float, right: float) -> str:
    """Write two different numbers with enough digits that they look different."""
    digits = next(digits for digits in itertools.count(4) if digits > 8 or abs(result - right) > 10**-digits)
    return f"{result:.{digits}f}, but should be {right:.{digits}f}"


def differing(a: nn.Module, b: nn.Module) -> list[str]:
    """Return the names of the parameters that differ between two modules of the same structure."""
    others = dict(b.named_parameters())
    return [name for name, parameter in a.named_parameters() if not near(parameter, others[name])]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the same numbers at each call, without changing the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
