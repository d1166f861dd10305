"""Every code block of the documentation runs, and prints what the page says it prints.

Code whose output depends on the shipped tagger or on the machine is run, but its output is not compared. When that
output changes, update the pages with::

    HIDDENSTATE_REFRESH_DOCS=1 pytest tests/test_docs.py
"""

import re
from pathlib import Path

import pytest

import hiddenstate as hs
from course.test_subjects import NUMBERS
from coursebook.pages import blocks_of
from hiddenstate.models.model_folder import load_tagger, shipped
from pages import CUT, DOCS, PAGES, REFRESH, Printed, Run, prepare, refresh
from support import NEEDS_INDUCTOR


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the pages' commands run."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SLOW = (
    *("03-part-of-speech-tagging", "04-next-character-next-word", "05-looking-inside", "08-a-model-of-your-own"),
    *("cells", "line_unit", "onnx"),
)
MARKS = dict.fromkeys(SLOW, pytest.mark.slow) | {"compile": [NEEDS_INDUCTOR, pytest.mark.slow]}
# Pages that train; those of course.test_subjects are run there in full.
TRAIN = [
    page
    for page in PAGES
    if page.stem[:2] not in NUMBERS and re.search(r"\bif FULL\b", page.read_text(encoding="utf-8"))
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("page", "full"),
    [
        *(pytest.param(page, False, id=page.stem, marks=MARKS.get(page.stem, ())) for page in PAGES),
        *(pytest.param(page, True, id=f"{page.stem}, in full", marks=pytest.mark.slow) for page in TRAIN),
    ],
)
def test_the_page_runs_and_prints_what_it_says(page: Path, full: bool) -> None:
    run = Run(page, full=full or REFRESH)
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


def contents_of(page: str) -> list[str]:
    """The pages that a page's toctrees list, which are relative to its folder."""
    folder = Path(page).parent
    lines = [line for block in blocks_of(DOCS / f"{page}.md") if block.language == "toctree" for line in block.lines]
    return [(folder / line).as_posix() for line in lines if line and not line.startswith(":")]


def reachable_from(page: str) -> list[str]:
    """The page and all pages below it in the sidebar, in order."""
    return [page, *(name for entry in contents_of(page) for name in reachable_from(entry))]


def test_every_page_is_in_the_sidebar_once() -> None:
    names = [page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES]
    assert sorted(reachable_from("index")) == sorted(names)


def test_no_page_lists_more_than_twelve_others() -> None:
    assert {page: len(contents_of(page)) for page in reachable_from("index") if len(contents_of(page)) > 12} == {}


def test_reference_pages_begin_with_an_example() -> None:
    without = {"reference", "api", "glossary"}  # two lists of pages, and one of words
    pages = [page for page in reachable_from("reference") if page not in without]
    firsts = {page: blocks_of(DOCS / f"{page}.md")[0].language for page in pages}
    assert {page: first for page, first in firsts.items() if first not in ("python", "console", "text")} == {}


def test_the_cell_on_the_home_page_is_a_unit_of_the_tagger() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    states = re.findall(r"\{show\}`(\w+) <cell c_prev=(\S+) f=(\S+) i=(\S+) g=(\S+) o=(\S+)>`", text)
    words = [word for word, *_ in states]
    assert words == ["Giraffes", "in", "a", "field"]
    trace = load_tagger(shipped()).read(words).trace
    for t, (_, *said) in enumerate(states):
        moment = trace.at(t=t, unit=17, layer=1)
        assert [float(value) for value in said] == [round(moment[name], 2) for name in ("c_prev", *"figo")]


def test_the_api_page_has_every_public_name() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    names = hs.__all__  # type: ignore[attr-defined]
    missing = [name for name in (*names, "set") if not re.search(rf":: hiddenstate\.{name}\b", text)]
    assert missing == ["HiddenStateError", "__version__"]  # the first is a result of importing the module of the errors
    assert "automodule:: hiddenstate.errors" in text


def test_the_page_of_errors_has_every_error() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    every = [name for name, value in vars(hs.errors).items() if isinstance(value, type)]
    assert [name for name in every if f"`{name}`" not in text] == []


def test_the_readme_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks_of(DOCS.parent / "README.md"):
        if block.language == "python":
            exec(compile(block.text, "README.md", "exec", dont_inherit=True), {})
    assert "unit 1" in capsys.readouterr().out
