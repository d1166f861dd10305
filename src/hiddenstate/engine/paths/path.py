"""Defines a path, and chooses one: the first in a table whose conditions return no reason against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Returns the reason why a path can't compute a call, a stream's steps or a cell's step, or None if it can.
Condition = Callable[[Any], str | None]


class Path(NamedTuple):
    """A way to compute: ``run`` may be called if none of the ``conditions`` returns a reason against it.

    Paths share conditions, each of which is evaluated at most once per call. A path ``is_faster`` if it makes calls
    faster; the others are for torch's compilers and exporters. A path that ``reads_int8`` takes int8 weights as stored;
    the others get them as floats. A path that checks arguments as it reads them returns None if they do not fit;
    ``why_declined`` then returns the reason, for reports.
    """

    name: str
    what: str
    conditions: tuple[Condition, ...]
    run: Callable[..., Any]
    is_faster: bool = True
    reads_int8: bool = False
    why_declined: Condition | None = None


def choose(paths: Sequence[Path], call: Any) -> tuple[Path, dict[str, str]]:
    """Return the first path that can compute a call, and the reasons against the paths before it, by name."""
    answers: dict[Condition, str | None] = {}
    reasons: dict[str, str] = {}
    for path in paths:
        why = first_reason(path.conditions, call, answers)
        if why is None and path.why_declined is not None:
            why = path.why_declined(call)
        if why is None:
            return path, reasons
        reasons[path.name] = why
    raise AssertionError("the last path computes every call")


def run_first(paths: Sequence[Path], *call: Any) -> Any:
    """Compute a call by the first path that can; its first argument is passed to the conditions."""
    answers: dict[Condition, str | None] = {}
    for path in paths:
        if first_reason(path.conditions, call[0], answers) is None:
            done = path.run(*call)
            if done is not None:
                return done
    raise AssertionError("the last path computes every call")


def first_reason(
    conditions: Sequence[Condition], call: Any, answers: dict[Condition, str | None] | None = None
) -> str | None:
    """Return the first reason that a condition returns, or None; ``answers`` caches earlier results."""
    answers = {} if answers is None else answers
    for condition in conditions:
        if condition in answers:
            why = answers[condition]
        else:
            why = answers[condition] = condition(call)
        if why is not None:
            return why
    return None


@dataclass(frozen=True)
class PathReport:
    """The path that a call takes, and why no faster path can run it.

    Attributes:
        name: ``"fast"``, or the name of a path in the documentation of the engine.
        reasons: maps each faster path to the reason why it can't run the call.
        plan: how the native engine would divide such a call now; None if it does not compute it in one native call.
    """

    name: str
    reasons: dict[str, str]
    plan: str | None = None

    def __str__(self) -> str:
        lines = [f"This call runs on the path {self.name!r}."]
        lines += [] if self.plan is None else [f"  plan: {self.plan}"]
        return "\n".join(lines + [f"  not {name!r}: {why}" for name, why in self.reasons.items()])
