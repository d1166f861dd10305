"""The JavaScript package in Node, with and without its native engine: the same numbers to float32's precision."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.engine import kernels
from hiddenstate.models.model_folder import load_tagger
from runtime.built import NODE, ROOT, javascript_package, needs_node
from studio.runtime.test_series import MODULES, frame_of, model_of
from support import diagonal

pytestmark = needs_node


# As the page on running without torch says; int8 differs more where the engine has no kernel for it.
PRECISION = {"float32": 1e-6, "bfloat16": 8e-3, "int8": 1e-2 if kernels.int8() is None else 1e-6}
BUILD = runpy.run_path(str(ROOT / "runtime" / "js" / "build.py"))


@pytest.fixture(scope="module", params=["JavaScript", "native"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("js")
    shutil.copytree(javascript_package(), folder / "package")
    if request.param == "native" and (why := BUILD["compile_native"](folder / "package")) is not None:
        pytest.skip(f"needs a compiler for WebAssembly: {why}")
    shutil.copy(Path(__file__).with_name("run_model.mjs"), folder)
    return folder / "run_model.mjs"


def run(program: Path, model: Path, given: Any) -> dict[str, Any]:
    done = subprocess.run([str(NODE), program, model, json.dumps(given)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


LAYERS: list[tuple[Any, dict[str, Any]]] = [
    (hs.LSTM, {"bidirectional": True, "num_layers": 2}),
    (hs.LSTM, {"bias": False, "proj_size": 3}),
    (hs.GRU, {"bidirectional": True, "num_layers": 2}),
    (hs.GRU, {"bias": False}),
    (hs.LSTM, {}),
]


@pytest.mark.parametrize(("kind", "layer"), diagonal(["float32", "bfloat16", "int8"], range(len(LAYERS))))
@torch.no_grad()
def test_gates_and_states(kind: str, layer: int, program: Path, tmp_path: Path) -> None:
    cell, options = LAYERS[layer]
    lstm, x = cell(3, 33, **options), torch.randn(6, 3)
    lstm = lstm.quantize() if kind == "int8" else lstm.to(getattr(torch, kind))
    hs.save(lstm, tmp_path / "m.safetensors")
    found = run(program, tmp_path / "m.safetensors", x.tolist())
    wanted = lstm
    if kind == "bfloat16":  # JavaScript computes in floats with the stored weights
        wanted = cell(3, 33, **options)
        wanted.load_state_dict(lstm.state_dict())
    trace, atol = wanted.trace(x), max(1e-5, PRECISION["int8"]) if kind == "int8" else 1e-5
    for track, values in [*found["values"], *found.get("streamed", [])]:
        for name, got in values:
            assert np.allclose(got, trace[f"{track}.{name}"].numpy(), atol=atol), (track, name)
    if not lstm.bidirectional:
        assert found["outputs"] == dict(found["streamed"][-1][1])["h"]
        assert found["kept"] == [None, 1, 2, 6]
        # It rounds neither inputs nor states, as the layer itself does in bfloat16.
        itself = lstm(x.to(torch.bfloat16 if kind == "bfloat16" else torch.float32))[0].float().numpy()
        assert np.allclose(found["outputs"], itself, rtol=0, atol=PRECISION[kind])


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@torch.no_grad()
def test_a_plain_rnn(nonlinearity: str, program: Path, tmp_path: Path) -> None:
    rnn, x = hs.RNN(3, 17, 2, nonlinearity, bidirectional=True), torch.randn(6, 3)
    hs.save(rnn, tmp_path / "m.safetensors")
    found = run(program, tmp_path / "m.safetensors", x.tolist())["values"]
    for track, ((name, got),) in found:
        assert np.allclose(got, rnn.trace(x)[f"{track}.{name}"].numpy(), atol=1e-5)


@torch.no_grad()
def test_the_native_engine_computes(program: Path, tmp_path: Path) -> None:
    lstm, x = hs.LSTM(20, 64), torch.randn(30, 20)
    hs.save(lstm, tmp_path / "m.safetensors")
    shutil.copytree(program.parent, tmp_path / "js")
    engine = tmp_path / "js" / "package" / "native.wasm"
    here = run(tmp_path / "js" / program.name, tmp_path / "m.safetensors", x.tolist())
    had = engine.exists()
    engine.unlink(missing_ok=True)
    without = run(tmp_path / "js" / program.name, tmp_path / "m.safetensors", x.tolist())
    assert (here != without) == had  # they round differently
    assert here["values"] == here["streamed"]


def test_a_tagger(program: Path, tmp_path: Path) -> None:
    tagger = load_tagger("tagger-en")
    hs.save(tagger, tmp_path / "t.safetensors")
    found = run(program, tmp_path / "t.safetensors", "She can't know what he'd do, or why.")
    (wanted,) = tagger.tag([found["tokens"]])
    assert tuple(found["chosen"]) == wanted.tags
    assert np.allclose(found["probabilities"], wanted.probabilities, atol=1e-5)


def test_a_file_that_is_no_model(program: Path, tmp_path: Path) -> None:
    hs.save(hs.LSTM(2, 3), tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for name, damaged in {
        "cut": whole[:-4],
        "no gates": whole.replace(b'"gates"', b'"other"'),
        "other": whole.replace(b"hiddenstate.model/1", b"hiddenstate.model/9"),
    }.items():
        (tmp_path / name).write_bytes(damaged)
        assert "expected" in run(program, tmp_path / name, [[0, 0]])["refused"]


@pytest.mark.parametrize("name", ["a step", "a horizon", "windows"])
def test_models_of_series(name: str, program: Path, tmp_path: Path) -> None:
    make, options = MODULES[name]
    model, frame = model_of(make(), **options), frame_of(17)
    hs.save(model, tmp_path / "river.safetensors")
    found = np.array(run(program, tmp_path / "river.safetensors", frame.to_numpy().tolist())["forecast"], dtype=float)
    values = model.read(frame.astype(np.float32)).values[:, :, 0]
    assert np.allclose(found.reshape(17, *values.shape[1:])[-1], values[-1].numpy(), rtol=1e-5, atol=1e-2)
