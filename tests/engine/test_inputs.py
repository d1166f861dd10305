"""The inputs of calls: ragged batches, resets, and every kind of bad input."""

import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import hiddenstate as hs
import programs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, RankError, ShapeError
from support import assert_all_close, assert_close, gradients, layer_options, pair, random_input, random_state


def row_of(lstm: hs.LSTM, value: Tensor, n: int, t: slice) -> Tensor:
    """Steps t of row n of an input or output, as an unbatched sequence."""
    return value[n, t] if lstm.batch_first else value[t, n]


@given(layer_options(), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2))
def test_ragged_is_each_sequence_alone(options: dict[str, Any], lengths: list[int], slack: int) -> None:
    lstm, _ = pair(options, 0)
    T, N = max(1, max(lengths) + slack), len(lengths)
    x, (h0, c0) = random_input(lstm, T, N, grad=True), random_state(lstm, N, grad=True)
    out, (h_n, c_n) = lstm(x, (h0, c0), lengths=torch.tensor(lengths))
    outs, states = [], []
    for n, length in enumerate(lengths):
        if length:
            alone, (h, c) = lstm(row_of(lstm, x, n, slice(length)), (h0[:, n], c0[:, n]))
        else:
            alone, h, c = x.new_zeros(0, out.shape[-1]), h0[:, n], c0[:, n]
        outs.append(torch.nn.functional.pad(alone, (0, 0, 0, T - length)))
        states.append((h, c))
    want = torch.stack(outs, dim=0 if lstm.batch_first else 1)
    want_h, want_c = (torch.stack(part, dim=1) for part in zip(*states, strict=True))
    assert_all_close((out, h_n, c_n), (want, want_h, want_c), "out, h_n, c_n")
    leaves = [x, h0, c0, *lstm.parameters()]
    assert_all_close(gradients((out, h_n, c_n), leaves), gradients((want, want_h, want_c), leaves), "gradients")


def test_what_lies_past_an_end_never_matters() -> None:
    lstm, lengths = hs.LSTM(4, 5, 2, bidirectional=True), torch.tensor([2, 0, 4])
    clean = torch.randn(4, 3, 4)
    dirty = clean.clone()
    for n, length in enumerate(lengths):
        dirty[length:, n] = float("nan")
    results = []
    for x in (clean, dirty):
        out, _ = lstm(x, lengths=lengths)
        results.append((out, *torch.autograd.grad(out.square().sum(), list(lstm.parameters()))))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("lengths", [[2, 3], (2, 3), torch.tensor([2, 3], dtype=torch.int32)])
def test_lengths_of_any_kind(lengths: Any) -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(3, 2, 4)
    assert torch.equal(lstm(x, lengths=lengths)[0], lstm(x, lengths=torch.tensor([2, 3]))[0])
    assert lstm(x[:, 0], lengths=2)[0][2].tolist() == [0] * 5


def test_the_last_output_of_a_ragged_batch_is_not_the_final_state() -> None:
    lstm = hs.LSTM(4, 5)
    out, (h_n, _) = lstm(torch.randn(3, 2, 4), lengths=[3, 1])
    assert torch.equal(out[-1, 0], h_n[-1, 0])
    assert not torch.equal(out[-1, 1], h_n[-1, 1])
    assert torch.equal(out[0, 1], h_n[-1, 1])


@given(layer_options(), st.data())
def test_a_run_with_resets_is_each_piece_alone(options: dict[str, Any], data: st.DataObject) -> None:
    """Both directions: the reverse one is cut at the same borders. Layers above read the outputs of the pieces."""
    lstm, _ = pair(options, 0)
    T = data.draw(st.integers(1, 6))
    begins = data.draw(st.lists(st.booleans(), min_size=T, max_size=T))
    x, (h0, c0) = random_input(lstm, T, 1, grad=True), random_state(lstm, 1, grad=True)
    reset = torch.tensor(begins)
    out, (h_n, c_n) = lstm(x, (h0, c0), reset=reset[None] if lstm.batch_first else reset[:, None])
    borders = [0, *(t for t in range(1, T) if begins[t]), T]
    zeros = torch.zeros_like(h0[:, 0]), torch.zeros_like(c0[:, 0])
    forward = torch.tensor([not reverse for _, reverse in lstm.sizes.layer_directions])[:, None]
    outs, ends = [], []
    for a, b in pairwise(borders):
        # The given state applies to the piece that each direction enters first, unless there is a reset.
        first, last = a == 0 and not begins[0], b == T
        enters = torch.where(forward, torch.tensor(first), torch.tensor(last))
        start = tuple(torch.where(enters, s[:, 0], z) for s, z in zip((h0, c0), zeros, strict=True))
        piece, end = lstm(row_of(lstm, x, 0, slice(a, b)), start)
        outs.append(piece)
        ends.append(end)
    want = torch.cat(outs)
    want_h, want_c = (torch.where(forward, ends[-1][k], ends[0][k]) for k in range(2))
    assert_all_close((row_of(lstm, out, 0, slice(T)), h_n[:, 0], c_n[:, 0]), (want, want_h, want_c))
    leaves = [x, h0, c0, *lstm.parameters()]
    got_gradients = gradients((out.reshape(want.shape), h_n[:, 0], c_n[:, 0]), leaves)
    assert_all_close(got_gradients, gradients((want, want_h, want_c), leaves), "gradients")


