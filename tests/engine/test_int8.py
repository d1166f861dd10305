"""int8 weights: their rounding, and the native path compared with a reference whose products are rounded the same
way."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
from hiddenstate.cells.cell import Weights
from hiddenstate.engine import kernels
from hiddenstate.engine import weights as int8
from hiddenstate.engine.call import Call
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from support import draws

SIZES = st.sampled_from([1, 3, 17, 33, 65])
STEP = 1 / 127  # for a hidden state


def _isas() -> list[tuple[str, str]]:
    """Instruction sets for floats, with the int8 ones that are used beside them."""
    found = []
    for isa in kernels.isas():
        kernels.choose(isa)
        found += [(isa, one) for one in kernels.isas_int8()]
    kernels.choose(None)
    return found


needs_int8 = pytest.mark.skipif(kernels.int8() is None, reason="this processor has no instructions for it")


@pytest.fixture(params=_isas(), ids="-".join)
def isa(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each instruction set with an int8 kernel, forced, with the float one that it is used beside."""
    floats, eight_bits = request.param
    kernels.choose(floats)
    kernels.choose_int8(eight_bits)
    yield
    kernels.choose(None)


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even layers with few units, which are otherwise computed in float32."""
    monkeypatch.setattr(int8, "FEWEST_UNITS", 1)


class Rows(NamedTuple):
    """Rows as integers, each with its own scale."""

    steps: Tensor  # float64
    scale: Tensor


def rounded(x: Tensor) -> Rows:
    """Inputs or hidden states, rounded like in the kernel: in one fused float32 operation."""
    greatest = x.abs().amax(dim=-1)
    # Not 127 / greatest, which torch computes as a product with the reciprocal: the last digit may differ.
    per_step = torch.where(greatest > 0, torch.full_like(greatest, 127) / greatest, 0)
    return Rows((x.double() * per_step[..., None].double()).round(), greatest / 127)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x [N, K]`` times ``weight [4H, K]``, rounded the same way: the sum of integers is exact."""
    values, scale = int8.quantise(weight, "weight")
    rows = rounded(x)
    whole = rows.steps @ values.double().T
    assert float(whole.abs().max()) < 2**31
    return whole.float() * (scale * rows.scale[:, None])


