"""The native scan compared with the reference, each instruction set in turn; and running without it."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
import programs
from hiddenstate import __version__
from hiddenstate.cells.cell import Weights
from hiddenstate.engine import call as engine_call
from hiddenstate.engine import derivative, kernels, native, reference
from hiddenstate.engine.call import live_steps, tensors_needing_gradients
from hiddenstate.engine.reference import LayerObserver
from hiddenstate.errors import ShapeError
from hiddenstate.structure.names import GATES, PRE_ACTIVATIONS, QUANTITIES, LayerDirection
from hiddenstate.structure.sizes import Sizes
from support import Call, assert_all_close, assert_close, calls, diagonal, draws, gradients, share, told

# The set that every CPU of the architecture supports.
BASELINE = "neon" if kernels.machine() in ("aarch64", "arm64") else "generic"

SIZES = st.sampled_from([1, 2, 3, 7, 8, 9, 17, 33, 65])


# `make test` tries the narrowest and the widest here; tests/native/test_scan.cpp tries all of them always.
BETWEEN = kernels.isas()[1:-1]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow if name in BETWEEN else ()) for name in kernels.isas()],
    autouse=True,
)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine runs, forced."""
    kernels.choose(request.param)
    yield str(request.param)
    kernels.choose(None)


@pytest.mark.parametrize("flushes", [False, True])
def test_every_float16_weight_is_widened_exactly(flushes: bool) -> None:
    """A layer with relu returns its weights, in whole vectors and one by one, also where subnormals are flushed.

    Products of such numbers overflow, are subnormal, or lie between two: they are rounded as torch rounds them.
    """
    rnn: Any = hs.RNN(129, 509, nonlinearity="relu", bias=False, dtype=torch.float16)
    values = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    finite = torch.where(values.isfinite(), values, 0)
    rnn.weight_hh_l0.data.zero_()
    rnn.weight_ih_l0.data.view(-1)[: len(values)] = finite
    weights, x = rnn.weight_ih_l0.data, torch.eye(129).half()[None]
    torch.set_flush_denormal(flushes)
    try:
        with torch.no_grad():
            has_fast = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # torch 2.8 has no such table
            assert rnn.path(x).name == ("fast" if has_fast else "native float16")
            for sign in (1, -1):
                assert torch.equal(rnn(sign * x)[0][0], (sign * weights).clamp(min=0).T)
            rnn = hs.RNN(1, 509, nonlinearity="relu", bias=False, dtype=torch.float16)
            rnn.weight_hh_l0.data.zero_()
            rnn.weight_ih_l0.data[:, 0] = values[torch.randint(len(values), (509,))]
            x = values[torch.randint(len(values), (1, 301, 1))]
            narrow = rnn(x)[0]
            wide = rnn.float()(x.float())[0].half()
            torch.testing.assert_close(narrow, wide, rtol=0, atol=0, equal_nan=True)
            for kind in (narrow.isinf(), narrow.isnan(), (narrow > 0) & (narrow < 2**-14)):
                assert kind.any()
    finally:
        torch.set_flush_denormal(False)


def test_native_module_is_of_this_version() -> None:
    assert kernels.version() == __version__


def test_the_widest_set_is_chosen_and_named() -> None:
    kernels.choose(None)
    assert kernels.isa() == kernels.isas()[-1]
    assert kernels.isas()[0] == BASELINE


def test_cpu_features_are_the_systems() -> None:
    """The features that the module reads from the CPU match Linux's list, if there is one."""
    features = kernels.cpu_features()
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            listed = next((line.split(":")[1].split() for line in file if line.startswith("flags")), None)
    except FileNotFoundError:
        listed = None
    if listed is not None:
        spelled = {feature: feature.replace("sse4.1", "sse4_1") for feature in features}
        assert [f for f, name in spelled.items() if name not in listed] == []
        assert ("avx2" in listed) == ("avx2" in features)
    assert features or kernels.machine() not in ("x86_64", "aarch64")


def every_magnitude() -> Tensor:
    """Numbers of every size and sign, in increasing order."""
    exponents = torch.linspace(-45, 38, 100_001, dtype=torch.float64)
    positive = torch.cat([10**exponents, torch.linspace(0, 100, 200_001, dtype=torch.float64)]).float().unique()
    return torch.cat([-positive.flip(0), positive])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_nonlinearity(name: str) -> None:
    """Within 2e-7 of the truth, with full float32 precision near zero; never decreasing; exact where it must be."""
    x = every_magnitude()
    got = kernels.nonlinearity(name, x)
    truth = getattr(torch, name)(x.double())
    assert (got - truth).abs().max() <= 2e-7
    near = x.abs() < 60
    assert ((got - truth).abs() / truth.abs().clamp_min(1e-37))[near].max() <= 4e-7
    assert (got.diff() >= 0).all()
    special = torch.tensor([0.0, torch.inf, -torch.inf, torch.nan, 1e-40])
    zero, top, bottom, nan, small = kernels.nonlinearity(name, special).tolist()
    assert (zero, top) == ((0.5, 1.0) if name == "sigmoid" else (0.0, 1.0))
    assert bottom == pytest.approx(0.0 if name == "sigmoid" else -1.0, abs=1e-37)
    assert nan != nan
    assert small == pytest.approx(0.5 if name == "sigmoid" else 1e-40, rel=1e-4)


def one_layer(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    w: Weights,
    reverse: bool,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
) -> engine_call.Call:
    """The call of one layer and direction, from states ``[N, P]`` and ``[N, H]``."""
    H, P = c0.shape[1], h0.shape[1]
    sizes = Sizes(x.shape[2], H, 1, w.b_ih is not None, False, P if P < H else 0)
    states = h0.unsqueeze(0), c0.unsqueeze(0)
    return engine_call.Call(sizes, [w], x, *states, lengths, reset, training=True, part=LayerDirection(0, reverse))


