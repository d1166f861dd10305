"""Traces contain the computed values, by name, and nothing that was not requested."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexRangeError,
    NameUnknownError,
    ShapeError,
    TraceTooLargeError,
)
from support import assert_all_close, assert_close, gradients, layer_options, pair, random_input, random_state


def random_lengths(data: st.DataObject, T: int, N: int) -> Tensor | None:
    lengths = data.draw(st.one_of(st.none(), st.lists(st.integers(0, T), min_size=N, max_size=N)))
    return None if lengths is None else torch.tensor(lengths)


@given(layer_options(), st.integers(1, 5), st.integers(1, 4), st.data())
def test_traced_is_untraced(options: dict[str, Any], T: int, N: int, data: st.DataObject) -> None:
    lstm, _ = pair(options, 0)
    x, state, lengths = (
        random_input(lstm, T, N, grad=True),
        random_state(lstm, N, grad=True),
        random_lengths(data, T, N),
    )
    out, (h_n, c_n) = lstm(x, state, lengths=lengths)
    trace = lstm.trace(x, state, lengths=lengths)
    assert isinstance(trace.out, Tensor)
    assert_all_close((trace.out, *trace.state), (out, h_n, c_n))
    leaves = [x, *state, *lstm.parameters()]
    assert_all_close(gradients((trace.out, *trace.state), leaves), gradients((out, h_n, c_n), leaves), "gradients")
    with hs.backend("reference"):
        traced = lstm.trace(x, state, lengths=lengths).out
        assert torch.equal(lstm(x, state, lengths=lengths)[0], traced), "on one path, to the last bit"  # type: ignore[arg-type]


@given(layer_options(), st.integers(1, 5), st.integers(1, 3), st.data())
def test_the_record_satisfies_the_equations(options: dict[str, Any], T: int, N: int, data: st.DataObject) -> None:
    """Using only the record: gates from pre-activations, c from gates and the previous c, h from o and c, out from
    h."""
    lstm, _ = pair(options, 0)
    x, (h0, c0), lengths = random_input(lstm, T, N), random_state(lstm, N), random_lengths(data, T, N)
    trace = lstm.trace(x, (h0, c0), lengths=lengths, pre=True)
    real = torch.ones(T, N, dtype=torch.bool) if lengths is None else torch.arange(T)[:, None] < lengths
    for k, (layer, reverse) in enumerate(lstm.sizes.layer_directions):
        at = f"l{layer}{'r' if reverse else ''}"
        v = {name.split(".")[1]: values for name, values in trace.values.items() if name.startswith(at + ".")}
        for gate in "ifo":
            assert_close(v[gate][real], torch.sigmoid(v[f"{gate}_pre"])[real], gate)
        assert_close(v["g"], torch.tanh(v["g_pre"]), "g")
        for n in range(N):
            c, h = c0[k, n], h0[k, n]
            steps = range(T)[:: -1 if reverse else 1]
            for t in (t for t in steps if real[t, n]):
                c = v["f"][t, n] * c + v["i"][t, n] * v["g"][t, n]
                assert_close(v["c"][t, n], c, "c")
                m = v["o"][t, n] * torch.tanh(c)
                h = lstm.weight(f"{at}.W_hr") @ m if lstm.proj_size else m
                assert_close(v["h"][t, n], h, "h")
            assert_close(trace.state[0][k, n], h)
            assert_close(trace.state[1][k, n], c)
        assert not any(values[~real].any() for values in v.values()), "zero past an end"
    top = [f"l{lstm.num_layers - 1}.h", f"l{lstm.num_layers - 1}r.h"][: 1 + lstm.bidirectional]
    assert isinstance(trace.out, Tensor)
    assert torch.equal(torch.cat([trace[name] for name in top], dim=-1), trace.out)


def test_gates_are_those_of_the_weights() -> None:
    """Against the definition, with named weights: a wrong gate order would show."""
    lstm, x = hs.LSTM(4, 3), torch.randn(1, 2, 4)
    trace = lstm.trace(x, pre=True)
    for gate in "ifgo":
        want = x[0] @ lstm.weight(f"l0.W_i{gate}").T + lstm.weight(f"l0.b_i{gate}") + lstm.weight(f"l0.b_h{gate}")
        assert_close(trace[f"l0.{gate}_pre"][0], want, gate)


def test_layouts() -> None:
    x = torch.randn(5, 2, 4)
    lstm = hs.LSTM(4, 3)
    batch_first = hs.LSTM(4, 3, batch_first=True)
    batch_first.load_state_dict(lstm.state_dict())
    trace = lstm.trace(x)
    assert trace["l0.f"].shape == (5, 2, 3)
    other = batch_first.trace(x.transpose(0, 1))
    assert torch.equal(other["l0.f"], trace["l0.f"].transpose(0, 1))
    single = lstm.trace(x[:, 1])
    assert single["l0.f"].shape == (5, 3)
    assert_close(single["l0.f"], trace["l0.f"][:, 1])
    assert single.state[0].shape == (1, 3)
    picked, times = other.pick("l0.f", t=slice(1, 3), row=1, unit=[2, 0])
    assert picked.shape == (2, 1, 2)
    assert times == (1, 2)
    assert torch.equal(picked[:, 0], trace["l0.f"][1:3, 1][:, [2, 0]])


def test_packed() -> None:
    lstm, rows = hs.LSTM(4, 3), [torch.randn(2, 4), torch.randn(3, 4)]
    packed = pack_sequence(rows, enforce_sorted=False)
    trace = lstm.trace(packed)
    assert isinstance(trace.out, PackedSequence)
    assert torch.equal(trace.out.data, lstm(packed)[0].data)
    assert trace["l0.c"].shape == (3, 2, 3)
    assert_close(trace["l0.c"][:2, 0], lstm.trace(rows[0])["l0.c"])


def test_keep_and_steps() -> None:
    lstm, x = hs.LSTM(4, 3, 2), torch.randn(6, 2, 4)
    whole = lstm.trace(x)
    part = lstm.trace(x, keep=["l1.f", "l1.c"], steps=slice(-2, None))
    assert part.names == ("l1.f", "l1.c")
    assert part.steps == (4, 5)
    assert torch.equal(part["l1.f"], whole["l1.f"][4:])
    assert torch.equal(part.out, whole.out)  # type: ignore[arg-type]
    assert lstm.trace(x, steps=[5, 0]).steps == (0, 5)
    assert lstm.trace(x, keep=["l0.f"], pre=True).names == ("l0.f", "l0.f_pre")
    assert lstm.trace(x, keep=["l0.g_pre"], steps=3)["l0.g_pre"].shape == (1, 2, 3)
    assert "l1.f" in part
    assert "l0.f" not in part
    assert list(part) == ["l1.f", "l1.c"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keep": ["l2.f"]}, NameUnknownError, "no place 'l2.f' in this LSTM: its layers and directions are l0 l1$"),
        ({"keep": ["l0r.f"]}, NameUnknownError, "no place 'l0r.f'"),
        ({"keep": ["f"]}, NameUnknownError, "unknown place 'f': expected LAYER.QUANTITY such as 'l0.f'"),
        ({"keep": ["l0.q"]}, NameUnknownError, "unknown place 'l0.q'"),
        ({"keep": "l0.f"}, ArgumentTypeError, "keep must be a list of places"),
        ({"keep": []}, ArgumentError, "nothing to record: 0 places"),
        ({"keep": 3}, ArgumentTypeError, "keep must be a list of places such as 'l0.f', got int"),
        ({"tokens": "ab"}, ArgumentTypeError, "tokens must be a list of words, got the string 'ab'"),
        ({"steps": slice(6, None)}, ArgumentError, r"at 0 of 6 steps"),
        ({"steps": 6}, IndexRangeError, "steps=6 is out of range: there are 6"),
        ({"steps": 1.5}, ArgumentTypeError, "steps= must be an int, a slice, a sequence of ints or None, got 1.5"),
        ({"tokens": ["a"] * 6}, ShapeError, "tokens are for 1 rows, expected 2"),
        ({"tokens": [["a"] * 6, ["b"] * 5]}, ShapeError, "row 1 has 6 time steps and 5 tokens"),
    ],
)
def test_bad_options_fail(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hs.LSTM(4, 3, 2).trace(torch.zeros(6, 2, 4), **options)


def test_bytes_are_told_first_and_refused_over_the_limit() -> None:
    lstm, x = hs.LSTM(4, 3, 2, bidirectional=True, proj_size=2, dtype=torch.float64), torch.randn(6, 5, 4).double()
    choices: list[dict[str, Any]] = [{}, {"keep": ["l0.f", "l1r.h"]}, {"steps": slice(2)}, {"pre": True}]
    for options in choices:
        told = lstm.trace_nbytes(6, 5, **options)
        assert told == lstm.trace(x, **options, limit=told).nbytes
        with pytest.raises(TraceTooLargeError, match=rf"would take {told:,} bytes .* over the limit of {told - 1:,}"):
            lstm.trace(x, **options, limit=told - 1)
    assert lstm.trace(x, limit=None).nbytes == lstm.trace_nbytes(6, 5)


def test_a_huge_trace_is_refused_before_it_runs() -> None:
    lstm = hs.LSTM(1, 4096)
    with pytest.raises(MemoryError, match="record fewer places"):
        lstm.trace(torch.zeros(1, 1, 1).expand(100_000, 64, 1))


def test_is_differentiable_through_any_gate() -> None:
    lstm, x = hs.LSTM(4, 3, dtype=torch.float64), torch.randn(3, 1, 4, dtype=torch.float64, requires_grad=True)

    def forget_at_the_end(value: Tensor) -> Tensor:
        return lstm.trace(value)["l0.f"][-1]

    assert torch.autograd.gradcheck(forget_at_the_end, x)
    assert torch.autograd.gradgradcheck(forget_at_the_end, x)


def test_is_frozen_and_shows_itself_shortly() -> None:
    trace = hs.LSTM(4, 3).trace(torch.zeros(2, 1, 4))
    with pytest.raises(FrozenInstanceError):
        trace.steps = (1,)  # type: ignore[misc]
    assert repr(trace) == "Trace(2 of 2 steps, 1 rows, 144 bytes: l0.i l0.f l0.g l0.o l0.c l0.h)"


def test_unrecorded_names_fail() -> None:
    trace = hs.LSTM(4, 3).trace(torch.zeros(2, 1, 4), keep=["l0.f"])
    with pytest.raises(
        NameUnknownError, match="'l0.c' was not recorded; the recorded places are l0.f. Add it to keep="
    ):
        trace["l0.c"]
    with pytest.raises(KeyError, match="no place 'l3.c'"):
        trace["l3.c"]


def test_tokens() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    assert lstm.trace(x[:, 0], tokens=["a", "b", "c"]).words() == ("a", "b", "c")
    assert lstm.trace(x[:, :1], tokens=["a", "b", "c"]).words(0) == ("a", "b", "c")
    two = lstm.trace(x, lengths=[3, 1], tokens=[["a", "b", "c"], ["d"]])
    assert two.words(1) == ("d",)
    assert lstm.trace(x).words() is None


def test_dropout_in_training_is_the_plain_calls() -> None:
    lstm, x = hs.LSTM(4, 5, 3, dropout=0.5), torch.randn(6, 2, 4)
    torch.manual_seed(1)
    want = lstm(x)[0]
    torch.manual_seed(1)
    assert_close(lstm.trace(x).out, want)  # type: ignore[arg-type]


def test_keeps_copies_of_what_the_caller_gave() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    reset, lengths = torch.zeros(5, 2, dtype=torch.bool), torch.tensor([5, 4])
    reset[2] = True
    state = torch.randn(1, 2, 3), torch.randn(1, 2, 3)
    trace = lstm.trace(x, state, reset=reset, lengths=lengths)
    before = [str(trace.at(t, 1, row=1)) for t in range(4)]
    for buffer in (reset, lengths, *state):
        buffer.zero_()
    assert [str(trace.at(t, 1, row=1)) for t in range(4)] == before


def test_of_an_empty_batch() -> None:
    trace = hs.LSTM(4, 3).trace(torch.zeros(5, 0, 4))
    assert trace["l0.f"].shape == (5, 0, 3)
    assert len(trace.to_dataframe()) == 0
    assert trace.to_xarray().sizes["batch"] == 0


def test_bytes_of_a_readout_edit_are_told() -> None:
    lstm, x = hs.LSTM(4, 3, 2), torch.randn(5, 2, 4)
    with lstm.edit(hs.zero("l0.c", scope="readout"), hs.zero("l1.c", scope="readout")):
        assert lstm.trace_nbytes(5, 2) == lstm.trace(x).nbytes
        part = lstm.trace(x, keep=["l0.f"])
        assert lstm.trace_nbytes(5, 2, keep=["l0.f"]) == part.nbytes
        assert set(part.carried) == {"l0"}


def test_matches_a_loop_of_torchs_cells() -> None:
    cell = nn.LSTMCell(4, 3)
    lstm = hs.LSTM(4, 3)
    lstm.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = torch.randn(5, 2, 4)
    h, c = torch.zeros(2, 3), torch.zeros(2, 3)
    trace = lstm.trace(x)
    for t in range(5):
        h, c = cell(x[t], (h, c))
        assert_close(trace["l0.h"][t], h)
        assert_close(trace["l0.c"][t], c)


def test_sizes_are_told_without_counting() -> None:
    lstm = hs.LSTM(4, 3)
    each = lstm.trace_nbytes(1)
    assert lstm.trace_nbytes(2**40) == 2**40 * each
    assert lstm.trace_nbytes(2**40, steps=slice(None, None, 2)) == 2**39 * each
    assert lstm.trace_nbytes(2**40, steps=range(2**20, 2**39, 2**19)) == (2**20 - 2) * each
    x = torch.zeros(1, 1, 4).expand(2**36, 1, 4)
    wanted: list[dict[str, Any]] = [{}, {"keep": ["l0.f"]}, {"steps": slice(1, None)}]
    for more in wanted:
        with pytest.raises(TraceTooLargeError, match="this trace would take"):
            lstm.trace(x, **more)


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((-5,), ArgumentError, "T must be at least 1 and N at least 0, got T=-5 and N=1"),
        ((0,), ArgumentError, "T must be at least 1"),
        ((5, -1), ArgumentError, "got T=5 and N=-1"),
        ((2**60,), ArgumentError, "would take more than 2\\^63 bytes, more than any machine has"),
        ((5, 2**70), ArgumentError, "would take more than 2\\^63 bytes"),
        ((5.0,), ArgumentTypeError, "T should be of type int, got: float"),
    ],
)
def test_sizes_fail(sizes: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hs.LSTM(4, 3).trace_nbytes(*sizes)


@pytest.mark.parametrize("more", [{}, {"keep": ["l0.f"]}, {"reset": torch.zeros(5, 2, dtype=torch.bool)}])
@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([["a"] * 5, ["b"] * 4], ShapeError, "row 1 has 5 time steps and 4 tokens"),
        ([["a"] * 5], ShapeError, "tokens are for 1 rows, expected 2"),
        ("abcde", ArgumentTypeError, "tokens must be a list of words, got the string 'abcde'"),
        (5, ArgumentTypeError, "tokens must be a list of words, or such a list for each row, got 5"),
        ([["a"] * 5, 5], ArgumentTypeError, "tokens must be a list of words, or such a list for each row"),
    ],
)
def test_wrong_tokens_are_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], tokens: Any, error: type[Exception], message: str
) -> None:
    def computes(*_arguments: object) -> None:
        raise AssertionError("it was computed")

    monkeypatch.setattr("hiddenstate.engine.paths.fast.run", computes)
    monkeypatch.setattr("hiddenstate.engine.paths.fast.run_differentiable", computes)
    monkeypatch.setattr("hiddenstate.engine.dispatch.run", computes)
    with pytest.raises(error, match=message):
        hs.LSTM(4, 3).trace(torch.randn(5, 2, 4), tokens=tokens, **more)
