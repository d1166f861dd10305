"""Streams: reading in chunks equals reading everything at once."""

import copy
import functools
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

import hiddenstate as hs
from hiddenstate.base.files import write_tensors
from hiddenstate.engine import kernels, native
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConcurrentUseError,
    DeviceError,
    DtypeError,
    FileFormatError,
    IndexRangeError,
    RankError,
    ShapeError,
)
from hiddenstate.nn.packed_weights import fingerprint
from hiddenstate.nn.quantised import WeightType
from hiddenstate.nn.streams.stream_file import KIND
from support import LAYERS, assert_all_close, assert_close, layer_options, random_state, share


@given(layer_options(), st.integers(1, 3), st.lists(st.integers(0, 4), max_size=5), st.booleans())
def test_chunked_is_whole(options: dict[str, Any], N: int, chunks: list[int], with_state: bool) -> None:
    lstm = hs.LSTM(**{**options, "bidirectional": False, "batch_first": False})
    T = sum(chunks) + 1
    x = torch.randn(T, N, lstm.input_size, dtype=options["dtype"])
    state = random_state(lstm, N) if with_state else None
    want, (want_h, want_c) = lstm(x, state)
    stream = lstm.stream(batch=N)
    if state is not None:
        stream.state = state
    got = [stream.feed(chunk) for chunk in x[: T - 1].split(chunks)] if chunks else []
    got.append(stream.step(x[-1])[None])
    assert_all_close((torch.cat(got), *stream.state), (want, want_h, want_c))
    assert stream.t == T


def test_a_single_stream_takes_vectors() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 4)
    stream = lstm.stream()
    got = torch.stack([stream.step(step) for step in x])
    assert_close(got, lstm(x)[0].detach())
    assert stream.step(x[0]).shape == (3,)
    assert stream.step(x[:1]).shape == (1, 3)


def test_chunks_are_laid_out_as_the_lstms_input() -> None:
    lstm, x = hs.LSTM(4, 3, batch_first=True), torch.randn(2, 5, 4)
    stream = lstm.stream(batch=2)
    assert_close(torch.cat([stream.feed(x[:, :3]), stream.feed(x[:, 3:])], dim=1), lstm(x)[0].detach())
    with pytest.raises(RankError, match=r"a chunk must be \[N, T, C\]"):
        stream.feed(x[0])


def test_reset_of_some_rows_and_of_all() -> None:
    lstm, x = hs.LSTM(4, 3, 2), torch.randn(4, 3, 4)
    stream = lstm.stream(batch=3)
    stream.feed(x[:2])
    stream.reset(torch.tensor([True, False, True]))
    out = stream.feed(x[2:])
    flags = torch.zeros(4, 3, dtype=torch.bool)
    flags[2, [0, 2]] = True
    assert_close(out, lstm(x, reset=flags)[0][2:].detach())
    assert stream.t == 4
    stream.reset()
    assert stream.t == 0
    assert_close(stream.feed(x), lstm(x)[0].detach())


def test_steps_and_chunks_are_counted_together() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(7, 2, 3)
    stream = lstm.stream(batch=2)
    outs = [stream.step(x[0])[None], stream.step(x[1])[None], stream.feed(x[2:5]), stream.step(x[5])[None]]
    assert stream.t == 6
    with lstm.edit(hs.zero("l0.h", t=6)):
        assert not stream.step(x[6]).any()
    assert_close(torch.cat(outs), lstm(x)[0][:6].detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("each", [False, True])
def test_reset_to_a_state(dtype: torch.dtype, each: bool) -> None:
    """By mask, by rows, and for all: the other rows continue, and the following steps equal a call from that state."""
    lstm, x = hs.LSTM(4, 3, 2, proj_size=2).to(dtype), torch.randn(4, 3, 4).to(dtype)

    def state(n: int) -> tuple[Tensor, Tensor]:
        axes = (2, n) if each else (2,)
        return torch.randn(*axes, 2, dtype=dtype, requires_grad=True), torch.randn(*axes, 3, dtype=dtype)

    def spread(part: Tensor, n: int) -> Tensor:
        return (part if each else part[:, None].expand(-1, n, -1)).detach()

    for rows, chosen in (
        ([0, 2], {"rows": [2, 0]}),
        ([0, 2], {"mask": torch.tensor([True, False, True])}),
        ([0, 1, 2], {}),
    ):
        stream = lstm.stream(batch=3)
        stream.feed(x[:2])
        before = stream.state
        to = state(3 if "mask" in chosen or not chosen else len(rows))
        stream.reset(**chosen, to=to)
        for old, new, part in zip(before, stream.state, to, strict=True):
            want = spread(part, 2 if "rows" in chosen else 3)
            want = want.flip(1) if "rows" in chosen else want[:, rows]  # rows were named in reverse
            assert torch.equal(new[:, rows], want)
            left = [row for row in range(3) if row not in rows]
            assert torch.equal(new[:, left], old[:, left])
        assert stream.t == (2 if chosen else 0)
        now = stream.state
        assert_close(
            stream.step(x[2]).float(),
            lstm(x[2:3], now)[0][0].detach().float(),
            slack=1 if dtype is torch.float32 else 1000,
        )
        assert not stream.state[0].requires_grad


def test_reset_of_rows_by_number() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 3, 4)
    stream = lstm.stream(batch=3)
    stream.step(x[0])
    stream.reset(rows=1)
    h, c = stream.state
    assert not h[:, 1].any()
    assert not c[:, 1].any()
    assert h[:, [0, 2]].all()
    assert stream.t == 1
    assert_close(stream.step(x[1])[1], lstm(x[1:, 1:2])[0][0, 0].detach())


