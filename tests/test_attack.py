"""A short run of `attack.py`: bombs, damaged files, unwritable places, broken runs, bad clients."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hiddenstate as hs

COUNT, RUNS = "50", "1"
INDEXES = ("indexes", "index-kills")

if sys.platform != "linux":
    pytest.skip("limits of memory are Linux's", allow_module_level=True)

import attack  # noqa: E402 (needs these limits)
from attacks.bombs import BOMBS  # noqa: E402
from attacks.formats import FORMATS  # noqa: E402
from attacks.runs import KINDS  # noqa: E402
from attacks.writes import MORE_THINGS, THINGS  # noqa: E402
from cli.test_out import COMMANDS  # noqa: E402

# By module that writes files: a function that writes one, and one of the attack's writes to unwritable places.
DOORS = (
    "writing",
    "written_beside",
    "replace_bytes",
    "append_line",
    "folder_beside",
    "write_tensors",
)
WRITERS = {
    "base/figures.py": "picture",
    "base/files.py": "trace",
    "cli/conventions.py": "tag --out",
    "corpus/index/readers.py": "index",
    "corpus/opened.py": "index",
    "corpus/search/find.py": "index",
    "corpus/shards/run.py": "index",
    "course/files.py": "course",
    "course/opening.py": "course-pages",
    "explain/result/explanation.py": "explanation",
    "interop/onnx/export.py": "onnx",
    "models/model_folder.py": "tagger",
    "models/model_file.py": "model-file",
    "nn/streams/stream_file.py": "stream",
    "studio/page.py": "page",
    "text/corpora.py": "corpus",
    "tracing/files.py": "trace",
    "training/checkpoint.py": "log",
    "training/lock.py": "new-run",
}


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """The attack's result for each bomb, format, kind of run and the server, and the failures that it printed."""
    script = Path(attack.__file__)
    paths = [str(script.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    kinds = ["bombs", "server", "writes", "read-only", *INDEXES, *FORMATS, *(f"{kind}-runs" for kind in KINDS)]
    command = [sys.executable, str(script), "--count", COUNT, "--runs", RUNS, "--only", *kinds]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    return {**lines, "failures": done.stderr}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_ask_for_much_are_refused_or_read_within_bounds(told: dict[str, str], name: str) -> None:
    expected = "refused" if BOMBS[name].said else "read"
    assert told[f"bomb {name}"] == expected, told["failures"]


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_load_or_are_refused_by_an_error_with_their_name(told: dict[str, str], name: str) -> None:
    assert told[name].endswith(f"of {COUNT} refused"), f"{told[name]}\n{told['failures']}"


@pytest.mark.parametrize("name", KINDS)
def test_runs_that_are_killed_or_have_no_disk_left_end_as_an_unbroken_one(told: dict[str, str], name: str) -> None:
    assert told[f"{name}-runs"].endswith("all ends bit-equal"), f"{told[f'{name}-runs']}\n{told['failures']}"


@pytest.mark.parametrize("name", INDEXES)
def test_random_indexes_are_those_of_numpy_whatever_changes_or_is_killed(told: dict[str, str], name: str) -> None:
    assert told[name].endswith(" 0 wrong"), f"{told[name]}\n{told['failures']}"


def test_what_cannot_be_written_is_refused_and_what_was_there_stays(told: dict[str, str]) -> None:
    assert f"of {COUNT} refused, nothing was lost" in told["writes"], f"{told['writes']}\n{told['failures']}"


@pytest.mark.parametrize("name", [*THINGS, *MORE_THINGS])
def test_what_is_written_where_nothing_can_be_is_refused_and_can_be_read(told: dict[str, str], name: str) -> None:
    assert told[f"read-only {name}"].startswith("refused in "), f"{told[f'read-only {name}']}\n{told['failures']}"


def test_no_writer_is_left_out() -> None:
    """Every module that writes files is tried in an unwritable place."""
    rooms = Path(hs.__file__).parent
    writers = {
        str(path.relative_to(rooms))
        for path in rooms.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DOORS
    }
    assert writers == WRITERS.keys()
    assert set(WRITERS.values()) <= {*THINGS, *MORE_THINGS, *COMMANDS}


def test_the_server_goes_on_whatever_clients_send(told: dict[str, str]) -> None:
    assert told["server"] == f"{COUNT} clients, and the page whole after every ten", told["failures"]
