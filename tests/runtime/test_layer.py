"""The runtime's layers and streams give the numbers of `hiddenstate.LSTM`, to the last bit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.cells.kinds import CELLS
from runtime.built import IS_BUILT, needs_runtime
from support import LAYERS

if IS_BUILT:
    import hiddenstate_runtime as hr
    from hiddenstate_runtime import _native
    from hiddenstate_runtime import stream as stream_module

pytestmark = needs_runtime

SIZES = (1, 3, 17, 65)
KINDS = ["float32", "bfloat16", "int8"]


def random_layer(seed: int, kind: str, cell: str = "LSTM", **options: Any) -> Any:
    torch.manual_seed(seed)
    C, H = (SIZES[int(k)] for k in torch.randint(4, (2,)))
    lstm = getattr(hs, cell)(C, H, num_layers=int(torch.randint(1, 4, ())), **options).eval()
    if kind == "int8":
        return lstm.quantize()
    return lstm.bfloat16() if kind == "bfloat16" else lstm


def carried(lstm: Any, path: Path) -> Any:
    hs.save(lstm, path / "lstm.safetensors")
    return hr.load(path / "lstm.safetensors")


def numbers(value: torch.Tensor) -> np.ndarray[Any, Any]:
    return value.detach().float().numpy()


def same(got: np.ndarray[Any, Any], wanted: torch.Tensor) -> bool:
    return np.array_equal(got, numbers(wanted))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
@torch.no_grad()
def test_a_run_has_the_same_bits(seed: int, kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = [{}, {"bidirectional": True}, {"bias": False}][seed % 3]
    lstm = random_layer(seed, kind, **options)
    model = carried(lstm, tmp_path)
    T, N = (1, 7, 20)[seed % 3], (1, 2, 5, 33)[seed % 4]
    x = torch.randn(T, N, lstm.input_size).to(torch.bfloat16 if kind == "bfloat16" else torch.float32)
    count = lstm.num_layers * (1 + lstm.bidirectional)
    state = tuple(torch.randn(count, N, lstm.hidden_size).to(x.dtype) for _ in range(2))
    lengths = torch.randint(0, T + 1, (N,)) if seed % 2 else None
    out, (h, c) = lstm(x, state, lengths=lengths)
    got, (got_h, got_c) = model(
        numbers(x), tuple(map(numbers, state)), lengths=None if lengths is None else lengths.numpy()
    )
    assert same(got, out)
    assert same(got_h, h)
    # torch's side returns cell states in bfloat16, the runtime in the type of the computation.
    assert np.array_equal(got_c, numbers(c)) if kind != "bfloat16" else np.allclose(got_c, numbers(c), rtol=8e-3)
    assert model.precision == kind or (kind == "int8" and lstm.path(x).name != "int8")


@torch.no_grad()
def test_a_projection(tmp_path: Path) -> None:
    torch.manual_seed(0)
    lstm = hs.LSTM(5, 9, num_layers=2, proj_size=4, bidirectional=True)
    model, x = carried(lstm, tmp_path), torch.randn(6, 3, 5)
    out, (h, c) = lstm(x)
    got, (got_h, got_c) = model(x.numpy())
    assert same(got, out)
    assert same(got_h, h)
    assert same(got_c, c)


@pytest.mark.parametrize("seed", range(6))
@torch.no_grad()
def test_a_trace_names_every_gate_and_state(seed: int, tmp_path: Path) -> None:
    lstm = random_layer(seed, "float32", bidirectional=bool(seed % 2))
    model, x = carried(lstm, tmp_path), torch.randn(9, 4, lstm.input_size)
    lengths = torch.tensor([9, 0, 3, 8])
    trace, wanted = model.trace(x.numpy(), lengths=lengths.numpy()), lstm.trace(x, lengths=lengths)
    assert set(trace) == {place for places in lstm.sizes.places for place in places}
    for place in trace:
        assert same(trace[place], wanted[place]), place


@pytest.mark.parametrize("cell", LAYERS)
@torch.no_grad()
def test_a_layer_whose_batch_comes_first(cell: Any, tmp_path: Path) -> None:
    layer, x = cell(4, 6, num_layers=2, batch_first=True), torch.randn(3, 5, 4)
    model, lengths = carried(layer, tmp_path), torch.tensor([5, 0, 2])
    assert model.batch_first
    out, _ = layer(x, lengths=lengths)
    assert same(model(x.numpy(), lengths=lengths.numpy())[0], out)
    assert same(model(x[0].numpy())[0], layer(x[0])[0])
    trace, wanted = model.trace(x.numpy()), layer.trace(x)
    for place in wanted.names:
        assert np.allclose(trace[place], numbers(wanted[place]), atol=1e-6), place
    with layer.edit(hs.zero("l0.h@1:3,n=2")):
        edited, _ = layer(x)
    assert np.allclose(model(x.numpy(), edits=[hr.zero("l0.h@1:3,n=2")])[0], numbers(edited), atol=1e-6)
    assert same(model.stream(3).feed(x.numpy()), layer.stream(3).feed(x))
    with pytest.raises(hr.HiddenStateError, match=r"x must be \[N, T, C\] or"):
        model(np.zeros(4))
    with pytest.raises(hr.HiddenStateError, match=r"a chunk must be \[3, T, 4\]"):
        model.stream(3).feed(np.zeros((5, 3, 4)))
    with pytest.raises(hr.HiddenStateError, match="lengths must be 3 integers"):
        model(x.numpy(), lengths=[1] * 5)


@pytest.mark.parametrize("seed", range(6))
@torch.no_grad()
def test_edits_do_what_they_do_with_torch(seed: int, tmp_path: Path) -> None:
    lstm = random_layer(seed, "float32")
    model, x = carried(lstm, tmp_path), torch.randn(6, 3, lstm.input_size)
    last, unit = lstm.num_layers - 1, lstm.hidden_size - 1
    with lstm.edit(
        hs.scale("l0.f", 0.5),
        hs.zero(f"l{last}.c[{unit}]@2"),
        hs.add("l0.i_pre@1:4,n=1", 0.25),
        hs.set("l0.h[0]@3", 0.7),
    ):
        out, _ = lstm(x)
    edits = [
        hr.scale("l0.f", 0.5),
        hr.zero(f"l{last}.c[{unit}]@2"),
        hr.add("l0.i_pre@1:4,n=1", 0.25),
        hr.set_to("l0.h[0]@3", 0.7),
    ]
    got, _ = model(x.numpy(), edits=edits)
    assert same(got, out)
    assert not np.array_equal(got, model(x.numpy())[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_streams_whose_rows_come_and_go(seed: int, kind: str, tmp_path: Path) -> None:
    lstm = random_layer(seed, kind)
    model = carried(lstm, tmp_path)
    ours, theirs = model.stream(3), lstm.stream(batch=3)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    rng = np.random.default_rng(seed)

    def step(rows: list[int] | None, count: int) -> None:
        x = torch.from_numpy(rng.standard_normal((count, lstm.input_size), np.float32)).to(dtype)
        assert same(ours.step(numbers(x), rows=rows), theirs.step(x, rows=rows))

    step(None, 3)
    step([2, 0], 2)
    ours.leave([1])
    theirs.leave([1])
    assert ours.join() == theirs.join() == 1
    step(None, 3)
    assert ours.join() == theirs.join() == 3
    step([3, 1], 2)
    ours.reset([0])
    theirs.reset(rows=[0])
    assert ours.rows == theirs.rows == (0, 1, 2, 3)
    chunk = torch.from_numpy(rng.standard_normal((5, 6, lstm.input_size), np.float32)).to(dtype)
    assert same(ours.feed(numbers(chunk)), theirs.feed(chunk))
    step(None, 6)


@torch.no_grad()
def test_streams_in_threads_share_a_layer(tmp_path: Path) -> None:
    lstm, x = hs.LSTM(8, 64), np.random.default_rng(0).standard_normal((8, 300, 8), np.float32)
    model, out = carried(lstm, tmp_path), np.zeros((8, 300, 64), np.float32)

    def run(k: int) -> None:
        stream = model.stream()
        for t in range(300):
            stream.step(x[k, t], out=out[k, t])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    for k in range(8):
        stream = lstm.stream()
        assert np.array_equal(out[k], np.stack([stream.step(row) for row in x[k]]))


@torch.no_grad()
def test_a_thousand_rows_leave_and_join(tmp_path: Path) -> None:
    lstm, rng = hs.LSTM(4, 16), np.random.default_rng(0)
    ours, theirs = carried(lstm, tmp_path).stream(1000), lstm.stream(batch=1000)
    for _ in range(10):
        leaving = rng.choice(np.array(ours.rows), 80, replace=False).tolist()
        for stream in (ours, theirs):
            stream.leave(leaving)
        assert ours.rows == theirs.rows
        x = rng.standard_normal((len(ours.rows), 4), np.float32)
        assert np.array_equal(ours.step(x, rows=ours.rows), theirs.step(x, rows=list(theirs.rows)))
        assert [ours.join() for _ in range(60)] == [theirs.join() for _ in range(60)]


@pytest.mark.parametrize(
    ("asked", "at_most"), [("1", 1), ("1,2", 1), ("999999", None), ("", None), ("0", None), ("many", None)]
)
def test_threads_are_those_of_the_environment(asked: str, at_most: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    all_of_them = stream_module._threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert stream_module._threads() == (at_most or all_of_them)


def test_a_stream_writes_into_out_and_takes_a_vector(tmp_path: Path) -> None:
    lstm = hs.LSTM(4, 8)
    stream = carried(lstm, tmp_path).stream()
    out = np.full(8, 9.0, np.float32)
    x = np.ones(4, np.float32)
    assert stream.step(x, out=out) is out
    again = carried(lstm, tmp_path).stream()
    assert np.array_equal(again.step([1, 1, 1, 1]), out)
    h, c = stream.state
    again.state = h, c
    assert np.array_equal(again.step(x), stream.step(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cell", [kind for kind in CELLS if kind != "LSTM"])
@torch.no_grad()
def test_other_cells(cell: str, seed: int, kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = [{}, {"bidirectional": True}, {"bias": False}][seed % 3]
    label, _, nonlinearity = cell.partition("_")
    if nonlinearity:
        options["nonlinearity"] = nonlinearity.lower()
    gru = random_layer(seed, kind, label, **options)
    model = carried(gru, tmp_path)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    T, N = (1, 7, 20)[seed % 3], (2, 5)[seed % 2]
    x = torch.randn(T, N, gru.input_size).to(dtype)
    shape = gru.num_layers * (1 + gru.bidirectional), N, gru.hidden_size
    as_given: Any = CELLS[cell].as_given
    parts: Any = CELLS[cell].parts_of
    rounding = 8e-3 if kind == "bfloat16" else 0  # of cell states, which torch's side returns in bfloat16
    before = [torch.randn(shape).to(dtype) for _ in CELLS[cell].carried]
    lengths = torch.randint(0, T + 1, (N,))
    out, after = gru(x, as_given(before), lengths=lengths)
    got, got_after = model(numbers(x), as_given([*map(numbers, before)]), lengths=lengths.numpy())
    if kind == "int8" and not CELLS[cell].is_additive:  # with floats, in packed or other order
        assert np.allclose(got, numbers(out), atol=1e-6)
    else:
        assert same(got, out)
        assert same(parts(got_after)[0], parts(after)[0])
        for one, other in zip(parts(got_after), parts(after), strict=True):
            assert np.allclose(one, numbers(other), rtol=rounding, atol=0)
    assert model.sizes.cell == cell
    if gru.bidirectional:
        return
    ours, theirs = model.stream(N), gru.stream(batch=N)
    for rows in (None, [N - 1], None):
        step = torch.randn(N if rows is None else 1, gru.input_size).to(dtype)
        assert np.allclose(ours.step(numbers(step), rows=rows), numbers(theirs.step(step, rows=rows)), atol=1e-6)
    assert ours.join() == theirs.join() == N
    for one, other in zip(parts(ours.state), parts(theirs.state), strict=True):
        assert np.allclose(one, numbers(other), rtol=rounding, atol=1e-6)
    ours.state = as_given([one + 1 for one in parts(ours.state)])
    ours.reset([0])
    assert all(np.all(one[:, 0] == 0) for one in parts(ours.state))


@torch.no_grad()
def test_a_grus_trace_and_edits(tmp_path: Path) -> None:
    gru, x = hs.GRU(3, 17, num_layers=2, bidirectional=True), torch.randn(6, 4, 3)
    model = carried(gru, tmp_path)
    trace, wanted = model.trace(x.numpy()), gru.trace(x, pre=True)
    for place in trace:
        assert np.allclose(trace[place], wanted[place].numpy(), atol=1e-6), place
    with gru.edit(hs.scale("l0.z", 0.5), hs.zero("l1r.n_h[3]@2"), hs.add("l0.h@1:4,n=1", 0.25)):
        out, _ = gru(x)
    edits = [hr.scale("l0.z", 0.5), hr.zero("l1r.n_h[3]@2"), hr.add("l0.h@1:4,n=1", 0.25)]
    assert np.allclose(model(x.numpy(), edits=edits)[0], out.numpy(), atol=1e-6)
    with pytest.raises(hr.HiddenStateError, match="no place 'l0.f'"):
        model(x.numpy(), edits=[hr.zero("l0.f")])
    with pytest.raises(hr.HiddenStateError, match="only an LSTM has two states"):
        model(x.numpy(), (np.zeros((4, 4, 17)), np.zeros((4, 4, 17))))


@torch.no_grad()
def test_a_plain_rnns_trace_and_edits(tmp_path: Path) -> None:
    rnn, x = hs.RNN(3, 17, 2, "relu", bidirectional=True), torch.randn(6, 4, 3)
    model = carried(rnn, tmp_path)
    trace, wanted = model.trace(x.numpy()), rnn.trace(x)
    assert {*trace} == {*wanted}
    for place in trace:
        assert same(trace[place], wanted[place]), place
    with rnn.edit(hs.scale("l0.h_pre", 0.5), hs.zero("l1r.h[3]@2"), hs.add("l0.h@1:4,n=1", 0.25)):
        edited = rnn.trace(x)
    edits = [hr.scale("l0.h_pre", 0.5), hr.zero("l1r.h[3]@2"), hr.add("l0.h@1:4,n=1", 0.25)]
    for place, values in model.trace(x.numpy(), edits=edits).items():
        assert np.allclose(values, edited[place].numpy(), atol=1e-6), place


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m: m(np.zeros((2, 2, 5))), "x has 5 features, expected 4"),
        (lambda m: m(np.zeros(4)), r"x must be \[T, N, C\]"),
        (lambda m: m(np.zeros((2, 2, 4)), lengths=[1, 3]), "each length must be from 0 to 2"),
        (lambda m: m(np.zeros((2, 2, 4)), lengths=[1]), "lengths must be 2 integers"),
        (lambda m: m(np.zeros((2, 2, 4)), (np.zeros((1, 2, 7)), np.zeros((1, 2, 8)))), "h of the state has shape"),
        (lambda m: m(np.zeros((2, 2, 4)), edits=[hr.zero("l1.c")]), "no place 'l1.c'"),
        (lambda m: m(np.zeros((2, 2, 4)), edits=[hr.zero("l0.c[8]")]), "there is no unit 8"),
        (lambda m: m.stream(0), "a stream has 1 to"),
        (lambda m: m.stream(1 << 62), "a stream has 1 to"),
        (lambda m: m.stream(1.5), "rows must be an integer"),
        (lambda m: m("abc"), "x must be an array of real numbers"),
        (lambda m: m([[1, 2, 3, 4], [1]]), "x must be an array of real numbers"),
        (lambda m: m(np.zeros((2, 4), complex)), "got dtype complex128"),
        (lambda m: m(np.zeros((2, 2, 4)), np.zeros((1, 2, 8))), r"the state must be a pair \(h, c\)"),
        (lambda m: m(np.zeros((2, 2, 4)), edits=["l0.c"]), "edits are made with"),
        (lambda m: m(np.zeros((2, 2, 4)), edits=[hr.Edit("max", "l0.c", 1)]), "edits are"),  # type: ignore[arg-type]
        (lambda m: m(np.zeros((2, 2, 4)), edits=[hr.set_to("l0.c", np.zeros(7))]), r"can be broadcast to \[2, 2, 8\]"),
        (lambda m: m.stream(2).step(np.zeros((2, 4)), out=np.zeros((2, 8), int)), "a writable float32 array"),
        (lambda m: m.stream(2).step(np.zeros((3, 4))), "x has shape"),
        (lambda m: m.stream(2).step(np.zeros((2, 4)), rows=[1, 1]), "each once"),
        (lambda m: m.stream(2).reset(np.array([True, False])), r"each once, got .*: give np\.flatnonzero\(mask\)"),
        (lambda m: m.stream(2).step(np.zeros((1, 4)), rows=[2]), "row 2 is not in use"),
        (lambda m: m.stream(2).feed(np.zeros((3, 4))), "a chunk must be"),
        (lambda m: m.trace(np.zeros((2, 2, 4)))["l0.q"], "no place 'l0.q'"),
        (lambda m: hr.load("nowhere.safetensors"), "nowhere.safetensors"),
        (lambda m: hr.load(b"\0" * 20), "damaged"),
    ],
)
def test_bad_input_gets_a_clear_error(wrong: Any, message: str, tmp_path: Path) -> None:
    model = carried(hs.LSTM(4, 8), tmp_path)
    with pytest.raises((hr.HiddenStateError, OSError), match=message):
        wrong(model)


def test_a_step_of_all_rows_is_the_same_from_any_array_after_a_row_has_left(tmp_path: Path) -> None:
    model = carried(hs.LSTM(3, 4), tmp_path)
    x = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    found = []
    for given in (x, x.astype(np.float64), np.asfortranarray(x), x.tolist()):
        stream = model.stream(2)
        stream.leave([1])
        found.append(stream.step(given))
    assert all(np.array_equal(each, found[0]) for each in found)


def test_native_streams_of_absurdly_many_rows_are_refused(tmp_path: Path) -> None:
    native = carried(hs.LSTM(3, 4), tmp_path).native
    for rows in (0, -1, 1 << 62):  # the numbers of 2 ** 62 rows overflow to 0
        with pytest.raises(MemoryError):
            _native.Steps(native, rows)