def test_a_state_given_to_a_reset_is_not_written() -> None:
    lstm = hs.LSTM(4, 3)
    for to in ((torch.ones(1, 3), torch.ones(1, 3)), (torch.ones(1, 2, 3), torch.ones(1, 2, 3))):
        stream = lstm.stream(batch=2)
        stream.reset(to=to)
        stream.step(torch.randn(2, 4))
        assert all(bool((part == 1).all()) for part in to)


def test_bad_resets_fail() -> None:
    stream = hs.LSTM(4, 3).stream(batch=2)
    good = Z(1, 3), Z(1, 3)
    with pytest.raises(ArgumentError, match="either a mask or rows=, got both"):
        stream.reset(Z(2, dtype=torch.bool), rows=[0])
    with pytest.raises(IndexRangeError, match="rows 0 to 1"):
        stream.reset(rows=[2], to=good)
    with pytest.raises(ArgumentTypeError, match="to must be a tuple of two"):
        stream.reset(to=Z(1, 3))
    with pytest.raises(ShapeError, match=r"h has shape \[1, 2, 3\], expected \[L, N, units\] = \[1, 1, 3\]"):
        stream.reset(rows=[1], to=(Z(1, 2, 3), Z(1, 2, 3)))
    with pytest.raises(ShapeError, match=r"c has shape \[1, 2, 3\], expected \[L, units\]"):
        stream.reset(to=(Z(1, 3), Z(1, 2, 3)))
    with pytest.raises(DtypeError, match="h dtype .* does not match"):
        stream.reset(to=(Z(1, 3).double(), Z(1, 3)))
    assert torch.equal(stream.state[0], Z(1, 2, 3))


def test_fork_goes_its_own_way() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 1, 4)
    stream = lstm.stream()
    stream.step(x[0])
    fork = stream.fork()
    assert fork.t == 1
    stream.step(x[1])
    assert_close(fork.feed(x[1:]), lstm(x)[0][1:].detach())
    assert stream.t == 2
    assert_close(stream.step(x[2]), lstm(x)[0][2].detach())


def test_state_is_a_copy_both_ways() -> None:
    stream = hs.LSTM(4, 3).stream()
    stream.state[0].fill_(9)
    assert not stream.state[0].any()
    given_state = torch.ones(1, 1, 3), torch.ones(1, 1, 3)
    stream.state = given_state
    for part in given_state:
        part.fill_(9)
    assert [part.unique().tolist() for part in stream.state] == [[1], [1]]