def shown(call: engine_call.Call) -> tuple[Tensor, ...]:
    """The native run of one layer and direction: out, h_n, c_n, gates, c."""
    if engine_call.wants_gradient(tensors_needing_gradients(call)):
        found = derivative.run_shown(call)
        assert found.c_n is not None
        assert found.c is not None
        return found.out, found.h_n, found.c_n, found.gates, found.c
    done = native.forward(call, shown=[True])
    assert done.gates is not None
    assert done.c is not None
    return *done[:3], done.gates[0], done.c[0]  # type: ignore[return-value]


class Case(NamedTuple):
    """Any layer and direction: odd sizes, ragged rows, borders, with or without biases and gradients."""

    T: int
    N: int
    C: int
    H: int
    seed: int
    bias: bool
    ragged: bool
    borders: bool
    reverse: bool
    projected: bool

    def track(self) -> engine_call.Call:
        generator = torch.Generator().manual_seed(self.seed)

        def leaf(*shape: int) -> Tensor:
            asked = bool(torch.rand((), generator=generator) < 0.75)
            made: Tensor = torch.randn(shape, generator=generator) / shape[-1] ** 0.5
            return made.requires_grad_(asked)

        H = self.H
        P = (H + 1) // 2 if self.projected else H
        weights = Weights(
            ih=leaf(4 * H, self.C),
            hh=leaf(4 * H, P),
            b_ih=leaf(4 * H) if self.bias else None,
            b_hh=leaf(4 * H) if self.bias else None,
            hr=leaf(P, H) if self.projected else None,
        )
        lengths = torch.randint(0, self.T + 1, (self.N,), generator=generator) if self.ragged else None
        reset = torch.rand(self.T, self.N, generator=generator) < 0.3 if self.borders else None
        x, h0, c0 = leaf(self.T, self.N, self.C), leaf(self.N, P), leaf(self.N, H)
        return one_layer(x, h0, c0, weights, self.reverse, lengths, reset)


CASES = st.builds(
    Case,
    T=st.integers(1, 6),
    N=st.sampled_from([1, 2, 3, 4, 7, 17]),
    C=SIZES,
    H=SIZES,
    seed=st.integers(0, 999),
    bias=st.booleans(),
    ragged=st.booleans(),
    borders=st.booleans(),
    reverse=st.booleans(),
    projected=st.booleans(),
)


def scanned(track: engine_call.Call) -> tuple[Tensor, ...]:
    """The native scan: out, h_n, c_n, and gates and cell states, zero past a row's end."""
    out, h_n, c_n, gates, c = shown(track)
    live = alive(track)
    return out, h_n[0], c_n[0], torch.where(live, gates, 0), torch.where(live, c, 0)


def referred(track: engine_call.Call) -> tuple[Tensor, ...]:
    """The same, computed by the reference."""
    T, reverse = len(track.x), track.reverse
    live = None if track.lengths is None else live_steps(track.lengths, T)
    observer = LayerObserver((), frozenset((*GATES, "c")), frozenset(range(T)))
    given = track.x, track.initial[0][0], track.initial[1][0], track.weights[0]
    results = reference.scan(*given, reverse=reverse, live=live, reset=track.reset, observer=observer)
    seen = {name: torch.stack([values[t] for t in range(T)]) for name, values in observer.seen.items()}
    gates = torch.cat([seen[gate] for gate in GATES], dim=-1)
    return (*results, torch.where(alive(track), gates, 0), torch.where(alive(track), seen["c"], 0))


def alive(track: engine_call.Call) -> Tensor:
    T, N = track.x.shape[:2]
    whole = torch.ones(T, N, dtype=torch.bool)
    return (whole if track.lengths is None else live_steps(track.lengths, T))[..., None]


def leaves(track: engine_call.Call) -> list[Tensor]:
    # The states' views with one more axis are not leaves of the graph, but their bases are.
    found = [
        getattr(value, "_base", None) if k in (1, 2) else value
        for k, value in enumerate(tensors_needing_gradients(track))
    ]
    return [value for value in found if value is not None and value.requires_grad]


@given(CASES, st.booleans())
def test_scan_and_its_gradients_are_the_references(case: Case, recorded: bool) -> None:
    track = case.track()
    got, want = scanned(track), referred(track)
    assert_all_close(got, want, "out, h_n, c_n, gates, c")
    if leaves(track):
        count = 5 if recorded else 3
        asked = [value for value in want[:count] if value.requires_grad]
        if asked:
            answered = [value for value, other in zip(got[:count], want[:count], strict=True) if other.requires_grad]
            assert_all_close(gradients(answered, leaves(track)), gradients(asked, leaves(track)), "gradients")
    with torch.no_grad():
        assert_all_close(scanned(track), want, "without a gradient")


@given(CASES, st.booleans())
def test_second_derivatives_are_the_references(case: Case, recorded: bool) -> None:
    track = case.track()
    track.x.requires_grad_()
    count = 5 if recorded else 3
    second = []
    for outputs in (scanned(track), referred(track)):
        total = torch.stack([value.square().sum() for value in outputs[:count]]).sum()
        (first,) = torch.autograd.grad(total, track.x, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), leaves(track), materialize_grads=True))
    # they multiply the rounding of first derivatives
    assert_all_close(second[0], second[1], "second derivatives", slack=10)