def test_a_reset_past_an_end_does_nothing() -> None:
    lstm, x = hs.LSTM(4, 5, bidirectional=True), torch.randn(4, 2, 4)
    state = random_state(lstm, 2)
    past = torch.tensor([[False, False], [False, False], [False, True], [False, True]])
    out, (h_n, c_n) = lstm(x, state, lengths=[4, 2], reset=past)
    want, (want_h, want_c) = lstm(x, state, lengths=[4, 2])
    assert_all_close((out, h_n, c_n), (want, want_h, want_c))


def test_reset_per_row_and_with_lengths() -> None:
    lstm, x = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(4, 2, 4)
    reset = torch.tensor([[False, True], [False, False], [True, False], [False, True]])
    together, _ = lstm(x, reset=reset, lengths=[4, 3])
    for n, length in ((0, 4), (1, 3)):
        alone, _ = lstm(x[:length, n], reset=reset[:length, n])
        assert_close(together[:length, n], alone)


def test_reset_of_a_packed_sequence() -> None:
    lstm, rows = hs.LSTM(4, 5), [torch.randn(2, 4), torch.randn(4, 4)]
    reset = torch.tensor([[False, False], [True, False], [False, True], [False, False]])
    out, _ = lstm(pack_sequence(rows, enforce_sorted=False), reset=reset)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(out)
    for n, row in enumerate(rows):
        assert_close(padded[: lengths[n], n], lstm(row, reset=reset[: len(row), n])[0])


def test_no_resets_is_plain() -> None:
    lstm, x = hs.LSTM(4, 5, bidirectional=True), torch.randn(3, 2, 4)
    assert_close(lstm(x, reset=torch.zeros(3, 2, dtype=torch.bool))[0], lstm(x)[0])


@given(layer_options(), st.permutations(range(4)))
def test_permuted_batch_is_permuted_result(options: dict[str, Any], order: list[int]) -> None:
    lstm, _ = pair(options, 0)
    x, (h0, c0), lengths = random_input(lstm, 5, 4), random_state(lstm, 4), torch.tensor([3, 0, 5, 2])
    rows = 0 if lstm.batch_first else 1
    out, (h_n, c_n) = lstm(x, (h0, c0), lengths=lengths)
    permuted = x.index_select(rows, torch.tensor(order))
    got, (got_h, got_c) = lstm(permuted, (h0[:, order], c0[:, order]), lengths=lengths[order])
    want = out.index_select(rows, torch.tensor(order))
    assert_all_close((got, got_h, got_c), (want, h_n[:, order], c_n[:, order]))


@pytest.mark.parametrize("path", ["auto", "reference"])
def test_empty_batch_gives_empty_results(path: hs.engine.dispatch.Backend) -> None:
    lstm = hs.LSTM(4, 5, 2, bidirectional=True)
    with hs.backend(path):
        out, (h_n, c_n) = lstm(torch.zeros(3, 0, 4))
        assert (out.shape, h_n.shape, c_n.shape) == ((3, 0, 10), (4, 0, 5), (4, 0, 5))
        assert lstm(torch.zeros(3, 0, 4), lengths=torch.zeros(0, dtype=torch.int64))[0].shape == (3, 0, 10)


