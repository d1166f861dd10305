"""The runtime runs graph files: whole sequences and streams, with rows that come and go."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.models.graph.file import rounding
from models.graph.random_modules import Random
from runtime.built import IS_BUILT, needs_runtime
from support import draws

if IS_BUILT:
    import hiddenstate_runtime as hr

pytestmark = needs_runtime


def saved(seed: int, path: Path, **options: Any) -> tuple[Random, Any]:
    model = Random(seed, **options)
    hs.save(model, path / "model.safetensors", args=(model.example(),))
    return model, hr.load(path / "model.safetensors")


def listed(results: Any) -> list[Any]:
    return [*results] if isinstance(results, tuple | list) else [results]


def compared(got: Any, wanted: Any, allowed: float = 1e-5) -> None:
    for a, b in zip(listed(got), listed(wanted), strict=True):
        b = b.numpy() if isinstance(b, torch.Tensor) else b
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= allowed * max(1, np.abs(b).max())


@torch.no_grad()
def sweep(seeds: Sequence[int], path: Path) -> None:
    for seed in seeds:
        model, loaded = saved(seed, path, streams=seed % 2 == 0, int8=seed % 5 == 0)
        x = model.example(T=9, N=3)
        # Or what rounding does to the module itself, which is more where differences of large numbers are small.
        for got, want, bound in zip(listed(loaded(x.numpy())), listed(model(x)), rounding(model, (x,)), strict=True):
            difference = float(np.abs(got - want.numpy()).max())
            assert difference <= max(bound, 1e-5 * max(1, float(want.abs().max()))), seed


def test_random_models_give_torchs_numbers(tmp_path: Path) -> None:
    sweep((5,), tmp_path)


@pytest.mark.slow
def test_many_random_models_give_torchs_numbers(tmp_path: Path) -> None:
    sweep(range(4, 4 + draws(20)), tmp_path)


def streamed(model: Any, x: Any, sizes: list[int]) -> list[Any]:
    """The results of chunks, those over time joined."""
    stream, at, parts = model.stream(len(x)), 0, []
    for size in sizes:
        parts.append(listed(stream.feed(x[:, at : at + size])))
        at += size
    over_time = [shape.index("T") if "T" in shape else None for shape in model.outputs]
    return [
        parts[-1][k] if axis is None else np.concatenate([part[k] for part in parts], axis)
        for k, axis in enumerate(over_time)
    ]


@torch.no_grad()
def test_chunks_and_steps_give_the_whole(tmp_path: Path) -> None:
    for seed in (10,):
        model, loaded = saved(seed, tmp_path, streams=True)
        x = model.example(T=8, N=3)
        whole = listed(loaded(x.numpy()))
        for sizes in ([8], [1, 7], [2] * 4, [1] * 8):
            compared(streamed(loaded, x.numpy(), sizes), whole, 1e-6)
        stream = loaded.stream(3)
        results = [listed(stream.step(x[:, t].numpy())) for t in range(8)][-1]
        ends = [value[:, -1] if value.ndim == 3 else value for value in whole]
        compared(tuple(results), tuple(ends), 1e-6)


@torch.no_grad()
def test_rows_come_and_go(tmp_path: Path) -> None:
    _, loaded = saved(10, tmp_path, streams=True)
    draw = random.Random(3)
    x = Random(10, streams=True).example(T=30, N=8).numpy()
    stream, alone = loaded.stream(2), {0: loaded.stream(), 1: loaded.stream()}
    for t in range(30):
        way = draw.random()
        if way < 0.2:
            alone[stream.join()] = loaded.stream()
        elif way < 0.3 and len(alone) > 1:
            gone = draw.choice([*alone])
            stream.leave([gone])
            del alone[gone]
        elif way < 0.4:
            row = draw.choice([*alone])
            stream.reset([row])
            alone[row].reset()
        rows = draw.sample([*alone], draw.randint(1, len(alone)))
        assert stream.rows == tuple(sorted(alone))
        together = listed(stream.step(x[: len(rows), t], rows=rows))
        for k, row in enumerate(rows):
            single = listed(alone[row].step(x[k : k + 1, t]))
            compared(tuple(part[k : k + 1] for part in together), tuple(single), 1e-6)


def test_the_state_is_read_and_written(tmp_path: Path) -> None:
    _, loaded = saved(10, tmp_path, streams=True)
    x = Random(10, streams=True).example(T=6, N=1).numpy()
    stream, other = loaded.stream(), loaded.stream()
    stream.feed(x[:, :3])
    other.state = stream.state
    compared(other.feed(x[:, 3:]), stream.feed(x[:, 3:]), 0)
    name = next(iter(stream.state))
    for bad in ({}, {**stream.state, name: stream.state[name][..., :0]}, [1]):
        with pytest.raises(hr.HiddenStateError):
            other.state = bad


def test_a_stream_is_forked_saved_and_joined_from_a_state(tmp_path: Path) -> None:
    _, loaded = saved(10, tmp_path, streams=True)
    x = Random(10, streams=True).example(T=6, N=2).numpy()
    stream = loaded.stream(2)
    stream.feed(x[:, :3])
    stream.save(tmp_path / "state")
    other, again = stream.fork(), loaded.stream(2)
    again.load(tmp_path / "state")
    row, moved = stream.join(stream.state_of([1])), loaded.stream()
    moved.reset(to=stream.state_of([row]))
    wanted = other.feed(x[:, 3:])
    compared(again.feed(x[:, 3:]), wanted, 0)
    compared(moved.feed(x[1:, 3:]), tuple(part[1:] for part in listed(wanted)), 1e-6)
    assert any((part != other.state_of([0])[name]).any() for name, part in stream.state_of([0]).items())
    changed = Random(10, streams=True)
    changed.head.weight.data += 1
    hs.save(changed, tmp_path / "else.safetensors", args=(changed.example(),))
    (tmp_path / "cut").write_bytes((tmp_path / "state").read_bytes()[:-1])
    for model, rows, path in (
        (hr.load(tmp_path / "else.safetensors"), 2, "state"),
        (loaded, 1, "state"),
        (loaded, 2, "cut"),
        (loaded, 2, "else.safetensors"),
    ):
        with pytest.raises(hr.HiddenStateError, match="cannot load"):
            model.stream(rows).load(tmp_path / path)
    states: tuple[dict[str, Any], ...] = ({}, other.state)
    for bad in states:
        with pytest.raises(hr.HiddenStateError):
            stream.join(bad)


class Parts(nn.Module):
    """Gives its argument, a part of it, a weight and a part of that."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale = nn.GRU(3, 3, batch_first=True), nn.Parameter(torch.randn(1, 1, 3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)[0] * self.scale, x, x[..., :2], self.scale, self.scale[..., 1:]


