"""Every code block of the documentation runs, and prints what the page says that it prints.

A page is run from top to bottom: ``python`` blocks in one namespace, the commands of ``console`` blocks in one folder
that holds two small corpora, as CoNLL-U and as plain text, ``drawing`` blocks each for itself. An ``output`` block is
what the python block above it prints; in a console block, lines after a command are what it prints (``...`` at the end:
and so on).

What the shipped tagger says, and what depends on the machine, is run but not compared. After a change of either, write
what is printed now into the pages with::

    HIDDENSTATE_REFRESH_DOCS=1 pytest tests/test_docs.py
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
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.text.conllu import read_conllu
from support import NEEDS_INDUCTOR

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
REFRESH = bool(os.environ.get("HIDDENSTATE_REFRESH_DOCS"))
CUT = "..."
# Commands that no test should run, as they install, build or measure.
NOT_RUN = ("pip", "make")
# Commands whose output is the same everywhere and with any shipped tagger.
FIXED = ("hiddenstate structure --",)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
DIGITS = 2e-4  # what is printed has four digits, of which machines may round the last one differently


def name_of(page: Path) -> str:
    """The name of a page in the contents, such as ``explain/ledger``."""
    return page.relative_to(DOCS).with_suffix("").as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its lines without the fences; the first is line ``start`` of the page."""

    language: str
    lines: tuple[str, ...]
    start: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def blocks_of(page: Path) -> list[Block]:
    blocks: list[Block] = []
    language, start, lines = None, 0, page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if language is None:
                language, start = (line.removeprefix("```").split() or [""])[0].strip("{}"), number + 1
            else:
                blocks.append(Block(language, tuple(lines[start:number]), start))
                language = None
    assert language is None, f"{page.name}: the block that begins at line {start} has no end"
    return blocks


@dataclass
class Printed:
    """What was printed for lines ``start:stop`` of a page (from 0), which say what should be."""

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
        """What was printed, cut where the page cuts it."""
        lines = [line.rstrip() for line in self.printed.strip("\n").splitlines()]
        return [*lines[: len(self.said) - 1], CUT] if self.said[-1:] == (CUT,) else lines


class Run:
    """One page, run from top to bottom in the current folder."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.namespace: dict[str, Any] = {"__name__": page.stem}
        self.printed: list[Printed] = []
        self._output = ""

    def run(self, block: Block) -> None:
        if block.language == "python":
            self._output = self._python(block, self.namespace)
        elif block.language == "drawing":
            namespace: dict[str, Any] = {}
            self._python(block, namespace)
            assert namespace["figure"].axes, f"{self._where(block.start)}: nothing was drawn"
        elif block.language == "output":
            # Once a page has loaded the tagger, what it prints is the tagger's word.
            self.printed.append(Printed(block.lines, self._output, block.start, "tagger" not in self.namespace))
        elif block.language == "console":
            self._console(block)
        else:
            assert block.language in ("text", "eval-rst", "toctree"), f"unknown block {block.language!r}"

    def _python(self, block: Block, namespace: dict[str, Any]) -> str:
        assert ">>>" not in block.text, f"{self._where(block.start)}: write code without >>>, and an output block"
        source = "\n" * block.start + block.text  # so that a traceback names the page's line
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(source, str(self.page), "exec", dont_inherit=True), namespace)
        return printed.getvalue()

    def _console(self, block: Block) -> None:
        for command, number, said in commands_of(block):
            first = shlex.split(command)[0]
            if first not in NOT_RUN:
                printed = shell(command, self._where(number))
                if said or REFRESH:
                    self.printed.append(Printed(said, printed, number, command.startswith(FIXED)))

    def _where(self, number: int) -> str:
        return f"{self.page.name}:{number + 1}"


def commands_of(block: Block) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield each command, the number of the line behind it, and the lines that it is said to print."""
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
    """Write what was printed into the page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for part in reversed([part for part in printed if part.said]):
        lines[part.start : part.start + len(part.said)] = part.lines
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the pages' commands run in."""
    for name in ("train", "dev"):
        corpus = ROOT / "tests" / "data" / f"tiny-{name}.conllu"
        shutil.copy(corpus, tmp_path / f"{name}.conllu")
        lines = [" ".join(sentence.forms) + "\n" for sentence in read_conllu(corpus)]
        (tmp_path / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=name_of(page), marks=NEEDS_INDUCTOR if page.stem == "compile" else ()) for page in PAGES],
)
def test_the_page_runs_and_prints_what_it_says(page: Path) -> None:
    run = Run(page)
    for block in blocks_of(page):
        run.run(block)
    if REFRESH:
        refresh(page, run.printed)
        return
    for part in run.printed:
        part.check(f"{page.name}:{part.start + 1}")


def test_output_that_differs_is_found() -> None:
    said = ("h = 0.1234, c 5",)
    Printed(said, "h  = 0.1235, c 5\n", 0, fixed=True).check("here")
    for other in ("h = 0.1334, c 5", "h = 0.1234, d 5", "h = 0.1234, c 6", "h = 0.1234, c 5\nmore"):
        with pytest.raises(AssertionError, match="here"):
            Printed(said, other, 0, fixed=True).check("here")
        Printed(said, other, 0, fixed=False).check("here")
    Printed((*said, CUT), f"{said[0]}\nmore\nand more", 0, fixed=True).check("here")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_is_in_the_contents(page: Path) -> None:
    contents = [name for block in blocks_of(DOCS / "index.md") if block.language == "toctree" for name in block.lines]
    assert name_of(page) == "index" or name_of(page) in contents


def test_the_api_page_has_every_public_name() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    missing = [name for name in (*hs.__all__, "set") if not re.search(rf":: hiddenstate\.{name}\b", text)]
    assert missing == ["HiddenStateError", "__version__"]  # the first comes with the module of the errors
    assert "automodule:: hiddenstate.errors" in text


def test_the_page_of_errors_has_every_error() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    every = [name for name, value in vars(hs.errors).items() if isinstance(value, type)]
    assert [name for name in every if f"`{name}`" not in text] == []
