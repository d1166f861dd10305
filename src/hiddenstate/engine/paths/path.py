"""What a path is, and how one is chosen: the first of a table whose conditions return no reason against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Returns the reason why a path can't compute a call, a stream's steps or a cell's step, or None if it can.
Condition = Callable[[Any], str | None]


class Path(NamedTuple):
    """A way to compute: ``run`` may be called if none of the ``conditions`` returns a reason against it.

    Paths share conditions, each of which is asked at most once a call. A path ``is_faster`` if a call gains by it; the
    others serve torch's compilers and exporters. One that ``reads_int8`` takes int8 weights as they are; the others
    get them as floats. One that checks arguments as it reads them returns None if they do not fit; ``why_declined`` is
    then the reason, and is only asked to report it.
    """

    name: str
    what: str
    conditions: tuple[Condition, ...]
    run: Callable[..., Any]
    is_faster: bool = True
    reads_int8: bool = False
    why_declined: Condition | None = None


def choose(paths: Sequence[Path], call: Any) -> tuple[Path, dict[str, str]]:
    """Return the first path that can compute a call, and the reason against each path before it, by its name."""
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
    """Compute a call, of which the first argument is what conditions are asked about, by the first path that can."""
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
    """Return the first reason that the conditions give, or None; ``answers`` are those given before."""
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
        reasons: maps each faster path to the reason it can't run the call.
        plan: how the native engine would divide such a call now; None if it does not compute it in one native call.
    """

    name: str
    reasons: dict[str, str]
    plan: str | None = None

    def __str__(self) -> str:
        lines = [f"This call runs on the path {self.name!r}."]
        lines += [] if self.plan is None else [f"  plan: {self.plan}"]
        return "\n".join(lines + [f"  not {name!r}: {why}" for name, why in self.reasons.items()])
