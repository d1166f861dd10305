"""Exercises of the course, run in their page: right answers pass, and wrong ones are rejected with the right reason."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
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
SLOWEST = 4.0  # CPU seconds of one check; a learner's loops over a text may take most of it
FEWEST_WRONG, FEWEST_RIGHT = 8, 3
ANSWERS = Path(__file__).parent / "course" / "answers"
CHANGE = " =>"  # an answer whose lines all have it is the exercise's solution with these passages replaced


@dataclass(frozen=True)
class Answer:
    """A learner's answer to an exercise, right or wrong, with what the check must say about a wrong one."""

    right: bool
    misconception: str
    sentence: str
    code: Section


@cache
def learners_answers() -> dict[str, tuple[Answer, ...]]:
    """Answers by exercise number."""
    by_number: dict[str, tuple[Answer, ...]] = {}
    for file in sorted(ANSWERS.glob("*.txt")):
        number, start, lines = "", 0, file.read_text(encoding="utf-8").split("\n")
        for k, line in enumerate([*lines, "## "]):
            if line.startswith("## "):
                if number:
                    by_number[number] = tuple(map(_answer, sections_of("\n".join(lines[start:k]), start)[1]))
                number, start = line.removeprefix("## "), k + 1
    return by_number


def _answer(section: Section) -> Answer:
    misconception, _, sentence = section.argument.partition("|")
    assert section.name in ("right", "wrong"), f"--- {section.name}: an answer is right or wrong"
    assert bool(sentence) == (section.name == "wrong"), f"{section.argument!r}: what should the check say?"
    return Answer(section.name == "right", misconception.strip(), sentence.strip(), section)


def _written_out(code: Section, solution: Section) -> Section:
    """Return an answer's code: its own, or the solution with the passages replaced."""
    lines = code.text.strip("\n").split("\n")
    if not all(CHANGE in line for line in lines):
        return code
    text = solution.text
    for line in lines:
        old, _, new = line.replace("\\n", "\n").partition(CHANGE)
        indent = old[: len(old) - len(old.lstrip(" "))]
        new = new and indent + new.removeprefix(" ")
        assert old in text, f"line {code.start}: the solution has no {old!r}"
        text = text.replace(old, new)
    return Section(code.name, code.argument, text, code.start)


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
    torch.optim.Adam([torch.zeros(1)])  # the first one imports torch's compiler, in seconds that no check should count
    number, name = made.argument, made.options["answer"]
    answers_of = _learners_answers(number)

    def refusal(code: Section) -> AnswerError | None:
        """Return the check's objection to an answer, or None if it passes."""
        copy = dict(namespace)
        execute(code, copy)
        begun = time.process_time()
        error = _refusal(number, copy[name])
        assert time.process_time() - begun < SLOWEST, f"the check of {number} is slow"
        return error

    (solution,), (start,) = made.all("solution"), made.all("start")
    assert (error := refusal(solution)) is None, f"{number}: the solution is refused: {error}"
    unanswered = refusal(start)
    assert unanswered is not None, f"{number}: the empty cell passes"
    problems = [f"the empty cell: {unanswered}"] if unanswered.misconception else []
    for answer in answers_of:
        problems += _problems(answer, refusal(_written_out(answer.code, solution)))
    assert not problems, f"{number}:\n" + "\n\n".join(problems)


def _learners_answers(number: str) -> tuple[Answer, ...]:
    """Return the answers to an exercise: at least eight wrong and three right ones."""
    answers = learners_answers().get(number, ())
    right = [answer.right for answer in answers]
    assert right.count(False) >= FEWEST_WRONG, f"{number} has {right.count(False)} wrong answers"
    assert right.count(True) >= FEWEST_RIGHT, f"{number} has {right.count(True)} right answers"
    return answers


def _problems(answer: Answer, error: AssertionError | None) -> list[str]:
    """Compare what a check says with what it should say."""
    expected = "nothing" if answer.right else f"{answer.misconception} {answer.sentence}"
    if error is None:
        matches = answer.right
    else:
        about = error.misconception if isinstance(error, AnswerError) else ""
        matches = not answer.right and answer.sentence in str(error) and answer.misconception == about
    report = f"line {answer.code.start}: expected: {expected}\n{answer.code.text}\nand it said: {error}"
    return [] if matches else [report]


def _refusal(number: str, answer: object) -> AnswerError | None:
    try:
        check(number, answer)
    except AnswerError as error:
        return error
    return None


def _parsons(made: Directive, namespace: dict[str, Any], execute: Execute) -> None:
    (lines,), (test,) = made.all("lines"), made.all("test")
    right = lines.text.split("\n")

    def refusal(program: Section) -> AssertionError | None:
        copy = dict(namespace)
        for section in made.all("before"):
            execute(section, copy)
        try:
            execute(program, copy)
            execute(test, copy)
        except AssertionError as error:
            return error
        except (RuntimeError, NameError) as error:  # in a line of the program
            return AssertionError(error)
        return None

    assert refusal(lines) is None, f"{made.argument}: the lines in order do not pass their test"
    for section in made.all("extra"):
        _, place = section.argument.split()
        program = [section.text.split("\n")[0] if k + 1 == int(place) else line for k, line in enumerate(right)]
        error = refusal(Section("", "", "\n".join(program), lines.start))
        assert error is not None, f"{made.argument}: with {section.text.splitlines()[0]!r} the test still passes"
    problems = []
    for answer in _learners_answers(made.argument):
        problems += _problems(answer, refusal(_written_out(answer.code, lines)))
    assert not problems, f"{made.argument}:\n" + "\n\n".join(problems)


def typed(answer: Answer) -> tuple[int, str]:
    """Return the number of a question of an exercise, from 0, and what a learner types there."""
    place, _, text = answer.code.text.strip().partition(": ")
    return int(place) - 1, text


def _asked(made: Directive) -> None:
    answers = _learners_answers(made.argument)  # typed into the page by test_site
    for k, section in enumerate(made.all("ask")):
        kind, _, given = section.argument.partition(" ")
        right = computed(kind, given)
        assert sorted({answer.right for answer in answers if typed(answer)[0] == k}, reverse=True) == [True, False]
        _, choices = choices_of(section.text)
        assert choices, f"{made.argument}: {kind} has no wrong answer with its reason"
        for choice in choices:
            numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", choice.text)]
            assert numbers != pytest.approx(right, rel=1e-3), f"{made.argument}: {choice.text} is right"
            assert choice.because, f"{made.argument}: {choice.text} has no reason"
