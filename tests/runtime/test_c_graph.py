"""Whole models in the C library: runs, streams, and files that are damaged."""

import json
from math import prod
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
from runtime.c_programs import CHECKS, HERE, needs_c, program, run
from runtime.graph_files import Case, First, Tied, Words, case, cases, rest
from support import draws

pytestmark = needs_c

N = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs built with sanitizers."""
    folder = tmp_path_factory.mktemp("c")
    for source in ("run_graph.c", "hostile_files.cpp"):
        program(folder, HERE / source, CHECKS)
    return folder


def results_of(one: Case, data: bytes, parts: list[tuple[int, int]]) -> list[list[Any]]:
    """The results of parts, each of so many steps and rows, one after another."""
    flat, at = np.frombuffer(data, np.float32), 0
    results: list[list[Any]] = []
    for steps, rows in parts:
        sizes = {"T": steps, "N": rows, "N*T": rows * steps, "T*N": rows * steps}
        results.append([])
        for value in one.graph.outputs:
            shape = [sizes[size] if isinstance(size, str) else size for size in one.graph.shapes[value]]
            results[-1].append(flat[at : at + prod(shape)].reshape(shape))
            at += prod(shape)
    assert at == len(flat)
    return results


def compare(folder: Path, one: Case) -> None:
    """Compare a run with the model; and a stream's chunks, and its steps of single rows, the last row first."""
    data = b"".join(value.astype(np.float32).tobytes() for value in one.arguments)
    T = 9 if one.graph.has_steps else 1

    def outcome(chunks: list[int], parts: list[tuple[int, int]]) -> list[list[Any]]:
        return results_of(one, run(folder / "run_graph", one.path, T, N, *chunks, data=data), parts)

    (whole,) = outcome([], [(T, N)])
    one.check(whole, "whole")
    if one.graph.why_no_stream() is None:
        one.check(one.joined(outcome([1, 7, 1], [(size, N) for size in (1, 7, 1)])), "chunks")
        single = outcome([0] * T, [(1, 1)] * (T * N))
        steps = [
            [np.concatenate(value) for value in zip(*single[t : t + N][::-1], strict=True)] for t in range(0, T * N, N)
        ]
        one.check(one.joined(steps), "rows")


def test_models_give_torchs_numbers(folder: Path, tmp_path: Path) -> None:
    few, many = (torch.arange(n * t).reshape(n, t) % 4 for n, t in ((2, 4), (N, 9)))
    tied = case(Tied().eval(), (few,), (many,), tmp_path / "tied.safetensors")
    for one in (*cases((12, 50, 55), tmp_path), rest(tmp_path), tied):
        compare(folder, one)


@pytest.mark.slow
def test_many_models_give_torchs_numbers(folder: Path, tmp_path: Path) -> None:
    for one in cases(range(draws(20)), tmp_path):
        compare(folder, one)


@torch.no_grad()
def test_int8_layers_give_pythons_numbers(folder: Path, tmp_path: Path) -> None:
    model, x = hs.convert(First(nn.LSTM(8, 64, batch_first=True)).eval(), weights="int8"), torch.randn(N, 9, 8)
    hs.save(model, tmp_path / "m.safetensors", args=(x,))
    wanted = model(x).numpy()
    for chunks in ([], [1] * 9):
        got = np.frombuffer(
            run(folder / "run_graph", tmp_path / "m.safetensors", 9, N, *chunks, data=x.numpy().tobytes()), np.float32
        )
        steps = got.reshape(N, 9, 64) if not chunks else got.reshape(9, N, 64).swapaxes(0, 1)
        np.testing.assert_array_equal(steps, wanted)


@torch.no_grad()
def test_bad_graphs_are_refused_with_the_name_of_their_node(folder: Path, tmp_path: Path) -> None:
    for name, (graph, pattern) in BAD.items():
        text = graph if isinstance(graph, str) else json.dumps(graph)
        tensors = {key: torch.zeros(shape) for key, shape in TENSORS.items()}
        write_tensors(tmp_path / name, FORMAT, tensors, {"kind": "graph", "graph": text})
        message = run(folder / "run_graph", tmp_path / name, 1, 1).decode()
        labels = [label for label in ("`head`", "`first`", "`wide`") if label in pattern]
        assert all(label in message for label in labels), (name, message)
        assert "node `" not in message, name  # it has a number, and perhaps a name
        assert message.startswith("2 "), name  # HS_FILE
        assert "damaged" in message


def test_an_endless_file_is_refused_at_its_beginning(folder: Path) -> None:
    message = run(folder / "run_graph", "/dev/zero", 1, 1, ASAN_OPTIONS="max_allocation_size_mb=200").decode()
    assert message.startswith("2 "), message  # HS_FILE
    assert "its header is empty" in message


def test_what_does_not_fit_fails(folder: Path, tmp_path: Path) -> None:
    hs.save(Words(), tmp_path / "words.safetensors", args=(torch.zeros(1, 2, dtype=torch.int64),))
    hs.save(nn.GRU(2, 3, bidirectional=True), tmp_path / "both.safetensors", args=(torch.zeros(4, 1, 2),))
    hs.save(hs.GRU(2, 3), tmp_path / "layer.safetensors")
    data = np.array([0, 4], np.float32).tobytes()
    for name, chunks, message in (
        ("words", [], "1 `words` (embedding) has 4 rows, but is asked for 4"),
        ("words", [2], "1 `words` (embedding) has 4 rows, but is asked for 4"),
        ("both", [1], "4 this model can't run step by step: "),
        ("layer", [], "2 the model file holds a layer, expected a graph: hs_model_load reads it"),
    ):
        got = run(
            folder / "run_graph", tmp_path / f"{name}.safetensors", 1 if name == "both" else 2, 1, *chunks, data=data
        ).decode()
        assert got.startswith(message)


def attack(folder: Path, seeds: range, count: int, tmp_path: Path) -> None:
    for seed, one in zip(seeds, cases(seeds, tmp_path), strict=True):
        options = "max_allocation_size_mb=200:allocator_may_return_null=0"
        found = run(folder / "hostile_files", one.path, count, seed, ASAN_OPTIONS=options)
        loaded, refused = (int(word) for word in found.split()[::2])
        assert refused > count // 10
        assert loaded > count // 50
        assert loaded + refused == count


def test_damaged_files_are_refused_or_run(folder: Path, tmp_path: Path) -> None:
    attack(folder, range(10, 11), 1000, tmp_path)


@pytest.mark.slow
def test_many_damaged_files_are_refused_or_run(folder: Path, tmp_path: Path) -> None:
    attack(folder, range(8, 13), 1_000, tmp_path)
