"""The examples run as they stand, and the notebook is the script."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import torch
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# The lesson's numbers, as torch prints them.
GOLDEN = ["[1.4934, 0.4987, 0.2319, 1.1746]", "[-0.4372,  0.2583,  0.2947]", "[-0.7344,  0.6209,  0.4191]"]
GOLDEN += ["[ 0.1611,  0.2200,  0.2213]", "[-0.2007, -0.1559,  0.2489]", "[-0.4429, -0.2975,  0.3252]"]


def test_the_lesson_prints_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "structure_and_hidden_state.py"))
    printed = capsys.readouterr().out
    assert [line for line in GOLDEN if line not in printed] == []
    assert "W_if" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_the_script(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    source = jupytext.read(path.with_suffix(".py"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in source.cells], "run `make notebook`"


# ipykernel and its event loop warn of their own internals.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert [line for line in GOLDEN if line not in printed] == []


@pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="this torch has no gloo"
)
def test_training_in_two_processes_brings_the_loss_down() -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(EXAMPLES / "data_parallel.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"step +\d+  loss (\S+)", done.stdout)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2