def test_a_state_of_any_stride() -> None:
    lstm, x = hs.LSTM(4, 3, 2), torch.randn(2, 4)
    h, c = torch.randn(2, 3, 2, 2).permute(0, 3, 2, 1)
    stream = lstm.stream(batch=2)
    stream.state = h, c
    fork = stream.fork()
    want = lstm(x[None], (h, c))[0][0].detach()
    assert_close(stream.step(x), want)
    fork.reset(torch.tensor([False, False]))
    assert_close(fork.step(x), want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    """The weights' type is always used: steps on packed weights, chunks, and steps before packing."""
    lstm, x = hs.LSTM(4, 33), torch.randn(20, 3, 4)
    packed, fresh = lstm.stream(batch=3), lstm.stream(batch=3)
    want, state = lstm(x.to(dtype).float())
    got = [packed.step(x[0].to(dtype).float())[None]]
    with torch.autocast("cpu", torch.bfloat16):
        got += [packed.step(x[1].to(dtype))[None], packed.feed(x[2:4].to(dtype)), packed.feed(x[4:].to(dtype))]
        others = torch.stack([fresh.step(step) for step in x.to(dtype)])
        fresh.state = (state[0].bfloat16(), state[1].bfloat16())
    assert_all_close((torch.cat(got), others), (want.detach(), want.detach()))
    fresh.step(x[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", LAYERS)
def test_steps_in_half_precision_are_packed(kind: Any, dtype: torch.dtype) -> None:
    """They are those of a call, bit for bit: c stays in float32, and in float16 h as well."""
    lstm, x = kind(4, 17, 2).to(dtype), torch.randn(19, 3, 4).to(dtype)
    stream = lstm.stream(batch=3)
    outs = [stream.step(x[0]), *stream.feed(x[1:3]), *map(stream.step, x[3:6]), *stream.feed(x[6:13])]
    assert stream.path(x[0]).name == "packed"
    assert stream._quick is not None
    outs += [stream.step(step, out=torch.empty(3, 17, dtype=dtype)) for step in x[13:]]
    got, (want, state) = torch.stack(outs), lstm(x)
    assert got.dtype is dtype
    assert torch.equal(got, want)
    assert all(map(torch.equal, flat(stream.state), flat(state)))
    before = stream.state_of([1, 2])
    stream.step(x[0][:1], rows=[0])
    assert all(map(torch.equal, flat(stream.state_of([1, 2])), flat(before)))


def flat(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def test_copies_of_a_stream_go_their_own_way() -> None:
    stream, x = hs.LSTM(4, 3).stream(), torch.randn(3, 4)
    stream.step(x[0])
    other = copy.deepcopy(stream)
    want = stream.step(x[1])
    del stream
    assert torch.equal(other.step(x[1]), want)


def test_save_and_load(tmp_path: Path) -> None:
    lstm, x = hs.LSTM(4, 3, 2, proj_size=2), torch.randn(5, 2, 4)
    stream = lstm.stream(batch=2)
    stream.feed(x[:3])
    stream.save(tmp_path / "state.safetensors")
    other = lstm.stream(batch=2)
    other.load(tmp_path / "state.safetensors")
    assert other.t == 3
    assert torch.equal(other.feed(x[3:]), stream.feed(x[3:]))
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_states_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    """The cell state and, in float16, h as well."""
    lstm, x = hs.LSTM(4, 3, 2, dtype=dtype), torch.randn(9, 2, 4).to(dtype)
    stream = lstm.stream(batch=2)
    stream.feed(x[:3])
    stream.save(tmp_path / "state.safetensors")
    loaded, assigned, reset, rounded = (lstm.stream(batch=2) for _ in range(4))
    loaded.load(tmp_path / "state.safetensors")
    assigned.state = stream._state
    reset.reset(to=stream._state)
    rounded.state = stream.state
    assert [part.dtype for part in stream._state] == [torch.float32 if dtype is torch.float16 else dtype, torch.float32]
    for narrow, exact, same, other in zip(stream.state, stream._state, loaded._state, rounded._state, strict=True):
        assert narrow.dtype is dtype
        assert exact.dtype is dtype or not torch.equal(exact, narrow.float()), "so that something can be lost"
        assert torch.equal(same, exact)
        assert torch.equal(other, narrow.to(other.dtype))
    old = stream.__getstate__() | {"_state": stream.state}  # as pickled where nothing is kept in float32
    unpickled = copy.copy(stream)
    unpickled.__setstate__(old)
    exactly = (stream.fork(), pickle.loads(pickle.dumps(stream)), loaded, assigned, reset)
    for streams in (exactly, (unpickled, rounded)):
        outs = [one.feed(x[3:]) for one in streams]
        assert all(torch.equal(out, outs[0]) for out in outs)
        assert all(torch.equal(one._state[1], streams[0]._state[1]) for one in streams)
    assert not torch.equal(loaded._state[1], rounded._state[1])
    with pytest.raises(DtypeError, match=r"c dtype \(torch.float64\)"):
        stream.state = (stream.state[0], stream.state[1].double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_state_in_float32_is_rounded_where_none_is_kept(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstm, x = hs.LSTM(4, 3, dtype=dtype), torch.randn(2, 4).to(dtype)
    stream = lstm.stream(batch=2)
    stream.step(x)
    stream.save(tmp_path / "state.safetensors")
    want, out = stream.state, stream.step(x)
    monkeypatch.setattr(kernels, "_chosen", {cell: {} for cell in kernels.CELLS})
    loaded = lstm.stream(batch=2)
    loaded.load(tmp_path / "state.safetensors")
    assert all(part.dtype is dtype for part in loaded._state)
    assert all(map(torch.equal, loaded.state, want))
    assert torch.allclose(loaded.step(x), out, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_off_the_cpu_states_keep_the_weights_type(dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(4, 3, dtype=dtype, device="meta"), torch.empty(2, 4, dtype=dtype, device="meta")
    stream = lstm.stream(batch=2)
    for _ in range(2):
        assert stream.step(x).dtype is dtype
    assert all(part.dtype is dtype for part in stream._state)
    stream.state = stream.state


def test_many_bfloat16_steps_are_the_whole_call_and_no_worse_than_it() -> None:
    """A memory that hardly fades adds up thousands of small numbers, which would be lost with a bfloat16 cell state."""
    lstm, x = hs.LSTM(8, 33, dtype=torch.bfloat16), torch.randn(3000, 1, 8).bfloat16()
    with torch.no_grad():
        lstm.weight("l0.b_if").fill_(6.0)
        lstm.weight("l0.b_ii").fill_(-4.0)
        exact = copy.deepcopy(lstm).double()
        stream = lstm.stream()
        got = torch.stack([stream.step(step) for step in x])
        whole, (h_n, _) = lstm(x)
        want, (_, c_n) = exact(x.double())
    assert torch.equal(got, whole)
    assert torch.equal(stream.state[0], h_n)
    assert share(got, want) <= 6e-3
    assert share(stream._state[1], c_n) <= 1e-3, "finer than bfloat16"


def resident() -> int:
    """The current memory of this process in bytes, if the system reports it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer keeps freed memory")
def test_a_hundred_thousand_steps_leave_nothing_behind() -> None:
    lstm, x = hs.LSTM(8, 8), torch.randn(8)
    stream, chunk = lstm.stream(), torch.randn(6, 1, 8)

    def run(steps: int) -> None:
        for _ in range(steps):
            stream.step(x)
        for _ in range(steps // 100):
            stream.feed(chunk)

    run(5000)
    gc.collect()
    memory, objects = resident(), sys.getallocatedblocks()
    run(100_000)
    gc.collect()
    assert resident() - memory < 4 * 100_000, "less than a float a step"
    assert sys.getallocatedblocks() - objects < 1000
    assert stream.state[0].isfinite().all()


@pytest.mark.parametrize("weights", ["float", "int8"])
def test_a_state_loads_only_into_a_layer_with_the_same_weights(weights: WeightType, tmp_path: Path) -> None:
    lstm, x, file = hs.LSTM(4, 3, weights=weights), torch.randn(4), tmp_path / "state.safetensors"
    stream = lstm.stream()
    stream.step(x)
    stream.save(file)
    other = hs.LSTM(4, 3, weights=weights).stream()
    other.step(x)
    before = other.state
    with pytest.raises(FileFormatError, match=r"computed with other weights .* assign it to stream\.state"):
        other.load(file)
    assert all(torch.equal(a, b) for a, b in zip(other.state, before, strict=True))
    assert other.t == 1
    copied = copy.deepcopy(lstm).stream()
    copied.load(file)
    assert torch.equal(copied.step(x), stream.step(x))
    lstm._like().data.mul_(2)  # torch does not record this write
    with pytest.raises(FileFormatError, match="computed with other weights"):
        lstm.stream().load(file)
    state = load_file(file)
    other.state = state["h"], state["c"]  # as the message says
    assert torch.equal(other.state[0], state["h"])


class WithState(hs.LSTM):
    """A layer that holds more than its weights: a counter, and a state that is no tensor."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros(()))

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"version": 1}


def test_only_its_weights_decide_whether_a_layer_continues_a_state(tmp_path: Path) -> None:
    lstm, x, file = WithState(4, 3), torch.randn(4), tmp_path / "state.safetensors"
    weight_norm(lstm, "weight_hh_l0")
    stream = lstm.stream()
    stream.step(x)
    stream.save(file)
    lstm.calls += 1
    remove_parametrizations(lstm, "weight_hh_l0")  # keeps the weights
    loaded = lstm.stream()
    loaded.load(file)
    assert torch.equal(loaded.step(x), stream.step(x))
    plain = hs.LSTM(4, 3)
    plain.load_state_dict({name: value for name, value in lstm.state_dict().items() if name.endswith("l0")})
    plain.stream().load(file)


def test_a_state_of_another_cell_is_not_called_damaged(tmp_path: Path) -> None:
    layers: dict[str, Any] = {"LSTM": hs.LSTM(4, 3), "GRU": hs.GRU(4, 3), "RNN_TANH": hs.RNN(4, 3)}
    layers["RNN_RELU"] = hs.RNN(4, 3, nonlinearity="relu")
    layers["RNN_RELU"].load_state_dict(layers["RNN_TANH"].state_dict())  # only the cell differs
    for name, layer in layers.items():
        layer.stream().save(tmp_path / name)
    for name, layer in layers.items():
        for saved in layers.keys() - {name}:
            with pytest.raises(FileFormatError, match=f"of the cell '{saved}', expected '{name}': load it into"):
                layer.stream().load(tmp_path / saved)
        layer.stream().load(tmp_path / name)


def test_a_state_without_a_record_of_its_weights_fails(tmp_path: Path) -> None:
    file, zero = tmp_path / "state", torch.zeros(1, 1, 3)
    write_tensors(file, KIND, {"h": zero, "c": zero}, {"t": "1", "finite": "True"})
    with pytest.raises(FileFormatError, match="does not record which weights its state belongs to: an earlier version"):
        hs.LSTM(4, 3).stream().load(file)


def test_load_of_another_state_fails(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    hs.LSTM(4, 3).stream().save(file)
    stream = hs.LSTM(4, 5).stream()
    before = stream.state
    with pytest.raises(FileFormatError, match=r"does not fit this LSTM and batch: h has shape \[1, 1, 3\], expected"):
        stream.load(file)
    with pytest.raises(FileFormatError, match="float64"):
        hs.LSTM(4, 3).double().stream().load(file)
    file.write_bytes(b"not tensors")
    with pytest.raises(FileFormatError, match="not a safetensors file, or is damaged"):
        stream.load(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        stream.load(tmp_path / "absent")
    assert all(torch.equal(a, b) for a, b in zip(stream.state, before, strict=True))


@pytest.mark.parametrize(
    ("t", "number", "message"),
    [("-7", 0.0, "number of steps is -7"), (str(2**80), 0.0, "number of steps"), ("9" * 5000, 0.0, "damaged")]
    + [("1", number, "not finite") for number in (float("nan"), float("inf"))],
)
def test_load_of_what_no_stream_saves_fails(t: str, number: float, message: str, tmp_path: Path) -> None:
    file, lstm = tmp_path / "state", hs.LSTM(4, 3)
    stream = lstm.stream()
    stream.step(torch.zeros(4))
    before = stream.state
    state = torch.full((1, 1, 3), number)
    about = {"t": t, "finite": "True", "cell": "LSTM", "weights": fingerprint(lstm.state_dict())}
    write_tensors(file, KIND, {"h": state, "c": torch.zeros(1, 1, 3)}, about)
    with pytest.raises(FileFormatError, match=message):
        stream.load(file)
    assert stream.t == 1
    assert all(torch.equal(a, b) for a, b in zip(stream.state, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_state_that_is_not_finite_is_saved_and_loaded_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    """As in torch, a lost value only affects its own row."""
    stream = hs.LSTM(4, 3, dtype=dtype).stream(batch=2)
    stream.step(torch.tensor([[0.0] * 4, [float("nan")] * 4], dtype=dtype))
    stream.save(tmp_path / "state")
    other = stream.fork()
    other.reset()
    other.load(tmp_path / "state")
    x = torch.ones(2, 4, dtype=dtype)
    got, want = other.step(x), stream.step(x)
    assert torch.equal(got.isnan(), torch.tensor([[False] * 3, [True] * 3]))
    assert torch.equal(got[0], want[0])
    assert other.t == stream.t == 2


def test_no_gradients_no_dropout() -> None:
    lstm, x = hs.LSTM(4, 3, 2, dropout=0.9), torch.randn(4, 1, 4, requires_grad=True)
    out = lstm.stream().feed(x)
    assert not out.requires_grad
    assert_close(out, lstm.eval()(x)[0].detach())


def test_a_state_of_another_type_is_never_read_as_numbers() -> None:
    lstm = hs.LSTM(4, 3).double()
    stream = lstm.stream()
    lstm.float()
    with pytest.raises(DtypeError, match="is now torch.float32 on cpu, .* state of torch.float64 on cpu"):
        stream.step(torch.zeros(4))


def test_inputs_of_any_stride_and_with_a_gradient() -> None:
    lstm = hs.LSTM(4, 3)
    for x in (torch.randn(4, 2).T, torch.randn(1, 4).expand(2, 4), torch.randn(2, 8)[:, ::2], torch.randn(2, 4)):
        x = x.detach().requires_grad_()
        got = lstm.stream(batch=2).step(x)
        assert not got.requires_grad
        assert_close(got, lstm(x[None])[0][0].detach())


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_quick_steps_read_what_lies_in_memory(table: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's function table and, as in older versions, without it."""
    if not table:
        monkeypatch.delattr(torch.Tensor, "__dlpack_c_exchange_api__", raising=False)
    lstm, atol = hs.LSTM(3, 5, dtype=dtype), 1e-2 if dtype is torch.bfloat16 else 1e-5
    stream, numbers = lstm.stream(batch=2), torch.randn(4, 6, dtype=dtype)
    read = [numbers[:2, :3].contiguous(), numbers.flatten()[7:13].view(2, 3), numbers[:2, :3].clone().requires_grad_()]
    left = [
        numbers[:2, ::2],
        numbers[:3, :2].T,
        numbers[:1, :3].expand(2, 3),
        torch._neg_view(read[0]),
    ]
    for x in (*read, *left):
        stream.step(torch.zeros(2, 3, dtype=dtype))
        state, quick = stream.state, stream._quick
        assert quick is not None
        done = quick.step(x, None)
        assert (done is not None) is any(x is one for one in read)
        if done is not None:
            torch.testing.assert_close(done, lstm(x[None].detach(), state)[0][0].detach(), atol=atol, rtol=0)
        stream.reset()
        want = lstm(torch.stack([x, x]).detach())[0].detach()
        out = torch.empty(2, 5, dtype=dtype)
        torch.testing.assert_close(stream.step(x), want[0], atol=atol, rtol=0)
        torch.testing.assert_close(stream.step(x, out=out), want[1], atol=atol, rtol=0)
        torch.testing.assert_close(out, want[1], atol=atol, rtol=0)
        stream.reset()


@pytest.mark.parametrize("table", [True, False])
def test_what_does_not_lie_in_memory_is_refused_after_quick_steps(table: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not table:
        monkeypatch.delattr(torch.Tensor, "__dlpack_c_exchange_api__", raising=False)
    stream = hs.LSTM(3, 5).stream()
    for _ in range(2):
        stream.step(torch.zeros(1, 3))
    refused: list[tuple[Tensor, type[Exception]]] = [
        (torch.zeros(1, 3, device="meta"), DeviceError),
        (torch.zeros(1, 3, dtype=torch.float64), DtypeError),
        (torch.zeros(1, 3, dtype=torch.int32), DtypeError),
        (torch.zeros(1, 4), ShapeError),
        (torch.zeros(0, 3), ShapeError),
        (torch.zeros(()), RankError),
        (torch.zeros(1, 1, 3), RankError),
    ]
    for x, error in refused:
        with pytest.raises(error):
            stream.step(x)
    with pytest.raises(DeviceError):
        stream.step(torch.zeros(1, 3), out=torch.empty(1, 5, device="meta"))
    assert stream.t == 2


@given(st.sampled_from([1, 2, 3, 17]), st.sampled_from([1, 3, 8, 65]), st.integers(1, 3), st.booleans())
def test_single_steps_of_any_size(N: int, H: int, L: int, bias: bool) -> None:
    lstm, x = hs.LSTM(5, H, L, bias=bias), torch.randn(6, N, 5)
    stream = lstm.stream(batch=N)
    got = torch.stack([stream.step(step) for step in x])
    with hs.backend("reference"), torch.no_grad():
        want, state = lstm(x)
    assert_all_close((got, *stream.state), (want, *state))


def test_streams_side_by_side_in_threads() -> None:
    """Forks share only the packed weights."""
    lstm, x = hs.LSTM(16, 65, 2), torch.randn(8, 50, 16)
    first = lstm.stream()
    streams = [first, *(first.fork() for _ in range(7))]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda k: torch.stack([streams[k].step(step) for step in x[k]]), range(8)))
    with torch.no_grad():
        want = lstm(x.transpose(0, 1))[0].transpose(0, 1)
    assert_close(torch.stack(got), want)


def test_edits_count_the_streams_steps() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 1, 4)
    value = torch.randn(2, 1, 1)
    edits = [hs.set("l0.c", to=value, t=[1, 3]), hs.scale("l0.o", by=0.5, t=slice(2, None), scope="readout")]
    with lstm.edit(*edits):
        want = lstm(x)[0].detach()
        stream = lstm.stream()
        got = torch.cat([stream.feed(x[:1]), stream.feed(x[1:2]), stream.feed(x[2:])])
    assert_close(got, want)


def test_edits_without_an_end_fail() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 1, 4)
    stream = lstm.stream()
    with lstm.edit(hs.zero("l0.c", t=-1)), pytest.raises(IndexRangeError, match="a stream has no end"):
        stream.feed(x)
    with lstm.edit(hs.zero("l0.c", t=slice(-2, None))), pytest.raises(IndexRangeError, match="a stream has no end"):
        stream.feed(x)
    with (
        lstm.edit(hs.zero("l0.c", t=slice(None, None, -1))),
        pytest.raises(IndexRangeError, match="a stream has no end"),
    ):
        stream.feed(x)
    with (
        lstm.edit(hs.set("l0.c", to=torch.zeros(5, 1, 1), t=[3, 4])),
        pytest.raises(ArgumentError, match=r"= \[2, 1, 3\]"),
    ):
        stream.feed(x)
    with lstm.edit(hs.set("l0.c", to=torch.zeros(2, 1, 1))):
        stream.feed(x[:2])
        with pytest.raises(ArgumentError, match="has values for 2 steps, but the stream has reached step 2"):
            stream.step(x[2])


Z = torch.zeros
BAD_STEPS: list[tuple[Any, type[Exception], str]] = [
    (Z(2, 2, 4), RankError, r"a step must be \[N, C\], got 3D of shape \[2, 2, 4\]; feed\(\) takes chunks"),
    (Z(4), RankError, r"a step must be \[N, C\], got 1D"),
    (Z(3, 4), ShapeError, r"got \[3, 4\] features per step, expected \[N, C\] = \[2, 4\].*made for batch=2"),
    (Z(2, 5), ShapeError, r"got \[2, 5\]"),
    (Z(2, 4).double(), DtypeError, r"x dtype \(torch.float64\)"),
    (Z(2, 4, device="meta"), DeviceError, "x is on meta"),
    ([1, 2], ArgumentTypeError, "x must be a torch.Tensor, got list"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_STEPS)
def test_bad_steps_fail_and_change_nothing(x: Any, error: type[Exception], message: str) -> None:
    stream = hs.LSTM(4, 3).stream(batch=2)
    with pytest.raises(error, match=message):
        stream.step(x)
    assert stream.t == 0


def test_bad_chunks_states_and_masks_fail() -> None:
    stream = hs.LSTM(4, 3).stream(batch=2)
    with pytest.raises(RankError, match=r"a chunk must be \[T, N, C\], got 2D"):
        stream.feed(Z(2, 4))
    with pytest.raises(ArgumentTypeError, match="state must be a tuple of two tensors"):
        stream.state = Z(1, 2, 3)
    with pytest.raises(ShapeError, match=r"c has shape \[1, 2, 4\], expected \[L, N, units\] = \[1, 2, 3\]"):
        stream.state = (Z(1, 2, 3), Z(1, 2, 4))
    with pytest.raises(ArgumentTypeError, match=r"mask must be a bool tensor .* got torch.int64: .* with \.bool\(\)"):
        stream.reset(Z(2, dtype=torch.long))
    with pytest.raises(ArgumentTypeError, match=r"numbers of rows with torch\.isin"):
        stream.reset([0, 1])  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match=r"got ndarray: convert it with torch\.as_tensor\(mask, dtype"):
        stream.reset(np.zeros(2, bool))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"mask has shape \[3\], expected \[N\] = \[2\]"):
        stream.reset(Z(3, dtype=torch.bool))


def test_bad_streams_fail() -> None:
    with pytest.raises(ArgumentError, match="a bidirectional LSTM can't be streamed"):
        hs.LSTM(4, 3, bidirectional=True).stream()
    with pytest.raises(ArgumentError, match="batch must be at least 1, got 0"):
        hs.LSTM(4, 3).stream(batch=0)
    with pytest.raises(ArgumentTypeError, match="batch should be of type int, got: float"):
        hs.LSTM(4, 3).stream(batch=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [(), (hs.LSTM(4, 3),), (hs.GRU(4, 3), 2), (nn.Linear(2, 2),)])
def test_a_stream_is_created_by_its_layer(given: tuple[Any, ...]) -> None:
    with pytest.raises(ArgumentTypeError, match=r"create a stream with layer\.stream\(batch=1\)"):
        hs.Stream(*given)


def test_repr() -> None:
    stream = hs.LSTM(4, 3).stream(batch=2)
    stream.feed(torch.zeros(3, 2, 4))
    assert repr(stream) == "Stream(batch=2, t=3)"
    assert isinstance(stream.state[0], Tensor)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numpy_in_and_out(batch: int, dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(4, 17, 2, dtype=dtype), torch.randn(6, batch, 4, dtype=dtype)
    want = lstm(x)[0].detach().numpy()
    stream = lstm.stream(batch=batch)
    for t in range(4):
        got = stream.step(x[t].numpy())
        assert type(got) is np.ndarray
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want[t], atol=1e-5)
    np.testing.assert_allclose(stream.feed(x[4:].numpy()), want[4:], atol=1e-5)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_out_is_written_and_given_back(kind: str) -> None:
    lstm, x = hs.LSTM(4, 17), torch.randn(5, 1, 4)
    want = lstm(x)[0].detach()
    stream, out = lstm.stream(), torch.full((17,), float("nan"))
    for t in range(5):  # the first step takes the general path, later ones the fast one
        if kind == "torch":
            assert stream.step(x[t, 0], out=out) is out
        else:
            shared = out.numpy()
            assert stream.step(x[t, 0].numpy(), out=shared) is shared
        assert_close(out, want[t, 0])


@pytest.mark.parametrize("steps_before", [0, 2])
def test_an_out_that_does_not_fit(steps_before: int) -> None:
    lstm = hs.LSTM(4, 17)
    stream, x = lstm.stream(), torch.zeros(1, 4)
    for _ in range(steps_before):
        stream.step(x)
    with pytest.raises(ShapeError, match=r"out has shape \[17\], expected \[1, 17\]"):
        stream.step(x, out=torch.zeros(17))
    with pytest.raises(DtypeError, match=r"out dtype \(torch.float64\)"):
        stream.step(x, out=torch.zeros(1, 17, dtype=torch.float64))
    with pytest.raises(ArgumentTypeError, match="out is a ndarray and x a Tensor: give two tensors or two arrays"):
        stream.step(x, out=np.zeros((1, 17), np.float32))  # type: ignore[type-var]
    assert stream.t == steps_before


def test_an_out_in_the_middle_of_another() -> None:
    lstm, x, buffer = hs.LSTM(4, 3), torch.randn(4, 1, 4), torch.zeros(4, 6)
    want, stream = lstm(x)[0].detach(), lstm.stream()
    for t in range(4):
        stream.step(x[t, 0], out=buffer[t, ::2])
    assert_close(buffer[:, ::2], want[:, 0])
    assert (buffer[:, 1::2] == 0).all()


def test_what_comes_between_steps_is_seen() -> None:
    """The fast path is left as soon as anything blocks it, and taken again afterwards."""
    lstm, x = hs.LSTM(4, 9), torch.randn(12, 1, 4)
    stream, whole = lstm.stream(), []
    h = torch.zeros(1, 1, 9), torch.zeros(1, 1, 9)

    def both(t: int) -> None:
        nonlocal h
        out, h = lstm(x[t : t + 1], h)
        whole.append((stream.step(x[t]), out[0].detach()))

    both(0)
    both(1)
    with hs.backend("reference"):
        both(2)
    both(3)
    with lstm.edit(hs.zero("l0.c", unit=2)):
        both(4)
    both(5)
    with torch.no_grad():
        lstm.weight("l0.W_hf").mul_(0.5)
    both(6)
    both(7)
    next(lstm.parameters()).data = torch.randn(36, 4)
    both(8)
    lstm.bias_hh_l0 = torch.nn.Parameter(torch.randn(36))
    both(9)
    h = torch.zeros(1, 1, 9), torch.zeros(1, 1, 9)
    stream.reset()
    both(10)
    both(11)
    for got, want in whole:
        assert_close(got, want)


def test_one_stream_in_two_threads_is_refused() -> None:
    lstm = hs.LSTM(900, 900)
    stream, x = lstm.stream(), torch.zeros(1, 900)
    stream.step(x)

    def run() -> None:
        for _ in range(200):
            stream.step(x)

    with ThreadPoolExecutor(4) as pool:
        ended = [pool.submit(run).exception() for _ in range(1)] + [
            done.exception() for done in [pool.submit(run) for _ in range(4)]
        ]
    assert ended[0] is None, "alone it is served"
    refused = [error for error in ended if error is not None]
    assert refused
    assert all(isinstance(error, ConcurrentUseError) for error in refused)
    assert "use one stream per thread" in str(refused[0])
    stream.step(x)


def test_streams_of_one_lstm_in_eight_threads() -> None:
    lstm, x = hs.LSTM(16, 130, 2), torch.randn(8, 60, 1, 16)
    want = lstm(x[:, :, 0].transpose(0, 1))[0].detach()

    def run(k: int) -> Tensor:
        stream = lstm.stream()
        return torch.stack([stream.step(step)[0] for step in x[k]])

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(run, range(8)))
    for k in range(8):
        assert_close(got[k], want[:, k])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_are_the_same_with_any_number_of_threads(dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(40, 300, 2).to(dtype).eval(), torch.randn(600, 1, 40, dtype=dtype)
    outputs = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            stream = lstm.stream()  # with several threads: first one, then all, then whichever is faster
            outputs.append(torch.stack([stream.step(step) for step in x]))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(out, outputs[0]) for out in outputs[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
def test_results_are_tensors_of_their_own(dtype: torch.dtype, batch: int) -> None:
    lstm, x = hs.LSTM(5, 40).to(dtype).eval(), torch.randn(200, batch, 5, dtype=dtype)
    want, stream = lstm(x)[0].detach(), lstm.stream(batch=batch)
    whole, views = {}, {}
    for k, step in enumerate(x):
        one = stream.step(step)
        if k % 3:
            whole[k] = one
        else:
            views[k] = one.view(-1, 40)[:, 1:]  # the only remaining reference
    assert all(torch.equal(out, want[k]) for k, out in whole.items())
    assert all(torch.equal(out, want[k][:, 1:]) for k, out in views.items())
    assert (one.dtype, one.is_contiguous(), one.requires_grad, one._version) == (dtype, True, False, 0)
    assert one.data_ptr() % 64 == 0
    with torch.inference_mode():
        assert stream.step(x[0]).is_inference()
    threading.Thread(target=whole.clear).start()  # a tensor may be freed by a different thread than its creator


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_made_in_inference_mode_are_packed_once(dtype: torch.dtype) -> None:
    """They have no version, so only their replacement is detected."""
    with torch.inference_mode():
        lstm, x = hs.LSTM(5, 40, 2, dtype=dtype).eval(), torch.randn(4, 1, 5, dtype=dtype)
        assert lstm._parameter("weight_hh_l0").is_inference()
        stream = lstm.stream()
        with mock.patch.object(native, "pack", wraps=native.pack) as pack:
            outs = [stream.step(step) for step in x]
            assert pack.call_count == 1
        assert stream._quick is not None
        assert stream._quick.step(x[0], None) is not None
        torch.testing.assert_close(torch.stack(outs), lstm(x)[0])
        stream.reset()
        lstm.weight_ih_l0 = nn.Parameter(torch.randn(160, 5, dtype=dtype), requires_grad=False)
        torch.testing.assert_close(stream.step(x[0]), lstm(x[:1])[0][0])
        lstm._parameter("weight_ih_l0").zero_()  # in-place writes are not detected, until the stream is notified
        stream.reset()
        torch.testing.assert_close(stream.step(x[0]), lstm(x[:1])[0][0])
    with torch.no_grad():  # outside too
        torch.testing.assert_close(stream.step(x[1]), lstm(x[:2])[0][1])


def test_a_dispatch_mode_sees_steps() -> None:
    class Seen(TorchDispatchMode):
        names: ClassVar[list[str]] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    lstm, x = hs.LSTM(5, 40).eval(), torch.randn(3, 1, 5)
    want, stream = lstm(x)[0].detach(), lstm.stream()
    assert torch.equal(stream.step(x[0]), want[0])
    with Seen():  # type: ignore[no-untyped-call]
        assert torch.equal(stream.step(x[1]), want[1])
    assert any("empty" in name for name in Seen.names)
    assert torch.equal(stream.step(x[2]), want[2])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not listed here")
def test_streams_go_on_from_what_others_found_out() -> None:
    """A short stream has no time to measure whether several threads are faster, so it uses earlier results."""
    code = """
import os, torch, hiddenstate as hs
torch.set_num_threads(2)
lstm, x = hs.LSTM(40, 300).eval(), torch.randn(40)
before = len(os.listdir("/proc/self/task"))
for _ in range(1000):
    stream = lstm.stream()
    stream.step(x), stream.step(x)
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_autocast_changes_nothing_in_a_stream() -> None:
    lstm, x = hs.LSTM(4, 9, proj_size=3), torch.randn(3, 1, 4)
    plain, cast = lstm.stream(), lstm.stream()
    for t in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = cast.step(x[t].bfloat16() if t == 1 else x[t])
        want = plain.step(x[t].bfloat16().float() if t == 1 else x[t])
        assert torch.equal(got, want)


def test_a_stream_at_work_lets_no_one_change_it() -> None:
    lstm = hs.LSTM(1024, 1024)
    stream, x = lstm.stream(), torch.zeros(1, 1024)
    for _ in range(2):
        stream.step(x)

    at_work = threading.Event()
    at_work.set()

    def work() -> None:
        try:
            for _ in range(30):
                stream.step(x)
        finally:
            at_work.clear()

    def disturb() -> None:
        while at_work.is_set():
            stream.reset()

    with ThreadPoolExecutor(2) as pool:
        ended = [run.exception() for run in [pool.submit(work), pool.submit(disturb)]]
    assert any(isinstance(error, ConcurrentUseError) for error in ended)
    stream.step(x)


@pytest.mark.parametrize("kind", ["read-only", "overlapping", "a leaf"])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_an_out_that_can_not_be_written(kind: str, steps_before: int) -> None:
    stream, x = hs.LSTM(4, 3).stream(), torch.zeros(4)
    for _ in range(steps_before):
        stream.step(x)
    outs: dict[str, tuple[Any, Any]] = {
        "read-only": (x.numpy(), np.frombuffer(bytes(12), np.float32)),
        "overlapping": (x, torch.zeros(1).expand(3)),
        "a leaf": (x, torch.zeros(3, requires_grad=True)),
    }
    given, out = outs[kind]
    with pytest.raises(ArgumentError, match="out"):
        stream.step(given, out=out)
    assert stream.t == steps_before


def test_an_out_that_was_saved_for_a_gradient_is_noticed() -> None:
    stream, x, out = hs.LSTM(4, 3).stream(), torch.zeros(4), torch.zeros(3)
    stream.step(x)
    loss = (torch.ones(3, requires_grad=True) * out).sum()
    stream.step(x, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_an_lstm_that_holds_its_stream_is_collected() -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream()
    for _ in range(2):
        stream.step(torch.zeros(4))
    lstm.register_forward_hook(functools.partial(print, stream))
    gone = weakref.ref(lstm)
    del lstm, stream
    gc.collect()
    assert gone() is None


def test_a_fork_leaves_the_packed_weights_alone() -> None:
    stream = hs.LSTM(4, 3).stream()
    stream.step(torch.zeros(4))
    packed = stream._packed.stepper()
    other = stream.fork()
    assert torch.equal(other.step(torch.zeros(4)), stream.step(torch.zeros(4)))
    assert stream._packed.stepper() is packed


@pytest.mark.parametrize("part", [0, 1])
def test_a_state_whose_memory_was_freed_is_refused(part: int) -> None:
    stream, state = hs.LSTM(4, 3).stream(), [torch.ones(1, 1, 3), torch.ones(1, 1, 3)]
    state[part].untyped_storage().resize_(0)
    with pytest.raises(DtypeError, match=f"{'hc'[part]} has shape .* its memory was freed: its storage has 0 bytes"):
        stream.state = (state[0], state[1])
    assert not any(value.any() for value in stream.state)


def test_memory_to_write_into_that_was_freed_is_refused() -> None:
    stream, out = hs.LSTM(4, 3).stream(), torch.empty(3)
    out.untyped_storage().resize_(0)
    for _ in range(2):
        with pytest.raises(DtypeError, match="out has shape .* its memory was freed"):
            stream.step(torch.zeros(4), out=out)
        stream.step(torch.zeros(4))


@pytest.mark.parametrize("batch", [2**62, 2**64, 10**400, 10**5000], ids=["2^62", "2^64", "10^400", "10^5000"])
def test_a_batch_for_which_there_is_no_memory_is_refused(batch: int) -> None:
    with pytest.raises(
        ArgumentError, match="the state of a stream with batch=.* bytes, more than the available memory"
    ) as raised:
        hs.LSTM(4, 3).stream(batch)
    assert len(str(raised.value)) < 500


def test_arrays_that_torch_cannot_read_are_refused() -> None:
    stream, x = hs.LSTM(4, 3).stream(2), np.zeros((2, 4), np.float32)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (
            x[::-1],
            ArgumentError,
            r"strides \(-16, 4\), expected non-negative multiples of its .* bytes: give np.ascontiguousarray\(x\)",
        ),
        (x.astype(">f4"), DtypeError, r"which torch does not have: convert it with x.astype\(np.float32\)"),
        (x.astype(np.longdouble), DtypeError, "which torch does not have"),
        (x.astype(int), DtypeError, r"Convert x: x.to\(torch.float32\)$"),
    ]
    for _ in range(2):  # a step has then taken the fast path
        for value, error, message in wrong:
            with pytest.raises(error, match=message):
                stream.step(value)
        with pytest.raises(ArgumentError, match="out is a NumPy array with strides"):
            stream.step(x, out=np.zeros((2, 3), np.float32)[::-1])
        stream.step(x)


def test_an_array_that_may_not_be_written_is_read() -> None:
    lstm, x = hs.LSTM(4, 3), np.ones((2, 4), np.float32)
    want = lstm.stream(2).step(x)
    x.flags.writeable = False
    assert np.array_equal(lstm.stream(2).step(x), want)