@pytest.mark.parametrize("path", ["auto", "reference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30, 1e-40])
def test_extreme_values_are_torchs(path: hs.engine.dispatch.Backend, value: float) -> None:
    """And a NaN in one row never touches another."""
    ours, theirs = pair({"input_size": 4, "hidden_size": 5, "bidirectional": True}, 0)
    x = torch.randn(3, 2, 4)
    x[1, 0, 2] = value
    with hs.backend(path):
        out, (h_n, _) = ours(x)
    want, (want_h, _) = theirs(x)
    assert torch.allclose(out, want, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert torch.allclose(h_n, want_h, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert out[:, 1].isfinite().all()


Z = torch.zeros
FLAGS = torch.zeros(3, 2, dtype=torch.bool)
BAD_CALLS: list[tuple[dict[str, Any], type[Exception], type[Exception], str]] = [
    ({"input": Z(3, 2, 4, 1)}, RankError, ValueError, r"LSTM: Expected input to be 2D or 3D, got 4D instead: give"),
    ({"input": Z(4)}, RankError, ValueError, r"Expected input to be 2D or 3D, got 1D"),
    (
        {"input": Z(3, 2, 5)},
        ShapeError,
        RuntimeError,
        r"input.size\(-1\) must be equal .* Expected 4, got 5",
    ),
    ({"input": Z(3, 5)}, ShapeError, RuntimeError, "Expected 4, got 5"),
    ({"input": Z(0, 2, 4)}, ShapeError, RuntimeError, "Expected sequence length to be larger than 0"),
    ({"input": Z(0, 4)}, ShapeError, RuntimeError, "Expected sequence length to be larger than 0"),
    (
        {"input": Z(3, 2, 4).double()},
        DtypeError,
        ValueError,
        r"RNN input dtype \(torch.float64\) does not match weight dtype \(torch.float32\)",
    ),
    ({"input": Z(3, 2, 4).long()}, DtypeError, ValueError, r"RNN input dtype \(torch.int64\)"),
    ({"input": Z(3, 2, 4, device="meta")}, DeviceError, RuntimeError, "not at the same device: input is on meta"),
    ({"input": [[1.0]]}, ArgumentTypeError, TypeError, "input must be a torch.Tensor, got list"),
    ({"hx": Z(1, 2, 3)}, ArgumentTypeError, TypeError, "hx must be a tuple of two tensors.*got Tensor"),
    ({"hx": (Z(1, 2, 3),)}, ArgumentTypeError, TypeError, "got 1 values"),
    ({"hx": (Z(1, 2, 3), None)}, ArgumentTypeError, TypeError, "c0 must be a torch.Tensor, got NoneType"),
    ({"hx": (Z(2, 3), Z(1, 2, 3))}, RankError, RuntimeError, r"batched 3-D input, .* be 3-D but got \(2-D, 3-D\)"),
    ({"input": Z(3, 4), "hx": (Z(1, 2, 3),) * 2}, RankError, RuntimeError, "For unbatched 2-D input"),
    (
        {"hx": (Z(1, 2, 4), Z(1, 2, 3))},
        ShapeError,
        RuntimeError,
        r"hidden\[0\] size \(1, 2, 3\), got \[1, 2, 4\]",
    ),
    (
        {"hx": (Z(1, 2, 3), Z(1, 5, 3))},
        ShapeError,
        RuntimeError,
        r"hidden\[1\] size \(1, 2, 3\), got \[1, 5, 3\]",
    ),
    ({"hx": (Z(2, 2, 3), Z(2, 2, 3))}, ShapeError, RuntimeError, r"Expected hidden\[0\] size"),
    ({"hx": (Z(1, 2, 3).double(), Z(1, 2, 3))}, DtypeError, RuntimeError, r"h0 dtype \(torch.float64\)"),
    ({"hx": (Z(1, 2, 3), Z(1, 2, 3, device="meta"))}, DeviceError, RuntimeError, "c0 is on meta"),
    (
        {"lengths": torch.tensor([1.0, float("nan")])},
        ArgumentTypeError,
        TypeError,
        "must be integers, got torch.float32",
    ),
    ({"lengths": [1.5, 2]}, ArgumentTypeError, TypeError, "lengths must be integers"),
    (
        {"lengths": torch.tensor([True, False])},
        ArgumentTypeError,
        TypeError,
        "must be integers, got torch.bool",
    ),
    ({"lengths": "two"}, ArgumentTypeError, TypeError, "lengths must be integers, one for each row, got 'two'"),
    ({"lengths": [1, 4]}, ArgumentError, ValueError, r"lengths must be in 0..T = 0..3, got \[1, 4\]"),
    ({"lengths": [-1, 3]}, ArgumentError, ValueError, r"lengths must be in 0..T = 0..3, got \[-1, 3\]"),
    ({"lengths": [1, 2, 3]}, ShapeError, RuntimeError, r"lengths has shape \[3\], expected \[2\]"),
    ({"lengths": [[1, 2]]}, ShapeError, RuntimeError, r"lengths has shape \[1, 2\], expected \[2\]"),
    ({"reset": FLAGS.long()}, ArgumentTypeError, TypeError, "reset must be a bool tensor, got torch.int64"),
    ({"reset": [True]}, ArgumentTypeError, TypeError, "reset must be a bool tensor, got list"),
    ({"reset": FLAGS.T}, ShapeError, RuntimeError, r"reset has shape \[2, 3\], expected \[T, N\] = \[3, 2\]"),
    ({"reset": FLAGS[:, 0]}, ShapeError, RuntimeError, r"reset has shape \[3\], expected \[T, N\]"),
    ({"input": Z(3, 4), "reset": FLAGS}, ShapeError, RuntimeError, r"expected \[T\] = \[3\]"),
    ({"reset": FLAGS.to("meta")}, DeviceError, RuntimeError, "reset is on meta and the input on cpu"),
    (
        {"input": pack_sequence([Z(3, 4)]), "lengths": [3]},
        ArgumentError,
        ValueError,
        "PackedSequence, which has",
    ),
    ({"input": pack_sequence([Z(3, 5)])}, ShapeError, RuntimeError, "Expected 4, got 5"),
    ({"input": pack_sequence([Z(3, 4).double()])}, DtypeError, ValueError, r"RNN input dtype \(torch.float64\)"),
    ({"input": pack_sequence([Z(3, 4)]), "hx": (Z(1, 2, 3),) * 2}, ShapeError, RuntimeError, r"size \(1, 1, 3\)"),
]


@pytest.mark.parametrize("method", ["forward", "trace"])
@pytest.mark.parametrize(("bad", "error", "builtin", "message"), BAD_CALLS)
def test_bad_calls_fail(
    bad: dict[str, Any], error: type[Exception], builtin: type[Exception], message: str, method: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        getattr(hs.LSTM(4, 3), method)(**{"input": Z(3, 2, 4), **bad})
    assert isinstance(raised.value, builtin), "the type that torch raises, or that Python would"


@pytest.mark.parametrize("sizes", [[2, -1], [8, -4, 4], [1, 2, 3, 2], [2, 2, 2, 1, 2], [1], [9], [0, 0], [8, 0, 1, -1]])
def test_packed_rows_that_are_none_are_refused(sizes: list[int]) -> None:
    """torch's own reader trusts them, and would write out of bounds."""
    with pytest.raises(ShapeError, match="batch_sizes must not increase from step to step and must add up to 8"):
        hs.LSTM(4, 3)(PackedSequence(Z(8, 4), torch.tensor(sizes)))


def test_packed_rows_of_other_types_or_freed_memory_are_refused() -> None:
    lstm = hs.LSTM(4, 3)
    for sizes in (torch.zeros(3), torch.zeros(0), torch.ones(1, 1, dtype=torch.int64)):
        with pytest.raises(ArgumentTypeError, match=r"batch_sizes must be int64 \[T\] on the CPU, got"):
            lstm(PackedSequence(Z(8, 4), sizes))
    freed = torch.tensor([4, 4])
    freed.untyped_storage().resize_(0)
    with pytest.raises(DtypeError, match="batch_sizes has shape .* and its memory was freed"):
        lstm(PackedSequence(Z(8, 4), freed))
    out, _ = lstm(PackedSequence(Z(8, 4), torch.tensor([4, 4, 0])))
    assert out.data.shape == (8, 3)


def test_reset_of_batch_first_names_its_axes() -> None:
    with pytest.raises(ShapeError, match=r"expected \[N, T\] \(batch_first\) = \[2, 3\]"):
        hs.LSTM(4, 3, batch_first=True)(Z(2, 3, 4), reset=FLAGS)


FREED = """
import traceback
import torch
import hiddenstate as hs

x = torch.randn(5, 2, 4)


def freed(tensor):
    tensor.untyped_storage().resize_(0)


def call(module):
    freed([*module.parameters()][-1])
    module(x)


def step(module):
    stream = module.stream()
    stream.step(x[0, 0])
    freed(module.weight_hh_l0)
    stream.step(x[0, 0])


def backward(module):
    out = module(x)[0]
    freed(module.weight_hh_l0)
    out.sum().backward()


for kind in (hs.LSTM, hs.GRU, hs.RNN):
    for work in (call, step, backward):
        try:
            work(kind(4, 8))
        except hs.errors.DtypeError:
            print("its memory was freed" in traceback.format_exc())
"""


def test_an_error_about_freed_memory_can_be_printed_with_its_context() -> None:
    done = programs.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True"] * 9), done.stderr
