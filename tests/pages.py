"""Runs pages of the documentation, for test_docs and the tests of the course.

A page is run from top to bottom: ``python`` blocks in one namespace, the commands of ``console`` blocks in one folder
with two small corpora, as CoNLL-U and as plain text, ``drawing`` blocks separately. An ``output`` block contains the
output of the python block above it; in a console block, the lines after a command are its output (``...`` at the end:
and so on).

Output of the shipped tagger, or that depends on the machine (``output varies``), is not compared. Blocks of
the course are directives of `docs/_ext/coursebook`, which contain no code that a page needs.
"""

import io
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from coursebook.pages import Block, Section, directive
from exercises import run_exercise
from hiddenstate.cli import app
from hiddenstate.text.conllu import read_conllu

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name[0] != "_" and "_build" not in path.parts)
REFRESH = bool(os.environ.get("HIDDENSTATE_REFRESH_DOCS"))
CUT = "..."
VARIES = "varies"  # follows ``output`` if numbers come from training, which rounds differently on other machines
# Commands that no test should run, because they install, build or measure.
NOT_RUN = ("pip", "make")
# Commands whose output is the same everywhere and with any shipped tagger.
FIXED = ("hiddenstate structure --",)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# The contents of a course page besides its cells, for the tests of the course.
DIRECTIVES = ("predict", "review")
DIGITS = 2e-4  # printed numbers have four digits, the last of which machines may round differently


@dataclass
class Printed:
    """The output for lines ``start:stop`` of a page (from 0), which contain the expected output."""

    said: tuple[str, ...]
    printed: str
    start: int
    fixed: bool

    def check(self, where: str) -> None:
        if self.fixed:
            said, printed = "\n".join(self.said), "\n".join(self.lines)
            words = [" ".join(NUMBER.sub("#", text).split()) for text in (said, printed)]
            assert words[0] == words[1], f"{where}: the page says\n{said}\nand printed was\n{printed}"
            for a, b in zip(NUMBER.findall(said), NUMBER.findall(printed), strict=True):
                assert abs(float(a) - float(b)) <= DIGITS, f"{where}: {a} against {b} in\n{printed}"

    @property
    def lines(self) -> list[str]:
        """The output, cut where the page cuts it."""
        lines = [line.rstrip() for line in self.printed.strip("\n").splitlines()]
        return [*lines[: len(self.said) - 1], CUT] if self.said[-1:] == (CUT,) else lines


class Run:
    """One page, run from top to bottom in the current folder."""

    def __init__(self, page: Path, *, full: bool) -> None:
        """If it is not run in ``full``, cells of the course that train take fewer steps."""
        self.page = page
        self.full = full
        self.proved: list[str] = []
        self.namespace: dict[str, Any] = {"__name__": page.stem}
        if page.parent.name == "course":
            self.namespace |= {"proves": self.proved.append, "FULL": full}
        self.trained_less = False
        self.printed: list[Printed] = []
        self._output = ""

    def run(self, block: Block) -> None:
        if block.language == "python":
            self._output = self.execute(block, self.namespace)
            self.trained_less = self.trained_less or ("FULL" in block.text and not self.full)
        elif block.language == "drawing":
            namespace: dict[str, Any] = {}
            self.execute(block, namespace)
            assert namespace["figure"].axes, f"{self._where(block.start)}: nothing was drawn"
        elif block.language == "output":
            # Once a page has loaded the tagger, its output depends on the tagger; training varies, and may be short.
            fixed = "tagger" not in self.namespace and block.argument != VARIES and not self.trained_less
            self.printed.append(Printed(block.lines, self._output, block.start, fixed))
        elif block.language == "console":
            self._console(block)
        elif block.language in ("exercise", "parsons"):
            self._exercise(block)
        elif block.language == "live":
            self._live(block)
        else:
            known = ("text", "eval-rst", "toctree", "code-block", *DIRECTIVES)  # a code-block is run elsewhere
            assert block.language in known, f"{self._where(block.start)}: unknown block {block.language!r}"

    def execute(self, block: Block, namespace: dict[str, Any]) -> str:
        """Run code in a namespace, and return its output."""
        assert ">>>" not in block.text, f"{self._where(block.start)}: write code without >>>, and an output block"
        source = "\n" * block.start + block.text  # so that a traceback names the page's line
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(source, str(self.page), "exec", dont_inherit=True), namespace)
        return printed.getvalue()

    def _live(self, block: Block) -> None:
        """Run the cell that represents a figure in the notebook."""
        code = directive(block).options.get("notebook", "")
        self.execute(Block("python", (code,), block.start), dict(self.namespace))

    def _exercise(self, block: Block) -> None:
        """Run an exercise in a separate namespace, with its own random state."""
        before = torch.get_rng_state()

        def execute(section: Section, namespace: dict[str, Any]) -> None:
            self.execute(Block("python", tuple(section.text.split("\n")), section.start), namespace)

        with redirect_stdout(io.StringIO()):
            run_exercise(block, self.namespace, execute)
            for solution in kept(block):
                self.execute(solution, self.namespace)
        torch.set_rng_state(before)

    def _console(self, block: Block) -> None:
        for command, number, said in commands_of(block):
            first = shlex.split(command)[0]
            if first not in NOT_RUN:
                printed = shell(command, self._where(number))
                if said or REFRESH:
                    self.printed.append(Printed(said, printed, number, command.startswith(FIXED)))

    def _where(self, number: int) -> str:
        return f"{self.page.name}:{number + 1}"


def kept(block: Block) -> list[Block]:
    """The solution of an exercise whose answer is used by the cells below (``:keep:``), as a cell; otherwise
    nothing."""
    made = directive(block)
    solutions = made.all("solution") if "keep" in made.options else []
    return [Block("python", tuple(each.text.split("\n")), each.start) for each in solutions]


def commands_of(block: Block) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield each command, the number of the line after it, and its expected output lines."""
    starts = [k for k, line in enumerate(block.lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"a console block begins with a command: {block.lines[:1]}"
    for start, stop in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        end = start
        while block.lines[end].endswith("\\"):
            end += 1
        command = " ".join(line.rstrip("\\") for line in block.lines[start : end + 1])
        command = command.removeprefix("$ ").partition("  #")[0]
        yield command, block.start + end + 1, block.lines[end + 1 : stop]


def shell(command: str, where: str) -> str:
    """Run a pipe of ``hiddenstate``, ``echo`` and ``head`` as a shell would."""
    text = ""
    for stage in command.split(" | "):
        name, *arguments = shlex.split(stage)
        if name == "hiddenstate":
            result = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
            assert result.exit_code == 0, f"{where}: {stage} ended with {result.exit_code}:\n{result.output}"
            text = result.stdout
        elif name == "echo":
            text = " ".join(arguments) + "\n"
        elif name == "head":
            count, *files = arguments
            given = Path(files[0]).read_text(encoding="utf-8") if files else text
            text = "".join(given.splitlines(keepends=True)[: -int(count)])
        else:
            pytest.fail(f"{where}: {name} is no command that the pages may show")
    return text


def refresh(page: Path, printed: list[Printed]) -> None:
    """Write the output into the page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for part in reversed([part for part in printed if part.said]):
        lines[part.start : part.start + len(part.said)] = part.lines
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare(folder: Path) -> None:
    """Put the two corpora into the folder in which the pages' commands run."""
    for name in ("train", "dev"):
        corpus = ROOT / "tests" / "data" / f"tiny-{name}.conllu"
        shutil.copy(corpus, folder / f"{name}.conllu")
        lines = [" ".join(sentence.forms) + "\n" for sentence in read_conllu(corpus)]
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
