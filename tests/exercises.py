"""Exercises of the course, run in their page: solutions pass, and wrong answers are rejected with the right reason."""

import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from coursebook.pages import Block, Directive, Section, choices_of, directive, sections_of
from hiddenstate.course import check
from hiddenstate.course.figures.numeric_answers import computed
from hiddenstate.errors import AnswerError

Execute = Callable[[Section, dict[str, Any]], None]
SLOWEST = 2.0  # seconds of one check
FEWEST_WRONG = 3
WRONG = Path(__file__).parent / "course" / "wrong"
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first one imports torch's compiler, which takes seconds


@cache
def wrong_answers() -> dict[str, tuple[Section, ...]]:
    """Wrong answers by exercise number; a section's argument is the misconception behind it."""
    found: dict[str, tuple[Section, ...]] = {}
    for file in sorted(WRONG.glob("*.txt")):
        number, start, lines = "", 0, file.read_text(encoding="utf-8").split("\n")
        for k, line in enumerate([*lines, "## "]):
            if line.startswith("## "):
                if number:
                    found[number] = sections_of("\n".join(lines[start:k]), start)[1]
                number, start = line.removeprefix("## "), k + 1
    return found


def run_exercise(block: Block, namespace: dict[str, Any], execute: Execute) -> None:
    """Run an exercise or a Parsons puzzle in copies of the namespace."""
    made = directive(block)
    if made.name == "parsons":
        _parsons(made, namespace, execute)
    elif "answer" in made.options:
        _checked(made, namespace, execute)
    else:
        _asked(made)


def _checked(made: Directive, namespace: dict[str, Any], execute: Execute) -> None:
    number, answer = made.argument, made.options["answer"]

    def judged(section: Section) -> str:
        """Return the check's objection to a section's answer, or "" if it passes."""
        copy = dict(namespace)
        execute(section, copy)
        begun = time.perf_counter()
        error = _refusal(number, copy[answer])
        assert time.perf_counter() - begun < SLOWEST, f"the check of {number} is slow"
        if error is not None and section.name == "wrong":
            assert error.misconception == section.argument, (
                f"{number}: {section.argument} was meant, and said was {error}"
            )
        return "" if error is None else str(error)

    (solution,), starts = made.all("solution"), made.all("start")
    wrongs = wrong_answers().get(number, ())
    assert judged(solution) == "", f"{number}: the solution is refused"
    assert starts, f"{number} has no beginning"
    assert judged(starts[0]), f"{number}: the empty cell passes"
    said = [judged(section) for section in wrongs]
    assert len(said) >= FEWEST_WRONG, f"{number} has {len(said)} wrong answers"
    assert all(said), f"{number}: a wrong answer passes: {wrongs[said.index('')].text if '' in said else ''}"
    assert len(set(said)) == len(said), f"{number}: two wrong answers are told the same"


def _refusal(number: str, answer: object) -> AnswerError | None:
    try:
        check(number, answer)
    except AnswerError as error:
        return error
    return None


def _parsons(made: Directive, namespace: dict[str, Any], execute: Execute) -> None:
    (lines,), (test,) = made.all("lines"), made.all("test")
    right = lines.text.split("\n")

    def holds(program: list[str]) -> bool:
        copy = dict(namespace)
        for section in made.all("before"):
            execute(section, copy)
        try:
            execute(Section("", "", "\n".join(program), lines.start), copy)
            execute(test, copy)
        except (AssertionError, RuntimeError):
            return False
        return True

    assert holds(right), f"{made.argument}: the lines in order do not pass their test"
    for section in made.all("extra"):
        _, place = section.argument.split()
        program = [section.text.split("\n")[0] if k + 1 == int(place) else line for k, line in enumerate(right)]
        assert not holds(program), f"{made.argument}: with {section.text.splitlines()[0]!r} the test still passes"


def _asked(made: Directive) -> None:
    for section in made.all("ask"):
        kind, _, given = section.argument.partition(" ")
        right = computed(kind, given)
        _, choices = choices_of(section.text)
        assert choices, f"{made.argument}: {kind} has no wrong answer with its reason"
        for choice in choices:
            numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", choice.text)]
            assert numbers != pytest.approx(right, rel=1e-3), f"{made.argument}: {choice.text} is right"
            assert choice.because, f"{made.argument}: {choice.text} has no reason"