def one_layer(x: Tensor, h: Tensor, c: Tensor, weights: Weights, reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    outs: list[Tensor] = []
    bias = 0 if weights.b_ih is None or weights.b_hh is None else weights.b_ih + weights.b_hh
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        z = bias + product(x[t], weights.ih) + product(h, weights.hh)
        i, f, g, o = z.chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outs.append(h)
    return torch.stack(outs[::-1] if reverse else outs), h, c


@torch.no_grad()
def reference(lstm: hs.LSTM, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The results of an LSTM with rounded products: out, h_n, c_n."""
    D, h_n, c_n = lstm.sizes.directions, [], []
    for layer in range(lstm.num_layers):
        sides = []
        for k in range(layer * D, layer * D + D):
            out, h, c = one_layer(x, h0[k], c0[k], lstm._weights()[k], reverse=k % 2 == 1 and D == 2)
            sides.append(out)
            h_n.append(h)
            c_n.append(c)
        x = torch.cat(sides, dim=-1)
    return x, torch.stack(h_n), torch.stack(c_n)


def case(seed: int, T: int, N: int, C: int, H: int, L: int, D: int) -> tuple[hs.LSTM, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    lstm = hs.LSTM(C, H, L, bidirectional=D == 2, bias=seed % 3 != 0)
    tracks = L * D
    return lstm, torch.randn(T, N, C), torch.randn(tracks, N, H), torch.randn(tracks, N, H)


@needs_int8
@pytest.mark.usefixtures("isa", "any_size")
@settings(max_examples=draws(25))
@given(seed=st.integers(0, 2**20), N=st.integers(1, 19), C=SIZES, H=SIZES)
def test_a_step_is_that_of_the_reference(seed: int, N: int, C: int, H: int) -> None:
    lstm, x, h0, c0 = case(seed, 1, N, C, H, 1, 1)
    want = reference(lstm, x, h0, c0)
    with torch.no_grad():
        out, (h_n, c_n) = lstm.quantize()(x, (h0, c0))
    for got, expected in zip((out, h_n, c_n), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@needs_int8
@pytest.mark.usefixtures("isa", "any_size")
@settings(max_examples=15)
@given(seed=st.integers(0, 2**20), T=st.integers(1, 9), N=st.integers(1, 19), C=SIZES, H=SIZES, L=st.integers(1, 3))
def test_a_sequence_is_that_of_the_reference(seed: int, T: int, N: int, C: int, H: int, L: int) -> None:
    lstm, x, h0, c0 = case(seed, T, N, C, H, L, 1 + seed % 2)
    want = reference(lstm, x, h0, c0)
    with torch.no_grad():
        out, (h_n, _) = lstm.quantize()(x, (h0, c0))
    # A last digit may round h to a different step, which changes everything after it.
    torch.testing.assert_close(out, want[0], rtol=0, atol=2 * STEP)
    torch.testing.assert_close(h_n, want[1], rtol=0, atol=2 * STEP)


@needs_int8
@pytest.mark.usefixtures("isa")
def test_it_is_near_float32() -> None:
    torch.manual_seed(0)
    lstm, x = hs.LSTM(64, 96, 2, bidirectional=True), torch.randn(40, 6, 64)
    with torch.no_grad():
        want, got = lstm(x)[0], lstm.quantize()(x)[0]
    assert 0 < float((got - want).abs().max()) < 0.02


@needs_int8
@pytest.mark.usefixtures("isa")
def test_numbers_do_not_depend_on_threads_batches_ragged_rows_streams_or_traces() -> None:
    torch.manual_seed(1)
    lstm = hs.LSTM(40, 65, 2).quantize()
    x = torch.randn(9, 13, 40)
    with torch.no_grad():
        out, (h_n, c_n) = lstm(x)
        assert lstm.path(x).name == "int8"
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        assert torch.equal(lstm(x)[0], out)
        torch.set_num_threads(threads)
        assert torch.equal(torch.cat([lstm(x[:, n : n + 1])[0] for n in range(13)], dim=1), out)
        lengths = torch.tensor([9, 0, 1, 5, 9, 3, 2, 8, 7, 6, 4, 9, 1])
        ragged = lstm(x, lengths=lengths)[0]
        for n, length in enumerate(lengths.tolist()):
            assert torch.equal(ragged[:length, n], out[:length, n])
            assert not ragged[length:, n].any()
        stream = lstm.stream(13)
        assert torch.equal(torch.stack([stream.step(step) for step in x]), out)
        trace = lstm.trace(x)
        assert isinstance(trace.out, Tensor)
        assert torch.equal(trace.out, out)
        assert torch.equal(trace.values["l1.h"], out)
        assert torch.equal(trace.values["l1.c"][-1], c_n[1])
        part = lstm.trace(x, keep=["l0.f"], steps=[3])
        assert isinstance(part.out, Tensor)
        assert torch.equal(part.out, out)
        pieces, state = [], None
        for piece in x.split([2, 4, 3]):
            done, state = lstm(piece, state)
            pieces.append(done)
        assert torch.equal(torch.cat(pieces), out)
        assert state is not None
        assert torch.equal(state[0], h_n)


MATRIX_SHAPES = st.tuples(
    st.integers(1, 5),  # T
    st.sampled_from([1, 3, 6, 15, 16, 17, 31, 33, 70]),  # N: more and fewer rows than a register has
    st.sampled_from([5, 33, 64, 200]),  # C: a part of a register, one, and several
    st.sampled_from([32, 33, 65, 130, 300]),  # H: the last one has too many bytes of weights to be multiplied at once
)


def everything(lstm: hs.LSTM, x: Tensor, seed: int) -> list[Tensor]:
    """Results of a plain call, a trace, ragged rows, rows with resets, edits and a stream."""
    torch.manual_seed(seed)
    T, N = x.shape[:2]
    lengths, reset = torch.randint(0, T + 1, (N,)), torch.rand(T, N) < 0.2
    out, state = lstm(x)
    found = [out, *state]
    found += lstm.trace(x, reset=reset).values.values()
    with lstm.edit(hs.scale("l0.f", 0.5), hs.set("l0.h", 0.25, unit=3)):
        edited = lstm.trace(x, lengths=lengths)
        assert isinstance(edited.out, Tensor)
        found += [edited.out, *edited.values.values()]
    if lstm.sizes.directions == 1:
        stream = lstm.stream(N)
        found += [stream.step(step) for step in x]
    return found


@pytest.mark.skipif("amx" not in kernels.isas_int8(), reason="this processor has no such registers for 8 bits")
@settings(max_examples=draws(40), deadline=None)
@given(shape=MATRIX_SHAPES, seed=st.integers(0, 2**20), directions=st.integers(1, 2), threads=st.integers(1, 2))
def test_matrix_registers_give_the_numbers_of_vectors(
    shape: tuple[int, int, int, int], seed: int, directions: int, threads: int
) -> None:
    T, N, C, H = shape
    lstm, x, _, _ = case(seed, T, N, C, H, 2, directions)
    before, results = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        for isa in ("avx512_vnni", "amx"):
            kernels.choose_int8(isa)
            with torch.no_grad():
                results.append(everything(lstm.quantize(), x, seed))
    finally:
        torch.set_num_threads(before)
        kernels.choose(None)
    for of_vectors, of_matrices in zip(*results, strict=True):
        assert torch.equal(of_vectors, of_matrices)


@pytest.mark.skipif("amx" not in kernels.isas(), reason="this processor has no such registers")
def test_matrix_registers_are_not_used_where_narrower_sets_are_chosen() -> None:
    kernels.choose("avx512")
    try:
        assert kernels.isas_int8() in ([], ["avx512_vnni"])
    finally:
        kernels.choose(None)


@needs_int8
def test_resets_and_edits_are_served() -> None:
    torch.manual_seed(2)
    lstm = hs.LSTM(20, 48, 2, bidirectional=True).quantize()
    x = torch.randn(7, 3, 20)
    reset = torch.zeros(7, 3, dtype=torch.bool)
    reset[3] = True
    with torch.no_grad():
        whole = lstm(x, reset=reset)[0]
        assert lstm.path(x, reset=reset).name == "int8"
        assert torch.equal(whole, torch.cat([lstm(x[:3])[0], lstm(x[3:])[0]]))
        with lstm.edit(hs.set("l1.f", 0.25), hs.zero("l0.h", unit=3)):
            assert lstm.path(x).name == "int8"
            trace = lstm.trace(x)
            assert isinstance(trace.out, Tensor)
            assert torch.equal(trace.out, lstm(x)[0])
        assert (trace.values["l1.f"] == 0.25).all()
        assert not trace.values["l0.h"][..., 3].any()
        with lstm.edit(hs.set("l0.h", 40.0, unit=3)):  # far beyond what h can be: its row's scale follows
            assert torch.isfinite(lstm(x)[0]).all()
            assert (lstm.trace(x).values["l0.h"][..., 3] == 40).all()


@needs_int8
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_makes_its_own_row_nan(bad: float) -> None:
    lstm, x = hs.LSTM(8, 33).quantize(), torch.randn(1, 4, 8)
    x[0, 2, 5] = bad
    with torch.no_grad():
        out = lstm(x)[0]
    assert out[0, 2].isnan().all()
    assert out[0, [0, 1, 3]].isfinite().all()


@needs_int8
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-20, 1e20, 1e38])
def test_inputs_of_any_size(size: float) -> None:
    lstm, x = hs.LSTM(8, 33).quantize(), torch.randn(1, 4, 8).sign() * size
    with torch.no_grad():
        torch.testing.assert_close(lstm(x)[0], lstm.dequantize()(x)[0], rtol=0, atol=0.01)


def test_rounding() -> None:
    torch.manual_seed(3)
    weight = torch.randn(40, 17) * torch.logspace(-6, 6, 40)[:, None]
    weight[7] = 0
    values, scale = int8.quantise(weight, "weight")
    assert values.dtype is torch.int8
    assert int(values.abs().amax()) == 127
    assert (values.abs().amax(dim=1)[torch.arange(40) != 7] == 127).all()
    back = int8.dequantise(values, scale, "weight")
    assert ((back - weight).abs() <= scale[:, None] / 2 * (1 + 1e-5)).all()
    again = int8.quantise(back, "weight")
    assert torch.equal(again[0], values)
    assert torch.equal(again[1], scale)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        values, scale = int8.quantise(torch.randn(5, 3).to(dtype), "weight")
        assert scale.dtype is dtype


def test_what_cannot_be_rounded() -> None:
    with pytest.raises(ArgumentError, match="weight_ih_l0 has values that are not finite"):
        int8.quantise(torch.tensor([[1.0, float("nan")]]), "weight_ih_l0")
    with pytest.raises(DtypeError, match=r"torch.int64: only floating-point weights"):
        int8.quantise(torch.tensor([[1, 2]]), "weight")
    values, scale = int8.quantise(torch.randn(4, 3), "weight")
    with pytest.raises(DtypeError, match="expected torch.int8"):
        int8.dequantise(values.float(), scale, "weight")
    with pytest.raises(ShapeError, match=r"\[4, 3\] and its scale \[3\]"):
        int8.dequantise(values, scale[:3], "weight")


@needs_int8
def test_paths_say_why_not() -> None:
    x = torch.randn(5, 2, 40)

    def why(lstm: hs.LSTM, x: Tensor) -> str:
        return lstm.path(x).reasons["int8"]

    lstm = hs.LSTM(40, 48).quantize()
    assert lstm.path(x).name == "int8"
    assert "fewer than 32 units" in why(hs.LSTM(40, 31).quantize(), x)
    assert "projection" in why(hs.LSTM(40, 48, proj_size=5).quantize(), x)
    assert "gradient" in why(lstm, x.clone().requires_grad_())
    assert "float64" in why(hs.LSTM(40, 48, dtype=torch.float64).quantize(), x.double())
    with hs.backend("reference"):
        assert "reference" in why(lstm, x)
    with lstm.edit(hs.clamp("l0.f", low=0.2, high=0.4)):
        assert "clamp" in why(lstm, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in why(lstm, x)
    kernels.choose("generic" if "generic" in kernels.isas() else kernels.isas()[0])
    try:
        lstm = hs.LSTM(40, 48).quantize()  # packed here
        if kernels.int8() is None:
            assert "no int8 instructions" in why(lstm, x)
            torch.testing.assert_close(lstm(x)[0], lstm.dequantize()(x)[0], rtol=0, atol=1e-6)
    finally:
        kernels.choose(None)


@needs_int8
def test_weights_that_are_written_are_packed_anew() -> None:
    lstm, x = hs.LSTM(20, 40).quantize(), torch.randn(3, 2, 20)
    other = hs.LSTM(20, 40).quantize()
    with torch.no_grad():
        before, stream = lstm(x)[0], lstm.stream(2)
        stream.step(x[0])
        lstm.get_buffer("weight_hh_l0_scale").mul_(2)
        assert not torch.equal(lstm(x)[0], before)
        lstm.load_state_dict(other.state_dict())
        assert torch.equal(lstm(x)[0], other(x)[0])
        stream.reset()
        assert torch.equal(torch.stack([stream.step(step) for step in x]), other(x)[0])
        lstm.bias_ih_l0 = other.get_buffer("bias_ih_l0") + 1
        assert not torch.equal(lstm(x)[0], other(x)[0])


@needs_int8
def test_what_the_kernel_lacks_is_refused() -> None:
    found = kernels.int8()
    assert found is not None
    lstm, x = hs.LSTM(4, 33), torch.randn(2, 1, 4)
    with pytest.raises(TypeError, match="no nonlinearity"):
        found.native.nonlinearity("tanh", x.flatten())
    call = Call(lstm.sizes, lstm._weights(), x, torch.zeros(1, 1, 33), torch.zeros(1, 1, 33))
    with pytest.raises(TypeError, match="no backward"):
        found.native.backward(call, None, (), (), ())
    other = hs.LSTM(4, 34).quantize()
    with torch.no_grad():
        other(x)
    packed = other._packed_int8.stepper().packed  # with different sizes
    with pytest.raises(kernels.RefusedError):
        found.native.forward(replace(call, weights=(), packed_weights=packed), None, [], False)
    with pytest.raises(TypeError, match="tuple of five"):
        found.native.pack([(1, 2)], 4, 33, 1)


def test_sums_that_may_not_fit_are_computed_in_floats() -> None:
    sizes = hs.LSTM(40, 48).sizes
    wide = replace(sizes, input_size=133_145)
    assert "may not fit into int32" in str(int8.why_not_kernel(wide, torch.float32))
    assert int8.why_not_kernel(replace(sizes, input_size=133_144), torch.float32) == int8.why_not_kernel(
        sizes, torch.float32
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_types_are_rounded_within_a_scale(dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    weight = torch.randn(300, 40).to(dtype)
    values, scale = int8.quantise(weight, "weight")
    moved = (int8.dequantise(values, scale, "weight").float() - weight.float()).abs()
    assert (moved <= scale.float()[:, None]).all()


@needs_int8
@pytest.mark.usefixtures("isa", "any_size")
def test_a_gru_is_computed_in_8_bits_too() -> None:
    for seed, (N, C, H) in enumerate([(1, 3, 17), (1, 65, 130), (5, 17, 65), (19, 65, 33), (40, 1, 3)]):
        torch.manual_seed(seed)
        gru, x, h0 = hs.GRU(C, H, bias=seed % 2 == 0), torch.randn(7, N, C), torch.randn(N, H)
        small, (w,) = gru.quantize(), gru._weights()
        assert small.path(x).name == "int8"
        with torch.no_grad():
            of_x, of_h = product(x[0], w.ih), product(h0, w.hh)
            if w.b_ih is not None and w.b_hh is not None:
                of_x, of_h = of_x + w.b_ih, of_h + w.b_hh
            (r_x, z_x, n_x), (r_h, z_h, n_h) = of_x.chunk(3, -1), of_h.chunk(3, -1)
            z, n = (z_x + z_h).sigmoid(), (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
            whole, _ = small(x, h0[None])
            torch.testing.assert_close(whole[0], (1 - z) * n + z * h0, rtol=0, atol=1e-6)
            torch.testing.assert_close(whole, gru(x, h0[None])[0], rtol=0, atol=0.1)
            stream = small.stream(N)
            steps = torch.stack([stream.step(one) for one in x])
            assert torch.equal(steps, small(x)[0])
