"""The examples run as they stand, and the notebook is the script."""

import runpy
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
# The lesson's numbers, as torch prints them.
GOLDEN = ["[1.4934, 0.4987, 0.2319, 1.1746]", "[-0.4372,  0.2583,  0.2947]", "[-0.7344,  0.6209,  0.4191]"]
GOLDEN += ["[ 0.1611,  0.2200,  0.2213]", "[-0.2007, -0.1559,  0.2489]", "[-0.4429, -0.2975,  0.3252]"]


def test_the_lesson_prints_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "structure_and_hidden_state.py"))
    printed = capsys.readouterr().out
    assert [line for line in GOLDEN if line not in printed] == []
    assert "W_if" in printed


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_is_the_script(script: Path) -> None:
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    source = jupytext.read(script)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in source.cells], "run `make notebook`"


# ipykernel and its event loop warn of their own internals.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_runs(script: Path) -> None:
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert [line for line in GOLDEN if line not in printed] == []
