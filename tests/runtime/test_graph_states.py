"""States of a whole model's stream go from Python, JavaScript and C to each of them; other states are refused."""

import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

import hiddenstate as hs
from runtime.built import NODE, javascript_package, needs_node, needs_runtime
from runtime.c_programs import CHECKS, HERE, needs_c, program, run
from runtime.graph_files import cases

pytestmark = [needs_node, needs_runtime, needs_c]

ROWS = 2
# Goes on from files, takes so many steps of ones and saves to a file; returns "loaded" or a refusal for each file.
Stream = Callable[[Path, int, Path, list[Path]], list[str]]


def in_python(model: Path, steps: int, to: Path, files: list[Path]) -> list[str]:
    import hiddenstate_runtime

    graph = hiddenstate_runtime.load(model)
    stream = graph.stream(ROWS)

    def outcome(file: Path) -> str:
        try:
            stream.load(file)
        except hiddenstate_runtime.HiddenStateError as error:
            return str(error)
        return "loaded"

    lines = [outcome(file) for file in files]
    ones: list[Any] = [
        np.ones(
            [ROWS if size == "N" else size for size in each.shape if size != "T"], np.int64 if each.ints else np.float32
        )
        for each in graph.graph.inputs
    ]
    for _ in range(steps):
        stream.step(*ones)
    stream.save(to)
    return lines


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program(tmp_path_factory.mktemp("program"), HERE / "graph_state.c", CHECKS)


@pytest.fixture(scope="module")
def streams(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stream]:
    folder = tmp_path_factory.mktemp("states")
    shutil.copytree(javascript_package(), folder / "package")
    script = shutil.copy(HERE / "graph_state.mjs", folder)

    def by(*command: Any) -> Stream:
        return lambda model, steps, to, files: run(*command, model, ROWS, steps, to, *files).decode().splitlines()

    return {"Python": in_python, "JavaScript": by(NODE, script), "C": by(binary)}


class Twice(nn.Module):
    """Runs one layer twice, so that its states are numbered; names that JSON escapes."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv = nn.Embedding(4, 3), nn.Conv1d(3, 3, 3)
        self.add_module('Größe "1"\\', nn.LSTM(3, 3, batch_first=True))

    def forward(self, x: Tensor) -> Any:
        layer: Any = getattr(self, 'Größe "1"\\')
        y = self.conv(nn.functional.pad(self.words(x).transpose(1, 2), (2, 0))).transpose(1, 2)
        return layer(layer(y)[0])[0]


@pytest.mark.parametrize("kind", ["twice", "layer", "random"])
def test_states_go_from_each_language_to_each(kind: str, streams: dict[str, Stream], tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    if kind == "twice":
        hs.save(Twice(), model, args=(torch.zeros(2, 3, dtype=torch.int64),))
    elif kind == "layer":  # its states have no name but their letters
        hs.save(nn.LSTM(2, 5, num_layers=2, proj_size=3), model, args=(torch.zeros(4, 2, 2),))
    else:
        (one,) = cases((10,), tmp_path)
        model = one.path
    for name, stream in streams.items():
        assert stream(model, 3, tmp_path / name, []) == []
    in_python(model, 5, tmp_path / "wanted", [])
    wanted = load_file(tmp_path / "wanted")
    for before, after in product(streams, streams):
        assert streams[after](model, 0, tmp_path / "same", [tmp_path / before]) == ["loaded"]
        assert streams[after](model, 2, tmp_path / "later", [tmp_path / before]) == ["loaded"]
        kept, same, later = (load_file(tmp_path / name) for name in (before, "same", "later"))
        assert kept.keys() == same.keys() == later.keys() == wanted.keys()
        for name, part in wanted.items():
            np.testing.assert_array_equal(same[name], kept[name])
            assert later[name].shape == part.shape
            np.testing.assert_allclose(later[name], part, rtol=0, atol=2e-6, err_msg=f"{before} to {after}")
    assert not list(tmp_path.glob("*.part"))


def test_other_states_are_refused_and_change_nothing(streams: dict[str, Stream], tmp_path: Path) -> None:
    model, other = tmp_path / "model.safetensors", tmp_path / "other.safetensors"
    for path in (model, other):  # with other weights
        hs.save(nn.GRU(2, 3), path, args=(torch.zeros(4, 2, 2),))
    good = tmp_path / "good"
    in_python(model, 3, good, [])
    with safe_open(good, "numpy") as file:
        metadata = file.metadata()
    state = load_file(good)
    ((h, value),) = state.items()
    in_python(other, 3, tmp_path / "of other weights", [])
    for name, tensors, changed in (
        ("of other rows", {h: np.zeros((1, 3, 3), np.float32)}, {}),
        ("of other sizes", {h: np.zeros((1, 2, 4), np.float32)}, {}),
        ("with more", {**state, "more": np.zeros(1, np.float32)}, {}),
        ("with less", {}, {}),
        ("not finite", {h: np.full((1, 2, 3), np.inf, np.float32)}, {}),
        ("of another format", state, {"format": "hiddenstate.graph-stream/2"}),
    ):
        save_file(tensors, tmp_path / name, {**metadata, **changed})
    whole = good.read_bytes()
    for cut in (0, 3, 40, len(whole) - 1):
        (tmp_path / f"cut {cut}").write_bytes(whole[:cut])
    bad = sorted(path for path in tmp_path.iterdir() if path not in (good, other))
    for name, stream in streams.items():
        loaded, *refused = stream(model, 0, tmp_path / "after", [good, *bad])
        assert loaded == "loaded"
        assert len(refused) == len(bad)
        for path, message in zip(bad, refused, strict=True):
            assert message not in ("", "loaded"), (name, path.name)
        np.testing.assert_array_equal(load_file(tmp_path / "after")[h], value)
        (tmp_path / "after").unlink()


def test_c_says_why_a_state_is_refused_or_cannot_be_written(
    streams: dict[str, Stream], binary: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    hs.save(nn.GRU(2, 3), model, args=(torch.zeros(4, 2, 2),))
    save_file({}, tmp_path / "none", {"format": "x"})
    messages = streams["C"](model, 0, tmp_path / "good", [tmp_path / "none", tmp_path / "nowhere"])
    assert messages == [
        f"cannot load {tmp_path / 'none'}: it is not a state of a stream of this model file",
        f"cannot read {tmp_path / 'nowhere'}: No such file or directory",
    ]
    (tmp_path / "folder").mkdir()
    for to, reason in ((tmp_path / "nowhere" / "state", "No such file"), (tmp_path / "folder", "directory")):
        done = subprocess.run([binary, model, "2", "0", to], capture_output=True, text=True, check=False)
        assert done.returncode == 4
        assert done.stdout.startswith(f"cannot write {to}: ")
        assert reason in done.stdout
    assert not list(tmp_path.glob("*.part"))
