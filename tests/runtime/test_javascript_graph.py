"""Whole models in the JavaScript package: runs, streams, and files that are damaged."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.base.files import write_tensors
from hiddenstate.models.model_file import FORMAT
from models.graph.test_graph import BAD, TENSORS
from runtime.built import NODE, javascript_package, needs_node
from runtime.c_programs import HERE, run
from runtime.graph_files import Case, Words, cases, rest
from support import draws

pytestmark = needs_node


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("js")
    shutil.copytree(javascript_package(), folder / "package")
    for name in ("run_graph.mjs", "hostile_graphs.mjs", "graph_rows.mjs"):
        shutil.copy(HERE / name, folder)
    return folder


def arrays(results: Any) -> list[Any]:
    return [np.array(one["data"], np.float32).reshape(one["shape"]) for one in results]


def outcomes(folder: Path, jobs: list[dict[str, Any]]) -> list[Any]:
    for k, job in enumerate(jobs):
        (folder / f"{k}.json").write_text(json.dumps(job))
    lines = run(str(NODE), folder / "run_graph.mjs", *(folder / f"{k}.json" for k in range(len(jobs)))).decode()
    return [json.loads(line) for line in lines.splitlines()]


def job(one: Case, **options: Any) -> dict[str, Any]:
    args = [{"shape": value.shape, "data": value.ravel().tolist()} for value in one.arguments]
    return {"path": str(one.path), "args": args, **options}


def sweep(folder: Path, models: list[Case]) -> None:
    streamed = [one for one in models if one.graph.why_no_stream() is None]
    results = outcomes(folder, [*map(job, models), *(job(one, chunks=[1, 7, 1]) for one in streamed)])
    for one, result in zip(models, results, strict=False):
        one.check(arrays(result), "whole")
    for one, chunks in zip(streamed, results[len(models) :], strict=True):
        one.check(one.joined([arrays(chunk) for chunk in chunks]), "chunks")


def test_models_give_torchs_numbers(folder: Path, tmp_path: Path) -> None:
    sweep(folder, [*cases((12, 50, 55), tmp_path), rest(tmp_path)])


@pytest.mark.slow
def test_many_models_give_torchs_numbers(folder: Path, tmp_path: Path) -> None:
    sweep(folder, [*cases(range(draws(20)), tmp_path)])


def test_rows_come_and_go(folder: Path, tmp_path: Path) -> None:
    (one,) = cases((10,), tmp_path)
    largest = json.loads(run(str(NODE), folder / "graph_rows.mjs", one.path))
    assert largest == 0


def test_what_a_stream_cannot_do_fails(folder: Path, tmp_path: Path) -> None:
    (one,) = cases((10,), tmp_path)
    rows = {**job(one), "args": [{"shape": [3, 9], "data": [0] * 27}]}
    hs.save(nn.GRU(2, 3, bidirectional=True), tmp_path / "both.safetensors", args=(torch.zeros(4, 1, 2),))
    both = {"path": str(tmp_path / "both.safetensors"), "args": [{"shape": [1, 1, 2], "data": [0, 0]}], "chunks": [1]}
    refused = [result["refused"] for result in outcomes(folder, [rows, {**job(one), "args": []}, both, {"text": "m"}])]
    width = one.graph.inputs[0].shape[-1]
    assert f"of shape [3,9]: expected [N,T,{width}]. Give it in that shape; N and T are at least 1." in refused[0]
    assert "0 arguments" in refused[1]
    assert "bidirectional" in refused[2]
    assert "a file given as string: expected an ArrayBuffer or a Uint8Array. Read it first" in refused[3]


def test_integers_may_be_bigints(folder: Path, tmp_path: Path) -> None:
    hs.save(Words(), tmp_path / "words.safetensors", args=(torch.zeros(1, 2, dtype=torch.int64),))
    ids = {"path": str(tmp_path / "words.safetensors"), "args": [{"shape": [1, 3], "data": [3, 0, 1]}]}
    hs.save(nn.GRU(2, 3), tmp_path / "layer.safetensors", args=(torch.zeros(4, 1, 2),))
    numbers = {"path": str(tmp_path / "layer.safetensors"), "args": [{"shape": [1, 1, 2], "data": [0, 1]}]}
    plain, big, refused = outcomes(folder, [ids, {**ids, "bigints": True}, {**numbers, "bigints": True}])
    assert big == plain
    assert "of bigints: expected numbers" in refused["refused"]


@torch.no_grad()
def test_bad_graphs_are_refused_with_the_name_of_their_node(folder: Path, tmp_path: Path) -> None:
    jobs = []
    for name, (graph, _) in BAD.items():
        text = graph if isinstance(graph, str) else json.dumps(graph)
        tensors = {key: torch.zeros(shape) for key, shape in TENSORS.items()}
        write_tensors(tmp_path / name, FORMAT, tensors, {"kind": "graph", "graph": text})
        jobs.append({"path": str(tmp_path / name), "args": []})
    for (name, (_, pattern)), result in zip(BAD.items(), outcomes(folder, jobs), strict=True):
        labels = [label for label in ("`head`", "`first`", "`wide`") if label in pattern]
        assert all(label in result["refused"] for label in labels), (name, result)
        assert "graph that is damaged" in result["refused"]


def attack(folder: Path, seeds: range, count: int, tmp_path: Path) -> None:
    for seed, one in zip(seeds, cases(seeds, tmp_path), strict=True):
        found = json.loads(
            run(str(NODE), "--max-old-space-size=200", folder / "hostile_graphs.mjs", one.path, count, seed)
        )
        assert found["refused"] > count // 10
        assert found["streamed"] > 0 or seed % 2


def test_damaged_files_are_refused_or_run(folder: Path, tmp_path: Path) -> None:
    attack(folder, range(10, 11), 300, tmp_path)


@pytest.mark.slow
def test_many_damaged_files_are_refused_or_run(folder: Path, tmp_path: Path) -> None:
    attack(folder, range(8, 13), 1_000, tmp_path)