def test_results_share_no_memory_with_the_model_or_the_arguments(tmp_path: Path) -> None:
    hs.save(Parts(), tmp_path / "model.safetensors", args=(torch.randn(2, 4, 3),))
    loaded = hr.load(tmp_path / "model.safetensors")
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    before = x.copy()
    wanted = [part.copy() for part in loaded(x)]
    for results in (loaded(x), loaded.stream(2).feed(x), loaded.stream(2).step(x[:, 0])):
        for part in results:
            part[...] = 7
    assert (x == before).all()
    compared(loaded(x), tuple(wanted), 0)


def test_what_does_not_fit_fails(tmp_path: Path) -> None:
    model, loaded = saved(10, tmp_path, streams=True)
    x = model.example(T=2, N=1).numpy()
    stream = loaded.stream()
    bad: tuple[Callable[[], Any], ...] = (
        lambda: loaded(),
        lambda: loaded(x, x),
        lambda: loaded(x[0]),
        lambda: loaded.stream(0),
        lambda: loaded.stream("two"),
        lambda: stream.step(x),
        lambda: stream.step(x[:, 0], rows=[1]),
        lambda: stream.step(x[:, 0], rows=[0, 0]),
        lambda: stream.leave([5]),
    )
    for call in bad:
        with pytest.raises(hr.HiddenStateError):
            call()
    with pytest.raises(hr.HiddenStateError, match="N and T are at least 1"):
        loaded(x[:, :0])
    width = x.shape[-1]
    for frame in (x, x[0, 0]):  # the shape that was given, and that of a step
        with pytest.raises(hr.HiddenStateError) as caught:
            stream.step(frame)
        assert f"has shape {list(frame.shape)}, expected [N, {width}]: one time step" in str(caught.value)


def test_a_model_of_all_steps_cannot_be_streamed(tmp_path: Path) -> None:
    seed = next(seed for seed in range(1, 99, 2) if "mean" in Random(seed).ways)
    _, loaded = saved(seed, tmp_path)
    with pytest.raises(hr.HiddenStateError, match="step by step"):
        loaded.stream()
    with pytest.raises(ArgumentError, match="without it"):
        hs.save(hs.GRU(2, 3), tmp_path / "x.safetensors", args=(torch.zeros(1, 2, 2),))


def damaged(path: Path, draw: random.Random) -> bytes:
    """Bytes of a model file with a few changed in the header, cut, or with other lengths of tensors."""
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    way = draw.random()
    if way < 0.3:
        return bytes(content[: draw.randrange(len(content))])
    if way < 0.8:
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(8, 8 + length)] = draw.choice(b'0129"[]{}NTx')
        return bytes(content)
    header = json.loads(content[8 : 8 + length])
    name = draw.choice([name for name in header if name != "__metadata__"])
    if way < 0.9:
        del header[name]
    else:
        header[name]["shape"] = [draw.choice((0, 1, 2**40)) for _ in header[name]["shape"]]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(content[8 + length :])


def attack(count: int, path: Path) -> None:
    for seed in (0, 3) if count > 100 else (0,):
        saved(seed, path)
        for k in range(count):
            content = damaged(path / "model.safetensors", random.Random(k))
            with suppress(hr.HiddenStateError):
                hr.load(content)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    attack(100, tmp_path)


@pytest.mark.slow
def test_many_damaged_files_are_refused(tmp_path: Path) -> None:
    attack(1_000, tmp_path)
