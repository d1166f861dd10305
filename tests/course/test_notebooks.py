"""The notebooks match the pages, and run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from course.chapters import PAGES
from coursebook.notebooks import NOTEBOOKS, cells_of, notebook
from support import Later

nbclient: Any = Later("nbclient")
nbformat: Any = Later("nbformat")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_every_page_has_its_notebook() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == [page.stem for page in PAGES]


@each_page
def test_the_notebook_is_the_page(page: Path) -> None:
    written = (NOTEBOOKS / f"{page.stem}.ipynb").read_text(encoding="utf-8")
    assert written == notebook(page), "run `make course`"
    nbformat.validate(nbformat.reads(written, as_version=4))


@each_page
def test_a_notebook_has_nothing_that_only_a_page_shows(page: Path) -> None:
    text = "\n".join(text for _, text in cells_of(page))
    assert "{claim}" not in text
    assert "{show}" not in text
    assert "proves(" not in text
    assert "```{" not in text


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """One kernel for all notebooks: starting it, and importing torch, takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_QUICK", "1")
        client = nbclient.NotebookClient(nbformat.v4.new_notebook(), timeout=300, kernel_name="python3")
        with client.setup_kernel():
            yield client


# ipykernel and its event loop warn of their own internals.
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@each_page
def test_the_notebook_runs_with_the_solutions_in_it(page: Path, kernel: Any) -> None:
    kernel.nb = solved = nbformat.reads(notebook(page, solved=True), as_version=4)
    solved.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # no names of another notebook
    kernel.execute(cleanup_kc=False)
    printed = "".join(out.get("text", "") for cell in solved.cells for out in cell.get("outputs", []))
    checked = sum('check("' in text for kind, text in cells_of(page) if kind == "code" and text.startswith("check("))
    assert printed.count(": right. ") == checked


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_notebook_shows_what_a_check_says_and_no_lines_of_the_check(kernel: Any) -> None:
    cells = [
        nbformat.v4.new_code_cell("from hiddenstate.course import check"),
        nbformat.v4.new_code_cell('check("10.1", lambda rows: rows)'),
    ]
    cells[1].metadata["tags"] = ["raises-exception"]
    kernel.nb = made = nbformat.v4.new_notebook(cells=cells)
    kernel.execute(cleanup_kc=False)
    (shown,) = made.cells[1].outputs
    assert shown.ename == "AnswerError"
    assert shown.traceback == [
        "Exercise 10.1: Nothing was moved, so the output gate's rows are where torch reads the forget gate's.",
        "The misconception behind it (M15): The order of the gates is the same in every library.",
    ]
