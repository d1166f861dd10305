"""`GRU` and `RNN` compared with torch's layers and the reference, over random arguments; arguments that only ours
take."""

import copy
import itertools
import pickle
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from support import LAYERS, draws, share

KINDS: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "GRU": (hs.GRU, nn.GRU, {}),
    "RNN_TANH": (hs.RNN, nn.RNN, {}),
    "RNN_RELU": (hs.RNN, nn.RNN, {"nonlinearity": "relu"}),
}
CASES = 120  # of each kind


class Case(NamedTuple):
    """One call: the options of a layer, and how it is called."""

    options: dict[str, Any]
    dtype: torch.dtype
    T: int
    N: int
    form: str  # "padded", "unbatched", "packed", "unsorted"
    given_state: bool
    training: bool


def drawn(kind: str, seed: int) -> Case:
    draw = random.Random(f"{kind}{seed}")
    layers = draw.choice([1, 1, 2, 3])
    options = {
        "input_size": draw.choice([1, 3, 17]),
        "hidden_size": draw.choice([1, 3, 17, 65]),
        "num_layers": layers,
        "bias": draw.random() < 0.8,
        "batch_first": draw.random() < 0.4,
        "dropout": draw.choice([0.0, 0.4]) if layers > 1 else 0.0,
        "bidirectional": draw.random() < 0.4,
        **KINDS[kind][2],
    }
    form = draw.choice(["padded", "padded", "unbatched", "packed", "unsorted"])
    dtype = draw.choice([torch.float32, torch.float64])
    return Case(
        options, dtype, draw.choice([1, 2, 7]), draw.choice([1, 2, 5]), form, draw.random() < 0.5, seed % 2 == 0
    )


def made(kind: str, case: Case) -> tuple[Any, Any]:
    ours, theirs, _ = KINDS[kind]
    found = []
    for layer in (ours, theirs):
        torch.manual_seed(1)
        found.append(layer(**case.options, dtype=case.dtype).train(case.training))
    return found[0], found[1]


def arguments(case: Case) -> tuple[Any, list[Tensor], Tensor | None]:
    """The input, the leaves in it, and the state."""
    generator = torch.Generator().manual_seed(2)
    C, H, N = case.options["input_size"], case.options["hidden_size"], case.N
    stacked = case.options["num_layers"] * (1 + case.options["bidirectional"])
    shape = (case.T, C) if case.form == "unbatched" else (case.T, N, C)
    if case.form != "unbatched" and case.options["batch_first"]:
        shape = (N, case.T, C)
    x = torch.randn(shape, generator=generator, dtype=case.dtype).requires_grad_()
    h = torch.randn(
        (stacked, H) if case.form == "unbatched" else (stacked, N, H), generator=generator, dtype=case.dtype
    )
    given: Any = x
    if case.form in ("packed", "unsorted"):
        lengths = torch.randint(1, case.T + 1, (N,), generator=generator)
        lengths = lengths.sort(descending=True).values if case.form == "packed" else lengths
        first = case.options["batch_first"]
        given = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=case.form == "packed")
    return given, [x], h.requires_grad_() if case.given_state else None