# bfloat16 has 8 significant bits: half a unit in the last place is 2e-3 of a value. Largest differences measured, as
# shares of the largest value: 3.9e-3 in values, 1.6e-2 in gradients. A gradient that sums over steps and rows may be
# near 0 while rounding errors add up: as a share of the root of their number, at most 9.1e-3 in 1,500 calls.
BFLOAT16_VALUES, BFLOAT16_GRADIENTS, BFLOAT16_SUMS = 6e-3, 2.5e-2, 1.5e-2


def assert_shares(got: Sequence[Tensor], want: Sequence[Tensor], most: float, what: str, least: float = 1.0) -> None:
    gaps = [share(a, b, least) for a, b in zip(got, want, strict=True)]
    assert max(gaps) <= most, f"{what} differ by {gaps}"


@settings(max_examples=draws(30))
@given(calls())
def test_bfloat16_differs_from_float64_by_its_rounding(call: Call) -> None:
    got, want = told(call, torch.bfloat16), told(call, torch.float64)
    assert {value.dtype for value in (*got.values, *got.gradients)} == {torch.bfloat16}
    assert_shares(got.values, want.values, BFLOAT16_VALUES, "values")
    least = math.sqrt(max(1, call.T * call.N))
    assert_shares(got.gradients, want.gradients, BFLOAT16_SUMS, "gradients", least=least)


@settings(max_examples=draws(20))
@given(calls())
def test_instruction_sets_agree(call: Call) -> None:
    """In bfloat16 to about the last place: differences are smaller than its rounding, but sometimes cross a rounding
    border."""
    isa, mine = kernels.isa(), [told(call, dtype) for dtype in (torch.float32, torch.bfloat16)]
    kernels.choose("generic")
    generic = [told(call, dtype) for dtype in (torch.float32, torch.bfloat16)]
    kernels.choose(isa)
    for got, want, most in zip(mine, generic, (1e-5, 2**-7), strict=True):
        assert_shares(got.values, want.values, most, "values")
        assert_shares(got.gradients, want.gradients, 2 * most, "gradients", least=math.sqrt(max(1, call.T * call.N)))


@settings(max_examples=draws(20))
@given(calls(most_layers=2))
def test_float64_is_the_references_to_the_last_digits(call: Call) -> None:
    got = told(call, torch.float64)
    with hs.backend("reference"):
        want = told(call, torch.float64)
    assert_shares(got.values, want.values, 1e-12, "values")
    assert_shares(got.gradients, want.gradients, 1e-12, "gradients")


DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=10)
@given(calls(most_layers=2))
def test_whole_calls_give_what_recorded_ones_do(dtype: torch.dtype, call: Call) -> None:
    """One native call for all layers, one scan per layer, and recording scans give the same numbers."""
    lstm, (x, *state) = call.lstm(dtype), call.inputs(dtype)
    recorded = lstm.trace(x, (state[0], state[1]), **call.given())
    out, final = lstm(x, (state[0], state[1]), **call.given())
    with torch.no_grad():
        whole, whole_final = lstm(x, (state[0], state[1]), **call.given())
    most = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2**-7}[dtype]
    for other in ((out, *final), (whole, *whole_final)):
        assert_shares(other, (recorded.out, *recorded.state), most, "values")  # type: ignore[arg-type]


@settings(max_examples=draws(20))
@given(calls(most_layers=2), st.sampled_from(DTYPES), st.booleans())
def test_gradients_outside_training_are_the_same(call: Call, dtype: torch.dtype, edited: bool) -> None:
    """Little is saved there, and what a gradient needs is recomputed on demand, bit for bit."""
    edits = [hs.scale("l0.f", by=0.5, unit=0), hs.set("l0.c", to=0.25, t=0)] if edited else []
    x, *state = leaves_of_call = call.inputs(dtype)
    lstm = call.lstm(dtype)
    weights, wanted = list(lstm.parameters()), [*leaves_of_call, *lstm.parameters()]
    found = []
    for training in (True, False):
        with lstm.train(training).edit(*edits):
            out, final = lstm(x, (state[0], state[1]), **call.given())
        found += [gradients([out, *final], wanted), gradients([out, *final], wanted)]  # the graph is retained
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    if dtype is not torch.bfloat16:
        graphed = torch.autograd.grad(out.sum(), weights, create_graph=True)
        assert_all_close(graphed, torch.autograd.grad(out.sum(), weights), "with a graph")


@pytest.mark.parametrize(("H", "dtype"), diagonal([1, 15, 16, 17, 63, 64, 65, 130], DTYPES))
def test_widths_that_blocks_do_not_divide_and_many_steps(H: int, dtype: torch.dtype) -> None:
    """More steps than are projected, or summed for the weights, at a time. torch's layer in float64 is the truth."""
    call = Call(T=230, N=2, C=1 if H == 130 else 19, H=H, L=1, seed=H, bidirectional=True)
    ours, theirs = call.lstm(dtype), call.lstm(torch.float64).to_torch()
    results = []
    for lstm, kind in ((ours, dtype), (theirs, torch.float64)):
        x, h0, c0 = leaves_of_call = call.inputs(kind)
        out, final = lstm(x, (h0, c0))
        results.append(([out, *final], gradients([out, *final], [*leaves_of_call, *lstm.parameters()])))
    (values, found), (want, wanted) = results
    most = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: BFLOAT16_GRADIENTS}[dtype]
    assert_shares(values, want, most, "values")
    assert_shares(found, wanted, most, "gradients")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("H", [1023, 1030])
