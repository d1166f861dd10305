"""A short run of `attack.py`: bombs, damaged files, unwritable places, broken runs, bad clients."""

import ast
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

import hiddenstate as hs

if sys.platform != "linux":
    pytest.skip("limits of memory are Linux's", allow_module_level=True)

import attack
import programs
from attacks.bombs import BOMBS
from attacks.formats import FORMATS
from attacks.runs import KINDS
from attacks.writes import MORE_THINGS, THINGS
from cli.test_out import COMMANDS

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
    "explain/importance/run.py": "importance",
    "explain/result/explanation.py": "explanation",
    "interop/onnx/export.py": "onnx",
    "models/graph/c_file.py": "c-file",
    "models/graph/file.py": "graph",
    "models/model_folder.py": "tagger",
    "models/model_file.py": "model-file",
    "models/series/live.py": "stream of series",
    "nn/streams/stream_file.py": "stream",
    "studio/page.py": "page",
    "text/corpora.py": "cache",
    "tracing/trace.py": "trace",
    "training/checkpoint.py": "log",
}


ALWAYS = ("server", "writes", "indexes", *FORMATS)
# The first number of what is tried, its count, and the kinds.
PARTS: dict[str, tuple[int, int, Sequence[str]]] = {
    "first": (0, 10, ("bombs", "read-only", *ALWAYS)),
    "more": (10, 30, (*ALWAYS, "index-kills", *(f"{kind}-runs" for kind in KINDS))),
}
each_part = pytest.mark.parametrize("part", ["first", pytest.param("more", marks=pytest.mark.slow)])


@cache
def told(part: str) -> dict[str, str]:
    """The attack's result for each bomb, format, kind of run and the server, and the failures that it printed."""
    first, count, kinds = PARTS[part]
    numbers = ["--first", f"{first}", "--count", f"{count}", "--runs", "1"]
    command = [sys.executable, attack.__file__, *numbers, "--only", *kinds]
    done = programs.run(command, capture_output=True, text=True, timeout=600, check=False)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    return {**lines, "failures": done.stderr}


def told_of(part: str, name: str) -> str:
    """The result for one kind, followed by everything that failed."""
    return f"{told(part)[name]}\n{told(part)['failures']}"


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_ask_for_much_are_refused_or_read_within_bounds(name: str) -> None:
    expected = "refused" if BOMBS[name].said else "read"
    assert told("first")[f"bomb {name}"] == expected, told("first")["failures"]


@each_part
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_load_or_are_refused_by_an_error_with_their_name(name: str, part: str) -> None:
    outcome, _, _ = told(part)[name].partition(", ")  # and how many crash the HDF5 library, which are refused, too
    assert outcome.endswith(f"of {PARTS[part][1]} refused"), told_of(part, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_runs_that_are_killed_or_have_no_disk_left_end_as_an_unbroken_one(name: str) -> None:
    assert told("more")[f"{name}-runs"].endswith("all ends bit-equal"), told_of("more", f"{name}-runs")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("indexes", "first"),
        *(pytest.param(name, "more", marks=pytest.mark.slow) for name in ("indexes", "index-kills")),
    ],
)
def test_random_indexes_are_those_of_numpy_whatever_changes_or_is_killed(name: str, part: str) -> None:
    assert told(part)[name].endswith(" 0 wrong"), told_of(part, name)


@each_part
def test_what_cannot_be_written_is_refused_and_what_was_there_stays(part: str) -> None:
    assert f"of {PARTS[part][1]} refused, nothing was lost" in told(part)["writes"], told_of(part, "writes")


@pytest.mark.parametrize("name", [*THINGS, *MORE_THINGS])
def test_what_is_written_where_nothing_can_be_is_refused_and_can_be_read(name: str) -> None:
    assert told("first")[f"read-only {name}"].startswith("refused in "), told_of("first", f"read-only {name}")


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


@each_part
def test_the_server_goes_on_whatever_clients_send(part: str) -> None:
    assert told(part)["server"] == f"{PARTS[part][1]} clients, and the page whole after every ten", told_of(
        part, "server"
    )