def computed(layer: Any, case: Case, **more: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The results of a call, and the gradients of a sum of them by inputs and weights."""
    given, leaves, h = arguments(case)
    torch.manual_seed(3)
    out, h_n = layer(given, h, **more)
    out = out.data if isinstance(out, PackedSequence) else out
    results = [out, h_n]
    weighed = sum(
        (value * torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value)).sum() for value in results
    )
    wanted = [*leaves, *([] if h is None else [h]), *layer.parameters()]
    return [value.detach() for value in results], list(torch.autograd.grad(weighed, wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_torchs_and_the_references(kind: str) -> None:
    for seed in range(draws(CASES)):
        case = drawn(kind, seed)
        ours, theirs = made(kind, case)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        tolerance = 1e-10 if case.dtype is torch.float64 else 1e-4
        wanted = computed(theirs, case)
        found = [computed(ours, case)]
        with hs.backend("reference"):
            found.append(computed(ours, case))
        for results in found:
            for a, b in zip(itertools.chain(*results), itertools.chain(*wanted), strict=True):
                assert a.shape == b.shape, case
                assert share(a, b) <= tolerance, case


def layers(**options: Any) -> list[Any]:
    torch.manual_seed(4)
    return [
        hs.GRU(3, 5, dtype=torch.float64, **options),
        hs.RNN(3, 5, dtype=torch.float64, **options),
        hs.RNN(3, 5, nonlinearity="relu", dtype=torch.float64, **options),
    ]


def test_runs_with_resets_are_runs_of_the_pieces() -> None:
    for layer in layers(num_layers=2):
        x, h0, begin = torch.randn(7, 1, 3).double(), torch.randn(2, 1, 5).double(), torch.randn(2, 5).double()
        reset = torch.zeros(7, 1, dtype=torch.bool)
        reset[3] = True
        out, h_n = layer(x, h0, reset=reset, reset_to=begin)
        first, _ = layer(x[:3], h0)
        second, end = layer(x[3:], begin[:, None])
        torch.testing.assert_close(out, torch.cat([first, second]))
        torch.testing.assert_close(h_n, end)
        zeroed, _ = layer(x, h0, reset=reset)
        torch.testing.assert_close(zeroed[3:], layer(x[3:])[0])


def test_rows_end_at_their_lengths_and_empty_rows_keep_their_state() -> None:
    for layer in layers(bidirectional=True, batch_first=True):
        x, h0 = torch.randn(3, 6, 3).double(), torch.randn(2, 3, 5).double()
        out, h_n = layer(x, h0, lengths=[4, 0, 6])
        alone, end = layer(x[:1, :4], h0[:, :1])
        torch.testing.assert_close(out[:1, :4], alone)
        torch.testing.assert_close(h_n[:, :1], end)
        assert not out[0, 4:].any()
        assert not out[1].any()
        assert torch.equal(h_n[:, 1], h0[:, 1])


def test_a_trace_has_the_numbers_of_the_equations() -> None:
    gru, tanh, relu = layers(num_layers=2, bidirectional=True)
    x, h0 = torch.randn(4, 2, 3).double(), torch.randn(4, 2, 5).double()
    trace = gru.trace(x, h0, pre=True)
    torch.testing.assert_close(trace.out, gru(x, h0)[0])
    torch.testing.assert_close(trace.state, gru(x, h0)[1])
    assert torch.equal(trace.initial, h0)
    for k, name in enumerate(("l0", "l0r", "l1", "l1r")):
        r, z, n, h, n_h = (trace[f"{name}.{q}"] for q in ("r", "z", "n", "h", "n_h"))
        end = h0[k][None]
        before = torch.cat([h[1:], end]) if name.endswith("r") else torch.cat([end, h[:-1]])
        torch.testing.assert_close(
            torch.stack([trace.cell_before(k // 2, k % 2 == 1, row) for row in (0, 1)], 1), before
        )
        w, b = gru.weight(f"{name}.W_hn"), gru.weight(f"{name}.b_hn")
        torch.testing.assert_close(n_h, before @ w.T + b)
        torch.testing.assert_close(trace[f"{name}.n_rh"], r * n_h)
        torch.testing.assert_close(n, trace[f"{name}.n_pre"].tanh())
        torch.testing.assert_close(r, trace[f"{name}.r_pre"].sigmoid())
        torch.testing.assert_close(h, z * before + (1 - z) * n)
    for rnn, activation in ((tanh, torch.tanh), (relu, torch.relu)):
        trace = rnn.trace(x, h0, pre=True)
        assert trace.names == ("l0.h", "l0r.h", "l1.h", "l1r.h", "l0.h_pre", "l0r.h_pre", "l1.h_pre", "l1r.h_pre")
        torch.testing.assert_close(trace["l1.h"], activation(trace["l1.h_pre"]))
        torch.testing.assert_close(trace.out, rnn(x, h0)[0])


def test_the_equations_are_written_with_their_numbers() -> None:
    gru, tanh, _ = layers()
    x = torch.ones(2, 1, 3).double()
    moment = gru.trace(x, pre=True).at(1, 2)
    lines = str(moment).splitlines()
    assert [line.split(" = ")[0].strip() for line in lines[1:]] == ["r", "z", "n_rh", "n", "h"]
    assert lines[5].strip().startswith("h = z·h_prev + (1-z)·n = ")
    assert f"{moment['z'] * moment['h_prev'] + (1 - moment['z']) * moment['n']:.4f}" == lines[5].split(" = ")[-1]
    assert "edited" not in str(moment)
    with gru.edit(hs.set("l0.h", 3.0, unit=2)):
        assert "edited: the run has 3.0000" in str(gru.trace(x).at(1, 2))
    assert str(tanh.trace(x, pre=True).at(0, 1)).splitlines()[1].startswith("  h = tanh(")


def test_edits_of_every_place_change_what_the_equations_say() -> None:
    gru, rnn, _ = layers()
    x = torch.randn(4, 2, 3).double()
    plain = gru.trace(x, pre=True)
    for place in plain.names:
        with gru.edit(hs.patch(place, source=plain)):
            torch.testing.assert_close(gru(x)[0], plain.out)
        with gru.edit(hs.add(place, 0.5, t=1, unit=0)):
            changed = gru(x)[0]
        torch.testing.assert_close(changed[0], plain.out[0])
        assert not torch.allclose(changed[1], plain.out[1])
    with gru.edit(hs.zero("l0.r")):
        without = gru(x)[0]
    with gru.edit(hs.zero("l0.n_rh")):
        torch.testing.assert_close(gru(x)[0], without)
    with gru.edit(hs.set("l0.z", 1.0)):
        assert not gru(x)[0].any()
    with gru.edit(hs.zero("l0.h", t=1, scope="readout")):
        shown = gru.trace(x)
    assert not shown.out[1].any()
    torch.testing.assert_close(shown.out[2:], plain.out[2:])
    torch.testing.assert_close(shown.cell_before(0)[2], plain["l0.h"][1, 0])
    with rnn.edit(hs.clamp("l0.h_pre", low=-0.1, high=0.1)):
        assert rnn(x)[0].abs().max() <= 0.1
    with pytest.raises(NameUnknownError, match="quantities are r z n h r_pre z_pre n_pre n_h n_rh"):
        gru.edit(hs.zero("l0.f"))
    with pytest.raises(NameUnknownError, match=r"l0\.\{r,z,n,h\}"):
        hs.edit(nn.Sequential(gru), hs.zero("0.l0.c"))


def test_streams_of_any_chunks_are_the_whole_run(tmp_path: Path) -> None:
    for layer in layers(num_layers=2):
        x = torch.randn(6, 2, 3).double()
        out, h_n = layer(x)
        stream = layer.stream(2)
        parts = [stream.feed(x[:2]), stream.step(x[2])[None], stream.feed(x[3:])]
        torch.testing.assert_close(torch.cat(parts), out.detach())
        torch.testing.assert_close(stream.state, h_n.detach())
        stream.save(tmp_path / "stream")
        again = layer.stream(2)
        again.load(tmp_path / "stream")
        assert torch.equal(again.state, stream.state)
        assert again.t == 6
        with pytest.raises(FileFormatError):
            hs.LSTM(3, 5, 2, dtype=torch.float64).stream(2).load(tmp_path / "stream")
        row = stream.join(h_n[:, 0].detach())
        torch.testing.assert_close(stream.step(x[:1, 0], rows=[row]), layer(x[:1, :1], h_n[:, :1])[0][0].detach())
        stream.leave([0])
        stream.reset(rows=[row], to=torch.ones(2, 5).double())
        assert bool((stream.state_of(row) == 1).all())
    lstm = hs.LSTM(3, 5).stream()
    lstm.save(tmp_path / "stream")
    with pytest.raises(FileFormatError, match="is the state of a stream of the cell 'LSTM', expected 'GRU'"):
        hs.GRU(3, 5).stream().load(tmp_path / "stream")


def test_traces_go_to_files_tables_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    for layer in layers(num_layers=2):
        reset = torch.zeros(4, 2, dtype=torch.bool)
        reset[2] = True
        trace = layer.trace(torch.randn(4, 2, 3).double(), reset=reset, reset_to=torch.ones(2, 5).double(), pre=True)
        trace.save(tmp_path / "trace")
        again = hs.Trace.load(tmp_path / "trace")
        assert again.cell == trace.cell
        assert again.names == trace.names
        assert torch.equal(again.state, trace.state.detach())
        assert torch.equal(again.reset_to, trace.reset_to)
        assert trace.before_resets().shape == (2, 2, 5)
        table = trace.to_dataframe()
        assert table["h"].tolist()[:5] == trace["l0.h"][0, 0].tolist()
        assert set(trace.to_xarray()) == {name.split(".")[1] for name in trace.names}
        trace.plot(tmp_path / "maps.png")
        trace.plot(tmp_path / "curves.png", unit=1)
        layer.structure().plot(path=tmp_path / "diagram.png")
        assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("maps", "curves", "diagram"))


def test_the_structure_says_every_weight_by_gate() -> None:
    gru = hs.GRU(3, 5, 2)
    structure = gru.structure()
    assert structure.count == sum(p.numel() for p in gru.parameters())
    assert torch.equal(gru.weight("l1.W_hn"), gru.get_parameter("weight_hh_l1")[10:])
    assert structure["l0.b_hn"].equation == "n = tanh(W_in·x + b_in + r∘(W_hn·h_prev + b_hn))"
    assert "GRU 3 → 5: 2 layers" in str(structure)
    assert "c0, c_n" not in str(structure)
    rnn = hs.RNN(3, 5, nonlinearity="relu", bias=False)
    assert [weight.name for weight in rnn.structure()] == ["W_ih", "W_hh"]
    assert "h = relu(W_ih·x + W_hh·h_prev)" in str(rnn.structure())
    assert hs.structure_of(hs.Sizes(3, 5, cell="GRU")).count == 3 * 5 * (3 + 5 + 2)
    with pytest.raises(ArgumentError, match="no cell 'gru'"):
        hs.Sizes(3, 5, cell="gru")


def test_second_derivatives_and_transforms_work() -> None:
    for layer in layers():
        x, h = torch.randn(3, 2, 3).double().requires_grad_(), torch.rand(1, 2, 5).double().requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x, h, layer=layer: layer(x, h)[0], (x, h))
        rows = torch.func.vmap(lambda x, layer=layer: layer(x)[0])(torch.stack([x, 2 * x]))
        torch.testing.assert_close(rows[1], layer(2 * x)[0])
        tangent = torch.randn_like(x)
        moved = torch.func.jvp(lambda x, layer=layer: layer(x)[0], (x.detach(),), (tangent,))[1]
        step = (layer(x + 1e-6 * tangent)[0] - layer(x - 1e-6 * tangent)[0]) / 2e-6
        torch.testing.assert_close(moved, step, atol=1e-6, rtol=1e-4)


def test_types_under_autocast_are_torchs() -> None:
    for layer in (hs.GRU(3, 5, 2), hs.RNN(3, 5, 2)):
        theirs, x = layer.to_torch(), torch.randn(4, 3, 3)
        for given in (x, pack_padded_sequence(x, [4, 2, 1])):
            with torch.autocast("cpu", torch.bfloat16):
                want, h = theirs(given)
                out, h_n = layer(given)
                trace = layer.trace(given)
            assert h.dtype is h_n.dtype is trace.state.dtype
            assert want[0].dtype is out[0].dtype is trace.out[0].dtype
            torch.testing.assert_close(trace.state, h, atol=2e-2, rtol=2e-2)


def test_copies_pickles_and_what_is_printed() -> None:
    for kind, (ours, theirs, options) in KINDS.items():
        layer = ours(3, 5, 2, bidirectional=True, **options).eval()
        x = torch.randn(4, 2, 3)
        assert repr(layer) == repr(layer.to_torch())
        assert type(layer.to_torch()) is theirs
        assert layer.to_torch().mode == layer.mode == kind
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), hs.from_torch(layer.to_torch())):
            assert torch.equal(other(x)[0], layer(x)[0])
            assert other.mode == kind
        int8 = layer.quantize()
        torch.testing.assert_close(int8(x)[0], int8.dequantize()(x)[0])
        assert "weights='int8'" in repr(int8)


def test_wrong_arguments_are_refused_as_torch_refuses_them() -> None:
    x = torch.zeros(4, 2, 3)
    wrong: list[tuple[Any, ...]] = [
        (torch.zeros(3),),
        (torch.zeros(4, 2, 7),),
        (x, torch.zeros(1, 2, 9)),
        (x, torch.zeros(1, 9)),
        (x[:, 0], torch.zeros(1, 2, 5)),
        (x.double(),),
        (x[:0],),
    ]
    for ours, theirs, options in KINDS.values():
        layer, torchs = ours(3, 5, **options), theirs(3, 5, **options)
        for given in wrong:
            with pytest.raises(Exception) as of_torch:  # noqa: PT011 (whatever torch raises)
                torchs(*given)
            with pytest.raises(of_torch.type, match=r"."):
                layer(*given)
        with pytest.raises(ArgumentTypeError, match="only an LSTM has a cell state"):
            layer(x, (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5)))
    bad: Any
    for bad in ("sigmoid", None):
        with pytest.raises(ArgumentError, match="Select from 'tanh' or 'relu'"):
            hs.RNN(3, 5, nonlinearity=bad)
    for ours, theirs, options in KINDS.values():
        for bad in (2, 0):
            for kind in (theirs, ours):
                with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM, not RNN or GRU"):
                    kind(3, 5, **options, proj_size=bad)
    with pytest.raises(ArgumentError, match="bidirectional GRU can't be streamed"):
        hs.GRU(3, 5, bidirectional=True).stream()


def test_the_path_says_what_computes() -> None:
    x = torch.zeros(4, 2, 3)
    assert "not RNNs" in hs.RNN(3, 5).quantize().path(x).reasons["int8"]
    assert hs.RNN(3, 5).to(torch.float16).path(x.half()).name == "native float16"


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit.trace` is:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace_method` is:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_and_exported_layers_are_torchs(kind: str) -> None:
    ours, _, options = KINDS[kind]
    layer = ours(3, 5, **options).eval()
    x = torch.randn(4, 2, 3)
    want = layer.to_torch()(x)[0]
    jit: Any = torch.jit  # it has no types
    export: Any = torch.export
    compiler: Any = torch
    with torch.no_grad():
        torch.testing.assert_close(compiler.compile(layer, backend="eager")(x)[0], want)
        torch.testing.assert_close(export.export(layer, (x,)).module()(x)[0], want)
        torch.testing.assert_close(jit.trace(layer, (x,))(x)[0], want)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_batch_without_rows_may_have_any_strides(kind: Any, dtype: torch.dtype) -> None:
    layer = kind(3, 5, dtype=dtype)
    x = torch.zeros(4, 0, 3, 2, dtype=dtype)[..., 0].requires_grad_()
    out, _ = layer(x)
    out.sum().backward()
    assert out.shape == (4, 0, 5)
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert not layer.weight_hh_l0.grad.any()