def test_layers_of_many_units(H: int, threads: int) -> None:
    """More rows than are projected at a time, on weights in large pages; a second call reuses the memory of the
    first."""
    torch.manual_seed(0)
    lstm, x, before = hs.LSTM(40, H), torch.randn(5, 50, 40), torch.get_num_threads()
    with hs.backend("reference"):
        want, _ = lstm(x)
    torch.set_num_threads(threads)
    try:
        for _ in range(2):
            got, (h, _) = lstm(x)
            alone, _ = lstm(x[:, 7:8])
            assert_close(got, want)
            assert torch.equal(got[-1], h[0])
            assert torch.equal(got[:, 7:8], alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_ragged_steps_with_borders(dtype: torch.dtype) -> None:
    call = Call(T=150, N=5, C=3, H=17, L=1, seed=0, bidirectional=True, ragged=True, borders=True)
    got = told(call, dtype)
    with hs.backend("reference"):
        want = told(call, dtype)
    most = 1e-5 if dtype is torch.float32 else 1e-12
    assert_shares(got.values, want.values, most, "values")
    assert_shares(got.gradients, want.gradients, most, "gradients")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
def test_no_rows_at_all(dtype: torch.dtype, training: bool) -> None:
    call = Call(T=3, N=0, C=5, H=17, L=2, seed=0, bidirectional=True, ragged=True, borders=True)
    done = told(call, dtype, hs.zero("l0.f"), training=training)
    assert done.values[0].shape == (3, 0, 34)
    assert all(value.numel() == 0 for value in done.values)
    assert not any(gradient.any() for gradient in done.gradients)
    with torch.no_grad():
        assert call.lstm(dtype)(call.inputs(dtype)[0])[0].shape == (3, 0, 34)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch_first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "steps_of_one": lambda x: x[:1].expand(len(x), -1, -1),
    "rows_of_one": lambda x: x[:, :1].expand(-1, x.shape[1], -1),
    "features_of_one": lambda x: x[..., :1].expand(-1, -1, x.shape[2]),
    "features_apart": lambda x: torch.stack([x, -x], dim=-1).flatten(2)[..., ::2],
    "features_first": lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    "rows_apart": lambda x: torch.stack([x, -x], dim=2).flatten(1, 2)[:, ::2],
    "overlapping": lambda x: x.flatten().as_strided(x.shape, (2, 3, 1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs_of_any_stride(layout: str, dtype: torch.dtype) -> None:
    call = Call(T=5, N=4, C=7, H=9, L=1, seed=0)
    lstm, (x, *_) = call.lstm(dtype), call.inputs(dtype)
    x = LAYOUTS[layout](x.detach())
    assert not x.is_contiguous()
    found = []
    for given_x in (x, x.contiguous()):
        given_x.requires_grad_()
        out, final = lstm(given_x)
        with torch.no_grad():
            whole = lstm(given_x)[0]
        found.append([out, *final, whole, *gradients([out, *final], [given_x, *lstm.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
def test_each_gradient_may_be_asked_for_alone(dtype: torch.dtype, training: bool) -> None:
    call = Call(T=5, N=3, C=7, H=9, L=1, seed=0)
    lstm = call.lstm(dtype).train(training)
    every = [*call.inputs(dtype), *lstm.parameters()]

    def run() -> Tensor:
        x, h0, c0 = every[:3]
        out, (h_n, c_n) = lstm(x, (h0, c0))
        total: Tensor = (out.sum(0) + h_n + 2 * c_n).square().sum()
        return total

    want = torch.autograd.grad(run(), every)
    for k, one in enumerate(every):
        for asked in ([one], every[:k] + every[k + 1 :]):
            for leaf in every:
                leaf.requires_grad_(any(leaf is other for other in asked))
            found = iter(torch.autograd.grad(run(), asked))
            for leaf, gradient in zip(every, want, strict=True):
                if leaf.requires_grad:
                    assert torch.equal(next(found), gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("only", ["out", "h_n", "c_n"])
def test_the_gradient_of_each_output_may_be_asked_for_alone(only: str, training: bool, dtype: torch.dtype) -> None:
    """It equals the gradient of all three with zeros for the other two."""
    call = Call(T=5, N=3, C=7, H=9, L=2, seed=0, bidirectional=True)
    lstm = call.lstm(dtype).train(training)
    x, h0, c0 = leaves = call.inputs(dtype)
    out, (h_n, c_n) = lstm(x, (h0, c0))
    outputs = {"out": out, "h_n": h_n, "c_n": c_n}
    wanted = [*leaves, *lstm.parameters()]
    grads = [torch.randn_like(value) if name == only else torch.zeros_like(value) for name, value in outputs.items()]
    given = next(grad for name, grad in zip(outputs, grads, strict=True) if name == only)
    want = torch.autograd.grad(list(outputs.values()), wanted, grads, retain_graph=True)
    found = torch.autograd.grad(outputs[only], wanted, given, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))
    if dtype is not torch.bfloat16:
        graphed = torch.autograd.grad(outputs[only], wanted, given, create_graph=True, materialize_grads=True)
        assert_all_close(graphed, want, "with a graph")


@st.composite
def edits(draw: st.DrawFn, call: Call, dtype: torch.dtype, scope: Any = "write") -> list[hs.Edit]:
    """Some edits of one call, of any place and kind, whose units, steps and rows may overlap."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    lstm = call.lstm(dtype)
    with torch.no_grad():  # a value that requires a gradient would go to the reference
        source = lstm.trace(torch.randn(call.T, 1, call.C, generator=generator).to(dtype))

    def chosen(count: int) -> Any:
        """An index, and how many it chooses."""
        some = st.lists(st.integers(0, count - 1), min_size=1, unique=True)
        return draw(st.one_of(st.none(), st.integers(-count, count - 1), some, st.just(slice(None, None, 2))))

    def size(index: Any, count: int) -> int:
        return len(range(count)[index]) if isinstance(index, slice) else len(index) if isinstance(index, list) else 1

    def one() -> hs.Edit:
        track = draw(st.sampled_from(lstm.sizes.layer_directions))
        place = f"l{track[0]}{'r' if track[1] else ''}.{draw(st.sampled_from(QUANTITIES + PRE_ACTIVATIONS))}"
        kind = draw(st.sampled_from(["set", "scale", "add", "patch"]))
        units = lstm.sizes.units(place.split(".")[1])
        unit, t, row = chosen(units), chosen(call.T), chosen(call.N)
        if kind == "patch" and not place.endswith("_pre"):
            return hs.patch(place, source=source, unit=unit, t=t, row=row, scope=scope)
        block = [count if i is None else size(i, count) for i, count in ((t, call.T), (row, call.N), (unit, units))]
        shape = [draw(st.sampled_from([1, n])) for n in block][draw(st.integers(0, 3)) :]
        value = torch.randn(shape, generator=generator).to(dtype)
        return hs.Edit(place, "add" if kind == "patch" else kind, value, unit, t, row, scope)  # type: ignore[arg-type]

    return [one() for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=draws(50))
@given(calls(most_layers=2), st.sampled_from([torch.float32, torch.float64]), st.booleans(), st.data())
def test_edits_are_the_references(call: Call, dtype: torch.dtype, training: bool, data: st.DataObject) -> None:
    """Outputs, states, trace and all gradients."""
    chosen = data.draw(edits(call, dtype))
    got = told(call, dtype, *chosen, training=training)
    with hs.backend("reference"):
        want = told(call, dtype, *chosen)
    assert_all_close(got.values, want.values, "values")
    assert_all_close(got.gradients, want.gradients, "gradients")


@settings(max_examples=draws(15))
@given(calls(most_layers=2), st.data())
def test_bfloat16_edits_are_of_its_rounding(call: Call, data: st.DataObject) -> None:
    """If no gate exceeds one; otherwise errors may grow with each step."""
    chosen = [
        replace(edit, value=edit.value.clamp(-1, 1))  # type: ignore[union-attr]
        for edit in data.draw(edits(call, torch.float64))
        if edit.kind == "set"
    ]
    got, want = told(call, torch.bfloat16, *chosen), told(call, torch.float64, *chosen)
    # As everywhere, relative to the largest value, even for states that edits made large.
    assert_shares(got.values, want.values, 2 * BFLOAT16_VALUES, "values")
    assert_shares(got.gradients, want.gradients, 2 * BFLOAT16_GRADIENTS, "gradients")


@settings(max_examples=draws(15))
@given(calls(most_layers=2), st.data(), st.booleans())
def test_second_derivatives_with_edits_are_the_references(call: Call, data: st.DataObject, training: bool) -> None:
    chosen = data.draw(edits(call, torch.float64))
    second = []
    for backend in ("auto", "reference"):
        lstm, (x, h0, c0) = call.lstm(torch.float64).train(training), call.inputs(torch.float64)
        with hs.backend(backend), lstm.edit(*chosen):
            out, final = lstm(x, (h0, c0), **call.given())
        total = torch.stack([value.square().sum() for value in (out, *final)]).sum()
        if not total.requires_grad:
            return
        wanted = [x, h0, c0, *lstm.parameters()]
        first = torch.autograd.grad(total, wanted, create_graph=True, materialize_grads=True)
        length = torch.stack([value.square().sum() for value in first]).sum()
        if length.requires_grad:
            second.append(torch.autograd.grad(length, wanted, materialize_grads=True))
    if second:
        assert_all_close(second[0], second[1], "second derivatives")


@settings(max_examples=draws(15))
@given(calls(most_layers=2), st.data())
def test_edits_that_go_to_the_reference_beside_others(call: Call, data: st.DataObject) -> None:
    """Readout edits, and edits with a value that requires a gradient, which it gets."""
    dtype = torch.float64
    leaf = torch.randn(call.H, dtype=dtype, requires_grad=True)
    chosen = data.draw(edits(call, dtype)) + data.draw(edits(call, dtype, "readout"))
    chosen.insert(1, hs.scale("l0.i_pre", by=leaf))
    found = []
    for backend in ("auto", "reference"):
        lstm, (x, h0, c0) = call.lstm(dtype), call.inputs(dtype)
        with hs.backend(backend), lstm.edit(*chosen):
            trace = lstm.trace(x, (h0, c0), **call.given())
        values = [*trace.state, *trace.values.values()]
        found.append([*values, *gradients(values, [leaf, x, h0, c0, *lstm.parameters()])])
    assert_all_close(found[0], found[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_thirty_rows_each_with_an_edit_of_its_own(dtype: torch.dtype) -> None:
    """A sweep in one call: each row equals a run with only its edit."""
    lstm, x = hs.LSTM(5, 17, 2, dtype=dtype), torch.randn(6, 1, 5).to(dtype)
    places = [f"l{layer}.{quantity}" for layer in range(2) for quantity in QUANTITIES + PRE_ACTIVATIONS]
    kinds = ["set", "scale", "add"]
    values = torch.rand(30, 3).to(dtype)
    swept = [
        hs.Edit(places[n % 20], kinds[n % 3], values[n], unit=(n % 13, 14, 16), t=n % 6, row=n)  # type: ignore[arg-type]
        for n in range(30)
    ]
    with torch.no_grad():
        with lstm.edit(*swept):
            together = lstm(x.expand(6, 30, 5))[0]
        for n, edit in enumerate(swept):
            with lstm.edit(replace(edit, row=0)):
                assert torch.equal(together[:, n], lstm(x)[0][:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_natively(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded, edited, ragged, differentiated or plain: neither the reference nor torch's layer runs."""

    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("not native")

    monkeypatch.setattr(reference, "scan", refuse)
    monkeypatch.setattr(torch, "lstm", refuse)
    call = Call(T=4, N=3, C=5, H=9, L=2, seed=0, bidirectional=True, ragged=True, borders=True)
    lstm = call.lstm(dtype)
    x, h0, c0 = call.inputs(dtype)
    for training in (True, False):
        told(call, dtype, hs.scale("l0r.f_pre", by=2.0), hs.zero("l1.h", unit=2, t=1, row=0), training=training)
    with torch.no_grad():
        lstm(x, (h0, c0), **call.given())
    stream = hs.LSTM(5, 9, 2, dtype=dtype).stream(batch=3)
    stream.step(x[0])
    stream.feed(x)
    if dtype is torch.float32:
        with torch.autocast("cpu", torch.bfloat16):
            lstm(x, (h0, c0))[0].float().sum().backward()


SHARED = {
    "units": Call(T=12, N=3, C=17, H=130, L=1, seed=0, bidirectional=True, ragged=True),
    "rows": Call(T=12, N=67, C=17, H=33, L=1, seed=1, bidirectional=True, ragged=True),
    "units, projected": Call(T=12, N=3, C=17, H=130, L=1, seed=2, bidirectional=True, ragged=True, projects=True),
    "rows, projected": Call(T=12, N=67, C=17, H=35, L=1, seed=3, bidirectional=True, ragged=True, projects=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shared", SHARED)
def test_results_are_the_same_to_the_last_bit_on_any_number_of_threads(shared: str, dtype: torch.dtype) -> None:
    """Whether threads share units or rows, and in simultaneous calls from several Python threads."""
    call = SHARED[shared]
    given = call.given()
    lstm, (x, *state) = call.lstm(dtype), call.inputs(dtype)

    def run() -> list[Tensor]:
        torch.manual_seed(0)
        with torch.no_grad():
            out, final = lstm(x.detach(), (state[0].detach(), state[1].detach()), **given)
        trace = lstm.trace(x, (state[0], state[1]), **given)
        values = [trace.out, *trace.state, *trace.values.values()]
        return [out, *final, *values, *gradients(values, [x, *state, *lstm.parameters()])]

    want, used = run(), []
    try:
        for threads in (2, 3, 5):
            torch.set_num_threads(threads)
            used.append(kernels.threads(call.T, call.N, call.C, call.H))
            assert all(torch.equal(a, b) for a, b in zip(run(), want, strict=True)), f"{threads} threads"
        torch.set_num_threads(2)
        with ThreadPoolExecutor(4) as pool:
            for got in pool.map(lambda _: run(), range(4)):
                assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    finally:
        torch.set_num_threads(1)
    assert used == [2, 3, 5], "so large that threads are used"


@pytest.mark.parametrize("reverse", [False, True])
def test_results_do_not_depend_on_threads(reverse: bool) -> None:
    lengths = torch.randint(0, 21, (17,))
    w = Weights(torch.randn(4 * 65, 9), torch.randn(4 * 65, 65) / 8, None, None, None)
    track = one_layer(torch.randn(20, 17, 9), torch.randn(17, 65), torch.randn(17, 65), w, reverse, lengths)
    w.hh.requires_grad_()
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        used = kernels.threads(20, 17, 9, 65)
        results.append((used, shown(track)))
    torch.set_num_threads(1)
    assert [threads for threads, _ in results] == [1, 2, 5], "so large that threads are used"
    for _, other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other[:3], results[0][1][:3], strict=True))


def test_rows_are_the_same_in_any_company() -> None:
    """A row's numbers are equal to the last bit for any number of rows, because tiles sum in a fixed order."""
    lstm, x = hs.LSTM(9, 33).eval(), torch.randn(5, 7, 9)
    with torch.no_grad():
        together = lstm(x)[0]
        alone = torch.cat([lstm(x[:, n : n + 1])[0] for n in range(7)], dim=1)
    assert torch.equal(together, alone)


def test_a_nan_in_one_row_never_touches_another() -> None:
    lstm, x = hs.LSTM(4, 17, 2, bidirectional=True), torch.randn(5, 6, 4)
    want = lstm(x)[0]
    x[2, 3, 1] = float("nan")
    out, _ = lstm(x)
    others = [n for n in range(6) if n != 3]
    assert_close(out[:, others], want[:, others])
    assert out[:, 3].isnan().all()


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64, "meta"])
def test_torchs_defaults_are_no_matter(default: Any) -> None:
    lstm, x = hs.LSTM(5, 33), torch.randn(4, 3, 5)
    state = torch.zeros(1, 3, 33), torch.zeros(1, 3, 33)
    want = torch.autograd.grad(lstm(x, state)[0].sum(), list(lstm.parameters()))
    stream = lstm.stream(batch=3)
    try:
        if default == "meta":
            torch.set_default_device(default)
        else:
            torch.set_default_dtype(default)
        got = torch.autograd.grad(lstm(x, state, lengths=[4, 4, 4])[0].sum(), list(lstm.parameters()))
        step = stream.step(x[0])
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert_all_close(got, want)
    assert_close(step, lstm(x, state)[0][0].detach())


@pytest.mark.parametrize(
    ("name", "shape"),
    [("weight_hh_l0", (256, 64)), ("weight_hh_l0", (4, 33)), ("weight_ih_l0", (8, 5)), ("bias_hh_l0", (3,))],
)
def test_weights_of_other_sizes_fail_before_native_code(name: str, shape: tuple[int, ...]) -> None:
    lstm, x = hs.LSTM(5, 33), torch.randn(4, 3, 5)
    stream = lstm.stream(batch=3)
    setattr(lstm, name, torch.nn.Parameter(torch.randn(shape)))
    with pytest.raises(
        ShapeError, match=rf"{name} has shape .*, expected .* by the sizes: was it or a size replaced\?"
    ):
        lstm(x)
    with pytest.raises(ShapeError, match=f"a {name.removesuffix('_l0')} has shape"):
        stream.step(x[0])


def test_leaves_that_depend_on_one_another() -> None:
    """Also with create_graph: the same tensor given twice, states computed from the input, tied weights."""
    tied = hs.LSTM(3, 3)
    tied.weight_ih_l0 = tied.weight_hh_l0
    tied.bias_ih_l0 = tied.bias_hh_l0
    x = torch.randn(2, 1, 3, requires_grad=True)
    mixing = torch.randn(3, 3)

    def run() -> Tensor:
        h0 = torch.tanh(x[:1] @ mixing)
        total: Tensor = tied(x, (h0, 2 * h0))[0].square().sum()
        return total

    wanted = [x, tied.weight_hh_l0, tied.bias_hh_l0]
    plain = torch.autograd.grad(run(), wanted)  # type: ignore[arg-type]
    with hs.backend("reference"):
        want = torch.autograd.grad(run(), wanted)  # type: ignore[arg-type]
    graphed = torch.autograd.grad(run(), wanted, create_graph=True)  # type: ignore[arg-type]
    assert_all_close(plain, want, "plain")
    assert_all_close(graphed, want, "with create_graph")


def test_tensors_negated_by_a_mark_alone() -> None:
    negated_value, value = torch._neg_view(torch.ones(4)), -torch.ones(4)
    lstm, x = hs.LSTM(4, 4), torch.randn(3, 2, 4, requires_grad=True)
    h = torch.randn(1, 2, 4)
    negated = torch._neg_view(h)
    assert_close(lstm(x, (negated, negated))[0], lstm(x, (-h, -h))[0])
    ones = torch.ones(3, 2, 4)
    (got,) = torch.autograd.grad(lstm(x)[0], x, torch._neg_view(ones))
    (want,) = torch.autograd.grad(lstm(x)[0], x, -ones)
    assert_close(got, want)
    stream, other = lstm.stream(batch=2), lstm.stream(batch=2)
    assert_close(stream.step(torch._neg_view(h[0])), other.step(-h[0]))
    with lstm.edit(hs.set("l0.c", to=negated_value)):
        got = lstm(x)[0]
    with lstm.edit(hs.set("l0.c", to=value)):
        assert_close(got, lstm(x)[0])


def test_many_gradients_at_once() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4, requires_grad=True)
    out = lstm(x)[0]
    weights = torch.randn(5, *out.shape)
    (got,) = torch.autograd.grad(out, x, weights, is_grads_batched=True)
    want = torch.stack([torch.autograd.grad(lstm(x)[0], x, weight)[0] for weight in weights])
    assert_close(got, want)


def test_hooks_that_change_saved_tensors() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4, requires_grad=True)
    (want,) = torch.autograd.grad(lstm(x)[0].sum(), x)

    def strided(value: Tensor) -> Tensor:
        return torch.stack([value, value], dim=-1)[..., 0]

    with torch.autograd.graph.saved_tensors_hooks(lambda value: value, strided):
        out = lstm(x)[0]
        (got,) = torch.autograd.grad(out.sum(), x)
    assert_close(got, want)
    with torch.autograd.graph.saved_tensors_hooks(lambda value: value, lambda value: value.double()):
        out = lstm(x)[0]
        with pytest.raises(RuntimeError):
            out.sum().backward()


def test_backward_under_autocast() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    total = lstm(x)[0].sum()
    want = torch.autograd.grad(total, list(lstm.parameters()), retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = torch.autograd.grad(total, list(lstm.parameters()), retain_graph=True)
        graphed = torch.autograd.grad(total, list(lstm.parameters()), create_graph=True)
        batched = torch.autograd.grad(total, list(lstm.parameters()), torch.ones(1), is_grads_batched=True)
    assert_all_close(got, want)
    assert_all_close(graphed, want)
    assert_all_close([value.squeeze(0) for value in batched], want)


def test_where_no_gradient_comes_none_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Tensor) -> Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> None:
            return None

    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    total = derivative.apply(Cut, lstm(x)[0]).sum()
    monkeypatch.setattr(reference, "scan", None)
    total.backward()
    assert all(value.grad is None for value in lstm.parameters())


def test_a_state_that_never_comes_in_never_matters() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    state = torch.full((1, 2, 3), float("nan")), torch.full((1, 2, 3), float("nan"))
    begins = torch.tensor([[True, True], [False, False], [False, False]])
    out, _ = lstm(x, state, reset=begins)
    assert all(value.isfinite().all() for value in torch.autograd.grad(out.sum(), list(lstm.parameters())))


@pytest.mark.filterwarnings("default")
def test_a_graph_made_of_a_run_is_of_the_lstm() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    with torch.no_grad():
        graph = make_fx(lambda value: lstm(value)[0])(x)
        other = torch.randn(3, 2, 4)
        assert_close(graph(other), lstm(other)[0])


def test_backward_twice_gives_the_same() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(3, 2, 4)
    total = lstm(x)[0].square().sum()
    first = torch.autograd.grad(total, list(lstm.parameters()), retain_graph=True)
    second = torch.autograd.grad(total, list(lstm.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_output_changed_in_place_is_noticed() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(3, 2, 4)
    track = one_layer(x, torch.zeros(2, 9), torch.zeros(2, 9), lstm._weights()[0], False)
    out = derivative.run(track)[0]
    out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("what", ["x", "weight_hh_l0", "bias_ih_l0", "lengths", "reset", "edit"])
def test_what_a_gradient_needs_and_was_changed_is_noticed(what: str, training: bool) -> None:
    lstm, x = hs.LSTM(4, 3).train(training), torch.randn(3, 2, 4)
    given = {"lengths": torch.tensor([2, 3]), "reset": torch.zeros(3, 2, dtype=torch.bool)}
    given = {} if what == "x" else given  # ragged rows are read from a copy, with nothing past their ends
    value = torch.ones(3)
    with lstm.edit(hs.scale("l0.c", by=value, t=1)):
        out, _ = lstm(x, **given)
    changed = {"x": x, "edit": value, **given, **dict(lstm.named_parameters())}[what]
    with torch.no_grad():
        changed.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0"])
def test_a_single_bias_is_added(name: str) -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(3, 2, 4)
    setattr(lstm, name, None)
    with hs.backend("reference"):
        want = lstm(x)[0]
    wanted = list(lstm.parameters())
    assert_close(lstm(x)[0], want)
    assert_all_close(gradients([lstm(x)[0]], wanted), gradients([want], wanted))
    with torch.no_grad():
        assert_close(lstm(x)[0], want)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"])
def test_a_weight_that_is_not_there_fails_before_native_code(name: str) -> None:
    lstm, x = hs.LSTM(4, 9, proj_size=2), torch.randn(3, 2, 4)
    setattr(lstm, name, None)
    for use in (lambda: lstm(x), torch.no_grad()(lambda: lstm(x)), lambda: lstm.trace(x)):
        with pytest.raises((ShapeError, AttributeError)):
            use()


@pytest.mark.parametrize("what", ["x", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "weight_hr_l0"])
def test_memory_that_was_freed_is_not_read(what: str) -> None:
    lstm, x = hs.LSTM(4, 9, proj_size=3 if what == "weight_hr_l0" else 0), torch.randn(3, 2, 4)
    out, stream, step = lstm(x)[0], lstm.stream(batch=2), x[0]
    freed = {"x": x, **dict(lstm.named_parameters())}[what]
    freed.untyped_storage().resize_(0)
    quietly: Callable[[], object] = torch.no_grad()(lambda: lstm(x))
    uses: list[Callable[[], object]] = [lambda: lstm(x), lambda: stream.step(step), quietly]
    if not what.startswith("bias"):  # no gradient is computed from it
        uses.append(out.sum().backward)
    for use in uses:
        with pytest.raises(
            (ValueError, RuntimeError), match="memory was freed|not allocated|out of bounds for storage of size 0"
        ):
            use()


@pytest.mark.parametrize("change", ["dtype", "projection", "meta", "autocast"])
def test_what_it_cannot_is_done_otherwise(change: str) -> None:
    choices: dict[str, dict[str, Any]] = {"dtype": {"dtype": torch.float64}, "projection": {"proj_size": 2}}
    options = choices.get(change, {})
    lstm = hs.LSTM(4, 9, **options, device="meta" if change == "meta" else "cpu")
    x = torch.randn(3, 2, 4, dtype=options.get("dtype", torch.float32)).to(lstm.weight("l0.W_ii").device)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=change == "autocast"):
        x = x.bfloat16() if change == "autocast" else x
        assert lstm(x)[0].shape == (3, 2, options.get("proj_size", 9))


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, **environment}
    )


# For tests that start processes, which make their own choice.
once = pytest.mark.parametrize("isa", [BASELINE], indirect=True)


@once
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_wait_for_threads_that_did_not_come_along() -> None:
    code = """
import os, warnings, torch, hiddenstate as hs
# Python 3.12 and later say so at such a fork, which is what this is about
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
torch.set_num_threads(2)
lstm, x = hs.LSTM(64, 300).eval(), torch.randn(40, 8, 64)
stream = lstm.stream()
def work():
    stream.reset()
    return [stream.step(step).numpy() for step in x[:, :1]], lstm(x)[0].detach().numpy()
steps, out = work()
child = os.fork()
if not child:
    again, once_more = work()
    same = (out == once_more).all() and all((a == b).all() for a, b in zip(steps, again))
    torch.set_num_threads(1)  # without it, torch may wait for its own threads while it divides a trace
    same = same and torch.equal(lstm.trace(x).out, torch.from_numpy(out))
    os._exit(7 if same else 8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = programs.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")


@once
def test_the_environment_chooses_the_set() -> None:
    code = "from hiddenstate.engine import kernels; print(kernels.isa())"
    assert run_python(code, HIDDENSTATE_ISA=BASELINE).stdout == f"{BASELINE}\n"
    failed = run_python(code, HIDDENSTATE_ISA="avx9")
    assert f"HIDDENSTATE_ISA=avx9: this machine supports {BASELINE}" in failed.stderr


@once
def test_without_the_native_module_everything_works_with_one_warning() -> None:
    code = """
import sys, warnings
sys.modules["hiddenstate._native"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import hiddenstate as hs
    from hiddenstate.engine import kernels
    import torch
    assert hs.LSTM(4, 3).trace(torch.zeros(2, 4)).out.shape == (2, 3)
    assert kernels.version() is None and kernels.cpu_features() == [] and kernels.isa() is None
    assert "not 'fast': the native module could not be loaded" in str(hs.LSTM(4, 3).path(torch.zeros(2, 4)))
said = [str(w.message) for w in caught if "native module could not be loaded" in str(w.message)]
assert len(said) == 1, said
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
