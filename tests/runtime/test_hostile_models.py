"""All readers of model files follow one rule: each file of one table is read by all of them, or refused by all."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import hiddenstate as hs
from hiddenstate.errors import FileFormatError
from runtime.built import IS_BUILT, NODE, javascript_package, needs_node, needs_runtime
from runtime.c_programs import HERE, needs_c, program, run
from runtime.hostile_models import layers, packed, parts, small_tagger, split, taggers

if IS_BUILT:
    import hiddenstate_runtime as hr

Table = dict[Path, tuple[str, bool]]


@pytest.fixture(scope="module", params=["layer", "tagger"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def table(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table's files: what each is called, and whether it must be read."""
    folder, known = tmp_path_factory.mktemp("files"), dict[Path, tuple[str, bool]]()
    for k, (name, content, is_read) in enumerate(layers(folder) if kind == "layer" else taggers(folder)):
        path = folder / f"{k}.safetensors"
        path.write_bytes(content)
        known[path] = name, is_read
    return known


def check(table: Table, outcomes: dict[Path, str]) -> None:
    """Compare a reader's outcomes, ``read`` or a message, with the table."""
    wrong = {table[path][0]: outcome for path, outcome in outcomes.items() if (outcome == "read") != table[path][1]}
    assert not wrong
    assert outcomes.keys() == table.keys()
    messages = [outcome.replace(str(path), "") for path, outcome in outcomes.items() if outcome != "read"]
    assert not [message for message in messages if len(re.findall(r"\w+", message)) < 4]


def outcome_of(reader: Any, path: Path, *expected: type[Exception]) -> str:
    try:
        reader(path)
    except expected as error:
        return str(error)
    return "read"


def test_python_with_torch(table: Table) -> None:
    check(table, {path: outcome_of(hs.load, path, FileFormatError) for path in table})


@needs_runtime
def test_python_without_torch(table: Table) -> None:
    check(table, {path: outcome_of(hr.load, path, hr.HiddenStateError) for path in table})


@needs_c
def test_c(kind: str, table: Table, tmp_path: Path) -> None:
    lines = run(program(tmp_path, HERE / "read_files.c"), kind, *table).decode(errors="strict").splitlines()
    check(table, dict(zip(table, lines, strict=True)))


@needs_node
def test_javascript(table: Table, tmp_path: Path) -> None:
    shutil.copytree(javascript_package(), tmp_path / "package")
    shutil.copy(HERE / "read_files.mjs", tmp_path)
    outcomes = json.loads(run(str(NODE), tmp_path / "read_files.mjs", *table))
    check(table, dict(zip(table, outcomes, strict=True)))


PARTS = 2_000_000


def long_header(kind: str, folder: Path) -> tuple[str, Path]:
    """Write a file whose header of some 20 MB would take a multiple of that if it were read as it is."""
    tensors, metadata = parts(hs.LSTM(2, 3), folder)
    header, data = split(tensors, metadata)
    text, reader = json.dumps(header).encode(), "layer"
    if kind == "metadata":
        text = text.replace(b'"LSTM"', b'"LSTM"' + b"".join(b',"%x":""' % k for k in range(PARTS)))
    elif kind == "tensors":
        empty = b',"%x":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}'
        text = text[:-1] + b"".join(empty % k for k in range(PARTS // 5)) + b"}"
    elif kind == "lists":
        text = text[:-1] + b',"more":[' + b"[]," * (3 * PARTS) + b"1]}"
    else:
        reader = "tagger"
        tensors, metadata = parts(small_tagger(), folder)
        vocabulary = json.loads(metadata["vocabulary"])
        vocabulary["words"]["tokens"] += [f"{k:x}" for k in range(PARTS)]
        header, data = split(tensors, {**metadata, "vocabulary": json.dumps(vocabulary)})
        text = json.dumps(header).encode()
    path = folder / "long.safetensors"
    path.write_bytes(packed(text, data))
    return reader, path


@pytest.fixture(scope="module", params=["metadata", "tensors", "lists", "vocabulary"])
def long_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return long_header(request.param, tmp_path_factory.mktemp("long"))


@needs_c
def test_a_long_header_takes_little_memory_in_c(long_file: tuple[str, Path], tmp_path: Path) -> None:
    kind, path = long_file
    most = 3 * path.stat().st_size + (32 << 20)  # with the program itself
    (outcome,) = run(program(tmp_path, HERE / "read_files.c"), kind, path, memory=most).decode().splitlines()
    assert outcome.startswith("the file is damaged")


@needs_node
def test_a_long_header_takes_little_memory_in_javascript(long_file: tuple[str, Path], tmp_path: Path) -> None:
    shutil.copytree(javascript_package(), tmp_path / "package")
    shutil.copy(HERE / "read_files.mjs", tmp_path)
    _, path = long_file
    (outcome,) = json.loads(run(str(NODE), "--max-old-space-size=100", tmp_path / "read_files.mjs", path))
    assert "expected" in outcome
